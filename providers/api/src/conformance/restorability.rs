//! Can a set be restored to T: now, later, never again.

use super::{Broken, Verdict, World, discovered, ensure, recorded, works};
use crate::{BackupProvider, Context, RecordedSet, Restorability, RestoreTime, SetRestorability};
use std::time::Duration;

const SECOND: i64 = 1_000_000_000;

/// The service's second that is going on now.
async fn second(world: &dyn World) -> RestoreTime {
    RestoreTime(world.now().await.0 / SECOND)
}

/// Sets, a T that the world holds still at now, and enough time passed for T to be restorable.
async fn sealed(
    provider: &dyn BackupProvider,
    world: &dyn World,
) -> Result<(Vec<RecordedSet>, Vec<String>, RestoreTime), Broken> {
    let (sets, users) = discovered(provider).await?;
    let ids = recorded(provider, &sets).await?;
    let at = second(world).await;
    world.pass(world.lag() + Duration::from_secs(2)).await;
    Ok((ids, users, at))
}

async fn ask(
    provider: &dyn BackupProvider,
    at: RestoreTime,
    ids: &[RecordedSet],
) -> Result<Vec<SetRestorability>, Broken> {
    let answers = works("restorable", provider.restorable(&Context::default(), at, ids).await)?;
    let asked: Vec<_> = ids.iter().map(|set| &set.name).collect();
    let answered: Vec<_> = answers.iter().map(|set| &set.name).collect();
    ensure!(asked == answered, "asked {asked:?}, answered {answered:?}");
    Ok(answers)
}

/// Exactly this set is lost, with a reason; every other is as good as before.
fn only_lost(answers: &[SetRestorability], lost: &str) -> Verdict {
    for answer in answers {
        match &answer.restorability {
            Restorability::Lost { reason } if answer.name == lost => {
                ensure!(!reason.is_empty(), "`{lost}` is lost without a reason");
            }
            Restorability::Ok if answer.name != lost => {}
            other => return Err(Broken(format!("`{}` is {other:?}, only `{lost}` should be lost", answer.name))),
        }
    }
    Ok(())
}

/// A second between the earliest and the latest restorable moment of every set is good.
pub async fn a_time_in_range_is_restorable(provider: &dyn BackupProvider, world: &dyn World) -> Verdict {
    let (ids, _, at) = sealed(provider, world).await?;
    for answer in ask(provider, at, &ids).await? {
        ensure!(answer.restorability == Restorability::Ok, "{answer:?}");
        ensure!(
            matches!((answer.restorable_from, answer.restorable_to),
                (Some(from), Some(to)) if from.0 <= at.0 * SECOND && at.0 * SECOND <= to.0),
            "the range does not hold {at:?}: {answer:?}"
        );
    }
    Ok(())
}

/// The second going on now is good only after the service's lag; the provider's guess when is not before it.
pub async fn a_time_too_new_is_not_yet_restorable_and_then_is(
    provider: &dyn BackupProvider,
    world: &dyn World,
) -> Verdict {
    let (sets, _) = discovered(provider).await?;
    let ids = recorded(provider, &sets).await?;
    let at = second(world).await;
    let lag = i64::try_from(world.lag().as_nanos()).unwrap_or(i64::MAX);
    for answer in ask(provider, at, &ids).await? {
        let Restorability::NotYet { expected_at } = answer.restorability else {
            return Err(Broken(format!("too new, but {answer:?}")));
        };
        let after = expected_at.0 - at.0 * SECOND;
        ensure!((lag / 2..=lag * 2 + SECOND).contains(&after), "expected {after} ns after T, the lag is {lag} ns");
    }
    world.pass(world.lag() + Duration::from_secs(2)).await;
    for answer in ask(provider, at, &ids).await? {
        ensure!(answer.restorability == Restorability::Ok, "after the lag: {answer:?}");
    }
    Ok(())
}

/// PITR off: there is no history any more.
pub async fn a_set_whose_pitr_is_off_is_lost(provider: &dyn BackupProvider, world: &dyn World) -> Verdict {
    let (ids, users, at) = sealed(provider, world).await?;
    world.pitr_off(&users[0]).await;
    only_lost(&ask(provider, at, &ids).await?, &users[0])
}

/// PITR off and on again: history begins anew, later than T.
pub async fn a_set_whose_pitr_was_toggled_is_lost(provider: &dyn BackupProvider, world: &dyn World) -> Verdict {
    let (ids, users, at) = sealed(provider, world).await?;
    world.pitr_off(&users[1]).await;
    world.pitr_on(&users[1]).await;
    only_lost(&ask(provider, at, &ids).await?, &users[1])?;
    world.pass(world.lag() + Duration::from_secs(2)).await;
    only_lost(&ask(provider, at, &ids).await?, &users[1])
}

/// The name is there, but it is another set, even when that one has history at T.
pub async fn a_set_with_another_identity_is_lost(provider: &dyn BackupProvider, world: &dyn World) -> Verdict {
    let (sets, users) = discovered(provider).await?;
    let ids = recorded(provider, &sets).await?;
    world.re_create(&users[2]).await;
    world.pass(Duration::from_secs(2)).await;
    let at = second(world).await;
    world.pass(world.lag() + Duration::from_secs(2)).await;
    only_lost(&ask(provider, at, &ids).await?, &users[2])
}

/// No set, no history.
pub async fn a_deleted_set_is_lost(provider: &dyn BackupProvider, world: &dyn World) -> Verdict {
    let (ids, users, at) = sealed(provider, world).await?;
    world.delete(&users[0]).await;
    only_lost(&ask(provider, at, &ids).await?, &users[0])
}

/// A second before all history is lost, not "not yet".
pub async fn a_time_before_the_earliest_is_lost(provider: &dyn BackupProvider, world: &dyn World) -> Verdict {
    let (ids, _, _) = sealed(provider, world).await?;
    let ancient = RestoreTime(second(world).await.0 - 3650 * 86_400);
    for answer in ask(provider, ancient, &ids).await? {
        ensure!(matches!(answer.restorability, Restorability::Lost { .. }), "ten years ago, but {answer:?}");
    }
    Ok(())
}
