//! What a capsule holds, and what it admits not to hold.

use crate::support::Account;
use provider_api::{BackupProvider, Capsule, Context};
use serde_json::{Value, json};
use std::time::Duration;

pub async fn captured(account: &Account) -> Vec<Capsule> {
    let provider = account.provider().await;
    let sets = provider.discover(&Context::default()).await.unwrap().data_sets;
    provider.capture(&Context::default(), &sets).await.unwrap()
}

fn of<'a>(capsules: &'a [Capsule], name: &str) -> &'a Capsule {
    capsules.iter().find(|capsule| capsule.name == name).unwrap()
}

/// Gives a table every setting that there is.
pub async fn dress(account: &Account, name: &str) -> String {
    let described = account.ok("DescribeTable", json!({ "TableName": name })).await;
    let arn = described["Table"]["TableArn"].as_str().unwrap().to_owned();
    let tags: Vec<_> = (0..40).map(|number| json!({ "Key": format!("k{number:02}"), "Value": "v" })).collect();
    let on = |operation: &str, mut body: Value| {
        body["TableName"] = json!(name);
        (operation.to_owned(), body)
    };
    let stream = json!({ "StreamSpecification": { "StreamEnabled": true, "StreamViewType": "NEW_IMAGE" } });
    let policy = |sid: &str| {
        json!({ "Version": "2012-10-17", "Statement": [{ "Sid": sid, "Effect": "Deny",
        "Principal": "*", "Action": "dynamodb:DeleteTable", "Resource": arn }] })
        .to_string()
    };
    for (operation, body) in [
        on("UpdateTable", stream),
        on("UpdateTable", json!({ "DeletionProtectionEnabled": true })),
        on("UpdateTimeToLive", json!({ "TimeToLiveSpecification": { "Enabled": true, "AttributeName": "expires" } })),
        on(
            "EnableKinesisStreamingDestination",
            json!({ "StreamArn": "arn:aws:kinesis:us-east-1:123456789012:stream/s" }),
        ),
        on("UpdateContributorInsights", json!({ "ContributorInsightsAction": "ENABLE" })),
        ("TagResource".to_owned(), json!({ "ResourceArn": arn, "Tags": tags })),
        ("PutResourcePolicy".to_owned(), json!({ "ResourceArn": arn, "Policy": policy("table") })),
    ] {
        account.ok(&operation, body).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    arn
}

pub fn scale(account: &Account, resource: &str, dimension: &str) {
    let id = json!({ "ServiceNamespace": "dynamodb", "ResourceId": resource, "ScalableDimension": dimension });
    let with = |more: Value| {
        let mut body = id.clone();
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    account.scaling(
        "RegisterScalableTarget",
        with(json!({ "MinCapacity": 1, "MaxCapacity": 10, "Tags": { "team": "ledger" },
            "SuspendedState": { "ScheduledScalingSuspended": true } })),
    );
    let metric =
        if dimension.contains("Read") { "DynamoDBReadCapacityUtilization" } else { "DynamoDBWriteCapacityUtilization" };
    account.scaling(
        "PutScalingPolicy",
        with(json!({ "PolicyName": format!("{resource}-policy"), "PolicyType": "TargetTrackingScaling",
            "TargetTrackingScalingPolicyConfiguration": { "TargetValue": 70.0, "ScaleInCooldown": 60,
                "PredefinedMetricSpecification": { "PredefinedMetricType": metric } } })),
    );
}

#[tokio::test]
async fn a_capsule_holds_every_setting_of_a_table_and_its_indexes() {
    let account = Account::paused();
    let names = account.scalardb(3).await;
    let name = names[0].as_str();
    dress(&account, name).await;
    let index = format!("table/{name}/index/{name}.global_index.c0");
    scale(&account, &format!("table/{name}"), "dynamodb:table:ReadCapacityUnits");
    scale(&account, &index, "dynamodb:index:WriteCapacityUnits");
    account.scaling(
        "PutScheduledAction",
        json!({ "ServiceNamespace": "dynamodb", "ResourceId": format!("table/{name}"), "Schedule": "rate(1 day)",
            "ScalableDimension": "dynamodb:table:ReadCapacityUnits", "ScheduledActionName": "night",
            "ScalableTargetAction": { "MinCapacity": 1, "MaxCapacity": 2 } }),
    );
    account.cloudwatch(
        "PutMetricAlarm",
        json!({ "AlarmName": "ours", "Namespace": "AWS/DynamoDB", "MetricName": "SystemErrors", "Statistic": "Sum",
            "Dimensions": [{ "Name": "TableName", "Value": name }], "Period": 60, "EvaluationPeriods": 1,
            "Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold" }),
    );
    let capsules = captured(&account).await;
    let capsule = of(&capsules, name);
    assert!(capsule.unread.is_empty(), "{:?}", capsule.unread);
    let settings = &capsule.settings;
    assert_eq!(settings["table"]["DeletionProtectionEnabled"], true);
    assert_eq!(settings["table"]["StreamSpecification"]["StreamViewType"], "NEW_IMAGE");
    assert_eq!(settings["table"]["GlobalSecondaryIndexes"].as_array().unwrap().len(), 1);
    assert_eq!(settings["tags"].as_array().unwrap().len(), 40);
    assert_eq!(settings["time_to_live"]["AttributeName"], "expires");
    let pitr = &settings["continuous_backups"]["PointInTimeRecoveryDescription"];
    assert_eq!(pitr["PointInTimeRecoveryStatus"], "ENABLED");
    assert_eq!(pitr["RecoveryPeriodInDays"], 35);
    assert!(pitr.get("LatestRestorableDateTime").is_none());
    assert!(settings["resource_policy"]["Policy"].as_str().unwrap().contains("DeleteTable"));
    assert_eq!(settings["stream_resource_policy"], Value::Null);
    assert_eq!(settings["kinesis_destinations"][0]["StreamArn"], "arn:aws:kinesis:us-east-1:123456789012:stream/s");
    let insights = settings["contributor_insights"].as_array().unwrap();
    assert_eq!(insights.len(), 2, "table and index");
    assert_eq!(insights[0]["ContributorInsightsStatus"], "ENABLED");
    assert_eq!(insights[1]["IndexName"], format!("{name}.global_index.c0"));
    let targets = settings["auto_scaling_targets"].as_array().unwrap();
    assert_eq!(targets.len(), 2);
    assert_eq!(targets[1]["ResourceId"], index);
    assert_eq!(targets[0]["SuspendedState"]["ScheduledScalingSuspended"], true);
    assert_eq!(settings["auto_scaling_policies"].as_array().unwrap().len(), 2);
    assert_eq!(settings["auto_scaling_policies"][0]["TargetTrackingScalingPolicyConfiguration"]["TargetValue"], 70.0);
    assert_eq!(settings["auto_scaling_scheduled_actions"][0]["ScheduledActionName"], "night");
    assert_eq!(settings["auto_scaling_target_tags"][0]["Tags"]["team"], "ledger");
    let alarms = settings["alarms"].as_array().unwrap();
    assert!(alarms.iter().any(|alarm| alarm["AlarmName"] == "ours" && alarm["Threshold"] == 1.0), "{alarms:?}");
    assert!(alarms.len() > 1, "the policies' own alarms too: {alarms:?}");
    let bare = of(&capsules, &names[1]);
    assert_eq!(bare.settings["tags"], json!([]));
    assert_eq!(bare.settings["auto_scaling_targets"], json!([]));
    assert_eq!(bare.settings["alarms"], json!([]));
}

#[tokio::test]
async fn auto_scaling_of_many_tables_is_read_over_all_pages() {
    let account = Account::paused();
    let names = account.scalardb(70).await;
    for name in &names {
        scale(&account, &format!("table/{name}"), "dynamodb:table:ReadCapacityUnits");
        scale(&account, &format!("table/{name}"), "dynamodb:table:WriteCapacityUnits");
    }
    let capsules = captured(&account).await;
    for name in &names {
        let settings = &of(&capsules, name).settings;
        assert_eq!(settings["auto_scaling_targets"].as_array().unwrap().len(), 2, "{name}");
        assert_eq!(settings["auto_scaling_policies"].as_array().unwrap().len(), 2, "{name}");
    }
}

#[tokio::test]
async fn what_may_not_be_read_is_said_with_its_action_and_nothing_else_is_lost() {
    let account = Account::paused();
    let names = account.scalardb(3).await;
    for operation in ["ListTagsOfResource", "GetResourcePolicy", "DescribeContributorInsights"] {
        account.db.deny(operation, &names[2]);
    }
    account.db.deny("DescribeScalingPolicies", "*");
    account.db.deny("DescribeAlarms", "*");
    let capsules = captured(&account).await;
    let said = |name: &str| of(&capsules, name).unread.iter().map(|unread| unread.setting.clone()).collect::<Vec<_>>();
    assert_eq!(said(&names[0]), ["auto_scaling_policies", "alarms"]);
    assert_eq!(said(&names[2]), ["tags", "resource_policy", "contributor_insights", "auto_scaling_policies", "alarms"]);
    let capsule = of(&capsules, &names[2]);
    for (unread, action) in capsule.unread.iter().zip([
        "dynamodb:ListTagsOfResource",
        "dynamodb:GetResourcePolicy",
        "dynamodb:DescribeContributorInsights",
        "application-autoscaling:DescribeScalingPolicies",
        "cloudwatch:DescribeAlarms",
    ]) {
        assert_eq!(unread.reason, "AccessDeniedException");
        assert!(unread.hint.contains(action), "{}", unread.hint);
        assert!(capsule.settings.get(&unread.setting).is_none(), "{} is there", unread.setting);
    }
    assert_eq!(capsule.settings["time_to_live"]["TimeToLiveStatus"], "DISABLED");
}
