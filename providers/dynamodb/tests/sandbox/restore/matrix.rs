//! Died at every call, made twice, lost, refused, undone: the end is the same.

use super::world::{A, B, World};
use crate::support::error;
use provider_api::{RestoreOptions, Way};
use std::time::Duration;
use stillpoint_sandbox::dynamodb::Effect;

/// A world after the disaster, and what it is then.
async fn struck() -> (World, serde_json::Value, serde_json::Value) {
    let world = World::new().await;
    world.disaster().await;
    let (data, settings) = (world.data().await, world.settings().await);
    (world, data, settings)
}

/// Every table is as it was before the restore.
async fn is_as_before(world: &World, before: &(serde_json::Value, serde_json::Value), how: &str) {
    assert_eq!(world.data().await, before.0, "{how}");
    assert_eq!(world.settings().await, before.1, "{how}");
    world.nothing_left(how).await;
}

#[tokio::test]
async fn every_call_twice_ends_the_same() {
    let (world, ..) = struck().await;
    let mut run = world.run(RestoreOptions::default()).await;
    run.twice = true;
    run.finish(Way::Forward).await.unwrap();
    world.is_as_at_t(&run, "every call twice").await;
    assert_eq!(world.account.safety_backups().await, 1);
}

/// One of `of` parts of the matrix, so that its rows run at the same time.
async fn killed(part: usize, of: usize) {
    for calls in (part..).step_by(of) {
        let (world, ..) = struck().await;
        let mut run = world.run(RestoreOptions::default()).await;
        let ended = run.drive(Way::Forward, calls).await.unwrap();
        run.finish(Way::Forward).await.unwrap_or_else(|error| panic!("killed at call {calls}: {error:?}"));
        world.is_as_at_t(&run, &format!("killed at call {calls}")).await;
        assert_eq!(world.account.safety_backups().await, 1, "killed at call {calls}");
        if ended {
            assert!(calls > 30, "only {calls} calls");
            break;
        }
    }
}

#[tokio::test]
async fn killed_at_every_odd_call_it_goes_on_and_ends_the_same() {
    killed(1, 2).await;
}

#[tokio::test]
async fn killed_at_every_even_call_it_goes_on_and_ends_the_same() {
    killed(2, 2).await;
}

async fn undone(part: usize, of: usize) {
    for calls in (part..).step_by(of) {
        let (world, data, settings) = struck().await;
        let mut run = world.run(RestoreOptions::default()).await;
        run.twice = calls % 3 == 0;
        let ended = run.drive(Way::Forward, calls).await.unwrap();
        run.turn();
        // The way back is killed as well, somewhere.
        let how = format!("undone from call {calls}");
        run.drive(Way::Back, 1 + calls % 11).await.unwrap_or_else(|error| panic!("{how}: {error:?}"));
        run.finish(Way::Back).await.unwrap_or_else(|error| panic!("{how}: {error:?}"));
        is_as_before(&world, &(data, settings), &how).await;
        assert!(world.account.safety_backups().await <= 1, "{how}");
        if ended {
            break;
        }
    }
}

#[tokio::test]
async fn undone_from_every_second_call_every_table_is_as_it_was_before() {
    undone(1, 4).await;
}

#[tokio::test]
async fn undone_from_the_calls_between_every_table_is_as_it_was_before() {
    undone(3, 4).await;
}

const CHANGES: [&str; 6] = [
    "CreateBackup",
    "UpdateTable",
    "DeregisterScalableTarget",
    "DeleteTable",
    "RestoreTableFromBackup",
    "UpdateContinuousBackups",
];

#[tokio::test]
async fn a_lost_answer_a_lost_call_and_a_refusal_for_now_change_nothing_at_the_end() {
    let effects = [Effect::DropAnswer, Effect::Delay(Duration::from_secs(30)), error("InternalServerError", 500)];
    for (n, operation) in CHANGES.into_iter().enumerate() {
        for (m, effect) in effects.iter().enumerate() {
            let how = format!("{operation}: {effect:?}");
            let (world, data, settings) = struck().await;
            let mut run = world.run(RestoreOptions::default()).await;
            world.disturb(operation, effect.clone());
            run.finish(Way::Forward).await.unwrap_or_else(|error| panic!("{how}: {error:?}"));
            world.is_as_at_t(&run, &how).await;
            // The way back makes the same calls by the same code: a third of the table is enough.
            if n % 3 != m {
                continue;
            }
            run.turn();
            world.disturb(operation, effect.clone());
            run.finish(Way::Back).await.unwrap_or_else(|error| panic!("back: {how}: {error:?}"));
            is_as_before(&world, &(data, settings), &format!("back: {how}")).await;
        }
    }
}

#[tokio::test]
async fn a_refusal_for_good_is_a_clear_error_and_both_ways_lead_on_from_it() {
    for operation in CHANGES {
        for way in [Way::Forward, Way::Back] {
            let (world, data, settings) = struck().await;
            let mut run = world.run(RestoreOptions::default()).await;
            let denied = world.account.db.deny(operation, "*");
            let error = run.finish(Way::Forward).await.unwrap_err();
            assert!(error.hint.contains(operation), "{operation}: {error:?}");
            world.account.db.remove(denied);
            if way == Way::Back {
                run.turn();
            }
            run.finish(way).await.unwrap_or_else(|error| panic!("{operation}, {way:?}: {error:?}"));
            match way {
                Way::Back => is_as_before(&world, &(data, settings), operation).await,
                Way::Forward => world.is_as_at_t(&run, operation).await,
            }
        }
    }
}

#[tokio::test]
async fn without_a_safety_backup_the_backup_that_dynamodb_makes_leads_back() {
    for moment in ["delete", "deleted", "restoring", "active"] {
        let (world, data, settings) = struck().await;
        let options = RestoreOptions { safety_backup: false, ..RestoreOptions::default() };
        let mut run = world.run(options).await;
        run.until(A, moment).await.unwrap();
        run.until(B, "active").await.unwrap();
        run.turn();
        run.finish(Way::Back).await.unwrap_or_else(|error| panic!("{moment}: {error:?}"));
        is_as_before(&world, &(data, settings), moment).await;
        assert_eq!(world.account.safety_backups().await, 0);
    }
}
