//! Auto scaling of a table and its indexes, and the alarms of CloudWatch.

use super::plan::{Gap, Request, items, only, same, with};
use crate::limits::{
    DEREGISTER_SCALABLE_TARGET, PUT_METRIC_ALARM, PUT_SCALING_POLICY, PUT_SCHEDULED_ACTION, REGISTER_SCALABLE_TARGET,
    TAG_SCALABLE_TARGET,
};
use serde_json::{Value, json};

const TARGET: [&str; 3] = ["ServiceNamespace", "ResourceId", "ScalableDimension"];
const NOT_RECORDED: &str = "it was not recorded, so it was left alone";

/// The request's own members, in front of which are those that name the target.
fn of_target(one: &Value, members: &[&str]) -> Value {
    with(only(one, &TARGET), only(one, members))
}

fn find<'a>(list: &'a Value, like: &Value, by: &[&str]) -> Option<&'a Value> {
    items(list).find(|one| by.iter().all(|member| one[*member] == like[*member]))
}

/// Range and suspended state of every target, and its tags.
pub(super) fn targets(wanted: &Value, found: &Value) -> Vec<Gap> {
    let range = ["MinCapacity", "MaxCapacity", "SuspendedState"];
    let by = ["ResourceId", "ScalableDimension"];
    let missing = items(&wanted["auto_scaling_targets"]).filter_map(|want| {
        let tags = tags_of(wanted, want);
        let have = find(&found["auto_scaling_targets"], want, &by);
        let shown = |one: &Value| of_target(one, &range);
        match have {
            // Only a new target takes tags.
            None => {
                let body =
                    if same(&tags, &Value::Null) { shown(want) } else { with(shown(want), json!({ "Tags": tags })) };
                Some(Gap::call(body.clone(), Value::Null, REGISTER_SCALABLE_TARGET, body))
            }
            Some(have) if !same(&shown(want), &shown(have)) => {
                Some(Gap::call(shown(want), shown(have), REGISTER_SCALABLE_TARGET, shown(want)))
            }
            Some(have) => target_tags(&tags, &tags_of(found, have), have).or_else(|| orphan(found, have)),
        }
    });
    let extra = items(&found["auto_scaling_targets"])
        .filter(|have| find(&wanted["auto_scaling_targets"], have, &by).is_none())
        .map(|have| Gap::by_hand(Value::Null, of_target(have, &range), Some(deregister(have)), NOT_RECORDED));
    missing.chain(extra).collect()
}

fn tags_of(settings: &Value, target: &Value) -> Value {
    find(&settings["auto_scaling_target_tags"], target, &["ScalableTargetARN"])
        .map(|one| one["Tags"].clone())
        .unwrap_or_default()
}

fn target_tags(want: &Value, have: &Value, target: &Value) -> Option<Gap> {
    let missing = want.as_object()?.iter().any(|(key, value)| have.get(key) != Some(value));
    let body = json!({ "ResourceARN": target["ScalableTargetARN"], "Tags": want });
    missing.then(|| Gap::call(want.clone(), have.clone(), TAG_SCALABLE_TARGET, body))
}

/// A target that is older than its table was made for the table before: whether its alarms act is not known.
fn orphan(found: &Value, target: &Value) -> Option<Gap> {
    let (made, table) = (&target["CreationTime"], &found["table"]["CreationDateTime"]);
    let why =
        "it was made for the table before this one, and may not act: deregister it, and run the same command again";
    let older = made.as_f64()? < table.as_f64()?;
    older.then(|| {
        Gap::by_hand(
            json!({ "NewerThan": table }),
            only(target, &["ResourceId", "ScalableDimension", "CreationTime"]),
            Some(deregister(target)),
            why,
        )
    })
}

fn deregister(target: &Value) -> Request {
    Request { operation: DEREGISTER_SCALABLE_TARGET, body: only(target, &TARGET) }
}

/// Policies by name; each brings its alarms.
pub(super) fn policies(wanted: &Value, found: &Value) -> Vec<Gap> {
    let members = [
        "PolicyName",
        "PolicyType",
        "TargetTrackingScalingPolicyConfiguration",
        "StepScalingPolicyConfiguration",
        "PredictiveScalingPolicyConfiguration",
    ];
    missing("auto_scaling_policies", "PolicyName", wanted, found, |one| (PUT_SCALING_POLICY, of_target(one, &members)))
}

/// Scheduled actions by name.
pub(super) fn scheduled_actions(wanted: &Value, found: &Value) -> Vec<Gap> {
    let members = ["ScheduledActionName", "Schedule", "Timezone", "StartTime", "EndTime", "ScalableTargetAction"];
    missing("auto_scaling_scheduled_actions", "ScheduledActionName", wanted, found, |one| {
        (PUT_SCHEDULED_ACTION, of_target(one, &members))
    })
}

fn missing(
    list: &str,
    name: &str,
    wanted: &Value,
    found: &Value,
    put: impl Fn(&Value) -> (crate::limits::Operation, Value),
) -> Vec<Gap> {
    let by = ["ResourceId", "ScalableDimension", name];
    let gaps = items(&wanted[list]).filter_map(|want| {
        let (operation, body) = put(want);
        let have = find(&found[list], want, &by).map(|have| put(have).1).unwrap_or_default();
        (!same(&body, &have)).then(|| Gap::call(body.clone(), have, operation, body))
    });
    let extra = items(&found[list])
        .filter(|have| find(&wanted[list], have, &by).is_none())
        .map(|have| Gap::by_hand(Value::Null, put(have).1, None, NOT_RECORDED));
    gaps.chain(extra).collect()
}

/// What PutMetricAlarm takes.
const ALARM: [&str; 20] = [
    "AlarmName",
    "AlarmDescription",
    "ActionsEnabled",
    "OKActions",
    "AlarmActions",
    "InsufficientDataActions",
    "MetricName",
    "Namespace",
    "Statistic",
    "ExtendedStatistic",
    "Dimensions",
    "Period",
    "Unit",
    "EvaluationPeriods",
    "DatapointsToAlarm",
    "Threshold",
    "ComparisonOperator",
    "TreatMissingData",
    "EvaluateLowSampleCountPercentile",
    "Metrics",
];

/// Names of the alarms that people made: those of scaling policies come and go with their policies.
pub(super) fn own_alarms(settings: &Value) -> Vec<String> {
    let made = |name: &Value| {
        items(&settings["auto_scaling_policies"])
            .flat_map(|policy| items(&policy["Alarms"]))
            .any(|alarm| alarm["AlarmName"] == *name)
    };
    let own = items(&settings["alarms"]).map(|alarm| &alarm["AlarmName"]).filter(|name| !made(name));
    own.filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

/// Alarms belong to names, so a restore leaves them; one that is gone is made again, one that was changed is left alone.
pub(super) fn alarms(wanted: &Value, found: &Value) -> Vec<Gap> {
    let body = |alarm: &Value| {
        let mut body = only(alarm, &ALARM);
        if !alarm["ThresholdMetricId"].is_null() {
            body["ThresholdMetricId"] = alarm["ThresholdMetricId"].clone();
        }
        body
    };
    let own = own_alarms(wanted);
    let recorded = items(&wanted["alarms"]).filter(|alarm| own.iter().any(|name| alarm["AlarmName"] == **name));
    recorded
        .filter_map(|want| {
            let have = find(&found["alarms"], want, &["AlarmName"]);
            let put = Request { operation: PUT_METRIC_ALARM, body: body(want) };
            match have {
                None => Some(Gap::call(body(want), Value::Null, put.operation, put.body)),
                Some(have) if same(&body(want), &body(have)) => None,
                Some(have) => {
                    let why = "somebody changed it since; a restore does not touch alarms, so it was left alone";
                    Some(Gap::by_hand(body(want), body(have), Some(put), why))
                }
            }
        })
        .collect()
}
