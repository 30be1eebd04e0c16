//! `restore` from outside: the program against a sandbox over the wire, killed, doubled, aborted, refused.

// Helpers of tests end the test that they cannot help; not every helper of `prepare`'s tests is needed here.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, dead_code)]

mod disaster;
mod duties;
#[path = "../prepare/program.rs"]
mod program;

use disaster::{Disaster, stop_pods};
use program::Program;
use serde_json::Value;

/// Exit code and error name.
fn end(point: &Value) -> (u64, &str) {
    (point["exit_code"].as_u64().unwrap(), point["error"]["name"].as_str().unwrap_or_default())
}

async fn prepared(program: &Program) -> String {
    program.point("prepared").await
}

fn sets(point: &Value) -> &Vec<Value> {
    point["databases"][0]["data_sets"].as_array().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn killed_again_and_again_restore_goes_on_and_every_table_is_as_it_was() {
    let program = Program::start(21).await;
    let good = Disaster::data(&program);
    let id = prepared(&program).await;
    stop_pods(&program).await;
    Disaster::strike(&program);
    assert_ne!(Disaster::data(&program), good);
    let restore = ["restore", id.as_str(), "--yes-restore", id.as_str()];
    let mut kills = 0;
    for written in (1..).step_by(3).take(6) {
        if program.killed_after(&restore, &id, written).await {
            kills += 1;
        }
    }
    assert!(kills > 3, "{kills}");
    let done = program.json(&restore).await;
    assert_eq!(end(&done), (0, ""), "{done:#}");
    assert_eq!(done["state"], "prepared", "its backups are still there");
    assert_eq!(Disaster::data(&program), good);
    for set in sets(&done) {
        assert_eq!(set["state"], "restored", "{set:#}");
        assert!(set["reason"].as_str().unwrap().starts_with("restored from arn:"), "{set:#}");
    }
    let before: Vec<_> = program.backups().into_iter().filter(disaster::is_safety).collect();
    assert_eq!(before.len(), sets(&done).len() - 1, "one for each table but the one that was dropped: {before:#?}");
    for backup in &before {
        let arn = backup["BackupArn"].as_str().unwrap();
        assert!(sets(&done).iter().any(|set| set["reason"].as_str().unwrap().contains(arn)), "{arn} is not named");
    }
    assert!(program.tables().keys().all(|name| !name.starts_with("rp-")));
    let differs: Vec<_> =
        done["warnings"].as_array().unwrap().iter().filter(|w| w.to_string().contains("differs")).collect();
    assert!(differs.is_empty(), "{differs:#?}");
    let again = program.json(&restore).await;
    assert_eq!(end(&again), (4, "data_set_state"), "{again:#}");
    assert!(again["error"]["hint"].as_str().unwrap().contains("--accept-recreated"), "{again:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_at_once_one_works_and_what_was_begun_can_be_put_back() {
    let program = Program::start(22).await;
    let (first, second) = (prepared(&program).await, prepared(&program).await);
    stop_pods(&program).await;
    Disaster::strike(&program);
    let struck = Disaster::data(&program);
    let restore = ["restore", first.as_str(), "--yes-restore", first.as_str()];
    let short = ["restore", first.as_str(), "--yes-restore", first.as_str(), "--wait-timeout", "2s"];
    let (begun, twice) = tokio::join!(program.json(&short), async {
        program.written(&first, |names| names.iter().filter(|name| *name == "work_held").count() > 1).await;
        let status = program.json(&["status"]).await;
        assert_eq!(status["runs"][0]["kind"], "restore", "{status:#}");
        program.json(&restore).await
    });
    assert_eq!(end(&begun), (5, "still_restoring"), "{begun:#}");
    assert_eq!(end(&twice), (4, "work_held"), "{twice:#}");
    assert!(sets(&begun).iter().any(|set| set["state"] == "restoring"), "{begun:#}");

    let other = program.json(&["restore", &second, "--yes-restore", &second]).await;
    assert_eq!(end(&other), (4, "other_restore"), "{other:#}");
    assert!(other["error"]["message"].as_str().unwrap().contains(&first), "{other:#}");
    let prepare = program.json(&["prepare", &first, "--abort"]).await;
    assert_eq!(end(&prepare), (4, "other_work"), "{prepare:#}");

    let aborted = program.json(&["restore", &first, "--abort"]).await;
    assert_eq!(end(&aborted), (0, ""), "{aborted:#}");
    assert_eq!(aborted["state"], "prepared");
    assert_eq!(Disaster::data(&program), struck);
    assert!(sets(&aborted).iter().all(|set| set["state"] == "prepared"), "{aborted:#}");
    // Which backups there are is still said, also of a restore that was undone.
    let shown = program.json(&["show", &first]).await;
    let said: Vec<_> = sets(&shown).iter().map(|set| set["reason"].as_str().unwrap()).collect();
    assert!(said.iter().all(|reason| reason.starts_with("prepared: arn:")), "{said:#?}");
    for backup in program.backups().iter().filter(|backup| disaster::is_safety(backup)) {
        let arn = backup["BackupArn"].as_str().unwrap();
        assert!(
            said.iter().any(|reason| reason.contains("a restore was undone: ") && reason.contains(arn)),
            "{said:#?}"
        );
    }
    let nothing = program.json(&["restore", &first, "--abort"]).await;
    assert_eq!(end(&nothing), (4, "nothing_to_abort"), "{nothing:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_replaced_while_pods_run_or_nobody_has_said_yes() {
    let program = Program::start(23).await;
    let id = prepared(&program).await;
    let sealed = program.sealed().await;
    let begun = program.json(&["prepare", &sealed, "--wait-timeout", "1s"]).await;
    assert_eq!(end(&begun), (5, "still_preparing"), "{begun:#}");
    let restore = ["restore", id.as_str(), "--yes-restore", id.as_str()];
    let breaks = program.json(&["restore", &id, "--yes-restore", &id, "--pods-are-stopped"]).await;
    assert_eq!(end(&breaks), (4, "other_work"), "{breaks:#}");
    let message = breaks["error"]["message"].as_str().unwrap();
    assert!(message.contains(&sealed) && message.contains("history of the tables"), "{breaks:#}");
    let given_up = program.json(&["prepare", &sealed, "--abort"]).await;
    assert_eq!((end(&given_up), &given_up["state"]), ((0, ""), &Value::from("sealed")), "{given_up:#}");
    let tables = program.tables();
    let running = program.json(&restore).await;
    assert_eq!(end(&running), (4, "pods_running"), "{running:#}");
    assert!(running["error"]["message"].as_str().unwrap().contains(&program.sandbox().addresses()[0]), "{running:#}");
    assert!(running["error"]["hint"].as_str().unwrap().contains("--pods-are-stopped"), "{running:#}");
    stop_pods(&program).await;

    let unconfirmed = program.json(&["restore", &id]).await;
    assert_eq!(end(&unconfirmed), (4, "not_confirmed"), "{unconfirmed:#}");
    let plan = |point: &Value| sets(point).iter().all(|set| set["reason"].as_str().unwrap().contains("would be"));
    assert!(plan(&unconfirmed), "{unconfirmed:#}");
    let wrong = program.json(&["restore", &id, "--yes-restore", "manual-20261123T030000Z-aaaa"]).await;
    assert_eq!(end(&wrong), (4, "not_confirmed"), "{wrong:#}");

    let dry = program.json(&["restore", &id, "--dry-run"]).await;
    assert_eq!(end(&dry), (0, ""), "{dry:#}");
    assert!(plan(&dry), "{dry:#}");
    let ends = |warning: &Value| {
        warning.as_str().is_some_and(|text| text.contains("end with the history") && text.contains(&sealed))
    };
    assert!(dry["warnings"].as_array().unwrap().iter().any(ends), "what would be lost is named: {dry:#}");
    let (code, _, told) = program.text(&["restore", &id, "--dry-run", "--no-safety-backup"]).await;
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("would be deleted (TableId") && told.contains("$DeletedTableBackup"), "{told}");
    assert!(!told.contains("would be backed up"), "{told}");
    assert_eq!(program.tables(), tables);
    assert_eq!(program.backups().iter().filter(|backup| disaster::is_safety(backup)).count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pods_that_come_back_meanwhile_stop_it_before_a_table_is_deleted() {
    let program = Program::start(24).await;
    let id = prepared(&program).await;
    stop_pods(&program).await;
    let (tables, address) = (program.tables(), disaster::nobodys_address());
    let toml = std::fs::read_to_string(program.config()).unwrap();
    let toml = toml.replace(&program.sandbox().addresses()[0], &address);
    std::fs::write(program.config(), toml).unwrap();
    // No table can go before somebody has started a pod; the coordinator's and the metadata go last.
    let held = disaster::hold_safety_backups(&program);
    let restore = ["restore", id.as_str(), "--yes-restore", id.as_str()];
    let (stopped, answers) = tokio::join!(program.json(&restore), async {
        let restoring = |names: &[String]| names.iter().rposition(|name| name == "run_started").unwrap();
        let begun = |names: &[String]| names[restoring(names)..].iter().any(|name| name == "unit_intent");
        let twice = |names: &[String]| names.iter().filter(|name| *name == "run_started").count() == 2;
        program.written(&id, |names| twice(names) && begun(names)).await;
        let answers = disaster::answer_at(&address).await;
        program.db().remove(held);
        answers
    });
    assert_eq!(end(&stopped), (1, "pods_running"), "{stopped:#}");
    assert!(stopped["error"]["message"].as_str().unwrap().contains(&address), "{stopped:#}");
    assert_eq!(program.tables(), tables, "no table is another than before");
    let still = program.json(&restore).await;
    assert_eq!(end(&still), (4, "pods_running"), "{still:#}");
    answers.abort();
    let on = program.json(&["restore", &id, "--yes-restore", &id, "--pods-are-stopped"]).await;
    assert_eq!(end(&on), (0, ""), "{on:#}");
    assert!(program.tables().iter().all(|(name, table_id)| tables[name] != *table_id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_cannot_be_restored_is_refused_with_what_to_do() {
    let program = Program::with_lag(25, 1_200.0).await;
    let unknown = program.json(&["restore", "manual-20261123T030000Z-aaaa"]).await;
    assert_eq!(end(&unknown), (4, "not_found"), "{unknown:#}");
    let early = program.point("recorded").await;
    let refused = program.json(&["restore", &early, "--yes-restore", &early]).await;
    assert_eq!(end(&refused), (5, "not_sealed"), "{refused:#}");
    assert!(refused["error"]["message"].as_str().unwrap().contains("expected by"), "{refused:#}");
    let sealed = program.sealed().await;
    let refused = program.json(&["restore", &sealed, "--yes-restore", &sealed]).await;
    assert_eq!(end(&refused), (4, "not_prepared"), "{refused:#}");
    assert!(refused["error"]["hint"].as_str().unwrap().contains("stillpoint prepare"), "{refused:#}");
    disaster::toggle_recovery(&program);
    let lost = program.json(&["restore", &early, "--yes-restore", &early]).await;
    assert_eq!(end(&lost), (6, "point_lost"), "{lost:#}");
    let nothing = program.json(&["restore", &sealed, "--abort"]).await;
    assert_eq!(end(&nothing), (4, "nothing_to_abort"), "{nothing:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_missing_backup_a_denied_action_and_a_table_made_anew_are_told_together() {
    let program = Program::start(26).await;
    let id = prepared(&program).await;
    stop_pods(&program).await;
    let gone = program.backups()[0]["BackupArn"].clone();
    program.call("DeleteBackup", serde_json::json!({ "BackupArn": gone }));
    let tables = program.tables();
    let denied = program.db().deny("RestoreTableFromBackup", "*");
    let refused = program.json(&["restore", &id, "--yes-restore", &id]).await;
    assert_eq!(refused["exit_code"], 4, "{refused:#}");
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.contains(gone.as_str().unwrap()) && message.contains("is gone"), "{refused:#}");
    assert!(refused["error"]["hint"].as_str().unwrap().contains("dynamodb:RestoreTableFromBackup"), "{refused:#}");
    program.db().remove(denied);
    assert_eq!(program.tables(), tables);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_can_no_longer_be_undone_is_finished_by_the_command_without_abort() {
    let program = Program::start(27).await;
    let good = Disaster::data(&program);
    let id = prepared(&program).await;
    stop_pods(&program).await;
    Disaster::strike(&program);
    // Tables go, and none comes: whether a call has acted is not known.
    let broken = disaster::no_restore_is_answered(&program);
    let restore = ["restore", id.as_str(), "--yes-restore", id.as_str()];
    let begun = program.json(&[&restore[..], &["--wait-timeout", "12s"]].concat()).await;
    assert_eq!(end(&begun), (5, "still_restoring"), "{begun:#}");
    assert!(program.tables().keys().all(|name| !name.starts_with("bank.")), "{begun:#}");
    let turned = program.json(&["restore", &id, "--abort", "--wait-timeout", "3s"]).await;
    assert_eq!(end(&turned), (5, "still_restoring"), "{turned:#}");
    let still = program.json(&restore).await;
    assert_eq!(end(&still), (4, "aborting"), "it can still be undone: {still:#}");
    for safety in program.backups().into_iter().filter(disaster::is_safety) {
        program.call("DeleteBackup", serde_json::json!({ "BackupArn": safety["BackupArn"] }));
    }
    program.db().remove(broken);
    let stuck = program.json(&["restore", &id, "--abort"]).await;
    assert_eq!(end(&stuck), (1, "data_set_state"), "{stuck:#}");
    assert!(stuck["error"]["hint"].as_str().unwrap().contains("without --abort"), "{stuck:#}");
    let done = program.json(&restore).await;
    assert_eq!(end(&done), (0, ""), "{done:#}");
    assert_eq!(Disaster::data(&program), good);
}
