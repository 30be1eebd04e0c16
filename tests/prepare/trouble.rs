//! Trouble in the middle of `prepare`: its name, its exit code, and the way on.

use crate::program::Program;
use serde_json::{Value, json};
use std::time::Duration;
use stillpoint_sandbox::dynamodb::{Effect, Fault, ServiceError};

/// Exit code and name, and that message and hint say this.
fn told(value: &Value, exit: u64, name: &str, message: &str, hint: &str) {
    assert_eq!((value["exit_code"].as_u64(), value["error"]["name"].as_str()), (Some(exit), Some(name)), "{value:#}");
    assert!(value["error"]["message"].as_str().unwrap().contains(message), "{message}: {value:#}");
    assert!(value["error"]["hint"].as_str().unwrap().contains(hint), "{hint}: {value:#}");
}

/// The staging table of this table, as soon as there is one.
async fn staging(program: &Program, table: &str) -> String {
    for _ in 0..3000 {
        let names = program.tables().into_keys();
        if let Some(name) = names.into_iter().find(|name| name.starts_with("rp-") && name.ends_with(table)) {
            return name;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("there was never a staging table of {table}");
}

fn user_table(program: &Program) -> String {
    program.tables().into_keys().find(|name| name.starts_with("bank.")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_goes_wrong_in_the_middle_is_named_and_the_same_command_goes_on_when_it_is_mended() {
    let program = Program::with_lag(31, 60.0).await;
    let void = program.void().await;
    let refused = program.json(&["prepare", &void]).await;
    told(&refused, 1, "point_void", "no restore time", "create");

    let id = program.sealed().await;
    let (before, table) = (program.tables(), user_table(&program));
    let prepare = ["prepare", id.as_str()];
    program.db().force_status(&table, Some("INACCESSIBLE_ENCRYPTION_CREDENTIALS"));
    let key = program.json(&prepare).await;
    told(&key, 1, "data_set_state", "KMS key", "enable the key");
    assert_eq!(key["state"], "preparing");
    assert_eq!(program.backups().len(), before.len() - 1, "the others went on");
    program.db().force_status(&table, None);

    let (vanished, ()) = tokio::join!(program.json(&prepare), async {
        let staging = staging(&program, &table).await;
        program.db().fail_creation(&staging);
    });
    told(&vanished, 1, "data_set_state", "ended without a table", "KMS key");

    let denied = program.db().deny("DeleteTable", "*");
    let right = program.json(&prepare).await;
    told(&right, 1, "permission_denied", "DeleteTable", "dynamodb:DeleteTable");
    program.db().remove(denied);

    let backups = program.backups();
    let ours = backups.iter().find(|backup| backup["TableName"].as_str().unwrap().ends_with(&table)).unwrap();
    program.call("DeleteBackup", json!({ "BackupArn": ours["BackupArn"] }));
    let gone = program.json(&prepare).await;
    told(&gone, 1, "data_set_state", "is gone", "CloudTrail");

    let done = program.json(&prepare).await;
    assert_eq!((done["exit_code"].as_u64(), done["state"].as_str()), (Some(0), Some("prepared")), "{done:#}");
    assert_eq!((program.tables(), program.backups().len()), (before.clone(), before.len()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_point_lost_while_it_is_prepared_can_be_aborted_and_is_lost_then() {
    let program = Program::with_lag(32, 60.0).await;
    let id = program.sealed().await;
    let (before, table) = (program.tables(), user_table(&program));
    let full = ServiceError::new("LimitExceededException", "Only 50 restore operations can be in progress");
    let full = program.db().inject(Fault {
        operation: "RestoreTableToPointInTime".to_owned(),
        table: table.clone(),
        times: None,
        effect: Effect::Error(full),
    });
    let prepare = ["prepare", id.as_str()];
    let (lost, ()) = tokio::join!(program.json(&prepare), async {
        program.written(&id, |names| names.iter().any(|name| name == "unit_record")).await;
        for on in [false, true] {
            let switch = json!({ "PointInTimeRecoveryEnabled": on });
            let body = json!({ "TableName": table, "PointInTimeRecoverySpecification": switch });
            program.call("UpdateContinuousBackups", body);
        }
        program.db().remove(full);
    });
    told(&lost, 6, "point_lost", "off and on", "--abort");
    assert_eq!(lost["state"], "preparing");
    let status = program.json(&["status"]).await;
    assert_eq!((status["runs"][0]["kind"].as_str(), &status["runs"][0]["holder"]), (Some("prepare"), &Value::Null));
    let aborted = program.json(&["prepare", &id, "--abort"]).await;
    assert_eq!((aborted["exit_code"].as_u64(), aborted["state"].as_str()), (Some(0), Some("sealed")), "{aborted:#}");
    assert_eq!((program.tables(), program.backups().len()), (before, 0), "nothing is left of it");
    let lost = program.json(&prepare).await;
    told(&lost, 6, "point_lost", "off and on", "create");
    assert_eq!(lost["state"], "lost");
}
