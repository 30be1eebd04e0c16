//! A small server that answers as S3 does, or as it does on a bad day. The tests of the program use it too.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

#[derive(Clone, Copy, Debug)]
pub enum Answer {
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
pub struct Bucket {
    /// By key.
    pub objects: Mutex<BTreeMap<String, Vec<u8>>>,
    /// What the next writes are answered, each once.
    pub next: Mutex<VecDeque<Answer>>,
    /// What every other write is answered.
    pub always: Mutex<Option<Answer>>,
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

/// Answers one connection until it ends.
pub async fn serve(bucket: Arc<Bucket>, stream: TcpStream) {
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
