//! The commands by which a person restores a point without this program, from the point's record alone.

use crate::catalog::{Loaded, Phase, PointEvent, RunKind};
use crate::databases;
use crate::failure::{Exit, Failure};
use crate::restore_point::seal;
use crate::workflow::{Run, UnitKey};
use provider_api::Capsule;
use provider_dynamodb::runbook::{RunbookRequest, RunbookTable, runbook};

/// The script for all databases of the point together: nothing is destroyed in one before everything is there in all.
/// `by_recovery`: by point-in-time recovery, also where there are backups. Refused for a point that has no proven time, or can no longer be restored.
pub fn of(loaded: &Loaded, by_recovery: bool) -> Result<String, Failure> {
    let id = loaded.id.as_str();
    let restore_time = loaded.events().find_map(|event| match event {
        PointEvent::Recorded { restore_time, .. } => Some(*restore_time),
        _ => None,
    });
    let Some(at) = restore_time.filter(|_| !loaded.phase.ended()) else { return Err(seal::unusable(id, loaded)) };
    let opened = loaded.events().find_map(|event| match event {
        PointEvent::Opened { databases, .. } => Some(databases.as_slice()),
        _ => None,
    });
    let prepared =
        (has_backups(loaded.phase) && !by_recovery).then(|| Run::of_kind(loaded.events(), RunKind::Prepare)).flatten();
    let mut tables = Vec::new();
    for database in opened.unwrap_or_default() {
        if database.provider != "dynamodb" {
            let message = format!("there is no script for database `{}` ({})", database.name, database.provider);
            return Err(Failure::new(Exit::Refused, "no_runbook", message, "docs/runbook.md says what can be done."));
        }
        for set in &database.data_sets {
            let key = UnitKey { database: database.name.clone(), unit: set.name.clone() };
            tables.push(RunbookTable {
                name: &set.name,
                role: set.role,
                capsule: capsule(loaded, &database.name, &set.name),
                prepared: prepared.as_ref().and_then(|run| run.units.get(&key)).map(|unit| &unit.state),
            });
        }
    }
    runbook(&RunbookRequest { label: id, at, tables }).map_err(|error| {
        let failure = databases::failure("of the point", &error);
        Failure { name: "no_runbook".to_owned(), message: error.to_string(), ..failure }
    })
}

/// Whether every data set has its backup, also while they are being used.
fn has_backups(phase: Phase) -> bool {
    matches!(phase, Phase::Prepared | Phase::Restoring { .. } | Phase::Drilling { prepared: true, .. })
}

/// The last one: a repeat after a crash captures again.
fn capsule<'a>(loaded: &'a Loaded, database: &str, set: &str) -> Option<&'a Capsule> {
    let of = |event: &'a PointEvent| match event {
        PointEvent::Captured { database: name, capsules, .. } if name == database => capsules.as_slice(),
        _ => &[],
    };
    loaded.events().flat_map(of).filter(|capsule| capsule.name == set).last()
}
