//! Every duty under its own policy from deploy/iam: it suffices, nothing in it is idle, and nothing else goes.

use crate::support::{Account, KEY, TIME_SCALE, lag};
use bytes::Bytes;
use futures::future::LocalBoxFuture;
use provider_api::{
    Act, BackupProvider, Capsule, Context, DurableWork, Fence, Intent, PrepareRequest, ProviderError, RecordedSet,
    RestoreTime, Step, Unit, UnitState, Way,
};
use provider_dynamodb::{DynamoDbProvider, Reapply, limits};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use stillpoint_sandbox::clock::Clock;
use stillpoint_sandbox::dynamodb::Lags;

const A: &str = "bank.account0000";
const STREAM: &str = "arn:aws:kinesis:us-east-1:123456789012:stream/s";

/// What one identity does.
struct Duty {
    name: &'static str,
    policy: &'static str,
    /// All of it, from beginning to end; what was refused.
    run: for<'a> fn(&'a Site) -> LocalBoxFuture<'a, Result<(), String>>,
    /// Service, operation and body of calls that are not its business.
    foreign: &'static [(&'static str, &'static str)],
}

const DUTIES: [Duty; 4] = [
    Duty {
        name: "backup",
        policy: include_str!("../../../../deploy/iam/backup.json"),
        run: |site| Box::pin(site.backup()),
        foreign: &[
            ("DeleteTable", r#"{"TableName":"bank.account0000"}"#),
            ("UpdateTable", r#"{"TableName":"bank.account0000","DeletionProtectionEnabled":false}"#),
            ("PutItem", r#"{"TableName":"bank.account0000","Item":{}}"#),
            ("UpdateContinuousBackups", r#"{"TableName":"bank.account0000"}"#),
            ("CreateBackup", r#"{"TableName":"bank.account0000","BackupName":"safety"}"#),
            (
                "DeleteBackup",
                r#"{"BackupArn":"arn:aws:dynamodb:us-east-1:123456789012:table/bank.account0000/backup/0-a"}"#,
            ),
            ("Scan", r#"{"TableName":"bank.account0000"}"#),
            ("DescribeTable", r#"{"TableName":"other.table"}"#),
        ],
    },
    Duty {
        name: "restore",
        policy: include_str!("../../../../deploy/iam/restore.json"),
        run: |site| Box::pin(site.restore()),
        foreign: &[
            ("DeleteTable", r#"{"TableName":"other.table"}"#),
            (
                "DeleteBackup",
                r#"{"BackupArn":"arn:aws:dynamodb:us-east-1:123456789012:table/rp-x-bank.account0000/backup/0-a"}"#,
            ),
            (
                "DeleteBackup",
                r#"{"BackupArn":"arn:aws:dynamodb:us-east-1:123456789012:table/bank.account0000/backup/0-a"}"#,
            ),
            ("CreateTable", r#"{"TableName":"bank.account0000"}"#),
            ("RestoreTableToPointInTime", r#"{"SourceTableName":"bank.account0000","TargetTableName":"bank.x"}"#),
        ],
    },
    Duty {
        name: "verify",
        policy: include_str!("../../../../deploy/iam/verify.json"),
        run: |site| Box::pin(site.verify()),
        foreign: &[
            ("PutItem", r#"{"TableName":"bank.account0000","Item":{}}"#),
            ("BatchWriteItem", r#"{"RequestItems":{"bank.account0000":[]}}"#),
            ("DeleteItem", r#"{"TableName":"bank.account0000","Key":{}}"#),
            ("DeleteTable", r#"{"TableName":"bank.account0000"}"#),
            ("Scan", r#"{"TableName":"other.table"}"#),
        ],
    },
    Duty {
        name: "prune",
        policy: include_str!("../../../../deploy/iam/prune.json"),
        run: |site| Box::pin(site.prune()),
        foreign: &[
            (
                "DeleteBackup",
                r#"{"BackupArn":"arn:aws:dynamodb:us-east-1:123456789012:table/bank.account0000/backup/0-a"}"#,
            ),
            ("DeleteTable", r#"{"TableName":"rp-x-bank.account0000"}"#),
            ("DeleteTable", r#"{"TableName":"bank.account0000"}"#),
            ("Scan", r#"{"TableName":"bank.account0000"}"#),
        ],
    },
];

/// The sandbox has no keys that can be refused, and its account has the role of auto scaling from the beginning.
const BEYOND: [&str; 2] = ["kms:", "iam:CreateServiceLinkedRole"];

/// A policy as a person who read its README would set it.
fn filled_in(policy: &str) -> Value {
    let text = policy.replace("REGION", "us-east-1").replace("ACCOUNT", "123456789012").replace("NAMESPACE", "bank");
    serde_json::from_str(&text).unwrap()
}

fn allowed(policy: &Value) -> BTreeSet<String> {
    let statements = policy["Statement"].as_array().unwrap().iter().filter(|one| one["Effect"] == "Allow");
    let actions = statements.flat_map(|one| one["Action"].as_array().unwrap());
    actions.map(|action| action.as_str().unwrap().to_owned()).collect()
}

fn without(policy: &Value, action: &str) -> Value {
    let mut policy = policy.clone();
    for statement in policy["Statement"].as_array_mut().unwrap().iter_mut().filter(|one| one["Effect"] == "Allow") {
        statement["Action"].as_array_mut().unwrap().retain(|one| one != action);
    }
    policy["Statement"].as_array_mut().unwrap().retain(|one| one["Action"] != json!([]));
    policy
}

/// ScalarDB's tables, the first of the user's with every setting, and a backup of it as `prepare` leaves one.
struct Site {
    account: Account,
    provider: Arc<DynamoDbProvider>,
    capsule: Capsule,
    at: RestoreTime,
    prepared: String,
}

struct Free;

#[async_trait::async_trait]
impl Fence for Free {
    async fn pass(&self) -> Result<(), ProviderError> {
        Ok(())
    }
}

/// The whole chain, with what to do.
fn said(error: ProviderError) -> String {
    let mut text = format!("{error}; hint: {}", error.hint);
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}; {error}");
        cause = error.source();
    }
    text
}

impl Site {
    async fn new() -> Self {
        tokio::time::pause();
        let lags = Lags { restore: (1.0, 2.0), index: (1.0, 2.0), ..Lags::default() };
        let account = Account::with_lags(Clock::tokio(), vec![0], lags);
        account.scalardb(1).await;
        dress(&account).await;
        let provider = Arc::new(account.provider().await);
        let sets = provider.discover(&Context::default()).await.unwrap().data_sets;
        let capsules = provider.capture(&Context::default(), &sets).await.unwrap();
        let capsule = capsules.into_iter().find(|capsule| capsule.name == A).unwrap();
        let at = RestoreTime(account.db.service_unix_ns() / 1_000_000_000);
        tokio::time::sleep(lag() + Duration::from_secs(2)).await;
        let backup = account.ok("CreateBackup", json!({ "TableName": A, "BackupName": "before" })).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let staging =
            json!({ "BackupArn": backup["BackupDetails"]["BackupArn"], "TargetTableName": "rp-x-bank.account0000" });
        account.ok("RestoreTableFromBackup", staging).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        let staging = json!({ "TableName": "rp-x-bank.account0000", "BackupName": "prepared" });
        let backup = account.ok("CreateBackup", staging).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let prepared = backup["BackupDetails"]["BackupArn"].as_str().unwrap().to_owned();
        Self { account, provider, capsule, at, prepared }
    }

    /// One call over the wire, under the policy; for what the provider has no code of its own for.
    async fn wire(&self, operation: &str, body: Value) -> Result<Value, String> {
        let target = match operation {
            "DeregisterScalableTarget" => format!("AnyScaleFrontendService.{operation}"),
            _ => format!("DynamoDB_20120810.{operation}"),
        };
        for _ in 0..600 {
            let request = http::Request::post("/")
                .header("x-amz-target", &target)
                .header("authorization", format!("AWS4-HMAC-SHA256 Credential={KEY}/20261123/us-east-1/x/aws4_request"))
                .body(Bytes::from(body.to_string()))
                .unwrap();
            let answer = self.account.db.exchange(request).await.unwrap();
            let value: Value = serde_json::from_slice(answer.body()).unwrap();
            let kind = value["__type"].as_str().unwrap_or_default();
            if answer.status().is_success() {
                return Ok(value);
            }
            if !["Throttling", "ResourceInUse", "TableAlreadyExists"].iter().any(|busy| kind.contains(busy)) {
                return Err(value.to_string());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Err(format!("{operation} is busy for ever"))
    }

    async fn look(&self) -> Result<Vec<Capsule>, String> {
        let context = Context::default();
        let sets = self.provider.discover(&context).await.map_err(said)?.data_sets;
        let capsules = self.provider.capture(&context, &sets).await.map_err(said)?;
        match capsules.iter().flat_map(|capsule| &capsule.unread).next() {
            Some(unread) => Err(format!("{}: {}; hint: {}", unread.setting, unread.reason, unread.hint)),
            None => Ok(capsules),
        }
    }

    /// A point is made and prepared, and another one is begun and undone.
    async fn backup(&self) -> Result<(), String> {
        let context = Context::default();
        let capsules = self.look().await?;
        self.provider.clock(&context).await.map_err(said)?;
        let sets = self.provider.discover(&context).await.map_err(said)?.data_sets;
        let confirmed = self.provider.confirm(&context, &sets).await.map_err(said)?;
        let recorded = confirmed.into_iter().map(|set| RecordedSet { name: set.name, id: set.id });
        let recorded: Vec<_> = recorded.filter(|set| set.name == A).collect();
        self.provider.restorable(&context, self.at, &recorded).await.map_err(said)?;
        let work = Arc::clone(&self.provider).preparer().unwrap();
        let request = PrepareRequest { label: "nightly", at: self.at, sets: &recorded, capsules: &capsules };
        let units = work.units(&request).map_err(said)?;
        let (mut first, mut second) = (Journal::default(), Journal::default());
        first.drive(&*work, Way::Forward, &units[0], usize::MAX).await?;
        let half = 8;
        second.drive(&*work, Way::Forward, &units[0], half).await?;
        second.drive(&*work, Way::Back, &units[0], usize::MAX).await?;
        first.drive(&*work, Way::Back, &units[0], usize::MAX).await?;
        work.preflight(&context, &units).await.map_err(said)?;
        Ok(())
    }

    /// The table is backed up, deleted, restored under its name, and its settings put back.
    async fn restore(&self) -> Result<(), String> {
        self.look().await?;
        self.wire("ListBackups", json!({ "TableName": A })).await?;
        self.wire("DescribeBackup", json!({ "BackupArn": self.prepared })).await?;
        let safety = self.wire("CreateBackup", json!({ "TableName": A, "BackupName": "safety" })).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.wire("DescribeBackup", json!({ "BackupArn": safety["BackupDetails"]["BackupArn"] })).await?;
        self.wire("UpdateTable", json!({ "TableName": A, "DeletionProtectionEnabled": false })).await?;
        let target = |resource: String, dimension: &str| json!({ "ServiceNamespace": "dynamodb", "ResourceId": resource, "ScalableDimension": dimension });
        self.wire("DeregisterScalableTarget", target(format!("table/{A}"), "dynamodb:table:ReadCapacityUnits")).await?;
        self.wire("DeleteTable", json!({ "TableName": A })).await?;
        let back = json!({ "BackupArn": self.prepared, "TargetTableName": A });
        self.wire("RestoreTableFromBackup", back).await?;
        while self.wire("DescribeTable", json!({ "TableName": A })).await?["Table"]["TableStatus"] != "ACTIVE" {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.account.cloudwatch("DeleteAlarms", json!({ "AlarmNames": ["errors"] }));
        let mut done = Vec::new();
        loop {
            // As if its tags had to be put on a target that is there, and its precision on a destination.
            if done.last().is_some_and(|done| done == "auto_scaling_targets") {
                self.retag().await?;
            }
            match self.provider.reapply(&Context::default(), &Free, A, &self.capsule, &done).await {
                Ok(Reapply::Did(setting)) if setting.contains(": ") => return Err(setting),
                Ok(Reapply::Did(setting)) => done.push(setting),
                Ok(Reapply::Wait(poll, _)) => tokio::time::sleep(poll.first.div_f64(TIME_SCALE)).await,
                Ok(Reapply::Report(_)) => return self.other_precision().await,
                Err(error) if error.retryable => tokio::time::sleep(Duration::from_millis(200)).await,
                Err(error) => return Err(said(error)),
            }
        }
    }

    /// A target that lost its tags gets them again.
    async fn retag(&self) -> Result<(), String> {
        let targets = self.account.scaling("DescribeScalableTargets", json!({ "ServiceNamespace": "dynamodb" }));
        let arn = targets["ScalableTargets"][0]["ScalableTargetARN"].clone();
        self.account.scaling("UntagResource", json!({ "ResourceARN": arn, "TagKeys": ["team"] }));
        self.until("auto_scaling_targets").await
    }

    /// A destination that is on already gets its precision.
    async fn other_precision(&self) -> Result<(), String> {
        let wanted = json!({ "ApproximateCreationDateTimePrecision": "MILLISECOND" });
        tokio::time::sleep(Duration::from_secs(60)).await;
        self.account
            .ok(
                "UpdateKinesisStreamingDestination",
                json!({ "TableName": A, "StreamArn": STREAM, "UpdateKinesisStreamingConfiguration": wanted }),
            )
            .await;
        self.until("kinesis_destinations").await
    }

    /// Reapplies from the beginning until this setting is done.
    async fn until(&self, setting: &str) -> Result<(), String> {
        let mut done = Vec::new();
        while !done.iter().any(|done| done == setting) {
            match self.provider.reapply(&Context::default(), &Free, A, &self.capsule, &done).await.map_err(said)? {
                Reapply::Did(setting) => done.push(setting),
                Reapply::Wait(poll, _) => tokio::time::sleep(poll.first.div_f64(TIME_SCALE)).await,
                Reapply::Report(_) => return Err(format!("{setting} was never done")),
            }
        }
        Ok(())
    }

    /// The tables are found, looked at and read, and the coordinator's rows looked up.
    async fn verify(&self) -> Result<(), String> {
        let sets = self.provider.discover(&Context::default()).await.map_err(said)?.data_sets;
        for set in &sets {
            self.wire("DescribeTable", json!({ "TableName": set.name })).await?;
            self.wire("Scan", json!({ "TableName": set.name })).await?;
        }
        let keys = json!({ "coordinator.state": { "Keys": [{ "concatenatedPartitionKey": { "B": "AA==" } }] } });
        self.wire("BatchGetItem", json!({ "RequestItems": keys })).await?;
        Ok(())
    }

    /// What can still be restored is found out, and a backup is deleted.
    async fn prune(&self) -> Result<(), String> {
        let context = Context::default();
        self.provider.clock(&context).await.map_err(said)?;
        let recorded = [RecordedSet { name: A.to_owned(), id: self.capsule.id.clone() }];
        self.provider.restorable(&context, self.at, &recorded).await.map_err(said)?;
        self.wire("DescribeBackup", json!({ "BackupArn": self.prepared })).await?;
        self.wire("DeleteBackup", json!({ "BackupArn": self.prepared })).await?;
        Ok(())
    }
}

/// One unit, driven to the end of its way.
#[derive(Default)]
struct Journal {
    state: UnitState,
    intent: Option<Intent>,
}

impl Journal {
    async fn drive(&mut self, work: &dyn DurableWork, way: Way, unit: &Unit, steps: usize) -> Result<(), String> {
        let mut stored = 0;
        while stored < steps {
            let act = self.intent.as_ref().map(|intent| Act { intent, fence: &Free });
            match work.step(&Context::default(), way, unit, &self.state, act).await {
                Ok(Step::Intend(intent)) => self.intent = Some(intent),
                Ok(Step::Wait { poll, .. }) => tokio::time::sleep(poll.first.div_f64(TIME_SCALE)).await,
                Ok(Step::Did(record)) => {
                    self.state.records.push(record);
                    self.intent = None;
                    stored += 1;
                }
                Ok(Step::Done(_)) => return Ok(()),
                Ok(Step::Failed(_, error)) => return Err(said(error)),
                Err(error) if error.retryable => tokio::time::sleep(Duration::from_millis(200)).await,
                Err(error) => return Err(said(error)),
            }
        }
        Ok(())
    }
}

/// Every setting that there is, on one table.
async fn dress(account: &Account) {
    let arn = format!("arn:aws:dynamodb:us-east-1:123456789012:table/{A}");
    let on = |more: Value| {
        let mut body = json!({ "TableName": A });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let policy = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Principal": "*", "Action": "dynamodb:GetItem", "Resource": arn }] });
    let microseconds = json!({ "ApproximateCreationDateTimePrecision": "MICROSECOND" });
    for (operation, body) in [
        ("UpdateTable", on(json!({ "StreamSpecification": { "StreamEnabled": true, "StreamViewType": "NEW_IMAGE" } }))),
        ("TagResource", json!({ "ResourceArn": arn, "Tags": [{ "Key": "team", "Value": "ledger" }] })),
        ("UpdateTimeToLive", on(json!({ "TimeToLiveSpecification": { "Enabled": true, "AttributeName": "expires" } }))),
        (
            "EnableKinesisStreamingDestination",
            on(json!({ "StreamArn": STREAM, "EnableKinesisStreamingConfiguration": microseconds })),
        ),
        ("UpdateContributorInsights", on(json!({ "ContributorInsightsAction": "ENABLE" }))),
        ("PutResourcePolicy", json!({ "ResourceArn": arn, "Policy": policy.to_string() })),
        ("UpdateTable", on(json!({ "DeletionProtectionEnabled": true }))),
    ] {
        account.ok(operation, body).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let target = |more: Value| {
        let mut body = json!({ "ServiceNamespace": "dynamodb", "ResourceId": format!("table/{A}"), "ScalableDimension": "dynamodb:table:ReadCapacityUnits" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    account.scaling(
        "RegisterScalableTarget",
        target(json!({ "MinCapacity": 5, "MaxCapacity": 20, "Tags": { "team": "ledger" } })),
    );
    let metric = json!({ "PredefinedMetricType": "DynamoDBReadCapacityUtilization" });
    let tracking = json!({ "TargetValue": 70.0, "PredefinedMetricSpecification": metric });
    account.scaling("PutScalingPolicy", target(json!({ "PolicyName": "p", "PolicyType": "TargetTrackingScaling", "TargetTrackingScalingPolicyConfiguration": tracking })));
    account.scaling("PutScheduledAction", target(json!({ "ScheduledActionName": "night", "Schedule": "rate(1 day)", "ScalableTargetAction": { "MinCapacity": 5 } })));
    let alarm = json!({ "AlarmName": "errors", "Namespace": "AWS/DynamoDB", "MetricName": "SystemErrors", "Statistic": "Sum",
        "Dimensions": [{ "Name": "TableName", "Value": A }], "Period": 60, "EvaluationPeriods": 1, "Threshold": 1.0,
        "ComparisonOperator": "GreaterThanThreshold" });
    account.cloudwatch("PutMetricAlarm", alarm);
}

/// Runs a duty under a policy, on time of its own.
fn under(duty: &Duty, policy: &Value) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let site = Site::new().await;
        site.account.db.set_policy(KEY, Some(policy)).unwrap();
        (duty.run)(&site).await
    })
}

/// It suffices; without any one of its actions some step is refused, by name; and nothing else goes.
fn holds(duty: &Duty) {
    let policy = filled_in(duty.policy);
    assert_eq!(under(duty, &policy), Ok(()), "{}", duty.name);
    let actions: Vec<_> =
        allowed(&policy).into_iter().filter(|action| !BEYOND.iter().any(|beyond| action.starts_with(beyond))).collect();
    assert!(actions.iter().all(|action| !action.contains('*')), "{actions:?}");
    std::thread::scope(|scope| {
        for half in actions.chunks(actions.len().div_ceil(2)) {
            let policy = &policy;
            scope.spawn(move || {
                for action in half {
                    match under(duty, &without(policy, action)) {
                        Ok(()) => panic!("{}: {action} is not needed", duty.name),
                        Err(text) => assert!(text.contains(action), "{}: without {action}: {text}", duty.name),
                    }
                }
            });
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let site = Site::new().await;
        site.account.db.set_policy(KEY, Some(&policy)).unwrap();
        for (operation, body) in duty.foreign {
            let refused = site.wire(operation, serde_json::from_str(body).unwrap()).await.unwrap_err();
            assert!(refused.contains("not authorized to perform"), "{}: {operation} {body}: {refused}", duty.name);
        }
    });
}

#[test]
fn backup_needs_its_policy_and_no_more() {
    holds(&DUTIES[0]);
}

#[test]
fn restore_needs_its_policy_and_no_more() {
    holds(&DUTIES[1]);
}

#[test]
fn verify_needs_its_policy_and_no_more() {
    holds(&DUTIES[2]);
}

#[test]
fn prune_needs_its_policy_and_no_more() {
    holds(&DUTIES[3]);
}

#[test]
fn every_operation_that_is_called_is_some_dutys() {
    let granted: BTreeSet<_> = DUTIES.iter().flat_map(|duty| allowed(&filled_in(duty.policy))).collect();
    for operation in limits::ALL {
        assert!(granted.contains(&operation.action()), "no policy in deploy/iam allows {}", operation.action());
    }
}
