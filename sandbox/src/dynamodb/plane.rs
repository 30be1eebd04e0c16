//! The items: an embedded engine that knows expressions, keys, indexes and paging.

use dynoxide::{
    Database, ImportOptions,
    actions::{create_table::CreateTableRequest, get_item::GetItemRequest, scan::ScanRequest},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    api::Result,
    error::ServiceError,
    history::{Item, ItemKey},
};

pub(crate) struct Plane(Database);

impl Plane {
    /// An empty engine.
    // Opening it only fails if its own fixed schema is wrong or memory for an empty database is lacking.
    #[allow(clippy::expect_used)]
    pub(crate) fn open() -> Self {
        Self(Database::memory().expect("an empty in-memory database opens"))
    }

    pub(crate) fn engine(&self) -> &Database {
        &self.0
    }

    /// Creates a table from the body of a CreateTable; only keys, attributes and indexes matter to the engine.
    pub(crate) fn create_table(&self, body: &Value) -> Result<()> {
        let mut request: CreateTableRequest = parse(body.clone())?;
        request.deletion_protection_enabled = None;
        request.stream_specification = None;
        request.sse_specification = None;
        request.tags = None;
        // The engine counts no capacity; billing is the front's.
        request.billing_mode = Some("PAY_PER_REQUEST".into());
        request.provisioned_throughput = None;
        request.on_demand_throughput = None;
        for index in request.global_secondary_indexes.iter_mut().flatten() {
            index.provisioned_throughput = None;
        }
        self.0.create_table(request)?;
        Ok(())
    }

    /// Drops a table if it is there.
    pub(crate) fn drop_table(&self, name: &str) {
        let request = dynoxide::actions::delete_table::DeleteTableRequest { table_name: name.to_owned() };
        // It fails only for a table that is gone already.
        let _ = self.0.delete_table(request);
    }

    pub(crate) fn get(&self, table: &str, key: &Item) -> Result<Option<Item>> {
        let request = GetItemRequest {
            table_name: table.to_owned(),
            key: key.clone(),
            consistent_read: Some(true),
            ..GetItemRequest::default()
        };
        Ok(self.0.get_item(request)?.item)
    }

    /// Every item of a table.
    pub(crate) fn items(&self, table: &str) -> Result<Vec<Item>> {
        let mut all = Vec::new();
        let mut start = None;
        loop {
            let request = ScanRequest {
                table_name: table.to_owned(),
                consistent_read: Some(true),
                exclusive_start_key: start,
                ..ScanRequest::default()
            };
            let page = self.0.scan(request)?;
            all.extend(page.items.unwrap_or_default());
            start = page.last_evaluated_key;
            if start.is_none() {
                return Ok(all);
            }
        }
    }

    pub(crate) fn import(&self, table: &str, items: Vec<Item>) -> Result<()> {
        self.0.import_items(table, items, ImportOptions::default())?;
        Ok(())
    }

    /// Items and bytes in a table.
    pub(crate) fn size(&self, table: &str) -> Result<(i64, i64)> {
        let items = self.items(table)?;
        let bytes: usize = items.iter().map(dynoxide::types::item_size).sum();
        Ok((count(items.len()), count(bytes)))
    }
}

pub(crate) fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// A request of the engine, with the service's errors for a body that does not fit.
pub(crate) fn parse<T: DeserializeOwned>(body: Value) -> Result<T> {
    serde_json::from_value(body).map_err(|error| {
        let text = error.to_string();
        // The engine marks the class of its own complaints in front of them.
        for marker in ["VALIDATION_REQUEST:", "VALIDATION_AS_READ:", "VALIDATION:"] {
            if let Some(message) = text.strip_prefix(marker) {
                return ServiceError::validation(message);
            }
        }
        for marker in ["SERIALIZATION_AS_READ:", "SERIALIZATION:"] {
            if let Some(message) = text.strip_prefix(marker) {
                return ServiceError::new("SerializationException", message);
            }
        }
        let asks = ["missing field", "unknown variant", "invalid type: null", "AttributeValue"];
        if asks.iter().any(|hint| text.contains(hint)) {
            ServiceError::validation(text)
        } else {
            ServiceError::new("SerializationException", text)
        }
    })
}

pub(crate) fn render(response: &impl Serialize) -> Result<Value> {
    serde_json::to_value(response).map_err(|error| ServiceError::internal(error.to_string()))
}

/// The key attributes of an item and their canonical text.
pub(crate) fn key_of(item: &Item, key_names: &[String]) -> Option<(Item, ItemKey)> {
    let mut key = Item::new();
    let mut texts = Vec::new();
    for name in key_names {
        let value = item.get(name)?;
        texts.push(value.to_key_string()?);
        key.insert(name.clone(), value.clone());
    }
    let mut texts = texts.into_iter();
    Some((key, (texts.next()?, texts.next().unwrap_or_default())))
}
