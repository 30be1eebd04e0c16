//! Durable work: what is done at a cloud in many small steps, over hours, by processes that may die at any moment.
//!
//! A provider hands over a plan of [`Unit`]s and does **one step of one unit** per call. Whoever drives it keeps a
//! journal, and gives every call what the journal holds of that unit. The rules, which [`crate::conformance`] tests:
//! - A step looks at the world first; what it finds there counts more than what it expects.
//! - What creates or destroys goes in two calls. The first answers [`Step::Intend`] and does nothing; the driver
//!   stores the intent; only a call that is given the stored intent ([`Act`]) acts.
//! - Every call is safe to repeat any number of times, with the same journal, after any lost answer. None sleeps.
//! - Before a call that creates or destroys is sent, [`Fence::pass`] is asked; such a call is sent once and has a short
//!   time-out, so that it cannot act after its driver has lost the right to.
//! - What is not ours by recorded identity is never touched, only named.

use crate::{Capsule, Context, ProviderError, RecordedSet, RestoreTime};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// One piece of a plan: for DynamoDB a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unit {
    /// The data set's name. Unique in its plan.
    pub name: String,
    /// The data set's recorded identity.
    pub id: String,
    /// Units of the same plan that must be done before this one begins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
    /// Everything else that its steps need: the provider's own.
    pub what: Value,
}

/// What will be done, exactly. Stored before it is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// For people: `restore bank.account to rp-4k2f-bank.account`.
    pub text: String,
    /// The provider's own.
    pub what: Value,
    /// The slot (a key of [`DurableWork::slots`]) that the unit takes with it, until a record without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<String>,
}

/// Something that became true of a unit. It ends the intent that was stored, if one was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// For people: `restored`.
    pub text: String,
    /// The provider's own.
    pub what: Value,
    /// The slot that the unit still takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<String>,
    /// What a person should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// What the journal holds of a unit, apart from an intent that is still open.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UnitState {
    /// Oldest first.
    pub records: Vec<Record>,
}

/// Whether work goes on or is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// To the end that was asked for.
    Forward,
    /// To nothing of ours left.
    Back,
}

/// When to look again: waits grow from the first to the last. Real times of the real service; drivers scale them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Poll {
    /// The wait after the first look.
    pub first: Duration,
    /// The wait after the second; it grows by half each time.
    pub then: Duration,
    /// The longest.
    pub last: Duration,
}

/// How one call ended.
#[derive(Debug)]
pub enum Step {
    /// Nothing was done; this would be next. Store it, and call again with it.
    Intend(Intent),
    /// This is true now. Store it, and call again.
    Did(Record),
    /// Nothing to store; look again later. An intent stays open.
    Wait {
        /// When.
        poll: Poll,
        /// What is waited for, for people: `restoring`.
        progress: String,
    },
    /// Store it. The unit is where its way leads: no further calls.
    Done(Record),
    /// Store it. The unit cannot go on now; after somebody has mended it, a later run goes on from this record.
    Failed(Record, ProviderError),
}

/// Asked before a call that creates or destroys.
#[async_trait::async_trait]
pub trait Fence: Send + Sync {
    /// Whether the driver may still act, looked up now. An error must be passed on; the call must not be sent then.
    async fn pass(&self) -> Result<(), ProviderError>;

    /// The same, before a call that destroys what this run did not make.
    async fn destroy(&self) -> Result<(), ProviderError> {
        self.pass().await
    }
}

/// The right to act on a stored intent.
#[derive(Clone, Copy)]
pub struct Act<'a> {
    /// As stored.
    pub intent: &'a Intent,
    /// To be asked right before the call.
    pub fence: &'a dyn Fence,
}

impl std::fmt::Debug for Act<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Act").field(self.intent).finish()
    }
}

/// Work in steps.
#[async_trait::async_trait]
pub trait DurableWork: std::fmt::Debug + Send + Sync {
    /// What only so many units may have at a time, with how many. Equal keys of several databases are one slot.
    fn slots(&self) -> BTreeMap<String, usize>;

    /// One step of one unit. A retryable error: the same call again later, nothing is known to have changed. Any other
    /// error: nothing more can be done for this unit until somebody acts.
    async fn step(
        &self,
        context: &Context,
        way: Way,
        unit: &Unit,
        state: &UnitState,
        act: Option<Act<'_>>,
    ) -> Result<Step, ProviderError>;
}

/// What is to be prepared.
#[derive(Clone, Copy, Debug)]
pub struct PrepareRequest<'a> {
    /// The restore point's id, for names that people read: letters, digits, `-` and `_`.
    pub label: &'a str,
    /// T.
    pub at: RestoreTime,
    /// The data sets as recorded.
    pub sets: &'a [RecordedSet],
    /// Their settings, as captured.
    pub capsules: &'a [Capsule],
}

/// The power to turn a sealed point into on-demand backups.
///
/// [`DurableWork::step`] leads [`Way::Forward`] to exactly one backup of each data set at T and nothing else, and
/// [`Way::Back`] to nothing of what this run made. The data sets themselves are never changed.
#[async_trait::async_trait]
pub trait Prepare: DurableWork {
    /// The plan. Depends on the request alone: the same request gives the same plan, whatever became of the world.
    fn units(&self, request: &PrepareRequest<'_>) -> Result<Vec<Unit>, ProviderError>;

    /// Looks whether the plan can work, before anything is begun; changes nothing. Answers with warnings.
    async fn preflight(&self, context: &Context, units: &[Unit]) -> Result<Vec<String>, ProviderError>;
}

/// A provider's power to prepare, shared with the tasks that use it.
pub type Preparer = Arc<dyn Prepare>;
