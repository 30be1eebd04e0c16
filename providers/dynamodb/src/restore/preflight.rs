//! Whether the plan can work, found out by calls that change nothing. All that speaks against it is told together.

use super::plan::Blueprint;
use super::present::incomplete;
use super::quotas::Demand;
use super::shape::Shape;
use super::{Restoring, Table};
use crate::client::Cloud;
use crate::error::Fault;
use crate::limits::{CREATE_BACKUP, DEREGISTER_SCALABLE_TARGET, LIST_BACKUPS, RESTORE_TABLE_FROM_BACKUP, UPDATE_TABLE};
use crate::prepare::preflight::one_of_each_namespace;
use crate::{DynamoDbProvider, capture, discover, table, together};
use aws_sdk_applicationautoscaling::types::{ScalableDimension, ServiceNamespace};
use aws_sdk_dynamodb::types::{DeleteGlobalSecondaryIndexAction, GlobalSecondaryIndexUpdate, TableDescription};
use provider_api::{Capsule, Context, DataSet, ErrorKind, Fence, ProviderError, RestorePlan, Role, Unit};
use std::sync::Arc;

/// A call that cannot change anything needs no right to act.
struct Harmless;

#[async_trait::async_trait]
impl Fence for Harmless {
    async fn pass(&self) -> Result<(), ProviderError> {
        Ok(())
    }
}

/// What was found of one table.
struct Looked<'a> {
    unit: &'a Unit,
    plan: Blueprint,
    found: Option<TableDescription>,
    problems: Vec<ProviderError>,
}

pub(super) async fn run(
    provider: &Arc<DynamoDbProvider>,
    context: &Context,
    units: &[Unit],
) -> Result<RestorePlan, Vec<ProviderError>> {
    let restoring = Restoring(Arc::clone(provider));
    let looks = units.iter().map(|unit| look(&restoring, context, unit));
    let mut looked = together(looks).await.map_err(|error| vec![error])?;
    let mut problems: Vec<_> = looked.iter_mut().flat_map(|one| std::mem::take(&mut one.problems)).collect();
    let cloud = &provider.cloud;
    problems.extend(unreadable(cloud, context, &looked).await);
    problems.extend(denied_all(cloud, context, &looked).await);
    if !problems.is_empty() {
        return Err(alike_together(problems));
    }
    let deeds = looked.iter().map(|one| (one.unit.name.clone(), deeds(one))).collect();
    let mut warnings = newer(provider, context, units).await;
    warnings.extend(room(cloud, context, &looked).await);
    warnings.extend(kept(&looked));
    Ok(RestorePlan { deeds, warnings })
}

/// One table and its backup.
async fn look<'a>(restoring: &Restoring, context: &Context, unit: &'a Unit) -> Result<Looked<'a>, ProviderError> {
    let table = restoring.table(context, unit)?;
    let mut problems = Vec::new();
    let stop = |error: &ProviderError| {
        matches!(error.kind, ErrorKind::Credentials | ErrorKind::Cancelled | ErrorKind::Unreachable)
    };
    // A name that has no table is asked for once more, for the plan's sake: answers may lag. The run looks for longer.
    let looked = match table.look().await {
        Ok((None, _)) => table.look().await,
        other => other,
    };
    let found = match looked {
        Ok((found, _)) => found,
        Err(error) if stop(&error) => return Err(error),
        Err(error) => {
            problems.push(error);
            None
        }
    };
    if let Some(found) = &found {
        problems.extend(table.may_be_replaced(found).err());
        if !table.plan.safety_backup {
            match table.recovery_is_on().await {
                Ok(()) => {}
                Err(error) if stop(&error) => return Err(error),
                Err(error) => problems.push(error),
            }
        }
    }
    match table.prepared_is_there().await {
        Ok(()) => {}
        Err(error) if stop(&error) => return Err(error),
        Err(error) => problems.push(error),
    }
    problems.extend(capsule_is_complete(&table));
    let plan = table.plan;
    Ok(Looked { unit, plan, found, problems })
}

/// What was not known of the table when the point was made cannot be put back.
fn capsule_is_complete(table: &Table<'_>) -> Option<ProviderError> {
    let missing: Vec<_> = incomplete(&table.plan.capsule.unread).iter().map(|one| one.setting.clone()).collect();
    (!missing.is_empty()).then(|| {
        let message =
            format!("the settings of `{}` are not all in the point: {} is missing", table.unit.name, missing.join(", "));
        let hint = "they could not be read when the point was made, and a restore would drop them: restore a complete point, or \
                    restore by hand and put them back from where else they are written down";
        table.wrong(message, hint)
    })
}

/// The present settings are kept for the way back: all of them can be read.
async fn unreadable(cloud: &Cloud, context: &Context, looked: &[Looked<'_>]) -> Vec<ProviderError> {
    let there = looked.iter().filter(|one| one.found.is_some());
    let sets: Vec<_> = there.map(|one| DataSet { name: one.unit.name.clone(), role: Role::User }).collect();
    let capsules: Vec<Capsule> = match capture::capture(cloud, context, &sets).await {
        Ok(capsules) => capsules,
        // A table that went since is told by its next look.
        Err(error) if error.kind == ErrorKind::NotFound => return Vec::new(),
        Err(error) => return vec![error],
    };
    let problem = |capsule: &Capsule| {
        let unread = *incomplete(&capsule.unread).first()?;
        let message =
            format!("the present {} of `{}` cannot be read ({})", unread.setting, capsule.name, unread.reason);
        Some(ProviderError::new(ErrorKind::PermissionDenied, message, &unread.hint).about([&capsule.name]))
    };
    capsules.iter().filter_map(problem).collect()
}

/// Asks for each action in a way that changes nothing: a backup, a target and an index that are not there. Whether
/// a table may be deleted cannot be asked; a refusal then comes before anything is lost.
async fn denied_all(cloud: &Cloud, context: &Context, looked: &[Looked<'_>]) -> Vec<ProviderError> {
    let Some(first) = looked.first() else { return Vec::new() };
    let nobody = crate::prepare::plan::staging_name(&crate::prepare::plan::nonce(), "nobody");
    let mut problems = Vec::new();
    for one in one_of_each_namespace(looked, |one| &one.unit.name) {
        problems.extend(denied_restore(cloud, context, one).await);
    }
    let (client, name) = (&cloud.dynamodb, &first.unit.name);
    let list = cloud.call(context, &LIST_BACKUPS, name, || client.list_backups().table_name(name).send()).await;
    problems.extend(denied(list));
    let there: Vec<_> = looked.iter().filter(|one| one.found.is_some()).collect();
    for there in one_of_each_namespace(&there, |one| &one.unit.name) {
        problems.extend(denied_change(cloud, context, there, &nobody).await);
    }
    let resource = format!("table/{nobody}");
    let stop = cloud.autoscaling.deregister_scalable_target().service_namespace(ServiceNamespace::Dynamodb);
    let stop = stop.resource_id(&resource).scalable_dimension(ScalableDimension::DynamoDbTableReadCapacityUnits);
    problems
        .extend(denied(cloud.act(context, &DEREGISTER_SCALABLE_TARGET, &resource, &Harmless, || stop.send()).await));
    problems
}

/// A restore under the table's name, from a backup beside its own that is not there.
async fn denied_restore(cloud: &Cloud, context: &Context, one: &Looked<'_>) -> Option<ProviderError> {
    let backup = one.plan.arn.rsplit_once('/').map_or("", |(head, _)| head);
    let backup = format!("{backup}/01489173575360-b308cd7d");
    let restore = cloud.dynamodb.restore_table_from_backup().target_table_name(&one.unit.name).backup_arn(&backup);
    denied(cloud.act(context, &RESTORE_TABLE_FROM_BACKUP, &backup, &Harmless, || restore.send()).await)
}

/// Changes of the table that is there.
async fn denied_change(cloud: &Cloud, context: &Context, there: &Looked<'_>, nobody: &str) -> Vec<ProviderError> {
    let (client, name) = (&cloud.dynamodb, &there.unit.name);
    // Rights go by the table's name, so it must be this one; an index of that name it cannot have.
    let index = DeleteGlobalSecondaryIndexAction::builder().index_name(nobody).build().ok();
    let update = GlobalSecondaryIndexUpdate::builder().set_delete(index).build();
    let update = client.update_table().table_name(name).global_secondary_index_updates(update);
    let mut problems = Vec::new();
    problems.extend(denied(cloud.act(context, &UPDATE_TABLE, name, &Harmless, || update.send()).await));
    if there.plan.safety_backup {
        // Too short for a name.
        let back_up = client.create_backup().table_name(name).backup_name("x");
        problems.extend(denied(cloud.act(context, &CREATE_BACKUP, name, &Harmless, || back_up.send()).await));
    }
    problems
}

/// A refusal for lack of rights, or for lack of somebody to ask; every other answer is an answer.
fn denied<T>(answer: Result<T, Fault>) -> Option<ProviderError> {
    let refused = [ErrorKind::PermissionDenied, ErrorKind::Credentials, ErrorKind::Unreachable, ErrorKind::Cancelled];
    answer.err().map(|fault| fault.error).filter(|error| refused.contains(&error.kind))
}

/// Problems of the same meaning and the same remedy are one, about all the tables concerned.
fn alike_together(problems: Vec<ProviderError>) -> Vec<ProviderError> {
    let mut told: Vec<ProviderError> = Vec::new();
    for problem in problems {
        match told.iter_mut().find(|one| one.kind == problem.kind && one.hint == problem.hint) {
            Some(one) if one.message == problem.message => {}
            Some(one) => {
                one.message = format!("{}; {}", one.message, problem.message);
                one.subjects.extend(problem.subjects);
            }
            None => told.push(problem),
        }
    }
    told
}

fn deeds(one: &Looked<'_>) -> String {
    let shape = Shape::of(&one.plan.capsule).text();
    let restored = format!("restored from {} as {shape}", one.plan.arn);
    match &one.found {
        None => format!("is not there: would be {restored}"),
        Some(found) => {
            let id = table::identity(found);
            let before = if one.plan.safety_backup { "backed up as it is now, " } else { "" };
            format!("would be {before}deleted (TableId {id}) and {restored}")
        }
    }
}

/// What stays of the tables as they are now, and until when.
fn kept(looked: &[Looked<'_>]) -> Option<String> {
    let one = looked.iter().find(|one| one.found.is_some())?;
    if one.plan.safety_backup {
        return Some(
            "the backups `rp-...-before-...` of the tables as they are now stay until you delete them: nothing here does"
                .to_owned(),
        );
    }
    let arn = Shape::of(&one.plan.capsule).arn().unwrap_or(&one.unit.name);
    Some(format!(
        "without safety backups the last resort is what DynamoDB keeps for 35 days of a deleted table with point-in-time \
         recovery: {arn}/backup/..., named {}$DeletedTableBackup (aws dynamodb list-backups --backup-type SYSTEM)",
        one.unit.name
    ))
}

/// Whether the account has room for what is made.
async fn room(cloud: &Cloud, context: &Context, looked: &[Looked<'_>]) -> Vec<String> {
    let mut demand = Demand::default();
    looked.iter().for_each(|one| demand.add(&one.plan.capsule, one.found.as_ref()));
    match discover::existing(cloud, context).await {
        Ok(there) => demand.warnings(&cloud.region, &there),
        Err(error) => vec![format!("whether the account has room for these tables cannot be told: {error}")],
    }
}

/// Tables that the point does not have stay as they are; but ScalarDB's metadata of T knows nothing of them.
async fn newer(provider: &DynamoDbProvider, context: &Context, units: &[Unit]) -> Vec<String> {
    let now = match discover::present(&provider.cloud, &provider.config, context).await {
        Ok(now) => now,
        Err(error) => {
            let why = format!("{}; {}", error.message, error.hint);
            return vec![format!("whether there are tables newer than the point cannot be told: {why}")];
        }
    };
    let known = |name: &str| units.iter().any(|unit| unit.name == name);
    let new = now.into_iter().filter(|name| !known(name));
    new.map(|name| {
        format!("`{name}` is not in the point: it is kept as it is, but ScalarDB's metadata of then does not know it")
    })
    .collect()
}
