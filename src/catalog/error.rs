//! What can go wrong with a catalog, by meaning.

use std::error::Error;
use std::io;

/// The meaning of a catalog error, for code that branches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CatalogErrorKind {
    /// The URL names no catalog that could be opened.
    BadUrl,
    /// The store is there and refuses writes for a reason other than those below (read-only file system, not a folder).
    Unwritable,
    /// The store did not answer, or not in time. Whether a write arrived is not known; the same call can succeed later.
    Unreachable,
    /// No space, or over quota.
    Full,
    /// No credentials, or not enough rights.
    Permission,
    /// An object is not what was written there.
    Damaged {
        /// Its name inside the catalog.
        object: String,
    },
    /// No such point, lock or note.
    NotFound {
        /// What was looked for.
        id: String,
    },
    /// Somebody else wrote first: we lost, and must stop.
    Conflict,
    /// An object was written by a newer version of Stillpoint.
    NewerVersion {
        /// The format version it needs.
        version: u64,
    },
    /// The store accepts a second creation of the same object, so it cannot carry a catalog.
    NotCreateOnly,
    /// The event may not follow the state of its log.
    NotAllowed,
    /// An id or name that no catalog would give.
    BadId,
}

/// An error of the catalog. The text does not repeat its source; the chain is printed once, at the edge.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct CatalogError {
    /// Its meaning.
    pub kind: CatalogErrorKind,
    /// What was tried, on which object, and why it failed. Never holds credentials.
    pub message: String,
    hint: String,
    #[source]
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl CatalogError {
    /// An error with its advice.
    pub fn new(kind: CatalogErrorKind, message: impl Into<String>, hint: impl Into<String>) -> Self {
        CatalogError { kind, message: message.into(), hint: hint.into(), source: None }
    }

    /// What the operator does next.
    pub fn hint(&self) -> &str {
        &self.hint
    }

    /// A stable name for scripts, e.g. `catalog_full`.
    pub fn name(&self) -> &'static str {
        match self.kind {
            CatalogErrorKind::BadUrl => "catalog_bad_url",
            CatalogErrorKind::Unwritable => "catalog_unwritable",
            CatalogErrorKind::Unreachable => "catalog_unreachable",
            CatalogErrorKind::Full => "catalog_full",
            CatalogErrorKind::Permission => "catalog_permission",
            CatalogErrorKind::Damaged { .. } => "catalog_damaged",
            CatalogErrorKind::NotFound { .. } => "not_found",
            CatalogErrorKind::Conflict => "catalog_conflict",
            CatalogErrorKind::NewerVersion { .. } => "catalog_newer_version",
            CatalogErrorKind::NotCreateOnly => "catalog_not_create_only",
            CatalogErrorKind::NotAllowed => "catalog_not_allowed",
            CatalogErrorKind::BadId => "bad_id",
        }
    }

    /// Whether the same call can succeed later without anybody changing anything.
    pub fn retryable(&self) -> bool {
        self.kind == CatalogErrorKind::Unreachable
    }

    /// An object that is not what was written there.
    pub(crate) fn damaged(object: impl Into<String>, why: impl std::fmt::Display) -> Self {
        let object = object.into();
        CatalogError::new(
            CatalogErrorKind::Damaged { object: object.clone() },
            format!("catalog object `{object}` is damaged: {why}"),
            "nothing was overwritten; put the object back from a copy (bucket versioning, file backup), or keep it aside for a \
             person to read",
        )
    }

    /// An object of a newer format.
    pub(crate) fn newer(object: &str, version: u64, program: &str, ours: u64) -> Self {
        CatalogError::new(
            CatalogErrorKind::NewerVersion { version },
            format!(
                "catalog object `{object}` was written by stillpoint {program} in format version {version}; this program reads up \
                 to version {ours}"
            ),
            format!("use stillpoint {program} or later with this catalog"),
        )
    }

    /// Somebody else wrote the object we wanted to write.
    pub(crate) fn conflict(object: &str, by: &str) -> Self {
        CatalogError::new(
            CatalogErrorKind::Conflict,
            format!("another writer ({by}) created catalog object `{object}` first"),
            "another stillpoint works on the same object; look at it with `stillpoint show` or `stillpoint status` before \
             trying again",
        )
    }

    /// What a store answered, translated by meaning. `doing` is the operation and its object: "write `points/x/00000001.json`".
    pub(crate) fn from_store(doing: &str, place: &str, source: object_store::Error) -> Self {
        let kind = meaning(&source);
        let message = format!("cannot {doing} in the catalog {place}: {}", detail(&source));
        let hint = match &kind {
            CatalogErrorKind::Full => "make room, or point [catalog] url elsewhere",
            CatalogErrorKind::Permission => permission_hint(place),
            CatalogErrorKind::Unwritable => {
                "check that the catalog's folder is a folder on a file system mounted for writing"
            }
            CatalogErrorKind::BadUrl => "check [catalog] url",
            CatalogErrorKind::NotFound { .. } => "check the bucket or container name in [catalog] url",
            _ => "check the network and the endpoint, then run the same command again",
        };
        CatalogError { kind, message, hint: hint.to_owned(), source: None }
    }

    /// A call that did not end in time.
    pub(crate) fn timed_out(doing: &str, place: &str, after: std::time::Duration) -> Self {
        CatalogError::new(
            CatalogErrorKind::Unreachable,
            format!("cannot {doing} in the catalog {place}: no answer within {after:?}"),
            "check the network and the endpoint, then run the same command again",
        )
    }
}

fn permission_hint(place: &str) -> &'static str {
    match place.split_once(':').map(|(scheme, _)| scheme) {
        Some("s3" | "s3a") => {
            "give credentials by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a web identity, or the container's or instance's role \
             (profiles are not read here), with s3:GetObject, s3:PutObject, s3:DeleteObject and s3:ListBucket"
        }
        Some("az" | "abfs" | "abfss") => {
            "give AZURE_STORAGE_ACCOUNT_NAME and a key, token or identity by AZURE_*, with read, write, list and delete on blobs"
        }
        Some("gs") => {
            "give GOOGLE_APPLICATION_CREDENTIALS or a workload identity, with storage.objects get, create, list and delete"
        }
        _ => "let this user read and write the catalog's folder",
    }
}

fn meaning(error: &object_store::Error) -> CatalogErrorKind {
    use object_store::Error as E;
    match error {
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => CatalogErrorKind::Permission,
        E::NotFound { path, .. } => CatalogErrorKind::NotFound { id: path.clone() },
        E::NotImplemented { .. } | E::NotSupported { .. } => CatalogErrorKind::NotCreateOnly,
        E::InvalidPath { .. } | E::UnknownConfigurationKey { .. } => CatalogErrorKind::BadUrl,
        other => match io_cause(other).map(io::Error::kind) {
            Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge) => {
                CatalogErrorKind::Full
            }
            Some(io::ErrorKind::PermissionDenied) => CatalogErrorKind::Permission,
            Some(
                io::ErrorKind::ReadOnlyFilesystem
                | io::ErrorKind::NotADirectory
                | io::ErrorKind::IsADirectory
                | io::ErrorKind::InvalidFilename
                | io::ErrorKind::Unsupported
                | io::ErrorKind::NotFound,
            ) => CatalogErrorKind::Unwritable,
            _ if no_credentials(other) => CatalogErrorKind::Permission,
            _ => CatalogErrorKind::Unreachable,
        },
    }
}

/// The clouds' builders look for an identity at the machine's metadata service last; without one the call ends there.
fn no_credentials(error: &object_store::Error) -> bool {
    let text = error.to_string();
    [
        "169.254.169.254",
        "169.254.170.2",
        "metadata.google.internal",
        "instance metadata",
        "ExpiredToken",
        "InvalidAccessKeyId",
    ]
    .iter()
    .any(|mark| text.contains(mark))
}

/// Errors a local file system gives for good: trying again at once cannot help, and after a failed fsync it would even hide that
/// the first write may not be durable.
pub(crate) fn is_final_io_error(error: &object_store::Error) -> bool {
    io_cause(error).is_some_and(|cause| {
        !matches!(
            cause.kind(),
            io::ErrorKind::Interrupted
                | io::ErrorKind::WouldBlock
                | io::ErrorKind::TimedOut
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::ConnectionRefused
                | io::ErrorKind::NotConnected
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof
        )
    })
}

fn io_cause(error: &object_store::Error) -> Option<&io::Error> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(io) = current.downcast_ref::<io::Error>() {
            return Some(io);
        }
        cause = current.source();
    }
    None
}

/// The reason in one line: the service's own code and message instead of a page of XML, and no query string of a URL, since that
/// is where signatures travel.
fn detail(error: &object_store::Error) -> String {
    let local = matches!(error, object_store::Error::Generic { store: "LocalFileSystem", .. });
    let cause = if local { io_cause(error) } else { None };
    let mut whole = cause.map_or_else(|| error.to_string(), ToString::to_string);
    // What HTTP clients say of a request that got nowhere leaves out why.
    if !local && let Some(cause) = io_cause(error).map(ToString::to_string).filter(|cause| !whole.contains(cause)) {
        whole = format!("{}: {cause}", without_tries(&whole));
    }
    let tag = |name: &str| {
        let after = whole.split_once(&format!("<{name}>"))?.1;
        Some(after.split_once(&format!("</{name}>"))?.0.to_owned())
    };
    let text = match (tag("Code"), tag("Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code,
        _ => whole.split('<').next().unwrap_or_default().to_owned(),
    };
    let words: Vec<_> =
        text.split_whitespace().map(|word| word.split_once('?').map_or(word, |(head, _)| head)).collect();
    let line = words.join(" ");
    line.chars().take(400).collect()
}

/// `Generic S3 error: Error performing PUT <URL> in 3ms, after 2 retries, ... - <why>` without what differs from try to try.
fn without_tries(text: &str) -> String {
    let text = text.split_once("Error performing ").map_or(text, |(_, rest)| rest);
    match (text.split_once(" in "), text.rsplit_once(" - ")) {
        (Some((what, _)), Some((_, why))) => format!("{what}: {why}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(source: impl Into<Box<dyn Error + Send + Sync>>) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: source.into() }
    }

    #[test]
    fn a_full_disk_is_told_apart_from_a_network_that_is_down() {
        let full = CatalogError::from_store("write `x`", "file:///c", generic(io::Error::from_raw_os_error(28)));
        assert_eq!(full.kind, CatalogErrorKind::Full);
        assert!(full.message.contains("No space left"), "{full}");
        let down = CatalogError::from_store("write `x`", "s3://b/c", generic("connection refused"));
        assert_eq!(down.kind, CatalogErrorKind::Unreachable);
        assert!(down.retryable() && !full.retryable());
    }

    #[test]
    fn the_service_s_own_words_are_kept_and_signatures_are_not() {
        let text = "Error performing PUT https://b.example/c?sig=c2VjcmV0 in 3ms - Server returned non-2xx status code: 400 Bad Request: \
                    <?xml version=\"1.0\"?><Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message>\
                    <StringToSign>AWS4 c2VjcmV0</StringToSign></Error>";
        let error = CatalogError::from_store("write `x`", "s3://b/c", generic(text));
        assert_eq!(error.kind, CatalogErrorKind::Permission);
        assert!(error.message.ends_with("ExpiredToken: The provided token has expired."), "{error}");
        let plain =
            CatalogError::from_store("write `x`", "s3://b/c", generic("GET https://b.example/c?sig=c2VjcmV0 in 3ms"));
        assert!(plain.message.ends_with("GET https://b.example/c in 3ms"), "{plain}");
        assert!(!format!("{plain:?} {error:?}").contains("c2VjcmV0"));
    }
}
