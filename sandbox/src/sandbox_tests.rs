//! The sandbox as a whole: windows made by hand, restores, the judge's word, and the remote control.

use std::time::Duration;

use serde_json::{Value, json};
use stillpoint_proto::admin::PauseRequest;
use stillpoint_proto::admin::admin_client::AdminClient;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::transport::Endpoint;

use crate::bank::{self, AuditReport, BankConfig, Item};
use crate::dynamodb::{Boundary, DynamoDb};
use crate::pods::{Flavor, PodConfig, mono_ns};
use crate::{Sandbox, SandboxConfig};

const SECOND: i64 = 1_000_000_000;

async fn started(config: SandboxConfig) -> Sandbox {
    Sandbox::start(config).await.unwrap()
}

fn quiet() -> SandboxConfig {
    SandboxConfig { traffic: false, ..SandboxConfig::default() }.with_time_scale(1_000.0)
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(tokio::time::Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn admin(address: &str) -> AdminClient<tonic::transport::Channel> {
    AdminClient::new(Endpoint::try_from(format!("http://{address}")).unwrap().connect().await.unwrap())
}

fn call(database: &DynamoDb, operation: &str, body: Value) -> Value {
    database.call(&format!("DynamoDB_20120810.{operation}"), body).unwrap()
}

fn items(database: &DynamoDb, table: &str) -> Vec<Item> {
    let mut items = Vec::new();
    let mut body = json!({ "TableName": table, "ConsistentRead": true });
    loop {
        let page = call(database, "Scan", body.clone());
        items.extend(page["Items"].as_array().unwrap().iter().map(|item| item.as_object().unwrap().clone()));
        match page.get("LastEvaluatedKey") {
            Some(Value::Object(key)) => body["ExclusiveStartKey"] = json!(key),
            _ => return items,
        }
    }
}

/// Restores the bank's tables to a second under scratch names and audits them.
async fn restored(sandbox: &Sandbox, second: i64) -> AuditReport {
    let database = sandbox.dynamodb();
    let mut tables = sandbox.config().bank.table_names();
    tables.push(bank::COORDINATOR_TABLE.to_owned());
    for table in &tables {
        let latest = || {
            let described = call(database, "DescribeContinuousBackups", json!({ "TableName": table }));
            described["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]["LatestRestorableDateTime"]
                .as_f64()
        };
        until("the second is restorable", || latest().is_some_and(|latest| latest > second as f64 + 1.0)).await;
        let target = format!("at{second}-{table}");
        let body = json!({ "SourceTableName": table, "TargetTableName": target, "RestoreDateTime": second });
        call(database, "RestoreTableToPointInTime", body);
    }
    let mut copies = Vec::new();
    for table in tables {
        let copy = format!("at{second}-{table}");
        let status = || call(database, "DescribeTable", json!({ "TableName": copy }))["Table"]["TableStatus"].clone();
        until("the copy is ready", || status() == "ACTIVE").await;
        copies.push((table, items(database, &copy)));
    }
    let (_, coordinator) = copies.pop().unwrap();
    bank::audit(sandbox.config().bank.total(), &copies, &coordinator)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_still_second_restores_to_balances_that_add_up() {
    for (seed, boundary) in [(7, Boundary::ALL[0]), (8, Boundary::ALL[3])] {
        let mut config = SandboxConfig {
            bank: BankConfig { crash_chance: 0.02, ..BankConfig::default() },
            ..SandboxConfig::default().with_seed(seed).with_service_offset(90 * SECOND).with_time_scale(600.0)
        };
        config.database.boundary = boundary;
        config.database.limits = false;
        let sandbox = started(config).await;
        let bank = sandbox.bank().unwrap();
        until("traffic", || bank.stats().committed > 40).await;
        let mut clients = Vec::new();
        for address in sandbox.addresses() {
            clients.push(admin(&address).await);
        }
        let pause = PauseRequest { wait_outstanding: true, max_pause_wait_time: None };
        let pauses = clients.iter_mut().map(|client| client.pause(pause));
        assert!(futures::future::join_all(pauses).await.iter().all(Result::is_ok));
        let service = |mono: u64| mono as i64 + sandbox.service_minus_mono_ns();
        let still_start = service(mono_ns());
        // The first whole second that is still with half a second to spare on either side, for the tables' skew.
        let good = (still_start + SECOND / 2).div_euclid(SECOND) + 1;
        let still_until = (good + 1) * SECOND + SECOND / 2;
        until("the still second has passed", || service(mono_ns()) > still_until).await;
        for client in &mut clients {
            client.unpause(()).await.unwrap();
        }
        let committed = bank.stats().committed;
        until("traffic again", || bank.stats().committed > committed + 40).await;
        let busy_from = service(mono_ns()).div_euclid(SECOND) - 1;
        until("seconds in traffic", || service(mono_ns()) > (busy_from + 3) * SECOND).await;

        assert_eq!(sandbox.offences(good), [], "seed {seed}");
        let report = restored(&sandbox, good).await;
        assert!(report.is_consistent(), "seed {seed}: {report:?}");
        let mut broken = 0;
        for busy in busy_from..busy_from + 3 {
            assert_ne!(sandbox.offences(busy), [], "seed {seed}: the judge sees traffic");
            broken += usize::from(!restored(&sandbox, busy).await.is_consistent());
        }
        assert!(broken > 0, "seed {seed}: seconds in traffic are cut apart");
        assert!(crate::judge::all_open(&sandbox.logs()));
        assert_eq!(bank.stats().store_errors, 0, "{:?}", bank.stats().last_store_error);
        sandbox.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traffic_survives_the_databases_own_limits() {
    let sandbox = started(SandboxConfig::default()).await;
    let bank = sandbox.bank().unwrap();
    until("traffic", || bank.stats().committed > 60).await;
    sandbox.stop_traffic().await;
    assert!(sandbox.bank().is_none());
    assert_eq!(bank.stats().store_errors, 0, "{:?}", bank.stats().last_store_error);
}

/// One HTTP exchange with the remote control.
async fn control(sandbox: &Sandbox, method: &str, path: &str, body: &str) -> (u16, String) {
    let address = sandbox.control().trim_start_matches("http://").to_owned();
    let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[tokio::test]
async fn the_remote_control_sets_faults_and_tells_the_truth() {
    let sandbox = started(quiet()).await;
    let refuse = r#"{"do":{"kind":"refuse"},"on":{"method":"unpause","times":1}}"#;
    assert_eq!(control(&sandbox, "POST", "/pods/1/fault", refuse).await.0, 200);
    let mut client = admin(&sandbox.addresses()[1]).await;
    client.pause(PauseRequest::default()).await.unwrap();
    client.unpause(()).await.unwrap_err();

    let pods: Value = serde_json::from_str(&control(&sandbox, "GET", "/pods", "").await.1).unwrap();
    let open: Vec<bool> = pods.as_array().unwrap().iter().map(|pod| pod["open"].as_bool().unwrap()).collect();
    assert_eq!(open, [true, false, true]);
    let judge = |text: String| serde_json::from_str::<Value>(&text).unwrap();
    let verdict = judge(control(&sandbox, "GET", "/judge", "").await.1);
    assert_eq!((&verdict["all_open"], &verdict["still_closed"]), (&json!(false), &json!([1])));
    let (_, log) = control(&sandbox, "GET", "/log", "").await;
    assert!(log.lines().any(|line| line.contains(r#""event":"gate_closed""#)), "{log}");

    let (status, pod) = control(&sandbox, "POST", "/pods/1/restart", r#"{"down_ms":5}"#).await;
    assert_eq!((status, judge(pod)["open"].as_bool()), (200, Some(true)));
    let clock = judge(control(&sandbox, "GET", "/clock", "").await.1);
    assert_eq!(clock["service_minus_mono_ns"], sandbox.service_minus_mono_ns());
    let second = (sandbox.dynamodb().service_unix_ns() / SECOND) + 100;
    let verdict = judge(control(&sandbox, "GET", &format!("/judge?restore_time={second}"), "").await.1);
    assert_eq!((&verdict["all_open"], &verdict["offences"]), (&json!(true), &json!([])));
    let bank = judge(control(&sandbox, "GET", "/bank", "").await.1);
    assert_eq!(bank["expected"], sandbox.config().bank.total());
}

#[tokio::test]
async fn the_remote_control_explains_what_it_did_not_do() {
    let sandbox = started(quiet()).await;
    for (method, path, body, status) in [
        ("POST", "/pods/9/fault", r#"{"do":{"kind":"hang"}}"#, 404),
        ("POST", "/pods/0/fault", r#"{"do":{"kind":"explode"}}"#, 400),
        ("POST", "/pods/0/restart", r#"{"down_ms":"soon"}"#, 400),
        ("GET", "/judge?restore_time=now", "", 400),
        ("GET", "/nowhere", "", 404),
    ] {
        let (answered, text) = control(&sandbox, method, path, body).await;
        let problem: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answered, status, "{method} {path}: {text}");
        assert!(problem["error"].as_str().is_some_and(|message| message.len() > 10));
    }
}

#[tokio::test]
async fn a_planted_table_appears_with_its_metadata_and_can_be_dropped() {
    let sandbox = started(quiet()).await;
    let listed = |name: &str| {
        let known = items(sandbox.dynamodb(), bank::METADATA_TABLE);
        known.iter().any(|item| item["table"]["S"] == name)
    };
    for (kind, there) in [("create_table", true), ("drop_table", false)] {
        let fault = format!(r#"{{"do":{{"kind":"{kind}","table":"bank.planted"}}}}"#);
        assert_eq!(control(&sandbox, "POST", "/pods/0/fault", &fault).await.0, 200);
        until(kind, || listed("bank.planted") == there).await;
    }
}

#[tokio::test]
async fn the_ready_settings_name_what_runs() {
    let sandbox = started(quiet()).await;
    let dir = tempfile::tempdir().unwrap();
    let settings: toml::Table = toml::from_str(&sandbox.ready_config(dir.path())).unwrap();
    let target = settings["target"][0].as_table().unwrap();
    let addresses: Vec<&str> = target["addresses"].as_array().unwrap().iter().filter_map(toml::Value::as_str).collect();
    assert_eq!(addresses, sandbox.addresses());
    assert_eq!(settings["database"][0]["endpoint"].as_str(), Some(sandbox.endpoint().as_str()));
    assert_eq!(settings["database"][0]["provider"].as_str(), Some("dynamodb"));
    assert_eq!(settings["polling"]["time_scale"].as_float(), Some(1_000.0));
    assert!(settings["catalog"]["url"].as_str().unwrap().starts_with("file:///"));
}

#[tokio::test]
async fn a_hundred_pods_of_another_flavor_make_a_sandbox() {
    let pod =
        PodConfig { flavor: Flavor::ScalarDl314, answer_latency: Duration::from_millis(1), ..PodConfig::default() };
    let sandbox = started(SandboxConfig { pods: 100, pod, ..quiet() }).await;
    assert_eq!(sandbox.addresses().len(), 100);
    let mut client = admin(&sandbox.addresses()[99]).await;
    client.pause(PauseRequest { wait_outstanding: true, max_pause_wait_time: None }).await.unwrap();
    assert_eq!(crate::judge::still_closed(&sandbox.logs()), [99]);
}
