//! Time to live.

use serde_json::{Value, json};

use super::{
    api::{Api, Result},
    error::ServiceError,
    names,
};

/// The attribute that items expire by; the items themselves never expire here.
#[derive(Debug, Clone, Default)]
pub(crate) struct TimeToLive {
    pub(crate) attribute: Option<String>,
    changed_at: Option<i64>,
    settled_at: i64,
}

impl TimeToLive {
    pub(crate) fn description(&self, now: i64) -> Value {
        let settled = self.settled_at <= now;
        match &self.attribute {
            Some(attribute) => json!({
                "TimeToLiveStatus": if settled { "ENABLED" } else { "ENABLING" },
                "AttributeName": attribute,
            }),
            None => json!({ "TimeToLiveStatus": if settled { "DISABLED" } else { "DISABLING" } }),
        }
    }
}

impl Api<'_> {
    pub(crate) fn describe_ttl(&mut self, body: &Value) -> Result<Value> {
        let now = self.now;
        let table = self.settled_table(names::required(body, "TableName")?)?;
        Ok(json!({ "TimeToLiveDescription": table.ttl.description(now) }))
    }

    pub(crate) fn update_ttl(&mut self, body: &Value) -> Result<Value> {
        let wanted = body.get("TimeToLiveSpecification").ok_or_else(|| names::missing("TimeToLiveSpecification"))?;
        let enable = names::optional_bool(wanted, "Enabled")?.ok_or_else(|| names::missing("Enabled"))?;
        let attribute = names::required(wanted, "AttributeName")?;
        let (now, cooldown) = (self.now, self.scaled(self.config.lags.ttl_cooldown));
        let settled_at = self.after(self.config.lags.streaming);
        let ttl = &mut self.healthy_table(names::required(body, "TableName")?)?.ttl;
        let refuse = |message: &str| Err(ServiceError::validation(message));
        if ttl.changed_at.is_some_and(|at| now < at.saturating_add(cooldown)) {
            return refuse("Time to live has been modified multiple times within a fixed interval");
        }
        match (&ttl.attribute, enable) {
            (Some(_), true) => return refuse("TimeToLive is already enabled"),
            (None, false) => return refuse("TimeToLive is already disabled"),
            (Some(current), false) if current != attribute => {
                return refuse(&format!(
                    "TimeToLive is active on a different AttributeName: current AttributeName is {current}"
                ));
            }
            _ => {}
        }
        ttl.attribute = enable.then(|| attribute.to_owned());
        ttl.changed_at = Some(now);
        ttl.settled_at = settled_at;
        Ok(json!({ "TimeToLiveSpecification": { "Enabled": enable, "AttributeName": attribute } }))
    }
}
