//! The bank's auditor: adds up restored tables as ScalarDB itself would read them, and looks for what cannot be.
//!
//! Pure, and on its own: it shares no code with the workload it judges, not even the names of columns.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Item;

/// What the auditor found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditReport {
    /// What all balances together must be.
    pub expected: i64,
    /// What they are, read through recovery.
    pub found: i64,
    /// What they would be without recovery: proves nothing, shows why recovery matters.
    pub raw: i64,
    /// One line per table of accounts.
    pub tables: Vec<TableReport>,
    /// Rows of the coordinator.
    pub decisions: usize,
    /// What no recovery can put right.
    pub anomalies: Vec<Anomaly>,
}

/// One table of accounts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableReport {
    /// Name.
    pub table: String,
    /// Records in it.
    pub records: usize,
    /// Records whose fate is applied.
    pub committed: usize,
    /// Records that were written and wait for their fate.
    pub prepared: usize,
    /// Records that were marked for deletion and wait for their fate.
    pub deleted: usize,
    /// Of the waiting: those that become the new image.
    pub rolled_forward: usize,
    /// Of the waiting: those that become the old image.
    pub rolled_back: usize,
    /// Sum of balances, read through recovery.
    pub sum: i64,
}

/// Something that cannot be in a consistent state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anomaly {
    /// Table of the record.
    pub table: String,
    /// Its account.
    pub account: String,
    /// The transaction that wrote it.
    pub tx_id: String,
    /// What is wrong, for people.
    pub what: String,
}

impl AuditReport {
    /// Does every balance add up, with nothing that cannot be?
    pub fn is_consistent(&self) -> bool {
        self.found == self.expected && self.anomalies.is_empty()
    }

    /// Records that wait for their fate, in all tables.
    pub fn in_doubt(&self) -> usize {
        self.tables.iter().map(|table| table.prepared + table.deleted).sum()
    }
}

/// Stands where an item has no such attribute, or NULL.
const UNKNOWN: &str = "?";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Committed,
    Aborted,
}

fn whole(item: &Item, attribute: &str) -> Option<i64> {
    item.get(attribute).and_then(|value| value.get("N")).and_then(Value::as_str).and_then(|digits| digits.parse().ok())
}

fn string(item: &Item, attribute: &str) -> String {
    let value = item.get(attribute);
    let inner = value.and_then(|value| value.get("S").or_else(|| value.get("N")));
    inner.and_then(Value::as_str).unwrap_or(UNKNOWN).to_owned()
}

/// Transactions of which some record, anywhere, is committed.
fn committed_somewhere(tables: &[(String, Vec<Item>)]) -> HashSet<String> {
    let records = tables.iter().flat_map(|(_, items)| items);
    records
        .filter(|item| whole(item, "tx_state").is_none_or(|state| state == 3))
        .map(|item| string(item, "tx_id"))
        .collect()
}

/// Audits the given tables of accounts against the rows of `coordinator.state`.
///
/// `expected`: what all balances together must be. A record that waits for its fate counts with its new image when the
/// coordinator says COMMITTED, otherwise with its before image: without a row ScalarDB will abort it.
pub fn audit(expected: i64, tables: &[(String, Vec<Item>)], coordinator: &[Item]) -> AuditReport {
    let fates: HashMap<String, Fate> = coordinator
        .iter()
        .map(|row| {
            (string(row, "tx_id"), if whole(row, "tx_state") == Some(3) { Fate::Committed } else { Fate::Aborted })
        })
        .collect();
    let committed = committed_somewhere(tables);
    let mut report = AuditReport {
        expected,
        found: 0,
        raw: 0,
        tables: Vec::new(),
        decisions: coordinator.len(),
        anomalies: Vec::new(),
    };
    for (name, items) in tables {
        let mut table = TableReport { table: name.clone(), records: items.len(), ..TableReport::default() };
        for item in items {
            let fate = fates.get(&string(item, "tx_id")).copied();
            report.raw += whole(item, "balance").unwrap_or(0);
            table.sum += account(item, fate, &committed, &mut table, &mut |what: String| {
                let (account, tx_id) = (string(item, "account_id"), string(item, "tx_id"));
                report.anomalies.push(Anomaly { table: name.clone(), account, tx_id, what });
            });
        }
        report.found += table.sum;
        report.tables.push(table);
    }
    report.anomalies.extend(lost_halves(&fates, tables));
    report
}

/// The balance of one record, read through recovery.
fn account(
    item: &Item,
    fate: Option<Fate>,
    committed: &HashSet<String>,
    table: &mut TableReport,
    anomaly: &mut impl FnMut(String),
) -> i64 {
    let balance = |attribute: &str| whole(item, attribute).unwrap_or(0);
    let state = whole(item, "tx_state");
    let counted = match (state, fate) {
        (Some(1 | 2), Some(Fate::Committed)) => {
            table.rolled_forward += 1;
            if state == Some(1) { balance("balance") } else { 0 }
        }
        (Some(1 | 2), undecided_or_aborted) => {
            table.rolled_back += 1;
            // It will be undone here, but another record of the same transaction stays.
            if committed.contains(&string(item, "tx_id")) {
                let row = if undecided_or_aborted.is_some() { "an ABORTED" } else { "no" };
                anomaly(format!(
                    "waits for its fate with {row} coordinator row; the same transaction is committed elsewhere"
                ));
            }
            balance("before_balance")
        }
        (Some(3) | None, Some(Fate::Aborted)) => {
            anomaly("committed by a transaction that the coordinator aborted".to_owned());
            balance("balance")
        }
        (Some(3) | None, _) => balance("balance"),
        (Some(other), _) => {
            anomaly(format!("tx_state {other} never stands in a record"));
            balance("balance")
        }
    };
    match state {
        Some(1) => table.prepared += 1,
        Some(2) => table.deleted += 1,
        _ => table.committed += 1,
    }
    if counted < 0 {
        anomaly(format!("balance {counted}: the bank gives no credit"));
    }
    counted
}

/// A record whose before image was written by a transaction that another record still waits for: versions of one
/// transaction in two ages.
fn lost_halves(fates: &HashMap<String, Fate>, tables: &[(String, Vec<Item>)]) -> Vec<Anomaly> {
    let mut waiting: BTreeMap<String, (&str, &Item)> = BTreeMap::new();
    let all = || tables.iter().flat_map(|(name, items)| items.iter().map(move |item| (name.as_str(), item)));
    for (name, item) in all() {
        let tx_id = string(item, "tx_id");
        if matches!(whole(item, "tx_state"), Some(1 | 2)) && fates.get(&tx_id) != Some(&Fate::Committed) {
            waiting.insert(tx_id, (name, item));
        }
    }
    let mut anomalies = Vec::new();
    for (name, item) in all() {
        let before = string(item, "before_tx_id");
        // A before image is a committed one, so its transaction cannot be undecided.
        let Some((table, other)) = waiting.get(&before).filter(|_| before != UNKNOWN) else { continue };
        anomalies.push(Anomaly {
            table: (*table).to_owned(),
            account: string(other, "account_id"),
            tx_id: before,
            what: format!("waits for its fate without a COMMITTED row, but {name} has built on the same transaction"),
        });
    }
    anomalies
}
