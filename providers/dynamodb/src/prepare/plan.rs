//! What is to be prepared, worked out from the point's record alone: no call is made here.

use crate::limits::LONGEST_NAME;
use crate::names;
use aws_sdk_dynamodb::types::TableDescription;
use provider_api::{Capsule, ErrorKind, PrepareRequest, ProviderError, RestoreTime, Unit};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Staging tables are called `rp-<nonce>-<table>`. In front, because ScalarDB takes every table whose name *begins* with
/// a namespace for its own.
pub(crate) const PREFIX: &str = "rp-";
/// Letters of a nonce: 36^12 possibilities, so that a name that was recorded is nobody else's.
const NONCE: usize = 12;

/// What the steps of one table need besides its name and identity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Blueprint {
    /// T.
    pub(crate) at: RestoreTime,
    /// The point's id.
    pub(crate) label: String,
    pub(crate) arn: String,
    /// `name type` of each key attribute, in order.
    pub(crate) keys: Vec<String>,
    /// Names of the global secondary indexes, sorted.
    pub(crate) indexes: Vec<String>,
    /// Names of the local secondary indexes, sorted.
    pub(crate) local_indexes: Vec<String>,
    /// Read and write units of the table and its indexes together; `None` = on-demand.
    pub(crate) capacity: Option<(i64, i64)>,
    /// The KMS key, unless it is AWS's own.
    pub(crate) key: Option<String>,
    /// What is wanted is no backup but a copy to look at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scratch: Option<Scratch>,
}

/// A copy to look at, and how it is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Scratch {
    /// In front of its name. Has a nonce in it.
    pub(crate) prefix: String,
    /// Restored from this backup; `None`: by point-in-time recovery.
    pub(crate) backup: Option<String>,
    /// It stays when all is done.
    pub(crate) keep: bool,
}

/// The plan: one unit per recorded table.
pub(crate) fn units(request: &PrepareRequest<'_>) -> Result<Vec<Unit>, ProviderError> {
    let mut units = Vec::new();
    let mut missing = Vec::new();
    for set in request.sets {
        // A repeat after a crash captures again: the later capsule counts.
        let capsule = request.capsules.iter().rev().find(|capsule| capsule.name == set.name && capsule.id == set.id);
        match capsule.and_then(|capsule| blueprint(request, capsule)) {
            Some(blueprint) => {
                let what = serde_json::to_value(&blueprint).unwrap_or_default();
                units.push(Unit { name: set.name.clone(), id: set.id.clone(), after: Vec::new(), what });
            }
            None => missing.push(set.name.clone()),
        }
    }
    if missing.is_empty() {
        return Ok(units);
    }
    let message = format!("the settings of {} are not in the point's record", missing.join(", "));
    let hint = "make a new restore point: it cannot be told any more how these tables were when this one was made";
    Err(ProviderError::new(ErrorKind::NotFound, message, hint).about(missing))
}

/// The unit's blueprint, as it was stored.
pub(crate) fn of(unit: &Unit) -> Result<Blueprint, ProviderError> {
    serde_json::from_value(unit.what.clone()).map_err(|cause| {
        let message = format!("the plan for `{}` cannot be read", unit.name);
        ProviderError::new(ErrorKind::Invalid, message, "use the version of stillpoint that began this run")
            .caused_by(cause)
    })
}

fn blueprint(request: &PrepareRequest<'_>, capsule: &Capsule) -> Option<Blueprint> {
    let table = &capsule.settings["table"];
    let keys = table["KeySchema"].as_array()?.iter();
    let keys = keys.map(|key| Some(format!("{} {}", key["AttributeName"].as_str()?, key["KeyType"].as_str()?)));
    Some(Blueprint {
        at: request.at,
        label: request.label.to_owned(),
        arn: table["TableArn"].as_str()?.to_owned(),
        keys: keys.collect::<Option<_>>()?,
        indexes: names(&table["GlobalSecondaryIndexes"]),
        local_indexes: names(&table["LocalSecondaryIndexes"]),
        capacity: provisioned(table),
        key: table["SSEDescription"]["KMSMasterKeyArn"].as_str().map(str::to_owned),
        scratch: None,
    })
}

fn names(indexes: &Value) -> Vec<String> {
    let all = indexes.as_array().into_iter().flatten();
    let mut names: Vec<_> = all.filter_map(|index| index["IndexName"].as_str().map(str::to_owned)).collect();
    names.sort();
    names
}

/// Read and write units of a table and its indexes together, as DescribeTable says it; `None` = on-demand.
pub(crate) fn provisioned(table: &Value) -> Option<(i64, i64)> {
    if table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST" {
        return None;
    }
    let of = |one: &Value| {
        let units = |field: &str| one["ProvisionedThroughput"][field].as_i64().unwrap_or(0);
        (units("ReadCapacityUnits"), units("WriteCapacityUnits"))
    };
    let indexes = table["GlobalSecondaryIndexes"].as_array().into_iter().flatten();
    Some(indexes.chain([table]).map(of).fold((0, 0), |(reads, writes), (r, w)| (reads + r, writes + w)))
}

impl Blueprint {
    /// Whether a restored table has the keys of the original.
    pub(crate) fn keys_fit(&self, table: &TableDescription) -> bool {
        let keys: Vec<_> =
            table.key_schema().iter().map(|key| format!("{} {}", key.attribute_name, key.key_type.as_str())).collect();
        keys == self.keys
    }

    /// Indexes of the original that the restored table has not.
    pub(crate) fn missing_indexes(&self, table: &TableDescription) -> Vec<String> {
        let global = table.global_secondary_indexes().iter().filter_map(|index| index.index_name.as_deref());
        let local = table.local_secondary_indexes().iter().filter_map(|index| index.index_name.as_deref());
        let there: Vec<_> = global.chain(local).collect();
        let wanted = self.indexes.iter().chain(&self.local_indexes);
        wanted.filter(|name| !there.contains(&name.as_str())).cloned().collect()
    }
}

/// A fresh nonce.
pub(crate) fn nonce() -> String {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    (0..NONCE).map(|_| char::from(LETTERS[rand::random_range(0..LETTERS.len())])).collect()
}

/// The staging table's name.
pub(crate) fn staging_name(nonce: &str, table: &str) -> String {
    names::prefixed(&format!("{PREFIX}{nonce}-"), table)
}

/// The backup's name: the nonce first, because names of points can be long.
pub(crate) fn backup_name(nonce: &str, label: &str) -> String {
    let mut name = format!("{PREFIX}{nonce}-{label}");
    name.truncate(LONGEST_NAME);
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use provider_api::RecordedSet;
    use serde_json::json;

    #[test]
    fn staging_names_begin_with_the_prefix_and_never_exceed_255() {
        assert_eq!(staging_name("n0nce", "bank.account"), "rp-n0nce-bank.account");
        let nonce = nonce();
        for length in [238, 239, 240, 255] {
            let name = staging_name(&nonce, &"x".repeat(length));
            assert!(name.len() <= 255 && name.starts_with(&format!("rp-{nonce}-x")), "{length}: {name}");
        }
        assert_eq!(staging_name(&nonce, &"x".repeat(239)), format!("rp-{nonce}-{}", "x".repeat(239)));
    }

    #[test]
    fn two_long_names_that_differ_at_the_end_stay_apart() {
        let (a, b) = (format!("{}a", "x".repeat(254)), format!("{}b", "x".repeat(254)));
        assert_ne!(staging_name("n", &a), staging_name("n", &b));
        assert_eq!(backup_name("n", &"p".repeat(300)).len(), 255);
    }

    fn capsule(table: Value) -> Capsule {
        Capsule { name: "a".into(), id: "id".into(), settings: json!({ "table": table }), unread: Vec::new() }
    }

    fn planned(capsules: &[Capsule]) -> Result<Vec<Unit>, ProviderError> {
        let sets = [RecordedSet { name: "a".into(), id: "id".into() }];
        units(&PrepareRequest { label: "p", at: RestoreTime(7), sets: &sets, capsules })
    }

    #[test]
    fn a_plan_needs_nothing_but_the_record() {
        let units = |read: i64| json!({ "ReadCapacityUnits": read, "WriteCapacityUnits": 2 });
        let table = json!({
            "TableArn": "arn:a",
            "KeySchema": [{ "AttributeName": "k", "KeyType": "HASH" }],
            "ProvisionedThroughput": units(10),
            "GlobalSecondaryIndexes": [{ "IndexName": "i", "ProvisionedThroughput": units(5) }],
            "SSEDescription": { "SSEType": "KMS", "KMSMasterKeyArn": "arn:key" },
        });
        let plan = planned(&[capsule(json!({})), capsule(table)]).unwrap();
        let found = of(&plan[0]).unwrap();
        assert_eq!((found.at, found.arn.as_str(), found.capacity), (RestoreTime(7), "arn:a", Some((15, 4))));
        assert_eq!(
            (found.keys, found.indexes, found.key.as_deref()),
            (vec!["k HASH".into()], vec!["i".into()], Some("arn:key"))
        );
    }

    #[test]
    fn a_table_without_its_settings_is_named() {
        let error = planned(&[]).unwrap_err();
        assert_eq!((error.kind, error.subjects), (ErrorKind::NotFound, vec!["a".to_owned()]));
    }
}
