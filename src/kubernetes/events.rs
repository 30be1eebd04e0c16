//! Events on what owns the pods, so that whoever looks at a Deployment sees that its pods were paused. Best effort, and
//! never sent while pods are paused.

use super::{Cluster, Clusters, PodIdentity};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, ResourceExt};
use std::time::Duration;

/// For all of it: nothing depends on it.
const PATIENCE: Duration = Duration::from_secs(5);
/// What the API server takes as a note.
const LONGEST: usize = 1024;

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// In one word, as `kubectl describe` shows it: `Paused`, `WindowVoid`, `RestorePointRecorded`.
    pub reason: &'static str,
    /// Whether somebody should look.
    pub warning: bool,
    /// In a sentence.
    pub note: String,
}

/// Tells it of the owners of these pods, one for each target. Whatever keeps it from being told is passed over.
pub async fn tell(pods: &[PodIdentity], told: &[Told]) {
    let clusters = Clusters::default();
    let telling = async {
        for pod in pods {
            let Ok(cluster) = clusters.get(&pod.cluster).await else { continue };
            let Some(owner) = owner(&cluster, pod).await else { continue };
            let api: Api<Event> = Api::namespaced(cluster.client.clone(), &pod.namespace);
            for one in told {
                if let Err(error) = api.create(&PostParams::default(), &event(pod, &owner, one)).await {
                    tracing::debug!("the event {} could not be sent: {error}", one.reason);
                }
            }
        }
    };
    let _ = tokio::time::timeout(PATIENCE, telling).await;
}

/// The Deployment, StatefulSet, or whatever else made the pod.
async fn owner(cluster: &Cluster, pod: &PodIdentity) -> Option<OwnerReference> {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), &pod.namespace);
    let made_by = controller(pods.get_metadata(&pod.name).await.ok()?.owner_references())?;
    if made_by.kind != "ReplicaSet" {
        return Some(made_by);
    }
    let sets: Api<ReplicaSet> = Api::namespaced(cluster.client.clone(), &pod.namespace);
    let set = sets.get_metadata(&made_by.name).await.ok();
    set.and_then(|set| controller(set.owner_references())).or(Some(made_by))
}

fn controller(owners: &[OwnerReference]) -> Option<OwnerReference> {
    owners.iter().find(|owner| owner.controller == Some(true)).cloned()
}

fn event(pod: &PodIdentity, owner: &OwnerReference, told: &Told) -> Event {
    let note = &told.note[..told.note.floor_char_boundary(LONGEST)];
    Event {
        metadata: ObjectMeta {
            generate_name: Some("stillpoint-".to_owned()),
            namespace: Some(pod.namespace.clone()),
            ..ObjectMeta::default()
        },
        regarding: Some(ObjectReference {
            api_version: Some(owner.api_version.clone()),
            kind: Some(owner.kind.clone()),
            name: Some(owner.name.clone()),
            namespace: Some(pod.namespace.clone()),
            uid: Some(owner.uid.clone()),
            ..ObjectReference::default()
        }),
        event_time: Some(MicroTime(Timestamp::now())),
        reason: Some(told.reason.to_owned()),
        action: Some("Pause".to_owned()),
        note: Some(note.to_owned()),
        reporting_controller: Some("stillpoint".to_owned()),
        reporting_instance: Some(rustix::system::uname().nodename().to_string_lossy().into_owned()),
        type_: Some(if told.warning { "Warning" } else { "Normal" }.to_owned()),
        ..Event::default()
    }
}
