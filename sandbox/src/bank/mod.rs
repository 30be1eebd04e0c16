//! A bank on ScalarDB: accounts in several tables, money moved between them by the consensus commit protocol, every
//! transaction through a pod's gate. Some clients die in the middle, so that even a perfect point holds records whose
//! fate is still to be applied.

mod audit;
mod client;
mod commit;
mod schema;
mod store;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use audit::{Anomaly, AuditReport, TableReport, audit};
pub use schema::{COORDINATOR_TABLE, METADATA_TABLE, accounts_table, create_table, create_tables, drop_table};
pub use store::{Item, Store, StoreError};

use crate::pods::{Outcome, Pod};

/// How big the bank is and how busy.
#[derive(Clone, Debug)]
pub struct BankConfig {
    /// Everything random follows from it; the interleaving of clients does not.
    pub seed: u64,
    /// Tables of accounts, at least 2.
    pub tables: usize,
    /// Accounts in each.
    pub accounts_per_table: usize,
    /// What is in each account at the beginning.
    pub opening_balance: i64,
    /// Clients that work side by side.
    pub clients: usize,
    /// Transfers that all clients together try in a second.
    pub transfers_per_second: f64,
    /// Before each call to the database, on average.
    pub step_latency: Duration,
    /// The share of transfers whose client dies in the middle.
    pub crash_chance: f64,
}

impl Default for BankConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            tables: 4,
            accounts_per_table: 30,
            opening_balance: 1_000,
            clients: 6,
            transfers_per_second: 30.0,
            step_latency: Duration::from_millis(3),
            crash_chance: 0.005,
        }
    }
}

impl BankConfig {
    /// The sum of all balances, at any consistent point.
    pub fn total(&self) -> i64 {
        let accounts = i64::try_from(self.tables * self.accounts_per_table).unwrap_or(i64::MAX);
        accounts.saturating_mul(self.opening_balance)
    }

    /// Names of the tables of accounts.
    pub fn table_names(&self) -> Vec<String> {
        (0..self.tables).map(accounts_table).collect()
    }
}

/// What happened so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Transfers that were committed.
    pub committed: u64,
    /// Transfers that were rolled back: conflicts, empty accounts, failures of the database.
    pub aborted: u64,
    /// Clients that died in the middle.
    pub crashed: u64,
    /// Transfers whose pod ended under them.
    pub cut: u64,
    /// Times a closed gate or a dead pod refused a client.
    pub refused: u64,
    /// The longest time that a client went on being refused, milliseconds: the outage as clients see it.
    pub longest_wait_ms: u64,
    /// Calls that the database failed.
    pub store_errors: u64,
    /// The last such failure.
    pub last_store_error: Option<String>,
}

#[derive(Debug, Default)]
struct Tally {
    committed: AtomicU64,
    aborted: AtomicU64,
    crashed: AtomicU64,
    cut: AtomicU64,
    refused: AtomicU64,
    longest_wait_ns: AtomicU64,
    store_errors: AtomicU64,
    last_store_error: Mutex<Option<String>>,
}

impl Tally {
    fn count(&self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Committed => &self.committed,
            Outcome::Aborted => &self.aborted,
            Outcome::ClientGone => &self.crashed,
            Outcome::PodGone => &self.cut,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    fn waited(&self, ns: u64) {
        self.longest_wait_ns.fetch_max(ns, Ordering::Relaxed);
    }

    fn store_error(&self, error: &StoreError) {
        self.store_errors.fetch_add(1, Ordering::Relaxed);
        *self.last_store_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
    }

    fn stats(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            committed: read(&self.committed),
            aborted: read(&self.aborted),
            crashed: read(&self.crashed),
            cut: read(&self.cut),
            refused: read(&self.refused),
            longest_wait_ms: read(&self.longest_wait_ns) / 1_000_000,
            store_errors: read(&self.store_errors),
            last_store_error: self.last_store_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

/// A bank at work. Dropping it stops its clients.
#[derive(Debug)]
pub struct Bank {
    config: BankConfig,
    tally: Arc<Tally>,
    stop: CancellationToken,
    clients: tokio::sync::Mutex<JoinSet<()>>,
}

impl Bank {
    /// Creates the tables and opens the accounts; nothing moves yet. Once per database.
    ///
    /// # Errors
    /// What the database answered.
    pub async fn found(config: &BankConfig, store: Arc<dyn Store>) -> Result<(), StoreError> {
        let config = config.clone();
        let founding = tokio::task::spawn_blocking(move || {
            create_tables(&*store, config.tables)?;
            let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
            let now_ms = i64::try_from(now_ms).unwrap_or(i64::MAX);
            let tx_id = format!("opening-{}", config.seed);
            schema::open_accounts(
                &*store,
                config.tables,
                config.accounts_per_table,
                config.opening_balance,
                &tx_id,
                now_ms,
            )
        });
        founding
            .await
            .unwrap_or_else(|error| Err(StoreError { code: "Interrupted".to_owned(), message: error.to_string() }))
    }

    /// Lets the clients go to work through these pods. Without pods nobody works.
    pub fn start(config: BankConfig, store: Arc<dyn Store>, pods: Vec<Pod>) -> Self {
        let tally = Arc::new(Tally::default());
        let stop = CancellationToken::new();
        let mut clients = JoinSet::new();
        for place in 0..if pods.is_empty() { 0 } else { config.clients } {
            let client = client::Client {
                config: config.clone(),
                store: Arc::clone(&store),
                pods: pods.clone(),
                rng: ChaCha8Rng::seed_from_u64(config.seed.wrapping_mul(1_000_003).wrapping_add(place as u64)),
                tally: Arc::clone(&tally),
                stop: stop.clone(),
            };
            clients.spawn(client.run());
        }
        Self { config, tally, stop, clients: tokio::sync::Mutex::new(clients) }
    }

    /// What it was started with.
    pub fn config(&self) -> &BankConfig {
        &self.config
    }

    /// What happened so far.
    pub fn stats(&self) -> Stats {
        self.tally.stats()
    }

    /// Lets every client finish its transfer and go home.
    pub async fn stop(&self) {
        self.stop.cancel();
        let mut clients = self.clients.lock().await;
        while clients.join_next().await.is_some() {}
    }
}

impl Drop for Bank {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
