//! Catalog and cloud are out of reach while a window is open: release works all the same, and nothing is called good.

use crate::rows::{Row, row};
use crate::steps::{Gates, Scene, Step, steps};
use crate::support::{Running, Setup, Stage, proc, until, violations};
use crate::verdict::{self, SOON};
use rustix::process::Signal;

pub fn rows() -> Vec<Row> {
    let sent = steps().into_iter().filter(|s| s.scene == Scene::Create && s.gates >= Gates::Closing);
    let rows = sent.flat_map(|step| {
        let name = step.name;
        [
            row(format!("before:{name}, it goes on"), move |seed| goes_on(step, seed)),
            row(format!("before:{name}, create is killed"), move |seed| create_killed(step, seed)),
        ]
    });
    let rows = rows.chain(
        ["create", "recover", "unpause"]
            .map(|next| row(format!("both killed, then {next}"), move |seed| both_killed(next, seed))),
    );
    rows.chain([
        row("the note cannot be written to the catalog", |seed| no_note(seed, false)),
        row("the note cannot be written to the state folder", |seed| no_note(seed, true)),
        row("the state folder is gone, it goes on", |seed| without_state(seed, false)),
        row("the state folder is gone, create is killed", |seed| without_state(seed, true)),
        row("only the cloud is out of reach", cloud_alone),
    ])
    .collect()
}

/// A file stands where the folder was: rights do not keep a test out that runs as root.
fn hide(stage: &Stage, folder: &str) {
    std::fs::rename(stage.path(folder), stage.path(&format!("{folder}.away"))).unwrap();
    std::fs::write(stage.path(folder), "not a folder").unwrap();
}

fn bring_back(stage: &Stage, folder: &str) {
    std::fs::remove_file(stage.path(folder)).unwrap();
    std::fs::rename(stage.path(&format!("{folder}.away")), stage.path(folder)).unwrap();
}

fn cut(stage: &Stage) {
    hide(stage, "catalog");
    stage.sandbox.dynamodb().unreachable(true);
}

fn mend(stage: &Stage) {
    bring_back(stage, "catalog");
    stage.sandbox.dynamodb().unreachable(false);
}

async fn stopped_at(place: &str, seed: u64) -> (Stage, Running) {
    let stage = Stage::start(Setup::new(seed)).await;
    let fault = format!("stop@{place}");
    let mut running = stage.start_command(&["create"], &[("STILLPOINT_FAULT", &fault)]);
    running.stopped().await;
    (stage, running)
}

/// With everything in reach again, the window that could not be recorded is, as void.
async fn void_after_all(stage: &Stage) {
    mend(stage);
    stage.run(&["recover"]).await.expect(0);
    verdict::all_open_in_time(stage);
    let points = verdict::points(stage).await;
    assert_eq!(points.len(), 1);
    assert_eq!(points[0]["state"], "void", "{:#}", points[0]);
}

async fn goes_on(step: Step, seed: u64) {
    let (stage, running) = stopped_at(&format!("before:{}:1", step.name), seed).await;
    cut(&stage);
    running.go_on();
    let ended = running.end().await.expect(1);
    assert_eq!(ended.json["verdict"], "void", "{:#}", ended.json);
    verdict::all_open_in_time(&stage);
    void_after_all(&stage).await;
}

async fn create_killed(step: Step, seed: u64) {
    let (stage, running) = stopped_at(&format!("before:{}:1", step.name), seed).await;
    cut(&stage);
    running.signal(Signal::KILL);
    let dead = running.end().await.expect_killed();
    until("the guard has released and gone", || stage.living_guards().is_empty()).await;
    tokio::time::sleep(SOON).await;
    verdict::open_within(&stage, dead.at_ns, SOON);
    void_after_all(&stage).await;
}

async fn both_killed(next: &'static str, seed: u64) {
    let (stage, running) = stopped_at("before:CheckHold:1", seed).await;
    cut(&stage);
    let guard = running.guard().await;
    proc::signal(guard, Signal::KILL);
    until("the guard is dead", || !proc::is_alive(guard)).await;
    running.signal(Signal::KILL);
    running.end().await.expect_killed();
    // `create` releases, and is then refused a window of its own.
    let expected = if next == "create" { 4 } else { 0 };
    stage.run(&[next]).await.expect(expected);
    verdict::all_open_in_time(&stage);
    void_after_all(&stage).await;
}

async fn no_note(seed: u64, local: bool) {
    let (stage, running) = stopped_at("before:WriteNote", seed).await;
    let folder = if local { "state" } else { "catalog" };
    hide(&stage, folder);
    running.go_on();
    let ended = running.end().await.expect(4);
    assert_eq!(ended.json["error"]["name"], "note_unwritable", "{:#}", ended.json);
    assert!(verdict::closed(&stage.sandbox.logs()).is_empty(), "nothing was paused");
    bring_back(&stage, folder);
    let status = stage.run(&["status"]).await.expect(0);
    assert_eq!(status.json["notes"].as_array().map(Vec::len), Some(0), "{:#}", status.json);
    let again = stage.run(&["create"]).await.expect(0);
    verdict::agree(&stage, &again).await;
}

async fn without_state(seed: u64, killed: bool) {
    let (stage, running) = stopped_at("before:CheckHold:1", seed).await;
    hide(&stage, "state");
    if killed {
        running.signal(Signal::KILL);
        let dead = running.end().await.expect_killed();
        tokio::time::sleep(SOON).await;
        verdict::open_within(&stage, dead.at_ns, SOON);
        bring_back(&stage, "state");
        stage.run(&["recover"]).await.expect(0);
        assert_eq!(verdict::points(&stage).await[0]["state"], "void");
        return;
    }
    running.go_on();
    let ended = running.end().await.expect(0);
    bring_back(&stage, "state");
    verdict::create_ended(&stage, &ended).await;
}

async fn cloud_alone(seed: u64) {
    let (stage, running) = stopped_at("before:CheckHold:1", seed).await;
    stage.sandbox.dynamodb().unreachable(true);
    running.go_on();
    let ended = running.end().await.expect(1);
    assert!(violations(&ended.json).contains(&"ClockUnsure".to_owned()), "{:#}", ended.json);
    verdict::create_ended(&stage, &ended).await;
}
