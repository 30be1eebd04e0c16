//! Windows in which something happened to the pods: void, with the right name and the pod's, and every pod open.

use crate::bed::Bed;
use crate::play::{Play, labels, pod_spec};
use crate::rows::{Row, row};
use crate::support::{proc, until};
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod as KubePod;
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::{DeleteParams, EvictParams, Patch, PatchParams, PostParams};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

type Story = fn(Arc<Bed>) -> BoxFuture<'static, ()>;

pub fn rows(bed: &Arc<Bed>) -> Vec<Row> {
    let stories: [(&str, Story); 16] = [
        ("a pod added by scaling up is PodAdded", |bed| Box::pin(scaled_up(bed))),
        ("a deleted pod is PodRemoved", |bed| Box::pin(deleted(bed))),
        ("a restarted pod is PodRestarted", |bed| Box::pin(restarted(bed))),
        ("a pod replaced at its address is PodRemoved", |bed| Box::pin(replaced(bed))),
        ("a pod with another address is PodReplaced", |bed| Box::pin(moved(bed))),
        ("a pod that is no longer Ready is PodNotRunning", |bed| Box::pin(not_ready(bed))),
        ("an evicted pod is PodRemoved with the reason", |bed| Box::pin(evicted(bed))),
        ("a rollout begun is PodAdded", |bed| Box::pin(rollout(bed))),
        ("a pod that comes and goes at once is PodAdded", |bed| Box::pin(comes_and_goes(bed))),
        ("an API server that is gone is WatchGap", |bed| Box::pin(server_gone(bed))),
        ("a watch that is cut and stays away is WatchGap", |bed| Box::pin(watch_gone(bed))),
        ("a forgotten version is WatchGap", |bed| Box::pin(forgotten(bed))),
        ("what happens while the watch is cut is not missed", |bed| Box::pin(restarted_while_cut(bed))),
        ("a Service that leads elsewhere afterwards is SetsDisagree", |bed| Box::pin(other_service(bed))),
        ("a pod that is gone for good holds up no release", |bed| Box::pin(gone_for_good(bed))),
        ("a guard lets a pod go that is gone for good", |bed| Box::pin(gone_for_the_guard(bed))),
    ];
    let rows = stories.into_iter().map(|(name, story)| {
        let bed = bed.clone();
        row(name, move |_| story(bed))
    });
    rows.collect()
}

async fn scaled_up(bed: Arc<Bed>) {
    let play = Play::ledgers(bed, 2).await;
    let running = play.held().await;
    play.release().patch_deployment(json!({ "spec": { "replicas": 3 } })).await;
    play.expect_void(running.end().await, "PodAdded", "bank-ledger-");
    play.assert_asked_as_promised();
}

async fn deleted(bed: Arc<Bed>) {
    let play = Play::ledgers(bed, 2).await;
    let running = play.held().await;
    let pod = play.release().first();
    play.release().api::<KubePod>().delete(&pod, &DeleteParams::default()).await.unwrap();
    play.expect_void(running.end().await, "PodRemoved", &pod);
}

/// What the API server would be told of a container that was started again.
fn started_again(container: &str) -> Value {
    json!({ "containerStatuses": [{
        "name": "server", "image": "server", "imageID": "", "ready": true, "started": true,
        "containerID": container, "restartCount": 1,
        "state": { "running": { "startedAt": "2026-11-23T03:00:00Z" } },
        "lastState": { "terminated": { "exitCode": 137, "reason": "OOMKilled" } },
    }] })
}

async fn restarted(bed: Arc<Bed>) {
    let play = Play::ledgers(bed, 2).await;
    let running = play.held().await;
    let pod = play.release().first();
    play.release().patch_status(&pod, started_again("testkube://again/1")).await;
    // The gate forgets that it was closed.
    play.release().servers[&pod].restart(Duration::ZERO).await;
    play.expect_void(running.end().await, "PodRestarted", &pod);
}

async fn replaced(bed: Arc<Bed>) {
    let play = Play::ledgers(bed, 2).await;
    let running = play.held().await;
    let release = play.release();
    let pod = release.first();
    let ip = release.servers[&pod].address().ip().to_string();
    let api: Api<KubePod> = release.api();
    let mut spec = pod_spec();
    spec["terminationGracePeriodSeconds"] = 0.into();
    let new = json!({
        "metadata": { "name": "bank-again", "labels": labels("bank", "ledger"), "annotations": { "testkube/pod-ip": &ip } },
        "spec": spec,
    });
    api.delete(&pod, &DeleteParams::default()).await.unwrap();
    api.create(&PostParams::default(), &serde_json::from_value(new).unwrap()).await.unwrap();
    // The window ends with the first of it: whether the new pod is told of too depends on who is quicker.
    play.expect_void(running.end().await, "PodRemoved", &pod);
    let new = api.get("bank-again").await.unwrap();
    assert_eq!(new.status.unwrap().pod_ip, Some(ip), "at the same address");
}

async fn moved(bed: Arc<Bed>) {
    let play = Play::ledgers(bed, 2).await;
    let running = play.held().await;
    let pod = play.release().first();
    let patch = Patch::Merge(json!({ "status": { "podIP": "10.245.255.1", "podIPs": [{ "ip": "10.245.255.1" }] } }));
    play.release().api::<KubePod>().patch_status(&pod, &PatchParams::default(), &patch).await.unwrap();
    play.expect_void(running.end().await, "PodReplaced", &pod);
}

async fn not_ready(bed: Arc<Bed>) {
    let play = Play::ledgers(bed, 2).await;
    let running = play.held().await;
    let pod = play.release().first();
    play.release().patch_status(&pod, json!({ "conditions": [{ "type": "Ready", "status": "False" }] })).await;
    play.expect_void(running.end().await, "PodNotRunning", &pod);
}

async fn evicted(bed: Arc<Bed>) {
    let play = Play::ledgers(bed, 2).await;
    let running = play.held().await;
    let pod = play.release().first();
    play.release().api::<KubePod>().evict(&pod, &EvictParams::default()).await.unwrap();
    let ended = play.expect_void(running.end().await, "PodRemoved", &pod);
    assert!(ended.json["attempts"][0]["violations"].to_string().contains("EvictionByEvictionAPI"), "{:#}", ended.json);
}

async fn rollout(bed: Arc<Bed>) {
    let play = Play::ledgers(bed, 2).await;
    let running = play.held().await;
    let template = json!({ "metadata": { "annotations": { "checksum/config": "other" } } });
    play.release().patch_deployment(json!({ "spec": { "template": template } })).await;
    play.expect_void(running.end().await, "PodAdded", "bank-ledger-");
}

async fn comes_and_goes(bed: Arc<Bed>) {
    let play = Play::ledgers(bed, 2).await;
    let running = play.held().await;
    let api: Api<KubePod> = play.release().api();
    let pod = json!({ "metadata": { "name": "passer-by", "labels": labels("bank", "ledger") }, "spec": pod_spec() });
    api.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    api.delete("passer-by", &DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() }).await.unwrap();
    play.expect_void(running.end().await, "PodAdded", "passer-by");
}

async fn server_gone(bed: Arc<Bed>) {
    let mut play = Play::ledgers(bed, 2).await;
    // Long enough that the watch is given up while pods are paused.
    play.hold = "12s";
    play.configure();
    let running = play.held().await;
    play.front.go_away();
    play.expect_void(running.end().await, "WatchGap", "namespace ns-");
}

async fn watch_gone(bed: Arc<Bed>) {
    let mut play = Play::ledgers(bed, 2).await;
    // Longer than a watch may be away.
    play.hold = "8s";
    play.configure();
    let running = play.held().await;
    play.front.go_blind();
    let ended = play.expect_void(running.end().await, "WatchGap", "namespace ns-");
    assert!(ended.json["attempts"][0]["violations"].to_string().contains("not watched for"), "{:#}", ended.json);
}

async fn forgotten(bed: Arc<Bed>) {
    let play = Play::ledgers(bed, 2).await;
    let running = play.held().await;
    play.front.forget();
    let ended = play.expect_void(running.end().await, "WatchGap", "namespace ns-");
    assert!(
        ended.json["attempts"][0]["violations"].to_string().contains("too old resource version"),
        "{:#}",
        ended.json
    );
}

async fn restarted_while_cut(bed: Arc<Bed>) {
    let play = Play::ledgers(bed, 2).await;
    let running = play.held().await;
    play.front.go_away();
    let pod = play.release().first();
    play.release().patch_status(&pod, started_again("testkube://unseen/1")).await;
    play.front.come_back();
    play.expect_void(running.end().await, "PodRestarted", &pod);
}

async fn other_service(bed: Arc<Bed>) {
    let play = Play::ledgers(bed, 2).await;
    let running = play.held().await;
    let api: Api<Service> = play.release().api();
    let patch = Patch::Merge(json!({ "spec": { "selector": { "app.kubernetes.io/name": "elsewhere" } } }));
    api.patch(&play.release().service_name(), &PatchParams::default(), &patch).await.unwrap();
    play.expect_void(running.end().await, "SetsDisagree", &play.release().service_name());
}

async fn gone_for_good(bed: Arc<Bed>) {
    // By refused connections alone it would take 30 s, and the command ends before that.
    let play = Play::ledgers(bed, 2).await;
    let running = play.held().await;
    let pod = play.release().first();
    play.release().servers[&pod].die().await;
    play.release().api::<KubePod>().delete(&pod, &DeleteParams::default()).await.unwrap();
    let ended = running.end().await;
    let ended = ended.expect(1);
    play.assert_all_open();
    let state = ended.json["pods"].as_array().unwrap().iter().find(|one| one["name"] == *pod).unwrap()["state"].clone();
    assert_eq!(state, "gone", "{:#}", ended.json);
}

async fn gone_for_the_guard(bed: Arc<Bed>) {
    let play = Play::ledgers(bed, 2).await;
    let running = play.held().await;
    let guard = running.guard().await;
    let pod = play.release().first();
    play.release().api::<KubePod>().delete(&pod, &DeleteParams::default()).await.unwrap();
    play.release().servers[&pod].die().await;
    running.signal(Signal::KILL);
    until("the guard has released and gone", || !proc::is_alive(guard)).await;
    play.assert_all_open();
    let log = std::fs::read_to_string(play.path("state").join("guard.log")).unwrap();
    assert!(log.contains(&format!("Kubernetes no longer has {pod}")), "{log}");
}
