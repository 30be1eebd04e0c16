//! What a test can make go wrong.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use super::{DynamoDb, error::ServiceError, names};

/// A disturbance of the calls that fit both patterns, `*` standing for any text.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Operation, such as `Restore*`.
    pub operation: String,
    /// Table (source table for a restore; empty for calls about no table).
    pub table: String,
    /// How many calls it disturbs; `None` means all.
    pub times: Option<u32>,
    /// What happens.
    pub effect: Effect,
}

/// What a [`Fault`] does to a call.
#[derive(Debug, Clone)]
pub enum Effect {
    /// The call does nothing and gets this answer.
    Error(ServiceError),
    /// The connection ends before the call does anything. Over the wire only.
    DropRequest,
    /// The call does its work, and the connection ends before the answer. Over the wire only.
    DropAnswer,
    /// The call waits before it does anything. Over the wire only.
    Delay(Duration),
    /// The call waits, before it does anything, until the fault is removed. Over the wire only.
    Hold,
}

/// Names an injected fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FaultId(u64);

#[derive(Debug, Default)]
pub(crate) struct Faults {
    next: u64,
    active: BTreeMap<FaultId, Fault>,
    pub(crate) unreachable: bool,
    pub(crate) credentials: BTreeMap<String, ServiceError>,
    pub(crate) missing_streams: Vec<String>,
}

impl Faults {
    /// The first effect of the wanted kind for this call; it counts as used.
    fn take<T>(&mut self, operation: &str, table: &str, wanted: impl Fn(&Effect) -> Option<T>) -> Option<T> {
        let fits = |fault: &Fault| names::matches(&fault.operation, operation) && names::matches(&fault.table, table);
        let found =
            self.active.iter().find_map(|(id, fault)| Some((*id, wanted(&fault.effect).filter(|_| fits(fault))?)));
        let (id, effect) = found?;
        if let Some(fault) = self.active.get_mut(&id)
            && let Some(times) = &mut fault.times
        {
            *times = times.saturating_sub(1);
            if *times == 0 {
                self.active.remove(&id);
            }
        }
        Some(effect)
    }

    pub(crate) fn error(&mut self, operation: &str, table: &str) -> Option<ServiceError> {
        self.take(operation, table, |effect| match effect {
            Effect::Error(error) => Some(error.clone()),
            _ => None,
        })
    }

    pub(crate) fn delay(&mut self, operation: &str, table: &str) -> Option<Duration> {
        self.take(operation, table, |effect| match effect {
            Effect::Delay(delay) => Some(*delay),
            _ => None,
        })
    }

    pub(crate) fn holds(&mut self, operation: &str, table: &str) -> bool {
        self.take(operation, table, |effect| matches!(effect, Effect::Hold).then_some(())).is_some()
    }

    pub(crate) fn drops_request(&mut self, operation: &str, table: &str) -> bool {
        self.take(operation, table, |effect| matches!(effect, Effect::DropRequest).then_some(())).is_some()
    }

    pub(crate) fn drops_answer(&mut self, operation: &str, table: &str) -> bool {
        self.take(operation, table, |effect| matches!(effect, Effect::DropAnswer).then_some(())).is_some()
    }
}

/// Fault injection. Everything takes effect with the next call.
impl DynamoDb {
    /// Adds a fault. Faults of one kind are tried in the order they were added.
    pub fn inject(&self, fault: Fault) -> FaultId {
        let faults = &mut self.state().faults;
        let id = FaultId(faults.next);
        if fault.times != Some(0) {
            faults.next += 1;
            faults.active.insert(id, fault);
        }
        id
    }

    /// Answers `AccessDeniedException` to the calls that fit, until the fault is removed.
    pub fn deny(&self, operation: &str, table: &str) -> FaultId {
        let message = format!("User is not authorized to perform: dynamodb:{operation} on table {table}");
        self.inject(Fault {
            operation: operation.into(),
            table: table.into(),
            times: None,
            effect: Effect::Error(ServiceError::new("AccessDeniedException", message)),
        })
    }

    /// Ends a fault; nothing if it is over already.
    pub fn remove(&self, fault: FaultId) {
        self.state().faults.active.remove(&fault);
    }

    /// Drops every connection, or stops doing so.
    pub fn unreachable(&self, yes: bool) {
        self.state().faults.unreachable = yes;
    }

    /// From now on, requests signed with this access key id get `code`, such as `ExpiredTokenException` or
    /// `UnrecognizedClientException`; over the wire only. `None` makes the key good again.
    pub fn reject_credentials(&self, access_key: &str, code: Option<&str>) {
        let credentials = &mut self.state().faults.credentials;
        match code {
            None => drop(credentials.remove(access_key)),
            Some(code) => {
                let message = match code {
                    "ExpiredTokenException" => "The security token included in the request is expired",
                    _ => "The security token included in the request is invalid.",
                };
                credentials.insert(access_key.to_owned(), ServiceError::new(code, message));
            }
        }
    }

    /// A Kinesis stream that does not exist: enabling it ends in `ENABLE_FAILED`. Every other stream of the region
    /// exists.
    pub fn missing_stream(&self, arn: &str) {
        self.state().faults.missing_streams.push(arn.to_owned());
    }

    /// A table that is being created or restored fails: it vanishes, as when its key is disabled.
    pub fn fail_creation(&self, table: &str) {
        let now = self.service_unix_ns();
        let mut state = self.state();
        if state.tables.get(table).is_some_and(|table| now < table.active_at) {
            state.tables.remove(table);
            self.shared.plane.drop_table(table);
        }
    }

    /// Sets a table to a state it would not get into by itself, such as `INACCESSIBLE_ENCRYPTION_CREDENTIALS`;
    /// `None` ends it.
    pub fn force_status(&self, table: &str, status: Option<&str>) {
        if let Some(table) = self.state().tables.get_mut(table) {
            table.forced_status = status.map(str::to_owned);
        }
    }

    /// Makes a table a global table with replicas in these regions, as far as DescribeTable shows.
    pub fn set_replicas(&self, table: &str, regions: &[&str]) {
        if let Some(table) = self.state().tables.get_mut(table) {
            let replica = |region: &&str| json!({ "RegionName": region, "ReplicaStatus": "ACTIVE" });
            table.replicas = regions.iter().map(replica).collect::<Vec<Value>>();
        }
    }
}
