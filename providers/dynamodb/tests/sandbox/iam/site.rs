//! An account with ScalarDB's tables, a prepared point of them, and every duty from beginning to end.

use crate::support::{Account, KEY, TIME_SCALE, lag};
use bytes::Bytes;
use provider_api::{
    Act, BackupProvider, Capsule, Context, DataSet, DrillRequest, DurableWork, Fence, Intent, Limits, MadeSet,
    PointSet, PrepareRequest, ProviderError, ReadBudget, RecordedSet, RestoreOptions, RestoreRequest, RestoreSet,
    RestoreTime, Role, Step, Unit, UnitState, VerifyRequest, Way,
};
use provider_dynamodb::{DynamoDbProvider, Reapply};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use stillpoint_sandbox::clock::Clock;
use stillpoint_sandbox::dynamodb::Lags;

pub const A: &str = "bank.account0000";
pub const COORDINATOR: &str = "coordinator.state";
const STAGING: &str = "rp-0123456789ab-bank.account0000";
const PREFIX: &str = "drill-n0nce-";
const STREAM: &str = "arn:aws:kinesis:us-east-1:123456789012:stream/s";

/// ScalarDB's tables, the first of the user's with every setting, and a backup of it as `prepare` leaves one.
pub struct Site {
    pub account: Account,
    pub provider: Arc<DynamoDbProvider>,
    pub sets: Vec<DataSet>,
    pub capsules: Vec<Capsule>,
    pub at: RestoreTime,
    /// What `prepare` recorded of the first table, its last record at the end.
    prepared: Vec<Value>,
}

struct Free;

#[async_trait::async_trait]
impl Fence for Free {
    async fn pass(&self) -> Result<(), ProviderError> {
        Ok(())
    }
}

/// The whole chain, with what to do.
pub fn said(error: ProviderError) -> String {
    let mut text = format!("{error}; hint: {}", error.hint);
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}; {error}");
        cause = error.source();
    }
    text
}

impl Site {
    pub async fn new() -> Self {
        tokio::time::pause();
        let lags = Lags { restore: (1.0, 2.0), index: (1.0, 2.0), ..Lags::default() };
        let account = Account::with_lags(Clock::tokio(), vec![0], lags);
        account.scalardb(1).await;
        dress(&account).await;
        a_record_waits(&account).await;
        let provider = Arc::new(account.provider().await);
        let sets = provider.discover(&Context::default()).await.unwrap().data_sets;
        let capsules = provider.capture(&Context::default(), &sets).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let at = RestoreTime(account.db.service_unix_ns() / 1_000_000_000);
        tokio::time::sleep(lag() + Duration::from_secs(2)).await;
        let prepared = prepare(&account).await;
        Self { account, provider, sets, capsules, at, prepared }
    }

    /// One call over the wire, under the policy.
    pub async fn wire(&self, operation: &str, body: Value) -> Result<Value, String> {
        let request = http::Request::post("/")
            .header("x-amz-target", format!("DynamoDB_20120810.{operation}"))
            .header("authorization", format!("AWS4-HMAC-SHA256 Credential={KEY}/20261123/us-east-1/x/aws4_request"))
            .body(Bytes::from(body.to_string()))
            .unwrap();
        let answer = self.account.db.exchange(request).await.unwrap();
        let value: Value = serde_json::from_slice(answer.body()).unwrap();
        if answer.status().is_success() { Ok(value) } else { Err(value.to_string()) }
    }

    fn arn(&self) -> String {
        self.prepared.last().unwrap()["arn"].as_str().unwrap().to_owned()
    }

    fn capsule(&self) -> &Capsule {
        self.capsules.iter().find(|capsule| capsule.name == A).unwrap()
    }

    /// As the point recorded them, those of these names.
    pub fn recorded(&self, names: &[&str]) -> Vec<RecordedSet> {
        let wanted = self.capsules.iter().filter(|capsule| names.contains(&capsule.name.as_str()));
        wanted.map(|capsule| RecordedSet { name: capsule.name.clone(), id: capsule.id.clone() }).collect()
    }

    fn all(&self) -> Vec<RecordedSet> {
        self.recorded(&self.sets.iter().map(|set| set.name.as_str()).collect::<Vec<_>>())
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
    pub async fn backup(&self) -> Result<(), String> {
        let context = Context::default();
        let capsules = self.look().await?;
        self.provider.clock(&context).await.map_err(said)?;
        let confirmed = self.provider.confirm(&context, &self.sets).await.map_err(said)?;
        let recorded = confirmed.into_iter().map(|set| RecordedSet { name: set.name, id: set.id });
        let recorded: Vec<_> = recorded.filter(|set| set.name == A).collect();
        self.provider.restorable(&context, self.at, &recorded).await.map_err(said)?;
        let work = Arc::clone(&self.provider).preparer().unwrap();
        let request = PrepareRequest { label: "nightly", at: self.at, sets: &recorded, capsules: &capsules };
        let units = work.units(&request).map_err(said)?;
        work.preflight(&context, &units).await.map_err(said)?;
        let (mut first, mut second) = (Journal::default(), Journal::default());
        first.drive(&*work, Way::Forward, &units[0], None).await?;
        second.drive(&*work, Way::Forward, &units[0], Some("available")).await?;
        second.drive(&*work, Way::Back, &units[0], None).await?;
        first.drive(&*work, Way::Back, &units[0], None).await
    }

    /// The request for a restore of these tables; every one of the first one's backup, which only a look can be for.
    pub fn to_restore(&self, names: &[&str]) -> Vec<RestoreSet> {
        let set = |recorded| RestoreSet { recorded, role: Role::User, prepared: self.prepared.last().unwrap().clone() };
        self.recorded(names).into_iter().map(set).collect()
    }

    pub async fn restore_units(&self, names: &[&str]) -> Result<Vec<Unit>, String> {
        let (sets, restorer) = (self.to_restore(names), Arc::clone(&self.provider).restorer().unwrap());
        let (capsules, options) = (&self.capsules, RestoreOptions::default());
        let request = RestoreRequest { label: "nightly", at: self.at, sets: &sets, capsules, options };
        let units = restorer.units(&request).map_err(said)?;
        let plan = restorer.preflight(&Context::default(), &units).await;
        let plan = plan.map_err(|errors| errors.into_iter().map(said).collect::<Vec<_>>().join("; "))?;
        match plan.warnings.into_iter().find(|warning| warning.contains("IAM action")) {
            Some(warning) => Err(warning),
            None => Ok(units),
        }
    }

    /// The table is backed up, deleted, restored under its name, and its settings put back.
    pub async fn restore(&self) -> Result<(), String> {
        let units = self.restore_units(&[A]).await?;
        let work = Arc::clone(&self.provider).restorer().unwrap();
        // Alarms belong to the name and stay, unless somebody removes one.
        self.account.cloudwatch("DeleteAlarms", json!({ "AlarmNames": ["errors"] }));
        Journal::default().drive(&*work, Way::Forward, &units[0], None).await?;
        self.retag().await?;
        self.other_precision().await
    }

    /// A restore that stops when its table is gone, and is put back; what it replaced.
    pub async fn restore_and_back(&self, before_back: impl FnOnce()) -> Result<(), String> {
        let units = self.restore_units(&[A]).await?;
        let work = Arc::clone(&self.provider).restorer().unwrap();
        let mut journal = Journal::default();
        journal.drive(&*work, Way::Forward, &units[0], Some("deleted")).await?;
        before_back();
        work.way_back(&Context::default(), &units[0], &journal.state, journal.intent.as_ref()).await.map_err(said)?;
        journal.drive(&*work, Way::Back, &units[0], None).await
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
            match self.provider.reapply(&Context::default(), &Free, A, self.capsule(), &done).await.map_err(said)? {
                Reapply::Did(setting) => done.push(setting),
                Reapply::Wait(poll, _) => tokio::time::sleep(poll.first.div_f64(TIME_SCALE)).await,
                Reapply::Report(_) => return Err(format!("{setting} was never done")),
            }
        }
        Ok(())
    }

    /// Everything is read and judged, a record that waits included.
    pub async fn verify(&self) -> Result<(), String> {
        self.verified("").await
    }

    async fn verified(&self, prefix: &str) -> Result<(), String> {
        let id = |name: &str| self.recorded(&[name]).remove(0).id;
        let set = |set: &DataSet| PointSet { name: set.name.clone(), role: set.role, id: id(&set.name) };
        let sets: Vec<_> = self.sets.iter().map(set).collect();
        let far = i64::MAX / 2;
        let limits = Limits { still_from_ms: far, written_by_ms: far, drained_by_ms: far };
        let (metadata, budget) = (BTreeMap::new(), ReadBudget::default());
        let request = VerifyRequest { sets: &sets, metadata: &metadata, prefix, limits, budget, segments: None };
        let verifier = Arc::clone(&self.provider).verifier().unwrap();
        let found = verifier.verify(&Context::default(), &request, &|_| {}).await.map_err(said)?;
        assert!(found.is_sound(), "{:#?}", found.breaches);
        assert!(found.tables.iter().any(|table| table.prepared > 0), "nothing waited: {:#?}", found.tables);
        Ok(())
    }

    /// What can still be restored is found out, and the backups of a point are deleted.
    pub async fn prune(&self) -> Result<(), String> {
        let context = Context::default();
        self.provider.clock(&context).await.map_err(said)?;
        self.provider.restorable(&context, self.at, &self.recorded(&[A])).await.map_err(said)?;
        let pruner = Arc::clone(&self.provider).pruner().unwrap();
        let record = |what: &Value| {
            let text = what["fact"].as_str().unwrap().to_owned();
            provider_api::Record { text, what: what.clone(), slot: None, warning: None }
        };
        let state = UnitState { records: self.prepared.iter().map(record).collect() };
        let RecordedSet { name, id } = self.recorded(&[A]).remove(0);
        let made = [MadeSet { name, id, runs: vec![state] }];
        assert_eq!(pruner.missing(&context, &made).await.map_err(said)?, []);
        let units = pruner.units(&made).map_err(said)?;
        pruner.preflight(&context, &units).await.map_err(said)?;
        Journal::default().drive(&*pruner, Way::Forward, &units[0], None).await?;
        assert_eq!(pruner.missing(&context, &made).await.map_err(said)?.len(), 1, "nothing was deleted");
        Ok(())
    }

    /// The units of a drill of these tables, of backups or by point-in-time recovery.
    pub async fn copies(&self, names: &[RecordedSet], backups: &BTreeMap<String, String>) -> Result<Vec<Unit>, String> {
        let driller = Arc::clone(&self.provider).driller().unwrap();
        let (at, capsules) = (self.at, &self.capsules);
        let request =
            DrillRequest { label: "nightly", at, sets: names, capsules, prefix: PREFIX, backups, keep: false };
        let units = driller.copies(&request).map_err(said)?;
        driller.may_copy(&Context::default(), &units).await.map_err(said)?;
        Ok(units)
    }

    /// Copies of all tables at T are made, verified and removed; then one of a backup.
    pub async fn drill(&self) -> Result<(), String> {
        let driller = Arc::clone(&self.provider).driller().unwrap();
        let units = self.copies(&self.all(), &BTreeMap::new()).await?;
        let backups = BTreeMap::from([(A.to_owned(), self.arn())]);
        let from_backups = self.copies(&self.recorded(&[A]), &backups).await?;
        let mut journals: Vec<Journal> = Vec::new();
        for unit in &units {
            let mut journal = Journal::default();
            journal.drive(&*driller, Way::Forward, unit, Some("restored")).await?;
            assert!(driller.is_ready(&journal.state));
            journals.push(journal);
        }
        self.verified(PREFIX).await?;
        for (unit, journal) in units.iter().zip(&mut journals) {
            journal.drive(&*driller, Way::Forward, unit, None).await?;
        }
        let mut journal = Journal::default();
        journal.drive(&*driller, Way::Forward, &from_backups[0], Some("restored")).await?;
        journal.drive(&*driller, Way::Back, &from_backups[0], None).await?;
        let left = self.account.tables().await;
        assert!(left.iter().all(|name| !name.starts_with("drill-")), "{left:?}");
        Ok(())
    }
}

/// One unit's journal.
#[derive(Default)]
struct Journal {
    state: UnitState,
    intent: Option<Intent>,
}

impl Journal {
    /// To the end of the way, or until this fact is stored.
    async fn drive<W: DurableWork + ?Sized>(
        &mut self,
        work: &W,
        way: Way,
        unit: &Unit,
        until: Option<&str>,
    ) -> Result<(), String> {
        for _ in 0..2_000 {
            let act = self.intent.as_ref().map(|intent| Act { intent, fence: &Free });
            match work.step(&Context::default(), way, unit, &self.state, act).await {
                Ok(Step::Intend(intent)) => self.intent = Some(intent),
                Ok(Step::Wait { poll, .. }) => tokio::time::sleep(poll.first.div_f64(TIME_SCALE)).await,
                Ok(Step::Did(record)) => {
                    self.intent = None;
                    let reached = until.is_some_and(|until| record.what["fact"] == until);
                    self.state.records.push(record);
                    if reached {
                        return Ok(());
                    }
                }
                Ok(Step::Done(record)) => {
                    self.state.records.push(record);
                    return Ok(());
                }
                Ok(Step::Failed(_, error)) => return Err(said(error)),
                Err(error) if error.retryable => tokio::time::sleep(Duration::from_millis(200)).await,
                Err(error) => return Err(said(error)),
            }
        }
        panic!("no end: {:#?}", self.state)
    }
}

/// A record of a transaction that nobody decided: whoever verifies looks it up.
async fn a_record_waits(account: &Account) {
    let mut columns = json!({ "id": { "S": "int" }, "balance": { "S": "int" } });
    for name in ["tx_id", "tx_state", "tx_version", "tx_prepared_at", "tx_committed_at"] {
        columns[name] = json!({ "S": "text" });
        columns[format!("before_{name}")] = json!({ "S": "text" });
    }
    let described =
        json!({ "table": { "S": A }, "partitionKey": { "L": [{ "S": "id" }] }, "columns": { "M": columns } });
    account.ok("PutItem", json!({ "TableName": "scalardb.metadata", "Item": described })).await;
    let number = |n: u32| json!({ "N": n.to_string() });
    let record = json!({ "concatenatedPartitionKey": { "B": "gAAAAQ==" }, "id": number(1), "balance": number(7), "tx_id": { "S": "t" },
        "tx_state": number(1), "tx_version": number(1), "tx_prepared_at": number(100), "before_tx_id": { "NULL": true } });
    account.ok("PutItem", json!({ "TableName": A, "Item": record })).await;
}

/// What `prepare` leaves behind, made by the calls that it makes; what it records of that.
async fn prepare(account: &Account) -> Vec<Value> {
    let backup = account.ok("CreateBackup", json!({ "TableName": A, "BackupName": "before" })).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let source = &backup["BackupDetails"]["BackupArn"];
    account.ok("RestoreTableFromBackup", json!({ "BackupArn": source, "TargetTableName": STAGING })).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let id = account.table_id(STAGING).await;
    let name = "rp-0123456789ab-nightly";
    let backup = account.ok("CreateBackup", json!({ "TableName": STAGING, "BackupName": name })).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let arn = &backup["BackupDetails"]["BackupArn"];
    account.delete(STAGING).await;
    vec![
        json!({ "fact": "restoring", "target": STAGING, "table_id": id, "source_arn": null, "at": null }),
        json!({ "fact": "restored", "target": STAGING }),
        json!({ "fact": "backing_up", "arn": arn, "name": name }),
        json!({ "fact": "available", "arn": arn }),
        json!({ "fact": "dropped", "target": STAGING }),
        json!({ "fact": "prepared", "arn": arn, "name": name, "target": STAGING, "table_id": id }),
    ]
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
