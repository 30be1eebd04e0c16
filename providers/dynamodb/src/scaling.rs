//! Application Auto Scaling of tables and their indexes.

use crate::client::Cloud;
use crate::error::Fault;
use crate::limits::{
    DESCRIBE_SCALABLE_TARGETS, DESCRIBE_SCALING_POLICIES, DESCRIBE_SCHEDULED_ACTIONS, LIST_TAGS_FOR_RESOURCE,
};
use crate::raw::{take, take_list};
use aws_sdk_applicationautoscaling::types::ServiceNamespace;
use provider_api::Context;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Resource ids that one DescribeScalableTargets call may filter by.
const FILTER: usize = 50;

/// A table's name from a resource id: `table/<name>` or `table/<name>/index/<index>`. Names hold no slash.
pub(crate) fn table_of(resource: &str) -> Option<&str> {
    resource.strip_prefix("table/")?.split('/').next()
}

/// The resource ids of a table and its indexes.
pub(crate) fn resources(table: &str, indexes: &[String]) -> Vec<String> {
    let of_indexes = indexes.iter().map(|index| format!("table/{table}/index/{index}"));
    std::iter::once(format!("table/{table}")).chain(of_indexes).collect()
}

/// Lists of settings by table, in a stable order.
pub(crate) fn by_table(items: Vec<Value>, tables: &BTreeSet<&str>) -> BTreeMap<String, Vec<Value>> {
    let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for item in items {
        if let Some(table) = item["ResourceId"].as_str().and_then(table_of).filter(|table| tables.contains(table)) {
            found.entry(table.to_owned()).or_default().push(item.clone());
        }
    }
    for items in found.values_mut() {
        items.sort_by_cached_key(|item| {
            ["ResourceId", "ScalableDimension", "PolicyName", "ScheduledActionName"]
                .map(|field| item[field].as_str().unwrap_or_default().to_owned())
        });
    }
    found
}

/// Minimum, maximum and suspended state of every target of these resources.
pub(crate) async fn targets(cloud: &Cloud, context: &Context, resources: &[String]) -> Result<Vec<Value>, Fault> {
    let mut targets = Vec::new();
    for filter in resources.chunks(FILTER) {
        let mut token: Option<String> = None;
        loop {
            let (page, mut json) = cloud
                .read(context, &DESCRIBE_SCALABLE_TARGETS, "", |keep| {
                    let call = cloud.autoscaling.describe_scalable_targets();
                    let call = call.service_namespace(ServiceNamespace::Dynamodb);
                    let call = call.set_resource_ids(Some(filter.to_vec())).set_next_token(token.clone());
                    call.customize().interceptor(keep).send()
                })
                .await?;
            targets.extend(take_list(&mut json, "ScalableTargets"));
            token = page.next_token;
            if token.is_none() {
                break;
            }
        }
    }
    Ok(targets)
}

/// The policies of a resource; without one, of every table of the account. Filtering by resource costs a call per table
/// and per index; all of them together cost one per ten policies.
pub(crate) async fn policies(cloud: &Cloud, context: &Context, resource: Option<&str>) -> Result<Vec<Value>, Fault> {
    let mut policies = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let (page, mut json) = cloud
            .read(context, &DESCRIBE_SCALING_POLICIES, resource.unwrap_or_default(), |keep| {
                let call = cloud.autoscaling.describe_scaling_policies();
                let call = call.service_namespace(ServiceNamespace::Dynamodb).set_next_token(token.clone());
                let call = call.set_resource_id(resource.map(str::to_owned));
                call.customize().interceptor(keep).send()
            })
            .await?;
        policies.extend(take_list(&mut json, "ScalingPolicies"));
        token = page.next_token;
        if token.is_none() {
            return Ok(policies);
        }
    }
}

/// The scheduled actions of a resource; without one, of every table of the account.
pub(crate) async fn scheduled(cloud: &Cloud, context: &Context, resource: Option<&str>) -> Result<Vec<Value>, Fault> {
    let mut actions = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let (page, mut json) = cloud
            .read(context, &DESCRIBE_SCHEDULED_ACTIONS, resource.unwrap_or_default(), |keep| {
                let call = cloud.autoscaling.describe_scheduled_actions();
                let call = call.service_namespace(ServiceNamespace::Dynamodb).set_next_token(token.clone());
                let call = call.set_resource_id(resource.map(str::to_owned));
                call.customize().interceptor(keep).send()
            })
            .await?;
        actions.extend(take_list(&mut json, "ScheduledActions"));
        token = page.next_token;
        if token.is_none() {
            return Ok(actions);
        }
    }
}

/// The tags of one scalable target.
pub(crate) async fn tags(cloud: &Cloud, context: &Context, arn: &str) -> Result<Value, Fault> {
    let (_, mut json) = cloud
        .read(context, &LIST_TAGS_FOR_RESOURCE, arn, |keep| {
            cloud.autoscaling.list_tags_for_resource().resource_arn(arn).customize().interceptor(keep).send()
        })
        .await?;
    Ok(take(&mut json, "Tags"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn resources_name_tables_and_indexes_and_back() {
        let ids = resources("bank.account", &["bank.account.global_index.owner".to_owned()]);
        assert_eq!(ids, ["table/bank.account", "table/bank.account/index/bank.account.global_index.owner"]);
        assert!(ids.iter().all(|id| table_of(id) == Some("bank.account")));
        assert_eq!(table_of("cluster/x"), None);
    }

    #[test]
    fn settings_are_grouped_by_table_and_sorted_whatever_the_order_of_pages() {
        let item = |resource: &str, name: &str| json!({ "ResourceId": resource, "PolicyName": name });
        let items =
            vec![item("table/a/index/i", "z"), item("table/b", "y"), item("table/a", "w"), item("table/c", "x")];
        let tables = BTreeSet::from(["a", "b"]);
        let found = by_table(items.clone(), &tables);
        assert_eq!(found["a"], [item("table/a", "w"), item("table/a/index/i", "z")]);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(found, by_table(items.into_iter().rev().collect(), &tables));
    }
}
