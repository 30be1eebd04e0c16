//! From events to state: what may follow what, and the point that the events add up to.

use super::point::{OpenedDatabase, PointEvent, rfc3339};
use crate::point::{DataSetReport, Database, ErrorReport, Point, State, Verdict};
use provider_api::{RestoreTime, UnixNanos};

/// Where a point's log stands: what is already true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Nothing is written.
    Empty,
    /// A run began. It goes on, or its owner is dead.
    Opened,
    /// The run ended without a good window. Nothing follows.
    Void,
    /// T is chosen and proven; capsules may still be missing.
    Recorded,
    /// T is chosen and proven, and every capsule is in the log.
    Captured,
    /// Every data set could be restored to T.
    Sealed,
    /// On-demand backups are being made.
    Preparing,
    /// Those that were made are being deleted again.
    Aborting,
    /// Every data set has its on-demand backup.
    Prepared,
    /// The point can no longer be restored. Nothing follows.
    Lost,
}

impl Phase {
    /// Whether the log has ended: no event may follow.
    pub fn ended(self) -> bool {
        matches!(self, Phase::Void | Phase::Lost)
    }

    /// Whether a proven restore time is in the log.
    pub fn has_restore_time(self) -> bool {
        !matches!(self, Phase::Empty | Phase::Opened | Phase::Void)
    }

    /// Whether backups are being made or deleted, or exist.
    pub fn beyond_sealed(self) -> bool {
        matches!(self, Phase::Preparing | Phase::Aborting | Phase::Prepared)
    }
}

/// An event that may not follow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event `{event}` may not follow state {phase:?}: {why}")]
pub struct Illegal {
    /// Where the log stood.
    pub phase: Phase,
    /// The event's name.
    pub event: &'static str,
    /// The rule.
    pub why: &'static str,
}

/// What may follow what. The one place that decides it, for writers and readers alike.
pub fn may_follow(phase: Phase, event: &PointEvent) -> Result<Phase, Illegal> {
    let no = |why| Err(Illegal { phase, event: event.name(), why });
    match (phase, event) {
        (Phase::Void | Phase::Lost, _) => no("the log has ended"),
        (Phase::Empty, PointEvent::Opened { .. }) => Ok(Phase::Opened),
        (Phase::Empty, _) => no("a log begins with `opened`"),
        (_, PointEvent::Opened { .. }) => no("the log was opened before"),
        (Phase::Opened, PointEvent::AttemptVoid { attempt }) if attempt.verdict == Verdict::Good => {
            no("a good window is no void attempt")
        }
        (Phase::Opened, PointEvent::AttemptVoid { .. }) => Ok(Phase::Opened),
        (Phase::Opened, PointEvent::Recorded { attempts, still_period, .. }) => {
            let good = attempts.last().is_some_and(|last| last.verdict == Verdict::Good && last.violations.is_empty());
            if !good {
                return no("its last window is not a good one");
            }
            if still_period.start_mono_ns >= still_period.end_mono_ns {
                return no("its still period is empty");
            }
            Ok(Phase::Recorded)
        }
        (Phase::Opened, PointEvent::Void { .. }) => Ok(Phase::Void),
        (Phase::Opened, _) => no("no restore time is recorded yet"),
        (Phase::Recorded, PointEvent::Captured { .. }) => Ok(Phase::Recorded),
        (Phase::Recorded, PointEvent::CaptureCompleted { .. }) => Ok(Phase::Captured),
        (Phase::Recorded, PointEvent::Sealed { .. }) => no("the settings are not captured yet"),
        (Phase::Captured, PointEvent::Sealed { .. }) => Ok(Phase::Sealed),
        (Phase::Recorded | Phase::Captured | Phase::Sealed, PointEvent::Lost { .. }) => Ok(Phase::Lost),
        (Phase::Sealed, PointEvent::PrepareStarted { .. }) => Ok(Phase::Preparing),
        (
            Phase::Preparing | Phase::Aborting,
            PointEvent::WorkHeld { .. }
            | PointEvent::WorkReleased { .. }
            | PointEvent::UnitIntent { .. }
            | PointEvent::UnitRecord { .. },
        ) => Ok(phase),
        (Phase::Preparing, PointEvent::PrepareAborting { .. }) => Ok(Phase::Aborting),
        (Phase::Preparing, PointEvent::PrepareDone { .. }) => Ok(Phase::Prepared),
        (Phase::Aborting, PointEvent::PrepareAborted { .. }) => Ok(Phase::Sealed),
        (Phase::Preparing | Phase::Aborting, PointEvent::Lost { .. }) => {
            no("what was made for it would be forgotten: it must be aborted first")
        }
        (_, PointEvent::Lost { .. }) => no("its backups do not depend on T any more"),
        (_, PointEvent::PrepareStarted { .. }) => no("only a sealed point is prepared, and once"),
        (
            _,
            PointEvent::WorkHeld { .. }
            | PointEvent::WorkReleased { .. }
            | PointEvent::UnitIntent { .. }
            | PointEvent::UnitRecord { .. }
            | PointEvent::PrepareAborting { .. }
            | PointEvent::PrepareDone { .. }
            | PointEvent::PrepareAborted { .. },
        ) => no("no such work is going on"),
        (_, PointEvent::AttemptVoid { .. } | PointEvent::Recorded { .. } | PointEvent::Void { .. }) => {
            no("the run has ended")
        }
        (_, PointEvent::Captured { .. } | PointEvent::CaptureCompleted { .. }) => {
            no("the settings are captured already")
        }
        (_, PointEvent::Sealed { .. }) => no("the point is sealed already"),
    }
}

/// The point that a log adds up to, with the exit code 0. While a run is open, state and verdict are `None`.
pub fn fold<'a>(events: impl IntoIterator<Item = &'a PointEvent>) -> Result<(Phase, Point), Illegal> {
    let mut phase = Phase::Empty;
    let mut point = Point::default();
    for event in events {
        phase = may_follow(phase, event)?;
        apply(&mut point, event);
    }
    Ok((phase, point))
}

fn apply(point: &mut Point, event: &PointEvent) {
    match event {
        PointEvent::Opened { id, targets, databases, .. } => {
            point.id = Some(id.to_string());
            point.pods = targets.iter().flat_map(|target| target.pods.clone()).collect();
            point.databases = databases.iter().map(opened).collect();
        }
        PointEvent::AttemptVoid { attempt } => point.attempts.push(attempt.clone()),
        PointEvent::Void { attempts, pods, warnings, error } => {
            point.state = Some(State::Void);
            point.verdict = Some(Verdict::Void);
            point.attempts.clone_from(attempts);
            if !pods.is_empty() {
                point.pods.clone_from(pods);
            }
            point.warnings.extend_from_slice(warnings);
            point.error.clone_from(error);
        }
        PointEvent::Recorded { .. } => recorded(point, event),
        PointEvent::Captured { .. } => {}
        PointEvent::CaptureCompleted { warnings } => point.warnings.extend_from_slice(warnings),
        PointEvent::Sealed { databases, .. } => {
            point.state = Some(State::Sealed);
            for sealed in databases {
                let ours = point.databases.iter_mut().find(|database| database.name == sealed.name);
                for (report, set) in ours.into_iter().flat_map(|database| matching(database, &sealed.data_sets)) {
                    report.clone_from(set);
                }
            }
        }
        PointEvent::PrepareStarted { warnings, .. } => {
            point.state = Some(State::Preparing);
            warn(point, warnings);
        }
        PointEvent::WorkHeld { .. } | PointEvent::WorkReleased { .. } | PointEvent::PrepareAborting { .. } => {}
        PointEvent::UnitIntent { database, unit, intent, .. } => {
            worked(point, database, unit, "preparing", &intent.text)
        }
        PointEvent::UnitRecord { database, unit, record, done, .. } => {
            worked(point, database, unit, if *done { "prepared" } else { "preparing" }, &record.text);
            warn(point, record.warning.as_slice());
        }
        PointEvent::PrepareDone { .. } => point.state = Some(State::Prepared),
        PointEvent::PrepareAborted { .. } => {
            point.state = Some(State::Sealed);
            for report in point.databases.iter_mut().flat_map(|database| &mut database.data_sets) {
                report.state = Some("ok".to_owned());
                report.reason = None;
            }
        }
        PointEvent::Lost { reason, data_sets, .. } => {
            point.state = Some(State::Lost);
            for set in data_sets {
                let ours = point.databases.iter_mut().filter(|database| database.name == set.database);
                for report in ours.flat_map(|database| &mut database.data_sets).filter(|report| report.name == set.name)
                {
                    report.state = Some("lost".to_owned());
                    report.reason = Some(set.reason.clone());
                }
            }
            point.error = Some(ErrorReport {
                name: "lost".to_owned(),
                message: format!("the point can no longer be restored: {reason}"),
                hint: "restore another point (`stillpoint list`), and make a new one".to_owned(),
            });
        }
    }
}

/// Where the work on a data set stands, in the words of its provider.
fn worked(point: &mut Point, database: &str, unit: &str, state: &str, text: &str) {
    let ours = point.databases.iter_mut().filter(|ours| ours.name == database);
    for report in ours.flat_map(|ours| &mut ours.data_sets).filter(|report| report.name == unit) {
        report.state = Some(state.to_owned());
        report.reason = Some(text.to_owned());
    }
}

/// A run that goes on after a crash may say the same again.
fn warn(point: &mut Point, warnings: &[String]) {
    for warning in warnings {
        if !point.warnings.contains(warning) {
            point.warnings.push(warning.clone());
        }
    }
}

fn recorded(point: &mut Point, event: &PointEvent) {
    let PointEvent::Recorded {
        restore_time,
        still_period,
        pause_completed,
        unpause_started,
        outage_ms,
        client_outage_ms,
        attempts,
        pods,
        clocks,
        warnings,
        evidence: _,
    } = event
    else {
        return;
    };
    point.state = Some(State::Recorded);
    point.verdict = Some(Verdict::Good);
    point.restore_time = Some(restore_time_text(*restore_time));
    point.still_period = Some(still_period.clone());
    point.pause_completed = Some(pause_completed.clone());
    point.unpause_started = Some(unpause_started.clone());
    point.outage_ms = Some(*outage_ms);
    point.client_outage_ms = Some(*client_outage_ms);
    point.attempts.clone_from(attempts);
    point.pods.clone_from(pods);
    for database in &mut point.databases {
        database.clock = clocks.get(&database.name).cloned();
    }
    point.warnings.extend_from_slice(warnings);
}

fn restore_time_text(at: RestoreTime) -> String {
    rfc3339(UnixNanos(at.0.saturating_mul(1_000_000_000)))
}

fn opened(database: &OpenedDatabase) -> Database {
    let report = |set: &super::point::OpenedSet| DataSetReport {
        name: set.name.clone(),
        id: Some(set.id.clone()),
        state: Some("confirmed".to_owned()),
        restorable_from: set.restorable_from.map(rfc3339),
        restorable_to: set.restorable_to.map(rfc3339),
        reason: None,
    };
    Database {
        name: database.name.clone(),
        provider: database.provider.clone(),
        clock: None,
        data_sets: database.data_sets.iter().map(report).collect(),
    }
}

/// Pairs of reports of the same data set. A data set the point does not have is none of its business.
fn matching<'a>(
    database: &'a mut Database,
    reports: &'a [DataSetReport],
) -> impl Iterator<Item = (&'a mut DataSetReport, &'a DataSetReport)> {
    let by_name: std::collections::HashMap<_, _> =
        reports.iter().map(|report| (report.name.as_str(), report)).collect();
    database
        .data_sets
        .iter_mut()
        .filter_map(move |report| by_name.get(report.name.as_str()).map(|found| (report, *found)))
}
