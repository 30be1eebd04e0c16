//! The one place that builds targets from settings: resolves, connects and looks at every pod.

use super::kubernetes::{self, Care};
use super::resolve::no_pods;
use super::srv::{self, SrvTargetOf};
use super::{AddressTarget, Pod, PreflightOptions, ReadyPod, Reason, ResolveOptions, Watched, preflight, resolve_each};
use crate::admin::TlsReference;
use crate::failure::{Exit, Failure};
use crate::point;
use crate::settings::{PodSource, Settings, SrvTarget, TargetSettings};
use futures::future::join_all;
use std::sync::Arc;
use std::time::Duration;

/// For resolving a name, for connecting to a pod, and again for its answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pods looked at at the same time.
const CONCURRENCY: usize = 256;

/// Every pod of every target.
#[derive(Debug, Default)]
pub struct Prepared {
    /// Connected, with open gates.
    pub ready: Vec<ReadyPod>,
    /// Every pod whose gate could be read.
    pub pods: Vec<point::Pod>,
    /// Ways to see what becomes of them.
    pub watched: Vec<Arc<dyn Watched>>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// Pods that cannot take part, each with the reason.
    pub failures: Vec<Failure>,
}

/// Looks at every pod of the settings' targets. Changes nothing.
pub async fn prepare(settings: &Settings) -> Prepared {
    let window = &settings.window;
    let Found { pods, mut warnings, failures, watched } = find(settings, Care::Proof).await;
    let options = PreflightOptions { timeout: PATIENCE, concurrency: CONCURRENCY, require_proof: window.require_proof };
    let found = preflight(pods, &options).await;
    let unproven: Vec<&str> = found.ready.iter().filter(|p| !p.has_check).map(|p| p.pod.name.as_str()).collect();
    if !unproven.is_empty() {
        warnings.push(format!(
            "require_proof = false: that these pods stayed paused is not proven, for they have no CheckPaused: {}",
            unproven.join(", ")
        ));
    }
    let failures = failures.into_iter().chain(found.failures.into_iter().map(refused)).collect();
    Prepared { ready: found.ready, pods: found.pods, watched, warnings, failures }
}

/// Every pod of the settings' targets, without asking any of them.
pub async fn resolve_settings(settings: &Settings) -> Result<Vec<Pod>, Vec<Failure>> {
    let Found { pods, failures, .. } = find(settings, Care::Addresses).await;
    if failures.is_empty() { Ok(pods) } else { Err(failures) }
}

/// The pods of every target, however they are found.
struct Found {
    pods: Vec<Pod>,
    warnings: Vec<String>,
    failures: Vec<Failure>,
    watched: Vec<Arc<dyn Watched>>,
}

async fn find(settings: &Settings, care: Care) -> Found {
    let options = ResolveOptions { timeout: PATIENCE, tcp_user_timeout: settings.window.tcp_user_timeout };
    let by_address = settings.targets.iter().filter(|target| matches!(target.pods, PodSource::Addresses(_)));
    let by_address: Vec<AddressTarget> = by_address.map(address_target).collect();
    let tls = |name: &str| settings.targets.iter().find(|target| target.name == name).and_then(tls_reference);
    let by_srv: Vec<SrvTargetOf> = settings.targets.iter().filter_map(srv_target).collect();
    let listed = join_all(by_srv.iter().map(|target| srv::find(target, PATIENCE, options.tcp_user_timeout)));
    let (resolved, looked, listed) =
        tokio::join!(resolve_each(&by_address, &options), kubernetes::look(settings, tls, care), listed);
    let (mut pods, unresolved) = resolved;
    let mut failures: Vec<Failure> = unresolved.into_iter().map(refused).chain(looked.failures).collect();
    let (mut others, mut watched) = (looked.pods, looked.watched);
    for one in listed {
        match one {
            Ok((pods, seen)) => {
                others.extend(pods);
                watched.push(Arc::new(seen));
            }
            Err(unlisted) => failures.extend(unlisted.into_iter().map(refused)),
        }
    }
    for pod in others {
        match pods.iter().find(|other| other.address == pod.address) {
            Some(other) => failures.push(same_pod(&pod, other)),
            None => pods.push(pod),
        }
    }
    if pods.is_empty() && failures.is_empty() {
        failures.push(refused(no_pods()));
    }
    Found { pods, warnings: looked.warnings, failures, watched }
}

fn same_pod(pod: &Pod, other: &Pod) -> Failure {
    let message = format!(
        "target `{}`: pod {} at {} is {} of target `{}`",
        pod.target, pod.name, pod.address, other.name, other.target
    );
    Failure::new(Exit::Refused, Reason::Duplicate.name(), message, "Name each pod once, in one target.")
}

fn address_target(target: &TargetSettings) -> AddressTarget {
    let (addresses, tls) = (target.addresses().to_vec(), tls_reference(target));
    AddressTarget { name: target.name.clone(), addresses, tls }
}

fn srv_target(target: &TargetSettings) -> Option<SrvTargetOf> {
    let PodSource::Srv(SrvTarget { name, resolver }) = &target.pods else { return None };
    Some(SrvTargetOf { name: target.name.clone(), srv: name.clone(), resolver: *resolver, tls: tls_reference(target) })
}

fn tls_reference(target: &TargetSettings) -> Option<TlsReference> {
    target.tls.as_ref().map(|tls| TlsReference {
        ca_file: tls.ca_file.clone(),
        ca_pem: tls.ca_pem.clone(),
        cert_file: tls.cert_file.clone(),
        key_file: tls.key_file.clone(),
        authority: tls.authority.clone(),
    })
}

fn refused(failure: super::Failure) -> Failure {
    let super::Failure { target, pod, reason, message, hint } = failure;
    // Connections know addresses only; a pod may have a name besides.
    let whose = if message.contains(&pod) { String::new() } else { format!("pod {pod}: ") };
    Failure::new(Exit::Refused, reason.name(), format!("target `{target}`: {whose}{message}"), hint)
}
