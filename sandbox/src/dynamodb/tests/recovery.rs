use super::*;

fn window(bench: &Bench, table: &str) -> Value {
    let answer = bench.ok("DescribeContinuousBackups", json!({ "TableName": table }));
    answer["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"].clone()
}

#[test]
fn the_latest_restorable_time_waits_at_the_enable_time_and_then_follows_300_seconds_behind() {
    let bench = Bench::real();
    bench.table("src");
    let enabled = names::seconds(bench.now());
    bench.recovery("src", true);
    bench.pass(299.0);
    let first = window(&bench, "src");
    assert_eq!(first["EarliestRestorableDateTime"], enabled);
    assert_eq!(first["LatestRestorableDateTime"], enabled);
    assert_eq!(first["RecoveryPeriodInDays"], 35);
    bench.pass(101.0);
    let later = window(&bench, "src");
    assert_eq!(later["EarliestRestorableDateTime"], enabled);
    assert_eq!(later["LatestRestorableDateTime"], names::seconds(bench.now() - 300 * SECOND));
    bench.pass(36.0 * 86_400.0);
    assert_eq!(window(&bench, "src")["EarliestRestorableDateTime"], names::seconds(bench.now() - 35 * 86_400 * SECOND));
}

#[test]
fn a_disabled_recovery_says_nothing_but_its_status() {
    let bench = Bench::real();
    bench.table("src");
    bench.recovery("src", true);
    bench.recovery("src", false);
    let answer = bench.ok("DescribeContinuousBackups", json!({ "TableName": "src" }));
    assert_eq!(answer["ContinuousBackupsDescription"]["ContinuousBackupsStatus"], "ENABLED");
    assert_eq!(window(&bench, "src"), json!({ "PointInTimeRecoveryStatus": "DISABLED" }));
    assert_eq!(
        bench.restore("src", "dst", whole(bench.now())).unwrap_err().code,
        "PointInTimeRecoveryUnavailableException"
    );
}

#[test]
fn enabling_again_keeps_the_window_but_off_and_on_starts_a_new_one() {
    let bench = Bench::quick();
    bench.table("src");
    bench.recovery("src", true);
    let first = window(&bench, "src")["EarliestRestorableDateTime"].clone();
    bench.pass(50.0);
    bench.recovery("src", true);
    assert_eq!(window(&bench, "src")["EarliestRestorableDateTime"], first);
    bench.recovery("src", false);
    bench.recovery("src", true);
    assert_eq!(window(&bench, "src")["EarliestRestorableDateTime"], names::seconds(bench.now()));
}

#[test]
fn a_restore_gives_the_items_of_that_second_and_nothing_later() {
    let bench = Bench::quick();
    bench.table("src");
    bench.put("src", "before", "0");
    bench.recovery("src", true);
    bench.pass(10.0);
    bench.put("src", "a", "1");
    bench.put("src", "b", "1");
    bench.pass(10.0);
    let t = whole(bench.now());
    bench.pass(10.0);
    bench.put("src", "a", "2");
    bench.ok("DeleteItem", json!({ "TableName": "src", "Key": { "k": { "S": "b" } } }));
    bench.ok(
        "UpdateItem",
        json!({
            "TableName": "src", "Key": { "k": { "S": "before" } }, "UpdateExpression": "SET v = :v",
            "ExpressionAttributeValues": { ":v": { "S": "9" } },
        }),
    );
    bench.pass(300.0);
    bench.restore("src", "dst", t).expect("restorable");
    assert_eq!(bench.contents("dst"), "a=1 b=1 before=0");
    bench.restore("src", "now", whole(bench.now() - 300 * SECOND)).expect("restorable");
    assert_eq!(bench.contents("now"), "a=2 before=9");
    assert_eq!(bench.contents("src"), "a=2 before=9");
}

#[test]
fn batches_and_transactions_are_remembered_and_a_repeated_token_is_not() {
    let bench = Bench::quick();
    bench.table("src");
    bench.recovery("src", true);
    let item = |key: &str| json!({ "k": { "S": key }, "v": { "S": "1" } });
    bench.pass(5.0);
    bench.ok(
        "BatchWriteItem",
        json!({ "RequestItems": { "src": [{ "PutRequest": { "Item": item("a") } }, { "PutRequest": { "Item": item("b") } }] } }),
    );
    let transaction = json!({
        "ClientRequestToken": "once",
        "TransactItems": [
            { "Put": { "TableName": "src", "Item": item("c") } },
            { "Delete": { "TableName": "src", "Key": { "k": { "S": "a" } } } },
            { "ConditionCheck": {
                "TableName": "src", "Key": { "k": { "S": "b" } }, "ConditionExpression": "attribute_exists(k)",
            } },
        ],
    });
    bench.ok("TransactWriteItems", transaction.clone());
    bench.ok("TransactWriteItems", transaction);
    assert_eq!(bench.db.writes().len(), 4);
    bench.pass(305.0);
    bench.restore("src", "dst", whole(bench.now() - 301 * SECOND)).expect("restorable");
    assert_eq!(bench.contents("dst"), "b=1 c=1");
}

#[test]
fn a_failed_condition_leaves_no_trace() {
    let bench = Bench::quick();
    bench.table("src");
    bench.put("src", "a", "1");
    let refused = bench.call(
        "PutItem",
        json!({
            "TableName": "src", "Item": { "k": { "S": "a" } }, "ConditionExpression": "attribute_not_exists(k)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }),
    );
    let error = refused.unwrap_err();
    assert_eq!(error.code, "ConditionalCheckFailedException");
    assert_eq!(error.details["Item"]["v"]["S"], "1");
    assert_eq!(bench.db.writes().len(), 1);
}

#[test]
fn every_table_has_its_own_clock_and_a_restore_goes_by_it() {
    let config = Config { lags: Lags::none(), limits: false, ..Config::default() };
    for boundary in Boundary::ALL {
        let bench = Bench::new(Config { boundary, ..config.clone() });
        let skews: Vec<i64> = ["ta.x", "tb.x", "accounts", "coordinator.state"]
            .into_iter()
            .map(|name| {
                bench.table(name);
                bench.recovery(name, true);
                bench.db.table_skew_ns(name).expect("a table")
            })
            .collect();
        assert!(skews.iter().any(|skew| *skew > 0) && skews.iter().any(|skew| *skew < 0), "{skews:?}");
        assert!(skews.iter().all(|skew| skew.abs() <= 300_000_000));
        // Ten writes in each of two seconds, to every table at the same moments.
        bench.pass(1.0);
        for n in 0..20 {
            for name in ["ta.x", "tb.x", "accounts", "coordinator.state"] {
                bench.put(name, "k", &n.to_string());
            }
            bench.pass(0.1);
        }
        bench.pass(400.0);
        let t = bench.db.writes()[0].history_ns.div_euclid(SECOND) + 1;
        for name in ["ta.x", "tb.x", "accounts", "coordinator.state"] {
            let target = format!("r-{name}");
            #[allow(clippy::cast_precision_loss)]
            bench.restore(name, &target, t as f64).expect("restorable");
            let left_out = boundary.first_left_out(t * SECOND);
            let writes = bench.db.writes();
            let last = writes.iter().filter(|write| write.table == name && write.history_ns < left_out).count() - 1;
            assert_eq!(bench.contents(&target), format!("k={last}"), "{boundary:?} {name}");
        }
    }
}

#[test]
fn a_restore_checks_its_shape_then_the_switch_then_the_window_then_the_target() {
    let bench = Bench::quick();
    bench.table("src");
    bench.table("taken");
    let code = |at: f64, target: &str| bench.restore("src", target, at).unwrap_err().code;
    assert_eq!(code(1.0, "xx"), "ValidationException");
    assert_eq!(code(1.0, "taken"), "PointInTimeRecoveryUnavailableException");
    bench.recovery("src", true);
    assert_eq!(code(1.0, "taken"), "InvalidRestoreTimeException");
    assert_eq!(code(whole(bench.now()) + 5.0, "taken"), "InvalidRestoreTimeException");
    bench.pass(400.0);
    let t = whole(bench.now() - 310 * SECOND);
    assert_eq!(code(t, "taken"), "TableAlreadyExistsException");
    assert_eq!(bench.restore("missing", "taken", t).unwrap_err().code, "TableNotFoundException");
    assert_eq!(
        bench.refused("RestoreTableToPointInTime", json!({ "SourceTableName": "src", "TargetTableName": "new" })),
        "ValidationException"
    );
    let both = json!({
        "SourceTableName": "src", "TargetTableName": "new", "RestoreDateTime": t, "UseLatestRestorableTime": true,
    });
    assert_eq!(bench.refused("RestoreTableToPointInTime", both), "ValidationException");
    let elsewhere = bench.arn("src").replace("us-east-1", "eu-west-1");
    let elsewhere = json!({ "SourceTableArn": elsewhere, "TargetTableName": "new", "RestoreDateTime": t });
    assert_eq!(bench.refused("RestoreTableToPointInTime", elsewhere), "TableNotFoundException");
    let message = bench.restore("src", "new", 1.0).unwrap_err().message;
    assert!(message.contains("between"), "{message}");
}

#[test]
fn a_table_being_restored_only_answers_describe_table() {
    let bench = Bench::real();
    bench.ok("CreateTable", with_index("src"));
    bench.pass(20.0);
    bench.recovery("src", true);
    bench.put("src", "a", "1");
    bench.pass(320.0);
    let t = whole(bench.now() - 310 * SECOND);
    bench.restore("src", "dst", t).expect("restorable");

    let creating = bench.describe("dst");
    assert_eq!(creating["TableStatus"], "CREATING");
    assert_eq!(creating["RestoreSummary"]["SourceTableArn"], bench.arn("src"));
    assert_eq!(creating["RestoreSummary"]["RestoreDateTime"], t);
    assert_eq!(creating["RestoreSummary"]["RestoreInProgress"], true);
    assert_eq!(creating["GlobalSecondaryIndexes"][0].get("IndexStatus"), None);
    assert_eq!(bench.restore("src", "dst", t).unwrap_err().code, "TableInUseException");
    let table = json!({ "TableName": "dst" });
    let arn = json!({ "ResourceArn": bench.arn("dst") });
    for (operation, body) in [
        ("GetItem", json!({ "TableName": "dst", "Key": { "k": { "S": "a" } } })),
        ("ListTagsOfResource", arn.clone()),
        ("GetResourcePolicy", arn),
        ("DescribeTimeToLive", table.clone()),
        ("DescribeContributorInsights", table.clone()),
        ("UpdateTable", json!({ "TableName": "dst", "DeletionProtectionEnabled": true })),
    ] {
        assert_eq!(bench.refused(operation, body), "ResourceNotFoundException", "{operation}");
    }
    assert_eq!(bench.refused("DescribeContinuousBackups", table.clone()), "TableNotFoundException");
    let backup = json!({ "TableName": "dst", "BackupName": "bbb" });
    assert_eq!(bench.refused("CreateBackup", backup), "TableNotFoundException");
    assert_eq!(bench.refused("DeleteTable", table), "ResourceInUseException");

    bench.pass(80.0);
    assert_eq!(bench.status("dst"), "CREATING");
    bench.pass(650.0);
    let active = bench.describe("dst");
    assert_eq!(active["TableStatus"], "ACTIVE");
    assert_eq!(active.get("RestoreSummary"), None);
    assert_eq!(active["GlobalSecondaryIndexes"][0]["IndexStatus"], "ACTIVE");
    assert_ne!(active["TableId"], bench.describe("src")["TableId"]);
    assert_eq!(bench.contents("dst"), "a=1");
    let found = bench.ok(
        "Query",
        json!({
            "TableName": "dst", "IndexName": "by_v", "KeyConditionExpression": "v = :v",
            "ExpressionAttributeValues": { ":v": { "S": "1" } },
        }),
    );
    assert_eq!(found["Count"], 1);
    assert_eq!(window(&bench, "dst")["PointInTimeRecoveryStatus"], "DISABLED");
}

pub(super) fn with_index(name: &str) -> Value {
    let mut body = simple(name);
    body["AttributeDefinitions"] = json!([
        { "AttributeName": "k", "AttributeType": "S" }, { "AttributeName": "v", "AttributeType": "S" },
    ]);
    body["GlobalSecondaryIndexes"] = json!([{
        "IndexName": "by_v",
        "KeySchema": [{ "AttributeName": "v", "KeyType": "HASH" }],
        "Projection": { "ProjectionType": "ALL" },
    }]);
    body
}

#[test]
fn recovery_is_unavailable_for_some_seconds_after_active() {
    let lags = Lags { create: (5.0, 5.0), backups_ready: (6.0, 6.0), ..Lags::none() };
    let bench = Bench::new(Config { lags, ..Config::default() });
    bench.ok("CreateTable", simple("src"));
    let enable = json!({
        "TableName": "src", "PointInTimeRecoverySpecification": { "PointInTimeRecoveryEnabled": true },
    });
    assert_eq!(bench.refused("UpdateContinuousBackups", enable.clone()), "TableNotFoundException");
    bench.pass(5.0);
    assert_eq!(bench.refused("UpdateContinuousBackups", enable.clone()), "ContinuousBackupsUnavailableException");
    let answer = bench.ok("DescribeContinuousBackups", json!({ "TableName": "src" }));
    assert_eq!(answer["ContinuousBackupsDescription"]["ContinuousBackupsStatus"], "DISABLED");
    bench.pass(6.0);
    bench.ok("UpdateContinuousBackups", enable);
}

#[test]
fn the_fifty_first_restore_at_once_is_refused() {
    let lags = Lags { restore: (100.0, 100.0), ..Lags::none() };
    let bench = Bench::new(Config { lags, ..Config::default() });
    bench.table("src");
    bench.recovery("src", true);
    bench.pass(310.0);
    let t = whole(bench.now() - 305 * SECOND);
    for n in 0..50 {
        bench.restore("src", &format!("r-{n}"), t).expect("room");
        bench.pass(0.1);
    }
    assert_eq!(bench.restore("src", "r-50", t).unwrap_err().code, "LimitExceededException");
    bench.pass(96.0);
    bench.restore("src", "r-50", t).expect("room again");
}

#[test]
fn lags_are_scaled_but_clocks_are_not() {
    let bench = Bench::new(Config { time_scale: 60.0, table_skew: Duration::ZERO, ..Config::default() });
    bench.ok("CreateTable", simple("src"));
    bench.pass(1.0);
    bench.recovery("src", true);
    bench.pass(100.0);
    assert_eq!(window(&bench, "src")["LatestRestorableDateTime"], names::seconds(bench.now() - 5 * SECOND));
    bench.restore("src", "dst", whole(bench.now() - 6 * SECOND)).expect("restorable");
    bench.pass(1.0);
    assert_eq!(bench.status("dst"), "CREATING");
    bench.pass(12.0);
    assert_eq!(bench.status("dst"), "ACTIVE");
}
