//! Pods by SRV name and pods by address share one window and one restore time.

use crate::cli_support::{Said, Session};
use crate::stage::NAME;
use serde_json::Value;
use std::collections::BTreeSet;
use stillpoint_sandbox::bank::BankConfig;
use stillpoint_sandbox::dns::Dns;
use stillpoint_sandbox::pods::Method;
use stillpoint_sandbox::{Sandbox, SandboxConfig, judge};

#[tokio::test(flavor = "multi_thread")]
async fn targets_of_both_kinds_share_one_window_and_one_restore_time() {
    let bank = BankConfig { tables: 2, accounts_per_table: 6, clients: 3, ..BankConfig::default() };
    let sandbox = Sandbox::start(SandboxConfig { pods: 4, bank, ..SandboxConfig::default() }).await.unwrap();
    let dns = Dns::start().await.unwrap();
    let addresses = sandbox.addresses();
    dns.add_address("both.ns", [127, 0, 0, 1].into());
    for pod in &sandbox.pods()[..2] {
        dns.add_srv(NAME, "both.ns", pod.address().port());
    }
    dns.add_srv("_other._tcp.ns", "both.ns", sandbox.pods()[2].address().port());
    let server = dns.address();
    let session = Session::with_config(&format!(
        "[window]\nhold = \"auto\"\nmargin = \"500ms\"\nauto_slack = \"200ms\"\nmax_outage = \"20s\"\nmax_pause_wait_time = \"1s\"\n\
         call_grace = \"1s\"\ntcp_user_timeout = \"1s\"\nattempts = 1\n\
         [[target]]\nname = \"ledger\"\nsrv = \"{NAME}\"\nresolver = \"{server}\"\n\
         [[target]]\nname = \"auditor\"\nsrv = \"_other._tcp.ns\"\nresolver = \"{server}\"\n\
         [[target]]\nname = \"fixed\"\naddresses = [\"{}\"]\n\
         [[database]]\nname = \"tables\"\nprovider = \"dynamodb\"\nregion = \"{}\"\nendpoint = \"{}\"\n\
         [polling]\ntime_scale = {:?}\n",
        addresses[3],
        sandbox.config().database.region,
        sandbox.endpoint(),
        sandbox.config().database.time_scale,
    ));
    let mut command = session.command(&["create", "--output", "json"]);
    command.env("AWS_ACCESS_KEY_ID", "sandbox").env("AWS_SECRET_ACCESS_KEY", "sandbox");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = Said::of(&output);
    assert_eq!(said.code, 0, "{said:#?}");
    let point: Value = serde_json::from_str(&said.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let pods = point["pods"].as_array().unwrap();
    let found: BTreeSet<(String, String)> = pods.iter().map(|p| (text(&p["target"]), text(&p["address"]))).collect();
    let targets = ["ledger", "ledger", "auditor", "fixed"].map(str::to_owned);
    assert_eq!(found, targets.into_iter().zip(addresses).collect());
    let restore_time = chrono::DateTime::parse_from_rfc3339(&text(&point["restore_time"])).unwrap().timestamp();
    assert!(sandbox.offences(restore_time).is_empty());
    assert!(sandbox.logs().iter().all(|log| log.calls(Method::Pause) == 1) && judge::all_open(&sandbox.logs()));
    // The same pod by two ways is one too many.
    let twice = std::fs::read_to_string(session.dir().join("stillpoint.toml")).unwrap();
    session.file("stillpoint.toml", twice.replace("_other._tcp.ns", NAME));
    let mut command = session.command(&["check", "--output", "json"]);
    command.env("AWS_ACCESS_KEY_ID", "sandbox").env("AWS_SECRET_ACCESS_KEY", "sandbox");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = Said::of(&output);
    assert!(said.code == 4 && said.stdout.contains("\"duplicate_pod\""), "{said:#?}");
}
