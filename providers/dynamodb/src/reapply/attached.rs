//! What hangs on a table and has calls of its own: recovery, tags, time to live, Kinesis, insights, policies.

use super::plan::{Gap, Request, items, only, same, with};
use crate::limits::{
    DISABLE_KINESIS_STREAMING_DESTINATION, ENABLE_KINESIS_STREAMING_DESTINATION, PUT_RESOURCE_POLICY, TAG_RESOURCE,
    UPDATE_CONTINUOUS_BACKUPS, UPDATE_CONTRIBUTOR_INSIGHTS, UPDATE_KINESIS_STREAMING_DESTINATION, UPDATE_TIME_TO_LIVE,
};
use serde_json::{Map, Value, json};

const PRECISION: &str = "ApproximateCreationDateTimePrecision";
const NOT_RECORDED: &str = "it was not recorded, so it was left alone";

/// Point-in-time recovery, with the recorded period: without one the service takes 35 days.
pub(super) fn continuous_backups(name: &str, wanted: &Value, found: &Value) -> Vec<Gap> {
    let recovery = |settings: &Value| {
        let recovery = &settings["continuous_backups"]["PointInTimeRecoveryDescription"];
        let on = recovery["PointInTimeRecoveryStatus"] == "ENABLED";
        if on { only(recovery, &["RecoveryPeriodInDays"]) } else { Value::Null }
    };
    let (want, have) = (recovery(wanted), recovery(found));
    // What emulators do not say, they cannot be asked for.
    if want == have || (want.is_null() && same(&have, &Value::Null)) {
        return Vec::new();
    }
    let body = |specification: Value| json!({ "TableName": name, "PointInTimeRecoverySpecification": specification });
    if want.is_null() {
        let off = body(json!({ "PointInTimeRecoveryEnabled": false }));
        let request = Request { operation: UPDATE_CONTINUOUS_BACKUPS, body: off };
        return vec![Gap::by_hand(want, have, Some(request), NOT_RECORDED)];
    }
    let on = with(json!({ "PointInTimeRecoveryEnabled": true }), want.clone());
    vec![Gap::call(want, have, UPDATE_CONTINUOUS_BACKUPS, body(on))]
}

/// Tags of the table: all that are missing or differ in one call. Those of AWS itself cannot be set.
pub(super) fn tags(wanted: &Value, found: &Value) -> Vec<Gap> {
    let own = |settings: &Value| -> Map<String, Value> {
        let pairs =
            items(&settings["tags"]).filter_map(|tag| Some((tag["Key"].as_str()?.to_owned(), tag["Value"].clone())));
        pairs.filter(|(key, _)| !key.to_ascii_lowercase().starts_with("aws:")).collect()
    };
    let (want, have) = (own(wanted), own(found));
    let arn = wanted["table"]["TableArn"].clone();
    let missing = want.iter().any(|(key, value)| have.get(key) != Some(value));
    if missing {
        let all: Vec<_> = want.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
        return vec![Gap::call(want, have, TAG_RESOURCE, json!({ "ResourceArn": arn, "Tags": all }))];
    }
    let extra = have.keys().any(|key| !want.contains_key(key));
    if extra { vec![Gap::by_hand(want, have, None, NOT_RECORDED)] } else { Vec::new() }
}

/// The attribute that items expire by. While it is turned on it counts as on.
pub(super) fn time_to_live(name: &str, wanted: &Value, found: &Value) -> Vec<Gap> {
    let attribute = |settings: &Value| {
        let ttl = &settings["time_to_live"];
        let on = matches!(ttl["TimeToLiveStatus"].as_str(), Some("ENABLED" | "ENABLING"));
        if on { ttl["AttributeName"].clone() } else { Value::Null }
    };
    let (want, have) = (attribute(wanted), attribute(found));
    if want == have {
        return Vec::new();
    }
    let body = |on: bool, attribute: &Value| json!({ "TableName": name, "TimeToLiveSpecification": { "Enabled": on, "AttributeName": attribute } });
    if have.is_null() {
        let body = body(true, &want);
        return vec![Gap::call(want, have, UPDATE_TIME_TO_LIVE, body)];
    }
    let request = Request { operation: UPDATE_TIME_TO_LIVE, body: body(false, &have) };
    let why = match want.is_null() {
        true => NOT_RECORDED,
        false => "it must be turned off first, and an hour must pass; then run the same command again",
    };
    vec![Gap::by_hand(want, have, Some(request), why)]
}

fn destinations(settings: &Value) -> impl Iterator<Item = (&Value, &str, &Value)> {
    items(&settings["kinesis_destinations"])
        .map(|one| (&one["StreamArn"], one["DestinationStatus"].as_str().unwrap_or_default(), one))
}

fn streaming(status: &str) -> bool {
    matches!(status, "ACTIVE" | "ENABLING" | "UPDATING")
}

/// Kinesis data streams that changes go to.
pub(super) fn kinesis(name: &str, wanted: &Value, found: &Value) -> Vec<Gap> {
    let shown = |one: &Value| only(one, &["StreamArn", PRECISION]);
    let body = |stream: &Value| json!({ "TableName": name, "StreamArn": stream });
    let missing = destinations(wanted).filter(|(_, status, _)| streaming(status)).filter_map(|(stream, _, one)| {
        let there = destinations(found).find(|(there, ..)| *there == stream);
        let precision = only(one, &[PRECISION]);
        let set = |member: &str| match precision.get(PRECISION) {
            Some(_) => with(body(stream), json!({ member: precision })),
            None => body(stream),
        };
        let enable = Request {
            operation: ENABLE_KINESIS_STREAMING_DESTINATION,
            body: set("EnableKinesisStreamingConfiguration"),
        };
        let have =
            there.map_or(Value::Null, |(_, _, there)| only(there, &["StreamArn", PRECISION, "DestinationStatus"]));
        match there {
            Some((_, status @ ("ENABLING" | "DISABLING" | "UPDATING"), _)) => {
                Some(Gap::busy(shown(one), have, format!("the Kinesis destination is {status}")))
            }
            Some((_, "ACTIVE", there)) if same(&shown(one), &shown(there)) || precision.get(PRECISION).is_none() => {
                None
            }
            Some((_, "ACTIVE", _)) => {
                let body = set("UpdateKinesisStreamingConfiguration");
                Some(Gap::call(shown(one), have, UPDATE_KINESIS_STREAMING_DESTINATION, body))
            }
            // It was tried: only the stream's owner can help.
            Some((_, "ENABLE_FAILED", _)) => {
                let why =
                    "the service could not use the stream (ENABLE_FAILED): see that it exists and may be written to";
                Some(Gap::by_hand(shown(one), have, Some(enable), why))
            }
            _ => Some(Gap::call(shown(one), have, enable.operation, enable.body)),
        }
    });
    let extra = destinations(found).filter(|(_, status, _)| streaming(status)).filter_map(|(stream, _, one)| {
        let known = destinations(wanted).any(|(known, status, _)| known == stream && streaming(status));
        let off = Request { operation: DISABLE_KINESIS_STREAMING_DESTINATION, body: body(stream) };
        (!known).then(|| Gap::by_hand(Value::Null, shown(one), Some(off), NOT_RECORDED))
    });
    missing.chain(extra).collect()
}

/// Whoever reads the Kinesis stream sees changes of another table from now on, and none of what was restored.
pub(super) fn new_source(wanted: &Value, found: &Value) -> Vec<Gap> {
    let of = |stream: &Value, settings: &Value| json!({ "StreamArn": stream, "TableId": settings["table"]["TableId"] });
    let both = destinations(wanted).filter(|(stream, status, _)| {
        streaming(status) && destinations(found).any(|(there, status, _)| there == *stream && streaming(status))
    });
    let why = "restored items are not sent to it: rewire or reload what consumes this Kinesis stream";
    both.filter(|_| wanted["table"]["TableId"] != found["table"]["TableId"])
        .map(|(stream, ..)| Gap::by_hand(of(stream, wanted), of(stream, found), None, why))
        .collect()
}

/// A table that is made again has a stream of another name; its policy and its consumers are with the old one.
pub(super) fn new_stream(wanted: &Value, found: &Value) -> Vec<Gap> {
    let arn = |settings: &Value| {
        let on = settings["table"]["StreamSpecification"]["StreamEnabled"] == true;
        if on { settings["table"]["LatestStreamArn"].clone() } else { Value::Null }
    };
    let (want, have) = (arn(wanted), arn(found));
    if want.is_null() || have.is_null() || want == have {
        return Vec::new();
    }
    let why = "the stream is a new one and does not hold what was restored: rewire what consumes the old one";
    let mut gaps = vec![Gap::by_hand(want, have.clone(), None, why)];
    let policy = &wanted["stream_resource_policy"]["Policy"];
    if policy.is_string() {
        let put = json!({ "ResourceArn": have, "Policy": policy });
        let request = Request { operation: PUT_RESOURCE_POLICY, body: put };
        let why =
            "it belongs to the old stream, which its text may name: correct the names, then put it on the new one";
        let have = found["stream_resource_policy"]["Policy"].clone();
        gaps.push(Gap::by_hand(policy.clone(), have, Some(request), why));
    }
    gaps
}

/// Contributor Insights of the table and of each index that is there.
pub(super) fn insights(name: &str, wanted: &Value, found: &Value) -> Vec<Gap> {
    let mode = |one: &Value| only(one, &["IndexName", "ContributorInsightsMode"]);
    let on = |one: &Value| matches!(one["ContributorInsightsStatus"].as_str(), Some("ENABLED" | "ENABLING"));
    let of = |settings: &Value, index: &Value| {
        items(&settings["contributor_insights"]).find(|one| one["IndexName"] == *index).cloned()
    };
    let body =
        |one: &Value, action: &str| with(json!({ "TableName": name, "ContributorInsightsAction": action }), mode(one));
    let gap = |one: &Value| {
        let have = of(found, &one["IndexName"]).unwrap_or_default();
        let enable = Request { operation: UPDATE_CONTRIBUTOR_INSIGHTS, body: body(one, "ENABLE") };
        match have["ContributorInsightsStatus"].as_str() {
            // What was recorded before there were modes leaves the choice to the service.
            _ if on(&have) && (one["ContributorInsightsMode"].is_null() || same(&mode(one), &mode(&have))) => None,
            Some("DISABLING") => Some(Gap::busy(mode(one), Value::Null, "insights are DISABLING")),
            Some("FAILED") => {
                let why = "the service failed to turn it on (FAILED), mostly because of CloudWatch's quota of rules";
                Some(Gap::by_hand(mode(one), json!("FAILED"), Some(enable), why))
            }
            _ => {
                let found = if on(&have) { mode(&have) } else { Value::Null };
                Some(Gap::call(mode(one), found, enable.operation, enable.body))
            }
        }
    };
    let missing = items(&wanted["contributor_insights"]).filter(|one| on(one)).filter_map(gap);
    let extra = items(&found["contributor_insights"]).filter(|one| on(one)).filter_map(|one| {
        let known = of(wanted, &one["IndexName"]).is_some_and(|known| on(&known));
        let disable = Request {
            operation: UPDATE_CONTRIBUTOR_INSIGHTS,
            body: with(only(one, &["IndexName"]), body(&json!({}), "DISABLE")),
        };
        (!known).then(|| Gap::by_hand(Value::Null, mode(one), Some(disable), NOT_RECORDED))
    });
    missing.chain(extra).collect()
}

/// The table's resource policy, word for word. It replaces only what was read, nothing that came since.
pub(super) fn policy(wanted: &Value, found: &Value) -> Vec<Gap> {
    let text = |settings: &Value| settings["resource_policy"]["Policy"].clone();
    let document = |text: &Value| text.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let (want, have) = (text(wanted), text(found));
    if want == have || (document(&want).is_some() && document(&want) == document(&have)) {
        return Vec::new();
    }
    if want.is_null() {
        return vec![Gap::by_hand(want, have, None, NOT_RECORDED)];
    }
    let revision = found["resource_policy"]["RevisionId"].as_str().unwrap_or("NO_POLICY");
    let body = json!({
        "ResourceArn": wanted["table"]["TableArn"], "Policy": want, "ExpectedRevisionId": revision,
    });
    vec![Gap::call(want, have, PUT_RESOURCE_POLICY, body)]
}
