//! What UpdateTable changes.

use super::bench::*;
use serde_json::{Value, json};

#[tokio::test]
async fn capacity_of_table_and_index_is_back_after_a_restore_as_on_demand() {
    let bench = Bench::new().await;
    let capsule = bench.capture(A).await;
    bench.restore().await;
    bench.set("UpdateTable", json!({ "TableName": A, "BillingMode": "PAY_PER_REQUEST" })).await;
    let since = bench.now();
    let ran = bench.run(&capsule).await.unwrap();
    assert_eq!(ran.report, []);
    let table = bench.described(A).await;
    assert_eq!(table["BillingModeSummary"]["BillingMode"], "PROVISIONED");
    assert_eq!(table["ProvisionedThroughput"]["ReadCapacityUnits"], 10);
    assert_eq!(table["GlobalSecondaryIndexes"][0]["ProvisionedThroughput"]["WriteCapacityUnits"], 10);
    let writes = bench.writes(since);
    assert_eq!(writes.iter().filter(|(operation, _)| operation == "UpdateTable").count(), 1, "{writes:?}");
}

#[tokio::test]
async fn capacity_that_differs_is_set_and_nothing_equal_is_sent() {
    let bench = Bench::new().await;
    let capsule = bench.capture(A).await;
    bench.restore().await;
    let update = json!({ "TableName": A, "GlobalSecondaryIndexUpdates": [{ "Update": { "IndexName": "bank.account.global_index.c0",
        "ProvisionedThroughput": { "ReadCapacityUnits": 3, "WriteCapacityUnits": 10 } } }] });
    bench.set("UpdateTable", update).await;
    assert_eq!(bench.run(&capsule).await.unwrap().report, []);
    let table = bench.described(A).await;
    assert_eq!(table["GlobalSecondaryIndexes"][0]["ProvisionedThroughput"]["ReadCapacityUnits"], 10);
}

#[tokio::test]
async fn a_missing_index_is_made_again_under_its_name() {
    let bench = Bench::new().await;
    let capsule = bench.capture(A).await;
    bench.restore().await;
    let delete = json!([{ "Delete": { "IndexName": "bank.account.global_index.c0" } }]);
    bench.account.ok("UpdateTable", json!({ "TableName": A, "GlobalSecondaryIndexUpdates": delete })).await;
    assert_eq!(bench.run(&capsule).await.unwrap().report, []);
    assert_eq!(
        lasting(&bench.capture(A).await)["table"]["GlobalSecondaryIndexes"],
        lasting(&capsule)["table"]["GlobalSecondaryIndexes"]
    );
}

#[tokio::test]
async fn maxima_of_an_on_demand_table_and_its_index_are_back() {
    let bench = Bench::new().await;
    for (table, reads) in [(A, 500), (DECOY, 300)] {
        bench.set("UpdateTable", json!({ "TableName": table, "BillingMode": "PAY_PER_REQUEST" })).await;
        bench
            .set("UpdateTable", json!({ "TableName": table, "OnDemandThroughput": { "MaxReadRequestUnits": reads } }))
            .await;
        let index = json!({ "IndexName": format!("{table}.global_index.c0"), "OnDemandThroughput": { "MaxWriteRequestUnits": reads } });
        bench
            .set("UpdateTable", json!({ "TableName": table, "GlobalSecondaryIndexUpdates": [{ "Update": index }] }))
            .await;
    }
    let capsule = bench.capture(A).await;
    bench.restore().await;
    // As a restore that was told otherwise leaves them.
    bench.set("UpdateTable", json!({ "TableName": A, "OnDemandThroughput": { "MaxReadRequestUnits": -1 } })).await;
    let index =
        json!({ "IndexName": "bank.account.global_index.c0", "OnDemandThroughput": { "MaxWriteRequestUnits": -1 } });
    bench.set("UpdateTable", json!({ "TableName": A, "GlobalSecondaryIndexUpdates": [{ "Update": index }] })).await;
    assert_eq!(bench.run(&capsule).await.unwrap().report, []);
    let table = bench.described(A).await;
    assert_eq!(table["OnDemandThroughput"], json!({ "MaxReadRequestUnits": 500 }));
    assert_eq!(table["GlobalSecondaryIndexes"][0]["OnDemandThroughput"], json!({ "MaxWriteRequestUnits": 500 }));
    assert_eq!(bench.described(DECOY).await["OnDemandThroughput"], json!({ "MaxReadRequestUnits": 300 }));
}

#[tokio::test]
async fn the_table_class_is_back() {
    let bench = Bench::new().await;
    bench.set("UpdateTable", json!({ "TableName": A, "TableClass": "STANDARD_INFREQUENT_ACCESS" })).await;
    assert_eq!(contract(&bench, "table_class", "UpdateTable", 1).await.report, []);
}

#[tokio::test]
async fn the_key_is_back_after_a_restore_that_did_not_use_it() {
    let bench = Bench::new().await;
    let key = |id: &str| json!({ "Enabled": true, "SSEType": "KMS", "KMSMasterKeyId": format!("arn:aws:kms:us-east-1:123456789012:key/{id}") });
    for (table, id) in [(A, "k-1"), (DECOY, "k-2")] {
        bench.set("UpdateTable", json!({ "TableName": table, "SSESpecification": key(id) })).await;
    }
    let capsule = bench.capture(A).await;
    bench.restore().await;
    bench.set("UpdateTable", json!({ "TableName": A, "SSESpecification": { "Enabled": false } })).await;
    assert_eq!(bench.run(&capsule).await.unwrap().report, []);
    let of = |table: Value| table["SSEDescription"]["KMSMasterKeyArn"].as_str().unwrap().to_owned();
    assert!(of(bench.described(A).await).ends_with("k-1"));
    assert!(of(bench.described(DECOY).await).ends_with("k-2"));
}

#[tokio::test]
async fn the_stream_is_on_again_and_its_consumers_have_to_be_rewired() {
    let bench = Bench::new().await;
    for (table, view) in [(A, "NEW_AND_OLD_IMAGES"), (DECOY, "KEYS_ONLY")] {
        let wanted = json!({ "StreamEnabled": true, "StreamViewType": view });
        bench.set("UpdateTable", json!({ "TableName": table, "StreamSpecification": wanted })).await;
    }
    let old = bench.described(A).await["LatestStreamArn"].clone();
    let ran = contract(&bench, "stream", "UpdateTable", 1).await;
    let [difference] = ran.report.as_slice() else { panic!("{:?}", ran.report) };
    assert_eq!(difference.wanted, old);
    assert_eq!(difference.found, bench.described(A).await["LatestStreamArn"]);
    assert!(difference.why.contains("rewire") && difference.command.is_none(), "{difference}");
}

async fn protection_comes_last(wanted: bool) {
    let bench = Bench::new().await;
    bench.set("UpdateTable", json!({ "TableName": A, "DeletionProtectionEnabled": wanted })).await;
    bench.set("UpdateTable", json!({ "TableName": DECOY, "DeletionProtectionEnabled": !wanted })).await;
    let capsule = bench.capture(A).await;
    bench.restore().await;
    // As the restore protects what it made.
    bench.set("UpdateTable", json!({ "TableName": A, "DeletionProtectionEnabled": true })).await;
    let ran = bench.run(&capsule).await.unwrap();
    assert_eq!(ran.report, []);
    assert_eq!(ran.done.last().unwrap(), "deletion_protection");
    assert_eq!(bench.described(A).await["DeletionProtectionEnabled"], wanted);
    assert_eq!(bench.described(DECOY).await["DeletionProtectionEnabled"], !wanted);
}

#[tokio::test]
async fn deletion_protection_stays_on_where_it_was_recorded() {
    protection_comes_last(true).await;
}

#[tokio::test]
async fn deletion_protection_goes_at_the_end_where_it_was_not_recorded() {
    protection_comes_last(false).await;
}
