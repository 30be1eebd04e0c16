//! Who else pauses these pods, and what adds to them by itself: `check` warns of each by its name.

use crate::bed::Bed;
use crate::play::Play;
use crate::rows::{Row, row};
use crate::waited;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::Arc;

const THEIRS: &str = "ghcr.io/scalar-labs/scalar-admin-for-kubernetes:1.2.0";
const BY_HAND: &str = "ghcr.io/scalar-labs/scalar-admin:2.2.1";

pub fn rows(bed: &Arc<Bed>) -> Vec<Row> {
    let bed = bed.clone();
    vec![row("check warns of autoscalers and of whoever else pauses", move |_| warned(bed))]
}

async fn make<K>(play: &Play, object: Value)
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    K: Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    let object: K = serde_json::from_value(object).unwrap();
    play.release().api::<K>().create(&PostParams::default(), &object).await.unwrap();
}

/// A pod's template that runs this image; on no node it never ends.
fn template(image: &str, on_a_node: bool) -> Value {
    let node = on_a_node.then_some("node-0");
    let containers = json!([{ "name": "tool", "image": image }]);
    json!({ "spec": { "restartPolicy": "Never", "nodeName": node, "containers": containers } })
}

fn cronjob(name: &str, image: &str, suspend: bool) -> Value {
    json!({
        "metadata": { "name": name },
        "spec": {
            "schedule": "30 3 1 1 *", "timeZone": "Asia/Tokyo", "suspend": suspend,
            "jobTemplate": { "spec": { "template": template(image, false) } },
        },
    })
}

fn job(name: &str, image: &str, on_a_node: bool) -> Value {
    json!({ "metadata": { "name": name }, "spec": { "template": template(image, on_a_node) } })
}

fn pod(name: &str, image: &str) -> Value {
    // As `kubectl run` labels it.
    let mut pod = template(image, false);
    pod["metadata"] = json!({ "name": name, "labels": { "run": name } });
    pod
}

async fn warned(bed: Arc<Bed>) {
    let play = Play::ledgers(bed, 1).await;
    let namespace = play.release().namespace.clone();
    let quiet = play.run(&["check"]).await.expect(0);
    assert_eq!(quiet.json["warnings"], json!([]), "nobody else is there");

    make::<CronJob>(&play, cronjob("nightly", THEIRS, false)).await;
    make::<CronJob>(&play, cronjob("resting", THEIRS, true)).await;
    make::<CronJob>(&play, cronjob("report", "registry.example/report:1", false)).await;
    make::<Job>(&play, job("pausing", THEIRS, false)).await;
    make::<Job>(&play, job("paused", THEIRS, true)).await;
    make::<Pod>(&play, pod("scalar-admin-pause", BY_HAND)).await;
    make::<Pod>(&play, pod("shell", "busybox")).await;
    let scaled = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": play.release().deployment_name() });
    let scaler =
        json!({ "metadata": { "name": "bank-scaler" }, "spec": { "scaleTargetRef": scaled, "maxReplicas": 9 } });
    make::<HorizontalPodAutoscaler>(&play, scaler).await;
    waited("one Job has ended", || async {
        let ended = play.release().api::<Job>().get("paused").await.unwrap();
        ended.status.and_then(|status| status.completion_time)
    })
    .await;

    let checked = play.run(&["check"]).await.expect(0);
    let mut warnings: Vec<&str> =
        checked.json["warnings"].as_array().unwrap().iter().map(|warning| warning.as_str().unwrap()).collect();
    warnings.sort_unstable();
    let expected = [
        (format!("CronJob {namespace}/nightly ({THEIRS})"), "at `30 3 1 1 *` Asia/Tokyo: "),
        (format!("CronJob {namespace}/resting ({THEIRS})"), "at `30 3 1 1 *` Asia/Tokyo, suspended"),
        (format!("HorizontalPodAutoscaler {namespace}/bank-scaler of Deployment bank-ledger"), "voids a window"),
        (format!("Job {namespace}/pausing ({THEIRS})"), "wait until it has ended"),
        (format!("pod {namespace}/scalar-admin-pause ({BY_HAND})"), "trace of a pause by hand"),
    ];
    assert_eq!(warnings.len(), expected.len(), "{warnings:#?}");
    for (warning, (begins, says)) in warnings.iter().zip(expected) {
        assert!(warning.starts_with(&begins) && warning.contains(says), "{warning}");
    }
    assert!(play.servers().all(|server| server.log().gate_closed_intervals().is_empty()), "a pod was paused");
}
