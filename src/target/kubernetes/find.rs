//! From the pods of a namespace to those of its targets, and what is wrong with them: pure.

use super::facts::{APP, INSTANCE, PodFacts};
use crate::failure::{Exit, Failure};
use crate::settings::{KubernetesTarget, Product, nearest};
use std::collections::BTreeSet;

/// A target in one namespace.
#[derive(Clone, Copy, Debug)]
pub struct Sought<'a> {
    /// Its name in the settings.
    pub name: &'a str,
    /// What it asks for.
    pub target: &'a KubernetesTarget,
}

impl Sought<'_> {
    /// Whether the charts' labels put a pod into this target. A target with a selector of its own has none by labels.
    pub fn has(&self, pod: &PodFacts) -> bool {
        let product = |product: Product| pod.app() == product.label();
        self.target.selector.is_none()
            && pod.release() == self.target.release
            && self.target.product.map_or_else(|| Product::ALL.into_iter().any(product), product)
    }
}

/// Selects every pod that has a gate, of whatever release.
pub fn every_product() -> String {
    format!("{APP} in ({})", Product::ALL.map(Product::label).join(","))
}

/// Pods that could write and are in no target.
pub fn strangers<'a>(pods: &'a [PodFacts], taken: &BTreeSet<String>, ignore: &[String]) -> Vec<&'a PodFacts> {
    let stranger = |pod: &&PodFacts| {
        !pod.has_ended() && !taken.contains(&pod.uid) && !ignore.iter().any(|release| release == pod.release())
    };
    pods.iter().filter(stranger).collect()
}

/// The refusal that names strangers, if there are any.
pub fn strangers_refused(namespace: &str, strangers: &[&PodFacts]) -> Option<Failure> {
    if strangers.is_empty() {
        return None;
    }
    let releases: BTreeSet<&str> = strangers.iter().map(|pod| pod.release()).collect();
    let releases: Vec<&str> = releases.into_iter().collect();
    let named: Vec<String> =
        strangers.iter().map(|pod| format!("{} ({} of release {})", pod.name, pod.app(), pod.release())).collect();
    let message = format!("pods in namespace {namespace} could write too, and are in no target: {}", named.join(", "));
    let hint = format!(
        "Add a [[target]] for them, or, if they write to other databases, `ignore = [{}]` under [window].",
        releases.iter().map(|release| format!("\"{release}\"")).collect::<Vec<_>>().join(", ")
    );
    Some(Failure::new(Exit::Refused, "pods_in_no_target", message, hint))
}

/// What is wrong with one pod.
pub fn unfit(pod: &PodFacts) -> Option<Failure> {
    let named = format!("pod {}", pod.name);
    let refused = |name: &str, what: String, hint: &str| Some(Failure::new(Exit::Refused, name, what, hint));
    let look = format!("`kubectl describe pod {}` says why; wait until it is Running and Ready.", pod.name);
    if pod.deleting.is_some() {
        return refused(
            "pod_not_running",
            format!("{named} is being deleted"),
            "Wait until it is gone and another is Ready.",
        );
    }
    if pod.phase != "Running" || !pod.ready {
        return refused("pod_not_running", format!("{named} is {}", pod.status()), &look);
    }
    if pod.address.is_none() {
        return refused("pod_without_address", format!("{named} has no IP address"), &look);
    }
    None
}

/// Why a target has no pods. `known`: all pods with a gate in its namespace.
pub fn nobody(sought: &Sought<'_>, known: &[PodFacts], ended: &[&PodFacts]) -> Failure {
    let KubernetesTarget { namespace, release, product, selector, .. } = sought.target;
    if let Some(selector) = selector {
        let message = format!("no running pod in namespace {namespace} carries the labels {selector}");
        return Failure::new(
            Exit::Refused,
            "release_not_found",
            message,
            "`kubectl get pods --show-labels` shows what they carry.",
        );
    }
    if !ended.is_empty() {
        let names: Vec<&str> = ended.iter().map(|pod| pod.name.as_str()).collect();
        let message = format!(
            "release {release} in namespace {namespace} has no running pod, only ended ones: {}",
            names.join(", ")
        );
        return Failure::new(Exit::Refused, "release_without_pods", message, "Start it again, or remove the target.");
    }
    let others: BTreeSet<&str> = known.iter().filter(|pod| pod.release() == release).map(PodFacts::app).collect();
    if let (Some(product), false) = (product, others.is_empty()) {
        let others = others.into_iter().collect::<Vec<_>>().join(", ");
        let message =
            format!("release {release} in namespace {namespace} has no pods of {}, but of {others}", product.label());
        return Failure::new(
            Exit::Refused,
            "product_not_found",
            message,
            "Correct `product`, or leave it out to take all.",
        );
    }
    let releases: BTreeSet<&str> = known.iter().map(PodFacts::release).filter(|known| !known.is_empty()).collect();
    let message = format!("there are no pods of release {release} in namespace {namespace}");
    let near =
        nearest(release, releases.iter().copied()).map(|near| format!("Did you mean {near}? ")).unwrap_or_default();
    let there = releases.into_iter().collect::<Vec<_>>().join(", ");
    let hint = if there.is_empty() {
        format!(
            "No pod in namespace {namespace} carries {INSTANCE} and {APP} of ScalarDB or ScalarDL; `helm list -A` shows releases with their namespaces."
        )
    } else {
        format!("{near}Releases with pods there: {there}.")
    };
    Failure::new(Exit::Refused, "release_not_found", message, hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::ClusterReference;

    fn pod(name: &str, release: &str, app: &str) -> PodFacts {
        PodFacts {
            name: name.into(),
            uid: name.into(),
            labels: [(INSTANCE.to_owned(), release.to_owned()), (APP.to_owned(), app.to_owned())].into(),
            phase: "Running".into(),
            ready: true,
            address: Some("10.0.0.1".parse().unwrap()),
            ..PodFacts::default()
        }
    }

    fn target(release: &str) -> KubernetesTarget {
        KubernetesTarget {
            cluster: ClusterReference::default(),
            namespace: "n".into(),
            release: release.into(),
            product: None,
            admin_port: None,
            selector: None,
        }
    }

    #[test]
    fn a_target_takes_the_pods_of_its_release_that_have_a_gate() {
        let mut wanted = target("r");
        let has = |wanted: &KubernetesTarget, pod: &PodFacts| Sought { name: "t", target: wanted }.has(pod);
        assert!(has(&wanted, &pod("a", "r", "ledger")) && has(&wanted, &pod("b", "r", "auditor")));
        assert!(!has(&wanted, &pod("envoy", "r", "envoy")) && !has(&wanted, &pod("c", "other", "ledger")));
        wanted.product = Some(Product::Auditor);
        assert!(!has(&wanted, &pod("a", "r", "ledger")) && has(&wanted, &pod("b", "r", "auditor")));
    }

    #[test]
    fn pods_in_no_target_are_refused_unless_their_release_is_ignored_or_they_have_ended() {
        let ended = PodFacts { phase: "Succeeded".into(), ..pod("d", "s", "ledger") };
        let pods = [pod("a", "r", "ledger"), pod("b", "s", "ledger"), pod("c", "quiet", "scalardb"), ended];
        let taken = ["a".to_owned()].into();
        let found = strangers(&pods, &taken, &["quiet".to_owned()]);
        assert_eq!(found.iter().map(|pod| pod.name.as_str()).collect::<Vec<_>>(), ["b"]);
        let failure = strangers_refused("n", &found).unwrap();
        assert_eq!(failure.name, "pods_in_no_target");
        assert!(failure.hint.contains("ignore = [\"s\"]"), "{}", failure.hint);
        assert!(strangers_refused("n", &[]).is_none());
    }

    #[test]
    fn a_pod_takes_part_when_it_runs_is_ready_and_has_an_address() {
        let name = |pod: PodFacts| unfit(&pod).map(|failure| failure.name);
        assert_eq!(name(pod("a", "r", "ledger")), None);
        let unfit = |pod: PodFacts| name(pod).unwrap();
        assert_eq!(unfit(PodFacts { phase: "Pending".into(), ..pod("a", "r", "ledger") }), "pod_not_running");
        assert_eq!(unfit(PodFacts { ready: false, ..pod("a", "r", "ledger") }), "pod_not_running");
        assert_eq!(unfit(PodFacts { deleting: Some(String::new()), ..pod("a", "r", "ledger") }), "pod_not_running");
        assert_eq!(unfit(PodFacts { address: None, ..pod("a", "r", "ledger") }), "pod_without_address");
    }

    #[test]
    fn a_target_without_pods_is_told_what_is_there_instead() {
        let known = [pod("a", "scalardl-ledger", "ledger"), pod("b", "bank", "scalardb")];
        let said = |wanted: &KubernetesTarget, ended: &[&PodFacts]| {
            nobody(&Sought { name: "t", target: wanted }, &known, ended)
        };
        let failure = said(&target("scalardl-leger"), &[]);
        assert_eq!(failure.name, "release_not_found");
        assert_eq!(failure.hint, "Did you mean scalardl-ledger? Releases with pods there: bank, scalardl-ledger.");
        assert_eq!(said(&target("bank"), &[&known[0]]).name, "release_without_pods");
        let wrong = KubernetesTarget { product: Some(Product::Ledger), ..target("bank") };
        assert_eq!(said(&wrong, &[]).name, "product_not_found");
    }
}
