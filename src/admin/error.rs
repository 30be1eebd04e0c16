//! What can go wrong between us and a pod, by meaning.

use tonic::Code;

/// The meaning of an [`AdminError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AdminErrorKind {
    /// The address, a TLS file or a name in the settings makes no sense; nothing was sent.
    InvalidSettings,
    /// The host name has no address.
    Unresolvable,
    /// The host answered that nobody listens on that port.
    Refused,
    /// The host did not answer, or there is no way to it.
    Unreachable,
    /// Plain text was spoken to a port that speaks TLS.
    TlsExpected,
    /// TLS was spoken to a port that speaks plain text.
    PlainExpected,
    /// The port speaks something else, such as HTTP/1.
    NotHttp2,
    /// A certificate was refused: the server's by us, or ours (or its absence) by the server.
    BadCertificate,
    /// The server's certificate is for other names.
    WrongAuthority,
    /// The TLS handshake failed in another way.
    TlsFailed,
    /// The server has no such call.
    Unimplemented,
    /// No answer in the time given.
    DeadlineExceeded,
    /// The connection ended before the answer came.
    ConnectionLost,
    /// The server, or what stands before it, said that it is not available now.
    Unavailable,
    /// The server answered with this gRPC status.
    ServerSaid(Code),
}

impl AdminErrorKind {
    /// A stable name for scripts.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidSettings => "invalid_endpoint",
            Self::Unresolvable => "pod_unresolvable",
            Self::Refused => "pod_refused_connection",
            Self::Unreachable => "pod_unreachable",
            Self::TlsExpected => "tls_expected",
            Self::PlainExpected => "plain_text_expected",
            Self::NotHttp2 => "not_http2",
            Self::BadCertificate => "bad_certificate",
            Self::WrongAuthority => "wrong_authority",
            Self::TlsFailed => "tls_failed",
            Self::Unimplemented => "unimplemented",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::ConnectionLost => "connection_lost",
            Self::Unavailable => "unavailable",
            Self::ServerSaid(_) => "server_error",
        }
    }
}

/// A call or a connection that failed. The message names the pod and the cause; the hint is what to do next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct AdminError {
    /// Its meaning.
    pub kind: AdminErrorKind,
    /// What was tried, on which pod, and why it failed.
    pub message: String,
    /// What the operator does next.
    pub hint: String,
}

impl AdminError {
    /// Puts an error together.
    pub(crate) fn new(kind: AdminErrorKind, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: hint.into() }
    }
}
