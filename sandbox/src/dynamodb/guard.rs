//! A watch over the data of chosen tables: after every call it has to exist somewhere.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    DynamoDb,
    state::{CallRecord, State},
    table::{Status, Table},
};

/// A call after which the data of a guarded table was nowhere.
#[derive(Debug, Clone)]
pub struct Violation {
    /// The guarded table.
    pub table: String,
    /// The call that did it, or the first after it came about by itself.
    pub call: CallRecord,
}

#[derive(Debug, Default)]
pub(crate) struct Guard {
    /// By name: the identity of the table in which the data began.
    roots: BTreeMap<String, String>,
    /// Those that are nowhere now, so that each loss is told once.
    lost: BTreeSet<String>,
    violations: Vec<Violation>,
}

impl DynamoDb {
    /// From now on the data of these tables, as they are, has to exist after every call: as the table under its name, or
    /// restored under it; as an AVAILABLE on-demand backup of it, or of a table that was restored from it; or as the SYSTEM
    /// backup of such a table. A table that is being restored holds nothing yet; a staging table is no safe place.
    ///
    /// Replaces what was guarded before, and forgets its violations. A table that does not exist is a violation at once.
    pub fn guard_set(&self, tables: &[&str]) {
        let mut state = self.state();
        let root = |name: &str| state.tables.get(name).map(|table| table.root.clone()).unwrap_or_default();
        let roots = tables.iter().map(|name| ((*name).to_owned(), root(name))).collect();
        state.guard = Guard { roots, ..Guard::default() };
    }

    /// Every violation so far, oldest first. Each loss is told once, until the data is back.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        self.state().guard.violations.clone()
    }
}

/// Looks for the data of every guarded table after a call.
pub(crate) fn check(state: &mut State, now: i64, call: &CallRecord) {
    if state.guard.roots.is_empty() {
        return;
    }
    let backed_up: BTreeSet<&str> = state.backups.values().filter_map(|backup| backup.keeps(now)).collect();
    let there = |name: &str, root: &str| {
        state.tables.get(name).is_some_and(|table| table.root == root && holds_data(table, now))
            || backed_up.contains(root)
    };
    let lost: BTreeSet<String> =
        state.guard.roots.iter().filter(|(name, root)| !there(name, root)).map(|(name, _)| name.clone()).collect();
    let fresh = lost.difference(&state.guard.lost).map(|table| Violation { table: table.clone(), call: call.clone() });
    let fresh: Vec<_> = fresh.collect();
    state.guard.violations.extend(fresh);
    state.guard.lost = lost;
}

fn holds_data(table: &Table, now: i64) -> bool {
    match table.status(now) {
        Status::Deleting => false,
        Status::Creating => table.lineage.is_none(),
        Status::Active | Status::Updating | Status::Forced => true,
    }
}
