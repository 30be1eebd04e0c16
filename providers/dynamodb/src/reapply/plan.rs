//! What is missing, decided from what was recorded and what was read alone: no call is made here.

use super::{Difference, attached, scaling, table};
use crate::limits::Operation;
use provider_api::Capsule;
use serde_json::{Map, Value, json};

/// What is put back on its own, in the order of [`Setting::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    ContinuousBackups,
    Capacity,
    Indexes,
    Maxima,
    Class,
    Encryption,
    Stream,
    Tags,
    TimeToLive,
    Kinesis,
    Insights,
    Policy,
    ScalingTargets,
    ScalingPolicies,
    ScheduledActions,
    Alarms,
    Protection,
}

/// A request that changes something, as it is sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Request {
    pub(super) operation: Operation,
    pub(super) body: Value,
}

/// One thing that is not as recorded.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Gap {
    pub(super) wanted: Value,
    pub(super) found: Value,
    pub(super) close: Close,
}

/// How a gap closes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Close {
    /// By this request.
    Call(Request),
    /// By itself, soon.
    Busy(String),
    /// By a person, for this reason.
    ByHand(Option<Request>, String),
}

impl Setting {
    /// Recovery first, so that the table is covered as soon as it can be; deletion protection last, because it stands in
    /// the way of nothing before. In between, what changes the table itself comes before what hangs on it.
    pub(super) const ALL: [Setting; 17] = [
        Setting::ContinuousBackups,
        Setting::Capacity,
        Setting::Indexes,
        Setting::Maxima,
        Setting::Class,
        Setting::Encryption,
        Setting::Stream,
        Setting::Tags,
        Setting::TimeToLive,
        Setting::Kinesis,
        Setting::Insights,
        Setting::Policy,
        Setting::ScalingTargets,
        Setting::ScalingPolicies,
        Setting::ScheduledActions,
        Setting::Alarms,
        Setting::Protection,
    ];

    fn name(self) -> &'static str {
        match self {
            Setting::ContinuousBackups => "continuous_backups",
            Setting::Capacity => "capacity",
            Setting::Indexes => "indexes",
            Setting::Maxima => "on_demand_throughput",
            Setting::Class => "table_class",
            Setting::Encryption => "encryption",
            Setting::Stream => "stream",
            Setting::Tags => "tags",
            Setting::TimeToLive => "time_to_live",
            Setting::Kinesis => "kinesis_destinations",
            Setting::Insights => "contributor_insights",
            Setting::Policy => "resource_policy",
            Setting::ScalingTargets => "auto_scaling_targets",
            Setting::ScalingPolicies => "auto_scaling_policies",
            Setting::ScheduledActions => "auto_scaling_scheduled_actions",
            Setting::Alarms => "alarms",
            Setting::Protection => "deletion_protection",
        }
    }

    /// Whether the table has to be looked at: not if a table without any setting would be as recorded. Deletion protection
    /// is looked at in any case, because a restored table has it until the end.
    pub(super) fn matters(self, table: &str, capsule: &Capsule) -> bool {
        self == Setting::Protection || !self.gaps(table, &capsule.settings, &json!({})).is_empty()
    }

    /// What is not as recorded. `found` has the shape of a capsule's settings, and at least the parts that this setting
    /// is about.
    pub(super) fn gaps(self, name: &str, wanted: &Value, found: &Value) -> Vec<Gap> {
        match self {
            Setting::ContinuousBackups => attached::continuous_backups(name, wanted, found),
            Setting::Capacity => table::capacity(name, wanted, found),
            Setting::Indexes => table::indexes(name, wanted, found),
            Setting::Maxima => table::maxima(name, wanted, found),
            Setting::Class => table::class(name, wanted, found),
            Setting::Encryption => table::encryption(name, wanted, found),
            Setting::Stream => table::stream(name, wanted, found),
            Setting::Tags => attached::tags(wanted, found),
            Setting::TimeToLive => attached::time_to_live(name, wanted, found),
            Setting::Kinesis => attached::kinesis(name, wanted, found),
            Setting::Insights => attached::insights(name, wanted, found),
            Setting::Policy => attached::policy(wanted, found),
            Setting::ScalingTargets => scaling::targets(wanted, found),
            Setting::ScalingPolicies => scaling::policies(wanted, found),
            Setting::ScheduledActions => scaling::scheduled_actions(wanted, found),
            Setting::Alarms => scaling::alarms(wanted, found),
            Setting::Protection => table::protection(name, wanted, found),
        }
    }

    /// What is as recorded, and still needs somebody's attention.
    pub(super) fn follow_ups(self, name: &str, wanted: &Value, found: &Value) -> Vec<Gap> {
        match self {
            Setting::Stream => attached::new_stream(wanted, found),
            Setting::Kinesis => attached::new_source(wanted, found),
            Setting::Capacity => table::warm(name, wanted, found),
            _ => Vec::new(),
        }
    }
}

impl std::fmt::Display for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Gap {
    pub(super) fn call(wanted: impl Into<Value>, found: impl Into<Value>, operation: Operation, body: Value) -> Gap {
        Gap { wanted: wanted.into(), found: found.into(), close: Close::Call(Request { operation, body }) }
    }

    pub(super) fn by_hand(
        wanted: impl Into<Value>,
        found: impl Into<Value>,
        request: Option<Request>,
        why: impl Into<String>,
    ) -> Gap {
        Gap { wanted: wanted.into(), found: found.into(), close: Close::ByHand(request, why.into()) }
    }

    pub(super) fn busy(wanted: impl Into<Value>, found: impl Into<Value>, what: impl Into<String>) -> Gap {
        Gap { wanted: wanted.into(), found: found.into(), close: Close::Busy(what.into()) }
    }
}

/// What no request can change.
pub(super) fn fixed(wanted: &Value, found: &Value) -> Vec<Difference> {
    let parts = |settings: &Value, part: &str| {
        match part {
        "LocalSecondaryIndexes" => named(&settings["table"][part])
            .map(|(name, index)| json!({ "IndexName": name, "KeySchema": index["KeySchema"], "Projection": index["Projection"] }))
            .collect(),
        "AttributeDefinitions" => sorted(&settings["table"][part], "AttributeName"),
        _ => settings["table"][part].clone(),
    }
    };
    let differs = |part: &'static str| {
        let (wanted, found) = (parts(wanted, part), parts(found, part));
        (!same(&wanted, &found)).then(|| Difference {
            setting: part.to_owned(),
            wanted,
            found,
            why: "it cannot be changed after a table is made: this is not the table that was recorded".to_owned(),
            command: None,
        })
    };
    ["KeySchema", "LocalSecondaryIndexes", "AttributeDefinitions"].into_iter().filter_map(differs).collect()
}

/// Equal in meaning: numbers by value, and what is absent, null, or empty is the same.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            let nothing = Value::Null;
            let keys = a.keys().chain(b.keys());
            keys.into_iter().all(|key| same(a.get(key).unwrap_or(&nothing), b.get(key).unwrap_or(&nothing)))
        }
        _ => a == b || (empty(a) && empty(b)),
    }
}

fn empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

/// Only these members, those that are there.
pub(super) fn only(value: &Value, members: &[&str]) -> Value {
    let there = members.iter().filter_map(|member| Some(((*member).to_owned(), value.get(member)?.clone())));
    Value::Object(there.filter(|(_, value)| !value.is_null()).collect::<Map<_, _>>())
}

/// `base` with these members too.
pub(super) fn with(mut base: Value, more: Value) -> Value {
    if let (Some(base), Value::Object(more)) = (base.as_object_mut(), more) {
        base.extend(more);
    }
    base
}

/// The items of a list; absent = none.
pub(super) fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// Indexes by name, sorted.
pub(super) fn named(indexes: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let mut all: Vec<_> = items(indexes).filter_map(|index| Some((index["IndexName"].as_str()?, index))).collect();
    all.sort_by_key(|(name, _)| *name);
    all.into_iter()
}

fn sorted(list: &Value, by: &str) -> Value {
    let mut all: Vec<_> = items(list).cloned().collect();
    all.sort_by_key(|item| item[by].as_str().unwrap_or_default().to_owned());
    Value::Array(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_is_what_means_the_same() {
        assert!(same(&json!({ "a": 70, "b": null, "c": [] }), &json!({ "a": 70.0 })));
        assert!(same(&json!({ "a": { "b": [1, { "c": 2.5 }] } }), &json!({ "a": { "b": [1.0, { "c": 2.5 }] } })));
        assert!(!same(&json!({ "a": 70 }), &json!({ "a": 71 })));
        assert!(!same(&json!([1, 2]), &json!([2, 1])));
        assert!(!same(&json!({ "a": false }), &json!({})), "off is not the same as unsaid");
    }

    #[test]
    fn a_bare_table_lacks_nothing_of_a_bare_capsule_and_a_dressed_one_is_worked_on_in_order() {
        let table =
            json!({ "TableName": "a", "ProvisionedThroughput": { "ReadCapacityUnits": 1, "WriteCapacityUnits": 1 } });
        let capsule = |settings| Capsule { name: "a".into(), id: "1".into(), settings, unread: Vec::new() };
        let on_demand = json!({ "BillingModeSummary": { "BillingMode": "PAY_PER_REQUEST" } });
        let bare =
            capsule(json!({ "table": on_demand, "tags": [], "time_to_live": { "TimeToLiveStatus": "DISABLED" } }));
        let of = |capsule: &Capsule| {
            Setting::ALL.into_iter().filter(|setting| setting.matters("a", capsule)).collect::<Vec<_>>()
        };
        assert_eq!(of(&bare), [Setting::Capacity, Setting::Protection], "these have to be looked at");
        let dressed = capsule(json!({
            "table": table,
            "time_to_live": { "TimeToLiveStatus": "ENABLED", "AttributeName": "e" },
            "tags": [{ "Key": "k", "Value": "v" }],
            "continuous_backups": { "PointInTimeRecoveryDescription": { "PointInTimeRecoveryStatus": "ENABLED" } },
        }));
        let expected =
            [Setting::ContinuousBackups, Setting::Capacity, Setting::Tags, Setting::TimeToLive, Setting::Protection];
        assert_eq!(of(&dressed), expected);
    }

    #[test]
    fn what_cannot_be_changed_is_told_whatever_the_order() {
        let keys = |name: &str| {
            json!({ "table": { "KeySchema": [{ "AttributeName": name, "KeyType": "HASH" }],
            "AttributeDefinitions": [{ "AttributeName": "x" }, { "AttributeName": name }] } })
        };
        let mut turned = keys("k");
        turned["table"]["AttributeDefinitions"].as_array_mut().unwrap().reverse();
        assert_eq!(fixed(&keys("k"), &turned), []);
        let told: Vec<_> = fixed(&keys("k"), &keys("l")).into_iter().map(|one| one.setting).collect();
        assert_eq!(told, ["KeySchema", "AttributeDefinitions"]);
    }
}
