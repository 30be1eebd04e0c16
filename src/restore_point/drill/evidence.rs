//! What a drill has shown, from the point's log alone: for scripts, and as a page for people.

use super::work::{found_in, is_verification};
use super::{DrillPlan, database_names, recorded_names};
use crate::catalog::{Loaded, PointEvent, RunKind};
use crate::failure::{Exit, Failure};
use crate::point::Point;
use crate::restore_point::verify::{self, VerifiedDatabase, VerifyReport};
use crate::wall;
use crate::workflow::Run;
use chrono::{DateTime, Utc};
use provider_api::{Record, UnixNanos};
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// `drill` in the JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DrillReport {
    /// The run's id in the point's log.
    pub run: String,
    /// In front of every copy's name.
    pub prefix: String,
    /// `backups` or `point_in_time`.
    pub source: String,
    /// RFC 3339: it began.
    pub started: String,
    /// RFC 3339: nothing more was to be done.
    pub ended: String,
    /// From the beginning until the last copy was whole, milliseconds: how long a restore of all tables takes.
    pub restore_ms: f64,
    /// From there to the verdict, milliseconds.
    pub verify_ms: f64,
    /// Whether the copies were left.
    pub kept: bool,
    /// Every copy.
    pub tables: Vec<DrilledTable>,
    /// What verification found.
    pub verify: Option<VerifyReport>,
}

/// One copy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DrilledTable {
    /// The database's name in the settings.
    pub database: String,
    /// The table's own name.
    pub name: String,
    /// The copy's.
    pub copy: String,
    /// The copy's identity.
    pub id: String,
    /// The backup that it was restored from; null: by point-in-time recovery.
    pub backup: Option<String>,
    /// From the request to a whole copy, milliseconds.
    pub restore_ms: Option<f64>,
    /// Whether it was removed.
    pub removed: bool,
}

/// Events of one run with the time at which each was written.
struct Written<'a> {
    run: &'a Run,
    events: Vec<(DateTime<Utc>, &'a PointEvent)>,
}

/// The evidence of the last drill of a point, which has ended.
pub(super) fn of(loaded: &Loaded) -> Result<DrillReport, Failure> {
    let missing = || {
        let message = format!("the log of {} holds no drill that came to its end", loaded.id);
        Failure::new(Exit::Void, "no_drill_record", message, "Run `stillpoint drill` again.")
    };
    let run = Run::of_kind(loaded.events(), RunKind::Drill).ok_or_else(missing)?;
    let plan: DrillPlan = serde_json::from_value(run.plan.clone()).map_err(|_| missing())?;
    let all = loaded.batches.iter().flat_map(|batch| batch.events.iter().map(move |event| (batch.at, event)));
    let written = Written { run: &run, events: all.filter(|(_, event)| is_of(event, &run.id)).collect() };
    let started = written.first().ok_or_else(missing)?;
    let ended = written.last().ok_or_else(missing)?;
    let tables: Vec<DrilledTable> = database_names(loaded)
        .iter()
        .flat_map(|database| {
            recorded_names(loaded, database)
                .into_iter()
                .map(|name| written.table(database, &name, &plan))
                .collect::<Vec<_>>()
        })
        .collect();
    let verified = written.verified(loaded, &plan);
    let restored = written.restored().unwrap_or(started);
    let between = |from: DateTime<Utc>, to: DateTime<Utc>| (to - from).num_microseconds().unwrap_or(0) as f64 / 1e3;
    Ok(DrillReport {
        run: run.id.clone(),
        prefix: plan.prefix.clone(),
        source: if plan.backups.is_empty() { "point_in_time" } else { "backups" }.to_owned(),
        started: wall::rfc3339(started),
        ended: wall::rfc3339(ended),
        restore_ms: between(started, restored),
        verify_ms: verified.as_ref().map_or(0.0, |found| found.elapsed_ms),
        kept: plan.keep,
        tables,
        verify: verified,
    })
}

fn is_of(event: &PointEvent, id: &str) -> bool {
    match event {
        PointEvent::RunStarted { run, .. }
        | PointEvent::RunDone { run, .. }
        | PointEvent::UnitIntent { run, .. }
        | PointEvent::UnitRecord { run, .. } => run == id,
        _ => false,
    }
}

impl Written<'_> {
    fn first(&self) -> Option<DateTime<Utc>> {
        self.events.first().map(|(at, _)| *at)
    }

    fn last(&self) -> Option<DateTime<Utc>> {
        self.events.last().map(|(at, _)| *at)
    }

    /// When the last copy was whole.
    fn restored(&self) -> Option<DateTime<Utc>> {
        self.records().filter(|(_, _, _, record)| record.what["fact"] == "restored").map(|(at, ..)| at).max()
    }

    fn records(&self) -> impl Iterator<Item = (DateTime<Utc>, &str, &str, &Record)> {
        self.events.iter().filter_map(|(at, event)| match event {
            PointEvent::UnitRecord { database, unit, record, .. } => {
                Some((*at, database.as_str(), unit.as_str(), record))
            }
            _ => None,
        })
    }

    fn table(&self, database: &str, name: &str, plan: &DrillPlan) -> DrilledTable {
        let of = |fact: &str| {
            let found =
                self.records().filter(|(_, d, u, record)| *d == database && *u == name && record.what["fact"] == fact);
            found.map(|(at, _, _, record)| (at, record)).last()
        };
        let (restoring, restored, dropped) = (of("restoring"), of("restored"), of("dropped"));
        let asked = self.events.iter().rev().find_map(|(at, event)| match event {
            PointEvent::UnitIntent { database: d, unit, intent, .. }
                if d == database && unit == name && intent.what["do"] == "restore" =>
            {
                Some(*at)
            }
            _ => None,
        });
        let text = |field: &str| {
            let found = restoring.as_ref().and_then(|(_, record)| record.what[field].as_str());
            found.unwrap_or_default().to_owned()
        };
        let length = asked.zip(restored.as_ref()).map(|(from, (to, _))| (*to - from).num_milliseconds() as f64);
        DrilledTable {
            database: database.to_owned(),
            name: name.to_owned(),
            copy: text("target"),
            id: text("table_id"),
            backup: plan.backups.get(database).and_then(|all| all.get(name)).cloned(),
            restore_ms: length,
            removed: dropped.is_some(),
        }
    }

    fn verified(&self, loaded: &Loaded, plan: &DrillPlan) -> Option<VerifyReport> {
        let units = self.run.units.iter().filter(|(key, _)| is_verification(&key.unit));
        let mut found: Vec<(f64, VerifiedDatabase)> =
            units.filter_map(|(_, unit)| unit.state.records.last().and_then(found_in)).collect();
        let limits = verify::limits(loaded).ok()?;
        if let Some(remark) = verify::unseen_writers(loaded, limits) {
            found.iter_mut().for_each(|(_, database)| database.remarks.push(remark.clone()));
        }
        (!found.is_empty()).then(|| VerifyReport {
            sound: found.iter().all(|(_, database)| database.broken.is_empty()),
            prefix: plan.prefix.clone(),
            written_by: crate::catalog::rfc3339(UnixNanos(limits.written_by_ms.saturating_mul(1_000_000))),
            elapsed_ms: found.iter().map(|(elapsed, _)| *elapsed).fold(0.0, f64::max),
            databases: found.into_iter().map(|(_, database)| database).collect(),
        })
    }
}

/// The page that a person reads, and files: Markdown.
pub fn page(point: &Point, drill: &DrillReport) -> String {
    let mut page = String::new();
    let sound = drill.verify.as_ref().is_some_and(|found| found.sound);
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    // Writing to a string cannot fail.
    let _ = writeln!(page, "# Drill of restore point {}\n", text(&point.id));
    let _ = writeln!(page, "| | |\n|---|---|");
    let source = if drill.source == "backups" { "on-demand backups" } else { "point-in-time recovery" };
    let removed = drill.tables.iter().filter(|table| table.removed).count();
    let left =
        if drill.kept { "kept, as asked".to_owned() } else { format!("{removed} of {} removed", drill.tables.len()) };
    for (what, value) in [
        ("Verdict", if sound { "**sound**: every rule is kept" } else { "**NOT SOUND**" }.to_owned()),
        ("Restore time (T)", text(&point.restore_time)),
        ("Restored from", source.to_owned()),
        ("Drill", format!("{} to {}", drill.started, drill.ended)),
        ("All tables restored in", seconds(drill.restore_ms)),
        ("Verified in", seconds(drill.verify_ms)),
        ("Copies under", format!("`{}`, {left}", drill.prefix)),
        ("Run", format!("`{}`", drill.run)),
    ] {
        let _ = writeln!(page, "| {what} | {value} |");
    }
    let _ = writeln!(
        page,
        "\n## Tables\n\n| table | restored in | copy (TableId) | records | waiting | youngest prepare |\n|---|---|---|---|---|---|"
    );
    for table in &drill.tables {
        let found = drill.verify.iter().flat_map(|found| &found.databases).filter(|found| found.name == table.database);
        let counts = found.flat_map(|found| &found.tables).find(|found| found.counts.name == table.name);
        let records = counts.map_or_else(|| "-".to_owned(), |found| found.counts.records.to_string());
        let waiting =
            counts.map_or_else(|| "-".to_owned(), |found| (found.counts.prepared + found.counts.deleted).to_string());
        let youngest = counts.and_then(|found| found.youngest.clone());
        let length = table.restore_ms.map_or_else(|| "-".to_owned(), seconds);
        let _ = writeln!(
            page,
            "| {} | {length} | {} ({}) | {records} | {waiting} | {} |",
            table.name,
            table.copy,
            table.id,
            text(&youngest)
        );
    }
    let violations: Vec<_> =
        drill.verify.iter().flat_map(|found| &found.databases).flat_map(|found| &found.violations).collect();
    if !violations.is_empty() {
        let _ = writeln!(
            page,
            "\n## Violations\n\n| rule | table | key | transaction | what was seen |\n|---|---|---|---|---|"
        );
        for breach in violations {
            let (key, tx) = (text(&breach.key), text(&breach.tx_id));
            let _ = writeln!(page, "| {} | {} | `{key}` | {tx} | {} |", breach.rule, breach.table, breach.detail);
        }
    }
    for remark in drill.verify.iter().flat_map(|found| &found.databases).flat_map(|found| &found.remarks) {
        let _ = writeln!(page, "\nNote: {remark}.");
    }
    page
}

fn seconds(ms: f64) -> String {
    format!("{:.1} s", ms / 1e3)
}
