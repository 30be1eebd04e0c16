//! Retention: deletes the backups that `prepare` recorded, each by its ARN, and nothing else.
//!
//! Safety backups, SYSTEM backups and whatever others made have other ARNs, so no plan can name them.

use crate::DynamoDbProvider;
use crate::limits::{DELETE_BACKUP, DESCRIBE_BACKUP};
use crate::prepare::journal::{Deed, Fact, View, did, intend, read, record};
use crate::prepare::preflight::{Harmless, denied, nobodys_backup};
use crate::prepare::{SOON, backup_of, described_backup, plan};
use crate::together;
use provider_api::{Act, Context, DurableWork, ErrorKind, MadeSet, ProviderError, Prune, Step, Unit, UnitState, Way};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The power of [`Prune`].
#[derive(Debug)]
pub(crate) struct Retention(pub(crate) Arc<DynamoDbProvider>);

/// A backup of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Recorded {
    arn: String,
    /// Of the staging table that it was made of.
    table_id: String,
}

/// Every backup that the records name and do not say to be gone.
fn recorded(runs: &[UnitState]) -> Result<Vec<Recorded>, ProviderError> {
    let mut all: Vec<Recorded> = Vec::new();
    for state in runs {
        let view = View::of(state)?;
        for kept in view.kept.iter().filter(|kept| !kept.gone) {
            let table_id = view.staged.get(kept.of).map(|staged| staged.table_id.clone()).unwrap_or_default();
            all.push(Recorded { arn: kept.arn.clone(), table_id });
        }
    }
    Ok(all)
}

fn planned(unit: &Unit) -> Result<Vec<Recorded>, ProviderError> {
    serde_json::from_value(unit.what.clone()).map_err(|cause| {
        let message = format!("the plan for `{}` cannot be read", unit.name);
        let hint = "use the version of stillpoint that began this run";
        ProviderError::new(ErrorKind::Invalid, message, hint).caused_by(cause)
    })
}

#[async_trait::async_trait]
impl Prune for Retention {
    fn units(&self, made: &[MadeSet]) -> Result<Vec<Unit>, ProviderError> {
        let mut units = Vec::new();
        for set in made {
            let backups = recorded(&set.runs)?;
            if !backups.is_empty() {
                let what = serde_json::to_value(&backups).unwrap_or_default();
                units.push(Unit { name: set.name.clone(), id: set.id.clone(), after: Vec::new(), what });
            }
        }
        Ok(units)
    }

    async fn preflight(&self, context: &Context, units: &[Unit]) -> Result<(), ProviderError> {
        let Some(backup) = units.first().map(planned).transpose()?.and_then(|all| all.into_iter().next()) else {
            return Ok(());
        };
        // A backup in the same account that is not there: its name holds a fresh nonce.
        let table = backup.arn.split_once("/backup/").map_or(backup.arn.as_str(), |(table, _)| table);
        let nobody = nobodys_backup(table, &plan::staging_name(&plan::nonce(), "nobody"));
        let cloud = &self.0.cloud;
        let describe = cloud
            .call(context, &DESCRIBE_BACKUP, &nobody, || cloud.dynamodb.describe_backup().backup_arn(&nobody).send());
        denied(describe.await)?;
        let delete = cloud.dynamodb.delete_backup().backup_arn(&nobody);
        denied(cloud.act(context, &DELETE_BACKUP, &nobody, &Harmless, || delete.send()).await)
    }

    async fn missing(&self, context: &Context, made: &[MadeSet]) -> Result<Vec<(String, String)>, ProviderError> {
        let looks = made.iter().map(|set| async move {
            let ok = Ok::<_, ProviderError>;
            let Some(arn) = set.runs.last().and_then(backup_of) else {
                return ok(Some((set.name.clone(), "no backup of it is recorded".to_owned())));
            };
            let why = match described_backup(&self.0.cloud, context, &arn).await? {
                Some(found) if found.available => return Ok(None),
                Some(_) => format!("its backup is not AVAILABLE: {arn}"),
                None => format!("its backup is gone: {arn}"),
            };
            Ok(Some((set.name.clone(), why)))
        });
        Ok(together(looks).await?.into_iter().flatten().collect())
    }
}

#[async_trait::async_trait]
impl DurableWork for Retention {
    fn slots(&self) -> BTreeMap<String, usize> {
        BTreeMap::new()
    }

    async fn step(
        &self,
        context: &Context,
        way: Way,
        unit: &Unit,
        state: &UnitState,
        act: Option<Act<'_>>,
    ) -> Result<Step, ProviderError> {
        let backups = planned(unit)?;
        if way == Way::Back {
            let message = format!("what retention deleted of `{}` cannot be brought back", unit.name);
            return Err(ProviderError::new(ErrorKind::Invalid, message, "run `stillpoint prune` again to finish it"));
        }
        let gone: Vec<Fact> = state.records.iter().map(|record| read(&record.what)).collect::<Result<_, _>>()?;
        let is_gone =
            |one: &&Recorded| gone.iter().any(|fact| matches!(fact, Fact::BackupDeleted { arn } if *arn == one.arn));
        let next = backups.iter().find(|one| !is_gone(one));
        match (act, next) {
            (Some(act), _) => match read(&act.intent.what)? {
                Deed::DeleteBackup { arn } => self.delete(context, unit, &backups, &arn, act).await,
                other => Err(self.not_ours(unit, &format!("{other:?}"))),
            },
            (None, Some(next)) => {
                let deed = Deed::DeleteBackup { arn: next.arn.clone() };
                Ok(intend(format!("delete the backup {}", next.arn), &deed, None))
            }
            (None, None) => Ok(Step::Done(record("pruned: no backup is left", &Fact::Undone))),
        }
    }
}

impl Retention {
    /// Deletes it, or finds it gone. Looked at first: what is there must be of the staging table that was recorded.
    async fn delete(
        &self,
        context: &Context,
        unit: &Unit,
        backups: &[Recorded],
        arn: &str,
        act: Act<'_>,
    ) -> Result<Step, ProviderError> {
        let Some(ours) = backups.iter().find(|one| one.arn == arn) else {
            return Err(self.not_ours(unit, arn));
        };
        let deleted = || did(format!("deleted the backup {arn}"), &Fact::BackupDeleted { arn: arn.to_owned() });
        let cloud = &self.0.cloud;
        match described_backup(cloud, context, arn).await? {
            None => return Ok(deleted()),
            Some(found) if found.table_id != ours.table_id => return Err(self.not_ours(unit, arn)),
            Some(_) => {}
        }
        let call = cloud.dynamodb.delete_backup().backup_arn(arn);
        match cloud.act(context, &DELETE_BACKUP, arn, act.fence, || call.send()).await {
            Ok(_) => Ok(deleted()),
            Err(fault) if fault.error.kind == ErrorKind::NotFound => Ok(deleted()),
            Err(fault) if fault.is("BackupInUseException") => {
                let progress = "waiting until nothing is restored from the backup".to_owned();
                Ok(Step::Wait { poll: SOON, progress })
            }
            Err(fault) => Err(fault.error),
        }
    }

    fn not_ours(&self, unit: &Unit, what: &str) -> ProviderError {
        let message = format!("{what} is no backup that was recorded of `{}`, and was left alone", unit.name);
        ProviderError::new(ErrorKind::WrongState, message, "find out whose it is: aws dynamodb describe-backup")
            .about([&unit.name])
    }
}
