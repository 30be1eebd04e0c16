//! Two tables, one to be restored and a decoy; what can be set on them; and how the settings go back.

use crate::support::{Account, TIME_SCALE};
use provider_api::{BackupProvider, Capsule, Context, DataSet, Fence, ProviderError, Role};
use provider_dynamodb::{Difference, DynamoDbProvider, Reapply};
use serde_json::{Value, json};
use std::time::Duration;
use stillpoint_sandbox::clock::Clock;
use stillpoint_sandbox::dynamodb::Lags;

pub(super) const A: &str = "bank.account";
/// Begins as A does, so that whoever looks for A by its beginning finds it too.
pub(super) const DECOY: &str = "bank.account2";

pub(super) struct Free;

#[async_trait::async_trait]
impl Fence for Free {
    async fn pass(&self) -> Result<(), ProviderError> {
        Ok(())
    }
}

/// Both tables, and a provider that looks at them.
pub(super) struct Bench {
    pub(super) account: Account,
    provider: DynamoDbProvider,
}

/// What a run came to.
pub(super) struct Ran {
    pub(super) done: Vec<String>,
    pub(super) report: Vec<Difference>,
}

impl Ran {
    pub(super) fn about<'a>(&'a self, setting: &str) -> Vec<&'a Difference> {
        self.report.iter().filter(|difference| difference.setting == setting).collect()
    }
}

pub(super) const WRITES: [&str; 13] = [
    "UpdateContinuousBackups",
    "UpdateTable",
    "TagResource",
    "UpdateTimeToLive",
    "EnableKinesisStreamingDestination",
    "UpdateKinesisStreamingDestination",
    "UpdateContributorInsights",
    "PutResourcePolicy",
    "RegisterScalableTarget",
    "DeregisterScalableTarget",
    "PutScalingPolicy",
    "PutScheduledAction",
    "PutMetricAlarm",
];

impl Bench {
    pub(super) async fn new() -> Self {
        Self::with(Lags::default()).await
    }

    pub(super) async fn with(lags: Lags) -> Self {
        tokio::time::pause();
        let account = Account::with_lags(Clock::tokio(), vec![0], lags);
        account.table(A, 1).await;
        account.table(DECOY, 1).await;
        let provider = account.provider().await;
        Self { account, provider }
    }

    pub(super) async fn capture(&self, table: &str) -> Capsule {
        let sets = [DataSet { name: table.to_owned(), role: Role::User }];
        self.provider.capture(&Context::default(), &sets).await.unwrap().remove(0)
    }

    /// Long enough for every lag but the hour of time to live.
    pub(super) async fn settle(&self) {
        tokio::time::sleep(Duration::from_secs(60)).await;
    }

    /// Waits out what the service answers while it is busy.
    pub(super) async fn set(&self, operation: &str, mut body: Value) {
        let named =
            if operation.ends_with("Resource") || operation.ends_with("Policy") { "ResourceArn" } else { "TableName" };
        let table = body["TableName"].take();
        let arn = format!("arn:aws:dynamodb:us-east-1:123456789012:table/{}", table.as_str().unwrap());
        body[named] = if named == "ResourceArn" { arn.into() } else { table };
        body.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        self.account.ok(operation, body).await;
        self.settle().await;
    }

    /// A as a restore leaves it: the same items and keys under the same name, everything else gone.
    pub(super) async fn restore(&self) {
        for target in self.targets(A) {
            let key = json!({ "ServiceNamespace": "dynamodb", "ResourceId": target["ResourceId"], "ScalableDimension": target["ScalableDimension"] });
            self.account.scaling("DeregisterScalableTarget", key);
        }
        self.account.call("UpdateTable", json!({ "TableName": A, "DeletionProtectionEnabled": false })).await.unwrap();
        let backup = self.account.ok("CreateBackup", json!({ "TableName": A, "BackupName": "safety" })).await;
        self.settle().await;
        self.account.delete(A).await;
        let arn = backup["BackupDetails"]["BackupArn"].clone();
        self.account.ok("RestoreTableFromBackup", json!({ "BackupArn": arn, "TargetTableName": A })).await;
        while self.described(A).await["TableStatus"] != "ACTIVE" {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    pub(super) async fn described(&self, table: &str) -> Value {
        self.account.ok("DescribeTable", json!({ "TableName": table })).await["Table"].clone()
    }

    pub(super) fn targets(&self, table: &str) -> Vec<Value> {
        let all = self.account.scaling("DescribeScalableTargets", json!({ "ServiceNamespace": "dynamodb" }));
        let of = |target: &&Value| {
            let resource = target["ResourceId"].as_str().unwrap();
            resource == format!("table/{table}") || resource.starts_with(&format!("table/{table}/"))
        };
        all["ScalableTargets"].as_array().unwrap().iter().filter(of).cloned().collect()
    }

    pub(super) async fn step(&self, capsule: &Capsule, done: &[String]) -> Result<Reapply, ProviderError> {
        self.provider.reapply(&Context::default(), &Free, A, capsule, done).await
    }

    /// Steps until the report, waiting as told. Whatever happens, only A is written, and its decoy stays as it is.
    pub(super) async fn run(&self, capsule: &Capsule) -> Result<Ran, ProviderError> {
        let (decoy, since) = (self.capture(DECOY).await, self.now());
        let ran = self.run_unwatched(capsule).await;
        assert_eq!(self.capture(DECOY).await, decoy, "the decoy is as it was");
        let writes = self.writes(since);
        let wrong = writes.iter().find(|(_, table)| table != A && !table.is_empty());
        assert_eq!(wrong, None, "only {A} is written: {writes:?}");
        ran
    }

    async fn run_unwatched(&self, capsule: &Capsule) -> Result<Ran, ProviderError> {
        let mut done = Vec::new();
        for _ in 0..5_000 {
            match self.step(capsule, &done).await {
                Ok(Reapply::Did(setting)) => done.push(setting),
                Ok(Reapply::Wait(poll, _)) => tokio::time::sleep(poll.first.div_f64(TIME_SCALE)).await,
                Ok(Reapply::Report(report)) => return Ok(Ran { done, report }),
                Err(error) if error.retryable => tokio::time::sleep(Duration::from_secs(1)).await,
                Err(error) => return Err(error),
            }
        }
        panic!("no end of it: {done:?}");
    }

    /// Operation and table of every accepted call that changed something, from the `since`-th call on.
    pub(super) fn writes(&self, since: usize) -> Vec<(String, String)> {
        let calls = self.account.db.calls().into_iter().skip(since);
        let writes = calls.filter(|call| call.error.is_none() && WRITES.contains(&call.operation.as_str()));
        writes.map(|call| (call.operation, call.table)).collect()
    }

    pub(super) fn now(&self) -> usize {
        self.account.db.calls().len()
    }
}

/// The settings of a capsule that can be the same after a restore.
pub(super) fn lasting(capsule: &Capsule) -> Value {
    let mut settings = capsule.settings.clone();
    for volatile in ["TableId", "CreationDateTime", "LatestStreamArn", "LatestStreamLabel"] {
        settings["table"].as_object_mut().unwrap().remove(volatile);
    }
    for list in
        ["auto_scaling_targets", "auto_scaling_policies", "auto_scaling_scheduled_actions", "auto_scaling_target_tags"]
    {
        for one in settings[list].as_array_mut().unwrap() {
            for made in ["CreationTime", "ScalableTargetARN", "PolicyARN", "ScheduledActionARN", "Alarms"] {
                one.as_object_mut().unwrap().remove(made);
            }
        }
    }
    let alarms = settings["alarms"].as_array_mut().unwrap();
    alarms.retain(|alarm| !alarm["AlarmName"].as_str().unwrap().starts_with("TargetTracking-"));
    if let Some(policy) = settings["resource_policy"].as_object_mut() {
        policy.remove("RevisionId");
    }
    for one in settings["contributor_insights"].as_array_mut().unwrap() {
        one.as_object_mut().unwrap().remove("LastUpdateDateTime");
        one.as_object_mut().unwrap().remove("ContributorInsightsMode");
    }
    settings
}

/// A restored table gets its setting back by `operation`, once; its decoy, with another value, stays as it is; a second run
/// changes nothing. Answers with what the run came to.
pub(super) async fn contract(bench: &Bench, setting: &str, operation: &str, accepted: usize) -> Ran {
    bench.settle().await;
    let capsule = bench.capture(A).await;
    assert_ne!(lasting(&capsule), lasting(&bench.capture(DECOY).await), "the decoy is set otherwise");
    bench.restore().await;
    assert_ne!(lasting(&bench.capture(A).await), lasting(&capsule), "a restore drops it");
    let since = bench.now();
    let ran = bench.run(&capsule).await.unwrap();
    bench.settle().await;
    assert_eq!(lasting(&bench.capture(A).await), lasting(&capsule), "{setting} is back, and everything else");
    let writes = bench.writes(since);
    assert_eq!(writes.iter().filter(|(name, _)| name == operation).count(), accepted, "{operation}: {writes:?}");
    assert!(ran.done.iter().any(|done| done == setting), "{setting} is done: {:?}", ran.done);
    let since = bench.now();
    let again = bench.run(&capsule).await.unwrap();
    assert_eq!(bench.writes(since), [], "a second run changes nothing");
    assert_eq!(again.report, ran.report);
    ran
}

pub(super) fn policy(table: &str, sid: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Sid":"{sid}","Effect":"Allow","Principal":{{"AWS":"arn:aws:iam::123456789012:root"}},"Action":"dynamodb:GetItem","Resource":"arn:aws:dynamodb:us-east-1:123456789012:table/{table}"}}]}}"#
    )
}

pub(super) fn scale(bench: &Bench, operation: &str, resource: &str, dimension: &str, more: Value) {
    let mut body = json!({ "ServiceNamespace": "dynamodb", "ResourceId": resource, "ScalableDimension": dimension });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    bench.account.scaling(operation, body);
}

/// Targets, policies and a schedule for reads of a table and writes of its index.
pub(super) fn scale_all(bench: &Bench, table: &str, max: i64) {
    let (own, index) = (format!("table/{table}"), format!("table/{table}/index/{table}.global_index.c0"));
    for (resource, dimension) in
        [(own.as_str(), "dynamodb:table:ReadCapacityUnits"), (index.as_str(), "dynamodb:index:WriteCapacityUnits")]
    {
        scale(
            bench,
            "RegisterScalableTarget",
            resource,
            dimension,
            json!({ "MinCapacity": 5, "MaxCapacity": max,
            "Tags": { "team": table }, "SuspendedState": { "ScheduledScalingSuspended": true } }),
        );
        let metric = if dimension.contains("Read") {
            "DynamoDBReadCapacityUtilization"
        } else {
            "DynamoDBWriteCapacityUtilization"
        };
        scale(
            bench,
            "PutScalingPolicy",
            resource,
            dimension,
            json!({ "PolicyName": format!("{resource}-p"),
            "PolicyType": "TargetTrackingScaling", "TargetTrackingScalingPolicyConfiguration": { "TargetValue": 70.0,
            "ScaleInCooldown": max, "PredefinedMetricSpecification": { "PredefinedMetricType": metric } } }),
        );
    }
    scale(
        bench,
        "PutScheduledAction",
        &own,
        "dynamodb:table:ReadCapacityUnits",
        json!({ "ScheduledActionName": "night",
        "Schedule": "rate(1 day)", "Timezone": "Asia/Tokyo", "ScalableTargetAction": { "MinCapacity": 5, "MaxCapacity": max } }),
    );
}

pub(super) fn alarm(name: &str, table: &str, threshold: f64) -> Value {
    json!({ "AlarmName": name, "Namespace": "AWS/DynamoDB", "MetricName": "SystemErrors", "Statistic": "Sum",
        "Dimensions": [{ "Name": "TableName", "Value": table }], "Period": 60, "EvaluationPeriods": 1, "Threshold": threshold,
        "ComparisonOperator": "GreaterThanThreshold", "AlarmActions": ["arn:aws:sns:us-east-1:123456789012:page"] })
}

/// Everything at once.
pub(super) async fn dress(bench: &Bench, table: &str) {
    let on = |more: Value| {
        let mut body = json!({ "TableName": table });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for (operation, body) in [
        ("UpdateTable", on(json!({ "TableClass": "STANDARD_INFREQUENT_ACCESS" }))),
        ("UpdateTable", on(json!({ "StreamSpecification": { "StreamEnabled": true, "StreamViewType": "NEW_IMAGE" } }))),
        ("TagResource", on(json!({ "Tags": [{ "Key": "team", "Value": table }] }))),
        ("UpdateTimeToLive", on(json!({ "TimeToLiveSpecification": { "Enabled": true, "AttributeName": "expires" } }))),
        (
            "EnableKinesisStreamingDestination",
            on(json!({ "StreamArn": "arn:aws:kinesis:us-east-1:123456789012:stream/s" })),
        ),
        ("UpdateContributorInsights", on(json!({ "ContributorInsightsAction": "ENABLE" }))),
        ("PutResourcePolicy", on(json!({ "Policy": policy(table, "ours") }))),
        ("UpdateTable", on(json!({ "DeletionProtectionEnabled": true }))),
    ] {
        bench.set(operation, body).await;
    }
    scale_all(bench, table, 20);
    bench.account.cloudwatch("PutMetricAlarm", alarm(&format!("errors-{table}"), table, 1.0));
}

/// Does what a person does who types the command.
pub(super) async fn by_hand(bench: &Bench, difference: &Difference) {
    let command = difference.command.as_ref().unwrap();
    let (head, body) = command.split_once(" --cli-input-json ").unwrap();
    let words: Vec<_> = head.split(' ').collect();
    assert_eq!((words[0], words[3], words[4]), ("aws", "--region", "us-east-1"), "{command}");
    let operation: String = words[2].split('-').map(|word| word[..1].to_uppercase() + &word[1..]).collect();
    let body = serde_json::from_str(&body[1..body.len() - 1].replace(r"'\''", "'")).unwrap();
    match words[1] {
        "dynamodb" => drop(bench.account.ok(&operation, body).await),
        "application-autoscaling" => drop(bench.account.scaling(&operation, body)),
        "cloudwatch" => drop(bench.account.cloudwatch(&operation, body)),
        other => panic!("{other}"),
    }
}
