//! Controls: what is broken on purpose must be caught by the judge, or the other rows show nothing.

use crate::rows::{Row, row};
use crate::steps::all_closed;
use crate::support::{Ended, Setup, Stage, restore_time, violations};
use crate::verdict;
use std::time::Duration;
use stillpoint_sandbox::bank;
use stillpoint_sandbox::pods::{Action, Fault};

/// One of that many tries must show it.
const TRIES: u64 = 20;

pub fn rows() -> Vec<Row> {
    vec![
        row("without margin, tables apart from each other", without_margin),
        row("with a margin of two seconds, tables apart from each other", with_margin),
        row("without the last round, a stranger unpauses near the end", without_last_round),
        row("with the last round, a stranger unpauses near the end", with_last_round),
    ]
}

/// What the judge holds against the point that was made; nothing if there is none.
fn offences(stage: &Stage, ended: &Ended) -> usize {
    let good = ended.code == Some(0);
    restore_time(&ended.json).filter(|_| good).map_or(0, |t| stage.sandbox.offences(t).len())
}

/// Tables whose clocks are up to 2 s off: what the default margin stands for.
async fn tables_apart(seed: u64, margin: &str, hold: &str) -> Stage {
    let mut setup = Setup::new(seed).window("margin", margin).window("hold", hold);
    setup = setup.window("max_outage", "\"22s\"");
    setup.skew = Duration::from_secs(2);
    setup.transfers_per_second = 60.0;
    Stage::start(setup).await
}

/// The still period is 2.5 s long, so no second in it is further than 1.5 s from either of its ends.
async fn without_margin(seed: u64) {
    for seed in seed..seed + TRIES {
        let stage = tables_apart(seed, "\"0s\"", "\"2500ms\"").await;
        let skew = |n| stage.sandbox.dynamodb().table_skew_ns(&bank::accounts_table(n)).unwrap();
        // Tables that agree would show nothing.
        if (0..2).all(|n| skew(n).abs() < 1_600_000_000) {
            continue;
        }
        let ended = stage.run(&["create"]).await;
        verdict::all_open_in_time(&stage);
        if offences(&stage, &ended) > 0 {
            return;
        }
    }
    panic!("{TRIES} seeds from {seed} on, and the judge never saw what a margin is for");
}

async fn with_margin(seed: u64) {
    let stage = tables_apart(seed, "\"2s\"", "\"auto\"").await;
    let ended = stage.run(&["create"]).await.expect(0);
    verdict::create_ended(&stage, &ended).await;
}

/// A window whose last look lies well before its end, with a stranger's Unpause between the two.
async fn opened_near_the_end(seed: u64, rule: &[(&str, &str)]) -> (Stage, Ended) {
    let mut setup = Setup::new(seed).window("margin", "\"100ms\"").window("check_interval", "\"1s\"");
    setup.skew = Duration::ZERO;
    let stage = Stage::start(setup).await;
    let running = stage.start_command(&["create"], rule);
    all_closed(&stage).await;
    // The still period is 1.3 to 2 s long; the look at 1 s is over by then.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    stage.plant(0, Fault::now(Action::ForeignUnpause { after_ms: 0 }));
    let ended = running.end().await;
    verdict::all_open_in_time(&stage);
    (stage, ended)
}

async fn without_last_round(seed: u64) {
    for seed in seed..seed + TRIES {
        let (stage, ended) = opened_near_the_end(seed, &[("STILLPOINT_BROKEN_RULE", "last_round")]).await;
        if offences(&stage, &ended) > 0 {
            return;
        }
    }
    panic!("{TRIES} seeds from {seed} on, and the judge never saw what the last round is for");
}

async fn with_last_round(seed: u64) {
    for seed in seed..seed + 3 {
        let (stage, ended) = opened_near_the_end(seed, &[]).await;
        let ended = ended.expect_one_of(&[0, 1]);
        let early = violations(&ended.json) == ["OpenedEarly"];
        assert!(early || ended.code == Some(0), "{:#}", ended.json);
        verdict::agree(&stage, &ended).await;
    }
}
