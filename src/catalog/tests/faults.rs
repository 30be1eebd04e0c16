use super::*;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory, path::Path,
};
use std::{collections::VecDeque, fmt, io, sync::Mutex};

/// What happens to one write.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    /// Stored, and the answer is lost.
    AnswerLost,
    /// Not stored, and there is no answer.
    NotSent,
    /// Not stored, and the answer says that it exists: a momentary conflict.
    FalseExists,
    /// Somebody else's object is stored first, and ours is refused.
    Beaten,
    /// Never answered.
    Hangs,
    /// An answer of the operating system.
    Io(i32),
    /// Only the first half is stored, as success.
    Truncated,
    /// Stored whether it exists or not.
    Overwritten,
}

#[derive(Debug)]
pub(crate) struct Faulty {
    inner: InMemory,
    faults: Mutex<VecDeque<Fault>>,
    pub(crate) always: Mutex<Option<Fault>>,
    pub(crate) dies: Mutex<Option<Death>>,
}

/// At one of the next writes its process dies: nobody hears of it any more.
#[derive(Debug)]
pub(crate) struct Death {
    /// How many writes until then, itself included.
    pub(crate) writes: usize,
    /// Whether it was stored all the same.
    pub(crate) stored: bool,
    /// Is told when it happens.
    pub(crate) told: tokio::sync::mpsc::UnboundedSender<()>,
}

impl Faulty {
    /// Whether the process dies at this write.
    fn dies_now(&self) -> Option<Death> {
        let mut dies = self.dies.lock().unwrap();
        let mut death = dies.take()?;
        death.writes -= 1;
        if death.writes == 0 {
            return Some(death);
        }
        *dies = Some(death);
        None
    }

    /// For the next few hundred writes.
    pub(crate) fn lose_every_other_answer(&self) {
        let mut faults = self.faults.lock().unwrap();
        faults.extend(std::iter::repeat_n(Fault::AnswerLost, 400));
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

fn io_error(code: i32) -> Error {
    Error::Generic { store: "LocalFileSystem", source: Box::new(io::Error::from_raw_os_error(code)) }
}

#[async_trait::async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, at: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let fault = self.faults.lock().unwrap().pop_front().or(*self.always.lock().unwrap());
        let no_answer = || Error::Generic { store: "faulty", source: "connection reset".into() };
        if let Some(death) = self.dies_now() {
            if death.stored {
                self.inner.put_opts(at, payload, options).await?;
            }
            death.told.send(()).unwrap();
            return std::future::pending().await;
        }
        match fault {
            None => self.inner.put_opts(at, payload, options).await,
            Some(Fault::AnswerLost) => self.inner.put_opts(at, payload, options).await.and(Err(no_answer())),
            Some(Fault::NotSent) => Err(no_answer()),
            Some(Fault::FalseExists) => {
                Err(Error::AlreadyExists { path: at.to_string(), source: "409 ConditionalRequestConflict".into() })
            }
            Some(Fault::Beaten) => {
                let theirs = super::super::record::write("rival", "n", Utc::now(), &[attempt_void()]).unwrap();
                self.inner.put_opts(at, theirs.into(), PutMode::Create.into()).await?;
                self.inner.put_opts(at, payload, options).await
            }
            Some(Fault::Hangs) => std::future::pending().await,
            Some(Fault::Io(code)) => Err(io_error(code)),
            Some(Fault::Truncated) => {
                let whole: Vec<u8> = payload.iter().flat_map(|part| part.to_vec()).collect();
                self.inner.put_opts(at, whole[..whole.len() / 2].to_vec().into(), options).await
            }
            Some(Fault::Overwritten) => self.inner.put_opts(at, payload, PutMode::Overwrite.into()).await,
        }
    }

    async fn put_multipart_opts(&self, at: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(at, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

fn options(access: Access) -> Options {
    let patience =
        Patience { call_timeout: Duration::from_millis(200), tries: 3, first_wait: Duration::from_millis(1) };
    Options { access, patience }
}

pub(crate) async fn faulty() -> (Catalog, Arc<Faulty>) {
    let store = Arc::new(Faulty {
        inner: InMemory::new(),
        faults: Mutex::default(),
        always: Mutex::default(),
        dies: Mutex::default(),
    });
    let catalog = Catalog::in_store(store.clone(), "faulty:", options(Access::Write)).await.unwrap();
    (catalog, store)
}

fn next(store: &Faulty, faults: impl IntoIterator<Item = Fault>) {
    *store.faults.lock().unwrap() = faults.into_iter().collect();
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_counts_once() {
    let id = id("nightly");
    for faults in [
        vec![Fault::AnswerLost],
        vec![Fault::NotSent, Fault::AnswerLost],
        vec![Fault::NotSent, Fault::NotSent],
        vec![Fault::AnswerLost, Fault::FalseExists],
        vec![Fault::FalseExists, Fault::NotSent],
    ] {
        let (catalog, store) = faulty().await;
        let mut log = PointLog::create(&catalog, &id, opened(&id)).await.unwrap();
        next(&store, faults.clone());
        log.append(recorded()).await.unwrap_or_else(|error| panic!("{faults:?}: {error}"));
        log.append(captured()).await.unwrap();
        assert_eq!(load(&catalog, &id).await.unwrap().batches.len(), 3, "{faults:?}");
    }
}

#[tokio::test]
async fn a_store_that_keeps_saying_exists_for_nothing_is_given_up() {
    let (catalog, store) = faulty().await;
    *store.always.lock().unwrap() = Some(Fault::FalseExists);
    let id = id("nightly");
    let error = PointLog::create(&catalog, &id, opened(&id)).await.unwrap_err();
    assert_eq!(error.kind, CatalogErrorKind::Unreachable, "{error}");
}

#[tokio::test]
async fn a_rival_that_was_quicker_wins() {
    let (catalog, store) = faulty().await;
    let id = id("nightly");
    let mut log = PointLog::create(&catalog, &id, opened(&id)).await.unwrap();
    next(&store, [Fault::NotSent, Fault::Beaten]);
    let error = log.append(recorded()).await.unwrap_err();
    assert_eq!(error.kind, CatalogErrorKind::Conflict);
    assert!(error.message.contains("rival"), "{error}");
    assert_eq!(load(&catalog, &id).await.unwrap().phase, Phase::Opened);
}

#[tokio::test]
async fn a_store_that_never_answers_is_reported_and_the_log_can_be_taken_up_again() {
    let (catalog, store) = faulty().await;
    let id = id("nightly");
    let mut log = PointLog::create(&catalog, &id, opened(&id)).await.unwrap();
    *store.always.lock().unwrap() = Some(Fault::Hangs);
    let error = log.append(recorded()).await.unwrap_err();
    assert_eq!(error.kind, CatalogErrorKind::Unreachable);
    assert!(error.retryable() && error.message.contains("points/nightly"), "{error}");
    *store.always.lock().unwrap() = None;
    let (mut log, _) = PointLog::resume(&catalog, &id).await.unwrap();
    log.append(recorded()).await.unwrap();
}

/// The first try arrives long after its caller gave up and went on: the log still tells one story, and the caller learns it.
#[tokio::test]
async fn a_write_that_arrives_after_its_caller_gave_up_is_not_taken_for_the_next_one() {
    let (catalog, store) = faulty().await;
    let id = id("nightly");
    let mut log = PointLog::create(&catalog, &id, opened(&id)).await.unwrap();
    next(&store, [Fault::AnswerLost, Fault::Hangs, Fault::Hangs]);
    assert_eq!(log.append(recorded()).await.unwrap_err().kind, CatalogErrorKind::Unreachable);
    // The same writer, another event, the same number.
    assert_eq!(log.append(void()).await.unwrap_err().kind, CatalogErrorKind::Conflict);
    assert_eq!(load(&catalog, &id).await.unwrap().phase, Phase::Recorded);
}

#[tokio::test]
async fn a_full_disk_is_said_at_once_and_nothing_is_lost() {
    let (catalog, store) = faulty().await;
    let id = id("nightly");
    let mut log = PointLog::create(&catalog, &id, opened(&id)).await.unwrap();
    for (code, kind) in [
        (28, CatalogErrorKind::Full),
        (122, CatalogErrorKind::Full),
        (13, CatalogErrorKind::Permission),
        (30, CatalogErrorKind::Unwritable),
    ] {
        next(&store, [Fault::Io(code)]);
        let error = log.append(recorded()).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(!error.hint().is_empty() && error.message.contains("faulty:"), "{error}");
    }
    log.append(recorded()).await.unwrap();
    assert_eq!(load(&catalog, &id).await.unwrap().batches.len(), 2);
}

#[tokio::test]
async fn a_half_written_object_is_named_and_nothing_is_written_behind_it() {
    let (catalog, store) = faulty().await;
    let id = id("nightly");
    let mut log = PointLog::create(&catalog, &id, opened(&id)).await.unwrap();
    next(&store, [Fault::Truncated]);
    log.append(recorded()).await.unwrap();
    let object = format!("points/{id}/00000002.json");
    assert_eq!(load(&catalog, &id).await.unwrap_err().kind, CatalogErrorKind::Damaged { object: object.clone() });
    assert_eq!(PointLog::resume(&catalog, &id).await.unwrap_err().kind, CatalogErrorKind::Damaged { object });
    let (points, damaged) = list(&catalog).await.unwrap();
    assert_eq!((points.len(), damaged.len()), (0, 1));
}

#[tokio::test]
async fn a_store_that_creates_twice_cannot_carry_a_catalog() {
    let store = Arc::new(Faulty {
        inner: InMemory::new(),
        faults: Mutex::default(),
        always: Mutex::new(Some(Fault::Overwritten)),
        dies: Mutex::default(),
    });
    let error = Catalog::in_store(store.clone(), "s3://bucket/x", options(Access::Write)).await.unwrap_err();
    assert_eq!(error.kind, CatalogErrorKind::NotCreateOnly);
    assert!(error.message.contains("s3://bucket/x") && error.hint().contains("hard links"), "{error}");
    // Reading there is fine.
    assert!(Catalog::in_store(store, "s3://bucket/x", options(Access::Read)).await.is_ok());
}

#[tokio::test]
async fn opening_for_writing_tells_why_it_cannot() {
    for (fault, kind) in [
        (Fault::NotSent, CatalogErrorKind::Unreachable),
        (Fault::Hangs, CatalogErrorKind::Unreachable),
        (Fault::Io(28), CatalogErrorKind::Full),
        (Fault::Io(95), CatalogErrorKind::NotCreateOnly),
    ] {
        let always = Mutex::new(Some(fault));
        let store =
            Arc::new(Faulty { inner: InMemory::new(), faults: Mutex::default(), always, dies: Mutex::default() });
        let error = Catalog::in_store(store, "faulty:", options(Access::Write)).await.unwrap_err();
        assert_eq!(error.kind, kind, "{fault:?}: {error}");
    }
}
