//! What this user or service account may do, asked of the API server itself (SelfSubjectAccessReview).

use super::{Cluster, Clusters};
use crate::failure::{Exit, Failure};
use crate::settings::{ClusterReference, PodSource, Settings};
use futures::future::join_all;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::Api;
use kube::api::PostParams;
use std::collections::BTreeSet;
use std::time::Duration;

/// For one answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// One verb on one kind of object in a target's namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Right {
    /// The API group; empty: the core's.
    pub group: &'static str,
    /// The kind, in plural.
    pub resource: &'static str,
    /// What is done to it.
    pub verb: &'static str,
    /// What for.
    pub why: &'static str,
    /// Without it there is no window; otherwise `check` sees less.
    pub needed: bool,
}

const fn needed(group: &'static str, resource: &'static str, verb: &'static str, why: &'static str) -> Right {
    Right { group, resource, verb, why, needed: true }
}

const fn useful(group: &'static str, resource: &'static str, verb: &'static str, why: &'static str) -> Right {
    Right { group, resource, verb, why, needed: false }
}

/// Everything that is asked of an API server, and nothing else; deploy/kubernetes/role.yaml gives exactly this.
pub const RIGHTS: [Right; 15] = [
    needed("", "pods", "get", "to know whether a pod that does not answer is gone for good"),
    needed("", "pods", "list", "to find the release's pods"),
    needed("", "pods", "watch", "to see what becomes of them while they are paused"),
    needed("", "services", "list", "to find the admin port on the headless Service"),
    needed("apps", "deployments", "get", "to see that no rollout is under way"),
    needed("apps", "replicasets", "get", "to find a pod's Deployment"),
    needed("apps", "statefulsets", "get", "to see that no rollout is under way"),
    needed("discovery.k8s.io", "endpointslices", "list", "to compare the pods with what the Service leads to"),
    needed("coordination.k8s.io", "leases", "get", "to meet other runs on the release"),
    needed("coordination.k8s.io", "leases", "create", "to hold the release's Lease"),
    needed("coordination.k8s.io", "leases", "update", "to hold the release's Lease, and the note in it"),
    useful("events.k8s.io", "events", "create", "to tell the pods' owner what was done"),
    useful("batch", "cronjobs", "list", "to see who else pauses on a schedule"),
    useful("batch", "jobs", "list", "to see who else pauses"),
    useful("autoscaling", "horizontalpodautoscalers", "list", "to see what adds pods by itself"),
];

impl Right {
    /// The line that gives it.
    pub fn line(&self) -> String {
        format!("{{ apiGroups: [\"{}\"], resources: [\"{}\"], verbs: [\"{}\"] }}", self.group, self.resource, self.verb)
    }

    fn missing(&self, cluster: &Cluster, namespace: &str) -> Failure {
        let message = format!(
            "no right to {} {} in namespace {namespace} at {}, needed {}",
            self.verb, self.resource, cluster.server, self.why
        );
        let hint = format!("Add to the rules of the Role in namespace {namespace}: {}", self.line());
        Failure::new(Exit::Refused, "right_missing", message, hint)
    }
}

/// Rights that are lacking: those that are needed as failures, the others as warnings. A server that does not say is
/// no news here: whoever asks it for pods tells.
#[derive(Debug, Default)]
pub struct Lacking {
    /// Each right that is needed.
    pub failures: Vec<Failure>,
    /// What `check` could not look at.
    pub warnings: Vec<String>,
}

/// The namespaces of the settings' Kubernetes targets, each once.
pub fn namespaces(settings: &Settings) -> BTreeSet<(&ClusterReference, &str)> {
    let releases = settings.targets.iter().filter_map(|target| match &target.pods {
        PodSource::Kubernetes(release) => Some((&release.cluster, release.namespace.as_str())),
        _ => None,
    });
    releases.collect()
}

/// Asks for every right in every target's namespace. Changes nothing.
pub async fn lacking(settings: &Settings) -> Lacking {
    let clusters = Clusters::default();
    let mut lacking = Lacking::default();
    for (reference, namespace) in namespaces(settings) {
        let Ok(cluster) = clusters.get(reference).await else { continue };
        let answers = join_all(RIGHTS.iter().map(|right| is_denied(&cluster, namespace, right))).await;
        for (right, _) in RIGHTS.iter().zip(answers).filter(|(_, denied)| *denied) {
            let failure = right.missing(&cluster, namespace);
            match right.needed {
                true => lacking.failures.push(failure),
                false => lacking.warnings.push(format!("{}. {}", failure.message, failure.hint)),
            }
        }
    }
    lacking
}

/// True only when the server says so.
async fn is_denied(cluster: &Cluster, namespace: &str, right: &Right) -> bool {
    let attributes = ResourceAttributes {
        namespace: Some(namespace.to_owned()),
        group: Some(right.group.to_owned()),
        resource: Some(right.resource.to_owned()),
        verb: Some(right.verb.to_owned()),
        ..ResourceAttributes::default()
    };
    let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
    let review = SelfSubjectAccessReview { spec, ..Default::default() };
    let (api, how) = (Api::<SelfSubjectAccessReview>::all(cluster.client.clone()), PostParams::default());
    let asked = tokio::time::timeout(PATIENCE, api.create(&how, &review)).await;
    matches!(asked, Ok(Ok(answer)) if answer.status.as_ref().is_some_and(|status| !status.allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_s_line_can_be_laid_into_a_role() {
        let line = RIGHTS.iter().find(|right| right.verb == "watch").map(Right::line);
        assert_eq!(line.as_deref(), Some("{ apiGroups: [\"\"], resources: [\"pods\"], verbs: [\"watch\"] }"));
    }
}
