//! Making the backup of a staging table, and finding out which backups are ours.

use super::journal::{Deed, Fact, Kept, Staged, View, did, intend, record};
use super::{SOON, Table, plan};
use crate::backups::{self, Described, ours};
use crate::limits::CREATE_BACKUP;
use crate::table;
use aws_sdk_dynamodb::types::{BackupSummary, BackupTypeFilter};
use provider_api::{Fence, ProviderError, Step, Way};

impl Table<'_> {
    pub(super) fn intend_backup(&self, staged: &Staged) -> Step {
        let name = plan::backup_name(&plan::nonce(), &self.plan.label);
        let text = format!("back up {} as {name}", staged.target);
        let deed = Deed::BackUp { target: staged.target.clone(), table_id: staged.table_id.clone(), name };
        intend(text, &deed, None)
    }

    /// Acts on the stored intent, or finds the backup that it had made. Names need not be unique for the service; this
    /// one has a nonce, and counts together with the TableId.
    pub(super) async fn back_up(
        &self,
        way: Way,
        target: &str,
        table_id: &str,
        name: &str,
        fence: &dyn Fence,
    ) -> Result<Step, ProviderError> {
        let making = |arn: String| did(format!("backing up {target}"), &Fact::BackingUp { arn, name: name.to_owned() });
        if let Some(arn) = self.backups(target).await?.into_iter().find_map(|found| ours(found, table_id, &[name])) {
            return Ok(making(arn));
        }
        if way == Way::Back {
            // Its name is kept: should the backup turn up after all, it is known for ours.
            return Ok(match self.believed_gone(name) {
                true => did("no backup had begun", &Fact::Nothing { name: Some(name.to_owned()) }),
                false => self.wait(SOON, "making sure that no backup had begun"),
            });
        }
        let call = self.cloud.dynamodb.create_backup().table_name(target).backup_name(name);
        match self.cloud.act(self.context, &CREATE_BACKUP, target, fence, || call.send()).await {
            Ok(answer) => match answer.backup_details {
                Some(details) => Ok(making(details.backup_arn)),
                None => Ok(self.wait(SOON, "backup asked for")),
            },
            Err(fault) => match fault.code.as_deref() {
                Some("ContinuousBackupsUnavailableException" | "BackupInUseException") => {
                    Ok(self.wait(SOON, "waiting until the restored table can be backed up"))
                }
                // The table itself says whether that will pass.
                Some("TableInUseException" | "TableNotFoundException") => match self.described(target).await? {
                    None => Ok(self.vanished(target, Some(name))),
                    Some(found) => match found.table_status.as_ref().and_then(table::trouble) {
                        Some((why, hint, false)) => Err(self.staging_trouble(target, why, hint)),
                        _ => Ok(self.wait(SOON, "waiting until the restored table can be backed up")),
                    },
                },
                _ => Err(fault.error),
            },
        }
    }

    /// Until it is AVAILABLE.
    pub(super) async fn await_backup(&self, staged: &Staged, kept: &Kept) -> Result<Step, ProviderError> {
        match self.described_backup(&kept.arn).await? {
            None if !self.believed_gone(&kept.arn) => Ok(self.wait(SOON, "looking at the new backup")),
            None => Ok(self.backup_gone(&kept.arn)),
            Some(found) if found.table_id != staged.table_id => {
                let message = format!(
                    "the backup {} is of a table with the TableId {}, not of this run's {}",
                    kept.arn, found.table_id, staged.table_id
                );
                let hint =
                    "somebody replaced the staging table: find out who; `stillpoint prepare ID --abort` undoes the run";
                Err(self.wrong(message, hint))
            }
            Some(found) if found.available => {
                Ok(did(format!("backed up: {}", kept.arn), &Fact::Available { arn: kept.arn.clone() }))
            }
            Some(_) => Ok(self.wait(SOON, "backing up")),
        }
    }

    /// The staging table is gone: is the backup there, and is it the only one of ours? An answer that was lost or late can
    /// have left a second one.
    pub(super) async fn look_back(&self, view: &View, staged: &Staged, kept: &Kept) -> Result<Step, ProviderError> {
        if let Some(arn) = self.stray_backup(view, Some(&kept.arn)).await? {
            return Ok(super::intend_delete_backup(&arn));
        }
        match self.described_backup(&kept.arn).await? {
            Some(found) if found.available && found.table_id == staged.table_id => {
                let fact = Fact::Prepared {
                    arn: kept.arn.clone(),
                    name: kept.name.clone(),
                    target: staged.target.clone(),
                    table_id: staged.table_id.clone(),
                };
                Ok(Step::Done(record(format!("prepared: {}", kept.arn), &fact)))
            }
            _ => Ok(self.backup_gone(&kept.arn)),
        }
    }

    pub(super) fn backup_gone(&self, arn: &str) -> Step {
        let message = format!("the backup of `{}` is gone: {arn}", self.unit.name);
        let hint = "somebody deleted it: see CloudTrail for DeleteBackup; then run `stillpoint prepare` again, which makes another";
        let record = record("the backup is gone", &Fact::BackupGone { arn: arn.to_owned() });
        Step::Failed(record, self.wrong(message, hint))
    }

    /// A backup of a staging table of ours, under a name that we recorded, that no record holds: made by a call whose answer
    /// was lost. Backups that others made of our staging tables are not ours.
    pub(super) async fn stray_backup(&self, view: &View, but: Option<&str>) -> Result<Option<String>, ProviderError> {
        let names: Vec<&str> = view.names.iter().map(String::as_str).collect();
        if names.is_empty() {
            return Ok(None);
        }
        for staged in &view.staged {
            let listed = self.backups(&staged.target).await?;
            let mut stray = listed.into_iter().filter_map(|found| ours(found, &staged.table_id, &names));
            if let Some(arn) = stray.find(|arn| Some(arn.as_str()) != but) {
                return Ok(Some(arn));
            }
        }
        Ok(None)
    }

    /// All backups that people made of tables that had this name.
    async fn backups(&self, table: &str) -> Result<Vec<BackupSummary>, ProviderError> {
        backups::of_table(self.cloud, self.context, table, BackupTypeFilter::User).await
    }

    /// `None`: there is no such backup.
    pub(super) async fn described_backup(&self, arn: &str) -> Result<Option<Described>, ProviderError> {
        backups::describe(self.cloud, self.context, arn).await
    }
}
