//! ScalarDB's metadata, without calls: what items say, and how they compare with the tables that exist.

use crate::settings::Config;
use aws_sdk_dynamodb::types::AttributeValue;
use provider_api::{DataSet, Discovery, ErrorKind, ProviderError, Role};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The attribute of a metadata item that holds the table's full physical name.
const TABLE: &str = "table";

/// An item of the metadata table as name and canonical JSON: sets sorted, so that equal schemas are equal values.
/// `None` without a table name.
pub(crate) fn described(mut item: HashMap<String, AttributeValue>) -> Option<(String, Value)> {
    let Some(AttributeValue::S(table)) = item.remove(TABLE) else { return None };
    Some((table, json(AttributeValue::M(item))))
}

fn json(value: AttributeValue) -> Value {
    fn sorted(mut items: Vec<String>) -> Value {
        items.sort();
        Value::from(items)
    }
    match value {
        AttributeValue::S(text) | AttributeValue::N(text) => Value::String(text),
        AttributeValue::Bool(truth) => Value::Bool(truth),
        AttributeValue::L(items) => Value::Array(items.into_iter().map(json).collect()),
        AttributeValue::M(map) => {
            let sorted: BTreeMap<_, _> = map.into_iter().map(|(key, value)| (key, json(value))).collect();
            Value::Object(sorted.into_iter().collect::<Map<_, _>>())
        }
        AttributeValue::Ss(items) | AttributeValue::Ns(items) => sorted(items),
        // ScalarDB writes no binary metadata; what is unknown still has to compare equal to itself.
        AttributeValue::Null(_) => Value::Null,
        other => Value::String(format!("{other:?}")),
    }
}

/// The discovery of a database described by ScalarDB's metadata. `existing`: all tables of the region.
pub(crate) fn discovery(
    config: &Config,
    metadata: BTreeMap<String, Value>,
    existing: &BTreeSet<String>,
) -> Result<Discovery, ProviderError> {
    let coordinator = config.coordinator_table();
    let missing: Vec<_> = metadata.keys().filter(|table| !existing.contains(*table)).cloned().collect();
    if !missing.is_empty() {
        let message = format!(
            "ScalarDB's metadata `{}` describes tables that do not exist in {}: {}",
            config.metadata_table(),
            config.region,
            missing.join(", ")
        );
        let hint = "finish or repair the schema operation that left them out (ScalarDB's repairTable), or wait for it";
        return Err(ProviderError::new(ErrorKind::NotFound, message, hint).about(missing));
    }
    if !existing.contains(&coordinator) {
        let message = format!("no coordinator table `{coordinator}` in {}", config.region);
        let hint = "set `coordinator_namespace` (and `prefix`) as in ScalarDB's configuration, \
                    or create the table with ScalarDB's schema loader (--coordinator)";
        return Err(ProviderError::new(ErrorKind::NotFound, message, hint).about([coordinator]));
    }
    let mut warnings = Vec::new();
    if !metadata.contains_key(&coordinator) {
        warnings.push(format!("`{coordinator}` exists but ScalarDB's metadata does not describe it; it is included"));
    }
    let mut sets: BTreeMap<_, _> = metadata.keys().map(|table| (table.clone(), Role::User)).collect();
    sets.insert(coordinator, Role::Coordinator);
    sets.insert(config.metadata_table(), Role::Metadata);
    if existing.contains(&config.namespaces_table()) {
        sets.insert(config.namespaces_table(), Role::Metadata);
    }
    warnings.extend(strangers(&sets, existing));
    Ok(Discovery {
        data_sets: sets.into_iter().map(|(name, role)| DataSet { name, role }).collect(),
        metadata,
        warnings,
    })
}

/// A warning per table that lies in one of ScalarDB's namespaces but is not ScalarDB's.
fn strangers(sets: &BTreeMap<String, Role>, existing: &BTreeSet<String>) -> Vec<String> {
    let namespaces: BTreeSet<_> = sets.keys().filter_map(|name| Some(name.split_once('.')?.0)).collect();
    existing
        .iter()
        .filter(|name| !sets.contains_key(*name))
        .filter(|name| name.split_once('.').is_some_and(|(namespace, _)| namespaces.contains(namespace)))
        .map(|name| {
            format!(
                "table `{name}` is in one of ScalarDB's namespaces but not in its metadata: \
                 left over or another program's; it is not part of the restore point"
            )
        })
        .collect()
}

/// The discovery of a database whose tables are given by name or prefix.
pub(crate) fn named(config: &Config, existing: &BTreeSet<String>) -> Result<Discovery, ProviderError> {
    let missing: Vec<_> = config.tables.iter().filter(|table| !existing.contains(*table)).cloned().collect();
    if !missing.is_empty() {
        let message = format!("no table named {} in {}", missing.join(", "), config.region);
        return Err(ProviderError::new(ErrorKind::NotFound, message, "correct `tables`, or the region").about(missing));
    }
    let prefix = config.table_prefix.as_deref();
    let by_prefix = existing.iter().filter(|name| prefix.is_some_and(|prefix| name.starts_with(prefix)));
    let names: BTreeSet<_> = config.tables.iter().chain(by_prefix).cloned().collect();
    if names.is_empty() {
        let message = format!("no table starts with `{}` in {}", prefix.unwrap_or_default(), config.region);
        return Err(ProviderError::new(ErrorKind::NotFound, message, "correct `table_prefix`, or the region"));
    }
    Ok(Discovery {
        data_sets: names.into_iter().map(|name| DataSet { name, role: Role::User }).collect(),
        metadata: BTreeMap::new(),
        warnings: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn existing(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn config() -> Config {
        Config { prefix: "p_".to_owned(), ..Config::new("bank", "us-east-1") }
    }

    fn metadata(names: &[&str]) -> BTreeMap<String, Value> {
        names.iter().map(|&name| (name.to_owned(), json!({}))).collect()
    }

    #[test]
    fn an_item_becomes_canonical_json() {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let item = |index: [&str; 2]| {
            HashMap::from([
                ("table".to_owned(), text("bank.account")),
                ("columns".to_owned(), AttributeValue::M(HashMap::from([("id".to_owned(), text("int"))]))),
                ("partitionKey".to_owned(), AttributeValue::L(vec![text("id")])),
                ("secondaryIndex".to_owned(), AttributeValue::Ss(index.map(str::to_owned).to_vec())),
            ])
        };
        let (name, value) = described(item(["b", "a"])).unwrap();
        assert_eq!(name, "bank.account");
        assert_eq!(value, json!({ "columns": { "id": "int" }, "partitionKey": ["id"], "secondaryIndex": ["a", "b"] }));
        assert_eq!(value, described(item(["a", "b"])).unwrap().1);
        assert!(described(HashMap::new()).is_none());
    }

    #[test]
    fn metadata_namespaces_and_coordinator_are_part_of_it_and_strangers_are_named() {
        let tables = ["p_bank.account", "p_coordinator.state", "p_scalardb.metadata", "p_scalardb.namespaces"];
        let mut all = existing(&tables);
        all.extend(existing(&["p_bank.leftover", "other.table", "rp-1-p_bank.account", "p_bank"]));
        let found = discovery(&config(), metadata(&["p_bank.account", "p_coordinator.state"]), &all).unwrap();
        let roles: Vec<_> = found.data_sets.iter().map(|set| (set.name.as_str(), set.role)).collect();
        assert_eq!(
            roles,
            [
                ("p_bank.account", Role::User),
                ("p_coordinator.state", Role::Coordinator),
                ("p_scalardb.metadata", Role::Metadata),
                ("p_scalardb.namespaces", Role::Metadata),
            ]
        );
        assert_eq!(found.warnings.len(), 1);
        assert!(found.warnings[0].contains("p_bank.leftover"));
    }

    #[test]
    fn a_described_table_that_is_not_there_is_named() {
        let all = existing(&["p_coordinator.state", "p_scalardb.metadata"]);
        let error = discovery(&config(), metadata(&["p_bank.account", "p_coordinator.state"]), &all).unwrap_err();
        assert_eq!((error.kind, error.subjects), (ErrorKind::NotFound, vec!["p_bank.account".to_owned()]));
    }

    #[test]
    fn no_coordinator_is_an_error_and_an_undescribed_one_a_warning() {
        let all = existing(&["p_bank.account", "p_scalardb.metadata"]);
        let error = discovery(&config(), metadata(&["p_bank.account"]), &all).unwrap_err();
        assert_eq!((error.kind, error.subjects), (ErrorKind::NotFound, vec!["p_coordinator.state".to_owned()]));
        let all = existing(&["p_bank.account", "p_coordinator.state", "p_scalardb.metadata"]);
        let found = discovery(&config(), metadata(&["p_bank.account"]), &all).unwrap();
        assert_eq!((found.data_sets.len(), found.warnings.len()), (3, 1));
    }

    #[test]
    fn tables_by_name_and_by_prefix_need_no_metadata() {
        let all = existing(&["a1", "a2", "b1", "c"]);
        let by = |tables: &[&str], prefix: Option<&str>| {
            let tables = tables.iter().map(|&name| name.to_owned()).collect();
            named(&Config { tables, table_prefix: prefix.map(str::to_owned), ..config() }, &all)
        };
        let names = |found: Discovery| found.data_sets.into_iter().map(|set| set.name).collect::<Vec<_>>();
        assert_eq!(names(by(&["c", "b1"], None).unwrap()), ["b1", "c"]);
        assert_eq!(names(by(&["c", "a1"], Some("a")).unwrap()), ["a1", "a2", "c"]);
        assert_eq!(by(&["c", "d"], None).unwrap_err().subjects, ["d"]);
        assert_eq!(by(&[], Some("z")).unwrap_err().kind, ErrorKind::NotFound);
    }
}
