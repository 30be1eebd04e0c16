//! Does create-only really hold? Some file systems have no hard links, and some services that speak S3 ignore the condition; on
//! such a store two writers would overwrite each other without a word.

use super::error::{CatalogError, CatalogErrorKind};
use super::store::Store;

/// Creates an object below `probe/` twice and reads it back. Leaves nothing behind when it succeeds.
pub(super) async fn create_only(store: &Store, nonce: &str) -> Result<(), CatalogError> {
    let name = format!("probe/{nonce}.json");
    let first = format!("{{\"probe\":\"{nonce}\",\"try\":1}}\n");
    let second = format!("{{\"probe\":\"{nonce}\",\"try\":2}}\n");
    match store.create(&name, first.as_bytes()).await {
        Ok(super::store::Created::Ours) => {}
        Ok(super::store::Created::Theirs(_)) => {
            return Err(not_create_only(store, "an object of a fresh name held something else"));
        }
        Err(error) if error.kind == CatalogErrorKind::NotCreateOnly => {
            return Err(not_create_only(store, "it has no create-only write"));
        }
        // What a file system without hard links answers.
        Err(error) if error.kind == CatalogErrorKind::Unwritable && error.message.contains("not supported") => {
            return Err(not_create_only(store, "its file system has no hard links"));
        }
        Err(error) => return Err(error),
    }
    let created_again = store.create_once(&name, second.as_bytes()).await?;
    let stored = store.read(&name).await?;
    // Notes are deleted as well: better to learn now that it is not allowed.
    let deleted = store.delete(&name).await;
    if created_again || stored.as_deref() != Some(first.as_bytes()) {
        return Err(not_create_only(store, "it created the same object twice"));
    }
    deleted
}

fn not_create_only(store: &Store, why: &str) -> CatalogError {
    CatalogError::new(
        CatalogErrorKind::NotCreateOnly,
        format!("the catalog {} cannot keep two writers apart: {why}", store.place),
        "use a folder on a file system with hard links, or a store with conditional writes (S3 itself has them)",
    )
}
