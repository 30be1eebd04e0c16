//! The events of a restore point's log.

use super::id::PointId;
use super::lock::Owner;
use crate::point::{Attempt, Clock, Database, ErrorReport, Pod, StillPeriod};
use chrono::{DateTime, SecondsFormat, Utc};
use provider_api::{Capsule, Intent, Record, RestoreTime, Role, UnixNanos};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Something that became true of a restore point. What may follow what is said by [`super::may_follow`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum PointEvent {
    /// A run began: every check passed, nothing is paused yet.
    Opened {
        /// The point's id, again: an object that was moved under another point's name is known for it.
        id: PointId,
        /// When, by our wall clock.
        at: DateTime<Utc>,
        /// Who runs it.
        by: By,
        /// Until when that run may write to this log before it has a verdict; it begins another point rather than a
        /// window that could end later. `None`: an older version wrote it, and nothing is said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<DateTime<Utc>>,
        /// What will be paused.
        targets: Vec<OpenedTarget>,
        /// What T must be restorable on, with the data sets that were confirmed.
        databases: Vec<OpenedDatabase>,
        /// The settings that say how much the point's proof is worth.
        settings: OpenedSettings,
    },
    /// One window was void; another follows, or [`PointEvent::Void`].
    AttemptVoid {
        /// The window.
        attempt: Attempt,
    },
    /// A window was good: T is chosen and proven.
    Recorded {
        /// T, on the databases' clocks.
        restore_time: RestoreTime,
        /// What is proven quiet.
        still_period: StillPeriod,
        /// RFC 3339: all Pause calls were answered.
        pause_completed: String,
        /// RFC 3339: the first Unpause was about to be sent.
        unpause_started: String,
        /// First Pause sent to last gate proven open, milliseconds.
        outage_ms: f64,
        /// The same as ScalarDB's own clients feel it.
        client_outage_ms: f64,
        /// Every window of the run, the good one last.
        attempts: Vec<Attempt>,
        /// Every pod, as it was left.
        pods: Vec<Pod>,
        /// The settled clock of each database, by its name.
        clocks: BTreeMap<String, Clock>,
        /// What a person should know.
        warnings: Vec<String>,
        /// What the proof rests on: rounds of CheckPaused with their times, clocks before and after, the margin.
        evidence: serde_json::Value,
    },
    /// The run ended without a good window. Also written by whoever finds that the run's owner is dead.
    Void {
        /// Every window of the run; takes the place of those said before.
        attempts: Vec<Attempt>,
        /// Every pod, as it was left; empty when not known.
        pods: Vec<Pod>,
        /// What a person should know.
        warnings: Vec<String>,
        /// Why.
        error: Option<ErrorReport>,
    },
    /// Settings capsules of some data sets of a database. Several of these carry a large database.
    Captured {
        /// The database's name in the settings.
        database: String,
        /// The capsules.
        capsules: Vec<Capsule>,
        /// ScalarDB's own metadata of some tables, as discovered.
        #[serde(default)]
        metadata: BTreeMap<String, serde_json::Value>,
    },
    /// Every data set's capsule is in the log, or known to be unreadable.
    CaptureCompleted {
        /// What a person should know, e.g. settings that could not be read.
        warnings: Vec<String>,
    },
    /// Every data set can be restored to T.
    Sealed {
        /// When that was seen, by our wall clock.
        at: DateTime<Utc>,
        /// How far each data set could be restored then.
        databases: Vec<Database>,
    },
    /// The point can no longer be restored.
    Lost {
        /// When that was seen, by our wall clock.
        at: DateTime<Utc>,
        /// Why, for people.
        reason: String,
        /// The data sets concerned.
        data_sets: Vec<LostSet>,
    },
    /// Durable work on the point began.
    RunStarted {
        /// Tells the events of this run from those of an earlier one.
        run: String,
        /// What work.
        kind: RunKind,
        /// When, by our wall clock.
        at: DateTime<Utc>,
        /// What a person should know.
        warnings: Vec<String>,
        /// What was chosen when it began and does not follow from the log: the kind's own. Whoever goes on, goes on by it.
        #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
        plan: serde_json::Value,
    },
    /// A worker has the run, for a while: it alone may act and write.
    WorkHeld {
        /// The run.
        run: String,
        /// Who, and how long.
        hold: WorkHold,
    },
    /// The worker gave the run back: anybody may go on with it.
    WorkReleased {
        /// The run.
        run: String,
    },
    /// What will be done to a data set, exactly; nothing is done before this is stored.
    UnitIntent {
        /// The run.
        run: String,
        /// The database's name in the settings.
        database: String,
        /// The data set.
        unit: String,
        /// What.
        intent: Intent,
    },
    /// What became true of a data set. Ends its intent.
    UnitRecord {
        /// The run.
        run: String,
        /// The database's name in the settings.
        database: String,
        /// The data set.
        unit: String,
        /// What.
        record: Record,
        /// Whether nothing more is to be done to it.
        done: bool,
    },
    /// The run is being undone, from here on.
    RunAborting {
        /// The run.
        run: String,
        /// When, by our wall clock.
        at: DateTime<Utc>,
    },
    /// What was being undone goes forward again, from here on.
    RunForward {
        /// The run.
        run: String,
        /// When, by our wall clock.
        at: DateTime<Utc>,
    },
    /// Every unit of the run is where the run leads.
    RunDone {
        /// The run.
        run: String,
        /// When, by our wall clock.
        at: DateTime<Utc>,
    },
    /// Nothing is left of the run.
    RunAborted {
        /// The run.
        run: String,
        /// When, by our wall clock.
        at: DateTime<Utc>,
    },
}

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    /// On-demand backups of every data set.
    Prepare,
    /// The data sets back under their own names.
    Restore,
    /// A restore under scratch names, looked at and removed again.
    Drill,
    /// What was made for the point removed for good.
    Prune,
}

impl RunKind {
    /// The verb of the command line that does it and goes on with it.
    pub fn verb(self) -> &'static str {
        match self {
            RunKind::Prepare => "prepare",
            RunKind::Restore => "restore",
            RunKind::Drill => "drill",
            RunKind::Prune => "prune",
        }
    }
}

/// A worker's right to a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkHold {
    /// Random: tells this taking from every other, also by the same process.
    pub holder: String,
    /// The process.
    pub owner: Owner,
    /// Until when, by the owner's wall clock.
    pub until: DateTime<Utc>,
    /// The same moment on CLOCK_BOOTTIME of the owner's boot, in nanoseconds.
    pub until_boot_ns: u64,
}

impl PointEvent {
    /// The event's name in the log.
    pub fn name(&self) -> &'static str {
        match self {
            PointEvent::Opened { .. } => "opened",
            PointEvent::AttemptVoid { .. } => "attempt_void",
            PointEvent::Recorded { .. } => "recorded",
            PointEvent::Void { .. } => "void",
            PointEvent::Captured { .. } => "captured",
            PointEvent::CaptureCompleted { .. } => "capture_completed",
            PointEvent::Sealed { .. } => "sealed",
            PointEvent::Lost { .. } => "lost",
            PointEvent::RunStarted { .. } => "run_started",
            PointEvent::WorkHeld { .. } => "work_held",
            PointEvent::WorkReleased { .. } => "work_released",
            PointEvent::UnitIntent { .. } => "unit_intent",
            PointEvent::UnitRecord { .. } => "unit_record",
            PointEvent::RunAborting { .. } => "run_aborting",
            PointEvent::RunForward { .. } => "run_forward",
            PointEvent::RunDone { .. } => "run_done",
            PointEvent::RunAborted { .. } => "run_aborted",
        }
    }
}

/// The process that runs a point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// Host name.
    pub host: String,
    /// Process id on that host.
    pub pid: u32,
    /// Version of this program.
    pub version: String,
    /// The process, well enough known to tell whether it lives. `None`: an older version wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Owner>,
}

/// A target and the pods it consisted of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenedTarget {
    /// Name in the settings.
    pub name: String,
    /// Every pod, before the first Pause.
    pub pods: Vec<Pod>,
    /// What its pods were found by, where that is no list of addresses: a release or an SRV name. `None` too in points of
    /// earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// A database and what a restore of it must bring back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenedDatabase {
    /// Name in the settings.
    pub name: String,
    /// `dynamodb`.
    pub provider: String,
    /// Which one it is, for people: region, endpoint, prefix. Never credentials.
    pub description: String,
    /// Every data set with PITR on, in order of names.
    pub data_sets: Vec<OpenedSet>,
}

/// A data set as it was confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenedSet {
    /// Physical name.
    pub name: String,
    /// What it is to ScalarDB.
    pub role: Role,
    /// Identity (DynamoDB: TableId).
    pub id: String,
    /// Earliest restorable moment then, on the database's clock.
    pub restorable_from: Option<UnixNanos>,
    /// Latest restorable moment then, on the database's clock.
    pub restorable_to: Option<UnixNanos>,
    /// How many days back a restore can reach.
    pub period_days: Option<u32>,
}

/// The settings that say how much the point's proof is worth. Lengths in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenedSettings {
    /// As written: `10s` or `auto`.
    pub hold: String,
    /// The margin around T.
    pub margin_ms: u64,
    /// How far pods' clocks may be off.
    pub pod_clock_bound_ms: u64,
    /// Whether pods without CheckPaused were refused.
    pub require_proof: bool,
    /// The hard deadline of one window.
    pub max_outage_ms: u64,
    /// As configured; unset means the servers' own 30 s.
    pub max_pause_wait_time_ms: Option<u64>,
    /// Between two rounds of CheckPaused.
    pub check_interval_ms: u64,
    /// By how much `auto` widened the measured clocks.
    pub auto_slack_ms: u64,
    /// Deployments in the same namespaces that were left out on purpose.
    #[serde(default)]
    pub ignore: Vec<String>,
}

/// A data set that can no longer be restored to T.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostSet {
    /// The database's name in the settings.
    pub database: String,
    /// Physical name.
    pub name: String,
    /// Why, for people.
    pub reason: String,
}

/// How much of capsules and metadata goes into one event, as JSON: well below what any store limits an object to.
const CAPTURED_BYTES: usize = 256 * 1024;

/// Splits what was captured of one database into events of a moderate size, at least one.
///
/// One capsule that is larger than that by itself gets an event of its own.
pub fn captured_batches(
    database: &str,
    capsules: Vec<Capsule>,
    metadata: BTreeMap<String, serde_json::Value>,
) -> Vec<PointEvent> {
    let mut batches = vec![(Vec::new(), BTreeMap::new())];
    let mut size = 0;
    let mut fits = |batches: &mut Vec<_>, bytes: usize| {
        if size > 0 && size + bytes > CAPTURED_BYTES {
            batches.push((Vec::new(), BTreeMap::new()));
            size = 0;
        }
        size += bytes;
    };
    for capsule in capsules {
        fits(&mut batches, json_size(&capsule));
        if let Some(last) = batches.last_mut() {
            last.0.push(capsule);
        }
    }
    for (table, description) in metadata {
        fits(&mut batches, table.len() + json_size(&description));
        if let Some(last) = batches.last_mut() {
            last.1.insert(table, description);
        }
    }
    let event = |(capsules, metadata)| PointEvent::Captured { database: database.to_owned(), capsules, metadata };
    batches.into_iter().map(event).collect()
}

/// The length as JSON.
pub(super) fn json_size(value: &impl Serialize) -> usize {
    struct Counter(usize);
    impl std::io::Write for Counter {
        fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
            self.0 += buf.len();
            Ok(buf.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    // Whatever cannot be written as JSON is reported where it is written.
    let _ = serde_json::to_writer(&mut counter, value);
    counter.0
}

/// A moment as people and scripts read it: RFC 3339, UTC, nanoseconds.
pub fn rfc3339(at: UnixNanos) -> String {
    DateTime::<Utc>::from_timestamp_nanos(at.0).to_rfc3339_opts(SecondsFormat::Nanos, true)
}
