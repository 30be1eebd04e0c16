//! The bytes of one object: a line of JSON that says its format, its writer and its events, and ends with a checksum.
//!
//! The checksum is over the bytes before it, so an object that was cut short, zeroed in the middle, or edited is known for damaged,
//! also when what is left happens to parse: a flipped digit in a restore time must not pass for a restore time.

use super::error::{CatalogError, CatalogErrorKind};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The newest format this program reads, and the one it writes. Rises with every event or field an older program must not skip.
pub(crate) const FORMAT: u64 = 2;

const CHECKSUM: &str = ",\"crc32\":\"";

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record<E> {
    pub(crate) writer: String,
    pub(crate) at: DateTime<Utc>,
    pub(crate) events: Vec<E>,
}

#[derive(Serialize)]
struct Written<'a, E> {
    version: u64,
    program: &'a str,
    writer: &'a str,
    nonce: &'a str,
    at: String,
    events: &'a [E],
}

#[derive(Deserialize)]
struct Envelope {
    version: u64,
    program: String,
    writer: String,
    at: DateTime<Utc>,
    events: Vec<serde_json::Value>,
}

pub(crate) fn write<E: Serialize>(
    writer: &str,
    nonce: &str,
    at: DateTime<Utc>,
    events: &[E],
) -> Result<Vec<u8>, CatalogError> {
    let at = at.to_rfc3339_opts(SecondsFormat::Nanos, true);
    let written = Written { version: FORMAT, program: env!("CARGO_PKG_VERSION"), writer, nonce, at, events };
    let mut text = serde_json::to_string(&written).map_err(|error| {
        CatalogError::new(
            CatalogErrorKind::Unwritable,
            format!("an event cannot be written as JSON: {error}"),
            "this is a defect; please report it",
        )
    })?;
    text.pop();
    let sum = crc32fast::hash(text.as_bytes());
    text.push_str(&format!("{CHECKSUM}{sum:08x}\"}}\n"));
    Ok(text.into_bytes())
}

/// `name` is the object's, for the error.
pub(crate) fn read<E: DeserializeOwned>(name: &str, content: &[u8]) -> Result<Record<E>, CatalogError> {
    let damaged = |why: &dyn std::fmt::Display| CatalogError::damaged(name, why);
    if content.is_empty() {
        return Err(damaged(&"it is empty"));
    }
    let text = std::str::from_utf8(content).map_err(|error| damaged(&error))?;
    let (body, tail) = text.rsplit_once(CHECKSUM).ok_or_else(|| damaged(&"it is cut short or no object of ours"))?;
    let sum = tail.strip_suffix("\"}\n").ok_or_else(|| damaged(&"it is cut short"))?;
    if sum != format!("{:08x}", crc32fast::hash(body.as_bytes())) {
        return Err(damaged(&"its checksum does not fit its content"));
    }
    let envelope: Envelope = serde_json::from_str(text).map_err(|error| damaged(&error))?;
    if envelope.version > FORMAT {
        return Err(CatalogError::newer(name, envelope.version, &envelope.program, FORMAT));
    }
    let events =
        envelope.events.into_iter().map(|event| serde_json::from_value(event).map_err(|error| damaged(&error)));
    Ok(Record { writer: envelope.writer, at: envelope.at, events: events.collect::<Result<_, _>>()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "event", rename_all = "snake_case")]
    enum Event {
        Said { what: String, n: i64, f: f64 },
    }

    fn written() -> Vec<u8> {
        let event = Event::Said { what: "a \"crc32\":\" in the middle, ü".to_owned(), n: i64::MAX, f: 0.1 };
        write("w", "n", Utc::now(), &[event.clone(), event]).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let record: Record<Event> = read("x", &written()).unwrap();
        assert_eq!((record.writer.as_str(), record.events.len()), ("w", 2));
    }

    #[test]
    fn every_truncation_and_every_changed_byte_is_damage() {
        let whole = written();
        let is_damaged = |content: &[u8]| {
            let error = read::<Event>("points/a/00000001.json", content).unwrap_err();
            assert_eq!(error.kind, CatalogErrorKind::Damaged { object: "points/a/00000001.json".to_owned() });
            assert!(error.message.contains("points/a/00000001.json"), "{error}");
        };
        for length in 0..whole.len() {
            is_damaged(&whole[..length]);
        }
        for at in 0..whole.len() {
            for flip in [0x01, 0x20, 0xff] {
                let mut changed = whole.clone();
                changed[at] ^= flip;
                is_damaged(&changed);
            }
        }
    }

    #[test]
    fn an_object_of_a_newer_version_is_refused_by_that_name() {
        let text = String::from_utf8(written()).unwrap();
        let body = text.rsplit_once(CHECKSUM).unwrap().0;
        let body = body
            .replacen("{\"version\":2,\"program\":\"0.1.0\"", "{\"version\":7,\"program\":\"3.2.1\"", 1)
            .replace("said", "sung");
        let newer = format!("{body}{CHECKSUM}{:08x}\"}}\n", crc32fast::hash(body.as_bytes()));
        let error = read::<Event>("x", newer.as_bytes()).unwrap_err();
        assert_eq!(error.kind, CatalogErrorKind::NewerVersion { version: 7 });
        assert!(error.message.contains("3.2.1") && error.hint().contains("3.2.1"), "{error}");
    }

    #[test]
    fn an_unknown_event_of_our_own_version_is_damage() {
        let unknown = write("w", "n", Utc::now(), &[serde_json::json!({"event": "sung"})]).unwrap();
        let error = read::<Event>("x", &unknown).unwrap_err();
        assert!(error.message.contains("sung"), "{error}");
    }
}
