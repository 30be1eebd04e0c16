//! From the addresses in the settings to pods.

use super::{Failure, Reason};
use crate::admin::{AdminEndpoint, AdminError, AdminErrorKind, HostPort, TlsReference};
use crate::kubernetes::PodIdentity;
use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::{net::TcpStream, time::timeout};

/// Names looked up at the same time. Each takes a thread of the runtime's pool while the resolver thinks.
const LOOKUPS: usize = 32;

/// For trying one of the two addresses of a host that has both kinds: one without a way to it must not eat up the
/// seconds that a preflight may take.
const CHOOSING: Duration = Duration::from_secs(1);

/// A target given as addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressTarget {
    /// Its name in the settings.
    pub name: String,
    /// `host:port`, one a pod, an IPv6 address in brackets.
    pub addresses: Vec<String>,
    /// How to speak TLS to its pods; plain text when absent.
    pub tls: Option<TlsReference>,
}

/// What holds for all pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResolveOptions {
    /// For looking one name up.
    pub timeout: Duration,
    /// Goes into each pod's endpoint.
    pub tcp_user_timeout: Duration,
}

/// One pod of a target. Holds no secret: it goes into the open window note.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// The address as written.
    pub name: String,
    /// The target it belongs to.
    pub target: String,
    /// `ip:port` that is connected to.
    pub address: String,
    /// How to speak to it. Holds the IP address: a name that moved on must not lead an Unpause to another pod.
    pub endpoint: AdminEndpoint,
    /// Which pod it is, where Kubernetes knows.
    pub identity: Option<PodIdentity>,
}

/// Resolves every address of every target, in the order written. Errors with *all* that is wrong: what is no address,
/// names without an address or with several pods', pods named twice, no pod at all.
pub async fn resolve(targets: &[AddressTarget], options: &ResolveOptions) -> Result<Vec<Pod>, Vec<Failure>> {
    let (pods, mut failures) = resolve_each(targets, options).await;
    if pods.is_empty() && failures.is_empty() {
        failures.push(no_pods());
    }
    if failures.is_empty() { Ok(pods) } else { Err(failures) }
}

/// The same, with the pods that could be resolved beside what is wrong with the others.
pub async fn resolve_each(targets: &[AddressTarget], options: &ResolveOptions) -> (Vec<Pod>, Vec<Failure>) {
    let written = targets.iter().flat_map(|target| target.addresses.iter().map(move |address| (target, address)));
    // Collected first: a stream that makes its futures as it goes cannot be sent to another thread.
    let lookups: Vec<_> = written
        .map(|(target, written)| async move { (target, written, find(target, written, options.timeout).await) })
        .collect();
    let found: Vec<_> = stream::iter(lookups).buffered(LOOKUPS).collect().await;
    let mut known = HashMap::new();
    let (mut pods, mut failures) = (Vec::new(), Vec::new());
    for (target, written, found) in found {
        match found.and_then(|found| only_once(&mut known, target, written, found)) {
            Ok(at) => pods.push(pod(target, written, at, options.tcp_user_timeout)),
            Err(failure) => failures.push(failure),
        }
    }
    (pods, failures)
}

/// Nothing says which pods to pause.
pub(super) fn no_pods() -> Failure {
    Failure {
        target: String::new(),
        pod: String::new(),
        reason: Reason::NoPods,
        message: "no target names a pod".to_owned(),
        hint: "Add a [[target]] with `addresses = [\"host:port\"]`, one for each pod.".to_owned(),
    }
}

/// Where one pod is.
struct Found {
    /// All addresses of its host.
    candidates: Vec<SocketAddr>,
    /// The one to connect to.
    at: SocketAddr,
}

async fn find(target: &AddressTarget, written: &str, wait: Duration) -> Result<Found, Failure> {
    let candidates =
        candidates(written, wait).await.map_err(|error| Failure::of_admin(&target.name, written, error))?;
    let candidates = one_pod(target, written, candidates)?;
    let at = reachable(&candidates, wait.min(CHOOSING)).await;
    Ok(Found { candidates, at })
}

/// The socket addresses of one written address, each once, in the resolver's order. Not empty.
async fn candidates(written: &str, wait: Duration) -> Result<Vec<SocketAddr>, AdminError> {
    let HostPort { host, port } = written.parse()?;
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip.to_canonical(), port)]);
    }
    let unresolvable = |error: &dyn std::fmt::Display| {
        AdminError::new(
            AdminErrorKind::Unresolvable,
            format!("pod {written} has no address: {error}"),
            "Check the spelling and the resolver; an IP address needs no resolver.",
        )
    };
    let found = match timeout(wait, tokio::net::lookup_host((host.as_str(), port))).await {
        Ok(found) => found.map_err(|error| unresolvable(&error))?,
        Err(_) => return Err(unresolvable(&"the resolver did not answer in time")),
    };
    let mut distinct: Vec<SocketAddr> = Vec::new();
    for at in found.map(|at| SocketAddr::new(at.ip().to_canonical(), at.port())) {
        if !distinct.contains(&at) {
            distinct.push(at);
        }
    }
    if distinct.is_empty() { Err(unresolvable(&io::Error::from(io::ErrorKind::NotFound))) } else { Ok(distinct) }
}

/// One IPv4 and one IPv6 address of a name are one host with both; two of a kind are two pods.
pub(super) fn one_pod(
    target: &AddressTarget,
    written: &str,
    candidates: Vec<SocketAddr>,
) -> Result<Vec<SocketAddr>, Failure> {
    let v4 = candidates.iter().filter(|at| at.is_ipv4()).count();
    if v4 <= 1 && candidates.len() - v4 <= 1 {
        return Ok(candidates);
    }
    let list = candidates.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Err(Failure {
        target: target.name.clone(),
        pod: written.to_owned(),
        reason: Reason::SeveralPods,
        message: format!("`{written}` of target `{}` is the name of several pods: {list}", target.name),
        hint: format!("One address is one pod: write each of them in `addresses` of target `{}`.", target.name),
    })
}

fn only_once<'a>(
    known: &mut HashMap<SocketAddr, (&'a AddressTarget, &'a str)>,
    target: &'a AddressTarget,
    written: &'a str,
    found: Found,
) -> Result<SocketAddr, Failure> {
    if let Some((at, (other, earlier))) = found.candidates.iter().find_map(|at| Some((at, known.get(at)?))) {
        return Err(Failure {
            target: target.name.clone(),
            pod: written.to_owned(),
            reason: Reason::Duplicate,
            message: format!(
                "`{written}` of target `{}` is the same pod ({at}) as `{earlier}` of target `{}`",
                target.name, other.name
            ),
            hint: "Name each pod once, in one target.".to_owned(),
        });
    }
    known.extend(found.candidates.into_iter().map(|at| (at, (target, written))));
    Ok(found.at)
}

/// The first that takes a connection; where none does, the first, whose failure the preflight will tell.
async fn reachable(candidates: &[SocketAddr], wait: Duration) -> SocketAddr {
    let (first, others) = match candidates {
        [first, others @ ..] => (*first, others),
        // `candidates` says that it is never empty; an address that connects nowhere is told by the preflight.
        [] => return SocketAddr::from(([0, 0, 0, 0], 0)),
    };
    if others.is_empty() {
        return first;
    }
    for at in candidates {
        if let Ok(Ok(_)) = timeout(wait, TcpStream::connect(at)).await {
            return *at;
        }
    }
    first
}

fn pod(target: &AddressTarget, written: &str, at: SocketAddr, tcp_user_timeout: Duration) -> Pod {
    let address = at.to_string();
    // A name stays what the certificate must show, and what the call says.
    let is_name = written.parse::<SocketAddr>().is_err();
    let authority = is_name.then(|| written.to_owned());
    let endpoint = AdminEndpoint { address: address.clone(), tls: target.tls.clone(), authority, tcp_user_timeout };
    Pod { name: written.to_owned(), target: target.name.clone(), address, endpoint, identity: None }
}
