//! Deleting what this run made, by recorded identity only.

use super::journal::{Fact, View, did, record};
use super::{SOON, Table};
use crate::limits::{DELETE_BACKUP, DELETE_TABLE};
use crate::table;
use aws_sdk_dynamodb::types::TableStatus;
use provider_api::{ErrorKind, Fence, ProviderError, Step, Way};

impl Table<'_> {
    /// Deletes the staging table, or finds it gone. On the way forward only while its backup is AVAILABLE.
    pub(super) async fn drop_staging(
        &self,
        way: Way,
        view: &View,
        target: &str,
        table_id: &str,
        fence: &dyn Fence,
    ) -> Result<Step, ProviderError> {
        let dropped = || Fact::Dropped { target: target.to_owned() };
        let Some(found) = self.described(target).await? else {
            let young = view.staged.iter().any(|staged| staged.target == target && !staged.restored);
            if young && !self.believed_gone(target) {
                return Ok(self.wait(SOON, "making sure that the staging table is gone"));
            }
            return Ok(did(format!("{target} is deleted"), &dropped()));
        };
        let id = table::identity(&found);
        if id != table_id {
            let mut record = record(format!("{target} is deleted"), &dropped());
            record.warning = Some(format!(
                "a table `{target}` with the TableId {id} has taken the place of this run's {table_id} and was left alone: \
                 find out whose it is"
            ));
            return Ok(Step::Did(record));
        }
        match found.table_status {
            Some(TableStatus::Deleting) => return Ok(self.wait(SOON, "deleting the staging table")),
            Some(TableStatus::Creating | TableStatus::Updating) => {
                return Ok(self.wait(SOON, "waiting until the staging table can be deleted"));
            }
            _ => {}
        }
        if way == Way::Forward
            && self.plan.scratch.is_none()
            && let Some(gone) = self.backup_missing(view).await?
        {
            return Ok(gone);
        }
        let call = self.cloud.dynamodb.delete_table().table_name(target);
        match self.cloud.act(self.context, &DELETE_TABLE, target, fence, || call.send()).await {
            Ok(_) => Ok(self.wait(SOON, "deleting the staging table")),
            Err(fault) => match fault.code.as_deref() {
                Some("ResourceInUseException" | "ResourceNotFoundException" | "LimitExceededException") => {
                    Ok(self.wait(SOON, "deleting the staging table"))
                }
                Some("ValidationException") => {
                    let message = format!("the staging table `{target}` of `{}` cannot be deleted", self.unit.name);
                    let hint = format!(
                        "somebody protected it: aws dynamodb update-table --region {} --table-name {target} \
                         --no-deletion-protection-enabled; then run the same command again",
                        self.cloud.region
                    );
                    Err(ProviderError { source: fault.error.source, ..self.wrong(message, &hint) })
                }
                _ => Err(fault.error),
            },
        }
    }

    /// `None` while the backup of the current staging table is AVAILABLE.
    async fn backup_missing(&self, view: &View) -> Result<Option<Step>, ProviderError> {
        let Some((staged, Some(kept))) = view.current() else {
            let message = format!("there is no backup of `{}` yet, so its staging table stays", self.unit.name);
            return Err(self.wrong(message, "this is a defect; please report it"));
        };
        match self.described_backup(&kept.arn).await? {
            Some(found) if found.available && found.table_id == staged.table_id => Ok(None),
            _ => Ok(Some(self.backup_gone(&kept.arn))),
        }
    }

    pub(super) async fn delete_backup(&self, arn: &str, fence: &dyn Fence) -> Result<Step, ProviderError> {
        let deleted = did(format!("deleted the backup {arn}"), &Fact::BackupDeleted { arn: arn.to_owned() });
        let call = self.cloud.dynamodb.delete_backup().backup_arn(arn);
        match self.cloud.act(self.context, &DELETE_BACKUP, arn, fence, || call.send()).await {
            Ok(_) => Ok(deleted),
            Err(fault) if fault.error.kind == ErrorKind::NotFound => Ok(deleted),
            Err(fault) if fault.is("BackupInUseException") => Ok(self.wait(SOON, "waiting until the backup is free")),
            Err(fault) => Err(fault.error),
        }
    }
}
