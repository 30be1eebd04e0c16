//! `prune`: retention. First a plan, from the catalog and from a look at the points that are to be kept; then, if it is told to,
//! the backups of the points that go, each by its recorded ARN, through a run in the point's log.

pub mod plan;

use crate::catalog::{Catalog, Loaded, Phase, PointEvent, PointId, RunKind};
use crate::databases::{self, Database};
use crate::failure::{Exit, Failure};
use crate::restore_point::preflight::catalog_failure;
use crate::restore_point::prepare::{run_options, unit_failure};
use crate::restore_point::seal;
use crate::workflow::{self, Ended, Job, Order, Run, Seen};
use chrono::{DateTime, Utc};
use plan::{Fate, Judged, Retention, Standing};
use provider_api::{Context, MadeSet, Mono, Pruner, RecordedSet, Restorability, RestoreTime, Unit, Way};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A point that retention has looked at.
#[derive(Clone, Debug)]
pub struct Planned {
    /// As it is in the catalog.
    pub loaded: Loaded,
    /// Seconds since T: on the databases' clocks where ages decide.
    pub age_seconds: i64,
    /// What becomes of it.
    pub fate: Fate,
    /// Backups that would be deleted with it.
    pub backups: usize,
}

/// What retention would do.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Every point with a restore time that is not lost or removed already, oldest first.
    pub points: Vec<Planned>,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// Looks at the catalog and at as many points as must stay; changes nothing.
pub async fn look(
    catalog: &Catalog,
    databases: &[Database],
    retention: &Retention,
    context: &Context,
) -> Result<Plan, Failure> {
    let (points, damaged) = crate::catalog::list(catalog).await.map_err(|error| catalog_failure(&error))?;
    let warnings = damaged.iter().map(|object| format!("not looked at: {}", object.told())).collect();
    let mut points: Vec<(DateTime<Utc>, Loaded)> = points
        .into_iter()
        .filter(|loaded| loaded.phase.has_restore_time() && !loaded.phase.ended())
        .filter_map(|loaded| Some((taken_at(&loaded)?, loaded)))
        .collect();
    if points.is_empty() {
        return Ok(Plan { points: Vec::new(), warnings });
    }
    points.sort_by(|a, b| (a.0, &a.1.id).cmp(&(b.0, &b.1.id)));
    // Measuring takes seconds; where only the number counts, the age is for people.
    let now = match retention.keep {
        Some(_) => service_time(databases, context).await?,
        None => Utc::now(),
    };
    let mut judged = Vec::new();
    let (mut good, mut whole) = (0, 0);
    for (at, loaded) in points.iter().rev() {
        let prepared = loaded.phase == Phase::Prepared;
        let standing = match good < retention.least() || (prepared && whole < retention.least()) {
            true => standing(loaded, databases, context).await?,
            false => quick_standing(loaded, databases),
        };
        let restorable = standing == Standing::Restorable;
        good += usize::from(restorable);
        whole += usize::from(restorable && prepared);
        judged.push(Judged { id: loaded.id.clone(), at: *at, standing, prepared });
    }
    judged.reverse();
    let fates = plan::fates(&judged, retention, now);
    let mut planned = Vec::new();
    for (((at, loaded), judged), fate) in points.into_iter().zip(judged).zip(fates) {
        let fate = match (fate, judged.standing) {
            (Fate::Keep(why), Standing::NotRestorable(cannot)) => Fate::Keep(format!("{why}; but {cannot}")),
            (fate, _) => fate,
        };
        let backups = backups(&loaded, databases).unwrap_or_default();
        planned.push(Planned { age_seconds: (now - at).num_seconds(), fate, backups, loaded });
    }
    Ok(Plan { points: planned, warnings })
}

/// T. Ages are counted from it.
fn taken_at(loaded: &Loaded) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(recorded_time(loaded)?.0, 0)
}

fn recorded_time(loaded: &Loaded) -> Option<RestoreTime> {
    loaded.events().find_map(|event| match event {
        PointEvent::Recorded { restore_time, .. } => Some(*restore_time),
        _ => None,
    })
}

/// The earliest that it can be by the databases' own clocks. A clock of this machine that runs ahead must not make every point old.
async fn service_time(databases: &[Database], context: &Context) -> Result<DateTime<Utc>, Failure> {
    let mut earliest: Option<DateTime<Utc>> = None;
    for database in databases {
        let clock = database.provider.clock(context).await;
        let clock = clock.map_err(|error| databases::failure(&database.name, &error))?;
        let mono = i64::try_from(Mono::now().0).unwrap_or(i64::MAX);
        let now = DateTime::from_timestamp_nanos(clock.lo_ns.saturating_add(mono));
        earliest = Some(earliest.map_or(now, |before| before.min(now)));
    }
    Ok(earliest.unwrap_or_else(Utc::now))
}

/// What the log alone says.
fn quick_standing(loaded: &Loaded, databases: &[Database]) -> Standing {
    match loaded.phase.run() {
        Some((RunKind::Prune, _)) => Standing::Begun,
        Some((kind, _)) => Standing::Busy(kind),
        // A point whose databases cannot be reached from here may be the only one of theirs.
        None => match seal::recorded(loaded.id.as_str(), loaded, databases) {
            Ok(_) => Standing::NotAsked,
            Err(failure) => Standing::Unknown(failure.message),
        },
    }
}

/// Whether the point could be restored now: by its backups, or, without any, by point-in-time recovery.
async fn standing(loaded: &Loaded, databases: &[Database], context: &Context) -> Result<Standing, Failure> {
    let quick = quick_standing(loaded, databases);
    let (Standing::NotAsked, Some(at)) = (&quick, recorded_time(loaded)) else { return Ok(quick) };
    if loaded.phase == Phase::Prepared {
        let missing = missing_backups(loaded, databases, context).await?;
        return Ok(match missing.first() {
            None => Standing::Restorable,
            Some((set, why)) => Standing::NotRestorable(format!("{set}: {why}")),
        });
    }
    if loaded.phase != Phase::Sealed {
        return Ok(Standing::NotRestorable("it is not sealed".to_owned()));
    }
    for (database, sets) in seal::recorded(loaded.id.as_str(), loaded, databases)? {
        for found in databases::restorable(&database, context, at, &sets).await? {
            match found.restorability {
                Restorability::Ok => {}
                Restorability::NotYet { .. } => {
                    return Ok(Standing::NotRestorable(format!("{} cannot be restored to T yet", found.name)));
                }
                Restorability::Lost { reason } => {
                    return Ok(Standing::NotRestorable(format!("{}: {reason}", found.name)));
                }
            }
        }
    }
    Ok(Standing::Restorable)
}

/// The data sets of a prepared point whose backup could not be restored now, with why.
pub async fn missing_backups(
    loaded: &Loaded,
    databases: &[Database],
    context: &Context,
) -> Result<Vec<(String, String)>, Failure> {
    let mut missing = Vec::new();
    for (database, sets) in seal::recorded(loaded.id.as_str(), loaded, databases)? {
        let pruner = pruner(&database)?;
        let found = pruner.missing(context, &made(loaded, &database.name, &sets)).await;
        missing.extend(found.map_err(|error| databases::failure(&database.name, &error))?);
    }
    Ok(missing)
}

/// What each run of `prepare` recorded of these data sets.
pub fn made(loaded: &Loaded, database: &str, sets: &[RecordedSet]) -> Vec<MadeSet> {
    let runs: Vec<Run> = Run::all(loaded.events()).into_iter().filter(|run| run.kind == RunKind::Prepare).collect();
    let of = |set: &RecordedSet| {
        let key = workflow::UnitKey { database: database.to_owned(), unit: set.name.clone() };
        let runs = runs.iter().filter_map(|run| run.units.get(&key)).map(|unit| unit.state.clone()).collect();
        MadeSet { name: set.name.clone(), id: set.id.clone(), runs }
    };
    sets.iter().map(of).collect()
}

fn pruner(database: &Database) -> Result<Pruner, Failure> {
    Arc::clone(&database.provider).pruner().ok_or_else(|| {
        let message = format!("database `{}` ({}) has no backups of its own", database.name, database.provider);
        Failure::new(Exit::Refused, "no_prepare", message, "Nothing of this kind is made for it.")
    })
}

/// The plan of every database of the point that something was made for.
fn jobs(loaded: &Loaded, databases: &[Database]) -> Result<Vec<(String, Pruner, Vec<Unit>)>, Failure> {
    let mut jobs = Vec::new();
    if Run::of_kind(loaded.events(), RunKind::Prepare).is_none() {
        return Ok(jobs);
    }
    for (database, sets) in seal::recorded(loaded.id.as_str(), loaded, databases)? {
        let pruner = pruner(&database)?;
        let units = pruner.units(&made(loaded, &database.name, &sets));
        let units = units.map_err(|error| databases::failure(&database.name, &error))?;
        jobs.push((database.name.clone(), pruner, units));
    }
    Ok(jobs)
}

fn backups(loaded: &Loaded, databases: &[Database]) -> Option<usize> {
    let jobs = jobs(loaded, databases).ok()?;
    let of = |unit: &Unit| unit.what.as_array().map_or(1, Vec::len);
    Some(jobs.iter().flat_map(|(_, _, units)| units).map(of).sum())
}

/// Whether the backups of these points may be deleted; nothing is.
pub async fn preflight(points: &[&Loaded], databases: &[Database], context: &Context) -> Result<(), Failure> {
    let mut asked: Vec<String> = Vec::new();
    for loaded in points {
        for (database, pruner, units) in jobs(loaded, databases)? {
            if units.is_empty() || asked.contains(&database) {
                continue;
            }
            pruner.preflight(context, &units).await.map_err(|error| databases::failure(&database, &error))?;
            asked.push(database);
        }
    }
    Ok(())
}

/// Removes what was made for a point, or goes on with that. A repeat finds it removed.
pub async fn remove(
    catalog: &Catalog,
    id: &PointId,
    databases: &[Database],
    retention: &Retention,
    time_scale: f64,
    cancel: &CancellationToken,
    seen: &mut Seen<'_>,
) -> Vec<Failure> {
    let ended = async {
        let loaded = crate::catalog::load(catalog, id).await.map_err(|error| catalog_failure(&error))?;
        if loaded.phase == Phase::Pruned {
            return Ok(Vec::new());
        }
        let job = |(database, work, units): (String, Pruner, Vec<Unit>)| Job { database, work, units };
        let jobs: Vec<Job> = jobs(&loaded, databases)?.into_iter().map(job).collect();
        let rules = serde_json::json!({
            "keep": retention.keep.map(plan::text),
            "keep_last": retention.keep_last,
        });
        let order = Order {
            kind: RunKind::Prune,
            way: Way::Forward,
            plan: rules,
            warnings: Vec::new(),
            terms: Default::default(),
        };
        let options = run_options(time_scale, None)?;
        let ended = workflow::work(catalog, id, &order, &jobs, &options, cancel, seen).await?;
        Ok(failures(id, ended))
    };
    ended.await.unwrap_or_else(|failure: Failure| vec![failure])
}

fn failures(id: &PointId, ended: Ended) -> Vec<Failure> {
    match ended {
        Ended::Done => Vec::new(),
        Ended::Failed(failed) => failed.iter().map(|(unit, error)| unit_failure(unit, error)).collect(),
        Ended::TimedOut { .. } | Ended::Cancelled => {
            let message = format!("asked to stop; what was deleted of {id} is recorded");
            let hint = "`stillpoint prune --yes` goes on where this one stopped.";
            vec![Failure::new(Exit::Void, "cancelled", message, hint)]
        }
    }
}
