//! Every duty under its own policy from deploy/iam: it suffices, nothing in it is idle, and nothing else goes.

mod site;

use crate::support::KEY;
use futures::future::LocalBoxFuture;
use provider_api::{BackupProvider, Context, PrepareRequest};
use provider_dynamodb::limits;
use serde_json::{Value, json};
use site::{A, COORDINATOR, Site, said};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What one identity does.
struct Duty {
    name: &'static str,
    policy: &'static str,
    /// Statements and actions of it whose lack is found only when something was changed already.
    late: &'static [&'static str],
    /// All of it, from beginning to end; what was refused.
    run: for<'a> fn(&'a Site) -> LocalBoxFuture<'a, Result<(), String>>,
    /// Service, operation and body of calls that are not its business.
    foreign: &'static [(&'static str, &'static str)],
}

const DUTIES: [Duty; 5] = [
    Duty {
        name: "backup",
        policy: include_str!("../../../../deploy/iam/backup.json"),
        late: &[],
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
        // Tables cannot be asked whether they may be deleted: the refusal comes before anything is lost. Settings come last.
        late: &[
            "LookAround cloudwatch:DescribeAlarms",
            "Replace dynamodb:DeleteTable",
            "Settings dynamodb:UpdateContinuousBackups",
            "Settings dynamodb:TagResource",
            "Settings dynamodb:UpdateTimeToLive",
            "Settings dynamodb:PutResourcePolicy",
            "Settings dynamodb:EnableKinesisStreamingDestination",
            "Settings dynamodb:UpdateKinesisStreamingDestination",
            "Settings dynamodb:UpdateContributorInsights",
            "AutoScaling application-autoscaling:RegisterScalableTarget",
            "AutoScaling application-autoscaling:PutScalingPolicy",
            "AutoScaling application-autoscaling:PutScheduledAction",
            "TagTargets application-autoscaling:TagResource",
            "Alarms cloudwatch:PutMetricAlarm",
            "KinesisDestinations kinesis:DescribeStream",
            "KinesisDestinations kinesis:PutRecord",
            "KinesisDestinations kinesis:PutRecords",
        ],
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
        late: &[],
        run: |site| Box::pin(site.verify()),
        foreign: &[
            ("PutItem", r#"{"TableName":"bank.account0000","Item":{}}"#),
            ("BatchWriteItem", r#"{"RequestItems":{"bank.account0000":[]}}"#),
            ("DeleteItem", r#"{"TableName":"bank.account0000","Key":{}}"#),
            ("DeleteTable", r#"{"TableName":"bank.account0000"}"#),
            ("Scan", r#"{"TableName":"other.table"}"#),
            ("ListTables", "{}"),
        ],
    },
    Duty {
        name: "prune",
        policy: include_str!("../../../../deploy/iam/prune.json"),
        late: &[],
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
    Duty {
        name: "drill",
        policy: include_str!("../../../../deploy/iam/drill.json"),
        late: &[],
        run: |site| Box::pin(site.drill()),
        foreign: &[
            ("DeleteTable", r#"{"TableName":"bank.account0000"}"#),
            ("DeleteTable", r#"{"TableName":"rp-x-bank.account0000"}"#),
            ("UpdateTable", r#"{"TableName":"bank.account0000","DeletionProtectionEnabled":false}"#),
            ("PutItem", r#"{"TableName":"bank.account0000","Item":{}}"#),
            ("Scan", r#"{"TableName":"bank.account0000"}"#),
            ("CreateBackup", r#"{"TableName":"drill-x-bank.account0000","BackupName":"mine"}"#),
            (
                "DeleteBackup",
                r#"{"BackupArn":"arn:aws:dynamodb:us-east-1:123456789012:table/rp-x-bank.account0000/backup/0-a"}"#,
            ),
            ("RestoreTableToPointInTime", r#"{"SourceTableName":"bank.account0000","TargetTableName":"bank.x"}"#),
        ],
    },
];

/// The sandbox has no keys that can be refused, and its account has the role of auto scaling from the beginning.
const BEYOND: [&str; 2] = ["kms:", "iam:CreateServiceLinkedRole"];

/// Whether AWS asks for the restore itself on its target is not documented; the sandbox asks for the rights to write there.
const ON_THE_TARGET: [&str; 2] = ["Replace", "dynamodb:RestoreTableFromBackup"];

/// A policy as a person who read its README would set it.
fn filled_in(policy: &str) -> Value {
    let text = policy.replace("REGION", "us-east-1").replace("ACCOUNT", "123456789012").replace("NAMESPACE", "bank");
    serde_json::from_str(&text).unwrap()
}

/// Every action of every Allow, with the statement that it stands in.
fn allowed(policy: &Value) -> Vec<(String, String)> {
    let statements = policy["Statement"].as_array().unwrap().iter().filter(|one| one["Effect"] == "Allow");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let actions = |one: &Value| one["Action"].as_array().unwrap().iter().map(text).collect::<Vec<_>>();
    statements.flat_map(|one| actions(one).into_iter().map(|action| (text(&one["Sid"]), action))).collect()
}

/// Takes the resources that hold this text out of these statements.
fn without_resources(policy: &Value, statements: &[&str], text: &str) -> Value {
    let mut policy = policy.clone();
    for statement in policy["Statement"].as_array_mut().unwrap() {
        if statements.contains(&statement["Sid"].as_str().unwrap()) {
            let resources = statement["Resource"].as_array_mut().unwrap();
            let before = resources.len();
            resources.retain(|one| !one.as_str().unwrap().contains(text));
            assert!(resources.len() < before, "{statements:?} has nothing of {text}");
        }
    }
    policy
}

/// The policy without one action of one statement.
fn without(policy: &Value, (sid, action): &(String, String)) -> Value {
    let mut policy = policy.clone();
    let statements = policy["Statement"].as_array_mut().unwrap();
    for statement in statements.iter_mut().filter(|one| one["Sid"] == **sid) {
        statement["Action"].as_array_mut().unwrap().retain(|one| one != action);
    }
    statements.retain(|one| one["Action"] != json!([]));
    policy
}

/// Where a duty was stopped.
#[derive(Debug)]
struct Stopped {
    /// What was said.
    said: String,
    /// What it had changed by then: operations, of which there is none where it was refused beforehand.
    changed: Vec<String>,
}

/// Runs a duty under a policy, on time of its own.
fn under(duty: &Duty, policy: &Value) -> Result<(), Stopped> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let site = Site::new().await;
        site.account.db.set_policy(KEY, Some(policy)).unwrap();
        let before = site.account.db.calls().len();
        (duty.run)(&site).await.map_err(|said| {
            let calls = site.account.db.calls().split_off(before);
            let changed = calls.into_iter().filter(|call| call.error.is_none() && !reads(&call.operation));
            Stopped { said, changed: changed.map(|call| call.operation).collect() }
        })
    })
}

fn reads(operation: &str) -> bool {
    ["Describe", "List", "Get", "BatchGet", "Scan", "Query"].iter().any(|verb| operation.starts_with(verb))
}

/// It suffices; without any one of its actions some step is refused, by name, and before anything is changed but for those
/// that cannot be asked beforehand; and nothing else goes.
fn holds(duty: &Duty) {
    let policy = filled_in(duty.policy);
    under(duty, &policy).unwrap_or_else(|stopped| panic!("{}: {stopped:#?}", duty.name));
    let beyond = |(sid, action): &(String, String)| {
        BEYOND.iter().any(|beyond| action.starts_with(beyond)) || ON_THE_TARGET == [sid, action]
    };
    let actions: Vec<_> = allowed(&policy).into_iter().filter(|one| !beyond(one)).collect();
    assert!(actions.iter().all(|(_, action)| !action.contains('*')), "{actions:?}");
    let late: Vec<String> = std::thread::scope(|scope| {
        let halves = actions.chunks(actions.len().div_ceil(2)).map(|half| {
            let policy = &policy;
            scope.spawn(move || half.iter().filter_map(|one| needed(duty, policy, one)).collect::<Vec<_>>())
        });
        let halves: Vec<_> = halves.collect();
        halves.into_iter().flat_map(|half| half.join().unwrap()).collect()
    });
    assert_eq!(late, duty.late, "{}: what is found to be missing only on the way", duty.name);
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

/// What a duty lacks without this action, when that is found only after something was changed.
fn needed(duty: &Duty, policy: &Value, one: &(String, String)) -> Option<String> {
    let (sid, action) = one;
    let what = format!("{sid} {action}");
    let Err(stopped) = under(duty, &without(policy, one)) else { panic!("{}: {what} is not needed", duty.name) };
    let named = format!("allow the IAM action {action} on ");
    assert!(stopped.said.contains(&named), "{}: without {what}: {stopped:#?}", duty.name);
    (!stopped.changed.is_empty()).then_some(what)
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
fn drill_needs_its_policy_and_no_more() {
    holds(&DUTIES[4]);
}

#[tokio::test]
async fn a_restore_is_put_back_under_its_policy() {
    let site = Site::new().await;
    site.account.db.set_policy(KEY, Some(&filled_in(DUTIES[1].policy))).unwrap();
    let id = site.account.table_id(A).await;
    site.restore_and_back(|| {}).await.unwrap();
    assert_ne!(site.account.table_id(A).await, id, "it was deleted, and is of its safety backup");
}

#[tokio::test]
async fn a_right_to_the_safety_backup_that_went_meanwhile_is_named_before_the_restore_turns_round() {
    let site = Site::new().await;
    let policy = filled_in(DUTIES[1].policy);
    site.account.db.set_policy(KEY, Some(&policy)).unwrap();
    let narrower = without_resources(&policy, &["FromBackups"], "table/bank.");
    let put_back = site.restore_and_back(|| site.account.db.set_policy(KEY, Some(&narrower)).unwrap()).await;
    let named = "allow the IAM action dynamodb:DescribeBackup on arn:aws:dynamodb:us-east-1:123456789012:table/bank.account0000/backup/";
    let text = put_back.unwrap_err();
    assert!(text.contains(named), "{text}");
}

/// A namespace that somebody forgot to add would be found when half of the tables are done.
#[tokio::test]
async fn a_namespace_that_a_policy_leaves_out_is_named_before_anything_is_done() {
    let site = Site::new().await;
    let (context, names) = (Context::default(), [A, COORDINATOR]);
    let recorded = site.recorded(&names);
    let leave_out = |duty: &Duty, statements: &[&str]| {
        let policy = without_resources(&filled_in(duty.policy), statements, "table/coordinator.");
        site.account.db.set_policy(KEY, Some(&policy)).unwrap();
    };
    let before = (site.account.tables().await, site.account.backups().await);
    leave_out(&DUTIES[0], &["RestoreToStaging"]);
    let work = Arc::clone(&site.provider).preparer().unwrap();
    let request = PrepareRequest { label: "nightly", at: site.at, sets: &recorded, capsules: &site.capsules };
    let units = work.units(&request).unwrap();
    let prepare = work.preflight(&context, &units).await.map(|_| ()).map_err(said);
    leave_out(&DUTIES[1], &["Replace"]);
    let restore = site.restore_units(&names).await.map(|_| ());
    leave_out(&DUTIES[1], &["Settings"]);
    let settings = site.restore_units(&names).await.map(|_| ());
    leave_out(&DUTIES[4], &["ToAPointInTime"]);
    let drill = site.copies(&recorded, &BTreeMap::new()).await.map(|_| ());
    for (refused, action) in [
        (prepare, "RestoreTableToPointInTime"),
        (restore, "RestoreTableFromBackup"),
        (settings, "UpdateTable"),
        (drill, "RestoreTableToPointInTime"),
    ] {
        let text = refused.expect_err(action);
        let target = action == "RestoreTableFromBackup";
        let named = match target {
            // What AWS asks for on the target stands in the same statement.
            true => "on arn:aws:dynamodb:us-east-1:123456789012:table/coordinator.state".to_owned(),
            false => format!("dynamodb:{action} on arn:aws:dynamodb:us-east-1:123456789012:table/coordinator.state"),
        };
        assert!(text.contains(&named), "{action}: {text}");
    }
    assert_eq!((site.account.tables().await, site.account.backups().await), before);
}

#[test]
fn every_operation_that_is_called_is_some_dutys() {
    let granted: BTreeSet<_> =
        DUTIES.iter().flat_map(|duty| allowed(&filled_in(duty.policy))).map(|(_, action)| action).collect();
    for operation in limits::ALL {
        assert!(granted.contains(&operation.action()), "no policy in deploy/iam allows {}", operation.action());
    }
}
