//! Which tables are ScalarDB's, and what is refused.

use crate::support::{Account, table};
use provider_api::{BackupProvider, Context, ErrorKind, Role};
use provider_dynamodb::{Config, DynamoDbProvider};

#[tokio::test]
async fn scalardbs_tables_are_found_with_a_prefix_over_many_pages() {
    let account = Account::paused();
    account.scalardb_with("prod_", 230).await;
    account.table("prod_bank.leftover", 0).await;
    account.table("elsewhere", 0).await;
    let config = Config { prefix: "prod_".to_owned(), ..account.config() };
    let provider = DynamoDbProvider::connect(config).await.unwrap();
    let found = provider.discover(&Context::default()).await.unwrap();
    assert_eq!(found.data_sets.len(), 232);
    let with =
        |role| found.data_sets.iter().filter(|set| set.role == role).map(|set| set.name.as_str()).collect::<Vec<_>>();
    assert_eq!(with(Role::Metadata), ["prod_scalardb.metadata"]);
    assert_eq!(with(Role::Coordinator), ["prod_coordinator.state"]);
    assert_eq!(found.metadata.len(), 231);
    assert_eq!(found.metadata["prod_bank.account0007"]["columns"]["balance"], "int");
    assert_eq!(found.warnings.len(), 1, "{:?}", found.warnings);
    assert!(found.warnings[0].contains("prod_bank.leftover"));
}

#[tokio::test]
async fn a_wrong_prefix_is_told_by_the_missing_metadata_table() {
    let account = Account::paused();
    account.scalardb(1).await;
    let config = Config { prefix: "other_".to_owned(), ..account.config() };
    let provider = DynamoDbProvider::connect(config).await.unwrap();
    let error = provider.discover(&Context::default()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert_eq!(error.subjects, ["other_scalardb.metadata"]);
    assert!(error.hint.contains("prefix"), "{}", error.hint);
}

#[tokio::test]
async fn a_missing_coordinator_and_a_missing_table_are_named() {
    let account = Account::paused();
    let names = account.scalardb(3).await;
    let provider = account.provider().await;
    account.ok("CreateTable", table("bank.new", 0)).await;
    account.delete(&names[1]).await;
    let error = provider.discover(&Context::default()).await.unwrap_err();
    assert_eq!((error.kind, &error.subjects), (ErrorKind::NotFound, &vec![names[1].clone()]));
    let config = Config { coordinator_namespace: "coord".to_owned(), ..account.config() };
    account.table(&names[1], 0).await;
    let error = DynamoDbProvider::connect(config).await.unwrap().discover(&Context::default()).await.unwrap_err();
    assert_eq!((error.kind, error.subjects), (ErrorKind::NotFound, vec!["coord.state".to_owned()]));
}

#[tokio::test]
async fn tables_that_are_not_scalardbs_are_taken_by_name_and_prefix() {
    let account = Account::paused();
    for name in ["orders-1", "orders-2", "users"] {
        account.table(name, 0).await;
    }
    let config =
        Config { tables: vec!["users".to_owned()], table_prefix: Some("orders-".to_owned()), ..account.config() };
    let provider = DynamoDbProvider::connect(config).await.unwrap();
    let found = provider.discover(&Context::default()).await.unwrap();
    let names: Vec<_> = found.data_sets.iter().map(|set| set.name.as_str()).collect();
    assert_eq!(names, ["orders-1", "orders-2", "users"]);
    assert!(found.metadata.is_empty());
    assert_eq!(provider.confirm(&Context::default(), &found.data_sets).await.unwrap().len(), 3);
}

#[tokio::test]
async fn pitr_off_on_one_of_forty_tables_is_refused_with_the_call_that_turns_it_on() {
    let account = Account::paused();
    let names = account.scalardb(38).await;
    let provider = account.provider().await;
    let sets = provider.discover(&Context::default()).await.unwrap().data_sets;
    assert_eq!(sets.len(), 40);
    account.pitr(&names[17], false).await;
    let error = provider.confirm(&Context::default(), &sets).await.unwrap_err();
    assert_eq!((error.kind, &error.subjects), (ErrorKind::PitrOff, &vec![names[17].clone()]));
    assert_eq!(
        error.hint,
        format!(
            "aws dynamodb update-continuous-backups --region us-east-1 --table-name {} \
             --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true",
            names[17]
        )
    );
}

#[tokio::test]
async fn a_table_whose_key_is_unusable_is_refused_and_replicas_are_a_warning() {
    let account = Account::paused();
    let names = account.scalardb(3).await;
    let provider = account.provider().await;
    let sets = provider.discover(&Context::default()).await.unwrap().data_sets;
    account.db.set_replicas(&names[0], &["eu-west-1"]);
    let confirmed = provider.confirm(&Context::default(), &sets).await.unwrap();
    let warned: Vec<_> = confirmed.iter().filter(|set| !set.warnings.is_empty()).map(|set| &set.name).collect();
    assert_eq!(warned, [&names[0]]);
    account.db.force_status(&names[1], Some("INACCESSIBLE_ENCRYPTION_CREDENTIALS"));
    let error = provider.confirm(&Context::default(), &sets).await.unwrap_err();
    assert_eq!((error.kind, error.retryable), (ErrorKind::WrongState, false));
    assert_eq!(error.subjects, [names[1].clone()]);
}
