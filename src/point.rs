//! A restore point as people and scripts see it: the JSON of the command line, with exactly these fields.
//! `None` prints as null; no field is ever left out.

use serde::{Deserialize, Serialize};

/// Where a point stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// No window was proven.
    Void,
    /// T is chosen and proven.
    Recorded,
    /// Every data set can be restored to T.
    Sealed,
    /// On-demand backups are being made.
    Preparing,
    /// On-demand backups exist.
    Prepared,
    /// No longer restorable.
    Lost,
}

/// What a window, or a whole run, proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Proven.
    Good,
    /// Proves nothing.
    Void,
}

/// A named reason why a window proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Violation {
    /// One of the names of the design, e.g. `OpenedEarly`.
    pub name: String,
    /// The pod, data set or database concerned; `-` where the window as a whole is.
    pub subject: String,
    /// What was seen, for people.
    pub detail: String,
}

/// One window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// RFC 3339 with nanoseconds.
    pub started: String,
    /// Good or void.
    pub verdict: Verdict,
    /// Empty exactly when good.
    pub violations: Vec<Violation>,
}

/// What we know of a pod's gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PodState {
    /// Proven open.
    Open,
    /// Proven closed, by us.
    Paused,
    /// A Pause was sent and its end is not known.
    MaybePaused,
    /// Another caller's pause holds it; not ours to open.
    PausedByOther,
    /// The pod no longer exists.
    Gone,
}

/// One pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// The address as written, unless Kubernetes names it.
    pub name: String,
    /// The target it belongs to.
    pub target: String,
    /// `host:port` that was connected to.
    pub address: String,
    /// Its gate.
    pub state: PodState,
}

/// One pod before and after a window: a line of the evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodRow {
    /// The target's name.
    pub target: String,
    /// The pod's name.
    pub pod: String,
    /// As the preflight saw it; `None`: it was not there.
    pub before: Option<PodSeen>,
    /// As it was after the window; `None`: it was gone.
    pub after: Option<PodSeen>,
}

/// What one look says of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodSeen {
    /// Its UID; `None` where there is no Kubernetes.
    pub uid: Option<String>,
    /// Its address.
    pub address: Option<String>,
    /// As `kubectl get pods` would say: `Running`, `Pending` ...
    pub status: String,
    /// Restarts of all its containers together; `None` where nothing counts them.
    pub restarts: Option<u32>,
    /// Since when it runs, RFC 3339.
    pub started: Option<String>,
}

/// What is proven quiet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StillPeriod {
    /// RFC 3339 with nanoseconds, our wall clock.
    pub start: String,
    /// RFC 3339 with nanoseconds, our wall clock.
    pub end: String,
    /// CLOCK_MONOTONIC.
    pub start_mono_ns: u64,
    /// CLOCK_MONOTONIC.
    pub end_mono_ns: u64,
}

/// Bounds of the database's clock minus our wall clock, milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Clock {
    /// Lower bound.
    pub offset_low_ms: f64,
    /// Upper bound.
    pub offset_high_ms: f64,
}

/// One data set of a point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataSetReport {
    /// Physical name.
    pub name: String,
    /// Identity (DynamoDB: TableId).
    pub id: Option<String>,
    /// `confirmed`, `pitr_off`, `ok`, `not_yet`, `lost`, `preparing`, `prepared`.
    pub state: Option<String>,
    /// RFC 3339.
    pub restorable_from: Option<String>,
    /// RFC 3339.
    pub restorable_to: Option<String>,
    /// Why not, or what is being done or was made, for people.
    pub reason: Option<String>,
}

/// One database of a point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Database {
    /// Name in the settings.
    pub name: String,
    /// `dynamodb`.
    pub provider: String,
    /// Measured clock.
    pub clock: Option<Clock>,
    /// Its data sets.
    pub data_sets: Vec<DataSetReport>,
}

/// An error for people and scripts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorReport {
    /// A stable name, e.g. `pitr_off`.
    pub name: String,
    /// What, on which object, why.
    pub message: String,
    /// What next.
    pub hint: String,
}

/// The one object that commands about a point, pods or a window print.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The point's id.
    pub id: Option<String>,
    /// Where it stands.
    pub state: Option<State>,
    /// Good or void.
    pub verdict: Option<Verdict>,
    /// The command's exit code.
    pub exit_code: u8,
    /// T, RFC 3339.
    pub restore_time: Option<String>,
    /// The guide's first time: all Pause calls answered.
    pub pause_completed: Option<String>,
    /// The guide's second time: the first Unpause is about to be sent.
    pub unpause_started: Option<String>,
    /// What is proven quiet.
    pub still_period: Option<StillPeriod>,
    /// First Pause sent to last gate proven open, milliseconds.
    pub outage_ms: Option<f64>,
    /// The same as ScalarDB's own clients feel it, with their doubling back-off.
    pub client_outage_ms: Option<f64>,
    /// Every window of this run, in order.
    pub attempts: Vec<Attempt>,
    /// Every pod.
    pub pods: Vec<Pod>,
    /// Every pod before and after the good window, where Kubernetes or DNS tells; the only field that is left out when
    /// there is nothing to say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pod_table: Vec<PodRow>,
    /// Every database.
    pub databases: Vec<Database>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// Why the command failed.
    pub error: Option<ErrorReport>,
}
