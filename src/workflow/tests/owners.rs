//! Two workers at one run.

use super::*;
use crate::workflow::AlsoAsk;
use crate::workflow::fence::RunFence;
use crate::workflow::hold::{self, Standing};
use provider_api::{Fence, ProviderError};
use std::sync::atomic::{AtomicU64, Ordering};

#[tokio::test(start_paused = true)]
async fn of_two_at_once_one_works_and_the_other_is_told_who() {
    let (catalog, fake) = (memory().await, Fake::new(4, 2));
    let id = point(&catalog).await;
    let (one, two) = (options(4711), options(4712));
    let (first, second) =
        tokio::join!(drive(&catalog, &id, Way::Forward, &fake, &one), drive(&catalog, &id, Way::Forward, &fake, &two));
    let (worked, refused, name) = if is_done(&first) { (first, second, "4711") } else { (second, first, "4712") };
    assert!(is_done(&worked), "{worked:?}");
    let refused = refused.unwrap_err();
    assert_eq!((refused.exit, refused.name.as_str()), (Exit::Refused, "work_held"));
    assert!(refused.message.contains(name), "{}", refused.message);
    assert!(fake.world().made.values().all(|made| *made == 1));
    let abort = drive(&catalog, &id, Way::Back, &fake, &two).await.unwrap_err();
    assert_eq!(abort.name, "nothing_to_abort", "a prepared point has nothing to abort");
}

#[tokio::test(start_paused = true)]
async fn a_worker_whose_run_was_taken_over_does_nothing_more_and_says_who_has_it() {
    let (catalog, fake) = (memory().await, Fake::new(6, 2));
    let id = point(&catalog).await;
    let (cat, other, at) = (catalog.clone(), fake.clone(), id.clone());
    let first = tokio::spawn(async move { drive(&cat, &at, Way::Forward, &other, &options(1)).await });
    tokio::time::sleep(Duration::from_secs(50)).await;
    assert!(is_done(&drive(&catalog, &id, Way::Forward, &fake, &heir(2)).await));
    let failure = first.await.unwrap().unwrap_err();
    assert_eq!((failure.exit, failure.name.as_str()), (Exit::Void, "hold_lost"), "{failure:?}");
    assert!(fake.world().made.values().all(|made| *made == 1), "{:?}", fake.world().made);
}

#[tokio::test(start_paused = true)]
async fn a_hold_is_renewed_while_work_goes_on() {
    let (catalog, fake) = (memory().await, Fake::new(20, 1));
    let id = point(&catalog).await;
    assert!(is_done(&drive(&catalog, &id, Way::Forward, &fake, &options(1)).await));
    let loaded = load(&catalog, &id).await.unwrap();
    let held = loaded.events().filter(|event| matches!(event, PointEvent::WorkHeld { .. })).count();
    // 2,000 s of work, renewed every 60 s.
    assert!((30..=36).contains(&held), "{held}");
}

static BOOT: AtomicU64 = AtomicU64::new(1_000_000_000_000);

fn set_boot() -> u64 {
    BOOT.load(Ordering::SeqCst)
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_was_suspended_past_its_lease_does_nothing_before_it_has_renewed_it() {
    let (catalog, fake) = (memory().await, Fake::new(2, 2));
    let id = point(&catalog).await;
    let mut sleepy = options(1);
    sleepy.worker.boot_ns = set_boot;
    fake.gated.store(false, Ordering::SeqCst);
    let (cat, other, at) = (catalog.clone(), fake.clone(), id.clone());
    let run = tokio::spawn(async move { drive(&cat, &at, Way::Forward, &other, &sleepy).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(fake.world().deeds, 1, "the second comes after the first");
    // Asleep for an hour: tokio's clock does not see it.
    BOOT.fetch_add(3_600_000_000_000, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(500)).await;
    assert!(is_done(&run.await.unwrap()));
    assert_eq!(fake.world().deeds, 2);
}

#[test]
fn in_one_boot_the_boot_clock_decides_and_elsewhere_the_wall_clock_with_tolerance() {
    let now = chrono::Utc::now();
    let mut run = Run::new("r".to_owned(), RunKind::Prepare, serde_json::Value::Null);
    assert_eq!(hold::standing(&run, &options(1), now), Standing::Free);
    let mine = hold::fresh(&options(1));
    run.hold = Some(mine.clone());
    assert_eq!(hold::standing(&run, &options(2), now), Standing::Held(mine.clone()));
    // The wall clock jumped a day ahead, which means nothing within one boot.
    let day = chrono::TimeDelta::days(1);
    assert_eq!(hold::standing(&run, &options(2), now + day), Standing::Held(mine.clone()));
    assert_eq!(hold::standing(&run, &heir(2), now), Standing::Forsaken);
    let mut elsewhere = options(2);
    elsewhere.worker.owner.boot_id = "another".to_owned();
    let after = |seconds| mine.until + chrono::TimeDelta::seconds(seconds);
    assert_eq!(hold::standing(&run, &elsewhere, after(20)), Standing::Held(mine.clone()));
    assert_eq!(hold::standing(&run, &elsewhere, after(31)), Standing::Forsaken);
}

#[derive(Debug)]
struct PodsRun;

#[async_trait::async_trait]
impl Fence for PodsRun {
    async fn pass(&self) -> Result<(), ProviderError> {
        Err(ProviderError::new(ErrorKind::Fenced, "the pods run again", "stop them"))
    }
}

#[tokio::test(start_paused = true)]
async fn before_something_is_destroyed_more_is_asked_than_before_something_is_made() {
    let catalog = memory().await;
    let id = point(&catalog).await;
    let (log, _) = PointLog::resume(&catalog, &id).await.unwrap();
    let mut options = options(1);
    let hold = hold::fresh(&options);
    assert!(RunFence::new(&options, log.watcher(), hold.clone()).destroy().await.is_ok());
    options.before_destroying = Some(AlsoAsk(Arc::new(PodsRun)));
    let fence = RunFence::new(&options, log.watcher(), hold);
    assert!(fence.pass().await.is_ok());
    assert_eq!(fence.destroy().await.unwrap_err().message, "the pods run again");
}

#[tokio::test(start_paused = true)]
async fn a_run_of_another_kind_is_in_the_way() {
    let (catalog, fake) = (memory().await, Fake::new(4, 2));
    let id = point(&catalog).await;
    let short = Options { time_out: Some(Duration::from_secs(30)), ..options(1) };
    assert!(matches!(drive(&catalog, &id, Way::Forward, &fake, &short).await, Ok(Ended::TimedOut { .. })));
    let drill = Order { kind: RunKind::Drill, ..order(Way::Forward) };
    let ended = work(&catalog, &id, &drill, &[fake.job()], &options(1), &CancellationToken::new(), &mut |_| {}).await;
    let refused = ended.unwrap_err();
    assert_eq!((refused.exit, refused.name.as_str()), (Exit::Refused, "other_work"));
    assert!(refused.hint.contains("stillpoint prepare"), "{}", refused.hint);
}
