//! Every violation, provoked through the real program: exit 1, the name in the answer and on record, the pods open.

use crate::clocks::front_end;
use crate::rows::{Row, row};
use crate::steps::{Provoked, Scene, held, paused_by_other, provoke};
use crate::support::relay::Relay;
use crate::support::{Running, Setup, Stage, proc, until, violations};
use crate::verdict;
use std::time::Duration;
use stillpoint::catalog::{self, Acquired, Catalog, Options, PauseLock};
use stillpoint::window::violation::Name;
use stillpoint_sandbox::pods::{Action, Fault, Method, Trigger, mono_ns};

pub fn rows() -> Vec<Row> {
    Name::ALL.into_iter().filter(|name| !needs_a_cluster(*name)).map(violation).collect()
}

fn violation(name: Name) -> Row {
    row(name.as_str(), move |seed| provoked(name, seed))
}

/// What no address can tell; tests/kubernetes provokes these.
fn needs_a_cluster(name: Name) -> bool {
    use Name::{PodAdded, PodNotRunning, PodRemoved, PodReplaced, PodRestarted, SetsDisagree, WatchGap};
    matches!(name, PodAdded | PodNotRunning | PodRemoved | PodReplaced | PodRestarted | SetsDisagree | WatchGap)
}

async fn provoked(name: Name, seed: u64) {
    let mut stage = Stage::start(setup(name, seed)).await;
    let relay = match name {
        Name::ClockUnsure => Some(behind_relay(&mut stage).await),
        _ => None,
    };
    let place = if matches!(name, Name::DeadlinePassed | Name::GuardFired) { "stop@before:CheckHold:1" } else { "" };
    before(name, &stage);
    let running = stage.start_command(&["create"], &[("STILLPOINT_FAULT", place)]);
    let running = during(name, &stage, relay.as_ref(), running).await;
    let ended = running.end().await;
    verdict::all_open_in_time(&stage);
    if name == Name::GuardFired {
        // Whom the guard has ended can say nothing: the next command does.
        ended.expect_killed();
        stage.run(&["recover"]).await.expect(0);
    } else {
        let ended = ended.expect(1);
        assert!(violations(&ended.json).contains(&name.to_string()), "{:#}", ended.json);
        verdict::agree(&stage, &ended).await;
    }
    let points = verdict::points(&stage).await;
    assert_eq!(points[0]["state"], "void", "{:#}", points[0]);
    assert!(violations(&points[0]).contains(&name.to_string()), "{:#}", points[0]);
}

fn setup(name: Name, seed: u64) -> Setup {
    let setup = Setup::new(seed);
    match name {
        Name::PauseRefused => Scene::PausedByOther.setup(seed),
        Name::NoSafeSecond => setup.window("hold", "\"1s\""),
        Name::DeadlinePassed | Name::GuardFired => setup.window("hold", "\"1s\"").window("max_outage", "\"13s\""),
        Name::DrainTimedOut
        | Name::PauseUnanswered
        | Name::ConnectionLost
        | Name::OpenedEarly
        | Name::SchemaChanged
        | Name::ClockUnsure
        | Name::GuardLost
        | Name::LockLost
        | Name::Cancelled => setup,
        _ => unreachable!("{name} is not a row"),
    }
}

/// What waits for a Pause.
fn before(name: Name, stage: &Stage) {
    let first = Trigger::nth(Method::Pause, 1);
    match name {
        Name::PauseRefused => paused_by_other(stage),
        Name::DrainTimedOut => stage.plant(1, Fault::on(first, Action::OpenTransaction { for_ms: Some(4_000) })),
        Name::PauseUnanswered => stage.plant(1, Fault::on(first, Action::Hang)),
        _ => {}
    }
}

/// What happens while all gates are closed.
async fn during(name: Name, stage: &Stage, relay: Option<&Relay>, mut running: Running) -> Running {
    match name {
        Name::PauseRefused | Name::DrainTimedOut | Name::PauseUnanswered | Name::NoSafeSecond => {}
        Name::ConnectionLost => provoke(Provoked::Restart, stage, &running).await,
        Name::GuardLost => provoke(Provoked::DeathOfGuard, stage, &running).await,
        Name::Cancelled => provoke(Provoked::Interrupt, stage, &running).await,
        Name::OpenedEarly | Name::SchemaChanged => {
            held(stage).await;
            let action = match name {
                Name::OpenedEarly => Action::ForeignUnpause { after_ms: 0 },
                _ => Action::CreateTable { table: "bank.new".to_owned() },
            };
            stage.plant(2, Fault::now(action));
        }
        Name::ClockUnsure => {
            held(stage).await;
            let (moved, _) = front_end(&stage.sandbox, 5_000_000_000).await;
            relay.unwrap().lead_to(moved);
        }
        Name::LockLost => {
            held(stage).await;
            take_lock(stage).await;
        }
        Name::DeadlinePassed => {
            running.stopped().await;
            let closed = verdict::closed(&stage.sandbox.logs())[0].from;
            // The window was opened before its first gate closed, and is to end 10 s before its hard deadline.
            until("the window's own deadline", || mono_ns() > closed + 3_000_000_000).await;
            running.go_on();
        }
        Name::GuardFired => {
            running.stopped().await;
            let pid = running.pid();
            until("the guard ends it", || !proc::is_alive(pid)).await;
            until("the guard has released and gone", || stage.living_guards().is_empty()).await;
        }
        _ => unreachable!("{name} is not a row"),
    }
    running
}

async fn behind_relay(stage: &mut Stage) -> Relay {
    let (honest, _) = front_end(&stage.sandbox, 0).await;
    let relay = Relay::start(honest).await;
    stage.setup.endpoint = Some(relay.url());
    stage.write_config();
    relay
}

/// Somebody who takes the holder for dead takes its lock.
async fn take_lock(stage: &Stage) {
    let catalog = Catalog::open(&stage.catalog_url(), Options::write()).await.unwrap();
    let held = catalog::lock_status(&catalog).await.unwrap().unwrap();
    let until = held.until + Duration::from_secs(60);
    let taken = PauseLock::acquire(&catalog, held.owner, until, |_| true).await.unwrap();
    assert!(matches!(taken, Acquired::Held(_)));
}
