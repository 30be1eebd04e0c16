//! What is to be restored, worked out from the point's record alone: no call is made here.

use super::shape::Shape;
use crate::prepare::journal::Fact as Prepared;
use provider_api::{Capsule, ErrorKind, ProviderError, RestoreRequest, RestoreSet, RestoreTime, Role, Unit};
use serde::{Deserialize, Serialize};

/// What the steps of one table need besides its name and identity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Blueprint {
    /// T.
    pub(super) at: RestoreTime,
    /// The point's id.
    pub(super) label: String,
    /// The prepared backup.
    pub(super) arn: String,
    /// TableId of the staging table it was made of.
    pub(super) staged_id: String,
    /// The table as it was when the point was made.
    pub(super) capsule: Capsule,
    /// Back up what is there first.
    pub(super) safety_backup: bool,
    /// Replace also a table with another TableId than the recorded one.
    pub(super) accept_recreated: bool,
}

/// The plan: one unit per recorded table. ScalarDB's own tables wait for all others: without them nobody takes a set that is
/// only half there for a whole one.
pub(super) fn units(request: &RestoreRequest<'_>) -> Result<Vec<Unit>, ProviderError> {
    let mut units = Vec::new();
    let mut missing = Vec::new();
    let of_role = |role: Role| request.sets.iter().filter(move |set| set.role == role);
    let users: Vec<String> = of_role(Role::User).map(|set| set.recorded.name.clone()).collect();
    let coordinators = of_role(Role::Coordinator).map(|set| set.recorded.name.clone());
    let all: Vec<String> = users.iter().cloned().chain(coordinators).collect();
    for set in request.sets {
        let Some(blueprint) = blueprint(request, set) else {
            missing.push(set.recorded.name.clone());
            continue;
        };
        let after = match set.role {
            Role::User => Vec::new(),
            Role::Coordinator => users.clone(),
            Role::Metadata => all.clone(),
        };
        let what = serde_json::to_value(&blueprint).unwrap_or_default();
        units.push(Unit { name: set.recorded.name.clone(), id: set.recorded.id.clone(), after, what });
    }
    if missing.is_empty() {
        return Ok(units);
    }
    let message = format!("the backup or the settings of {} are not in the point's record", missing.join(", "));
    let hint = "restore another point; `stillpoint show ID --all` says what there is of this one";
    Err(ProviderError::new(ErrorKind::NotFound, message, hint).about(missing))
}

fn blueprint(request: &RestoreRequest<'_>, set: &RestoreSet) -> Option<Blueprint> {
    let Ok(Prepared::Prepared { arn, table_id, .. }) = serde_json::from_value(set.prepared.clone()) else {
        return None;
    };
    // A repeat after a crash captures again: the later capsule counts.
    let ours = |capsule: &&Capsule| capsule.name == set.recorded.name && capsule.id == set.recorded.id;
    let capsule = request.capsules.iter().rev().find(ours)?;
    Shape::of(capsule).keys()?;
    Some(Blueprint {
        at: request.at,
        label: request.label.to_owned(),
        arn,
        staged_id: table_id,
        capsule: capsule.clone(),
        safety_backup: request.options.safety_backup,
        accept_recreated: request.options.accept_recreated,
    })
}

/// The unit's blueprint.
pub(super) fn of(unit: &Unit) -> Result<Blueprint, ProviderError> {
    serde_json::from_value(unit.what.clone()).map_err(|cause| {
        let message = format!("the plan for `{}` cannot be read", unit.name);
        ProviderError::new(ErrorKind::Invalid, message, "use the version of stillpoint that began this run")
            .caused_by(cause)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use provider_api::{RecordedSet, RestoreOptions};
    use serde_json::json;

    fn set(name: &str, role: Role) -> RestoreSet {
        let prepared =
            json!({ "fact": "prepared", "arn": "arn:b", "name": "rp-x", "target": "rp-x-a", "table_id": "B" });
        RestoreSet { recorded: RecordedSet { name: name.into(), id: "id".into() }, role, prepared }
    }

    fn capsule(name: &str) -> Capsule {
        let table = json!({ "KeySchema": [{ "AttributeName": "k", "KeyType": "HASH" }] });
        Capsule { name: name.into(), id: "id".into(), settings: json!({ "table": table }), unread: Vec::new() }
    }

    fn planned(sets: &[RestoreSet], capsules: &[Capsule]) -> Result<Vec<Unit>, ProviderError> {
        let options = RestoreOptions::default();
        units(&RestoreRequest { label: "p", at: RestoreTime(7), sets, capsules, options })
    }

    #[test]
    fn scalardbs_own_tables_wait_for_all_others() {
        let sets = [set("meta", Role::Metadata), set("state", Role::Coordinator), set("a", Role::User)];
        let plan = planned(&sets, &["meta", "state", "a"].map(capsule)).unwrap();
        let after: Vec<_> = plan.iter().map(|unit| unit.after.join(" ")).collect();
        assert_eq!(after, ["a state", "a", ""]);
        assert_eq!(of(&plan[2]).unwrap().arn, "arn:b");
    }

    #[test]
    fn a_table_without_its_backup_or_its_settings_is_named() {
        let error = planned(&[set("a", Role::User)], &[]).unwrap_err();
        assert_eq!((error.kind, error.subjects), (ErrorKind::NotFound, vec!["a".to_owned()]));
        let unprepared = RestoreSet { prepared: json!({ "fact": "undone" }), ..set("a", Role::User) };
        assert!(planned(&[unprepared], &[capsule("a")]).is_err());
    }
}
