//! The Lease of a release: runs meet in it whatever their catalogs, and what a dead one left is released by its note.
//!
//! "Another node" is another PID namespace with a folder of its own: nothing there tells whether the first run lives.

use crate::bed::Bed;
use crate::play::Play;
use crate::rows::{Row, row};
use crate::support::{Ended, until};
use crate::waited;
use futures::future::BoxFuture;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use rustix::process::Signal;
use serde_json::Value;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stillpoint_sandbox::pods::{Action, Fault, Method, Trigger};
use tokio::process::Command;

type Story = fn(Arc<Bed>) -> BoxFuture<'static, ()>;

pub fn rows(bed: &Arc<Bed>) -> Vec<Row> {
    let stories: [(&str, Story); 12] = [
        ("a Lease is held with its note while pods are paused and free afterwards", |bed| Box::pin(held(bed))),
        ("a Lease that was taken by another voids the window", |bed| Box::pin(taken(bed))),
        ("a second run with another catalog is refused", |bed| Box::pin(refused(bed))),
        ("another node releases once the Lease is stale", |bed| Box::pin(another_node(bed))),
        ("all processes killed and the state folder gone: the next run releases first", |bed| Box::pin(gone(bed))),
        ("another node makes its point over a dead one's lock", |bed| Box::pin(over_the_lock(bed))),
        ("a window alone keeps another one on another node out", |bed| Box::pin(window_only_refused(bed))),
        ("a window alone that died is released by another node, which goes on", |bed| Box::pin(window_only_dead(bed))),
        ("a pause keeps create on another node out until it is over", |bed| Box::pin(pause_then_create(bed))),
        ("a window keeps a pause on another node out", |bed| Box::pin(create_then_pause(bed))),
        ("unpause ends a pause and gives its Lease back", |bed| Box::pin(unpaused(bed))),
        ("a pause that died is released by another node", |bed| Box::pin(dead_pause(bed))),
    ];
    let rows = stories.into_iter().map(|(name, story)| {
        let bed = bed.clone();
        row(name, move |_| story(bed))
    });
    rows.collect()
}

fn leases(play: &Play) -> Api<Lease> {
    play.release().api()
}

async fn lease(play: &Play) -> Lease {
    leases(play).get("stillpoint-bank").await.unwrap()
}

fn note(lease: &Lease) -> Option<Value> {
    let text = lease.metadata.annotations.as_ref()?.get("stillpoint/open-window-note")?;
    Some(serde_json::from_str(text).unwrap())
}

fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref()
}

async fn held(bed: Arc<Bed>) {
    let play = Play::ledgers(bed, 2).await;
    let running = play.held().await;
    let now = lease(&play).await;
    let spec = now.spec.clone().unwrap();
    // max_outage + release_wait of this configuration.
    assert_eq!(spec.lease_duration_seconds, Some(65));
    assert!(holder(&now).unwrap().contains(&format!("/{}/", running.pid())), "{now:?}");
    assert_eq!(note(&now).unwrap()["pods"].as_array().unwrap().len(), 2);
    let status = play.run(&["status"]).await.expect(0);
    let names: Vec<&str> =
        status.json["locks"].as_array().unwrap().iter().map(|l| l["name"].as_str().unwrap()).collect();
    assert!(names.iter().any(|name| name.starts_with("Lease ")), "{names:?}");
    play.expect_good(running.end().await);
    let after = lease(&play).await;
    assert_eq!((holder(&after), note(&after)), (None, None));
    // And the Deployment was told.
    let events: Api<k8s_openapi::api::events::v1::Event> = play.release().api();
    let told = events.list(&Default::default()).await.unwrap().items;
    let of_owner = |reason: &str| {
        let mut all = told.iter().filter(|one| one.reason.as_deref() == Some(reason));
        all.any(|one| one.regarding.as_ref().is_some_and(|owner| owner.kind.as_deref() == Some("Deployment")))
    };
    assert!(of_owner("Paused") && of_owner("RestorePointRecorded"), "{told:#?}");
    // Another window takes the same Lease.
    play.expect_good(play.run(&["create"]).await);
    assert_eq!(lease(&play).await.spec.unwrap().lease_transitions, Some(1));
}

async fn taken(bed: Arc<Bed>) {
    let play = Play::ledgers(bed, 2).await;
    let running = play.held().await;
    let mut now = lease(&play).await;
    now.spec.as_mut().unwrap().holder_identity = Some("somebody/7/else".to_owned());
    leases(&play).replace("stillpoint-bank", &Default::default(), &now).await.unwrap();
    let ended = play.expect_void(running.end().await, "LockLost", "Lease ");
    assert!(ended.json["attempts"][0]["violations"].to_string().contains("took it"), "{:#}", ended.json);
    assert_eq!(holder(&lease(&play).await), Some("somebody/7/else"), "another's Lease is not given back");
}

/// The same release, by a run that shares neither state folder nor catalog.
fn elsewhere(play: &Play, name: &str) -> PathBuf {
    let text = std::fs::read_to_string(play.path("stillpoint.toml")).unwrap();
    let here = play.path("").display().to_string();
    let folder = play.path(name);
    std::fs::create_dir_all(&folder).unwrap();
    let text = text.replace(&format!("{here}state"), &format!("{}/state", folder.display()));
    let text = text.replace(&format!("{here}catalog"), &format!("{}/catalog", folder.display()));
    std::fs::write(folder.join("stillpoint.toml"), text).unwrap();
    folder
}

async fn refused(bed: Arc<Bed>) {
    let play = Play::ledgers(bed, 2).await;
    let there = elsewhere(&play, "there");
    let running = play.held().await;
    let second = run(&there, &["create"], false).await.expect(4);
    assert_eq!(second.json["error"]["name"], "window_open", "{:#}", second.json);
    play.expect_good(running.end().await);
    let servers: Vec<usize> = play.servers().map(|server| server.log().gate_closed_intervals().len()).collect();
    assert_eq!(servers, [1, 1], "paused once");
}

/// Kills a window of this play in its still period: the command and its guard together.
async fn killed(play: &Play) {
    killed_in(play, &["create"]).await;
}

async fn killed_in(play: &Play, words: &[&str]) {
    let running = play.held_by(words).await;
    let (pid, guard) = (running.pid(), running.guard().await);
    // The guard first stopped, so that it cannot act between both.
    crate::support::proc::signal(guard, Signal::STOP);
    crate::support::proc::signal(pid, Signal::KILL);
    crate::support::proc::signal(guard, Signal::KILL);
    running.end().await.expect_killed();
    until("the guard is dead", || !crate::support::proc::is_alive(guard)).await;
    assert!(play.servers().all(|server| !server.is_open()), "killed while paused");
}

async fn gone(bed: Arc<Bed>) {
    let play = Play::ledgers(bed, 2).await;
    killed(&play).await;
    std::fs::remove_dir_all(play.path("state")).unwrap();
    std::fs::remove_dir_all(play.path("catalog")).unwrap();
    play.expect_good(play.run(&["create"]).await);
    let closed: Vec<usize> = play.servers().map(|server| server.log().gate_closed_intervals().len()).collect();
    assert_eq!(closed, [2, 2], "released, and paused once more");
    assert_eq!(holder(&lease(&play).await), None);
}

async fn another_node(bed: Arc<Bed>) {
    let mut play = Play::ledgers(bed, 2).await;
    play.hold = "2s";
    play.window = "margin = \"100ms\"\n".to_owned();
    play.configure();
    let text = std::fs::read_to_string(play.path("stillpoint.toml")).unwrap();
    let text = text.replacen("margin = \"500ms\"\n", "", 1).replace("max_outage = \"40s\"", "max_outage = \"15s\"");
    std::fs::write(play.path("stillpoint.toml"), text).unwrap();
    let there = elsewhere(&play, "there");
    killed(&play).await;
    let began = Instant::now();
    let recovering = run(&there, &["recover"], true).await.expect(0);
    // Its bound: max_outage of the note (15 s), then what proving takes (each Pause of the dead one has had its time).
    eprintln!("another node: {:?}", began.elapsed());
    assert!(began.elapsed() > Duration::from_secs(10), "it was released before it was stale");
    play.assert_all_open();
    let states: Vec<&str> =
        recovering.json["pods"].as_array().unwrap().iter().map(|pod| pod["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["open", "open"]);
    waited("the Lease is free", || async { holder(&lease(&play).await).is_none().then_some(()) }).await;
}

/// With windows that last long enough for another run to look at them.
async fn long(bed: Arc<Bed>) -> Play {
    let mut play = Play::ledgers(bed, 2).await;
    play.hold = "10s";
    play.configure();
    play
}

/// With windows short enough that a Lease is stale soon.
async fn brief(bed: Arc<Bed>) -> Play {
    let mut play = Play::ledgers(bed, 2).await;
    play.hold = "2s";
    play.configure();
    let text = std::fs::read_to_string(play.path("stillpoint.toml")).unwrap();
    let text = text.replacen("max_outage = \"40s\"", "max_outage = \"15s\"", 1);
    std::fs::write(play.path("stillpoint.toml"), text.replace("margin = \"500ms\"", "margin = \"100ms\"")).unwrap();
    play
}

fn times_closed(play: &Play) -> Vec<usize> {
    play.servers().map(|server| server.log().gate_closed_intervals().len()).collect()
}

/// What a run says that has to watch a Lease, with its bound.
const WATCHING: &str = "who cannot be judged from here: watching it for up to 15 s";

async fn over_the_lock(bed: Arc<Bed>) {
    let play = brief(bed).await;
    let there = elsewhere(&play, "there");
    // The catalog is one for both.
    let text = std::fs::read_to_string(there.join("stillpoint.toml")).unwrap();
    let text = text.replace(&format!("{}/catalog", there.display()), &play.path("catalog").display().to_string());
    std::fs::write(there.join("stillpoint.toml"), text).unwrap();
    killed(&play).await;
    // max_outage + release_wait: longer than this row may take.
    let locks = play.run(&["status"]).await.json["locks"].clone();
    assert!(locks.as_array().unwrap().iter().any(|lock| lock["name"] == "pause"), "{locks:#}");
    let ended = play.expect_good(run(&there, &["create"], true).await);
    assert!(ended.stderr.contains(WATCHING), "{}", ended.stderr);
    assert!(ended.json["warnings"].to_string().contains("the pause lock of process"), "{:#}", ended.json);
    assert_eq!(times_closed(&play), [2, 2]);
    let points = play.run(&["list"]).await.json["points"].clone();
    let states: Vec<&Value> = points.as_array().unwrap().iter().map(|point| &point["state"]).collect();
    assert_eq!(states, ["void", "recorded"], "{points:#}");
}

const ALONE: [&str; 2] = ["create", "--window-only"];

async fn window_only_refused(bed: Arc<Bed>) {
    let play = long(bed).await;
    let there = elsewhere(&play, "there");
    let running = play.held_by(&ALONE).await;
    let now = lease(&play).await;
    assert!(holder(&now).unwrap().contains(&format!("/{}/", running.pid())), "{now:?}");
    assert_eq!(note(&now).unwrap()["pods"].as_array().unwrap().len(), 2);
    let second = run(&there, &ALONE, true).await.expect(4);
    assert_eq!(second.json["error"]["name"], "lock_held", "{:#}", second.json);
    assert!(second.stderr.contains("watching it for up to 40 s"), "{}", second.stderr);
    play.expect_good(running.end().await);
    assert_eq!(times_closed(&play), [1, 1], "paused once");
    assert_eq!(holder(&lease(&play).await), None);
}

async fn window_only_dead(bed: Arc<Bed>) {
    let play = brief(bed).await;
    let there = elsewhere(&play, "there");
    killed_in(&play, &ALONE).await;
    let ended = play.expect_good(run(&there, &ALONE, true).await);
    assert!(ended.stderr.contains(WATCHING), "{}", ended.stderr);
    assert_eq!(times_closed(&play), [2, 2], "released, and paused once more");
    assert_eq!(holder(&lease(&play).await), None);
}

async fn pause_then_create(bed: Arc<Bed>) {
    let play = brief(bed).await;
    let there = elsewhere(&play, "there");
    play.run(&["pause", "--for", "14s"]).await.expect(0);
    let paused = lease(&play).await;
    assert_eq!(note(&paused).unwrap()["kind"], "pause");
    // By the same state folder it is known at once; from another one on this machine by the note; on another node the
    // Lease is watched, and changes when the guard gives it back.
    let here = play.run(&["create"]).await.expect(4);
    let beside = run(&there, &["create"], false).await.expect(4);
    for refused in [&here, &beside] {
        assert_eq!(refused.json["error"]["name"], "window_open", "{:#}", refused.json);
        assert!(refused.json["error"]["message"].as_str().unwrap().contains("has paused"), "{:#}", refused.json);
    }
    assert_eq!(run(&there, &["recover"], false).await.expect(0).json["pods"], serde_json::json!([]));
    assert!(play.servers().all(|server| !server.is_open()), "a pause that goes on was ended");
    let elsewhere = run(&there, &["create"], true).await.expect(4);
    assert_eq!(elsewhere.json["error"]["name"], "lock_held", "{:#}", elsewhere.json);
    assert!(elsewhere.stderr.contains(WATCHING), "{}", elsewhere.stderr);
    play.assert_all_open();
    assert_eq!(times_closed(&play), [1, 1], "nobody else paused or opened them");
    // The guard gave it back by itself: the next one is let in at once.
    let after = lease(&play).await;
    assert_eq!((holder(&after), note(&after)), (None, None));
    let ended = play.expect_good(run(&there, &["create"], true).await);
    assert!(!ended.stderr.contains("watching"), "{}", ended.stderr);
}

async fn create_then_pause(bed: Arc<Bed>) {
    let play = long(bed).await;
    let there = elsewhere(&play, "there");
    let running = play.held().await;
    let before = lease(&play).await;
    // All pods are paused, and whose they are is said first.
    let second = run(&there, &["pause", "--for", "5s"], true).await.expect(4);
    assert_eq!(second.json["error"]["name"], "window_open", "{:#}", second.json);
    assert_eq!(holder(&lease(&play).await), holder(&before));
    play.expect_good(running.end().await);
    assert_eq!(times_closed(&play), [1, 1], "paused once");
}

async fn unpaused(bed: Arc<Bed>) {
    let play = brief(bed).await;
    let there = elsewhere(&play, "there");
    // Here: the guard is told, and its Lease is given back, by whoever of both is first.
    play.run(&["pause", "--for", "14s"]).await.expect(0);
    play.run(&["unpause"]).await.expect(0);
    play.assert_all_open();
    assert_eq!(holder(&lease(&play).await), None);
    // From elsewhere: the pods are opened, and the Lease stays with the guard that cannot be told.
    play.run(&["pause", "--for", "14s"]).await.expect(0);
    let ended = run(&there, &["unpause"], true).await.expect(0);
    assert!(ended.json["warnings"].to_string().contains("cannot be told from here"), "{:#}", ended.json);
    play.assert_all_open();
    waited("the guard gives the Lease back", || async { holder(&lease(&play).await).is_none().then_some(()) }).await;
    // One that pauses nothing leaves nothing.
    play.servers().next().unwrap().set(Fault::on(Trigger::nth(Method::Pause, 1), Action::Refuse));
    play.run(&["pause", "--for", "5s"]).await.expect(1);
    play.assert_all_open();
    assert_eq!(holder(&lease(&play).await), None);
}

async fn dead_pause(bed: Arc<Bed>) {
    let play = brief(bed).await;
    let there = elsewhere(&play, "there");
    play.run(&["pause", "--for", "14s"]).await.expect(0);
    let guard = crate::support::proc::guards_at_home(play.path("state").parent().unwrap())[0];
    crate::support::proc::signal(guard, Signal::KILL);
    until("the guard is dead", || !crate::support::proc::is_alive(guard)).await;
    assert!(play.servers().all(|server| !server.is_open()), "nobody is left to open them");
    let recovered = run(&there, &["recover"], true).await.expect(0);
    assert!(recovered.stderr.contains(WATCHING), "{}", recovered.stderr);
    let open = recovered.json["pods"].as_array().unwrap().iter().filter(|pod| pod["state"] == "open").count();
    assert_eq!(open, 2, "{:#}", recovered.json);
    play.assert_all_open();
    assert_eq!(holder(&lease(&play).await), None);
}

/// Runs the program with a folder of its own; on another "node", in a PID namespace of its own.
async fn run(folder: &std::path::Path, words: &[&str], other_node: bool) -> Ended {
    let program = env!("CARGO_BIN_EXE_stillpoint");
    let mut command = if other_node {
        let mut command = Command::new("unshare");
        // A shell is the namespace's first process, so that the program is an ordinary one.
        command.args(["--pid", "--fork", "--mount-proc", "sh", "-c", "\"$0\" \"$@\"; exit $?", program]);
        command
    } else {
        Command::new(program)
    };
    let output = command
        .args(words)
        .args(["--output", "json", "--config"])
        .arg(folder.join("stillpoint.toml"))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", folder)
        .env("AWS_ACCESS_KEY_ID", "sandbox")
        .env("AWS_SECRET_ACCESS_KEY", "sandbox")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let json = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no object on stdout: {stderr}"));
    Ended { code: output.status.code(), at_ns: 0, json, stderr }
}
