//! Restoring tables under scratch names through the ordinary AWS SDK, and reading them for the audit.

use super::{CREDENTIALS, Failure, trouble};
use crate::point::Point;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::primitives::DateTime;
use aws_sdk_dynamodb::types::{AttributeValue, TableStatus};
use futures::future::try_join_all;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;
use stillpoint_sandbox::bank::{AuditReport, COORDINATOR_TABLE, Item, METADATA_TABLE, audit};
use tokio::sync::Mutex;
use tokio::time::{Interval, MissedTickBehavior};

/// Restores that DynamoDB runs at once in an account.
const RESTORES_AT_ONCE: usize = 50;
/// Between two restores: the service takes 10 in a second.
const PACE: Duration = Duration::from_millis(125);
/// Between two looks at a table that is being restored.
const LOOK: Duration = Duration::from_millis(500);
/// The partition key that ScalarDB gives each of its tables.
const KEY: &str = "concatenatedPartitionKey";
/// Nothing takes this long at the demo's scale.
const PATIENCE: Duration = Duration::from_secs(60);

/// The bank's tables in a DynamoDB.
pub struct Restorer {
    client: aws_sdk_dynamodb::Client,
    accounts: Vec<String>,
    pace: Mutex<Interval>,
}

impl Restorer {
    /// Talks to a DynamoDB at an endpoint with the sandbox's own credentials.
    pub fn new(endpoint: &str, region: &str, accounts: Vec<String>) -> Self {
        let [(_, key), (_, secret)] = CREDENTIALS;
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .endpoint_url(endpoint)
            .credentials_provider(Credentials::new(key, secret, None, None, "sandbox"))
            .build();
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Restorer { client: aws_sdk_dynamodb::Client::from_conf(config), accounts, pace: Mutex::new(pace) }
    }

    /// How many seconds can be restored at the same time.
    pub fn seconds_at_once(&self) -> usize {
        (RESTORES_AT_ONCE / self.tables().len()).max(1)
    }

    /// Seconds in full traffic: after the clients were at work and before the pods were paused.
    pub fn traffic(&self, point: &Point) -> Result<RangeInclusive<i64>, Failure> {
        let second = |text: &Option<String>| {
            chrono::DateTime::parse_from_rfc3339(text.as_deref().unwrap_or_default())
                .map(|t| t.timestamp())
                .map_err(|e| trouble("a time of the restore point cannot be read", &e))
        };
        let paused = second(&point.pause_completed)?;
        let sets = point.databases.iter().flat_map(|d| &d.data_sets);
        let mut earliest = paused;
        for (n, set) in sets.enumerate() {
            let from = second(&set.restorable_from)?;
            earliest = if n == 0 { from } else { earliest.max(from) };
        }
        Ok(earliest + 2..=paused - 2)
    }

    /// Restores every table to each second and audits what is read. Scratch tables stay: the sandbox ends with the demo.
    pub async fn restore_and_read(&self, seconds: &[i64], expected: i64) -> Result<Vec<AuditReport>, Failure> {
        try_join_all(seconds.iter().map(|second| self.one_second(*second, expected))).await
    }

    async fn one_second(&self, second: i64, expected: i64) -> Result<AuditReport, Failure> {
        let restored = self.tables();
        let restored = try_join_all(restored.iter().map(|table| self.restore(table, second))).await?;
        let mut items: HashMap<String, Vec<Item>> = restored.into_iter().collect();
        let coordinator = items.remove(COORDINATOR_TABLE).unwrap_or_default();
        let accounts: Vec<(String, Vec<Item>)> =
            self.accounts.iter().map(|table| (table.clone(), items.remove(table).unwrap_or_default())).collect();
        Ok(audit(expected, &accounts, &coordinator))
    }

    /// Reads the bank's own tables and audits them; says which are not there.
    pub async fn read_originals(&self, expected: i64) -> Result<(AuditReport, Vec<String>), Failure> {
        let mut missing = Vec::new();
        let mut items: HashMap<String, Vec<Item>> = HashMap::new();
        for table in self.tables() {
            let described = self.client.describe_table().table_name(&table).send().await;
            match described.map_err(aws_sdk_dynamodb::error::SdkError::into_service_error) {
                Ok(_) => {
                    let read = self.items(&table).await?;
                    items.insert(table, read);
                }
                Err(error) if error.is_resource_not_found_exception() => missing.push(table),
                Err(error) => return Err(trouble(&format!("table {table} cannot be looked at"), &error)),
            }
        }
        let coordinator = items.remove(COORDINATOR_TABLE).unwrap_or_default();
        let accounts: Vec<(String, Vec<Item>)> =
            self.accounts.iter().map(|table| (table.clone(), items.remove(table).unwrap_or_default())).collect();
        Ok((audit(expected, &accounts, &coordinator), missing))
    }

    /// Deletes half of the rows, past ScalarDB.
    pub async fn delete_every_other_row(&self, table: &str) -> Result<(), Failure> {
        for key in self.keys(table).await?.into_iter().step_by(2) {
            let deleted = self.client.delete_item().table_name(table).key(KEY, key).send().await;
            deleted.map_err(|e| trouble(&format!("a row of {table} cannot be deleted"), &e.into_service_error()))?;
        }
        Ok(())
    }

    /// Sets every balance to zero, past ScalarDB.
    pub async fn overwrite_balances(&self, table: &str) -> Result<(), Failure> {
        for key in self.keys(table).await? {
            let update = self.client.update_item().table_name(table).key(KEY, key);
            let update = update.update_expression("SET balance = :nothing");
            let update = update.expression_attribute_values(":nothing", AttributeValue::N("0".to_owned()));
            let updated = update.send().await;
            updated.map_err(|e| trouble(&format!("a row of {table} cannot be changed"), &e.into_service_error()))?;
        }
        Ok(())
    }

    /// Drops the table, past ScalarDB; returns when it is gone.
    pub async fn drop_table(&self, table: &str) -> Result<(), Failure> {
        let dropped = self.client.delete_table().table_name(table).send().await;
        dropped.map_err(|e| trouble(&format!("table {table} cannot be dropped"), &e.into_service_error()))?;
        let give_up = tokio::time::Instant::now() + PATIENCE;
        while self.client.describe_table().table_name(table).send().await.is_ok() {
            if tokio::time::Instant::now() >= give_up {
                let slow = std::io::Error::from(std::io::ErrorKind::TimedOut);
                return Err(trouble(&format!("table {table} is not gone yet"), &slow));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    async fn keys(&self, table: &str) -> Result<Vec<AttributeValue>, Failure> {
        let scan = self.client.scan().table_name(table).consistent_read(true);
        let mut pages = scan.into_paginator().items().send();
        let mut keys = Vec::new();
        while let Some(item) = pages.next().await {
            let item = item.map_err(|e| trouble(&format!("table {table} cannot be read"), &e.into_service_error()))?;
            keys.extend(item.get(KEY).cloned());
        }
        Ok(keys)
    }

    fn tables(&self) -> Vec<String> {
        let others = [METADATA_TABLE, COORDINATOR_TABLE].map(str::to_owned);
        self.accounts.iter().cloned().chain(others).collect()
    }

    async fn restore(&self, table: &str, second: i64) -> Result<(String, Vec<Item>), Failure> {
        let scratch = format!("demo-{second}-{table}");
        self.pace.lock().await.tick().await;
        self.client
            .restore_table_to_point_in_time()
            .source_table_name(table)
            .target_table_name(&scratch)
            .restore_date_time(DateTime::from_secs(second))
            .send()
            .await
            .map_err(|e| trouble(&format!("table {table} cannot be restored to {second}"), &e.into_service_error()))?;
        self.until_active(&scratch).await?;
        Ok((table.to_owned(), self.items(&scratch).await?))
    }

    async fn until_active(&self, table: &str) -> Result<(), Failure> {
        let give_up = tokio::time::Instant::now() + PATIENCE;
        loop {
            let described = self.client.describe_table().table_name(table).send().await;
            let described = described
                .map_err(|e| trouble(&format!("table {table} cannot be looked at"), &e.into_service_error()))?;
            let status = described.table.and_then(|t| t.table_status);
            if status == Some(TableStatus::Active) {
                return Ok(());
            }
            if tokio::time::Instant::now() >= give_up {
                let slow = std::io::Error::from(std::io::ErrorKind::TimedOut);
                return Err(trouble(&format!("table {table} is not active yet"), &slow));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn items(&self, table: &str) -> Result<Vec<Item>, Failure> {
        let mut pages = self.client.scan().table_name(table).consistent_read(true).into_paginator().items().send();
        let mut items = Vec::new();
        while let Some(item) = pages.next().await {
            let item = item.map_err(|e| trouble(&format!("table {table} cannot be read"), &e.into_service_error()))?;
            items.push(item.iter().map(|(name, value)| (name.clone(), attribute(value))).collect());
        }
        Ok(items)
    }
}

/// An attribute in DynamoDB's own JSON.
fn attribute(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => json!({ "S": text }),
        AttributeValue::N(number) => json!({ "N": number }),
        AttributeValue::Bool(truth) => json!({ "BOOL": truth }),
        AttributeValue::Null(_) => json!({ "NULL": true }),
        AttributeValue::L(list) => json!({ "L": list.iter().map(attribute).collect::<Vec<_>>() }),
        AttributeValue::M(map) => {
            json!({ "M": map.iter().map(|(name, value)| (name.clone(), attribute(value))).collect::<serde_json::Map<_, _>>() })
        }
        AttributeValue::Ss(set) => json!({ "SS": set }),
        AttributeValue::Ns(set) => json!({ "NS": set }),
        // The audit keys on names and numbers; bytes only have to stay distinct.
        AttributeValue::B(bytes) => json!({ "B": hex(bytes.as_ref()) }),
        AttributeValue::Bs(set) => json!({ "BS": set.iter().map(|b| hex(b.as_ref())).collect::<Vec<_>>() }),
        _ => Value::Null,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
