//! Judging records one by one, in bounded memory.
//!
//! The first pass counts, and remembers which ids committed something (a [`SeenIds`]) and which records wait without a
//! COMMITTED row. Only ids that *perhaps* did both are suspects, and only for them the tables are read a second time, where
//! each suspect is matched exactly. Most sets need no second pass, and no set needs memory for its records.

use super::consensus::{ABORTED, COMMITTED, DELETED, PREPARED};
use super::{Breach, Decision, Fate, LISTED, Limits, Rule, SeenIds, TableCounts, TxColumns, Verification};
use std::collections::{BTreeMap, HashMap};

/// A record that waits for its fate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Index of its table.
    pub table: usize,
    /// Its key as the service's own tools take it.
    pub key: String,
    /// Its transaction.
    pub tx_id: String,
    prepared_at: i64,
}

/// Where an undecided or aborted transaction has a record that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    table: usize,
    key: String,
    fate: Option<Fate>,
}

/// Transactions that may have two fates at once. Matched in a second pass.
#[derive(Clone, Debug, Default)]
pub struct Suspects {
    /// Something of them waits without a COMMITTED row: where, once.
    waiting: HashMap<String, Place>,
    /// The coordinator aborted them.
    aborted: std::collections::HashSet<String>,
}

impl Suspects {
    /// Whether nothing has to be matched.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.aborted.is_empty()
    }
}

/// What says that it was written in the still period, by clocks that may be wrong by as much.
#[derive(Debug, Default)]
struct InStill {
    count: u64,
    /// The latest: milliseconds into the still period, its table and its key.
    latest: Option<(i64, usize, String)>,
}

/// What is known of the set so far.
#[derive(Debug)]
pub struct Judge {
    limits: Limits,
    tables: Vec<TableCounts>,
    committed: SeenIds,
    /// Committed after the still period had begun: recovery, perhaps.
    committed_late: u64,
    in_still: InStill,
    suspects: Suspects,
    breaches: Vec<Breach>,
    broken: BTreeMap<Rule, u64>,
    remarks: Vec<String>,
}

impl Judge {
    /// For these tables, with about so many records in all of them.
    pub fn new(limits: Limits, tables: Vec<TableCounts>, records: u64) -> Self {
        Judge {
            limits,
            tables,
            committed: SeenIds::for_about(records),
            committed_late: 0,
            in_still: InStill::default(),
            suspects: Suspects::default(),
            breaches: Vec::new(),
            broken: BTreeMap::new(),
            remarks: Vec::new(),
        }
    }

    /// The tables, by the indexes that all calls use.
    pub fn tables(&self) -> &[TableCounts] {
        &self.tables
    }

    /// Records counted in all tables.
    pub fn records(&self) -> u64 {
        self.tables.iter().map(|table| table.records).sum()
    }

    /// Records of a table that are not judged.
    pub fn plain(&mut self, table: usize, records: u64) {
        if let Some(counts) = self.tables.get_mut(table) {
            counts.records += records;
        }
    }

    /// First pass: a record. One that waits comes back, and wants [`Judge::decided`] with what the coordinator says.
    pub fn record(&mut self, table: usize, key: impl Fn() -> String, tx: &TxColumns) -> Option<Waiting> {
        if let Some(before) = &tx.before_id {
            // A before image is always a committed one.
            self.committed.insert(before);
        }
        let counts = self.tables.get_mut(table)?;
        counts.records += 1;
        counts.youngest_ms = counts.youngest_ms.max(tx.prepared_at);
        match tx.state {
            Some(PREPARED) => counts.prepared += 1,
            Some(DELETED) => counts.deleted += 1,
            // A record without a state was imported, or written without transactions: it counts as committed.
            Some(COMMITTED) | None => counts.committed += 1,
            Some(_) => {}
        }
        if tx.prepared_at.is_some_and(|at| at > self.limits.written_by_ms) {
            let late = tx.prepared_at.unwrap_or_default() - self.limits.written_by_ms;
            let detail = format!("prepared {late} ms after the last moment at which the point's pods can have written");
            self.breach(Rule::WrittenLate, table, Some(key()), tx.id.clone(), detail);
        }
        self.in_still(table, &key, tx.prepared_at);
        self.committed_late += u64::from(tx.committed_at.is_some_and(|at| at > self.limits.written_by_ms));
        match (tx.state, &tx.id, tx.prepared_at) {
            (Some(COMMITTED) | None, id, _) => {
                if let Some(id) = id {
                    self.committed.insert(id);
                }
                None
            }
            (Some(PREPARED | DELETED), Some(id), Some(prepared_at)) => {
                Some(Waiting { table, key: key(), tx_id: id.clone(), prepared_at })
            }
            (Some(PREPARED | DELETED), id, _) => {
                let what = if id.is_none() { "tx_id" } else { "tx_prepared_at" };
                let detail = format!("waits for its fate without {what}");
                self.breach(Rule::StrangeRecord, table, Some(key()), id.clone(), detail);
                None
            }
            (Some(other), id, _) => {
                let detail = format!("tx_state {other} never stands in a record");
                self.breach(Rule::StrangeRecord, table, Some(key()), id.clone(), detail);
                None
            }
        }
    }

    /// First pass: what the coordinator says of a record that waits.
    pub fn decided(&mut self, waiting: Waiting, fate: Option<Fate>) {
        let Some(counts) = self.tables.get_mut(waiting.table) else { return };
        match fate {
            Some(Fate::Committed) => counts.roll_forward += 1,
            Some(Fate::Aborted) | None => counts.roll_back += 1,
        }
        let Limits { written_by_ms, drained_by_ms, .. } = self.limits;
        // What is later still was written late, and is said to be already.
        if fate.is_none() && (drained_by_ms + 1..=written_by_ms).contains(&waiting.prepared_at) {
            let detail =
                format!("undecided, and prepared {} ms after the drain had ended", waiting.prepared_at - drained_by_ms);
            let id = Some(waiting.tx_id.clone());
            self.breach(Rule::UndecidedLate, waiting.table, Some(waiting.key.clone()), id, detail);
        }
        if fate != Some(Fate::Committed) {
            let Waiting { table, key, tx_id, .. } = waiting;
            self.suspects.waiting.entry(tx_id).or_insert(Place { table, key, fate });
        }
    }

    /// First pass, after all records: a row of the coordinator.
    pub fn decision(&mut self, table: usize, key: impl Fn() -> String, row: &Decision) {
        let Some(counts) = self.tables.get_mut(table) else { return };
        counts.records += 1;
        counts.youngest_ms = counts.youngest_ms.max(row.created_at);
        match row.state {
            Some(COMMITTED) => counts.committed += 1,
            Some(ABORTED) => {
                counts.aborted += 1;
                let committed = row.decides().into_iter().filter(|id| self.committed.perhaps(id));
                self.suspects.aborted.extend(committed);
            }
            other => {
                let other = other.map_or_else(|| "no".to_owned(), |state| state.to_string());
                let detail = format!("{other} tx_state: the coordinator stores only COMMITTED and ABORTED");
                self.breach(Rule::StrangeRecord, table, Some(key()), Some(row.id.clone()), detail);
            }
        }
        if let Some(late) = row.created_at.map(|at| at - self.limits.written_by_ms).filter(|late| *late > 0) {
            let detail = format!("decided {late} ms after the last moment at which the point's pods can have written");
            self.breach(Rule::DecidedLate, table, Some(key()), Some(row.id.clone()), detail);
        }
        self.in_still(table, &key, row.created_at);
    }

    /// Counts what is too young for pods with right clocks, and not young enough to break a rule.
    fn in_still(&mut self, table: usize, key: &impl Fn() -> String, at: Option<i64>) {
        let Limits { still_from_ms, written_by_ms, .. } = self.limits;
        let Some(at) = at.filter(|at| *at > still_from_ms && *at <= written_by_ms) else { return };
        self.in_still.count += 1;
        let into = at.saturating_sub(still_from_ms);
        if self.in_still.latest.as_ref().is_none_or(|(latest, ..)| into > *latest) {
            self.in_still.latest = Some((into, table, key()));
        }
    }

    /// Ends the first pass: who has to be matched.
    pub fn suspects(&mut self) -> Suspects {
        let mut suspects = std::mem::take(&mut self.suspects);
        suspects.waiting.retain(|id, _| self.committed.perhaps(id));
        // What waits and was aborted is told once, as torn.
        suspects.aborted.retain(|id| !suspects.waiting.contains_key(id));
        suspects
    }

    /// Second pass: a record beside the suspects.
    pub fn witness(&mut self, suspects: &Suspects, table: usize, key: impl Fn() -> String, tx: &TxColumns) {
        let committed = matches!(tx.state, Some(COMMITTED) | None);
        let own = tx.id.as_ref().filter(|_| committed).map(|id| (id, "committed here"));
        let before = tx.before_id.as_ref().map(|id| (id, "its before image is of this transaction"));
        for (id, what) in own.into_iter().chain(before) {
            if let Some(place) = suspects.waiting.get(id) {
                let row = if place.fate == Some(Fate::Aborted) { "an ABORTED" } else { "no" };
                let elsewhere = self.tables.get(place.table).map_or("", |table| table.table.as_str());
                let detail = format!(
                    "{what}, but `{elsewhere}` key {} waits for its fate with {row} coordinator row",
                    place.key
                );
                self.breach(Rule::TornTransaction, table, Some(key()), Some(id.clone()), detail);
            } else if suspects.aborted.contains(id) {
                let detail = format!("{what}, but the coordinator aborted it");
                self.breach(Rule::CommittedThoughAborted, table, Some(key()), Some(id.clone()), detail);
            }
        }
    }

    /// A rule about a table as a whole.
    pub fn broken_table(&mut self, rule: Rule, table: &str, detail: impl Into<String>) {
        let breach = Breach { rule, table: table.to_owned(), key: None, tx_id: None, detail: detail.into() };
        self.add(breach);
    }

    /// Something a person should know.
    pub fn remark(&mut self, text: impl Into<String>) {
        self.remarks.push(text.into());
    }

    fn breach(&mut self, rule: Rule, table: usize, key: Option<String>, tx_id: Option<String>, detail: String) {
        let table = self.tables.get(table).map(|table| table.table.clone()).unwrap_or_default();
        self.add(Breach { rule, table, key, tx_id, detail });
    }

    fn add(&mut self, breach: Breach) {
        *self.broken.entry(breach.rule).or_default() += 1;
        if self.breaches.len() < LISTED {
            self.breaches.push(breach);
        }
    }

    /// Everything that was found.
    pub fn found(mut self, read_units: f64, passes: u32) -> Verification {
        if self.committed_late > 0 {
            self.remarks.push(format!(
                "{} records have a tx_committed_at after the pods had fallen still: recovery stamps its own time, so this \
                 alone breaks no rule",
                self.committed_late
            ));
        }
        if let Some((into, table, key)) = &self.in_still.latest {
            let table = self.tables.get(*table).map_or("", |table| table.table.as_str());
            self.remarks.push(format!(
                "records and decisions that say to be younger than the start of the still period: {}, the latest by {into} ms \
                 (`{table}` key {key}). A pod's clock is ahead by so much, or a writer that no target names was at work; \
                 `pod_clock_bound` allows for the first, so no rule is broken",
                self.in_still.count
            ));
        }
        self.breaches.sort();
        Verification {
            tables: self.tables,
            breaches: self.breaches,
            broken: self.broken,
            remarks: self.remarks,
            read_units,
            passes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TableKind;

    const LIMITS: Limits = Limits { still_from_ms: 800, written_by_ms: 1_000, drained_by_ms: 900 };

    fn judge() -> Judge {
        let table = |name: &str, kind| TableCounts::new(name, name, kind);
        let tables = vec![
            table("a", TableKind::Transactional),
            table("b", TableKind::Transactional),
            table("c", TableKind::Coordinator),
        ];
        Judge::new(LIMITS, tables, 100)
    }

    fn tx(id: &str, state: i64, prepared_at: i64) -> TxColumns {
        TxColumns {
            id: Some(id.into()),
            state: Some(state),
            prepared_at: Some(prepared_at),
            committed_at: None,
            before_id: None,
        }
    }

    /// Both passes over records (by table) and rows.
    fn judged(records: &[(usize, TxColumns)], rows: &[Decision]) -> Verification {
        let mut judge = judge();
        let key = |n: usize| move || format!("k{n}");
        for (n, (table, tx)) in records.iter().enumerate() {
            if let Some(waiting) = judge.record(*table, key(n), tx) {
                let fate = super::super::fate(&waiting.tx_id, |id| rows.iter().find(|row| row.id == id));
                judge.decided(waiting, fate);
            }
        }
        rows.iter().enumerate().for_each(|(n, row)| judge.decision(2, key(n), row));
        let suspects = judge.suspects();
        let passes = if suspects.is_empty() { 1 } else { 2 };
        for (n, (table, tx)) in records.iter().enumerate() {
            judge.witness(&suspects, *table, key(n), tx);
        }
        judge.found(0.0, passes)
    }

    fn row(id: &str, state: i64) -> Decision {
        Decision { id: id.into(), state: Some(state), created_at: Some(500), child_ids: None }
    }

    fn rules(found: &Verification) -> Vec<Rule> {
        found.broken.keys().copied().collect()
    }

    #[test]
    fn what_waits_under_a_committed_an_aborted_and_no_row_is_sound() {
        let records = [
            (0, tx("yes", PREPARED, 10)),
            (1, tx("yes", DELETED, 11)),
            (0, tx("no", PREPARED, 12)),
            (1, tx("nobody", DELETED, 13)),
        ];
        let found = judged(&records, &[row("yes", COMMITTED), row("no", ABORTED)]);
        assert!(found.is_sound(), "{found:?}");
        assert_eq!(found.passes, 1, "nothing to match");
        let (a, b) = (&found.tables[0], &found.tables[1]);
        assert_eq!((a.records, a.prepared, a.deleted, a.roll_forward, a.roll_back), (2, 2, 0, 1, 1));
        assert_eq!((b.records, b.prepared, b.deleted, b.roll_forward, b.roll_back), (2, 0, 2, 1, 1));
        assert_eq!((a.youngest_ms, b.youngest_ms), (Some(12), Some(13)));
        assert_eq!((found.tables[2].committed, found.tables[2].aborted), (1, 1));
    }

    #[test]
    fn half_a_commit_that_was_applied_is_sound_with_a_committed_row() {
        let records = [(0, tx("t", COMMITTED, 10)), (1, tx("t", PREPARED, 10))];
        assert!(judged(&records, &[row("t", COMMITTED)]).is_sound());
    }

    #[test]
    fn a_committed_half_without_a_committed_row_is_torn_whichever_table_is_older() {
        for rows in [vec![], vec![row("t", ABORTED)]] {
            for (committed, waits) in [(0, 1), (1, 0)] {
                let found = judged(&[(committed, tx("t", COMMITTED, 10)), (waits, tx("t", PREPARED, 10))], &rows);
                assert_eq!(rules(&found), [Rule::TornTransaction], "{rows:?}");
                assert_eq!(found.passes, 2);
                let breach = &found.breaches[0];
                assert_eq!((breach.table.as_str(), breach.tx_id.as_deref()), (["a", "b"][committed], Some("t")));
                assert!(breach.detail.contains(["a", "b"][waits]), "{}", breach.detail);
            }
        }
    }

    #[test]
    fn a_before_image_of_what_still_waits_elsewhere_is_torn() {
        let later = TxColumns { before_id: Some("t".into()), ..tx("u", COMMITTED, 20) };
        let found = judged(&[(0, tx("t", PREPARED, 10)), (1, later)], &[row("u", COMMITTED)]);
        assert_eq!(rules(&found), [Rule::TornTransaction]);
        assert!(found.breaches[0].detail.contains("before image"));
    }

    #[test]
    fn what_the_coordinator_aborted_is_committed_nowhere() {
        let found = judged(&[(0, tx("t", COMMITTED, 10))], &[row("t", ABORTED)]);
        assert_eq!(rules(&found), [Rule::CommittedThoughAborted]);
        let group = Decision { child_ids: Some("x,y".into()), ..row("p", ABORTED) };
        let found = judged(&[(0, tx("p:y", COMMITTED, 10)), (0, tx("p:z", COMMITTED, 10))], &[group]);
        assert_eq!(found.breaches.iter().filter_map(|b| b.tx_id.as_deref()).collect::<Vec<_>>(), ["p:y"]);
        assert!(judged(&[(0, tx("p:z", COMMITTED, 10))], &[row("p", ABORTED)]).is_sound(), "a marker without children");
    }

    #[test]
    fn a_committed_record_needs_no_row_and_an_imported_one_no_columns() {
        let imported = TxColumns::default();
        assert!(judged(&[(0, tx("t", COMMITTED, 10)), (1, imported)], &[]).is_sound());
    }

    #[test]
    fn late_writes_and_late_decisions_are_breaches_and_late_commits_a_remark() {
        let late = judged(&[(0, tx("t", COMMITTED, 1_001))], &[]);
        assert_eq!(rules(&late), [Rule::WrittenLate]);
        assert!(late.breaches[0].detail.contains("1 ms"), "{}", late.breaches[0].detail);
        assert!(judged(&[(0, tx("t", COMMITTED, 1_000))], &[]).is_sound());
        let decided = Decision { created_at: Some(1_001), ..row("t", COMMITTED) };
        assert_eq!(rules(&judged(&[], &[decided])), [Rule::DecidedLate]);
        let recovered = TxColumns { committed_at: Some(5_000), ..tx("t", COMMITTED, 10) };
        let found = judged(&[(0, recovered)], &[]);
        assert!(found.is_sound() && found.remarks[0].contains("recovery"), "{found:?}");
    }

    #[test]
    fn what_is_younger_than_the_still_period_but_within_the_clocks_bound_is_a_remark() {
        let early = judged(&[(0, tx("t", COMMITTED, 800))], &[]);
        assert!(early.is_sound() && early.remarks.is_empty(), "{early:?}");
        let decided = Decision { created_at: Some(850), ..row("t", COMMITTED) };
        let found = judged(&[(0, tx("t", COMMITTED, 801)), (1, tx("t", COMMITTED, 1_000))], &[decided]);
        assert!(found.is_sound(), "{found:?}");
        let [remark] = found.remarks.as_slice() else { panic!("{:?}", found.remarks) };
        assert!(remark.contains("period: 3, the latest by 200 ms (`b` key k1)"), "{remark}");
        let broken = judged(&[(0, tx("t", COMMITTED, 1_001))], &[]);
        assert!(broken.remarks.is_empty(), "said as a breach: {broken:?}");
    }

    #[test]
    fn an_undecided_record_is_older_than_the_drain() {
        assert!(judged(&[(0, tx("t", PREPARED, 900))], &[]).is_sound());
        assert_eq!(rules(&judged(&[(0, tx("t", PREPARED, 901))], &[])), [Rule::UndecidedLate]);
        assert!(judged(&[(0, tx("t", PREPARED, 901))], &[row("t", COMMITTED)]).is_sound(), "decided");
        assert_eq!(rules(&judged(&[(0, tx("t", PREPARED, 1_001))], &[])), [Rule::WrittenLate], "said once");
    }

    #[test]
    fn states_that_scalardb_never_writes_are_named() {
        for state in [ABORTED, 5, 0, 77] {
            assert_eq!(rules(&judged(&[(0, tx("t", state, 10))], &[])), [Rule::StrangeRecord], "{state}");
        }
        let nameless = TxColumns { id: None, ..tx("t", PREPARED, 10) };
        let timeless = TxColumns { prepared_at: None, ..tx("t", DELETED, 10) };
        assert_eq!(judged(&[(0, nameless), (1, timeless)], &[]).broken[&Rule::StrangeRecord], 2);
        assert_eq!(rules(&judged(&[], &[row("t", PREPARED)])), [Rule::StrangeRecord]);
    }

    #[test]
    fn of_many_breaches_the_first_are_listed_and_all_are_counted() {
        let records: Vec<_> = (0..2_000).map(|n| (0, tx(&format!("t{n}"), COMMITTED, 9_999))).collect();
        let found = judged(&records, &[]);
        assert_eq!((found.breaches.len(), found.broken[&Rule::WrittenLate]), (LISTED, 2_000));
    }
}
