//! The account as a client meets it, on a clock that the test moves.

mod backups;
mod control;
mod guard;
mod iam;
mod judge;
mod recovery;
mod services;
mod settings;
mod wire;

use std::time::Duration;

use serde_json::{Value, json};

use super::*;

/// 2026-11-23 00:00:00.25 UTC: not on a whole second, as real life.
const START: i64 = 1_795_392_000_250_000_000;
const SECOND: i64 = 1_000_000_000;

struct Bench {
    db: DynamoDb,
    hand: Hand,
}

impl Bench {
    fn new(config: Config) -> Self {
        let (clock, hand) = Clock::manual(START);
        Self { db: DynamoDb::new(config, clock), hand }
    }

    /// Without lags, limits and skew, for tests about something else.
    fn quick() -> Self {
        Self::new(Config { lags: Lags::none(), limits: false, table_skew: Duration::ZERO, ..Config::default() })
    }

    /// With all of the real service's lags and limits.
    fn real() -> Self {
        Self::new(Config { table_skew: Duration::ZERO, ..Config::default() })
    }

    fn pass(&self, seconds: f64) {
        self.hand.advance(Duration::from_secs_f64(seconds));
    }

    fn call(&self, operation: &str, body: Value) -> Result<Value, ServiceError> {
        self.db.call(&format!("DynamoDB_20120810.{operation}"), body)
    }

    #[track_caller]
    fn ok(&self, operation: &str, body: Value) -> Value {
        match self.call(operation, body) {
            Ok(answer) => answer,
            Err(error) => panic!("{operation}: {error}"),
        }
    }

    /// The name of the error that a call gets.
    #[track_caller]
    fn refused(&self, operation: &str, body: Value) -> String {
        match self.call(operation, body) {
            Ok(answer) => panic!("{operation} was not refused: {answer}"),
            Err(error) => error.code,
        }
    }

    /// A table with the string key `k`, ACTIVE, with recovery usable.
    #[track_caller]
    fn table(&self, name: &str) {
        self.ok("CreateTable", simple(name));
        self.pass(20.0);
        assert_eq!(self.status(name), "ACTIVE");
    }

    fn recovery(&self, name: &str, on: bool) -> Value {
        let wanted = json!({ "PointInTimeRecoveryEnabled": on });
        self.ok("UpdateContinuousBackups", json!({ "TableName": name, "PointInTimeRecoverySpecification": wanted }))
    }

    fn put(&self, table: &str, key: &str, value: &str) {
        self.ok("PutItem", json!({ "TableName": table, "Item": { "k": { "S": key }, "v": { "S": value } } }));
    }

    fn describe(&self, table: &str) -> Value {
        self.ok("DescribeTable", json!({ "TableName": table }))["Table"].clone()
    }

    fn status(&self, table: &str) -> String {
        self.describe(table)["TableStatus"].as_str().unwrap_or_default().to_owned()
    }

    /// Keys and values, as `a=1 b=2`.
    fn contents(&self, table: &str) -> String {
        let page = self.ok("Scan", json!({ "TableName": table, "ConsistentRead": true }));
        let text = |item: &Value| {
            format!("{}={}", item["k"]["S"].as_str().unwrap_or("?"), item["v"]["S"].as_str().unwrap_or("?"))
        };
        let mut found: Vec<_> = page["Items"].as_array().into_iter().flatten().map(text).collect();
        found.sort();
        found.join(" ")
    }

    fn restore(&self, source: &str, target: &str, at: f64) -> Result<Value, ServiceError> {
        let body = json!({ "SourceTableName": source, "TargetTableName": target, "RestoreDateTime": at });
        self.call("RestoreTableToPointInTime", body)
    }

    fn now(&self) -> i64 {
        self.db.service_unix_ns()
    }

    fn arn(&self, table: &str) -> String {
        names::arn("us-east-1", "123456789012", table)
    }
}

fn simple(name: &str) -> Value {
    json!({
        "TableName": name,
        "AttributeDefinitions": [{ "AttributeName": "k", "AttributeType": "S" }],
        "KeySchema": [{ "AttributeName": "k", "KeyType": "HASH" }],
        "BillingMode": "PAY_PER_REQUEST",
    })
}

/// Whole seconds since 1970, for restore times.
#[allow(clippy::cast_precision_loss)]
fn whole(ns: i64) -> f64 {
    ns.div_euclid(SECOND) as f64
}
