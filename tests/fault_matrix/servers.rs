//! Other servers than ScalarDB Server 3.8: without CheckPaused (nothing can be looked at, so release waits longer), and
//! those that name their outcomes and let callers wait at the gate. An undisturbed window each, and deaths in it.

use crate::rows::{Row, row};
use crate::support::{Setup, Stage, until};
use crate::verdict::{self, SOON};
use stillpoint_sandbox::pods::Flavor;

const FLAVORS: [Flavor; 3] = [Flavor::NoCheckPaused, Flavor::ScalarDl314, Flavor::ScalarDbCluster319];
const DEATHS: [&str; 4] = ["after:Pause:3", "on:PauseAnswered:1", "before:Unpause:1", "on:Unpaused:1"];

pub fn rows() -> Vec<Row> {
    let rows = FLAVORS.into_iter().flat_map(|flavor| {
        let deaths =
            DEATHS.map(|place| row(format!("{flavor:?}, kill@{place}"), move |seed| killed(flavor, place, seed)));
        deaths.into_iter().chain([row(format!("{flavor:?}, undisturbed"), move |seed| undisturbed(flavor, seed))])
    });
    rows.collect()
}

async fn stage(flavor: Flavor, seed: u64) -> Stage {
    Stage::start(Setup::new(seed).flavor(flavor).window("require_proof", "false")).await
}

async fn undisturbed(flavor: Flavor, seed: u64) {
    let stage = stage(flavor, seed).await;
    let ended = stage.run(&["create"]).await.expect(0);
    verdict::create_ended(&stage, &ended).await;
}

async fn killed(flavor: Flavor, place: &'static str, seed: u64) {
    let stage = stage(flavor, seed).await;
    let fault = format!("kill@{place}");
    let dead = stage.start_command(&["create"], &[("STILLPOINT_FAULT", &fault)]).end().await.expect_killed();
    until("the guard has released and gone", || stage.living_guards().is_empty()).await;
    verdict::open_within(&stage, dead.at_ns, SOON);
    stage.run(&["recover"]).await.expect(0);
    verdict::all_open_in_time(&stage);
    assert_eq!(verdict::points(&stage).await[0]["state"], "void");
}
