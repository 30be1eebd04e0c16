//! What is refused before anything is paused: message, exit code and JSON under snapshot.

use crate::bed::Bed;
use crate::front::Front;
use crate::play::{Play, Release, labels, pod_spec};
use crate::rows::{Row, row};
use crate::support::{Ended, Running};
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod as KubePod;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;
use std::sync::Arc;
use stillpoint_sandbox::dns::Dns;
use stillpoint_sandbox::pods::Pod;

type Story = fn(Arc<Bed>) -> BoxFuture<'static, ()>;

pub fn rows(bed: &Arc<Bed>) -> Vec<Row> {
    let stories: [(&str, Story); 17] = [
        ("release not found", |bed| Box::pin(release_not_found(bed))),
        ("namespace not found", |bed| Box::pin(namespace_not_found(bed))),
        ("namespace not allowed", |bed| Box::pin(not_allowed(bed))),
        ("no headless Service", |bed| Box::pin(no_service(bed))),
        ("port name not there", |bed| Box::pin(no_port(bed))),
        ("two products when one was named", |bed| Box::pin(two_products(bed))),
        ("another product than named", |bed| Box::pin(wrong_product(bed))),
        ("zero pods", |bed| Box::pin(zero_pods(bed))),
        ("a pod without an address", |bed| Box::pin(without_address(bed))),
        ("kubeconfig missing", |bed| Box::pin(no_kubeconfig(bed))),
        ("credentials expired", |bed| Box::pin(expired(bed))),
        ("context unknown", |bed| Box::pin(no_context(bed))),
        ("API server unreachable", |bed| Box::pin(unreachable(bed))),
        ("cluster too old", |bed| Box::pin(too_old(bed))),
        ("a rollout under way", |bed| Box::pin(rollout(bed))),
        ("a malformed name of service records beside a release", |bed| Box::pin(malformed_srv(bed))),
        ("a name of service records that nobody knows", |bed| Box::pin(unknown_srv(bed))),
    ];
    let rows = stories.into_iter().map(|(name, story)| {
        let bed = bed.clone();
        row(name, move |_| story(bed))
    });
    rows.collect()
}

/// Nothing was paused, and what was said is as it was.
pub fn refused(play: &Play, ended: Ended, code: i32, snapshot: &str) {
    let ended = ended.expect(code);
    assert!(play.servers().all(|server: &Pod| server.log().gate_closed_intervals().is_empty()), "a pod was paused");
    let said = serde_json::to_string_pretty(&json!({
        "exit_code": ended.json["exit_code"], "pods": ended.json["pods"], "warnings": ended.json["warnings"], "error": ended.json["error"],
    }))
    .unwrap();
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"ns-\d+", "NAMESPACE");
    settings.add_filter(r"http://127\.0\.0\.1:\d+", "SERVER");
    settings.add_filter(r"https://127\.0\.0\.1:\d+", "SERVER");
    settings.add_filter(r"10\.245\.\d+\.\d+", "ADDRESS");
    settings.add_filter(r"/tmp/\.tmp\w+", "FOLDER");
    settings.add_filter(r"(ledger|auditor)-[0-9a-z]{5,10}-[0-9a-z]{5}\b", "$1-POD");
    // How a connection ends is the kernel's to say.
    settings.add_filter(r"client error \(\w+\): [^\x22]*", "CAUSE");
    settings.bind(|| insta::assert_snapshot!(snapshot, said));
}

pub async fn checked(play: &Play) -> Ended {
    let ended = play.run(&["create"]).await;
    assert!(play.assert_nothing_noted(), "a note is left");
    ended
}

impl Play {
    fn assert_nothing_noted(&self) -> bool {
        std::fs::read_dir(self.path("state").join("notes")).map_or(true, |mut notes| notes.next().is_none())
    }
}

async fn release_not_found(bed: Arc<Bed>) {
    let mut play = Play::ledgers(bed, 1).await;
    play.targets = Some(play.target("bank", &play.release().namespace, "bnak", ""));
    play.configure();
    refused(&play, checked(&play).await, 4, "release_not_found");
}

async fn namespace_not_found(bed: Arc<Bed>) {
    let mut play = Play::of(bed, Vec::new()).await;
    play.targets = Some(play.target("bank", "nowhere", "bank", ""));
    play.configure();
    refused(&play, checked(&play).await, 4, "namespace_not_found");
}

/// A kubeconfig for somebody whose token this is.
fn kubeconfig_of(play: &Play, token: &str) -> String {
    let text = std::fs::read_to_string(&play.bed.kubeconfig).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
    config["users"][0]["user"] = json!({ "token": token });
    let path = play.path("other.kubeconfig");
    std::fs::write(&path, config.to_string()).unwrap();
    path.display().to_string()
}

async fn not_allowed(bed: Arc<Bed>) {
    use k8s_openapi::api::authentication::v1::TokenRequest;
    use k8s_openapi::api::core::v1::ServiceAccount;
    let mut play = Play::ledgers(bed, 1).await;
    let accounts: Api<ServiceAccount> = play.release().api();
    let request: TokenRequest =
        serde_json::from_value(json!({ "spec": { "audiences": [], "expirationSeconds": 600 } })).unwrap();
    let token = accounts.create_token_request("default", &PostParams::default(), &request).await.unwrap();
    let kubeconfig = kubeconfig_of(&play, &token.status.unwrap().token.unwrap());
    let namespace = play.release().namespace.clone();
    play.targets = Some(format!(
        "[[target]]\nname = \"bank\"\nkubernetes = {{ namespace = \"{namespace}\", release = \"bank\", kubeconfig = \"{kubeconfig}\" }}\n"
    ));
    play.configure();
    refused(&play, checked(&play).await, 4, "not_allowed");
}

async fn expired(bed: Arc<Bed>) {
    let mut play = Play::ledgers(bed, 1).await;
    let kubeconfig = kubeconfig_of(&play, "a-token-of-yesterday");
    let namespace = play.release().namespace.clone();
    play.targets = Some(format!(
        "[[target]]\nname = \"bank\"\nkubernetes = {{ namespace = \"{namespace}\", release = \"bank\", kubeconfig = \"{kubeconfig}\" }}\n"
    ));
    play.configure();
    let ended = checked(&play).await;
    assert!(!ended.json.to_string().contains("a-token-of-yesterday") && !ended.stderr.contains("a-token-of-yesterday"));
    refused(&play, ended, 4, "expired");
}

async fn no_service(bed: Arc<Bed>) {
    use k8s_openapi::api::core::v1::Service;
    let play = Play::ledgers(bed, 1).await;
    let services: Api<Service> = play.release().api();
    services.delete(&play.release().service_name(), &Default::default()).await.unwrap();
    refused(&play, checked(&play).await, 4, "no_headless_service");
}

async fn no_port(bed: Arc<Bed>) {
    let play = Play::ledgers(bed, 1).await;
    play.release()
        .service(json!([{ "name": "scalardl", "port": 50051 }, { "name": "scalardl-priv", "port": 50052 }]))
        .await;
    refused(&play, checked(&play).await, 4, "port_not_there");
}

async fn two_products(bed: Arc<Bed>) {
    let namespace = bed.namespace().await;
    let ledger = Release::start(&bed, &namespace, "audited", "ledger", 1).await;
    let auditor = Release::start(&bed, &namespace, "audited", "auditor", 1).await;
    let mut play = Play::of(bed, vec![ledger, auditor]).await;
    play.targets = Some(play.target("ledger", &namespace, "audited", ", product = \"ledger\""));
    play.configure();
    refused(&play, checked(&play).await, 4, "two_products");
}

async fn wrong_product(bed: Arc<Bed>) {
    let mut play = Play::ledgers(bed, 1).await;
    play.targets = Some(play.target("bank", &play.release().namespace, "bank", ", product = \"auditor\""));
    play.configure();
    refused(&play, checked(&play).await, 4, "wrong_product");
}

async fn zero_pods(bed: Arc<Bed>) {
    let namespace = bed.namespace().await;
    let release = Release::make(&bed, &namespace, "bank", "ledger", 0).await;
    let play = Play::of(bed, vec![release]).await;
    refused(&play, checked(&play).await, 4, "zero_pods");
}

async fn without_address(bed: Arc<Bed>) {
    let namespace = bed.namespace().await;
    let release = Release::make(&bed, &namespace, "bank", "ledger", 0).await;
    let pods: Api<KubePod> = release.api();
    let mut spec = pod_spec();
    spec.as_object_mut().unwrap().remove("nodeName");
    let pod = json!({ "metadata": { "name": "bank-0", "labels": labels("bank", "ledger") }, "spec": spec });
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    let ready = json!({ "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] });
    release.patch_status("bank-0", ready).await;
    let play = Play::of(bed, vec![release]).await;
    refused(&play, checked(&play).await, 4, "pod_without_address");
}

async fn no_kubeconfig(bed: Arc<Bed>) {
    let mut play = Play::of(bed, Vec::new()).await;
    play.targets =
        Some("[[target]]\nname = \"bank\"\nkubernetes = { namespace = \"n\", release = \"bank\" }\n".to_owned());
    play.configure();
    refused(&play, checked(&play).await, 4, "kubeconfig_missing");
}

async fn no_context(bed: Arc<Bed>) {
    let mut play = Play::of(bed, Vec::new()).await;
    play.targets = Some(play.target("bank", "n", "bank", ", context = \"production\""));
    play.configure();
    refused(&play, checked(&play).await, 4, "context_unknown");
}

async fn unreachable(bed: Arc<Bed>) {
    let play = Play::ledgers(bed, 1).await;
    play.front.go_away();
    refused(&play, checked(&play).await, 4, "unreachable");
}

async fn too_old(bed: Arc<Bed>) {
    let play = Play::ledgers(bed, 1).await;
    Front::does_not_know(&play.front, "/apis/discovery.k8s.io/v1/");
    refused(&play, checked(&play).await, 4, "too_old");
}

async fn rollout(bed: Arc<Bed>) {
    let play = Play::ledgers(bed, 1).await;
    // The new pod needs a node that is not there, so the rollout stays under way.
    let template = json!({ "spec": { "nodeName": "node-9" } });
    play.release().patch_deployment(json!({ "spec": { "template": template } })).await;
    crate::waited("the new pod is there", || async { (play.release().pods().await.len() == 2).then_some(()) }).await;
    refused(&play, checked(&play).await, 4, "rollout_under_way");
}

/// Two ledgers and one auditor; the Service of the ledgers is not called as the guide has it.
async fn audited(bed: Arc<Bed>) -> Play {
    let namespace = bed.namespace().await;
    let ledger = Release::start(&bed, &namespace, "bank", "ledger", 2).await;
    let auditor = Release::start(&bed, &namespace, "bank", "auditor", 1).await;
    Play::of(bed, vec![ledger, auditor]).await
}

async fn malformed_srv(bed: Arc<Bed>) {
    let mut play = audited(bed).await;
    let namespace = play.release().namespace.clone();
    let release = play.target("ledger", &namespace, "bank", ", product = \"ledger\"");
    let wrong = format!("_scalardl-auditor-admin.bank-headless.{namespace}.svc.cluster.local");
    play.targets = Some(format!("{release}[[target]]\nname = \"auditor\"\nsrv = \"{wrong}\"\n"));
    play.configure();
    refused(&play, checked(&play).await, 2, "malformed_srv");
}

async fn unknown_srv(bed: Arc<Bed>) {
    let mut play = audited(bed).await;
    let (namespace, dns) = (play.release().namespace.clone(), Dns::start().await.unwrap());
    let wrong = format!("_scalardl-admin._tcp.bank-headless.{namespace}.svc.cluster.local");
    let resolver = dns.address();
    play.targets = Some(format!("[[target]]\nname = \"ledger\"\nsrv = \"{wrong}\"\nresolver = \"{resolver}\"\n"));
    play.configure();
    // No target tells of Kubernetes: it is the environment's that is asked.
    let kubeconfig = play.kubeconfig().display().to_string();
    let folder = play.path("");
    let create = || Running::start(&folder, &["create"], &[("KUBECONFIG", &kubeconfig)]).end();
    refused(&play, create().await, 4, "unknown_srv");
    // Of the right name it is told that the Service is there.
    let right = wrong.replace("bank-headless", &play.release().service_name());
    play.targets = Some(play.targets.clone().unwrap().replace(&wrong, &right));
    play.configure();
    let ended = create().await.expect(4);
    assert!(
        ended.json["error"]["hint"].as_str().unwrap().contains("a Service and a port of this name"),
        "{:#}",
        ended.json
    );
}
