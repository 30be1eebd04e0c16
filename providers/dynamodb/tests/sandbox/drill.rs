//! Drilling: the conformance suite with real lags, what a copy holds, and what is refused or left alone.

use crate::prepare::{A, One, account, fresh, one};
use crate::support::{Account, lag};
use provider_api::conformance::WorkWorld;
use provider_api::{
    BackupProvider, Context, Drill, DrillRequest, ErrorKind, ProviderError, RecordedSet, RestoreTime, Unit, UnitState,
    Way,
};
use provider_dynamodb::DynamoDbProvider;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use stillpoint_sandbox::dynamodb::{Effect, Fault, ServiceError};

provider_api::drill_conformance_suite!(fresh);

const PREFIX: &str = "drill-n0nce-";

/// A drill of one table, of its backup or by point-in-time recovery.
struct Case<'a> {
    account: &'a Account,
    provider: Arc<DynamoDbProvider>,
    at: RestoreTime,
    sets: Vec<RecordedSet>,
    capsules: Vec<provider_api::Capsule>,
    backups: BTreeMap<String, String>,
    keep: bool,
    prefix: &'static str,
}

impl<'a> Case<'a> {
    /// At a T that is restorable.
    async fn new(account: &'a Account, table: &str) -> Case<'a> {
        let provider = Arc::new(account.provider().await);
        let context = Context::default();
        let sets = provider.discover(&context).await.unwrap().data_sets;
        let sets: Vec<_> = sets.into_iter().filter(|set| set.name == table).collect();
        let confirmed = provider.confirm(&context, &sets).await.unwrap();
        let capsules = provider.capture(&context, &sets).await.unwrap();
        let at = RestoreTime(account.db.service_unix_ns() / 1_000_000_000);
        account.pass_seconds(2).await;
        let sets = confirmed.into_iter().map(|set| RecordedSet { name: set.name, id: set.id }).collect();
        Case { account, provider, at, sets, capsules, backups: BTreeMap::new(), keep: false, prefix: PREFIX }
    }

    fn unit(&self) -> Result<Unit, ProviderError> {
        let Case { at, sets, capsules, prefix, backups, keep, .. } = self;
        let request = DrillRequest { label: "p", at: *at, sets, capsules, prefix, backups, keep: *keep };
        Ok(self.provider.copies(&request)?.remove(0))
    }

    fn run(&self) -> One<'a> {
        let work = Arc::clone(&self.provider) as Arc<_>;
        One { account: self.account, work, unit: self.unit().unwrap(), state: UnitState::default(), intent: None }
    }

    /// The same, of a backup that this makes.
    async fn of_backup(mut self) -> Case<'a> {
        let mut prepared = one(self.account, self.account.config(), &self.sets[0].name).await;
        self.account.pass_seconds(lag().as_secs() + 1).await;
        prepared.until("prepared").await.unwrap();
        self.backups.insert(self.sets[0].name.clone(), prepared.arn());
        self
    }
}

impl Account {
    async fn pass_seconds(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }
}

#[tokio::test]
async fn a_copy_holds_the_items_of_t_whatever_it_is_made_of_and_is_removed() {
    for of_backup in [false, true] {
        let account = account().await;
        account.put(A, 1, 100).await;
        account.put(A, 2, 200).await;
        account.pass_seconds(2).await;
        let at_t = account.items(A).await;
        let case = Case::new(&account, A).await;
        let case = if of_backup { case.of_backup().await } else { case };
        account.put(A, 1, 999).await;
        account.pass_seconds(lag().as_secs() + 1).await;
        if of_backup {
            // The day of the disaster: the table itself is gone, and its backup is enough.
            Account::delete(&account, A).await;
        }
        let before = account.data_sets().await;
        let mut run = case.run();
        run.until("restored").await.unwrap();
        let copy = case.provider.copy(&run.state).unwrap();
        assert_eq!(copy.name, format!("{PREFIX}{A}"));
        assert_eq!(copy.id, account.table_id(&copy.name).await);
        assert!(case.provider.is_ready(&run.state));
        assert_eq!(account.items(&copy.name).await, at_t, "of a backup: {of_backup}");
        let table = account.ok("DescribeTable", json!({ "TableName": copy.name })).await["Table"].clone();
        assert_eq!(table["BillingModeSummary"]["BillingMode"], "PAY_PER_REQUEST", "copies cost no capacity");
        assert_eq!(table["GlobalSecondaryIndexes"][0]["IndexName"], format!("{A}.global_index.c0"));
        run.until("undone").await.unwrap();
        assert!(!account.tables().await.contains(&copy.name));
        assert_eq!(account.data_sets().await, before);
    }
}

#[tokio::test]
async fn a_drill_of_a_backup_killed_at_every_call_goes_on_and_the_backup_stays() {
    for calls in 1.. {
        let account = account().await;
        let case = Case::new(&account, A).await.of_backup().await;
        let mut run = case.run();
        let mut ended = false;
        for made in 1.. {
            if made == calls {
                // The call is made; nobody hears of its answer.
                let (state, intent) = (run.state.clone(), run.intent.clone());
                let _ = run.step(Way::Forward).await;
                (run.state, run.intent) = (state, intent);
                break;
            }
            match run.step(Way::Forward).await {
                Ok(text) if text == "undone" => {
                    ended = true;
                    break;
                }
                _ => {}
            }
        }
        if !ended {
            run.until("undone").await.unwrap();
        }
        let left = account.left().await;
        assert_eq!((left.backups, left.others), (vec![A.to_owned()], Vec::new()), "killed at call {calls}");
        if ended {
            break;
        }
    }
}

#[tokio::test]
async fn a_kept_copy_stays_and_going_back_removes_it() {
    let account = account().await;
    let case = Case { keep: true, ..Case::new(&account, A).await };
    account.pass_seconds(lag().as_secs() + 1).await;
    let mut run = case.run();
    run.until("nothing").await.unwrap();
    assert_eq!(account.left().await.others, [format!("{PREFIX}{A}")]);
    while run.step(Way::Back).await.unwrap() != "undone" {}
    assert!(account.left().await.others.is_empty());
}

#[tokio::test]
async fn a_name_that_is_taken_ends_the_drill_and_a_copy_that_was_replaced_is_left_alone() {
    let account = account().await;
    let case = Case::new(&account, A).await;
    account.pass_seconds(lag().as_secs() + 1).await;
    let taken = format!("{PREFIX}{A}");
    account.table(&taken, 0).await;
    let foreign = account.table_id(&taken).await;
    let mut run = case.run();
    let error = run.until("restored").await.unwrap_err();
    assert!(error.kind == ErrorKind::WrongState && error.message.contains(&taken), "{error:?}");
    while run.step(Way::Back).await.unwrap() != "undone" {}
    assert_eq!(account.table_id(&taken).await, foreign, "not ours, not touched");
    Account::delete(&account, &taken).await;

    let mut run = case.run();
    run.until("intend drop").await.unwrap();
    Account::delete(&account, &taken).await;
    account.table(&taken, 0).await;
    let foreign = account.table_id(&taken).await;
    run.until("undone").await.unwrap();
    let warned = run.state.records.iter().filter_map(|record| record.warning.as_deref());
    assert!(warned.clone().any(|text| text.contains("left alone")), "{:?}", run.state);
    assert_eq!(account.table_id(&taken).await, foreign);
}

#[tokio::test]
async fn names_that_would_be_too_long_are_cut_and_prefixes_that_scalardb_would_take_are_refused() {
    let account = account().await;
    let mut case = Case::new(&account, A).await;
    for (prefix, what) in [("bank-drill-", "namespace `bank`"), ("bänk-", "`ä`")] {
        case.prefix = prefix;
        let error = case.unit().unwrap_err();
        assert!(error.kind == ErrorKind::Invalid && error.message.contains(what), "{error:?}");
    }
    let long = format!("long.{}", "x".repeat(250));
    account.table(&long, 0).await;
    account.describe("scalardb.metadata", &long).await;
    account.pass_seconds(lag().as_secs() + 2).await;
    let case = Case::new(&account, &long).await;
    account.pass_seconds(lag().as_secs() + 1).await;
    let mut run = case.run();
    run.until("restored").await.unwrap();
    let copy = case.provider.copy(&run.state).unwrap().name;
    assert!(copy.len() == 255 && copy.starts_with(&format!("{PREFIX}long.xxx")), "{copy}");
    run.until("undone").await.unwrap();
}

#[tokio::test]
async fn a_backup_that_is_gone_or_busy_and_a_missing_right_are_told() {
    let account = account().await;
    let case = Case::new(&account, A).await.of_backup().await;
    let busy = Effect::Error(ServiceError::new("BackupInUseException", "feeding another restore"));
    let fault = Fault { operation: "RestoreTableFromBackup".into(), table: "*".into(), times: Some(1), effect: busy };
    account.db.inject(fault);
    case.run().until("undone").await.unwrap();

    let units = [case.unit().unwrap()];
    case.provider.may_copy(&Context::default(), &units).await.unwrap();
    for action in ["RestoreTableFromBackup", "DeleteTable"] {
        let denied = account.db.deny(action, "*");
        let error = case.provider.may_copy(&Context::default(), &units).await.unwrap_err();
        assert!(error.hint.contains(&format!("dynamodb:{action}")), "{error:?}");
        account.db.remove(denied);
    }
    account.ok("DeleteBackup", json!({ "BackupArn": case.backups[A] })).await;
    let error = case.run().until("undone").await.unwrap_err();
    assert!(error.kind == ErrorKind::WrongState && error.message.contains("backup"), "{error:?}");
}
