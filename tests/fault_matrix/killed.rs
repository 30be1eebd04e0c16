//! `create` is killed at each step: all pods are open within two seconds, the next command finds everything in order, and
//! the dead window is on record as void.

use crate::rows::{Row, row};
use crate::steps::{AROUND, Provoked, Scene, arrivals, provoke, steps};
use crate::support::{Setup, Stage, proc, until, violations};
use crate::verdict::{self, SOON};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use stillpoint_sandbox::pods::{Action, Fault, Method, Trigger};

/// What is run after the death.
#[derive(Clone, Copy, Debug)]
enum Next {
    Create,
    Recover,
    Unpause,
}

pub fn rows() -> Vec<Row> {
    let mut places = Vec::new();
    for step in steps() {
        for when in ["before", "after"] {
            places.extend(
                step.visits.iter().map(|n| (format!("{when}:{}:{n}", step.name), step.scene, Provoked::Nothing)),
            );
        }
    }
    for arrival in arrivals() {
        let of = |n: &u32| (format!("on:{}:{n}", arrival.name), arrival.scene, arrival.provoked);
        places.extend(arrival.visits.iter().map(of));
    }
    places.extend(AROUND.map(|place| (place.to_owned(), Scene::Create, Provoked::Nothing)));
    let next = [Next::Recover, Next::Create, Next::Recover, Next::Unpause];
    let rows = places.into_iter().enumerate().map(|(n, (place, scene, provoked))| {
        let next = next[n % next.len()];
        row(format!("kill@{place} in {scene:?}, then {next:?}"), move |seed| killed(place, scene, provoked, next, seed))
    });
    let unnoted = ["after:OpenPoint", "before:WriteNote:1"].into_iter().flat_map(|place| {
        [Next::Create, Next::Recover].map(|next| {
            row(format!("kill@{place}, then {next:?} beside a living run"), move |seed| unnoted(place, next, seed))
        })
    });
    rows.chain(unnoted).chain(late_pauses()).collect()
}

/// A point whose run died before any note told of it ends as void; one whose run lives and has come as far is never touched,
/// whoever looks.
async fn unnoted(place: &'static str, next: Next, seed: u64) {
    let stage = Stage::start(Setup::new(seed).quiet()).await;
    let mut living = stage.start_command(&["create"], &[("STILLPOINT_FAULT", &format!("stop@{place}"))]);
    living.stopped().await;
    // From here on whatever the other run does, it does from another state folder.
    let elsewhere = ["--state-dir", &stage.path("elsewhere").display().to_string()].map(str::to_owned);
    let beside = async |word: &str, code: i32| {
        let words = [word, &elsewhere[0], &elsewhere[1]];
        stage.run(&words).await.expect(code)
    };
    beside("recover", 0).await;
    assert_eq!(beside("create", 4).await.json["error"]["name"], "lock_held");
    let only = verdict::points(&stage).await;
    assert!(only.len() == 1 && only[0]["state"].is_null(), "a living run's point was ended: {only:#?}");
    living.signal(Signal::KILL);
    living.end().await.expect_killed();
    let dead = only[0]["id"].clone();
    // Twice: the second finds nothing to do.
    match next {
        Next::Create => drop(beside("create", 0).await),
        _ => drop(beside("recover", 0).await),
    }
    let again = beside("recover", 0).await;
    assert_eq!(again.json["warnings"], json!([]), "{:#}", again.json);
    let points = verdict::points(&stage).await;
    let ended = points.iter().find(|point| point["id"] == dead).unwrap();
    assert_eq!((&ended["state"], &ended["attempts"]), (&json!("void"), &json!([])), "{ended:#}");
    assert_eq!(points.len(), if matches!(next, Next::Create) { 2 } else { 1 });
}

/// A Pause that a pod handles only after its caller's death, up to the call's deadline.
fn late_pauses() -> impl Iterator<Item = Row> {
    let by = ["the guard", "create", "recover", "unpause"];
    [300, 1_000, 1_900].into_iter().flat_map(move |ms| {
        by.map(|by| {
            row(format!("a Pause is handled {ms} ms late, released by {by}"), move |seed| late_pause(ms, by, seed))
        })
    })
}

async fn late_pause(ms: u64, by: &'static str, seed: u64) {
    let stage = Stage::start(Setup::new(seed)).await;
    stage.plant(1, Fault::on(Trigger::nth(Method::Pause, 1), Action::HoldBack { ms }));
    let mut running = stage.start_command(&["create"], &[("STILLPOINT_FAULT", "stop@on:PauseAnswered:2")]);
    running.stopped().await;
    assert_eq!(stage.pods()[1].log().calls(Method::Pause), 1, "the Pause is on its way");
    if by != "the guard" {
        let guard = running.guard().await;
        proc::signal(guard, Signal::KILL);
        until("the guard is dead", || !proc::is_alive(guard)).await;
    }
    running.signal(Signal::KILL);
    running.end().await.expect_killed();
    if by == "the guard" {
        until("the guard has released and gone", || stage.living_guards().is_empty()).await;
    } else {
        stage.run(&[by]).await.expect(0);
    }
    let late = verdict::closed(&stage.sandbox.logs()).into_iter().find(|closed| closed.pod == 1).unwrap();
    let most = u64::try_from(SOON.as_nanos()).unwrap();
    assert!(late.to.is_some_and(|to| to - late.from < most), "{late:?}\n{}", verdict::log_lines(&stage));
    verdict::all_open_in_time(&stage);
    verdict::points(&stage).await;
}

async fn killed(place: String, scene: Scene, provoked: Provoked, next: Next, seed: u64) {
    let stage = scene.stage(scene.setup(seed)).await;
    let fault = format!("kill@{place}");
    let running = stage.start_command(scene.words(), &[("STILLPOINT_FAULT", &fault)]);
    provoke(provoked, &stage, &running).await;
    let dead = running.end().await.expect_killed();
    if ["CheckFirst", "CheckHold", "CheckLast", "Checked", "Unpause", "HandOver"]
        .iter()
        .any(|name| place.contains(name))
    {
        let pods: BTreeSet<usize> = verdict::closed(&stage.sandbox.logs()).iter().map(|closed| closed.pod).collect();
        assert_eq!(pods.len(), 3, "it died with gates that it had closed");
    }
    // The guard that owns the pods for a `pause` keeps them paused for as long as was asked.
    let handed_over =
        scene == Scene::Pause && (place.starts_with("after:HandOver") || place.starts_with("on:HandedOver"));
    let soon = if handed_over { SOON + Duration::from_secs(2) } else { SOON };
    if provoked == Provoked::DeathOfGuard {
        assert!(!verdict::closed(&stage.sandbox.logs()).is_empty(), "nobody is left to open a gate");
    } else {
        tokio::time::sleep(soon).await;
        verdict::open_within(&stage, dead.at_ns, soon);
    }
    if scene == Scene::PausedByOther && place.starts_with("after:LeaveAlone") {
        left_alone(&stage).await;
    }
    let point = followed(&stage, scene, next).await;
    if scene == Scene::Pause {
        assert!(point.is_none(), "a pause leaves no point: {point:#?}");
        return;
    }
    let point = point.unwrap();
    match place.as_str() {
        // No note was written: nothing could have been paused. `unpause` opens pods and asks no catalog.
        "after:OpenPoint" | "on:Start:1" | "before:WriteNote:1" => {
            let void = if matches!(next, Next::Unpause) { Value::Null } else { Value::from("void") };
            assert_eq!(point["state"], void, "{point:#}");
            assert_eq!(point["attempts"], json!([]), "{point:#}");
        }
        "after:StoreVerdict" => assert_eq!(point["state"], "recorded", "{point:#}"),
        _ => {
            assert_eq!(point["state"], "void", "{point:#}");
            let names = violations(&point);
            assert!(names == ["GuardFired"] || names == ["Cancelled"], "{names:?}");
        }
    }
}

/// Whoever finds the note leaves the other caller's pod alone; then that caller opens it.
async fn left_alone(stage: &Stage) {
    stage.run(&["recover"]).await.expect(0);
    assert!(!stage.sandbox.pods()[0].is_open(), "another caller's pause was revoked");
    stage.plant(0, Fault::now(Action::ForeignUnpause { after_ms: 0 }));
    until("the other caller has opened its pod", || stage.sandbox.pods()[0].is_open()).await;
}

/// Runs the next command and returns the dead run's point.
async fn followed(stage: &Stage, scene: Scene, next: Next) -> Option<serde_json::Value> {
    match next {
        Next::Recover => drop(stage.run(&["recover"]).await.expect(0)),
        Next::Unpause => drop(stage.run(&["unpause"]).await.expect(0)),
        Next::Create => {
            let ended = stage.run(&["create"]).await.expect(0);
            verdict::create_ended(stage, &ended).await;
        }
    }
    let status = stage.run(&["status"]).await.expect(0);
    assert_eq!(status.json["notes"].as_array().map(Vec::len), Some(0), "{:#}", status.json);
    verdict::all_open_in_time(stage);
    let points = verdict::points(stage).await;
    let expected = usize::from(scene != Scene::Pause) + usize::from(matches!(next, Next::Create));
    assert_eq!(points.len(), expected, "{points:#?}");
    (scene != Scene::Pause).then(|| points[0].clone())
}
