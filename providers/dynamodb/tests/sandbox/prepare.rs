//! Preparing: the conformance suite with real lags, what a backup holds, and every trouble by name.

use crate::support::{Account, disturbances, fault, lag, pause};
use provider_api::conformance::{Left, WorkWorld, World};
use provider_api::{
    Act, BackupProvider, Context, DurableWork, ErrorKind, Fence, Intent, PrepareRequest, ProviderError, RecordedSet,
    RestoreTime, Step, Unit, UnitState, Way,
};
use provider_dynamodb::{Config, DynamoDbProvider, Staging};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use stillpoint_sandbox::clock::Clock;
use stillpoint_sandbox::dynamodb::{Effect, Fault, Lags, ServiceError};

impl Account {
    pub async fn tables(&self) -> Vec<String> {
        let tables = self.ok("ListTables", json!({})).await;
        tables["TableNames"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    }

    pub async fn backups(&self) -> Vec<Value> {
        self.ok("ListBackups", json!({})).await["BackupSummaries"].as_array().unwrap().clone()
    }

    /// From now on every table that there is must exist somewhere after every call.
    pub async fn guard(&self) {
        let tables = self.tables().await;
        self.db.guard_set(&tables.iter().map(String::as_str).collect::<Vec<_>>());
    }

    pub fn nothing_lost(&self) {
        let violations = self.db.violations();
        assert!(violations.is_empty(), "the data of a table was nowhere: {violations:?}");
    }

    /// How many backups a restore made of what it replaced.
    pub async fn safety_backups(&self) -> usize {
        let named = |backup: &Value| backup["BackupName"].as_str().is_some_and(|name| name.contains("-before-"));
        self.backups().await.into_iter().filter(named).count()
    }

    pub async fn items(&self, table: &str) -> Vec<Value> {
        let scanned = self.ok("Scan", json!({ "TableName": table })).await;
        let mut items = scanned["Items"].as_array().unwrap().clone();
        items.sort_by_key(Value::to_string);
        items
    }

    pub async fn table_id(&self, table: &str) -> String {
        self.ok("DescribeTable", json!({ "TableName": table })).await["Table"]["TableId"].as_str().unwrap().to_owned()
    }

    pub async fn put(&self, table: &str, key: u8, balance: u32) {
        let item = json!({ "concatenatedPartitionKey": { "B": base64(key) }, "balance": { "N": balance.to_string() }, "c0": { "N": "1" } });
        self.ok("PutItem", json!({ "TableName": table, "Item": item })).await;
    }
}

/// Whether a run of ours made the table.
fn is_ours(name: &str) -> bool {
    name.starts_with("rp-") || name.starts_with("drill-")
}

/// One byte in base64.
fn base64(byte: u8) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letter = |n: u8| char::from(LETTERS[usize::from(n)]);
    format!("{}{}==", letter(byte >> 2), letter((byte & 3) << 4))
}

#[async_trait::async_trait]
impl WorkWorld for Account {
    async fn left(&self) -> Left {
        self.nothing_lost();
        let mut left = Left::default();
        for backup in self.backups().await {
            let source = backup["TableName"].as_str().unwrap();
            let of = source.splitn(3, '-').nth(2).unwrap_or(source).to_owned();
            match backup["BackupStatus"].as_str() {
                Some("AVAILABLE") => left.backups.push(of),
                _ => left.others.push(backup.to_string()),
            }
        }
        left.backups.sort();
        left.others.extend(self.tables().await.into_iter().filter(|name| is_ours(name)));
        left
    }

    async fn data_sets(&self) -> String {
        let mut all = Vec::new();
        for name in self.tables().await.into_iter().filter(|name| !is_ours(name)) {
            all.push(json!([name, self.table_id(&name).await, self.items(&name).await]));
        }
        Value::Array(all).to_string()
    }

    async fn disturb(&self, way: usize) -> Option<String> {
        let changes = ["RestoreTableToPointInTime", "CreateBackup", "DeleteTable", "DeleteBackup", "DescribeBackup"];
        let effects = disturbances();
        let (operation, effect) = (changes.get(way / effects.len())?, effects[way % effects.len()].clone());
        let how = format!("{operation}: {effect:?}");
        self.db.inject(fault(operation, effect));
        Some(how)
    }
}

/// Real lags, a sixtieth as long.
pub fn lagging() -> Account {
    pause();
    Account::with_lags(Clock::tokio(), vec![0], Lags::default())
}

pub async fn fresh() -> (Arc<DynamoDbProvider>, Account) {
    let account = lagging();
    account.scalardb(3).await;
    for (key, table) in [(1, "bank.account0000"), (2, "bank.account0000"), (3, "bank.account0001")] {
        account.put(table, key, u32::from(key) * 100).await;
    }
    account.guard().await;
    (Arc::new(account.provider().await), account)
}

provider_api::prepare_conformance_suite!(fresh);

/// A journal of one unit, driven by hand.
pub struct One<'a> {
    pub account: &'a Account,
    pub work: Arc<dyn DurableWork>,
    pub unit: Unit,
    pub state: UnitState,
    pub intent: Option<Intent>,
}

struct Free;

#[async_trait::async_trait]
impl Fence for Free {
    async fn pass(&self) -> Result<(), ProviderError> {
        Ok(())
    }
}

impl One<'_> {
    /// One call, its answer stored: the step's outcome as a word, or its failure.
    pub async fn step(&mut self, way: Way) -> Result<String, ProviderError> {
        let act = self.intent.as_ref().map(|intent| Act { intent, fence: &Free });
        match self.work.step(&Context::default(), way, &self.unit, &self.state, act).await? {
            Step::Intend(intent) => {
                let text = format!("intend {}", intent.what["do"].as_str().unwrap());
                self.intent = Some(intent);
                Ok(text)
            }
            Step::Wait { progress, .. } => {
                self.account.pass(Duration::from_secs(1)).await;
                Ok(format!("wait: {progress}"))
            }
            Step::Did(record) | Step::Done(record) => {
                self.intent = None;
                let text = record.what["fact"].as_str().unwrap().to_owned();
                self.state.records.push(record);
                Ok(text)
            }
            Step::Failed(record, error) => {
                self.intent = None;
                self.state.records.push(record);
                Err(error)
            }
        }
    }

    /// Until this outcome.
    pub async fn until(&mut self, wanted: &str) -> Result<(), ProviderError> {
        for _ in 0..1000 {
            match self.step(Way::Forward).await {
                Ok(text) if text == wanted => return Ok(()),
                Err(error) if !error.retryable => return Err(error),
                _ => {}
            }
        }
        panic!("never came to {wanted}: {:?}", self.state);
    }

    pub fn target(&self) -> String {
        let records = self.state.records.iter().rev();
        let mut targets = records.filter_map(|record| record.what["target"].as_str());
        targets.next().unwrap().to_owned()
    }

    pub fn arn(&self) -> String {
        let mut arns = self.state.records.iter().rev().filter_map(|record| record.what["arn"].as_str());
        arns.next().unwrap().to_owned()
    }
}

pub async fn one<'a>(account: &'a Account, config: Config, table: &str) -> One<'a> {
    let provider = Arc::new(DynamoDbProvider::connect(config).await.unwrap());
    let sets = provider.discover(&Context::default()).await.unwrap().data_sets;
    let sets: Vec<_> = sets.into_iter().filter(|set| set.name == table).collect();
    let confirmed = provider.confirm(&Context::default(), &sets).await.unwrap();
    let ids: Vec<_> = confirmed.into_iter().map(|set| RecordedSet { name: set.name, id: set.id }).collect();
    let capsules = provider.capture(&Context::default(), &sets).await.unwrap();
    let at = RestoreTime(account.now().await.0 / 1_000_000_000);
    account.pass(Duration::from_secs(2)).await;
    let work = Arc::clone(&provider).preparer().unwrap();
    let request = PrepareRequest { label: "nightly-20261123T030000Z", at, sets: &ids, capsules: &capsules };
    let unit = work.units(&request).unwrap().remove(0);
    let work = provider as Arc<dyn DurableWork>;
    One { account, work, unit, state: UnitState::default(), intent: None }
}

pub const A: &str = "bank.account0000";

pub async fn account() -> Account {
    let account = lagging();
    account.scalardb(3).await;
    account.guard().await;
    account
}

#[tokio::test]
async fn a_backup_holds_the_items_of_t_and_the_indexes_of_the_table() {
    let account = account().await;
    account.put(A, 1, 100).await;
    account.pass(Duration::from_secs(2)).await;
    let at_t = account.items(A).await;
    let mut run = one(&account, account.config(), A).await;
    account.put(A, 1, 999).await;
    account.put(A, 2, 5).await;
    account.pass(lag()).await;
    run.until("prepared").await.unwrap();
    let backup = run.arn();
    account.ok("RestoreTableFromBackup", json!({ "BackupArn": backup, "TargetTableName": "scratch" })).await;
    account.pass(Duration::from_secs(15)).await;
    assert_eq!(account.items("scratch").await, at_t);
    let table = account.ok("DescribeTable", json!({ "TableName": "scratch" })).await["Table"].clone();
    assert_eq!(table["GlobalSecondaryIndexes"][0]["IndexName"], format!("{A}.global_index.c0"));
    assert_eq!(table["BillingModeSummary"]["BillingMode"], "PAY_PER_REQUEST", "staging tables cost no capacity");
    assert_eq!(account.backups().await[0]["BackupName"].as_str().unwrap().split('-').nth(2), Some("nightly"));
}

#[tokio::test]
async fn a_staging_table_as_the_table_keeps_its_capacity_and_its_key() {
    let account = account().await;
    let key = "arn:aws:kms:us-east-1:123456789012:key/k";
    let wanted = json!({ "Enabled": true, "SSEType": "KMS", "KMSMasterKeyId": key });
    account.ok("UpdateTable", json!({ "TableName": A, "SSESpecification": wanted })).await;
    account.pass(lag()).await;
    let config = Config { staging: Staging::AsTable, ..account.config() };
    let mut run = one(&account, config, A).await;
    account.pass(lag()).await;
    run.until("restored").await.unwrap();
    let table = account.ok("DescribeTable", json!({ "TableName": run.target() })).await["Table"].clone();
    assert_eq!(table["ProvisionedThroughput"]["ReadCapacityUnits"], 10);
    assert_eq!(table["SSEDescription"]["KMSMasterKeyArn"], key);
}

#[tokio::test]
async fn a_table_that_is_gone_re_created_or_without_its_history_is_lost() {
    for change in ["toggled", "gone", "re_created"] {
        let account = account().await;
        let mut run = one(&account, account.config(), A).await;
        account.pass(lag()).await;
        match change {
            "toggled" => {
                account.pitr_off(A).await;
                account.pitr_on(A).await;
            }
            "gone" => Account::delete(&account, A).await,
            _ => account.re_create(A).await,
        }
        let error = run.until("restoring").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Lost, "{change}: {error:?}");
        assert!(error.message.contains(A) && error.hint.contains("--abort"), "{error:?}");
        assert_eq!(account.left().await, Left::default(), "{change}");
    }
}

#[tokio::test]
async fn a_name_that_a_foreign_table_took_is_left_alone_and_another_is_used() {
    let account = account().await;
    let mut run = one(&account, account.config(), A).await;
    account.pass(lag()).await;
    run.until("intend restore").await.unwrap();
    let taken = run.intent.as_ref().unwrap().what["target"].as_str().unwrap().to_owned();
    account.table(&taken, 0).await;
    let foreign = account.table_id(&taken).await;
    assert_eq!(run.step(Way::Forward).await.unwrap(), "foreign");
    assert!(run.state.records[0].warning.as_ref().unwrap().contains(&taken));
    run.until("prepared").await.unwrap();
    assert_eq!(account.table_id(&taken).await, foreign);
    assert_eq!(account.left().await.others, [taken]);
}

#[tokio::test]
async fn a_staging_table_that_somebody_replaced_is_never_deleted() {
    let account = account().await;
    let mut run = one(&account, account.config(), A).await;
    account.pass(lag()).await;
    run.until("intend drop").await.unwrap();
    let target = run.target();
    Account::delete(&account, &target).await;
    account.table(&target, 0).await;
    let foreign = account.table_id(&target).await;
    assert_eq!(run.step(Way::Forward).await.unwrap(), "dropped");
    let warning = run.state.records.last().unwrap().warning.clone().unwrap();
    assert!(warning.contains(&foreign) && warning.contains("left alone"), "{warning}");
    run.until("prepared").await.unwrap();
    assert_eq!(account.table_id(&target).await, foreign);
}

#[tokio::test]
async fn a_restore_that_vanishes_fails_and_the_next_run_begins_anew() {
    let account = account().await;
    let mut run = one(&account, account.config(), A).await;
    account.pass(lag()).await;
    run.until("restoring").await.unwrap();
    account.db.fail_creation(&run.target());
    let error = run.until("restored").await.unwrap_err();
    assert_eq!((error.kind, error.retryable), (ErrorKind::WrongState, false), "{error:?}");
    assert!(error.hint.contains("KMS key"), "{}", error.hint);
    run.until("prepared").await.unwrap();
    assert_eq!(account.left().await, Left { backups: vec![A.to_owned()], others: Vec::new() });
}

#[tokio::test]
async fn a_backup_that_somebody_deleted_is_noticed_before_its_table_is_and_after() {
    for moment in ["intend drop", "dropped"] {
        let account = account().await;
        let mut run = one(&account, account.config(), A).await;
        account.pass(lag()).await;
        run.until(moment).await.unwrap();
        account.ok("DeleteBackup", json!({ "BackupArn": account.backups().await[0]["BackupArn"] })).await;
        let error = run.until("prepared").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::WrongState, "{moment}: {error:?}");
        assert!(error.message.contains("is gone"), "{moment}: {}", error.message);
        run.until("prepared").await.unwrap();
        assert_eq!(account.left().await, Left { backups: vec![A.to_owned()], others: Vec::new() }, "{moment}");
    }
}

#[tokio::test]
async fn a_disabled_key_is_an_error_that_says_so() {
    let account = account().await;
    let mut run = one(&account, account.config(), A).await;
    account.pass(lag()).await;
    account.db.force_status(A, Some("INACCESSIBLE_ENCRYPTION_CREDENTIALS"));
    let error = run.until("restoring").await.unwrap_err();
    assert_eq!((error.kind, error.retryable), (ErrorKind::WrongState, false), "{error:?}");
    assert!(error.message.contains("KMS key"), "{}", error.message);
    account.db.force_status(A, None);
    run.until("restored").await.unwrap();
    account.db.force_status(&run.target(), Some("INACCESSIBLE_ENCRYPTION_CREDENTIALS"));
    let error = run.until("backing_up").await.unwrap_err();
    assert!(error.message.contains("KMS key") && error.message.contains(&run.target()), "{}", error.message);
}

#[tokio::test]
async fn each_permission_that_is_missing_is_named_before_anything_is_made() {
    let actions =
        ["RestoreTableToPointInTime", "CreateBackup", "DeleteTable", "ListBackups", "DescribeBackup", "DeleteBackup"];
    for action in actions {
        let account = account().await;
        let run = one(&account, account.config(), A).await;
        let preparer = Arc::new(account.provider().await).preparer().unwrap();
        preparer.preflight(&Context::default(), std::slice::from_ref(&run.unit)).await.unwrap();
        account.db.deny(action, "*");
        let error = preparer.preflight(&Context::default(), &[run.unit]).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::PermissionDenied, "{action}: {error:?}");
        assert!(error.hint.contains(&format!("dynamodb:{action}")), "{}", error.hint);
        assert!(account.tables().await.iter().all(|name| !name.starts_with("rp-")));
    }
}

#[tokio::test]
async fn no_room_for_another_restore_can_pass_and_says_what_the_limits_are() {
    let account = account().await;
    let mut run = one(&account, account.config(), A).await;
    account.pass(lag()).await;
    run.until("intend restore").await.unwrap();
    let full = ServiceError::new("LimitExceededException", "Only 50 restore operations can be in progress");
    account.db.inject(fault("RestoreTableToPointInTime", Effect::Error(full)));
    let error = run.step(Way::Forward).await.unwrap_err();
    assert_eq!((error.kind, error.retryable), (ErrorKind::Throttled, true), "{error:?}");
    assert!(error.hint.contains("50") && error.hint.contains("2,500"), "{}", error.hint);
    run.until("prepared").await.unwrap();
}

#[tokio::test]
async fn a_name_of_255_letters_is_prepared_too() {
    let account = lagging();
    let long = format!("bank.{}", "x".repeat(250));
    account.scalardb(1).await;
    account.table(&long, 0).await;
    let config = Config { tables: vec![long.clone()], ..account.config() };
    account.pass(lag() + Duration::from_secs(2)).await;
    let mut run = one(&account, config, &long).await;
    account.pass(lag()).await;
    run.until("prepared").await.unwrap();
    assert!(run.target().len() <= 255 && run.target().starts_with("rp-"));
}

#[tokio::test]
async fn two_runs_of_the_same_table_do_not_mix_and_a_protected_staging_table_is_told() {
    let account = account().await;
    let mut first = one(&account, account.config(), A).await;
    let mut second = one(&account, account.config(), A).await;
    account.pass(lag()).await;
    first.until("available").await.unwrap();
    second.until("available").await.unwrap();
    assert_ne!(first.target(), second.target());
    let protect = json!({ "TableName": first.target(), "DeletionProtectionEnabled": true });
    account.ok("UpdateTable", protect).await;
    let error = first.until("dropped").await.unwrap_err();
    assert!(error.hint.contains("--no-deletion-protection-enabled"), "{error:?}");
    while second.step(Way::Back).await.unwrap() != "undone" {}
    assert_eq!(account.backups().await.len(), 1, "the other run's backup stays");
    assert_eq!(account.backups().await[0]["BackupArn"].as_str(), Some(first.arn().as_str()));
}

#[tokio::test]
async fn a_new_table_that_is_not_seen_yet_is_waited_for_and_never_left_behind() {
    let unseen = || Fault {
        operation: "DescribeTable".to_owned(),
        table: "rp-*".to_owned(),
        times: Some(1),
        effect: Effect::Error(ServiceError::new("ResourceNotFoundException", "Requested resource not found")),
    };
    for way in [Way::Forward, Way::Back] {
        let account = account().await;
        let mut run = one(&account, account.config(), A).await;
        account.pass(lag()).await;
        run.until("restoring").await.unwrap();
        account.db.inject(unseen());
        assert!(run.step(way).await.unwrap().starts_with(if way == Way::Back { "intend drop" } else { "wait: " }));
        while !matches!(run.step(way).await.unwrap().as_str(), "prepared" | "undone") {}
        let backups = if way == Way::Back { Vec::new() } else { vec![A.to_owned()] };
        assert_eq!(account.left().await, Left { backups, others: Vec::new() }, "{way:?}");
    }
    // Asked for, the answer lost, and on the way back not to be seen for a moment.
    let account = account().await;
    let mut run = one(&account, account.config(), A).await;
    account.pass(lag()).await;
    run.until("intend restore").await.unwrap();
    account.db.inject(fault("RestoreTableToPointInTime", Effect::DropAnswer));
    run.step(Way::Forward).await.unwrap_err();
    account.db.inject(unseen());
    assert!(run.step(Way::Back).await.unwrap().starts_with("wait: "));
    while run.step(Way::Back).await.unwrap() != "undone" {}
    assert_eq!(account.left().await, Left::default());
}

#[tokio::test]
async fn a_backup_that_comes_to_be_after_it_was_looked_for_is_found_on_the_way_back() {
    let account = account().await;
    let mut run = one(&account, account.config(), A).await;
    account.pass(lag()).await;
    run.until("intend back_up").await.unwrap();
    let name = run.intent.as_ref().unwrap().what["name"].as_str().unwrap().to_owned();
    while run.step(Way::Back).await.unwrap() != "nothing" {}
    account.ok("CreateBackup", json!({ "TableName": run.target(), "BackupName": name })).await;
    let foreign = json!({ "TableName": run.target(), "BackupName": "rp-not-ours" });
    account.ok("CreateBackup", foreign).await;
    while run.step(Way::Back).await.unwrap() != "undone" {}
    let left = account.backups().await;
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0]["BackupName"], "rp-not-ours", "what others made stays");
}
