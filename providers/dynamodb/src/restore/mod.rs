//! From prepared backups to the tables under their own names, one step of one table per call:
//!
//! ```text
//! found (TableId and settings kept) → safety backup → deletion protection off → scaling stopped → DeleteTable → gone
//!   → RestoreTableFromBackup → ACTIVE with all indexes → deletion protection on → settings, one by one → compared
//! ```
//!
//! What is deleted is the table whose TableId was recorded when it was found, while the backup that takes its place is
//! AVAILABLE, and so is its own safety backup. On the way forward no table is deleted that this run restored. The way back is
//! the same with the safety backup in the place of the prepared one: a table that was not deleted yet gets its protection and
//! its scaling back, any other is replaced by what its safety backup holds. Safety backups stay.

mod back;
mod journal;
mod plan;
mod preflight;
mod present;
mod quotas;
mod remove;
mod replace;
mod settle;
mod shape;

use crate::backups::{self, Described};
use crate::client::Cloud;
use crate::clock::Stopwatch;
use crate::limits::{DESCRIBE_TABLE, RESTORES_AT_ONCE};
use crate::prepare::{SOON, journal::read, slot};
use crate::settings::Config;
use crate::{DynamoDbProvider, table};
use aws_sdk_dynamodb::types::{TableDescription, TableStatus};
use journal::{Deed, Occupant, View};
use plan::Blueprint;
use provider_api::{
    Act, Context, DurableWork, ErrorKind, Fence, Intent, Poll, ProviderError, Restore, RestorePlan, RestoreRequest,
    Step, Unit, UnitState, Way,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The power to restore: a power of its own, because its steps are not those of prepare.
#[derive(Debug)]
pub(crate) struct Restoring(pub(crate) Arc<DynamoDbProvider>);

/// One table's step: everything it needs.
struct Table<'a> {
    cloud: &'a Cloud,
    config: &'a Config,
    context: &'a Context,
    unit: &'a Unit,
    plan: Blueprint,
}

#[async_trait::async_trait]
impl DurableWork for Restoring {
    fn slots(&self) -> BTreeMap<String, usize> {
        BTreeMap::from([(slot(&self.0.config), RESTORES_AT_ONCE)])
    }

    async fn step(
        &self,
        context: &Context,
        way: Way,
        unit: &Unit,
        state: &UnitState,
        act: Option<Act<'_>>,
    ) -> Result<Step, ProviderError> {
        let table = self.table(context, unit)?;
        let view = View::of(state)?;
        match act {
            Some(act) => table.act(way, &view, &read(&act.intent.what)?, act.fence).await,
            None if way == Way::Forward => table.forward(&view).await,
            None => table.back(&view).await,
        }
    }
}

#[async_trait::async_trait]
impl Restore for Restoring {
    fn units(&self, request: &RestoreRequest<'_>) -> Result<Vec<Unit>, ProviderError> {
        plan::units(request)
    }

    async fn preflight(&self, context: &Context, units: &[Unit]) -> Result<RestorePlan, Vec<ProviderError>> {
        preflight::run(&self.0, context, units).await
    }

    async fn way_back(
        &self,
        context: &Context,
        unit: &Unit,
        state: &UnitState,
        intent: Option<&Intent>,
    ) -> Result<(), ProviderError> {
        let deed = intent.map(|intent| read(&intent.what)).transpose()?;
        self.table(context, unit)?.way_back(&View::of(state)?, deed.as_ref()).await
    }
}

impl Restoring {
    fn table<'a>(&'a self, context: &'a Context, unit: &'a Unit) -> Result<Table<'a>, ProviderError> {
        let plan = plan::of(unit)?;
        Ok(Table { cloud: &self.0.cloud, config: &self.0.config, context, unit, plan })
    }
}

/// Lets a call through only where one that destroys may be sent.
struct Destroying<'a>(&'a dyn Fence);

#[async_trait::async_trait]
impl Fence for Destroying<'_> {
    async fn pass(&self) -> Result<(), ProviderError> {
        self.0.destroy().await
    }
}

impl Table<'_> {
    /// The next thing towards the table as it was at T, from what is recorded.
    async fn forward(&self, view: &View) -> Result<Step, ProviderError> {
        match &view.occupant {
            Occupant::Unknown => self.find().await,
            Occupant::Old(id) => match &view.safety {
                None if self.plan.safety_backup => self.intend_safety(id).await,
                Some(safety) if !safety.available => self.await_safety(id, safety).await,
                _ => self.clear_away(view, id).await,
            },
            Occupant::Nobody => self.intend_restore(view, self.plan.arn.clone(), false).await,
            Occupant::Ours { table_id, back: false } => self.complete(view, table_id, &self.plan.capsule).await,
            // The run was turned, and turned again because another table has no way back.
            Occupant::Ours { table_id, back: true } => self.take_away(view, table_id).await,
        }
    }

    async fn act(&self, way: Way, view: &View, deed: &Deed, fence: &dyn Fence) -> Result<Step, ProviderError> {
        match deed {
            Deed::SafetyBackup { table_id, name } => self.back_up(way, table_id, name, fence).await,
            Deed::Unprotect { table_id } => self.protect(false, view, table_id, fence).await,
            Deed::StopScaling { table_id } => self.stop_scaling(table_id.as_deref(), fence).await,
            Deed::Delete { table_id } => self.delete(way, view, table_id, fence).await,
            Deed::Restore { arn, since, back } => self.restore(way, view, arn, *since, *back, fence).await,
            Deed::Protect { table_id } => self.protect(true, view, table_id, fence).await,
            Deed::Apply { table_id } => self.apply(way, view, table_id, fence).await,
        }
    }

    /// What has the table's name now, and the second on the service's clock in which that was so. That nothing has it is
    /// only what was answered: see [`Table::unsure`].
    async fn look(&self) -> Result<(Option<TableDescription>, i64), ProviderError> {
        let watch = Stopwatch::new(&self.config.mono);
        let (name, client) = (&self.unit.name, &self.cloud.dynamodb);
        let send = || client.describe_table().table_name(name).customize().interceptor(watch.clone()).send();
        let found = match self.cloud.call(self.context, &DESCRIBE_TABLE, name, send).await {
            Ok(answer) => answer.table,
            Err(fault) if fault.error.kind == ErrorKind::NotFound => None,
            Err(fault) => return Err(fault.error),
        };
        let Some(second) = watch.second() else {
            let message = format!("answers of DynamoDB in {} have no usable Date header", self.cloud.region);
            let hint = "take away the proxy or cache that removes it or answers in DynamoDB's place";
            return Err(ProviderError::new(ErrorKind::Service, message, hint).about([name]));
        };
        match found.as_ref().map(|found| found.table_status.as_ref() == Some(&TableStatus::Deleting)) {
            Some(true) => self.cloud.absences.going(name),
            Some(false) => self.cloud.absences.found(name),
            None => {}
        }
        Ok((found, second))
    }

    /// Nothing was found under the table's name. Answers may lag: a table that was not seen going is looked for a while
    /// before anything is concluded. `None`: nothing has the name.
    fn unsure(&self) -> Option<Step> {
        let believed = self.cloud.absences.believed(&self.unit.name, self.config.time_scale);
        (!believed).then(|| self.wait(SOON, "making sure that nothing has the name"))
    }

    async fn backup(&self, arn: &str) -> Result<Option<Described>, ProviderError> {
        backups::describe(self.cloud, self.context, arn).await
    }

    fn slot(&self) -> String {
        slot(self.config)
    }

    fn wait(&self, poll: Poll, progress: impl Into<String>) -> Step {
        Step::Wait { poll, progress: progress.into() }
    }

    fn wrong(&self, message: String, hint: &str) -> ProviderError {
        ProviderError::new(ErrorKind::WrongState, message, hint).about([&self.unit.name])
    }

    /// Another table than the recorded one has the name: whose it is, is not ours to guess.
    fn taken(&self, expected: &str, found: &TableDescription) -> ProviderError {
        let message = format!(
            "a table `{}` with the TableId {} has taken the place of {expected}, and was left alone",
            self.unit.name,
            table::identity(found)
        );
        let hint = "find out who made it (CloudTrail: CreateTable, RestoreTableFromBackup); delete or rename it if it may go, \
                    then run the same command again";
        self.wrong(message, hint)
    }
}
