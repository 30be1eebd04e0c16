//! What of a table a restore brings back by itself: keys, indexes, capacity, key; read from a capsule.

use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::{
    GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection, ProjectionType, ProvisionedThroughput,
    SseSpecification, SseType, TableDescription,
};
use provider_api::Capsule;
use serde_json::Value;

/// The `table` of a capsule: DescribeTable as the service answered it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape<'a>(&'a Value);

impl<'a> Shape<'a> {
    pub(super) fn of(capsule: &'a Capsule) -> Self {
        Shape(&capsule.settings["table"])
    }

    pub(super) fn arn(self) -> Option<&'a str> {
        self.0["TableArn"].as_str()
    }

    /// `name type` of each key attribute, in order.
    pub(super) fn keys(self) -> Option<Vec<String>> {
        let keys = self.0["KeySchema"].as_array()?.iter();
        keys.map(|key| Some(format!("{} {}", key["AttributeName"].as_str()?, key["KeyType"].as_str()?))).collect()
    }

    fn named(self, list: &str) -> impl Iterator<Item = &'a Value> {
        self.0[list].as_array().into_iter().flatten()
    }

    /// Names of all indexes, global ones first.
    pub(super) fn indexes(self) -> Vec<String> {
        let all = self.named("GlobalSecondaryIndexes").chain(self.named("LocalSecondaryIndexes"));
        all.filter_map(|index| index["IndexName"].as_str().map(str::to_owned)).collect()
    }

    /// Read and write units; `None` = on-demand.
    pub(super) fn capacity(self) -> Option<(i64, i64)> {
        let on_demand = self.0["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST";
        (!on_demand).then(|| units(self.0))
    }

    /// The same as the service wants it.
    pub(super) fn throughput(self) -> Result<Option<ProvisionedThroughput>, BuildError> {
        self.capacity().map(throughput).transpose()
    }

    /// Every global index with its capacity: one that is left out would not be restored.
    pub(super) fn global_indexes(self) -> Result<Vec<GlobalSecondaryIndex>, BuildError> {
        self.named("GlobalSecondaryIndexes").map(global_index).collect()
    }

    /// The KMS key, unless it is AWS's own.
    pub(super) fn key(self) -> Option<SseSpecification> {
        let key = self.0["SSEDescription"]["KMSMasterKeyArn"].as_str()?;
        Some(SseSpecification::builder().enabled(true).sse_type(SseType::Kms).kms_master_key_id(key).build())
    }

    /// How a table differs from this shape in what cannot be changed any more; `None` if it does not.
    pub(super) fn misfit(self, table: &TableDescription) -> Option<String> {
        let keys: Vec<_> =
            table.key_schema().iter().map(|key| format!("{} {}", key.attribute_name, key.key_type.as_str())).collect();
        if Some(&keys) != self.keys().as_ref() {
            return Some(format!("its keys are {}", keys.join(", ")));
        }
        let global = table.global_secondary_indexes().iter().filter_map(|index| index.index_name.as_deref());
        let local = table.local_secondary_indexes().iter().filter_map(|index| index.index_name.as_deref());
        let there: Vec<_> = global.chain(local).collect();
        let missing: Vec<_> = self.indexes().into_iter().filter(|name| !there.contains(&name.as_str())).collect();
        (!missing.is_empty()).then(|| format!("it is without {}", missing.join(", ")))
    }

    /// For people: `PROVISIONED 10/10, 1 index`.
    pub(super) fn text(self) -> String {
        let capacity = self.capacity();
        let mode =
            capacity.map_or_else(|| "on-demand".to_owned(), |(read, write)| format!("PROVISIONED {read}/{write}"));
        match self.indexes().len() {
            0 => mode,
            1 => format!("{mode}, 1 index"),
            many => format!("{mode}, {many} indexes"),
        }
    }
}

fn units(of: &Value) -> (i64, i64) {
    let units = |field: &str| of["ProvisionedThroughput"][field].as_i64().unwrap_or(0);
    (units("ReadCapacityUnits"), units("WriteCapacityUnits"))
}

fn throughput((read, write): (i64, i64)) -> Result<ProvisionedThroughput, BuildError> {
    ProvisionedThroughput::builder().read_capacity_units(read).write_capacity_units(write).build()
}

fn global_index(index: &Value) -> Result<GlobalSecondaryIndex, BuildError> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let key = |key: &Value| {
        let kind = KeyType::from(text(&key["KeyType"]).as_str());
        KeySchemaElement::builder().attribute_name(text(&key["AttributeName"])).key_type(kind).build()
    };
    let keys = index["KeySchema"].as_array().into_iter().flatten().map(key).collect::<Result<Vec<_>, _>>()?;
    let projection = &index["Projection"];
    let others = projection["NonKeyAttributes"].as_array().map(|names| names.iter().map(text).collect());
    let projection = Projection::builder()
        .projection_type(ProjectionType::from(text(&projection["ProjectionType"]).as_str()))
        .set_non_key_attributes(others)
        .build();
    let built = GlobalSecondaryIndex::builder().index_name(text(&index["IndexName"])).set_key_schema(Some(keys));
    built.projection(projection).provisioned_throughput(throughput(units(index))?).build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn provisioned() -> Capsule {
        let units = |read: i64| json!({ "ReadCapacityUnits": read, "WriteCapacityUnits": 2 });
        let index = |name: &str, read: i64| {
            json!({
                "IndexName": name,
                "KeySchema": [{ "AttributeName": "c", "KeyType": "HASH" }],
                "Projection": { "ProjectionType": "INCLUDE", "NonKeyAttributes": ["d"] },
                "ProvisionedThroughput": units(read),
            })
        };
        let table = json!({
            "KeySchema": [{ "AttributeName": "k", "KeyType": "HASH" }],
            "ProvisionedThroughput": units(10),
            "GlobalSecondaryIndexes": [index("i", 5), index("j", 7)],
            "SSEDescription": { "SSEType": "KMS", "KMSMasterKeyArn": "arn:key" },
        });
        Capsule { name: "a".into(), id: "id".into(), settings: json!({ "table": table }), unread: Vec::new() }
    }

    #[test]
    fn every_index_comes_back_with_its_own_capacity() {
        let capsule = provisioned();
        let shape = Shape::of(&capsule);
        assert_eq!((shape.capacity(), shape.text()), (Some((10, 2)), "PROVISIONED 10/2, 2 indexes".to_owned()));
        let indexes = shape.global_indexes().unwrap();
        let reads: Vec<_> = indexes.iter().map(|i| i.provisioned_throughput().unwrap().read_capacity_units).collect();
        assert_eq!(reads, [5, 7]);
        assert_eq!(indexes[0].projection().unwrap().non_key_attributes(), ["d"]);
        assert_eq!(shape.key().unwrap().kms_master_key_id(), Some("arn:key"));
    }

    #[test]
    fn other_keys_and_missing_indexes_are_told() {
        let capsule = provisioned();
        let table = TableDescription::builder();
        assert!(Shape::of(&capsule).misfit(&table.clone().build()).unwrap().contains("keys"));
        let key = KeySchemaElement::builder().attribute_name("k").key_type(KeyType::Hash).build().unwrap();
        assert_eq!(Shape::of(&capsule).misfit(&table.key_schema(key).build()).unwrap(), "it is without i, j");
    }
}
