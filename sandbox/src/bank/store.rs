//! The database as the workload sees it: one call with a target and a JSON body, as on DynamoDB's wire.

use std::sync::Arc;

use serde_json::{Value, json};

/// An item: attribute name to DynamoDB's JSON AttributeValue, e.g. `{"balance": {"N": "7"}}`.
pub type Item = serde_json::Map<String, Value>;

/// What the database answers instead of a success.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct StoreError {
    /// Name of the exception, without its namespace.
    pub code: String,
    /// For people.
    pub message: String,
}

impl StoreError {
    /// Did a condition not hold?
    pub fn is_condition(&self) -> bool {
        self.code == "ConditionalCheckFailedException"
    }

    fn is_not_ready(&self) -> bool {
        let later = ["ContinuousBackupsUnavailableException", "TableNotFoundException", "ResourceInUseException"];
        self.is_busy() || later.contains(&self.code.as_str())
    }

    /// Was it refused for now, because of a rate or a limit?
    pub(super) fn is_busy(&self) -> bool {
        let busy = ["ThrottlingException", "ProvisionedThroughputExceededException", "LimitExceededException"];
        busy.contains(&self.code.as_str())
    }
}

/// One DynamoDB account. Calls may block for as long as a lock takes; a repeat is a new call.
pub trait Store: Send + Sync + 'static {
    /// `target` as in the `X-Amz-Target` header, e.g. `DynamoDB_20120810.PutItem`.
    ///
    /// # Errors
    /// What the service would answer.
    fn call(&self, target: &str, body: Value) -> Result<Value, StoreError>;
}

impl<S: Store + ?Sized> Store for Arc<S> {
    fn call(&self, target: &str, body: Value) -> Result<Value, StoreError> {
        (**self).call(target, body)
    }
}

/// Calls DynamoDB itself.
pub(super) fn dynamo(store: &dyn Store, operation: &str, body: Value) -> Result<Value, StoreError> {
    store.call(&format!("DynamoDB_20120810.{operation}"), body)
}

/// Calls again while the service says that it is not ready yet; blocks meanwhile.
pub(super) fn when_ready(store: &dyn Store, target: &str, body: &Value) -> Result<Value, StoreError> {
    // Lags are scaled in a sandbox, but a test may ask for the real ones: minutes.
    for _ in 0..6_000 {
        match store.call(target, body.clone()) {
            Err(error) if error.is_not_ready() => std::thread::sleep(std::time::Duration::from_millis(50)),
            answered => return answered,
        }
    }
    store.call(target, body.clone())
}

pub(super) fn s(text: &str) -> Value {
    json!({ "S": text })
}

pub(super) fn n(number: i64) -> Value {
    json!({ "N": number.to_string() })
}

pub(super) fn number(item: &Item, attribute: &str) -> Option<i64> {
    item.get(attribute)?.get("N")?.as_str()?.parse().ok()
}

pub(super) fn text<'a>(item: &'a Item, attribute: &str) -> Option<&'a str> {
    item.get(attribute)?.get("S")?.as_str()
}
