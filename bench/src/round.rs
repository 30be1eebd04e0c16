//! The yardstick: what calls to these very pods cost on this very machine, without Stillpoint.

use crate::{
    Outcome,
    numbers::{median, ms},
};
use futures::{StreamExt, TryStreamExt, future::try_join_all, stream};
use stillpoint_proto::admin::admin_client::AdminClient;
use stillpoint_sandbox::pods::mono_ns;
use tonic::transport::{Channel, Endpoint};

/// Calls to one pod, one after the other.
const TRIPS: usize = 21;
/// Calls to all pods at once, one after the other.
const ROUNDS: usize = 7;
/// Connections made at the same time; a listener has room for so many.
const AT_ONCE: usize = 64;

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub struct Yardstick {
    /// One CheckPaused to one idle pod: sent to answered, milliseconds, median.
    pub round_trip_ms: f64,
    /// CheckPaused to all pods at once: first sent to last answered, milliseconds, median.
    pub round_ms: f64,
}

/// Measures with plain clients over connections that stand.
pub async fn measure(addresses: &[String]) -> Outcome<Yardstick> {
    let connecting = addresses.iter().map(|address| {
        let uri = format!("http://{address}");
        async move { Ok::<_, Box<dyn std::error::Error + Send + Sync>>(AdminClient::new(connect(uri).await?)) }
    });
    let clients: Vec<AdminClient<Channel>> = stream::iter(connecting).buffered(AT_ONCE).try_collect().await?;
    let one = clients.first().ok_or("there are no pods")?;
    let (mut trips, mut rounds) = (Vec::new(), Vec::new());
    for _ in 0..TRIPS {
        let from = mono_ns();
        one.clone().check_paused(()).await?;
        trips.push(ms(mono_ns().saturating_sub(from)));
    }
    for _ in 0..ROUNDS {
        let from = mono_ns();
        let calls =
            clients.iter().cloned().map(|mut client| tokio::spawn(async move { client.check_paused(()).await }));
        for answer in try_join_all(calls).await? {
            answer?;
        }
        rounds.push(ms(mono_ns().saturating_sub(from)));
    }
    let measured = (median(trips), median(rounds));
    let (Some(round_trip_ms), Some(round_ms)) = measured else { return Err("nothing was measured".into()) };
    Ok(Yardstick { round_trip_ms, round_ms })
}

async fn connect(uri: String) -> Result<Channel, tonic::transport::Error> {
    Endpoint::from_shared(uri)?.tcp_nodelay(true).connect().await
}
