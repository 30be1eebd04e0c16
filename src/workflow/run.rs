//! A run, as the events of a log add up to it. Pure.

use crate::catalog::{PointEvent, RunKind, WorkHold};
use provider_api::{Intent, Record, UnitState, Way};
use serde_json::Value;
use std::collections::BTreeMap;

/// A unit among those of all databases.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitKey {
    /// The database's name in the settings.
    pub database: String,
    /// The unit's name.
    pub unit: String,
}

/// What the log holds of a unit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UnitRun {
    /// Its records.
    pub state: UnitState,
    /// What was intended and not yet answered by a record.
    pub intent: Option<Intent>,
    /// Whether nothing more is to be done to it on the run's way.
    pub done: bool,
}

impl UnitRun {
    /// The slot that the unit takes now.
    pub fn slot(&self) -> Option<&str> {
        let by_record = || self.state.records.last().and_then(|record: &Record| record.slot.as_deref());
        self.intent.as_ref().map_or_else(by_record, |intent| intent.slot.as_deref().or_else(by_record))
    }
}

/// The last run of a log.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Tells its events from those of an earlier run.
    pub id: String,
    /// What it does.
    pub kind: RunKind,
    /// What was chosen when it began: its kind's own.
    pub plan: Value,
    /// Towards its end, or back.
    pub way: Way,
    /// Who has it.
    pub hold: Option<WorkHold>,
    /// What is known of each unit. A unit of which nothing is known is not here.
    pub units: BTreeMap<UnitKey, UnitRun>,
    /// Whether it has ended, either way.
    pub ended: bool,
}

impl Run {
    /// The last run of these events, if any was ever begun.
    pub fn of<'a>(events: impl IntoIterator<Item = &'a PointEvent>) -> Option<Run> {
        Self::all(events).pop()
    }

    /// The last run of this kind, if any was ever begun.
    pub fn of_kind<'a>(events: impl IntoIterator<Item = &'a PointEvent>, kind: RunKind) -> Option<Run> {
        Self::all(events).into_iter().rfind(|run| run.kind == kind)
    }

    /// Every run, oldest first.
    pub fn all<'a>(events: impl IntoIterator<Item = &'a PointEvent>) -> Vec<Run> {
        let mut all: Vec<Run> = Vec::new();
        for event in events {
            if let PointEvent::RunStarted { run, kind, plan, .. } = event {
                all.push(Run::new(run.clone(), *kind, plan.clone()));
            } else if let Some(run) = all.last_mut() {
                run.apply(event);
            }
        }
        all
    }

    /// A run of which nothing is known but that it began.
    pub fn new(id: String, kind: RunKind, plan: Value) -> Run {
        Run { id, kind, plan, way: Way::Forward, hold: None, units: BTreeMap::new(), ended: false }
    }

    /// What is known of a unit.
    pub fn unit(&self, key: &UnitKey) -> UnitRun {
        self.units.get(key).cloned().unwrap_or_default()
    }

    /// Takes in what follows in the log. Events of another run change nothing.
    pub fn apply(&mut self, event: &PointEvent) {
        match event {
            PointEvent::WorkHeld { run, hold } if *run == self.id => self.hold = Some(hold.clone()),
            PointEvent::WorkReleased { run } if *run == self.id => self.hold = None,
            PointEvent::UnitIntent { run, database, unit, intent } if *run == self.id => {
                self.unit_mut(database, unit).intent = Some(intent.clone());
            }
            PointEvent::UnitRecord { run, database, unit, record, done } if *run == self.id => {
                let unit = self.unit_mut(database, unit);
                unit.intent = None;
                unit.state.records.push(record.clone());
                unit.done = *done;
            }
            PointEvent::RunAborting { run, .. } if *run == self.id => {
                self.way = Way::Back;
                self.units.values_mut().for_each(|unit| unit.done = false);
            }
            PointEvent::RunForward { run, .. } if *run == self.id => {
                self.way = Way::Forward;
                self.units.values_mut().for_each(|unit| unit.done = false);
            }
            PointEvent::RunDone { run, .. } | PointEvent::RunAborted { run, .. } if *run == self.id => {
                self.ended = true;
            }
            _ => {}
        }
    }

    fn unit_mut(&mut self, database: &str, unit: &str) -> &mut UnitRun {
        let key = UnitKey { database: database.to_owned(), unit: unit.to_owned() };
        self.units.entry(key).or_default()
    }
}
