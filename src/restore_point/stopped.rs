//! Whether the pods of the targets are stopped: nothing may write to a table that is being replaced.
//!
//! That nobody answers says something only where the right place was asked. An address is what it is; a name can be misspelt,
//! or asked of a name server that does not know it, and then nobody answers either. So a name behind which nothing is found
//! counts as stopped only if it is known for a real one: the API server shows the release without pods, or the point's own
//! record has the same target, whose pods were found behind that name when the point was made.

use crate::catalog::{Loaded, OpenedTarget, PointEvent};
use crate::failure::{Exit, Failure};
use crate::restore_point::preflight::FRESH;
use crate::restore_point::record;
use crate::settings::{PodSource, Settings, TargetSettings};
use crate::target;
use futures::future::join_all;
use provider_api::{ErrorKind, Fence, Mono, ProviderError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Mutex;

/// Of an address: a host that is up says that nobody listens there. Every other answer is an answer: also a refused certificate
/// comes from a process that runs.
const REFUSED: &str = "pod_refused_connection";

/// Of an address: nothing came back in time. The pod may be gone with its address, or only be out of reach from here.
const SILENT: &str = "pod_unreachable";

/// The API server knows the release, and no pod of it or only pods that have ended.
const WITHOUT_PODS: &str = "release_without_pods";

/// The names of failures that say that nothing is found behind a name. A Service without pods has no SRV records, and a pod of a
/// StatefulSet no name.
const NAMELESS: [&str; 2] = ["srv_not_found", "pod_unresolvable"];

/// The names of failures that say nothing of pods: whoever was asked does not know them, or could not be asked.
const UNKNOWN: [&str; 15] = [
    "no_pods",
    "srv_unanswered",
    "srv_without_address",
    "release_not_found",
    "product_not_found",
    "namespace_not_found",
    "no_headless_service",
    "admin_port_not_found",
    "kubeconfig_missing",
    "kubeconfig_invalid",
    "kubernetes_unreachable",
    "kubernetes_unauthorized",
    "kubernetes_forbidden",
    "kubernetes_unsupported",
    "kubernetes_error",
];

const RUNNING_HINT: &str = "Stop every pod that writes to these tables (scale to 0) and run it again. If what answers there is none \
                            of them, add --pods-are-stopped.";

const UNKNOWN_HINT: &str = "Correct the name or address in the target, or run it where that is known. If no pod runs that writes to \
                            these tables, add --pods-are-stopped.";

/// For a pod of the record to take a connection.
const PATIENCE: Duration = Duration::from_secs(2);

/// The targets as the point's window had them.
#[derive(Clone, Debug, Default)]
pub struct Recorded(Vec<OpenedTarget>);

impl Recorded {
    /// As the point's log has them.
    pub fn of(loaded: &Loaded) -> Self {
        let opened = loaded.events().find_map(|event| match event {
            PointEvent::Opened { targets, .. } => Some(targets.clone()),
            _ => None,
        });
        Recorded(opened.unwrap_or_default())
    }

    fn target(&self, name: &str) -> Option<&OpenedTarget> {
        self.0.iter().find(|target| target.name == name)
    }

    /// Whether the window of the point found pods behind the very names of this target.
    fn knows(&self, target: &TargetSettings) -> bool {
        let Some(recorded) = self.target(&target.name) else { return false };
        match &target.pods {
            PodSource::Addresses(written) => {
                written.iter().all(|address| recorded.pods.iter().any(|pod| pod.name == *address))
            }
            PodSource::Srv(_) | PodSource::Kubernetes(_) => {
                recorded.source.is_some() && recorded.source == record::source(target) && !recorded.pods.is_empty()
            }
        }
    }
}

/// What a look at the targets says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    /// Each says that somebody is there.
    running: Vec<String>,
    /// Each says that it cannot be told.
    unknown: Vec<String>,
    /// Targets whose names lead nowhere any more, and are real ones.
    gone: Vec<String>,
}

/// Asks every pod of the targets. Whoever answers, in whatever way, runs (`pods_running`, all are named); whoever cannot be found
/// may run (`pods_unknown`). None: all are stopped.
pub async fn look(settings: &Settings, recorded: &Recorded) -> Vec<Failure> {
    let found = target::prepare(settings).await;
    let mut running: Vec<String> = found.ready.iter().map(|ready| ready.pod.name.clone()).collect();
    running.extend(found.pods.iter().map(|pod| pod.name.clone()));
    running.sort();
    running.dedup();
    let mut said = judge(&running, &found.failures, &settings.targets, recorded);
    said.running.extend(at_their_old_addresses(&said.gone, recorded).await);
    let mut failures = Vec::new();
    if !said.running.is_empty() {
        failures.push(pods_running(&format!("pods run: {}", said.running.join("; "))));
    }
    if !said.unknown.is_empty() {
        let message = format!("whether pods run cannot be told: {}", said.unknown.join("; "));
        failures.push(pods_unknown(&message));
    }
    failures
}

fn judge(running: &[String], failures: &[Failure], targets: &[TargetSettings], recorded: &Recorded) -> Said {
    let mut said =
        Said { running: running.iter().map(|name| format!("pod {name} answers")).collect(), ..Said::default() };
    for failure in failures {
        let name = failure.name.as_str();
        let target = targets.iter().find(|target| failure.message.starts_with(&format!("target `{}`: ", target.name)));
        // Our own want of open files says nothing of the pod.
        if failure.hint.contains("limit of open files") {
            said.unknown.push(failure.message.clone());
        } else if NAMELESS.contains(&name) {
            match target.filter(|target| recorded.knows(target)) {
                Some(target) if !said.gone.contains(&target.name) => said.gone.push(target.name.clone()),
                Some(_) => {}
                None => {
                    let why = "the point was made with no target of this name and these pods";
                    said.unknown.push(format!("{}; {why}", failure.message));
                }
            }
        } else if UNKNOWN.contains(&name) {
            said.unknown.push(failure.message.clone());
        } else if [REFUSED, SILENT].contains(&name) && target.is_some_and(is_listed) {
            // It has not ended for Kubernetes, whatever can be reached from here.
            said.running.push(format!("{}; Kubernetes lists it still", failure.message));
        } else if name == SILENT {
            said.unknown.push(failure.message.clone());
        } else if ![REFUSED, WITHOUT_PODS].contains(&name)
            && !running.iter().any(|pod| failure.message.contains(pod.as_str()))
        {
            said.running.push(failure.message.clone());
        }
    }
    said
}

/// Whether the API server says which pods the target has.
fn is_listed(target: &TargetSettings) -> bool {
    matches!(target.pods, PodSource::Kubernetes(_))
}

/// A name that leads nowhere from here may still lead somewhere from elsewhere: the pods that the point recorded are asked too.
async fn at_their_old_addresses(targets: &[String], recorded: &Recorded) -> Vec<String> {
    let pods = targets.iter().filter_map(|name| recorded.target(name)).flat_map(|target| &target.pods);
    let asked = join_all(pods.map(|pod| async move {
        let connected = tokio::time::timeout(PATIENCE, TcpStream::connect(pod.address.as_str())).await;
        matches!(connected, Ok(Ok(_))).then(|| {
            let whose = if pod.name == pod.address { String::new() } else { format!(" of {}", pod.name) };
            format!("target `{}`: the recorded address {}{whose} takes connections", pod.target, pod.address)
        })
    }));
    asked.await.into_iter().flatten().collect()
}

fn pods_running(message: &str) -> Failure {
    Failure::new(Exit::Refused, "pods_running", message, RUNNING_HINT)
}

fn pods_unknown(message: &str) -> Failure {
    Failure::new(Exit::Refused, "pods_unknown", message, UNKNOWN_HINT)
}

/// The failure behind an error of [`PodsAbsent`].
pub fn told(error: &ProviderError) -> Option<Failure> {
    match error.hint.as_str() {
        RUNNING_HINT => Some(pods_running(&error.message)),
        UNKNOWN_HINT => Some(pods_unknown(&error.message)),
        _ => None,
    }
}

/// Asked again right before each table is deleted. What was found holds for as long as before a window.
#[derive(Debug)]
pub struct PodsAbsent {
    settings: Settings,
    recorded: Recorded,
    looked: Mutex<Option<Mono>>,
}

impl PodsAbsent {
    /// Of the targets of these settings.
    pub fn new(settings: Settings, recorded: Recorded) -> Self {
        PodsAbsent { settings, recorded, looked: Mutex::new(None) }
    }
}

#[async_trait::async_trait]
impl Fence for PodsAbsent {
    async fn pass(&self) -> Result<(), ProviderError> {
        let mut looked = self.looked.lock().await;
        if looked.is_some_and(|at| Mono::now().since(at) < FRESH) {
            return Ok(());
        }
        if let Some(first) = look(&self.settings, &self.recorded).await.into_iter().next() {
            *looked = None;
            return Err(ProviderError::new(ErrorKind::WrongState, first.message, first.hint));
        }
        *looked = Some(Mono::now());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::point::{Pod, PodState};
    use crate::settings::{ClusterReference, KubernetesTarget, SrvTarget};

    const SRV: &str = "_scalardb._tcp.db-headless.ns.svc.cluster.local";

    fn srv(name: &str, resolver: Option<&str>) -> TargetSettings {
        let resolver = resolver.map(|at| at.parse().unwrap());
        TargetSettings { name: "db".into(), pods: PodSource::Srv(SrvTarget { name: name.into(), resolver }), tls: None }
    }

    fn release() -> TargetSettings {
        let pods = KubernetesTarget {
            cluster: ClusterReference::default(),
            namespace: "ns".into(),
            release: "db".into(),
            product: None,
            admin_port: None,
            selector: None,
        };
        TargetSettings { name: "db".into(), pods: PodSource::Kubernetes(pods), tls: None }
    }

    fn addresses(written: &[&str]) -> TargetSettings {
        let written = written.iter().map(|at| (*at).to_owned()).collect();
        TargetSettings { name: "db".into(), pods: PodSource::Addresses(written), tls: None }
    }

    /// The record of a window over this target, which had these pods.
    fn window(target: &TargetSettings, pods: &[&str]) -> Recorded {
        let pod = |name: &&str| Pod {
            name: (*name).into(),
            target: target.name.clone(),
            address: "127.0.0.1:1".into(),
            state: PodState::Open,
        };
        Recorded(vec![OpenedTarget {
            name: target.name.clone(),
            pods: pods.iter().map(pod).collect(),
            source: record::source(target),
        }])
    }

    fn failure(name: &str, message: &str) -> Failure {
        Failure::new(Exit::Refused, name, format!("target `db`: {message}"), "do something")
    }

    fn judged(target: &TargetSettings, recorded: &Recorded, name: &str) -> Said {
        judge(&[], &[failure(name, "nothing is found")], std::slice::from_ref(target), recorded)
    }

    #[test]
    fn a_service_name_without_records_is_stopped_only_if_the_point_was_made_with_it() {
        let target = srv(SRV, None);
        let known = window(&target, &["10.0.0.1:60053"]);
        let said = judged(&target, &known, "srv_not_found");
        assert_eq!(said, Said { gone: vec!["db".into()], ..Said::default() });
        let misspelt = srv("_scalardb._tcp.bd-headless.ns.svc.cluster.local", None);
        let elsewhere = srv(SRV, Some("10.96.0.10:53"));
        let mut renamed = target.clone();
        renamed.name = "other".into();
        let mut earlier = known.clone();
        earlier.0[0].source = None;
        for (now, record) in
            [(&misspelt, &known), (&elsewhere, &known), (&target, &Recorded::default()), (&target, &earlier)]
        {
            let said = judged(now, record, "srv_not_found");
            assert!(said.unknown.len() == 1 && said.gone.is_empty() && said.running.is_empty(), "{now:?}: {said:?}");
        }
        let said =
            judge(&[], &[Failure::new(Exit::Refused, "srv_not_found", "target `other`: no", "")], &[renamed], &known);
        assert_eq!(said.unknown.len(), 1);
    }

    #[test]
    fn a_host_that_has_no_address_is_stopped_only_if_the_point_was_made_with_it() {
        let target = addresses(&["db-0.db:60053", "db-1.db:60053"]);
        let known = window(&target, &["db-0.db:60053", "db-1.db:60053"]);
        assert_eq!(judged(&target, &known, "pod_unresolvable").gone, ["db"]);
        let misspelt = addresses(&["db-0.db:60053", "bd-1.db:60053"]);
        assert_eq!(judged(&misspelt, &known, "pod_unresolvable").unknown.len(), 1);
    }

    #[test]
    fn nobody_at_an_address_and_a_release_that_is_known_to_be_empty_are_stopped() {
        let target = addresses(&["10.0.0.1:60053"]);
        for name in [REFUSED, WITHOUT_PODS] {
            assert_eq!(judged(&target, &Recorded::default(), name), Said::default(), "{name}");
        }
    }

    #[test]
    fn silence_of_an_address_is_no_proof_that_its_pod_is_stopped() {
        let target = addresses(&["10.0.0.1:60053"]);
        let said = judged(&target, &window(&target, &["10.0.0.1:60053"]), SILENT);
        assert!(said.unknown.len() == 1 && said.running.is_empty(), "{said:?}");
    }

    #[test]
    fn a_pod_that_kubernetes_lists_runs_whether_or_not_it_can_be_reached() {
        let target = release();
        for name in [REFUSED, SILENT] {
            let said = judged(&target, &Recorded::default(), name);
            assert!(
                said.running.len() == 1 && said.running[0].contains("Kubernetes lists it still"),
                "{name}: {said:?}"
            );
        }
        assert_eq!(judged(&target, &Recorded::default(), WITHOUT_PODS), Said::default());
    }

    #[test]
    fn what_could_not_be_asked_is_unknown_and_every_other_answer_is_one() {
        let target = addresses(&["10.0.0.1:60053"]);
        let known = window(&target, &["10.0.0.1:60053"]);
        for name in ["release_not_found", "namespace_not_found", "srv_unanswered", "kubernetes_unreachable", "no_pods"]
        {
            let said = judged(&target, &known, name);
            assert!(said.unknown.len() == 1 && said.running.is_empty(), "{name}: {said:?}");
        }
        for name in ["pod_already_paused", "pod_tls", "pods_in_no_target", "rollout_under_way", "pod_not_running"] {
            let said = judged(&target, &known, name);
            assert!(said.running.len() == 1 && said.unknown.is_empty(), "{name}: {said:?}");
        }
        let mut full = failure("pod_unreachable", "10.0.0.1:60053");
        full.hint = "raise the limit of open files".into();
        assert_eq!(judge(&[], &[full], &[target], &known).unknown.len(), 1);
    }

    #[tokio::test]
    async fn a_pod_that_still_takes_connections_at_its_recorded_address_runs() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = srv(SRV, None);
        let mut known = window(&target, &["db-0"]);
        known.0[0].pods[0].address = listener.local_addr().unwrap().to_string();
        let said = at_their_old_addresses(&["db".to_owned()], &known).await;
        assert!(said.len() == 1 && said[0].contains("of db-0 takes connections"), "{said:?}");
        assert!(at_their_old_addresses(&[], &known).await.is_empty());
        drop(listener);
        assert!(at_their_old_addresses(&["db".to_owned()], &known).await.is_empty());
    }
}
