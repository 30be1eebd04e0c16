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
use tokio::process::Command;

type Story = fn(Arc<Bed>) -> BoxFuture<'static, ()>;

pub fn rows(bed: &Arc<Bed>) -> Vec<Row> {
    let stories: [(&str, Story); 5] = [
        ("a Lease is held with its note while pods are paused and free afterwards", |bed| Box::pin(held(bed))),
        ("a Lease that was taken by another voids the window", |bed| Box::pin(taken(bed))),
        ("a second run with another catalog is refused", |bed| Box::pin(refused(bed))),
        ("another node releases once the Lease is stale", |bed| Box::pin(another_node(bed))),
        ("all processes killed and the state folder gone: the next run releases first", |bed| Box::pin(gone(bed))),
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
    let running = play.held().await;
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
