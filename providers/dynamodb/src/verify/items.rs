//! What verification reads of an item: its key and its transaction columns, and nothing else.

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use provider_api::verify::{Decision, TxColumns};
use std::collections::HashMap;

pub(super) type Item = HashMap<String, AttributeValue>;

/// The hash key of every table of ScalarDB's but the metadata's.
pub(crate) const PARTITION_KEY: &str = "concatenatedPartitionKey";

/// Attributes of a record that are asked for, besides its key.
pub(super) const RECORD: [&str; 5] = ["tx_id", "tx_state", "tx_prepared_at", "tx_committed_at", "before_tx_id"];
/// The same of a row of the coordinator.
pub(super) const ROW: [&str; 4] = ["tx_id", "tx_state", "tx_created_at", "tx_child_ids"];

fn text(item: &Item, name: &str) -> Option<String> {
    item.get(name).and_then(|value| value.as_s().ok()).cloned()
}

fn number(item: &Item, name: &str) -> Option<i64> {
    item.get(name).and_then(|value| value.as_n().ok()).and_then(|digits| digits.parse().ok())
}

/// The transaction columns of a record.
pub(super) fn columns(item: &Item) -> TxColumns {
    TxColumns {
        id: text(item, "tx_id"),
        state: number(item, "tx_state"),
        prepared_at: number(item, "tx_prepared_at"),
        committed_at: number(item, "tx_committed_at"),
        before_id: text(item, "before_tx_id"),
    }
}

/// A row of the coordinator.
pub(super) fn decision(item: &Item) -> Decision {
    Decision {
        id: text(item, "tx_id").unwrap_or_default(),
        state: number(item, "tx_state"),
        created_at: number(item, "tx_created_at"),
        child_ids: text(item, "tx_child_ids"),
    }
}

/// ScalarDB's encoding of a key of one TEXT column: its bytes, closed by a zero.
pub(super) fn text_key(text: &str) -> AttributeValue {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    AttributeValue::B(Blob::new(bytes))
}

/// Whether a row of the coordinator lies under the key that it is looked up by.
pub(super) fn is_keyed_by_id(item: &Item, row: &Decision) -> bool {
    item.get(PARTITION_KEY) == Some(&text_key(&row.id))
}

/// The key as `aws dynamodb get-item --key` takes it.
pub(super) fn key_text(item: &Item, keys: &[String]) -> String {
    let parts = keys.iter().filter_map(|name| Some(format!("\"{name}\":{}", value_text(item.get(name)?)?)));
    format!("{{{}}}", parts.collect::<Vec<_>>().join(","))
}

fn value_text(value: &AttributeValue) -> Option<String> {
    match value {
        AttributeValue::B(bytes) => Some(format!("{{\"B\":\"{}\"}}", aws_smithy_types::base64::encode(bytes))),
        AttributeValue::S(text) => Some(format!("{{\"S\":{}}}", serde_json::Value::from(text.as_str()))),
        AttributeValue::N(digits) => Some(format!("{{\"N\":\"{digits}\"}}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_and_absent_columns_are_nothing_and_keys_are_told_as_the_command_line_takes_them() {
        let n = |n: i64| AttributeValue::N(n.to_string());
        let item = Item::from([
            (PARTITION_KEY.to_owned(), AttributeValue::B(Blob::new([0x80, 0, 0, 7]))),
            ("tx_id".to_owned(), AttributeValue::S("t".into())),
            ("tx_state".to_owned(), n(3)),
            ("tx_prepared_at".to_owned(), n(1_700_000_000_000)),
            ("before_tx_id".to_owned(), AttributeValue::Null(true)),
            ("balance".to_owned(), n(42)),
        ]);
        let found = columns(&item);
        assert_eq!((found.id.as_deref(), found.state, found.before_id), (Some("t"), Some(3), None));
        assert_eq!((found.prepared_at, found.committed_at), (Some(1_700_000_000_000), None));
        assert_eq!(key_text(&item, &[PARTITION_KEY.to_owned()]), r#"{"concatenatedPartitionKey":{"B":"gAAABw=="}}"#);
    }

    #[test]
    fn rows_are_keyed_by_their_id_closed_by_a_zero() {
        let mut item = Item::from([("tx_id".to_owned(), AttributeValue::S("ab".into()))]);
        item.insert(PARTITION_KEY.to_owned(), AttributeValue::B(Blob::new(*b"ab\0")));
        assert!(is_keyed_by_id(&item, &decision(&item)));
        item.insert(PARTITION_KEY.to_owned(), AttributeValue::B(Blob::new(*b"ab")));
        assert!(!is_keyed_by_id(&item, &decision(&item)));
    }
}
