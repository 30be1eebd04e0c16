//! CloudWatch alarms on tables. They belong to names, so they survive a restore; they are kept to be compared.

use crate::client::Cloud;
use crate::error::Fault;
use crate::limits::DESCRIBE_ALARMS;
use crate::raw::{take_list, without};
use provider_api::Context;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What changes by itself.
const VOLATILE: [&str; 8] = [
    "StateValue",
    "StateReason",
    "StateReasonData",
    "StateUpdatedTimestamp",
    "StateTransitionedTimestamp",
    "EvaluationState",
    "AlarmConfigurationUpdatedTimestamp",
    "ResponseMetadata",
];

/// All alarms of the account. The service cannot filter by table; 100 a page.
pub(crate) async fn read(cloud: &Cloud, context: &Context) -> Result<Vec<Value>, Fault> {
    let mut alarms = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let (page, mut json) = cloud
            .read(context, &DESCRIBE_ALARMS, "", |keep| {
                let call = cloud.cloudwatch.describe_alarms().max_records(100).set_next_token(token.clone());
                call.customize().interceptor(keep).send()
            })
            .await?;
        alarms.extend(take_list(&mut json, "MetricAlarms"));
        match page.next_token {
            Some(next) if !next.is_empty() => token = Some(next),
            _ => return Ok(alarms),
        }
    }
}

/// The alarms of these names that are there. A page holds as many as one call may ask for.
pub(crate) async fn named(cloud: &Cloud, context: &Context, names: &[String]) -> Result<Vec<Value>, Fault> {
    let mut alarms = Vec::new();
    for names in names.chunks(100) {
        let (_, mut json) = cloud
            .read(context, &DESCRIBE_ALARMS, "", |keep| {
                let call = cloud.cloudwatch.describe_alarms().max_records(100).set_alarm_names(Some(names.to_vec()));
                call.customize().interceptor(keep).send()
            })
            .await?;
        alarms.extend(take_list(&mut json, "MetricAlarms"));
    }
    Ok(alarms)
}

/// The alarms of each table: those that watch it, by their own metric or by a metric in an expression, and those that
/// `policies` (of auto scaling, by table) made.
pub(crate) fn by_table(
    alarms: Vec<Value>,
    tables: &BTreeSet<&str>,
    policies: &BTreeMap<String, BTreeSet<String>>,
) -> BTreeMap<String, Vec<Value>> {
    let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for mut alarm in alarms {
        let name = alarm["AlarmName"].as_str().unwrap_or_default().to_owned();
        let by_policy = policies.iter().filter(|(_, alarms)| alarms.contains(&name)).map(|(table, _)| table.clone());
        let owners: BTreeSet<_> =
            watched(&alarm).filter(|table| tables.contains(table.as_str())).chain(by_policy).collect();
        without(&mut alarm, &VOLATILE);
        for owner in owners {
            found.entry(owner).or_default().push(alarm.clone());
        }
    }
    for alarms in found.values_mut() {
        alarms.sort_by(|a, b| a["AlarmName"].as_str().cmp(&b["AlarmName"].as_str()));
    }
    found
}

/// The values of every `TableName` dimension in an alarm of DynamoDB's metrics.
fn watched(alarm: &Value) -> impl Iterator<Item = String> {
    let in_expressions =
        alarm["Metrics"].as_array().into_iter().flatten().map(|query| &query["MetricStat"]["Metric"]).cloned();
    let metrics: Vec<_> = std::iter::once(alarm.clone()).chain(in_expressions).collect();
    metrics.into_iter().filter(|metric| metric["Namespace"] == "AWS/DynamoDB").flat_map(|metric| {
        let dimensions = metric["Dimensions"].as_array().cloned().unwrap_or_default();
        dimensions
            .into_iter()
            .filter(|dimension| dimension["Name"] == "TableName")
            .filter_map(|dimension| dimension["Value"].as_str().map(str::to_owned))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn alarms_go_to_the_tables_they_watch_in_any_form() {
        let on = |table: &str| json!({ "Namespace": "AWS/DynamoDB", "Dimensions": [{ "Name": "TableName", "Value": table }] });
        let mut plain = on("a");
        plain["AlarmName"] = json!("plain");
        plain["StateValue"] = json!("OK");
        let math = json!({ "AlarmName": "math", "Metrics": [
            { "Id": "e", "Expression": "m1/m2" },
            { "Id": "m1", "MetricStat": { "Metric": on("a") } },
            { "Id": "m2", "MetricStat": { "Metric": on("b") } },
        ] });
        let mut foreign = on("c");
        foreign["AlarmName"] = json!("foreign");
        let policy = json!({ "AlarmName": "TargetTracking-b", "Namespace": "AWS/Other", "Dimensions": [] });
        let policies = BTreeMap::from([("b".to_owned(), BTreeSet::from(["TargetTracking-b".to_owned()]))]);
        let found = by_table(vec![plain, math, foreign, policy], &BTreeSet::from(["a", "b"]), &policies);
        let names = |table: &str| found[table].iter().map(|alarm| alarm["AlarmName"].clone()).collect::<Vec<_>>();
        assert_eq!(names("a"), ["math", "plain"]);
        assert_eq!(names("b"), ["TargetTracking-b", "math"]);
        assert_eq!(found.len(), 2);
        assert!(found["a"].iter().all(|alarm| alarm.get("StateValue").is_none()));
    }
}
