//! Provider errors: what, on which object, why, whether a retry can help, and what the operator does next.

/// The meaning of a provider error, for code that branches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// PITR is off on the named data sets.
    PitrOff,
    /// No usable credentials, or expired ones.
    Credentials,
    /// The service said no to this identity.
    PermissionDenied,
    /// A data set, its metadata or the coordinator table is missing.
    NotFound,
    /// The endpoint or host could not be reached.
    Unreachable,
    /// The service asked us to slow down, and kept asking.
    Throttled,
    /// The database's clock could not be bounded.
    ClockUnsure,
    /// The data set is in a state in which this cannot work (deleted, archived, key unusable).
    WrongState,
    /// The settings of this database make no sense to the service.
    Invalid,
    /// The data set can never again be restored to the time asked for.
    Lost,
    /// Whoever drives the work has lost the right to act.
    Fenced,
    /// The caller cancelled.
    Cancelled,
    /// Anything else the service answered.
    Service,
}

/// An error of a provider. The text does not repeat its source; the chain is printed once, at the edge.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ProviderError {
    /// Its meaning.
    pub kind: ErrorKind,
    /// What was tried, on which object.
    pub message: String,
    /// What the operator does next.
    pub hint: String,
    /// Whether the same call can succeed later without anybody changing anything.
    pub retryable: bool,
    /// Data sets concerned: for [`ErrorKind::PitrOff`] all of them.
    pub subjects: Vec<String>,
    /// The cause.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl ErrorKind {
    /// Whether waiting alone can cure an error of this meaning: what [`ProviderError::new`] starts from.
    fn may_pass(self) -> bool {
        match self {
            ErrorKind::Unreachable | ErrorKind::Throttled | ErrorKind::ClockUnsure => true,
            ErrorKind::PitrOff
            | ErrorKind::Credentials
            | ErrorKind::PermissionDenied
            | ErrorKind::NotFound
            | ErrorKind::WrongState
            | ErrorKind::Invalid
            | ErrorKind::Lost
            | ErrorKind::Fenced
            | ErrorKind::Cancelled
            | ErrorKind::Service => false,
        }
    }
}

impl ProviderError {
    /// An error about no data set in particular, without a cause; `retryable` follows from the kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: hint.into(),
            retryable: kind.may_pass(),
            subjects: Vec::new(),
            source: None,
        }
    }

    /// The caller cancelled while `what` was going on.
    pub fn cancelled(what: impl std::fmt::Display) -> Self {
        Self::new(
            ErrorKind::Cancelled,
            format!("{what} was cancelled"),
            "nothing was changed at the service; run the command again when you like",
        )
    }

    /// Names the data sets concerned.
    #[must_use]
    pub fn about<S: Into<String>>(mut self, subjects: impl IntoIterator<Item = S>) -> Self {
        self.subjects = subjects.into_iter().map(Into::into).collect();
        self
    }

    /// Keeps the cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Says whether the same call can succeed later without anybody changing anything.
    #[must_use]
    pub fn retryable(mut self, retryable: bool) -> Self {
        self.retryable = retryable;
        self
    }
}
