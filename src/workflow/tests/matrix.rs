//! Killed at every step; a catalog that goes away, for a while or for good.

use super::*;
use crate::catalog::tests::faults::{Fault, faulty};
use tokio::sync::mpsc::unbounded_channel;

/// Drives until the world has seen this many steps, and then is gone, with everything under way. Says whether it ended first.
pub(super) async fn killed_at(catalog: &Catalog, id: &PointId, way: Way, fake: &Arc<Fake>, step: usize) -> bool {
    let (sender, mut steps) = unbounded_channel();
    fake.world().steps = 0;
    *fake.hook.lock().unwrap() = Some(sender);
    let options = heir(1);
    let reached = async {
        while let Some(seen) = steps.recv().await {
            if seen >= step {
                return;
            }
        }
    };
    let ended = tokio::select! {
        biased;
        () = reached => false,
        ended = drive(catalog, id, way, fake, &options) => is_done(&ended),
    };
    *fake.hook.lock().unwrap() = None;
    ended
}

#[tokio::test(start_paused = true)]
async fn killed_at_any_step_the_same_command_ends_as_if_undisturbed() {
    for step in 1.. {
        let (catalog, fake) = (memory().await, Fake::new(3, 2));
        let id = point(&catalog).await;
        let ended = killed_at(&catalog, &id, Way::Forward, &fake, step).await;
        if !ended {
            // And the second as well, elsewhere.
            killed_at(&catalog, &id, Way::Forward, &fake, 1 + step % 5).await;
            let again = drive(&catalog, &id, Way::Forward, &fake, &heir(3)).await;
            assert!(is_done(&again) || phase(&catalog, &id).await == Phase::Prepared, "step {step}: {again:?}");
        }
        assert_eq!(phase(&catalog, &id).await, Phase::Prepared, "step {step}");
        assert_eq!(fake.world().made.len(), 3, "step {step}");
        assert!(fake.world().made.values().all(|made| *made == 1), "step {step}: {:?}", fake.world().made);
        if ended {
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn aborted_after_a_kill_at_any_step_and_killed_while_aborting_nothing_is_left() {
    for step in 1..60 {
        let (catalog, fake) = (memory().await, Fake::new(3, 2));
        let id = point(&catalog).await;
        if killed_at(&catalog, &id, Way::Forward, &fake, step).await {
            return;
        }
        killed_at(&catalog, &id, Way::Back, &fake, 1 + step % 6).await;
        let again = drive(&catalog, &id, Way::Back, &fake, &heir(3)).await;
        assert!(is_done(&again) || phase(&catalog, &id).await == Phase::Sealed, "step {step}: {again:?}");
        assert_eq!(phase(&catalog, &id).await, Phase::Sealed, "step {step}");
        assert!(fake.world().made.is_empty(), "step {step}: {:?}", fake.world().made);
    }
}

#[tokio::test(start_paused = true)]
async fn a_catalog_that_goes_away_in_the_middle_stops_all_deeds_and_is_waited_for() {
    for moment in [1, 50, 101, 150, 205] {
        let (catalog, store) = faulty().await;
        let fake = Fake::new(4, 2);
        let id = point(&catalog).await;
        let (cat, other) = (catalog.clone(), fake.clone());
        let at = id.clone();
        let run = tokio::spawn(async move { drive(&cat, &at, Way::Forward, &other, &options(1)).await });
        tokio::time::sleep(Duration::from_secs(moment)).await;
        *store.always.lock().unwrap() = Some(Fault::NotSent);
        tokio::time::sleep(Duration::from_secs(5)).await;
        let before = fake.world().deeds;
        tokio::time::sleep(Duration::from_secs(200)).await;
        assert!(fake.world().deeds <= before + 2, "only what was intended before may be done");
        *store.always.lock().unwrap() = None;
        let ended = run.await.unwrap();
        assert!(is_done(&ended), "{moment}: {ended:?}");
        assert!(fake.world().made.values().all(|made| *made == 1), "{moment}: {:?}", fake.world().made);
        assert_eq!(phase(&catalog, &id).await, Phase::Prepared);
    }
}

#[tokio::test(start_paused = true)]
async fn a_catalog_that_stays_away_ends_the_command_and_a_later_one_goes_on() {
    let (catalog, store) = faulty().await;
    let fake = Fake::new(3, 3);
    let id = point(&catalog).await;
    let (cat, other) = (catalog.clone(), fake.clone());
    let at = id.clone();
    let run = tokio::spawn(async move { drive(&cat, &at, Way::Forward, &other, &options(1)).await });
    tokio::time::sleep(Duration::from_secs(20)).await;
    *store.always.lock().unwrap() = Some(Fault::NotSent);
    let failure = run.await.unwrap().unwrap_err();
    assert_eq!((failure.exit, failure.name.as_str()), (Exit::Void, "catalog_unreachable"), "{failure:?}");
    *store.always.lock().unwrap() = None;
    assert!(is_done(&drive(&catalog, &id, Way::Forward, &fake, &heir(2)).await));
    assert!(fake.world().made.values().all(|made| *made == 1));
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_is_lost_changes_nothing() {
    let (catalog, store) = faulty().await;
    let fake = Fake::new(3, 3);
    let id = point(&catalog).await;
    store.lose_every_other_answer();
    assert!(is_done(&drive(&catalog, &id, Way::Forward, &fake, &options(1)).await));
    assert!(fake.world().made.values().all(|made| *made == 1));
}
