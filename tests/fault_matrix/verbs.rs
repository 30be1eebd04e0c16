//! The verbs around a window: `pause`, `unpause`, `recover`, `status`, and two runs that meet.

use crate::rows::{Row, row};
use crate::steps::{all_closed, arrivals, held, steps};
use crate::support::{Running, Setup, Stage, proc, until, violations};
use crate::verdict::{self, SOON};
use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;
use stillpoint_sandbox::pods::{Action, Fault, Method, Trigger, mono_ns};

pub fn rows() -> Vec<Row> {
    vec![
        row("pause is over when its time is over", pause_ends_by_itself),
        row("unpause ends a pause before its time", unpause_ends_a_pause),
        row("a pause whose guard is killed is ended by recover", |seed| orphaned_pause(seed, "recover")),
        row("a pause whose guard is killed is ended by unpause", |seed| orphaned_pause(seed, "unpause")),
        row("SIGTERM to the guard of a pause releases", |seed| signalled_guard(seed, Signal::TERM)),
        row("a pause that one pod does not answer releases all", failed_pause),
        row("unpause respects a living window", |seed| unpause_a_window(seed, false)),
        row("unpause --force voids a living window", |seed| unpause_a_window(seed, true)),
        row("recover leaves a living window alone", recover_a_living_window),
        row("recover with nothing to do", nothing_to_recover),
        row("status tells of a living window", status_of_a_window),
        row("check without a database looks at pods and catalog", check_without_database),
        row("two create at once, one state folder", |seed| two_creates(seed, false)),
        row("two create at once, two state folders", |seed| two_creates(seed, true)),
        row("create while a pause is on", create_in_a_pause),
        row("unpause without a note opens the targets", unpause_without_note),
        row("a window's log names only commands and events with rows", known_names),
    ]
}

async fn check_without_database(seed: u64) {
    let stage = Stage::start(Setup::new(seed).quiet()).await;
    let whole = std::fs::read_to_string(stage.path("stillpoint.toml")).unwrap();
    let (targets, _) = whole.split_once("[[database]]").unwrap();
    std::fs::write(stage.path("stillpoint.toml"), targets).unwrap();
    let ended = stage.run(&["check"]).await.expect(0);
    let states: BTreeSet<&str> =
        ended.json["pods"].as_array().unwrap().iter().map(|pod| pod["state"].as_str().unwrap()).collect();
    assert_eq!(states, BTreeSet::from(["open"]), "{:#}", ended.json);
    assert!(ended.json["warnings"][0].as_str().unwrap().contains("`create` needs a [[database]]"), "{:#}", ended.json);
    // What it says of `create` is so, and what is wrong with a pod is told all the same.
    assert_eq!(stage.run(&["create"]).await.expect(2).json["error"]["name"], "no_database");
    stage.pods()[1].set(Fault::now(Action::Die));
    stage.run(&["check"]).await.expect(4);
    // A database that is there but broken is no database that is missing.
    std::fs::write(stage.path("stillpoint.toml"), format!("{targets}[[database]]\nname = \"d\"\n")).unwrap();
    stage.run(&["check"]).await.expect(2);
}

async fn paused(seed: u64, length: &str) -> (Stage, u64) {
    let stage = Stage::start(Setup::new(seed)).await;
    let ended = stage.run(&["pause", "--for", length]).await.expect(0);
    let states: BTreeSet<&str> =
        ended.json["pods"].as_array().unwrap().iter().map(|pod| pod["state"].as_str().unwrap()).collect();
    assert_eq!(states, BTreeSet::from(["paused"]), "{:#}", ended.json);
    all_closed(&stage).await;
    (stage, ended.at_ns)
}

async fn window(seed: u64) -> (Stage, Running) {
    let stage = Stage::start(Setup::new(seed)).await;
    let running = stage.start_command(&["create"], &[]);
    held(&stage).await;
    (stage, running)
}

async fn no_notes(stage: &Stage) {
    let status = stage.run(&["status"]).await.expect(0);
    assert_eq!(status.json["notes"].as_array().map(Vec::len), Some(0), "{:#}", status.json);
}

async fn pause_ends_by_itself(seed: u64) {
    let (stage, from) = paused(seed, "3s").await;
    let status = stage.run(&["status"]).await.expect(0);
    assert_eq!(status.json["notes"][0]["pods"][0]["state"], "paused", "{:#}", status.json);
    assert_eq!(status.json["notes"][0]["guard_pid"], stage.living_guards()[0], "{:#}", status.json);
    until("all gates are open again", || stage.pods().iter().all(|pod| pod.is_open())).await;
    let least = Duration::from_millis(2_000).as_nanos() as u64;
    assert!(mono_ns() > from + least, "the guard keeps them paused as long as was asked");
    verdict::open_within(&stage, from + 3_000_000_000, SOON);
    until("the guard is gone", || stage.living_guards().is_empty()).await;
    no_notes(&stage).await;
}

async fn unpause_ends_a_pause(seed: u64) {
    let (stage, _) = paused(seed, "15s").await;
    let asked = mono_ns();
    stage.run(&["unpause"]).await.expect(0);
    verdict::open_within(&stage, asked, 2 * SOON);
    no_notes(&stage).await;
}

async fn orphaned_pause(seed: u64, verb: &'static str) {
    let (stage, _) = paused(seed, "15s").await;
    let guard = stage.living_guards()[0];
    proc::signal(guard, Signal::KILL);
    until("the guard is dead", || !proc::is_alive(guard)).await;
    let asked = mono_ns();
    stage.run(&[verb]).await.expect(0);
    verdict::open_within(&stage, asked, 2 * SOON);
    no_notes(&stage).await;
}

async fn signalled_guard(seed: u64, signal: Signal) {
    let (stage, _) = paused(seed, "15s").await;
    let asked = mono_ns();
    proc::signal(stage.living_guards()[0], signal);
    until("the guard is gone", || stage.living_guards().is_empty()).await;
    verdict::open_within(&stage, asked, SOON);
    no_notes(&stage).await;
}

async fn failed_pause(seed: u64) {
    let stage = Stage::start(Setup::new(seed)).await;
    stage.plant(1, Fault::on(Trigger::nth(Method::Pause, 1), Action::Hang));
    let ended = stage.run(&["pause", "--for", "10s"]).await.expect(1);
    assert_eq!(violations(&ended.json), ["PauseUnanswered"]);
    verdict::all_open_in_time(&stage);
    no_notes(&stage).await;
}

async fn unpause_a_window(seed: u64, force: bool) {
    let (stage, running) = window(seed).await;
    if force {
        stage.run(&["unpause", "--force"]).await.expect(0);
        let ended = running.end().await.expect(1);
        let names = violations(&ended.json);
        assert!(names.iter().any(|name| name == "OpenedEarly" || name == "Cancelled"), "{names:?}");
        verdict::create_ended(&stage, &ended).await;
        return;
    }
    let refused = stage.run(&["unpause"]).await.expect(4);
    let message = refused.json["error"]["message"].as_str().unwrap();
    assert!(message.contains(&running.pid().to_string()), "{message}");
    let ended = running.end().await.expect(0);
    verdict::create_ended(&stage, &ended).await;
}

async fn recover_a_living_window(seed: u64) {
    let (stage, running) = window(seed).await;
    stage.run(&["recover"]).await.expect(0);
    let ended = running.end().await.expect(0);
    verdict::create_ended(&stage, &ended).await;
}

async fn nothing_to_recover(seed: u64) {
    let stage = Stage::start(Setup::new(seed)).await;
    stage.run(&["recover"]).await.expect(0);
    assert!(verdict::closed(&stage.sandbox.logs()).is_empty());
    assert!(stage.pods().iter().all(|pod| pod.log().calls(Method::Unpause) == 0), "nothing to release, nothing sent");
}

async fn status_of_a_window(seed: u64) {
    let (stage, running) = window(seed).await;
    let guard = running.guard().await;
    let status = stage.run(&["status"]).await.expect(0).json;
    let note = &status["notes"][0];
    assert_eq!((&note["owner_pid"], &note["guard_pid"]), (&running.pid().into(), &guard.into()), "{status:#}");
    let names: Vec<&str> = note["pods"].as_array().unwrap().iter().map(|pod| pod["name"].as_str().unwrap()).collect();
    assert_eq!(names, stage.sandbox.addresses());
    assert!(chrono::DateTime::parse_from_rfc3339(note["deadline"].as_str().unwrap()).is_ok());
    assert_eq!(status["locks"].as_array().map(Vec::len), Some(1), "{status:#}");
    assert_eq!(status["runs"], Value::Array(Vec::new()));
    let ended = running.end().await.expect(0);
    assert_eq!(note["id"], ended.json["id"]);
    verdict::create_ended(&stage, &ended).await;
    let status = stage.run(&["status"]).await.expect(0).json;
    assert_eq!((&status["notes"], &status["locks"]), (&Value::Array(Vec::new()), &Value::Array(Vec::new())));
}

async fn two_creates(seed: u64, apart: bool) {
    let (stage, first) = window(seed).await;
    let other = stage.path("other-state").display().to_string();
    let words: &[&str] = if apart { &["create", "--state-dir", &other] } else { &["create"] };
    let second = stage.run(words).await.expect(4);
    assert!(second.json["error"]["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{:#}", second.json);
    let ended = first.end().await.expect(0);
    verdict::create_ended(&stage, &ended).await;
    assert_eq!(verdict::points(&stage).await.len(), 1);
}

async fn create_in_a_pause(seed: u64) {
    let (stage, _) = paused(seed, "12s").await;
    let closed = verdict::closed(&stage.sandbox.logs()).len();
    let refused = stage.run(&["create"]).await.expect(4);
    assert_eq!(refused.json["error"]["name"], "window_open", "{:#}", refused.json);
    assert_eq!(verdict::closed(&stage.sandbox.logs()).len(), closed, "nothing was touched");
    stage.run(&["unpause"]).await.expect(0);
    verdict::all_open_in_time(&stage);
}

async fn unpause_without_note(seed: u64) {
    let stage = Stage::start(Setup::new(seed)).await;
    stage.plant(1, Fault::now(Action::ForeignPause { after_ms: 0 }));
    until("the stranger's pause", || !stage.pods()[1].is_open()).await;
    let refused = stage.run(&["create"]).await.expect(4);
    assert_eq!(refused.json["pods"][1]["state"], "paused_by_other", "{:#}", refused.json);
    let address = stage.sandbox.addresses()[1].clone();
    stage.run(&["unpause", "--address", &address]).await.expect(0);
    assert!(stage.pods()[1].is_open());
    stage.plant(1, Fault::now(Action::ForeignPause { after_ms: 0 }));
    until("the stranger's second pause", || !stage.pods()[1].is_open()).await;
    stage.run(&["unpause"]).await.expect(0);
    assert!(stage.pods().iter().all(|pod| pod.is_open()));
}

async fn known_names(seed: u64) {
    let stage = Stage::start(Setup::new(seed)).await;
    let ended = stage.run(&["create"]).await.expect(0);
    let known: BTreeSet<&str> =
        steps().iter().map(|step| step.name).chain(arrivals().iter().map(|arrival| arrival.name)).collect();
    let lines = ended.stderr.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let named: BTreeSet<String> = lines
        .filter(|line| line["mono_ns"].is_u64())
        .filter_map(|line| Some(line["event"].as_str()?.to_owned()))
        .collect();
    assert!(named.contains("Pause") && named.contains("CheckedRelease"), "{named:?}");
    let unknown: Vec<&String> = named.iter().filter(|name| !known.contains(name.as_str())).collect();
    assert!(unknown.is_empty(), "no rows for {unknown:?}");
    verdict::create_ended(&stage, &ended).await;
}
