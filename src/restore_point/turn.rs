//! One restore at a time over the same databases.
//!
//! A restore that was begun and has not ended is in the way of every other over one of its databases, whether or not anybody
//! works on it: its tables are half this and half that. Two that begin at the same moment are kept apart by a lock for each
//! database, which is needed only until the log of one of them says that it began.

use crate::catalog::{self, Acquired, Catalog, Loaded, PauseLock, Phase, PointId};
use crate::failure::{Exit, Failure};
use crate::restore_point::attempt::is_dead;
use crate::restore_point::preflight::catalog_failure;
use crate::restore_point::prepare::this_process;
use crate::wall;
use chrono::{TimeDelta, Utc};

/// From the lock to the beginning of a run: two or three calls to the catalog.
const UNTIL_BEGUN: TimeDelta = TimeDelta::minutes(2);

/// Takes the turn on these databases, unless a restore of another point is going on over one of them.
pub async fn take<'a>(
    catalog: &Catalog,
    id: &PointId,
    databases: impl Iterator<Item = &'a str>,
) -> Result<Vec<PauseLock>, Failure> {
    let mut databases: Vec<&str> = databases.collect();
    // Everybody in the same order: of two, one gets them all.
    databases.sort_unstable();
    let mut locks = Vec::new();
    for database in &databases {
        match lock(catalog, database).await {
            Ok(lock) => locks.push(lock),
            Err(failure) => {
                give_back(locks).await;
                return Err(failure);
            }
        }
    }
    match is_free(catalog, id, &databases).await {
        Ok(()) => Ok(locks),
        Err(failure) => {
            give_back(locks).await;
            Err(failure)
        }
    }
}

/// Gives the turn back; what cannot be given back ends by itself.
pub async fn give_back(locks: Vec<PauseLock>) {
    for lock in locks {
        if let Err(error) = lock.release().await {
            tracing::debug!("a lock could not be released: {error}");
        }
    }
}

async fn lock(catalog: &Catalog, database: &str) -> Result<PauseLock, Failure> {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' };
    let name = format!("restore-{}", database.chars().map(plain).collect::<String>());
    let acquired = PauseLock::acquire_named(catalog, &name, this_process()?, Utc::now() + UNTIL_BEGUN, is_dead).await;
    match acquired.map_err(|error| catalog_failure(&error))? {
        Acquired::Held(lock) => Ok(lock),
        Acquired::Refused { holder } => {
            let message = format!(
                "process {} on {} begins a restore over database `{database}`, and holds it until {}",
                holder.owner.pid,
                holder.owner.host,
                wall::rfc3339(holder.until)
            );
            let hint = "One restore at a time over the same tables: wait for it; `stillpoint status` shows it.";
            Err(Failure::new(Exit::Refused, "other_restore", message, hint))
        }
    }
}

/// Refuses while a restore of another point over one of these databases has not ended.
pub async fn is_free(catalog: &Catalog, id: &PointId, databases: &[&str]) -> Result<(), Failure> {
    let (all, _damaged) = catalog::list(catalog).await.map_err(|error| catalog_failure(&error))?;
    let in_the_way = |loaded: &&Loaded| {
        let shares = loaded.point.databases.iter().any(|one| databases.contains(&one.name.as_str()));
        loaded.id != *id && matches!(loaded.phase, Phase::Restoring { .. }) && shares
    };
    all.iter().find(in_the_way).map_or(Ok(()), |other| {
        let message = format!("a restore of {} over the same tables was begun and has not ended", other.id);
        let hint = format!(
            "First finish it (`stillpoint restore {0}`) or undo it (`stillpoint restore {0} --abort`).",
            other.id
        );
        Err(Failure::new(Exit::Refused, "other_restore", message, hint))
    })
}
