//! The guard is killed while the window is at each step: a window that still needed it is void, and the pods are open.

use crate::rows::{Row, row};
use crate::steps::{Gates, Scene, Step, steps};
use crate::support::{proc, until, violations};
use crate::verdict;
use rustix::process::Signal;

pub fn rows() -> Vec<Row> {
    // Before the guard is armed there is none to kill.
    let armed = steps().into_iter().filter(|step| step.name != "WriteNote");
    armed.map(|step| row(format!("at {}", place(&step)), move |seed| guard_killed(step, seed))).collect()
}

fn place(step: &Step) -> String {
    let when = if step.name == "ArmGuard" { "after" } else { "before" };
    format!("{when}:{}:1", step.name)
}

async fn guard_killed(step: Step, seed: u64) {
    let stage = step.scene.stage(step.scene.setup(seed)).await;
    let fault = format!("stop@{}", place(&step));
    let mut running = stage.start_command(step.scene.words(), &[("STILLPOINT_FAULT", &fault)]);
    running.stopped().await;
    let guard = running.guard().await;
    proc::signal(guard, Signal::KILL);
    until("the guard is dead", || !proc::is_alive(guard)).await;
    running.go_on();
    let ended = running.end().await;
    let ended = match (step.scene, step.gates) {
        // Its death may be seen just after the last answer.
        (Scene::Create, _) if step.name == "CheckLast" => ended.expect_one_of(&[0, 1]),
        (Scene::Create, Gates::Opening | Gates::Released) => ended.expect(0),
        _ => ended.expect(1),
    };
    verdict::all_open_in_time(&stage);
    let names = violations(&ended.json);
    match (step.scene, ended.code) {
        (_, Some(0)) => assert!(names.is_empty(), "{names:?}"),
        (Scene::PausedByOther, _) => assert!(names.contains(&"PauseRefused".to_owned()), "{names:?}"),
        _ => assert_eq!(names, ["GuardLost"]),
    }
    if step.scene == Scene::Pause {
        assert!(verdict::points(&stage).await.is_empty());
    } else {
        verdict::agree(&stage, &ended).await;
    }
}
