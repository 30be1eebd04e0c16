//! The one place that builds targets from settings: resolves, connects and looks at every pod.

use super::{AddressTarget, Pod, PreflightOptions, ReadyPod, ResolveOptions, preflight, resolve, resolve_each};
use crate::admin::TlsReference;
use crate::failure::{Exit, Failure};
use crate::point;
use crate::settings::{Settings, TargetSettings};
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
    /// What a person should know.
    pub warnings: Vec<String>,
    /// Pods that cannot take part, each with the reason.
    pub failures: Vec<Failure>,
}

/// Looks at every pod of the settings' targets. Changes nothing.
pub async fn prepare(settings: &Settings) -> Prepared {
    let window = &settings.window;
    let (targets, resolving) = to_resolve(settings);
    let (pods, unresolved) = resolve_each(&targets, &resolving).await;
    let options = PreflightOptions { timeout: PATIENCE, concurrency: CONCURRENCY, require_proof: window.require_proof };
    let found = preflight(pods, &options).await;
    let unproven: Vec<&str> = found.ready.iter().filter(|p| !p.has_check).map(|p| p.pod.name.as_str()).collect();
    let mut warnings = Vec::new();
    if !unproven.is_empty() {
        warnings.push(format!(
            "require_proof = false: that these pods stayed paused is not proven, for they have no CheckPaused: {}",
            unproven.join(", ")
        ));
    }
    let failures = unresolved.into_iter().chain(found.failures).map(refused).collect();
    Prepared { ready: found.ready, pods: found.pods, warnings, failures }
}

/// Every pod of the settings' targets, without asking any of them.
pub async fn resolve_settings(settings: &Settings) -> Result<Vec<Pod>, Vec<Failure>> {
    let (targets, options) = to_resolve(settings);
    resolve(&targets, &options).await.map_err(|failures| failures.into_iter().map(refused).collect())
}

fn to_resolve(settings: &Settings) -> (Vec<AddressTarget>, ResolveOptions) {
    let options = ResolveOptions { timeout: PATIENCE, tcp_user_timeout: settings.window.tcp_user_timeout };
    (settings.targets.iter().map(address_target).collect(), options)
}

fn address_target(target: &TargetSettings) -> AddressTarget {
    let tls = target.tls.as_ref().map(|tls| TlsReference {
        ca_file: tls.ca_file.clone(),
        ca_pem: tls.ca_pem.clone(),
        cert_file: tls.cert_file.clone(),
        key_file: tls.key_file.clone(),
        authority: tls.authority.clone(),
    });
    AddressTarget { name: target.name.clone(), addresses: target.addresses.clone(), tls }
}

fn refused(failure: super::Failure) -> Failure {
    Failure::new(
        Exit::Refused,
        failure.reason.name(),
        format!("target `{}`: {}", failure.target, failure.message),
        failure.hint,
    )
}
