use super::*;

#[test]
fn every_write_is_logged_with_both_clocks() {
    let config = Config { lags: Lags::none(), service_offset_ns: 90 * SECOND, ..Config::default() };
    let bench = Bench::new(config);
    bench.table("src");
    bench.put("src", "a", "1");
    bench.pass(2.0);
    bench.ok("DeleteItem", json!({ "TableName": "src", "Key": { "k": { "S": "a" } } }));
    let writes = bench.db.writes();
    let skew = bench.db.table_skew_ns("src").expect("a table");
    assert_ne!(skew, 0);
    assert_eq!(writes.iter().map(|write| write.deleted).collect::<Vec<_>>(), [false, true]);
    assert_eq!(writes[0].key, json!({ "k": { "S": "a" } }));
    for write in &writes {
        assert_eq!(write.history_ns, START + write.mono_ns + 90 * SECOND + skew);
    }
    assert_eq!(writes[1].mono_ns - writes[0].mono_ns, 2 * SECOND);
}

#[test]
fn a_thousand_tables_are_read_at_ten_a_second_without_one_refusal() {
    let bench = Bench::new(Config { lags: Lags::none(), ..Config::default() });
    (0..1000).for_each(|n| drop(bench.ok("CreateTable", simple(&format!("t{n:04}")))));
    for n in 0..1000 {
        bench.ok("DescribeContinuousBackups", json!({ "TableName": format!("t{n:04}") }));
        bench.pass(0.1);
    }
    let calls = bench.db.calls();
    assert_eq!(calls.len(), 2000);
    assert!(calls.iter().all(|call| !call.throttled));
    for n in 0..11 {
        let answer = bench.call("DescribeContinuousBackups", json!({ "TableName": format!("t{n:04}") }));
        assert_eq!(answer.is_err(), n == 10, "{n}");
    }
    let last = bench.db.calls().pop().expect("a call");
    assert!(last.throttled);
    assert_eq!((last.operation.as_str(), last.table.as_str()), ("DescribeContinuousBackups", "t0010"));
}

#[test]
fn injected_errors_hit_what_they_name_as_often_as_they_say() {
    let bench = Bench::quick();
    bench.table("src");
    let denied = bench.db.deny("Describe*", "src");
    assert_eq!(bench.refused("DescribeTimeToLive", json!({ "TableName": "src" })), "AccessDeniedException");
    bench.ok("ListTables", json!({}));
    bench.db.remove(denied);
    bench.describe("src");
    let error = ServiceError::new("InternalServerError", "try again").with_status(500);
    let fault = Fault { operation: "PutItem".into(), table: "*".into(), times: Some(1), effect: Effect::Error(error) };
    bench.db.inject(fault);
    let item = json!({ "TableName": "src", "Item": { "k": { "S": "a" } } });
    assert_eq!(bench.refused("PutItem", item.clone()), "InternalServerError");
    bench.ok("PutItem", item);
    assert_eq!(bench.db.writes().len(), 1);
}

#[test]
fn a_restore_that_fails_leaves_no_table() {
    let bench = Bench::real();
    bench.table("src");
    bench.recovery("src", true);
    bench.pass(310.0);
    bench.restore("src", "dst", whole(bench.now() - 305 * SECOND)).expect("restorable");
    bench.db.fail_creation("dst");
    assert_eq!(bench.refused("DescribeTable", json!({ "TableName": "dst" })), "ResourceNotFoundException");
    bench.restore("src", "dst", whole(bench.now() - 305 * SECOND)).expect("the name is free again");
}
