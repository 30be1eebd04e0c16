//! The operations of the account: from a target to its handler.

use std::ops::RangeInclusive;

use rand::RngExt;
use serde_json::Value;

use super::{
    config::Config,
    error::ServiceError,
    names,
    plane::Plane,
    state::State,
    table::{Status, Table},
};
use crate::clock::Clock;

pub(crate) type Result<T> = std::result::Result<T, ServiceError>;

/// The account while one call is answered: nothing else happens meanwhile.
pub(crate) struct Api<'a> {
    pub(crate) config: &'a Config,
    pub(crate) clock: &'a Clock,
    pub(crate) plane: &'a Plane,
    pub(crate) state: &'a mut State,
    /// The service's clock, ns since 1970.
    pub(crate) now: i64,
}

impl Api<'_> {
    pub(crate) fn answer(&mut self, target: &str, operation: &str, table: &str, body: Value) -> Result<Value> {
        self.settle();
        if let Some(error) = self.state.faults.error(operation, table) {
            return Err(error);
        }
        if !body.is_object() {
            return Err(ServiceError::new("SerializationException", ""));
        }
        match target.split_once('.') {
            Some(("DynamoDB_20120810", operation)) => {
                if self.config.limits && !self.state.limits.admit(operation, self.now) {
                    return Err(ServiceError::throttled());
                }
                self.dynamodb(operation, body)
            }
            Some(("AnyScaleFrontendService", operation)) => self.scaling(operation, &body),
            Some(("GraniteServiceVersion20100801", operation)) => self.cloudwatch(operation, &body),
            _ => Err(ServiceError::unknown_operation()),
        }
    }

    fn dynamodb(&mut self, operation: &str, body: Value) -> Result<Value> {
        match operation {
            "GetItem" | "Query" | "Scan" | "BatchGetItem" | "TransactGetItems" => self.read(operation, body),
            "PutItem" | "UpdateItem" | "DeleteItem" | "BatchWriteItem" | "TransactWriteItems" => {
                self.write(operation, body)
            }
            "CreateTable" => self.create_table(&body),
            "DescribeTable" => self.describe_table(&body),
            "ListTables" => self.list_tables(&body),
            "DeleteTable" => self.delete_table(&body),
            "UpdateTable" => self.update_table(&body),
            "DescribeContinuousBackups" => self.describe_continuous_backups(&body),
            "UpdateContinuousBackups" => self.update_continuous_backups(&body),
            "RestoreTableToPointInTime" => self.restore_to_point_in_time(&body),
            "RestoreTableFromBackup" => self.restore_from_backup(&body),
            "CreateBackup" => self.create_backup(&body),
            "DescribeBackup" => self.describe_backup(&body),
            "DeleteBackup" => self.delete_backup(&body),
            "ListBackups" => self.list_backups(&body),
            "TagResource" => self.tag_resource(&body),
            "UntagResource" => self.untag_resource(&body),
            "ListTagsOfResource" => self.list_tags(&body),
            "DescribeTimeToLive" => self.describe_ttl(&body),
            "UpdateTimeToLive" => self.update_ttl(&body),
            "GetResourcePolicy" => self.get_policy(&body),
            "PutResourcePolicy" => self.put_policy(&body),
            "DeleteResourcePolicy" => self.delete_policy(&body),
            "DescribeKinesisStreamingDestination" => self.describe_kinesis(&body),
            "EnableKinesisStreamingDestination" => self.enable_kinesis(&body),
            "DisableKinesisStreamingDestination" => self.disable_kinesis(&body),
            "UpdateKinesisStreamingDestination" => self.update_kinesis(&body),
            "DescribeContributorInsights" => self.describe_insights(&body),
            "UpdateContributorInsights" => self.update_insights(&body),
            "DescribeLimits" => Ok(self.describe_limits()),
            _ => Err(ServiceError::unknown_operation()),
        }
    }

    /// Lets what was due by now happen.
    fn settle(&mut self) {
        let due: Vec<String> = self
            .state
            .deleting
            .iter()
            .filter(|name| self.state.tables.get(*name).is_none_or(|table| table.gone(self.now)))
            .cloned()
            .collect();
        for name in due {
            self.state.deleting.retain(|deleting| *deleting != name);
            self.finish_delete(&name);
        }
    }

    /// A moment `seconds` from now, drawn from the range and scaled.
    pub(crate) fn after(&mut self, (from, to): (f64, f64)) -> i64 {
        let seconds = if from < to { self.state.rng.random_range(RangeInclusive::new(from, to)) } else { from };
        self.now.saturating_add(self.scaled(seconds))
    }

    /// A lag in ns of the sandbox's clock.
    #[allow(clippy::cast_possible_truncation)]
    pub(crate) fn scaled(&self, seconds: f64) -> i64 {
        (seconds * 1e9 / self.config.time_scale) as i64
    }

    /// An existing table in any state.
    pub(crate) fn any_table(&mut self, name: &str) -> Result<&mut Table> {
        let now = self.now;
        let table = self.state.tables.get_mut(name).ok_or_else(|| ServiceError::resource_not_found(name))?;
        table.drop_gone_indexes(now);
        Ok(table)
    }

    /// A table whose settings can be used: neither missing, nor CREATING, nor DELETING.
    pub(crate) fn settled_table(&mut self, name_or_arn: &str) -> Result<&mut Table> {
        let now = self.now;
        let name = names::table_of(name_or_arn);
        self.any_table(name).and_then(|table| match table.status(now) {
            Status::Creating | Status::Deleting => Err(ServiceError::resource_not_found(name)),
            _ => Ok(table),
        })
    }

    /// A table whose settings can be changed: also not one whose key is out of reach.
    pub(crate) fn healthy_table(&mut self, name_or_arn: &str) -> Result<&mut Table> {
        let now = self.now;
        let table = self.settled_table(name_or_arn)?;
        match table.status(now) {
            Status::Forced => Err(ServiceError::in_use(format!(
                "Table {} is in state {} and cannot be changed",
                table.name,
                table.status_name(now)
            ))),
            _ => Ok(table),
        }
    }

    /// The table an ARN of this account and region names.
    pub(crate) fn table_by_arn<'b>(&self, arn: &'b str) -> Result<&'b str> {
        let parts = names::parse(arn).ok_or_else(|| ServiceError::validation(format!("Invalid TableArn: {arn}")))?;
        if parts.region != self.config.region || parts.account != self.config.account {
            let message = format!("User is not authorized to perform this operation on resource: {arn}");
            return Err(ServiceError::new("AccessDeniedException", message));
        }
        Ok(parts.table)
    }

    pub(crate) fn arn(&self, table: &str) -> String {
        names::arn(&self.config.region, &self.config.account, table)
    }
}
