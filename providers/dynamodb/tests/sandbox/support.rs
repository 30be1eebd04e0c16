//! A sandboxed account below the SDK, with ScalarDB's tables in it.

use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider, SharedHttpClient};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use provider_api::Mono;
use provider_dynamodb::{Config, DynamoDbProvider, MonoSource};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stillpoint_sandbox::clock::Clock;
use stillpoint_sandbox::dynamodb::{self as sandbox, DynamoDb, Effect, Fault, Lags, ServiceError};
use tokio::sync::Notify;

/// One way of a request in simulated time.
const ONE_WAY: Duration = Duration::from_millis(2);

/// What becomes of one call.
#[derive(Clone, Debug)]
pub enum Strike {
    /// The process that makes it dies before it is sent.
    DiesBefore,
    /// It is carried out, and the process dies before it hears of that.
    DiesAfter,
    /// It goes wrong.
    Has(Effect),
}

#[derive(Debug, Default)]
struct Strikes {
    next: Option<(usize, Strike)>,
    struck: bool,
    /// Operations of all calls.
    seen: Vec<String>,
}

impl Strikes {
    fn due(&mut self, operation: &str) -> Option<Strike> {
        self.seen.push(operation.to_owned());
        let (_, strike) = self.next.take_if(|(call, _)| *call == self.seen.len() - 1)?;
        self.struck = true;
        Some(strike)
    }
}

/// The sandbox as an HTTP client for the SDK: no socket, time from tokio, one front end after the other.
#[derive(Clone, Debug)]
pub struct Below {
    front_ends: Arc<Vec<DynamoDb>>,
    turn: Arc<AtomicUsize>,
    pub stalled: Arc<AtomicBool>,
    strikes: Arc<Mutex<Strikes>>,
    died: Arc<Notify>,
}

impl Below {
    pub fn new(db: &DynamoDb, offsets_ns: &[i64]) -> Self {
        let front_ends = offsets_ns.iter().map(|&offset| db.front_end(offset)).collect();
        let front_ends = Arc::new(front_ends);
        Self {
            front_ends,
            turn: Arc::default(),
            stalled: Arc::default(),
            strikes: Arc::default(),
            died: Arc::default(),
        }
    }

    /// Something becomes of the call of this number, counted from nought, from now on.
    pub fn strike(&self, call: usize, strike: Strike) {
        *self.strikes.lock().unwrap() = Strikes { next: Some((call, strike)), ..Strikes::default() };
    }

    /// The operations of all calls since then, and whether it came to the strike; no call is struck any more.
    pub fn calm(&self) -> (Vec<String>, bool) {
        let Strikes { seen, struck, .. } = std::mem::take(&mut *self.strikes.lock().unwrap());
        (seen, struck)
    }

    /// Ends when a call was struck that its process did not survive. Whoever waits for this drops what made the call.
    pub async fn died(&self) {
        self.died.notified().await;
    }

    async fn answer(self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let failed = |error: &str| ConnectorError::io(error.to_owned().into());
        let request = request.try_into_http1x().map_err(|error| failed(&error.to_string()))?;
        let request = request.map(|body| Bytes::copy_from_slice(body.bytes().unwrap_or_default()));
        tokio::time::sleep(ONE_WAY).await;
        if self.stalled.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let turn = self.turn.fetch_add(1, Ordering::SeqCst);
        let front_end = &self.front_ends[turn % self.front_ends.len()];
        let operation = operation(&request);
        let strike = self.strikes.lock().unwrap().due(&operation);
        match &strike {
            Some(Strike::DiesBefore) => self.dies().await,
            Some(Strike::Has(effect)) => {
                front_end.inject(fault("*", effect.clone()));
            }
            Some(Strike::DiesAfter) | None => {}
        }
        let answer = front_end.exchange(request).await;
        if let Some(Strike::DiesAfter) = strike {
            self.dies().await;
        }
        let response = answer.map_err(|error| failed(&error.to_string()))?;
        tokio::time::sleep(ONE_WAY).await;
        HttpResponse::try_from(response.map(|body| SdkBody::from(body.to_vec())))
            .map_err(|error| failed(&error.to_string()))
    }

    async fn dies(&self) {
        self.died.notify_one();
        std::future::pending::<()>().await;
    }
}

/// The operation that a request asks for: by its header, or, in the newer protocol, by the end of its path.
fn operation(request: &http::Request<Bytes>) -> String {
    let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok());
    let name = target.and_then(|target| target.rsplit('.').next());
    name.or_else(|| request.uri().path().rsplit('/').next()).unwrap_or_default().to_owned()
}

/// The next call of this operation goes wrong.
pub fn fault(operation: &str, effect: Effect) -> Fault {
    Fault { operation: operation.to_owned(), table: "*".to_owned(), times: Some(1), effect }
}

/// The service's answer is this error.
pub fn error(code: &str, status: u16) -> Effect {
    Effect::Error(ServiceError::new(code, "as told by the test").with_status(status))
}

/// What can become of a call and pass.
pub fn disturbances() -> Vec<Effect> {
    vec![
        Effect::DropAnswer,
        Effect::DropRequest,
        Effect::Delay(Duration::from_secs(30)),
        error("InternalServerError", 500),
        error("ThrottlingException", 400),
        error("LimitExceededException", 400),
    ]
}

impl HttpConnector for Below {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.clone().answer(request))
    }
}

impl HttpClient for Below {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// A sandboxed account and the client below the SDK.
#[derive(Debug)]
pub struct Account {
    pub db: DynamoDb,
    pub clock: Clock,
    pub below: Below,
    pub offsets_ns: Vec<i64>,
}

/// The access key that the tests sign with.
pub const KEY: &str = "AKIDSANDBOX";

impl Account {
    /// An account on tokio's time, which this pauses; no lags but PITR's own, five seconds.
    pub fn paused() -> Self {
        tokio::time::pause();
        Self::new(Clock::tokio(), vec![0])
    }

    pub fn new(clock: Clock, offsets_ns: Vec<i64>) -> Self {
        Self::with_lags(clock, offsets_ns, Lags::none())
    }

    pub fn with_lags(clock: Clock, offsets_ns: Vec<i64>, lags: Lags) -> Self {
        let config = sandbox::Config {
            time_scale: TIME_SCALE,
            service_offset_ns: 90_123_456_789,
            lags,
            ..sandbox::Config::default()
        };
        let db = DynamoDb::new(config, clock.clone());
        let below = Below::new(&db, &offsets_ns);
        Self { db, clock, below, offsets_ns }
    }

    pub fn config(&self) -> Config {
        let clock = self.clock.clone();
        let mut config = Config::new("bank", self.db.config().region.clone());
        config.time_scale = TIME_SCALE;
        config.http_client = Some(SharedHttpClient::new(self.below.clone()));
        config.credentials = Some(credentials());
        config.mono = MonoSource::new(move || Mono(u64::try_from(clock.mono_ns()).unwrap()));
        config
    }

    pub async fn provider(&self) -> DynamoDbProvider {
        DynamoDbProvider::connect(self.config()).await.unwrap()
    }

    /// One DynamoDB call, straight into the sandbox, in its own time: waits out throttles.
    pub async fn call(&self, operation: &str, body: Value) -> Result<Value, ServiceError> {
        loop {
            match self.db.call(&format!("DynamoDB_20120810.{operation}"), body.clone()) {
                Err(error) if error.is_throttle() => tokio::time::sleep(Duration::from_millis(100)).await,
                answer => return answer,
            }
        }
    }

    pub async fn ok(&self, operation: &str, body: Value) -> Value {
        self.call(operation, body.clone()).await.unwrap_or_else(|error| panic!("{operation} {body}: {error}"))
    }

    pub fn scaling(&self, operation: &str, body: Value) -> Value {
        let target = format!("AnyScaleFrontendService.{operation}");
        self.db.call(&target, body).unwrap_or_else(|error| panic!("{operation}: {error}"))
    }

    pub fn cloudwatch(&self, operation: &str, body: Value) -> Value {
        let target = format!("GraniteServiceVersion20100801.{operation}");
        self.db.call(&target, body).unwrap_or_else(|error| panic!("{operation}: {error}"))
    }

    /// A table with a binary hash key and this many indexes, ACTIVE, with PITR.
    pub async fn table(&self, name: &str, indexes: usize) {
        self.ok("CreateTable", table(name, indexes)).await;
        while self.ok("DescribeTable", json!({ "TableName": name })).await["Table"]["TableStatus"] != "ACTIVE" {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.pitr(name, true).await;
    }

    pub async fn pitr(&self, name: &str, on: bool) {
        let wanted = json!({ "PointInTimeRecoveryEnabled": on });
        let body = json!({ "TableName": name, "PointInTimeRecoverySpecification": wanted });
        for _ in 0..1000 {
            match self.call("UpdateContinuousBackups", body.clone()).await {
                // Still being created, or a moment after.
                Err(error)
                    if ["TableNotFoundException", "ContinuousBackupsUnavailableException"]
                        .contains(&error.code.as_str()) =>
                {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                answer => return drop(answer.unwrap()),
            }
        }
        panic!("{name} never became ready");
    }

    pub async fn delete(&self, name: &str) {
        self.ok("DeleteTable", json!({ "TableName": name })).await;
        while self.call("DescribeTable", json!({ "TableName": name })).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Describes a table in ScalarDB's metadata.
    pub async fn describe(&self, metadata: &str, name: &str) {
        let item = json!({
            "table": { "S": name },
            "partitionKey": { "L": [{ "S": "id" }] },
            "columns": { "M": { "id": { "S": "int" }, "balance": { "S": "int" } } },
        });
        self.ok("PutItem", json!({ "TableName": metadata, "Item": item })).await;
    }

    /// ScalarDB's own tables and `users` user tables, the first with an index; PITR on for longer than its lag.
    pub async fn scalardb(&self, users: usize) -> Vec<String> {
        self.scalardb_with("", users).await
    }

    pub async fn scalardb_with(&self, prefix: &str, users: usize) -> Vec<String> {
        let names = self.create_scalardb(prefix, users).await;
        tokio::time::sleep(lag() + Duration::from_secs(5)).await;
        names
    }

    /// The same, with PITR on from just now.
    pub async fn create_scalardb(&self, prefix: &str, users: usize) -> Vec<String> {
        let metadata = format!("{prefix}scalardb.metadata");
        self.ok("CreateTable", metadata_table(&metadata)).await;
        self.pitr(&metadata, true).await;
        let coordinator = format!("{prefix}coordinator.state");
        let names: Vec<_> = (0..users).map(|number| format!("{prefix}bank.account{number:04}")).collect();
        self.table(&coordinator, 0).await;
        self.describe(&metadata, &coordinator).await;
        for (number, name) in names.iter().enumerate() {
            self.table(name, usize::from(number == 0)).await;
            self.describe(&metadata, name).await;
        }
        names
    }
}

/// Pauses tokio's clock, unless this test has paused it before.
pub fn pause() {
    thread_local!(static PAUSED: std::cell::Cell<Option<tokio::runtime::Id>> = const { std::cell::Cell::new(None) });
    let this = Some(tokio::runtime::Handle::current().id());
    if PAUSED.replace(this) != this {
        tokio::time::pause();
    }
}

/// Five seconds of lag instead of five minutes.
pub const TIME_SCALE: f64 = 60.0;

pub fn lag() -> Duration {
    Duration::from_secs_f64(300.0 / TIME_SCALE)
}

pub fn credentials() -> SharedCredentialsProvider {
    SharedCredentialsProvider::new(Credentials::new(KEY, "secret-of-the-sandbox", None, None, "tests"))
}

pub fn metadata_table(name: &str) -> Value {
    json!({
        "TableName": name,
        "AttributeDefinitions": [{ "AttributeName": "table", "AttributeType": "S" }],
        "KeySchema": [{ "AttributeName": "table", "KeyType": "HASH" }],
        "ProvisionedThroughput": { "ReadCapacityUnits": 1, "WriteCapacityUnits": 1 },
    })
}

/// A table as ScalarDB makes it.
pub fn table(name: &str, indexes: usize) -> Value {
    let throughput = json!({ "ReadCapacityUnits": 10, "WriteCapacityUnits": 10 });
    let mut attributes = vec![json!({ "AttributeName": "concatenatedPartitionKey", "AttributeType": "B" })];
    let mut all = Vec::new();
    for number in 0..indexes {
        attributes.push(json!({ "AttributeName": format!("c{number}"), "AttributeType": "N" }));
        all.push(json!({
            "IndexName": format!("{name}.global_index.c{number}"),
            "KeySchema": [{ "AttributeName": format!("c{number}"), "KeyType": "HASH" }],
            "Projection": { "ProjectionType": "ALL" },
            "ProvisionedThroughput": throughput,
        }));
    }
    let mut table = json!({
        "TableName": name,
        "AttributeDefinitions": attributes,
        "KeySchema": [{ "AttributeName": "concatenatedPartitionKey", "KeyType": "HASH" }],
        "ProvisionedThroughput": throughput,
    });
    if indexes > 0 {
        table["GlobalSecondaryIndexes"] = Value::Array(all);
    }
    table
}
