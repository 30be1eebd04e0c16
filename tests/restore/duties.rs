//! Every command over the wire with credentials that have the policy of its duty, and with those of other duties.

use super::disaster::{Disaster, stop_pods};
use super::end;
use super::program::Program;
use serde_json::Value;

const DUTIES: [&str; 5] = ["backup", "restore", "verify", "drill", "prune"];

/// What the command prints, which did what it was for.
async fn does(program: &Program, duty: &str, words: &[&str]) -> Value {
    let answer = program.json_as(duty, words).await;
    assert_eq!(end(&answer), (0, ""), "{words:?} under {duty}.json: {answer:#}");
    answer
}

async fn point(program: &Program, wait: &str) -> String {
    does(program, "backup", &["create", "--wait", wait]).await["id"].as_str().unwrap().to_owned()
}

/// Refused before anything is touched, with the action to allow, and on what.
async fn may_not(program: &Program, duty: &str, words: &[&str], action: &str) {
    let answer = program.json_as(duty, words).await;
    assert_eq!(end(&answer), (4, "permission_denied"), "{words:?} under {duty}.json: {answer:#}");
    let hint = answer["error"]["hint"].as_str().unwrap();
    let suffices = format!("has every right that `{}` needs", words[0]);
    assert!(
        hint.contains(action) && hint.contains(" on ") && hint.contains("deploy/iam/") && hint.ends_with(&suffices),
        "{words:?} under {duty}.json: {answer:#}"
    );
}

/// What one duty's identity is asked for and another's duty is, does not go.
async fn none_does_anothers(program: &Program, asked: &[(&str, &[&str], &str)]) {
    let before = (program.tables(), program.backups());
    for (duty, words, action) in asked {
        may_not(program, duty, words, action).await;
    }
    assert_eq!((program.tables(), program.backups()), before);
}

async fn drilled(program: &Program, id: &str, source: &str) {
    let before = program.tables();
    let drilled = does(program, "drill", &["drill", id]).await;
    assert_eq!(drilled["drill"]["source"], source);
    assert_eq!(drilled["drill"]["verify"]["sound"], true, "{drilled:#}");
    assert_eq!(program.tables(), before, "no copy is left");
}

/// A point's tables can be restored soon after it; every duty's identity has its own policy.
async fn with_duties(seed: u64) -> Program {
    let program = Program::with_lag(seed, 60.0).await;
    for duty in DUTIES {
        program.bind(duty, duty);
    }
    program
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn points_are_made_drilled_prepared_and_pruned_each_under_its_own_policy_and_none_anothers() {
    let program = with_duties(27).await;
    does(&program, "backup", &["check"]).await;
    let old = point(&program, "sealed").await;
    let (create, prepare, drill) = (["create"], ["prepare", &old], ["drill", &old]);
    let asked: [(_, &[&str], _); 8] = [
        ("verify", &create, "dynamodb:ListTables"),
        ("drill", &create, "dynamodb:Scan"),
        ("prune", &create, "dynamodb:Scan"),
        ("restore", &prepare, "dynamodb:RestoreTableToPointInTime"),
        ("drill", &prepare, "dynamodb:BatchWriteItem"),
        ("backup", &drill, "dynamodb:BatchWriteItem"),
        ("restore", &drill, "dynamodb:RestoreTableToPointInTime"),
        ("verify", &drill, "dynamodb:DescribeContinuousBackups"),
    ];
    none_does_anothers(&program, &asked).await;
    drilled(&program, &old, "point_in_time").await;
    does(&program, "backup", &prepare).await;

    let olds = program.backups();
    point(&program, "prepared").await;
    let prune = ["prune", "--keep-last", "1", "--yes"];
    let asked: [(_, &[&str], _); 2] =
        [("drill", &prune, "dynamodb:DeleteBackup"), ("restore", &prune, "dynamodb:DeleteBackup")];
    none_does_anothers(&program, &asked).await;
    let pruned = does(&program, "prune", &prune).await;
    let first = &pruned["points"][0];
    assert_eq!((first["id"].as_str(), first["action"].as_str()), (Some(old.as_str()), Some("pruned")), "{pruned:#}");
    let left = program.backups();
    assert!(
        left.len() == olds.len() && left.iter().all(|backup| !olds.contains(backup)),
        "the newer point's: {left:#?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_point_is_restored_taken_back_and_verified_each_under_its_own_policy_and_none_anothers() {
    let program = with_duties(28).await;
    let good = Disaster::data(&program);
    let id = point(&program, "prepared").await;
    let restore = ["restore", id.as_str(), "--yes-restore", id.as_str(), "--pods-are-stopped"];
    let verify = ["verify", id.as_str(), "--read-units", "500"];
    let asked: [(_, &[&str], _); 5] = [
        ("backup", &restore, "dynamodb:UpdateTable"),
        ("drill", &restore, "dynamodb:CreateBackup"),
        ("prune", &restore, "dynamodb:RestoreTableFromBackup"),
        ("backup", &verify, "dynamodb:Scan"),
        ("prune", &verify, "dynamodb:Scan"),
    ];
    none_does_anothers(&program, &asked).await;
    drilled(&program, &id, "backups").await;

    stop_pods(&program).await;
    Disaster::strike(&program);
    let short = ["restore", id.as_str(), "--yes-restore", id.as_str(), "--wait-timeout", "2s"];
    assert_eq!(end(&program.json_as("restore", &short).await), (5, "still_restoring"));
    does(&program, "restore", &["restore", &id, "--abort"]).await;
    let restored = does(&program, "restore", &[&restore[..], &["--accept-recreated"]].concat()).await;
    assert_eq!(Disaster::data(&program), good, "{restored:#}");
    let told = restored["warnings"].to_string();
    assert!(!told.contains("IAM action") && !told.contains("differs"), "{told}");
    let verified = does(&program, "verify", &verify).await;
    assert_eq!(verified["verify"]["sound"], true, "{verified:#}");
}
