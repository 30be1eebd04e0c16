//! Who else pauses these pods, or adds to them by itself: seen beside the targets, and warned of.

use super::rights::namespaces;
use super::{Cluster, Clusters};
use crate::settings::Settings;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// For one answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bare pods that were started by `kubectl run`: it labels them so.
const BY_HAND: &str = "run";

/// What a person should know of each target's namespace. What may not be looked at is passed over: the missing right is
/// told elsewhere. Changes nothing.
pub async fn warnings(settings: &Settings) -> Vec<String> {
    let clusters = Clusters::default();
    let mut warnings = Vec::new();
    for (reference, namespace) in namespaces(settings) {
        let Ok(cluster) = clusters.get(reference).await else { continue };
        let (cronjobs, jobs, pods, scalers) = tokio::join!(
            list::<CronJob>(&cluster, namespace, None),
            list::<Job>(&cluster, namespace, None),
            list::<Pod>(&cluster, namespace, Some(BY_HAND)),
            list::<HorizontalPodAutoscaler>(&cluster, namespace, None),
        );
        warnings.extend(cronjobs.iter().filter_map(|one| cronjob(namespace, one)));
        warnings.extend(jobs.iter().filter_map(|one| job(namespace, one)));
        warnings.extend(pods.iter().filter_map(|one| pod(namespace, one)));
        warnings.extend(scalers.iter().map(|one| scaler(namespace, one)));
    }
    warnings
}

async fn list<K>(cluster: &Cluster, namespace: &str, selector: Option<&str>) -> Vec<K>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(cluster.client.clone(), namespace);
    let params = selector.map_or_else(ListParams::default, |selector| ListParams::default().labels(selector));
    match tokio::time::timeout(PATIENCE, api.list(&params)).await {
        Ok(Ok(listed)) => listed.items,
        _ => Vec::new(),
    }
}

/// The image by which one of the vendor's tools is known. A registry of one's own may hold it under another path.
fn pausing_image(spec: Option<&PodSpec>) -> Option<&str> {
    let images = spec?.containers.iter().filter_map(|container| container.image.as_deref());
    images.into_iter().find(|image| {
        let name = image.rsplit('/').next().unwrap_or_default();
        let name = name.split(['@', ':']).next().unwrap_or_default();
        matches!(name, "scalar-admin" | "scalar-admin-for-kubernetes")
    })
}

fn cronjob(namespace: &str, one: &CronJob) -> Option<String> {
    let spec = &one.spec;
    let image = pausing_image(spec.job_template.spec.as_ref()?.template.spec.as_ref())?;
    let zone = spec.time_zone.as_deref().map(|zone| format!(" {zone}")).unwrap_or_default();
    let rests = if spec.suspend == Some(true) { ", suspended" } else { "" };
    let (name, schedule) = (one.name_any(), &spec.schedule);
    Some(format!(
        "CronJob {namespace}/{name} ({image}) pauses pods too, at `{schedule}`{zone}{rests}: a window that meets it is void, or leaves pods paused by the other. Keep the schedules apart, or remove it"
    ))
}

fn job(namespace: &str, one: &Job) -> Option<String> {
    let ended = one.status.as_ref().is_some_and(|status| status.completion_time.is_some());
    let owned = one.owner_references().iter().any(|owner| owner.kind == "CronJob");
    let image = pausing_image(one.spec.as_ref()?.template.spec.as_ref())?;
    (!ended && !owned)
        .then(|| format!("Job {namespace}/{} ({image}) pauses pods too: wait until it has ended", one.name_any()))
}

fn pod(namespace: &str, one: &Pod) -> Option<String> {
    let image = pausing_image(one.spec.as_ref())?;
    let bare = one.owner_references().is_empty();
    bare.then(|| {
        format!("pod {namespace}/{} ({image}) is the trace of a pause by hand: look whether pods are still paused, then delete it", one.name_any())
    })
}

fn scaler(namespace: &str, one: &HorizontalPodAutoscaler) -> String {
    let of = &one.spec.scale_target_ref;
    format!(
        "HorizontalPodAutoscaler {namespace}/{} of {} {} adds and removes pods by itself, which voids a window: choose a quiet hour",
        one.name_any(),
        of.kind,
        of.name
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec(image: &str) -> serde_json::Value {
        json!({ "containers": [{ "name": "c", "image": image }] })
    }

    fn is_known(image: &str) -> bool {
        pausing_image(Some(&serde_json::from_value(spec(image)).unwrap())).is_some()
    }

    #[test]
    fn the_vendor_s_images_are_known_wherever_they_are_kept() {
        assert!(is_known("ghcr.io/scalar-labs/scalar-admin-for-kubernetes:1.0.0"));
        assert!(is_known("registry:5000/mirror/scalar-admin@sha256:0"));
        assert!(is_known("scalar-admin"));
        assert!(!is_known("ghcr.io/scalar-labs/scalardb-server:3.8.0") && !is_known("my/scalar-admin-panel:1"));
    }

    #[test]
    fn a_cronjob_is_told_with_its_schedule_and_its_jobs_are_not_told_again() {
        let template = json!({ "spec": spec("ghcr.io/scalar-labs/scalar-admin-for-kubernetes:1") });
        let cron = json!({ "metadata": { "name": "nightly" }, "spec": { "schedule": "0 3 * * *", "timeZone": "Asia/Tokyo", "jobTemplate": { "spec": { "template": template } } } });
        let told = cronjob("ns", &serde_json::from_value(cron).unwrap()).unwrap();
        assert!(told.starts_with("CronJob ns/nightly") && told.contains("`0 3 * * *` Asia/Tokyo"), "{told}");
        let owner = json!([{ "apiVersion": "batch/v1", "kind": "CronJob", "name": "nightly", "uid": "u" }]);
        let mut one =
            json!({ "metadata": { "name": "nightly-1", "ownerReferences": owner }, "spec": { "template": template } });
        assert_eq!(job("ns", &serde_json::from_value(one.clone()).unwrap()), None);
        one["metadata"] = json!({ "name": "by-hand" });
        assert!(job("ns", &serde_json::from_value(one).unwrap()).is_some());
    }
}
