//! What is stored about one table that is brought back: intents, records, and what they add up to.

use crate::prepare::journal::read;
use provider_api::{Capsule, Intent, ProviderError, Record, Step, UnitState};
use serde::{Deserialize, Serialize};

/// How the setting is named that a restored table gets last.
const PROTECTION: &str = "deletion_protection";

/// What will be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(super) enum Deed {
    /// CreateBackup of the table as it was found.
    SafetyBackup { table_id: String, name: String },
    /// Deletion protection off.
    Unprotect { table_id: String },
    /// DeregisterScalableTarget for the table and its indexes; no TableId: for a name that is free.
    StopScaling { table_id: Option<String> },
    /// DeleteTable.
    Delete { table_id: String },
    /// RestoreTableFromBackup under the table's own name.
    Restore {
        arn: String,
        /// The second on the service's clock in which the name was seen free, right before.
        since: i64,
        /// From the safety backup, on the way back.
        back: bool,
    },
    /// Deletion protection on.
    Protect { table_id: String },
    /// One setting of the capsule.
    Apply { table_id: String },
}

/// What became true.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub(super) enum Fact {
    /// What was there before anything was done, with its settings; no TableId: nothing was.
    Found { table_id: Option<String>, capsule: Option<Box<Capsule>> },
    /// The backup of it is being made.
    SafetyMaking { arn: String, name: String },
    /// That backup is AVAILABLE.
    SafetyMade { arn: String },
    /// Deletion protection is off.
    Unprotected { table_id: String },
    /// Nothing scales what has the name any more.
    ScalingStopped,
    /// The table is gone, by our doing.
    Deleted { table_id: String },
    /// The table is gone, by somebody else's doing.
    Gone { table_id: String },
    /// A table is being restored under the name. Its lineage can be read only now, so it is kept.
    Restoring { table_id: String, arn: String, back: bool },
    /// It is ACTIVE, with every index.
    Active { table_id: String },
    /// Deletion protection is on.
    Protected { table_id: String },
    /// A setting is as in the capsule.
    Applied { setting: String },
    /// The table that this run restored went by itself or by somebody else's doing.
    Vanished { table_id: String },
    /// What was intended was not done, and will not be.
    Nothing,
    /// A restore was refused for now: nothing was begun. Seconds on the service's clock.
    Refused {
        /// The first refusal in a row.
        first: i64,
        /// This one.
        last: i64,
        /// For people.
        why: String,
    },
    /// The table is back, with the data of T.
    Restored { table_id: String, arn: String, safety: Option<String> },
    /// The table is as it was found.
    PutBack { table_id: Option<String>, safety: Option<String> },
}

/// What has the name, by the records.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Occupant {
    /// Nobody has looked yet.
    #[default]
    Unknown,
    /// What was found at first.
    Old(String),
    /// Nothing.
    Nobody,
    /// A table that this run restored.
    Ours { table_id: String, back: bool },
}

/// A restore that was refused for now.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refusal {
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) why: String,
}

/// The safety backup.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Safety {
    pub(super) arn: String,
    pub(super) available: bool,
}

/// What the records of a table add up to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct View {
    pub(super) occupant: Occupant,
    /// TableId of what was found at first.
    pub(super) old: Option<String>,
    /// Its settings.
    pub(super) old_settings: Option<Box<Capsule>>,
    pub(super) safety: Option<Safety>,
    /// Something of what was found has been changed.
    pub(super) touched: bool,
    /// Deletion protection of the occupant was turned off by us.
    pub(super) unprotected: bool,
    /// Nothing scales the name, that we know of.
    pub(super) unscaled: bool,
    pub(super) active: bool,
    pub(super) protected: bool,
    pub(super) applied: Vec<String>,
    /// How the last restore that was asked for ended, if it was refused.
    pub(super) refused: Option<Refusal>,
    /// The unit has its slot by its last record.
    pub(super) has_slot: bool,
}

impl View {
    pub(super) fn of(state: &UnitState) -> Result<View, ProviderError> {
        let mut view = View::default();
        for record in &state.records {
            view.apply(read(&record.what)?);
        }
        view.has_slot = state.records.last().is_some_and(|record| record.slot.is_some());
        Ok(view)
    }

    fn apply(&mut self, fact: Fact) {
        match fact {
            Fact::Found { table_id, capsule } => {
                self.occupant = table_id.clone().map_or(Occupant::Nobody, Occupant::Old);
                (self.old, self.old_settings) = (table_id, capsule);
            }
            Fact::SafetyMaking { arn, .. } => self.safety = Some(Safety { arn, available: false }),
            Fact::SafetyMade { arn } => self.safety = Some(Safety { arn, available: true }),
            // What was put back may be taken away once more, when a run is turned and turned again.
            Fact::Unprotected { .. } => {
                (self.touched, self.unprotected, self.protected) = (true, true, false);
                self.applied.clear();
            }
            Fact::ScalingStopped => {
                (self.touched, self.unscaled) = (true, true);
                self.applied.clear();
            }
            Fact::Deleted { .. } => {
                self.settle(Occupant::Nobody);
                self.unscaled = true;
            }
            Fact::Gone { .. } | Fact::Vanished { .. } => self.settle(Occupant::Nobody),
            Fact::Restoring { table_id, back, .. } => self.settle(Occupant::Ours { table_id, back }),
            Fact::Active { .. } => self.active = true,
            Fact::Protected { .. } => (self.protected, self.unprotected) = (true, false),
            Fact::Applied { setting } => {
                self.unprotected &= setting != PROTECTION;
                self.applied.push(setting);
            }
            Fact::Refused { first, last, why } => self.refused = Some(Refusal { first, last, why }),
            Fact::Nothing => self.refused = None,
            Fact::PutBack { .. } => {
                (self.touched, self.unprotected, self.unscaled) = (false, false, false);
                self.applied.clear();
            }
            Fact::Restored { .. } => {}
        }
    }

    /// Another table has the name, of which nothing is known yet.
    fn settle(&mut self, occupant: Occupant) {
        self.occupant = occupant;
        (self.unprotected, self.unscaled, self.active, self.protected) = (false, false, false, false);
        self.applied.clear();
        self.refused = None;
    }

    pub(super) fn safety_arn(&self) -> Option<String> {
        self.safety.as_ref().map(|safety| safety.arn.clone())
    }
}

/// An intent to store.
pub(super) fn intend(text: String, deed: &Deed, slot: Option<String>) -> Step {
    Step::Intend(Intent { text, what: serde_json::to_value(deed).unwrap_or_default(), slot })
}

/// A record to store.
pub(super) fn record(text: impl Into<String>, fact: &Fact) -> Record {
    let what = serde_json::to_value(fact).unwrap_or_default();
    Record { text: text.into(), what, slot: None, warning: None }
}

pub(super) fn did(text: impl Into<String>, fact: &Fact) -> Step {
    Step::Did(record(text, fact))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(facts: Vec<Fact>) -> View {
        let records = facts.iter().map(|fact| record("", fact)).collect();
        View::of(&UnitState { records }).unwrap()
    }

    fn found(id: Option<&str>) -> Fact {
        Fact::Found { table_id: id.map(str::to_owned), capsule: None }
    }

    fn restoring(id: &str, back: bool) -> Fact {
        Fact::Restoring { table_id: id.into(), arn: "arn".into(), back }
    }

    #[test]
    fn records_say_who_has_the_name() {
        assert_eq!(view(vec![]).occupant, Occupant::Unknown);
        assert_eq!(view(vec![found(None)]).occupant, Occupant::Nobody);
        assert_eq!(view(vec![found(Some("a"))]).occupant, Occupant::Old("a".into()));
        let gone = Fact::Deleted { table_id: "a".into() };
        assert_eq!(view(vec![found(Some("a")), gone.clone()]).occupant, Occupant::Nobody);
        let ours = view(vec![found(Some("a")), gone, restoring("b", false)]);
        assert_eq!(ours.occupant, Occupant::Ours { table_id: "b".into(), back: false });
        assert_eq!(ours.old.as_deref(), Some("a"));
    }

    #[test]
    fn what_was_done_to_one_table_is_not_said_of_the_next_of_the_name() {
        let done = [
            found(Some("a")),
            Fact::Deleted { table_id: "a".into() },
            restoring("b", false),
            Fact::Active { table_id: "b".into() },
            Fact::Protected { table_id: "b".into() },
            Fact::Applied { setting: "tags".into() },
        ];
        let now = view(done.to_vec());
        assert!(now.active && now.protected && now.applied == ["tags"]);
        let later = [&done[..], &[Fact::Deleted { table_id: "b".into() }, restoring("c", true)]].concat();
        let now = view(later);
        assert!(!now.active && !now.protected && now.applied.is_empty());
    }
}
