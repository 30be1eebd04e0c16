//! Every behaviour runs on a store in memory and on a folder; the faulty store makes the answers that real ones make rarely.

mod behaviours;
mod bucket;
mod events;
pub(crate) mod faults;
mod locks;
mod s3;

use super::*;
use crate::point::{Attempt, Clock, Pod, PodState, StillPeriod, Verdict, Violation};
use chrono::{DateTime, TimeZone, Utc};
use provider_api::{RestoreTime, Role, UnixNanos};
use std::time::Duration;

/// Runs behaviours against both kinds of store.
macro_rules! on_every_store {
    ($($behaviour:ident),+ $(,)?) => {
        mod in_memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() {
                let catalog = $crate::catalog::tests::memory().await;
                super::$behaviour(&catalog).await;
            })+
        }
        mod in_a_folder {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() {
                let (catalog, _folder) = $crate::catalog::tests::folder().await;
                super::$behaviour(&catalog).await;
            })+
        }
    };
}
use on_every_store;

/// Real waits, small enough not to matter.
fn quick() -> Options {
    let patience = Patience { call_timeout: Duration::from_secs(5), tries: 4, first_wait: Duration::from_millis(1) };
    Options { access: Access::Write, patience }
}

async fn memory() -> Catalog {
    Catalog::open("memory:", quick()).await.unwrap()
}

async fn folder() -> (Catalog, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let url = url::Url::from_directory_path(folder.path().join("a new folder")).unwrap();
    (Catalog::open(url.as_str(), quick()).await.unwrap(), folder)
}

fn moment() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 23, 3, 0, 0).unwrap()
}

pub(crate) fn id(schedule: &str) -> PointId {
    PointId::scheduled(schedule, moment()).unwrap()
}

fn pod() -> Pod {
    Pod {
        name: "10.0.0.4:60051".to_owned(),
        target: "ledger".to_owned(),
        address: "10.0.0.4:60051".to_owned(),
        state: PodState::Open,
    }
}

pub(crate) fn opened(id: &PointId) -> PointEvent {
    let set = |name: &str, role| OpenedSet {
        name: name.to_owned(),
        role,
        id: format!("id-of-{name}"),
        restorable_from: Some(UnixNanos(1_795_000_000_123_456_789)),
        restorable_to: None,
        period_days: Some(35),
    };
    PointEvent::Opened {
        id: id.clone(),
        at: moment(),
        by: By { host: "h".to_owned(), pid: 4711, version: "0.1.0".to_owned(), process: None },
        until: None,
        targets: vec![OpenedTarget { name: "ledger".to_owned(), pods: vec![pod()], source: None }],
        databases: vec![OpenedDatabase {
            name: "ledger-tables".to_owned(),
            provider: "dynamodb".to_owned(),
            description: "dynamodb in ap-northeast-1".to_owned(),
            data_sets: vec![set("accounts", Role::User), set("coordinator.state", Role::Coordinator)],
        }],
        settings: OpenedSettings {
            hold: "10s".to_owned(),
            margin_ms: 2_000,
            pod_clock_bound_ms: 5_000,
            require_proof: true,
            max_outage_ms: 60_000,
            max_pause_wait_time_ms: None,
            check_interval_ms: 200,
            auto_slack_ms: 100,
            ignore: Vec::new(),
        },
    }
}

fn void_attempt() -> Attempt {
    let violation = Violation {
        name: "OpenedEarly".to_owned(),
        subject: "10.0.0.4:60051".to_owned(),
        detail: "CheckPaused was false while we held".to_owned(),
    };
    Attempt {
        started: "2026-11-23T03:00:00.000000000Z".to_owned(),
        verdict: Verdict::Void,
        violations: vec![violation],
    }
}

fn good_attempt() -> Attempt {
    Attempt { verdict: Verdict::Good, violations: Vec::new(), ..void_attempt() }
}

fn attempt_void() -> PointEvent {
    PointEvent::AttemptVoid { attempt: void_attempt() }
}

fn recorded_with(attempts: Vec<Attempt>) -> PointEvent {
    PointEvent::Recorded {
        restore_time: RestoreTime(1_795_406_407),
        still_period: StillPeriod {
            start: "2026-11-23T03:00:02.000000000Z".to_owned(),
            end: "2026-11-23T03:00:12.000000000Z".to_owned(),
            start_mono_ns: 1_000,
            end_mono_ns: 10_000_001_000,
        },
        pause_completed: "2026-11-23T03:00:01.900000000Z".to_owned(),
        unpause_started: "2026-11-23T03:00:12.100000000Z".to_owned(),
        outage_ms: 10_412.5,
        client_outage_ms: 12_700.0,
        attempts,
        pods: vec![pod()],
        clocks: [("ledger-tables".to_owned(), Clock { offset_low_ms: -50.25, offset_high_ms: 49.75 })].into(),
        warnings: vec!["a warning of the window".to_owned()],
        evidence: serde_json::json!({"margin_ns": 2_000_000_000u64, "rounds": [{"start": 1, "end": 2}]}),
    }
}

pub(crate) fn recorded() -> PointEvent {
    recorded_with(vec![void_attempt(), good_attempt()])
}

fn void() -> PointEvent {
    PointEvent::Void { attempts: vec![void_attempt()], pods: Vec::new(), warnings: Vec::new(), error: None }
}

fn captured() -> PointEvent {
    let capsule = provider_api::Capsule {
        name: "accounts".to_owned(),
        id: "id-of-accounts".to_owned(),
        settings: serde_json::json!({"tags": {"a": "b"}}),
        unread: Vec::new(),
    };
    PointEvent::Captured { database: "ledger-tables".to_owned(), capsules: vec![capsule], metadata: Default::default() }
}

pub(crate) fn capture_completed() -> PointEvent {
    PointEvent::CaptureCompleted { warnings: vec!["tags of one table could not be read".to_owned()] }
}

pub(crate) fn sealed() -> PointEvent {
    let report = crate::point::DataSetReport {
        name: "accounts".to_owned(),
        id: Some("id-of-accounts".to_owned()),
        state: Some("ok".to_owned()),
        restorable_from: None,
        restorable_to: Some("2026-11-23T03:06:00.000000000Z".to_owned()),
        reason: None,
    };
    let database = crate::point::Database {
        name: "ledger-tables".to_owned(),
        provider: "dynamodb".to_owned(),
        clock: None,
        data_sets: vec![report],
    };
    PointEvent::Sealed { at: moment(), databases: vec![database] }
}

fn run_started(kind: RunKind) -> PointEvent {
    let warnings = vec!["twice the capacity".to_owned()];
    PointEvent::RunStarted { run: "r".to_owned(), kind, at: moment(), warnings, plan: serde_json::Value::Null }
}

fn prepare_started() -> PointEvent {
    run_started(RunKind::Prepare)
}

fn work_held() -> PointEvent {
    let owner = Owner { host: "h".to_owned(), boot_id: "b".to_owned(), pid: 4711, pid_start: 7 };
    let hold = WorkHold { holder: "n".to_owned(), owner, until: moment(), until_boot_ns: 180_000_000_000 };
    PointEvent::WorkHeld { run: "r".to_owned(), hold }
}

fn unit_intent() -> PointEvent {
    let what = serde_json::json!({"do": "restore", "target": "rp-x"});
    let intent = provider_api::Intent { text: "restore to rp-x".to_owned(), what, slot: Some("restores".to_owned()) };
    PointEvent::UnitIntent {
        run: "r".to_owned(),
        database: "ledger-tables".to_owned(),
        unit: "accounts".to_owned(),
        intent,
    }
}

fn unit_record() -> PointEvent {
    let record = provider_api::Record {
        text: "prepared: arn".to_owned(),
        what: serde_json::json!({"fact": "prepared"}),
        slot: None,
        warning: Some("look at rp-x".to_owned()),
    };
    PointEvent::UnitRecord {
        run: "r".to_owned(),
        database: "ledger-tables".to_owned(),
        unit: "accounts".to_owned(),
        record,
        done: true,
    }
}

fn lost() -> PointEvent {
    let set = LostSet {
        database: "ledger-tables".to_owned(),
        name: "accounts".to_owned(),
        reason: "the table was created again".to_owned(),
    };
    PointEvent::Lost { at: moment(), reason: "a table was created again".to_owned(), data_sets: vec![set] }
}
