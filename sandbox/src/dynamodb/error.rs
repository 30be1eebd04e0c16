//! Errors as the service answers them.

use std::fmt;

use serde_json::{Map, Value};

/// An answer other than success: what a client of the real service would see.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceError {
    /// HTTP status, 400 for nearly everything.
    pub status: u16,
    /// Error name without its namespace, such as `ResourceNotFoundException`.
    pub code: String,
    /// The service's text.
    pub message: String,
    /// Further members of the error body (`CancellationReasons`, `Item`).
    pub details: Map<String, Value>,
}

impl ServiceError {
    /// An error with HTTP status 400.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { status: 400, code: code.to_owned(), message: message.into(), details: Map::new() }
    }

    /// The same error with another HTTP status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationException", message)
    }

    pub(crate) fn resource_not_found(table: &str) -> Self {
        Self::new("ResourceNotFoundException", format!("Requested resource not found: Table: {table} not found"))
    }

    pub(crate) fn data_not_found() -> Self {
        Self::new("ResourceNotFoundException", "Requested resource not found")
    }

    pub(crate) fn table_not_found(table: &str) -> Self {
        Self::new("TableNotFoundException", format!("Table not found: {table}"))
    }

    pub(crate) fn in_use(message: impl Into<String>) -> Self {
        Self::new("ResourceInUseException", message)
    }

    pub(crate) fn limit(message: impl Into<String>) -> Self {
        Self::new("LimitExceededException", message)
    }

    pub(crate) fn throttled() -> Self {
        Self::new("ThrottlingException", "Rate exceeded")
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new("InternalServerError", message).with_status(500)
    }

    pub(crate) fn unknown_operation() -> Self {
        Self::new("UnknownOperationException", "")
    }

    /// True for answers that mean "too fast" rather than "wrong".
    #[must_use]
    pub fn is_throttle(&self) -> bool {
        self.code == "ThrottlingException"
    }

    /// The error body, `__type` first in meaning; `namespace` is the service's own (`com.amazonaws.dynamodb...`).
    pub(crate) fn body(&self, namespace: &str) -> Value {
        let kind = match self.code.as_str() {
            "ValidationException" if !namespace.is_empty() => "com.amazon.coral.validate#".to_owned(),
            "ThrottlingException" if !namespace.is_empty() => "com.amazon.coral.availability#".to_owned(),
            "UnknownOperationException"
            | "SerializationException"
            | "MissingAuthenticationTokenException"
            | "UnrecognizedClientException"
            | "ExpiredTokenException"
            | "InvalidSignatureException"
            | "AccessDeniedException"
                if !namespace.is_empty() =>
            {
                "com.amazon.coral.service#".to_owned()
            }
            _ if namespace.is_empty() => String::new(),
            _ => format!("{namespace}#"),
        };
        let mut body = self.details.clone();
        body.insert("__type".into(), format!("{kind}{}", self.code).into());
        if !self.message.is_empty() {
            let capital = matches!(self.code.as_str(), "SerializationException" | "TransactionCanceledException");
            body.insert(if capital { "Message" } else { "message" }.into(), self.message.clone().into());
        }
        Value::Object(body)
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.code, self.status, self.message)
    }
}

impl std::error::Error for ServiceError {}

impl From<dynoxide::DynoxideError> for ServiceError {
    fn from(error: dynoxide::DynoxideError) -> Self {
        let kind = error.error_type();
        let mut details: Map<String, Value> = serde_json::from_str(&error.to_json()).unwrap_or_default();
        for known in ["__type", "message", "Message"] {
            details.remove(known);
        }
        Self {
            status: error.status_code(),
            code: kind.rsplit('#').next().unwrap_or(kind).to_owned(),
            message: error.to_string(),
            details,
        }
    }
}
