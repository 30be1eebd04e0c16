//! Targets by SRV name: the pods are what DNS lists, with every address of every service record.
//!
//! Each address is a pod. That one host may have two of them (IPv4 and IPv6) cannot be told from two pods behind one
//! name, and a pod that is taken for another's second address would go on writing; a pod that is paused twice does not.
//!
//! Invariants: nothing is kept from one look to the next, neither by us nor by the resolver, and how long an answer may
//! be kept is never compared. What changed between two looks is decided in `compare`, which asks nobody.

mod compare;
mod resolver;
#[cfg(test)]
mod tests;
mod watch;

pub use compare::{Record, Records, changes};
pub use resolver::{LookError, SrvResolver};
pub use watch::SrvWatched;

use super::{Failure, Pod, Reason};
use crate::admin::{AdminEndpoint, TlsReference};
use std::net::SocketAddr;
use std::time::Duration;

/// A target given as the name of service records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SrvTargetOf {
    /// Its name in the settings.
    pub name: String,
    /// The name that is looked up.
    pub srv: String,
    /// The name server; `None`: the system's resolver.
    pub resolver: Option<SocketAddr>,
    /// How to speak TLS to its pods; plain text when absent.
    pub tls: Option<TlsReference>,
}

/// What DNS says of a target now: its pods, in the order of their addresses, and a way to see what becomes of them.
/// Errors with all that is wrong. `wait` is for the whole look.
pub async fn find(
    target: &SrvTargetOf,
    wait: Duration,
    tcp_user_timeout: Duration,
) -> Result<(Vec<Pod>, SrvWatched), Vec<Failure>> {
    let resolver = SrvResolver::new(target.resolver).map_err(|why| vec![unanswered(target, &why)])?;
    let records = match resolver.look(&target.srv, wait).await {
        Ok(records) => records,
        Err(LookError::NoSuchName) => return Err(vec![not_found(target)]),
        Err(LookError::Failed(why)) => return Err(vec![unanswered(target, &why)]),
    };
    let bare: Vec<Failure> = records.without_address().map(|record| no_address(target, record)).collect();
    if !bare.is_empty() {
        return Err(bare);
    }
    let pods = records.pods().into_iter().map(|(at, record)| pod(target, at, &record, tcp_user_timeout)).collect();
    Ok((pods, SrvWatched::new(target.name.clone(), target.srv.clone(), resolver, records)))
}

fn pod(target: &SrvTargetOf, at: SocketAddr, record: &Record, tcp_user_timeout: Duration) -> Pod {
    let address = at.to_string();
    // The host's name is what a certificate would show; the address alone decides who is called.
    let authority = record.to_string().parse::<http::uri::Authority>().ok().map(|name| name.to_string());
    let endpoint = AdminEndpoint { address: address.clone(), tls: target.tls.clone(), authority, tcp_user_timeout };
    Pod { name: address.clone(), target: target.name.clone(), address, endpoint, identity: None }
}

fn not_found(target: &SrvTargetOf) -> Failure {
    Failure {
        target: target.name.clone(),
        pod: target.srv.clone(),
        reason: Reason::SrvNotFound,
        message: format!("there is no service record {}", target.srv),
        hint: "Kubernetes has one for each named port of a headless Service, while a pod of it is ready: \
               _PORT-NAME._tcp.SERVICE.NAMESPACE.svc.cluster.local. `kubectl get service -n NAMESPACE` shows the \
               Services; a chart's is called `<release>-headless` only where the release's name has the chart's in it."
            .to_owned(),
    }
}

fn unanswered(target: &SrvTargetOf, why: &str) -> Failure {
    let asked = match target.resolver {
        Some(server) => format!("the name server {server}"),
        None => "the system's resolver (/etc/resolv.conf)".to_owned(),
    };
    Failure {
        target: target.name.clone(),
        pod: target.srv.clone(),
        reason: Reason::SrvUnanswered,
        message: format!("{} cannot be looked up: {asked}: {why}", target.srv),
        hint:
            "Outside the cluster its names are not known: run there, or name a server that knows them with `resolver`."
                .to_owned(),
    }
}

fn no_address(target: &SrvTargetOf, record: &Record) -> Failure {
    Failure {
        target: target.name.clone(),
        pod: record.to_string(),
        reason: Reason::SrvWithoutAddress,
        message: format!("{} names {record}, which has no address", target.srv),
        hint: "A pod is coming or going, or the zone is wrong. Wait until it is there, and look again.".to_owned(),
    }
}
