//! Where a pod's Scalar Admin endpoint is, and how to speak to it: everything the guard needs, and no secret.

use super::{AdminError, AdminErrorKind};
use serde::{Deserialize, Serialize};
use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

/// `host:port`, an IPv6 address in brackets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// A host name or an IP address, without brackets.
    pub host: String,
    /// Never 0.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl FromStr for HostPort {
    type Err = AdminError;

    /// Errors with [`AdminErrorKind::InvalidSettings`]; nothing is resolved.
    fn from_str(text: &str) -> Result<Self, AdminError> {
        let wrong = |why: &str| {
            AdminError::new(
                AdminErrorKind::InvalidSettings,
                format!("`{text}` is not the address of a pod: {why}"),
                "Write host:port, for example 10.0.0.4:60051, pod-1.example.com:60051 or [2001:db8::4]:60051.",
            )
        };
        if text.contains("//") {
            return Err(wrong("it has a scheme or a path"));
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => rest.split_once("]:").ok_or_else(|| wrong("`]:port` is missing"))?,
            None => text.rsplit_once(':').ok_or_else(|| wrong("the port is missing"))?,
        };
        let bracketed = text.starts_with('[');
        if bracketed && host.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(wrong("there is no IPv6 address between the brackets"));
        }
        if !bracketed && host.contains(':') {
            return Err(wrong("an IPv6 address goes in brackets"));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        if host.is_empty() || !host.chars().all(plain) {
            return Err(wrong("the host is empty or has a character that no host name has"));
        }
        match port.parse::<u16>() {
            Ok(port) if port > 0 => Ok(Self { host: host.to_owned(), port }),
            _ => Err(wrong("the port is not a number from 1 to 65535")),
        }
    }
}

/// How to speak TLS to a pod: references to files, never key material, so that it may be written into a note.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsReference {
    /// PEM file with the CAs that may have signed the server's certificate; the system's roots when absent.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// The same as text, which is no secret; at most one of the two is set.
    #[serde(default)]
    pub ca_pem: Option<String>,
    /// PEM file with the client's certificate chain; goes with `key_file`.
    #[serde(default)]
    pub cert_file: Option<PathBuf>,
    /// PEM file with the client's private key; goes with `cert_file`.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// The name that the server's certificate must show, and the call's `:authority`, in place of the address.
    #[serde(default)]
    pub authority: Option<String>,
}

/// One pod's Scalar Admin endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AdminEndpoint {
    /// `host:port` to connect to, an IPv6 address in brackets.
    pub address: String,
    /// Absent: plain text.
    pub tls: Option<TlsReference>,
    /// The name the pod is known by (`host` or `host:port`), where it is not the address; `tls.authority` goes before it.
    pub authority: Option<String>,
    /// How long the kernel may go on sending what was not acknowledged: bounds how late a Pause can still arrive.
    #[serde(rename = "tcp_user_timeout_ms", with = "milliseconds")]
    pub tcp_user_timeout: Duration,
}

impl AdminEndpoint {
    /// The pod in messages: its name, and the address where that differs.
    pub fn label(&self) -> String {
        match &self.authority {
            Some(name) if *name != self.address => format!("{name} ({})", self.address),
            _ => self.address.clone(),
        }
    }

    /// What the calls say as `:authority`.
    pub fn called(&self) -> &str {
        let by_tls = self.tls.as_ref().and_then(|tls| tls.authority.as_deref());
        by_tls.or(self.authority.as_deref()).unwrap_or(&self.address)
    }
}

mod milliseconds {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::time::Duration;

    pub fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_back_as_it_was_written() {
        for text in ["10.0.0.4:60051", "pod-1.example.com:1", "[::1]:65535", "scalardb_1:60053"] {
            assert_eq!(text.parse::<HostPort>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_reason_and_an_example() {
        let cases = [
            ("10.0.0.4", "the port is missing"),
            ("10.0.0.4:0", "1 to 65535"),
            ("10.0.0.4:70000", "1 to 65535"),
            ("::1:60051", "brackets"),
            ("[::1]", "`]:port`"),
            ("[pod]:1", "no IPv6 address"),
            ("http://10.0.0.4:60051", "scheme"),
            (":60051", "the host is empty"),
            ("po d:60051", "no host name has"),
        ];
        for (text, why) in cases {
            let error = text.parse::<HostPort>().unwrap_err();
            assert_eq!(error.kind, AdminErrorKind::InvalidSettings);
            assert!(error.message.contains(why), "{text}: {}", error.message);
            assert!(error.hint.contains("host:port"));
        }
    }

    #[test]
    fn an_endpoint_survives_being_written_into_a_note() {
        let tls = TlsReference { ca_file: Some("/etc/ca.pem".into()), ..TlsReference::default() };
        let endpoint = AdminEndpoint {
            address: "[::1]:60051".into(),
            tls: Some(tls),
            authority: Some("pod-1:60051".into()),
            tcp_user_timeout: Duration::from_millis(10_500),
        };
        let note = serde_json::to_string(&endpoint).unwrap();
        assert!(note.contains("\"tcp_user_timeout_ms\":10500"), "{note}");
        assert_eq!(serde_json::from_str::<AdminEndpoint>(&note).unwrap(), endpoint);
        assert_eq!(endpoint.label(), "pod-1:60051 ([::1]:60051)");
        assert_eq!(endpoint.called(), "pod-1:60051");
    }
}
