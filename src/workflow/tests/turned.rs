//! Runs that are not what the caller had seen, that are turned, and calls that may still come.

use super::*;
use tokio::time::Instant;

async fn drive_on(
    catalog: &Catalog,
    id: &PointId,
    order: &Order,
    fake: &Arc<Fake>,
    options: &Options,
) -> Result<Ended, Failure> {
    work(catalog, id, order, &[fake.job()], options, &CancellationToken::new(), &mut |_| {}).await
}

fn short(seconds: u64) -> Options {
    Options { time_out: Some(Duration::from_secs(seconds)), ..options(1) }
}

fn on(basis: Basis, way: Way) -> Order {
    Order { terms: Terms { basis, forward_again: false }, ..order(way) }
}

async fn run(catalog: &Catalog, id: &PointId) -> Run {
    let loaded = load(catalog, id).await.unwrap();
    Run::of(loaded.events()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_order_holds_only_for_the_run_that_was_seen() {
    let (catalog, fake) = (memory().await, Fake::new(4, 2));
    let id = point(&catalog).await;
    let refused = |ended: Result<Ended, Failure>| {
        let failure = ended.unwrap_err();
        assert_eq!((failure.exit, failure.name.as_str()), (Exit::Refused, "other_work"), "{failure:?}");
        assert!(failure.message.contains("after this plan was made"), "{failure:?}");
    };
    // It ended while somebody was asked whether it should go on.
    refused(drive_on(&catalog, &id, &on(Basis::Run("gone".into()), Way::Forward), &fake, &options(1)).await);
    assert!(fake.world().made.is_empty() && phase(&catalog, &id).await == Phase::Sealed);
    assert!(matches!(
        drive_on(&catalog, &id, &on(Basis::NoRun, Way::Forward), &fake, &short(30)).await,
        Ok(Ended::TimedOut { .. })
    ));
    // It began meanwhile: neither its choices nor its data sets are those of this order.
    refused(drive_on(&catalog, &id, &on(Basis::NoRun, Way::Forward), &fake, &options(2)).await);
    refused(drive_on(&catalog, &id, &on(Basis::NoRun, Way::Back), &fake, &options(2)).await);
    let seen = Basis::of(Some(&run(&catalog, &id).await));
    assert!(is_done(&drive_on(&catalog, &id, &on(seen, Way::Forward), &fake, &options(2)).await));
    assert_eq!(Basis::of(Some(&run(&catalog, &id).await)), Basis::NoRun, "it has ended");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_undone_goes_forward_again_when_that_is_said_and_only_then() {
    let (catalog, fake) = (memory().await, Fake::new(4, 2));
    let id = point(&catalog).await;
    assert!(is_done(&drive(&catalog, &id, Way::Forward, &fake, &options(1)).await));
    fake.world().made.clear();
    let restore = |way, forward_again| Order {
        kind: RunKind::Restore,
        terms: Terms { basis: Basis::Any, forward_again },
        ..order(way)
    };
    assert!(matches!(
        drive_on(&catalog, &id, &restore(Way::Forward, false), &fake, &short(150)).await,
        Ok(Ended::TimedOut { .. })
    ));
    fake.trouble("u00", Trouble::Final);
    assert!(matches!(
        drive_on(&catalog, &id, &restore(Way::Back, false), &fake, &options(1)).await,
        Ok(Ended::Failed(_))
    ));
    let refused = drive_on(&catalog, &id, &restore(Way::Forward, false), &fake, &options(1)).await.unwrap_err();
    assert_eq!((refused.exit, refused.name.as_str()), (Exit::Refused, "aborting"));
    fake.trouble("u00", Trouble::None);
    assert!(is_done(&drive_on(&catalog, &id, &restore(Way::Forward, true), &fake, &options(1)).await));
    assert_eq!(phase(&catalog, &id).await, Phase::Prepared);
    assert_eq!(fake.world().made.len(), 4, "also what was undone before");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_given_up_is_waited_for_before_it_is_undone() {
    let (catalog, fake) = (memory().await, Fake::new(1, 1));
    let id = point(&catalog).await;
    let (order, jobs, options, cancel) = (order(Way::Forward), [fake.job()], short(20), CancellationToken::new());
    let mut seen = |seen: &Snapshot| {
        // Intended, and from then on without an answer.
        if seen.moved.iter().any(|moved| moved.text.starts_with("make")) {
            fake.trouble("u00", Trouble::Passing(usize::MAX));
        }
    };
    let ended = work(&catalog, &id, &order, &jobs, &options, &cancel, &mut seen).await;
    assert!(matches!(ended, Ok(Ended::TimedOut { .. })), "{ended:?}");
    let left = run(&catalog, &id).await;
    assert!(left.hold.is_none() && left.units.values().any(|unit| unit.intent.is_some()), "{left:?}");
    fake.trouble("u00", Trouble::None);
    let (begun, before, options) = (Instant::now(), fake.world().steps, super::options(2));
    let (back, looked) = tokio::join!(drive(&catalog, &id, Way::Back, &fake, &options), async {
        while fake.world().steps == before {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        begun.elapsed()
    });
    assert!(is_done(&back), "{back:?}");
    assert!(looked >= Duration::from_secs(11), "looked after {looked:?}, a call takes up to ten seconds");
}
