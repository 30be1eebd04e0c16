//! Ids of restore points: `<schedule>-<UTC slot>` or `manual-<UTC time>-<4 random>`.

use super::error::{CatalogError, CatalogErrorKind};
use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;

const SLOT: &str = "%Y%m%dT%H%M%SZ";
const SLOT_LENGTH: usize = "20261123T030000Z".len();
const LONGEST_SCHEDULE: usize = 63;

/// The id of a restore point. Sorts by name; [`PointId::time`] sorts by time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PointId(String);

impl PointId {
    /// A fresh id for a point made by hand at `at`.
    pub fn manual(at: DateTime<Utc>) -> Self {
        const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        let random: String = (0..4).map(|_| char::from(LETTERS[rand::random_range(0..LETTERS.len())])).collect();
        PointId(format!("manual-{}-{random}", at.format(SLOT)))
    }

    /// The id of a schedule's slot: the same slot gives the same id, so that a slot is done once.
    pub fn scheduled(schedule: &str, slot: DateTime<Utc>) -> Result<Self, CatalogError> {
        PointId::parse(&format!("{schedule}-{}", slot.format(SLOT)))
    }

    /// Checks an id that a person gave or an object's name holds.
    pub fn parse(id: &str) -> Result<Self, CatalogError> {
        match parts(id) {
            Ok(_) => Ok(PointId(id.to_owned())),
            Err(why) => Err(CatalogError::new(
                CatalogErrorKind::BadId,
                format!("`{}` is not the id of a restore point: {why}", id.chars().take(120).collect::<String>()),
                "ids look like manual-20261123T030000Z-4k2f or nightly-20261123T030000Z; `stillpoint list` shows those there are",
            )),
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The slot, or the time a manual point was begun.
    pub fn time(&self) -> Option<DateTime<Utc>> {
        parts(&self.0).ok().map(|(_, time)| time)
    }

    /// The schedule, or `manual`.
    pub fn schedule(&self) -> &str {
        parts(&self.0).map_or("", |(schedule, _)| schedule)
    }
}

impl fmt::Display for PointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for PointId {
    type Error = CatalogError;
    fn try_from(id: String) -> Result<Self, CatalogError> {
        PointId::parse(&id)
    }
}

impl From<PointId> for String {
    fn from(id: PointId) -> String {
        id.0
    }
}

fn parts(id: &str) -> Result<(&str, DateTime<Utc>), String> {
    if let Some(bad) = id.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))) {
        return Err(format!("it holds {bad:?}"));
    }
    let (rest, random) = match id.strip_prefix("manual-").and_then(|tail| tail.rsplit_once('-')) {
        Some((_, random)) => (&id[..id.len() - random.len() - 1], Some(random)),
        None => (id, None),
    };
    if random.is_some_and(|r| r.len() != 4 || !r.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())) {
        return Err("it should end in four of a-z and 0-9".to_owned());
    }
    let (schedule, slot) = rest.rsplit_once('-').ok_or("it has no time in it")?;
    let time = NaiveDateTime::parse_from_str(slot, SLOT)
        .ok()
        .filter(|_| slot.len() == SLOT_LENGTH)
        .ok_or_else(|| format!("`{slot}` is not a UTC time like 20261123T030000Z"))?;
    if (schedule == "manual") != random.is_some() {
        return Err("a point made by hand is called manual-<time>-<four characters>".to_owned());
    }
    if schedule.is_empty() || schedule.len() > LONGEST_SCHEDULE || schedule.starts_with('-') {
        return Err(format!("the schedule's name should have 1 to {LONGEST_SCHEDULE} characters"));
    }
    Ok((schedule, time.and_utc()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    fn slot() -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2026, 11, 23, 3, 0, 0).unwrap()
    }

    #[test]
    fn ids_are_made_as_they_are_read() {
        let manual = PointId::manual(slot());
        assert!(manual.as_str().starts_with("manual-20261123T030000Z-"));
        assert_eq!(PointId::parse(manual.as_str()).unwrap(), manual);
        assert_eq!((manual.schedule(), manual.time()), ("manual", Some(slot())));
        let nightly = PointId::scheduled("nightly-eu_1", slot()).unwrap();
        assert_eq!(nightly.as_str(), "nightly-eu_1-20261123T030000Z");
        assert_eq!((nightly.schedule(), nightly.time()), ("nightly-eu_1", Some(slot())));
    }

    #[test]
    fn what_no_catalog_would_give_is_refused_with_a_reason() {
        for bad in [
            "",
            "manual",
            "manual-20261123T030000Z",
            "manual-20261123T030000Z-ABCD",
            "manual-20261123T030000Z-abc",
            "nightly-20261332T030000Z",
            "nightly-2026-11-23",
            "nightly-20261123T0300Z",
            "-20261123T030000Z",
            "../../etc-20261123T030000Z",
            "a/b-20261123T030000Z",
            "nächtlich-20261123T030000Z",
            "manual-20261123T030000Z-x-abcd",
        ] {
            let error = PointId::parse(bad).unwrap_err();
            assert_eq!(error.kind, CatalogErrorKind::BadId, "{bad}");
            assert!(error.hint().contains("stillpoint list"));
        }
        assert!(PointId::scheduled(&"x".repeat(64), slot()).is_err());
        assert!(serde_json::from_str::<PointId>("\"../x\"").is_err());
    }
}
