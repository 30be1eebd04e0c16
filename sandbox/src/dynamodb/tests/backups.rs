use super::*;

fn backup(bench: &Bench, table: &str) -> String {
    let answer = bench.ok("CreateBackup", json!({ "TableName": table, "BackupName": "nightly" }));
    answer["BackupDetails"]["BackupArn"].as_str().expect("an ARN").to_owned()
}

fn named(arn: &str) -> Value {
    json!({ "BackupArn": arn })
}

fn restore(arn: &str, target: &str) -> Value {
    json!({ "BackupArn": arn, "TargetTableName": target })
}

fn listed(bench: &Bench, filter: Value) -> Vec<String> {
    let answer = bench.ok("ListBackups", filter);
    let name = |one: &Value| one["BackupName"].as_str().unwrap_or_default().to_owned();
    answer["BackupSummaries"].as_array().into_iter().flatten().map(name).collect()
}

#[test]
fn a_backup_is_the_table_at_the_request_and_outlives_it() {
    let bench = Bench::real();
    bench.table("src");
    bench.put("src", "a", "1");
    let arn = backup(&bench, "src");
    assert!(arn.starts_with(&format!("{}/backup/0", bench.arn("src"))), "{arn}");
    bench.put("src", "a", "2");
    let status = |arn: &str| {
        let answer = bench.ok("DescribeBackup", named(arn));
        answer["BackupDescription"]["BackupDetails"]["BackupStatus"].clone()
    };
    assert_eq!(status(&arn), "CREATING");
    assert_eq!(bench.refused("RestoreTableFromBackup", restore(&arn, "dst")), "BackupInUseException");
    bench.pass(30.0);
    assert_eq!(status(&arn), "AVAILABLE");
    let described = bench.ok("DescribeBackup", named(&arn))["BackupDescription"].clone();
    assert_eq!(described["SourceTableDetails"]["TableId"], bench.describe("src")["TableId"]);
    assert_eq!(described["SourceTableDetails"]["BillingMode"], "PAY_PER_REQUEST");

    bench.ok("DeleteTable", json!({ "TableName": "src" }));
    assert_eq!(bench.refused("RestoreTableFromBackup", restore(&arn, "src")), "TableAlreadyExistsException");
    bench.pass(6.0);
    assert_eq!(listed(&bench, json!({ "TableName": "src" })), ["nightly"]);
    bench.ok("RestoreTableFromBackup", restore(&arn, "src"));
    let creating = bench.describe("src");
    assert_eq!(creating["RestoreSummary"]["SourceBackupArn"], arn);
    assert_eq!(creating["RestoreSummary"]["SourceTableArn"], bench.arn("src"));
    bench.pass(721.0);
    assert_eq!(bench.contents("src"), "a=1");
}

#[test]
fn a_backup_feeds_one_restore_at_a_time_and_cannot_go_meanwhile() {
    let bench = Bench::real();
    bench.table("src");
    let arn = backup(&bench, "src");
    bench.pass(30.0);
    bench.ok("RestoreTableFromBackup", restore(&arn, "one"));
    assert_eq!(bench.refused("RestoreTableFromBackup", restore(&arn, "two")), "BackupInUseException");
    assert_eq!(bench.refused("DeleteBackup", named(&arn)), "BackupInUseException");
    bench.pass(721.0);
    bench.ok("RestoreTableFromBackup", restore(&arn, "two"));
    bench.pass(721.0);
    let gone = bench.ok("DeleteBackup", named(&arn));
    assert_eq!(gone["BackupDescription"]["BackupDetails"]["BackupStatus"], "DELETED");
    for operation in ["DescribeBackup", "DeleteBackup"] {
        assert_eq!(bench.refused(operation, named(&arn)), "BackupNotFoundException");
    }
    assert_eq!(bench.refused("RestoreTableFromBackup", restore(&arn, "tri")), "BackupNotFoundException");
}

#[test]
fn only_the_account_of_a_backup_arn_matters_and_its_shape() {
    let bench = Bench::quick();
    bench.table("src");
    let arn = backup(&bench, "src");
    bench.ok("DescribeBackup", named(&arn.replace("us-east-1", "eu-west-1")));
    assert_eq!(bench.refused("DescribeBackup", named(&arn.replace("123456789012", "1"))), "AccessDeniedException");
    assert_eq!(bench.refused("DescribeBackup", named("arn:aws:dynamodb:nonsense")), "ValidationException");
    assert_eq!(
        bench.refused("CreateBackup", json!({ "TableName": "src", "BackupName": "a b" })),
        "ValidationException"
    );
    assert_eq!(
        bench.refused("CreateBackup", json!({ "TableName": "none", "BackupName": "bbb" })),
        "TableNotFoundException"
    );
}

#[test]
fn deleting_a_table_with_recovery_leaves_a_system_backup() {
    let bench = Bench::real();
    bench.table("src");
    bench.recovery("src", true);
    bench.put("src", "a", "1");
    bench.ok("DeleteTable", json!({ "TableName": "src" }));
    let all = json!({ "BackupType": "ALL" });
    assert_eq!(listed(&bench, all.clone()), Vec::<String>::new());
    bench.pass(10.0);
    assert_eq!(listed(&bench, json!({})), Vec::<String>::new());
    assert_eq!(listed(&bench, all), ["src$DeletedTableBackup"]);
    let found = bench.ok("ListBackups", json!({ "BackupType": "SYSTEM" }))["BackupSummaries"][0].clone();
    let arn = found["BackupArn"].as_str().expect("an ARN");
    assert!(found["BackupExpiryDateTime"].as_f64() > found["BackupCreationDateTime"].as_f64());
    assert_eq!(bench.refused("DeleteBackup", named(arn)), "ValidationException");
    bench.ok("RestoreTableFromBackup", restore(arn, "src"));
    bench.pass(721.0);
    assert_eq!(bench.contents("src"), "a=1");
    bench.pass(35.0 * 86_400.0);
    assert_eq!(bench.refused("DescribeBackup", named(arn)), "BackupNotFoundException");
}

#[test]
fn recovery_forgets_a_table_soon_after_its_deletion_and_off_means_no_system_backup() {
    let bench = Bench::real();
    for name in ["one", "two"] {
        bench.table(name);
        bench.recovery(name, true);
        bench.ok("DeleteTable", json!({ "TableName": name }));
    }
    bench.recovery("two", false);
    bench.pass(1.5);
    assert_eq!(bench.refused("DescribeContinuousBackups", json!({ "TableName": "one" })), "TableNotFoundException");
    bench.pass(10.0);
    assert_eq!(listed(&bench, json!({ "BackupType": "SYSTEM" })), ["one$DeletedTableBackup"]);
}

#[test]
fn lists_are_paged_and_filtered_and_a_full_last_page_names_an_empty_one() {
    let bench = Bench::quick();
    bench.table("one");
    bench.table("two");
    let mut times = Vec::new();
    for table in ["one", "one", "two", "one"] {
        times.push(names::seconds(bench.now()));
        backup(&bench, table);
        bench.pass(10.0);
    }
    let count = |filter: Value| listed(&bench, filter).len();
    assert_eq!(count(json!({})), 4);
    assert_eq!(count(json!({ "TableName": "one" })), 3);
    assert_eq!(count(json!({ "TimeRangeLowerBound": times[1], "TimeRangeUpperBound": times[3] })), 2);
    let first = bench.ok("ListBackups", json!({ "TableName": "one", "Limit": 3 }));
    let last = &first["LastEvaluatedBackupArn"];
    assert!(last.is_string());
    let second = bench.ok("ListBackups", json!({ "TableName": "one", "Limit": 3, "ExclusiveStartBackupArn": last }));
    assert_eq!(second, json!({ "BackupSummaries": [] }));
}

#[test]
fn a_restored_table_keeps_what_restores_keep_and_loses_the_rest() {
    let bench = Bench::quick();
    let mut body = recovery::with_index("src");
    body["SSESpecification"] = json!({ "Enabled": true });
    body["OnDemandThroughput"] = json!({ "MaxReadRequestUnits": 7 });
    body["TableClass"] = "STANDARD_INFREQUENT_ACCESS".into();
    body["DeletionProtectionEnabled"] = true.into();
    body["StreamSpecification"] = json!({ "StreamEnabled": true, "StreamViewType": "KEYS_ONLY" });
    body["Tags"] = json!([{ "Key": "team", "Value": "x" }]);
    body["ResourcePolicy"] = r#"{"Statement":[]}"#.into();
    bench.ok("CreateTable", body);
    let ttl = json!({ "TableName": "src", "TimeToLiveSpecification": { "Enabled": true, "AttributeName": "e" } });
    bench.ok("UpdateTimeToLive", ttl);
    bench.recovery("src", true);
    bench.pass(310.0);
    bench.restore("src", "pitr", whole(bench.now() - 305 * SECOND)).expect("restorable");
    bench.ok("RestoreTableFromBackup", restore(&backup(&bench, "src"), "back"));
    let source = bench.describe("src");
    for target in ["pitr", "back"] {
        let table = bench.describe(target);
        for kept in ["KeySchema", "AttributeDefinitions", "OnDemandThroughput", "SSEDescription", "BillingModeSummary"]
        {
            assert_eq!(table[kept], source[kept], "{kept}");
        }
        assert_eq!(table["GlobalSecondaryIndexes"][0]["IndexName"], "by_v");
        assert_eq!(table["DeletionProtectionEnabled"], false);
        for lost in ["TableClassSummary", "StreamSpecification", "LatestStreamArn"] {
            assert_eq!(table.get(lost), None, "{lost}");
        }
        let arn = json!({ "ResourceArn": bench.arn(target) });
        assert_eq!(bench.ok("ListTagsOfResource", arn.clone())["Tags"], json!([]));
        assert_eq!(bench.refused("GetResourcePolicy", arn), "PolicyNotFoundException");
        let ttl = bench.ok("DescribeTimeToLive", json!({ "TableName": target }));
        assert_eq!(ttl["TimeToLiveDescription"], json!({ "TimeToLiveStatus": "DISABLED" }));
    }
}

#[test]
fn overrides_follow_their_rules() {
    let bench = Bench::quick();
    bench.ok("CreateTable", recovery::with_index("src"));
    let arn = backup(&bench, "src");
    let with = |target: &str, member: &str, value: Value| {
        let mut body = restore(&arn, target);
        body[member] = value;
        body
    };
    let units = json!({ "ReadCapacityUnits": 5, "WriteCapacityUnits": 5 });
    for wrong in [
        with("dst", "ProvisionedThroughputOverride", units.clone()),
        with("dst", "BillingModeOverride", "PROVISIONED".into()),
        with("dst", "OnDemandThroughputOverride", json!({ "MaxReadRequestUnits": 0 })),
        with("dst", "GlobalSecondaryIndexOverride", json!([{ "IndexName": "new", "KeySchema": [], "Projection": {} }])),
    ] {
        assert_eq!(bench.refused("RestoreTableFromBackup", wrong.clone()), "ValidationException", "{wrong}");
    }
    bench.ok("RestoreTableFromBackup", with("bare", "GlobalSecondaryIndexOverride", json!([])));
    let bare = bench.describe("bare");
    assert_eq!(bare.get("GlobalSecondaryIndexes"), None);
    assert_eq!(bare["AttributeDefinitions"].as_array().map(Vec::len), Some(1));
    let mut billed = with("billed", "BillingModeOverride", "PROVISIONED".into());
    billed["ProvisionedThroughputOverride"] = units;
    bench.ok("RestoreTableFromBackup", billed);
    assert_eq!(bench.describe("billed")["ProvisionedThroughput"]["ReadCapacityUnits"], 5);
    // An empty structure is answered by an error, and yet the restore runs.
    let empty = with("half", "OnDemandThroughputOverride", json!({}));
    assert_eq!(bench.refused("RestoreTableFromBackup", empty), "TableInUseException");
    bench.describe("half");
}
