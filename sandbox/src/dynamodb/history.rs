//! What point-in-time recovery remembers of one table.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use dynoxide::types::AttributeValue;

pub(crate) type Item = HashMap<String, AttributeValue>;
/// Partition key and sort key in a canonical text form.
pub(crate) type ItemKey = (String, String);

const SECOND: i64 = 1_000_000_000;

/// Is a write stamped at the very edge of the restore time in the restored table?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Edge {
    /// It is.
    #[default]
    Inclusive,
    /// It is not.
    Exclusive,
}

/// How fine the service reads the restore time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unit {
    /// The restore time names a whole second; a fraction is cut off. Inclusive then takes in all of that second.
    #[default]
    Whole,
    /// The restore time is an instant; `T` is `T.000000000`.
    Fractional,
}

/// The reading of "the state at T". AWS documents none, so a restore point has to be right under every one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Boundary {
    /// What happens at the edge itself.
    pub edge: Edge,
    /// What the edge is.
    pub unit: Unit,
}

impl Boundary {
    /// All four readings.
    pub const ALL: [Self; 4] = [
        Self { edge: Edge::Inclusive, unit: Unit::Whole },
        Self { edge: Edge::Exclusive, unit: Unit::Whole },
        Self { edge: Edge::Inclusive, unit: Unit::Fractional },
        Self { edge: Edge::Exclusive, unit: Unit::Fractional },
    ];

    /// The first stamp (ns) that a restore to `at` (ns) leaves out.
    pub(crate) fn first_left_out(self, at: i64) -> i64 {
        let second = at.div_euclid(SECOND) * SECOND;
        match (self.unit, self.edge) {
            (Unit::Whole, Edge::Inclusive) => second.saturating_add(SECOND),
            (Unit::Whole, Edge::Exclusive) => second,
            (Unit::Fractional, Edge::Inclusive) => at.saturating_add(1),
            (Unit::Fractional, Edge::Exclusive) => at,
        }
    }
}

/// An image of one item from a moment on; `None` after a delete.
type Version = (i64, Option<Arc<Item>>);

/// Every post-image of every item since recovery was turned on, by the table's own clock.
#[derive(Debug, Default)]
pub(crate) struct History {
    items: BTreeMap<ItemKey, Vec<Version>>,
}

impl History {
    /// Starts with what the table holds now: it is there at every restorable time until it is overwritten.
    pub(crate) fn starting_with(items: impl IntoIterator<Item = (ItemKey, Item)>) -> Self {
        let items = items.into_iter().map(|(key, item)| (key, vec![(i64::MIN, Some(Arc::new(item)))])).collect();
        Self { items }
    }

    pub(crate) fn record(&mut self, key: ItemKey, stamp: i64, image: Option<Arc<Item>>) {
        self.items.entry(key).or_default().push((stamp, image));
    }

    /// The items as they were just before `left_out`.
    pub(crate) fn before(&self, left_out: i64) -> Vec<Item> {
        let at = |versions: &Vec<Version>| {
            versions.iter().rev().find(|(stamp, _)| *stamp < left_out).and_then(|(_, image)| image.clone())
        };
        self.items.values().filter_map(at).map(|item| Item::clone(&item)).collect()
    }

    /// Forgets what no restore to `from` or later can need.
    pub(crate) fn trim(&mut self, from: i64) {
        self.items.retain(|_, versions| {
            let keep = versions.iter().rposition(|(stamp, _)| *stamp < from).unwrap_or(0);
            versions.drain(..keep);
            !matches!(versions.as_slice(), [(stamp, None)] if *stamp < from)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(value: &str) -> Item {
        Item::from([("v".to_owned(), AttributeValue::S(value.to_owned()))])
    }

    fn values(history: &History, boundary: Boundary, at: i64) -> Vec<String> {
        let mut found: Vec<_> = history
            .before(boundary.first_left_out(at))
            .into_iter()
            .map(|item| match &item["v"] {
                AttributeValue::S(value) => value.clone(),
                other => panic!("{other:?}"),
            })
            .collect();
        found.sort();
        found
    }

    #[test]
    fn every_reading_of_the_boundary_cuts_where_it_says() {
        let mut history = History::starting_with([(("k".into(), String::new()), item("old"))]);
        for (stamp, value) in [(10 * SECOND, "on the second"), (10 * SECOND + SECOND / 2, "half past")] {
            history.record(("k".into(), String::new()), stamp, Some(Arc::new(item(value))));
        }
        let at = |edge, unit, t| values(&history, Boundary { edge, unit }, t).join(",");
        assert_eq!(at(Edge::Inclusive, Unit::Whole, 10 * SECOND), "half past");
        assert_eq!(at(Edge::Exclusive, Unit::Whole, 10 * SECOND), "old");
        assert_eq!(at(Edge::Inclusive, Unit::Fractional, 10 * SECOND), "on the second");
        assert_eq!(at(Edge::Exclusive, Unit::Fractional, 10 * SECOND), "old");
        let fraction = 10 * SECOND + SECOND / 4;
        assert_eq!(at(Edge::Inclusive, Unit::Whole, fraction), "half past");
        assert_eq!(at(Edge::Exclusive, Unit::Whole, fraction), "old");
        assert_eq!(at(Edge::Exclusive, Unit::Fractional, fraction), "on the second");
    }

    #[test]
    fn deletes_and_trimming_keep_every_restorable_state() {
        let mut history = History::default();
        history.record(("a".into(), String::new()), 1, Some(Arc::new(item("a1"))));
        history.record(("b".into(), String::new()), 2, Some(Arc::new(item("b1"))));
        history.record(("a".into(), String::new()), 3, None);
        history.record(("b".into(), String::new()), 4, Some(Arc::new(item("b2"))));
        history.trim(4);
        assert_eq!(history.before(4).len(), 1);
        assert_eq!(history.before(5), vec![item("b2")]);
        assert_eq!(history.items.len(), 1, "a deleted item needs no memory after its delete has left the window");
    }
}
