//! The protocol step by step, the workload as a whole, and the auditor against cuts made by hand.

use serde_json::{Value, json};

use super::commit::{self, Account, Trouble};
use super::schema::{ABORTED, COMMITTED, int_key};
use super::store::{n, s};
use super::*;
use crate::clock::Clock;
use crate::dynamodb::{self, DynamoDb, Lags};
use crate::pods::{Action, Fault, PodConfig, PodLog};

const A: Account = Account { table: 0, id: 1 };
const B: Account = Account { table: 1, id: 2 };
/// A wall clock in the middle of nowhere, milliseconds.
const NOW: i64 = 1_000_000;

fn database() -> DynamoDb {
    let config = dynamodb::Config { lags: Lags::none(), limits: false, ..dynamodb::Config::default() };
    DynamoDb::new(config, Clock::real())
}

fn small() -> BankConfig {
    BankConfig { tables: 3, accounts_per_table: 5, opening_balance: 100, ..BankConfig::default() }
}

/// A bank with its doors closed.
async fn founded() -> DynamoDb {
    let database = database();
    Bank::found(&small(), Arc::new(database.clone())).await.unwrap();
    database
}

fn items(store: &dyn Store, table: &str) -> Vec<Item> {
    let mut items = Vec::new();
    let mut body = json!({ "TableName": table, "ConsistentRead": true });
    loop {
        let page = store::dynamo(store, "Scan", body.clone()).unwrap();
        items.extend(page["Items"].as_array().unwrap().iter().map(|item| item.as_object().unwrap().clone()));
        match page.get("LastEvaluatedKey") {
            Some(Value::Object(key)) => body["ExclusiveStartKey"] = json!(key),
            _ => return items,
        }
    }
}

fn audited(store: &dyn Store, config: &BankConfig) -> AuditReport {
    let tables: Vec<_> = config.table_names().into_iter().map(|name| (name.clone(), items(store, &name))).collect();
    audit(config.total(), &tables, &items(store, COORDINATOR_TABLE))
}

fn prepare_both(store: &dyn Store, tx_id: &str, amount: i64) {
    let (a, b) = (commit::read(store, A, NOW).unwrap(), commit::read(store, B, NOW).unwrap());
    commit::prepare(store, &a, tx_id, a.balance() - amount, NOW).unwrap();
    commit::prepare(store, &b, tx_id, b.balance() + amount, NOW).unwrap();
}

#[tokio::test]
async fn a_founded_bank_has_scalardbs_tables_with_recovery_on() {
    let database = founded().await;
    let mut known: Vec<_> =
        items(&database, METADATA_TABLE).iter().map(|item| item["table"]["S"].as_str().unwrap().to_owned()).collect();
    known.sort();
    assert_eq!(known, ["bank.accounts_0", "bank.accounts_1", "bank.accounts_2", "coordinator.state"]);
    known.push(METADATA_TABLE.to_owned());
    for table in known {
        let body = json!({ "TableName": table });
        let backups = store::dynamo(&database, "DescribeContinuousBackups", body.clone()).unwrap();
        let recovery = &backups["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"];
        assert_eq!(recovery["PointInTimeRecoveryStatus"], "ENABLED", "{table}");
        let described = store::dynamo(&database, "DescribeTable", body).unwrap();
        assert!(described["Table"]["ProvisionedThroughput"]["ReadCapacityUnits"].as_i64().unwrap() > 0);
    }
    let report = audited(&database, &small());
    assert!(report.is_consistent(), "{report:?}");
    assert_eq!((report.found, report.tables[0].committed), (1_500, 5));
}

#[tokio::test]
async fn a_transfer_moves_money_from_table_to_table() {
    let database = founded().await;
    prepare_both(&database, "t1", 30);
    commit::decide(&database, "t1", COMMITTED, NOW).unwrap();
    commit::apply(&database, A, "t1", NOW).unwrap();
    commit::apply(&database, B, "t1", NOW).unwrap();
    assert_eq!(commit::read(&database, A, NOW).unwrap().balance(), 70);
    assert_eq!(commit::read(&database, B, NOW).unwrap().balance(), 130);
    assert!(audited(&database, &small()).is_consistent());
}

#[tokio::test]
async fn a_record_that_changed_since_it_was_read_is_not_prepared() {
    let database = founded().await;
    let stale = commit::read(&database, A, NOW).unwrap();
    prepare_both(&database, "t1", 30);
    assert_eq!(commit::prepare(&database, &stale, "t2", 0, NOW), Err(Trouble::Conflict));
}

#[tokio::test]
async fn a_fate_is_decided_once() {
    let database = founded().await;
    commit::decide(&database, "t1", ABORTED, NOW).unwrap();
    assert_eq!(commit::decide(&database, "t1", COMMITTED, NOW), Err(Trouble::Conflict));
}

#[tokio::test]
async fn an_undecided_record_is_left_alone_for_15_seconds_and_then_rolled_back() {
    let database = founded().await;
    prepare_both(&database, "t1", 30);
    assert_eq!(commit::read(&database, A, NOW + 15_000).unwrap_err(), Trouble::Conflict);
    let report = audited(&database, &small());
    assert!(report.is_consistent(), "an undecided transaction is no loss: {report:?}");
    assert_eq!((report.in_doubt(), report.raw), (2, 1_500));
    assert_eq!(commit::read(&database, A, NOW + 15_001).unwrap_err(), Trouble::Conflict, "the reader comes again");
    assert_eq!(commit::read(&database, A, NOW + 15_002).unwrap().balance(), 100);
    assert_eq!(commit::decide(&database, "t1", COMMITTED, NOW), Err(Trouble::Conflict), "its owner comes too late");
    assert_eq!(commit::read(&database, B, NOW + 15_003).unwrap_err(), Trouble::Conflict);
    assert_eq!(commit::read(&database, B, NOW + 15_004).unwrap().balance(), 100);
}

#[tokio::test]
async fn a_decided_record_is_rolled_forward_by_its_next_reader() {
    let database = founded().await;
    prepare_both(&database, "t1", 30);
    commit::decide(&database, "t1", COMMITTED, NOW).unwrap();
    commit::apply(&database, A, "t1", NOW).unwrap();
    let report = audited(&database, &small());
    assert!(report.is_consistent() && report.in_doubt() == 1, "{report:?}");
    assert_eq!(commit::read(&database, B, NOW).unwrap_err(), Trouble::Conflict);
    assert_eq!(commit::read(&database, B, NOW).unwrap().balance(), 130);
}

#[tokio::test]
async fn an_aborted_transaction_undoes_only_what_it_prepared() {
    let database = founded().await;
    prepare_both(&database, "t1", 30);
    commit::decide(&database, "t1", ABORTED, NOW).unwrap();
    for account in [A, B, Account { table: 2, id: 0 }] {
        commit::undo(&database, account, "t1").unwrap();
    }
    assert_eq!(commit::read(&database, A, NOW).unwrap().balance(), 100);
    prepare_both(&database, "t2", 10);
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(tokio::time::Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn busy() -> BankConfig {
    BankConfig { transfers_per_second: 400.0, step_latency: Duration::from_micros(500), ..small() }
}

async fn pods(count: usize) -> Vec<Pod> {
    let started = futures::future::join_all((0..count).map(|index| Pod::start(index, PodConfig::default()))).await;
    started.into_iter().map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_money_is_made_or_lost_although_clients_die_and_pods_restart() {
    let database = founded().await;
    let pods = pods(2).await;
    let config = BankConfig { crash_chance: 0.05, accounts_per_table: 5, ..busy() };
    let bank = Bank::start(config.clone(), Arc::new(database.clone()), pods.clone());
    until("transfers", || bank.stats().committed > 30 && bank.stats().crashed > 0).await;
    pods[0].restart(Duration::from_millis(20)).await;
    let before = bank.stats().committed;
    until("transfers after the restart", || bank.stats().committed > before).await;
    bank.stop().await;
    let report = audited(&database, &config);
    assert!(report.is_consistent(), "{report:?}");
    assert_eq!(bank.stats().store_errors, 0, "{:?}", bank.stats().last_store_error);
    assert_eq!(pods[0].outstanding() + pods[1].outstanding(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_written_behind_a_closed_and_drained_gate() {
    let database = founded().await;
    let pods = pods(2).await;
    let bank = Bank::start(busy(), Arc::new(database.clone()), pods.clone());
    until("transfers", || bank.stats().committed > 5).await;
    pods.iter().for_each(|pod| pod.set(Fault::now(Action::ForeignPause { after_ms: 0 })));
    until("gates closed and drained", || pods.iter().all(|pod| !pod.is_open() && pod.outstanding() == 0)).await;
    let drained = crate::pods::mono_ns();
    until("clients are turned away", || bank.stats().refused > 20).await;
    let reopened = crate::pods::mono_ns();
    pods.iter().for_each(|pod| pod.set(Fault::now(Action::ForeignUnpause { after_ms: 0 })));
    let before = bank.stats().committed;
    until("transfers again", || bank.stats().committed > before).await;
    bank.stop().await;
    let still = drained as i64..=reopened as i64;
    assert_eq!(database.writes().iter().filter(|write| still.contains(&write.mono_ns)).count(), 0);
    let logs: Vec<PodLog> = pods.iter().map(Pod::log).collect();
    assert!(logs.iter().all(|log| log.transactions_within(drained, reopened).is_empty()));
    assert!(bank.stats().longest_wait_ms >= 100, "the first back-off is 0.1 s");
}

/// A record as the auditor reads it.
fn record(account: i32, tx_id: &str, state: i64, balance: i64, before: Option<(&str, i64)>) -> Item {
    let mut item = json!({
        "concatenatedPartitionKey": int_key(account),
        "account_id": n(account.into()),
        "tx_id": s(tx_id),
        "tx_state": n(state),
        "balance": n(balance),
    });
    if let Some((before_tx, before_balance)) = before {
        item["before_tx_id"] = s(before_tx);
        item["before_balance"] = n(before_balance);
    }
    item.as_object().unwrap().clone()
}

fn row(tx_id: &str, state: i64) -> Item {
    Item::from_iter([("tx_id".to_owned(), s(tx_id)), ("tx_state".to_owned(), n(state))])
}

/// Two tables with one record each, 100 + 100 in all.
fn cut(left: Item, right: Item, coordinator: &[Item]) -> AuditReport {
    audit(200, &[("left".to_owned(), vec![left]), ("right".to_owned(), vec![right])], coordinator)
}

fn old(account: i32) -> Item {
    record(account, "t0", 3, 100, None)
}

#[test]
fn every_instant_of_a_transfer_is_consistent_through_recovery() {
    let minus = |state| record(1, "t1", state, 70, Some(("t0", 100)));
    let plus = |state| record(2, "t1", state, 130, Some(("t0", 100)));
    let decided = [row("t0", 3), row("t1", 3)];
    let cuts = [
        (cut(old(1), old(2), &decided[..1]), 200),
        (cut(minus(1), old(2), &decided[..1]), 170),
        (cut(minus(1), plus(1), &decided[..1]), 200),
        (cut(minus(1), plus(1), &decided), 200),
        (cut(minus(3), plus(1), &decided), 200),
        (cut(minus(3), plus(3), &decided), 200),
        (cut(minus(1), plus(1), &[row("t1", 4)]), 200),
    ];
    for (report, raw) in cuts {
        assert!(report.is_consistent(), "{report:?}");
        assert_eq!(report.raw, raw, "raw sums prove nothing, either way");
    }
}

#[test]
fn cuts_at_different_times_are_found_out() {
    let minus = |state| record(1, "t1", state, 70, Some(("t0", 100)));
    let plus = |state| record(2, "t1", state, 130, Some(("t0", 100)));
    // The coordinator is older than the first table.
    let report = cut(minus(3), plus(1), &[row("t0", 3)]);
    assert!(!report.is_consistent() && report.anomalies.len() == 1, "{report:?}");
    assert_eq!((report.anomalies[0].table.as_str(), report.anomalies[0].tx_id.as_str()), ("right", "t1"));
    // One table is older than the other: nothing waits, the money is just gone.
    let report = cut(minus(3), old(2), &[row("t1", 3)]);
    assert_eq!((report.found, report.anomalies.len()), (170, 0));
    assert!(!report.is_consistent());
    // A later transaction has built on what the other table still waits for.
    let report = cut(record(1, "t2", 3, 70, Some(("t1", 70))), plus(1), &[row("t2", 3)]);
    assert!(report.anomalies.iter().any(|anomaly| anomaly.tx_id == "t1"), "{report:?}");
    // Committed by a transaction that the coordinator aborted.
    assert_eq!(cut(minus(3), plus(3), &[row("t1", 4)]).anomalies.len(), 2);
}

#[test]
fn a_mark_of_deletion_counts_by_its_fate() {
    let closed = |coordinator: &[Item]| {
        let gone = record(1, "t1", 2, 100, Some(("t0", 100)));
        cut(gone, record(2, "t1", 1, 200, Some(("t0", 100))), coordinator)
    };
    for coordinator in [&[row("t1", 3)][..], &[row("t1", 4)], &[]] {
        let report = closed(coordinator);
        assert!(report.is_consistent(), "{report:?}");
        assert_eq!((report.tables[0].deleted, report.tables[1].prepared), (1, 1));
    }
}

#[test]
fn negative_balances_and_unknown_states_are_impossible() {
    let report = cut(record(1, "t1", 3, -10, None), record(2, "t1", 5, 210, None), &[]);
    assert_eq!((report.found, report.anomalies.len()), (200, 2));
    assert!(!report.is_consistent());
}
