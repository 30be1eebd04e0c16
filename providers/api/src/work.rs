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

use crate::{Capsule, Context, ProviderError, RecordedSet, RestoreTime, Role};
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

/// What was made of one data set, by every run of `prepare` that there was.
#[derive(Clone, Debug, PartialEq)]
pub struct MadeSet {
    /// Its name.
    pub name: String,
    /// Its recorded identity.
    pub id: String,
    /// The records of each run, oldest first.
    pub runs: Vec<UnitState>,
}

/// The power to remove for good what [`Prepare`] made: retention.
///
/// [`DurableWork::step`] leads [`Way::Forward`] to none of the recorded backups left. There is no way back. Only what the records
/// name is deleted; what is gone already counts as done.
#[async_trait::async_trait]
pub trait Prune: DurableWork {
    /// The plan, one unit for each data set of which something was made. Depends on the records alone.
    fn units(&self, made: &[MadeSet]) -> Result<Vec<Unit>, ProviderError>;

    /// Looks whether the plan can work, before anything is deleted; changes nothing.
    async fn preflight(&self, context: &Context, units: &[Unit]) -> Result<(), ProviderError>;

    /// The data sets that the last run prepared and whose backup could not be restored now, each with why.
    async fn missing(&self, context: &Context, made: &[MadeSet]) -> Result<Vec<(String, String)>, ProviderError>;
}

/// A provider's power to prune, shared with the tasks that use it.
pub type Pruner = Arc<dyn Prune>;

/// What is to be tried out.
#[derive(Clone, Copy, Debug)]
pub struct DrillRequest<'a> {
    /// The restore point's id.
    pub label: &'a str,
    /// T.
    pub at: RestoreTime,
    /// The data sets as recorded.
    pub sets: &'a [RecordedSet],
    /// Their settings, as captured.
    pub capsules: &'a [Capsule],
    /// In front of every copy's name. It has a nonce in it, so that what bears it is this run's.
    pub prefix: &'a str,
    /// The on-demand backup of each data set, by its name; empty: by point-in-time recovery.
    pub backups: &'a BTreeMap<String, String>,
    /// Whether the copies stay when all is done.
    pub keep: bool,
}

/// The power to restore a point beside its data sets, under scratch names, and to remove the copies again.
///
/// [`DurableWork::step`] leads [`Way::Forward`] to a copy that is ready, and on from there to none of it, or to one that
/// stays; [`Way::Back`] to nothing of what this run made. Whoever drives it does not step a unit whose copy
/// [`Drill::is_ready`] before it has looked at the copy. The data sets themselves are never changed.
#[async_trait::async_trait]
pub trait Drill: DurableWork {
    /// The plan: a unit for each data set. Depends on the request alone.
    fn copies(&self, request: &DrillRequest<'_>) -> Result<Vec<Unit>, ProviderError>;

    /// Looks whether the plan can work, before anything is begun; changes nothing. Answers with warnings.
    async fn may_copy(&self, context: &Context, units: &[Unit]) -> Result<Vec<String>, ProviderError>;

    /// Whether the copy is whole, and nothing has been done about it since.
    fn is_ready(&self, state: &UnitState) -> bool;

    /// The copy's name and identity, once it has one.
    fn copy(&self, state: &UnitState) -> Option<RecordedSet>;
}

/// A provider's power to drill, shared with the tasks that use it.
pub type Driller = Arc<dyn Drill>;

/// A provider's power to prepare, shared with the tasks that use it.
pub type Preparer = Arc<dyn Prepare>;

/// A data set that is to be brought back.
#[derive(Clone, Debug, PartialEq)]
pub struct RestoreSet {
    /// As recorded.
    pub recorded: RecordedSet,
    /// What it is to ScalarDB: what decides about others comes last.
    pub role: Role,
    /// The record by which [`Prepare`] ended its unit ([`Record::what`]): which backup, and of what.
    pub prepared: Value,
}

/// What the caller allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreOptions {
    /// Back up each data set as it is now before it is replaced. Without it there may be no way back.
    pub safety_backup: bool,
    /// Replace also what has another identity than the recorded one.
    pub accept_recreated: bool,
}

impl Default for RestoreOptions {
    fn default() -> Self {
        Self { safety_backup: true, accept_recreated: false }
    }
}

/// What is to be restored.
#[derive(Clone, Copy, Debug)]
pub struct RestoreRequest<'a> {
    /// The restore point's id, for names that people read: letters, digits, `-` and `_`.
    pub label: &'a str,
    /// T.
    pub at: RestoreTime,
    /// The data sets.
    pub sets: &'a [RestoreSet],
    /// Their settings, as captured.
    pub capsules: &'a [Capsule],
    /// What is allowed.
    pub options: RestoreOptions,
}

/// What a restore would do, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestorePlan {
    /// What would become of each data set, in the order of the units: its name, and the deeds in a sentence.
    pub deeds: Vec<(String, String)>,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// The power to bring a prepared point back under the original names.
///
/// [`DurableWork::step`] leads [`Way::Forward`] to every data set as it was at T, with its settings of then, and
/// [`Way::Back`] to every data set as this run found it: left alone where it was not replaced yet, else put back from its
/// safety backup. Safety backups stay, whichever way. What is replaced has the identity that was recorded before.
#[async_trait::async_trait]
pub trait Restore: DurableWork {
    /// The plan. Depends on the request alone: the same request gives the same plan, whatever became of the world.
    fn units(&self, request: &RestoreRequest<'_>) -> Result<Vec<Unit>, ProviderError>;

    /// Looks whether the plan can work, before anything is begun; changes nothing. All that speaks against it is answered
    /// together.
    async fn preflight(&self, context: &Context, units: &[Unit]) -> Result<RestorePlan, Vec<ProviderError>>;

    /// Whether a unit can still be put back as it was found, whatever becomes of `intent`, which is still open; changes
    /// nothing. [`crate::ErrorKind::WrongState`]: it cannot. May take minutes where that shows only after a while.
    async fn way_back(
        &self,
        context: &Context,
        unit: &Unit,
        state: &UnitState,
        intent: Option<&Intent>,
    ) -> Result<(), ProviderError>;
}

/// A provider's power to restore, shared with the tasks that use it.
pub type Restorer = Arc<dyn Restore>;
