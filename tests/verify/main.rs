//! `verify` from outside: a bank at work, restored to T and to other seconds under scratch names, and the states that refuse.

// Helpers of tests end the test that they cannot help.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

// The tests of `prepare` have the same program and use more of it.
#[allow(dead_code)]
#[path = "../prepare/program.rs"]
mod program;

use program::Program;
use serde_json::{Value, json};
use std::time::Duration;
use stillpoint_sandbox::bank::{COORDINATOR_TABLE, Item, METADATA_TABLE, accounts_table, audit};

const TABLES: [&str; 4] = ["bank.accounts_0", "bank.accounts_1", COORDINATOR_TABLE, METADATA_TABLE];

impl Program {
    /// Restores every table to a second under a prefix; the coordinator's to so many seconds earlier.
    async fn restore(&self, at: i64, earlier: i64, prefix: &str) {
        for table in TABLES {
            let target = format!("{prefix}{table}");
            let second = if table == COORDINATOR_TABLE { at - earlier } else { at };
            let body = json!({ "SourceTableName": table, "TargetTableName": target, "RestoreDateTime": second });
            self.call("RestoreTableToPointInTime", body);
        }
        for table in TABLES {
            let name = format!("{prefix}{table}");
            while self.call("DescribeTable", json!({ "TableName": name }))["Table"]["TableStatus"] != "ACTIVE" {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    fn items(&self, table: &str) -> Vec<Item> {
        let scanned = self.call("Scan", json!({ "TableName": table }));
        scanned["Items"].as_array().unwrap().iter().map(|item| item.as_object().unwrap().clone()).collect()
    }

    /// What the bank's own auditor, who shares no code with `verify`, holds to be impossible in a copy.
    fn anomalies(&self, prefix: &str) -> Vec<String> {
        let tables: Vec<_> =
            (0..2).map(accounts_table).map(|t| (t.clone(), self.items(&format!("{prefix}{t}")))).collect();
        let report = audit(0, &tables, &self.items(&format!("{prefix}{COORDINATOR_TABLE}")));
        // Sums and credit are the bank's business, not the protocol's.
        report.anomalies.into_iter().map(|anomaly| anomaly.what).filter(|what| !what.contains("credit")).collect()
    }
}

fn named(answer: &Value) -> (Option<u64>, Option<&str>) {
    (answer["exit_code"].as_u64(), answer["error"]["name"].as_str())
}

fn seconds(point: &Value, field: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(point[field].as_str().unwrap()).unwrap().timestamp()
}

/// Restores a busy bank to T, which must be sound, and to other seconds: whatever the auditor finds there, `verify` finds.
/// How many of the others the auditor found anything in.
async fn busy_bank(seed: u64) -> usize {
    let program = Program::busy(seed).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    let point = program.json(&["create", "--wait", "sealed"]).await;
    assert_eq!(point["exit_code"], 0, "{point:#}");
    let (id, t) = (point["id"].as_str().unwrap(), seconds(&point, "restore_time"));
    program.restore(t, 0, "t-").await;
    let sound = program.json(&["verify", id, "--prefix", "t-"]).await;
    assert_eq!(named(&sound), (Some(0), None), "seed {seed}: {sound:#}");
    let tables = sound["verify"]["databases"][0]["tables"].as_array().unwrap();
    assert_eq!(tables.len(), TABLES.len(), "{sound:#}");
    let waiting: u64 = tables.iter().map(|t| t["prepared"].as_u64().unwrap() + t["deleted"].as_u64().unwrap()).sum();
    assert!(waiting > 0, "seed {seed}: nothing waits for its fate, so nothing was tried");

    let mut found = 0;
    // By the database's clock, like T; the still period is shorter than this.
    for second in [t - 6, t - 7] {
        let prefix = format!("s{second}-");
        // A coordinator that is older than the tables has no rows for what is being committed there.
        program.restore(second, 1, &prefix).await;
        let verified = program.json(&["verify", id, "--prefix", &prefix, "--segments", "3"]).await;
        let anomalies = program.anomalies(&prefix);
        if !anomalies.is_empty() {
            found += 1;
            assert_eq!(named(&verified), (Some(1), Some("not_sound")), "seed {seed}: {anomalies:?}: {verified:#}");
        }
    }
    // Long after the window the pods have written again: outside writers, by the point's record.
    let later = program.json(&["verify", id]).await;
    assert_eq!(named(&later), (Some(1), Some("not_sound")), "{later:#}");
    let broken = &later["verify"]["databases"][0]["broken"];
    assert!(broken["WrittenLate"].as_u64() > Some(0) && broken["DecidedLate"].as_u64() > Some(0), "{broken:#}");
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_busy_bank_is_sound_at_t_and_what_its_auditor_finds_elsewhere_is_found() {
    let found = busy_bank(31).await;
    assert!(found > 0, "no other second was torn, so nothing was shown");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_cannot_have_been_restored_is_refused_and_what_is_missing_is_named() {
    let program = Program::with_lag(34, 1_200.0).await;
    let unknown = program.json(&["verify", "manual-20261123T030000Z-aaaa"]).await;
    assert_eq!(named(&unknown), (Some(4), Some("not_found")));
    assert!(unknown["verify"].is_null() && unknown.get("attempts").is_some(), "{unknown:#}");

    let early = program.point("recorded").await;
    assert_eq!(named(&program.json(&["verify", &early]).await), (Some(5), Some("not_sealed")));

    let id = program.sealed().await;
    let sound = program.json(&["verify", &id, "--read-units", "500"]).await;
    assert_eq!(named(&sound), (Some(0), None), "{sound:#}");
    assert_eq!((sound["state"].as_str(), sound["verify"]["sound"].as_bool()), (Some("sealed"), Some(true)));
    let remarks = sound["verify"]["databases"][0]["remarks"].to_string();
    assert!(remarks.contains("not restored"), "{remarks}");
    assert!(!remarks.contains("no target names"), "{remarks}");
    let still = chrono::DateTime::parse_from_rfc3339(sound["still_period"]["start"].as_str().unwrap()).unwrap();
    let mut item = program.items(TABLES[0]).remove(0);
    item.insert("tx_prepared_at".into(), json!({ "N": (still.timestamp_millis() + 1_500).to_string() }));
    program.call("PutItem", json!({ "TableName": TABLES[0], "Item": item }));
    let outsider = program.json(&["verify", &id]).await;
    assert_eq!(named(&outsider), (Some(0), None), "within `pod_clock_bound`: {outsider:#}");
    let remarks = outsider["verify"]["databases"][0]["remarks"].to_string();
    assert!(remarks.contains("period: 1, the latest by 1") && remarks.contains("no target names"), "{remarks}");
    let missing = program.json(&["verify", &id, "--prefix", "nowhere-"]).await;
    assert_eq!(named(&missing), (Some(1), Some("not_sound")));
    let broken = &missing["verify"]["databases"][0]["broken"];
    assert_eq!(broken, &json!({ "TableMissing": TABLES.len() }));

    let denied = program.db().deny("Scan", "*");
    let refused = program.json(&["verify", &id]).await;
    assert_eq!(named(&refused), (Some(4), Some("permission_denied")));
    program.db().remove(denied);
    for on in [false, true] {
        let switch = json!({ "PointInTimeRecoveryEnabled": on });
        let body = json!({ "TableName": TABLES[0], "PointInTimeRecoverySpecification": switch });
        program.call("UpdateContinuousBackups", body);
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    program.json(&["prepare", &id]).await;
    assert_eq!(named(&program.json(&["verify", &id]).await), (Some(6), Some("point_lost")));
}
