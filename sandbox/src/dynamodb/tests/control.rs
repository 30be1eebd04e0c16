use super::*;

fn provisioned(name: &str) -> Value {
    let mut body = recovery::with_index(name);
    let units = json!({ "ReadCapacityUnits": 10, "WriteCapacityUnits": 10 });
    body["BillingMode"] = "PROVISIONED".into();
    body["ProvisionedThroughput"] = units.clone();
    body["GlobalSecondaryIndexes"][0]["ProvisionedThroughput"] = units;
    body
}

fn update(table: &str, change: Value) -> Value {
    let mut body = change;
    body["TableName"] = table.into();
    body
}

#[test]
fn a_table_is_created_used_and_deleted_with_its_states_in_between() {
    let bench = Bench::real();
    let created = bench.ok("CreateTable", provisioned("src"));
    assert_eq!(created["TableDescription"]["TableStatus"], "CREATING");
    assert_eq!(bench.refused("CreateTable", provisioned("src")), "ResourceInUseException");
    assert_eq!(bench.refused("PutItem", json!({ "TableName": "src", "Item": {} })), "ResourceNotFoundException");
    assert_eq!(bench.refused("DeleteTable", json!({ "TableName": "src" })), "ResourceInUseException");
    bench.pass(10.0);
    let table = bench.describe("src");
    assert_eq!(table["TableStatus"], "ACTIVE");
    assert_eq!(table["TableArn"], bench.arn("src"));
    assert_eq!(table.get("BillingModeSummary"), None);
    assert_eq!(table.get("TableClassSummary"), None);
    assert_eq!(table.get("SSEDescription"), None);
    assert_eq!(table["ProvisionedThroughput"]["ReadCapacityUnits"], 10);
    assert_eq!(table["GlobalSecondaryIndexes"][0]["IndexStatus"], "ACTIVE");
    assert_eq!(table["DeletionProtectionEnabled"], false);
    let id = table["TableId"].clone();

    bench.ok("DeleteTable", json!({ "TableName": "src" }));
    assert_eq!(bench.status("src"), "DELETING");
    assert_eq!(bench.refused("DeleteTable", json!({ "TableName": "src" })), "ResourceInUseException");
    assert_eq!(bench.refused("CreateTable", provisioned("src")), "ResourceInUseException");
    bench.pass(6.0);
    assert_eq!(bench.refused("DescribeTable", json!({ "TableName": "src" })), "ResourceNotFoundException");
    bench.ok("CreateTable", provisioned("src"));
    assert_ne!(bench.describe("src")["TableId"], id);
}

#[test]
fn wrong_tables_are_refused() {
    let bench = Bench::quick();
    let mut without_capacity = provisioned("src");
    without_capacity.as_object_mut().expect("an object").remove("ProvisionedThroughput");
    let mut both = simple("src");
    both["ProvisionedThroughput"] = json!({ "ReadCapacityUnits": 1, "WriteCapacityUnits": 1 });
    let mut unused = simple("src");
    unused["AttributeDefinitions"] = recovery::with_index("src")["AttributeDefinitions"].clone();
    for wrong in [without_capacity, both, unused, simple("a"), simple("with space"), json!({})] {
        assert_eq!(bench.refused("CreateTable", wrong.clone()), "ValidationException", "{wrong}");
    }
    assert_eq!(bench.refused("Bogus", json!({})), "UnknownOperationException");
    assert_eq!(bench.db.call("Other.PutItem", json!({})).unwrap_err().code, "UnknownOperationException");
    assert_eq!(bench.refused("PutItem", json!({ "TableName": "none", "Item": {} })), "ResourceNotFoundException");
}

#[test]
fn tables_are_listed_by_pages_of_at_most_100() {
    let bench = Bench::quick();
    (0..120).for_each(|n| drop(bench.ok("CreateTable", simple(&format!("t{n:03}")))));
    let first = bench.ok("ListTables", json!({}));
    assert_eq!(first["TableNames"].as_array().map(Vec::len), Some(100));
    assert_eq!(first["LastEvaluatedTableName"], "t099");
    let second = bench.ok("ListTables", json!({ "ExclusiveStartTableName": "t099" }));
    assert_eq!(second["TableNames"].as_array().map(Vec::len), Some(20));
    assert_eq!(second.get("LastEvaluatedTableName"), None);
    assert_eq!(bench.refused("ListTables", json!({ "Limit": 101 })), "ValidationException");
}

#[test]
fn deletion_protection_stands_in_the_way_and_toggles_once_in_15_seconds() {
    let bench = Bench::real();
    bench.table("src");
    let protect = |on: bool| update("src", json!({ "DeletionProtectionEnabled": on }));
    bench.ok("UpdateTable", protect(true));
    assert_eq!(bench.refused("DeleteTable", json!({ "TableName": "src" })), "ValidationException");
    assert_eq!(bench.refused("UpdateTable", protect(false)), "ThrottlingException");
    bench.pass(15.0);
    bench.ok("UpdateTable", protect(false));
    bench.ok("DeleteTable", json!({ "TableName": "src" }));
}

#[test]
fn one_kind_of_change_at_a_time_and_none_while_updating() {
    let bench = Bench::real();
    bench.table("src");
    let two = json!({ "TableClass": "STANDARD_INFREQUENT_ACCESS", "DeletionProtectionEnabled": true });
    assert_eq!(bench.refused("UpdateTable", update("src", two)), "ValidationException");
    assert_eq!(bench.refused("UpdateTable", update("src", json!({}))), "ValidationException");
    let class = |class: &str| update("src", json!({ "TableClass": class }));
    bench.ok("UpdateTable", class("STANDARD_INFREQUENT_ACCESS"));
    assert_eq!(bench.status("src"), "UPDATING");
    assert_eq!(bench.refused("UpdateTable", class("STANDARD")), "ResourceInUseException");
    assert_eq!(bench.refused("DeleteTable", json!({ "TableName": "src" })), "ResourceInUseException");
    bench.put("src", "a", "1");
    bench.pass(30.0);
    assert_eq!(bench.describe("src")["TableClassSummary"]["TableClass"], "STANDARD_INFREQUENT_ACCESS");
    assert_eq!(bench.refused("UpdateTable", class("STANDARD_INFREQUENT_ACCESS")), "ValidationException");
    bench.ok("UpdateTable", class("STANDARD"));
    bench.pass(30.0);
    assert_eq!(bench.refused("UpdateTable", class("STANDARD_INFREQUENT_ACCESS")), "LimitExceededException");
}

#[test]
fn billing_and_capacity_follow_their_rules() {
    let bench = Bench::quick();
    bench.ok("CreateTable", provisioned("src"));
    let units = |n: i64| json!({ "ReadCapacityUnits": n, "WriteCapacityUnits": n });
    let capacity = |n: i64| update("src", json!({ "ProvisionedThroughput": units(n) }));
    assert_eq!(bench.refused("UpdateTable", capacity(10)), "ValidationException");
    let answer = bench.ok("UpdateTable", capacity(20));
    assert_eq!(answer["TableDescription"]["ProvisionedThroughput"]["ReadCapacityUnits"], 10, "the old value");
    assert_eq!(bench.describe("src")["ProvisionedThroughput"]["ReadCapacityUnits"], 20);
    (15..19).rev().for_each(|n| drop(bench.ok("UpdateTable", capacity(n))));
    assert_eq!(bench.describe("src")["ProvisionedThroughput"]["NumberOfDecreasesToday"], 4);
    assert_eq!(bench.refused("UpdateTable", capacity(14)), "LimitExceededException");
    bench.pass(3600.0);
    bench.ok("UpdateTable", capacity(14));

    let maxima = json!({ "MaxReadRequestUnits": 5, "MaxWriteRequestUnits": 5 });
    let with_maxima = |maxima: Value| update("src", json!({ "OnDemandThroughput": maxima }));
    assert_eq!(bench.refused("UpdateTable", with_maxima(maxima.clone())), "ValidationException");
    bench.ok("UpdateTable", update("src", json!({ "BillingMode": "PAY_PER_REQUEST" })));
    let table = bench.describe("src");
    assert_eq!(table["BillingModeSummary"]["BillingMode"], "PAY_PER_REQUEST");
    assert_eq!(table["GlobalSecondaryIndexes"][0]["ProvisionedThroughput"]["ReadCapacityUnits"], 0);
    bench.ok("UpdateTable", with_maxima(maxima));
    let error = bench.call("UpdateTable", with_maxima(json!({}))).unwrap_err();
    assert_eq!((error.status, error.code.as_str()), (500, "InternalServerError"));
    bench.ok("UpdateTable", with_maxima(json!({ "MaxReadRequestUnits": -1 })));
    assert_eq!(bench.describe("src")["OnDemandThroughput"], json!({ "MaxWriteRequestUnits": 5 }));

    let back = json!({ "BillingMode": "PROVISIONED", "ProvisionedThroughput": units(3) });
    assert_eq!(bench.refused("UpdateTable", update("src", back.clone())), "ValidationException");
    let mut whole = back;
    whole["GlobalSecondaryIndexUpdates"] =
        json!([{ "Update": { "IndexName": "by_v", "ProvisionedThroughput": units(4) } }]);
    bench.ok("UpdateTable", update("src", whole));
    let table = bench.describe("src");
    assert_eq!(table["BillingModeSummary"]["BillingMode"], "PROVISIONED");
    assert_eq!(table["GlobalSecondaryIndexes"][0]["ProvisionedThroughput"]["WriteCapacityUnits"], 4);
    assert_eq!(table.get("OnDemandThroughput"), None);
}

#[test]
fn indexes_come_and_go_one_at_a_time_and_slowly() {
    let bench = Bench::real();
    bench.table("src");
    bench.put("src", "a", "1");
    let create = update(
        "src",
        json!({
            "AttributeDefinitions": [{ "AttributeName": "v", "AttributeType": "S" }],
            "GlobalSecondaryIndexUpdates": [{ "Create": {
                "IndexName": "by_v", "KeySchema": [{ "AttributeName": "v", "KeyType": "HASH" }],
                "Projection": { "ProjectionType": "ALL" },
            } }],
        }),
    );
    bench.ok("UpdateTable", create);
    let query = json!({
        "TableName": "src", "IndexName": "by_v", "KeyConditionExpression": "v = :v",
        "ExpressionAttributeValues": { ":v": { "S": "1" } },
    });
    let table = bench.describe("src");
    assert_eq!(table["TableStatus"], "UPDATING");
    assert_eq!(table["GlobalSecondaryIndexes"][0]["IndexStatus"], "CREATING");
    assert_eq!(table["GlobalSecondaryIndexes"][0]["Backfilling"], true);
    assert_eq!(bench.refused("Query", query.clone()), "ValidationException");
    bench.pass(1020.0);
    assert_eq!(bench.status("src"), "ACTIVE");
    assert_eq!(bench.ok("Query", query.clone())["Count"], 1);
    let delete = update("src", json!({ "GlobalSecondaryIndexUpdates": [{ "Delete": { "IndexName": "by_v" } }] }));
    bench.ok("UpdateTable", delete);
    assert_eq!(bench.describe("src")["GlobalSecondaryIndexes"][0]["IndexStatus"], "DELETING");
    bench.pass(1020.0);
    let table = bench.describe("src");
    assert_eq!(table.get("GlobalSecondaryIndexes"), None);
    assert_eq!(table["AttributeDefinitions"].as_array().map(Vec::len), Some(1));
    assert_eq!(bench.refused("Query", query), "ValidationException");
}

#[test]
fn streams_encryption_and_warm_throughput_change_alone() {
    let bench = Bench::real();
    bench.table("src");
    let on = update("src", json!({ "StreamSpecification": { "StreamEnabled": true, "StreamViewType": "KEYS_ONLY" } }));
    let off = update("src", json!({ "StreamSpecification": { "StreamEnabled": false } }));
    assert_eq!(bench.refused("UpdateTable", off.clone()), "ValidationException");
    bench.ok("UpdateTable", on.clone());
    bench.pass(30.0);
    let table = bench.describe("src");
    assert_eq!(table["StreamSpecification"]["StreamViewType"], "KEYS_ONLY");
    assert!(table["LatestStreamArn"].as_str().is_some_and(|arn| arn.contains("/stream/2026-11-23T00:00:20.250")));
    assert_eq!(bench.refused("UpdateTable", on), "ValidationException");
    bench.ok("UpdateTable", off);
    bench.pass(30.0);
    let table = bench.describe("src");
    assert_eq!((table.get("StreamSpecification"), table.get("LatestStreamArn").is_some()), (None, true));

    let key = "arn:aws:kms:us-east-1:123456789012:key/abc";
    let encrypt = |key: &str| {
        let wanted = json!({ "Enabled": true, "SSEType": "KMS", "KMSMasterKeyId": key });
        update("src", json!({ "SSESpecification": wanted }))
    };
    bench.ok("UpdateTable", encrypt(key));
    assert_eq!(bench.describe("src")["SSEDescription"]["Status"], "UPDATING");
    assert_eq!(bench.refused("DeleteTable", json!({ "TableName": "src" })), "ResourceInUseException");
    bench.pass(60.0);
    assert_eq!(
        bench.describe("src")["SSEDescription"],
        json!({ "Status": "ENABLED", "SSEType": "KMS", "KMSMasterKeyArn": key })
    );
    ["one", "two", "three"].iter().for_each(|key| drop(bench.ok("UpdateTable", encrypt(key))));
    assert_eq!(bench.refused("UpdateTable", encrypt("four")), "LimitExceededException");
    bench.pass(60.0);

    let warm =
        |n: i64| update("src", json!({ "WarmThroughput": { "ReadUnitsPerSecond": n, "WriteUnitsPerSecond": n } }));
    assert_eq!(bench.refused("UpdateTable", warm(3000)), "ValidationException");
    bench.ok("UpdateTable", warm(15_000));
    let table = bench.describe("src");
    assert_eq!(
        (table["TableStatus"].as_str(), table["WarmThroughput"]["Status"].as_str()),
        (Some("ACTIVE"), Some("UPDATING"))
    );
    assert_eq!(bench.refused("DeleteTable", json!({ "TableName": "src" })), "ResourceInUseException");
}

#[test]
fn a_forced_state_and_replicas_show_and_block() {
    let bench = Bench::quick();
    bench.table("src");
    bench.recovery("src", true);
    bench.db.force_status("src", Some("INACCESSIBLE_ENCRYPTION_CREDENTIALS"));
    assert_eq!(bench.status("src"), "INACCESSIBLE_ENCRYPTION_CREDENTIALS");
    bench.ok("DescribeContinuousBackups", json!({ "TableName": "src" }));
    assert_eq!(
        bench.refused("CreateBackup", json!({ "TableName": "src", "BackupName": "bbb" })),
        "TableInUseException"
    );
    let ttl = json!({ "TableName": "src", "TimeToLiveSpecification": { "Enabled": true, "AttributeName": "e" } });
    assert_eq!(bench.refused("UpdateTimeToLive", ttl), "ResourceInUseException");
    bench.db.force_status("src", None);
    bench.db.set_replicas("src", &["eu-west-1"]);
    let table = bench.describe("src");
    assert_eq!(table["Replicas"][0]["RegionName"], "eu-west-1");
    assert_eq!(table["GlobalTableVersion"], "2019.11.21");
    assert_eq!(bench.refused("DeleteTable", json!({ "TableName": "src" })), "ValidationException");
}

#[test]
fn item_counts_come_from_statistics_six_hours_old() {
    let bench = Bench::real();
    bench.table("src");
    bench.put("src", "a", "1");
    assert_eq!(bench.describe("src")["ItemCount"], 0);
    bench.pass(6.0 * 3600.0);
    let table = bench.describe("src");
    assert_eq!((table["ItemCount"].as_i64(), table["TableSizeBytes"].as_i64()), (Some(1), Some(4)));
}

#[test]
fn quotas_on_tables_in_motion_hold() {
    let lags = Lags { create: (60.0, 60.0), ..Lags::none() };
    let bench = Bench::new(Config { lags, ..Config::default() });
    (0..250).for_each(|n| drop(bench.ok("CreateTable", simple(&format!("t{n:03}")))));
    assert_eq!(bench.refused("CreateTable", recovery::with_index("indexed")), "LimitExceededException");
    (250..500).for_each(|n| drop(bench.ok("CreateTable", simple(&format!("t{n:03}")))));
    assert_eq!(bench.refused("CreateTable", simple("t500")), "LimitExceededException");
    bench.pass(60.0);
    bench.ok("CreateTable", recovery::with_index("indexed"));
}
