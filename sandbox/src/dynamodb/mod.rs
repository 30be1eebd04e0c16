//! DynamoDB, Application Auto Scaling and the alarms of CloudWatch, in process and over the wire.
//!
//! The items live in an embedded engine; everything about tables, recovery, backups and settings is here, with the
//! lags, states, limits and error names of the real services. What is left out is listed in the crate's README.

mod alarms;
mod api;
mod backups;
mod capacity;
mod cbor;
mod config;
mod data;
mod describe;
mod error;
mod faults;
mod guard;
mod history;
mod iam;
mod limits;
mod names;
mod pitr;
mod plane;
mod policy;
mod restore;
mod scaling;
mod scaling_policies;
mod settings;
mod state;
mod streaming;
mod table;
mod tables;
mod tags;
mod update;
mod wire;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicUsize};

use serde_json::Value;

use self::{api::Api, plane::Plane, state::State};
pub use self::{
    config::{Config, Lags},
    error::ServiceError,
    faults::{Effect, Fault, FaultId},
    guard::Violation,
    history::{Boundary, Edge, Unit},
    state::{CallRecord, WriteRecord},
    wire::Unreachable,
};
pub use crate::clock::{Clock, Hand};

/// One account in one region. Cheap to clone; clones are the same account.
#[derive(Clone)]
pub struct DynamoDb {
    shared: Arc<Shared>,
    date_offset_ns: i64,
}

struct Shared {
    config: Config,
    clock: Clock,
    plane: Plane,
    state: Mutex<State>,
    /// Control-plane writes being answered at this moment, over the wire.
    in_flight: AtomicUsize,
}

impl DynamoDb {
    /// An account without tables.
    #[must_use]
    pub fn new(config: Config, clock: Clock) -> Self {
        let state = Mutex::new(State::new(config.seed));
        let shared = Shared { config, clock, plane: Plane::open(), state, in_flight: AtomicUsize::new(0) };
        Self { shared: Arc::new(shared), date_offset_ns: 0 }
    }

    /// One API call, on the same path as over the wire: same answers, errors, limits and injected errors.
    ///
    /// `target` is what the `X-Amz-Target` header would say, such as `DynamoDB_20120810.PutItem`. A repeat is a new
    /// call.
    ///
    /// # Errors
    /// What the service answers.
    pub fn call(&self, target: &str, body: Value) -> Result<Value, ServiceError> {
        let mut state = self.state();
        let mono_ns = self.shared.clock.mono_ns();
        let (_, operation) = target.split_once('.').unwrap_or(("", target));
        let table = state::table_in(&body);
        let answer = self.api(&mut state).answer(target, operation, &table, body);
        let error = answer.as_ref().err();
        let record = CallRecord {
            operation: operation.to_owned(),
            table,
            mono_ns,
            throttled: error.is_some_and(ServiceError::is_throttle),
            error: error.map(|error| error.code.clone()),
        };
        guard::check(&mut state, self.service_unix_ns(), &record);
        state.calls.push(record);
        answer
    }

    /// The same account through another front end, whose `Date` headers are `offset_ns` ahead of the service's clock.
    #[must_use]
    pub fn front_end(&self, offset_ns: i64) -> Self {
        Self { shared: Arc::clone(&self.shared), date_offset_ns: offset_ns }
    }

    /// What this account was made with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// The service's clock now, in ns since 1970: the host's clock plus [`Config::service_offset_ns`].
    #[must_use]
    pub fn service_unix_ns(&self) -> i64 {
        self.shared.clock.unix_ns().saturating_add(self.shared.config.service_offset_ns)
    }

    /// Every committed write so far, oldest first.
    #[must_use]
    pub fn writes(&self) -> Vec<WriteRecord> {
        self.state().writes.clone()
    }

    /// Every API call so far, oldest first.
    #[must_use]
    pub fn calls(&self) -> Vec<CallRecord> {
        self.state().calls.clone()
    }

    /// How far the history clock of a table is ahead of the service's clock, in ns; `None` without such a table.
    #[must_use]
    pub fn table_skew_ns(&self, table: &str) -> Option<i64> {
        self.state().tables.get(table).map(|table| table.skew_ns)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn api<'a>(&'a self, state: &'a mut State) -> Api<'a> {
        let now = self.service_unix_ns();
        Api { config: &self.shared.config, clock: &self.shared.clock, plane: &self.shared.plane, state, now }
    }
}

impl std::fmt::Debug for DynamoDb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DynamoDb").field("config", &self.shared.config).finish_non_exhaustive()
    }
}
