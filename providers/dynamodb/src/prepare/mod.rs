//! From a sealed point to on-demand backups, one step of one table per call:
//!
//! ```text
//! name free → RestoreTableToPointInTime(T) → ACTIVE with all indexes → CreateBackup → AVAILABLE → DeleteTable → gone → looked at
//! ```
//!
//! The table itself is only read. What is deleted is a staging table with the TableId that this run recorded, or a backup
//! of such a table under the name that this run recorded; everything else is left alone, and named. After a lost answer or a
//! crash each step finds out by looking whether its call had acted, and adopts what is ours.

mod backup;
mod drill;
pub(crate) mod journal;
pub(crate) mod plan;
pub(crate) mod preflight;
mod remove;
mod restore;

use crate::DynamoDbProvider;
use crate::client::Cloud;
pub(crate) use crate::limits::LONGEST_NAME;
use crate::limits::RESTORES_AT_ONCE;
use crate::settings::Config;
use journal::{Deed, Fact, View, intend, read, record};
use plan::Blueprint;
pub(crate) use plan::staging_name;
use provider_api::{
    Act, Context, DurableWork, ErrorKind, Fence, Poll, Prepare, PrepareRequest, ProviderError, Step, Unit, UnitState,
    Way,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// A restore takes a minute and a half at least, mostly under a quarter of an hour, seldom more than one.
pub(crate) const RESTORE: Poll =
    Poll { first: Duration::from_secs(60), then: Duration::from_secs(10), last: Duration::from_secs(15) };
/// Everything else takes seconds.
pub(crate) const SOON: Poll =
    Poll { first: Duration::from_secs(2), then: Duration::from_secs(2), last: Duration::from_secs(15) };

/// One table's step: everything it needs.
struct Table<'a> {
    cloud: &'a Cloud,
    config: &'a Config,
    context: &'a Context,
    unit: &'a Unit,
    plan: Blueprint,
}

#[async_trait::async_trait]
impl DurableWork for DynamoDbProvider {
    fn slots(&self) -> BTreeMap<String, usize> {
        BTreeMap::from([(slot(&self.config), RESTORES_AT_ONCE)])
    }

    async fn step(
        &self,
        context: &Context,
        way: Way,
        unit: &Unit,
        state: &UnitState,
        act: Option<Act<'_>>,
    ) -> Result<Step, ProviderError> {
        let plan = plan::of(unit)?;
        let view = View::of(state)?;
        let table = Table { cloud: &self.cloud, config: &self.config, context, unit, plan };
        match act {
            Some(act) => table.act(way, &view, &read(&act.intent.what)?, act.fence).await,
            None if way == Way::Forward => table.forward(&view).await,
            None => table.back(&view).await,
        }
    }
}

#[async_trait::async_trait]
impl Prepare for DynamoDbProvider {
    fn units(&self, request: &PrepareRequest<'_>) -> Result<Vec<Unit>, ProviderError> {
        plan::units(request)
    }

    async fn preflight(&self, context: &Context, units: &[Unit]) -> Result<Vec<String>, ProviderError> {
        preflight::run(&self.cloud, &self.config, context, units).await
    }
}

pub(crate) use crate::backups::describe as described_backup;

/// The backup with which the records of a table end, if it was prepared.
pub(crate) fn backup_of(state: &UnitState) -> Option<String> {
    match state.records.last().map(|record| read(&record.what)) {
        Some(Ok(Fact::Prepared { arn, .. })) => Some(arn),
        _ => None,
    }
}

/// Restores count by account and region.
pub(crate) fn slot(config: &Config) -> String {
    format!("restores in {}", config.region)
}

impl Table<'_> {
    /// The next thing towards a backup, from what is recorded.
    async fn forward(&self, view: &View) -> Result<Step, ProviderError> {
        if let Some(scratch) = &self.plan.scratch {
            return self.towards_nothing(view, scratch).await;
        }
        match view.current() {
            // Once the backup is made its staging table goes; a backup that went since is made anew from the beginning.
            Some((staged, Some(kept))) if staged.gone => self.look_back(view, staged, kept).await,
            None => self.begin().await,
            Some((staged, _)) if staged.gone => self.begin().await,
            Some((staged, _)) if !staged.restored => self.await_restore(staged).await,
            Some((staged, None)) => Ok(self.intend_backup(staged)),
            Some((staged, Some(kept))) if !kept.available => self.await_backup(staged, kept).await,
            Some((staged, Some(_))) => Ok(intend_drop(staged)),
        }
    }

    /// The next thing towards nothing of ours: backups first, while their table can still be looked up beside them.
    async fn back(&self, view: &View) -> Result<Step, ProviderError> {
        if let Some(kept) = view.kept.iter().find(|kept| !kept.gone) {
            return Ok(intend_delete_backup(&kept.arn));
        }
        if let Some(staged) = view.staged.iter().find(|staged| !staged.gone) {
            return Ok(intend_drop(staged));
        }
        if let Some(arn) = self.stray_backup(view, None).await? {
            return Ok(intend_delete_backup(&arn));
        }
        Ok(Step::Done(record("undone: nothing of this run is left", &Fact::Undone)))
    }

    async fn act(&self, way: Way, view: &View, deed: &Deed, fence: &dyn Fence) -> Result<Step, ProviderError> {
        match deed {
            Deed::Restore { target, since, .. } => self.restore(way, target, *since, fence).await,
            Deed::BackUp { target, table_id, name } => self.back_up(way, target, table_id, name, fence).await,
            Deed::Drop { target, table_id } => self.drop_staging(way, view, target, table_id, fence).await,
            Deed::DeleteBackup { arn } => self.delete_backup(arn, fence).await,
        }
    }

    fn wait(&self, poll: Poll, progress: impl Into<String>) -> Step {
        Step::Wait { poll, progress: progress.into() }
    }

    /// Whether something that was not found is gone, or may only not be seen yet.
    fn believed_gone(&self, what: &str) -> bool {
        self.cloud.absences.believed(what, self.config.time_scale)
    }

    fn lost(&self, reason: &str) -> ProviderError {
        let message = format!("`{}` can no longer be restored to T: {reason}", self.unit.name);
        let hint = "make a new restore point; `stillpoint prepare ID --abort` removes what was made for this one";
        ProviderError::new(ErrorKind::Lost, message, hint).about([&self.unit.name])
    }

    fn wrong(&self, message: String, hint: &str) -> ProviderError {
        ProviderError::new(ErrorKind::WrongState, message, hint).about([&self.unit.name])
    }
}

fn intend_drop(staged: &journal::Staged) -> Step {
    let deed = Deed::Drop { target: staged.target.clone(), table_id: staged.table_id.clone() };
    intend(format!("delete the staging table {} (TableId {})", staged.target, staged.table_id), &deed, None)
}

fn intend_delete_backup(arn: &str) -> Step {
    intend(format!("delete the backup {arn}"), &Deed::DeleteBackup { arn: arn.to_owned() }, None)
}
