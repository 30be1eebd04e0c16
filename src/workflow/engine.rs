//! Taking a run, driving it, and going on after the catalog was away.

use super::drive::{Drive, Stopped};
use super::hold::{self, Standing};
use super::{Ended, Job, Options, Order, Run, Seen};
use crate::catalog::{
    Catalog, CatalogError, CatalogErrorKind, PointEvent, PointId, PointLog, RunKind, WorkHold, nonce,
};
use crate::failure::{Exit, Failure};
use crate::restore_point::preflight::catalog_failure;
use chrono::Utc;
use provider_api::Way;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often the run is tried to be taken while others write to the same log.
const RACES: usize = 8;
/// How long a catalog that is away is waited for.
const CATALOG_PATIENCE: Duration = Duration::from_secs(10 * 60);
/// Between two tries then.
const CATALOG_WAIT: Duration = Duration::from_secs(10);
/// How long a call of a dead worker may still arrive: its time-out, and a second.
const LATE_CALL: Duration = Duration::from_secs(11);

/// Begins the run or goes on with it, and drives it until it ends, or as far as it can go.
///
/// A repeat goes on; of two at once one works, the other is refused (`work_held`) with the name of the first. A run of another
/// kind that has not ended is in the way (`other_work`). Back: whatever the run made is removed, and the point is as before.
pub async fn work(
    catalog: &Catalog,
    id: &PointId,
    order: &Order,
    jobs: &[Job],
    options: &Options,
    cancel: &CancellationToken,
    seen: &mut Seen<'_>,
) -> Result<Ended, Failure> {
    let begun = Instant::now();
    let Claimed { mut log, mut run, late } = claim(catalog, id, order, options).await?;
    if late {
        // What was asked for last may come to be after we have looked for it.
        tokio::time::sleep(LATE_CALL.div_f64(options.time_scale)).await;
    }
    loop {
        let hold = run.hold.clone();
        let drive = Drive::new(log, run, jobs, options, begun);
        let stopped = match drive {
            Some(drive) => drive.run(cancel, seen).await,
            None => Stopped::Taken,
        };
        match stopped {
            Stopped::Ended(ended) => return Ok(ended),
            Stopped::Fatal(error) => return Err(after_start(catalog_failure(&error))),
            Stopped::Taken => {
                let now = PointLog::resume(catalog, id).await.ok();
                let by = now.and_then(|(_, loaded)| Run::of(loaded.events())).and_then(|run| run.hold);
                return Err(hold::taken(id.as_str(), by.as_ref()));
            }
            Stopped::Away(error) => {
                tracing::warn!("the catalog is away, nothing is done meanwhile: {error}");
                (log, run) = again(catalog, id, hold.as_ref(), options, cancel, error).await?;
            }
        }
    }
}

/// From here on nothing is refused "before anything was touched" any more.
fn after_start(mut failure: Failure) -> Failure {
    if failure.exit == Exit::Refused {
        failure.exit = Exit::Void;
    }
    if !failure.hint.contains("run the same command again") {
        failure.hint.push_str("; then run the same command again: it goes on where this one stopped");
    }
    failure
}

/// A run that is ours now.
struct Claimed {
    log: PointLog,
    run: Run,
    /// A call may still arrive whose work is to be undone: of somebody who had not given the run back, or who did after the
    /// answer had not come in time.
    late: bool,
}

/// Takes the run, or begins it.
async fn claim(catalog: &Catalog, id: &PointId, order: &Order, options: &Options) -> Result<Claimed, Failure> {
    let mut conflict = None;
    for _ in 0..RACES {
        let (mut log, loaded) = PointLog::resume(catalog, id).await.map_err(|error| catalog_failure(&error))?;
        let open = Run::of(loaded.events()).filter(|run| !run.ended);
        let fresh = open.is_none();
        let as_seen = order.terms.basis.holds(open.as_ref());
        let mut run = match open {
            Some(run) if run.kind != order.kind => return Err(other_work(id, run.kind)),
            Some(run) => run,
            None if order.way == Way::Back => return Err(nothing_to_abort(id)),
            None => Run::new(nonce(), order.kind, order.plan.clone()),
        };
        let standing = hold::standing(&run, options, Utc::now());
        if let Standing::Held(hold) = &standing {
            return Err(hold::refusal(id.as_str(), hold));
        }
        if !as_seen {
            return Err(begun_meanwhile(id, order.kind));
        }
        let turned = run.way == Way::Back && order.way == Way::Forward;
        if turned && !order.terms.forward_again {
            return Err(is_aborting(id, order.kind));
        }
        let intended = run.units.values().any(|unit| unit.intent.is_some());
        let late = (turned || order.way == Way::Back) && (intended || standing == Standing::Forsaken);
        let events = opening(&run, fresh, order, hold::fresh(options));
        match log.append_all(events.clone()).await {
            Ok(()) => {
                events.iter().for_each(|event| run.apply(event));
                return Ok(Claimed { log, run, late });
            }
            Err(error) if error.kind == CatalogErrorKind::Conflict => conflict = Some(error),
            Err(error) => return Err(catalog_failure(&error)),
        }
    }
    Err(catalog_failure(&conflict.unwrap_or_else(|| CatalogError::conflict(id.as_str(), "many at once"))))
}

/// What takes the run, in one object: begun and held, or held and turned.
fn opening(run: &Run, fresh: bool, order: &Order, hold: WorkHold) -> Vec<PointEvent> {
    let mut events = Vec::new();
    if fresh {
        let (kind, plan, warnings) = (run.kind, run.plan.clone(), order.warnings.clone());
        events.push(PointEvent::RunStarted { run: run.id.clone(), kind, at: Utc::now(), warnings, plan });
    }
    events.push(hold::event(&run.id, hold));
    if order.way == Way::Back && run.way == Way::Forward {
        events.push(PointEvent::RunAborting { run: run.id.clone(), at: Utc::now() });
    }
    if order.way == Way::Forward && run.way == Way::Back {
        events.push(PointEvent::RunForward { run: run.id.clone(), at: Utc::now() });
    }
    events
}

fn nothing_to_abort(id: &PointId) -> Failure {
    let hint = "`stillpoint show ID` says where it stands. The backups of a prepared point stay until you delete them.";
    Failure::new(Exit::Refused, "nothing_to_abort", format!("no work is going on for {id}"), hint)
}

fn other_work(id: &PointId, kind: RunKind) -> Failure {
    let verb = kind.verb();
    let message = format!("{verb} of {id} was begun and has not ended");
    let again = match kind {
        // Retention finds by itself what it has begun.
        RunKind::Prune => "stillpoint prune --yes".to_owned(),
        _ => format!("stillpoint {verb} {id}"),
    };
    let hint = format!("`{again}` goes on with it; `stillpoint status` shows it.");
    Failure::new(Exit::Refused, "other_work", message, hint)
}

fn begun_meanwhile(id: &PointId, kind: RunKind) -> Failure {
    let verb = kind.verb();
    let message = format!("{verb} of {id} was begun or ended by another process after this plan was made");
    let hint = "Run the same command again: it shows where that stands, and what would be done now.";
    Failure::new(Exit::Refused, "other_work", message, hint)
}

fn is_aborting(id: &PointId, kind: RunKind) -> Failure {
    let verb = kind.verb();
    let message = format!("what was begun for {id} is being undone, and that has not ended");
    let hint = format!("First `stillpoint {verb} {id} --abort`; then it can begin anew.");
    Failure::new(Exit::Refused, "aborting", message, hint)
}

/// Reads the log again until the catalog answers, and goes on as the same holder.
async fn again(
    catalog: &Catalog,
    id: &PointId,
    hold: Option<&WorkHold>,
    options: &Options,
    cancel: &CancellationToken,
    mut error: CatalogError,
) -> Result<(PointLog, Run), Failure> {
    let give_up = Instant::now() + CATALOG_PATIENCE.div_f64(options.time_scale);
    loop {
        tokio::select! {
            () = tokio::time::sleep(CATALOG_WAIT.div_f64(options.time_scale)) => {}
            () = cancel.cancelled() => return Err(after_start(catalog_failure(&error))),
        }
        match take_up(catalog, id, hold, options).await {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => return Err(hold::taken(id.as_str(), None)),
            Err(found) if found.retryable() && Instant::now() < give_up => error = found,
            Err(found) => return Err(after_start(catalog_failure(&found))),
        }
    }
}

/// `None`: somebody else has the run now.
async fn take_up(
    catalog: &Catalog,
    id: &PointId,
    hold: Option<&WorkHold>,
    options: &Options,
) -> Result<Option<(PointLog, Run)>, CatalogError> {
    let (mut log, loaded) = PointLog::resume(catalog, id).await?;
    let Some(mut run) = Run::of(loaded.events()) else { return Ok(None) };
    let ours = match (&run.hold, hold) {
        (Some(now), Some(hold)) => now.holder == hold.holder,
        _ => false,
    };
    if run.ended || !ours {
        return Ok(None);
    }
    // It may have run out meanwhile. Whoever wants it as well must win the same number of the log.
    let Some(holder) = hold.map(|hold| hold.holder.clone()) else { return Ok(None) };
    let event = hold::event(&run.id, hold::renewed(&holder, options));
    match log.append(event.clone()).await {
        Ok(()) => {
            run.apply(&event);
            Ok(Some((log, run)))
        }
        Err(error) if error.kind == CatalogErrorKind::Conflict => Ok(None),
        Err(error) => Err(error),
    }
}
