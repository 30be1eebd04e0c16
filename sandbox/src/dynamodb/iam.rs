//! Identity-based policies: who may do what, by access key id.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    DynamoDb,
    config::Config,
    error::ServiceError,
    names,
    state::{CallRecord, State, table_in},
};

/// What one call needs to be allowed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Need {
    pub(crate) action: String,
    pub(crate) resource: String,
    /// Keys that conditions can ask for.
    pub(crate) context: BTreeMap<&'static str, String>,
}

/// A policy document, understood.
#[derive(Debug, Clone)]
pub(crate) struct Policy(Vec<Statement>);

#[derive(Debug, Clone)]
struct Statement {
    allow: bool,
    actions: Patterns,
    resources: Patterns,
    /// Each: a key, and the patterns one of which its value has to fit.
    conditions: Vec<(String, Vec<String>)>,
}

#[derive(Debug, Clone)]
struct Patterns {
    /// NotAction, NotResource.
    inverted: bool,
    /// Actions are compared in lower case.
    list: Vec<String>,
}

#[derive(Debug, PartialEq)]
enum Verdict {
    Allowed,
    Unsaid,
    Denied,
}

impl DynamoDb {
    /// From now on, requests signed with this access key id may do what the policy allows, and nothing else; over the wire
    /// only. `None` lets the key do everything again, as every key may that has no policy.
    ///
    /// Known are Allow and Deny, Action, Resource, their Not forms, `*` and `?` in both, and the conditions StringEquals
    /// and StringLike.
    ///
    /// # Errors
    /// What in the document is not understood: nothing is enforced half.
    pub fn set_policy(&self, access_key: &str, document: Option<&Value>) -> Result<(), String> {
        let policy = document.map(Policy::read).transpose()?;
        let mut state = self.state();
        match policy {
            Some(policy) => drop(state.policies.insert(access_key.to_owned(), policy)),
            None => drop(state.policies.remove(access_key)),
        }
        Ok(())
    }

    /// Refuses a call that the policy of its key does not allow.
    pub(crate) fn authorize(&self, access_key: &str, target: &str, body: &Value) -> Result<(), ServiceError> {
        let mut state = self.state();
        let Some(policy) = state.policies.get(access_key) else { return Ok(()) };
        let config = &self.shared.config;
        for need in needs(target, body, config, &state) {
            let why = match policy.verdict(&need) {
                Verdict::Allowed => continue,
                Verdict::Unsaid => format!("because no identity-based policy allows the {} action", need.action),
                Verdict::Denied => "with an explicit deny in an identity-based policy".to_owned(),
            };
            let message = format!(
                "User: arn:aws:iam::{}:user/{access_key} is not authorized to perform: {} on resource: {} {why}",
                config.account, need.action, need.resource,
            );
            let error = match target.starts_with("Granite") {
                true => ServiceError::new("AccessDenied", message).with_status(403),
                false => ServiceError::new("AccessDeniedException", message),
            };
            state.calls.push(CallRecord {
                operation: target.rsplit('.').next().unwrap_or_default().to_owned(),
                table: table_in(body),
                mono_ns: self.shared.clock.mono_ns(),
                throttled: false,
                error: Some(error.code.clone()),
            });
            return Err(error);
        }
        Ok(())
    }
}

impl Policy {
    fn read(document: &Value) -> Result<Self, String> {
        only_members(document, &["Version", "Id", "Statement"])?;
        if document["Version"] != "2012-10-17" {
            return Err("Version has to be 2012-10-17".to_owned());
        }
        let statements = match &document["Statement"] {
            Value::Array(statements) => statements.iter().map(Statement::read).collect::<Result<_, _>>()?,
            one => vec![Statement::read(one)?],
        };
        Ok(Self(statements))
    }

    fn verdict(&self, need: &Need) -> Verdict {
        let mut verdict = Verdict::Unsaid;
        for statement in self.0.iter().filter(|statement| statement.fits(need)) {
            if !statement.allow {
                return Verdict::Denied;
            }
            verdict = Verdict::Allowed;
        }
        verdict
    }
}

impl Statement {
    fn read(statement: &Value) -> Result<Self, String> {
        let known = ["Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"];
        only_members(statement, &known)?;
        let allow = match statement["Effect"].as_str() {
            Some("Allow") => true,
            Some("Deny") => false,
            _ => return Err(format!("Effect has to be Allow or Deny: {statement}")),
        };
        let mut actions = Patterns::read(statement, "Action", "NotAction")?;
        if let Some(wrong) = actions.list.iter().find(|action| *action != "*" && !action.contains(':')) {
            return Err(format!("an action has to name its service: {wrong}"));
        }
        actions.list.iter_mut().for_each(|action| *action = action.to_ascii_lowercase());
        let mut conditions = Vec::new();
        for (operator, keys) in statement["Condition"].as_object().into_iter().flatten() {
            if !["StringEquals", "StringLike"].contains(&operator.as_str()) {
                return Err(format!("the condition {operator} is not known here"));
            }
            for (key, values) in keys.as_object().into_iter().flatten() {
                let values = strings(values)?;
                if operator == "StringEquals" && values.iter().any(|value| value.contains(['*', '?'])) {
                    return Err(format!("StringEquals takes no patterns: {values:?}"));
                }
                conditions.push((key.clone(), values));
            }
        }
        Ok(Self { allow, actions, resources: Patterns::read(statement, "Resource", "NotResource")?, conditions })
    }

    fn fits(&self, need: &Need) -> bool {
        let fits = |(key, patterns): &(String, Vec<String>)| {
            let value = need.context.get(key.as_str());
            value.is_some_and(|value| patterns.iter().any(|pattern| matches(pattern, value)))
        };
        self.actions.fit(&need.action.to_ascii_lowercase())
            && self.resources.fit(&need.resource)
            && self.conditions.iter().all(fits)
    }
}

impl Patterns {
    fn read(statement: &Value, plain: &str, inverted: &str) -> Result<Self, String> {
        match (statement.get(plain), statement.get(inverted)) {
            (Some(list), None) => Ok(Self { inverted: false, list: strings(list)? }),
            (None, Some(list)) => Ok(Self { inverted: true, list: strings(list)? }),
            _ => Err(format!("a statement has either {plain} or {inverted}: {statement}")),
        }
    }

    fn fit(&self, text: &str) -> bool {
        self.list.iter().any(|pattern| matches(pattern, text)) != self.inverted
    }
}

fn only_members(object: &Value, known: &[&str]) -> Result<(), String> {
    let members = object.as_object().ok_or_else(|| format!("not an object: {object}"))?;
    match members.keys().find(|member| !known.contains(&member.as_str())) {
        Some(member) => Err(format!("{member} is not known here")),
        None => Ok(()),
    }
}

/// One string or a list of them, not empty.
fn strings(value: &Value) -> Result<Vec<String>, String> {
    let list = match value {
        Value::Array(list) => list.clone(),
        one => vec![one.clone()],
    };
    let strings: Option<Vec<_>> = list.iter().map(|one| one.as_str().map(str::to_owned)).collect();
    strings.filter(|list| !list.is_empty()).ok_or_else(|| format!("a string or a list of strings is wanted: {value}"))
}

/// `*` stands for any text, `?` for one character.
fn matches(pattern: &str, text: &str) -> bool {
    let mut letters = pattern.chars();
    match letters.next() {
        None => text.is_empty(),
        Some('*') => {
            let tail = letters.as_str();
            let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            ends.into_iter().any(|at| matches(tail, &text[at..]))
        }
        Some('?') => {
            let mut rest = text.chars();
            rest.next().is_some() && matches(letters.as_str(), rest.as_str())
        }
        Some(letter) => text.strip_prefix(letter).is_some_and(|rest| matches(letters.as_str(), rest)),
    }
}

/// The rights to the items of a restore's target that its caller needs.
const RESTORED_DATA: [&str; 7] = ["BatchWriteItem", "PutItem", "UpdateItem", "DeleteItem", "GetItem", "Query", "Scan"];

/// What a call needs.
fn needs(target: &str, body: &Value, config: &Config, state: &State) -> Vec<Need> {
    let Some((service, operation)) = target.split_once('.') else { return Vec::new() };
    match service {
        "DynamoDB_20120810" => dynamodb(operation, body, config),
        "AnyScaleFrontendService" => scaling(operation, body, config, state),
        _ => alarms(operation, body, config),
    }
}

fn need(action: impl Into<String>, resource: impl Into<String>) -> Need {
    Need { action: action.into(), resource: resource.into(), context: BTreeMap::new() }
}

fn dynamodb(operation: &str, body: &Value, config: &Config) -> Vec<Need> {
    let own = |resource: String| need(format!("dynamodb:{operation}"), resource);
    let arn = |given: &str| match given.starts_with("arn:") {
        true => given.to_owned(),
        false => names::arn(&config.region, &config.account, given),
    };
    let member = |name: &str| body[name].as_str();
    let mut needs: Vec<Need> = match operation {
        "ListTables" | "ListBackups" | "DescribeLimits" => vec![own("*".to_owned())],
        "BatchGetItem" | "BatchWriteItem" => {
            body["RequestItems"].as_object().into_iter().flatten().map(|(table, _)| own(arn(table))).collect()
        }
        "TransactGetItems" | "TransactWriteItems" => transacted(body, &arn),
        _ => {
            let given = ["BackupArn", "SourceTableArn", "SourceTableName", "ResourceArn", "TableName"];
            let object = given.into_iter().find_map(member).map(arn).unwrap_or_default();
            match member("IndexName") {
                Some(index) => vec![own(format!("{object}/index/{index}"))],
                None => vec![own(object)],
            }
        }
    };
    if let (true, Some(target)) = (operation.starts_with("RestoreTable"), member("TargetTableName")) {
        needs.extend(RESTORED_DATA.map(|action| need(format!("dynamodb:{action}"), arn(target))));
    }
    if let ("EnableKinesisStreamingDestination", Some(stream)) = (operation, member("StreamArn")) {
        needs.extend(
            ["DescribeStream", "PutRecord", "PutRecords"].map(|action| need(format!("kinesis:{action}"), stream)),
        );
    }
    needs
}

/// A transaction needs the right to each of its parts.
fn transacted(body: &Value, arn: &dyn Fn(&str) -> String) -> Vec<Need> {
    let parts = body["TransactItems"].as_array().into_iter().flatten().filter_map(Value::as_object).flatten();
    let part = |(kind, part): (&String, &Value)| {
        let action = match kind.as_str() {
            "Get" => "GetItem",
            "Put" => "PutItem",
            "Update" => "UpdateItem",
            "Delete" => "DeleteItem",
            _ => "ConditionCheckItem",
        };
        need(format!("dynamodb:{action}"), arn(part["TableName"].as_str().unwrap_or_default()))
    };
    parts.map(part).collect()
}

fn scaling(operation: &str, body: &Value, config: &Config, state: &State) -> Vec<Need> {
    let home = format!("arn:aws:application-autoscaling:{}:{}:scalable-target", config.region, config.account);
    let own = |resource: String| need(format!("application-autoscaling:{operation}"), resource);
    if operation.starts_with("Describe") {
        return vec![own("*".to_owned())];
    }
    if let Some(arn) = body["ResourceARN"].as_str() {
        return vec![own(arn.to_owned())];
    }
    let known = super::scaling::key(body).ok().and_then(|key| state.scaling.target_arn(&key));
    let mut needs = vec![own(known.unwrap_or_else(|| format!("{home}/new")))];
    needs[0].context.insert("application-autoscaling:service-namespace", "dynamodb".to_owned());
    if body.get("Tags").is_some_and(|tags| !tags.is_null()) {
        needs.push(need("application-autoscaling:TagResource", format!("{home}/new")));
    }
    // The alarms of a policy are made and removed with the rights of the caller.
    let alarms = format!("arn:aws:cloudwatch:{}:{}:alarm:TargetTracking-x", config.region, config.account);
    match operation {
        "PutScalingPolicy" => {
            needs.extend(
                ["PutMetricAlarm", "DescribeAlarms"].map(|action| need(format!("cloudwatch:{action}"), &alarms)),
            );
        }
        "DeregisterScalableTarget" | "DeleteScalingPolicy" => needs.push(need("cloudwatch:DeleteAlarms", &alarms)),
        _ => {}
    }
    needs
}

fn alarms(operation: &str, body: &Value, config: &Config) -> Vec<Need> {
    let arn = |name: &str| format!("arn:aws:cloudwatch:{}:{}:alarm:{name}", config.region, config.account);
    let listed = body["AlarmNames"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let given: Vec<_> = match operation {
        "DescribeAlarms" => vec![arn("*")],
        _ => body["AlarmName"].as_str().into_iter().chain(listed).map(arn).collect(),
    };
    given.into_iter().map(|resource| need(format!("cloudwatch:{operation}"), resource)).collect()
}
