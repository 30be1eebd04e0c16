//! `drill` from outside: the program against a sandbox over the wire, killed, aborted, kept, and of tables that are not sound.

// Helpers of tests end the test that they cannot help.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

// The tests of `prepare` have the same program and use more of it.
#[allow(dead_code)]
#[path = "../prepare/program.rs"]
mod program;

use program::Program;
use serde_json::{Value, json};

fn named(answer: &Value) -> (Option<u64>, Option<&str>) {
    (answer["exit_code"].as_u64(), answer["error"]["name"].as_str())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn killed_again_and_again_a_drill_goes_on_and_leaves_nothing_but_its_evidence() {
    let program = Program::start(41).await;
    let id = program.sealed().await;
    let before = program.tables();
    let page = program.file("drill.md");
    let mut kills = 0;
    for written in (1..).step_by(3).take(5) {
        if program.killed_after(&["drill", &id], &id, written).await {
            kills += 1;
        }
    }
    assert!(kills > 2, "{kills}");
    let done = program.json(&["drill", &id, "--report", &page]).await;
    assert_eq!(named(&done), (Some(0), None), "{done:#}");
    assert_eq!(done["state"], "sealed", "a drill changes nothing about the point");
    assert_eq!(program.tables(), before, "every table is as it was, and no copy is left");
    let drill = &done["drill"];
    assert_eq!((drill["source"].as_str(), drill["kept"].as_bool()), (Some("point_in_time"), Some(false)));
    assert_eq!(drill["verify"]["sound"], true, "{drill:#}");
    let tables = drill["tables"].as_array().unwrap();
    assert_eq!(tables.len(), before.len());
    let prefix = drill["prefix"].as_str().unwrap();
    for table in tables {
        assert_eq!(table["removed"], true, "{table:#}");
        assert_eq!(table["copy"], format!("{prefix}{}", table["name"].as_str().unwrap()));
        assert!(before.values().all(|id| table["id"] != **id) && table["restore_ms"].as_f64() > Some(0.0), "{table:#}");
    }
    assert!(drill["restore_ms"].as_f64() > Some(0.0), "{drill:#}");
    let page = std::fs::read_to_string(page).unwrap();
    for wanted in [id.as_str(), "**sound**", "point-in-time recovery", prefix, "bank.accounts_0"] {
        assert!(page.contains(wanted), "{wanted}: {page}");
    }
    let again = program.json(&["drill", &id, "--abort"]).await;
    assert_eq!(named(&again), (Some(4), Some("nothing_to_abort")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_prepared_point_is_drilled_from_its_backups_aborted_and_kept_on_demand() {
    let program = Program::start(42).await;
    let id = program.point("prepared").await;
    let (tables, backups) = (program.tables(), program.backups().len());
    let short = program.json(&["drill", &id, "--wait-timeout", "1s"]).await;
    assert_eq!(named(&short), (Some(5), Some("still_drilling")), "{short:#}");
    let status = program.json(&["status"]).await;
    assert_eq!(status["runs"][0]["kind"], "drill", "{status:#}");
    let other = program.json(&["prepare", &id, "--abort"]).await;
    assert_eq!(named(&other), (Some(4), Some("other_work")), "{other:#}");
    let aborted = program.json(&["drill", &id, "--abort"]).await;
    assert_eq!((named(&aborted), aborted["state"].as_str()), ((Some(0), None), Some("prepared")), "{aborted:#}");
    assert_eq!((program.tables(), program.backups().len()), (tables.clone(), backups));

    let kept = program.json(&["drill", &id, "--keep", "--prefix", "look-", "--read-units", "1000"]).await;
    assert_eq!(named(&kept), (Some(0), None), "{kept:#}");
    assert_eq!((kept["drill"]["source"].as_str(), kept["state"].as_str()), (Some("backups"), Some("prepared")));
    let prefix = kept["drill"]["prefix"].as_str().unwrap().to_owned();
    assert!(prefix.starts_with("look-") && prefix.len() > 12, "{prefix}");
    assert_eq!(program.tables().len(), 2 * tables.len());
    let verified = program.json(&["verify", &id, "--prefix", &prefix]).await;
    assert_eq!((named(&verified), verified["verify"]["sound"].as_bool()), ((Some(0), None), Some(true)));
    assert_eq!(program.backups().len(), backups, "a drill makes no backup and deletes none");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_drill_of_tables_that_are_not_sound_says_so_and_still_removes_its_copies() {
    let program = Program::start(43).await;
    for (table, state) in [("bank.accounts_0", "3"), ("bank.accounts_1", "1")] {
        let item = json!({
            "concatenatedPartitionKey": { "B": "gAAnEA==" },
            "account_id": { "N": "10000" },
            "balance": { "N": "0" },
            "tx_id": { "S": "torn" },
            "tx_state": { "N": state },
            "tx_version": { "N": "1" },
            "tx_prepared_at": { "N": "1700000000000" },
        });
        program.call("PutItem", json!({ "TableName": table, "Item": item }));
    }
    let id = program.sealed().await;
    let before = program.tables();
    let done = program.json(&["drill", &id]).await;
    assert_eq!(named(&done), (Some(1), Some("not_sound")), "{done:#}");
    let found = &done["drill"]["verify"]["databases"][0];
    assert_eq!(found["broken"], json!({ "TornTransaction": 1 }), "{found:#}");
    assert!(found["violations"][0]["table"].as_str().unwrap().ends_with("bank.accounts_0"));
    assert_eq!(program.tables(), before);

    let refused = program.json(&["drill", &id, "--prefix", "bank-"]).await;
    assert_eq!(named(&refused), (Some(4), Some("database_settings")), "{refused:#}");
    let denied = program.db().deny("DeleteTable", "*");
    let refused = program.json(&["drill", &id]).await;
    assert_eq!(named(&refused), (Some(4), Some("permission_denied")), "nothing is made that could not be removed");
    program.db().remove(denied);
    assert!(refused["drill"].is_null() && refused.get("attempts").is_some());
    assert_eq!(program.tables(), before);
}
