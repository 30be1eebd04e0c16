//! Retention from outside, and what is said of points whose backups are gone.

use crate::program::Program;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn said(value: &Value) -> (Option<u64>, Option<&str>) {
    (value["exit_code"].as_u64(), value["error"]["name"].as_str())
}

/// `(id, action)` of every point.
fn actions(value: &Value) -> Vec<(&str, &str)> {
    let points = value["points"].as_array().unwrap().iter();
    points.map(|point| (point["id"].as_str().unwrap(), point["action"].as_str().unwrap())).collect()
}

fn arns(program: &Program) -> BTreeSet<String> {
    program.backups().iter().map(|backup| backup["BackupArn"].as_str().unwrap().to_owned()).collect()
}

/// The ARNs that a point's script names, after every line was read as a shell reads it.
fn named(script: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in script.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words = shlex::split(line).unwrap_or_else(|| panic!("no shell reads {line}"));
        assert!(words[0] == "aws" || words[0].starts_with("BACKUP_"), "{line}");
        found.extend(words.into_iter().filter(|word| word.contains("/backup/")));
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn old_points_go_by_recorded_arn_whatever_dies_and_the_newest_good_one_stays() {
    let program = Program::with_lag(21, 60.0).await;
    let old = program.point("prepared").await;
    let of_old = arns(&program);
    let good = program.point("prepared").await;
    let of_good: BTreeSet<_> = arns(&program).difference(&of_old).cloned().collect();
    let young = program.point("recorded").await;
    let (name, _) = program.tables().into_iter().find(|(name, _)| name.starts_with("bank.")).unwrap();
    program.call("CreateBackup", json!({ "TableName": name, "BackupName": "safety" }));
    let all = arns(&program);

    let none = program.json(&["prune", "--yes"]).await;
    assert_eq!(said(&none), (Some(2), Some("no_retention")), "{none:#}");
    let changes = program.changes();
    let kept = program.json(&["prune", "--keep", "30d", "--yes"]).await;
    assert_eq!(said(&kept), (Some(0), None), "{kept:#}");
    assert!(actions(&kept).iter().all(|(_, action)| *action == "keep"), "{kept:#}");
    let dry = program.json(&["prune", "--keep-last", "1"]).await;
    let expected = [(old.as_str(), "would_prune"), (good.as_str(), "keep"), (young.as_str(), "keep")];
    assert_eq!(actions(&dry), expected, "{dry:#}");
    assert_eq!(
        (dry["dry_run"].as_bool(), dry["points"][0]["backups"].as_u64()),
        (Some(true), Some(of_old.len() as u64))
    );
    assert_eq!(program.changes(), changes, "nothing was touched so far");

    let words = ["prune", "--keep-last", "1", "--yes"];
    let denied = program.db().deny("DeleteBackup", "*");
    let refused = program.json(&words).await;
    assert_eq!(said(&refused), (Some(4), Some("permission_denied")), "{refused:#}");
    program.db().remove(denied);
    let mut kills = 0;
    for written in [1, 2, 3] {
        kills += usize::from(program.killed_after(&words, &old, written).await);
    }
    assert!(kills > 1, "{kills}");
    let status = program.json(&["status"]).await;
    assert_eq!(status["runs"][0]["kind"], "prune", "{status:#}");
    let busy = program.json(&["prepare", &old]).await;
    assert_eq!(said(&busy), (Some(4), Some("other_work")), "{busy:#}");
    assert!(busy["error"]["hint"].as_str().unwrap().contains("prune --yes"), "{busy:#}");
    let going = program.json(&["seal", &old]).await;
    assert_eq!(said(&going), (Some(6), Some("point_pruned")), "{going:#}");
    let done = program.json(&words).await;
    assert_eq!(said(&done), (Some(0), None), "{done:#}");
    assert_eq!(actions(&done)[0], (old.as_str(), "pruned"));
    assert_eq!(
        arns(&program),
        all.difference(&of_old).cloned().collect(),
        "only what was recorded for the old point went"
    );
    let again = program.json(&words).await;
    assert_eq!(actions(&again), [(good.as_str(), "keep"), (young.as_str(), "keep")]);
    for words in [&["seal", &old][..], &["prepare", &old], &["show", &old, "--runbook"]] {
        let gone = program.json(words).await;
        assert_eq!(said(&gone), (Some(6), Some("point_pruned")), "{words:?}: {gone:#}");
        assert!(gone["error"]["message"].as_str().unwrap().contains("retention removed"), "{gone:#}");
    }
    let shown = program.json(&["show", &old]).await;
    assert_eq!((shown["exit_code"].as_u64(), shown["state"].as_str()), (Some(0), Some("lost")));

    let script = program.json(&["show", &good, "--runbook"]).await["runbook"].as_str().unwrap().to_owned();
    assert_eq!(named(&script), of_good);
    let by_recovery = program.json(&["show", &young, "--runbook"]).await["runbook"].as_str().unwrap().to_owned();
    assert!(by_recovery.contains("restore-table-to-point-in-time") && named(&by_recovery).is_empty());

    // Somebody deletes a backup of the last good point.
    assert_eq!(said(&program.json(&["seal", &good]).await), (Some(0), None));
    let first = of_good.first().unwrap();
    program.call("DeleteBackup", json!({ "BackupArn": first }));
    for verb in ["seal", "prepare"] {
        let missing = program.json(&[verb, &good]).await;
        assert_eq!(said(&missing), (Some(6), Some("backup_missing")), "{missing:#}");
        assert!(missing["error"]["message"].as_str().unwrap().contains(first.as_str()), "{missing:#}");
        assert!(missing["error"]["hint"].as_str().unwrap().contains("--by-recovery"), "{missing:#}");
    }
    let without = program.json(&["show", &good, "--runbook", "--by-recovery"]).await;
    assert!(named(without["runbook"].as_str().unwrap()).is_empty());
    assert_eq!(said(&program.json(&["seal", &young, "--wait-timeout", "1m"]).await), (Some(0), None));
    let plan = program.json(&words[..3]).await;
    let kept = [(good.as_str(), "keep"), (young.as_str(), "keep")];
    assert_eq!(actions(&plan), kept, "what is only sealed lets no backups go: {plan:#}");
    assert_eq!(said(&program.json(&["prepare", &young]).await), (Some(0), None));
    let plan = program.json(&words[..3]).await;
    assert_eq!(actions(&plan), [(good.as_str(), "would_prune"), (young.as_str(), "keep")], "{plan:#}");
}
