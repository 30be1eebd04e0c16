//! What happens to the bank before a restore.

use super::program::Program;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use stillpoint_sandbox::dynamodb::{Effect, Fault, FaultId, ServiceError};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// The tables of the bank as they are.
pub struct Disaster;

impl Disaster {
    /// The first table is overwritten, a row of it deleted; the second is dropped.
    pub fn strike(program: &Program) {
        let tables: Vec<_> = program.tables().into_keys().filter(|name| name.starts_with("bank.")).collect();
        let items = program.call("Scan", json!({ "TableName": tables[0] }))["Items"].as_array().unwrap().clone();
        let key = |item: &Value| json!({ "concatenatedPartitionKey": item["concatenatedPartitionKey"] });
        program.call("DeleteItem", json!({ "TableName": tables[0], "Key": key(&items[0]) }));
        let mut item = items[1].clone();
        item["balance"] = json!({ "N": "999999" });
        program.call("PutItem", json!({ "TableName": tables[0], "Item": item }));
        program.call("DeleteTable", json!({ "TableName": tables[1] }));
        while program.call("ListTables", json!({}))["TableNames"].as_array().unwrap().contains(&json!(tables[1])) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Every item of every table.
    pub fn data(program: &Program) -> BTreeMap<String, Vec<String>> {
        let listed = program.call("ListTables", json!({}));
        let names = listed["TableNames"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
        let items = |name: &str| {
            let scanned = program.call("Scan", json!({ "TableName": name }));
            assert!(scanned["LastEvaluatedKey"].is_null());
            let mut items: Vec<_> = scanned["Items"].as_array().unwrap().iter().map(Value::to_string).collect();
            items.sort();
            items
        };
        names.map(|name| (name.clone(), items(&name))).collect()
    }
}

/// Whether a backup was made of what a restore replaced.
pub fn is_safety(backup: &Value) -> bool {
    backup["BackupName"].as_str().is_some_and(|name| name.contains("-before-"))
}

/// Scales to nought.
pub async fn stop_pods(program: &Program) {
    for pod in program.sandbox().pods() {
        pod.die().await;
    }
}

/// An address at which nobody listens.
pub fn nobodys_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// From now on something answers there, though it is no Scalar Admin.
pub async fn answer_at(address: &str) -> AbortHandle {
    let listener = TcpListener::bind(address).await.unwrap();
    let answering = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    answering.abort_handle()
}

/// No backup of a table of the bank itself is seen to be AVAILABLE until the fault is removed: each call about one waits.
pub fn hold_safety_backups(program: &Program) -> FaultId {
    let (operation, table) = ("DescribeBackup".to_owned(), "bank.*".to_owned());
    program.db().inject(Fault { operation, table, times: None, effect: Effect::Hold })
}

/// No restore from a backup is answered, nor does it act, until the fault is removed.
pub fn no_restore_is_answered(program: &Program) -> FaultId {
    let effect = Effect::Error(ServiceError::new("InternalServerError", "as told by the test").with_status(500));
    let (operation, table) = ("RestoreTableFromBackup".to_owned(), "*".to_owned());
    program.db().inject(Fault { operation, table, times: None, effect })
}

/// The history of one table begins anew.
pub fn toggle_recovery(program: &Program) {
    let tables = program.tables();
    let (name, _) = tables.iter().find(|(name, _)| name.starts_with("bank.")).unwrap();
    for on in [false, true] {
        let switch = json!({ "PointInTimeRecoveryEnabled": on });
        program
            .call("UpdateContinuousBackups", json!({ "TableName": name, "PointInTimeRecoverySpecification": switch }));
    }
}
