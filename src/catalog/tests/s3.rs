//! The S3 client against a small server that answers as S3 does: conditional writes, a conflict that is only momentary, an answer
//! that never arrives, and refusals.

use super::*;
use object_store::aws::AmazonS3Builder;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Mutex,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

#[derive(Clone, Copy, Debug)]
enum Answer {
    /// 409 ConditionalRequestConflict, nothing stored.
    Conflict,
    /// Stored, and the connection closed without an answer.
    Lost,
    /// 403 AccessDenied.
    Denied,
    /// 400 ExpiredToken.
    Expired,
    /// 503 SlowDown.
    SlowDown,
    /// The condition is ignored, as some lookalikes do.
    Unconditional,
}

#[derive(Default)]
struct Bucket {
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    next: Mutex<VecDeque<Answer>>,
    always: Mutex<Option<Answer>>,
}

struct Request {
    method: String,
    path: String,
    query: String,
    create_only: bool,
    body: Vec<u8>,
}

async fn request(stream: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    if stream.read_line(&mut line).await.ok()? == 0 {
        return None;
    }
    let mut words = line.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (mut length, mut create_only) = (0, false);
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).await.ok()?;
        let header = header.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        create_only |= header == "if-none-match: *";
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    Some(Request { method, path: path.to_owned(), query: query.to_owned(), create_only, body })
}

impl Bucket {
    /// Status and body; `None` closes the connection.
    fn answer(&self, request: &Request) -> Option<(&'static str, Vec<u8>)> {
        let error = |status, code: &str| {
            let text = format!(
                "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>no</Message><AWSAccessKeyId>AKIAX</AWSAccessKeyId></Error>"
            );
            Some((status, text.into_bytes()))
        };
        let mut objects = self.objects.lock().unwrap();
        let key = request.path.strip_prefix("/bucket/").unwrap_or_default().to_owned();
        match request.method.as_str() {
            "PUT" => {
                let fault = self.next.lock().unwrap().pop_front().or(*self.always.lock().unwrap());
                match fault {
                    Some(Answer::Conflict) => return error("409 Conflict", "ConditionalRequestConflict"),
                    Some(Answer::Denied) => return error("403 Forbidden", "AccessDenied"),
                    Some(Answer::Expired) => return error("400 Bad Request", "ExpiredToken"),
                    Some(Answer::SlowDown) => return error("503 Slow Down", "SlowDown"),
                    Some(Answer::Lost | Answer::Unconditional) | None => {}
                }
                let ignored = matches!(fault, Some(Answer::Unconditional));
                if request.create_only && !ignored && objects.contains_key(&key) {
                    return error("412 Precondition Failed", "PreconditionFailed");
                }
                objects.insert(key, request.body.clone());
                (!matches!(fault, Some(Answer::Lost))).then(|| ("200 OK", Vec::new()))
            }
            "GET" if request.query.contains("list-type=2") => Some(("200 OK", listing(&objects, &request.query))),
            "GET" => match objects.get(&key) {
                Some(content) => Some(("200 OK", content.clone())),
                None => error("404 Not Found", "NoSuchKey"),
            },
            _ => {
                objects.remove(&key);
                Some(("204 No Content", Vec::new()))
            }
        }
    }
}

fn listing(objects: &BTreeMap<String, Vec<u8>>, query: &str) -> Vec<u8> {
    let prefix = query.split('&').find_map(|pair| pair.strip_prefix("prefix=")).unwrap_or_default().replace("%2F", "/");
    let mut folders = std::collections::BTreeSet::new();
    let mut contents = String::new();
    for (key, value) in objects.iter().filter(|(key, _)| key.starts_with(&prefix)) {
        match key[prefix.len()..].split_once('/') {
            Some((folder, _)) => _ = folders.insert(format!("{prefix}{folder}/")),
            None => contents.push_str(&format!(
                "<Contents><Key>{key}</Key><LastModified>2026-11-23T03:00:00.000Z</LastModified><ETag>\"e\"</ETag><Size>{}</Size></Contents>",
                value.len()
            )),
        }
    }
    let folders: String =
        folders.iter().map(|f| format!("<CommonPrefixes><Prefix>{f}</Prefix></CommonPrefixes>")).collect();
    format!("<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>false</IsTruncated>{contents}{folders}</ListBucketResult>").into_bytes()
}

async fn serve(bucket: Arc<Bucket>, stream: TcpStream) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = request(&mut stream).await {
        let Some((status, body)) = bucket.answer(&request) else { return };
        let modified = "Last-Modified: Mon, 23 Nov 2026 03:00:00 GMT";
        let length =
            if status.starts_with("204") { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let head = format!("HTTP/1.1 {status}\r\n{modified}\r\nETag: \"e\"\r\n{length}\r\n");
        if stream.write_all(&[head.as_bytes(), &body].concat()).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

/// A catalog in `s3://bucket/prod` behind the server, opened as from a URL and an environment.
async fn s3(bucket: &Arc<Bucket>) -> Result<Catalog, CatalogError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let served = Arc::clone(bucket);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(Arc::clone(&served), stream));
        }
    });
    let environment = [
        ("aws_endpoint_url_s3", endpoint.as_str()),
        ("aws_access_key_id", "AKIAX"),
        ("aws_secret_access_key", "c2VjcmV0"),
        ("aws_region", "ap-northeast-1"),
    ];
    let builder = environment
        .into_iter()
        .fold(AmazonS3Builder::new(), |builder, (key, value)| builder.with_config(key.parse().unwrap(), value));
    let url = url::Url::parse("s3://bucket/prod").unwrap();
    let inner = open::s3(builder, &url, quick().patience)?;
    let prefix = object_store::path::Path::from("prod");
    let store = store::Store::new(inner, prefix, url.to_string(), quick().patience, false);
    Catalog::prove(store, Access::Write).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_point_is_kept_in_s3() {
    let bucket = Arc::new(Bucket::default());
    let catalog = s3(&bucket).await.unwrap();
    let id = id("nightly");
    let mut log = PointLog::create(&catalog, &id, opened(&id)).await.unwrap();
    log.append(recorded()).await.unwrap();
    assert_eq!(PointLog::create(&catalog, &id, opened(&id)).await.unwrap_err().kind, CatalogErrorKind::Conflict);
    let (points, damaged) = list(&catalog).await.unwrap();
    assert_eq!((points[0].phase, points.len(), damaged.len()), (Phase::Recorded, 1, 0));
    let keys: Vec<_> = bucket.objects.lock().unwrap().keys().cloned().collect();
    assert_eq!(keys, [format!("prod/points/{id}/00000001.json"), format!("prod/points/{id}/00000002.json")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_momentary_conflict_and_a_lost_answer_are_neither_a_defeat_nor_a_second_object() {
    for answers in [
        vec![Answer::Conflict],
        vec![Answer::Lost],
        vec![Answer::Conflict, Answer::Lost],
        vec![Answer::SlowDown, Answer::Lost],
    ] {
        let bucket = Arc::new(Bucket::default());
        let catalog = s3(&bucket).await.unwrap();
        let id = id("nightly");
        let mut log = PointLog::create(&catalog, &id, opened(&id)).await.unwrap();
        *bucket.next.lock().unwrap() = answers.clone().into();
        log.append(recorded()).await.unwrap_or_else(|error| panic!("{answers:?}: {error}"));
        assert!(bucket.next.lock().unwrap().is_empty(), "{answers:?}");
        assert_eq!(load(&catalog, &id).await.unwrap().batches.len(), 2, "{answers:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_of_s3_are_told_by_meaning_and_without_keys() {
    for (answer, kind) in [
        (Answer::Denied, CatalogErrorKind::Permission),
        (Answer::Expired, CatalogErrorKind::Permission),
        (Answer::SlowDown, CatalogErrorKind::Unreachable),
        (Answer::Unconditional, CatalogErrorKind::NotCreateOnly),
    ] {
        let bucket = Arc::new(Bucket { always: Mutex::new(Some(answer)), ..Bucket::default() });
        let error = s3(&bucket).await.unwrap_err();
        assert_eq!(error.kind, kind, "{answer:?}: {error}");
        assert!(error.message.contains("s3://bucket/prod"), "{error}");
        let all = format!("{error} {error:?} {}", error.hint());
        assert!(!all.contains("AKIAX") && !all.contains("c2VjcmV0"), "{all}");
    }
}
