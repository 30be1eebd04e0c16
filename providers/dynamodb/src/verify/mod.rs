//! Verification of tables as they stand: metadata, tables, keys and indexes are looked at, then every record is read once,
//! within the budget, and judged by [`provider_api::verify::Judge`]. Nothing is changed.
//!
//! Tables are read with eventual consistency, at half the price: nobody writes to a restored set. What decides is read
//! strongly: the metadata, the coordinator's rows of what waits, and the second pass, in which suspects are matched.

mod coordinator;
mod items;
mod scan;
mod schema;
mod survey;

use crate::DynamoDbProvider;
use crate::client::{Cloud, Turn};
use crate::names;
pub(crate) use items::PARTITION_KEY;
use provider_api::verify::{Judge, ReadPace, Suspects, Waiting};
use provider_api::{
    Context, ErrorKind, ProviderError, TableKind, Verification, Verify, VerifyProgress, VerifyRequest, verify::Watch,
};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Semaphore;

/// Pages that are on their way at the same time, whatever the number of tables: they are what takes memory.
const PAGES_AT_ONCE: usize = 32;
/// Waiting records that are looked up together; with groups two keys each.
const LOOKED_UP: usize = crate::limits::BATCH_KEYS / 2;

/// A table that can be read.
struct Target {
    /// Its index in the judge's tables.
    index: usize,
    table: String,
    kind: TableKind,
    keys: Vec<String>,
    pace: Arc<ReadPace>,
    segments: u32,
}

/// One verification while it runs.
struct Run<'a> {
    cloud: &'a Cloud,
    context: &'a Context,
    targets: Vec<Target>,
    judge: Mutex<Judge>,
    units: Mutex<f64>,
    waiting: Mutex<Vec<Waiting>>,
    pages: Semaphore,
    watch: &'a Watch<'a>,
    pass: AtomicUsize,
    read: AtomicUsize,
    of: AtomicUsize,
    matched: AtomicUsize,
}

/// What a page's cost is paid from.
struct Paid<'a> {
    pace: &'a ReadPace,
    guess: f64,
    table: &'a str,
}

#[async_trait::async_trait]
impl Turn for Paid<'_> {
    async fn wait(&self, context: &Context) -> Result<(), ProviderError> {
        self.pace.acquire(self.guess, context, format!("reading `{}`", self.table)).await
    }

    fn answered(&self) {}

    fn throttled(&self) {
        self.pace.throttled(self.guess);
    }

    fn unanswered(&self) {
        self.pace.settle(self.guess, 0.0);
    }
}

#[async_trait::async_trait]
impl Verify for DynamoDbProvider {
    async fn verify(
        &self,
        context: &Context,
        request: &VerifyRequest<'_>,
        watch: &Watch<'_>,
    ) -> Result<Verification, ProviderError> {
        names::check_prefix(request.prefix)?;
        let (judge, targets) = survey::survey(&self.cloud, &self.config, context, request).await?;
        let run = Run {
            cloud: &self.cloud,
            context,
            targets,
            judge: Mutex::new(judge),
            units: Mutex::new(0.0),
            waiting: Mutex::default(),
            pages: Semaphore::new(PAGES_AT_ONCE),
            watch,
            pass: AtomicUsize::new(1),
            read: AtomicUsize::new(0),
            of: AtomicUsize::new(0),
            matched: AtomicUsize::new(0),
        };
        run.through().await
    }
}

impl Run<'_> {
    async fn through(self) -> Result<Verification, ProviderError> {
        self.of.store(self.targets.len(), Ordering::Relaxed);
        let records = [TableKind::Transactional, TableKind::Plain];
        self.scan_all(|target| records.contains(&target.kind), None).await?;
        self.look_up_rest().await?;
        // Last, when it is known which ids committed something.
        self.scan_all(|target| target.kind == TableKind::Coordinator, None).await?;
        let suspects = self.judge().suspects();
        let mut passes = 1;
        if !suspects.is_empty() {
            passes = 2;
            self.second_pass(&suspects).await?;
        }
        let units = *self.units.lock().unwrap_or_else(PoisonError::into_inner);
        let judge = self.judge.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(judge.found(units, passes))
    }

    async fn second_pass(&self, suspects: &Suspects) -> Result<(), ProviderError> {
        self.pass.store(2, Ordering::Relaxed);
        self.read.store(0, Ordering::Relaxed);
        let transactional = |target: &Target| target.kind == TableKind::Transactional;
        self.of.store(self.targets.iter().filter(|target| transactional(target)).count(), Ordering::Relaxed);
        self.scan_all(transactional, Some(suspects)).await
    }

    fn coordinator(&self) -> Option<&Target> {
        self.targets.iter().find(|target| target.kind == TableKind::Coordinator)
    }

    fn judge(&self) -> MutexGuard<'_, Judge> {
        // A panic elsewhere ends the verification anyway.
        self.judge.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn paid(&self, units: f64) {
        *self.units.lock().unwrap_or_else(PoisonError::into_inner) += units;
    }

    fn told(&self) {
        let matched = u64::try_from(self.matched.load(Ordering::Relaxed)).unwrap_or(u64::MAX);
        let records = self.judge().records() + matched;
        (self.watch)(VerifyProgress {
            pass: u32::try_from(self.pass.load(Ordering::Relaxed)).unwrap_or(1),
            tables: self.read.load(Ordering::Relaxed),
            of: self.of.load(Ordering::Relaxed),
            records,
        });
    }
}

/// The coordinator's rows do not lie where they are looked for.
fn keyed_otherwise(table: &str, tx_id: &str) -> ProviderError {
    let message = format!("the row of transaction {tx_id} in `{table}` does not have the key that ScalarDB gives it");
    let hint = "check that `coordinator_namespace` and `prefix` are those of ScalarDB's configuration";
    ProviderError::new(ErrorKind::Invalid, message, hint).about([table])
}
