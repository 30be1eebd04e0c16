//! How a table is described.

use serde_json::{Value, json};

use super::{
    api::{Api, Result},
    names::{self, seconds},
    table::{Index, IndexStatus, Spec, Status, Stream, Table},
};

/// Reads and writes per second that an on-demand table is ready for from the start.
const WARM_ON_DEMAND: (i64, i64) = (12_000, 4_000);

impl Api<'_> {
    pub(crate) fn describe_table(&mut self, body: &Value) -> Result<Value> {
        let given = names::required(body, "TableName")?;
        let name = names::table_of(given);
        names::check_name("tableName", name)?;
        self.any_table(name)?;
        let statistics = self.statistics(name)?;
        let description = self.description(name, statistics)?;
        Ok(json!({ "Table": description }))
    }

    pub(crate) fn description(&mut self, name: &str, (items, bytes): (i64, i64)) -> Result<Value> {
        let (now, arn) = (self.now, self.arn(name));
        let table = &*self.any_table(name)?;
        let mut description = json!({
            "TableName": name,
            "TableArn": arn,
            "TableId": table.id,
            "TableStatus": table.status_name(now),
            "CreationDateTime": seconds(table.created_at),
            "AttributeDefinitions": table.spec.attributes,
            "KeySchema": table.spec.keys,
            "ItemCount": items,
            "TableSizeBytes": bytes,
            "ProvisionedThroughput": capacity(table.spec.capacity, today(&table.decreases, now)),
            "DeletionProtectionEnabled": table.protected,
        });
        let mut add = |member: &str, value: Option<Value>| {
            if let Some(value) = value {
                description[member] = value;
            }
        };
        add("BillingModeSummary", billing(&table.spec));
        add("OnDemandThroughput", table.spec.maxima.clone());
        add("TableClassSummary", table.class.as_ref().map(|class| json!({ "TableClass": class })));
        add("SSEDescription", encryption(table, now));
        add("StreamSpecification", table.stream.as_ref().map(stream));
        if let Some(stream) = table.stream.as_ref().or(table.last_stream.as_ref()) {
            add("LatestStreamLabel", Some(stream.label.clone().into()));
            add("LatestStreamArn", Some(format!("{arn}/stream/{}", stream.label).into()));
        }
        let replicated = !table.replicas.is_empty();
        add("Replicas", replicated.then(|| table.replicas.clone().into()));
        add("GlobalTableVersion", replicated.then(|| "2019.11.21".into()));
        add("RestoreSummary", summary(table, now));
        let local = |index: &Value| local_index(index, &arn);
        let locals: Vec<_> = table.spec.local_indexes.iter().map(local).collect();
        add("LocalSecondaryIndexes", (!locals.is_empty()).then(|| locals.into()));
        let indexes: Vec<_> = table.spec.indexes.iter().map(|one| index(one, table, &arn, now)).collect();
        add("GlobalSecondaryIndexes", (!indexes.is_empty()).then(|| indexes.into()));
        if table.status(now) != Status::Creating {
            let status = if now < table.warm_at { "UPDATING" } else { "ACTIVE" };
            add("WarmThroughput", Some(warm(&table.spec, table.warm, table.spec.capacity, status)));
        }
        Ok(description)
    }
}

fn capacity((read, write): (i64, i64), decreases: usize) -> Value {
    json!({ "ReadCapacityUnits": read, "WriteCapacityUnits": write, "NumberOfDecreasesToday": decreases })
}

/// How many of these moments are in the same UTC day as `now`.
pub(crate) fn today(moments: &[i64], now: i64) -> usize {
    let day = |at: i64| at.div_euclid(86_400 * 1_000_000_000);
    moments.iter().filter(|at| day(**at) == day(now)).count()
}

/// Absent for a table that was never on-demand.
fn billing(spec: &Spec) -> Option<Value> {
    let since = spec.on_demand_since?;
    let mode = if spec.on_demand { "PAY_PER_REQUEST" } else { "PROVISIONED" };
    Some(json!({ "BillingMode": mode, "LastUpdateToPayPerRequestDateTime": seconds(since) }))
}

fn encryption(table: &Table, now: i64) -> Option<Value> {
    let status = if now < table.encrypted_at { "UPDATING" } else { "ENABLED" };
    let known = |key: &str| json!({ "Status": status, "SSEType": "KMS", "KMSMasterKeyArn": key });
    table.spec.encryption.as_ref().map(|encryption| known(&encryption.key_arn))
}

fn stream(stream: &Stream) -> Value {
    json!({ "StreamEnabled": true, "StreamViewType": stream.view })
}

/// Only a table that is being restored says where it comes from.
fn summary(table: &Table, now: i64) -> Option<Value> {
    let lineage = table.lineage.as_ref().filter(|_| table.status(now) == Status::Creating)?;
    let mut summary = json!({
        "SourceTableArn": lineage.source_arn,
        "RestoreDateTime": seconds(lineage.at),
        "RestoreInProgress": true,
    });
    if let Some(backup) = &lineage.backup_arn {
        summary["SourceBackupArn"] = backup.clone().into();
    }
    Some(summary)
}

fn local_index(index: &Value, table_arn: &str) -> Value {
    let mut described = index.clone();
    let name = index["IndexName"].as_str().unwrap_or_default();
    described["IndexArn"] = format!("{table_arn}/index/{name}").into();
    described["IndexSizeBytes"] = 0.into();
    described["ItemCount"] = 0.into();
    described
}

fn index(index: &Index, table: &Table, table_arn: &str, now: i64) -> Value {
    let mut described = json!({
        "IndexName": index.name,
        "IndexArn": format!("{table_arn}/index/{}", index.name),
        "KeySchema": index.keys,
        "Projection": index.projection,
        "ProvisionedThroughput": capacity(index.capacity, 0),
        "IndexSizeBytes": 0,
        "ItemCount": 0,
    });
    if let Some(maxima) = &index.maxima {
        described["OnDemandThroughput"] = maxima.clone();
    }
    let creating = table.status(now) == Status::Creating;
    let status = match (index.status(now), table.status(now)) {
        (_, Status::Deleting) => "DELETING",
        (IndexStatus::Creating, _) | (_, Status::Creating) => "CREATING",
        (IndexStatus::Updating, _) => "UPDATING",
        (IndexStatus::Deleting, _) => "DELETING",
        (IndexStatus::Active, _) => "ACTIVE",
    };
    // A table that is being restored says nothing about the state of its indexes.
    if !(creating && table.lineage.is_some()) {
        described["IndexStatus"] = status.into();
    }
    if !creating {
        if status == "CREATING" {
            described["Backfilling"] = true.into();
        }
        described["WarmThroughput"] = warm(&table.spec, index.warm, index.capacity, "ACTIVE");
    }
    described
}

fn warm(spec: &Spec, set: Option<(i64, i64)>, capacity: (i64, i64), status: &str) -> Value {
    let (read, write) = set.unwrap_or(if spec.on_demand { WARM_ON_DEMAND } else { capacity });
    json!({ "ReadUnitsPerSecond": read, "WriteUnitsPerSecond": write, "Status": status })
}
