//! An append-only log in an object store: `<prefix>/00000001.json`, `00000002.json` and so on, each written create-only.
//!
//! The next number is the compare-and-swap: of all writers that saw the same log, one creates the next object, and every other
//! learns [`CatalogErrorKind::Conflict`](super::CatalogErrorKind). Every object carries a nonce of its own, so a writer whose answer
//! was lost recognises its object. An object is never overwritten and never deleted.

use super::error::CatalogError;
use super::record::{self, Record};
use super::store::{Created, Store};
use super::{WRITER, nonce};
use chrono::{DateTime, Utc};
use serde::{Serialize, de::DeserializeOwned};
use std::marker::PhantomData;

/// What one object of a log holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch<E> {
    /// Its number, from 1.
    pub number: u32,
    /// The writing process's nonce.
    pub writer: String,
    /// When it was written, by the writer's wall clock.
    pub at: DateTime<Utc>,
    /// Its events, in order.
    pub events: Vec<E>,
}

/// The end of a log that somebody may append to.
#[derive(Clone, Debug)]
pub(crate) struct Log<E> {
    store: Store,
    prefix: String,
    next: u32,
    events: PhantomData<fn(E)>,
}

impl<E: Serialize + DeserializeOwned> Log<E> {
    /// A log nobody has written to yet, as far as the caller knows. Contacts nothing.
    pub(crate) fn empty(store: &Store, prefix: &str) -> Self {
        Log { store: store.clone(), prefix: prefix.to_owned(), next: 1, events: PhantomData }
    }

    /// Reads the whole log. No object at all is an empty log. A damaged object, a gap or a newer format is an error that names it.
    pub(crate) async fn read(store: &Store, prefix: &str) -> Result<(Self, Vec<Batch<E>>), CatalogError> {
        let count = contiguous(store, prefix).await?;
        let names = (1..=count).map(|number| object(prefix, number)).collect();
        let mut batches = Vec::new();
        for (number, (name, content)) in (1..).zip(store.read_all(names).await?) {
            batches.push(batch(&name, number, content)?);
        }
        Ok((Log { next: count + 1, ..Log::empty(store, prefix) }, batches))
    }

    /// Reads only the last object, for logs whose last event says everything.
    pub(crate) async fn read_last(store: &Store, prefix: &str) -> Result<(Self, Option<Batch<E>>), CatalogError> {
        let count = contiguous(store, prefix).await?;
        let log = Log { next: count + 1, ..Log::empty(store, prefix) };
        if count == 0 {
            return Ok((log, None));
        }
        let name = object(prefix, count);
        let content = store.read(&name).await?;
        Ok((log, Some(batch(&name, count, content)?)))
    }

    /// The number of the last object that this writer knows of.
    pub(crate) fn known(&self) -> u32 {
        self.next - 1
    }

    /// Reads what follows the object of this number, up to the end. One small call when nothing does.
    pub(crate) async fn read_after(&self, number: u32) -> Result<Vec<Batch<E>>, CatalogError> {
        let mut found = Vec::new();
        for number in number + 1.. {
            let name = object(&self.prefix, number);
            match self.store.read(&name).await? {
                Some(content) => found.push(batch(&name, number, Some(content))?),
                None => break,
            }
        }
        Ok(found)
    }

    /// Appends one object with these events; returns its number. On any error nothing of ours has replaced anything; after
    /// [`Unreachable`](super::CatalogErrorKind::Unreachable) it is not known whether the object arrived: read the log again.
    /// A repeat is a new object, not the same one.
    pub(crate) async fn append(&mut self, at: DateTime<Utc>, events: &[E]) -> Result<u32, CatalogError> {
        let name = object(&self.prefix, self.next);
        let content = record::write(&WRITER, &nonce(), at, events)?;
        match self.store.create(&name, &content).await? {
            Created::Ours => {
                let number = self.next;
                self.next += 1;
                Ok(number)
            }
            Created::Theirs(stored) => {
                // Damage is not a rival: say which it is.
                let theirs: Record<E> = record::read(&name, &stored)?;
                Err(CatalogError::conflict(&name, &format!("writer {}, {}", theirs.writer, theirs.at.to_rfc3339())))
            }
        }
    }
}

fn batch<E: DeserializeOwned>(name: &str, number: u32, content: Option<Vec<u8>>) -> Result<Batch<E>, CatalogError> {
    let content = content.ok_or_else(|| CatalogError::damaged(name, "it was listed and is gone"))?;
    let record: Record<E> = record::read(name, &content)?;
    Ok(Batch { number, writer: record.writer, at: record.at, events: record.events })
}

fn object(prefix: &str, number: u32) -> String {
    format!("{prefix}/{number:08}.json")
}

/// How many objects the log has, if they are numbered without a gap. Other names in the folder are none of ours.
async fn contiguous(store: &Store, prefix: &str) -> Result<u32, CatalogError> {
    let listed = store.list(prefix).await?;
    let numbers = listed.iter().filter_map(|object| {
        let digits = object.file.strip_suffix(".json").filter(|digits| digits.len() == 8)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<u32>().ok())?
    });
    let mut expected = 1;
    for number in numbers {
        if number != expected {
            return Err(CatalogError::damaged(
                object(prefix, expected),
                format_args!("it is missing, although `{}` exists", object(prefix, number)),
            ));
        }
        expected += 1;
    }
    Ok(expected - 1)
}

#[cfg(test)]
impl<E> Log<E> {
    pub(crate) fn moved_to(self, store: &Store) -> Self {
        Log { store: store.clone(), ..self }
    }
}
