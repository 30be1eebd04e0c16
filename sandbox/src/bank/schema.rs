//! The physical layout that ScalarDB gives its tables on DynamoDB, and how it creates and drops them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::store::{Item, Store, StoreError, dynamo, n, s, when_ready};

/// Where ScalarDB keeps the columns and keys of every table it made.
pub const METADATA_TABLE: &str = "scalardb.metadata";
/// Where the fate of every transaction is decided.
pub const COORDINATOR_TABLE: &str = "coordinator.state";

/// `tx_state`: written, fate not yet applied.
pub(super) const PREPARED: i64 = 1;
/// `tx_state`: marked for deletion, fate not yet applied.
pub(super) const DELETED: i64 = 2;
/// `tx_state` of records and of the coordinator's rows.
pub(super) const COMMITTED: i64 = 3;
/// `tx_state` of the coordinator's rows only.
pub(super) const ABORTED: i64 = 4;

/// The columns that ScalarDB adds for its transactions; each exists once more with `before_` in front.
pub(super) const TX_COLUMNS: [(&str, &str); 5] = [
    ("tx_id", "text"),
    ("tx_state", "int"),
    ("tx_version", "int"),
    ("tx_prepared_at", "bigint"),
    ("tx_committed_at", "bigint"),
];

/// Name of the n-th table of accounts.
pub fn accounts_table(index: usize) -> String {
    format!("bank.accounts_{index}")
}

/// ScalarDB's order-preserving encoding of one INT key column, as DynamoDB's JSON binary.
pub(super) fn int_key(value: i32) -> Value {
    // Flipping the sign bit makes the unsigned order of the bytes the signed order of the numbers.
    let ordered = value.cast_unsigned() ^ 0x8000_0000;
    json!({ "B": STANDARD.encode(ordered.to_be_bytes()) })
}

/// The same for one TEXT key column: its bytes, closed by a zero.
pub(super) fn text_key(value: &str) -> Value {
    let mut bytes = value.as_bytes().to_vec();
    bytes.push(0);
    json!({ "B": STANDARD.encode(bytes) })
}

fn transactional_columns() -> serde_json::Map<String, Value> {
    let mut columns = serde_json::Map::new();
    columns.insert("account_id".into(), s("int"));
    columns.insert("balance".into(), s("bigint"));
    columns.insert("before_balance".into(), s("bigint"));
    for (name, kind) in TX_COLUMNS {
        columns.insert(name.into(), s(kind));
        columns.insert(format!("before_{name}"), s(kind));
    }
    columns
}

fn coordinator_columns() -> serde_json::Map<String, Value> {
    let columns = [("tx_id", "text"), ("tx_state", "int"), ("tx_created_at", "bigint"), ("tx_child_ids", "text")];
    columns.into_iter().map(|(name, kind)| (name.to_owned(), s(kind))).collect()
}

/// The item that describes a table in ScalarDB's metadata.
fn metadata_item(table: &str) -> Item {
    let (columns, key) = match table {
        COORDINATOR_TABLE => (coordinator_columns(), "tx_id"),
        _ => (transactional_columns(), "account_id"),
    };
    let mut item = Item::new();
    item.insert("table".into(), s(table));
    item.insert("columns".into(), json!({ "M": columns }));
    item.insert("partitionKey".into(), json!({ "L": [s(key)] }));
    item
}

fn start_creating(store: &dyn Store, table: &str) -> Result<(), StoreError> {
    let (key, kind, units) = match table {
        METADATA_TABLE => ("table", "S", 1),
        _ => ("concatenatedPartitionKey", "B", 10),
    };
    let body = json!({
        "TableName": table,
        "AttributeDefinitions": [{ "AttributeName": key, "AttributeType": kind }],
        "KeySchema": [{ "AttributeName": key, "KeyType": "HASH" }],
        "BillingMode": "PROVISIONED",
        "ProvisionedThroughput": { "ReadCapacityUnits": units, "WriteCapacityUnits": units },
    });
    when_ready(store, "DynamoDB_20120810.CreateTable", &body).map(|_| ())
}

fn finish_creating(store: &dyn Store, table: &str) -> Result<(), StoreError> {
    wait_for_status(store, table, Some("ACTIVE"))?;
    let specification = json!({ "PointInTimeRecoveryEnabled": true });
    let body = json!({ "TableName": table, "PointInTimeRecoverySpecification": specification });
    when_ready(store, "DynamoDB_20120810.UpdateContinuousBackups", &body)?;
    if table == METADATA_TABLE {
        return Ok(());
    }
    auto_scaling(store, table)?;
    dynamo(store, "PutItem", json!({ "TableName": METADATA_TABLE, "Item": metadata_item(table) })).map(|_| ())
}

/// ScalarDB lets the capacity of its tables follow their use, at 70 %.
fn auto_scaling(store: &dyn Store, table: &str) -> Result<(), StoreError> {
    for direction in ["Read", "Write"] {
        let target = json!({
            "ServiceNamespace": "dynamodb",
            "ResourceId": format!("table/{table}"),
            "ScalableDimension": format!("dynamodb:table:{direction}CapacityUnits"),
        });
        let mut register = target.clone();
        register["MinCapacity"] = json!(1);
        register["MaxCapacity"] = json!(10);
        when_ready(store, "AnyScaleFrontendService.RegisterScalableTarget", &register)?;
        let mut policy = target;
        policy["PolicyName"] = json!(format!("{table}-dynamodb:table:{direction}CapacityUnits"));
        policy["PolicyType"] = json!("TargetTrackingScaling");
        policy["TargetTrackingScalingPolicyConfiguration"] = json!({
            "TargetValue": 70.0,
            "ScaleInCooldown": 60,
            "ScaleOutCooldown": 60,
            "PredefinedMetricSpecification": {
                "PredefinedMetricType": format!("DynamoDB{direction}CapacityUtilization"),
            },
        });
        when_ready(store, "AnyScaleFrontendService.PutScalingPolicy", &policy)?;
    }
    Ok(())
}

fn wait_for_status(store: &dyn Store, table: &str, wanted: Option<&str>) -> Result<(), StoreError> {
    loop {
        let status = match dynamo(store, "DescribeTable", json!({ "TableName": table })) {
            Ok(answer) => answer["Table"]["TableStatus"].as_str().map(str::to_owned),
            Err(error) if error.code == "ResourceNotFoundException" && wanted.is_none() => return Ok(()),
            // Just after CreateTable the answer may still lag.
            Err(error) if error.is_busy() || error.code == "ResourceNotFoundException" => None,
            Err(error) => return Err(error),
        };
        if wanted.is_some() && status.as_deref() == wanted {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// Creates ScalarDB's metadata and coordinator tables and `tables` tables of accounts: PROVISIONED, with point-in-time
/// recovery, auto scaling and metadata, as ScalarDB does. Blocks until all are usable. Not repeatable.
///
/// # Errors
/// What the database answered, e.g. that a table exists.
pub fn create_tables(store: &dyn Store, tables: usize) -> Result<(), StoreError> {
    let mut names = vec![METADATA_TABLE.to_owned(), COORDINATOR_TABLE.to_owned()];
    names.extend((0..tables).map(accounts_table));
    // All at once, so that their lags run side by side.
    names.iter().try_for_each(|table| start_creating(store, table))?;
    names.iter().try_for_each(|table| finish_creating(store, table))
}

/// ScalarDB's own "create table" through a server: passes any gate. Blocks until the table is usable.
///
/// # Errors
/// What the database answered.
pub fn create_table(store: &dyn Store, table: &str) -> Result<(), StoreError> {
    start_creating(store, table)?;
    finish_creating(store, table)
}

/// ScalarDB's own "drop table" through a server: passes any gate. Blocks until the table is gone.
///
/// # Errors
/// What the database answered.
pub fn drop_table(store: &dyn Store, table: &str) -> Result<(), StoreError> {
    when_ready(store, "DynamoDB_20120810.DeleteTable", &json!({ "TableName": table }))?;
    wait_for_status(store, table, None)?;
    let key = json!({ "table": s(table) });
    dynamo(store, "DeleteItem", json!({ "TableName": METADATA_TABLE, "Key": key })).map(|_| ())
}

/// Opens accounts 0..`accounts` in every table with `balance` each, committed by one transaction of that id.
///
/// # Errors
/// What the database answered.
pub fn open_accounts(
    store: &dyn Store,
    tables: usize,
    accounts: usize,
    balance: i64,
    tx_id: &str,
    now_ms: i64,
) -> Result<(), StoreError> {
    for table in (0..tables).map(accounts_table) {
        for account in 0..i32::try_from(accounts).unwrap_or(i32::MAX) {
            let item = json!({
                "concatenatedPartitionKey": int_key(account),
                "account_id": n(i64::from(account)),
                "balance": n(balance),
                "tx_id": s(tx_id),
                "tx_state": n(COMMITTED),
                "tx_version": n(1),
                "tx_prepared_at": n(now_ms),
                "tx_committed_at": n(now_ms),
            });
            dynamo(store, "PutItem", json!({ "TableName": table, "Item": item }))?;
        }
    }
    let row = coordinator_row(tx_id, COMMITTED, now_ms);
    dynamo(store, "PutItem", json!({ "TableName": COORDINATOR_TABLE, "Item": row })).map(|_| ())
}

pub(super) fn coordinator_row(tx_id: &str, state: i64, now_ms: i64) -> Value {
    json!({
        "concatenatedPartitionKey": text_key(tx_id),
        "tx_id": s(tx_id),
        "tx_state": n(state),
        "tx_created_at": n(now_ms),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_int_keys_sort_as_their_numbers() {
        let bytes = |value: i32| STANDARD.decode(int_key(value)["B"].as_str().unwrap()).unwrap();
        let numbers = [i32::MIN, -5, -1, 0, 1, 300, i32::MAX];
        assert!(numbers.windows(2).all(|pair| bytes(pair[0]) < bytes(pair[1])));
    }

    #[test]
    fn metadata_tells_columns_and_key_of_each_table() {
        let item = metadata_item("bank.accounts_0");
        assert_eq!(item["columns"]["M"]["before_tx_prepared_at"]["S"], "bigint");
        assert_eq!(item["partitionKey"]["L"][0]["S"], "account_id");
        let item = metadata_item(COORDINATOR_TABLE);
        assert_eq!(item["partitionKey"]["L"][0]["S"], "tx_id");
    }
}
