//! `prepare` from outside: the program against a sandbox over the wire, killed, doubled, aborted, refused.

// Helpers of tests end the test that they cannot help.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

#[allow(dead_code)] // The tests of restore use the rest.
mod program;
mod prune;
mod trouble;

use program::Program;
use serde_json::json;
use std::time::Duration;

/// From now on the program may do what its policy allows, and the data of every table has to exist somewhere after every call.
fn watched(program: Program) -> Program {
    program.bind("sandbox", "backup");
    let tables = program.tables();
    program.db().guard_set(&tables.keys().map(String::as_str).collect::<Vec<_>>());
    program
}

fn nothing_lost(program: &Program) {
    let violations = program.db().violations();
    assert!(violations.is_empty(), "the data of a table was nowhere: {violations:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn killed_again_and_again_prepare_goes_on_and_ends_with_one_backup_of_each_table() {
    let program = watched(Program::start(11).await);
    let id = program.sealed().await;
    let before = program.tables();
    let mut kills = 0;
    for written in (1..).step_by(2).take(8) {
        if program.killed_after(&["prepare", &id], &id, written).await {
            kills += 1;
        }
    }
    assert!(kills > 3, "{kills}");
    let done = program.json(&["prepare", &id]).await;
    assert_eq!((done["exit_code"].as_u64(), done["state"].as_str()), (Some(0), Some("prepared")), "{done:#}");
    assert_eq!(program.tables(), before, "every table is as it was, and nothing else is left");
    let backups = program.backups();
    assert_eq!(backups.len(), before.len(), "{backups:#?}");
    for set in done["databases"][0]["data_sets"].as_array().unwrap() {
        let arn = set["reason"].as_str().unwrap().strip_prefix("prepared: ").unwrap();
        let of = |backup: &&serde_json::Value| backup["BackupArn"] == arn;
        let backup = backups.iter().find(of).unwrap();
        assert_eq!(backup["BackupStatus"], "AVAILABLE");
        assert!(backup["TableName"].as_str().unwrap().ends_with(set["name"].as_str().unwrap()));
    }
    let calls = program.changes();
    let again = program.json(&["prepare", &id]).await;
    assert_eq!((again["exit_code"].as_u64(), again["state"].as_str()), (Some(0), Some("prepared")));
    assert_eq!(program.changes(), calls, "a repeat does nothing");
    let abort = program.json(&["prepare", &id, "--abort"]).await;
    assert_eq!((abort["exit_code"].as_u64(), abort["error"]["name"].as_str()), (Some(4), Some("nothing_to_abort")));
    let listed = program.json(&["list"]).await;
    assert_eq!(listed["points"][0]["state"], "prepared");
    nothing_lost(&program);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_at_once_one_works_and_what_was_begun_can_be_aborted() {
    let program = watched(Program::start(12).await);
    let id = program.sealed().await;
    let before = program.tables();
    let prepare = ["prepare", id.as_str()];
    let (first, second) = tokio::join!(program.json(&prepare), async {
        program.written(&id, |names| names.iter().any(|name| name == "work_held")).await;
        let status = program.json(&["status"]).await;
        assert_eq!(status["runs"][0]["kind"], "prepare", "{status:#}");
        assert!(status["runs"][0]["holder"].as_str().unwrap().starts_with("process "), "{status:#}");
        program.json(&prepare).await
    });
    assert_eq!(first["exit_code"], 0, "{first:#}");
    assert_eq!((second["exit_code"].as_u64(), second["error"]["name"].as_str()), (Some(4), Some("work_held")));
    assert!(second["error"]["message"].as_str().unwrap().contains("process "), "{second:#}");
    assert_eq!(program.backups().len(), before.len());

    let id = program.sealed().await;
    let short = program.json(&["prepare", &id, "--wait-timeout", "1s"]).await;
    assert_eq!((short["exit_code"].as_u64(), short["error"]["name"].as_str()), (Some(5), Some("still_preparing")));
    assert_eq!(short["state"], "preparing");
    let aborted = program.json(&["prepare", &id, "--abort"]).await;
    assert_eq!((aborted["exit_code"].as_u64(), aborted["state"].as_str()), (Some(0), Some("sealed")), "{aborted:#}");
    assert_eq!(program.tables(), before);
    assert_eq!(program.backups().len(), before.len(), "the other point's backups stay");
    nothing_lost(&program);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_cannot_be_prepared_is_refused_with_what_to_do() {
    let program = watched(Program::with_lag(13, 1_200.0).await);
    let unknown = program.json(&["prepare", "manual-20261123T030000Z-aaaa"]).await;
    assert_eq!((unknown["exit_code"].as_u64(), unknown["error"]["name"].as_str()), (Some(4), Some("not_found")));

    let early = program.point("recorded").await;
    let refused = program.json(&["prepare", &early]).await;
    assert_eq!((refused["exit_code"].as_u64(), refused["error"]["name"].as_str()), (Some(5), Some("not_sealed")));
    assert!(refused["error"]["message"].as_str().unwrap().contains("expected by"), "{refused:#}");
    assert!(refused["error"]["hint"].as_str().unwrap().contains("prepare"), "{refused:#}");

    let id = program.sealed().await;
    let denied = program.db().deny("CreateBackup", "*");
    let refused = program.json(&["prepare", &id]).await;
    assert_eq!(
        (refused["exit_code"].as_u64(), refused["error"]["name"].as_str()),
        (Some(4), Some("permission_denied"))
    );
    assert!(refused["error"]["hint"].as_str().unwrap().contains("dynamodb:CreateBackup"));
    assert_eq!(refused["state"], "sealed");
    program.db().remove(denied);

    let tables = program.tables();
    let (name, _) = tables.iter().find(|(name, _)| name.starts_with("bank.")).unwrap();
    for on in [false, true] {
        let switch = json!({ "PointInTimeRecoveryEnabled": on });
        program
            .call("UpdateContinuousBackups", json!({ "TableName": name, "PointInTimeRecoverySpecification": switch }));
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let lost = program.json(&["prepare", &id]).await;
    assert_eq!((lost["exit_code"].as_u64(), lost["error"]["name"].as_str()), (Some(6), Some("point_lost")), "{lost:#}");
    assert!(lost["error"]["message"].as_str().unwrap().contains("off and on"), "{lost:#}");
    assert_eq!(lost["state"], "lost");
    let again = program.json(&["prepare", &id]).await;
    assert_eq!(again["exit_code"], 6);
    nothing_lost(&program);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn create_can_wait_until_the_point_is_prepared() {
    let program = watched(Program::start(14).await);
    let point = program.json(&["create", "--wait", "prepared"]).await;
    assert_eq!((point["exit_code"].as_u64(), point["state"].as_str()), (Some(0), Some("prepared")), "{point:#}");
    assert_eq!(program.backups().len(), program.tables().len());
    nothing_lost(&program);
}
