//! Makes the one connection to a pod: name, TCP with its options, TLS. tonic's own connector has no TCP user
//! timeout, reads the system's roots once per pod, and hides what the peer said.

use super::{
    AdminEndpoint, AdminError,
    first_bytes::{FirstBytes, PeerSaid, Seen},
    tls,
};
use std::{
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpSocket, TcpStream},
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, pki_types::ServerName},
};

/// For one attempt to connect, name to TLS. A release tries again and again: an attempt that hangs because the pod's
/// host was away must not keep the next one, to a host that is back, waiting.
const ATTEMPT: Duration = Duration::from_secs(5);

/// Anything a connection can be made of.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectFailure {
    #[error("the host name cannot be resolved")]
    Resolve(#[source] io::Error),
    #[error("no TCP connection")]
    Tcp(#[source] io::Error),
    #[error("the TLS handshake failed")]
    Tls {
        #[source]
        source: io::Error,
        /// What the peer sent, below TLS.
        said: PeerSaid,
    },
    #[error("no connection in time")]
    TimedOut {
        /// TCP was connected; what came next hung.
        reached: bool,
    },
}

struct Link {
    address: String,
    user_timeout: Duration,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// Of the latest connection.
    seen: Mutex<Seen>,
    made: AtomicU64,
}

/// Connects to one pod each time it is called, and counts the times.
#[derive(Clone)]
pub(super) struct Connector(Arc<Link>);

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("address", &self.0.address)
            .field("made", &self.made())
            .finish_non_exhaustive()
    }
}

impl Connector {
    /// Reads the TLS files; touches no network.
    pub(super) fn new(endpoint: &AdminEndpoint) -> Result<Self, AdminError> {
        let tls = match &endpoint.tls {
            Some(reference) => Some((tls::client_config(reference)?, tls::server_name(endpoint)?)),
            None => None,
        };
        Ok(Self(Arc::new(Link {
            address: endpoint.address.clone(),
            user_timeout: endpoint.tcp_user_timeout,
            tls,
            seen: Mutex::new(Seen::new()),
            made: AtomicU64::new(0),
        })))
    }

    /// How often a connection was begun.
    pub(super) fn made(&self) -> u64 {
        self.0.made.load(Ordering::Acquire)
    }

    /// What the peer of the latest connection said (above TLS).
    pub(super) fn seen(&self) -> Seen {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Connector {
    /// Connects once more.
    pub(super) async fn connect(&self) -> Result<FirstBytes<Box<dyn Stream>>, ConnectFailure> {
        let link = &*self.0;
        link.made.fetch_add(1, Ordering::AcqRel);
        let seen = Seen::new();
        *link.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen.clone();
        match tokio::time::timeout(ATTEMPT, link.open(seen.clone())).await {
            Ok(opened) => opened,
            Err(_) => Err(ConnectFailure::TimedOut { reached: seen.now().reached }),
        }
    }
}

impl Link {
    async fn open(&self, seen: Seen) -> Result<FirstBytes<Box<dyn Stream>>, ConnectFailure> {
        let tcp = tcp_connect(&self.address, self.user_timeout).await?;
        seen.note_reached();
        let stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(tcp),
            Some((config, name)) => {
                let below = Seen::new();
                let tcp = FirstBytes::new(tcp, below.clone());
                let handshake = TlsConnector::from(Arc::clone(config)).connect(name.clone(), tcp).await;
                // A server without ALPN goes on: whether it speaks HTTP/2 is seen by its first frame.
                Box::new(handshake.map_err(|source| ConnectFailure::Tls { source, said: below.now() })?)
            }
        };
        Ok(FirstBytes::new(stream, seen))
    }
}

/// Connects to the first address that answers, with no delay for small packets and the user timeout set from the
/// first packet on.
pub(super) async fn tcp_connect(address: &str, user_timeout: Duration) -> Result<TcpStream, ConnectFailure> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut found = false;
    for at in tokio::net::lookup_host(address).await.map_err(ConnectFailure::Resolve)? {
        found = true;
        match tcp_connect_one(at, user_timeout).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(if found { ConnectFailure::Tcp(last) } else { ConnectFailure::Resolve(last) })
}

async fn tcp_connect_one(at: SocketAddr, user_timeout: Duration) -> io::Result<TcpStream> {
    let socket = if at.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_nodelay(true)?;
    let milliseconds = u32::try_from(user_timeout.as_millis()).unwrap_or(u32::MAX);
    rustix::net::sockopt::set_tcp_user_timeout(&socket, milliseconds)?;
    socket.connect(at).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_kernel_is_told_the_user_timeout_and_to_send_small_packets_at_once() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let stream = tcp_connect(&address, Duration::from_millis(7_500)).await.unwrap();
        assert_eq!(rustix::net::sockopt::tcp_user_timeout(&stream).unwrap(), 7_500);
        assert!(stream.nodelay().unwrap());
    }
}
