//! CreateTable, ListTables, DeleteTable.

use serde_json::{Value, json};

use super::{
    api::{Api, Result},
    error::ServiceError,
    names,
    table::{Deleting, Encryption, Index, Lagged, Spec, Status, Stream, Table},
};

const MAX_TABLES: usize = 2_500;
const MAX_OPERATIONS: usize = 500;
const MAX_OPERATIONS_WITH_INDEXES: usize = 250;

impl Api<'_> {
    pub(crate) fn create_table(&mut self, body: &Value) -> Result<Value> {
        let mut body = body.clone();
        let name = names::table_of(names::required(&body, "TableName")?).to_owned();
        names::check_name("tableName", &name)?;
        body["TableName"] = name.clone().into();
        names::one_of(&body, "TableClass", &["STANDARD", "STANDARD_INFREQUENT_ACCESS"])?;
        let tags = super::tags::given(&body)?;
        let stream = self.stream_given(&body)?;
        if self.state.tables.contains_key(&name) {
            return Err(ServiceError::in_use(format!("Table already exists: {name}")));
        }
        self.room_for_table(body.get("GlobalSecondaryIndexes").is_some())?;
        let spec = self.spec_given(&body)?;
        check_capacity(&body, spec.on_demand)?;
        self.plane.create_table(&body)?;

        let active_at = self.after(self.config.lags.create);
        let mut table = self.new_table(&name, spec, active_at);
        table.protected = names::optional_bool(&body, "DeletionProtectionEnabled")?.unwrap_or(false);
        table.class = names::optional(&body, "TableClass")?.map(str::to_owned);
        table.warm = warm_given(&body)?;
        table.stream = stream;
        if !tags.is_empty() {
            let mut lagged = Lagged::default();
            lagged.write(tags, self.now, active_at);
            table.tags = lagged;
        }
        if let Some(text) = names::optional(&body, "ResourcePolicy")? {
            let policy = self.new_policy(text)?;
            table.policy.write(Some(policy), self.now, active_at);
        }
        self.state.tables.insert(name.clone(), table);
        let description = self.description(&name, (0, 0))?;
        Ok(json!({ "TableDescription": description }))
    }

    /// A new incarnation of a name, with its own identity and its own history clock.
    pub(crate) fn new_table(&mut self, name: &str, spec: Spec, active_at: i64) -> Table {
        let id = self.state.uuid();
        let mut table = Table::new(name, id, spec, self.now, active_at);
        let max = i64::try_from(self.config.table_skew.as_nanos()).unwrap_or(i64::MAX);
        table.skew_ns = self.state.skew_of(name, max);
        let ready = self.after(self.config.lags.backups_ready);
        table.backups_ready_at = active_at.saturating_add(ready - self.now);
        table
    }

    /// The quotas on tables and on tables in motion.
    pub(crate) fn room_for_table(&self, with_indexes: bool) -> Result<()> {
        if !self.config.limits {
            return Ok(());
        }
        if self.state.tables.len() >= MAX_TABLES {
            return Err(ServiceError::limit(format!(
                "Subscriber limit exceeded: The number of tables exceeds the limit of {MAX_TABLES}"
            )));
        }
        let max = if with_indexes { MAX_OPERATIONS_WITH_INDEXES } else { MAX_OPERATIONS };
        let moving =
            |table: &&Table| matches!(table.status(self.now), Status::Creating | Status::Updating | Status::Deleting);
        if self.state.tables.values().filter(moving).count() >= max {
            return Err(ServiceError::limit(format!(
                "Subscriber limit exceeded: Only {max} tables can be created, updated, or deleted simultaneously"
            )));
        }
        Ok(())
    }

    fn spec_given(&mut self, body: &Value) -> Result<Spec> {
        let on_demand =
            names::one_of(body, "BillingMode", &["PROVISIONED", "PAY_PER_REQUEST"])? == Some("PAY_PER_REQUEST");
        let list = |member: &str| body.get(member).and_then(Value::as_array).cloned().unwrap_or_default();
        let index = |given: &Value| Index {
            name: given["IndexName"].as_str().unwrap_or_default().to_owned(),
            keys: given["KeySchema"].clone(),
            projection: given["Projection"].clone(),
            capacity: capacity_given(given),
            maxima: maxima_given(given),
            warm: None,
            active_at: self.now,
            updated_at: self.now,
            gone_at: None,
        };
        Ok(Spec {
            attributes: list("AttributeDefinitions"),
            keys: body.get("KeySchema").cloned().unwrap_or_default(),
            local_indexes: list("LocalSecondaryIndexes"),
            indexes: list("GlobalSecondaryIndexes").iter().map(index).collect(),
            on_demand,
            on_demand_since: on_demand.then_some(self.now),
            capacity: capacity_given(body),
            maxima: maxima_given(body),
            encryption: self.encryption_given(body.get("SSESpecification"))?,
        })
    }

    /// The key a table shall be encrypted with; none means the AWS-owned key.
    pub(crate) fn encryption_given(&self, given: Option<&Value>) -> Result<Option<Encryption>> {
        let Some(given) = given.filter(|given| given["Enabled"] == true) else { return Ok(None) };
        names::one_of(given, "SSEType", &["AES256", "KMS"])?;
        let home = format!("arn:aws:kms:{}:{}", self.config.region, self.config.account);
        let key_arn = match names::optional(given, "KMSMasterKeyId")? {
            None => format!("{home}:key/0a0a0a0a-0000-4000-8000-aaaaaaaaaaaa"),
            Some(arn) if arn.starts_with("arn:") => arn.to_owned(),
            Some(id) => format!("{home}:key/{id}"),
        };
        Ok(Some(Encryption { key_arn }))
    }

    pub(crate) fn stream_given(&mut self, body: &Value) -> Result<Option<Stream>> {
        let Some(given) = body.get("StreamSpecification").filter(|given| given["StreamEnabled"] == true) else {
            return Ok(None);
        };
        let views = ["NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES", "KEYS_ONLY"];
        let view = names::one_of(given, "StreamViewType", &views)?.ok_or_else(|| {
            ServiceError::validation(
                "One or more parameter values were invalid: StreamViewType is required when StreamEnabled is true",
            )
        })?;
        Ok(Some(Stream { view: view.to_owned(), label: label(self.now) }))
    }

    pub(crate) fn list_tables(&mut self, body: &Value) -> Result<Value> {
        let limit = names::page_size(body, "Limit", 100)?;
        let start = names::optional(body, "ExclusiveStartTableName")?.unwrap_or_default();
        let mut found: Vec<&String> =
            self.state.tables.keys().filter(|name| name.as_str() > start).take(limit + 1).collect();
        let more = found.len() > limit;
        found.truncate(limit);
        let mut answer = json!({ "TableNames": found });
        if let Some(last) = found.last().filter(|_| more) {
            answer["LastEvaluatedTableName"] = json!(last);
        }
        Ok(answer)
    }

    pub(crate) fn delete_table(&mut self, body: &Value) -> Result<Value> {
        let name = names::table_of(names::required(body, "TableName")?).to_owned();
        names::check_name("tableName", &name)?;
        let now = self.now;
        // A change of the resource policy blocks for about as long as one of the tags.
        let policy_lock = self.scaled(self.config.lags.tag_lock);
        let gone_at = self.after(self.config.lags.delete);
        let table = self.any_table(&name)?;
        if table.protected && table.deleting.is_none() {
            return Err(ServiceError::validation(format!(
                "Resource cannot be deleted as it is currently protected against deletion. Disable deletion \
                 protection first. Table: {name}"
            )));
        }
        if !table.replicas.is_empty() {
            return Err(ServiceError::validation(format!(
                "Table {name} cannot be deleted because it is a source region for new replicas or has replicas"
            )));
        }
        if let Some(why) = table.busy(now, policy_lock) {
            return Err(ServiceError::in_use(format!(
                "Attempt to change a resource which is still in use: {why}: {name}"
            )));
        }
        table.deleting = Some(Deleting { since: now, gone_at });
        self.state.deleting.push(name.clone());
        self.system_backup(&name)?;
        let description = self.description(&name, (0, 0))?;
        Ok(json!({ "TableDescription": description }))
    }

    pub(crate) fn finish_delete(&mut self, name: &str) {
        self.state.tables.remove(name);
        self.plane.drop_table(name);
    }

    pub(crate) fn describe_limits(&self) -> Value {
        json!({
            "AccountMaxReadCapacityUnits": 80_000,
            "AccountMaxWriteCapacityUnits": 80_000,
            "TableMaxReadCapacityUnits": 40_000,
            "TableMaxWriteCapacityUnits": 40_000,
        })
    }
}

/// Capacity belongs to provisioned tables and all of their indexes, maxima to on-demand ones.
fn check_capacity(body: &Value, on_demand: bool) -> Result<()> {
    let indexes = body.get("GlobalSecondaryIndexes").and_then(Value::as_array);
    let all = || [body].into_iter().chain(indexes.into_iter().flatten());
    let wrong =
        |message: &str| Err(ServiceError::validation(format!("One or more parameter values were invalid: {message}")));
    if on_demand && all().any(|one| one.get("ProvisionedThroughput").is_some()) {
        return wrong(
            "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST",
        );
    }
    if !on_demand && all().any(|one| capacity_given(one).0 < 1 || capacity_given(one).1 < 1) {
        return wrong(
            "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED",
        );
    }
    if !on_demand && all().any(|one| maxima_given(one).is_some()) {
        return wrong("OnDemandThroughput cannot be specified when table BillingMode is PROVISIONED.");
    }
    Ok(())
}

/// Read and write units given in a request; zero if there are none.
pub(crate) fn capacity_given(given: &Value) -> (i64, i64) {
    let units = |member: &str| given["ProvisionedThroughput"][member].as_i64().unwrap_or(0);
    (units("ReadCapacityUnits"), units("WriteCapacityUnits"))
}

fn maxima_given(given: &Value) -> Option<Value> {
    let maxima = given.get("OnDemandThroughput")?;
    maxima.as_object().filter(|members| !members.is_empty()).map(|members| Value::Object(members.clone()))
}

pub(crate) fn warm_given(body: &Value) -> Result<Option<(i64, i64)>> {
    let Some(given) = body.get("WarmThroughput") else { return Ok(None) };
    let (read, write) =
        (names::optional_int(given, "ReadUnitsPerSecond")?, names::optional_int(given, "WriteUnitsPerSecond")?);
    Ok(Some((read.unwrap_or(0), write.unwrap_or(0))))
}

/// A stream's label: the UTC time it was made at.
fn label(now: i64) -> String {
    chrono::DateTime::from_timestamp_nanos(now).format("%Y-%m-%dT%H:%M:%S%.3f").to_string()
}
