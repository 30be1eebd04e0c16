//! On-demand backups, the SYSTEM backup of a deleted table, and restores from both.

use std::sync::Arc;

use rand::RngExt;
use serde_json::{Value, json};

use super::{
    api::{Api, Result},
    error::ServiceError,
    history::Item,
    names::{self, seconds},
    pitr::unavailable,
    restore::Source,
    table::{Lineage, Spec, Status},
};

const DAY_NS: i64 = 86_400 * 1_000_000_000;

/// A backup: the items and the settings of its table as they were when it was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Backup {
    pub(crate) arn: String,
    name: String,
    table: String,
    table_id: String,
    /// The identity of the table in which its data began.
    root: String,
    table_created_at: i64,
    created_at: i64,
    available_at: i64,
    /// A SYSTEM backup: made by deleting a table, gone after 35 days.
    system: bool,
    spec: Spec,
    items: Arc<Vec<Item>>,
    statistics: (i64, i64),
    stream: Option<Value>,
    ttl: Value,
    /// The table that is being restored from it.
    feeds: Option<String>,
}

impl Backup {
    fn visible(&self, now: i64) -> bool {
        !self.system || (self.available_at <= now && now < self.created_at.saturating_add(35 * DAY_NS))
    }

    /// Whose data is safe in it now: complete, or made by deleting a table and not yet too old.
    pub(crate) fn keeps(&self, now: i64) -> Option<&str> {
        let safe = match self.system {
            true => now < self.created_at.saturating_add(35 * DAY_NS),
            false => self.available_at <= now,
        };
        safe.then_some(self.root.as_str())
    }

    fn details(&self, now: i64) -> Value {
        let mut details = json!({
            "BackupArn": self.arn,
            "BackupName": self.name,
            "BackupSizeBytes": self.statistics.1,
            "BackupStatus": if now < self.available_at { "CREATING" } else { "AVAILABLE" },
            "BackupType": if self.system { "SYSTEM" } else { "USER" },
            "BackupCreationDateTime": seconds(self.created_at),
        });
        if self.system {
            details["BackupExpiryDateTime"] = seconds(self.created_at.saturating_add(35 * DAY_NS));
        }
        details
    }

    fn description(&self, now: i64, table_arn: &str) -> Value {
        let units = |(read, write): (i64, i64)| json!({ "ReadCapacityUnits": read, "WriteCapacityUnits": write });
        let mut source = json!({
            "TableName": self.table,
            "TableId": self.table_id,
            "TableArn": table_arn,
            "TableSizeBytes": self.statistics.1,
            "ItemCount": self.statistics.0,
            "KeySchema": self.spec.keys,
            "TableCreationDateTime": seconds(self.table_created_at),
            "ProvisionedThroughput": units(self.spec.capacity),
            "BillingMode": if self.spec.on_demand { "PAY_PER_REQUEST" } else { "PROVISIONED" },
        });
        if let Some(maxima) = &self.spec.maxima {
            source["OnDemandThroughput"] = maxima.clone();
        }
        let mut features = json!({ "TimeToLiveDescription": self.ttl });
        let index = |index: &super::table::Index| {
            json!({
                "IndexName": index.name,
                "KeySchema": index.keys,
                "Projection": index.projection,
                "ProvisionedThroughput": units(index.capacity),
            })
        };
        if !self.spec.indexes.is_empty() {
            features["GlobalSecondaryIndexes"] = self.spec.indexes.iter().map(index).collect();
        }
        if !self.spec.local_indexes.is_empty() {
            features["LocalSecondaryIndexes"] = self.spec.local_indexes.clone().into();
        }
        if let Some(stream) = &self.stream {
            features["StreamDescription"] = stream.clone();
        }
        if let Some(encryption) = &self.spec.encryption {
            features["SSEDescription"] =
                json!({ "Status": "ENABLED", "SSEType": "KMS", "KMSMasterKeyArn": encryption.key_arn });
        }
        json!({
            "BackupDetails": self.details(now),
            "SourceTableDetails": source,
            "SourceTableFeatureDetails": features,
        })
    }
}

impl Api<'_> {
    pub(crate) fn create_backup(&mut self, body: &Value) -> Result<Value> {
        let table = names::required(body, "TableName")?;
        let name = names::required(body, "BackupName")?;
        names::check_name("backupName", name)?;
        let now = self.now;
        let source = self.recoverable(table)?;
        if matches!(source.status(now), Status::Deleting | Status::Forced) {
            let message = format!("Table is {}: {}", source.status_name(now), source.name);
            return Err(ServiceError::new("TableInUseException", message));
        }
        if now < source.backups_ready_at {
            return Err(unavailable(&source.name));
        }
        let table = source.name.clone();
        let available_at = self.after(self.config.lags.backup);
        let backup = self.backup_of(&table, name, false, available_at)?;
        let details = backup.details(now);
        self.state.backups.insert(backup.arn.clone(), backup);
        Ok(json!({ "BackupDetails": details }))
    }

    /// Deleting a table with recovery on leaves a backup that nobody asked for.
    pub(crate) fn system_backup(&mut self, table: &str) -> Result<()> {
        if self.any_table(table)?.pitr.is_none() {
            return Ok(());
        }
        let visible_at = self.after(self.config.lags.system_backup);
        let backup = self.backup_of(table, &format!("{table}$DeletedTableBackup"), true, visible_at)?;
        self.state.backups.insert(backup.arn.clone(), backup);
        Ok(())
    }

    /// Turning recovery off while the table is DELETING means no such backup.
    pub(crate) fn forget_system_backup(&mut self, table_id: &str) {
        let now = self.now;
        self.state
            .backups
            .retain(|_, backup| !(backup.system && backup.table_id == table_id && now < backup.available_at));
    }

    fn backup_of(&mut self, table: &str, name: &str, system: bool, available_at: i64) -> Result<Backup> {
        let tail: u32 = self.state.rng.random();
        // Later backups of one table sort behind earlier ones, as the time is part of the name.
        let arn = format!("{}/backup/{:014}-{tail:08x}", self.arn(table), self.now.div_euclid(1_000_000));
        let statistics = self.statistics(table)?;
        let items = Arc::new(self.plane.items(table)?);
        let now = self.now;
        let source = self.any_table(table)?;
        let stream = |stream: &super::table::Stream| json!({ "StreamEnabled": true, "StreamViewType": stream.view });
        Ok(Backup {
            arn,
            name: name.to_owned(),
            table: table.to_owned(),
            table_id: source.id.clone(),
            root: source.root.clone(),
            table_created_at: source.created_at,
            created_at: now,
            available_at,
            system,
            spec: source.spec.clone(),
            items,
            statistics,
            stream: source.stream.as_ref().map(stream),
            ttl: source.ttl.description(now),
            feeds: None,
        })
    }

    /// The backup an ARN names; its region does not matter.
    fn backup(&mut self, body: &Value) -> Result<&mut Backup> {
        let arn = names::required(body, "BackupArn")?;
        let parts = names::parse(arn).filter(|parts| parts.rest.starts_with("backup/"));
        let parts = parts.ok_or_else(|| ServiceError::validation(format!("Invalid Backup ARN: {arn}")))?;
        if parts.account != self.config.account {
            let message = format!("User is not authorized to perform this operation on resource: {arn}");
            return Err(ServiceError::new("AccessDeniedException", message));
        }
        let own = format!("{}/{}", self.arn(parts.table), parts.rest);
        let now = self.now;
        let found = self.state.backups.get_mut(&own).filter(|backup| backup.visible(now));
        found.ok_or_else(|| ServiceError::new("BackupNotFoundException", format!("Backup not found: {arn}")))
    }

    pub(crate) fn describe_backup(&mut self, body: &Value) -> Result<Value> {
        let now = self.now;
        let backup = self.backup(body)?.clone();
        Ok(json!({ "BackupDescription": backup.description(now, &self.arn(&backup.table)) }))
    }

    pub(crate) fn delete_backup(&mut self, body: &Value) -> Result<Value> {
        let now = self.now;
        let backup = self.backup(body)?.clone();
        if backup.system {
            return Err(ServiceError::validation("SYSTEM backups cannot be deleted"));
        }
        self.not_in_use(&backup)?;
        self.state.backups.remove(&backup.arn);
        let mut description = backup.description(now, &self.arn(&backup.table));
        description["BackupDetails"]["BackupStatus"] = "DELETED".into();
        Ok(json!({ "BackupDescription": description }))
    }

    fn not_in_use(&self, backup: &Backup) -> Result<()> {
        let in_use = |message: String| Err(ServiceError::new("BackupInUseException", message));
        if self.now < backup.available_at {
            return in_use(format!("Backup is being created: {}", backup.arn));
        }
        let fed = backup.feeds.as_ref().and_then(|target| self.state.tables.get(target));
        let fed = fed.filter(|table| {
            let from = table.lineage.as_ref().and_then(|lineage| lineage.backup_arn.as_ref());
            table.status(self.now) == Status::Creating && from == Some(&backup.arn)
        });
        match fed {
            Some(table) => in_use(format!("Backup is being restored to {}: {}", table.name, backup.arn)),
            None => Ok(()),
        }
    }

    pub(crate) fn list_backups(&mut self, body: &Value) -> Result<Value> {
        let limit = names::page_size(body, "Limit", 100)?;
        let kinds = ["USER", "SYSTEM", "AWS_BACKUP", "ALL"];
        let kind = names::one_of(body, "BackupType", &kinds)?.unwrap_or("USER");
        let table = names::optional(body, "TableName")?.map(names::table_of);
        let (from, to) =
            (names::optional_time(body, "TimeRangeLowerBound")?, names::optional_time(body, "TimeRangeUpperBound")?);
        let start = names::optional(body, "ExclusiveStartBackupArn")?.unwrap_or_default();
        let now = self.now;
        let wanted = |backup: &&Backup| {
            backup.visible(now)
                && table.is_none_or(|table| backup.table == table)
                && matches!((kind, backup.system), ("ALL", _) | ("USER", false) | ("SYSTEM", true))
                && from.is_none_or(|from| from <= backup.created_at)
                && to.is_none_or(|to| backup.created_at < to)
                && backup.arn.as_str() > start
        };
        let page: Vec<&Backup> = self.state.backups.values().filter(wanted).take(limit).collect();
        let summary = |backup: &&Backup| {
            let mut summary = backup.details(now);
            summary["TableName"] = backup.table.clone().into();
            summary["TableId"] = backup.table_id.clone().into();
            summary["TableArn"] = self.arn(&backup.table).into();
            summary
        };
        let mut answer = json!({ "BackupSummaries": page.iter().map(summary).collect::<Vec<_>>() });
        // A full page names a next one without looking whether there is any.
        if let Some(last) = page.last().filter(|_| page.len() == limit) {
            answer["LastEvaluatedBackupArn"] = last.arn.clone().into();
        }
        Ok(answer)
    }

    pub(crate) fn restore_from_backup(&mut self, body: &Value) -> Result<Value> {
        let target = names::required(body, "TargetTableName")?;
        names::check_name("targetTableName", target)?;
        let overrides = self.overrides_given(body)?;
        let backup = self.backup(body)?.clone();
        self.not_in_use(&backup)?;
        self.target_free(target)?;
        let lineage = Lineage {
            source_arn: self.arn(&backup.table),
            backup_arn: Some(backup.arn.clone()),
            at: backup.created_at,
        };
        let items = backup.items.as_ref().clone();
        let source = Source { spec: backup.spec.clone(), items, lineage, root: backup.root.clone() };
        let answer = self.start_restore(target, overrides, source);
        if let Some(backup) = self.state.backups.get_mut(&backup.arn) {
            backup.feeds = Some(target.to_owned());
        }
        answer
    }
}
