//! What must not go, what must not be taken for ours, and ways back that are lost: forward is then the way out.

use super::world::{A, B, Run, World};
use crate::support::{Account, TIME_SCALE, error, table};
use provider_api::conformance::World as _;
use provider_api::{ErrorKind, ProviderError, RestoreOptions, Step, Unit, Way};
use serde_json::json;
use std::time::Duration;
use stillpoint_sandbox::dynamodb::{Effect, Fault};

const DEFAULT: RestoreOptions = RestoreOptions { safety_backup: true, accept_recreated: false };
const BARE: RestoreOptions = RestoreOptions { safety_backup: false, ..DEFAULT };

fn unit(run: &Run, name: &str) -> Unit {
    run.units.iter().find(|unit| unit.name == name).cloned().unwrap()
}

/// Deletes the prepared backup of a table, or the one that was made of it before it was replaced.
async fn delete_backup(account: &Account, table: &str, safety: bool) {
    let all = account.backups().await.into_iter();
    let mut ours = all.filter(|backup| backup["TableName"].as_str().unwrap().ends_with(table));
    let backup = ours.find(|backup| (backup["TableName"] == table) == safety).unwrap();
    account.ok("DeleteBackup", json!({ "BackupArn": backup["BackupArn"] })).await;
}

fn has_no_way_back(error: &ProviderError) {
    assert_eq!((error.kind, error.retryable), (ErrorKind::WrongState, false), "{error:?}");
    assert!(error.message.contains("cannot be put back"), "{error:?}");
}

#[tokio::test]
async fn a_table_that_is_going_without_any_backup_has_no_way_back_and_forward_finishes() {
    let world = World::new().await;
    let restorer = world.restorer().await;
    let mut run = world.run(BARE).await;
    run.loses = true;
    run.until(B, "delete").await.unwrap();
    run.way_back(&restorer, B).await.unwrap();
    // The call is sent, and its process dies. Nobody has recorded that the table goes, and nothing is kept of it.
    run.call(Way::Forward, &unit(&run, B)).await.unwrap();
    world.account.pitr(B, false).await;
    let error = run.way_back(&restorer, B).await.unwrap_err();
    has_no_way_back(&error);
    // Somebody had turned the run just before.
    run.turn();
    let error = run.finish(Way::Back).await.unwrap_err();
    has_no_way_back(&error);
    assert!(error.hint.contains("without --abort"), "{error:?}");
    has_no_way_back(&run.way_back(&restorer, B).await.unwrap_err());
    run.turn();
    run.finish(Way::Forward).await.unwrap();
    world.is_as_at_t(&run, "forward again").await;
}

#[tokio::test]
async fn forward_again_also_what_was_put_back_or_taken_apart_is_as_at_t() {
    for moment in ["put_back", "restoring", "unprotected", "deleted", "apply"] {
        let world = World::new().await;
        let restorer = world.restorer().await;
        let mut run = world.run(DEFAULT).await;
        run.until(A, "restored").await.unwrap();
        run.until(B, "deleted").await.unwrap();
        run.turn();
        run.until_on(Way::Back, A, moment).await.unwrap();
        delete_backup(&world.account, B, true).await;
        has_no_way_back(&run.until_on(Way::Back, B, "put_back").await.unwrap_err());
        has_no_way_back(&run.way_back(&restorer, B).await.unwrap_err());
        run.turn();
        run.finish(Way::Forward).await.unwrap_or_else(|error| panic!("{moment}: {error:?}"));
        world.is_as_at_t(&run, moment).await;
        assert_eq!(world.account.safety_backups().await, 1, "{moment}");
    }
}

#[tokio::test]
async fn a_table_that_was_only_disarmed_is_disarmed_again_when_the_run_goes_forward_again() {
    for moment in ["apply", "applied", "put_back"] {
        let world = World::new().await;
        let mut run = world.run(DEFAULT).await;
        run.until(A, "delete").await.unwrap();
        run.until(B, "deleted").await.unwrap();
        run.turn();
        run.until_on(Way::Back, A, moment).await.unwrap();
        run.turn();
        run.finish(Way::Forward).await.unwrap_or_else(|error| panic!("{moment}: {error:?}"));
        world.is_as_at_t(&run, moment).await;
        // And back once more, by the same safety backups.
        run.turn();
        run.finish(Way::Back).await.unwrap_or_else(|error| panic!("{moment}, back: {error:?}"));
        assert_eq!(world.account.safety_backups().await, 2, "{moment}");
    }
}

#[tokio::test]
async fn a_deletion_that_may_still_come_counts_as_one() {
    let world = World::new().await;
    let restorer = world.restorer().await;
    let mut run = world.run(BARE).await;
    run.until(B, "delete").await.unwrap();
    run.way_back(&restorer, B).await.unwrap();
    world.account.pitr(B, false).await;
    let error = run.way_back(&restorer, B).await.unwrap_err();
    has_no_way_back(&error);
    assert!(error.hint.contains("update-continuous-backups"), "{error:?}");
    world.account.pitr(B, true).await;
    run.way_back(&restorer, B).await.unwrap();
    let id = world.account.table_id(B).await;
    run.turn();
    run.finish(Way::Back).await.unwrap();
    assert_eq!(world.account.table_id(B).await, id);
}

#[tokio::test]
async fn without_safety_backups_no_table_goes_whose_recovery_is_off() {
    let world = World::new().await;
    world.account.pitr(B, false).await;
    let refused = world.refused(BARE).await;
    let off = |error: &ProviderError| error.kind == ErrorKind::PitrOff && error.message.contains(B);
    assert!(refused.iter().any(off), "{refused:?}");
    assert!(
        world
            .restorer()
            .await
            .preflight(&provider_api::Context::default(), &world.run(DEFAULT).await.units)
            .await
            .is_ok()
    );
    world.account.pitr(B, true).await;
    for moment in ["found", "deleted"] {
        let mut run = world.run(BARE).await;
        if moment == "deleted" {
            run.until(B, "delete").await.unwrap();
        }
        let id = world.account.table_id(B).await;
        world.account.pitr(B, false).await;
        let error = run.until(B, moment).await.unwrap_err();
        assert!(off(&error) && error.hint.contains("update-continuous-backups"), "{moment}: {error:?}");
        assert_eq!(world.account.table_id(B).await, id, "{moment}: it is still there");
        world.account.pitr(B, true).await;
        if moment == "deleted" {
            run.finish(Way::Forward).await.unwrap();
            world.is_as_at_t(&run, moment).await;
        }
    }
}

#[tokio::test]
async fn a_restored_table_whose_backup_is_gone_is_not_taken_away_for_nothing() {
    let world = World::new().await;
    world.disaster().await;
    let restorer = world.restorer().await;
    let mut run = world.run(DEFAULT).await;
    run.until(B, "restored").await.unwrap();
    let id = world.account.table_id(B).await;
    run.way_back(&restorer, B).await.unwrap();
    run.turn();
    run.until_on(Way::Back, B, "delete").await.unwrap();
    delete_backup(&world.account, B, false).await;
    has_no_way_back(&run.until_on(Way::Back, B, "deleted").await.unwrap_err());
    assert_eq!(world.account.table_id(B).await, id, "it was left alone");
    has_no_way_back(&run.way_back(&restorer, B).await.unwrap_err());
    run.turn();
    run.finish(Way::Forward).await.unwrap();
    world.is_as_at_t(&run, "forward again").await;
    assert_eq!(world.account.table_id(B).await, id);
}

#[tokio::test]
async fn after_a_refusal_an_empty_table_that_somebody_makes_is_not_taken_for_the_restored_one() {
    for code in ["LimitExceededException", "BackupInUseException", "ThrottlingException", "AccessDeniedException"] {
        let world = World::new().await;
        let mut run = world.run(DEFAULT).await;
        run.until(B, "deleted").await.unwrap();
        run.until(B, "restore").await.unwrap();
        world.disturb("RestoreTableFromBackup", error(code, 400));
        let answer = run.call(Way::Forward, &unit(&run, B)).await;
        let refused = matches!(answer, Ok(Step::Did(_) | Step::Failed(..)));
        assert!(refused, "{code}: {answer:?}");
        world.disturb("RestoreTableFromBackup", error(code, 400));
        let failed = run.until(B, if code.starts_with("Access") { "nothing" } else { "refused" }).await;
        assert_eq!(failed.is_err(), code.starts_with("Access"), "{code}: {failed:?}");
        world.account.table(B, 0).await;
        let foreign = world.account.table_id(B).await;
        let error = run.until(B, "active").await.unwrap_err();
        assert!(error.message.contains(&foreign) && error.message.contains("left alone"), "{code}: {error:?}");
        assert_eq!(world.account.table_id(B).await, foreign);
        Account::delete(&world.account, B).await;
        run.finish(Way::Forward).await.unwrap();
        world.is_as_at_t(&run, code).await;
    }
}

#[tokio::test]
async fn a_table_that_somebody_makes_while_the_restore_is_asked_for_is_not_taken_for_it_either() {
    let world = World::new().await;
    let mut run = world.run(DEFAULT).await;
    run.until(B, "deleted").await.unwrap();
    run.until(B, "restore").await.unwrap();
    world.disturb("RestoreTableFromBackup", Effect::Delay(Duration::from_secs(5)));
    let of_b = unit(&run, B);
    let (answer, ()) = tokio::join!(run.call(Way::Forward, &of_b), async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        world.account.ok("CreateTable", table(B, 0)).await;
    });
    assert!(matches!(answer, Ok(Step::Did(_))), "{answer:?}");
    run.store(B, answer).unwrap();
    let foreign = world.account.table_id(B).await;
    let error = run.until(B, "active").await.unwrap_err();
    assert!(error.message.contains(&foreign) && error.message.contains("left alone"), "{error:?}");
}

#[tokio::test]
async fn when_there_is_no_room_for_hours_that_is_the_error_and_the_next_run_asks_anew() {
    let world = World::new().await;
    let mut run = world.run(DEFAULT).await;
    run.until(B, "deleted").await.unwrap();
    let fault = Fault {
        operation: "RestoreTable*".into(),
        table: "*".into(),
        times: None,
        effect: error("LimitExceededException", 400),
    };
    let full = world.account.db.inject(fault);
    let asked = || world.account.db.calls().iter().filter(|call| call.operation == "RestoreTableFromBackup").count();
    let before = asked();
    let error = run.until(B, "restoring").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Throttled);
    assert!(error.message.contains("no room"), "{error:?}");
    // Two hours, a sixtieth as long, of which each call takes its own share.
    assert!((5..=250).contains(&(asked() - before)), "{}", asked() - before);
    world.account.db.remove(full);
    run.finish(Way::Forward).await.unwrap();
    world.is_as_at_t(&run, "after a full account").await;
}

#[tokio::test]
async fn the_safety_backup_is_asked_for_only_a_minute_after_this_process_came_to_it() {
    let world = World::new().await;
    let mut run = world.run(DEFAULT).await;
    let begun = world.account.clock.mono_ns();
    run.finish(Way::Forward).await.unwrap();
    let minute = (60e9 / TIME_SCALE) as i64;
    let calls = world.account.db.calls().into_iter();
    let asked = calls.filter(|call| call.operation == "CreateBackup" && call.error.is_none() && call.mono_ns > begun);
    let waited: Vec<_> = asked.map(|call| call.mono_ns - begun).collect();
    assert_eq!(waited.len(), 2);
    assert!(waited.iter().all(|waited| *waited >= minute), "{waited:?}");
}

#[tokio::test]
async fn a_table_that_is_replaced_while_it_is_looked_at_is_judged_anew() {
    let world = World::new().await;
    let mut run = world.run(DEFAULT).await;
    let effect = Effect::Delay(Duration::from_secs(5));
    let fault = Fault { operation: "DescribeTable".into(), table: B.into(), times: Some(2), effect };
    world.account.db.inject(fault);
    let of_b = unit(&run, B);
    // The first look is answered after five seconds, the one at its settings after ten.
    let (answer, ()) = tokio::join!(run.call(Way::Forward, &of_b), async {
        tokio::time::sleep(Duration::from_secs(7)).await;
        world.account.re_create(B).await;
    });
    assert!(matches!(answer, Ok(Step::Wait { .. })), "{answer:?}");
    let error = run.until(B, "found").await.unwrap_err();
    assert!(error.hint.contains("--accept-recreated"), "{error:?}");
}
