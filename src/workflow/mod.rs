//! The workflow engine: durable work in many small steps, over hours, by processes that may die at any moment.
//!
//! Everything that a run is, is in the log of its restore point: who has it, what was intended, what became true. A crash
//! anywhere: the same command again reads the log and goes on. The engine knows no cloud; what a step does is the business
//! of [`provider_api::DurableWork`].
//!
//! Ownership: a worker holds the run by an event in the log ([`hold`]), for [`Options::lease`], and renews it. Before each call
//! that creates or destroys the fence reads the end of the log again and compares the boot clock with the lease; the call is
//! sent once and has a short time-out. What remains: a call that the service acts on after its time-out and after the
//! lease has run out. Steps look at the world before they act, so such a call can leave a second backup (which is found and
//! deleted at the end) or, while a run is being aborted, an orphan; it cannot delete what is not this run's.

mod drive;
mod engine;
mod fence;
pub mod hold;
mod pace;
mod run;
#[cfg(test)]
mod tests;

pub use engine::work;
pub use run::{Run, UnitKey, UnitRun};

use crate::catalog::{Owner, RunKind};
use provider_api::{DurableWork, Fence, ProviderError, Unit, Way};
use std::sync::Arc;
use std::time::Duration;

/// Units of one database, and who does their steps.
#[derive(Clone, Debug)]
pub struct Job {
    /// The database's name in the settings.
    pub database: String,
    /// Does the steps.
    pub work: Arc<dyn DurableWork>,
    /// The plan.
    pub units: Vec<Unit>,
}

/// What is to be driven, and which way.
#[derive(Clone, Debug)]
pub struct Order {
    /// What the run does. A run of another kind that goes on is in the way.
    pub kind: RunKind,
    /// To its end, or back.
    pub way: Way,
    /// Stored with a run that begins: see [`Run::plan`].
    pub plan: serde_json::Value,
    /// Stored with a run that begins: what a person should know.
    pub warnings: Vec<String>,
    /// What it holds for.
    pub terms: Terms,
}

/// What an order holds for: whoever decided knew a certain state of the point.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// The run that was seen.
    pub basis: Basis,
    /// A run that is being undone goes forward again: it cannot be undone.
    pub forward_again: bool,
}

/// Which run an order is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Basis {
    /// Whatever goes on, or a new one: the order has nothing in it that was chosen for one run.
    #[default]
    Any,
    /// None went on: a new one.
    NoRun,
    /// The one of this id.
    Run(String),
}

impl Basis {
    /// The open run, if any.
    pub fn of(run: Option<&Run>) -> Basis {
        run.filter(|run| !run.ended).map_or(Basis::NoRun, |run| Basis::Run(run.id.clone()))
    }

    /// Whether this is the run that was seen; `None`: none goes on.
    fn holds(&self, open: Option<&Run>) -> bool {
        *self == Basis::Any || *self == Basis::of(open)
    }
}

/// Is asked too, right before a call that destroys what the run did not make ([`Fence::destroy`]).
#[derive(Clone)]
pub struct AlsoAsk(pub Arc<dyn Fence>);

impl std::fmt::Debug for AlsoAsk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AlsoAsk")
    }
}

/// Who works, and how it is found out whether another worker still does.
#[derive(Clone, Debug)]
pub struct Worker {
    /// This process.
    pub owner: Owner,
    /// Whether a process is proven dead; `false` in doubt.
    pub is_dead: fn(&Owner) -> bool,
    /// CLOCK_BOOTTIME in nanoseconds.
    pub boot_ns: fn() -> u64,
}

/// How a run is driven.
#[derive(Clone, Debug)]
pub struct Options {
    /// Divides the waits between looks, never rates.
    pub time_scale: f64,
    /// Stop after this long; the run stays, and the same command goes on.
    pub time_out: Option<Duration>,
    /// How long a hold lasts without being renewed.
    pub lease: Duration,
    /// Who.
    pub worker: Worker,
    /// Asked besides the hold before something is destroyed.
    pub before_destroying: Option<AlsoAsk>,
}

/// Long enough for a catalog that is away for two minutes, short enough not to wait for long after a machine died.
pub const LEASE: Duration = Duration::from_secs(180);

/// How a run ended that could be driven at all.
#[derive(Debug)]
pub enum Ended {
    /// Every unit is where it should be.
    Done,
    /// Some could not go on; the others went as far as they could.
    Failed(Vec<(UnitKey, ProviderError)>),
    /// The time was over.
    TimedOut {
        /// Units that are done.
        done: usize,
        /// All units.
        total: usize,
    },
    /// The caller asked to stop.
    Cancelled,
}

/// What is going on, for progress.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Units of the run.
    pub total: usize,
    /// Those that are done.
    pub done: usize,
    /// Units by what they wait for or do now, e.g. `restoring`.
    pub phases: std::collections::BTreeMap<String, usize>,
    /// Since the run was taken up by this process.
    pub elapsed: Duration,
    /// How long it may still take; `None` until a unit is done.
    pub left: Option<Duration>,
    /// Units that have something new to say.
    pub moved: Vec<Moved>,
}

/// A unit that has something new to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Which.
    pub unit: UnitKey,
    /// What.
    pub text: String,
    /// Since its work was begun by this process.
    pub elapsed: Duration,
}

/// Is told what is going on.
pub type Seen<'a> = dyn FnMut(&Snapshot) + Send + 'a;
