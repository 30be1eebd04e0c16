//! Retention: what was recorded goes, nothing else, whatever dies or is lost on the way.

use crate::prepare::lagging;
use crate::support::{Account, lag};
use provider_api::conformance::World;
use provider_api::{
    Act, BackupProvider, Context, ErrorKind, Fence, Intent, MadeSet, PrepareRequest, ProviderError, Pruner,
    RecordedSet, RestoreTime, Step, Unit, UnitState, Way,
};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use stillpoint_sandbox::dynamodb::{Effect, Fault, ServiceError};

struct Free;

#[async_trait::async_trait]
impl Fence for Free {
    async fn pass(&self) -> Result<(), ProviderError> {
        Ok(())
    }
}

/// Two tables with a backup each, made as `prepare` makes them, and backups of others beside them.
struct Prepared {
    account: Account,
    made: Vec<MadeSet>,
    pruner: Pruner,
}

async fn prepared() -> Prepared {
    let account = lagging();
    account.scalardb(2).await;
    let provider = Arc::new(account.provider().await);
    let context = Context::default();
    let sets = provider.discover(&context).await.unwrap().data_sets;
    let sets: Vec<_> = sets.into_iter().filter(|set| set.name.starts_with("bank.")).collect();
    let confirmed = provider.confirm(&context, &sets).await.unwrap();
    let ids: Vec<_> = confirmed.into_iter().map(|set| RecordedSet { name: set.name, id: set.id }).collect();
    let capsules = provider.capture(&context, &sets).await.unwrap();
    let at = RestoreTime(account.now().await.0 / 1_000_000_000);
    account.pass(lag() + Duration::from_secs(2)).await;
    let preparer = Arc::clone(&provider).preparer().unwrap();
    let request = PrepareRequest { label: "p", at, sets: &ids, capsules: &capsules };
    let mut made = Vec::new();
    for unit in preparer.units(&request).unwrap() {
        let mut journal = Journal::default();
        while !journal.done {
            let act = journal.intent.as_ref().map(|intent| Act { intent, fence: &Free });
            let outcome = preparer.step(&context, Way::Forward, &unit, &journal.state, act).await;
            journal.store(outcome, &account).await;
        }
        made.push(MadeSet { name: unit.name, id: unit.id, runs: vec![journal.state] });
    }
    for name in ["bank.account0000", "bank.account0001"] {
        account.ok("CreateBackup", json!({ "TableName": name, "BackupName": "safety" })).await;
    }
    let pruner = provider.pruner().unwrap();
    Prepared { account, made, pruner }
}

#[derive(Debug, Default)]
struct Journal {
    state: UnitState,
    intent: Option<Intent>,
    done: bool,
}

impl Journal {
    async fn store(&mut self, outcome: Result<Step, ProviderError>, account: &Account) {
        match outcome {
            Ok(Step::Intend(intent)) => self.intent = Some(intent),
            Ok(Step::Did(record)) => {
                self.intent = None;
                self.state.records.push(record);
            }
            Ok(Step::Done(record)) => {
                self.state.records.push(record);
                self.done = true;
            }
            Ok(Step::Wait { .. }) => account.pass(Duration::from_secs(1)).await,
            Err(error) if error.retryable => account.pass(Duration::from_secs(1)).await,
            other => panic!("{other:?}"),
        }
    }
}

impl Prepared {
    fn units(&self) -> Vec<Unit> {
        self.pruner.units(&self.made).unwrap()
    }

    async fn step(&self, unit: &Unit, journal: &Journal) -> Result<Step, ProviderError> {
        let act = journal.intent.as_ref().map(|intent| Act { intent, fence: &Free });
        self.pruner.step(&Context::default(), Way::Forward, unit, &journal.state, act).await
    }

    /// Prunes everything; the outcome of the call of this number is lost with its process.
    async fn prune(&self, killed_at: usize, twice: bool) -> usize {
        let mut calls = 0;
        for unit in self.units() {
            let mut journal = Journal::default();
            while !journal.done {
                let mut outcome = self.step(&unit, &journal).await;
                if twice {
                    outcome = self.step(&unit, &journal).await;
                }
                calls += 1;
                assert!(calls < 500, "{journal:?}");
                if calls != killed_at {
                    journal.store(outcome, &self.account).await;
                }
            }
        }
        calls
    }

    /// Names of the backups that are there.
    async fn names(&self) -> Vec<String> {
        let name = |backup: serde_json::Value| backup["BackupName"].as_str().unwrap().to_owned();
        self.account.backups().await.into_iter().map(name).collect()
    }
}

#[tokio::test]
async fn killed_at_any_call_and_every_call_twice_only_what_was_recorded_is_gone() {
    let mut killed_at = 0;
    loop {
        let prepared = prepared().await;
        assert_eq!(prepared.names().await.len(), 4);
        let calls = prepared.prune(killed_at, killed_at % 2 == 1).await;
        assert_eq!(prepared.names().await, ["safety", "safety"], "killed at {killed_at}");
        assert_eq!(prepared.account.tables().await.iter().filter(|name| name.starts_with("bank.")).count(), 2);
        killed_at += 1;
        if killed_at > calls {
            break;
        }
    }
    assert!(killed_at > 6, "{killed_at}");
}

#[tokio::test]
async fn lost_answers_refusals_and_backups_in_use_are_gone_through() {
    let error =
        |code: &str, status: u16| Effect::Error(ServiceError::new(code, "as told by the test").with_status(status));
    let effects = [
        Effect::DropAnswer,
        Effect::DropRequest,
        Effect::Delay(Duration::from_secs(30)),
        error("InternalServerError", 500),
        error("ThrottlingException", 400),
        error("LimitExceededException", 400),
        error("BackupInUseException", 400),
    ];
    let prepared = prepared().await;
    for operation in ["DeleteBackup", "DescribeBackup"] {
        // A look is never refused because the backup is in use.
        let fits = effects.len() - usize::from(operation == "DescribeBackup");
        for effect in &effects[..fits] {
            let (operation, table) = (operation.to_owned(), "*".to_owned());
            prepared.account.db.inject(Fault { operation, table, times: Some(1), effect: effect.clone() });
        }
    }
    prepared.prune(0, false).await;
    assert_eq!(prepared.names().await, ["safety", "safety"]);
}

#[tokio::test]
async fn a_backup_that_is_gone_already_is_done_and_is_missed_before() {
    let prepared = prepared().await;
    let context = Context::default();
    assert_eq!(prepared.pruner.missing(&context, &prepared.made).await.unwrap(), []);
    let backups = prepared.account.backups().await;
    let first = backups.iter().find(|backup| backup["TableName"].as_str().unwrap().ends_with("account0000"));
    let ours = backups.iter().filter(|backup| backup["BackupName"] != "safety").cloned().collect::<Vec<_>>();
    assert!(first.is_some());
    prepared.account.ok("DeleteBackup", json!({ "BackupArn": ours[0]["BackupArn"] })).await;
    let missing = prepared.pruner.missing(&context, &prepared.made).await.unwrap();
    assert_eq!(missing.len(), 1);
    assert!(missing[0].1.contains(ours[0]["BackupArn"].as_str().unwrap()), "{missing:?}");
    prepared.prune(0, false).await;
    assert_eq!(prepared.names().await, ["safety", "safety"]);
    // Nothing of what was removed by an abort is planned again.
    let undone = MadeSet { runs: vec![UnitState::default()], ..prepared.made[0].clone() };
    assert_eq!(prepared.pruner.units(&[undone]).unwrap(), []);
}

#[tokio::test]
async fn a_plan_that_names_another_table_s_backup_deletes_nothing() {
    let prepared = prepared().await;
    let mut unit = prepared.units().remove(0);
    let safety = prepared.account.backups().await;
    let safety = safety.iter().find(|backup| backup["BackupName"] == "safety").unwrap();
    unit.what[0]["arn"] = safety["BackupArn"].clone();
    let mut journal = Journal::default();
    journal.store(prepared.step(&unit, &journal).await, &prepared.account).await;
    let error = prepared.step(&unit, &journal).await.unwrap_err();
    assert_eq!((error.kind, error.retryable), (ErrorKind::WrongState, false), "{error:?}");
    assert!(error.message.contains("left alone"), "{}", error.message);
    assert_eq!(prepared.names().await.len(), 4);
    let back = prepared.pruner.step(&Context::default(), Way::Back, &unit, &UnitState::default(), None).await;
    assert_eq!(back.unwrap_err().kind, ErrorKind::Invalid);
}

#[tokio::test]
async fn a_missing_right_is_named_before_anything_is_deleted() {
    for action in ["DeleteBackup", "DescribeBackup"] {
        let prepared = prepared().await;
        let units = prepared.units();
        prepared.pruner.preflight(&Context::default(), &units).await.unwrap();
        prepared.account.db.deny(action, "*");
        let error = prepared.pruner.preflight(&Context::default(), &units).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::PermissionDenied);
        assert!(error.hint.contains(&format!("dynamodb:{action}")), "{}", error.hint);
        assert_eq!(prepared.names().await.len(), 4);
    }
}
