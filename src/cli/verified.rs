//! What verification found, as tables for people.

use super::render::{state, table};
use super::timeline::{View, count};
use crate::point::Point;
use crate::restore_point::verify::{VerifiedDatabase, VerifiedTable, VerifyReport};
use provider_api::{Breach, TableKind};

/// Where a database has more tables or violations than this, the rest is counted.
const MANY: usize = 20;

/// A point in a line, and every database's tables.
pub fn verified(point: &Point, found: Option<&VerifyReport>, view: View) -> String {
    let Some(found) = found else { return String::new() };
    let mut rows: Vec<[String; 2]> = Vec::new();
    let mut row = |what: &str, value: Option<String>| rows.extend(value.map(|value| [what.to_owned(), value]));
    row("Restore point", point.id.clone());
    row("State", point.state.map(|s| state(s).to_owned()));
    row("Restore time", point.restore_time.as_deref().map(|t| view.time(t)));
    row("Tables under", (!found.prefix.is_empty()).then(|| found.prefix.clone()));
    row("Written by", Some(format!("{} at the latest", view.time(&found.written_by))));
    row("Verdict", Some(if found.sound { "sound: every rule is kept" } else { "NOT SOUND" }.to_owned()));
    row("Took", Some(format!("{:.1} s", found.elapsed_ms / 1e3)));
    let head = table(&["", ""], rows);
    let databases = found.databases.iter().map(|database| self::database(database, view));
    std::iter::once(head).chain(databases).collect::<Vec<_>>().join("\n")
}

fn database(database: &VerifiedDatabase, view: View) -> String {
    let passes = if database.passes > 1 { ", read twice to match suspects" } else { "" };
    let mut text = format!("Database {}: {:.0} read units{passes}\n", database.name, database.read_units);
    let collapse = database.tables.len() > MANY && !view.all;
    let ordinary = |t: &&VerifiedTable| t.counts.prepared + t.counts.deleted == 0 && !is_own(t);
    let shown: Vec<_> = database.tables.iter().filter(|t| !collapse || !ordinary(t)).collect();
    if collapse {
        let hidden: Vec<_> = database.tables.iter().filter(ordinary).collect();
        let records: u64 = hidden.iter().map(|t| t.counts.records).sum();
        text.push_str(&format!("{} more with {records} records (--all lists them)\n", count(hidden.len(), "table")));
    }
    let rows = shown.into_iter().map(|t| row(t, view));
    let header =
        ["table", "what", "records", "committed", "prepared", "deleted", "to complete", "to undo", "youngest prepare"];
    text.push_str(&table(&header, rows));
    if !database.violations.is_empty() {
        text.push('\n');
        text.push_str(&violations(database, view));
    }
    for remark in &database.remarks {
        text.push_str(&format!("note: {remark}\n"));
    }
    text
}

fn is_own(table: &VerifiedTable) -> bool {
    matches!(table.counts.kind, TableKind::Coordinator | TableKind::Metadata)
}

fn row(table: &VerifiedTable, view: View) -> [String; 9] {
    let c = &table.counts;
    let judged = matches!(c.kind, TableKind::Transactional | TableKind::Coordinator);
    let number = |n: u64| if judged { n.to_string() } else { String::new() };
    let what = match c.kind {
        TableKind::Transactional => "transactional",
        TableKind::Plain => "counted only",
        TableKind::Coordinator => "coordinator",
        TableKind::Metadata => "metadata",
    };
    [
        c.table.clone(),
        what.to_owned(),
        c.records.to_string(),
        number(c.committed),
        number(c.prepared),
        number(c.deleted),
        number(c.roll_forward),
        number(c.roll_back),
        table.youngest.as_deref().map(|t| view.time(t)).unwrap_or_default(),
    ]
}

fn violations(database: &VerifiedDatabase, view: View) -> String {
    let most = if view.all { usize::MAX } else { MANY };
    let rows = database.violations.iter().take(most).map(|breach| {
        let Breach { rule, table, key, tx_id, detail } = breach.clone();
        [rule.to_string(), table, key.unwrap_or_default(), tx_id.unwrap_or_default(), detail]
    });
    let text = table(&["violation", "table", "key", "transaction", "what was seen"], rows);
    let all: u64 = database.broken.values().sum();
    let left = all.saturating_sub(u64::try_from(database.violations.len().min(most)).unwrap_or(u64::MAX));
    if left == 0 { text } else { format!("{text}{left} more violations; the JSON has the first thousand\n") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use provider_api::{Rule, TableCounts};

    fn made() -> VerifyReport {
        let counted = |name: &str, kind, records| VerifiedTable {
            counts: TableCounts { records, ..TableCounts::new(name, &format!("d-{name}"), kind) },
            youngest: None,
        };
        let mut account = counted("bank.account", TableKind::Transactional, 120);
        (account.counts.committed, account.counts.prepared, account.counts.roll_back) = (119, 1, 1);
        account.youngest = Some("2026-11-23T03:00:01.5Z".into());
        let breach = Breach {
            rule: Rule::TornTransaction,
            table: "d-bank.account".into(),
            key: Some("{\"concatenatedPartitionKey\":{\"B\":\"gAAABw==\"}}".into()),
            tx_id: Some("b5c7".into()),
            detail: "committed here".into(),
        };
        VerifyReport {
            sound: false,
            prefix: "d-".into(),
            written_by: "2026-11-23T03:00:07Z".into(),
            elapsed_ms: 1_234.0,
            databases: vec![VerifiedDatabase {
                name: "bank".into(),
                tables: vec![account, counted("scalardb.metadata", TableKind::Metadata, 3)],
                violations: vec![breach],
                broken: [(Rule::TornTransaction, 1)].into(),
                remarks: vec!["look".into()],
                read_units: 12.0,
                passes: 2,
            }],
        }
    }

    #[test]
    fn tables_violations_and_remarks_are_told() {
        let point = Point { id: Some("nightly".into()), ..Point::default() };
        insta::assert_snapshot!(verified(&point, Some(&made()), View::default()));
    }

    #[test]
    fn of_many_tables_and_violations_the_ordinary_ones_are_counted() {
        let mut many = made();
        let database = &mut many.databases[0];
        let plain = VerifiedTable { counts: TableCounts::new("t", "t", TableKind::Plain), youngest: None };
        database.tables.extend(std::iter::repeat_n(plain, 30));
        database.violations = vec![database.violations[0].clone(); 25];
        database.broken.insert(Rule::TornTransaction, 2_000);
        let text = verified(&Point::default(), Some(&many), View::default());
        assert!(text.contains("30 tables more"), "{text}");
        assert!(text.contains("1980 more violations"), "{text}");
    }
}
