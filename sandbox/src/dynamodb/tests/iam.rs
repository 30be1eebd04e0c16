use ::http::Request;
use bytes::Bytes;

use super::*;

const TABLE: &str = "arn:aws:dynamodb:us-east-1:123456789012:table/src";

/// The error's name and text for a call signed with a key; empty if it was accepted.
fn said(bench: &Bench, key: &str, target: &str, body: &Value) -> (String, String) {
    let request = Request::post("/")
        .header("x-amz-target", target)
        .header("authorization", format!("AWS4-HMAC-SHA256 Credential={key}/20261123/us-east-1/dynamodb/aws4_request"))
        .body(Bytes::from(body.to_string()))
        .expect("a request");
    let answer = bench.db.http(request);
    let body: Value = serde_json::from_slice(answer.body()).expect("JSON");
    if answer.status().is_success() {
        return Default::default();
    }
    let name = body["__type"].as_str().unwrap_or_default().rsplit('#').next().unwrap_or_default().to_owned();
    (name, body["message"].as_str().unwrap_or_default().to_owned())
}

fn dynamodb(bench: &Bench, operation: &str, body: &Value) -> String {
    said(bench, "AKIDDUTY", &format!("DynamoDB_20120810.{operation}"), body).0
}

fn policy(statements: Value) -> Value {
    json!({ "Version": "2012-10-17", "Statement": statements })
}

fn under(statements: Value) -> Bench {
    let bench = Bench::quick();
    bench.table("src");
    bench.db.set_policy("AKIDDUTY", Some(&policy(statements))).expect("a policy");
    bench
}

#[test]
fn a_refusal_says_who_may_not_do_what_on_what_and_why() {
    let bench = under(json!([
        { "Effect": "Allow", "Action": "dynamodb:Describe*", "Resource": "*" },
        { "Effect": "Deny", "Action": "dynamodb:DeleteTable", "Resource": TABLE },
    ]));
    let say = |operation: &str| {
        said(&bench, "AKIDDUTY", &format!("DynamoDB_20120810.{operation}"), &json!({ "TableName": "src" }))
    };
    assert_eq!(say("DescribeTable"), Default::default());
    let (name, text) = say("Scan");
    assert_eq!(name, "AccessDeniedException");
    assert_eq!(
        text,
        "User: arn:aws:iam::123456789012:user/AKIDDUTY is not authorized to perform: dynamodb:Scan on resource: \
         arn:aws:dynamodb:us-east-1:123456789012:table/src because no identity-based policy allows the dynamodb:Scan action"
    );
    let (_, text) = say("DeleteTable");
    assert!(text.ends_with("with an explicit deny in an identity-based policy"), "{text}");
    assert_eq!(bench.status("src"), "ACTIVE");
    let refused = bench.db.calls().into_iter().filter(|call| call.error.as_deref() == Some("AccessDeniedException"));
    assert_eq!(refused.count(), 2, "refusals are calls too");
    let other = said(&bench, "AKIDOTHER", "DynamoDB_20120810.Scan", &json!({ "TableName": "src" }));
    assert_eq!(other, Default::default(), "a key without a policy may do everything");
    bench.db.set_policy("AKIDDUTY", None).expect("none");
    assert_eq!(say("Scan"), Default::default());
}

#[test]
fn resources_are_tables_indexes_backups_and_everything() {
    let bench = under(json!([
        { "Effect": "Allow", "Action": "dynamodb:*", "Resource": [format!("{TABLE}/backup/*"), format!("{TABLE}/index/?")] },
        { "Effect": "Allow", "Action": "dynamodb:CreateBackup", "Resource": TABLE },
    ]));
    let refused = |operation: &str, body: Value| dynamodb(&bench, operation, &body) == "AccessDeniedException";
    assert!(!refused("CreateBackup", json!({ "TableName": "src", "BackupName": "one" })));
    assert!(!refused("CreateBackup", json!({ "TableName": TABLE, "BackupName": "two" })));
    let arn = bench.ok("ListBackups", json!({}))["BackupSummaries"][0]["BackupArn"].clone();
    assert!(!refused("DescribeBackup", json!({ "BackupArn": arn })));
    assert!(
        !refused("Query", json!({ "TableName": "src", "IndexName": "i" })),
        "an index that is not there is another error"
    );
    assert!(refused("Query", json!({ "TableName": "src", "IndexName": "long" })));
    assert!(refused("Query", json!({ "TableName": "src" })));
    assert!(refused("ListBackups", json!({})) && refused("ListTables", json!({})), "these are about no resource");
    assert!(refused("DescribeTable", json!({ "TableName": "other" })));
}

#[test]
fn a_restore_needs_its_source_and_the_items_of_its_target() {
    let data = ["BatchWriteItem", "PutItem", "UpdateItem", "DeleteItem", "GetItem", "Query", "Scan"];
    let on_target = |actions: &[&str]| {
        let actions: Vec<_> = actions.iter().map(|action| format!("dynamodb:{action}")).collect();
        json!([
            { "Effect": "Allow", "Action": "dynamodb:RestoreTableFromBackup", "Resource": format!("{TABLE}/backup/*") },
            { "Effect": "Allow", "Action": actions, "Resource": "arn:aws:dynamodb:us-east-1:123456789012:table/new" },
        ])
    };
    for missing in data {
        let rest: Vec<_> = data.into_iter().filter(|action| *action != missing).collect();
        let bench = under(on_target(&rest));
        let made = bench.ok("CreateBackup", json!({ "TableName": "src", "BackupName": "one" }));
        let body = json!({ "BackupArn": made["BackupDetails"]["BackupArn"], "TargetTableName": "new" });
        let (_, text) = said(&bench, "AKIDDUTY", "DynamoDB_20120810.RestoreTableFromBackup", &body);
        assert!(text.contains(&format!("perform: dynamodb:{missing} on")) && text.contains("table/new"), "{text}");
        bench.db.set_policy("AKIDDUTY", Some(&policy(on_target(&data)))).expect("a policy");
        assert_eq!(dynamodb(&bench, "RestoreTableFromBackup", &body), "");
    }
}

#[test]
fn conditions_ask_for_the_service_namespace_and_alarms_are_the_callers() {
    let bench = under(json!([
        { "Effect": "Allow", "Action": "application-autoscaling:*", "Resource": "*",
          "Condition": { "StringEquals": { "application-autoscaling:service-namespace": "dynamodb" } } },
    ]));
    let id = json!({ "ServiceNamespace": "dynamodb", "ResourceId": "table/src", "MinCapacity": 1, "MaxCapacity": 2,
        "ScalableDimension": "dynamodb:table:ReadCapacityUnits" });
    let call =
        |operation: &str, body: &Value| said(&bench, "AKIDDUTY", &format!("AnyScaleFrontendService.{operation}"), body);
    assert_eq!(call("RegisterScalableTarget", &id), Default::default());
    let (_, text) = call("PutScalingPolicy", &id);
    assert!(text.contains("cloudwatch:PutMetricAlarm"), "{text}");
    let (_, text) = call("DescribeScalableTargets", &id);
    assert!(
        text.contains("DescribeScalableTargets on resource: *"),
        "a Describe call has no namespace to ask for: {text}"
    );
}

#[test]
fn what_is_not_understood_is_refused_whole() {
    let bench = Bench::quick();
    let allow = json!({ "Effect": "Allow", "Action": "dynamodb:*", "Resource": "*" });
    for (member, value) in [
        ("Effect", json!("Perhaps")),
        ("Action", json!("*Table")),
        ("Action", json!([])),
        ("NotAction", json!("dynamodb:Scan")),
        ("Principal", json!("*")),
        ("Condition", json!({ "IpAddress": { "aws:SourceIp": "10.0.0.0/8" } })),
    ] {
        let mut statement = allow.clone();
        statement[member] = value;
        assert!(bench.db.set_policy("AKIDDUTY", Some(&policy(json!([statement])))).is_err(), "{member}");
    }
    assert!(bench.db.set_policy("AKIDDUTY", Some(&json!({ "Statement": [allow] }))).is_err(), "Version");
}
