//! Windows that are good: nothing happened that matters, whatever else did.

use crate::bed::Bed;
use crate::play::{Play, Release, admin_port, labels};
use crate::rows::{Row, row};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod as KubePod;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

pub fn rows(bed: &Arc<Bed>) -> Vec<Row> {
    let one = |name: &str, story: fn(Arc<Bed>) -> futures::future::BoxFuture<'static, ()>| {
        let bed = bed.clone();
        row(name, move |_| story(bed))
    };
    vec![
        one("a quiet release is good and its table is on record", |bed| Box::pin(quiet(bed))),
        one("noise on every pod ten times a second is not void", |bed| Box::pin(noise(bed))),
        one("a watch that is cut goes on from where it was", |bed| Box::pin(cut(bed))),
        one("two targets in two namespaces share one window", |bed| Box::pin(two_targets(bed))),
        one("several products in one release", |bed| Box::pin(several_products(bed))),
        one("a StatefulSet by selector, port by name", |bed| Box::pin(stateful_set(bed))),
        one("ended pods are mentioned, ignored releases go on", |bed| Box::pin(ended_and_ignored(bed))),
    ]
}

async fn quiet(bed: Arc<Bed>) {
    let play = Play::ledgers(bed, 3).await;
    let ended = play.expect_good(play.run(&["create"]).await);
    play.assert_asked_as_promised();
    let evidence = play.evidence(ended.json["id"].as_str().unwrap());
    let table = evidence["pods"].as_array().unwrap();
    let names: Vec<&str> = table.iter().map(|line| line["pod"].as_str().unwrap()).collect();
    assert_eq!(names, play.release().servers.keys().collect::<Vec<_>>());
    for line in table {
        assert_eq!((&line["before"]["status"], &line["before"]["restarts"]), (&json!("Running"), &json!(0)));
        assert_eq!(line["before"], line["after"], "{line:#}");
    }
    let shown = play.run(&["show", ended.json["id"].as_str().unwrap()]).await.expect(0);
    assert_eq!(shown.json["pod_table"], evidence["pods"]);
}

async fn noise(bed: Arc<Bed>) {
    let play = Play::ledgers(bed, 3).await;
    let api: Api<KubePod> = play.release().api();
    let names: Vec<String> = play.release().servers.keys().cloned().collect();
    let shaking = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        for tick in 0u32.. {
            ticks.tick().await;
            for name in &names {
                let manager = PatchParams::apply(&format!("noise-{}", tick % 5));
                let patch = json!({ "metadata": { "annotations": { "noise": tick.to_string() }, "labels": { "noise": tick.to_string() } } });
                api.patch(name, &manager, &Patch::Merge(patch)).await.unwrap();
            }
        }
    });
    let running = play.held().await;
    let ended = running.end().await;
    let shaken = !shaking.is_finished();
    shaking.abort();
    assert!(shaken, "the noise ended before the window");
    play.expect_good(ended);
    play.assert_asked_as_promised();
}

async fn cut(bed: Arc<Bed>) {
    let play = Play::ledgers(bed, 3).await;
    let running = play.held().await;
    let before = play.front.asked().iter().filter(|one| one.of_pods() && one.is_watch()).count();
    play.front.cut();
    play.expect_good(running.end().await);
    let after = play.front.asked().iter().filter(|one| one.of_pods() && one.is_watch()).count();
    assert!(after > before, "the watch was not opened again");
}

async fn two_targets(bed: Arc<Bed>) {
    let (here, there) = (bed.namespace().await, bed.namespace().await);
    let ledger = Release::start(&bed, &here, "ledger", "ledger", 2).await;
    let auditor = Release::start(&bed, &there, "auditor", "auditor", 2).await;
    let play = Play::of(bed, vec![ledger, auditor]).await;
    let ended = play.expect_good(play.run(&["create"]).await);
    let pods = ended.json["pods"].as_array().unwrap();
    let targets: Vec<&str> = pods.iter().map(|pod| pod["target"].as_str().unwrap()).collect();
    assert_eq!(targets, ["ledger", "ledger", "auditor", "auditor"]);
    let firsts: Vec<u64> = play.servers().map(|server| server.log().gate_closed_intervals()[0].0).collect();
    let lasts: Vec<u64> = play.servers().map(|server| server.log().gate_closed_intervals()[0].1.unwrap()).collect();
    assert!(firsts.iter().max() < lasts.iter().min(), "not one window");
}

async fn several_products(bed: Arc<Bed>) {
    let namespace = bed.namespace().await;
    let ledger = Release::start(&bed, &namespace, "audited", "ledger", 2).await;
    let auditor = Release::start(&bed, &namespace, "audited", "auditor", 1).await;
    let mut play = Play::of(bed, vec![ledger, auditor]).await;
    play.targets = Some(play.target("both", &namespace, "audited", ""));
    play.configure();
    let ended = play.expect_good(play.run(&["create"]).await);
    let ports: Vec<&str> = ended.json["pods"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pod| pod["address"].as_str().unwrap().rsplit(':').next().unwrap())
        .collect();
    let mut ports = ports;
    ports.sort_unstable();
    assert_eq!(ports, ["40053", "50053", "50053"]);
}

async fn stateful_set(bed: Arc<Bed>) {
    let namespace = bed.namespace().await;
    let mut release = Release::make(&bed, &namespace, "odd", "scalardb", 0).await;
    let mut own = labels("odd", "scalardb");
    own["role"] = "primary".into();
    let mut spec = crate::play::pod_spec();
    spec["containers"][0]["ports"] = json!([{ "name": "grpc", "containerPort": admin_port("scalardb").1 }]);
    let set = json!({
        "metadata": { "name": "odd" },
        "spec": {
            "replicas": 2, "serviceName": release.service_name(), "podManagementPolicy": "Parallel",
            "selector": { "matchLabels": own },
            "template": { "metadata": { "labels": own }, "spec": spec },
        },
    });
    let api: Api<StatefulSet> = release.api();
    api.create(&PostParams::default(), &serde_json::from_value(set).unwrap()).await.unwrap();
    release.service(json!([{ "name": "gate", "port": 9, "targetPort": "grpc" }])).await;
    release.patch_deployment(json!({ "metadata": { "name": release.deployment_name() } })).await;
    let deployments: Api<k8s_openapi::api::apps::v1::Deployment> = release.api();
    deployments.delete(&release.deployment_name(), &Default::default()).await.unwrap();
    release.play(2).await;
    let mut play = Play::of(bed, vec![release]).await;
    let more = ", selector = \"role=primary\", admin_port = \"gate\"";
    play.targets = Some(play.target("odd", &namespace, "odd", more));
    play.configure();
    let ended = play.expect_good(play.run(&["create"]).await);
    let names: Vec<&str> =
        ended.json["pods"].as_array().unwrap().iter().map(|pod| pod["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["odd-0", "odd-1"]);
    play.assert_asked_as_promised();
}

async fn ended_and_ignored(bed: Arc<Bed>) {
    let namespace = bed.namespace().await;
    let release = Release::start(&bed, &namespace, "bank", "ledger", 2).await;
    let pods: Api<KubePod> = release.api();
    for (name, release) in [("bank-old", "bank"), ("report-0", "report")] {
        let mut spec = crate::play::pod_spec();
        // On no node, so that its state is the test's to say.
        spec.as_object_mut().unwrap().remove("nodeName");
        let pod = json!({ "metadata": { "name": name, "labels": labels(release, "ledger") }, "spec": spec });
        pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    }
    release.patch_status("bank-old", json!({ "phase": "Failed", "reason": "Evicted" })).await;
    let mut play = Play::of(bed, vec![release]).await;
    play.window = "ignore = [\"report\"]\n".to_owned();
    play.configure();
    let running = play.held().await;
    // What is ignored may change as it likes, and so may what has ended.
    play.release().patch_status("report-0", json!({ "phase": "Running" })).await;
    play.release().api::<KubePod>().delete("bank-old", &Default::default()).await.unwrap();
    let ended = play.expect_good(running.end().await);
    let warnings: Vec<&str> = ended.json["warnings"].as_array().unwrap().iter().map(|w| w.as_str().unwrap()).collect();
    assert!(warnings.iter().any(|w| w.contains("bank-old (Evicted)")), "{warnings:?}");
    let evidence: Value = play.evidence(ended.json["id"].as_str().unwrap());
    assert_eq!(evidence["pods"].as_array().unwrap().len(), 2);
}
