//! Whether the plan can work, found out by calls that change nothing.

use super::plan::{self, Blueprint};
use crate::client::Cloud;
use crate::error::Fault;
use crate::limits::{
    ACCOUNT_CAPACITY, CREATE_BACKUP, DELETE_TABLE, DESCRIBE_BACKUP, LIST_BACKUPS, RESTORE_TABLE_TO_POINT_IN_TIME,
};
use crate::settings::{Config, Staging};
use aws_smithy_types::DateTime;
use provider_api::{Context, ErrorKind, Fence, ProviderError, Unit};

/// A call that cannot change anything needs no right to act.
struct Harmless;

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
    if let (Some(unit), Some(plan)) = (units.first(), plans.first()) {
        may_all(cloud, context, unit, plan).await?;
    }
    Ok(capacity_warning(config, &plans).into_iter().collect())
}

/// Asks for each action in a way that must fail for another reason: a name that is taken, a table and a backup that are not
/// there. Nobody has those names, since they hold a fresh nonce.
async fn may_all(cloud: &Cloud, context: &Context, unit: &Unit, plan: &Blueprint) -> Result<(), ProviderError> {
    let client = &cloud.dynamodb;
    let nobody = plan::staging_name(&plan::nonce(), "nobody");
    let table = plan.arn.rsplit_once('/').map_or(plan.arn.as_str(), |(head, _)| head);
    let backup = format!("{table}/{nobody}/backup/01489173575360-b308cd7d");
    // Into its own name, at the beginning of time: refused by the one or the other, whatever is checked first.
    let restore = client.restore_table_to_point_in_time().source_table_name(&unit.name).target_table_name(&unit.name);
    let restore = restore.restore_date_time(DateTime::from_secs(1));
    denied(cloud.act(context, &RESTORE_TABLE_TO_POINT_IN_TIME, &unit.name, &Harmless, || restore.send()).await)?;
    let back_up = client.create_backup().table_name(&nobody).backup_name(&nobody);
    denied(cloud.act(context, &CREATE_BACKUP, &nobody, &Harmless, || back_up.send()).await)?;
    let drop = client.delete_table().table_name(&nobody);
    denied(cloud.act(context, &DELETE_TABLE, &nobody, &Harmless, || drop.send()).await)?;
    let list = cloud.call(context, &LIST_BACKUPS, &nobody, || client.list_backups().table_name(&nobody).send());
    denied(list.await)?;
    let describe =
        cloud.call(context, &DESCRIBE_BACKUP, &backup, || client.describe_backup().backup_arn(&backup).send());
    denied(describe.await)
}

/// A refusal for lack of rights, or for lack of somebody to ask; every other answer is an answer.
fn denied<T>(answer: Result<T, Fault>) -> Result<(), ProviderError> {
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
