//! What hangs on a table and has calls of its own.

use super::bench::*;
use provider_dynamodb::Reapply;
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn recovery_is_on_again_first_with_its_period() {
    let bench = Bench::new().await;
    for (table, days) in [(A, 14), (DECOY, 7)] {
        let wanted = json!({ "PointInTimeRecoveryEnabled": true, "RecoveryPeriodInDays": days });
        bench
            .set("UpdateContinuousBackups", json!({ "TableName": table, "PointInTimeRecoverySpecification": wanted }))
            .await;
    }
    let ran = contract(&bench, "continuous_backups", "UpdateContinuousBackups", 1).await;
    assert_eq!(ran.done[0], "continuous_backups");
    assert_eq!(ran.report, []);
}

#[tokio::test]
async fn tags_are_back_in_one_call_without_those_of_aws() {
    let bench = Bench::new().await;
    for (table, value) in [(A, "ours"), (DECOY, "theirs")] {
        let tags: Vec<_> = (0..40).map(|number| json!({ "Key": format!("k{number:02}"), "Value": value })).collect();
        bench.set("TagResource", json!({ "TableName": table, "Tags": tags })).await;
    }
    assert_eq!(contract(&bench, "tags", "TagResource", 1).await.report, []);
    let mut capsule = bench.capture(A).await;
    capsule.settings["tags"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "Key": "aws:cloudformation:stack-name", "Value": "s" }));
    let since = bench.now();
    assert_eq!(bench.run(&capsule).await.unwrap().report, []);
    assert_eq!(bench.writes(since), [], "a tag of AWS cannot be set");
}

#[tokio::test]
async fn time_to_live_is_on_again_for_its_attribute() {
    let bench = Bench::new().await;
    for (table, attribute) in [(A, "expires"), (DECOY, "until")] {
        let wanted = json!({ "Enabled": true, "AttributeName": attribute });
        bench.set("UpdateTimeToLive", json!({ "TableName": table, "TimeToLiveSpecification": wanted })).await;
    }
    assert_eq!(contract(&bench, "time_to_live", "UpdateTimeToLive", 1).await.report, []);
}

#[tokio::test]
async fn time_to_live_that_was_just_changed_is_waited_for() {
    let bench = Bench::new().await;
    let set =
        |on: bool| json!({ "TableName": A, "TimeToLiveSpecification": { "Enabled": on, "AttributeName": "expires" } });
    bench.set("UpdateTimeToLive", set(true)).await;
    let capsule = bench.capture(A).await;
    bench.restore().await;
    bench.account.ok("UpdateTimeToLive", set(true)).await;
    tokio::time::sleep(Duration::from_secs(40)).await;
    bench.account.ok("UpdateTimeToLive", set(false)).await;
    let mut done = Vec::new();
    let waited = loop {
        match bench.step(&capsule, &done).await.unwrap() {
            Reapply::Wait(poll, text) if text.contains("hour") => break poll,
            Reapply::Wait(..) => tokio::time::sleep(Duration::from_secs(1)).await,
            Reapply::Did(setting) => done.push(setting),
            other => panic!("{other:?}"),
        }
    };
    assert!(waited.first >= Duration::from_secs(60), "{waited:?}");
    assert_eq!(bench.run(&capsule).await.unwrap().report, []);
}

#[tokio::test]
async fn kinesis_destinations_are_on_again_with_their_precision() {
    let bench = Bench::new().await;
    let arn = |name: &str| format!("arn:aws:kinesis:us-east-1:123456789012:stream/{name}");
    for (table, stream, precision) in [(A, "ours", "MICROSECOND"), (DECOY, "theirs", "MILLISECOND")] {
        bench
            .set(
                "EnableKinesisStreamingDestination",
                json!({ "TableName": table, "StreamArn": arn(stream),
            "EnableKinesisStreamingConfiguration": { "ApproximateCreationDateTimePrecision": precision } }),
            )
            .await;
    }
    let ran = contract(&bench, "kinesis_destinations", "EnableKinesisStreamingDestination", 1).await;
    let [difference] = ran.report.as_slice() else { panic!("{:?}", ran.report) };
    assert!(
        difference.why.contains("restored items are not sent") && difference.wanted["StreamArn"] == arn("ours"),
        "{difference}"
    );
}

#[tokio::test]
async fn a_kinesis_stream_that_is_gone_is_told_with_the_command_for_later() {
    let bench = Bench::new().await;
    let arn = "arn:aws:kinesis:us-east-1:123456789012:stream/gone";
    bench.set("EnableKinesisStreamingDestination", json!({ "TableName": A, "StreamArn": arn })).await;
    let capsule = bench.capture(A).await;
    bench.restore().await;
    bench.account.db.missing_stream(arn);
    let ran = bench.run(&capsule).await.unwrap();
    let [difference] = ran.report.as_slice() else { panic!("{:?}", ran.report) };
    assert!(difference.why.contains("ENABLE_FAILED"), "{difference}");
    assert!(difference.command.as_ref().unwrap().contains("enable-kinesis-streaming-destination"), "{difference}");
}

#[tokio::test]
async fn insights_of_table_and_index_are_on_again() {
    let bench = Bench::new().await;
    bench.set("UpdateContributorInsights", json!({ "TableName": A, "ContributorInsightsAction": "ENABLE", "ContributorInsightsMode": "THROTTLED_KEYS" })).await;
    bench.set("UpdateContributorInsights", json!({ "TableName": A, "IndexName": "bank.account.global_index.c0", "ContributorInsightsAction": "ENABLE" })).await;
    bench.set("UpdateContributorInsights", json!({ "TableName": DECOY, "ContributorInsightsAction": "ENABLE" })).await;
    assert_eq!(contract(&bench, "contributor_insights", "UpdateContributorInsights", 2).await.report, []);
    let described = bench.account.ok("DescribeContributorInsights", json!({ "TableName": A })).await;
    assert_eq!(described["ContributorInsightsMode"], "THROTTLED_KEYS");
}

#[tokio::test]
async fn the_resource_policy_is_back_word_for_word() {
    let bench = Bench::new().await;
    for (table, sid) in [(A, "ours"), (DECOY, "theirs")] {
        bench.set("PutResourcePolicy", json!({ "TableName": table, "Policy": policy(table, sid) })).await;
    }
    assert_eq!(contract(&bench, "resource_policy", "PutResourcePolicy", 1).await.report, []);
    let arn = "arn:aws:dynamodb:us-east-1:123456789012:table/bank.account";
    assert_eq!(bench.account.ok("GetResourcePolicy", json!({ "ResourceArn": arn })).await["Policy"], policy(A, "ours"));
}
