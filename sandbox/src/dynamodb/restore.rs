//! What both kinds of restore share: overrides, the target, the new table.

use serde_json::{Value, json};

use super::{
    api::{Api, Result},
    error::ServiceError,
    history::Item,
    names,
    table::{Encryption, Lineage, Spec, Status, Table},
    tables::capacity_given,
};

const MAX_RESTORES: usize = 50;

/// What a restore starts from.
pub(crate) struct Source {
    pub(crate) spec: Spec,
    pub(crate) items: Vec<Item>,
    pub(crate) lineage: Lineage,
    /// Where the data began.
    pub(crate) root: String,
}

/// What a restore shall change on the way.
#[derive(Debug, Default)]
pub(crate) struct Overrides {
    on_demand: Option<bool>,
    capacity: Option<(i64, i64)>,
    maxima: Option<Value>,
    indexes: Option<Vec<Value>>,
    local_indexes: Option<Vec<Value>>,
    /// Inside: `None` for the AWS-owned key.
    encryption: Option<Option<Encryption>>,
    /// An empty OnDemandThroughputOverride starts the restore and answers that the table is in use.
    empty_maxima: bool,
}

impl Api<'_> {
    pub(crate) fn overrides_given(&self, body: &Value) -> Result<Overrides> {
        let list = |member: &str| body.get(member).and_then(Value::as_array).cloned();
        let mode = names::one_of(body, "BillingModeOverride", &["PROVISIONED", "PAY_PER_REQUEST"])?;
        let capacity = body.get("ProvisionedThroughputOverride");
        let maxima = body.get("OnDemandThroughputOverride").cloned();
        let indexes = list("GlobalSecondaryIndexOverride");
        if indexes.iter().flatten().any(|index| index.get("WarmThroughput").is_some()) {
            return Err(ServiceError::validation("WarmThroughput cannot be specified in GlobalSecondaryIndexOverride"));
        }
        let encryption = match body.get("SSESpecificationOverride") {
            None => None,
            given => Some(self.encryption_given(given)?),
        };
        Ok(Overrides {
            on_demand: mode.map(|mode| mode == "PAY_PER_REQUEST"),
            capacity: capacity.map(|given| capacity_given(&json!({ "ProvisionedThroughput": given }))),
            empty_maxima: maxima.as_ref().and_then(Value::as_object).is_some_and(serde_json::Map::is_empty),
            maxima,
            indexes,
            local_indexes: list("LocalSecondaryIndexOverride"),
            encryption,
        })
    }

    /// Is the name free for a restore?
    pub(crate) fn target_free(&self, target: &str) -> Result<()> {
        match self.state.tables.get(target).map(|table| table.status(self.now)) {
            None => Ok(()),
            Some(Status::Creating) => Err(ServiceError::new(
                "TableInUseException",
                format!("Table is currently being created or restored: {target}"),
            )),
            Some(_) => Err(ServiceError::new("TableAlreadyExistsException", format!("Table already exists: {target}"))),
        }
    }

    pub(crate) fn start_restore(&mut self, target: &str, overrides: Overrides, source: Source) -> Result<Value> {
        let restoring = |table: &&Table| table.lineage.is_some() && table.status(self.now) == Status::Creating;
        if self.config.limits && self.state.tables.values().filter(restoring).count() >= MAX_RESTORES {
            return Err(ServiceError::limit(format!(
                "Subscriber limit exceeded: Only {MAX_RESTORES} restore operations can be in progress simultaneously"
            )));
        }
        self.room_for_table(false)?;
        let half_refused = overrides.empty_maxima;
        let spec = apply(source.spec, overrides, self.now)?;
        self.plane.create_table(&spec.creation(target))?;
        self.plane.import(target, source.items)?;
        let active_at = self.after(self.config.lags.restore);
        let mut table = self.new_table(target, spec, active_at);
        table.lineage = Some(source.lineage);
        table.root = source.root;
        self.state.tables.insert(target.to_owned(), table);
        if half_refused {
            return Err(ServiceError::new("TableInUseException", format!("Table is being restored: {target}")));
        }
        let description = self.description(target, (0, 0))?;
        Ok(json!({ "TableDescription": description }))
    }
}

/// The restored table's specification; wrong combinations are refused here.
fn apply(mut spec: Spec, overrides: Overrides, now: i64) -> Result<Spec> {
    let on_demand = overrides.on_demand.unwrap_or(spec.on_demand);
    let wrong = |message: &str| Err(ServiceError::validation(message));
    if overrides.capacity.is_some() && on_demand {
        return wrong("ProvisionedThroughputOverride cannot be specified when billing mode is PAY_PER_REQUEST");
    }
    if overrides.on_demand == Some(false) && overrides.capacity.is_none() {
        return wrong("ProvisionedThroughputOverride must be specified when BillingModeOverride is PROVISIONED");
    }
    if let Some(maxima) = &overrides.maxima {
        if !on_demand {
            return wrong("OnDemandThroughputOverride cannot be specified when billing mode is PROVISIONED");
        }
        if maxima.as_object().into_iter().flatten().any(|(_, units)| units == 0) {
            return wrong("OnDemandThroughputOverride units must be at least 1");
        }
    }
    if let Some(wanted) = overrides.indexes {
        let kept: Result<Vec<_>> = wanted.iter().map(|given| matching_index(&spec, given)).collect();
        spec.indexes = kept?;
    }
    if let Some(wanted) = overrides.local_indexes {
        let same =
            |a: &Value, b: &Value| ["IndexName", "KeySchema", "Projection"].iter().all(|part| a[part] == b[part]);
        if !wanted.iter().all(|given| spec.local_indexes.iter().any(|index| same(index, given))) {
            return wrong("LocalSecondaryIndexOverride may only name indexes of the source as they are");
        }
        spec.local_indexes = wanted;
    }
    if on_demand && !spec.on_demand {
        spec.on_demand_since = Some(now);
        spec.capacity = (0, 0);
        spec.indexes.iter_mut().for_each(|index| index.capacity = (0, 0));
    }
    if !on_demand {
        spec.maxima = None;
    }
    spec.on_demand = on_demand;
    spec.capacity = overrides.capacity.unwrap_or(spec.capacity);
    if let Some(maxima) = overrides.maxima.filter(|_| !overrides.empty_maxima) {
        spec.maxima = Some(maxima);
    }
    if let Some(encryption) = overrides.encryption {
        spec.encryption = encryption;
    }
    spec.indexes.retain(|index| index.gone_at.is_none());
    for index in &mut spec.indexes {
        (index.active_at, index.updated_at, index.warm) = (now, now, None);
    }
    spec.prune_attributes();
    Ok(spec)
}

fn matching_index(spec: &Spec, given: &Value) -> Result<super::table::Index> {
    let name = given["IndexName"].as_str().unwrap_or_default();
    let found =
        spec.index(name).filter(|index| given["KeySchema"] == index.keys && given["Projection"] == index.projection);
    let Some(found) = found else {
        return Err(ServiceError::validation(format!(
            "GlobalSecondaryIndexOverride may only name indexes of the source as they are: {name}"
        )));
    };
    let mut index = found.clone();
    if given.get("ProvisionedThroughput").is_some() {
        index.capacity = capacity_given(given);
    }
    if let Some(maxima) = given.get("OnDemandThroughput") {
        index.maxima = Some(maxima.clone());
    }
    Ok(index)
}
