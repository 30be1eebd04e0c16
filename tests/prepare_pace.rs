//! 500 tables in simulated time: 50 restores at once, of unequal length, packed as tightly as a list schedule packs them.

// Helpers of tests end the test that they cannot help.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use provider_api::{BackupProvider, Context, PrepareRequest, RecordedSet, RestoreTime, Way};
use provider_dynamodb::{Config, DynamoDbProvider};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use stillpoint::catalog::{
    By, Catalog, OpenedDatabase, OpenedSettings, Options as CatalogOptions, Owner, PointEvent, PointId, PointLog,
    RunKind,
};
use stillpoint::point::{Attempt, StillPeriod, Verdict};
use stillpoint::window::plan::boot_ns;
use stillpoint::workflow::{Ended, Job, LEASE, Options, Order, Worker, work};
use stillpoint_sandbox::clock::Clock;
use stillpoint_sandbox::dynamodb::{self as sandbox, DynamoDb};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const TABLES: usize = 500;
const AT_ONCE: usize = 50;

/// The sandbox as an HTTP client for the SDK: no socket, 20 ms each way in simulated time.
#[derive(Clone, Debug)]
struct Below(DynamoDb);

impl HttpConnector for Below {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let db = self.0.clone();
        HttpConnectorFuture::new(async move {
            let failed = |error: String| ConnectorError::io(error.into());
            let request = request.try_into_http1x().map_err(|error| failed(error.to_string()))?;
            let request = request.map(|body| Bytes::copy_from_slice(body.bytes().unwrap_or_default()));
            tokio::time::sleep(Duration::from_millis(20)).await;
            let response = db.exchange(request).await.map_err(|error| failed(error.to_string()))?;
            tokio::time::sleep(Duration::from_millis(20)).await;
            HttpResponse::try_from(response.map(|body| SdkBody::from(body.to_vec())))
                .map_err(|error| failed(error.to_string()))
        })
    }
}

impl HttpClient for Below {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

fn call(db: &DynamoDb, operation: &str, body: Value) -> Value {
    db.call(&format!("DynamoDB_20120810.{operation}"), body).unwrap_or_else(|error| panic!("{operation}: {error}"))
}

async fn tables(db: &DynamoDb) -> Vec<String> {
    let names: Vec<_> = (0..TABLES).map(|number| format!("bank.t{number:03}")).collect();
    for name in &names {
        let table = json!({
            "TableName": name,
            "AttributeDefinitions": [{ "AttributeName": "k", "AttributeType": "B" }],
            "KeySchema": [{ "AttributeName": "k", "KeyType": "HASH" }],
            "ProvisionedThroughput": { "ReadCapacityUnits": 10, "WriteCapacityUnits": 10 },
        });
        call(db, "CreateTable", table);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    for name in &names {
        let on = json!({ "PointInTimeRecoveryEnabled": true });
        call(db, "UpdateContinuousBackups", json!({ "TableName": name, "PointInTimeRecoverySpecification": on }));
    }
    tokio::time::sleep(Duration::from_secs(600)).await;
    names
}

/// A sealed point without anything that preparing does not look at.
async fn point(catalog: &Catalog) -> PointId {
    let id = PointId::parse("nightly-20261123T030000Z").unwrap();
    let text = String::from("2026-11-23T03:00:00Z");
    let opened = PointEvent::Opened {
        id: id.clone(),
        at: chrono::Utc::now(),
        by: By { host: "h".into(), pid: 1, version: "0".into(), process: None },
        until: None,
        targets: Vec::new(),
        databases: vec![OpenedDatabase {
            name: "bank".into(),
            provider: "dynamodb".into(),
            description: String::new(),
            data_sets: Vec::new(),
        }],
        settings: OpenedSettings {
            hold: "10s".into(),
            margin_ms: 0,
            pod_clock_bound_ms: 0,
            require_proof: true,
            max_outage_ms: 0,
            max_pause_wait_time_ms: None,
            check_interval_ms: 0,
            auto_slack_ms: 0,
            ignore: Vec::new(),
        },
    };
    let recorded = PointEvent::Recorded {
        restore_time: RestoreTime(0),
        still_period: StillPeriod { start: text.clone(), end: text.clone(), start_mono_ns: 1, end_mono_ns: 2 },
        pause_completed: text.clone(),
        unpause_started: text.clone(),
        outage_ms: 0.0,
        client_outage_ms: 0.0,
        attempts: vec![Attempt { started: text, verdict: Verdict::Good, violations: Vec::new() }],
        pods: Vec::new(),
        clocks: BTreeMap::new(),
        warnings: Vec::new(),
        evidence: Value::Null,
    };
    let captured = PointEvent::CaptureCompleted { warnings: Vec::new() };
    let sealed = PointEvent::Sealed { at: chrono::Utc::now(), databases: Vec::new() };
    let mut log = PointLog::create(catalog, &id, opened).await.unwrap();
    log.append_all(vec![recorded, captured, sealed]).await.unwrap();
    id
}

/// Looks each second which staging tables there are: when each was first seen, and how long it took to be ACTIVE; and how many
/// tables were looked at for that.
async fn watch(db: DynamoDb) -> (Vec<(Instant, Duration)>, usize) {
    let mut open: BTreeMap<String, Instant> = BTreeMap::new();
    let (mut lengths, mut looks) = (Vec::new(), 0);
    let mut seen = std::collections::BTreeSet::new();
    while lengths.len() < TABLES {
        let listed = call(&db, "ListTables", json!({ "ExclusiveStartTableName": "rp-" }));
        for name in listed["TableNames"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()) {
            if seen.contains(name) {
                continue;
            }
            let begun = *open.entry(name.to_owned()).or_insert_with(Instant::now);
            looks += 1;
            let table = call(&db, "DescribeTable", json!({ "TableName": name }));
            if table["Table"]["TableStatus"] != "CREATING" {
                seen.insert(name.to_owned());
                lengths.push((begun, begun.elapsed()));
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    (lengths, looks)
}

/// How long a list schedule takes: each next one begins as soon as one of the 50 places is free.
fn list_schedule(mut lengths: Vec<(Instant, Duration)>) -> Duration {
    lengths.sort();
    let mut places = [Duration::ZERO; AT_ONCE];
    for (_, length) in lengths {
        let first = places.iter_mut().min().unwrap();
        *first += length;
    }
    places.into_iter().max().unwrap()
}

#[tokio::test(start_paused = true)]
#[ignore = "three minutes of computing: cargo test --test prepare_pace -- --ignored"]
async fn five_hundred_tables_take_hardly_longer_than_fifty_restores_at_once_allow() {
    let clock = Clock::tokio();
    let db = DynamoDb::new(sandbox::Config::default(), clock);
    let names = tables(&db).await;
    let mut config = Config::new("bank", db.config().region.clone());
    config.http_client = Some(SharedHttpClient::new(Below(db.clone())));
    let credentials = Credentials::new("AKIDSANDBOX", "secret", None, None, "tests");
    config.credentials = Some(SharedCredentialsProvider::new(credentials));
    config.tables = names;
    let provider = Arc::new(DynamoDbProvider::connect(config).await.unwrap());
    let context = Context::default();
    let sets = provider.discover(&context).await.unwrap().data_sets;
    let confirmed = provider.confirm(&context, &sets).await.unwrap();
    let ids: Vec<_> = confirmed.into_iter().map(|set| RecordedSet { name: set.name, id: set.id }).collect();
    let capsules = provider.capture(&context, &sets).await.unwrap();
    let at = RestoreTime(db.service_unix_ns() / 1_000_000_000);
    tokio::time::sleep(Duration::from_secs(310)).await;
    let request = PrepareRequest { label: "p", at, sets: &ids, capsules: &capsules };
    let preparer = provider.preparer().unwrap();
    let units = preparer.units(&request).unwrap();
    let jobs = [Job { database: "bank".into(), work: preparer, units }];

    let catalog = Catalog::open("memory:", CatalogOptions::write()).await.unwrap();
    let id = point(&catalog).await;
    let owner = Owner { host: "h".into(), boot_id: "b".into(), pid: 1, pid_start: 1 };
    let worker = Worker { owner, is_dead: |_| false, boot_ns };
    let options = Options { time_scale: 1.0, time_out: None, lease: LEASE, worker, before_destroying: None };
    let watching = tokio::spawn(watch(db.clone()));
    let before = db.calls().len();
    let begun = Instant::now();
    let cancel = CancellationToken::new();
    let order = Order {
        kind: RunKind::Prepare,
        way: Way::Forward,
        plan: serde_json::Value::Null,
        warnings: Vec::new(),
        terms: Default::default(),
    };
    let ended = work(&catalog, &id, &order, &jobs, &options, &cancel, &mut |_| {}).await;
    let took = begun.elapsed();
    assert!(matches!(ended, Ok(Ended::Done)), "{ended:?}");
    let (lengths, looks) = watching.await.unwrap();
    let bound = list_schedule(lengths);
    let ratio = took.as_secs_f64() / bound.as_secs_f64();
    let calls = db.calls();
    let ours = || calls[before..].iter().filter(|call| call.operation != "ListTables");
    let throttled =
        ours().filter(|call| call.throttled || call.error.as_deref() == Some("LimitExceededException")).count();
    let mut per_table: BTreeMap<&str, f64> = BTreeMap::new();
    for call in ours() {
        *per_table.entry(&call.operation).or_default() += 1.0 / TABLES as f64;
    }
    // The watcher's own looks are not the program's.
    *per_table.entry("DescribeTable").or_default() -= looks as f64 / TABLES as f64;
    let seconds = |length: Duration| length.as_secs_f64();
    let report = json!({
        "tables": TABLES, "restores_at_once": AT_ONCE, "makespan_s": seconds(took), "bound_s": seconds(bound),
        "ratio": ratio, "throttled": throttled, "calls_per_table": per_table,
    });
    println!("prepare: {report}");
    assert!(ratio <= 1.05, "{took:?} for a bound of {bound:?}: {ratio:.3}");
    assert_eq!(throttled, 0);
    assert!(!call(&db, "ListTables", json!({ "ExclusiveStartTableName": "rp-" })).to_string().contains("rp-"));
}
