//! From events to state: what may follow what, and the point that the events add up to.

use super::point::{OpenedDatabase, PointEvent, RunKind, rfc3339};
use crate::point::{DataSetReport, Database, ErrorReport, Point, State, Verdict};
use chrono::{DateTime, Utc};
use provider_api::{RestoreTime, UnixNanos};
use serde::Deserialize;

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
    /// A prepared point is being brought back.
    Restoring {
        /// What was there before is being put back.
        aborting: bool,
    },
    /// A sealed or prepared point is being tried out.
    Drilling {
        /// Which of the two.
        prepared: bool,
        /// The scratch copy is being removed early.
        aborting: bool,
    },
    /// What was made for the point is being removed for good.
    Pruning,
    /// What was made for the point is removed. Nothing follows.
    Pruned,
    /// The point can no longer be restored. Nothing follows.
    Lost,
}

impl Phase {
    /// Whether the log has ended: no event may follow.
    pub fn ended(self) -> bool {
        matches!(self, Phase::Void | Phase::Lost | Phase::Pruned)
    }

    /// Whether a proven restore time is in the log.
    pub fn has_restore_time(self) -> bool {
        !matches!(self, Phase::Empty | Phase::Opened | Phase::Void)
    }

    /// Whether the point was sealed, and a look at the cloud says nothing about it any more, or nothing that may be written
    /// now: backups are being made or exist, or a run is going on.
    pub fn beyond_sealed(self) -> bool {
        matches!(self, Phase::Prepared | Phase::Pruned) || self.run().is_some()
    }

    /// The run that goes on, if one does, and whether it is being undone.
    pub fn run(self) -> Option<(RunKind, bool)> {
        match self {
            Phase::Preparing => Some((RunKind::Prepare, false)),
            Phase::Aborting => Some((RunKind::Prepare, true)),
            Phase::Restoring { aborting } => Some((RunKind::Restore, aborting)),
            Phase::Drilling { aborting, .. } => Some((RunKind::Drill, aborting)),
            Phase::Pruning => Some((RunKind::Prune, false)),
            _ => None,
        }
    }

    /// Where a run of this kind leads from here, if it may begin.
    fn started(self, kind: RunKind) -> Option<Phase> {
        match (kind, self) {
            (RunKind::Prepare, Phase::Sealed) => Some(Phase::Preparing),
            (RunKind::Restore, Phase::Prepared) => Some(Phase::Restoring { aborting: false }),
            (RunKind::Drill, Phase::Sealed | Phase::Prepared) => {
                Some(Phase::Drilling { prepared: self == Phase::Prepared, aborting: false })
            }
            (RunKind::Prune, Phase::Recorded | Phase::Captured | Phase::Sealed | Phase::Prepared) => {
                Some(Phase::Pruning)
            }
            _ => None,
        }
    }

    /// The same run, undone from here on.
    fn turned(self) -> Option<Phase> {
        match self {
            Phase::Preparing => Some(Phase::Aborting),
            Phase::Restoring { aborting: false } => Some(Phase::Restoring { aborting: true }),
            Phase::Drilling { prepared, aborting: false } => Some(Phase::Drilling { prepared, aborting: true }),
            _ => None,
        }
    }

    /// A run that was being undone, forward again. Only a restore: its way back can be lost, and its tables with it.
    fn turned_again(self) -> Option<Phase> {
        match self {
            Phase::Restoring { aborting: true } => Some(Phase::Restoring { aborting: false }),
            _ => None,
        }
    }

    /// Where the run ends.
    fn run_ended(self, aborted: bool) -> Option<Phase> {
        match self {
            Phase::Preparing if !aborted => Some(Phase::Prepared),
            Phase::Aborting if aborted => Some(Phase::Sealed),
            Phase::Restoring { aborting } if aborting == aborted => Some(Phase::Prepared),
            Phase::Drilling { prepared, aborting } if aborting == aborted => {
                Some(if prepared { Phase::Prepared } else { Phase::Sealed })
            }
            Phase::Pruning if !aborted => Some(Phase::Pruned),
            _ => None,
        }
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

const NO_WORK: &str = "no such work is going on";

/// What may follow what. The one place that decides it, for writers and readers alike.
pub fn may_follow(phase: Phase, event: &PointEvent) -> Result<Phase, Illegal> {
    let no = |why| Err(Illegal { phase, event: event.name(), why });
    match (phase, event) {
        (Phase::Void | Phase::Lost | Phase::Pruned, _) => no("the log has ended"),
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
        (_, PointEvent::RunStarted { kind, .. }) => {
            phase.started(*kind).ok_or(Illegal { phase, event: event.name(), why: "no such work begins from here" })
        }
        (
            _,
            PointEvent::WorkHeld { .. }
            | PointEvent::WorkReleased { .. }
            | PointEvent::UnitIntent { .. }
            | PointEvent::UnitRecord { .. },
        ) if phase.run().is_some() => Ok(phase),
        (_, PointEvent::RunAborting { .. }) => phase.turned().map_or_else(|| no(NO_WORK), Ok),
        (_, PointEvent::RunForward { .. }) => phase.turned_again().map_or_else(|| no(NO_WORK), Ok),
        (_, PointEvent::RunDone { .. }) => phase.run_ended(false).map_or_else(|| no(NO_WORK), Ok),
        (_, PointEvent::RunAborted { .. }) => phase.run_ended(true).map_or_else(|| no(NO_WORK), Ok),
        (_, PointEvent::Lost { .. }) if phase.run().is_some() => {
            no("what was made for it would be forgotten: it must be aborted first")
        }
        (_, PointEvent::Lost { .. }) => no("its backups do not depend on T any more"),
        (
            _,
            PointEvent::WorkHeld { .. }
            | PointEvent::WorkReleased { .. }
            | PointEvent::UnitIntent { .. }
            | PointEvent::UnitRecord { .. },
        ) => no(NO_WORK),
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
    // What was said of the data sets before the restore that goes on.
    let mut said = Vec::new();
    for event in events {
        let before = phase;
        phase = may_follow(phase, event)?;
        if matches!((before, phase), (Phase::Prepared, Phase::Restoring { .. })) {
            said = reasons(&mut point).map(|reason| reason.clone()).collect();
        }
        apply(&mut point, before, event);
        if matches!((before, phase), (Phase::Restoring { .. }, Phase::Prepared))
            && matches!(event, PointEvent::RunAborted { .. })
        {
            restore_undone(&mut point, &said);
        }
    }
    Ok((phase, point))
}

fn apply(point: &mut Point, phase: Phase, event: &PointEvent) {
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
        PointEvent::RunStarted { kind, warnings, .. } => {
            if *kind == RunKind::Prepare {
                point.state = Some(State::Preparing);
            }
            warn(point, warnings);
        }
        PointEvent::WorkHeld { .. }
        | PointEvent::WorkReleased { .. }
        | PointEvent::RunAborting { .. }
        | PointEvent::RunForward { .. } => {}
        PointEvent::UnitIntent { database, unit, intent, .. } => {
            worked(point, phase, database, unit, false, &intent.text);
        }
        PointEvent::UnitRecord { database, unit, record, done, .. } => {
            worked(point, phase, database, unit, *done, &record.text);
            warn(point, record.warning.as_slice());
        }
        PointEvent::RunDone { at, .. } => run_done(point, phase, at),
        PointEvent::RunAborted { .. } => run_aborted(point, phase),
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

fn run_done(point: &mut Point, phase: Phase, at: &DateTime<Utc>) {
    match phase {
        Phase::Preparing => point.state = Some(State::Prepared),
        Phase::Pruning => {
            point.state = Some(State::Lost);
            point.error = Some(ErrorReport {
                name: "pruned".to_owned(),
                message: format!("retention removed what was made for this point, at {}", crate::wall::rfc3339(*at)),
                hint: "restore another point (`stillpoint list`)".to_owned(),
            });
        }
        _ => {}
    }
}

/// What `prepare` said of the data sets is true no more.
fn run_aborted(point: &mut Point, phase: Phase) {
    if phase != Phase::Aborting {
        return;
    }
    point.state = Some(State::Sealed);
    for report in point.databases.iter_mut().flat_map(|database| &mut database.data_sets) {
        report.state = Some("ok".to_owned());
        report.reason = None;
    }
}

/// What was said before is true again; what became of each data set on the way back stays: its safety backup is named there.
fn restore_undone(point: &mut Point, said: &[Option<String>]) {
    for (now, before) in reasons(point).zip(said) {
        *now = match (before.clone(), now.take()) {
            (Some(before), Some(now)) if now != before => Some(format!("{before}; a restore was undone: {now}")),
            (before, now) => before.or(now),
        };
    }
    for report in point.databases.iter_mut().flat_map(|database| &mut database.data_sets) {
        report.state = Some("prepared".to_owned());
    }
}

fn reasons(point: &mut Point) -> impl Iterator<Item = &mut Option<String>> {
    point.databases.iter_mut().flat_map(|database| &mut database.data_sets).map(|report| &mut report.reason)
}

/// Where the work on a data set stands, in the words of its provider. A drill says nothing of the data sets themselves.
fn worked(point: &mut Point, phase: Phase, database: &str, unit: &str, done: bool, text: &str) {
    let state = match (phase.run(), done) {
        (Some((RunKind::Prepare, _)), false) => "preparing",
        (Some((RunKind::Prepare, _)), true) => "prepared",
        (Some((RunKind::Restore, _)), false) => "restoring",
        (Some((RunKind::Restore, _)), true) => "restored",
        (Some((RunKind::Prune, _)), false) => "pruning",
        (Some((RunKind::Prune, _)), true) => "pruned",
        (Some((RunKind::Drill, _)) | None, _) => return,
    };
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
        evidence,
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
    // Points of earlier versions have no such table.
    point.pod_table = evidence.get("pods").and_then(|rows| Vec::deserialize(rows).ok()).unwrap_or_default();
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
