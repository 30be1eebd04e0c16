//! What the service remembers, and its answers, without locks or clocks: time comes in as a value.

use provider_api::{Confirmed, DataSet, RecordedSet, Restorability, RestoreTime, Role, SetRestorability, UnixNanos};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;

/// One data set. PITR is on exactly if there is a moment since which it is.
#[derive(Clone, Debug)]
pub(crate) struct Set {
    pub(crate) id: String,
    pub(crate) role: Role,
    pub(crate) pitr_since: Option<UnixNanos>,
    pub(crate) period_days: u32,
    pub(crate) metadata: Value,
    pub(crate) settings: BTreeMap<String, Value>,
    pub(crate) denied: BTreeSet<String>,
}

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) sets: BTreeMap<String, Set>,
    pub(crate) created: u64,
    pub(crate) lag: Duration,
    pub(crate) denied: bool,
    pub(crate) stalled: bool,
}

impl State {
    /// Creates a set with a new identity, in place of any of that name.
    pub(crate) fn create(&mut self, name: &str, role: Role, pitr_since: Option<UnixNanos>) {
        self.created += 1;
        let set = Set {
            id: format!("set-{:04}", self.created),
            role,
            pitr_since,
            period_days: 35,
            metadata: json!({ "columns": {}, "partition_key": [] }),
            settings: BTreeMap::from([("tags".to_owned(), json!({ "name": name }))]),
            denied: BTreeSet::new(),
        };
        self.sets.insert(name.to_owned(), set);
    }

    /// Earliest and latest restorable moment, if PITR is on. Right after it was turned on both are that moment.
    pub(crate) fn range(&self, set: &Set, now: UnixNanos) -> Option<(UnixNanos, UnixNanos)> {
        let since = set.pitr_since?;
        let lag = i64::try_from(self.lag.as_nanos()).unwrap_or(i64::MAX);
        let earliest = since.0.max(now.0 - i64::from(set.period_days) * DAY);
        Some((UnixNanos(earliest), UnixNanos(earliest.max(now.0 - lag))))
    }

    /// The sets asked for that are missing, and those whose PITR is off.
    pub(crate) fn unfit(&self, asked: &[DataSet]) -> (Vec<String>, Vec<String>) {
        let missing = asked.iter().filter(|set| !self.sets.contains_key(&set.name));
        let off = asked.iter().filter(|set| self.sets.get(&set.name).is_some_and(|set| set.pitr_since.is_none()));
        (missing.map(|set| set.name.clone()).collect(), off.map(|set| set.name.clone()).collect())
    }

    /// The answer of `confirm` for one set that exists.
    pub(crate) fn confirmed(&self, name: &str, set: &Set, now: UnixNanos) -> Confirmed {
        let range = self.range(set, now);
        Confirmed {
            name: name.to_owned(),
            id: set.id.clone(),
            restorable_from: range.map(|range| range.0),
            restorable_to: range.map(|range| range.1),
            period_days: Some(set.period_days),
            warnings: Vec::new(),
        }
    }

    /// The answer of `restorable` for one recorded set.
    pub(crate) fn restorable(&self, at: RestoreTime, recorded: &RecordedSet, now: UnixNanos) -> SetRestorability {
        let set = self.sets.get(&recorded.name);
        let range = set.and_then(|set| self.range(set, now));
        SetRestorability {
            name: recorded.name.clone(),
            restorability: self.judge(at, recorded, set, range),
            restorable_from: range.map(|range| range.0),
            restorable_to: range.map(|range| range.1),
        }
    }

    fn judge(
        &self,
        at: RestoreTime,
        recorded: &RecordedSet,
        set: Option<&Set>,
        range: Option<(UnixNanos, UnixNanos)>,
    ) -> Restorability {
        let lost = |reason: String| Restorability::Lost { reason };
        let Some(set) = set else { return lost("the data set no longer exists".to_owned()) };
        if set.id != recorded.id {
            return lost(format!("the data set was re-created: it is {} now, {} was recorded", set.id, recorded.id));
        }
        let Some((from, to)) = range else { return lost("PITR is off".to_owned()) };
        let at_ns = at.0.saturating_mul(SECOND);
        if at_ns < from.0 {
            return lost(format!("history reaches back to {} s only", from.0.div_euclid(SECOND)));
        }
        if at_ns > to.0 {
            let lag = i64::try_from(self.lag.as_nanos()).unwrap_or(i64::MAX);
            return Restorability::NotYet { expected_at: UnixNanos(at_ns.saturating_add(lag)) };
        }
        Restorability::Ok
    }
}
