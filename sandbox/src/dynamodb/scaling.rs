//! Application Auto Scaling: targets, scheduled actions and tags. Nothing is ever scaled here.

use std::collections::BTreeMap;

use rand::RngExt;
use serde_json::{Map, Value, json};

use super::{
    api::{Api, Result},
    error::ServiceError,
    names::{self, seconds},
};

/// Resource id and dimension.
pub(crate) type Key = (String, String);

/// Everything registered, as it is described.
#[derive(Debug, Default)]
pub(crate) struct Scaling {
    targets: BTreeMap<Key, Target>,
    /// By target and policy name.
    pub(crate) policies: BTreeMap<(Key, String), Value>,
    /// By target and action name.
    actions: BTreeMap<(Key, String), Value>,
}

#[derive(Debug)]
struct Target {
    arn: String,
    description: Value,
    tags: Map<String, Value>,
}

impl Scaling {
    pub(crate) fn target_arn(&self, key: &Key) -> Option<String> {
        self.targets.get(key).map(|target| target.arn.clone())
    }
}

const DIMENSIONS: [&str; 4] = [
    "dynamodb:table:ReadCapacityUnits",
    "dynamodb:table:WriteCapacityUnits",
    "dynamodb:index:ReadCapacityUnits",
    "dynamodb:index:WriteCapacityUnits",
];
const TARGETS_PAGE: i64 = 50;
const ACTIONS_PAGE: i64 = 50;

impl Api<'_> {
    pub(crate) fn scaling(&mut self, operation: &str, body: &Value) -> Result<Value> {
        match operation {
            "RegisterScalableTarget" => self.register_target(body),
            "DeregisterScalableTarget" => self.deregister_target(body),
            "DescribeScalableTargets" => self.describe_targets(body),
            "PutScalingPolicy" => self.put_scaling_policy(body),
            "DeleteScalingPolicy" => self.delete_scaling_policy(body),
            "DescribeScalingPolicies" => self.describe_scaling_policies(body),
            "PutScheduledAction" => self.put_scheduled_action(body),
            "DeleteScheduledAction" => self.delete_scheduled_action(body),
            "DescribeScheduledActions" => self.describe_scheduled_actions(body),
            "ListTagsForResource" => Ok(json!({ "Tags": self.target_by_arn(body)?.tags })),
            "TagResource" => self.tag_target(body),
            "UntagResource" => self.untag_target(body),
            _ => Err(ServiceError::unknown_operation()),
        }
    }

    fn register_target(&mut self, body: &Value) -> Result<Value> {
        let key = key(body)?;
        let known = self.state.scaling.targets.get(&key).map(|target| target.description.clone());
        let capacity = |member: &str| -> Result<Value> {
            let given = names::optional_int(body, member)?.map(Value::from);
            let given = given.or_else(|| known.as_ref().map(|known| known[member].clone()));
            given.ok_or_else(|| ServiceError::validation(format!("{member} is required for a new scalable target")))
        };
        let (min, max) = (capacity("MinCapacity")?, capacity("MaxCapacity")?);
        if min.as_i64() > max.as_i64() || min.as_i64() < Some(1) {
            return Err(ServiceError::validation(
                "Maximum capacity cannot be less than minimum capacity, nor minimum less than 1",
            ));
        }
        if known.is_none() && !self.scalable(&key) {
            return Err(ServiceError::validation(format!("DynamoDB table does not exist: {}", key.0)));
        }
        let mut suspended = json!({
            "DynamicScalingInSuspended": false, "DynamicScalingOutSuspended": false, "ScheduledScalingSuspended": false,
        });
        let before = known.as_ref().map(|known| known["SuspendedState"].clone());
        for given in [before.as_ref(), body.get("SuspendedState")].into_iter().flatten().filter_map(Value::as_object) {
            given.iter().for_each(|(member, flag)| suspended[member] = flag.clone());
        }
        let account = &self.config.account;
        let id: u64 = self.state.rng.random();
        let arn = match self.state.scaling.targets.get(&key) {
            Some(target) => target.arn.clone(),
            None => format!(
                "arn:aws:application-autoscaling:{}:{account}:scalable-target/0ec5{id:016x}",
                self.config.region
            ),
        };
        let created = known.map_or_else(|| seconds(self.now), |known| known["CreationTime"].clone());
        let description = json!({
            "ServiceNamespace": "dynamodb",
            "ResourceId": key.0,
            "ScalableDimension": key.1,
            "MinCapacity": min,
            "MaxCapacity": max,
            "RoleARN": format!(
                "arn:aws:iam::{account}:role/aws-service-role/dynamodb.application-autoscaling.amazonaws.com/\
                 AWSServiceRoleForApplicationAutoScaling_DynamoDBTable"
            ),
            "CreationTime": created,
            "SuspendedState": suspended,
            "ScalableTargetARN": arn,
        });
        let tags = body.get("Tags").and_then(Value::as_object).cloned();
        let target = self.state.scaling.targets.entry(key).or_insert_with(|| Target {
            arn: arn.clone(),
            description: Value::Null,
            tags: Map::new(),
        });
        target.description = description;
        target.tags.extend(tags.unwrap_or_default());
        Ok(json!({ "ScalableTargetARN": arn }))
    }

    /// Does the resource of a target exist?
    fn scalable(&self, (resource, _): &Key) -> bool {
        let mut parts = resource.splitn(4, '/').skip(1);
        let table = parts.next().and_then(|name| self.state.tables.get(name));
        match (table, parts.next(), parts.next()) {
            (Some(table), Some("index"), Some(index)) => table.spec.index(index).is_some(),
            (table, None, None) => table.is_some(),
            _ => false,
        }
    }

    /// Policies and scheduled actions go with their target.
    fn deregister_target(&mut self, body: &Value) -> Result<Value> {
        let key = key(body)?;
        self.state.scaling.targets.remove(&key).ok_or_else(|| no_target(&key))?;
        let policies: Vec<_> =
            self.state.scaling.policies.keys().filter(|(target, _)| *target == key).cloned().collect();
        for policy in policies {
            self.remove_policy(&policy);
        }
        self.state.scaling.actions.retain(|(target, _), _| *target != key);
        Ok(json!({}))
    }

    fn describe_targets(&mut self, body: &Value) -> Result<Value> {
        let all = self.state.scaling.targets.iter();
        let all = all.map(|(key, target)| (format!("{}|{}", key.0, key.1), &target.description));
        page(body, "ScalableTargets", TARGETS_PAGE, all)
    }

    pub(crate) fn target_exists(&self, key: &Key) -> Result<()> {
        if self.state.scaling.targets.contains_key(key) { Ok(()) } else { Err(no_target(key)) }
    }

    fn put_scheduled_action(&mut self, body: &Value) -> Result<Value> {
        let key = key(body)?;
        let name = names::required(body, "ScheduledActionName")?;
        self.target_exists(&key)?;
        let slot = (key, name.to_owned());
        let known = self.state.scaling.actions.get(&slot).cloned();
        let mut action = known.unwrap_or_else(|| {
            let arn = format!(
                "arn:aws:autoscaling:{}:{}:scheduledAction:{}:resource/dynamodb/{}:scheduledActionName/{name}",
                self.config.region,
                self.config.account,
                uuid::Builder::from_random_bytes(self.state.rng.random()).into_uuid(),
                slot.0.0,
            );
            json!({ "ScheduledActionName": name, "ScheduledActionARN": arn, "CreationTime": seconds(self.now) })
        });
        let members = [
            "ServiceNamespace",
            "ResourceId",
            "ScalableDimension",
            "Schedule",
            "Timezone",
            "StartTime",
            "EndTime",
            "ScalableTargetAction",
        ];
        for member in members {
            if let Some(given) = body.get(member) {
                action[member] = given.clone();
            }
        }
        if action.get("Schedule").is_none() {
            return Err(ServiceError::validation("Schedule is required for a new scheduled action"));
        }
        self.state.scaling.actions.insert(slot, action);
        Ok(json!({}))
    }

    fn delete_scheduled_action(&mut self, body: &Value) -> Result<Value> {
        let slot = (key(body)?, names::required(body, "ScheduledActionName")?.to_owned());
        let missing = || ServiceError::new("ObjectNotFoundException", format!("No scheduled action found: {}", slot.1));
        self.state.scaling.actions.remove(&slot).ok_or_else(missing)?;
        Ok(json!({}))
    }

    fn describe_scheduled_actions(&mut self, body: &Value) -> Result<Value> {
        let all = self.state.scaling.actions.iter();
        let all = all.map(|((key, name), action)| (format!("{}|{}|{name}", key.0, key.1), action));
        page(body, "ScheduledActions", ACTIONS_PAGE, all)
    }

    fn target_by_arn(&mut self, body: &Value) -> Result<&mut Target> {
        let arn = names::required(body, "ResourceARN")?;
        let found = self.state.scaling.targets.values_mut().find(|target| target.arn == arn);
        found.ok_or_else(|| ServiceError::new("ResourceNotFoundException", format!("Resource not found: {arn}")))
    }

    fn tag_target(&mut self, body: &Value) -> Result<Value> {
        let added = body.get("Tags").and_then(Value::as_object).cloned().ok_or_else(|| names::missing("Tags"))?;
        let tags = &mut self.target_by_arn(body)?.tags;
        if added.keys().chain(tags.keys()).collect::<std::collections::BTreeSet<_>>().len() > 50 {
            return Err(ServiceError::new("TooManyTagsException", "A resource can have 50 tags"));
        }
        tags.extend(added);
        Ok(json!({}))
    }

    fn untag_target(&mut self, body: &Value) -> Result<Value> {
        let gone = body.get("TagKeys").and_then(Value::as_array).cloned().unwrap_or_default();
        self.target_by_arn(body)?.tags.retain(|key, _| !gone.iter().any(|gone| gone == key));
        Ok(json!({}))
    }
}

fn no_target(key: &Key) -> ServiceError {
    ServiceError::new(
        "ObjectNotFoundException",
        format!(
            "No scalable target found for service namespace: dynamodb, resource ID: {}, scalable dimension: {}",
            key.0, key.1
        ),
    )
}

/// The target that a request names; only those of DynamoDB are known here.
pub(crate) fn key(body: &Value) -> Result<Key> {
    namespace(body)?;
    let dimension = names::one_of(body, "ScalableDimension", &DIMENSIONS)?;
    let dimension = dimension.ok_or_else(|| names::missing("ScalableDimension"))?;
    let resource = names::required(body, "ResourceId")?;
    let of_index = resource.contains("/index/");
    if !resource.starts_with("table/") || dimension.starts_with("dynamodb:index:") != of_index {
        return Err(ServiceError::validation(format!("Unsupported resource {resource} for dimension {dimension}")));
    }
    Ok((resource.to_owned(), dimension.to_owned()))
}

fn namespace(body: &Value) -> Result<()> {
    match names::required(body, "ServiceNamespace")? {
        "dynamodb" => Ok(()),
        other => Err(ServiceError::validation(format!("Unsupported service namespace: {other}"))),
    }
}

/// One page of what fits the filters of a Describe call.
pub(crate) fn page<'a>(
    body: &Value,
    member: &str,
    max: i64,
    all: impl Iterator<Item = (String, &'a Value)>,
) -> Result<Value> {
    namespace(body)?;
    let size = names::page_size(body, "MaxResults", max)?;
    let start = names::optional(body, "NextToken")?.unwrap_or_default();
    let listed = |filter: &str, value: &Value| match body.get(filter).and_then(Value::as_array) {
        Some(wanted) if !wanted.is_empty() => wanted.contains(value),
        _ => true,
    };
    let equal = |filter: &str, value: &Value| match body.get(filter) {
        Some(wanted) if !wanted.is_null() => wanted == value,
        _ => true,
    };
    let fits = |one: &Value| {
        listed("ResourceIds", &one["ResourceId"])
            && equal("ResourceId", &one["ResourceId"])
            && equal("ScalableDimension", &one["ScalableDimension"])
            && listed("PolicyNames", &one["PolicyName"])
            && listed("ScheduledActionNames", &one["ScheduledActionName"])
    };
    let mut rest = all.filter(|(at, one)| at.as_str() > start && fits(one)).peekable();
    let (mut found, mut last) = (Vec::new(), String::new());
    while let Some((at, one)) = rest.next_if(|_| found.len() < size) {
        found.push(one.clone());
        last = at;
    }
    let mut answer = json!({ member: found });
    if rest.peek().is_some() {
        answer["NextToken"] = last.into();
    }
    Ok(answer)
}
