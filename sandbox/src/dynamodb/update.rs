//! UpdateTable: one kind of change per call.

use serde_json::{Value, json};

use super::{
    api::{Api, Result},
    error::ServiceError,
    names,
    table::{Index, Status, Table},
    tables::{capacity_given, warm_given},
};

const DAY_NS: i64 = 86_400 * 1_000_000_000;

/// What a call wants to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Billing mode, capacity of table and indexes, on-demand maxima.
    Capacity,
    /// Create or delete an index.
    Indexes,
    Stream,
    Encryption,
    Class,
    Warm,
    Protection,
    Replicas,
}

impl Api<'_> {
    pub(crate) fn update_table(&mut self, body: &Value) -> Result<Value> {
        let name = names::table_of(names::required(body, "TableName")?).to_owned();
        names::check_name("tableName", &name)?;
        let now = self.now;
        let table = self.any_table(&name)?;
        let in_use = |why: &str| {
            Err(ServiceError::in_use(format!("Attempt to change a resource which is still in use: {why}: {name}")))
        };
        match table.status(now) {
            Status::Creating if table.lineage.is_some() => return Err(ServiceError::resource_not_found(&name)),
            Status::Creating => return in_use("Table is being created"),
            Status::Updating => return in_use("Table is being updated"),
            Status::Deleting => return in_use("Table is being deleted"),
            Status::Forced => return in_use("Table is not accessible"),
            Status::Active => {}
        }
        let kind = kind(body)?;
        // The answer shows the table as it was.
        let statistics = self.statistics(&name)?;
        let mut description = self.description(&name, statistics)?;
        match kind {
            Kind::Capacity => self.change_capacity(&name, body)?,
            Kind::Indexes => self.change_indexes(&name, body)?,
            Kind::Stream => self.change_stream(&name, body)?,
            Kind::Encryption => self.change_encryption(&name, body)?,
            Kind::Class => self.change_class(&name, body)?,
            Kind::Warm => self.change_warm(&name, body)?,
            Kind::Protection => self.change_protection(&name, body)?,
            Kind::Replicas => {
                return Err(ServiceError::validation("Replicas cannot be changed here"));
            }
        }
        description["TableStatus"] = self.any_table(&name)?.status_name(now).into();
        Ok(json!({ "TableDescription": description }))
    }

    pub(crate) fn updating(&mut self, name: &str) -> Result<&mut Table> {
        let updated_at = self.after(self.config.lags.update);
        let table = self.any_table(name)?;
        table.updated_at = updated_at;
        Ok(table)
    }

    fn change_indexes(&mut self, name: &str, body: &Value) -> Result<()> {
        let changes: Vec<&Value> = index_updates(body).collect();
        let [change] = changes.as_slice() else {
            return Err(ServiceError::limit(
                "Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table",
            ));
        };
        if let Some(create) = change.get("Create") {
            let on_demand = self.any_table(name)?.spec.on_demand;
            if on_demand == (capacity_given(create) != (0, 0)) {
                return Err(ServiceError::validation(
                    "One or more parameter values were invalid: ProvisionedThroughput of an index has to be specified \
                     exactly when the table's BillingMode is PROVISIONED",
                ));
            }
        }
        let mut request = json!({ "TableName": name, "GlobalSecondaryIndexUpdates": [change] });
        if let Some(attributes) = body.get("AttributeDefinitions") {
            request["AttributeDefinitions"] = attributes.clone();
        }
        // For the items every table is on-demand.
        if let Some(create) = request["GlobalSecondaryIndexUpdates"][0].get_mut("Create").and_then(Value::as_object_mut)
        {
            for setting in ["ProvisionedThroughput", "OnDemandThroughput", "WarmThroughput"] {
                create.remove(setting);
            }
        }
        self.plane.engine().update_table(super::plane::parse(request)?)?;
        let done_at = self.after(self.config.lags.index);
        let now = self.now;
        let table = self.any_table(name)?;
        if let Some(create) = change.get("Create") {
            for attribute in body["AttributeDefinitions"].as_array().into_iter().flatten() {
                if !table.spec.attributes.iter().any(|known| known["AttributeName"] == attribute["AttributeName"]) {
                    table.spec.attributes.push(attribute.clone());
                }
            }
            table.spec.indexes.push(Index {
                name: create["IndexName"].as_str().unwrap_or_default().to_owned(),
                keys: create["KeySchema"].clone(),
                projection: create["Projection"].clone(),
                capacity: capacity_given(create),
                maxima: create.get("OnDemandThroughput").cloned(),
                warm: None,
                active_at: done_at,
                updated_at: now,
                gone_at: None,
            });
        } else {
            let wanted = change["Delete"]["IndexName"].as_str().unwrap_or_default();
            table
                .spec
                .indexes
                .iter_mut()
                .filter(|index| index.name == wanted)
                .for_each(|index| index.gone_at = Some(done_at));
        }
        Ok(())
    }

    fn change_stream(&mut self, name: &str, body: &Value) -> Result<()> {
        let wanted = self.stream_given(body)?;
        let table = self.any_table(name)?;
        match (&table.stream, &wanted) {
            (Some(_), Some(_)) => {
                return Err(ServiceError::validation(format!(
                    "Table already has an enabled stream: TableName: {name}"
                )));
            }
            (None, None) => {
                return Err(ServiceError::validation(format!(
                    "Table does not have an enabled stream: TableName: {name}"
                )));
            }
            _ => {}
        }
        let table = self.updating(name)?;
        table.last_stream = table.stream.take().or(table.last_stream.take());
        table.stream = wanted;
        Ok(())
    }

    fn change_encryption(&mut self, name: &str, body: &Value) -> Result<()> {
        let wanted = self.encryption_given(body.get("SSESpecification"))?;
        let (now, encrypted_at) = (self.now, self.after(self.config.lags.encryption));
        let table = self.any_table(name)?;
        if table.spec.encryption == wanted {
            return Err(ServiceError::validation(
                "One or more parameter values were invalid: Table is already encrypted by given KMSMasterKeyId",
            ));
        }
        table.encryption_changes.retain(|at| now < at.saturating_add(DAY_NS));
        if table.encryption_changes.len() >= 4 {
            return Err(ServiceError::limit(
                "Subscriber limit exceeded: encryption can be changed 4 times in 24 hours",
            ));
        }
        table.encryption_changes.push(now);
        table.spec.encryption = wanted;
        table.encrypted_at = encrypted_at;
        Ok(())
    }

    fn change_class(&mut self, name: &str, body: &Value) -> Result<()> {
        let wanted = names::one_of(body, "TableClass", &["STANDARD", "STANDARD_INFREQUENT_ACCESS"])?;
        let wanted = wanted.ok_or_else(|| names::missing("TableClass"))?;
        let now = self.now;
        let table = self.any_table(name)?;
        if table.class.as_deref().unwrap_or("STANDARD") == wanted {
            return Err(ServiceError::validation(format!("Table is already in table class {wanted}")));
        }
        table.class_changes.retain(|at| now < at.saturating_add(30 * DAY_NS));
        if table.class_changes.len() >= 2 {
            return Err(ServiceError::limit("Subscriber limit exceeded: table class can be changed twice in 30 days"));
        }
        let table = self.updating(name)?;
        table.class_changes.push(now);
        table.class = Some(wanted.to_owned());
        Ok(())
    }

    fn change_warm(&mut self, name: &str, body: &Value) -> Result<()> {
        let warm_at = self.after(self.config.lags.warm);
        let wanted = warm_given(body)?;
        let table = self.any_table(name)?;
        let current = table.warm.unwrap_or(if table.spec.on_demand { (12_000, 4_000) } else { table.spec.capacity });
        if wanted.is_none_or(|(read, write)| read < current.0 || write < current.1) {
            return Err(ServiceError::validation("WarmThroughput can only be increased"));
        }
        table.warm = wanted;
        table.warm_at = warm_at;
        Ok(())
    }

    fn change_protection(&mut self, name: &str, body: &Value) -> Result<()> {
        let wanted = names::optional_bool(body, "DeletionProtectionEnabled")?.unwrap_or_default();
        let (now, cooldown) = (self.now, self.scaled(self.config.lags.protection_cooldown));
        let table = self.any_table(name)?;
        if table.protected != wanted {
            if table.protection_changed_at.is_some_and(|at| now < at.saturating_add(cooldown)) {
                return Err(ServiceError::throttled());
            }
            table.protected = wanted;
            table.protection_changed_at = Some(now);
        }
        Ok(())
    }
}

/// The one kind of change in a request.
fn kind(body: &Value) -> Result<Kind> {
    let has = |member: &str| body.get(member).is_some_and(|value| !value.is_null());
    let online = index_updates(body).any(|update| update.get("Update").is_none());
    let tuned = index_updates(body).any(|update| update.get("Update").is_some());
    let capacity = ["BillingMode", "ProvisionedThroughput", "OnDemandThroughput"].into_iter().any(has) || tuned;
    let kinds: Vec<Kind> = [
        (capacity, Kind::Capacity),
        (online, Kind::Indexes),
        (has("StreamSpecification"), Kind::Stream),
        (has("SSESpecification"), Kind::Encryption),
        (has("TableClass"), Kind::Class),
        (has("WarmThroughput"), Kind::Warm),
        (has("DeletionProtectionEnabled"), Kind::Protection),
        (has("ReplicaUpdates"), Kind::Replicas),
    ]
    .into_iter()
    .filter_map(|(wanted, kind)| wanted.then_some(kind))
    .collect();
    match kinds.as_slice() {
        [kind] => Ok(*kind),
        [] => Err(ServiceError::validation(
            "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, GlobalSecondaryIndexUpdates or \
             SSESpecification or ReplicaUpdates is required",
        )),
        several => Err(ServiceError::validation(format!(
            "One or more parameter values were invalid: only one kind of change is possible at a time: {several:?}"
        ))),
    }
}

pub(crate) fn index_updates(body: &Value) -> impl Iterator<Item = &Value> {
    body.get("GlobalSecondaryIndexUpdates").and_then(Value::as_array).into_iter().flatten()
}

impl Table {
    /// Lets indexes go whose deletion has ended.
    pub(crate) fn drop_gone_indexes(&mut self, now: i64) {
        let gone = |index: &Index| index.gone_at.is_some_and(|at| at <= now);
        if self.spec.indexes.iter().any(gone) {
            self.spec.indexes.retain(|index| !gone(index));
            self.spec.prune_attributes();
        }
    }
}
