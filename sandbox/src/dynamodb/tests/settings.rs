use super::*;

#[test]
fn tags_lag_lock_and_page() {
    let bench = Bench::real();
    bench.table("src");
    let arn = bench.arn("src");
    let many: Vec<Value> = (0..40).map(|n| json!({ "Key": format!("k{n:02}"), "Value": "v" })).collect();
    bench.ok("TagResource", json!({ "ResourceArn": arn, "Tags": many }));
    let list = json!({ "ResourceArn": arn });
    assert_eq!(bench.ok("ListTagsOfResource", list.clone())["Tags"], json!([]));
    let more = json!({ "ResourceArn": arn, "Tags": [{ "Key": "z", "Value": "" }] });
    assert_eq!(bench.refused("TagResource", more.clone()), "LimitExceededException");
    assert_eq!(bench.refused("DeleteTable", json!({ "TableName": "src" })), "ResourceInUseException");
    bench.pass(3.0);
    let first = bench.ok("ListTagsOfResource", list.clone());
    assert_eq!(first["Tags"].as_array().map(Vec::len), Some(25));
    let second = bench.ok("ListTagsOfResource", json!({ "ResourceArn": arn, "NextToken": first["NextToken"] }));
    assert_eq!(second["Tags"].as_array().map(Vec::len), Some(15));
    assert_eq!(second.get("NextToken"), None);
    bench.ok("TagResource", more);
    bench.pass(3.0);
    let keys: Vec<String> = (0..40).map(|n| format!("k{n:02}")).collect();
    bench.ok("UntagResource", json!({ "ResourceArn": arn, "TagKeys": keys }));
    bench.pass(3.0);
    assert_eq!(bench.ok("ListTagsOfResource", list)["Tags"], json!([{ "Key": "z", "Value": "" }]));
    let reserved = json!({ "ResourceArn": arn, "Tags": [{ "Key": "aws:x", "Value": "" }] });
    assert_eq!(bench.refused("TagResource", reserved), "ValidationException");
    let foreign = json!({ "ResourceArn": arn.replace("123456789012", "999999999999") });
    assert_eq!(bench.refused("ListTagsOfResource", foreign), "AccessDeniedException");
}

#[test]
fn time_to_live_changes_once_in_half_an_hour() {
    let bench = Bench::real();
    bench.table("src");
    let set = |on: bool, attribute: &str| json!({ "TableName": "src", "TimeToLiveSpecification": { "Enabled": on, "AttributeName": attribute } });
    let described = || bench.ok("DescribeTimeToLive", json!({ "TableName": "src" }))["TimeToLiveDescription"].clone();
    assert_eq!(bench.refused("UpdateTimeToLive", set(false, "e")), "ValidationException");
    bench.ok("UpdateTimeToLive", set(true, "e"));
    assert_eq!(described(), json!({ "TimeToLiveStatus": "ENABLING", "AttributeName": "e" }));
    assert_eq!(bench.refused("UpdateTimeToLive", set(false, "e")), "ValidationException");
    bench.pass(1860.0);
    assert_eq!(described()["TimeToLiveStatus"], "ENABLED");
    assert_eq!(bench.refused("UpdateTimeToLive", set(true, "e")), "ValidationException");
    assert_eq!(bench.refused("UpdateTimeToLive", set(false, "other")), "ValidationException");
    bench.ok("UpdateTimeToLive", set(false, "e"));
    bench.pass(60.0);
    assert_eq!(described(), json!({ "TimeToLiveStatus": "DISABLED" }));
}

#[test]
fn a_resource_policy_lags_and_has_revisions() {
    let bench = Bench::real();
    bench.table("src");
    let arn = bench.arn("src");
    let text = r#"{"Version":"2012-10-17","Statement":[]}"#;
    let get = json!({ "ResourceArn": arn });
    assert_eq!(bench.refused("GetResourcePolicy", get.clone()), "PolicyNotFoundException");
    let put = json!({ "ResourceArn": arn, "Policy": text, "ExpectedRevisionId": "NO_POLICY" });
    let revision = bench.ok("PutResourcePolicy", put.clone())["RevisionId"].clone();
    assert_eq!(bench.refused("GetResourcePolicy", get.clone()), "PolicyNotFoundException");
    assert_eq!(bench.refused("PutResourcePolicy", put.clone()), "LimitExceededException");
    bench.pass(15.0);
    assert_eq!(bench.ok("GetResourcePolicy", get.clone()), json!({ "Policy": text, "RevisionId": revision }));
    assert_eq!(bench.refused("PutResourcePolicy", put), "PolicyNotFoundException");
    assert_eq!(
        bench.refused("PutResourcePolicy", json!({ "ResourceArn": arn, "Policy": "no" })),
        "ValidationException"
    );
    bench.ok("DeleteResourcePolicy", get.clone());
    bench.pass(3.0);
    assert_eq!(bench.refused("GetResourcePolicy", get), "PolicyNotFoundException");
}

#[test]
fn kinesis_destinations_become_active_or_fail_later() {
    let bench = Bench::real();
    bench.table("src");
    let stream = "arn:aws:kinesis:us-east-1:123456789012:stream/good";
    let missing = "arn:aws:kinesis:us-east-1:123456789012:stream/missing";
    bench.db.missing_stream(missing);
    let on = |arn: &str| {
        json!({
            "TableName": "src", "StreamArn": arn,
            "EnableKinesisStreamingConfiguration": { "ApproximateCreationDateTimePrecision": "MICROSECOND" },
        })
    };
    let statuses = || -> Vec<String> {
        let answer = bench.ok("DescribeKinesisStreamingDestination", json!({ "TableName": "src" }));
        let status = |one: &Value| one["DestinationStatus"].as_str().unwrap_or_default().to_owned();
        answer["KinesisDataStreamDestinations"].as_array().into_iter().flatten().map(status).collect()
    };
    bench.ok("EnableKinesisStreamingDestination", on(stream));
    bench.ok("EnableKinesisStreamingDestination", on(missing));
    assert_eq!(statuses(), ["ENABLING", "ENABLING"]);
    assert_eq!(bench.refused("EnableKinesisStreamingDestination", on(stream)), "ResourceInUseException");
    bench.pass(60.0);
    assert_eq!(statuses(), ["ACTIVE", "ENABLE_FAILED"]);
    bench.ok("DisableKinesisStreamingDestination", json!({ "TableName": "src", "StreamArn": stream }));
    bench.pass(60.0);
    assert_eq!(statuses(), ["DISABLED", "ENABLE_FAILED"]);
    assert_eq!(bench.refused("EnableKinesisStreamingDestination", on("arn:aws:s3:::x")), "ValidationException");
}

#[test]
fn contributor_insights_are_off_until_enabled_per_table_and_index() {
    let bench = Bench::real();
    bench.ok("CreateTable", recovery::with_index("src"));
    bench.pass(20.0);
    let of = |index: Option<&str>| match index {
        Some(index) => json!({ "TableName": "src", "IndexName": index }),
        None => json!({ "TableName": "src" }),
    };
    let status = |index| bench.ok("DescribeContributorInsights", of(index))["ContributorInsightsStatus"].clone();
    assert_eq!(status(None), "DISABLED");
    let mut enable = of(Some("by_v"));
    enable["ContributorInsightsAction"] = "ENABLE".into();
    enable["ContributorInsightsMode"] = "THROTTLED_KEYS".into();
    assert_eq!(bench.ok("UpdateContributorInsights", enable)["ContributorInsightsStatus"], "ENABLING");
    bench.pass(60.0);
    assert_eq!((status(None), status(Some("by_v"))), (json!("DISABLED"), json!("ENABLED")));
    let described = bench.ok("DescribeContributorInsights", of(Some("by_v")));
    assert_eq!(described["ContributorInsightsMode"], "THROTTLED_KEYS");
    assert_eq!(bench.refused("DescribeContributorInsights", of(Some("none"))), "ResourceNotFoundException");
}
