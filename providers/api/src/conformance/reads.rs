//! Discover, confirm, capture; errors, cancellation, and that reading only reads.

use super::{Verdict, World, discovered, ensure, fails, recorded, works};
use crate::{BackupProvider, Context, DataSet, ErrorKind, ProviderError, RestoreTime, Role};
use std::collections::BTreeSet;
use std::time::Duration;

/// Two discoveries of an unchanged service are equal, sorted, without doubles.
pub async fn discovery_is_sorted_and_repeatable(provider: &dyn BackupProvider, _world: &dyn World) -> Verdict {
    let context = Context::default();
    let first = works("discover", provider.discover(&context).await)?;
    let second = works("discover", provider.discover(&context).await)?;
    ensure!(first == second, "two discoveries differ: {first:?} and {second:?}");
    let names: Vec<_> = first.data_sets.iter().map(|set| &set.name).collect();
    ensure!(names.windows(2).all(|pair| pair[0] < pair[1]), "not sorted, or doubled: {names:?}");
    Ok(())
}

/// The tables that decide what all others mean are part of what is backed up; what is described is listed.
pub async fn discovery_holds_metadata_and_coordinator(provider: &dyn BackupProvider, _world: &dyn World) -> Verdict {
    let discovery = works("discover", provider.discover(&Context::default()).await)?;
    for role in [Role::Metadata, Role::Coordinator] {
        ensure!(discovery.data_sets.iter().any(|set| set.role == role), "no data set with the role {role:?}");
    }
    let names: BTreeSet<_> = discovery.data_sets.iter().map(|set| set.name.as_str()).collect();
    for described in discovery.metadata.keys() {
        ensure!(names.contains(described.as_str()), "`{described}` is described but not listed");
    }
    Ok(())
}

/// People can tell databases apart.
pub async fn the_provider_names_itself(provider: &dyn BackupProvider, _world: &dyn World) -> Verdict {
    ensure!(!provider.kind().is_empty(), "no kind");
    ensure!(!provider.to_string().trim().is_empty(), "Display prints nothing");
    Ok(())
}

/// One answer per set, in the order of the question, each with an identity of its own and a sensible range.
pub async fn confirm_answers_in_the_order_given(provider: &dyn BackupProvider, _world: &dyn World) -> Verdict {
    let (mut sets, _) = discovered(provider).await?;
    sets.reverse();
    let confirmed = works("confirm", provider.confirm(&Context::default(), &sets).await)?;
    let asked: Vec<_> = sets.iter().map(|set| &set.name).collect();
    let answered: Vec<_> = confirmed.iter().map(|set| &set.name).collect();
    ensure!(asked == answered, "asked {asked:?}, answered {answered:?}");
    let ids: BTreeSet<_> = confirmed.iter().map(|set| &set.id).collect();
    ensure!(ids.len() == confirmed.len() && ids.iter().all(|id| !id.is_empty()), "identities: {ids:?}");
    for set in &confirmed {
        ensure!(
            matches!((set.restorable_from, set.restorable_to), (Some(from), Some(to)) if from <= to),
            "no sensible range: {set:?}"
        );
    }
    Ok(())
}

/// PITR off on several sets is one error that names them all, and nothing else.
pub async fn confirm_names_every_set_with_pitr_off(provider: &dyn BackupProvider, world: &dyn World) -> Verdict {
    let (sets, users) = discovered(provider).await?;
    world.pitr_off(&users[0]).await;
    world.pitr_off(&users[2]).await;
    let error = fails("confirm with PITR off", provider.confirm(&Context::default(), &sets).await)?;
    ensure!(error.kind == ErrorKind::PitrOff, "wrong meaning: {error:?}");
    let named: BTreeSet<_> = error.subjects.iter().collect();
    ensure!(named == BTreeSet::from([&users[0], &users[2]]), "names {named:?}: {error:?}");
    ensure!(!error.retryable, "waiting does not turn PITR on: {error:?}");
    ensure!(!error.hint.is_empty(), "no hint: {error:?}");
    Ok(())
}

/// A set that is not there is an error that names it.
pub async fn confirm_names_a_missing_set(provider: &dyn BackupProvider, world: &dyn World) -> Verdict {
    let (sets, users) = discovered(provider).await?;
    world.delete(&users[1]).await;
    let error = fails("confirm of a deleted set", provider.confirm(&Context::default(), &sets).await)?;
    ensure!(error.kind == ErrorKind::NotFound, "wrong meaning: {error:?}");
    ensure!(error.subjects == [users[1].clone()], "names {:?}", error.subjects);
    Ok(())
}

/// The identity tells a set from a later one of the same name.
pub async fn a_re_created_set_has_another_id(provider: &dyn BackupProvider, world: &dyn World) -> Verdict {
    let (sets, users) = discovered(provider).await?;
    let before = recorded(provider, &sets).await?;
    world.re_create(&users[1]).await;
    let after = recorded(provider, &sets).await?;
    for (old, new) in before.iter().zip(&after) {
        let same = old.id == new.id;
        ensure!(same != (old.name == users[1]), "`{}`: id {} became {}", old.name, old.id, new.id);
    }
    Ok(())
}

/// A capsule per set, in the order given, complete, with the identity that confirm gives; twice the same.
pub async fn capture_is_complete_where_all_may_be_read(provider: &dyn BackupProvider, _world: &dyn World) -> Verdict {
    let (mut sets, _) = discovered(provider).await?;
    sets.reverse();
    let context = Context::default();
    let capsules = works("capture", provider.capture(&context, &sets).await)?;
    let confirmed = recorded(provider, &sets).await?;
    ensure!(capsules.len() == sets.len(), "{} capsules for {} sets", capsules.len(), sets.len());
    for (capsule, set) in capsules.iter().zip(&confirmed) {
        ensure!(capsule.name == set.name && capsule.id == set.id, "{}/{} is not {set:?}", capsule.name, capsule.id);
        ensure!(capsule.unread.is_empty(), "`{}`: unread {:?}", capsule.name, capsule.unread);
        ensure!(capsule.settings.is_object(), "`{}`: settings are {}", capsule.name, capsule.settings);
    }
    let again = works("capture", provider.capture(&context, &sets).await)?;
    ensure!(capsules == again, "two captures differ");
    Ok(())
}

/// A setting that may not be read is said, with the next step, on its set only; the rest is captured all the same.
pub async fn capture_says_what_it_could_not_read(provider: &dyn BackupProvider, world: &dyn World) -> Verdict {
    let (sets, users) = discovered(provider).await?;
    let setting = world.deny_a_setting(&users[1]).await;
    let capsules = works("capture", provider.capture(&Context::default(), &sets).await)?;
    for capsule in capsules {
        if capsule.name == users[1] {
            ensure!(capsule.unread.len() == 1, "`{}`: unread {:?}", capsule.name, capsule.unread);
            let unread = &capsule.unread[0];
            ensure!(unread.setting == setting, "names `{}`, not `{setting}`", unread.setting);
            ensure!(!unread.reason.is_empty() && !unread.hint.is_empty(), "no reason or hint: {unread:?}");
        } else {
            ensure!(capsule.unread.is_empty(), "`{}`: unread {:?}", capsule.name, capsule.unread);
        }
    }
    Ok(())
}

/// Being refused is said as such, with what to do next, by every call.
pub async fn errors_carry_a_hint_and_a_meaning(provider: &dyn BackupProvider, world: &dyn World) -> Verdict {
    let (sets, _) = discovered(provider).await?;
    let ids = recorded(provider, &sets).await?;
    world.deny_everything().await;
    let context = Context::default();
    let errors = [
        fails("discover", provider.discover(&context).await)?,
        fails("confirm", provider.confirm(&context, &sets).await)?,
        fails("capture", provider.capture(&context, &sets).await)?,
        fails("restorable", provider.restorable(&context, RestoreTime(0), &ids).await)?,
    ];
    for error in errors {
        ensure!(error.kind == ErrorKind::PermissionDenied, "wrong meaning: {error:?}");
        ensure!(!error.retryable, "permission does not grow by waiting: {error:?}");
        ensure!(!error.hint.is_empty() && !error.message.is_empty(), "says too little: {error:?}");
    }
    Ok(())
}

/// Cancelled before it starts, or while the service says nothing: every call ends, and says so.
pub async fn cancellation_ends_every_call_early(provider: &dyn BackupProvider, world: &dyn World) -> Verdict {
    let (sets, _) = discovered(provider).await?;
    let cancelled = Context::default();
    cancelled.cancel.cancel();
    check_cancelled(provider, &cancelled, &sets).await?;
    world.stall().await;
    let late = Context::default();
    let (verdict, ()) = tokio::join!(check_cancelled(provider, &late, &sets), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        late.cancel.cancel();
    });
    verdict
}

async fn check_cancelled(provider: &dyn BackupProvider, context: &Context, sets: &[DataSet]) -> Verdict {
    async fn kind<T>(call: impl Future<Output = Result<T, ProviderError>>) -> Option<ErrorKind> {
        // Generous: the promise is "early", the bound only keeps a broken provider from hanging the suite.
        match tokio::time::timeout(Duration::from_secs(5), call).await {
            Ok(Err(error)) => Some(error.kind),
            Ok(Ok(_)) | Err(_) => None,
        }
    }
    let (discover, confirm, clock, capture, restorable) = tokio::join!(
        kind(provider.discover(context)),
        kind(provider.confirm(context, sets)),
        kind(provider.clock(context)),
        kind(provider.capture(context, sets)),
        kind(provider.restorable(context, RestoreTime(0), &[])),
    );
    for (name, ended) in [("discover", discover), ("confirm", confirm), ("clock", clock), ("capture", capture)] {
        ensure!(ended == Some(ErrorKind::Cancelled), "{name}, cancelled, ended with {ended:?}");
    }
    // Nothing was asked of it, so an empty answer is as good as an early end.
    ensure!(matches!(restorable, None | Some(ErrorKind::Cancelled)), "restorable ended with {restorable:?}");
    Ok(())
}

/// After all five calls, failures included, the service is as it was.
pub async fn no_read_changes_anything(provider: &dyn BackupProvider, world: &dyn World) -> Verdict {
    let (sets, users) = discovered(provider).await?;
    let ids = recorded(provider, &sets).await?;
    world.pitr_off(&users[0]).await;
    let before = world.fingerprint().await;
    let context = Context::default();
    works("discover", provider.discover(&context).await)?;
    fails("confirm with PITR off", provider.confirm(&context, &sets).await)?;
    works("clock", provider.clock(&context).await)?;
    works("capture", provider.capture(&context, &sets).await)?;
    works("restorable", provider.restorable(&context, RestoreTime(0), &ids).await)?;
    let after = world.fingerprint().await;
    ensure!(before == after, "the service changed from {before} to {after}");
    Ok(())
}
