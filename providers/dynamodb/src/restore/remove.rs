//! Taking a table out of the way: its protection, its scaling, and the table itself.

use super::journal::{Deed, Fact, Occupant, View, did, intend, record};
use super::shape::Shape;
use super::{Destroying, Table};
use crate::limits::{DELETE_TABLE, DEREGISTER_SCALABLE_TARGET, UPDATE_TABLE};
use crate::prepare::SOON;
use crate::{scaling, table};
use aws_sdk_applicationautoscaling::types::{ScalableDimension, ServiceNamespace};
use aws_sdk_dynamodb::types::{TableDescription, TableStatus};
use provider_api::{Fence, ProviderError, Record, Step, Way};

impl Table<'_> {
    /// The next thing before the table of this TableId can go, and then that it goes. The slot for the restore is taken with
    /// the intent, so that no table is gone for longer than its restore takes.
    pub(super) async fn clear_away(&self, view: &View, table_id: &str) -> Result<Step, ProviderError> {
        let Some(found) = self.look().await?.0 else {
            return Ok(self.unsure().unwrap_or_else(|| self.gone_meanwhile(table_id)));
        };
        if table::identity(&found) != table_id {
            return Err(self.taken(table_id, &found));
        }
        let name = &self.unit.name;
        let table_id = table_id.to_owned();
        if found.deletion_protection_enabled == Some(true) {
            if view.unprotected {
                return Err(self.protected_again());
            }
            return Ok(intend(format!("turn deletion protection of {name} off"), &Deed::Unprotect { table_id }, None));
        }
        if !self.scaled(Some(&found)).await?.is_empty() {
            return Ok(self.intend_unscaled(Some(table_id)));
        }
        let text = format!("delete {name} (TableId {table_id})");
        let slot = (!view.has_slot).then(|| self.slot());
        Ok(intend(text, &Deed::Delete { table_id }, slot))
    }

    fn protected_again(&self) -> ProviderError {
        let message = format!("somebody turned deletion protection of `{}` on again", self.unit.name);
        let hint = format!(
            "find out why; to go on: aws dynamodb update-table --region {} --table-name {} \
             --no-deletion-protection-enabled, then run the same command again; `--abort` puts everything back",
            self.cloud.region, self.unit.name
        );
        self.wrong(message, &hint)
    }

    /// What had the name is gone, and not by our doing.
    pub(super) fn went(&self, view: &View, table_id: &str) -> Step {
        match &view.occupant {
            Occupant::Ours { .. } => self.vanished(table_id),
            _ => self.gone_meanwhile(table_id),
        }
    }

    /// Turns deletion protection on or off, or finds that it is so.
    pub(super) async fn protect(
        &self,
        on: bool,
        view: &View,
        table_id: &str,
        fence: &dyn Fence,
    ) -> Result<Step, ProviderError> {
        let Some(found) = self.look().await?.0 else {
            return Ok(self.unsure().unwrap_or_else(|| self.went(view, table_id)));
        };
        if table::identity(&found) != table_id {
            return Err(self.taken(table_id, &found));
        }
        let table_id = table_id.to_owned();
        let switched = || match on {
            true => did("deletion protection is on", &Fact::Protected { table_id: table_id.clone() }),
            false => did("deletion protection is off", &Fact::Unprotected { table_id: table_id.clone() }),
        };
        if found.deletion_protection_enabled.unwrap_or(false) == on {
            return Ok(switched());
        }
        let call = self.cloud.dynamodb.update_table().table_name(&self.unit.name).deletion_protection_enabled(on);
        match self.cloud.act(self.context, &UPDATE_TABLE, &self.unit.name, fence, || call.send()).await {
            Ok(_) => Ok(switched()),
            Err(fault) => match fault.code.as_deref() {
                // The next look tells what has become of the table.
                Some("ResourceInUseException" | "ResourceNotFoundException") => {
                    Ok(self.wait(SOON, "waiting until the table can be changed"))
                }
                _ => Err(fault.error),
            },
        }
    }

    pub(super) fn intend_unscaled(&self, table_id: Option<String>) -> Step {
        intend(format!("stop auto scaling of {}", self.unit.name), &Deed::StopScaling { table_id }, None)
    }

    /// Resource and dimension of every target that scales the table or an index of it; those of the index names on record,
    /// where there is no table.
    pub(super) async fn scaled(
        &self,
        found: Option<&TableDescription>,
    ) -> Result<Vec<(String, String)>, ProviderError> {
        let there = found.map(|found| {
            found.global_secondary_indexes().iter().filter_map(|index| index.index_name.clone()).collect::<Vec<_>>()
        });
        let indexes = there.unwrap_or_else(|| Shape::of(&self.plan.capsule).indexes());
        let resources = scaling::resources(&self.unit.name, &indexes);
        let targets = scaling::targets(self.cloud, self.context, &resources).await?;
        let pair = |target: &serde_json::Value| {
            let text = |field: &str| target[field].as_str().map(str::to_owned);
            Some((text("ResourceId")?, text("ScalableDimension")?))
        };
        Ok(targets.iter().filter_map(pair).collect())
    }

    /// Deregisters them all. Each such call may be repeated; their settings are in the record of what was found. What is left
    /// of a table that somebody dropped would not act on the new one, and stand in the way of what does.
    pub(super) async fn stop_scaling(&self, table_id: Option<&str>, fence: &dyn Fence) -> Result<Step, ProviderError> {
        let found = self.look().await?.0;
        match &found {
            Some(found) if table_id != Some(table::identity(found).as_str()) => {
                return Err(self.taken(table_id.unwrap_or("the table that was deleted"), found));
            }
            Some(_) => {}
            None => {
                if let Some(wait) = self.unsure() {
                    return Ok(wait);
                }
            }
        }
        for (resource, dimension) in self.scaled(found.as_ref()).await? {
            let call = self.cloud.autoscaling.deregister_scalable_target().resource_id(&resource);
            let call = call.service_namespace(ServiceNamespace::Dynamodb);
            let call = call.scalable_dimension(ScalableDimension::from(dimension.as_str()));
            match self.cloud.act(self.context, &DEREGISTER_SCALABLE_TARGET, &resource, fence, || call.send()).await {
                Ok(_) => {}
                Err(fault) if fault.is("ObjectNotFoundException") => {}
                Err(fault) if fault.is("ConcurrentUpdateException") => {
                    return Ok(self.wait(SOON, "stopping auto scaling"));
                }
                Err(fault) => return Err(fault.error),
            }
        }
        Ok(did("auto scaling is stopped", &Fact::ScalingStopped))
    }

    /// Deletes the table of this TableId, or finds it gone. Only while all backups that take its place are AVAILABLE.
    pub(super) async fn delete(
        &self,
        way: Way,
        view: &View,
        table_id: &str,
        fence: &dyn Fence,
    ) -> Result<Step, ProviderError> {
        let Some(found) = self.look().await?.0 else {
            if let Some(wait) = self.unsure() {
                return Ok(wait);
            }
            let deleted = record("is deleted", &Fact::Deleted { table_id: table_id.to_owned() });
            return Ok(Step::Did(Record { slot: Some(self.slot()), ..deleted }));
        };
        if table::identity(&found) != table_id {
            return Err(self.taken(table_id, &found));
        }
        match found.table_status {
            Some(TableStatus::Deleting) => return Ok(self.wait(SOON, "deleting")),
            // What was to be deleted for a restore that is now undone stays.
            _ if way == Way::Back && view.old.as_deref() == Some(table_id) => {
                return Ok(did("stays", &Fact::Nothing));
            }
            // So does what was to be deleted on a way back that is now left.
            _ if way == Way::Forward && matches!(view.occupant, Occupant::Ours { back: false, .. }) => {
                return Ok(did("stays", &Fact::Nothing));
            }
            Some(TableStatus::Creating | TableStatus::Updating) => {
                return Ok(self.wait(SOON, "waiting until the table can be deleted"));
            }
            _ => {}
        }
        if found.deletion_protection_enabled == Some(true) {
            return Err(self.protected_again());
        }
        if let Some(wait) = self.replacement_is_there(way, view).await? {
            return Ok(wait);
        }
        let call = self.cloud.dynamodb.delete_table().table_name(&self.unit.name);
        let fence = Destroying(fence);
        match self.cloud.act(self.context, &DELETE_TABLE, &self.unit.name, &fence, || call.send()).await {
            Ok(_) => {
                self.cloud.absences.going(&self.unit.name);
                Ok(self.wait(SOON, "deleting"))
            }
            Err(fault) => match fault.code.as_deref() {
                Some("ResourceInUseException" | "ResourceNotFoundException" | "LimitExceededException") => {
                    Ok(self.wait(SOON, "deleting"))
                }
                Some("ValidationException") => {
                    Err(ProviderError { source: fault.error.source, ..self.protected_again() })
                }
                _ => Err(fault.error),
            },
        }
    }

    /// Looked at once more right before a table goes: the backup that is restored in its place, and its own.
    async fn replacement_is_there(&self, way: Way, view: &View) -> Result<Option<Step>, ProviderError> {
        match (way, view.old.as_deref()) {
            (Way::Back, None) => return self.may_be_taken_away(view).await.map(|()| None),
            (Way::Back, Some(id)) => return Ok(self.source(view, id).await?.err()),
            _ => {}
        }
        match (&view.safety, &view.occupant, view.old.as_deref()) {
            (Some(safety), ..) if !self.backup(&safety.arn).await?.is_some_and(|found| found.available) => {
                return Err(self.safety_gone(&safety.arn));
            }
            (Some(_), ..) => {}
            // What was put back goes once more, while what it was put back from is there.
            (None, Occupant::Ours { .. }, Some(id)) => {
                if let Err(wait) = self.source(view, id).await? {
                    return Ok(Some(wait));
                }
            }
            (None, ..) => self.recovery_is_on().await?,
        }
        self.prepared_is_there().await.map(|()| None)
    }

    /// The prepared backup is AVAILABLE, and of this run's point.
    pub(super) async fn prepared_is_there(&self) -> Result<(), ProviderError> {
        let arn = &self.plan.arn;
        let name = &self.unit.name;
        let problem = match self.backup(arn).await? {
            Some(found) if found.table_id != self.plan.staged_id => "is not of the table that it was prepared from",
            Some(found) if found.available => return Ok(()),
            Some(_) => "is not AVAILABLE",
            None => "is gone",
        };
        let message = format!("the backup of `{name}` {problem}: {arn}");
        let hint =
            "CloudTrail (DeleteBackup) says who deleted it; nothing of this table was deleted; restore another point";
        Err(self.wrong(message, hint))
    }
}
