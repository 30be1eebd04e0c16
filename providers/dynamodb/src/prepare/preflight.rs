//! Whether the plan can work, found out by calls that change nothing.

use super::plan::{self, Blueprint};
use crate::client::Cloud;
use crate::error::Fault;
use crate::limits::{
    ACCOUNT_CAPACITY, BATCH_GET_ITEM, CREATE_BACKUP, DELETE_BACKUP, DELETE_TABLE, DESCRIBE_BACKUP, LIST_BACKUPS,
    RESTORE_TABLE_FROM_BACKUP, RESTORE_TABLE_TO_POINT_IN_TIME, SCAN,
};
use crate::names;
use crate::settings::{Config, Staging};
use crate::verify::PARTITION_KEY;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use aws_smithy_types::DateTime;
use provider_api::{Context, ErrorKind, Fence, ProviderError, Unit};
use std::collections::{BTreeSet, HashMap};

/// A call that cannot change anything needs no right to act.
pub(crate) struct Harmless;

#[async_trait::async_trait]
impl Fence for Harmless {
    async fn pass(&self) -> Result<(), ProviderError> {
        Ok(())
    }
}

pub(super) async fn run(
    cloud: &Cloud,
    config: &Config,
    context: &Context,
    units: &[Unit],
) -> Result<Vec<String>, ProviderError> {
    let plans = units.iter().map(plan::of).collect::<Result<Vec<_>, _>>()?;
    if let Some(plan) = plans.first() {
        may_all(cloud, context, units, plan).await?;
    }
    Ok(capacity_warning(config, &plans).into_iter().chain(name_warning(units)).collect())
}

/// The same of a drill: restores, the deletion of a copy, and reading one, for which the copies are made.
pub(super) async fn may_copy(cloud: &Cloud, context: &Context, units: &[Unit]) -> Result<(), ProviderError> {
    let Some(unit) = units.first() else { return Ok(()) };
    let plan = plan::of(unit)?;
    let client = &cloud.dynamodb;
    let prefix = plan.scratch.as_ref().map_or("", |scratch| scratch.prefix.as_str());
    // Under the prefix, so that rights for it are what is asked for.
    let nobody = names::prefixed(prefix, "nobody");
    match plan.scratch.as_ref().and_then(|scratch| scratch.backup.as_ref()) {
        Some(backup) => {
            // Beside the backup, one that is not there: nothing can be restored from it, whatever became of the table.
            let folder = backup.rsplit_once('/').map_or(backup.as_str(), |(folder, _)| folder);
            let absent = format!("{folder}/01489173575360-b308cd7d");
            let look = || client.describe_backup().backup_arn(&absent).send();
            denied(cloud.call(context, &DESCRIBE_BACKUP, &absent, look).await)?;
            let call = client.restore_table_from_backup().backup_arn(&absent).target_table_name(&nobody);
            denied(cloud.act(context, &RESTORE_TABLE_FROM_BACKUP, &unit.name, &Harmless, || call.send()).await)?;
        }
        None => may_restore(cloud, context, units, &nobody).await?,
    }
    let drop = client.delete_table().table_name(&nobody);
    denied(cloud.act(context, &DELETE_TABLE, &nobody, &Harmless, || drop.send()).await)?;
    may_read(cloud, context, &nobody).await
}

/// The two ways in which verification reads.
async fn may_read(cloud: &Cloud, context: &Context, nobody: &str) -> Result<(), ProviderError> {
    let client = &cloud.dynamodb;
    denied(cloud.call(context, &SCAN, nobody, || client.scan().table_name(nobody).limit(1).send()).await)?;
    let key = HashMap::from([(PARTITION_KEY.to_owned(), AttributeValue::B(Blob::new([0])))]);
    let keys = KeysAndAttributes::builder().keys(key).build().map_err(|cause| {
        ProviderError::new(ErrorKind::Invalid, "a look at a copy cannot be asked for", "report this defect")
            .caused_by(cause)
    })?;
    let look = || client.batch_get_item().request_items(nobody, keys.clone()).send();
    denied(cloud.call(context, &BATCH_GET_ITEM, nobody, look).await)
}

/// One of each namespace: policies name tables by namespace, and one that was forgotten would stop the work half-way.
pub(crate) fn one_of_each_namespace<T>(all: &[T], name: impl Fn(&T) -> &str) -> Vec<&T> {
    let mut seen = BTreeSet::new();
    let namespace = |one: &T| name(one).split_once('.').map(|(namespace, _)| namespace.to_owned());
    all.iter().filter(|one| seen.insert(namespace(one))).collect()
}

/// To the beginning of time, which no table can be restored to. Into a name that is nobody's: the rights to write the target
/// are asked for too, and to a table nobody who prepares or drills should have them.
async fn may_restore(cloud: &Cloud, context: &Context, units: &[Unit], nobody: &str) -> Result<(), ProviderError> {
    for unit in one_of_each_namespace(units, |unit| &unit.name) {
        let restore = cloud.dynamodb.restore_table_to_point_in_time().source_table_name(&unit.name);
        let restore = restore.target_table_name(nobody).restore_date_time(DateTime::from_secs(1));
        let sent = cloud.act(context, &RESTORE_TABLE_TO_POINT_IN_TIME, &unit.name, &Harmless, || restore.send()).await;
        denied(sent)?;
    }
    Ok(())
}

/// Asks for each action in a way that must fail for another reason: a time out of reach, a table and a backup that are not
/// there. Nobody has those names, since they hold a fresh nonce.
async fn may_all(cloud: &Cloud, context: &Context, units: &[Unit], plan: &Blueprint) -> Result<(), ProviderError> {
    let client = &cloud.dynamodb;
    let nobody = plan::staging_name(&plan::nonce(), "nobody");
    let backup = nobodys_backup(&plan.arn, &nobody);
    may_restore(cloud, context, units, &nobody).await?;
    let back_up = client.create_backup().table_name(&nobody).backup_name(&nobody);
    denied(cloud.act(context, &CREATE_BACKUP, &nobody, &Harmless, || back_up.send()).await)?;
    let drop = client.delete_table().table_name(&nobody);
    denied(cloud.act(context, &DELETE_TABLE, &nobody, &Harmless, || drop.send()).await)?;
    let list = cloud.call(context, &LIST_BACKUPS, &nobody, || client.list_backups().table_name(&nobody).send());
    denied(list.await)?;
    let describe =
        cloud.call(context, &DESCRIBE_BACKUP, &backup, || client.describe_backup().backup_arn(&backup).send());
    denied(describe.await)?;
    // Used when an answer was lost, and to abort: found missing only then, it would be in the way at the very end.
    let delete = client.delete_backup().backup_arn(&backup);
    denied(cloud.act(context, &DELETE_BACKUP, &backup, &Harmless, || delete.send()).await)
}

/// The ARN of a backup that is not there, in the account of a table's.
pub(crate) fn nobodys_backup(table_arn: &str, nobody: &str) -> String {
    let table = table_arn.rsplit_once('/').map_or(table_arn, |(head, _)| head);
    format!("{table}/{nobody}/backup/01489173575360-b308cd7d")
}

/// A refusal for lack of rights, or for lack of somebody to ask; every other answer is an answer.
pub(crate) fn denied<T>(answer: Result<T, Fault>) -> Result<(), ProviderError> {
    match answer {
        Err(fault)
            if matches!(
                fault.error.kind,
                ErrorKind::PermissionDenied | ErrorKind::Credentials | ErrorKind::Unreachable | ErrorKind::Cancelled
            ) =>
        {
            Err(fault.error)
        }
        _ => Ok(()),
    }
}

/// Staging tables with the capacity of their tables double what is provisioned while they live.
fn capacity_warning(config: &Config, plans: &[Blueprint]) -> Option<String> {
    if config.staging == Staging::OnDemand {
        return None;
    }
    let all = plans.iter().filter_map(|plan| plan.capacity);
    let (reads, writes) = all.fold((0, 0), |(reads, writes), (r, w)| (reads + r, writes + w));
    (reads.max(writes) * 2 > ACCOUNT_CAPACITY).then(|| {
        format!(
            "staging tables may add {reads} read and {writes} write units to as many of the tables themselves; an account may \
             have {ACCOUNT_CAPACITY} of each in a region unless the quota was raised (aws dynamodb describe-limits --region {})",
            config.region
        )
    })
}

/// Tables of the user's that look like staging tables, or a namespace that ScalarDB could find staging tables in.
fn name_warning(units: &[Unit]) -> Option<String> {
    let namespace = |name: &str| name.split_once('.').map_or(String::new(), |(namespace, _)| namespace.to_owned());
    let clashes = |unit: &&Unit| {
        let namespace = namespace(&unit.name);
        unit.name.starts_with(plan::PREFIX) || (!namespace.is_empty() && plan::PREFIX.starts_with(&namespace))
    };
    let names: Vec<_> = units.iter().filter(clashes).map(|unit| format!("`{}`", unit.name)).collect();
    (!names.is_empty()).then(|| {
        format!(
            "{} cannot be told by name from staging tables, which begin with `{}`: a policy that allows DeleteTable on `{}*` \
             allows it for them too, and ScalarDB may list staging tables in that namespace while they live; what is deleted \
             here is told by its recorded TableId",
            names.join(", "),
            plan::PREFIX,
            plan::PREFIX
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use provider_api::RestoreTime;

    fn plan(capacity: Option<(i64, i64)>) -> Blueprint {
        Blueprint {
            at: RestoreTime(0),
            label: String::new(),
            arn: String::new(),
            keys: Vec::new(),
            indexes: Vec::new(),
            local_indexes: Vec::new(),
            capacity,
            key: None,
            scratch: None,
        }
    }

    #[test]
    fn one_table_of_each_namespace_is_asked_about_and_one_of_those_without() {
        let names = ["bank.a", "bank.b", "plain", "bank2.a", "other", "coordinator.state"];
        let chosen = one_of_each_namespace(&names, |name| name);
        assert_eq!(chosen, [&"bank.a", &"plain", &"bank2.a", &"coordinator.state"]);
    }

    #[test]
    fn a_namespace_that_begins_as_staging_tables_do_is_warned_of() {
        let unit =
            |name: &str| Unit { name: name.into(), id: "i".into(), after: vec![], what: serde_json::Value::Null };
        assert_eq!(name_warning(&["bank.account", "rpx.account", "r_p.x", "no-namespace"].map(unit)), None);
        for name in ["rp-bank.account", "rp.account", "r.account", "rp-.x"] {
            let warning = name_warning(&[unit("bank.account"), unit(name)]).unwrap();
            assert!(warning.contains(&format!("`{name}`")) && !warning.contains("bank.account`,"), "{warning}");
        }
    }

    #[test]
    fn a_warning_comes_when_the_doubled_capacity_would_exceed_the_quota_of_the_account() {
        let as_table = Config { staging: Staging::AsTable, ..Config::new("bank", "eu-west-1") };
        let half = plan(Some((40_000, 100)));
        assert_eq!(capacity_warning(&as_table, &[half.clone(), plan(None)]), None);
        let warning = capacity_warning(&as_table, &[half.clone(), plan(Some((1, 1)))]).unwrap();
        assert!(warning.contains("40001 read") && warning.contains("80000"), "{warning}");
        let cheap = Config::new("bank", "eu-west-1");
        assert_eq!(capacity_warning(&cheap, &[half.clone(), half]), None);
    }
}
