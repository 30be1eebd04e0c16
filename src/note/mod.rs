//! The open window note: "these pods may be paused, until this deadline". Written before the first Pause to every place
//! it lives, kept until every pod is proven open and the verdict is stored. Any one copy is enough to release the pods:
//! it holds addresses and references to keys, never keys.

mod held;
pub mod lease;
mod local;
mod process;

pub use held::Held;
pub use local::{GuardReport, GuardStatus, LocalNotes, NoteError, OwnerLock};
pub use process::{Life, Process, boot_id};

use crate::admin::AdminEndpoint;
use crate::kubernetes::{LeaseReference, PodIdentity};
use crate::window::plan::boot_ns;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The format this version writes.
pub const VERSION: u32 = 1;
/// How much the clocks of two machines may differ before a note's UTC deadline is misjudged.
const UTC_TOLERANCE: chrono::TimeDelta = chrono::TimeDelta::seconds(5);

/// What the owner is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A window of `create`: pods close and open within it.
    Window,
    /// `pause --for`: the guard owns the pods until the deadline.
    Pause,
}

/// One pod that may be paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotedPod {
    /// Name for people.
    pub name: String,
    /// The target it belongs to.
    pub target: String,
    /// Whether it knows CheckPaused.
    pub can_check: bool,
    /// Where it is and how to speak to it.
    pub endpoint: AdminEndpoint,
    /// Which pod it is, where Kubernetes knows: once it is gone for good there is nothing to release.
    #[serde(default)]
    pub identity: Option<PodIdentity>,
}

/// The open window note.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenWindowNote {
    /// [`VERSION`].
    pub version: u32,
    /// The point's id, or the pause's.
    pub id: String,
    /// What the owner is doing.
    pub kind: Kind,
    /// Who may send Pause.
    pub owner: Process,
    /// When it was written.
    pub opened: DateTime<Utc>,
    /// The hard deadline in UTC, for readers on other machines.
    pub deadline: DateTime<Utc>,
    /// The hard deadline on CLOCK_BOOTTIME of the owner's boot.
    pub deadline_boot_ns: u64,
    /// Each Pause call's deadline: how long a server may hold one back.
    pub call_deadline_ms: u64,
    /// The pods.
    pub pods: Vec<NotedPod>,
    /// Where the point's log is, if there is one.
    pub catalog: Option<String>,
    /// The Leases that hold a copy of this note, where targets are Kubernetes'. Whoever ends a pause gives them back.
    #[serde(default)]
    pub leases: Vec<LeaseReference>,
}

impl OpenWindowNote {
    /// Whether the hard deadline has passed: by the boot clock where it is the same boot, else by UTC.
    pub fn deadline_has_passed(&self) -> bool {
        match boot_id() {
            Ok(id) if id == self.owner.boot_id => boot_ns() >= self.deadline_boot_ns,
            _ => Utc::now() >= self.deadline + UTC_TOLERANCE,
        }
    }

    /// Each Pause call's deadline.
    pub fn call_deadline(&self) -> Duration {
        Duration::from_millis(self.call_deadline_ms)
    }

    /// The longest time for which the kernel may still deliver a Pause.
    pub fn tcp_user_timeout(&self) -> Duration {
        self.pods.iter().map(|p| p.endpoint.tcp_user_timeout).max().unwrap_or_default()
    }

    /// Which pods know CheckPaused, in order.
    pub fn can_check(&self) -> Vec<bool> {
        self.pods.iter().map(|p| p.can_check).collect()
    }
}
