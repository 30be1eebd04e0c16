//! `create` and its guard are killed at once: nobody is left, and the pods stay as they are until the next command.

use crate::rows::{Row, row};
use crate::steps::{Gates, Scene, Step, steps};
use crate::support::{proc, until, violations};
use crate::verdict;
use rustix::process::Signal;

pub fn rows() -> Vec<Row> {
    let armed = steps().into_iter().filter(|step| step.name != "WriteNote" && step.name != "ArmGuard");
    let rows = armed.enumerate().flat_map(|(n, step)| {
        // At the step where it matters most all three; elsewhere in turn.
        let all = ["create", "recover", "unpause"];
        let next = if step.name == "CheckHold" { all.to_vec() } else { vec![all[n % all.len()]] };
        let of =
            move |next| row(format!("before:{}:1, then {next}", step.name), move |seed| both_killed(step, next, seed));
        next.into_iter().map(of)
    });
    rows.collect()
}

async fn both_killed(step: Step, next: &'static str, seed: u64) {
    let stage = step.scene.stage(step.scene.setup(seed)).await;
    let fault = format!("stop@before:{}:1", step.name);
    let mut running = stage.start_command(step.scene.words(), &[("STILLPOINT_FAULT", &fault)]);
    running.stopped().await;
    // A guard that outlived the other by a moment would release: it goes first, while the other cannot act.
    let guard = running.guard().await;
    proc::signal(guard, Signal::KILL);
    until("the guard is dead", || !proc::is_alive(guard)).await;
    running.signal(Signal::KILL);
    running.end().await.expect_killed();
    let left: Vec<usize> =
        verdict::closed(&stage.sandbox.logs()).into_iter().filter(|c| c.to.is_none()).map(|c| c.pod).collect();
    if step.gates == Gates::Closed {
        assert_eq!(left, [0, 1, 2], "with both dead, all pods stay paused");
    }
    let rescue = stage.run(&[next]).await.expect(0);
    let released = verdict::closed(&stage.sandbox.logs());
    assert!(released.iter().all(|c| c.to.is_some()), "{released:?}");
    let points = verdict::points(&stage).await;
    if step.scene == Scene::Pause {
        assert!(points.iter().all(|point| point["id"] == rescue.json["id"]), "{points:#?}");
        return;
    }
    assert_eq!(points[0]["state"], "void", "{:#}", points[0]);
    assert_eq!(violations(&points[0]), ["Cancelled"], "no guard fired");
    if next == "create" {
        verdict::agree(&stage, &rescue).await;
    }
    let status = stage.run(&["status"]).await.expect(0);
    assert_eq!(status.json["notes"].as_array().map(Vec::len), Some(0), "{:#}", status.json);
}
