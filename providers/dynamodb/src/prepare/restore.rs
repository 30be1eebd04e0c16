//! Restoring a table to T under a staging name, and finding out whether a restore is ours.

use super::journal::{Deed, Fact, Staged, did, intend, record};
use super::{RESTORE, SOON, Table, plan};
use crate::error::Fault;
use crate::limits::RESTORE_TABLE_TO_POINT_IN_TIME;
use crate::names;
use crate::restorable;
use crate::settings::Staging;
use crate::table;
use aws_sdk_dynamodb::types::{BillingMode, IndexStatus, SseSpecification, SseType, TableDescription, TableStatus};
use aws_smithy_types::DateTime;
use provider_api::{ErrorKind, Fence, ProviderError, Record, RecordedSet, Restorability, Step, UnixNanos, Way};

impl Table<'_> {
    /// The table is as it was recorded, can be restored to T, and a name for its copy is free.
    pub(super) async fn begin(&self) -> Result<Step, ProviderError> {
        let since = match self.source_or_backup().await? {
            Ok(since) => since,
            Err(wait) => return Ok(wait),
        };
        let target = match &self.plan.scratch {
            None => plan::staging_name(&plan::nonce(), &self.unit.name),
            Some(scratch) => names::prefixed(&scratch.prefix, &self.unit.name),
        };
        if self.described(&target).await?.is_some() {
            return match &self.plan.scratch {
                None => Ok(self.wait(SOON, "looking for a free name")),
                Some(_) => Err(self.taken(&target)),
            };
        }
        let deed = Deed::Restore { target: target.clone(), at: self.plan.at, since };
        Ok(intend(format!("restore {} to {target}", self.unit.name), &deed, Some(self.slot())))
    }

    /// A moment on the service's clock that has passed, if there is something to restore from.
    async fn source_or_backup(&self) -> Result<Result<UnixNanos, Step>, ProviderError> {
        match self.plan.scratch.as_ref().and_then(|scratch| scratch.backup.as_ref()) {
            None => self.source().await,
            Some(arn) => self.backup_made(arn).await.map(Ok),
        }
    }

    /// Latest restorable moment of the table, if it can be restored to T: a moment on the service's clock that has passed.
    async fn source(&self) -> Result<Result<UnixNanos, Step>, ProviderError> {
        let seen = match table::look(self.cloud, self.context, &self.unit.name).await {
            Ok(seen) => {
                self.cloud.absences.found(&self.unit.name);
                Some(seen)
            }
            Err(fault) if fault.error.kind != ErrorKind::NotFound => return Err(fault.error),
            Err(_) if self.believed_gone(&self.unit.name) => None,
            Err(_) => return Ok(Err(self.wait(SOON, "looking for the table"))),
        };
        let recorded = RecordedSet { name: self.unit.name.clone(), id: self.unit.id.clone() };
        let judged = restorable::judge(&recorded, seen.as_ref(), self.plan.at, self.config.time_scale);
        let status = seen.as_ref().map(|seen| seen.status.clone());
        match judged {
            Restorability::Lost { reason } => Err(self.lost(&reason)),
            Restorability::NotYet { .. } => Ok(Err(self.wait(RESTORE, "waiting until T can be restored"))),
            Restorability::Ok => {
                if let Some((why, hint, passes)) = status.as_ref().and_then(table::trouble) {
                    let message = format!("`{}` {why}", self.unit.name);
                    return Err(self.wrong(message, hint).retryable(passes));
                }
                let to = seen.and_then(|seen| match seen.pitr {
                    table::Pitr::On { to, .. } => to,
                    table::Pitr::Off => None,
                });
                Ok(Ok(to.unwrap_or(UnixNanos(0))))
            }
        }
    }

    /// Acts on the stored intent, or finds that it had been acted on.
    pub(super) async fn restore(
        &self,
        way: Way,
        target: &str,
        since: UnixNanos,
        fence: &dyn Fence,
    ) -> Result<Step, ProviderError> {
        if let Some(found) = self.described(target).await? {
            return Ok(self.adopt(target, since, &found));
        }
        if way == Way::Back {
            return Ok(match self.believed_gone(target) {
                true => did("no restore had begun", &Fact::Nothing { name: None }),
                false => self.wait(SOON, "making sure that no restore had begun"),
            });
        }
        if let Some(arn) = self.plan.scratch.as_ref().and_then(|scratch| scratch.backup.as_ref()) {
            return self.restore_backup(arn, target, since, fence).await;
        }
        let client = &self.cloud.dynamodb;
        let mut call = client.restore_table_to_point_in_time();
        call = call.source_table_name(&self.unit.name).target_table_name(target);
        // Always a whole second: what the service does with fractions is not documented.
        call = call.restore_date_time(DateTime::from_secs(self.plan.at.0));
        if self.plan.capacity.is_some() && self.config.staging == Staging::OnDemand {
            // This one override switches the indexes as well. One that lists indexes could leave one out.
            call = call.billing_mode_override(BillingMode::PayPerRequest);
        }
        if let Some(key) = &self.plan.key {
            let key = SseSpecification::builder().enabled(true).sse_type(SseType::Kms).kms_master_key_id(key);
            call = call.sse_specification_override(key.build());
        }
        let sent =
            self.cloud.act(self.context, &RESTORE_TABLE_TO_POINT_IN_TIME, &self.unit.name, fence, || call.send()).await;
        match sent {
            Ok(answer) => match answer.table_description {
                Some(table) if table.table_id.is_some() => Ok(self.adopt(target, since, &table)),
                _ => Ok(self.wait(SOON, "restore asked for")),
            },
            Err(fault) => self.restore_failed(fault).await,
        }
    }

    pub(super) async fn restore_failed(&self, fault: Fault) -> Result<Step, ProviderError> {
        match fault.code.as_deref() {
            // Ours, from a lost answer, or another's: the next look tells.
            Some("TableInUseException" | "TableAlreadyExistsException") => {
                Ok(self.wait(SOON, "looking at the new table"))
            }
            Some(
                "InvalidRestoreTimeException" | "PointInTimeRecoveryUnavailableException" | "TableNotFoundException",
            ) => {
                // The table itself says what is wrong; when it says that nothing is, it will pass.
                match self.source().await? {
                    Ok(_) => Ok(self.wait(SOON, format!("the restore was refused for now ({})", fault.reason()))),
                    Err(wait) => Ok(wait),
                }
            }
            Some("LimitExceededException") => {
                let error = ProviderError {
                    message: format!(
                        "no room for another restore: of {} in {}",
                        self.unit.name, self.cloud.region
                    ),
                    hint: "an account restores 50 tables at once and has 2,500 tables unless a quota was raised: wait for \
                           other restores, delete tables that are not needed, or ask for a higher quota; then run it again"
                        .to_owned(),
                    ..fault.error
                };
                Err(error)
            }
            _ => Err(fault.error),
        }
    }

    /// A table of the intended name is there: is it ours?
    pub(super) fn adopt(&self, target: &str, since: UnixNanos, found: &TableDescription) -> Step {
        if found.table_status == Some(TableStatus::Deleting) {
            return self.wait(SOON, "the new name is being deleted");
        }
        let summary = found.restore_summary.as_ref();
        let backup = self.plan.scratch.as_ref().and_then(|scratch| scratch.backup.as_deref());
        let from_backup = summary.and_then(|summary| summary.source_backup_arn.as_deref());
        let arn = summary.and_then(|summary| summary.source_table_arn.as_deref()).filter(|_| backup.is_none());
        let at = summary.map(|summary| table::nanos(summary.restore_date_time));
        // The summary is there only while it is CREATING; keys, age and the nonce in its name speak for it afterwards.
        let lineage = match backup {
            Some(backup) => summary.is_none() || from_backup == Some(backup),
            None => {
                arn.is_none_or(|arn| arn == self.plan.arn)
                    && at.is_none_or(|at| at.0.div_euclid(1_000_000_000) == self.plan.at.0)
            }
        };
        let creating = found.table_status == Some(TableStatus::Creating);
        let age = found.creation_date_time.is_none_or(|created| table::nanos(created) >= since);
        let indexes = creating || self.plan.missing_indexes(found).is_empty();
        if !(lineage && age && indexes && self.plan.keys_fit(found) && (summary.is_some() || !creating)) {
            let text = format!("the name {target} has been taken by another table");
            let mut record = record(text, &Fact::Foreign { target: target.to_owned() });
            record.warning = Some(format!(
                "table `{target}` is not a restore of `{}` by this run and was left alone: find out whose it is",
                self.unit.name
            ));
            return Step::Did(record);
        }
        let fact = Fact::Restoring {
            target: target.to_owned(),
            table_id: table::identity(found),
            source_arn: arn.map(str::to_owned),
            at,
        };
        let text = format!("restoring to {target}");
        Step::Did(Record { slot: Some(self.slot()), ..record(text, &fact) })
    }

    fn slot(&self) -> String {
        super::slot(self.config)
    }

    /// Until it is ACTIVE with every index.
    pub(super) async fn await_restore(&self, staged: &Staged) -> Result<Step, ProviderError> {
        let Some(found) = self.described(&staged.target).await? else {
            return Ok(match self.believed_gone(&staged.target) {
                true => self.vanished(&staged.target, None),
                false => self.wait(SOON, "looking at the new table"),
            });
        };
        self.cloud.absences.found(&staged.target);
        if table::identity(&found) != staged.table_id {
            return Ok(self.vanished(&staged.target, None));
        }
        let status = found.table_status.clone().unwrap_or(TableStatus::from("absent"));
        let in_progress = found.restore_summary.as_ref().is_some_and(|summary| summary.restore_in_progress);
        match status {
            TableStatus::Creating => return Ok(self.wait(RESTORE, "restoring")),
            TableStatus::Active if in_progress => return Ok(self.wait(RESTORE, "restoring")),
            TableStatus::Active => {}
            TableStatus::Updating | TableStatus::Deleting => return Ok(self.wait(SOON, "restoring")),
            other => {
                let (why, hint, _) = table::trouble(&other).unwrap_or(("is in no state to be backed up", "", false));
                return Err(self.staging_trouble(&staged.target, why, hint));
            }
        }
        let ready =
            found.global_secondary_indexes().iter().all(|index| index.index_status == Some(IndexStatus::Active));
        if !ready {
            return Ok(self.wait(SOON, "restoring indexes"));
        }
        let missing = self.plan.missing_indexes(&found);
        if !missing.is_empty() || !self.plan.keys_fit(&found) {
            let message = format!(
                "the staging table `{}` is not like `{}`: {}",
                staged.target,
                self.unit.name,
                if missing.is_empty() { "other keys".to_owned() } else { format!("without {}", missing.join(", ")) }
            );
            return Err(self.wrong(message, "the same command with --abort removes it; then make a new restore point"));
        }
        Ok(did(format!("restored to {}", staged.target), &Fact::Restored { target: staged.target.clone() }))
    }

    /// The staging table is in a state that does not pass.
    pub(super) fn staging_trouble(&self, target: &str, why: &str, hint: &str) -> ProviderError {
        self.wrong(format!("the staging table `{target}` of `{}` {why}", self.unit.name), hint)
    }

    /// CREATING and then not found: the service gave up.
    pub(super) fn vanished(&self, target: &str, backup: Option<&str>) -> Step {
        let message = format!("the restore of `{}` to `{target}` ended without a table", self.unit.name);
        let hint = "the table's KMS key or the permission to use it was missing, or somebody deleted the new table: see \
                    CloudTrail; then run the same command again, which begins this table anew";
        let record = record(
            format!("{target} vanished"),
            &Fact::Vanished { target: target.to_owned(), name: backup.map(str::to_owned) },
        );
        Step::Failed(record, self.wrong(message, hint))
    }

    /// A table as it is now; `None` if there is none.
    pub(super) async fn described(&self, name: &str) -> Result<Option<TableDescription>, ProviderError> {
        match table::describe(self.cloud, self.context, name).await {
            Ok(found) => Ok(Some(found)),
            Err(fault) if fault.error.kind == ErrorKind::NotFound => Ok(None),
            Err(fault) => Err(fault.error),
        }
    }
}
