//! The bank's clients: each asks a pod for a transaction, moves money between two tables, and backs off at a closed gate
//! as ScalarDB's own client does.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tokio_util::sync::CancellationToken;

use super::commit::{self, Account, Record, Trouble};
use super::schema::{ABORTED, COMMITTED};
use super::store::Store;
use super::{BankConfig, Tally};
use crate::pods::{Outcome, Pod, Refused, Transaction, mono_ns};

/// ScalarDB's gRPC client tries 10 times: after 0.1 s, 0.2 s ... 51.2 s.
const FIRST_BACK_OFF: Duration = Duration::from_millis(100);
const TRIES: u32 = 10;

/// One client.
pub(super) struct Client {
    pub(super) config: BankConfig,
    pub(super) store: Arc<dyn Store>,
    pub(super) pods: Vec<Pod>,
    pub(super) rng: ChaCha8Rng,
    pub(super) tally: Arc<Tally>,
    pub(super) stop: CancellationToken,
}

/// Where a client dies, if it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Crash {
    Never,
    BeforeDecision,
    BeforeApplying,
}

fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

impl Client {
    pub(super) async fn run(mut self) {
        while !self.stop.is_cancelled() {
            let pace = self.config.clients as f64 / self.config.transfers_per_second;
            let pause = Duration::from_secs_f64(pace * self.rng.random_range(0.5..1.5));
            let started = tokio::time::Instant::now();
            if let Some(transaction) = self.begin().await {
                let outcome = self.transfer(&transaction).await;
                self.tally.count(outcome);
                transaction.end(outcome);
            }
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = tokio::time::sleep_until(started + pause) => {}
            }
        }
    }

    /// Asks pods for a transaction until one lets it in, the tries are used up, or the bank closes.
    async fn begin(&mut self) -> Option<Transaction> {
        let mut refused_since = None;
        let mut back_off = FIRST_BACK_OFF;
        for _ in 0..=TRIES {
            let place = self.rng.random_range(0..self.pods.len());
            // A blocking server may hold the call for as long as its gate is closed.
            let began = tokio::select! {
                () = self.stop.cancelled() => return None,
                began = self.pods.get(place)?.begin() => began,
            };
            match began {
                Ok(transaction) => {
                    if let Some(since) = refused_since {
                        self.tally.waited(mono_ns().saturating_sub(since));
                    }
                    return Some(transaction);
                }
                Err(Refused::Paused | Refused::Down) => {
                    self.tally.refused();
                    refused_since.get_or_insert_with(mono_ns);
                    tokio::select! {
                        () = self.stop.cancelled() => return None,
                        () = tokio::time::sleep(back_off) => back_off *= 2,
                    }
                }
            }
        }
        None
    }

    async fn transfer(&mut self, transaction: &Transaction) -> Outcome {
        let tx_id = uuid::Builder::from_random_bytes(self.rng.random()).into_uuid().to_string();
        let (from, to) = self.pick();
        let amount = self.rng.random_range(1..=50);
        let crash = match self.rng.random_bool(self.config.crash_chance) {
            false => Crash::Never,
            true if self.rng.random_bool(0.5) => Crash::BeforeDecision,
            true => Crash::BeforeApplying,
        };
        let mut prepared = Vec::new();
        match self.attempt(transaction, &tx_id, (from, to, amount), crash, &mut prepared).await {
            Ok(outcome) => outcome,
            Err(Trouble::PodGone) => Outcome::PodGone,
            Err(trouble) => {
                if let Trouble::Store(error) = trouble {
                    self.tally.store_error(&error);
                }
                self.abort(transaction, &tx_id, &prepared).await;
                Outcome::Aborted
            }
        }
    }

    async fn attempt(
        &mut self,
        transaction: &Transaction,
        tx_id: &str,
        (from, to, amount): (Account, Account, i64),
        crash: Crash,
        prepared: &mut Vec<Account>,
    ) -> Result<Outcome, Trouble> {
        let from = self.read(transaction, from).await?;
        let to = self.read(transaction, to).await?;
        if from.balance() < amount {
            return Ok(Outcome::Aborted);
        }
        let (less, more) = (from.balance() - amount, to.balance() + amount);
        for (record, balance) in [(&from, less), (&to, more)] {
            let (id, copy) = (tx_id.to_owned(), record.clone());
            // Noted first: a failed answer may hide a write that happened.
            prepared.push(record.account);
            self.step(transaction, move |store| commit::prepare(store, &copy, &id, balance, wall_ms())).await?;
        }
        if crash == Crash::BeforeDecision {
            return Ok(Outcome::ClientGone);
        }
        let id = tx_id.to_owned();
        self.step(transaction, move |store| commit::decide(store, &id, COMMITTED, wall_ms())).await?;
        if crash == Crash::BeforeApplying {
            return Ok(Outcome::ClientGone);
        }
        for account in [from.account, to.account] {
            let id = tx_id.to_owned();
            match self.step(transaction, move |store| commit::apply(store, account, &id, wall_ms())).await {
                // It is committed by now: what could not be applied, a reader will apply.
                Ok(()) | Err(Trouble::Conflict) => {}
                Err(Trouble::PodGone) => return Err(Trouble::PodGone),
                Err(Trouble::Store(error)) => self.tally.store_error(&error),
            }
        }
        Ok(Outcome::Committed)
    }

    async fn read(&mut self, transaction: &Transaction, account: Account) -> Result<Record, Trouble> {
        self.step(transaction, move |store| commit::read(store, account, wall_ms())).await
    }

    /// Decides ABORTED and rolls back; what cannot be done now is left to lazy recovery.
    async fn abort(&mut self, transaction: &Transaction, tx_id: &str, prepared: &[Account]) {
        if prepared.is_empty() {
            return;
        }
        let id = tx_id.to_owned();
        if self.step(transaction, move |store| commit::decide(store, &id, ABORTED, wall_ms())).await.is_err() {
            return;
        }
        for &account in prepared {
            let id = tx_id.to_owned();
            // A failure leaves the record prepared under an ABORTED row, which any reader rolls back.
            _ = self.step(transaction, move |store| commit::undo(store, account, &id)).await;
        }
    }

    /// One call to the database, away from the executor, after the time that a network would take.
    async fn step<T: Send + 'static>(
        &mut self,
        transaction: &Transaction,
        call: impl FnOnce(&dyn Store) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Trouble> {
        let network = self.config.step_latency.mul_f64(self.rng.random_range(0.5..1.5));
        tokio::time::sleep(network).await;
        if !transaction.is_alive() {
            return Err(Trouble::PodGone);
        }
        let store = Arc::clone(&self.store);
        let done = tokio::task::spawn_blocking(move || call(&*store)).await;
        // A call that did not run to its end: the runtime is going down.
        done.unwrap_or(Err(Trouble::PodGone))
    }

    /// Two accounts in different tables.
    fn pick(&mut self) -> (Account, Account) {
        let tables = self.config.tables.max(2);
        let from = self.rng.random_range(0..tables);
        let to = (from + self.rng.random_range(1..tables)) % tables;
        let accounts = i32::try_from(self.config.accounts_per_table).unwrap_or(i32::MAX);
        let mut account = |table| Account { table, id: self.rng.random_range(0..accounts) };
        (account(from), account(to))
    }
}
