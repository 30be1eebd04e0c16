//! The process of a pod: listens, serves, ends and comes back on the same address.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use stillpoint_proto::admin::admin_server::AdminServer;
use stillpoint_proto::health::health_server::HealthServer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto::aws_lc_rs};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use super::service::Services;
use super::wire::Wire;
use super::{Core, TlsFiles};

/// Asks the process to end.
pub(super) struct Stop {
    /// When it comes back, unless it is woken before; `None`: never.
    pub(super) down: Option<Duration>,
    /// Told when it has ended.
    pub(super) ended: Option<oneshot::Sender<()>>,
    /// Told when it is back, or has ended for good.
    pub(super) done: Option<oneshot::Sender<()>>,
}

/// The pod's address, kept for its whole life: a socket that is bound but never listens, so that no other program can
/// get the port while the process is down.
pub(super) struct Place {
    _holder: TcpSocket,
    pub(super) address: SocketAddr,
}

impl Place {
    pub(super) fn take(wanted: SocketAddr) -> io::Result<Self> {
        let holder = socket(wanted)?;
        holder.bind(wanted)?;
        let address = holder.local_addr()?;
        Ok(Self { _holder: holder, address })
    }

    pub(super) fn listen(&self) -> io::Result<TcpListener> {
        let socket = socket(self.address)?;
        socket.bind(self.address)?;
        socket.listen(1024)
    }
}

fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    Ok(socket)
}

/// Reads the PEM texts of a TLS server.
pub(super) fn tls_acceptor(files: &TlsFiles) -> io::Result<TlsAcceptor> {
    let bad = |what: &str, why: String| io::Error::new(io::ErrorKind::InvalidInput, format!("{what}: {why}"));
    let certificates = |pem: &str, what: &str| -> io::Result<Vec<CertificateDer<'static>>> {
        CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().map_err(|e| bad(what, e.to_string()))
    };
    let chain = certificates(&files.certificate, "server certificate")?;
    let key = PrivateKeyDer::from_pem_slice(files.key.as_bytes()).map_err(|e| bad("server key", e.to_string()))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| bad("TLS", e.to_string()))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(pem, "client CA")? {
                roots.add(certificate).map_err(|e| bad("client CA", e.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|e| bad("client CA", e.to_string()))?)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|e| bad("server certificate", e.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Runs the lives of a pod one after the other until it dies for good or `shutdown` comes.
pub(super) async fn run(
    core: Arc<Core>,
    place: Place,
    first: TcpListener,
    mut stops: mpsc::UnboundedReceiver<Stop>,
    shutdown: CancellationToken,
) {
    let mut listener = Some(first);
    loop {
        let life = CancellationToken::new();
        let end_of_life = life.clone().drop_guard();
        if let Some(listener) = listener.take() {
            tokio::spawn(live(Arc::clone(&core), listener, life.clone()));
        }
        let stop = tokio::select! {
            () = shutdown.cancelled() => None,
            stop = stops.recv() => stop,
        };
        drop(end_of_life);
        let Some(Stop { down, ended, done }) = stop else {
            core.gate.stop(true);
            return;
        };
        core.gate.stop(down.is_none());
        if let Some(ended) = ended {
            // Nobody has to wait for it.
            _ = ended.send(());
        }
        if let Some(down) = down {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(down) => {}
                () = core.wake.notified() => {}
            }
            listener = relisten(&core, &place).await;
        }
        if let Some(done) = done {
            // Nobody has to wait for it.
            _ = done.send(());
        }
        if down.is_none() {
            // Whoever asks from now on hears at once that nobody is there. The place stays taken: connections are refused
            // until the sandbox ends.
            drop(stops);
            shutdown.cancelled().await;
            return;
        }
    }
}

/// The listener of the life before closes on its own task: wait until the port is free again.
async fn relisten(core: &Core, place: &Place) -> Option<TcpListener> {
    loop {
        match place.listen() {
            Ok(listener) => {
                core.gate.start(place.address.to_string());
                return Some(listener);
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                tokio::time::sleep(Duration::from_millis(1)).await
            }
            Err(error) => {
                tracing::error!(address = %place.address, %error, "a sandbox pod cannot listen again");
                return None;
            }
        }
    }
}

/// One life of the process.
async fn live(core: Arc<Core>, listener: TcpListener, life: CancellationToken) {
    let (send, incoming) = mpsc::channel(64);
    let services = Services { core: Arc::clone(&core), life: life.clone() };
    let router =
        Server::builder().add_service(AdminServer::new(services.clone())).add_service(HealthServer::new(services));
    let serve = router.serve_with_incoming(ReceiverStream::new(incoming));
    tokio::select! {
        () = life.cancelled() => {}
        () = accept(&core, listener, &life, send) => {}
        result = serve => if let Err(error) = result {
            tracing::error!(%error, "a sandbox pod stopped serving");
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for S {}
type Connection = Wire<Box<dyn Stream>>;

async fn accept(
    core: &Core,
    listener: TcpListener,
    life: &CancellationToken,
    send: mpsc::Sender<Result<Connection, io::Error>>,
) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: give others time to close theirs.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        // Answers are small: without this they wait for the client's acknowledgements.
        _ = stream.set_nodelay(true);
        tokio::spawn(shake_hands(stream, core.tls.clone(), life.child_token(), send.clone()));
    }
}

async fn shake_hands(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    cut: CancellationToken,
    send: mpsc::Sender<Result<Connection, io::Error>>,
) {
    let stream: Box<dyn Stream> = match tls {
        None => Box::new(stream),
        Some(tls) => {
            let shaken = tokio::select! {
                () = cut.cancelled() => return,
                shaken = tls.accept(stream) => shaken,
            };
            match shaken {
                Ok(stream) => Box::new(stream),
                Err(error) => {
                    tracing::debug!(%error, "TLS handshake with a sandbox pod failed");
                    return;
                }
            }
        }
    };
    // An error: the process ended meanwhile, and the connection closes with this task.
    _ = send.send(Ok(Wire::new(stream, cut))).await;
}
