//! Restoring: a disaster, and every table back with data and settings; died, doubled, lost, refused, undone at every call.

mod lost;
mod matrix;
mod trouble;
pub mod world;

use crate::support::Account;
use provider_api::{RestoreOptions, Way};
use serde_json::json;
use world::{A, B, DIGITS, LARGEST, World};

#[tokio::test]
async fn every_table_comes_back_with_the_data_of_t_its_indexes_and_its_settings() {
    let world = World::new().await;
    world.disaster().await;
    let mut run = world.run(RestoreOptions::default()).await;
    run.finish(Way::Forward).await.unwrap();
    world.is_as_at_t(&run, "undisturbed").await;
    assert_eq!(run.warnings(), Vec::<String>::new(), "nothing differs");
    let of_a = world.account.describe_table(A).await;
    assert_eq!(of_a["BillingModeSummary"]["BillingMode"], "PROVISIONED", "though its backup says on-demand");
    assert_eq!(of_a["ProvisionedThroughput"]["ReadCapacityUnits"], 10);
    assert_eq!(of_a["GlobalSecondaryIndexes"][0]["ProvisionedThroughput"]["ReadCapacityUnits"], 10);
    assert_eq!(of_a["DeletionProtectionEnabled"], true);
    assert_eq!(world.account.describe_table(B).await["DeletionProtectionEnabled"], false);
    let safety = run.fact(A, "restored")["safety"].as_str().unwrap().to_owned();
    let kept = world.account.backup(&safety).await;
    assert_eq!((kept["BackupStatus"].as_str(), kept["BackupType"].as_str()), (Some("AVAILABLE"), Some("USER")));
    assert!(kept["BackupName"].as_str().unwrap().contains("-before-nightly"), "{kept}");
    assert!(run.fact(B, "restored")["safety"].is_null(), "what was dropped cannot be backed up");
}

#[tokio::test]
async fn items_of_every_type_sort_keys_pages_and_empty_tables_come_back_byte_for_byte() {
    let account = world::lagging();
    account.scalardb(1).await;
    world::ledger(&account).await;
    let world = World::of(account, &["bank.ledger", "bank.account0000"]).await;
    let before = world.data().await;
    assert_eq!(before["bank.ledger"].as_array().unwrap().len(), 2_000);
    assert_eq!(before["bank.account0000"], json!([]), "an empty table is one of them");
    let first = world.account.ok("Scan", json!({ "TableName": "bank.ledger" })).await;
    assert!(first["LastEvaluatedKey"].is_object(), "one page does not hold them");
    for n in 0..500 {
        let key = json!({ "p": { "B": "AAE=" }, "s": { "N": n.to_string() } });
        world.account.ok("DeleteItem", json!({ "TableName": "bank.ledger", "Key": key })).await;
    }
    assert_ne!(world.data().await, before);
    let mut run = world.run(RestoreOptions::default()).await;
    run.finish(Way::Forward).await.unwrap();
    assert_eq!(world.data().await, before);
    for (index, condition) in [("by_t", "t = :t"), ("by_p_t", "p = :p AND t = :t")] {
        let mut values = json!({ ":t": { "S": "t7" }, ":p": { "B": "AAE=" } });
        if index == "by_t" {
            values.as_object_mut().unwrap().remove(":p");
        }
        let query = json!({
            "TableName": "bank.ledger", "IndexName": index, "KeyConditionExpression": condition,
            "ExpressionAttributeValues": values, "Select": "COUNT",
        });
        assert_eq!(world.account.ok("Query", query).await["Count"], 20, "{index} is there, and holds what it should");
    }
    let get =
        |n: u32| json!({ "TableName": "bank.ledger", "Key": { "p": { "B": "AAE=" }, "s": { "N": n.to_string() } } });
    assert_eq!(world.account.ok("GetItem", get(8)).await["Item"]["digits"]["N"], DIGITS, "not rounded on the way in");
    let largest = world.account.ok("GetItem", get(7)).await["Item"]["large"]["S"].as_str().unwrap().len();
    assert!(largest > LARGEST - 20, "{largest}");
}

#[tokio::test]
async fn scalardbs_own_tables_come_last() {
    let account = world::lagging();
    account.scalardb(1).await;
    let world = World::of(account, &["scalardb.metadata", "coordinator.state", "bank.account0000"]).await;
    let mut run = world.run(RestoreOptions::default()).await;
    run.finish(Way::Forward).await.unwrap();
    let calls = world.account.db.calls();
    let deleted = calls.iter().filter(|call| call.operation == "DeleteTable" && call.error.is_none());
    let deleted: Vec<_> = deleted.map(|call| call.table.as_str()).filter(|name| !name.starts_with("rp-")).collect();
    assert_eq!(deleted, ["bank.account0000", "coordinator.state", "scalardb.metadata"]);
}

#[tokio::test]
async fn a_restore_can_be_repeated_once_the_recreated_tables_are_accepted() {
    let world = World::new().await;
    let mut run = world.run(RestoreOptions::default()).await;
    run.finish(Way::Forward).await.unwrap();
    world.disaster().await;
    let refused = world.refused(RestoreOptions::default()).await;
    assert!(refused.iter().any(|error| error.hint.contains("--accept-recreated")), "{refused:?}");
    let accepting = RestoreOptions { accept_recreated: true, ..RestoreOptions::default() };
    let mut again = world.run(accepting).await;
    again.finish(Way::Forward).await.unwrap();
    world.is_as_at_t(&again, "again").await;
}

#[tokio::test]
async fn two_points_of_the_same_tables_do_not_mix() {
    let world = World::new().await;
    world.account.put(A, 1, 777).await;
    let later = world.later_point().await;
    world.disaster().await;
    let mut run = world.run(RestoreOptions::default()).await;
    run.finish(Way::Forward).await.unwrap();
    world.is_as_at_t(&run, "the earlier").await;
    let accepting = RestoreOptions { accept_recreated: true, ..RestoreOptions::default() };
    let mut run = later.run(accepting).await;
    run.finish(Way::Forward).await.unwrap();
    later.is_as_at_t(&run, "the later").await;
}

impl Account {
    async fn describe_table(&self, table: &str) -> serde_json::Value {
        self.ok("DescribeTable", json!({ "TableName": table })).await["Table"].clone()
    }

    async fn backup(&self, arn: &str) -> serde_json::Value {
        self.ok("DescribeBackup", json!({ "BackupArn": arn })).await["BackupDescription"]["BackupDetails"].clone()
    }
}
