//! What UpdateTable changes: one kind of change per call, and only while the table is ACTIVE.

use super::plan::{Gap, Request, items, named, only, same, with};
use crate::limits::UPDATE_TABLE;
use serde_json::{Value, json};

const UNITS: [&str; 2] = ["ReadCapacityUnits", "WriteCapacityUnits"];
const MAXIMA: [&str; 2] = ["MaxReadRequestUnits", "MaxWriteRequestUnits"];

fn request(name: &str, change: Value) -> Request {
    Request { operation: UPDATE_TABLE, body: with(json!({ "TableName": name }), change) }
}

/// A gap that UpdateTable closes, once the table takes changes again.
fn update(name: &str, table: &Value, wanted: impl Into<Value>, found: impl Into<Value>, change: Value) -> Gap {
    match busy(table) {
        Some(what) => Gap::busy(wanted, found, what),
        None => {
            let Request { operation, body } = request(name, change);
            Gap::call(wanted, found, operation, body)
        }
    }
}

/// Why the table takes no change now.
pub(super) fn busy(table: &Value) -> Option<String> {
    let not = |status: &Value, settled: &[&str]| {
        status.as_str().filter(|status| !settled.contains(status)).map(str::to_owned)
    };
    if let Some(status) = not(&table["TableStatus"], &["ACTIVE"]) {
        return Some(format!("the table is {status}"));
    }
    let index = named(&table["GlobalSecondaryIndexes"])
        .find_map(|(name, index)| Some(format!("the index {name} is {}", not(&index["IndexStatus"], &["ACTIVE"])?)));
    let key = || not(&table["SSEDescription"]["Status"], &["ENABLED", "DISABLED"]);
    index.or_else(|| Some(format!("encryption is {}", key()?)))
}

fn on_demand(table: &Value) -> bool {
    table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
}

fn units(one: &Value) -> Value {
    only(&one["ProvisionedThroughput"], &UNITS)
}

/// Billing mode, and the capacity of the table and its indexes.
pub(super) fn capacity(name: &str, wanted: &Value, found: &Value) -> Vec<Gap> {
    let (want, have) = (&wanted["table"], &found["table"]);
    let shown = |table: &Value| {
        let mode = if on_demand(table) { "PAY_PER_REQUEST" } else { "PROVISIONED" };
        let indexes = named(&table["GlobalSecondaryIndexes"]).map(|(name, index)| (name.to_owned(), units(index)));
        match on_demand(table) {
            true => json!({ "BillingMode": mode }),
            false => json!({ "BillingMode": mode, "Table": units(table), "Indexes": Value::Object(indexes.collect()) }),
        }
    };
    let change = match (on_demand(want), on_demand(have)) {
        (true, true) => return Vec::new(),
        (true, false) => json!({ "BillingMode": "PAY_PER_REQUEST" }),
        (false, true) => {
            let updates: Vec<_> = indexes_in_both(want, have).map(|(index, want, _)| tune(index, want)).collect();
            let change = json!({ "BillingMode": "PROVISIONED", "ProvisionedThroughput": units(want) });
            with_updates(change, updates)
        }
        // Equal values are an error, so that only what differs may be sent.
        (false, false) => {
            let scaled = |resource: &str, want: &Value, have: &Value| within_scaling(found, resource, want, have);
            let updates = indexes_in_both(want, have)
                .filter(|(index, want, have)| !scaled(&format!("table/{name}/index/{index}"), want, have))
                .map(|(index, want, _)| tune(index, want));
            let change = match scaled(&format!("table/{name}"), want, have) {
                true => json!({}),
                false => json!({ "ProvisionedThroughput": units(want) }),
            };
            with_updates(change, updates.collect())
        }
    };
    if same(&change, &json!({})) { Vec::new() } else { vec![update(name, have, shown(want), shown(have), change)] }
}

/// Whether the capacity is as recorded, or moved by auto scaling inside its range.
fn within_scaling(found: &Value, resource: &str, want: &Value, have: &Value) -> bool {
    UNITS.iter().all(|dimension| {
        let (want, have) = (&want["ProvisionedThroughput"][dimension], &have["ProvisionedThroughput"][dimension]);
        let target = items(&found["auto_scaling_targets"]).find(|target| {
            let of = target["ScalableDimension"].as_str().unwrap_or_default();
            target["ResourceId"] == resource && of.ends_with(dimension)
        });
        let inside = |target: &Value| {
            have.as_i64() >= target["MinCapacity"].as_i64() && have.as_i64() <= target["MaxCapacity"].as_i64()
        };
        same(want, have) || target.is_some_and(inside)
    })
}

fn indexes_in_both<'a>(want: &'a Value, have: &'a Value) -> impl Iterator<Item = (&'a str, &'a Value, &'a Value)> {
    named(&want["GlobalSecondaryIndexes"]).filter_map(|(name, want)| {
        let mut there = named(&have["GlobalSecondaryIndexes"]);
        Some((name, want, there.find(|(there, _)| *there == name)?.1))
    })
}

fn tune(index: &str, want: &Value) -> Value {
    json!({ "Update": { "IndexName": index, "ProvisionedThroughput": units(want) } })
}

fn with_updates(change: Value, updates: Vec<Value>) -> Value {
    if updates.is_empty() { change } else { with(change, json!({ "GlobalSecondaryIndexUpdates": updates })) }
}

/// Indexes that are not there are made again, one per call. One that differs, or that nobody recorded, is left alone.
pub(super) fn indexes(name: &str, wanted: &Value, found: &Value) -> Vec<Gap> {
    let (want, have) = (&wanted["table"], &found["table"]);
    let shape = |index: &Value| only(index, &["IndexName", "KeySchema", "Projection"]);
    let there =
        |index: &str| named(&have["GlobalSecondaryIndexes"]).find(|(name, _)| *name == index).map(|(_, index)| index);
    let known = |index: &str| named(&want["GlobalSecondaryIndexes"]).any(|(name, _)| name == index);
    let wanted = named(&want["GlobalSecondaryIndexes"]).filter_map(|(index, one)| match there(index) {
        None => Some(update(name, have, shape(one), Value::Null, create_index(want, have, one))),
        Some(other) if other["IndexStatus"] == "DELETING" => {
            Some(Gap::busy(shape(one), Value::Null, format!("the index {index} is DELETING")))
        }
        Some(other) if same(&shape(one), &shape(other)) => None,
        Some(other) => {
            let delete = json!({ "GlobalSecondaryIndexUpdates": [{ "Delete": { "IndexName": index } }] });
            let why = "an index cannot be changed: delete it, and run the same command again to have it made anew";
            Some(Gap::by_hand(shape(one), shape(other), Some(request(name, delete)), why))
        }
    });
    let extra = named(&have["GlobalSecondaryIndexes"]).filter(|(index, _)| !known(index)).map(|(index, one)| {
        let delete = json!({ "GlobalSecondaryIndexUpdates": [{ "Delete": { "IndexName": index } }] });
        Gap::by_hand(Value::Null, shape(one), Some(request(name, delete)), "it was not recorded, so it was left alone")
    });
    wanted.chain(extra).collect()
}

/// Only definitions of attributes that are used may be sent.
fn create_index(want: &Value, have: &Value, index: &Value) -> Value {
    let mut create = only(index, &["IndexName", "KeySchema", "Projection"]);
    if on_demand(have) {
        let maxima = only(&index["OnDemandThroughput"], &MAXIMA);
        if !same(&maxima, &json!({})) {
            create = with(create, json!({ "OnDemandThroughput": maxima }));
        }
    } else {
        create = with(create, json!({ "ProvisionedThroughput": units(index) }));
    }
    let used = |attribute: &Value| {
        let name = &attribute["AttributeName"];
        items(&have["AttributeDefinitions"]).chain(items(&index["KeySchema"])).any(|one| one["AttributeName"] == *name)
    };
    let attributes: Vec<_> = items(&want["AttributeDefinitions"]).filter(|attribute| used(attribute)).collect();
    json!({ "AttributeDefinitions": attributes, "GlobalSecondaryIndexUpdates": [{ "Create": create }] })
}

/// Limits of an on-demand table and its indexes: each its own call. Never an empty one, which the service cannot take.
pub(super) fn maxima(name: &str, wanted: &Value, found: &Value) -> Vec<Gap> {
    let tables = [&wanted["table"], &found["table"]];
    let [want, have] = tables;
    if !on_demand(want) {
        return Vec::new();
    }
    let set = |one: &Value| {
        let all = only(&one["OnDemandThroughput"], &MAXIMA);
        let set = all.as_object().into_iter().flatten().filter(|(_, units)| units.as_i64() != Some(-1));
        Value::Object(set.map(|(name, units)| (name.clone(), units.clone())).collect())
    };
    let gap = |want: &Value, have: &Value, change: &dyn Fn(Value) -> Value| {
        let (want, found) = (set(want), set(have));
        let missing = want.as_object().is_some_and(|want| want.iter().any(|(member, units)| found[member] != *units));
        if missing {
            let body = change(want.clone());
            return Some(update(name, tables[1], want, found, body));
        }
        let extra = found.as_object().is_some_and(|found| found.keys().any(|member| want.get(member).is_none()));
        extra.then(|| {
            let cleared = MAXIMA.map(|member| (member.to_owned(), want.get(member).cloned().unwrap_or(json!(-1))));
            let body = change(Value::Object(cleared.into_iter().collect()));
            Gap::by_hand(want, found, Some(request(name, body)), "it was not recorded, so it was left alone")
        })
    };
    let own = gap(want, have, &|maxima| json!({ "OnDemandThroughput": maxima }));
    let of_indexes = indexes_in_both(want, have).filter_map(|(index, want, have)| {
        gap(want, have, &|maxima| {
            json!({ "GlobalSecondaryIndexUpdates": [{ "Update": { "IndexName": index, "OnDemandThroughput": maxima } }] })
        })
    });
    own.into_iter().chain(of_indexes).collect()
}

/// STANDARD unless it says otherwise.
pub(super) fn class(name: &str, wanted: &Value, found: &Value) -> Vec<Gap> {
    let class = |settings: &Value| match settings["table"]["TableClassSummary"]["TableClass"].as_str() {
        Some(class) => class.to_owned(),
        None => "STANDARD".to_owned(),
    };
    let (want, have) = (class(wanted), class(found));
    if want == have {
        return Vec::new();
    }
    let change = json!({ "TableClass": want });
    if want == "STANDARD" {
        return vec![Gap::by_hand(
            want,
            have,
            Some(request(name, change)),
            "it was not recorded, so it was left alone",
        )];
    }
    vec![update(name, &found["table"], want, have, change)]
}

/// The KMS key. A restore can be told to use it; this is for one that was not.
pub(super) fn encryption(name: &str, wanted: &Value, found: &Value) -> Vec<Gap> {
    let key = |settings: &Value| settings["table"]["SSEDescription"]["KMSMasterKeyArn"].clone();
    let (want, have) = (key(wanted), key(found));
    if same(&want, &have) {
        return Vec::new();
    }
    if want.is_null() {
        let change = json!({ "SSESpecification": { "Enabled": false } });
        return vec![Gap::by_hand(
            want,
            have,
            Some(request(name, change)),
            "it was not recorded, so it was left alone",
        )];
    }
    let change = json!({ "SSESpecification": { "Enabled": true, "SSEType": "KMS", "KMSMasterKeyId": want } });
    vec![update(name, &found["table"], want, have, change)]
}

/// The table's own stream. The kind of one that is on cannot be changed.
pub(super) fn stream(name: &str, wanted: &Value, found: &Value) -> Vec<Gap> {
    let view = |settings: &Value| {
        let stream = &settings["table"]["StreamSpecification"];
        if stream["StreamEnabled"] == true { stream["StreamViewType"].clone() } else { Value::Null }
    };
    let (want, have) = (view(wanted), view(found));
    if want == have {
        return Vec::new();
    }
    if have.is_null() {
        let change = json!({ "StreamSpecification": { "StreamEnabled": true, "StreamViewType": want } });
        return vec![update(name, &found["table"], want, have, change)];
    }
    let off = json!({ "StreamSpecification": { "StreamEnabled": false } });
    let why = match want.is_null() {
        true => "it was not recorded, so it was left alone",
        false => "a stream cannot be changed: turn it off, and run the same command again to have it made anew",
    };
    vec![Gap::by_hand(want, have, Some(request(name, off)), why)]
}

/// Off only at the end, whatever it was for the time of the restore.
pub(super) fn protection(name: &str, wanted: &Value, found: &Value) -> Vec<Gap> {
    let on = |settings: &Value| settings["table"]["DeletionProtectionEnabled"] == true;
    let (want, have) = (on(wanted), on(found));
    if want == have {
        return Vec::new();
    }
    vec![update(name, &found["table"], want, have, json!({ "DeletionProtectionEnabled": want }))]
}

/// Readiness for more than the capacity says. It may cost money, so it is left to people.
pub(super) fn warm(name: &str, wanted: &Value, found: &Value) -> Vec<Gap> {
    let (want, have) = (&wanted["table"], &found["table"]);
    let warm = |one: &Value| only(&one["WarmThroughput"], &["ReadUnitsPerSecond", "WriteUnitsPerSecond"]);
    let gap = |want: &Value, have: &Value, change: &dyn Fn(Value) -> Value| {
        let (want, have) = (warm(want), warm(have));
        let colder = want.as_object()?.iter().any(|(member, units)| units.as_i64() > have[member].as_i64());
        colder.then(|| {
            let request = request(name, change(want.clone()));
            let why = "it is not put back by itself, because it may cost money; the table warms up as it is used";
            Gap::by_hand(want, have, Some(request), why)
        })
    };
    let own = gap(want, have, &|warm| json!({ "WarmThroughput": warm }));
    let of_indexes = indexes_in_both(want, have).filter_map(|(index, want, have)| {
        gap(want, have, &|warm| {
            json!({ "GlobalSecondaryIndexUpdates": [{ "Update": { "IndexName": index, "WarmThroughput": warm } }] })
        })
    });
    own.into_iter().chain(of_indexes).collect()
}

#[cfg(test)]
mod tests {
    use super::super::plan::Close;
    use super::*;

    fn table(mode: &str, read: i64, index_read: i64) -> Value {
        let units = |read: i64| json!({ "ReadCapacityUnits": read, "WriteCapacityUnits": 5 });
        json!({ "table": {
            "TableStatus": "ACTIVE",
            "BillingModeSummary": { "BillingMode": mode },
            "ProvisionedThroughput": units(read),
            "GlobalSecondaryIndexes": [{ "IndexName": "i", "IndexStatus": "ACTIVE", "ProvisionedThroughput": units(index_read) }],
        } })
    }

    fn sent(gaps: &[Gap]) -> Value {
        match gaps {
            [Gap { close: Close::Call(request), .. }] => request.body.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_capacity_that_differs_is_sent_unless_the_mode_changes() {
        let wanted = table("PROVISIONED", 10, 20);
        assert_eq!(capacity("a", &wanted, &wanted), []);
        let units = |read: i64| json!({ "ReadCapacityUnits": read, "WriteCapacityUnits": 5 });
        let index = json!([{ "Update": { "IndexName": "i", "ProvisionedThroughput": units(20) } }]);
        let body = sent(&capacity("a", &wanted, &table("PROVISIONED", 10, 1)));
        assert_eq!(body, json!({ "TableName": "a", "GlobalSecondaryIndexUpdates": index }));
        let body = sent(&capacity("a", &wanted, &table("PROVISIONED", 1, 20)));
        assert_eq!(body, json!({ "TableName": "a", "ProvisionedThroughput": units(10) }));
        let body = sent(&capacity("a", &wanted, &table("PAY_PER_REQUEST", 10, 20)));
        assert_eq!(body["BillingMode"], "PROVISIONED");
        assert_eq!((&body["ProvisionedThroughput"], &body["GlobalSecondaryIndexUpdates"]), (&units(10), &index));
        let body = sent(&capacity("a", &table("PAY_PER_REQUEST", 0, 0), &wanted));
        assert_eq!(body, json!({ "TableName": "a", "BillingMode": "PAY_PER_REQUEST" }));
    }

    #[test]
    fn a_table_that_is_changing_is_waited_for() {
        let wanted = table("PROVISIONED", 10, 20);
        for (part, status) in [("TableStatus", "UPDATING"), ("SSEDescription", "UPDATING")] {
            let mut found = table("PROVISIONED", 1, 20);
            found["table"][part] = if part == "TableStatus" { json!(status) } else { json!({ "Status": status }) };
            let gaps = capacity("a", &wanted, &found);
            assert!(matches!(gaps[0].close, Close::Busy(_)), "{gaps:?}");
        }
    }

    #[test]
    fn readiness_that_is_lower_is_told_and_never_set() {
        let warm = |read: i64| json!({ "table": { "WarmThroughput": { "ReadUnitsPerSecond": read, "WriteUnitsPerSecond": 1 } } });
        assert_eq!(super::warm("a", &warm(10), &warm(20)), []);
        let told = super::warm("a", &warm(20), &warm(10));
        assert!(matches!(&told[0].close, Close::ByHand(Some(_), why) if why.contains("cost")), "{told:?}");
    }
}
