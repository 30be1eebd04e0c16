//! Restoring a backup under the table's own name, and finding out whether what has that name is this run's.

use super::Table;
use super::journal::{Deed, Fact, View, did, intend, record};
use super::shape::Shape;
use crate::error::{Again, Fault};
use crate::limits::RESTORE_TABLE_FROM_BACKUP;
use crate::prepare::{RESTORE, SOON};
use crate::table;
use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::operation::restore_table_from_backup::builders::RestoreTableFromBackupFluentBuilder;
use aws_sdk_dynamodb::types::{BillingMode, IndexStatus, TableDescription, TableStatus};
use provider_api::{Capsule, ErrorKind, Fence, ProviderError, Record, Step, Way};

/// How long an intent to restore is acted on, in seconds of the service's clock. A table of the name that was made in this
/// time, after the name had been seen free, is ours even when its lineage cannot be read any more.
const ACTED_ON: i64 = 60;
/// By how much clocks of the service may differ from each other, and a call may be late, in seconds.
const TOLERANCE: i64 = 15;
/// Between a refusal and the next call, in seconds.
const AFTER_REFUSAL: f64 = 30.0;
/// A call that is throttled is made again for so long before its refusal is known, at most, in seconds.
const WITHIN_A_CALL: i64 = 120;
/// How long there may be no room: somebody else's restores take an hour at times. In seconds.
const PATIENCE_FOR_ROOM: f64 = 2.0 * 3600.0;

/// No restore is over so soon, in seconds: what is ACTIVE by then was made empty. The shortest of many took 81 s.
const SHORTEST: f64 = 40.0;

/// The backup that it is being restored from, as long as that can be read.
fn lineage(found: &TableDescription) -> Option<&str> {
    found.restore_summary.as_ref()?.source_backup_arn.as_deref()
}

/// Seconds on the service's clock: of the look that found the name free before the intent, and of the present one.
struct Intended {
    since: i64,
    now: i64,
    back: bool,
}

/// Whether what was created then, and is ACTIVE by `now`, can be what was asked for after `since`.
fn is_in_time(created: f64, since: i64, now: i64, shortest: f64) -> bool {
    let (first, last) = (since - TOLERANCE, since + ACTED_ON + TOLERANCE);
    // `now` is a whole second, of which any part may have passed.
    (first as f64..=last as f64 + 1.0).contains(&created) && (now + 1) as f64 - created >= shortest
}

impl Table<'_> {
    /// The name is free, for a restore within [`ACTED_ON`], and nothing scales it.
    pub(super) async fn intend_restore(&self, view: &View, arn: String, back: bool) -> Result<Step, ProviderError> {
        let (found, since) = self.look().await?;
        match found {
            Some(found) if found.table_status == Some(TableStatus::Deleting) => {
                return Ok(self.wait(SOON, "waiting until the name is free"));
            }
            Some(found) => return Err(self.taken("the table that was deleted", &found)),
            None => {}
        }
        if let Some(wait) = self.too_early(view, since) {
            return Ok(wait);
        }
        if !view.unscaled && !self.scaled(None).await?.is_empty() {
            return Ok(self.intend_unscaled(None));
        }
        let text = format!("restore {} from {arn}", self.unit.name);
        let slot = (!view.has_slot).then(|| self.slot());
        Ok(intend(text, &Deed::Restore { arn, since, back }, slot))
    }

    /// Acts on the stored intent, or finds that it had been acted on.
    pub(super) async fn restore(
        &self,
        way: Way,
        view: &View,
        arn: &str,
        since: i64,
        back: bool,
        fence: &dyn Fence,
    ) -> Result<Step, ProviderError> {
        let (found, now) = self.look().await?;
        if let Some(found) = found {
            return self.adopt(view, &found, arn, Intended { since, now, back });
        }
        let undone = back != (way == Way::Back);
        if undone || now > since + ACTED_ON {
            if let Some(wait) = self.unsure() {
                return Ok(wait);
            }
            let text = if undone { "no restore had begun" } else { "no restore has begun: once more" };
            let nothing = record(text, &Fact::Nothing);
            return Ok(Step::Did(Record { slot: Some(self.slot()), ..nothing }));
        }
        let capsule = if back { view.old_settings.as_deref() } else { Some(&self.plan.capsule) };
        let call = self.cloud.dynamodb.restore_table_from_backup().target_table_name(&self.unit.name).backup_arn(arn);
        let call = match capsule.map(|capsule| overrides(call.clone(), capsule)) {
            Some(built) => built.map_err(|cause| self.unbuilt(cause))?,
            None => call,
        };
        // From here on a table may come to be, at any moment, under a name that was free for long.
        self.cloud.absences.found(&self.unit.name);
        match self.cloud.act(self.context, &RESTORE_TABLE_FROM_BACKUP, arn, fence, || call.send()).await {
            Ok(answer) => match answer.table_description {
                Some(table) if table.table_id.is_some() => Ok(self.restoring(&table, arn, back)),
                _ => Ok(self.wait(SOON, "restore asked for")),
            },
            Err(fault) => self.not_restored(view, arn, back, now, fault).await,
        }
    }

    fn unbuilt(&self, cause: BuildError) -> ProviderError {
        let message = format!("the indexes of `{}` in its settings make no sense", self.unit.name);
        ProviderError::new(ErrorKind::Invalid, message, "this is a defect; please report it").caused_by(cause)
    }

    /// What became of a call that was not answered with a table. Only after one whose outcome is unknown the intent stays open:
    /// what has the name afterwards could not be told from ours otherwise, once its lineage is gone.
    async fn not_restored(
        &self,
        view: &View,
        arn: &str,
        back: bool,
        now: i64,
        fault: Fault,
    ) -> Result<Step, ProviderError> {
        match fault.code.as_deref() {
            Some("TableInUseException" | "TableAlreadyExistsException") => self.name_is_in_use(arn, back).await,
            // One backup serves one restore at a time.
            Some("BackupInUseException") => Ok(self.refused(view, now, "waiting until the backup is free".to_owned())),
            Some("BackupNotFoundException") if back => {
                let error = self.no_way_back(&format!("the backup of it is gone: {arn}"));
                Ok(self.not_begun(ProviderError { source: fault.error.source, ..error }))
            }
            Some("BackupNotFoundException") => {
                let message =
                    format!("`{}` is deleted, and the backup to restore it from is gone: {arn}", self.unit.name);
                let hint = format!(
                    "the last resort is the backup that DynamoDB made by itself: aws dynamodb list-backups --region {} \
                     --backup-type SYSTEM --table-name {}; restore it under the table's name",
                    self.cloud.region, self.unit.name
                );
                Ok(self.not_begun(ProviderError { source: fault.error.source, ..self.wrong(message, &hint) }))
            }
            Some(code) if fault.again == Again::Throttled => {
                let error = match code {
                    "LimitExceededException" => self.no_room(fault.error),
                    _ => fault.error,
                };
                match now - self.refused_since(view, now) > self.scaled_seconds(PATIENCE_FOR_ROOM) {
                    true => Ok(self.not_begun(error)),
                    false => Ok(self.refused(view, now, format!("waiting for room: {}", error.message))),
                }
            }
            Some(_) if fault.again != Again::Transient => Ok(self.not_begun(fault.error)),
            _ => Err(fault.error),
        }
    }

    fn no_room(&self, error: ProviderError) -> ProviderError {
        ProviderError {
            message: format!("no room for another restore: of {} in {}", self.unit.name, self.cloud.region),
            hint:
                "an account restores 50 tables at once and has 2,500 tables unless a quota was raised: wait for other \
                   restores, or delete tables that are not needed; then run it again"
                    .to_owned(),
            ..error
        }
    }

    /// The name was free right before. What has it now is ours, from a call whose answer was lost, or another's. A restore takes
    /// more than a minute, so that one of ours still shows its lineage.
    async fn name_is_in_use(&self, arn: &str, back: bool) -> Result<Step, ProviderError> {
        match self.look().await?.0 {
            Some(found) if lineage(&found) == Some(arn) => Ok(self.restoring(&found, arn, back)),
            Some(found) if found.table_status != Some(TableStatus::Deleting) => {
                let nothing = record("something else has the name", &Fact::Nothing);
                Ok(Step::Did(Record { slot: Some(self.slot()), ..nothing }))
            }
            _ => Ok(self.wait(SOON, "looking at the new table")),
        }
    }

    /// Nothing was begun. It will be asked for once more, after the name has been seen free again.
    fn refused(&self, view: &View, now: i64, why: String) -> Step {
        let first = self.refused_since(view, now);
        let refused = record(why.clone(), &Fact::Refused { first, last: now, why });
        Step::Did(Record { slot: Some(self.slot()), ..refused })
    }

    /// The first of the refusals that follow each other. An older one is of an earlier process.
    fn refused_since(&self, view: &View, now: i64) -> i64 {
        let in_a_row = now - self.scaled_seconds(10.0 * AFTER_REFUSAL) - WITHIN_A_CALL;
        view.refused.as_ref().filter(|refused| refused.last >= in_a_row).map_or(now, |refused| refused.first)
    }

    /// Nothing was begun, and a person is needed.
    fn not_begun(&self, error: ProviderError) -> Step {
        Step::Failed(record("no restore has begun", &Fact::Nothing), error)
    }

    /// Whether it is too early to ask again after a refusal.
    fn too_early(&self, view: &View, now: i64) -> Option<Step> {
        let refused = view.refused.as_ref()?;
        // A clock that says less than it did is another front end's.
        let early = now < refused.last + self.scaled_seconds(AFTER_REFUSAL);
        early.then(|| self.wait(SOON, refused.why.clone()))
    }

    fn scaled_seconds(&self, seconds: f64) -> i64 {
        (seconds / self.config.time_scale).ceil() as i64
    }

    /// Something has the name: is it what this intent asked for?
    fn adopt(
        &self,
        view: &View,
        found: &TableDescription,
        arn: &str,
        Intended { since, now, back }: Intended,
    ) -> Result<Step, ProviderError> {
        if found.table_status == Some(TableStatus::Deleting) {
            return Ok(self.wait(SOON, "waiting until the name is free"));
        }
        let ours = match (&found.table_status, lineage(found)) {
            (_, Some(from)) => from == arn,
            (Some(TableStatus::Creating), None) => false,
            // The summary is gone once it is ACTIVE. Then it is ours if it was made just after we saw the name free, and is
            // as the restore would have made it.
            (_, None) => {
                let capsule = if back { view.old_settings.as_deref() } else { Some(&self.plan.capsule) };
                let created = found.creation_date_time.map_or(f64::MIN, |created| created.as_secs_f64());
                let shortest = SHORTEST / self.config.time_scale;
                is_in_time(created, since, now, shortest)
                    && capsule.is_some_and(|capsule| Shape::of(capsule).misfit(found).is_none())
            }
        };
        match ours && view.old.as_deref() != Some(&table::identity(found)) {
            true => Ok(self.restoring(found, arn, back)),
            false => Err(self.taken("the table that was deleted", found)),
        }
    }

    fn restoring(&self, found: &TableDescription, arn: &str, back: bool) -> Step {
        let fact = Fact::Restoring { table_id: table::identity(found), arn: arn.to_owned(), back };
        let record = record(format!("restoring from {arn}"), &fact);
        Step::Did(Record { slot: Some(self.slot()), ..record })
    }

    /// Until the restored table is ACTIVE with every index.
    pub(super) async fn await_active(&self, table_id: &str, capsule: &Capsule) -> Result<Step, ProviderError> {
        let Some(found) = self.look().await?.0 else {
            return Ok(self.unsure().unwrap_or_else(|| self.vanished(table_id)));
        };
        if table::identity(&found) != table_id {
            return Err(self.taken(table_id, &found));
        }
        let status = found.table_status.clone().unwrap_or(TableStatus::from("absent"));
        let in_progress = found.restore_summary.as_ref().is_some_and(|summary| summary.restore_in_progress);
        match status {
            TableStatus::Creating => return Ok(self.wait(RESTORE, "restoring")),
            TableStatus::Active if in_progress => return Ok(self.wait(RESTORE, "restoring")),
            TableStatus::Active => {}
            TableStatus::Updating | TableStatus::Deleting => return Ok(self.wait(SOON, "restoring")),
            other => {
                let (why, hint, _) = table::trouble(&other).unwrap_or(("is in no state to be used", "", false));
                return Err(self.wrong(format!("the restored `{}` {why}", self.unit.name), hint));
            }
        }
        let ready =
            found.global_secondary_indexes().iter().all(|index| index.index_status == Some(IndexStatus::Active));
        if !ready {
            return Ok(self.wait(SOON, "restoring indexes"));
        }
        if let Some(misfit) = Shape::of(capsule).misfit(&found) {
            let message = format!("the restored `{}` is not as it was recorded: {misfit}", self.unit.name);
            let hint = "`stillpoint restore ID --abort` puts back what was there before";
            return Err(self.wrong(message, hint));
        }
        Ok(did("restored", &Fact::Active { table_id: table_id.to_owned() }))
    }

    /// CREATING and then not found, or deleted by somebody.
    pub(super) fn vanished(&self, table_id: &str) -> Step {
        let message = format!("the restored table `{}` (TableId {table_id}) is gone", self.unit.name);
        let hint = "its KMS key or the permission to use it was missing, or somebody deleted it: see CloudTrail; then run the \
                    same command again, which restores it anew";
        let record = record("the restored table vanished", &Fact::Vanished { table_id: table_id.to_owned() });
        Step::Failed(record, self.wrong(message, hint))
    }
}

/// Billing mode and every capacity from the capsule: prepared backups say on-demand, and an index that is not listed beside
/// others would not be restored. The key too.
fn overrides(
    mut call: RestoreTableFromBackupFluentBuilder,
    capsule: &Capsule,
) -> Result<RestoreTableFromBackupFluentBuilder, BuildError> {
    let shape = Shape::of(capsule);
    if let Some(throughput) = shape.throughput()? {
        call = call.billing_mode_override(BillingMode::Provisioned).provisioned_throughput_override(throughput);
        for index in shape.global_indexes()? {
            call = call.global_secondary_index_override(index);
        }
    } else {
        call = call.billing_mode_override(BillingMode::PayPerRequest);
    }
    Ok(call.set_sse_specification_override(shape.key()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_created_before_or_long_after_the_intent_or_is_active_too_soon_is_not_what_was_asked_for() {
        let in_time = |created, now| is_in_time(created, 1_000, now, SHORTEST);
        assert!(in_time(1_002.5, 1_082) && in_time(1_060.0, 1_200) && in_time(990.0, 2_000));
        assert!(!in_time(984.9, 1_100), "before");
        assert!(!in_time(1_076.5, 1_200), "after");
        assert!(!in_time(1_002.5, 1_003) && !in_time(1_002.5, 1_041), "no restore is as fast");
    }
}
