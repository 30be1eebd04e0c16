//! Over real sockets, in real time.

use crate::support::{Account, credentials};
use provider_api::{BackupProvider, Context, ErrorKind, Mono};
use provider_dynamodb::{Config, DynamoDbProvider};
use stillpoint_sandbox::clock::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Settings for an endpoint, with the SDK's own HTTP client.
fn at(address: std::net::SocketAddr) -> Config {
    Config {
        endpoint: Some(format!("http://{address}")),
        credentials: Some(credentials()),
        ..Config::new("bank", "us-east-1")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_tables_are_discovered_and_confirmed_without_a_throttle_and_the_clock_is_found() {
    let account = Account::new(Clock::real(), vec![0]);
    account.create_scalardb("", 98).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = at(listener.local_addr().unwrap());
    let shutdown = CancellationToken::new();
    let (db, stop) = (account.db.clone(), shutdown.clone());
    let server = tokio::spawn(async move { db.serve(listener, stop).await });
    let provider = DynamoDbProvider::connect(config).await.unwrap();
    let context = Context::default();
    let before = account.db.calls().len();
    let sets = provider.discover(&context).await.unwrap().data_sets;
    assert_eq!(sets.len(), 100);
    let (confirmed, clock) = tokio::join!(provider.confirm(&context, &sets), provider.clock(&context));
    assert_eq!(confirmed.unwrap().len(), 100);
    let truth = account.db.service_unix_ns() - i64::try_from(Mono::now().0).unwrap();
    let clock = clock.unwrap();
    // The second reading above is a little later than the first.
    assert!(clock.lo_ns <= truth && truth <= clock.hi_ns + 5_000_000, "{truth} not in {clock:?}");
    assert!(account.db.calls().into_iter().skip(before).all(|call| !call.throttled));
    shutdown.cancel();
    server.await.unwrap();
}

#[tokio::test]
async fn a_refused_endpoint_is_unreachable_and_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let provider = DynamoDbProvider::connect(at(address)).await.unwrap();
    let error = provider.discover(&Context::default()).await.unwrap_err();
    assert_eq!((error.kind, error.retryable), (ErrorKind::Unreachable, true), "{error:?}");
    assert!(error.message.contains(&address.to_string()), "{}", error.message);
}

#[tokio::test]
async fn a_port_that_speaks_something_else_is_told_apart_from_aws() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut start = [0; 512];
            let _ = stream.read(&mut start).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello").await;
        }
    });
    let provider = DynamoDbProvider::connect(at(address)).await.unwrap();
    let error = provider.discover(&Context::default()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Service, "{error:?}");
    assert!(error.hint.contains("endpoint"), "{}", error.hint);
    let error = provider.clock(&Context::default()).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::ClockUnsure | ErrorKind::Service), "{error:?}");
    server.abort();
}
