//! The account over HTTP.

use std::{
    sync::atomic::Ordering,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, DATE},
};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    DynamoDb, cbor,
    error::ServiceError,
    limits::is_control_write,
    state::{CallRecord, table_in},
};

/// Control-plane writes that may run at once.
const MAX_IN_FLIGHT: usize = 5;
/// How often it is seen whether a held call may go on.
const HELD_LOOK: Duration = Duration::from_millis(5);
const CBOR: &str = "application/cbor";
const CLOUDWATCH: &str = "GraniteServiceVersion20100801";

/// The connection ended without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the connection was closed")]
pub struct Unreachable;

/// A request, understood as far as its protocol goes.
struct Call {
    target: String,
    operation: String,
    body: Value,
    cbor: bool,
}

impl DynamoDb {
    /// One HTTP exchange without waiting: injected errors apply, delays and lost connections do not. Use
    /// [`DynamoDb::exchange`] where those matter.
    #[must_use]
    pub fn http(&self, request: Request<Bytes>) -> Response<Bytes> {
        let (parts, body) = request.into_parts();
        if parts.method != Method::POST {
            return self.plain(&parts.method);
        }
        match self.read(parts.uri.path(), &parts.headers, &body) {
            Ok(call) => {
                let answer = self
                    .authenticate(&parts.headers)
                    .and_then(|key| self.authorize(&key, &call.target, &call.body))
                    .and_then(|()| self.call(&call.target, call.body));
                self.respond(&call.target, call.cbor, answer)
            }
            Err(error) => self.respond("", false, Err(error)),
        }
    }

    /// One HTTP exchange as over a socket, with everything that was injected.
    ///
    /// # Errors
    /// The connection ended without an answer; the call may have done its work.
    pub async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Unreachable> {
        let read = self.read(request.uri().path(), request.headers(), request.body()).ok();
        let (operation, table) = read.map(|call| (call.operation, table_in(&call.body))).unwrap_or_default();
        let control = is_control_write(&operation);
        let running = if control { self.shared.in_flight.fetch_add(1, Ordering::SeqCst) } else { 0 };
        let answer = self.disturbed(request, &operation, &table, running).await;
        if control {
            self.shared.in_flight.fetch_sub(1, Ordering::SeqCst);
        }
        answer
    }

    async fn disturbed(
        &self,
        request: Request<Bytes>,
        operation: &str,
        table: &str,
        running: usize,
    ) -> Result<Response<Bytes>, Unreachable> {
        let (dropped, delay) = {
            let faults = &mut self.state().faults;
            (faults.unreachable || faults.drops_request(operation, table), faults.delay(operation, table))
        };
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        while self.state().faults.holds(operation, table) {
            tokio::time::sleep(HELD_LOOK).await;
        }
        if dropped {
            return Err(Unreachable);
        }
        if self.shared.config.limits && running >= MAX_IN_FLIGHT {
            self.state().calls.push(CallRecord {
                operation: operation.to_owned(),
                table: table.to_owned(),
                mono_ns: self.shared.clock.mono_ns(),
                throttled: true,
                error: Some("ThrottlingException".into()),
            });
            return Ok(self.respond("DynamoDB_20120810", false, Err(ServiceError::throttled())));
        }
        let answer = self.http(request);
        if self.state().faults.drops_answer(operation, table) { Err(Unreachable) } else { Ok(answer) }
    }

    /// Serves the account on a socket until `shutdown`, then ends the open connections and returns.
    pub async fn serve(&self, listener: TcpListener, shutdown: CancellationToken) {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else {
                // Out of file descriptors, most likely: give the others time to end.
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            while connections.try_join_next().is_some() {}
            // Answers are small and waited for.
            let _ = stream.set_nodelay(true);
            let (this, shutdown) = (self.clone(), shutdown.clone());
            connections.spawn(async move {
                let service = service_fn(move |request| {
                    let this = this.clone();
                    async move { this.answer(request).await }
                });
                let mut builder = http1::Builder::new();
                // The Date header is the service's, not this host's.
                builder.timer(TokioTimer::new()).auto_date_header(false);
                let connection = builder.serve_connection(TokioIo::new(stream), service);
                tokio::select! {
                    // A client that goes away is no matter here.
                    _ = connection => {}
                    () = shutdown.cancelled() => {}
                }
            });
        }
        while connections.join_next().await.is_some() {}
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Unreachable> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| Unreachable)?.to_bytes();
        let response = self.exchange(Request::from_parts(parts, body)).await?;
        Ok(response.map(Full::new))
    }

    fn read(&self, path: &str, headers: &HeaderMap, body: &[u8]) -> Result<Call, ServiceError> {
        let malformed = || ServiceError::new("SerializationException", "");
        if let Some(operation) = path.strip_prefix(&format!("/service/{CLOUDWATCH}/operation/")) {
            let body = cbor::read(body).ok_or_else(malformed)?;
            let target = format!("{CLOUDWATCH}.{operation}");
            return Ok(Call { target, operation: operation.to_owned(), body, cbor: true });
        }
        let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok());
        let (target, (_, operation)) = target
            .and_then(|target| Some((target, target.split_once('.')?)))
            .ok_or_else(ServiceError::unknown_operation)?;
        let body = serde_json::from_slice(body).map_err(|_| malformed())?;
        Ok(Call { target: target.to_owned(), operation: operation.to_owned(), body, cbor: false })
    }

    /// Signatures are not checked, but there has to be one, by a key that is not rejected: this one.
    fn authenticate(&self, headers: &HeaderMap) -> Result<String, ServiceError> {
        let given = headers.get(AUTHORIZATION).and_then(|given| given.to_str().ok()).ok_or_else(|| {
            ServiceError::new("MissingAuthenticationTokenException", "Request is missing Authentication Token")
        })?;
        let key = given.split_once("Credential=").map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
        match self.state().faults.credentials.get(key) {
            Some(error) => Err(error.clone()),
            None => Ok(key.to_owned()),
        }
    }

    fn respond(&self, target: &str, cbor: bool, answer: Result<Value, ServiceError>) -> Response<Bytes> {
        let namespace = match target.split('.').next() {
            Some("AnyScaleFrontendService") | Some(CLOUDWATCH) => "",
            _ => "com.amazonaws.dynamodb.v20120810",
        };
        let json_type =
            if target.starts_with("AnyScale") { "application/x-amz-json-1.1" } else { "application/x-amz-json-1.0" };
        let (status, value) = match answer {
            Ok(value) => (200, value),
            Err(error) => (error.status, error.body(namespace)),
        };
        let body = if cbor { cbor::write(&value) } else { value.to_string().into_bytes() };
        let crc = crc32fast::hash(&body);
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(if cbor { CBOR } else { json_type }));
        headers.insert("x-amz-crc32", HeaderValue::from(crc));
        if cbor {
            headers.insert("smithy-protocol", HeaderValue::from_static("rpc-v2-cbor"));
        }
        self.stamp(headers);
        response
    }

    /// What every answer carries: an id, and the service's time in whole seconds.
    fn stamp(&self, headers: &mut HeaderMap) {
        let id = self.state().uuid();
        headers.extend(HeaderValue::try_from(id).map(|id| (http::HeaderName::from_static("x-amzn-requestid"), id)));
        let now = self.service_unix_ns().saturating_add(self.date_offset_ns);
        let date = UNIX_EPOCH
            .checked_add(Duration::from_nanos(u64::try_from(now).unwrap_or(0)))
            .unwrap_or(SystemTime::UNIX_EPOCH);
        headers.extend(HeaderValue::try_from(httpdate::fmt_http_date(date)).map(|date| (DATE, date)));
    }

    /// Whatever is not a call: a health check, or nothing.
    fn plain(&self, method: &Method) -> Response<Bytes> {
        let healthy = *method == Method::GET;
        let text = format!("healthy: dynamodb.{}.amazonaws.com ", self.shared.config.region);
        let mut response = Response::new(if healthy { Bytes::from(text) } else { Bytes::new() });
        *response.status_mut() = if healthy { StatusCode::OK } else { StatusCode::NOT_FOUND };
        self.stamp(response.headers_mut());
        response
    }
}
