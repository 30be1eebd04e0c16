//! A restore replaces tables only when the pods of every target have stopped, however the target finds them.

use crate::bed::Bed;
use crate::play::{Play, Release};
use crate::rows::{Row, row};
use crate::support::Ended;
use crate::waited;
use serde_json::json;
use std::sync::Arc;
use stillpoint_sandbox::dns::Dns;
use stillpoint_sandbox::{Sandbox, SandboxConfig};

const SRV: &str = "_scalardl-auditor-admin._tcp.audit-auditor-headless.ns.svc.cluster.local";

pub fn rows(bed: &Arc<Bed>) -> Vec<Row> {
    let bed = bed.clone();
    vec![row("a restore waits for pods of a release and of a name to be scaled to nought", move |seed| {
        stopped(bed, seed)
    })]
}

/// A database that a restore may replace: the others' is in their way, and theirs in its.
async fn own_database(play: &Play, seed: u64) -> Sandbox {
    let mut config = SandboxConfig::default().with_seed(seed).with_time_scale(60.0);
    (config.traffic, config.pods, config.bank.tables) = (false, 1, 1);
    config.database.lags.restore = (30.0, 60.0);
    config.database.lags.latest_restorable = 300.0;
    let sandbox = Sandbox::start(config).await.unwrap();
    let text = std::fs::read_to_string(play.path("stillpoint.toml")).unwrap();
    let scale = |sandbox: &Sandbox| format!("time_scale = {:?}", sandbox.config().database.time_scale);
    let text = text.replace(&play.bed.sandbox.endpoint(), &sandbox.endpoint());
    let text = text.replace(&scale(&play.bed.sandbox), &scale(&sandbox));
    std::fs::write(play.path("stillpoint.toml"), text).unwrap();
    sandbox
}

/// Refused because pods run: what it says of them.
fn running(ended: Ended) -> String {
    let ended = ended.expect(4);
    assert_eq!(ended.json["error"]["name"], "pods_running", "{:#}", ended.json);
    ended.json["error"]["message"].as_str().unwrap().to_owned()
}

async fn stopped(bed: Arc<Bed>, seed: u64) {
    let (here, there) = (bed.namespace().await, bed.namespace().await);
    let ledger = Release::start(&bed, &here, "bank", "ledger", 1).await;
    let auditor = Release::start(&bed, &there, "audit", "auditor", 1).await;
    let dns = Dns::start().await.unwrap();
    let listed = auditor.servers[&auditor.first()].address();
    dns.add_srv(SRV, "pod.ns", listed.port());
    dns.add_address("pod.ns", listed.ip());
    let mut play = Play::of(bed, vec![ledger, auditor]).await;
    let by_name = format!("[[target]]\nname = \"audit\"\nsrv = \"{SRV}\"\nresolver = \"{}\"\n", dns.address());
    play.targets = Some(play.target("bank", &here, "bank", "") + &by_name);
    play.configure();
    let _database = own_database(&play, seed).await;
    let prepared = play.run(&["create", "--wait", "prepared"]).await.expect(0);
    let id = prepared.json["id"].as_str().unwrap().to_owned();
    let restore = ["restore", id.as_str(), "--yes-restore", id.as_str()];
    let pod = play.release().first();

    let said = running(play.run(&restore).await);
    assert!(said.contains(&pod) && said.contains(&listed.to_string()), "{said}");
    // Of the release there is none any more; the name still leads to one.
    play.release().patch_deployment(json!({ "spec": { "replicas": 0 } })).await;
    waited("the release has no pod", || async { play.release().pods().await.is_empty().then_some(()) }).await;
    play.release().servers[&pod].die().await;
    let said = running(play.run(&restore).await);
    assert!(!said.contains(&pod) && said.contains(&listed.to_string()), "{said}");
    // And then that is gone, and with it the name.
    play.releases[1].servers.values().next().unwrap().die().await;
    dns.remove_srv(SRV, "pod.ns", listed.port());
    let restored = play.run(&restore).await.expect(0);
    let sets = restored.json["databases"][0]["data_sets"].as_array().unwrap();
    assert!(!sets.is_empty() && sets.iter().all(|set| set["state"] == "restored"), "{:#}", restored.json);
}
