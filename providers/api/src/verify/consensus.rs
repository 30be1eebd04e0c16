//! What ScalarDB's consensus commit writes, and how the fate of a transaction follows from the coordinator's rows.

/// `tx_state`: written, fate not yet applied.
pub(super) const PREPARED: i64 = 1;
/// `tx_state`: marked for deletion, fate not yet applied.
pub(super) const DELETED: i64 = 2;
/// `tx_state`, of records and of the coordinator's rows.
pub(super) const COMMITTED: i64 = 3;
/// `tx_state`, of the coordinator's rows only.
pub(super) const ABORTED: i64 = 4;

/// Between parent and child in the id of a transaction that was committed in a group.
const GROUP: char = ':';

/// The transaction columns of a record. NULL and absent are the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TxColumns {
    /// `tx_id`
    pub id: Option<String>,
    /// `tx_state`
    pub state: Option<i64>,
    /// `tx_prepared_at`, ms.
    pub prepared_at: Option<i64>,
    /// `tx_committed_at`, ms.
    pub committed_at: Option<i64>,
    /// `before_tx_id`: who committed what was there before.
    pub before_id: Option<String>,
}

/// A row of the coordinator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// `tx_id`; of a group: the parent's.
    pub id: String,
    /// `tx_state`
    pub state: Option<i64>,
    /// `tx_created_at`, ms.
    pub created_at: Option<i64>,
    /// `tx_child_ids`, a list with commas between.
    pub child_ids: Option<String>,
}

impl Decision {
    /// Ids of its children; empty unless it is a group's row.
    pub fn children(&self) -> impl Iterator<Item = &str> {
        self.child_ids.as_deref().unwrap_or_default().split(',').filter(|child| !child.is_empty())
    }

    /// Full ids of the transactions that this row decides.
    pub fn decides(&self) -> Vec<String> {
        let children: Vec<String> = self.children().map(|child| format!("{}{GROUP}{child}", self.id)).collect();
        if children.is_empty() { vec![self.id.clone()] } else { children }
    }
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// Readers complete its records.
    Committed,
    /// Readers undo its records.
    Aborted,
}

/// Ids of the rows in which the fate of a transaction can stand: its own, and its group's.
pub fn lookups(tx_id: &str) -> impl Iterator<Item = &str> {
    let parent = tx_id.split_once(GROUP).map(|(parent, _)| parent).filter(|parent| !parent.is_empty());
    std::iter::once(tx_id).chain(parent)
}

/// The fate of a transaction; `None`: nobody has decided it, so the first reader aborts it once it is old enough.
///
/// A group's row decides only the children that it lists: an ABORTED row without children merely keeps a group from
/// being committed under that id.
pub fn fate<'a>(tx_id: &str, row: impl Fn(&str) -> Option<&'a Decision>) -> Option<Fate> {
    let told = |row: &Decision| match row.state {
        Some(COMMITTED) => Some(Fate::Committed),
        Some(ABORTED) => Some(Fate::Aborted),
        _ => None,
    };
    let own = row(tx_id).and_then(told);
    own.or_else(|| {
        let (parent, child) = tx_id.split_once(GROUP)?;
        row(parent).filter(|row| row.children().any(|one| one == child)).and_then(told)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, state: i64, children: Option<&str>) -> Decision {
        Decision { id: id.into(), state: Some(state), created_at: None, child_ids: children.map(Into::into) }
    }

    fn decided(tx_id: &str, rows: &[Decision]) -> Option<Fate> {
        fate(tx_id, |id| rows.iter().find(|row| row.id == id))
    }

    #[test]
    fn a_transactions_own_row_decides_it() {
        let rows = [row("a", COMMITTED, None), row("b", ABORTED, None)];
        assert_eq!(decided("a", &rows), Some(Fate::Committed));
        assert_eq!(decided("b", &rows), Some(Fate::Aborted));
        assert_eq!(decided("c", &rows), None);
    }

    #[test]
    fn a_groups_row_decides_the_children_it_lists_and_no_others() {
        let rows = [row("p", COMMITTED, Some("one,two"))];
        assert_eq!(decided("p:one", &rows), Some(Fate::Committed));
        assert_eq!(decided("p:two", &rows), Some(Fate::Committed));
        assert_eq!(decided("p:three", &rows), None, "delayed: its row has the full id");
        assert_eq!(decided("p:on", &rows), None);
        assert_eq!(rows[0].decides(), ["p:one", "p:two"]);
    }

    #[test]
    fn a_delayed_member_of_a_group_has_a_row_of_its_own() {
        let rows = [row("p", COMMITTED, Some("one")), row("p:late", ABORTED, None)];
        assert_eq!(decided("p:late", &rows), Some(Fate::Aborted));
    }

    #[test]
    fn an_aborted_parent_without_children_decides_nothing() {
        for children in [None, Some("")] {
            assert_eq!(decided("p:one", &[row("p", ABORTED, children)]), None);
        }
    }

    #[test]
    fn both_rows_of_a_group_id_are_looked_up() {
        assert_eq!(lookups("p:one").collect::<Vec<_>>(), ["p:one", "p"]);
        assert_eq!(lookups("plain").collect::<Vec<_>>(), ["plain"]);
        assert_eq!(lookups(":odd").collect::<Vec<_>>(), [":odd"]);
    }
}
