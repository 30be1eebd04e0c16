//! The engine on work that is a few counters: dying, losing, waiting, two at once.

mod fake;
mod kinds;
mod matrix;
mod owners;
mod turned;

use super::{Basis, Ended, Job, Options, Order, Run, Snapshot, Terms, UnitKey, Worker, work};
use crate::catalog::tests::{capture_completed, id, opened, recorded, sealed};
use crate::catalog::{Catalog, Owner, Phase, PointEvent, PointId, PointLog, RunKind, load};
use crate::failure::{Exit, Failure};
use crate::window::plan::boot_ns;
use fake::{Fake, Trouble};
use provider_api::{ErrorKind, Way};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A point that could be restored a moment ago.
async fn point(catalog: &Catalog) -> PointId {
    let id = id("nightly");
    let mut log = PointLog::create(catalog, &id, opened(&id)).await.unwrap();
    log.append_all(vec![recorded(), capture_completed(), sealed()]).await.unwrap();
    id
}

async fn memory() -> Catalog {
    Catalog::open("memory:", crate::catalog::Options::write()).await.unwrap()
}

fn owner(pid: u32) -> Owner {
    Owner { host: "h".to_owned(), boot_id: "b".to_owned(), pid, pid_start: 1 }
}

/// A worker who takes everybody else for alive.
fn options(pid: u32) -> Options {
    let worker = Worker { owner: owner(pid), is_dead: |_| false, boot_ns };
    Options { time_scale: 1.0, time_out: None, lease: Duration::from_secs(180), worker, before_destroying: None }
}

/// A worker who takes everybody else for dead.
fn heir(pid: u32) -> Options {
    let mut options = options(pid);
    options.worker.is_dead = |_| true;
    options
}

fn order(way: Way) -> Order {
    Order {
        kind: RunKind::Prepare,
        way,
        plan: serde_json::Value::Null,
        warnings: vec!["dear".into()],
        terms: Terms::default(),
    }
}

async fn drive(
    catalog: &Catalog,
    id: &PointId,
    way: Way,
    fake: &Arc<Fake>,
    options: &Options,
) -> Result<Ended, Failure> {
    let jobs = [fake.job()];
    let order = Order { kind: fake.kind, ..order(way) };
    work(catalog, id, &order, &jobs, options, &CancellationToken::new(), &mut |_| {}).await
}

async fn phase(catalog: &Catalog, id: &PointId) -> Phase {
    load(catalog, id).await.unwrap().phase
}

fn is_done(ended: &Result<Ended, Failure>) -> bool {
    matches!(ended, Ok(Ended::Done))
}

#[tokio::test(start_paused = true)]
async fn every_unit_is_done_once_in_order_and_never_more_at_once_than_there_are_slots() {
    let (catalog, fake) = (memory().await, Fake::new(40, 5));
    let id = point(&catalog).await;
    let mut snapshots: Vec<Snapshot> = Vec::new();
    let jobs = [fake.job()];
    let cancel = CancellationToken::new();
    let mut seen = |snapshot: &Snapshot| snapshots.push(snapshot.clone());
    let ended = work(&catalog, &id, &order(Way::Forward), &jobs, &options(1), &cancel, &mut seen).await;
    assert!(is_done(&ended), "{ended:?}");
    assert_eq!(phase(&catalog, &id).await, Phase::Prepared);
    {
        let world = fake.world();
        assert_eq!((world.most, world.out_of_order), (5, 0));
        assert!(world.made.values().all(|made| *made == 1), "{:?}", world.made);
    }
    assert!(load(&catalog, &id).await.unwrap().point.warnings.contains(&"dear".to_owned()));
    let last = snapshots.last().unwrap();
    assert_eq!((last.done, last.total), (40, 40));
    assert!(snapshots.iter().any(|snapshot| snapshot.left.is_some_and(|left| left > Duration::ZERO)));
    assert!(snapshots.iter().flat_map(|snapshot| &snapshot.moved).any(|moved| moved.text == "growing"));
}

#[tokio::test(start_paused = true)]
async fn units_that_wait_for_a_slot_are_packed_as_tightly_as_can_be() {
    let (catalog, fake) = (memory().await, Fake::new(50, 10));
    let id = point(&catalog).await;
    let begun = tokio::time::Instant::now();
    assert!(is_done(&drive(&catalog, &id, Way::Forward, &fake, &options(1)).await));
    // Five rounds of 100 s; looks and gathering may cost a little each.
    assert!(begun.elapsed() < Duration::from_secs(525), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_unit_that_fails_does_not_stop_the_others_and_the_next_run_goes_on() {
    let (catalog, fake) = (memory().await, Fake::new(6, 3));
    let id = point(&catalog).await;
    fake.trouble("u03", Trouble::Final);
    let Ok(Ended::Failed(failed)) = drive(&catalog, &id, Way::Forward, &fake, &options(1)).await else { panic!() };
    assert_eq!(failed.len(), 1);
    assert_eq!((failed[0].0.unit.as_str(), failed[0].1.kind), ("u03", ErrorKind::PermissionDenied));
    assert_eq!(phase(&catalog, &id).await, Phase::Preparing);
    assert_eq!(fake.world().made.len(), 5);
    fake.trouble("u03", Trouble::None);
    // The first worker has given the run back: nobody need be dead.
    assert!(is_done(&drive(&catalog, &id, Way::Forward, &fake, &options(2)).await));
    assert!(fake.world().made.values().all(|made| *made == 1));
}

#[tokio::test(start_paused = true)]
async fn errors_that_can_pass_are_waited_out_and_those_that_never_end_fail() {
    let (catalog, fake) = (memory().await, Fake::new(3, 3));
    let id = point(&catalog).await;
    fake.trouble("u00", Trouble::Passing(4));
    fake.trouble("u01", Trouble::Passing(usize::MAX));
    let Ok(Ended::Failed(failed)) = drive(&catalog, &id, Way::Forward, &fake, &options(1)).await else { panic!() };
    assert_eq!(failed.iter().map(|(key, _)| key.unit.as_str()).collect::<Vec<_>>(), ["u01"]);
    assert_eq!(fake.world().made.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_unit_that_is_lost_stops_the_whole_run() {
    let (catalog, fake) = (memory().await, Fake::new(20, 2));
    let id = point(&catalog).await;
    fake.trouble("u00", Trouble::Lost);
    let Ok(Ended::Failed(failed)) = drive(&catalog, &id, Way::Forward, &fake, &options(1)).await else { panic!() };
    assert_eq!(failed[0].1.kind, ErrorKind::Lost);
    assert!(fake.world().made.len() < 20);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_out_of_time_or_asked_to_stop_goes_on_later() {
    let (catalog, fake) = (memory().await, Fake::new(4, 2));
    let id = point(&catalog).await;
    let short = Options { time_out: Some(Duration::from_secs(30)), ..options(1) };
    let ended = drive(&catalog, &id, Way::Forward, &fake, &short).await;
    assert!(matches!(ended, Ok(Ended::TimedOut { done: 0, total: 4 })), "{ended:?}");
    let cancel = CancellationToken::new();
    cancel.cancel();
    let jobs = [fake.job()];
    let ended = work(&catalog, &id, &order(Way::Forward), &jobs, &options(2), &cancel, &mut |_| {}).await;
    assert!(matches!(ended, Ok(Ended::Cancelled)), "{ended:?}");
    assert!(is_done(&drive(&catalog, &id, Way::Forward, &fake, &options(3)).await));
    assert!(fake.world().made.values().all(|made| *made == 1));
}

#[tokio::test(start_paused = true)]
async fn an_aborted_run_leaves_nothing_and_the_point_can_be_prepared_anew() {
    let (catalog, fake) = (memory().await, Fake::new(4, 2));
    let id = point(&catalog).await;
    let refused = drive(&catalog, &id, Way::Back, &fake, &options(1)).await.unwrap_err();
    assert_eq!((refused.exit, refused.name.as_str()), (Exit::Refused, "nothing_to_abort"));
    let short = Options { time_out: Some(Duration::from_secs(150)), ..options(1) };
    assert!(matches!(drive(&catalog, &id, Way::Forward, &fake, &short).await, Ok(Ended::TimedOut { .. })));
    assert!(!fake.world().made.is_empty());
    fake.trouble("u00", Trouble::Final);
    assert!(matches!(drive(&catalog, &id, Way::Back, &fake, &options(1)).await, Ok(Ended::Failed(_))));
    let refused = drive(&catalog, &id, Way::Forward, &fake, &options(1)).await.unwrap_err();
    assert_eq!((refused.exit, refused.name.as_str()), (Exit::Refused, "aborting"));
    fake.trouble("u00", Trouble::None);
    assert!(is_done(&drive(&catalog, &id, Way::Back, &fake, &options(1)).await));
    assert_eq!(phase(&catalog, &id).await, Phase::Sealed);
    assert!(fake.world().made.is_empty());
    assert!(is_done(&drive(&catalog, &id, Way::Forward, &fake, &options(1)).await));
    assert_eq!(fake.world().made.len(), 4);
}

#[test]
fn events_of_an_earlier_run_say_nothing_of_a_later_one() {
    let key = UnitKey { database: "db".into(), unit: "u".into() };
    let record = provider_api::Record { text: "t".into(), what: 1.into(), slot: None, warning: None };
    let started = |run: &str| PointEvent::RunStarted {
        run: run.into(),
        kind: RunKind::Prepare,
        at: chrono::Utc::now(),
        warnings: vec![],
        plan: serde_json::Value::Null,
    };
    let done = |run: &str| PointEvent::UnitRecord {
        run: run.into(),
        database: "db".into(),
        unit: "u".into(),
        record: record.clone(),
        done: true,
    };
    let events = [started("a"), done("a"), started("b"), done("a")];
    let run = Run::of(&events).unwrap();
    assert_eq!((run.id.as_str(), run.unit(&key).done), ("b", false));
}
