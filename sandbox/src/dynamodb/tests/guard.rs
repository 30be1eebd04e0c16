use super::*;

/// Operation and table of every violation.
fn violations(bench: &Bench) -> Vec<(String, String)> {
    bench.db.violations().into_iter().map(|violation| (violation.call.operation, violation.table)).collect()
}

fn told(operation: &str) -> Vec<(String, String)> {
    vec![(operation.to_owned(), "src".to_owned())]
}

fn guarded() -> Bench {
    let bench = Bench::real();
    bench.table("src");
    bench.put("src", "a", "1");
    bench.db.guard_set(&["src"]);
    bench
}

#[test]
fn a_table_deleted_without_recovery_and_backup_is_a_violation_at_once() {
    let bench = guarded();
    bench.describe("src");
    assert_eq!(violations(&bench), []);
    bench.ok("DeleteTable", json!({ "TableName": "src" }));
    assert_eq!(violations(&bench), told("DeleteTable"));
    bench.ok("ListTables", json!({}));
    assert_eq!(violations(&bench), told("DeleteTable"), "told once");
    assert!(bench.db.violations()[0].call.table == "src");
}

#[test]
fn a_table_with_recovery_lives_on_as_its_system_backup_for_35_days() {
    let bench = guarded();
    bench.recovery("src", true);
    bench.ok("DeleteTable", json!({ "TableName": "src" }));
    bench.pass(20.0);
    bench.ok("ListTables", json!({}));
    assert_eq!(violations(&bench), []);
    bench.pass(36.0 * 86_400.0);
    bench.ok("ListTables", json!({}));
    assert_eq!(violations(&bench), told("ListTables"));
}

#[test]
fn recovery_turned_off_while_the_table_goes_takes_its_system_backup_with_it() {
    let bench = guarded();
    bench.recovery("src", true);
    bench.ok("DeleteTable", json!({ "TableName": "src" }));
    assert_eq!(violations(&bench), []);
    bench.recovery("src", false);
    assert_eq!(violations(&bench), told("UpdateContinuousBackups"));
}

#[test]
fn a_backup_counts_once_it_is_available_and_until_it_is_deleted() {
    let bench = guarded();
    let backup = bench.ok("CreateBackup", json!({ "TableName": "src", "BackupName": "safety" }));
    let arn = backup["BackupDetails"]["BackupArn"].clone();
    bench.pass(31.0);
    bench.ok("DeleteTable", json!({ "TableName": "src" }));
    bench.pass(10.0);
    bench.ok("ListTables", json!({}));
    assert_eq!(violations(&bench), []);
    bench.ok("DeleteBackup", json!({ "BackupArn": arn }));
    assert_eq!(violations(&bench), told("DeleteBackup"));

    let bench = guarded();
    bench.ok("CreateBackup", json!({ "TableName": "src", "BackupName": "safety" }));
    bench.ok("DeleteTable", json!({ "TableName": "src" }));
    assert_eq!(violations(&bench), told("DeleteTable"), "a backup that is not AVAILABLE proves nothing");
}

#[test]
fn a_backup_of_a_staging_table_is_a_backup_of_its_source_but_the_staging_table_is_not() {
    let bench = guarded();
    bench.recovery("src", true);
    bench.pass(2.0);
    let at = whole(bench.now());
    bench.pass(400.0);
    bench.restore("src", "rp-x-src", at).expect("a restore");
    bench.pass(800.0);
    bench.recovery("src", false);
    let backup = bench.ok("CreateBackup", json!({ "TableName": "rp-x-src", "BackupName": "prepared" }));
    let arn = backup["BackupDetails"]["BackupArn"].clone();
    bench.pass(40.0);
    bench.ok("DeleteTable", json!({ "TableName": "src" }));
    bench.pass(10.0);
    assert_eq!(violations(&bench), []);
    // Back under its name: the backup feeds it, and can go when it is ACTIVE.
    bench.ok("RestoreTableFromBackup", json!({ "BackupArn": arn, "TargetTableName": "src" }));
    assert_eq!(bench.refused("DeleteBackup", json!({ "BackupArn": arn })), "BackupInUseException");
    bench.pass(800.0);
    bench.ok("DeleteBackup", json!({ "BackupArn": arn }));
    assert_eq!(violations(&bench), []);
    assert_eq!(bench.contents("src"), "a=1");
    bench.ok("DeleteTable", json!({ "TableName": "src" }));
    assert_eq!(violations(&bench), told("DeleteTable"), "the staging table is still there, and does not count");
}

#[test]
fn an_empty_table_of_the_same_name_is_not_the_data() {
    let bench = guarded();
    bench.ok("DeleteTable", json!({ "TableName": "src" }));
    bench.pass(10.0);
    bench.table("src");
    assert_eq!(violations(&bench), told("DeleteTable"));
    bench.db.guard_set(&["src"]);
    bench.describe("src");
    assert_eq!(violations(&bench), [], "a new guard watches what is there now");
    bench.db.guard_set(&["nothing"]);
    bench.describe("src");
    assert_eq!(violations(&bench), [("DescribeTable".to_owned(), "nothing".to_owned())]);
}
