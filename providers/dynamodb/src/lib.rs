//! DynamoDB as a [`provider_api::BackupProvider`]: finds ScalarDB's tables in ScalarDB's own metadata, reads how far
//! point-in-time recovery (PITR) reaches, measures DynamoDB's clock and captures every setting that a restore drops.
//!
//! The provider itself changes nothing at AWS; its power to prepare (`prepare`) makes staging tables and backups, and deletes
//! what it made. Every call goes through one rate limiter ([`limits`]) and has a time-out. Reads are retried by us rather
//! than by the SDK, so that a retry pays for its token like any other call; what changes something is sent once.
//!
//! The SDK corrects the time it signs with by the `Date` of earlier answers, so a wrong clock on this host does not
//! show as refused requests. What the clocks really are is measured by [`provider_api::BackupProvider::clock`].

mod absence;
mod alarms;
mod backups;
mod capture;
mod client;
mod clock;
mod confirm;
mod discover;
mod error;
pub mod limits;
mod metadata;
mod names;
mod prepare;
mod prune;
mod raw;
mod reapply;
mod restorable;
mod restore;
pub mod runbook;
mod sampler;
mod scaling;
mod settings;
mod table;
mod verify;
mod waited;

pub use reapply::{Difference, Reapply};
pub use sampler::{Next, Sample, Sampler};
pub use settings::{Config, Endpoints, MonoSource, Staging};

use client::Cloud;
use futures::{StreamExt, TryStreamExt};
use provider_api::{
    BackupProvider, Capsule, ClockInterval, Confirmed, Context, DataSet, Discovery, Driller, Fence, Preparer,
    ProviderError, Pruner, RecordedSet, RestoreTime, Restorer, SetRestorability, Verifier,
};
use std::sync::Arc;

/// Tables worked on at the same time. The limiter sets the pace; this only has to be enough to hide round trips of
/// a few hundred milliseconds at ten calls a second.
const AT_ONCE: usize = 32;

/// Runs all of it, [`AT_ONCE`] at a time; answers in the order given, or with the first error.
async fn together<T, E, F: Future<Output = Result<T, E>>>(work: impl IntoIterator<Item = F>) -> Result<Vec<T>, E> {
    let work: Vec<F> = work.into_iter().collect();
    futures::stream::iter(work).buffered(AT_ONCE).try_collect().await
}

/// One DynamoDB region and prefix. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DynamoDbProvider {
    config: Arc<Config>,
    cloud: Arc<Cloud>,
}

impl DynamoDbProvider {
    /// Prepares the clients; sends nothing. Credentials are looked for by the SDK's own chain at the first call.
    /// Fails with [`provider_api::ErrorKind::Invalid`] if the settings cannot be meant.
    pub async fn connect(config: Config) -> Result<Self, ProviderError> {
        config.check()?;
        let cloud = Cloud::connect(&config).await?;
        Ok(Self { config: Arc::new(config), cloud: Arc::new(cloud) })
    }

    /// One step of putting the settings of `capsule` back on `table`, which must be ACTIVE and of the caller's own making.
    ///
    /// `done` is what earlier calls answered in [`Reapply::Did`]; without it every setting is looked at again, which
    /// changes nothing that is as it should be. Every call is safe to repeat. A retryable error: the same call again
    /// later. Any other: the same call again, once somebody has done what the hint says.
    pub async fn reapply(
        &self,
        context: &Context,
        fence: &dyn Fence,
        table: &str,
        capsule: &Capsule,
        done: &[String],
    ) -> Result<Reapply, ProviderError> {
        reapply::next_step(&self.cloud, context, fence, table, capsule, done).await
    }
}

impl std::fmt::Display for DynamoDbProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "database `{}` (dynamodb, {})", self.config.name, self.config.region)
    }
}

#[async_trait::async_trait]
impl BackupProvider for DynamoDbProvider {
    fn kind(&self) -> &'static str {
        "dynamodb"
    }

    async fn discover(&self, context: &Context) -> Result<Discovery, ProviderError> {
        discover::discover(&self.cloud, &self.config, context).await
    }

    async fn confirm(&self, context: &Context, sets: &[DataSet]) -> Result<Vec<Confirmed>, ProviderError> {
        confirm::confirm(&self.cloud, context, sets).await
    }

    async fn clock(&self, context: &Context) -> Result<ClockInterval, ProviderError> {
        clock::measure(&self.cloud, &self.config.mono, context).await
    }

    async fn capture(&self, context: &Context, sets: &[DataSet]) -> Result<Vec<Capsule>, ProviderError> {
        capture::capture(&self.cloud, context, sets).await
    }

    async fn restorable(
        &self,
        context: &Context,
        at: RestoreTime,
        sets: &[RecordedSet],
    ) -> Result<Vec<SetRestorability>, ProviderError> {
        restorable::restorable(&self.cloud, context, self.config.time_scale, at, sets).await
    }

    fn preparer(self: Arc<Self>) -> Option<Preparer> {
        Some(self)
    }

    fn pruner(self: Arc<Self>) -> Option<Pruner> {
        Some(Arc::new(prune::Retention(self)))
    }

    fn restorer(self: Arc<Self>) -> Option<Restorer> {
        Some(Arc::new(restore::Restoring(self)))
    }

    fn driller(self: Arc<Self>) -> Option<Driller> {
        Some(self)
    }

    fn verifier(self: Arc<Self>) -> Option<Verifier> {
        Some(self)
    }
}
