//! The alarms of CloudWatch, as far as tables have any. No metric is ever looked at: they have insufficient data.

use serde_json::{Value, json};

use super::{
    api::{Api, Result},
    error::ServiceError,
    names::{self, seconds},
};

const PAGE: i64 = 100;

impl Api<'_> {
    pub(crate) fn cloudwatch(&mut self, operation: &str, body: &Value) -> Result<Value> {
        match operation {
            "DescribeAlarms" => self.describe_alarms(body),
            "PutMetricAlarm" => self.put_alarm(body),
            "DeleteAlarms" => self.delete_alarms(body),
            _ => Err(ServiceError::unknown_operation()),
        }
    }

    fn put_alarm(&mut self, body: &Value) -> Result<Value> {
        let name = names::required(body, "AlarmName")?.to_owned();
        for member in ["ComparisonOperator", "EvaluationPeriods"] {
            if body.get(member).is_none() {
                return Err(names::missing(member));
            }
        }
        let alarm = self.new_alarm(body);
        self.state.alarms.insert(name, alarm);
        Ok(json!({}))
    }

    /// The alarm that a request describes.
    pub(crate) fn new_alarm(&self, body: &Value) -> Value {
        let now = seconds(self.now);
        let name = body["AlarmName"].as_str().unwrap_or_default();
        let mut alarm = json!({
            "ActionsEnabled": true, "OKActions": [], "AlarmActions": [], "InsufficientDataActions": [], "Dimensions": [],
        });
        for (member, value) in body.as_object().into_iter().flatten().filter(|(member, _)| *member != "Tags") {
            alarm[member] = value.clone();
        }
        alarm["AlarmArn"] =
            format!("arn:aws:cloudwatch:{}:{}:alarm:{name}", self.config.region, self.config.account).into();
        alarm["StateValue"] = "INSUFFICIENT_DATA".into();
        alarm["StateReason"] = "Unchecked: Initial alarm creation".into();
        for member in ["AlarmConfigurationUpdatedTimestamp", "StateUpdatedTimestamp", "StateTransitionedTimestamp"] {
            alarm[member] = now.clone();
        }
        alarm
    }

    /// All of them or none.
    fn delete_alarms(&mut self, body: &Value) -> Result<Value> {
        let given = body.get("AlarmNames").and_then(Value::as_array).ok_or_else(|| names::missing("AlarmNames"))?;
        let given: Vec<&str> = given.iter().filter_map(Value::as_str).collect();
        if let Some(missing) = given.iter().find(|name| !self.state.alarms.contains_key(**name)) {
            return Err(ServiceError::new("ResourceNotFound", format!("Alarm not found: {missing}")).with_status(404));
        }
        for name in given {
            self.state.alarms.remove(name);
        }
        Ok(json!({}))
    }

    fn describe_alarms(&mut self, body: &Value) -> Result<Value> {
        let size = names::page_size(body, "MaxRecords", PAGE)?;
        let start = names::optional(body, "NextToken")?.unwrap_or_default();
        let wanted = body.get("AlarmNames").and_then(Value::as_array).filter(|names| !names.is_empty());
        let prefix = names::optional(body, "AlarmNamePrefix")?.unwrap_or_default();
        let action = names::optional(body, "ActionPrefix")?.unwrap_or_default();
        let state = names::optional(body, "StateValue")?;
        let fits = |name: &str, alarm: &Value| {
            let mut actions = ["AlarmActions", "OKActions", "InsufficientDataActions"]
                .into_iter()
                .filter_map(|member| alarm[member].as_array())
                .flatten()
                .filter_map(Value::as_str);
            wanted.is_none_or(|wanted| wanted.iter().any(|wanted| wanted == name))
                && name.starts_with(prefix)
                && (action.is_empty() || actions.any(|arn| arn.starts_with(action)))
                && state.is_none_or(|state| alarm["StateValue"] == state)
        };
        let all = self.state.alarms.iter();
        let mut rest = all.filter(|(name, alarm)| name.as_str() > start && fits(name, alarm)).peekable();
        let (mut found, mut last) = (Vec::new(), "");
        while let Some((name, alarm)) = rest.next_if(|_| found.len() < size) {
            found.push(alarm);
            last = name;
        }
        let mut answer = json!({ "MetricAlarms": found, "CompositeAlarms": [] });
        if rest.peek().is_some() {
            answer["NextToken"] = last.into();
        }
        Ok(answer)
    }
}
