//! What stands in the way, each by name: refusals before anything is touched, and people who do things meanwhile.

use super::world::{A, B, Run, World};
use crate::support::Account;
use provider_api::conformance::World as _;
use provider_api::{Context, ErrorKind, RestoreOptions, Way};
use serde_json::json;
use std::time::Duration;
use stillpoint_sandbox::dynamodb::{Effect, Fault, FaultId, ServiceError};

const DEFAULT: RestoreOptions = RestoreOptions { safety_backup: true, accept_recreated: false };

fn changes(account: &Account) -> usize {
    let harmless = ["Describe", "List", "Get", "Scan", "Put", "Query"];
    let made = account.db.calls().into_iter().filter(|call| call.error.is_none());
    made.filter(|call| !harmless.iter().any(|prefix| call.operation.starts_with(prefix))).count()
}

impl Account {
    /// Somebody turns deletion protection off, whatever it was.
    async fn unprotected(&self, table: &str) {
        self.pass(Duration::from_secs(1)).await;
        self.ok("UpdateTable", json!({ "TableName": table, "DeletionProtectionEnabled": false })).await;
    }
}

#[tokio::test]
async fn everything_that_speaks_against_it_is_told_together_and_nothing_is_touched() {
    let world = World::new().await;
    let account = &world.account;
    account.db.set_replicas(A, &["eu-west-1"]);
    account.re_create(B).await;
    let backups = account.backups().await;
    let of_a = backups.iter().find(|backup| backup["TableName"].as_str().unwrap().ends_with(A)).unwrap();
    account.ok("DeleteBackup", json!({ "BackupArn": of_a["BackupArn"] })).await;
    account.db.deny("RestoreTableFromBackup", "*");
    let before = (account.tables().await, account.backups().await, account.table_id(A).await);
    let refused = world.refused(DEFAULT).await;
    let text = format!("{refused:?}");
    for part in ["replica", "--accept-recreated", "is gone", "dynamodb:RestoreTableFromBackup"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(refused.iter().all(|error| !error.hint.is_empty()));
    assert_eq!((account.tables().await, account.backups().await, account.table_id(A).await), before);
}

#[tokio::test]
async fn a_look_changes_nothing_and_says_what_would_be_done() {
    let world = World::new().await;
    world.disaster().await;
    world.account.table("bank.newer", 0).await;
    world.account.describe("scalardb.metadata", "bank.newer").await;
    let restorer = world.restorer().await;
    let units = world.run(DEFAULT).await.units;
    let before = (world.settings().await, changes(&world.account));
    let plan = restorer.preflight(&Context::default(), &units).await.unwrap();
    let [(_, of_a), (_, of_b)] = plan.deeds.as_slice() else { panic!("{plan:?}") };
    assert!(of_a.contains("would be backed up") && of_a.contains("PROVISIONED 10/10, 1 index"), "{of_a}");
    assert!(of_b.contains("is not there"), "{of_b}");
    assert!(plan.warnings.iter().any(|warning| warning.contains("bank.newer") && warning.contains("kept")), "{plan:?}");
    assert_eq!(world.settings().await, before.0);
    assert_eq!(changes(&world.account), before.1, "not even to what it is already");
    // And the right to change the table is still asked for.
    let denied = world.account.db.deny("UpdateTable", A);
    let refused = world.refused(DEFAULT).await;
    assert!(refused.iter().any(|error| error.hint.contains("dynamodb:UpdateTable")), "{refused:?}");
    world.account.db.remove(denied);
}

#[tokio::test]
async fn a_key_that_cannot_be_used_and_settings_that_cannot_be_read_are_refused() {
    let world = World::new().await;
    world.account.db.force_status(A, Some("INACCESSIBLE_ENCRYPTION_CREDENTIALS"));
    let refused = world.refused(DEFAULT).await;
    assert!(refused.iter().any(|error| error.message.contains("KMS key")), "{refused:?}");
    world.account.db.force_status(A, None);
    world.account.db.deny("ListTagsOfResource", "*");
    let refused = world.refused(DEFAULT).await;
    let tags = refused.iter().find(|error| error.message.contains("tags")).unwrap_or_else(|| panic!("{refused:?}"));
    assert!(tags.hint.contains("dynamodb:ListTagsOfResource"), "{tags:?}");
}

#[tokio::test]
async fn a_table_that_somebody_made_under_the_name_is_left_alone_and_named() {
    let world = World::new().await;
    let mut run = world.run(DEFAULT).await;
    run.until(A, "deleted").await.unwrap();
    run.until(A, "restore").await.unwrap();
    world.account.table(A, 0).await;
    let foreign = world.account.table_id(A).await;
    let error = run.until(A, "active").await.unwrap_err();
    assert_eq!((error.kind, error.retryable), (ErrorKind::WrongState, false), "{error:?}");
    assert!(error.message.contains(&foreign) && error.message.contains("left alone"), "{error:?}");
    assert_eq!(world.account.table_id(A).await, foreign);
    // Once it is out of the way, the run goes on.
    Account::delete(&world.account, A).await;
    run.finish(Way::Forward).await.unwrap();
    world.is_as_at_t(&run, "after a foreign table").await;
}

#[tokio::test]
async fn a_table_that_was_replaced_before_it_was_deleted_is_left_alone() {
    let world = World::new().await;
    let mut run = world.run(DEFAULT).await;
    run.until(B, "delete").await.unwrap();
    world.account.re_create(B).await;
    let foreign = world.account.table_id(B).await;
    let error = run.until(B, "deleted").await.unwrap_err();
    assert!(error.message.contains(&foreign), "{error:?}");
    assert_eq!(world.account.table_id(B).await, foreign);
}

#[tokio::test]
async fn tables_that_somebody_deletes_meanwhile_are_restored_all_the_same() {
    for moment in ["found", "safety_made", "delete", "restoring", "active", "apply"] {
        let world = World::new().await;
        let mut run = world.run(DEFAULT).await;
        run.until(B, moment).await.unwrap();
        if moment == "restoring" {
            world.account.db.fail_creation(B);
        } else {
            world.account.unprotected(B).await;
            Account::delete(&world.account, B).await;
        }
        // What was restored and went is an error by name; the next run restores it anew.
        if let Err(error) = run.finish(Way::Forward).await {
            assert!(error.message.contains(B) && error.message.contains("is gone"), "{moment}: {error:?}");
            run.finish(Way::Forward).await.unwrap();
        }
        world.is_as_at_t(&run, moment).await;
    }
}

/// Once, the table is said not to be there, although it is.
fn overlooked(account: &Account) -> FaultId {
    let missing = ServiceError::new("ResourceNotFoundException", "Requested resource not found");
    account.db.inject(Fault {
        operation: "DescribeTable".to_owned(),
        table: A.to_owned(),
        times: Some(1),
        effect: Effect::Error(missing),
    })
}

/// The next steps of the table find it missing, once. What the test itself looks at afterwards is as it is.
async fn overlooks(world: &World, run: &mut Run, way: Way) {
    let missed = |account: &Account| {
        let calls = account.db.calls().into_iter().filter(|call| call.operation == "DescribeTable" && call.table == A);
        calls.filter(|call| call.error.as_deref() == Some("ResourceNotFoundException")).count()
    };
    let (before, fault) = (missed(&world.account), overlooked(&world.account));
    for _ in 0..4 {
        run.step(A, way).await.unwrap();
    }
    // Once it is deleted, it is rightly missed too.
    assert!(missed(&world.account) > before, "it was looked for");
    world.account.db.remove(fault);
}

#[tokio::test]
async fn a_table_that_is_overlooked_once_is_not_taken_for_gone() {
    let moments = ["found", "safety_made", "unprotect", "stop_scaling", "delete", "restoring", "active", "apply"];
    for (moment, way) in moments.iter().flat_map(|moment| [(moment, Way::Forward), (moment, Way::Back)]) {
        let world = World::new().await;
        let (data, settings) = (world.data().await, world.settings().await);
        let mut run = world.run(DEFAULT).await;
        run.until(A, moment).await.unwrap();
        if way == Way::Back {
            run.turn();
        }
        overlooks(&world, &mut run, way).await;
        run.finish(way).await.unwrap_or_else(|error| panic!("{moment}, {way:?}: {error:?}"));
        match way {
            Way::Forward => world.is_as_at_t(&run, moment).await,
            Way::Back => assert_eq!((world.data().await, world.settings().await), (data, settings), "{moment}"),
        }
        assert_eq!(run.warnings(), Vec::<String>::new(), "{moment}, {way:?}: nobody did anything to it");
        assert!(!run.facts(A).iter().any(|fact| fact == "gone" || fact == "vanished"), "{moment}, {way:?}");
    }
    // Before anything is known of it: its settings are kept and its safety backup is made all the same.
    let world = World::new().await;
    let mut run = world.run(DEFAULT).await;
    overlooks(&world, &mut run, Way::Forward).await;
    run.finish(Way::Forward).await.unwrap();
    assert!(run.facts(A).contains(&"safety_made".to_owned()), "{:?}", run.facts(A));
    world.is_as_at_t(&run, "overlooked at first").await;
    // And by the plan.
    let fault = overlooked(&world.account);
    let plan = world.restorer().await.preflight(&Context::default(), &run.units).await;
    world.account.db.remove(fault);
    assert!(format!("{plan:?}").contains("its TableId is"), "{plan:?}");
}

#[tokio::test]
async fn a_backup_that_goes_before_its_table_was_deleted_stops_it_there() {
    for (moment, which) in [("delete", "rp-"), ("delete", "before")] {
        let world = World::new().await;
        let mut run = world.run(DEFAULT).await;
        run.until(B, moment).await.unwrap();
        let id = world.account.table_id(B).await;
        for backup in world.account.backups().await {
            let safety = backup["BackupName"].as_str().unwrap().contains("-before-");
            if safety == (which == "before") {
                world.account.ok("DeleteBackup", json!({ "BackupArn": backup["BackupArn"] })).await;
            }
        }
        let error = run.until(B, "deleted").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::WrongState, "{error:?}");
        assert!(error.message.contains("is gone"), "{error:?}");
        assert_eq!(world.account.table_id(B).await, id, "it is still there");
        run.turn();
        run.finish(Way::Back).await.unwrap();
        assert_eq!(world.account.table_id(B).await, id);
    }
}

#[tokio::test]
async fn the_right_to_destroy_is_asked_for_before_every_deletion_and_only_then() {
    let world = World::new().await;
    let mut run = world.run(DEFAULT).await;
    run.finish(Way::Forward).await.unwrap();
    let deletions = world.account.db.calls().into_iter().filter(|call| call.operation == "DeleteTable");
    let deletions = deletions.filter(|call| !call.table.starts_with("rp-")).count();
    assert_eq!((run.destroyed(), deletions), (2, 2));
}

#[tokio::test]
async fn a_restored_table_is_ours_after_a_crash_even_when_its_lineage_can_no_longer_be_read() {
    let world = World::new().await;
    let mut run = world.run(DEFAULT).await;
    run.until(A, "deleted").await.unwrap();
    run.until(A, "restore").await.unwrap();
    let unit = run.units.iter().find(|unit| unit.name == A).cloned().unwrap();
    // It acts, and its process dies; the next comes when all is restored.
    run.call(Way::Forward, &unit).await.unwrap();
    world.account.pass(Duration::from_secs(600)).await;
    let ours = world.account.table_id(A).await;
    run.until(A, "restoring").await.unwrap();
    assert_eq!(run.fact(A, "restoring")["table_id"].as_str(), Some(ours.as_str()));
    run.finish(Way::Forward).await.unwrap();
    world.is_as_at_t(&run, "adopted late").await;
    assert_eq!(world.account.table_id(A).await, ours);
}
