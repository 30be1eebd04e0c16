//! Runs of every kind: died at every step and at every write of the log, every step twice, an error at every call.

use super::matrix::killed_at;
use super::*;
use crate::catalog::tests::faults::{Death, Faulty, faulty};
use std::sync::atomic::Ordering;

/// Units of each run.
const UNITS: usize = 3;

/// A kind of run, where it begins, and where it leads.
#[derive(Clone, Copy, Debug)]
struct Kind {
    kind: RunKind,
    prepared: bool,
    to: Phase,
}

const KINDS: [Kind; 4] = [
    Kind { kind: RunKind::Prepare, prepared: false, to: Phase::Prepared },
    Kind { kind: RunKind::Restore, prepared: true, to: Phase::Prepared },
    Kind { kind: RunKind::Drill, prepared: false, to: Phase::Sealed },
    Kind { kind: RunKind::Prune, prepared: true, to: Phase::Pruned },
];

/// A point from which a run of a kind can begin, and a world in which nothing is done yet.
struct Bench {
    kind: Kind,
    catalog: Catalog,
    store: Arc<Faulty>,
    id: PointId,
    fake: Arc<Fake>,
}

impl Bench {
    async fn new(kind: Kind) -> Bench {
        let (catalog, store) = faulty().await;
        let id = point(&catalog).await;
        if kind.prepared {
            let (mut log, _) = PointLog::resume(&catalog, &id).await.unwrap();
            let (run, at) = ("earlier".to_owned(), chrono::Utc::now());
            let started = PointEvent::RunStarted {
                run: run.clone(),
                kind: RunKind::Prepare,
                at,
                warnings: Vec::new(),
                plan: serde_json::Value::Null,
            };
            log.append_all(vec![started, PointEvent::RunDone { run, at }]).await.unwrap();
        }
        Bench { kind, catalog, store, id, fake: Fake::of(kind.kind, UNITS, 2) }
    }

    fn removes(&self) -> bool {
        self.kind.kind == RunKind::Prune
    }

    async fn drive(&self, way: Way) -> Result<Ended, Failure> {
        drive(&self.catalog, &self.id, way, &self.fake, &heir(7)).await
    }

    /// As an undisturbed run ends: each thing made, or removed, exactly once.
    async fn is_done(&self, how: &str) {
        let how = format!("{:?}: {how}", self.kind.kind);
        assert_eq!(phase(&self.catalog, &self.id).await, self.kind.to, "{how}");
        let world = self.fake.world();
        assert_eq!(world.deeds, UNITS, "{how}: {:?}", world.made);
        assert_eq!(world.made.len(), if self.removes() { 0 } else { UNITS }, "{how}: {:?}", world.made);
        assert_eq!(world.out_of_order, 0, "{how}");
    }

    /// As before the run, and a run can begin anew.
    async fn is_undone(&self, how: &str) {
        let how = format!("{:?}: {how}", self.kind.kind);
        let before = if self.kind.prepared { Phase::Prepared } else { Phase::Sealed };
        assert_eq!(phase(&self.catalog, &self.id).await, before, "{how}");
        assert!(self.fake.world().made.is_empty(), "{how}");
    }

    /// The same command, until the point is where it leads. What died may have ended the run just before.
    async fn again(&self, how: &str) {
        let ended = phase(&self.catalog, &self.id).await.run().is_none() && self.fake.world().deeds == UNITS;
        if !ended {
            let again = self.drive(Way::Forward).await;
            assert!(is_done(&again), "{:?}: {how}: {again:?}", self.kind.kind);
        }
        self.is_done(how).await;
    }

    /// Drives until the write of this number, which its process does not survive. Says whether it ended before.
    async fn dies_at_write(&self, way: Way, writes: usize, stored: bool) -> bool {
        let (told, mut deaths) = tokio::sync::mpsc::unbounded_channel();
        *self.store.dies.lock().unwrap() = Some(Death { writes, stored, told });
        let ended = tokio::select! {
            biased;
            _ = deaths.recv() => false,
            ended = self.drive(way) => { assert!(is_done(&ended), "{ended:?}"); true }
        };
        *self.store.dies.lock().unwrap() = None;
        ended
    }
}

#[tokio::test(start_paused = true)]
async fn killed_at_any_step_and_again_somewhere_a_run_of_any_kind_ends_as_if_undisturbed() {
    for kind in KINDS {
        for step in 1.. {
            let bench = Bench::new(kind).await;
            // In every third row each step is made twice.
            bench.fake.twice.store(step % 3 == 0, Ordering::SeqCst);
            let ended = killed_at(&bench.catalog, &bench.id, Way::Forward, &bench.fake, step).await;
            if !ended {
                killed_at(&bench.catalog, &bench.id, Way::Forward, &bench.fake, 1 + step % 5).await;
            }
            bench.again(&format!("killed at step {step}")).await;
            if ended {
                assert!(step > 3 * UNITS, "{kind:?} ended after {step} steps");
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn killed_at_any_write_of_the_log_stored_or_not_a_run_of_any_kind_ends_as_if_undisturbed() {
    for kind in KINDS {
        for stored in [false, true] {
            for write in 1.. {
                let bench = Bench::new(kind).await;
                let ended = bench.dies_at_write(Way::Forward, write, stored).await;
                bench.again(&format!("killed at write {write}, stored: {stored}")).await;
                if ended {
                    assert!(write > 3, "{kind:?} ended after {write} writes");
                    break;
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn killed_at_any_write_of_the_log_and_at_any_on_the_way_back_nothing_is_left() {
    for kind in KINDS.into_iter().filter(|kind| kind.kind != RunKind::Prune) {
        for write in 2..100 {
            let bench = Bench::new(kind).await;
            if bench.dies_at_write(Way::Forward, write, write % 2 == 0).await {
                assert!(write > 3, "{kind:?} ended after {write} writes");
                break;
            }
            let how = format!("killed at write {write}");
            // Right after the last write of all there is nothing to undo any more.
            if phase(&bench.catalog, &bench.id).await.run().is_none() {
                continue;
            }
            for back in 1..100 {
                if bench.dies_at_write(Way::Back, back, back % 2 == 1).await {
                    break;
                }
                if phase(&bench.catalog, &bench.id).await.run().is_none() {
                    break;
                }
            }
            bench.is_undone(&how).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_that_passes_at_any_call_changes_nothing_and_one_that_does_not_leaves_a_clear_state() {
    for kind in KINDS {
        for call in 1.. {
            for trouble in [Trouble::Passing(1), Trouble::Final] {
                let bench = Bench::new(kind).await;
                let how = format!("{trouble:?} at call {call}");
                *bench.fake.at_call.lock().unwrap() = Some((call, trouble));
                let ended = bench.drive(Way::Forward).await;
                if bench.fake.at_call.lock().unwrap().is_some() {
                    // There is no such call.
                    assert!(call > 3 * UNITS, "{kind:?} ended after {call} calls");
                    break;
                }
                if trouble != Trouble::Final {
                    assert!(is_done(&ended), "{how}: {ended:?}");
                    bench.is_done(&how).await;
                    continue;
                }
                let Ok(Ended::Failed(failed)) = ended else { panic!("{how}: {ended:?}") };
                assert_eq!((failed.len(), failed[0].1.kind), (1, ErrorKind::PermissionDenied), "{how}");
                let run = phase(&bench.catalog, &bench.id).await.run();
                assert_eq!(run, Some((kind.kind, false)), "{how}");
                if bench.removes() || call % 2 == 0 {
                    bench.again(&how).await;
                } else {
                    let back = bench.drive(Way::Back).await;
                    assert!(is_done(&back), "{how}: {back:?}");
                    bench.is_undone(&how).await;
                }
            }
            if bench_has_no_call(kind, call).await {
                break;
            }
        }
    }
}

/// Whether an undisturbed run makes fewer calls than this.
async fn bench_has_no_call(kind: Kind, call: usize) -> bool {
    let bench = Bench::new(kind).await;
    *bench.fake.at_call.lock().unwrap() = Some((call, Trouble::None));
    assert!(is_done(&bench.drive(Way::Forward).await));
    bench.fake.at_call.lock().unwrap().is_some()
}

#[tokio::test(start_paused = true)]
async fn what_retention_removes_cannot_be_undone_and_that_is_refused() {
    let bench = Bench::new(KINDS[3]).await;
    assert!(
        bench.dies_at_write(Way::Forward, 3, true).await || phase(&bench.catalog, &bench.id).await == Phase::Pruning
    );
    let refused = bench.drive(Way::Back).await.unwrap_err();
    assert!(!refused.message.is_empty() && phase(&bench.catalog, &bench.id).await == Phase::Pruning, "{refused:?}");
    bench.again("asked to undo it").await;
}
