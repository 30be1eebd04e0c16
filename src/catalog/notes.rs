//! Copies of open window notes: "these pods may be paused, until this deadline". One object each, `notes/<id>.json`.
//!
//! What a note says is the window's business; here it is JSON. Unlike a log, a note is replaced by its own writer and deleted when
//! every pod is proven open.

use super::error::{CatalogError, CatalogErrorKind};
use super::points::DamagedObject;
use super::record::{self, Record};
use super::store::Created;
use super::{Catalog, WRITER};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

const NOTES: &str = "notes";

/// A copy of an open window note.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// Its id.
    pub id: String,
    /// Its writer's nonce: who knows it may replace the note.
    pub nonce: String,
    /// When it was written, by the writer's wall clock.
    pub at: DateTime<Utc>,
    /// What it says.
    pub content: serde_json::Value,
}

#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    id: String,
    nonce: String,
    content: serde_json::Value,
}

/// Stores a note. One of the same id and nonce is replaced; one of another nonce stays, and the call fails with `Conflict`.
/// Not for a note whose writer may be two processes at once: the replacement itself is not compared.
pub async fn put(catalog: &Catalog, id: &str, nonce: &str, content: &serde_json::Value) -> Result<(), CatalogError> {
    let name = object(id)?;
    let stored = Stored { id: id.to_owned(), nonce: nonce.to_owned(), content: content.clone() };
    let bytes = record::write(&WRITER, nonce, Utc::now(), &[stored])?;
    match catalog.store.create(&name, &bytes).await? {
        Created::Ours => Ok(()),
        Created::Theirs(existing) => {
            let existing = parse(&name, &existing)?;
            if existing.nonce != nonce {
                return Err(CatalogError::conflict(&name, &format!("a note of {}", existing.at.to_rfc3339())));
            }
            catalog.store.overwrite(&name, &bytes).await
        }
    }
}

/// One note, or `None`.
pub async fn get(catalog: &Catalog, id: &str) -> Result<Option<Note>, CatalogError> {
    let name = object(id)?;
    catalog.store.read(&name).await?.map(|content| parse(&name, &content)).transpose()
}

/// Every note, in order of ids, and the objects that are none. Somebody should look at those: pods may be paused.
pub async fn list(catalog: &Catalog) -> Result<(Vec<Note>, Vec<DamagedObject>), CatalogError> {
    let listed = catalog.store.list(NOTES).await?;
    let names = listed.iter().filter(|object| object.file.ends_with(".json"));
    let names = names.map(|object| format!("{NOTES}/{}", object.file)).collect();
    let (mut notes, mut damaged) = (Vec::new(), Vec::new());
    for (name, content) in catalog.store.read_all(names).await? {
        // Gone since it was listed: deleted because its pods are open.
        let Some(content) = content else { continue };
        match parse(&name, &content) {
            Ok(note) => notes.push(note),
            Err(error) => damaged.push(DamagedObject::from_error(&name, &error).ok_or(error)?),
        }
    }
    Ok((notes, damaged))
}

/// Deletes a note; one that is not there counts as deleted.
pub async fn delete(catalog: &Catalog, id: &str) -> Result<(), CatalogError> {
    catalog.store.delete(&object(id)?).await
}

fn object(id: &str) -> Result<String, CatalogError> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if id.is_empty() || id.len() > 128 || !id.chars().all(fine) {
        return Err(CatalogError::new(
            CatalogErrorKind::BadId,
            format!("`{}` is not the id of a note", id.chars().take(128).collect::<String>()),
            "ids of notes hold letters, digits, `-` and `_`; `stillpoint status` shows those there are",
        ));
    }
    Ok(format!("{NOTES}/{id}.json"))
}

fn parse(name: &str, content: &[u8]) -> Result<Note, CatalogError> {
    let record: Record<Stored> = record::read(name, content)?;
    let [stored] = <[Stored; 1]>::try_from(record.events)
        .map_err(|all| CatalogError::damaged(name, format_args!("it holds {} notes", all.len())))?;
    if object(&stored.id)? != name {
        return Err(CatalogError::damaged(name, format_args!("it is the note `{}`", stored.id)));
    }
    Ok(Note { id: stored.id, nonce: stored.nonce, at: record.at, content: stored.content })
}
