//! A TCP relay whose far end can be changed: front ends that differ, or a clock that moves.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

/// In turn, a connection that is silent for so long is closed, as behind a load balancer; the next one leads elsewhere.
const SILENT: Duration = Duration::from_millis(15);
const LASTING: Duration = Duration::from_secs(3600);

/// Passes connections on, each to the next of its far ends in turn. Ends when dropped.
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    _end: DropGuard,
}

struct Shared {
    ends: Vec<SocketAddr>,
    next: usize,
    short: bool,
    /// Cancelled when the ends change: connections to the old ones are cut.
    epoch: CancellationToken,
}

impl Relay {
    /// One whose connections last.
    pub async fn start(end: SocketAddr) -> Self {
        Self::begin(vec![end], false).await
    }

    /// One whose connections are short, so that requests meet all far ends in turn.
    pub async fn start_in_turn(ends: Vec<SocketAddr>) -> Self {
        Self::begin(ends, true).await
    }

    async fn begin(ends: Vec<SocketAddr>, short: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let end = CancellationToken::new();
        let shared = Arc::new(Mutex::new(Shared { ends, next: 0, short, epoch: end.child_token() }));
        tokio::spawn(accept(listener, Arc::clone(&shared), end.clone()));
        Self { address, shared, _end: end.drop_guard() }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on connections go there; the old ones are cut.
    pub fn lead_to(&self, end: SocketAddr) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.epoch.cancel();
        shared.epoch = CancellationToken::new();
        shared.ends = vec![end];
    }
}

async fn accept(listener: TcpListener, shared: Arc<Mutex<Shared>>, end: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = end.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((mut near, _)) = accepted else { continue };
        let (far, short, epoch) = {
            let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
            shared.next += 1;
            let ends = shared.ends.len().max(1);
            (shared.ends.get(shared.next % ends).copied(), shared.short, shared.epoch.clone())
        };
        let end = end.clone();
        tokio::spawn(async move {
            let Some(far) = far else { return };
            let Ok(mut far) = TcpStream::connect(far).await else { return };
            let silent = if short { SILENT } else { LASTING };
            tokio::select! {
                () = end.cancelled() => {}
                () = epoch.cancelled() => {}
                // A connection that broke is no concern of ours.
                _ = pass_on(&mut near, &mut far, silent) => {}
            }
        });
    }
}

/// Passes on both ways until nothing has passed for a while since an answer.
async fn pass_on(
    near: &mut (impl AsyncRead + AsyncWrite + Unpin),
    far: &mut (impl AsyncRead + AsyncWrite + Unpin),
    silent: Duration,
) -> std::io::Result<()> {
    let (mut request, mut answer) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    let mut answered = false;
    loop {
        tokio::select! {
            read = near.read(&mut request) => match read? {
                0 => return Ok(()),
                n => {
                    answered = false;
                    far.write_all(&request[..n]).await?;
                }
            },
            read = far.read(&mut answer) => match read? {
                0 => return Ok(()),
                n => {
                    answered = true;
                    near.write_all(&answer[..n]).await?;
                }
            },
            () = tokio::time::sleep(silent), if answered => return Ok(()),
        }
    }
}
