//! Who has a run.

use super::{Options, Run};
use crate::catalog::{PointEvent, WorkHold, nonce};
use crate::failure::{Exit, Failure};
use crate::wall;
use chrono::{DateTime, TimeDelta, Utc};
use std::time::Duration;

/// How long after its end a hold is respected by other machines: their wall clocks differ.
const TOLERANCE: TimeDelta = TimeDelta::seconds(30);

/// What a process that wants a run finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody has it.
    Free,
    /// The one who had it is dead, or its time has passed: it may be taken, though a last call of its may still arrive.
    Forsaken,
    /// Somebody works on it.
    Held(WorkHold),
}

/// Whether a run may be taken now.
pub fn standing(run: &Run, options: &Options, now: DateTime<Utc>) -> Standing {
    let Some(hold) = &run.hold else { return Standing::Free };
    let worker = &options.worker;
    // In one boot the boot clock decides, which nobody sets; elsewhere only the wall clock can.
    let same_boot = hold.owner.host == worker.owner.host && hold.owner.boot_id == worker.owner.boot_id;
    let over = if same_boot {
        (worker.is_dead)(&hold.owner) || (worker.boot_ns)() > hold.until_boot_ns
    } else {
        now > hold.until + TOLERANCE
    };
    if over { Standing::Forsaken } else { Standing::Held(hold.clone()) }
}

/// A fresh hold for this worker.
pub fn fresh(options: &Options) -> WorkHold {
    renewed(&nonce(), options)
}

/// The hold of this name, from now.
pub fn renewed(holder: &str, options: &Options) -> WorkHold {
    let ns = u64::try_from(options.lease.as_nanos()).unwrap_or(u64::MAX);
    WorkHold {
        holder: holder.to_owned(),
        owner: options.worker.owner.clone(),
        until: Utc::now() + TimeDelta::from_std(options.lease).unwrap_or(TimeDelta::MAX),
        until_boot_ns: (options.worker.boot_ns)().saturating_add(ns),
    }
}

/// The event that takes or renews a run.
pub fn event(run: &str, hold: WorkHold) -> PointEvent {
    PointEvent::WorkHeld { run: run.to_owned(), hold }
}

/// The refusal that names who works.
pub fn refusal(id: &str, hold: &WorkHold) -> Failure {
    let message = format!(
        "{id} is being worked on by process {} on {}, which holds it until {} and renews that",
        hold.owner.pid,
        hold.owner.host,
        wall::rfc3339(hold.until)
    );
    let hint =
        "Wait for it; `stillpoint status` shows it. If that process is gone, the run is free when its time has passed.";
    Failure::new(Exit::Refused, "work_held", message, hint)
}

/// The failure of a worker whose run was taken.
pub fn taken(id: &str, by: Option<&WorkHold>) -> Failure {
    let by = by.map_or_else(
        || "another process".to_owned(),
        |hold| format!("process {} on {}", hold.owner.pid, hold.owner.host),
    );
    let message = format!("{by} has taken over the work on {id}; this process has stopped");
    let hint = "`stillpoint status` shows who works. Was this machine suspended, or away from the catalog for long?";
    Failure::new(Exit::Void, "hold_lost", message, hint)
}

/// When to renew: after a third of the lease, so that two renewals may fail.
pub fn renew_after(options: &Options) -> Duration {
    options.lease / 3
}
