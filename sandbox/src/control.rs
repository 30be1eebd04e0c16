//! The sandbox's remote control: plain HTTP on its own loopback port, for whoever drives a sandbox in another process.
//!
//! | request | answer |
//! |---|---|
//! | `GET /pods` | one object per pod: `index`, `address`, `up`, `open`, `outstanding` |
//! | `GET /log` | the logs of all pods, oldest first, one JSON object a line |
//! | `GET /bank` | `expected` total and what the workload did so far |
//! | `GET /clock` | `mono_ns`, `service_minus_mono_ns`: the database's true clock |
//! | `GET /judge?restore_time=<s>` | `offences` of that second, `all_open`, `open_since_ns`, `still_closed` |
//! | `POST /pods/<i>/fault` | sets a fault, e.g. `{"do":{"kind":"refuse"},"on":{"method":"unpause","times":10}}` |
//! | `DELETE /pods/<i>/fault` | takes back the faults that wait for calls |
//! | `POST /pods/<i>/restart` | restarts it; the body may say `{"down_ms": 500}`; answers when it is back |

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::Inner;
use crate::pods::{Entry, Fault, Pod, mono_ns};

/// No fault is longer than this.
const MAX_BODY: usize = 64 * 1024;

pub(crate) async fn serve(listener: TcpListener, inner: Arc<Inner>, shutdown: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let (inner, shutdown) = (Arc::clone(&inner), shutdown.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let inner = Arc::clone(&inner);
                async move { Ok::<_, Infallible>(answer(&inner, request).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                () = shutdown.cancelled() => {}
                // A client that goes away in the middle is no concern of ours.
                _ = connection => {}
            }
        });
    }
}

fn reply(status: StatusCode, body: String, kind: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response
}

async fn answer(inner: &Inner, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await.map(http_body_util::Collected::to_bytes) else {
        return problem(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long or broke off");
    };
    let path: Vec<&str> = parts.uri.path().split('/').filter(|part| !part.is_empty()).collect();
    let query = parts.uri.query().unwrap_or_default();
    if (&parts.method, path.as_slice()) == (&Method::GET, &["log"]) {
        return reply(StatusCode::OK, log_lines(&inner.pods), "application/x-ndjson");
    }
    match act(inner, &parts.method, &path, query, &body).await {
        Ok(answer) => reply(StatusCode::OK, answer.to_string(), "application/json"),
        Err((status, message)) => problem(status, &message),
    }
}

fn problem(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    reply(status, json!({ "error": message }).to_string(), "application/json")
}

fn log_lines(pods: &[Pod]) -> String {
    let mut entries: Vec<Entry> = pods.iter().flat_map(|pod| pod.log().entries).collect();
    // Stable: entries of one pod keep their order.
    entries.sort_by_key(|entry| entry.mono_ns);
    // An entry holds strings, numbers and booleans only: it always has a JSON form.
    entries.iter().map(|entry| serde_json::to_string(entry).unwrap_or_default() + "\n").collect()
}

type Problem = (StatusCode, String);

fn bad(message: impl Into<String>) -> Problem {
    (StatusCode::BAD_REQUEST, message.into())
}

async fn act(inner: &Inner, method: &Method, path: &[&str], query: &str, body: &[u8]) -> Result<Value, Problem> {
    match (method, path) {
        (&Method::GET, ["pods"]) => Ok(inner.pods.iter().map(describe).collect()),
        (&Method::GET, ["bank"]) => Ok(json!({ "expected": inner.config.bank.total(), "stats": inner.bank_stats() })),
        (&Method::GET, ["clock"]) => {
            Ok(json!({ "mono_ns": mono_ns(), "service_minus_mono_ns": inner.service_minus_mono_ns() }))
        }
        (&Method::GET, ["judge"]) => judge(inner, query),
        (&Method::POST, ["pods", index, "fault"]) => {
            let fault: Fault = serde_json::from_slice(body).map_err(|error| bad(format!("not a fault: {error}")))?;
            pod(inner, index)?.set(fault);
            Ok(json!({}))
        }
        (&Method::DELETE, ["pods", index, "fault"]) => {
            pod(inner, index)?.clear_faults();
            Ok(json!({}))
        }
        (&Method::POST, ["pods", index, "restart"]) => {
            let body: Value = match body {
                [] => json!({}),
                body => serde_json::from_slice(body).map_err(|error| bad(format!("not JSON: {error}")))?,
            };
            let down_ms = body.get("down_ms").map_or(Some(0), Value::as_u64);
            let down_ms = down_ms.ok_or_else(|| bad("down_ms is milliseconds, a whole number"))?;
            let pod = pod(inner, index)?;
            pod.restart(Duration::from_millis(down_ms)).await;
            Ok(describe(pod))
        }
        _ => Err((StatusCode::NOT_FOUND, format!("nothing at {method} /{}", path.join("/")))),
    }
}

fn pod<'a>(inner: &'a Inner, index: &str) -> Result<&'a Pod, Problem> {
    let found = index.parse::<usize>().ok().and_then(|index| inner.pods.get(index));
    found.ok_or_else(|| (StatusCode::NOT_FOUND, format!("no pod {index}; there are {}", inner.pods.len())))
}

fn describe(pod: &Pod) -> Value {
    json!({
        "index": pod.index(),
        "address": pod.address().to_string(),
        "up": pod.is_up(),
        "open": pod.is_open(),
        "outstanding": pod.outstanding(),
    })
}

fn judge(inner: &Inner, query: &str) -> Result<Value, Problem> {
    let mut answer = json!({
        "all_open": crate::judge::all_open(&inner.logs()),
        "open_since_ns": crate::judge::open_since(&inner.logs()),
        "still_closed": crate::judge::still_closed(&inner.logs()),
    });
    if let Some(second) = query.split('&').find_map(|pair| pair.strip_prefix("restore_time=")) {
        let second = second.parse().map_err(|_| bad("restore_time is whole seconds since 1970"))?;
        answer["offences"] = json!(inner.offences(second));
    }
    Ok(answer)
}
