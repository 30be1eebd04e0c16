//! `verify`: the tables of a point, under their own names or under a prefix, are ones that ScalarDB can work with.

use crate::catalog::{Loaded, Phase, PointEvent};
use crate::databases::{self, Database};
use crate::failure::{Exit, Failure};
use crate::restore_point::seal;
use chrono::DateTime;
use futures::future::join_all;
use provider_api::verify::Watch;
use provider_api::{
    Breach, Context, Limits, PointSet, ReadBudget, TableCounts, UnixNanos, Verification, VerifyProgress, VerifyRequest,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// What is verified, and how.
#[derive(Clone, Debug)]
pub struct Verifying<'a> {
    /// The point.
    pub loaded: &'a Loaded,
    /// The databases of the settings.
    pub databases: &'a [Database],
    /// In front of every table's name.
    pub prefix: &'a str,
    /// How fast to read.
    pub budget: ReadBudget,
    /// Parts of each table that are read side by side.
    pub segments: Option<u32>,
}

/// `verify` in the JSON: what was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VerifyReport {
    /// Whether every rule is kept, in every database.
    pub sound: bool,
    /// In front of every table's name.
    pub prefix: String,
    /// RFC 3339: the latest moment at which the point's pods can have written, by their own clocks.
    pub written_by: String,
    /// How long it took, milliseconds.
    pub elapsed_ms: f64,
    /// By database.
    pub databases: Vec<VerifiedDatabase>,
}

/// What was found in one database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VerifiedDatabase {
    /// Name in the settings.
    pub name: String,
    /// What was counted.
    pub tables: Vec<VerifiedTable>,
    /// The first thousand rules that are not kept, one by one.
    pub violations: Vec<Breach>,
    /// All of them, counted by rule.
    pub broken: BTreeMap<provider_api::Rule, u64>,
    /// What a person should know.
    pub remarks: Vec<String>,
    /// Read units paid for.
    pub read_units: f64,
    /// How often the tables were read.
    pub passes: u32,
}

/// What was counted in one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifiedTable {
    /// The counts.
    #[serde(flatten)]
    pub counts: TableCounts,
    /// RFC 3339: the latest `tx_prepared_at`; of the coordinator's: the latest `tx_created_at`.
    pub youngest: Option<String>,
}

/// Verifies every database of the point. What is wrong with the tables is in the report and is one failure, `not_sound`; other
/// failures say why there is no report.
pub async fn verify(
    this: &Verifying<'_>,
    context: &Context,
    watch: &(dyn Fn(&str, VerifyProgress) + Send + Sync),
) -> Result<VerifyReport, Vec<Failure>> {
    let id = this.loaded.id.as_str();
    let ready = || {
        check_state(this.loaded)?;
        Ok((limits(this.loaded)?, seal::recorded(id, this.loaded, this.databases)?))
    };
    let (limits, databases) = ready().map_err(|failure: Failure| vec![failure])?;
    let begun = Instant::now();
    let all = databases.iter().map(|(database, _)| one(this, context, database, limits, watch));
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for result in join_all(all).await {
        match result {
            Ok(database) => found.push(database),
            Err(failure) => failures.push(failure),
        }
    }
    if !failures.is_empty() {
        return Err(failures);
    }
    if let Some(remark) = unseen_writers(this.loaded, limits) {
        found.iter_mut().for_each(|database| database.remarks.push(remark.clone()));
    }
    Ok(VerifyReport {
        sound: found.iter().all(|database| database.broken.is_empty()),
        prefix: this.prefix.to_owned(),
        written_by: time(limits.written_by_ms),
        elapsed_ms: begun.elapsed().as_secs_f64() * 1e3,
        databases: found,
    })
}

async fn one(
    this: &Verifying<'_>,
    context: &Context,
    database: &Database,
    limits: Limits,
    watch: &(dyn Fn(&str, VerifyProgress) + Send + Sync),
) -> Result<VerifiedDatabase, Failure> {
    let Some(verifier) = Arc::clone(&database.provider).verifier() else {
        let message = format!("database `{}` ({}) cannot be verified", database.name, database.provider);
        return Err(Failure::new(Exit::Refused, "no_verify", message, "Read the tables through ScalarDB instead."));
    };
    let (sets, metadata) = (sets(this.loaded, &database.name), metadata(this.loaded, &database.name));
    let request = VerifyRequest {
        sets: &sets,
        metadata: &metadata,
        prefix: this.prefix,
        limits,
        budget: this.budget,
        segments: this.segments,
    };
    let watch: Box<Watch<'_>> = Box::new(|progress| watch(&database.name, progress));
    let found = verifier.verify(context, &request, &*watch).await;
    let found = found.map_err(|error| databases::failure(&database.name, &error))?;
    Ok(reported(&database.name, found))
}

pub(crate) fn reported(name: &str, found: Verification) -> VerifiedDatabase {
    let Verification { tables, breaches, broken, remarks, read_units, passes } = found;
    let table = |counts: TableCounts| VerifiedTable { youngest: counts.youngest_ms.map(time), counts };
    let tables = tables.into_iter().map(table).collect();
    VerifiedDatabase { name: name.to_owned(), tables, violations: breaches, broken, remarks, read_units, passes }
}

/// The failure of a set that is not sound.
pub fn not_sound(id: &str, report: &VerifyReport) -> Option<Failure> {
    if report.sound {
        return None;
    }
    let mut broken: BTreeMap<_, u64> = BTreeMap::new();
    for (rule, count) in report.databases.iter().flat_map(|database| &database.broken) {
        *broken.entry(rule).or_default() += count;
    }
    let rules: Vec<String> = broken.iter().map(|(rule, count)| format!("{rule} {count}x")).collect();
    let message = format!("the tables are not a sound set of {id}: {}", rules.join(", "));
    let hint =
        "docs/runbook.md has a row for each rule. Do not let ScalarDB work on these tables before it is understood.";
    Some(Failure::new(Exit::Void, "not_sound", message, hint))
}

/// Only what can be restored, or was, can be verified.
fn check_state(loaded: &Loaded) -> Result<(), Failure> {
    let id = loaded.id.as_str();
    match loaded.phase {
        Phase::Recorded | Phase::Captured => {
            let message = format!("{id} is not sealed yet: it cannot have been restored");
            Err(Failure::new(Exit::NotYet, "not_sealed", message, format!("First `stillpoint seal {id}`.")))
        }
        Phase::Lost => Err(seal::lost(id, loaded)),
        phase if !phase.has_restore_time() => Err(seal::no_restore_time(id, phase)),
        _ => Ok(()),
    }
}

/// By what moment on the pods' clocks everything was written, and all that is undecided.
pub(crate) fn limits(loaded: &Loaded) -> Result<Limits, Failure> {
    let (mut bound, mut still, mut drained) = (None, None, None);
    for event in loaded.events() {
        match event {
            PointEvent::Opened { settings, .. } => bound = i64::try_from(settings.pod_clock_bound_ms).ok(),
            PointEvent::Recorded { still_period, pause_completed, .. } => {
                (still, drained) = (millis(&still_period.start), millis(pause_completed));
            }
            _ => {}
        }
    }
    match (bound, still, drained) {
        (Some(bound), Some(still), Some(drained)) => Ok(Limits {
            still_from_ms: still,
            written_by_ms: still.saturating_add(bound),
            drained_by_ms: drained.saturating_add(bound).min(still.saturating_add(bound)),
        }),
        _ => {
            let message = format!("the still period of {} cannot be read from its record", loaded.id);
            let hint = "Look at it with `stillpoint show`; a point without times cannot be verified.";
            Err(Failure::new(Exit::Refused, "no_still_period", message, hint))
        }
    }
}

/// A remark where the age of a record cannot tell a writer outside the targets from the pods: nothing that is restored can be
/// younger than the pods' own last writes may be, by their clocks.
pub(crate) fn unseen_writers(loaded: &Loaded, limits: Limits) -> Option<String> {
    let restore_time = loaded.events().find_map(|event| match event {
        PointEvent::Recorded { restore_time, .. } => Some(restore_time.0.saturating_mul(1_000)),
        _ => None,
    })?;
    is_blind(restore_time, limits.written_by_ms).then(|| {
        format!(
            "the last moment of the restore time is not later than {}, until when pods whose clocks are wrong by \
             `pod_clock_bound` may say to have written: that nobody outside the targets wrote before the restore time does not \
             show by the times of records; a shorter `pod_clock_bound` or a longer `hold` makes it show",
            time(limits.written_by_ms)
        )
    })
}

/// The second of the restore time is all in what is restored.
fn is_blind(restore_time_ms: i64, written_by_ms: i64) -> bool {
    restore_time_ms.saturating_add(1_000) <= written_by_ms
}

/// Rounded up: a moment within the last millisecond is not late.
fn millis(text: &str) -> Option<i64> {
    let nanos = DateTime::parse_from_rfc3339(text).ok()?.timestamp_nanos_opt()?;
    Some(nanos.div_euclid(1_000_000) + i64::from(nanos.rem_euclid(1_000_000) > 0))
}

fn time(ms: i64) -> String {
    crate::catalog::rfc3339(UnixNanos(ms.saturating_mul(1_000_000)))
}

/// The tables of a database as the point recorded them.
pub(crate) fn sets(loaded: &Loaded, name: &str) -> Vec<PointSet> {
    let of = |event: &PointEvent| match event {
        PointEvent::Opened { databases, .. } => databases.iter().find(|database| database.name == name).cloned(),
        _ => None,
    };
    let opened = loaded.events().find_map(of).map(|database| database.data_sets).unwrap_or_default();
    opened.into_iter().map(|set| PointSet { name: set.name, role: set.role, id: set.id }).collect()
}

/// ScalarDB's metadata of a database as the point recorded it.
pub(crate) fn metadata(loaded: &Loaded, name: &str) -> BTreeMap<String, Value> {
    let of = |event: &PointEvent| match event {
        PointEvent::Captured { database, metadata, .. } if database == name => metadata.clone(),
        _ => BTreeMap::new(),
    };
    loaded.events().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writers_outside_the_targets_show_only_where_something_can_be_younger_than_the_pods_last_writes() {
        assert!(is_blind(10_000, 11_000) && is_blind(10_000, 15_000));
        assert!(!is_blind(10_000, 10_999));
    }
}
