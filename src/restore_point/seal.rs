//! Sealing: every data set can be restored to T, or can never be again.

use crate::catalog::{Loaded, LostSet, Phase, PointEvent, PointLog};
use crate::databases::{self, Database};
use crate::failure::{Exit, Failure};
use crate::point::{self, DataSetReport};
use crate::restore_point::preflight::catalog_failure;
use crate::restore_point::{capture, prune, report};
use crate::wall;
use chrono::Utc;
use provider_api::{Context, DataSet, RecordedSet, Restorability, RestoreTime, SetRestorability, UnixNanos};
use std::time::Duration;

/// First wait between two looks, before `time_scale`.
const FIRST_WAIT: Duration = Duration::from_secs(5);
/// Longest wait between two looks, before `time_scale`. A point becomes restorable about 300 s after T.
const LAST_WAIT: Duration = Duration::from_secs(30);

/// How a look at all data sets of a point ended.
#[derive(Debug)]
pub enum Look {
    /// All can be restored to T.
    Sealed,
    /// Some cannot yet.
    NotYet {
        /// How many.
        sets: usize,
        /// When the last of them is expected to, on the database's clock.
        expected_at: UnixNanos,
    },
    /// Some can never again.
    Lost(Vec<LostSet>),
    /// The point is prepared, and the backups of these data sets could not be restored now, with why.
    BackupsMissing(Vec<(String, String)>),
}

/// A point that is recorded, with what sealing needs.
#[derive(Debug)]
pub struct Sealing {
    /// Its log, where it ends.
    pub log: PointLog,
    /// T.
    pub restore_time: RestoreTime,
    /// Its databases with the recorded data sets.
    pub databases: Vec<(Database, Vec<RecordedSet>)>,
    /// What an earlier look found lost: nothing brings it back.
    lost: Option<Vec<LostSet>>,
    /// What `prepare` recorded, as it was loaded.
    loaded: Loaded,
}

impl Sealing {
    /// Prepares to seal a loaded point with the databases of the settings.
    pub fn of(log: PointLog, loaded: &Loaded, known: &[Database]) -> Result<Self, Failure> {
        let restore_time = match (log.phase(), restore_time(loaded)) {
            (phase, Some(restore_time)) if !phase.ended() && phase != Phase::Pruning => restore_time,
            _ => return Err(unusable(log.id().as_str(), loaded)),
        };
        let databases = recorded(log.id().as_str(), loaded, known)?;
        let lost = loaded.events().find_map(|event| match event {
            PointEvent::Lost { data_sets, .. } => Some(data_sets.clone()),
            _ => None,
        });
        Ok(Sealing { log, restore_time, databases, lost, loaded: loaded.clone() })
    }

    /// Captures what is not captured yet, as after a crash.
    pub async fn complete_capture(&mut self, loaded: &Loaded, context: &Context) -> Result<(), Failure> {
        let captured = loaded.events().any(|event| matches!(event, PointEvent::CaptureCompleted { .. }));
        if captured || self.lost.is_some() {
            return Ok(());
        }
        let sets = |database: &Database| -> Vec<DataSet> { capture::recorded_sets(loaded, &database.name) };
        let databases: Vec<_> = self.databases.iter().map(|(d, _)| (d.clone(), sets(d))).collect();
        capture::run(&mut self.log, &databases, context).await
    }

    /// Looks once, and records what was decided by it.
    pub async fn look(&mut self, context: &Context) -> Result<Look, Failure> {
        if self.log.phase() == Phase::Prepared {
            let known: Vec<Database> = self.databases.iter().map(|(database, _)| database.clone()).collect();
            let missing = prune::missing_backups(&self.loaded, &known, context).await?;
            return Ok(if missing.is_empty() { Look::Sealed } else { Look::BackupsMissing(missing) });
        }
        // Work goes on, which looks after what it needs of T.
        if self.log.phase().beyond_sealed() {
            return Ok(Look::Sealed);
        }
        if let Some(lost) = &self.lost {
            return Ok(Look::Lost(lost.clone()));
        }
        let mut reports = Vec::new();
        let mut lost = Vec::new();
        let mut waiting = 0;
        let mut expected_at = UnixNanos(0);
        for (database, sets) in &self.databases {
            let answers = databases::restorable(database, context, self.restore_time, sets).await?;
            for answer in &answers {
                match &answer.restorability {
                    Restorability::Ok => {}
                    Restorability::NotYet { expected_at: at } => {
                        waiting += 1;
                        expected_at = expected_at.max(*at);
                    }
                    Restorability::Lost { reason } => lost.push(LostSet {
                        database: database.name.clone(),
                        name: answer.name.clone(),
                        reason: reason.clone(),
                    }),
                }
            }
            reports.push(database_report(database, sets, &answers));
        }
        if !lost.is_empty() {
            let reason = format!("{} data set(s) can no longer be restored to T", lost.len());
            self.append(PointEvent::Lost { at: Utc::now(), reason, data_sets: lost.clone() }).await?;
            self.lost = Some(lost.clone());
            return Ok(Look::Lost(lost));
        }
        if waiting > 0 {
            return Ok(Look::NotYet { sets: waiting, expected_at });
        }
        if self.log.phase() != Phase::Sealed {
            self.append(PointEvent::Sealed { at: Utc::now(), databases: reports }).await?;
        }
        Ok(Look::Sealed)
    }

    /// Looks until something is decided, or until the time is over. `waiting` is told of every look that decided nothing.
    pub async fn wait(
        &mut self,
        context: &Context,
        time_scale: f64,
        time_out: Duration,
        mut waiting: impl FnMut(usize, UnixNanos),
    ) -> Result<Look, Failure> {
        let give_up = tokio::time::Instant::now() + time_out;
        let mut wait = FIRST_WAIT;
        loop {
            let look = match self.look(context).await {
                Err(failure) if tokio::time::Instant::now() < give_up && is_passing(&failure) => {
                    tracing::warn!("{}", failure.message);
                    Look::NotYet { sets: 0, expected_at: UnixNanos(0) }
                }
                other => other?,
            };
            let Look::NotYet { sets, expected_at } = look else { return Ok(look) };
            waiting(sets, expected_at);
            let next = tokio::time::Instant::now() + wait.div_f64(time_scale);
            if next >= give_up || context.cancel.is_cancelled() {
                return Ok(look);
            }
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = context.cancel.cancelled() => return Ok(look),
            }
            wait = (wait * 2).min(LAST_WAIT);
        }
    }

    async fn append(&mut self, event: PointEvent) -> Result<(), Failure> {
        self.log.append(event).await.map_err(|error| catalog_failure(&error))
    }
}

/// The databases that a point recorded, as the settings reach them, with their data sets.
pub fn recorded(id: &str, loaded: &Loaded, known: &[Database]) -> Result<Vec<(Database, Vec<RecordedSet>)>, Failure> {
    let opened = loaded.events().find_map(|event| match event {
        PointEvent::Opened { databases, .. } => Some(databases.clone()),
        _ => None,
    });
    let mut databases = Vec::new();
    for recorded in opened.unwrap_or_default() {
        let Some(database) = known.iter().find(|d| d.name == recorded.name) else {
            let message = format!("{id} has a database `{}` that the settings do not name", recorded.name);
            let hint =
                format!("Add a [[database]] with name = \"{}\" that reaches {}.", recorded.name, recorded.description);
            return Err(Failure::new(Exit::Refused, "database_unknown", message, hint));
        };
        let sets = recorded.data_sets.iter().map(|s| RecordedSet { name: s.name.clone(), id: s.id.clone() });
        databases.push((database.clone(), sets.collect()));
    }
    Ok(databases)
}

/// Why nothing can be restored from this point, or not yet.
pub fn unusable(id: &str, loaded: &Loaded) -> Failure {
    match loaded.phase {
        Phase::Lost => lost(id, loaded),
        Phase::Pruned | Phase::Pruning => {
            let begun = || ": retention has begun to remove its backups".to_owned();
            let why = loaded.point.error.as_ref().map_or_else(begun, |error| format!(": {}", error.message));
            let hint = "Restore another point (`stillpoint list`), and make a new one: `stillpoint create`.";
            Failure::new(Exit::Lost, "point_pruned", format!("{id} is gone{why}"), hint)
        }
        phase => no_restore_time(id, phase),
    }
}

/// A point that was found lost stays so.
pub(super) fn lost(id: &str, loaded: &Loaded) -> Failure {
    let sets = loaded.events().find_map(|event| match event {
        PointEvent::Lost { data_sets, .. } => Some(data_sets.clone()),
        _ => None,
    });
    let look = Look::Lost(sets.unwrap_or_default());
    failure(id, &look).unwrap_or_else(|| Failure::new(Exit::Lost, "point_lost", format!("{id} is lost"), ""))
}

pub(super) fn no_restore_time(id: &str, phase: Phase) -> Failure {
    if phase == Phase::Void {
        let message = format!("{id} is void: no window of it was proven, so it has no restore time");
        return Failure::new(Exit::Void, "point_void", message, "Make a new one with `stillpoint create`.");
    }
    let message = format!("{id} has no verdict yet: its run is still going on, or died");
    let hint = "`stillpoint status` shows a run that goes on; `stillpoint recover` ends the record of one that died.";
    Failure::new(Exit::NotYet, "still_running", message, hint)
}

/// Failures that waiting can heal.
fn is_passing(failure: &Failure) -> bool {
    matches!(failure.name.as_str(), "throttled" | "database_unreachable" | "database_error")
}

fn restore_time(loaded: &Loaded) -> Option<RestoreTime> {
    loaded.events().find_map(|event| match event {
        PointEvent::Recorded { restore_time, .. } => Some(*restore_time),
        _ => None,
    })
}

fn database_report(database: &Database, sets: &[RecordedSet], answers: &[SetRestorability]) -> point::Database {
    let data_sets = sets.iter().zip(answers).map(|(set, answer)| {
        let (state, reason) = match &answer.restorability {
            Restorability::Ok => ("ok", None),
            Restorability::NotYet { expected_at } => {
                ("not_yet", Some(format!("expected at {}", report::service_time(*expected_at))))
            }
            Restorability::Lost { reason } => ("lost", Some(reason.clone())),
        };
        DataSetReport {
            name: set.name.clone(),
            id: Some(set.id.clone()),
            state: Some(state.to_owned()),
            restorable_from: answer.restorable_from.map(report::service_time),
            restorable_to: answer.restorable_to.map(report::service_time),
            reason,
        }
    });
    point::Database {
        name: database.name.clone(),
        provider: database.provider.kind().to_owned(),
        clock: None,
        data_sets: data_sets.collect(),
    }
}

/// The failure of a look that did not end well; `None` for a sealed point.
pub fn failure(id: &str, look: &Look) -> Option<Failure> {
    match look {
        Look::Sealed => None,
        Look::NotYet { sets, expected_at } => {
            let message = format!(
                "{id} is not sealed yet: {sets} data set(s) cannot be restored to T so far, expected by {}",
                wall::rfc3339(chrono::DateTime::from_timestamp_nanos(expected_at.0))
            );
            Some(Failure::new(Exit::NotYet, "not_sealed", message, format!("Run `stillpoint seal {id}` again then.")))
        }
        Look::BackupsMissing(sets) => {
            let named: Vec<String> = sets.iter().map(|(name, why)| format!("{name}: {why}")).collect();
            let message = format!("{id} was prepared, but not all of its backups are there: {}", named.join("; "));
            let hint =
                "Find out who deleted them (CloudTrail: DeleteBackup). Make a new restore point now, and prepare it.";
            let recovery = format!("`stillpoint show {id} --runbook --by-recovery` still restores it by hand");
            let hint = format!("{hint} While the recovery period lasts, {recovery}.");
            Some(Failure::new(Exit::Lost, "backup_missing", message, hint))
        }
        Look::Lost(sets) => {
            let named: Vec<String> = sets.iter().map(|s| format!("{}: {}", s.name, s.reason)).collect();
            let message = format!("{id} is lost: {}", named.join("; "));
            Some(Failure::new(Exit::Lost, "point_lost", message, "Make a new restore point now: `stillpoint create`."))
        }
    }
}
