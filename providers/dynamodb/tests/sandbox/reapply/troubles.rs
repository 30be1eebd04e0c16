//! What was unset, what was changed since, lost answers, limits, missing rights.

use super::bench::*;
use provider_api::ErrorKind;
use provider_dynamodb::Reapply;
use serde_json::json;
use std::time::Duration;
use stillpoint_sandbox::dynamodb::{Effect, Fault, ServiceError};

#[tokio::test]
async fn what_was_unset_stays_unset_whatever_its_neighbour_has() {
    let bench = Bench::new().await;
    bench.account.pitr(A, false).await;
    dress(&bench, DECOY).await;
    let capsule = bench.capture(A).await;
    bench.restore().await;
    let since = bench.now();
    assert_eq!(bench.run(&capsule).await.unwrap().report, []);
    assert_eq!(bench.writes(since), []);
    assert_eq!(lasting(&bench.capture(A).await), lasting(&capsule));
}

#[tokio::test]
async fn what_somebody_set_since_is_told_and_left_alone() {
    let bench = Bench::new().await;
    let capsule = bench.capture(A).await;
    bench.restore().await;
    dress(&bench, A).await;
    let dressed = bench.capture(A).await;
    let ran = bench.run(&capsule).await.unwrap();
    let mut told: Vec<_> = ran.report.iter().map(|difference| difference.setting.as_str()).collect();
    told.dedup();
    let expected = [
        "table_class",
        "stream",
        "tags",
        "time_to_live",
        "kinesis_destinations",
        "contributor_insights",
        "resource_policy",
        "auto_scaling_targets",
        "auto_scaling_policies",
        "auto_scaling_scheduled_actions",
    ];
    assert_eq!(told, expected);
    let (mut now, mut then) = (lasting(&bench.capture(A).await), lasting(&dressed));
    for settings in [&mut now, &mut then] {
        settings["table"]["DeletionProtectionEnabled"].take();
        settings["continuous_backups"].take();
    }
    assert_eq!(now, then);
}

#[tokio::test]
async fn lost_answers_and_errors_of_every_call_lead_to_the_same_end_and_nothing_is_sent_twice() {
    let bench = Bench::new().await;
    dress(&bench, A).await;
    let capsule = bench.capture(A).await;
    bench.restore().await;
    let since = bench.now();
    for operation in WRITES {
        let error = ServiceError::new("InternalServerError", "as told by the test").with_status(500);
        for effect in [Effect::DropAnswer, Effect::DropRequest, Effect::Error(error)] {
            bench.account.db.inject(Fault {
                operation: operation.to_owned(),
                table: "*".to_owned(),
                times: Some(1),
                effect,
            });
        }
    }
    // Steps may be given up for good by an error that does not pass by itself; the same call goes on.
    let mut ran = bench.run(&capsule).await;
    for _ in 0..WRITES.len() {
        if ran.is_err() {
            ran = bench.run(&capsule).await;
        }
    }
    let ran = ran.unwrap();
    bench.settle().await;
    assert_eq!(lasting(&bench.capture(A).await), lasting(&capsule));
    let mut told: Vec<_> = ran.report.iter().map(|difference| difference.setting.as_str()).collect();
    told.dedup();
    assert_eq!(told, ["stream", "kinesis_destinations"], "only what consumers have to know: {:?}", ran.report);
    let times = |name: &str| bench.writes(since).iter().filter(|(operation, _)| operation == name).count();
    for (operation, once) in
        [("UpdateTimeToLive", 1), ("PutResourcePolicy", 1), ("PutScheduledAction", 1), ("PutScalingPolicy", 2)]
    {
        assert_eq!(times(operation), once, "{operation}");
    }
}

#[tokio::test]
async fn a_limit_that_time_does_not_lift_is_told_with_the_command_that_works_later() {
    let bench = Bench::new().await;
    bench.set("UpdateTable", json!({ "TableName": A, "TableClass": "STANDARD_INFREQUENT_ACCESS" })).await;
    let capsule = bench.capture(A).await;
    bench.restore().await;
    for class in ["STANDARD_INFREQUENT_ACCESS", "STANDARD"] {
        bench.set("UpdateTable", json!({ "TableName": A, "TableClass": class })).await;
    }
    let ran = bench.run(&capsule).await.unwrap();
    let [difference] = ran.report.as_slice() else { panic!("{:?}", ran.report) };
    assert_eq!((difference.setting.as_str(), &difference.found), ("table_class", &json!("STANDARD")));
    assert!(difference.why.contains("LimitExceededException") && difference.why.contains("30 days"), "{difference}");
    tokio::time::sleep(Duration::from_secs(31 * 86_400)).await;
    by_hand(&bench, difference).await;
    bench.settle().await;
    let Reapply::Report(report) = bench.step(&capsule, &ran.done).await.unwrap() else { panic!("not done") };
    assert_eq!(report, []);
}

#[tokio::test]
async fn the_commands_of_a_report_put_everything_back_by_hand() {
    let bench = Bench::new().await;
    dress(&bench, A).await;
    let capsule = bench.capture(A).await;
    bench.restore().await;
    // As if every setting had been refused.
    let all = [
        "continuous_backups",
        "capacity",
        "indexes",
        "on_demand_throughput",
        "table_class",
        "encryption",
        "stream",
        "tags",
        "time_to_live",
        "kinesis_destinations",
        "contributor_insights",
        "resource_policy",
        "auto_scaling_targets",
        "auto_scaling_policies",
        "auto_scaling_scheduled_actions",
        "alarms",
        "deletion_protection",
    ];
    let done: Vec<_> = all.iter().map(|setting| format!("{setting}: refused")).collect();
    let Reapply::Report(report) = bench.step(&capsule, &done).await.unwrap() else { panic!("not done") };
    assert!(report.iter().all(|difference| difference.why == "refused"), "{report:?}");
    for difference in &report {
        by_hand(&bench, difference).await;
        bench.settle().await;
    }
    assert_eq!(lasting(&bench.capture(A).await), lasting(&capsule));
}

#[tokio::test]
async fn each_missing_right_is_an_error_that_names_its_action_and_once_given_the_work_goes_on() {
    let bench = Bench::new().await;
    dress(&bench, A).await;
    let capsule = bench.capture(A).await;
    bench.restore().await;
    bench.account.cloudwatch("DeleteAlarms", json!({ "AlarmNames": [format!("errors-{A}")] }));
    for operation in
        WRITES.into_iter().filter(|name| !name.starts_with("Deregister") && !name.starts_with("UpdateKinesis"))
    {
        let denied = bench.account.db.deny(operation, "*");
        let error = bench.run(&capsule).await.map(|ran| ran.report).unwrap_err();
        assert_eq!(error.kind, ErrorKind::PermissionDenied, "{operation}: {error:?}");
        assert!(error.hint.contains(&format!(":{operation} ")), "{operation}: {}", error.hint);
        bench.account.db.remove(denied);
    }
    bench.run(&capsule).await.unwrap();
    bench.settle().await;
    assert_eq!(lasting(&bench.capture(A).await), lasting(&capsule));
}

#[tokio::test]
async fn what_was_never_read_is_in_the_report() {
    let bench = Bench::new().await;
    let denied = bench.account.db.deny("ListTagsOfResource", A);
    let capsule = bench.capture(A).await;
    bench.account.db.remove(denied);
    let ran = bench.run(&capsule).await.unwrap();
    let [difference] = ran.report.as_slice() else { panic!("{:?}", ran.report) };
    assert!(difference.setting == "tags" && difference.why.contains("AccessDeniedException"), "{difference}");
}

#[tokio::test]
async fn a_table_that_goes_meanwhile_is_an_error_and_not_a_wait() {
    let bench = Bench::new().await;
    dress(&bench, A).await;
    let capsule = bench.capture(A).await;
    bench.restore().await;
    bench.account.delete(A).await;
    let error = bench.run(&capsule).await.map(|ran| ran.report).unwrap_err();
    assert_eq!((error.kind, error.retryable), (ErrorKind::WrongState, false), "{error:?}");
    assert!(error.message.contains(A), "{}", error.message);
}
