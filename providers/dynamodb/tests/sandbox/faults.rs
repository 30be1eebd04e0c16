//! Trouble: throttles, lost answers, refused credentials, missing permissions.

use crate::support::{Account, KEY};
use aws_credential_types::credential_fn::provide_credentials_fn;
use aws_credential_types::provider::{SharedCredentialsProvider, error::CredentialsError};
use provider_api::{BackupProvider, Context, ErrorKind, ProviderError};
use provider_dynamodb::{Config, DynamoDbProvider};
use std::error::Error;
use std::time::Duration;
use stillpoint_sandbox::dynamodb::{Effect, Fault, ServiceError};

fn fault(operation: &str, table: &str, times: u32, effect: Effect) -> Fault {
    Fault { operation: operation.to_owned(), table: table.to_owned(), times: Some(times), effect }
}

fn chain(error: &ProviderError) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    std::iter::once(error.to_string()).chain(causes.map(ToString::to_string)).collect::<Vec<_>>().join(": ")
}

#[tokio::test]
async fn throttles_lost_answers_and_server_errors_are_ridden_out() {
    let account = Account::paused();
    let names = account.scalardb(3).await;
    let provider = account.provider().await;
    let sets = provider.discover(&Context::default()).await.unwrap().data_sets;
    let throttle = ServiceError::new("ThrottlingException", "Rate exceeded");
    let broken = ServiceError::new("InternalServerError", "oops").with_status(500);
    let late = ServiceError::new("ContinuousBackupsUnavailableException", "Backups are being enabled");
    let skewed = ServiceError::new("InvalidSignatureException", "Signature expired");
    account.db.inject(fault("DescribeTable", "*", 1, Effect::Error(skewed)));
    account.db.inject(fault("DescribeContinuousBackups", "*", 4, Effect::Error(throttle)));
    account.db.inject(fault("DescribeTable", &names[0], 2, Effect::Error(broken)));
    account.db.inject(fault("DescribeContinuousBackups", &names[1], 2, Effect::Error(late)));
    account.db.inject(fault("DescribeTable", &names[1], 1, Effect::DropRequest));
    account.db.inject(fault("DescribeTable", &names[2], 1, Effect::DropAnswer));
    assert_eq!(provider.confirm(&Context::default(), &sets).await.unwrap().len(), 5);
}

#[tokio::test]
async fn a_service_that_never_stops_throttling_is_reported_as_such() {
    let account = Account::paused();
    account.scalardb(3).await;
    let provider = account.provider().await;
    let throttle = ServiceError::new("ProvisionedThroughputExceededException", "too much");
    account.db.inject(fault("Scan", "*", u32::MAX, Effect::Error(throttle)));
    let error = provider.discover(&Context::default()).await.unwrap_err();
    assert_eq!((error.kind, error.retryable), (ErrorKind::Throttled, true), "{error:?}");
}

#[tokio::test]
async fn a_hanging_service_is_a_time_out() {
    let account = Account::paused();
    account.scalardb(3).await;
    let provider = account.provider().await;
    account.db.inject(fault("Scan", "*", u32::MAX, Effect::Delay(Duration::from_secs(3600))));
    let error = provider.discover(&Context::default()).await.unwrap_err();
    assert_eq!((error.kind, error.retryable), (ErrorKind::Unreachable, true), "{error:?}");
}

#[tokio::test]
async fn an_unreachable_service_is_unreachable_for_every_call() {
    let account = Account::paused();
    account.scalardb(3).await;
    let provider = account.provider().await;
    let sets = provider.discover(&Context::default()).await.unwrap().data_sets;
    account.db.unreachable(true);
    let context = Context::default();
    let errors = [
        provider.discover(&context).await.unwrap_err(),
        provider.confirm(&context, &sets).await.unwrap_err(),
        provider.clock(&context).await.unwrap_err(),
        provider.capture(&context, &sets).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!((error.kind, error.retryable), (ErrorKind::Unreachable, true), "{error:?}");
        assert!(!error.hint.is_empty());
    }
}

#[tokio::test]
async fn credentials_that_are_not_accepted_are_named_and_never_printed() {
    let account = Account::paused();
    account.scalardb(3).await;
    let provider = account.provider().await;
    for (code, word) in [("ExpiredTokenException", "renew"), ("UnrecognizedClientException", "credentials")] {
        account.db.reject_credentials(KEY, Some(code));
        let error = provider.discover(&Context::default()).await.unwrap_err();
        assert_eq!((error.kind, error.retryable), (ErrorKind::Credentials, false), "{error:?}");
        assert!(error.hint.contains(word), "{}", error.hint);
        assert!(chain(&error).contains(code), "{}", chain(&error));
        assert!(!format!("{error:?} {}", chain(&error)).contains("secret-of-the-sandbox"));
        // Refusals have a Date as well.
        provider.clock(&Context::default()).await.unwrap();
    }
    assert!(!format!("{provider:?} {provider}").contains("secret-of-the-sandbox"));
}

#[tokio::test]
async fn absent_credentials_are_told_from_an_unreachable_service() {
    let account = Account::paused();
    account.scalardb(3).await;
    let none = provide_credentials_fn(|| async { Err(CredentialsError::not_loaded("no providers in chain")) });
    let config = Config { credentials: Some(SharedCredentialsProvider::new(none)), ..account.config() };
    let provider = DynamoDbProvider::connect(config).await.unwrap();
    let context = Context::default();
    for error in [provider.discover(&context).await.unwrap_err(), provider.clock(&context).await.unwrap_err()] {
        assert_eq!((error.kind, error.retryable), (ErrorKind::Credentials, false), "{error:?}");
        assert!(error.hint.contains("AWS_PROFILE"), "{}", error.hint);
    }
}

#[tokio::test]
async fn a_missing_permission_names_action_and_table() {
    let account = Account::paused();
    let names = account.scalardb(3).await;
    let provider = account.provider().await;
    let sets = provider.discover(&Context::default()).await.unwrap().data_sets;
    account.db.deny("DescribeContinuousBackups", &names[1]);
    let error = provider.confirm(&Context::default(), &sets).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::PermissionDenied);
    assert!(error.hint.contains("dynamodb:DescribeContinuousBackups"), "{}", error.hint);
    assert!(error.message.contains(&names[1]), "{}", error.message);
}
