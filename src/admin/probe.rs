//! Asks a port that did not behave what it does speak. Only for error messages: nothing here touches a gate.

use super::{connector::tcp_connect, first_bytes::Protocol};
use std::{sync::Arc, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, crypto::aws_lc_rs, pki_types::ServerName};

/// For one question. A port that is alive answers garbage in a round trip; one that is not leaves the cause unknown.
const QUESTION: Duration = Duration::from_millis(700);

/// The client's HTTP/2 preface and an empty SETTINGS frame.
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
const HTTP1: &[u8] = b"GET / HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n";

/// What `address` speaks, if it can be found out within about two seconds.
pub(super) async fn what_speaks(address: &str, user_timeout: Duration) -> Option<Protocol> {
    let hello = client_hello();
    let questions = [Some(HTTP2), hello.as_deref(), Some(HTTP1)];
    for question in questions.into_iter().flatten() {
        let asked = tokio::time::timeout(QUESTION, ask(address, user_timeout, question)).await;
        if let Ok(Some(protocol)) = asked {
            return Some(protocol);
        }
    }
    None
}

async fn ask(address: &str, user_timeout: Duration, question: &[u8]) -> Option<Protocol> {
    let mut stream = tcp_connect(address, user_timeout).await.ok()?;
    stream.write_all(question).await.ok()?;
    let mut answer = Vec::with_capacity(64);
    loop {
        let read = stream.read_buf(&mut answer).await.ok()?;
        let protocol = Protocol::of(&answer);
        if protocol.is_some() || read == 0 || answer.len() >= 64 {
            return protocol;
        }
    }
}

/// The first flight of a TLS handshake; it goes no further, so no certificate is looked at.
fn client_hello() -> Option<Vec<u8>> {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .ok()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from("pod.invalid").ok()?;
    let mut hello = Vec::new();
    ClientConnection::new(Arc::new(config), name).ok()?.write_tls(&mut hello).ok()?;
    Some(hello)
}
