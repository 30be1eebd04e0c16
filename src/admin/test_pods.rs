//! Little servers for tests: a pod with a gate, over plain text or TLS, and ports that speak something else.

use super::{AdminEndpoint, TlsReference};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::{
    future::Future,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use stillpoint_proto::admin::{
    CheckPausedResponse, PauseRequest,
    admin_server::{Admin, AdminServer},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Request, Response, Status,
    transport::{Certificate, Identity, Server, ServerTlsConfig},
};

/// What a pod does with the next calls, and what it was asked.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    pub(crate) closed: AtomicBool,
    /// Pause never answers.
    pub(crate) hangs: AtomicBool,
    /// Pause answers with this.
    pub(crate) refuses: Mutex<Option<Status>>,
    /// No CheckPaused, as in ScalarDB Server 3.5.
    pub(crate) without_check: AtomicBool,
    pub(crate) pauses: Mutex<Vec<PauseRequest>>,
    pub(crate) pauses_begun: AtomicUsize,
    /// `scheme://authority` and `grpc-timeout` of every call.
    pub(crate) heads: Mutex<Vec<(String, String)>>,
}

impl Gate {
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }
}

struct Served(Arc<Gate>);

#[tonic::async_trait]
impl Admin for Served {
    async fn pause(&self, request: Request<PauseRequest>) -> Result<Response<()>, Status> {
        self.0.pauses.lock().unwrap().push(request.into_inner());
        self.0.pauses_begun.fetch_add(1, Ordering::SeqCst);
        if self.0.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if let Some(status) = self.0.refuses.lock().unwrap().clone() {
            return Err(status);
        }
        self.0.closed.store(true, Ordering::SeqCst);
        Ok(Response::new(()))
    }

    async fn unpause(&self, _: Request<()>) -> Result<Response<()>, Status> {
        self.0.closed.store(false, Ordering::SeqCst);
        Ok(Response::new(()))
    }

    async fn check_paused(&self, _: Request<()>) -> Result<Response<CheckPausedResponse>, Status> {
        if self.0.without_check.load(Ordering::SeqCst) {
            return Err(Status::unimplemented("Method not found: rpc.Admin/CheckPaused"));
        }
        Ok(Response::new(CheckPausedResponse { paused: self.0.is_closed() }))
    }
}

/// Notes the head of every call before it is served.
#[derive(Clone)]
struct Heads<S>(S, Arc<Gate>);

impl<B, S: tower::Service<http::Request<B>>> tower::Service<http::Request<B>> for Heads<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<B>) -> S::Future {
        let uri = request.uri();
        let called = format!("{}://{}", uri.scheme_str().unwrap_or("-"), uri.authority().map_or("-", |a| a.as_str()));
        let timeout = request.headers().get("grpc-timeout").map_or("-", |v| v.to_str().unwrap());
        self.1.heads.lock().unwrap().push((called, timeout.to_owned()));
        self.0.call(request)
    }
}

/// A pod that is served until it is dropped.
pub(crate) struct TestPod {
    pub(crate) address: String,
    pub(crate) gate: Arc<Gate>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for TestPod {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl TestPod {
    pub(crate) async fn plain() -> Self {
        Self::serve(listen().await, None)
    }

    pub(crate) async fn tls(config: ServerTlsConfig) -> Self {
        Self::serve(listen().await, Some(config))
    }

    pub(crate) fn serve(listener: TcpListener, tls: Option<ServerTlsConfig>) -> Self {
        let address = listener.local_addr().unwrap().to_string();
        let gate = Arc::new(Gate::default());
        let heads = Arc::clone(&gate);
        let mut server = Server::builder();
        if let Some(tls) = tls {
            server = server.tls_config(tls).unwrap();
        }
        let routes = server
            .layer(tower::layer::layer_fn(move |inner| Heads(inner, Arc::clone(&heads))))
            .add_service(AdminServer::new(Served(Arc::clone(&gate))));
        let task = tokio::spawn(async move {
            routes.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
        });
        Self { address, gate, task }
    }

    pub(crate) fn endpoint(&self) -> AdminEndpoint {
        endpoint(&self.address)
    }

    pub(crate) fn tls_endpoint(&self, tls: TlsReference) -> AdminEndpoint {
        AdminEndpoint { tls: Some(tls), ..self.endpoint() }
    }
}

pub(crate) fn endpoint(address: &str) -> AdminEndpoint {
    AdminEndpoint { address: address.to_owned(), tls: None, authority: None, tcp_user_timeout: Duration::from_secs(10) }
}

pub(crate) async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// An address that nobody listens on.
pub(crate) async fn free_address() -> String {
    listen().await.local_addr().unwrap().to_string()
}

/// A port where each connection is handed to `serve`. Ends with the runtime.
pub(crate) async fn port<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> String
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = listen().await;
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// Answers anything with HTTP/1's 400.
pub(crate) async fn http1_port() -> String {
    port(|mut stream| async move {
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).await;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
    })
    .await
}

/// Takes connections and says nothing, ever.
pub(crate) async fn silent_port() -> String {
    port(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await
}

/// Passes connections that begin with `first` on to `to`; closes all others without a word.
pub(crate) async fn picky_port(first: u8, to: SocketAddr) -> String {
    port(move |mut stream| async move {
        let mut begin = [0];
        if stream.peek(&mut begin).await.unwrap_or(0) == 1 && begin == [first] {
            let mut onward = TcpStream::connect(to).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut onward).await;
        }
    })
    .await
}

/// Stands between client and pod, and can cut every connection.
pub(crate) struct Relay {
    pub(crate) address: String,
    connections: Arc<Mutex<JoinSet<()>>>,
}

impl Relay {
    pub(crate) async fn to(to: &str) -> Self {
        let listener = listen().await;
        let address = listener.local_addr().unwrap().to_string();
        let connections = Arc::new(Mutex::new(JoinSet::new()));
        let (to, open) = (to.to_owned(), Arc::clone(&connections));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let to = to.clone();
                open.lock().unwrap().spawn(async move {
                    let mut onward = TcpStream::connect(to).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut stream, &mut onward).await;
                });
            }
        });
        Self { address, connections }
    }

    pub(crate) async fn cut(&self) {
        let mut connections = std::mem::take(&mut *self.connections.lock().unwrap());
        connections.shutdown().await;
    }
}

/// A certificate authority with a folder for the files it hands out.
pub(crate) struct TestCa {
    issuer: Issuer<'static, KeyPair>,
    folder: tempfile::TempDir,
    pub(crate) pem: String,
}

impl TestCa {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // A CA is known by its name: two of one name would be told apart by their signatures only.
        let folder = tempfile::tempdir().unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, folder.path().display().to_string());
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), folder, pem }
    }

    /// Certificate and key for `names`, as PEM.
    pub(crate) fn issue(&self, names: &[&str]) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    pub(crate) fn server(&self, names: &[&str]) -> ServerTlsConfig {
        let (certificate, key) = self.issue(names);
        ServerTlsConfig::new().identity(Identity::from_pem(certificate, key))
    }

    /// A server that demands a certificate of this CA.
    pub(crate) fn demanding_server(&self, names: &[&str]) -> ServerTlsConfig {
        self.server(names).client_ca_root(Certificate::from_pem(&self.pem))
    }

    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn reference(&self) -> TlsReference {
        TlsReference { ca_file: Some(self.file("ca.pem", &self.pem)), ..TlsReference::default() }
    }

    pub(crate) fn reference_with_client(&self, by: &TestCa) -> TlsReference {
        let (certificate, key) = by.issue(&["stillpoint"]);
        TlsReference {
            cert_file: Some(self.file("client.pem", &certificate)),
            key_file: Some(self.file("client.key", &key)),
            ..self.reference()
        }
    }
}

/// Waits for a condition of another task.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
