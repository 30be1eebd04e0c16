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
