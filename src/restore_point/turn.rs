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

/// So many points are named in a warning.
const NAMED: usize = 5;

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

/// Refuses while a restore of another point over one of these databases has not ended, or work that reads the history of
/// their tables, which ends with a table.
pub async fn is_free(catalog: &Catalog, id: &PointId, databases: &[&str]) -> Result<(), Failure> {
    let others = others(catalog, id, databases).await?;
    others.iter().find_map(in_the_way).map_or(Ok(()), Err)
}

fn in_the_way(other: &Loaded) -> Option<Failure> {
    let id = &other.id;
    let (verb, undone) = match other.phase {
        Phase::Restoring { .. } => ("restore", "undo it"),
        Phase::Preparing => ("prepare", "give it up"),
        Phase::Drilling { prepared: false, aborting: false } => ("drill", "give it up"),
        _ => return None,
    };
    let message = match verb {
        "restore" => format!("a restore of {id} over the same tables was begun and has not ended"),
        _ => format!(
            "`{verb}` of {id} was begun and has not ended: it needs the history of the tables, which ends when they are replaced"
        ),
    };
    let hint = format!("First finish it (`stillpoint {verb} {id}`) or {undone} (`stillpoint {verb} {id} --abort`).");
    Some(Failure::new(Exit::Refused, if verb == "restore" { "other_restore" } else { "other_work" }, message, hint))
}

/// A warning that names the points without backups that end when tables of these databases are replaced; none: no warning.
pub async fn would_end(catalog: &Catalog, id: &PointId, databases: &[&str]) -> Result<Option<String>, Failure> {
    let without = |loaded: &&Loaded| matches!(loaded.phase, Phase::Recorded | Phase::Captured | Phase::Sealed);
    let others = others(catalog, id, databases).await?;
    let mut ids: Vec<&str> = others.iter().filter(without).map(|loaded| loaded.id.as_str()).collect();
    // The newest matter most; an id does not begin with its time, but of one schedule they sort by it.
    ids.sort_unstable_by(|a, b| b.cmp(a));
    let (named, more) =
        (ids.iter().take(NAMED).copied().collect::<Vec<_>>().join(", "), ids.len().saturating_sub(NAMED));
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Ok((!ids.is_empty()).then(|| {
        format!(
            "these points have no backups and end with the history of the tables that are replaced: {named}{more}; whichever \
             is still wanted needs `stillpoint prepare` first"
        )
    }))
}

/// Every other point over one of these databases.
async fn others(catalog: &Catalog, id: &PointId, databases: &[&str]) -> Result<Vec<Loaded>, Failure> {
    let (mut all, _damaged) = catalog::list(catalog).await.map_err(|error| catalog_failure(&error))?;
    let shares = |one: &Loaded| one.point.databases.iter().any(|one| databases.contains(&one.name.as_str()));
    all.retain(|one| one.id != *id && shares(one));
    Ok(all)
}
