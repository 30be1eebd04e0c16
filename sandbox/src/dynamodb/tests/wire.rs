use ::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

use super::*;

const KEY: &str = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261123/us-east-1/dynamodb/aws4_request, Signature=0";

fn request(target: &str, body: &Value) -> Request<Bytes> {
    Request::post("/")
        .header("x-amz-target", target)
        .header("authorization", KEY)
        .body(Bytes::from(body.to_string()))
        .expect("a request")
}

fn listing() -> Request<Bytes> {
    request("DynamoDB_20120810.ListTables", &json!({}))
}

fn json_of(body: &Bytes) -> Value {
    serde_json::from_slice(body).expect("JSON")
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

#[test]
fn answers_carry_the_services_date_a_checksum_and_an_id() {
    let bench = Bench::new(Config { service_offset_ns: 90 * SECOND, ..Config::default() });
    bench.pass(0.7);
    let answer = bench.db.http(listing());
    assert_eq!(answer.status(), StatusCode::OK);
    // 0.95 s past, plus 90 s: whole seconds are cut off, not rounded.
    assert_eq!(text(answer.headers(), "date"), "Mon, 23 Nov 2026 00:01:30 GMT");
    assert_eq!(text(answer.headers(), "x-amz-crc32"), crc32fast::hash(answer.body()).to_string());
    assert_eq!(text(answer.headers(), "x-amzn-requestid").len(), 36);
    assert_eq!(text(answer.headers(), "content-type"), "application/x-amz-json-1.0");
    let other = bench.db.front_end(-5 * SECOND).http(listing());
    assert_eq!(text(other.headers(), "date"), "Mon, 23 Nov 2026 00:01:25 GMT");
}

#[test]
fn credentials_have_to_be_there_and_good() {
    let bench = Bench::quick();
    let kind = |request| json_of(bench.db.http(request).body())["__type"].clone();
    let mut bare = listing();
    bare.headers_mut().remove("authorization");
    assert_eq!(kind(bare), "com.amazon.coral.service#MissingAuthenticationTokenException");
    bench.db.reject_credentials("AKIDEXAMPLE", Some("ExpiredTokenException"));
    assert_eq!(kind(listing()), "com.amazon.coral.service#ExpiredTokenException");
    bench.db.reject_credentials("AKIDEXAMPLE", None);
    assert_eq!(bench.db.http(listing()).status(), StatusCode::OK);
    let unknown = bench.db.http(request("DynamoDB_20120810.Bogus", &json!({})));
    assert_eq!(unknown.status(), StatusCode::BAD_REQUEST);
    assert_eq!(json_of(unknown.body())["__type"], "com.amazon.coral.service#UnknownOperationException");
    let mut broken = listing();
    *broken.body_mut() = Bytes::from_static(b"{");
    assert_eq!(kind(broken), "com.amazon.coral.service#SerializationException");
}

#[test]
fn cloudwatch_speaks_cbor_and_json() {
    let bench = Bench::quick();
    let path = "/service/GraniteServiceVersion20100801/operation/PutMetricAlarm";
    let alarm = json!({
        "AlarmName": "a", "ComparisonOperator": "GreaterThanThreshold", "EvaluationPeriods": 1, "Threshold": 5.0,
    });
    let post = |path: &str, body: &Value| {
        let body = Bytes::from(cbor::write(body));
        Request::post(path).header("authorization", KEY).header("smithy-protocol", "rpc-v2-cbor").body(body)
    };
    let answer = bench.db.http(post(path, &alarm).expect("a request"));
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(text(answer.headers(), "smithy-protocol"), "rpc-v2-cbor");
    let path = path.replace("PutMetricAlarm", "DescribeAlarms");
    let answer = bench.db.http(post(&path, &json!({})).expect("a request"));
    let found = cbor::read(answer.body()).expect("CBOR");
    assert_eq!(found["MetricAlarms"][0]["AlarmName"], "a");
    let answer = bench.db.http(request("GraniteServiceVersion20100801.DescribeAlarms", &json!({})));
    assert_eq!(json_of(answer.body())["MetricAlarms"][0]["AlarmName"], "a");
}

#[tokio::test]
async fn connections_can_be_lost_before_and_after_the_work() {
    let bench = Bench::quick();
    bench.table("src");
    let put = || {
        let item = json!({ "TableName": "src", "Item": { "k": { "S": "a" } } });
        request("DynamoDB_20120810.PutItem", &item)
    };
    let once = |effect| Fault { operation: "PutItem".into(), table: "src".into(), times: Some(1), effect };
    bench.db.inject(once(Effect::DropRequest));
    assert_eq!(bench.db.exchange(put()).await.unwrap_err(), Unreachable);
    assert_eq!(bench.db.writes().len(), 0);
    bench.db.inject(once(Effect::DropAnswer));
    assert_eq!(bench.db.exchange(put()).await.unwrap_err(), Unreachable);
    assert_eq!(bench.db.writes().len(), 1);
    assert_eq!(bench.db.exchange(put()).await.expect("an answer").status(), StatusCode::OK);
    bench.db.unreachable(true);
    assert_eq!(bench.db.exchange(put()).await.unwrap_err(), Unreachable);
    bench.db.unreachable(false);
    assert_eq!(bench.db.writes().len(), 2);
}

#[tokio::test]
async fn a_held_call_does_nothing_until_it_is_let_go() {
    let bench = Bench::quick();
    let held = Fault { operation: "CreateTable".into(), table: "*".into(), times: None, effect: Effect::Hold };
    let held = bench.db.inject(held);
    let call = bench.db.exchange(request("DynamoDB_20120810.CreateTable", &simple("held")));
    tokio::pin!(call);
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut call).await.is_err());
    assert!(bench.db.calls().is_empty());
    bench.db.remove(held);
    assert_eq!(call.await.expect("an answer").status(), StatusCode::OK);
    assert_eq!(bench.db.calls().len(), 1);
}

#[tokio::test]
async fn more_than_five_control_plane_writes_at_once_are_throttled() {
    let bench = Bench::real();
    let delay = Effect::Delay(Duration::from_millis(50));
    bench.db.inject(Fault { operation: "CreateTable".into(), table: "*".into(), times: None, effect: delay });
    let create = |n: usize| bench.db.exchange(request("DynamoDB_20120810.CreateTable", &simple(&format!("t{n:02}"))));
    let answers = futures::future::join_all((0..8).map(create)).await;
    let refused = answers.into_iter().filter(|answer| {
        answer.as_ref().is_ok_and(|answer| {
            json_of(answer.body())["__type"].as_str().is_some_and(|kind| kind.contains("Throttling"))
        })
    });
    assert_eq!(refused.count(), 3);
    assert_eq!(bench.db.calls().iter().filter(|call| call.throttled).count(), 3);
}

#[tokio::test]
async fn a_socket_serves_until_told_to_stop() {
    let bench = Bench::quick();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let shutdown = CancellationToken::new();
    let (db, stop) = (bench.db.clone(), shutdown.clone());
    let server = tokio::spawn(async move { db.serve(listener, stop).await });
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let body = "{}";
    let head = format!(
        "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-amz-target: DynamoDB_20120810.ListTables\r\n\
         authorization: {KEY}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("read");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_eq!(answer.matches("date: ").count(), 1, "{answer}");
    assert!(answer.ends_with(r#"{"TableNames":[]}"#), "{answer}");
    shutdown.cancel();
    server.await.expect("an orderly end");
}
