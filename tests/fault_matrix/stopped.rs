//! `create` is stopped by SIGSTOP until its hard deadline has passed: the guard ends it and releases, and the next command
//! records the window as void. Also: it goes on just in time, and finds that it must not.

use crate::rows::{Row, row};
use crate::steps::{Gates, Scene, Step, all_closed, steps};
use crate::support::{Setup, proc, until, violations};
use crate::verdict::{self, SOON};
use std::time::Duration;

pub fn rows() -> Vec<Row> {
    let stopped = steps().into_iter().map(|step| {
        let when = if step.name == "WriteNote" { "after" } else { "before" };
        let place = format!("{when}:{}:1", step.name);
        row(format!("stop@{place}"), move |seed| past_the_deadline(step, place, seed))
    });
    stopped.chain([row("stop@before:StandDown", past_the_stand_down)]).collect()
}

/// The shortest deadline that the settings allow.
fn short(setup: Setup) -> Setup {
    setup.window("hold", "\"1s\"").window("max_outage", "\"13s\"")
}

async fn past_the_deadline(step: Step, place: String, seed: u64) {
    let stage = step.scene.stage(short(step.scene.setup(seed))).await;
    let fault = format!("stop@{place}");
    let words: &[&str] = if step.scene == Scene::Pause { &["pause", "--for", "13s"] } else { &["create"] };
    let mut running = stage.start_command(words, &[("STILLPOINT_FAULT", &fault)]);
    running.stopped().await;
    if step.gates == Gates::Closed {
        all_closed(&stage).await;
    }
    let pid = running.pid();
    if matches!(step.name, "WriteNote" | "ArmGuard") {
        // No guard yet, and nothing paused. Whoever finds the note after its deadline ends its owner.
        while proc::is_alive(pid) {
            let recovered = stage.run(&["recover"]).await.expect(0);
            assert!(proc::is_stopped(pid) || !proc::is_alive(pid), "{:#}", recovered.json);
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
    until("the stopped one is ended", || !proc::is_alive(pid)).await;
    let dead = running.end().await.expect_killed();
    until("the guard has released and gone", || stage.living_guards().is_empty()).await;
    verdict::open_within(&stage, dead.at_ns, SOON);
    stage.run(&["recover"]).await.expect(0);
    verdict::all_open_in_time(&stage);
    let points = verdict::points(&stage).await;
    if step.scene == Scene::Pause {
        assert!(points.is_empty(), "{points:#?}");
        return;
    }
    assert_eq!(points.len(), 1);
    assert_eq!(points[0]["state"], "void", "{:#}", points[0]);
    let expected = if matches!(step.name, "WriteNote" | "ArmGuard") { "Cancelled" } else { "GuardFired" };
    assert_eq!(violations(&points[0]), [expected]);
}

/// Every pod is proven open, but the guard was not told: at the deadline it ends its parent all the same.
async fn past_the_stand_down(seed: u64) {
    let stage = Scene::Create.stage(short(Scene::Create.setup(seed))).await;
    let mut running = stage.start_command(&["create"], &[("STILLPOINT_FAULT", "stop@before:StandDown")]);
    running.stopped().await;
    verdict::all_open_in_time(&stage);
    running.end().await.expect_killed();
    stage.run(&["recover"]).await.expect(0);
    verdict::all_open_in_time(&stage);
    assert_eq!(verdict::points(&stage).await[0]["state"], "void");
}
