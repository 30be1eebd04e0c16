//! What the program takes for the API server: passes everything on to the real one, writes down what was asked, and can
//! be away, cut what is open, or say of every version that it is too old, in the API server's own words: a real one forgets
//! only after minutes.

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use kube::Client;
use kube::client::Body;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use stillpoint_sandbox::pods::mono_ns;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The event with which a watch is refused.
const TOO_OLD: &str = r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version: 7 (1234)","reason":"Expired","code":410}}"#;

/// One request that came in.
#[derive(Clone, Debug)]
pub struct Asked {
    pub at_ns: u64,
    pub what: String,
}

impl Asked {
    pub fn is_watch(&self) -> bool {
        self.what.contains("watch=true")
    }

    pub fn of_pods(&self) -> bool {
        self.what.contains("/pods?")
    }
}

#[derive(Default)]
struct Shared {
    asked: Vec<Asked>,
    away: bool,
    forgetful: bool,
    blind: bool,
    unknown: Option<&'static str>,
    epoch: CancellationToken,
}

pub struct Front {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    _end: DropGuard,
}

impl Front {
    pub async fn start(client: Client) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Mutex::new(Shared::default()));
        let end = CancellationToken::new();
        tokio::spawn(accept(listener, client, shared.clone(), end.clone()));
        Front { address, shared, _end: end.drop_guard() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.lock().asked.clone()
    }

    /// Cuts everything that is open.
    pub fn cut(&self) {
        let mut shared = self.lock();
        shared.epoch.cancel();
        shared.epoch = CancellationToken::new();
    }

    /// Cuts everything, and answers nobody any more.
    pub fn go_away(&self) {
        self.lock().away = true;
        self.cut();
    }

    pub fn come_back(&self) {
        self.lock().away = false;
    }

    /// Cuts everything; from now on every watch is told that its version is too old.
    pub fn forget(&self) {
        self.lock().forgetful = true;
        self.cut();
    }

    /// Cuts everything; from now on no watch gets an answer, and all else does.
    pub fn go_blind(&self) {
        self.lock().blind = true;
        self.cut();
    }

    /// Paths with this text are not known, as to an older API server.
    pub fn does_not_know(&self, path: &'static str) {
        self.lock().unknown = Some(path);
    }

    /// A kubeconfig that leads here.
    pub fn kubeconfig(&self, folder: &Path) -> PathBuf {
        let path = folder.join("front.kubeconfig");
        let text = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "front",
            "clusters": [{ "name": "front", "cluster": { "server": format!("http://{}", self.address) } }],
            "users": [{ "name": "nobody", "user": {} }],
            "contexts": [{ "name": "front", "context": { "cluster": "front", "user": "nobody" } }],
        });
        std::fs::write(&path, text.to_string()).unwrap();
        path
    }
}

async fn accept(listener: TcpListener, client: Client, shared: Arc<Mutex<Shared>>, end: CancellationToken) {
    loop {
        let stream = tokio::select! {
            () = end.cancelled() => return,
            accepted = listener.accept() => accepted.unwrap().0,
        };
        let (client, shared, end) = (client.clone(), shared.clone(), end.clone());
        tokio::spawn(async move {
            let (away, epoch) = {
                let shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
                (shared.away, shared.epoch.clone())
            };
            if away {
                return;
            }
            let service = service_fn(|request| pass_on(request, client.clone(), shared.clone()));
            let serving = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                _ = serving => {}
                () = epoch.cancelled() => {}
                () = end.cancelled() => {}
            }
        });
    }
}

async fn pass_on(
    request: Request<Incoming>,
    client: Client,
    shared: Arc<Mutex<Shared>>,
) -> Result<Response<Body>, Infallible> {
    let what = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let (forgetful, blind, unknown) = {
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.asked.push(Asked { at_ns: mono_ns(), what: what.clone() });
        (shared.forgetful, shared.blind, shared.unknown.is_some_and(|path| what.contains(path)))
    };
    if unknown {
        let body = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"the server could not find the requested resource","reason":"NotFound","code":404}"#;
        let answer = Response::builder().status(StatusCode::NOT_FOUND).body(Body::from(body.as_bytes().to_vec()));
        return Ok(answer.unwrap());
    }
    if blind && what.contains("watch=true") {
        return Ok(Response::builder().status(StatusCode::BAD_GATEWAY).body(Body::empty()).unwrap());
    }
    if forgetful && what.contains("watch=true") {
        return Ok(Response::new(Body::from(format!("{TOO_OLD}\n").into_bytes())));
    }
    let mut on = Request::builder().method(request.method()).uri(what);
    for name in ["accept", "content-type"] {
        if let Some(value) = request.headers().get(name) {
            on = on.header(name, value);
        }
    }
    let Ok(body) = request.into_body().collect().await else { return Ok(Response::new(Body::empty())) };
    let answer = client.send(on.body(Body::from(body.to_bytes())).unwrap()).await;
    Ok(answer.unwrap_or_else(|_| Response::builder().status(StatusCode::BAD_GATEWAY).body(Body::empty()).unwrap()))
}
