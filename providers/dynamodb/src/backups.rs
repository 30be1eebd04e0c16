//! On-demand backups as the service lists and describes them.

use crate::client::Cloud;
use crate::limits::{DESCRIBE_BACKUP, LIST_BACKUPS};
use crate::table;
use aws_sdk_dynamodb::types::{BackupStatus, BackupSummary, BackupTypeFilter};
use provider_api::{Context, ErrorKind, ProviderError, UnixNanos};

/// A backup as the service describes it.
pub(crate) struct Described {
    pub(crate) available: bool,
    /// Identity of the table it was made of.
    pub(crate) table_id: String,
    /// When it was made, by the service's clock.
    pub(crate) made: UnixNanos,
}

/// All backups of this type of tables that had this name, all pages.
pub(crate) async fn of_table(
    cloud: &Cloud,
    context: &Context,
    table: &str,
    kind: BackupTypeFilter,
) -> Result<Vec<BackupSummary>, ProviderError> {
    let mut all = Vec::new();
    let mut start: Option<String> = None;
    loop {
        let page = cloud
            .call(context, &LIST_BACKUPS, table, || {
                let call = cloud.dynamodb.list_backups().table_name(table).backup_type(kind.clone());
                call.set_exclusive_start_backup_arn(start.clone()).send()
            })
            .await?;
        all.extend(page.backup_summaries.unwrap_or_default());
        start = page.last_evaluated_backup_arn;
        if start.is_none() {
            return Ok(all);
        }
    }
}

/// `None`: there is no such backup.
pub(crate) async fn describe(cloud: &Cloud, context: &Context, arn: &str) -> Result<Option<Described>, ProviderError> {
    let answer =
        cloud.call(context, &DESCRIBE_BACKUP, arn, || cloud.dynamodb.describe_backup().backup_arn(arn).send()).await;
    let found = match answer {
        Ok(answer) => answer.backup_description,
        Err(fault) if fault.error.kind == ErrorKind::NotFound => None,
        Err(fault) => return Err(fault.error),
    };
    Ok(found.and_then(|found| {
        let details = found.backup_details?;
        let table_id = found.source_table_details.map(|source| source.table_id).unwrap_or_default();
        match details.backup_status {
            BackupStatus::Deleted => None,
            status => {
                let made = table::nanos(details.backup_creation_date_time);
                Some(Described { available: status == BackupStatus::Available, table_id, made })
            }
        }
    }))
}

/// The backup's ARN, if it is of this table and under one of these names.
pub(crate) fn ours(found: BackupSummary, table_id: &str, names: &[&str]) -> Option<String> {
    let named = found.backup_name.as_deref().is_some_and(|name| names.contains(&name));
    let of_ours = found.table_id.as_deref() == Some(table_id);
    let there = found.backup_status != Some(BackupStatus::Deleted);
    if named && of_ours && there { found.backup_arn } else { None }
}
