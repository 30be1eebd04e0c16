//! Metadata, tables, keys and indexes agree: rules about tables as a whole, without calls.

use aws_sdk_dynamodb::types::{IndexStatus, KeyType, ProjectionType, ScalarAttributeType, TableDescription};
use provider_api::Rule;
use serde_json::Value;

/// The columns that make a table transactional.
const TX_COLUMNS: [&str; 5] = ["tx_id", "tx_state", "tx_version", "tx_prepared_at", "tx_committed_at"];

/// A key attribute: its name and whether it is the hash or the range key, and its type.
type Key = (&'static str, KeyType, ScalarAttributeType);

/// What a table is by ScalarDB's rules, and so what its keys must be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Layout<'a> {
    /// Described by the metadata.
    Described(&'a Value),
    /// The coordinator's.
    Coordinator,
    /// The metadata table.
    Metadata,
    /// The namespaces table of newer versions.
    Namespaces,
    /// Not ScalarDB's.
    Unknown,
}

impl Layout<'_> {
    fn keys(self) -> Option<Vec<Key>> {
        let hash = |name, kind| (name, KeyType::Hash, kind);
        match self {
            Layout::Unknown => None,
            Layout::Metadata => Some(vec![hash("table", ScalarAttributeType::S)]),
            Layout::Namespaces => Some(vec![hash("namespace_name", ScalarAttributeType::S)]),
            Layout::Coordinator => Some(vec![hash("concatenatedPartitionKey", ScalarAttributeType::B)]),
            Layout::Described(metadata) => {
                let mut keys = vec![hash("concatenatedPartitionKey", ScalarAttributeType::B)];
                if !list(metadata, "clusteringKey").is_empty() {
                    keys.push(("concatenatedClusteringKey", KeyType::Range, ScalarAttributeType::B));
                }
                Some(keys)
            }
        }
    }
}

/// Whether records of a table have transaction columns.
pub(super) fn is_transactional(metadata: &Value) -> bool {
    TX_COLUMNS.iter().all(|column| metadata["columns"].get(column).is_some())
}

/// What of the table is not as the metadata asks for. `name`: as in the metadata; indexes keep it under any prefix.
pub(super) fn breaches(name: &str, layout: Layout<'_>, table: &TableDescription) -> Vec<(Rule, String)> {
    let mut found = Vec::new();
    if let Some(keys) = layout.keys() {
        let wanted: Vec<String> = keys.iter().map(|(name, key, kind)| key_text(name, key, Some(kind))).collect();
        let there: Vec<String> = table
            .key_schema()
            .iter()
            .map(|key| key_text(&key.attribute_name, &key.key_type, kind(table, &key.attribute_name)))
            .collect();
        if wanted != there {
            let detail = format!("its keys are {}, not {}", there.join(", "), wanted.join(", "));
            found.push((Rule::KeySchemaDiffers, detail));
        }
    }
    if let Layout::Described(metadata) = layout {
        let missing = list(metadata, "secondaryIndex").into_iter().filter_map(|column| index(name, &column, table));
        found.extend(missing.map(|detail| (Rule::IndexMissing, detail)));
    }
    found
}

fn key_text(name: &str, key: &KeyType, kind: Option<&ScalarAttributeType>) -> String {
    format!("{name} {} {}", key.as_str(), kind.map_or("of no type", ScalarAttributeType::as_str))
}

fn kind<'a>(table: &'a TableDescription, attribute: &str) -> Option<&'a ScalarAttributeType> {
    let mut all = table.attribute_definitions().iter();
    all.find(|definition| definition.attribute_name == attribute).map(|definition| &definition.attribute_type)
}

/// What is wrong with the index of a column; `None`: nothing.
fn index(name: &str, column: &str, table: &TableDescription) -> Option<String> {
    let wanted = format!("{name}.global_index.{column}");
    let mut all = table.global_secondary_indexes().iter();
    let Some(found) = all.find(|index| index.index_name.as_deref() == Some(wanted.as_str())) else {
        return Some(format!("no index `{wanted}`"));
    };
    let keyed = found.key_schema().first().is_some_and(|key| key.attribute_name == column);
    if !keyed {
        return Some(format!("index `{wanted}` is not of the column {column}"));
    }
    let all = found.projection.as_ref().and_then(|projection| projection.projection_type.as_ref());
    if all != Some(&ProjectionType::All) {
        return Some(format!("index `{wanted}` does not hold all attributes"));
    }
    let status = found.index_status.as_ref();
    (status != Some(&IndexStatus::Active))
        .then(|| format!("index `{wanted}` is {}, not ACTIVE", status.map_or("in no state", IndexStatus::as_str)))
}

fn list(metadata: &Value, field: &str) -> Vec<String> {
    let all = metadata[field].as_array().into_iter().flatten();
    all.filter_map(|value| value.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_dynamodb::types::{AttributeDefinition, GlobalSecondaryIndexDescription, KeySchemaElement, Projection};
    use serde_json::json;

    fn key(name: &str, kind: KeyType) -> KeySchemaElement {
        KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap()
    }

    fn attribute(name: &str, kind: ScalarAttributeType) -> AttributeDefinition {
        AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().unwrap()
    }

    fn table(clustering: bool, indexes: Vec<GlobalSecondaryIndexDescription>) -> TableDescription {
        let mut table = TableDescription::builder()
            .key_schema(key("concatenatedPartitionKey", KeyType::Hash))
            .attribute_definitions(attribute("concatenatedPartitionKey", ScalarAttributeType::B))
            .attribute_definitions(attribute("concatenatedClusteringKey", ScalarAttributeType::B))
            .set_global_secondary_indexes(Some(indexes));
        if clustering {
            table = table.key_schema(key("concatenatedClusteringKey", KeyType::Range));
        }
        table.build()
    }

    fn gsi(
        name: &str,
        column: &str,
        projection: ProjectionType,
        status: IndexStatus,
    ) -> GlobalSecondaryIndexDescription {
        GlobalSecondaryIndexDescription::builder()
            .index_name(name)
            .key_schema(key(column, KeyType::Hash))
            .projection(Projection::builder().projection_type(projection).build())
            .index_status(status)
            .build()
    }

    fn rules(layout: Layout<'_>, table: &TableDescription) -> Vec<Rule> {
        breaches("bank.account", layout, table).into_iter().map(|(rule, _)| rule).collect()
    }

    #[test]
    fn keys_follow_from_the_metadata() {
        let plain = json!({ "partitionKey": ["id"] });
        let clustered = json!({ "partitionKey": ["id"], "clusteringKey": ["c"] });
        assert!(rules(Layout::Described(&plain), &table(false, vec![])).is_empty());
        assert!(rules(Layout::Described(&clustered), &table(true, vec![])).is_empty());
        assert!(rules(Layout::Coordinator, &table(false, vec![])).is_empty());
        assert_eq!(rules(Layout::Described(&plain), &table(true, vec![])), [Rule::KeySchemaDiffers]);
        assert_eq!(rules(Layout::Described(&clustered), &table(false, vec![])), [Rule::KeySchemaDiffers]);
        assert_eq!(rules(Layout::Metadata, &table(false, vec![])), [Rule::KeySchemaDiffers]);
        assert!(rules(Layout::Unknown, &table(true, vec![])).is_empty());
    }

    #[test]
    fn a_key_of_another_type_differs() {
        let wrong = TableDescription::builder()
            .key_schema(key("concatenatedPartitionKey", KeyType::Hash))
            .attribute_definitions(attribute("concatenatedPartitionKey", ScalarAttributeType::S))
            .build();
        let (_, detail) = breaches("bank.account", Layout::Coordinator, &wrong).remove(0);
        assert!(detail.contains("HASH S, not concatenatedPartitionKey HASH B"), "{detail}");
    }

    #[test]
    fn every_index_of_the_metadata_is_there_whole_and_active() {
        let metadata = json!({ "partitionKey": ["id"], "secondaryIndex": ["city"] });
        let name = "bank.account.global_index.city";
        let one = |index| rules(Layout::Described(&metadata), &table(false, vec![index]));
        assert!(one(gsi(name, "city", ProjectionType::All, IndexStatus::Active)).is_empty());
        for wrong in [
            gsi("other", "city", ProjectionType::All, IndexStatus::Active),
            gsi(name, "town", ProjectionType::All, IndexStatus::Active),
            gsi(name, "city", ProjectionType::KeysOnly, IndexStatus::Active),
            gsi(name, "city", ProjectionType::All, IndexStatus::Creating),
        ] {
            assert_eq!(one(wrong.clone()), [Rule::IndexMissing], "{wrong:?}");
        }
        assert_eq!(rules(Layout::Described(&metadata), &table(false, vec![])), [Rule::IndexMissing]);
    }

    #[test]
    fn transactional_is_what_has_all_transaction_columns() {
        let all = json!({ "columns": { "id": "int", "tx_id": "text", "tx_state": "int", "tx_version": "int",
            "tx_prepared_at": "bigint", "tx_committed_at": "bigint" } });
        assert!(is_transactional(&all));
        assert!(!is_transactional(&json!({ "columns": { "id": "int", "tx_id": "text", "tx_state": "int" } })));
        assert!(!is_transactional(&json!({})));
    }
}
