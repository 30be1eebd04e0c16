//! A copy to look at: restored under a scratch name, and removed again. It has the journal, the adoption and the way back of
//! a staging table; it is made of a backup where there is one, and no backup is made of it.

use super::journal::{Fact, Staged, View, record};
use super::plan::{self, Scratch};
use super::{SOON, Table, intend_drop, preflight};
use crate::DynamoDbProvider;
use crate::limits::RESTORE_TABLE_FROM_BACKUP;
use crate::names;
use aws_sdk_dynamodb::types::BillingMode;
use provider_api::{
    Context, Drill, DrillRequest, ErrorKind, Fence, PrepareRequest, ProviderError, RecordedSet, Step, Unit, UnitState,
    UnixNanos,
};
use std::collections::BTreeSet;

#[async_trait::async_trait]
impl Drill for DynamoDbProvider {
    fn copies(&self, request: &DrillRequest<'_>) -> Result<Vec<Unit>, ProviderError> {
        check(request)?;
        let DrillRequest { label, at, sets, capsules, .. } = *request;
        let mut units = plan::units(&PrepareRequest { label, at, sets, capsules })?;
        for unit in &mut units {
            let backup = request.backups.get(&unit.name).cloned();
            let scratch = Scratch { prefix: request.prefix.to_owned(), backup, keep: request.keep };
            let blueprint = plan::Blueprint { scratch: Some(scratch), ..plan::of(unit)? };
            unit.what = serde_json::to_value(&blueprint).unwrap_or_default();
        }
        Ok(units)
    }

    async fn may_copy(&self, context: &Context, units: &[Unit]) -> Result<Vec<String>, ProviderError> {
        preflight::may_copy(&self.cloud, context, units).await?;
        Ok(Vec::new())
    }

    fn is_ready(&self, state: &UnitState) -> bool {
        let view = View::of(state).unwrap_or_default();
        view.current().is_some_and(|(staged, _)| staged.restored && !staged.gone)
    }

    fn copy(&self, state: &UnitState) -> Option<RecordedSet> {
        let view = View::of(state).ok()?;
        let (staged, _) = view.current()?;
        Some(RecordedSet { name: staged.target.clone(), id: staged.table_id.clone() })
    }
}

/// The prefix can be one, hides the copies from ScalarDB, and every table has its backup or none has.
fn check(request: &DrillRequest<'_>) -> Result<(), ProviderError> {
    names::check_prefix(request.prefix)?;
    let namespaces: BTreeSet<&str> = request.sets.iter().filter_map(|set| Some(set.name.split_once('.')?.0)).collect();
    if let Some(namespace) = namespaces.into_iter().find(|namespace| request.prefix.starts_with(namespace)) {
        let message = format!("the prefix `{}` begins with ScalarDB's namespace `{namespace}`", request.prefix);
        let hint = "ScalarDB would take the copies for its own tables: choose another --prefix";
        return Err(ProviderError::new(ErrorKind::Invalid, message, hint));
    }
    let without = request.sets.iter().filter(|set| !request.backups.contains_key(&set.name));
    let without: Vec<_> = without.map(|set| set.name.clone()).collect();
    if !request.backups.is_empty() && !without.is_empty() {
        let message = format!("there is no backup of {}", without.join(", "));
        let hint = "the point's record is not whole: `stillpoint show ID --all` lists its backups";
        return Err(ProviderError::new(ErrorKind::NotFound, message, hint).about(without));
    }
    Ok(())
}

impl Table<'_> {
    /// The next thing towards a copy, and from there to none.
    pub(super) async fn towards_nothing(&self, view: &View, scratch: &Scratch) -> Result<Step, ProviderError> {
        match view.current() {
            Some((staged, _)) if !staged.restored && !staged.gone => self.await_restore(staged).await,
            Some((staged, _)) if staged.restored && staged.gone => Ok(self.tried_out(staged)),
            Some((staged, _)) if staged.restored && scratch.keep => Ok(self.kept(staged)),
            Some((staged, _)) if staged.restored => Ok(intend_drop(staged)),
            // Nothing yet, or it vanished.
            _ => self.begin().await,
        }
    }

    fn tried_out(&self, staged: &Staged) -> Step {
        Step::Done(record(format!("looked at, and {} removed", staged.target), &Fact::Undone))
    }

    fn kept(&self, staged: &Staged) -> Step {
        Step::Done(record(format!("looked at; {} stays", staged.target), &Fact::Nothing { name: None }))
    }

    /// Somebody has a table of a name that holds this run's own nonce.
    pub(super) fn taken(&self, target: &str) -> ProviderError {
        let message = format!(
            "the name `{target}` for the copy of `{}` is taken by a table that is not this run's",
            self.unit.name
        );
        let hint =
            "find out whose it is; `stillpoint drill ID --abort` ends this drill, and the next takes other names";
        self.wrong(message, hint)
    }

    /// When the backup was made, which is past, if it is there to be restored from.
    pub(super) async fn backup_made(&self, arn: &str) -> Result<UnixNanos, ProviderError> {
        match self.described_backup(arn).await? {
            Some(found) if found.available => Ok(found.made),
            _ => Err(self.no_backup(arn)),
        }
    }

    fn no_backup(&self, arn: &str) -> ProviderError {
        let message = format!("the backup of `{}` is not there, or not AVAILABLE: {arn}", self.unit.name);
        let hint =
            "somebody deleted it: see CloudTrail for DeleteBackup; this point cannot be restored from its backups";
        self.wrong(message, hint)
    }

    pub(super) async fn restore_backup(
        &self,
        arn: &str,
        target: &str,
        since: UnixNanos,
        fence: &dyn Fence,
    ) -> Result<Step, ProviderError> {
        let call = self.cloud.dynamodb.restore_table_from_backup().backup_arn(arn).target_table_name(target);
        // No capacity that is paid for by the hour, whatever the backup says.
        let call = call.billing_mode_override(BillingMode::PayPerRequest);
        match self.cloud.act(self.context, &RESTORE_TABLE_FROM_BACKUP, &self.unit.name, fence, || call.send()).await {
            Ok(answer) => match answer.table_description {
                Some(table) if table.table_id.is_some() => Ok(self.adopt(target, since, &table)),
                _ => Ok(self.wait(SOON, "restore asked for")),
            },
            Err(fault) => match fault.code.as_deref() {
                Some("BackupInUseException") => Ok(self.wait(SOON, "waiting until the backup is free")),
                Some("BackupNotFoundException") => Err(self.no_backup(arn)),
                _ => self.restore_failed(fault).await,
            },
        }
    }
}
