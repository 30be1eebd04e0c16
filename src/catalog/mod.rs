//! The catalog: restore points, the pause lock and copies of open window notes, in an object store.
//!
//! ```text
//! points/<id>/00000001.json    the log of a restore point      [`PointLog`]
//! locks/pause/00000001.json    the log of the pause lock       [`PauseLock`]
//! notes/<id>.json              copies of open window notes     [`notes`]
//! probe/<nonce>.json           does create-only hold here?     gone after each opening for writing
//! ```
//!
//! By URL: `file:///folder` (fsynced), `s3://bucket/folder`, `az://container/folder`, `gs://bucket/folder`, and `memory:` (a store
//! of its own at each opening, for tests and demonstrations). Credentials come from the environment only:
//! - S3: `AWS_ACCESS_KEY_ID` with `AWS_SECRET_ACCESS_KEY` (and `AWS_SESSION_TOKEN`), a web identity (`AWS_WEB_IDENTITY_TOKEN_FILE`,
//!   `AWS_ROLE_ARN`), the container's or the instance's role; `AWS_REGION` or `AWS_DEFAULT_REGION`, `AWS_ENDPOINT_URL_S3`. Profiles
//!   of the AWS command line are *not* read.
//! - Azure: `AZURE_STORAGE_ACCOUNT_NAME`, and `AZURE_STORAGE_ACCOUNT_KEY`, `AZURE_STORAGE_SAS_TOKEN`, a client secret, a workload
//!   identity or a managed identity.
//! - Google: `GOOGLE_APPLICATION_CREDENTIALS` or `GOOGLE_SERVICE_ACCOUNT`, or the machine's identity.
//!
//! Invariants: nothing here is called while pods are paused, so that a slow or dead store costs no outage; and nothing here ever
//! overwrites or deletes an object of a log.

mod error;
mod fold;
mod id;
mod lock;
mod log;
pub mod notes;
mod open;
mod point;
mod points;
mod probe;
mod record;
mod store;
#[cfg(test)]
pub(crate) mod tests;

pub use error::{CatalogError, CatalogErrorKind};
pub use fold::{Illegal, Phase, fold, may_follow};
pub use id::PointId;
pub use lock::{Acquired, Holding, LockStatus, Owner, PauseLock, lock_status, release_of_gone};
pub use log::Batch;
pub use point::{
    By, LostSet, OpenedDatabase, OpenedSet, OpenedSettings, OpenedTarget, PointEvent, RunKind, WorkHold,
    captured_batches, rfc3339,
};
pub use points::{DamagedObject, Loaded, PointLog, PointWatcher, list, load, newest_open};
pub use store::Patience;

use object_store::ObjectStore;
use std::sync::{Arc, LazyLock};

/// This process among the writers of a catalog.
static WRITER: LazyLock<String> = LazyLock::new(nonce);

/// 128 random bits.
pub(crate) fn nonce() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// What a catalog is opened for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Reading only: nothing is written, and a folder that does not exist yet is an empty catalog.
    #[default]
    Read,
    /// Writing: proves first that create-only holds, by two small objects that are deleted again.
    Write,
}

/// How to open a catalog.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// For what.
    pub access: Access,
    /// How long and how often calls are tried.
    pub patience: Patience,
}

impl Options {
    /// For writing, with the default patience.
    pub fn write() -> Self {
        Options { access: Access::Write, ..Options::default() }
    }
}

/// An open catalog. Cheap to clone; the clones share one client.
#[derive(Clone, Debug)]
pub struct Catalog {
    store: store::Store,
}

impl Catalog {
    /// Opens the catalog at a URL. With [`Access::Write`], fails unless objects can be created there, and created once only.
    pub async fn open(url: &str, options: Options) -> Result<Catalog, CatalogError> {
        Catalog::prove(open::store(url, options.patience)?, options.access).await
    }

    /// Opens a catalog in a store that the caller built. `place` names it for people.
    pub async fn in_store(inner: Arc<dyn ObjectStore>, place: &str, options: Options) -> Result<Catalog, CatalogError> {
        let prefix = object_store::path::Path::default();
        let store = store::Store::new(inner, prefix, place.to_owned(), options.patience, false);
        Catalog::prove(store, options.access).await
    }

    async fn prove(store: store::Store, access: Access) -> Result<Catalog, CatalogError> {
        if access == Access::Write {
            probe::create_only(&store, &nonce()).await?;
        }
        Ok(Catalog { store })
    }

    /// The URL, for people.
    pub fn place(&self) -> &str {
        &self.store.place
    }
}
