//! One table as the service describes it, and its PITR: what confirm and restorable both look at.

use crate::client::Cloud;
use crate::error::Fault;
use crate::limits::{DESCRIBE_CONTINUOUS_BACKUPS, DESCRIBE_TABLE};
use aws_sdk_dynamodb::types::{PointInTimeRecoveryStatus, TableDescription, TableStatus};
use aws_smithy_types::DateTime;
use provider_api::{Context, UnixNanos};

/// PITR of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pitr {
    Off,
    On { from: Option<UnixNanos>, to: Option<UnixNanos>, days: Option<u32> },
}

/// A table that exists.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) id: String,
    pub(crate) status: TableStatus,
    pub(crate) replicas: usize,
    pub(crate) pitr: Pitr,
}

/// Reads one table. Both calls at once; each waits for its own rate.
pub(crate) async fn look(cloud: &Cloud, context: &Context, table: &str) -> Result<Seen, Fault> {
    let (described, pitr) = tokio::join!(describe(cloud, context, table), pitr(cloud, context, table));
    let described = described?;
    let status = described.table_status.clone().unwrap_or(TableStatus::from("absent"));
    let pitr = match pitr {
        Ok(pitr) => pitr,
        // A table that comes or goes has no backups yet or any more; its state says it better.
        Err(fault) if fault.is("TableNotFoundException") && status != TableStatus::Active => Pitr::Off,
        Err(fault) => return Err(fault),
    };
    Ok(Seen { id: identity(&described), status, replicas: described.replicas().len(), pitr })
}

pub(crate) async fn describe(cloud: &Cloud, context: &Context, table: &str) -> Result<TableDescription, Fault> {
    let answer = cloud
        .call(context, &DESCRIBE_TABLE, table, || cloud.dynamodb.describe_table().table_name(table).send())
        .await?;
    Ok(answer.table.unwrap_or_else(|| TableDescription::builder().build()))
}

async fn pitr(cloud: &Cloud, context: &Context, table: &str) -> Result<Pitr, Fault> {
    let answer = cloud
        .call(context, &DESCRIBE_CONTINUOUS_BACKUPS, table, || {
            cloud.dynamodb.describe_continuous_backups().table_name(table).send()
        })
        .await?;
    // The outer ContinuousBackupsStatus is ENABLED on every table, whatever PITR is; the inner one is the switch.
    let inner = answer.continuous_backups_description.and_then(|backups| backups.point_in_time_recovery_description);
    let Some(inner) = inner else { return Ok(Pitr::Off) };
    if inner.point_in_time_recovery_status != Some(PointInTimeRecoveryStatus::Enabled) {
        return Ok(Pitr::Off);
    }
    Ok(Pitr::On {
        from: inner.earliest_restorable_date_time.map(nanos),
        to: inner.latest_restorable_date_time.map(nanos),
        days: inner.recovery_period_in_days.and_then(|days| u32::try_from(days).ok()),
    })
}

/// What a re-created table of the same name does not share: its TableId. Emulators without one have the time of
/// creation, which differs too.
pub(crate) fn identity(table: &TableDescription) -> String {
    match (&table.table_id, table.creation_date_time) {
        (Some(id), _) => id.clone(),
        (None, Some(created)) => format!("created-{}", nanos(created).0),
        (None, None) => String::new(),
    }
}

pub(crate) fn nanos(time: DateTime) -> UnixNanos {
    UnixNanos(i64::try_from(time.as_nanos()).unwrap_or(if time.secs() < 0 { i64::MIN } else { i64::MAX }))
}

/// Why a table in this state cannot be relied on for a restore, and what to do; `None` if it can.
pub(crate) fn trouble(status: &TableStatus) -> Option<(&'static str, &'static str, bool)> {
    match status {
        TableStatus::Active | TableStatus::Updating => None,
        TableStatus::Creating => Some(("is still being created", "wait until it is ACTIVE", true)),
        TableStatus::Deleting => Some(("is being deleted", "find out who deletes it; then discover again", true)),
        TableStatus::InaccessibleEncryptionCredentials => Some((
            "cannot be read: its KMS key is unusable (INACCESSIBLE_ENCRYPTION_CREDENTIALS)",
            "enable the key and its grants within seven days, after which the table is archived",
            false,
        )),
        TableStatus::Archiving | TableStatus::Archived => {
            Some(("is archived, because its KMS key was unusable", "restore it from the archive backup first", false))
        }
        TableStatus::ReplicationNotAuthorized => Some((
            "may not replicate (REPLICATION_NOT_AUTHORIZED)",
            "correct the table's resource policy or its replication permissions",
            false,
        )),
        _ => Some(("is in a state that is not known here", "look at it with aws dynamodb describe-table", false)),
    }
}
