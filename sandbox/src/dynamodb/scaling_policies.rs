//! Scaling policies and the alarms that come with them.

use rand::RngExt;
use serde_json::{Value, json};

use super::{
    api::{Api, Result},
    error::ServiceError,
    names::{self, seconds},
    scaling::{Key, key, page},
};

const PAGE: i64 = 10;

impl Api<'_> {
    /// Creates or replaces a policy; its alarms are new each time its configuration is.
    pub(crate) fn put_scaling_policy(&mut self, body: &Value) -> Result<Value> {
        let target = key(body)?;
        let name = names::required(body, "PolicyName")?;
        self.target_exists(&target)?;
        let slot = (target, name.to_owned());
        let known = self.state.scaling.policies.get(&slot).cloned();
        let kinds = ["StepScaling", "TargetTrackingScaling", "PredictiveScaling"];
        let kind = names::one_of(body, "PolicyType", &kinds)?.map(str::to_owned);
        let kind = kind.or_else(|| Some(known.as_ref()?["PolicyType"].as_str()?.to_owned()));
        if kind.as_deref() != Some("TargetTrackingScaling") {
            return Err(ServiceError::validation("DynamoDB supports only policies of type TargetTrackingScaling"));
        }
        let member = "TargetTrackingScalingPolicyConfiguration";
        let configuration = body.get(member).ok_or_else(|| names::missing(member))?;
        let value = configuration["TargetValue"].as_f64().ok_or_else(|| names::missing("TargetValue"))?;
        if !(20.0..=90.0).contains(&value) {
            return Err(ServiceError::validation("TargetValue must be between 20 and 90"));
        }
        let known_arn = known.as_ref().and_then(|known| known["PolicyARN"].as_str().map(str::to_owned));
        let arn = known_arn.unwrap_or_else(|| {
            let id = self.state.uuid();
            format!(
                "arn:aws:autoscaling:{}:{}:scalingPolicy:{id}:resource/dynamodb/{}:policyName/{name}",
                self.config.region, self.config.account, slot.0.0,
            )
        });
        self.remove_policy(&slot);
        let alarms = self.scaling_alarms(&slot.0, &arn, value);
        let policy = json!({
            "PolicyARN": arn,
            "PolicyName": name,
            "ServiceNamespace": "dynamodb",
            "ResourceId": slot.0.0,
            "ScalableDimension": slot.0.1,
            "PolicyType": "TargetTrackingScaling",
            member: configuration,
            "Alarms": alarms,
            "CreationTime": known.map_or_else(|| seconds(self.now), |known| known["CreationTime"].clone()),
        });
        self.state.scaling.policies.insert(slot, policy);
        Ok(json!({ "PolicyARN": arn, "Alarms": alarms }))
    }

    pub(crate) fn delete_scaling_policy(&mut self, body: &Value) -> Result<Value> {
        let slot = (key(body)?, names::required(body, "PolicyName")?.to_owned());
        if self.remove_policy(&slot) {
            return Ok(json!({}));
        }
        Err(ServiceError::new("ObjectNotFoundException", format!("No scaling policy found: {}", slot.1)))
    }

    pub(crate) fn describe_scaling_policies(&mut self, body: &Value) -> Result<Value> {
        let all = self.state.scaling.policies.iter();
        let all = all.map(|((key, name), policy)| (format!("{}|{}|{name}", key.0, key.1), policy));
        page(body, "ScalingPolicies", PAGE, all)
    }

    /// Removes a policy and its alarms, if it is there.
    pub(crate) fn remove_policy(&mut self, slot: &(Key, String)) -> bool {
        let Some(policy) = self.state.scaling.policies.remove(slot) else { return false };
        for alarm in policy["Alarms"].as_array().into_iter().flatten() {
            self.state.alarms.remove(alarm["AlarmName"].as_str().unwrap_or_default());
        }
        true
    }

    /// The four alarms of a target-tracking policy: too high, too low, and two for changes of the capacity itself.
    fn scaling_alarms(&mut self, (resource, dimension): &Key, policy_arn: &str, target: f64) -> Value {
        let read = dimension.contains("Read");
        let consumed = if read { "ConsumedReadCapacityUnits" } else { "ConsumedWriteCapacityUnits" };
        let provisioned = if read { "ProvisionedReadCapacityUnits" } else { "ProvisionedWriteCapacityUnits" };
        let mut parts = resource.split('/').skip(1);
        let mut dimensions = vec![json!({ "Name": "TableName", "Value": parts.next() })];
        if let (Some(_), Some(index)) = (parts.next(), parts.next()) {
            dimensions.push(json!({ "Name": "GlobalSecondaryIndexName", "Value": index }));
        }
        let mut listed = Vec::new();
        for (kind, metric, comparison, periods) in [
            ("AlarmHigh", consumed, "GreaterThanThreshold", 2),
            ("AlarmLow", consumed, "LessThanThreshold", 15),
            ("ProvisionedCapacityHigh", provisioned, "GreaterThanThreshold", 3),
            ("ProvisionedCapacityLow", provisioned, "LessThanThreshold", 3),
        ] {
            let id = uuid::Builder::from_random_bytes(self.state.rng.random()).into_uuid();
            let name = format!("TargetTracking-{resource}-{kind}-{id}");
            let alarm = self.new_alarm(&json!({
                "AlarmName": name,
                "AlarmDescription": format!("DO NOT EDIT OR DELETE. For TargetTrackingScaling policy {policy_arn}."),
                "ActionsEnabled": true,
                "AlarmActions": [policy_arn],
                "Namespace": "AWS/DynamoDB",
                "MetricName": metric,
                "Statistic": "Sum",
                "Dimensions": dimensions,
                "Period": 60,
                "EvaluationPeriods": periods,
                "Threshold": target,
                "ComparisonOperator": comparison,
            }));
            listed.push(json!({ "AlarmName": name, "AlarmARN": alarm["AlarmArn"] }));
            self.state.alarms.insert(name, alarm);
        }
        listed.into()
    }
}
