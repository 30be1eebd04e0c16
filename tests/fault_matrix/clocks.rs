//! Clocks that are wrong, that move, or that differ: a point that comes of it names a still second all the same.

use crate::rows::{Row, row};
use crate::steps::held;
use crate::support::relay::Relay;
use crate::support::step_clock::StepClock;
use crate::support::{Setup, Stage};
use crate::verdict;
use std::net::SocketAddr;
use std::time::Duration;
use stillpoint_sandbox::Sandbox;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const SECOND_NS: i64 = 1_000_000_000;
const HOUR: Duration = Duration::from_secs(3600);

pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for seconds in [90, -90] {
        rows.push(row(format!("the database is {seconds} s off"), move |seed| database_off(seconds, seed)));
    }
    for number in 1..=4 {
        rows.push(row(format!("tables up to 300 ms apart, {number}"), skewed_tables));
    }
    for (name, forward) in [("ahead", true), ("back", false)] {
        rows.push(row(format!("the host's clock is an hour {name} from the start"), move |seed| {
            host_off(forward, seed)
        }));
        rows.push(row(format!("the host's clock steps an hour {name} in the window"), move |seed| {
            host_steps(forward, seed)
        }));
    }
    rows.push(row("two front ends 200 ms apart", two_front_ends));
    rows.push(row("two front ends 5 s apart", two_far_front_ends));
    rows
}

async fn database_off(seconds: i64, seed: u64) {
    let mut setup = Setup::new(seed);
    setup.service_offset_ns = seconds * SECOND_NS;
    let stage = Stage::start(setup).await;
    let ended = stage.run(&["create", "--wait", "sealed"]).await.expect(0);
    assert_eq!(ended.json["state"], "sealed", "{:#}", ended.json);
    verdict::create_ended(&stage, &ended).await;
}

async fn skewed_tables(seed: u64) {
    let stage = Stage::start(Setup::new(seed).window("hold", "\"3600ms\"").window("max_outage", "\"18s\"")).await;
    let ended = stage.run(&["create"]).await.expect(0);
    verdict::create_ended(&stage, &ended).await;
}

async fn host_off(forward: bool, seed: u64) {
    let stage = Stage::start(Setup::new(seed)).await;
    let clock = StepClock::new();
    clock.step(HOUR, forward);
    let environment = clock.environment();
    let environment: Vec<_> = environment.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let ended = stage.start_command(&["create"], &environment).end().await.expect(0);
    verdict::create_ended(&stage, &ended).await;
}

/// A step of the wall clock changes neither T nor verdict.
async fn host_steps(forward: bool, seed: u64) {
    let stage = Stage::start(Setup::new(seed)).await;
    let clock = StepClock::new();
    let environment = clock.environment();
    let environment: Vec<_> = environment.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let running = stage.start_command(&["create"], &environment);
    held(&stage).await;
    clock.step(HOUR, forward);
    let ended = running.end().await.expect(0);
    verdict::create_ended(&stage, &ended).await;
}

/// A front end of the sandbox's account whose `Date` is that far ahead.
pub async fn front_end(sandbox: &Sandbox, ahead_ns: i64) -> (SocketAddr, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let end = CancellationToken::new();
    let front = sandbox.dynamodb().front_end(ahead_ns);
    let stop = end.clone();
    tokio::spawn(async move { front.serve(listener, stop).await });
    (address, end)
}

async fn behind_front_ends(ahead_ns: [i64; 2], seed: u64) -> (Stage, Relay) {
    let mut stage = Stage::start(Setup::new(seed)).await;
    let (one, _) = front_end(&stage.sandbox, ahead_ns[0]).await;
    let (other, _) = front_end(&stage.sandbox, ahead_ns[1]).await;
    let relay = Relay::start_in_turn(vec![one, other]).await;
    stage.setup.endpoint = Some(relay.url());
    stage.write_config();
    (stage, relay)
}

async fn two_front_ends(seed: u64) {
    let (stage, _relay) = behind_front_ends([0, SECOND_NS / 5], seed).await;
    let ended = stage.run(&["create"]).await.expect_one_of(&[0, 1, 4]);
    verdict::create_ended(&stage, &ended).await;
}

/// No clock that answers so can be bounded: nothing is paused.
async fn two_far_front_ends(seed: u64) {
    let (stage, _relay) = behind_front_ends([0, 5 * SECOND_NS], seed).await;
    let ended = stage.run(&["create"]).await.expect(4);
    assert_eq!(ended.json["error"]["name"], "clock_unsure", "{:#}", ended.json);
    assert!(verdict::closed(&stage.sandbox.logs()).is_empty());
}
