//! The table as it is before anything is done: looked at, its settings kept, its safety backup made.

use super::Table;
use super::journal::{Deed, Fact, Safety, did, intend, record};
use crate::backups::{self, ours};
use crate::limits::CREATE_BACKUP;
use crate::prepare::{SOON, plan};
use crate::{capture, confirm, table};
use aws_sdk_dynamodb::types::{BackupTypeFilter, TableDescription};
use provider_api::{ErrorKind, Fence, ProviderError, Step, Unread, Way};
use std::time::Duration;

/// Settings that are kept only to be compared: they belong to the name and stay.
const COMPARED: &str = "alarms";

/// A backup may lack what was written up to a minute before it was asked for.
const LAST_WRITES: Duration = Duration::from_secs(60);

/// What could not be read of settings that have to be put back.
pub(super) fn incomplete(unread: &[Unread]) -> Vec<&Unread> {
    unread.iter().filter(|unread| unread.setting != COMPARED).collect()
}

impl Table<'_> {
    /// Keeps identity and settings of what is there, if it may be replaced.
    pub(super) async fn find(&self) -> Result<Step, ProviderError> {
        let (Some(found), _) = self.look().await? else {
            if let Some(wait) = self.unsure() {
                return Ok(wait);
            }
            return Ok(did("is not there", &Fact::Found { table_id: None, capsule: None }));
        };
        self.may_be_replaced(&found)?;
        if !self.plan.safety_backup {
            self.recovery_is_on().await?;
        }
        let capsule = capture::alone(self.cloud, self.context, &self.unit.name).await?;
        if capsule.id != table::identity(&found) {
            return Ok(self.wait(SOON, "it was replaced while it was looked at: once more"));
        }
        if let Some(unread) = incomplete(&capsule.unread).first() {
            let message = format!(
                "the present {} of `{}` could not be read ({}), so it could not be put back",
                unread.setting, self.unit.name, unread.reason
            );
            return Err(ProviderError::new(ErrorKind::PermissionDenied, message, &unread.hint).about([&self.unit.name]));
        }
        let table_id = Some(capsule.id.clone());
        let text = format!("found with the TableId {}", capsule.id);
        Ok(did(text, &Fact::Found { table_id, capsule: Some(Box::new(capsule)) }))
    }

    /// Why the table that is there must not be replaced, or not now.
    pub(super) fn may_be_replaced(&self, found: &TableDescription) -> Result<(), ProviderError> {
        let name = &self.unit.name;
        let id = table::identity(found);
        if id != self.unit.id && !self.plan.accept_recreated {
            let message =
                format!("`{name}` is not the table of the point: its TableId is {id}, {} was recorded", self.unit.id);
            let hint =
                "it was made anew or restored since; when it may be replaced all the same, add --accept-recreated";
            return Err(self.wrong(message, hint));
        }
        if !found.replicas().is_empty() {
            let message = format!("`{name}` is a global table with {} replica(s)", found.replicas().len());
            let hint = "remove its replicas first: a table with replicas cannot be replaced by a restore";
            return Err(self.wrong(message, hint));
        }
        let status = found.table_status.as_ref();
        match status.and_then(table::trouble) {
            Some((why, hint, passes)) => Err(self.wrong(format!("`{name}` {why}"), hint).retryable(passes)),
            None => Ok(()),
        }
    }

    /// Without a safety backup, what DynamoDB keeps of a deleted table is the only way back, and it keeps nothing of one
    /// without point-in-time recovery.
    pub(super) async fn recovery_is_on(&self) -> Result<(), ProviderError> {
        let name = &self.unit.name;
        let read = capture::continuous_backups(self.cloud, self.context, name).await;
        // "Not found" of a table that was there a moment ago says nothing: asked again.
        let read = read.map_err(|fault| match fault.error.kind {
            ErrorKind::NotFound => fault.error.retryable(true),
            _ => fault.error,
        })?;
        if read["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED" {
            return Ok(());
        }
        let message = format!(
            "point-in-time recovery is off on `{name}`: without a safety backup nothing would be left of it once it is deleted"
        );
        let turn_on = confirm::turn_on(std::slice::from_ref(name), &self.cloud.region, self.cloud.dynamodb_endpoint());
        let hint =
            format!("turn it on: {turn_on}; or restore without --no-safety-backup, what has begun after --abort");
        Err(ProviderError::new(ErrorKind::PitrOff, message, hint).about([name]))
    }

    pub(super) async fn intend_safety(&self, table_id: &str) -> Result<Step, ProviderError> {
        let name = plan::backup_name(&plan::nonce(), &format!("before-{}", self.plan.label));
        let text = format!("back up {} as it is now, as {name}", self.unit.name);
        Ok(intend(text, &Deed::SafetyBackup { table_id: table_id.to_owned(), name }, None))
    }

    /// Acts on the stored intent, or finds the backup that it had made.
    pub(super) async fn back_up(
        &self,
        way: Way,
        table_id: &str,
        name: &str,
        fence: &dyn Fence,
    ) -> Result<Step, ProviderError> {
        let making = |arn: String| {
            did(format!("making the safety backup {arn}"), &Fact::SafetyMaking { arn, name: name.to_owned() })
        };
        let listed = backups::of_table(self.cloud, self.context, &self.unit.name, BackupTypeFilter::User).await?;
        if let Some(arn) = listed.into_iter().find_map(|found| ours(found, table_id, &[name])) {
            return Ok(making(arn));
        }
        if way == Way::Back {
            return Ok(did("no safety backup had begun", &Fact::Nothing));
        }
        match self.look().await?.0 {
            None => return Ok(self.unsure().unwrap_or_else(|| self.gone_meanwhile(table_id))),
            Some(found) if table::identity(&found) != table_id => return Err(self.taken(table_id, &found)),
            Some(_) => {}
        }
        // Asked once for all tables: this process has found the pods stopped before it came to the first of them.
        if !self.cloud.waited.since_first("the last writes", LAST_WRITES, self.config.time_scale) {
            return Ok(self.wait(SOON, "waiting until the last writes are sure to be in the safety backup"));
        }
        let call = self.cloud.dynamodb.create_backup().table_name(&self.unit.name).backup_name(name);
        match self.cloud.act(self.context, &CREATE_BACKUP, &self.unit.name, fence, || call.send()).await {
            Ok(answer) => Ok(match answer.backup_details {
                Some(details) => making(details.backup_arn),
                None => self.wait(SOON, "safety backup asked for"),
            }),
            Err(fault) => match fault.code.as_deref() {
                // The next look tells what has become of the table.
                Some(
                    "ContinuousBackupsUnavailableException"
                    | "BackupInUseException"
                    | "TableInUseException"
                    | "TableNotFoundException",
                ) => Ok(self.wait(SOON, "waiting until the table can be backed up")),
                _ => Err(fault.error),
            },
        }
    }

    /// Until it is AVAILABLE.
    pub(super) async fn await_safety(&self, table_id: &str, safety: &Safety) -> Result<Step, ProviderError> {
        match self.backup(&safety.arn).await? {
            Some(found) if found.table_id != table_id => {
                let message = format!("the safety backup {} is of another table than {table_id}", safety.arn);
                Err(self.wrong(message, "`stillpoint restore ID --abort`, and find out who made that table"))
            }
            Some(found) if found.available => {
                Ok(did(format!("safety backup: {}", safety.arn), &Fact::SafetyMade { arn: safety.arn.clone() }))
            }
            Some(_) => Ok(self.wait(SOON, "making the safety backup")),
            None => Err(self.safety_gone(&safety.arn)),
        }
    }

    pub(super) fn safety_gone(&self, arn: &str) -> ProviderError {
        let message = format!("the safety backup of `{}` is gone: {arn}", self.unit.name);
        let hint = "somebody deleted it (CloudTrail: DeleteBackup). The table is still there: `stillpoint restore ID --abort` \
                    leaves it as it is, then begin anew";
        self.wrong(message, hint)
    }

    /// Somebody else deleted what was found.
    pub(super) fn gone_meanwhile(&self, table_id: &str) -> Step {
        let mut record = record("is gone", &Fact::Gone { table_id: table_id.to_owned() });
        record.warning = Some(format!(
            "somebody else deleted `{}` (TableId {table_id}) while it was to be replaced: see CloudTrail for DeleteTable",
            self.unit.name
        ));
        Step::Did(record)
    }
}
