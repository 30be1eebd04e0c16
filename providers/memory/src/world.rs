//! The handle that changes the service behind a [`crate::MemoryProvider`].

use crate::state::State;
use provider_api::conformance::World;
use provider_api::{ClockInterval, Mono, Role, UnixNanos};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// An in-memory service. Its clock is the machine's monotonic clock plus an offset that tests may set and step.
#[derive(Debug)]
pub struct MemoryWorld {
    state: Mutex<State>,
    offset_ns: Mutex<i64>,
    /// Wakes calls that wait out a stall, to look again.
    changed: Notify,
}

impl Default for MemoryWorld {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryWorld {
    /// An empty service in the year 2026, with a lag of 300 s.
    pub fn new() -> Self {
        let state =
            State { sets: BTreeMap::new(), created: 0, lag: Duration::from_secs(300), denied: false, stalled: false };
        let start = 1_790_000_000_i64 * 1_000_000_000;
        Self { state: Mutex::new(state), offset_ns: Mutex::new(start), changed: Notify::new() }
    }

    /// ScalarDB's metadata and coordinator tables and `users` user tables, PITR on for an hour everywhere.
    pub fn with_scalardb(users: usize) -> Self {
        let world = Self::new();
        world.create("scalardb.metadata", Role::Metadata);
        world.create("coordinator.state", Role::Coordinator);
        for number in 0..users {
            world.create(&format!("bank.account{number:03}"), Role::User);
        }
        world.step(Duration::from_secs(3600));
        world
    }

    /// Creates a data set with PITR on from now, in place of any of that name.
    pub fn create(&self, name: &str, role: Role) {
        let now = self.clock();
        self.state().create(name, role, Some(now));
    }

    /// Deletes a data set; deleting a missing one does nothing.
    pub fn drop_set(&self, name: &str) {
        self.state().sets.remove(name);
    }

    /// Turns PITR on from now or off.
    pub fn set_pitr(&self, name: &str, on: bool) {
        let now = self.clock();
        if let Some(set) = self.state().sets.get_mut(name) {
            set.pitr_since = on.then(|| set.pitr_since.unwrap_or(now));
        }
    }

    /// Changes ScalarDB's description of a table, as a schema operation would.
    pub fn set_metadata(&self, name: &str, metadata: Value) {
        if let Some(set) = self.state().sets.get_mut(name) {
            set.metadata = metadata;
        }
    }

    /// Sets a setting that a capsule must hold.
    pub fn set_setting(&self, name: &str, setting: &str, value: Value) {
        if let Some(set) = self.state().sets.get_mut(name) {
            set.settings.insert(setting.to_owned(), value);
        }
    }

    /// How far behind now the latest restorable moment is.
    pub fn set_lag(&self, lag: Duration) {
        self.state().lag = lag;
    }

    /// Steps the service's clock forwards.
    pub fn step(&self, by: Duration) {
        *self.offset() += i64::try_from(by.as_nanos()).unwrap_or(i64::MAX);
    }

    /// Sets the service's clock: its Unix nanoseconds minus [`Mono`].
    pub fn set_offset_ns(&self, offset: i64) {
        *self.offset() = offset;
    }

    /// The service's clock now.
    pub fn clock(&self) -> UnixNanos {
        let mono = i64::try_from(Mono::now().0).unwrap_or(i64::MAX);
        UnixNanos(mono.saturating_add(*self.offset()))
    }

    /// Makes every call wait until it is called again with `false`, or the caller cancels.
    pub fn set_stalled(&self, stalled: bool) {
        self.state().stalled = stalled;
        self.changed.notify_waiters();
    }

    /// Returns when the service answers.
    pub(crate) async fn answers(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before the look, so that no change is missed between the two.
            changed.as_mut().enable();
            if !self.state().stalled {
                return;
            }
            changed.await;
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn offset(&self) -> MutexGuard<'_, i64> {
        self.offset_ns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait::async_trait]
impl World for MemoryWorld {
    async fn now(&self) -> UnixNanos {
        self.clock()
    }

    async fn pass(&self, by: Duration) {
        self.step(by);
    }

    fn lag(&self) -> Duration {
        self.state().lag
    }

    async fn true_offset(&self) -> ClockInterval {
        let offset = *self.offset();
        ClockInterval { lo_ns: offset, hi_ns: offset }
    }

    async fn pitr_off(&self, set: &str) {
        self.set_pitr(set, false);
    }

    async fn pitr_on(&self, set: &str) {
        self.set_pitr(set, true);
    }

    async fn delete(&self, set: &str) {
        self.drop_set(set);
    }

    async fn re_create(&self, set: &str) {
        let role = self.state().sets.get(set).map_or(Role::User, |set| set.role);
        self.create(set, role);
    }

    async fn deny_a_setting(&self, set: &str) -> String {
        if let Some(set) = self.state().sets.get_mut(set) {
            set.denied.insert("tags".to_owned());
        }
        "tags".to_owned()
    }

    async fn deny_everything(&self) {
        self.state().denied = true;
    }

    async fn stall(&self) {
        self.set_stalled(true);
    }

    async fn fingerprint(&self) -> String {
        format!("{:?}", self.state())
    }
}
