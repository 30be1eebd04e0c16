//! The vendor's rates: never a throttled call of our own making, and no slower than they allow.

use crate::support::Account;
use provider_api::{BackupProvider, Context};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

fn throttled(account: &Account, since: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for call in account.db.calls().into_iter().skip(since).filter(|call| call.throttled) {
        *counts.entry(call.operation).or_insert(0) += 1;
    }
    counts
}

#[tokio::test]
async fn a_thousand_tables_are_confirmed_within_110_seconds_without_a_throttle() {
    let account = Account::paused();
    account.scalardb(998).await;
    let provider = account.provider().await;
    let before = account.db.calls().len();
    let sets = provider.discover(&Context::default()).await.unwrap().data_sets;
    assert_eq!(sets.len(), 1000);
    let start = Instant::now();
    let confirmed = provider.confirm(&Context::default(), &sets).await.unwrap();
    let took = start.elapsed();
    assert_eq!(confirmed.len(), 1000);
    assert!(took <= Duration::from_secs(110), "{took:?}");
    assert_eq!(throttled(&account, before), BTreeMap::new());
    let asked =
        account.db.calls().into_iter().skip(before).filter(|call| call.operation == "DescribeContinuousBackups");
    assert_eq!(asked.count(), 1000, "each table once");
}

#[tokio::test]
async fn a_capture_of_sixty_tables_is_not_throttled_either() {
    let account = Account::paused();
    account.scalardb(58).await;
    let provider = account.provider().await;
    let sets = provider.discover(&Context::default()).await.unwrap().data_sets;
    let before = account.db.calls().len();
    let capsules = provider.capture(&Context::default(), &sets).await.unwrap();
    assert!(capsules.iter().all(|capsule| capsule.unread.is_empty()));
    assert_eq!(throttled(&account, before), BTreeMap::new());
}

#[tokio::test]
async fn a_set_rate_wins() {
    let account = Account::paused();
    account.scalardb(18).await;
    let mut config = account.config();
    config.rates.insert("DescribeTable".to_owned(), 1.0);
    let provider = provider_dynamodb::DynamoDbProvider::connect(config).await.unwrap();
    let sets = provider.discover(&Context::default()).await.unwrap().data_sets;
    let start = Instant::now();
    provider.confirm(&Context::default(), &sets).await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(19), "{:?}", start.elapsed());
}
