//! Retention: what was recorded goes, nothing else, whatever dies or is lost on the way.

use crate::prepare::lagging;
use crate::restore::world::{Run, World};
use crate::support::{Account, disturbances, error, fault};
use provider_api::{BackupProvider, Context, DurableWork, ErrorKind, MadeSet, Pruner, Unit, UnitState, Way};
use serde_json::json;
use std::sync::Arc;

/// Two tables with a backup each, made as `prepare` makes them, and backups of others beside them.
struct Prepared {
    account: Arc<Account>,
    made: Vec<MadeSet>,
    pruner: Pruner,
}

async fn prepared() -> Prepared {
    let account = lagging();
    account.scalardb(2).await;
    let names = ["bank.account0000", "bank.account0001"];
    let World { account, made, .. } = World::of(account, &names).await;
    for name in names {
        account.ok("CreateBackup", json!({ "TableName": name, "BackupName": "safety" })).await;
    }
    let pruner = Arc::new(account.provider().await).pruner().unwrap();
    Prepared { account, made, pruner }
}

impl Prepared {
    fn units(&self) -> Vec<Unit> {
        self.pruner.units(&self.made).unwrap()
    }

    /// A run of which nothing is done.
    fn run(&self) -> Run {
        let work = Arc::clone(&self.pruner) as Arc<dyn DurableWork>;
        Run::new(Arc::clone(&self.account), work, self.units())
    }

    /// Names of the backups that are there.
    async fn names(&self) -> Vec<String> {
        let name = |backup: serde_json::Value| backup["BackupName"].as_str().unwrap().to_owned();
        self.account.backups().await.into_iter().map(name).collect()
    }
}

#[tokio::test]
async fn killed_at_any_step_and_every_step_twice_only_what_was_recorded_is_gone() {
    for steps in 1.. {
        let prepared = prepared().await;
        assert_eq!(prepared.names().await.len(), 4);
        let mut run = prepared.run();
        run.twice = steps % 2 == 0;
        let ended = run.drive(Way::Forward, steps).await.unwrap();
        run.finish(Way::Forward).await.unwrap();
        assert_eq!(prepared.names().await, ["safety", "safety"], "killed at {steps}");
        assert_eq!(prepared.account.tables().await.iter().filter(|name| name.starts_with("bank.")).count(), 2);
        prepared.account.nothing_lost();
        if ended {
            assert!(steps > 6, "{steps}");
            return;
        }
    }
}

#[tokio::test]
async fn lost_answers_refusals_and_backups_in_use_are_gone_through() {
    let prepared = prepared().await;
    for operation in ["DeleteBackup", "DescribeBackup"] {
        for effect in disturbances() {
            prepared.account.db.inject(fault(operation, effect));
        }
    }
    // A look is never refused because the backup is in use.
    prepared.account.db.inject(fault("DeleteBackup", error("BackupInUseException", 400)));
    prepared.run().finish(Way::Forward).await.unwrap();
    assert_eq!(prepared.names().await, ["safety", "safety"]);
    prepared.account.nothing_lost();
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
    prepared.run().finish(Way::Forward).await.unwrap();
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
    let work = Arc::clone(&prepared.pruner) as Arc<dyn DurableWork>;
    let mut run = Run::new(Arc::clone(&prepared.account), work, vec![unit.clone()]);
    let error = run.finish(Way::Forward).await.unwrap_err();
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
