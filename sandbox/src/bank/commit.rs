//! ScalarDB's consensus commit, one database call per function. A record is prepared by a conditional write, the
//! coordinator's row decides, and whoever reads a record whose fate is not yet applied, applies it (lazy recovery).

use serde_json::{Value, json};

use super::schema::{
    ABORTED, COMMITTED, COORDINATOR_TABLE, DELETED, PREPARED, TX_COLUMNS, accounts_table, coordinator_row, int_key,
    text_key,
};
use super::store::{Item, Store, StoreError, dynamo, n, number, s, text};

/// How long a prepared record without a decision is left alone, by its `tx_prepared_at`.
const TRANSACTION_LIFETIME_MS: i64 = 15_000;

/// One account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) table: usize,
    pub(super) id: i32,
}

/// A record as it was read.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) account: Account,
    item: Item,
}

/// What stands in a transaction's way.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Another transaction holds or changed a record.
    Conflict,
    /// The pod's process ended.
    PodGone,
    /// The database failed; what it was asked to do may be done or not.
    Store(StoreError),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        if error.is_condition() { Self::Conflict } else { Self::Store(error) }
    }
}

impl Record {
    pub(super) fn balance(&self) -> i64 {
        number(&self.item, "balance").unwrap_or(0)
    }

    fn tx_id(&self) -> &str {
        text(&self.item, "tx_id").unwrap_or_default()
    }
}

fn key(account: Account) -> Value {
    json!({ "concatenatedPartitionKey": int_key(account.id) })
}

fn update(
    store: &dyn Store,
    account: Account,
    set: &[(String, Value)],
    condition: &str,
    mut values: Item,
) -> Result<(), Trouble> {
    let mut assignments = Vec::new();
    for (place, (column, value)) in set.iter().enumerate() {
        assignments.push(format!("{column} = :new{place}"));
        values.insert(format!(":new{place}"), value.clone());
    }
    let body = json!({
        "TableName": accounts_table(account.table),
        "Key": key(account),
        "UpdateExpression": format!("SET {}", assignments.join(", ")),
        "ConditionExpression": condition,
        "ExpressionAttributeValues": values,
    });
    dynamo(store, "UpdateItem", body)?;
    Ok(())
}

/// Reads an account. A record whose fate is not yet applied is recovered, and the reader has to come again: Conflict.
pub(super) fn read(store: &dyn Store, account: Account, now_ms: i64) -> Result<Record, Trouble> {
    let body = json!({ "TableName": accounts_table(account.table), "Key": key(account), "ConsistentRead": true });
    let answer = dynamo(store, "GetItem", body)?;
    let item = answer.get("Item").and_then(Value::as_object).cloned().ok_or(Trouble::Conflict)?;
    let record = Record { account, item };
    // A missing state counts as committed: such records were imported.
    match number(&record.item, "tx_state") {
        Some(PREPARED | DELETED) => {
            recover(store, &record, now_ms)?;
            Err(Trouble::Conflict)
        }
        _ => Ok(record),
    }
}

fn decision(store: &dyn Store, tx_id: &str) -> Result<Option<i64>, Trouble> {
    let key = json!({ "concatenatedPartitionKey": text_key(tx_id) });
    let answer =
        dynamo(store, "GetItem", json!({ "TableName": COORDINATOR_TABLE, "Key": key, "ConsistentRead": true }))?;
    Ok(answer.get("Item").and_then(Value::as_object).and_then(|row| number(row, "tx_state")))
}

fn recover(store: &dyn Store, record: &Record, now_ms: i64) -> Result<(), Trouble> {
    let tx_id = record.tx_id();
    let fate = match decision(store, tx_id)? {
        Some(fate) => fate,
        None if number(&record.item, "tx_prepared_at").unwrap_or(0) + TRANSACTION_LIFETIME_MS >= now_ms => {
            return Ok(());
        }
        None => match decide(store, tx_id, ABORTED, now_ms) {
            Ok(()) => ABORTED,
            // Its owner was quicker after all.
            Err(Trouble::Conflict) => decision(store, tx_id)?.unwrap_or(ABORTED),
            Err(trouble) => return Err(trouble),
        },
    };
    let applied = match fate {
        COMMITTED => apply(store, record.account, tx_id, now_ms),
        _ => roll_back(store, record, tx_id),
    };
    match applied {
        // Somebody else was quicker.
        Err(Trouble::Conflict) => Ok(()),
        applied => applied,
    }
}

/// Writes the new balance beside the old image, if the record is still the one that was read.
pub(super) fn prepare(
    store: &dyn Store,
    record: &Record,
    tx_id: &str,
    balance: i64,
    now_ms: i64,
) -> Result<(), Trouble> {
    let version = number(&record.item, "tx_version").unwrap_or(0);
    let mut set = vec![
        ("tx_id".to_owned(), s(tx_id)),
        ("tx_state".to_owned(), n(PREPARED)),
        ("tx_version".to_owned(), n(version + 1)),
        ("tx_prepared_at".to_owned(), n(now_ms)),
        ("balance".to_owned(), n(balance)),
    ];
    let null = json!({ "NULL": true });
    for column in TX_COLUMNS.iter().map(|(name, _)| *name).chain(["balance"]) {
        set.push((format!("before_{column}"), record.item.get(column).unwrap_or(&null).clone()));
    }
    let read = Item::from_iter([(":id".to_owned(), s(record.tx_id())), (":version".to_owned(), n(version))]);
    update(store, record.account, &set, "tx_id = :id AND tx_version = :version", read)
}

/// Puts the coordinator's row. Conflict: the fate was decided before.
pub(super) fn decide(store: &dyn Store, tx_id: &str, fate: i64, now_ms: i64) -> Result<(), Trouble> {
    let body = json!({
        "TableName": COORDINATOR_TABLE,
        "Item": coordinator_row(tx_id, fate, now_ms),
        "ConditionExpression": "attribute_not_exists(concatenatedPartitionKey)",
    });
    dynamo(store, "PutItem", body)?;
    Ok(())
}

fn held_by(tx_id: &str) -> Item {
    Item::from_iter([
        (":id".to_owned(), s(tx_id)),
        (":prepared".to_owned(), n(PREPARED)),
        (":deleted".to_owned(), n(DELETED)),
    ])
}

const HELD: &str = "tx_id = :id AND tx_state IN (:prepared, :deleted)";

/// Makes a prepared record a committed one. Conflict: it is not prepared by this transaction any more.
pub(super) fn apply(store: &dyn Store, account: Account, tx_id: &str, now_ms: i64) -> Result<(), Trouble> {
    let set = [("tx_state".to_owned(), n(COMMITTED)), ("tx_committed_at".to_owned(), n(now_ms))];
    update(store, account, &set, HELD, held_by(tx_id))
}

/// Puts the before image back. `record` as prepared. Conflict: it is not prepared by this transaction any more.
fn roll_back(store: &dyn Store, record: &Record, tx_id: &str) -> Result<(), Trouble> {
    let null = json!({ "NULL": true });
    let mut set = Vec::new();
    for column in TX_COLUMNS.iter().map(|(name, _)| *name).chain(["balance"]) {
        let before = format!("before_{column}");
        set.push((column.to_owned(), record.item.get(&before).unwrap_or(&null).clone()));
        set.push((before, null.clone()));
    }
    update(store, record.account, &set, HELD, held_by(tx_id))
}

/// Rolls back what this transaction prepared on the account, whatever it looked like before.
pub(super) fn undo(store: &dyn Store, account: Account, tx_id: &str) -> Result<(), Trouble> {
    let body = json!({ "TableName": accounts_table(account.table), "Key": key(account), "ConsistentRead": true });
    let answer = dynamo(store, "GetItem", body)?;
    let item = answer.get("Item").and_then(Value::as_object).cloned().ok_or(Trouble::Conflict)?;
    let record = Record { account, item };
    if record.tx_id() == tx_id { roll_back(store, &record, tx_id) } else { Ok(()) }
}
