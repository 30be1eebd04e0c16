//! The trait.

use crate::{
    Capsule, ClockInterval, Confirmed, DataSet, Discovery, Driller, Preparer, ProviderError, Pruner, RecordedSet,
    RestoreTime, Restorer, SetRestorability, Verifier,
};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What every call is given.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// Ends the call early with [`crate::ErrorKind::Cancelled`].
    pub cancel: CancellationToken,
}

impl Context {
    /// A context that ends calls when `cancel` is cancelled.
    pub fn new(cancel: CancellationToken) -> Self {
        Self { cancel }
    }

    /// Awaits `work`, or ends with [`crate::ErrorKind::Cancelled`], naming `what`, as soon as the caller cancels.
    /// `work` is dropped then; a caller that had already cancelled never starts it.
    pub async fn run<T>(
        &self,
        what: impl std::fmt::Display + Send,
        work: impl Future<Output = Result<T, ProviderError>> + Send,
    ) -> Result<T, ProviderError> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(ProviderError::cancelled(what)),
            result = work => result,
        }
    }

    /// Sleeps on tokio's time; cancellable like [`Context::run`].
    pub async fn sleep(&self, what: impl std::fmt::Display + Send, length: Duration) -> Result<(), ProviderError> {
        self.run(what, async {
            tokio::time::sleep(length).await;
            Ok(())
        })
        .await
    }
}

/// One database: a DynamoDB region and prefix, a Cosmos DB account. `Display` names it for people and logs,
/// without secrets. No method changes anything at the service; every call is safe to repeat. What changes something is a
/// power of its own: see [`BackupProvider::preparer`].
#[async_trait::async_trait]
pub trait BackupProvider: std::fmt::Display + std::fmt::Debug + Send + Sync {
    /// The provider's name as in the settings: `dynamodb`.
    fn kind(&self) -> &'static str;

    /// The data sets that belong to ScalarDB, from its own metadata, or those that were named.
    async fn discover(&self, context: &Context) -> Result<Discovery, ProviderError>;

    /// PITR is on, and how far it reaches, for each set, in the order given.
    /// Off anywhere: [`crate::ErrorKind::PitrOff`] with *all* such sets and the call that turns it on.
    async fn confirm(&self, context: &Context, sets: &[DataSet]) -> Result<Vec<Confirmed>, ProviderError>;

    /// Measures the service's clock against ours, by samples around the edges of seconds. Takes two to three seconds on
    /// a quick line; its length is bounded. Not narrow enough to be of use: [`crate::ErrorKind::ClockUnsure`].
    async fn clock(&self, context: &Context) -> Result<ClockInterval, ProviderError>;

    /// Identities and settings of each set, in the order given. What may not be read is said in the capsule.
    async fn capture(&self, context: &Context, sets: &[DataSet]) -> Result<Vec<Capsule>, ProviderError>;

    /// For each set of a point: restorable to `at` now, later, or never again.
    async fn restorable(
        &self,
        context: &Context,
        at: RestoreTime,
        sets: &[RecordedSet],
    ) -> Result<Vec<SetRestorability>, ProviderError>;

    /// The power to make on-demand backups of a sealed point, if this provider has it.
    fn preparer(self: Arc<Self>) -> Option<Preparer>;

    /// The power to remove such backups again, and to look whether they are there. A provider that prepares has it.
    fn pruner(self: Arc<Self>) -> Option<Pruner>;

    /// The power to bring a prepared point back, if this provider has it.
    fn restorer(self: Arc<Self>) -> Option<Restorer>;

    /// The power to restore a point under scratch names and remove it again, if this provider has it.
    fn driller(self: Arc<Self>) -> Option<Driller>;

    /// The power to verify a set of tables, if this provider has it.
    fn verifier(self: Arc<Self>) -> Option<Verifier>;
}
