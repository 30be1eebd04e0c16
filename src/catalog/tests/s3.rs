//! The S3 client against a small server that answers as S3 does: conditional writes, a conflict that is only momentary, an answer
//! that never arrives, and refusals.

use super::bucket::{Answer, Bucket, serve};
use super::*;
use object_store::aws::AmazonS3Builder;
use std::sync::Mutex;
use tokio::net::TcpListener;

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
