//! A pod fails at each call of a window, in each way.

use crate::rows::{Row, row};
use crate::steps::{Step, steps};
use crate::strikes::{Strike, strikes};
use crate::support::{Setup, Stage, until};
use crate::verdict;
use stillpoint_sandbox::pods::{Action, Fault, Method, Trigger};

pub fn rows() -> Vec<Row> {
    let rows = steps().into_iter().filter(|step| step.method.is_some()).flat_map(|step| {
        strikes(&step).into_iter().map(move |strike| {
            let action = serde_json::to_string(&strike.action).unwrap();
            row(format!("{} {action}", step.name), move |seed| struck(step, strike, seed))
        })
    });
    rows.chain([row("a pod that died is gone for good", dead_for_good)]).collect()
}

/// Stops `create` just before the command, so that the fault meets exactly its call.
async fn meet(stage: &Stage, step: &Step, fault: Fault) -> crate::support::Running {
    let place = format!("stop@before:{}:1", step.name);
    let mut running = stage.start_command(step.scene.words(), &[("STILLPOINT_FAULT", &place)]);
    running.stopped().await;
    // The preflight's look and the guard's first: the next ones are the window's.
    until("all looks from before the window", || stage.pods()[0].log().calls(Method::CheckPaused) >= 2).await;
    stage.plant(0, fault);
    running.go_on();
    running
}

async fn struck(step: Step, strike: Strike, seed: u64) {
    let mut setup = step.scene.setup(seed);
    if strike.action == Action::Die {
        setup = setup.window("release_wait", "\"2s\"");
    }
    let stage = step.scene.stage(setup).await;
    let trigger = Trigger::next(step.method.unwrap(), strike.times);
    let running = meet(&stage, &step, Fault::on(trigger, strike.action.clone())).await;
    let ended = running.end().await.expect_one_of(strike.exits);
    verdict::create_ended(&stage, &ended).await;
    if ended.code == Some(3) {
        let name = stage.pods()[0].address().to_string();
        assert_eq!(ended.json["error"]["name"], "maybe_paused");
        assert!(ended.json["error"]["message"].as_str().unwrap().contains(&name), "{:#}", ended.json);
        assert_eq!(stage.living_guards().len(), 1, "the guard goes on");
    }
}

/// Nobody listens any more for 30 s: the guard gives the pod up as gone, and `recover` closes the note.
async fn dead_for_good(seed: u64) {
    let stage = Stage::start(Setup::new(seed).window("release_wait", "\"2s\"")).await;
    stage.plant(1, Fault::on(Trigger::nth(Method::Pause, 1), Action::Die));
    let ended = stage.run(&["create"]).await.expect(3);
    verdict::create_ended(&stage, &ended).await;
    let guards = stage.living_guards();
    assert_eq!(guards.len(), 1, "the guard goes on");
    until("the guard has given the dead pod up", || stage.living_guards().is_empty()).await;
    stage.run(&["recover"]).await.expect(0);
    let points = verdict::points(&stage).await;
    assert_eq!(points[0]["verdict"], "void", "{:#}", points[0]);
}
