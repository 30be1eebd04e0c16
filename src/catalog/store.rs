//! The few operations the catalog needs of an object store, each with a time-out and a bounded number of tries.
//!
//! [`Store::create`] is the only one that decides anything: it writes an object that must not exist yet, and tells a lost answer
//! (the object is ours) from a lost race (it is not) by comparing what is stored with what was sent.

use super::error::{CatalogError, CatalogErrorKind, is_final_io_error};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload, path::Path};
use std::{sync::Arc, time::Duration};

/// How long and how often a call is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// One try of one call.
    pub call_timeout: Duration,
    /// How many tries.
    pub tries: u32,
    /// The wait after the first failed try; doubles, with jitter, up to 2 s.
    pub first_wait: Duration,
}

impl Default for Patience {
    /// 10 s, 5 tries, 100 ms: a catalog that is down is reported within a minute, before anything is paused.
    fn default() -> Self {
        Patience { call_timeout: Duration::from_secs(10), tries: 5, first_wait: Duration::from_millis(100) }
    }
}

impl Patience {
    fn wait(&self, failed: u32) -> Duration {
        let doubled = self.first_wait.saturating_mul(1 << failed.min(10)).min(Duration::from_secs(2));
        doubled.mul_f64(rand::random_range(0.5..1.0))
    }
}

/// How a creation ended.
#[derive(Debug)]
pub(crate) enum Created {
    /// The object is there, with exactly our content.
    Ours,
    /// Another object is there: its content.
    Theirs(Vec<u8>),
}

/// What a listing says of an object.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    /// The last part of its name.
    pub(crate) file: String,
}

/// An object store below a prefix.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    inner: Arc<dyn ObjectStore>,
    prefix: Path,
    /// For people: the URL as the settings give it.
    pub(crate) place: String,
    patience: Patience,
    local: bool,
}

enum Failure {
    /// Trying again cannot help.
    Final(CatalogError),
    Retry(CatalogError),
}

impl Store {
    pub(crate) fn new(
        inner: Arc<dyn ObjectStore>,
        prefix: Path,
        place: String,
        patience: Patience,
        local: bool,
    ) -> Self {
        Store { inner, prefix, place, patience, local }
    }

    /// The full name of an object, for messages: without the prefix, as the catalog's own pages write it.
    fn path(&self, name: &str) -> Path {
        name.split('/').fold(self.prefix.clone(), |path, part| path.join(part))
    }

    /// Writes an object that must not exist yet. After any doubt the stored object is read and compared, so a repeat of the same
    /// call with the same content is a success, and content must therefore be unique to the caller (a nonce).
    pub(crate) async fn create(&self, name: &str, content: &[u8]) -> Result<Created, CatalogError> {
        let doing = format!("create `{name}`");
        self.tried(&doing, || async {
            match self.put(name, content, PutMode::Create).await {
                Ok(()) => Ok(Created::Ours),
                // Some stores answer a conflict that is only momentary like this, so what counts is what is stored.
                Err(error) if exists_already(&error) => match self.get(name).await.map_err(|e| self.failure(&doing, e))? {
                    Some(stored) if stored == content => Ok(Created::Ours),
                    Some(stored) => Ok(Created::Theirs(stored)),
                    None => Err(Failure::Retry(CatalogError::new(
                        CatalogErrorKind::Unreachable,
                        format!("cannot {doing} in the catalog {}: the store keeps saying that it exists, and it does not", self.place),
                        "run the same command again",
                    ))),
                },
                Err(error) => Err(self.failure(&doing, error)),
            }
        })
        .await
    }

    /// One creation without a second try, for the probe: `Ok(false)` when the store says that the object exists.
    pub(crate) async fn create_once(&self, name: &str, content: &[u8]) -> Result<bool, CatalogError> {
        let doing = format!("create `{name}`");
        match tokio::time::timeout(self.patience.call_timeout, self.put(name, content, PutMode::Create)).await {
            Ok(Ok(())) => Ok(true),
            Ok(Err(error)) if exists_already(&error) => Ok(false),
            Ok(Err(error)) => Err(CatalogError::from_store(&doing, &self.place, error)),
            Err(_) => Err(CatalogError::timed_out(&doing, &self.place, self.patience.call_timeout)),
        }
    }

    /// Writes an object whether it exists or not.
    pub(crate) async fn overwrite(&self, name: &str, content: &[u8]) -> Result<(), CatalogError> {
        let doing = format!("write `{name}`");
        self.tried(&doing, || async {
            self.put(name, content, PutMode::Overwrite).await.map_err(|error| self.failure(&doing, error))
        })
        .await
    }

    /// An object's content, or `None` when there is no such object.
    pub(crate) async fn read(&self, name: &str) -> Result<Option<Vec<u8>>, CatalogError> {
        let doing = format!("read `{name}`");
        self.tried(&doing, || async { self.get(name).await.map_err(|error| self.failure(&doing, error)) }).await
    }

    /// The objects directly in a folder, in order of their names. A folder that does not exist is empty.
    pub(crate) async fn list(&self, folder: &str) -> Result<Vec<Listed>, CatalogError> {
        Ok(self.listing(folder).await?.0)
    }

    /// The folders directly in a folder, in order of their names.
    pub(crate) async fn folders(&self, folder: &str) -> Result<Vec<String>, CatalogError> {
        Ok(self.listing(folder).await?.1)
    }

    async fn listing(&self, folder: &str) -> Result<(Vec<Listed>, Vec<String>), CatalogError> {
        let doing = format!("list `{folder}/`");
        let path = self.path(folder);
        let found = self
            .tried(&doing, || async {
                match self.inner.list_with_delimiter(Some(&path)).await {
                    Ok(found) => Ok((found.objects, found.common_prefixes)),
                    Err(object_store::Error::NotFound { .. }) if self.local => Ok((Vec::new(), Vec::new())),
                    Err(error) => Err(self.failure(&doing, error)),
                }
            })
            .await?;
        let last = |path: &Path| path.filename().unwrap_or_default().to_owned();
        let mut objects: Vec<_> = found.0.iter().map(|meta| Listed { file: last(&meta.location) }).collect();
        objects.sort_by(|a, b| a.file.cmp(&b.file));
        let mut folders: Vec<_> = found.1.iter().map(last).collect();
        folders.sort();
        Ok((objects, folders))
    }

    /// Deletes an object; one that is not there counts as deleted.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), CatalogError> {
        let doing = format!("delete `{name}`");
        let path = self.path(name);
        self.tried(&doing, || async {
            match self.inner.delete(&path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(self.failure(&doing, error)),
            }
        })
        .await
    }

    /// Reads many objects, a few at a time, in the order given. Objects that are gone are `None`.
    pub(crate) async fn read_all(&self, names: Vec<String>) -> Result<Vec<(String, Option<Vec<u8>>)>, CatalogError> {
        stream::iter(names)
            .map(|name| async move {
                let content = self.read(&name).await?;
                Ok((name, content))
            })
            .buffered(8)
            .try_collect()
            .await
    }

    async fn put(&self, name: &str, content: &[u8], mode: PutMode) -> object_store::Result<()> {
        let payload = PutPayload::from(content.to_vec());
        self.inner.put_opts(&self.path(name), payload, mode.into()).await.map(drop)
    }

    async fn get(&self, name: &str) -> object_store::Result<Option<Vec<u8>>> {
        match self.inner.get(&self.path(name)).await {
            Ok(found) => Ok(Some(found.bytes().await?.to_vec())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn failure(&self, doing: &str, error: object_store::Error) -> Failure {
        let hopeless = self.local && is_final_io_error(&error);
        let error = CatalogError::from_store(doing, &self.place, error);
        if error.retryable() && !hopeless { Failure::Retry(error) } else { Failure::Final(error) }
    }

    async fn tried<T, F>(&self, doing: &str, call: impl Fn() -> F) -> Result<T, CatalogError>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut failed = 0;
        loop {
            let error = match tokio::time::timeout(self.patience.call_timeout, call()).await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(Failure::Final(error))) => return Err(error),
                Ok(Err(Failure::Retry(error))) => error,
                Err(_) => CatalogError::timed_out(doing, &self.place, self.patience.call_timeout),
            };
            failed += 1;
            if failed >= self.patience.tries.max(1) {
                return Err(error);
            }
            tracing::debug!(doing, failed, error = %error, "catalog call will be tried again");
            tokio::time::sleep(self.patience.wait(failed - 1)).await;
        }
    }
}

/// Also a failed precondition: some stores answer that to "create only".
fn exists_already(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. })
}
