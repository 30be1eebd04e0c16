//! Settings capsules: what a restore drops and must be put back. Read after release, before sealing.

use crate::catalog::{CatalogError, Loaded, PointEvent, PointLog, captured_batches};
use crate::databases::{Database, failure};
use crate::failure::Failure;
use crate::restore_point::preflight::catalog_failure;
use provider_api::{Capsule, Context, DataSet};
use std::collections::BTreeMap;

/// Captures every data set of a recorded point and completes its log. A repeat after a crash captures again: the later
/// capsule of a set takes the place of the earlier one.
pub async fn run(log: &mut PointLog, databases: &[(Database, Vec<DataSet>)], context: &Context) -> Result<(), Failure> {
    let mut warnings = Vec::new();
    for (database, sets) in databases {
        let provider = &database.provider;
        let capsules = provider.capture(context, sets).await.map_err(|error| failure(&database.name, &error))?;
        let metadata = provider.discover(context).await.map_err(|error| failure(&database.name, &error))?.metadata;
        warnings.extend(unread(&database.name, &capsules));
        for event in captured_batches(&database.name, capsules, metadata) {
            append(log, event).await?;
        }
    }
    append(log, PointEvent::CaptureCompleted { warnings }).await
}

async fn append(log: &mut PointLog, event: PointEvent) -> Result<(), Failure> {
    log.append(event).await.map_err(|error: CatalogError| catalog_failure(&error))
}

/// What could not be read, one warning for each setting and reason: a missing right concerns every data set alike.
fn unread(database: &str, capsules: &[Capsule]) -> Vec<String> {
    let mut concerned: BTreeMap<(&str, &str, &str), Vec<&str>> = BTreeMap::new();
    for capsule in capsules {
        for unread in &capsule.unread {
            let what = (unread.setting.as_str(), unread.reason.as_str(), unread.hint.as_str());
            concerned.entry(what).or_default().push(&capsule.name);
        }
    }
    let warning = |((setting, reason, hint), sets): ((&str, &str, &str), Vec<&str>)| {
        let sets = named(&sets);
        format!(
            "database `{database}`: `{setting}` of {sets} could not be read: {reason}; a restore cannot put it back (hint: {hint})"
        )
    };
    concerned.into_iter().map(warning).collect()
}

/// The first few by name, the rest by number.
fn named(sets: &[&str]) -> String {
    const FEW: usize = 5;
    match sets.len().checked_sub(FEW) {
        None | Some(0) => sets.join(", "),
        Some(more) => format!("{} and {more} more", sets[..FEW].join(", ")),
    }
}

/// The data sets that a loaded point recorded for a database, as the provider knows them.
pub fn recorded_sets(loaded: &Loaded, database: &str) -> Vec<DataSet> {
    let opened = loaded.events().find_map(|event| match event {
        PointEvent::Opened { databases, .. } => databases.iter().find(|d| d.name == database),
        _ => None,
    });
    let sets = opened.into_iter().flat_map(|d| &d.data_sets);
    sets.map(|set| DataSet { name: set.name.clone(), role: set.role }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use provider_api::Unread;

    #[test]
    fn a_right_that_is_missing_everywhere_is_one_warning() {
        let tags = Unread { setting: "tags".into(), reason: "denied".into(), hint: "allow ListTagsOfResource".into() };
        let capsule = |n: usize, unread: Vec<Unread>| Capsule {
            name: format!("t{n}"),
            id: String::new(),
            settings: serde_json::Value::Null,
            unread,
        };
        let mut capsules: Vec<Capsule> = (0..7).map(|n| capsule(n, vec![tags.clone()])).collect();
        capsules.push(capsule(7, Vec::new()));
        let warnings = unread("db", &capsules);
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("`tags` of t0, t1, t2, t3, t4 and 2 more"), "{}", warnings[0]);
    }
}
