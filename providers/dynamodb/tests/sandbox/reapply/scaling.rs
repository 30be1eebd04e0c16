//! Auto scaling and alarms.

use super::bench::*;
use provider_dynamodb::Reapply;
use serde_json::json;

#[tokio::test]
async fn scaling_targets_are_back_with_range_suspended_state_and_tags() {
    let bench = Bench::new().await;
    scale_all(&bench, A, 20);
    scale_all(&bench, DECOY, 30);
    let ran = contract(&bench, "auto_scaling_targets", "RegisterScalableTarget", 2).await;
    assert_eq!(ran.report, []);
    let targets = bench.targets(A);
    assert_eq!(targets.len(), 2);
    assert!(
        targets
            .iter()
            .all(|target| target["SuspendedState"]["ScheduledScalingSuspended"] == true && target["MaxCapacity"] == 20)
    );
    let tags = bench.account.scaling("ListTagsForResource", json!({ "ResourceARN": targets[0]["ScalableTargetARN"] }));
    assert_eq!(tags["Tags"], json!({ "team": A }));
}

#[tokio::test]
async fn scaling_policies_are_back_with_alarms_of_their_own() {
    let bench = Bench::new().await;
    scale_all(&bench, A, 20);
    scale_all(&bench, DECOY, 30);
    contract(&bench, "auto_scaling_policies", "PutScalingPolicy", 2).await;
    let all = bench.account.scaling(
        "DescribeScalingPolicies",
        json!({ "ServiceNamespace": "dynamodb", "ResourceId": "table/bank.account" }),
    );
    let alarm = all["ScalingPolicies"][0]["Alarms"][0]["AlarmName"].clone();
    let found = bench.account.cloudwatch("DescribeAlarms", json!({ "AlarmNames": [alarm] }));
    assert_eq!(found["MetricAlarms"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn scheduled_actions_are_back() {
    let bench = Bench::new().await;
    scale_all(&bench, A, 20);
    scale_all(&bench, DECOY, 30);
    contract(&bench, "auto_scaling_scheduled_actions", "PutScheduledAction", 1).await;
}

#[tokio::test]
async fn capacity_that_scaling_moved_within_its_range_is_no_difference() {
    let bench = Bench::new().await;
    scale_all(&bench, A, 20);
    let capsule = bench.capture(A).await;
    bench.restore().await;
    let ran = bench.run(&capsule).await.unwrap();
    let moved = json!({ "ReadCapacityUnits": 15, "WriteCapacityUnits": 10 });
    bench.set("UpdateTable", json!({ "TableName": A, "ProvisionedThroughput": moved })).await;
    let Reapply::Report(report) = bench.step(&capsule, &ran.done).await.unwrap() else { panic!("not done") };
    assert_eq!(report, []);
    let beyond = json!({ "ReadCapacityUnits": 25, "WriteCapacityUnits": 10 });
    bench.set("UpdateTable", json!({ "TableName": A, "ProvisionedThroughput": beyond })).await;
    let Reapply::Report(report) = bench.step(&capsule, &ran.done).await.unwrap() else { panic!("not done") };
    assert_eq!((report.len(), report[0].setting.as_str()), (1, "capacity"), "{report:?}");
}

#[tokio::test]
async fn a_scaling_target_of_the_table_before_is_told() {
    let bench = Bench::new().await;
    scale_all(&bench, A, 20);
    let capsule = bench.capture(A).await;
    bench.account.delete(A).await;
    bench.settle().await;
    bench.account.table(A, 1).await;
    let ran = bench.run(&capsule).await.unwrap();
    let told = ran.about("auto_scaling_targets");
    assert_eq!(told.len(), 2, "{:?}", ran.report);
    assert!(
        told[0].why.contains("the table before")
            && told[0].command.as_ref().unwrap().contains("deregister-scalable-target"),
        "{}",
        told[0]
    );
}

#[tokio::test]
async fn an_alarm_that_is_gone_is_made_again_and_one_that_was_changed_is_left_alone() {
    let bench = Bench::new().await;
    bench.account.cloudwatch("PutMetricAlarm", alarm("ours", A, 1.0));
    bench.account.cloudwatch("PutMetricAlarm", alarm("tuned", A, 2.0));
    bench.account.cloudwatch("PutMetricAlarm", alarm("theirs", DECOY, 3.0));
    let capsule = bench.capture(A).await;
    bench.restore().await;
    bench.account.cloudwatch("DeleteAlarms", json!({ "AlarmNames": ["ours"] }));
    bench.account.cloudwatch("PutMetricAlarm", alarm("tuned", A, 9.0));
    let (since, decoy) = (bench.now(), bench.capture(DECOY).await);
    let ran = bench.run(&capsule).await.unwrap();
    let [difference] = ran.report.as_slice() else { panic!("{:?}", ran.report) };
    assert_eq!(
        (difference.wanted["Threshold"].as_f64(), difference.found["Threshold"].as_f64()),
        (Some(2.0), Some(9.0))
    );
    let found = bench.account.cloudwatch("DescribeAlarms", json!({ "AlarmNames": ["ours"] }));
    assert_eq!(found["MetricAlarms"][0]["Threshold"], 1.0);
    assert_eq!(found["MetricAlarms"][0]["AlarmActions"], json!(["arn:aws:sns:us-east-1:123456789012:page"]));
    assert_eq!(bench.writes(since).iter().filter(|(operation, _)| operation == "PutMetricAlarm").count(), 1);
    assert_eq!(bench.capture(DECOY).await, decoy);
}
