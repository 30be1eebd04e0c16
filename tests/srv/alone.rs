//! `create` without a database: the window and its two times, in our JSON and in that of scalar-admin-for-kubernetes.

use crate::stage::{Stage, object};
use chrono::DateTime;
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn a_window_alone_says_its_times_and_claims_no_restore_point() {
    let stage = Stage::start("1s").await;
    let said = stage.run(&["create", "--window-only", "--output", "json"], |_| ()).await;
    let point = object(&said, 0);
    assert_eq!(point["verdict"], "good");
    for nothing in ["id", "state", "restore_time", "error"] {
        assert_eq!(point[nothing], Value::Null, "{nothing}");
    }
    assert_eq!(point["databases"], Value::Array(Vec::new()));
    let table = point["pod_table"].as_array().unwrap();
    assert!(table.len() == 3 && table.iter().all(|row| !row["before"].is_null() && row["before"] == row["after"]));
    let time = |value: &Value| DateTime::parse_from_rfc3339(value.as_str().unwrap()).unwrap();
    let still = &point["still_period"];
    let in_order = [&point["pause_completed"], &still["start"], &still["end"], &point["unpause_started"]].map(time);
    assert!(in_order.is_sorted(), "{point:#}");
    assert!(still["end_mono_ns"].as_u64().unwrap() - still["start_mono_ns"].as_u64().unwrap() >= 1_000_000_000);
    assert!(point["warnings"].to_string().contains("nothing is recorded"));
    stage.all_paused_once_and_open();
    let catalog = stage.session.dir().join(".local/state/stillpoint/catalog/points");
    assert!(!catalog.exists(), "no point in the catalog");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_tool_s_line_is_printed_on_success_and_nothing_on_failure() {
    let stage = Stage::start("1s").await;
    // -d wins over the file: half a second after all are paused.
    let words = ["create", "--window-only", "--output", "sak", "-z", "Asia/Tokyo", "-d", "500"];
    let said = stage.run(&words, |_| ()).await;
    let line = object(&said, 0);
    assert_eq!(said.stdout.lines().count(), 1);
    let keys: Vec<&String> = line.as_object().unwrap().keys().collect();
    let expected = [
        "helm_release_name",
        "namespace",
        "pause_end_date_time",
        "pause_end_timestamp_ms",
        "pause_start_date_time",
        "pause_start_timestamp_ms",
        "timezone",
    ];
    assert_eq!(keys, expected);
    let ms = |key: &str| line[key].as_i64().unwrap();
    assert!(ms("pause_end_timestamp_ms") - ms("pause_start_timestamp_ms") >= 500);
    let start = DateTime::from_timestamp_millis(ms("pause_start_timestamp_ms")).unwrap();
    let local = start.with_timezone(&chrono_tz::Asia::Tokyo).format("%Y-%m-%dT%H:%M").to_string();
    assert!(line["pause_start_date_time"].as_str().unwrap().starts_with(&local), "{line:#}");
    assert_eq!(line["timezone"], "Asia/Tokyo");
    stage.all_paused_once_and_open();

    let void = Stage::start("3s").await;
    let said = void.run(&["create", "--window-only", "--output", "sak"], |stage| stage.dns.behave(FAILS)).await;
    assert_eq!((said.code, said.stdout.as_str()), (1, ""), "{said:#?}");
    assert!(said.stderr.contains("WatchGap"), "{}", said.stderr);
    void.all_paused_once_and_open();
    for line in
        ["create --window-only --output sak -z asia/tokyo", "create --output sak", "create --output sak --hodl 1s"]
    {
        let words: Vec<&str> = line.split_whitespace().collect();
        let said = void.run(&words, |_| ()).await;
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{line}: {said:#?}");
    }
}

const FAILS: stillpoint_sandbox::dns::Manner = stillpoint_sandbox::dns::Manner::ServFail;
