//! Carries the calls to one pod over one HTTP/2 connection, which is made when a call needs one.
//!
//! tonic's channel would do the same with two queues a connection, 18 kB: too much for a thousand that are idle.
//! Invariant: a request that may have been sent is never sent again.

use super::{
    connector::{ConnectFailure, Connector},
    first_bytes::FirstBytes,
};
use bytes::{Bytes, BytesMut};
use futures::future::{BoxFuture, FutureExt, Shared};
use h2::client::SendRequest;
use http::{HeaderValue, header::USER_AGENT};
use http_body::{Body as _, Frame};
use std::{
    error::Error,
    fmt,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};
use tonic::body::Body;

/// HTTP/2's own default: a few bytes pass.
const WINDOW: u32 = 65_535;
/// Enough for any status with its details; h2's default is 16 MB.
const HEADERS: u32 = 16 * 1024;
/// Who calls, for the pods' logs.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("stillpoint/", env!("CARGO_PKG_VERSION")));

/// Why a call has no answer. Calls that wait for one connection share its failure.
#[derive(Clone, Debug)]
pub(super) enum TransportFailure {
    /// There is no connection: nothing was sent.
    Connect(Arc<ConnectFailure>),
    /// The connection or the call broke.
    Http2(Arc<h2::Error>),
    /// The request could not be written down: nothing was sent.
    Request(tonic::Status),
}

impl fmt::Display for TransportFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect(_) => "no connection",
            Self::Http2(_) => "the call broke off",
            Self::Request(_) => "the request cannot be written",
        })
    }
}

impl Error for TransportFailure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Connect(failure) => Some(failure.as_ref()),
            Self::Http2(error) => Some(error.as_ref()),
            Self::Request(status) => Some(status),
        }
    }
}

impl From<h2::Error> for TransportFailure {
    fn from(error: h2::Error) -> Self {
        Self::Http2(Arc::new(error))
    }
}

type Sender = SendRequest<Bytes>;
type Connecting = Shared<BoxFuture<'static, Result<Sender, TransportFailure>>>;

/// The connection, as far as is known.
enum Line {
    Down,
    /// All calls wait for the same attempt. It goes on while any of them waits.
    Connecting(Connecting),
    /// It may have broken since; `u64` tells it from earlier ones.
    Up(Sender, u64),
}

/// One pod's connection. Cheap to clone.
#[derive(Clone)]
pub(super) struct Transport(Arc<Inner>);

struct Inner {
    connector: Connector,
    line: Mutex<Line>,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Transport").field(&self.0.connector).finish()
    }
}

impl Transport {
    pub(super) fn new(connector: Connector) -> Self {
        Self(Arc::new(Inner { connector, line: Mutex::new(Line::Down) }))
    }

    /// Makes the connection, unless there is one.
    pub(super) async fn connect(&self) -> Result<(), TransportFailure> {
        self.ready().await.map(drop)
    }

    /// A connection that was whole a moment ago. Connects anew at most once.
    async fn ready(&self) -> Result<Sender, TransportFailure> {
        let present = match &*self.line() {
            Line::Up(sender, number) => Some((sender.clone(), *number)),
            Line::Down | Line::Connecting(_) => None,
        };
        if let Some((sender, number)) = present {
            match sender.ready().await {
                Ok(sender) => return Ok(sender),
                Err(_) => self.forget(number),
            }
        }
        let connecting = match &mut *self.line() {
            // Another call has connected meanwhile.
            Line::Up(sender, _) => futures::future::Either::Left(std::future::ready(Ok(sender.clone()))),
            Line::Connecting(connecting) => futures::future::Either::Right(self.settled(connecting.clone())),
            line @ Line::Down => {
                let connecting = open(self.0.connector.clone()).boxed().shared();
                *line = Line::Connecting(connecting.clone());
                futures::future::Either::Right(self.settled(connecting))
            }
        };
        Ok(connecting.await?.ready().await?)
    }

    /// The end of an attempt. The first who hears of it takes note.
    async fn settled(&self, connecting: Connecting) -> Result<Sender, TransportFailure> {
        let opened = connecting.clone().await;
        let mut line = self.line();
        if matches!(&*line, Line::Connecting(present) if present.ptr_eq(&connecting)) {
            *line = match &opened {
                Ok(sender) => Line::Up(sender.clone(), self.0.connector.made()),
                Err(_) => Line::Down,
            };
        }
        opened
    }

    fn forget(&self, number: u64) {
        let mut line = self.line();
        if matches!(&*line, Line::Up(_, present) if *present == number) {
            *line = Line::Down;
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.0.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends one request, once.
    async fn send(self, request: http::Request<Body>) -> Result<http::Response<Answer>, TransportFailure> {
        let (mut head, body) = request.into_parts();
        let body = whole(body).await.map_err(TransportFailure::Request)?;
        head.headers.insert(USER_AGENT, AGENT);
        head.version = http::Version::HTTP_2;
        let mut sender = self.ready().await?;
        let (answer, mut stream) = sender.send_request(http::Request::from_parts(head, ()), false)?;
        stream.send_data(body, true)?;
        Ok(answer.await?.map(Answer))
    }
}

/// One attempt to connect, up to the client's preface; the server's is waited for elsewhere.
async fn open(connector: Connector) -> Result<Sender, TransportFailure> {
    let stream = connector.connect().await.map_err(|failure| TransportFailure::Connect(Arc::new(failure)))?;
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(WINDOW).initial_connection_window_size(WINDOW);
    builder.max_header_list_size(HEADERS).enable_push(false);
    let (sender, connection) = builder.handshake::<FirstBytes<_>, Bytes>(stream).await?;
    // Ends when nobody can send any more, or when the connection breaks: those who wait for an answer are told.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!("a pod's connection ended: {error}");
        }
    });
    Ok(sender)
}

/// A request's whole body: one small message.
async fn whole(body: Body) -> Result<Bytes, tonic::Status> {
    let mut body = pin!(body);
    let mut whole = BytesMut::new();
    while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        if let Ok(data) = frame?.into_data() {
            whole.extend_from_slice(&data);
        }
    }
    Ok(whole.freeze())
}

impl tonic::codegen::Service<http::Request<Body>> for Transport {
    type Response = http::Response<Answer>;
    type Error = TransportFailure;
    type Future = BoxFuture<'static, Result<Self::Response, TransportFailure>>;

    /// Connecting is part of the call, and of its deadline.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportFailure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        self.clone().send(request).boxed()
    }
}

/// An answer's body, as it comes in. Given up when dropped.
pub(super) struct Answer(h2::RecvStream);

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = TransportFailure;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, TransportFailure>>> {
        let stream = &mut self.get_mut().0;
        if let Some(data) = ready!(stream.poll_data(cx)) {
            return Poll::Ready(Some(
                data.and_then(|data| {
                    stream.flow_control().release_capacity(data.len())?;
                    Ok(Frame::data(data))
                })
                .map_err(TransportFailure::from),
            ));
        }
        let trailers = ready!(stream.poll_trailers(cx)).map_err(TransportFailure::from).transpose();
        Poll::Ready(trailers.map(|trailers| trailers.map(Frame::trailers)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }
}
