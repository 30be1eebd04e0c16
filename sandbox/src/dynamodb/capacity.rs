//! UpdateTable of billing mode, capacity and on-demand maxima.

use serde_json::Value;

use super::{
    api::{Api, Result},
    describe::today,
    error::ServiceError,
    names,
    table::Spec,
    tables::capacity_given,
    update::index_updates,
};

const HOUR_NS: i64 = 3_600 * 1_000_000_000;

impl Api<'_> {
    pub(crate) fn change_capacity(&mut self, name: &str, body: &Value) -> Result<()> {
        let now = self.now;
        let mode = names::one_of(body, "BillingMode", &["PROVISIONED", "PAY_PER_REQUEST"])?;
        let table = self.any_table(name)?;
        let mut spec = table.spec.clone();
        let updates: Vec<&Value> = index_updates(body).filter_map(|update| update.get("Update")).collect();
        for update in &updates {
            let index = update["IndexName"].as_str().unwrap_or_default();
            if spec.index(index).is_none() {
                return Err(ServiceError::resource_not_found(&format!("{name} index {index}")));
            }
        }
        let on_demand = mode.map_or(spec.on_demand, |mode| mode == "PAY_PER_REQUEST");
        let given = body.get("ProvisionedThroughput").map(|_| capacity_given(body));
        check_billing(&spec, on_demand, given, &updates)?;
        if on_demand && !spec.on_demand {
            spec.on_demand_since = Some(now);
            spec.capacity = (0, 0);
            spec.indexes.iter_mut().for_each(|index| index.capacity = (0, 0));
        }
        if !on_demand {
            spec.maxima = None;
            spec.indexes.iter_mut().for_each(|index| index.maxima = None);
        }
        let mut decreased = false;
        if let Some(units) = given {
            let unchanged = !spec.on_demand && units == spec.capacity;
            if unchanged && updates.is_empty() {
                return Err(same_capacity(units));
            }
            decreased = !spec.on_demand && (units.0 < spec.capacity.0 || units.1 < spec.capacity.1);
            spec.capacity = units;
        }
        if decreased && !may_decrease(&table.decreases, now) {
            return Err(ServiceError::limit(
                "Subscriber limit exceeded: Provisioned throughput decreases are limited within a given UTC day",
            ));
        }
        spec.on_demand = on_demand;
        change_maxima(&mut spec.maxima, body, on_demand)?;
        for update in &updates {
            let wanted = update["IndexName"].as_str().unwrap_or_default();
            let Some(index) = spec.indexes.iter_mut().find(|index| index.name == wanted) else { continue };
            if update.get("ProvisionedThroughput").is_some() {
                let units = capacity_given(update);
                if units == index.capacity {
                    return Err(same_capacity(units));
                }
                index.capacity = units;
            }
            change_maxima(&mut index.maxima, update, on_demand)?;
        }
        let table = self.updating(name)?;
        table.spec = spec;
        if decreased {
            table.decreases.push(now);
        }
        Ok(())
    }
}

fn same_capacity((read, write): (i64, i64)) -> ServiceError {
    ServiceError::validation(format!(
        "The provisioned throughput for the table will not change. The requested value equals the current value. \
         Current ReadCapacityUnits provisioned for the table: {read}. Requested ReadCapacityUnits: {read}. \
         Current WriteCapacityUnits provisioned for the table: {write}. Requested WriteCapacityUnits: {write}."
    ))
}

fn check_billing(spec: &Spec, on_demand: bool, given: Option<(i64, i64)>, updates: &[&Value]) -> Result<()> {
    let wrong = |message: &str| Err(ServiceError::validation(message));
    let has_units = |update: &&Value| update.get("ProvisionedThroughput").is_some();
    if on_demand && (given.is_some() || updates.iter().any(has_units)) {
        return wrong(
            "One or more parameter values were invalid: Neither ReadCapacityUnits nor WriteCapacityUnits can be \
             specified when BillingMode is PAY_PER_REQUEST",
        );
    }
    if given.is_some_and(|(read, write)| read < 1 || write < 1) {
        return wrong("One or more parameter values were invalid: capacity units must be at least 1");
    }
    let every_index = spec
        .indexes
        .iter()
        .all(|index| updates.iter().filter(|update| has_units(update)).any(|update| update["IndexName"] == index.name));
    if spec.on_demand && !on_demand && (given.is_none() || !every_index) {
        return wrong(
            "One or more parameter values were invalid: ProvisionedThroughput must be specified for the table and \
             every index when BillingMode changes to PROVISIONED",
        );
    }
    Ok(())
}

/// Four decreases in a UTC day; after them one if there was none in the last hour.
fn may_decrease(decreases: &[i64], now: i64) -> bool {
    today(decreases, now) < 4 || decreases.last().is_none_or(|last| now.saturating_sub(*last) >= HOUR_NS)
}

fn change_maxima(current: &mut Option<Value>, given: &Value, on_demand: bool) -> Result<()> {
    let Some(wanted) = given.get("OnDemandThroughput") else { return Ok(()) };
    let wanted = wanted.as_object().ok_or_else(|| names::mistyped("OnDemandThroughput", "OnDemandThroughput"))?;
    if wanted.is_empty() {
        return Err(ServiceError::internal("Internal server error"));
    }
    if !on_demand {
        return Err(ServiceError::validation(
            "One or more parameter values were invalid: OnDemandThroughput cannot be specified when BillingMode is \
             PROVISIONED",
        ));
    }
    let mut maxima = current.as_ref().and_then(Value::as_object).cloned().unwrap_or_default();
    for (member, units) in wanted {
        match units.as_i64() {
            Some(-1) => drop(maxima.remove(member)),
            Some(1..) => drop(maxima.insert(member.clone(), units.clone())),
            _ => return Err(ServiceError::validation(format!("Requested {member} is outside of valid range"))),
        }
    }
    *current = (!maxima.is_empty()).then_some(Value::Object(maxima));
    Ok(())
}
