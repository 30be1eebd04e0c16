//! `create` by the flags of scalar-admin-for-kubernetes, and pods that DNS lists beside those of a release.

use crate::bed::Bed;
use crate::play::{Play, Release};
use crate::rows::{Row, row};
use serde_json::Value;
use std::process::{Output, Stdio};
use std::sync::Arc;
use stillpoint_sandbox::dns::Dns;

const SRV: &str = "_scalardl-auditor-admin._tcp.audit-auditor-headless.ns.svc.cluster.local";

pub fn rows(bed: &Arc<Bed>) -> Vec<Row> {
    let (one, another) = (bed.clone(), bed.clone());
    vec![
        row("the flags of scalar-admin-for-kubernetes alone", move |_| vendor(one)),
        row("a release and a name of service records share one window", move |_| mixed(another)),
    ]
}

/// The program by its flags alone: no file, the cluster by KUBECONFIG.
async fn by_flags(play: &Play, words: &[&str]) -> Output {
    let home = play.path("home");
    std::fs::create_dir_all(&home).unwrap();
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_stillpoint"));
    command.args(words).current_dir(&home).env_clear().env("HOME", &home).env("KUBECONFIG", play.kubeconfig());
    command.stdin(Stdio::null()).output().await.unwrap()
}

async fn vendor(bed: Arc<Bed>) {
    let play = Play::ledgers(bed, 2).await;
    let namespace = play.release().namespace.clone();
    let flags = ["create", "-r", "bank", "-n", &namespace, "-d", "1000", "-w", "1000", "-z", "Asia/Tokyo"];
    let output = by_flags(&play, &[&flags[..], &["--output", "sak"]].concat()).await;
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{told}{}", String::from_utf8_lossy(&output.stderr));
    let line: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&line["namespace"], &line["helm_release_name"]), (&namespace.clone().into(), &"bank".into()));
    assert_eq!((told.lines().count(), &line["timezone"]), (1, &"Asia/Tokyo".into()));
    let ms = |key: &str| line[key].as_i64().unwrap();
    assert!(ms("pause_end_timestamp_ms") - ms("pause_start_timestamp_ms") >= 1000, "{line:#}");
    play.assert_all_open();
    play.assert_asked_as_promised();

    let output = by_flags(&play, &[&flags[..], &["--output", "json"]].concat()).await;
    let point: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&point["verdict"], &point["exit_code"]), (&"good".into(), &0.into()), "{point:#}");
    assert!(point["id"].is_null() && point["restore_time"].is_null() && point["pods"].as_array().unwrap().len() == 2);
    play.assert_all_open();

    let output = by_flags(&play, &["create", "-r", "bnak", "-n", &namespace, "--output", "sak"]).await;
    assert_eq!((output.status.code(), output.stdout.len()), (Some(4), 0));
}

async fn mixed(bed: Arc<Bed>) {
    let (here, there) = (bed.namespace().await, bed.namespace().await);
    let ledger = Release::start(&bed, &here, "bank", "ledger", 2).await;
    let auditor = Release::start(&bed, &there, "audit", "auditor", 2).await;
    let dns = Dns::start().await.unwrap();
    for (name, server) in &auditor.servers {
        let host = format!("{name}.audit-auditor-headless.ns.svc.cluster.local");
        dns.add_srv(SRV, &host, server.address().port());
        dns.add_address(&host, server.address().ip());
    }
    let mut play = Play::of(bed, vec![ledger, auditor]).await;
    let listed = format!("[[target]]\nname = \"audit\"\nsrv = \"{SRV}\"\nresolver = \"{}\"\n", dns.address());
    play.targets = Some(play.target("bank", &here, "bank", "") + &listed);
    play.configure();
    let ended = play.expect_good(play.run(&["create"]).await);
    let evidence = play.evidence(ended.json["id"].as_str().unwrap());
    let table = evidence["pods"].as_array().unwrap();
    let targets: Vec<&str> = table.iter().map(|line| line["target"].as_str().unwrap()).collect();
    assert_eq!(targets.iter().filter(|target| **target == "bank").count(), 2);
    assert_eq!(targets.iter().filter(|target| **target == "audit").count(), 2);
    let firsts: Vec<u64> = play.servers().map(|server| server.log().gate_closed_intervals()[0].0).collect();
    let lasts: Vec<u64> = play.servers().map(|server| server.log().gate_closed_intervals()[0].1.unwrap()).collect();
    assert!(firsts.len() == 4 && firsts.iter().max() < lasts.iter().min(), "not one window");

    // The window is void by either of its ways to see.
    let running = play.held().await;
    dns.add_srv(SRV, "more.ns", 40053);
    play.expect_void(running.end().await, "PodAdded", "more.ns:40053");
}
