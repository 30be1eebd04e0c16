//! From what h2, rustls and the kernel report to what an operator can use.

use super::{
    AdminEndpoint, AdminError, AdminErrorKind as Kind,
    connector::ConnectFailure,
    first_bytes::{Ending, PeerSaid, Protocol},
    probe,
    transport::TransportFailure,
};
use std::{error::Error, io, time::Duration};
use tokio_rustls::rustls::{self, AlertDescription, CertificateError};
use tonic::{Code, Status};

/// How an attempt to connect failed.
#[derive(Debug)]
pub(super) enum Unconnected {
    /// No connection, or one that broke as it began.
    Transport(TransportFailure),
    /// Connected, but the peer does not speak HTTP/2.
    NotSettled(PeerSaid),
    /// The time given was over.
    TimedOut(PeerSaid, Duration),
}

/// Says why `connect` failed; asks the port what it speaks where the failure alone does not tell.
pub(super) async fn unconnected(endpoint: &AdminEndpoint, failure: Unconnected) -> AdminError {
    let pod = Pod(endpoint);
    let (certain, said, fallback) = match failure {
        Unconnected::Transport(error) => match find::<ConnectFailure>(&error) {
            Some(ConnectFailure::Tls { source, said }) => {
                (pod.tls_refusal(source), said.clone(), pod.tls_failed(source))
            }
            Some(failure @ ConnectFailure::TimedOut { reached: true }) => {
                (None, PeerSaid::default(), pod.connect_failure(failure))
            }
            Some(failure) => return pod.connect_failure(failure),
            None => (None, PeerSaid::default(), pod.cut_off("connecting", &chain(&error))),
        },
        Unconnected::NotSettled(said) => {
            let certain = match &said.ending {
                Some(Ending::Failed { tls: Some(error) }) => pod.by_rustls(error),
                _ => None,
            };
            let fallback = if endpoint.tls.is_some() && said.bytes.is_empty() {
                pod.closed_after_tls()
            } else {
                pod.not_http2("it closed the connection or answered with something else")
            };
            (certain, said, fallback)
        }
        Unconnected::TimedOut(said, after) if said.reached => (None, said, pod.no_answer("connecting", after)),
        Unconnected::TimedOut(_, after) => return pod.silent(after),
    };
    if let Some(error) = certain {
        return error;
    }
    let protocol = match said.protocol() {
        Some(protocol) => Some(protocol),
        None => probe::what_speaks(&endpoint.address, endpoint.tcp_user_timeout).await,
    };
    pod.wrong_protocol(protocol).unwrap_or(fallback)
}

/// Says why a call failed. `said` is what the peer of the present connection said so far.
pub(super) fn failed_call(endpoint: &AdminEndpoint, call: &str, status: &Status, said: &PeerSaid) -> AdminError {
    let pod = Pod(endpoint);
    let Some(source) = status.source() else { return pod.answered(call, status) };
    if let Some(failure) = find::<ConnectFailure>(source) {
        return pod.connect_failure(failure);
    }
    let tls = match &said.ending {
        Some(Ending::Failed { tls: Some(error) }) => pod.by_rustls(error),
        _ => None,
    };
    let by_bytes = || pod.wrong_protocol(said.protocol().filter(|p| *p != Protocol::Http2));
    tls.or_else(by_bytes).unwrap_or_else(|| pod.cut_off(call, &chain(source)))
}

/// The time given to a call is over.
pub(super) fn deadline(endpoint: &AdminEndpoint, call: &str, after: Duration) -> AdminError {
    Pod(endpoint).no_answer(call, after)
}

/// Finds an error of type `T` in a chain.
fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    causes(error).find_map(|e| e.downcast_ref())
}

/// An error and its sources, outermost first.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |e: &&'a (dyn Error + 'static)| {
        let e: &'a (dyn Error + 'static) = *e;
        e.source()
    })
}

/// A chain in one line, each cause once.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    for part in causes(error).map(ToString::to_string) {
        if !parts.iter().any(|earlier| earlier.contains(&part)) {
            parts.push(part);
        }
    }
    parts.join(": ")
}

/// Messages about one pod.
struct Pod<'a>(&'a AdminEndpoint);

impl Pod<'_> {
    fn new_error(&self, kind: Kind, what: impl AsRef<str>, hint: &str) -> AdminError {
        AdminError::new(kind, format!("pod {} {}", self.0.label(), what.as_ref()), hint)
    }

    fn connect_failure(&self, failure: &ConnectFailure) -> AdminError {
        match failure {
            ConnectFailure::Resolve(error) => self.new_error(
                Kind::Unresolvable,
                format!("has no address: {error}"),
                "Check the spelling and the resolver; an IP address needs no resolver.",
            ),
            ConnectFailure::Tcp(error) if error.kind() == io::ErrorKind::ConnectionRefused => self.new_error(
                Kind::Refused,
                "refuses connections: nobody listens on that port",
                "Check that the pod runs and that this is its admin port (ScalarDB Server 60051, ScalarDB Cluster 60053, \
                 ScalarDL Ledger 50053, Auditor 40053).",
            ),
            ConnectFailure::Tcp(error) if is_out_of_files(error) => self.new_error(
                Kind::Unreachable,
                format!("cannot be connected to: {error}"),
                "Raise the limit of open files (`ulimit -n`, LimitNOFILE=): each pod takes one, and a few hundred more \
                 are used.",
            ),
            // Somebody took the connection: that is no absence.
            ConnectFailure::Tcp(error)
                if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted) =>
            {
                self.cut_off("connecting", &error.to_string())
            }
            ConnectFailure::Tcp(error) => self.new_error(
                Kind::Unreachable,
                format!("cannot be reached: {error}"),
                "Check the address, routes and firewalls between this machine and the pod.",
            ),
            ConnectFailure::Tls { source, said } => self
                .tls_refusal(source)
                .or_else(|| self.wrong_protocol(said.protocol()))
                .unwrap_or_else(|| self.tls_failed(source)),
            ConnectFailure::TimedOut { reached: true } => self.new_error(
                Kind::DeadlineExceeded,
                "accepts connections and then says nothing",
                "Check that this is the admin port, and whether it expects TLS.",
            ),
            ConnectFailure::TimedOut { reached: false } => self.new_error(
                Kind::Unreachable,
                "does not answer",
                "Check the address, routes and firewalls between this machine and the pod.",
            ),
        }
    }

    fn silent(&self, after: Duration) -> AdminError {
        self.new_error(
            Kind::Unreachable,
            format!("did not answer within {}", humantime::format_duration(after)),
            "Check the address, routes and firewalls between this machine and the pod.",
        )
    }

    fn no_answer(&self, call: &str, after: Duration) -> AdminError {
        self.new_error(
            Kind::DeadlineExceeded,
            format!("did not answer within {} ({call})", humantime::format_duration(after)),
            "Look at the pod's log and load, and check that this is its admin port.",
        )
    }

    fn cut_off(&self, call: &str, why: &str) -> AdminError {
        self.new_error(
            Kind::ConnectionLost,
            format!("lost the connection ({call}): {why}"),
            "The pod or what stands between may have restarted: look at its log.",
        )
    }

    fn not_http2(&self, why: &str) -> AdminError {
        self.new_error(
            Kind::NotHttp2,
            format!("does not speak gRPC on this port: {why}"),
            "Give the admin port (ScalarDB Server 60051, ScalarDB Cluster 60053, ScalarDL Ledger 50053, Auditor 40053), \
             not a metrics or web port.",
        )
    }

    /// What is wrong, when the port speaks `protocol` and we could not speak with it.
    fn wrong_protocol(&self, protocol: Option<Protocol>) -> Option<AdminError> {
        match (protocol?, &self.0.tls) {
            (Protocol::Http1, _) => Some(self.not_http2("it answers in HTTP/1")),
            (Protocol::Tls, None) => Some(self.new_error(
                Kind::TlsExpected,
                "speaks TLS, and plain text was spoken to it",
                "Set `tls` for this target (`tls = { ca_file = \"...\" }`), or --tls on the command line.",
            )),
            (Protocol::Http2, Some(_)) => Some(self.new_error(
                Kind::PlainExpected,
                "speaks plain text, and TLS was spoken to it",
                "Remove `tls` from this target, or --tls from the command line; or turn TLS on in the pod.",
            )),
            (Protocol::Tls, Some(_)) | (Protocol::Http2, None) => None,
        }
    }

    /// The cause of a failed handshake, where rustls names one that needs no further question.
    fn tls_refusal(&self, error: &io::Error) -> Option<AdminError> {
        error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()).and_then(|e| self.by_rustls(e))
    }

    fn tls_failed(&self, error: &io::Error) -> AdminError {
        self.new_error(
            Kind::TlsFailed,
            format!("broke off the TLS handshake: {error}"),
            "Check that the port speaks TLS 1.2 or 1.3, and the server's own log.",
        )
    }

    fn closed_after_tls(&self) -> AdminError {
        self.new_error(
            Kind::TlsFailed,
            "closed the connection right after the TLS handshake",
            "It may ask for a client certificate (`cert_file` and `key_file`), or speak something else than gRPC on this port.",
        )
    }

    fn by_rustls(&self, error: &rustls::Error) -> Option<AdminError> {
        use rustls::Error as Tls;
        match error {
            Tls::InvalidCertificate(reason) => Some(self.bad_certificate(reason)),
            Tls::AlertReceived(AlertDescription::NoApplicationProtocol) => {
                Some(self.not_http2("its TLS offers no HTTP/2 (ALPN)"))
            }
            Tls::AlertReceived(AlertDescription::UnrecognisedName) => Some(self.new_error(
                Kind::WrongAuthority,
                format!("does not answer to the name `{}`", self.0.called()),
                "Set `tls.authority` to a name that the server has a certificate for.",
            )),
            Tls::AlertReceived(alert) if is_about_certificates(*alert) => Some(self.new_error(
                Kind::BadCertificate,
                format!("refused the TLS handshake: {alert:?}"),
                "If the server asks for a client certificate, set `cert_file` and `key_file` to one that it trusts.",
            )),
            Tls::AlertReceived(alert) => Some(self.new_error(
                Kind::TlsFailed,
                format!("refused the TLS handshake: {alert:?}"),
                "Check which TLS versions and ciphers the server allows; TLS 1.2 and 1.3 are spoken.",
            )),
            // Not TLS at all: the first bytes tell what it is.
            _ => None,
        }
    }

    fn bad_certificate(&self, reason: &CertificateError) -> AdminError {
        use CertificateError as C;
        let (kind, what, hint) = match reason {
            C::NotValidForNameContext { presented, .. } => (
                Kind::WrongAuthority,
                format!("has a certificate for {} and not for `{}`", names(presented), self.0.called()),
                "Set `tls.authority` to one of the names in the certificate.",
            ),
            C::NotValidForName => (
                Kind::WrongAuthority,
                format!("has a certificate that is not for `{}`", self.0.called()),
                "Set `tls.authority` to one of the names in the certificate.",
            ),
            C::UnknownIssuer | C::BadSignature => (
                Kind::BadCertificate,
                "has a certificate signed by a CA that is not trusted here".to_owned(),
                "Set `tls.ca_file` to the PEM file of the CA that signed it.",
            ),
            C::Expired | C::ExpiredContext { .. } | C::NotValidYet | C::NotValidYetContext { .. } => (
                Kind::BadCertificate,
                format!("has a certificate that is not valid now: {reason}"),
                "Renew the server's certificate, or set this machine's clock right.",
            ),
            other => (
                Kind::BadCertificate,
                format!("has a certificate that cannot be accepted: {other}"),
                "Look at the certificate with `openssl s_client -connect`, and have it issued anew.",
            ),
        };
        self.new_error(kind, what, hint)
    }

    /// The server, or a proxy before it, answered with a status.
    fn answered(&self, call: &str, status: &Status) -> AdminError {
        let said = if status.message().is_empty() { status.code().description() } else { status.message() };
        let (kind, what, hint) = match status.code() {
            Code::Unimplemented => (
                Kind::Unimplemented,
                format!("has no {call}: {said}"),
                "Check that this is the admin port. ScalarDB Server before 3.6 has no CheckPaused.",
            ),
            Code::Unavailable => (
                Kind::Unavailable,
                format!("is not available ({call}): {said}"),
                "Look at the pod's log, and try again.",
            ),
            Code::DeadlineExceeded => (
                Kind::DeadlineExceeded,
                format!("did not finish {call} in time: {said}"),
                "Look at the pod's log and load; the call may still take effect.",
            ),
            code => (
                Kind::ServerSaid(code),
                format!("answered {call} with {code:?}: {said}"),
                "Look at the pod's log at this moment.",
            ),
        };
        self.new_error(kind, what, hint)
    }
}

fn is_out_of_files(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE))
}

fn is_about_certificates(alert: AlertDescription) -> bool {
    use AlertDescription as A;
    matches!(
        alert,
        A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateExpired
            | A::CertificateUnknown
            | A::UnknownCA
            | A::AccessDenied
            | A::CertificateRequired
            | A::NoCertificate
            // A CA of the same name with another key.
            | A::DecryptError
            // What servers say to a missing client certificate under TLS 1.2.
            | A::HandshakeFailure
    )
}

fn names(presented: &[String]) -> String {
    if presented.is_empty() {
        return "no name".to_owned();
    }
    presented.iter().map(|name| format!("`{}`", bare(name))).collect::<Vec<_>>().join(", ")
}

/// rustls writes `DnsName("pod.example")` and `IpAddress(10.0.0.4)`.
fn bare(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(name).trim_matches('"')
}
