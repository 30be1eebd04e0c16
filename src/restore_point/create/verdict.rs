//! One window, what it is compared with, and its stored verdict.

use super::{Next, Ready, Run, Seen};
use crate::catalog::{CatalogError, CatalogErrorKind, PauseLock, PointEvent, PointLog};
use crate::failure::Exit;
use crate::kubernetes::events::{self, Told};
use crate::kubernetes::{HeldLeases, PodIdentity};
use crate::note::Kind;
use crate::point::{State, Verdict, Violation};
use crate::restore_point::after::{self, Proven};
use crate::restore_point::attempt::{self, Attempt, Attempted};
use crate::restore_point::preflight::{Preflight, catalog_failure};
use crate::restore_point::record::{self, Good};
use crate::restore_point::report;
use crate::window::fault;
use crate::window::violation::Name;
use provider_api::{Context, Mono};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long the comparison of the pods may take once they are open. An API server that is being upgraded is back by then.
pub(super) const SETTLE: Duration = Duration::from_secs(30);

impl Run<'_> {
    pub(super) async fn window(&mut self, ready: &Ready<'_>, seen: &mut Seen<'_>) -> Next {
        let Ready { id, catalog, lock, leases, found } = ready;
        let notes = self.notes.clone();
        let attempt = Attempt {
            settings: self.settings,
            id: id.as_str(),
            kind: Kind::Window,
            hold: attempt::hold(&self.settings.window, &found.surveyed),
            pause_for: None,
            started: Mono::now(),
            pods: &found.pods,
            watched: &found.watched,
            notes: &notes,
            catalog: Some(*catalog),
            leases: Some(*leases),
            max_outage: self.settings.window.max_outage,
        };
        let mut attempted = attempt.run(seen, self.cancel).await;
        self.created.point.pods.clone_from(&attempted.pods);
        attempted.failures.iter().for_each(|failure| self.fail(failure.clone()));
        if attempted.outcome.first_pause.is_none() && !attempted.failures.is_empty() {
            return Next::Stop;
        }
        let over = Mono::now();
        record::describe(&mut self.created.point, &attempted.outcome, over);
        self.outage += record::outage(&attempted.outcome, over).unwrap_or_default();
        let judged = judge(&mut attempted, found, lock, leases, self.settings.window.margin).await;
        let violations = judged.as_ref().err().cloned().unwrap_or_default();
        self.attempts.push(report::attempt(&attempted.outcome, &found.pods, attempt.started, violations));
        fault::point("before:StoreVerdict");
        let stored = match judged {
            Ok(proven) => self.record(&attempted, ready, &proven).await,
            Err(_) => self.append_void().await,
        };
        fault::point("after:StoreVerdict");
        let next = self.conclude(&attempt, stored, &attempted).await;
        self.tell_owners(&attempted, found).await;
        next
    }

    /// Events on what owns the pods, once the pods are open; while one may be paused there is more urgent work.
    async fn tell_owners(&self, attempted: &Attempted, found: &Preflight) {
        if attempted.outcome.first_pause.is_none() || attempted.outcome.all_open.is_none() {
            return;
        }
        let mut pods: Vec<(&str, PodIdentity)> = Vec::new();
        for ready in &found.pods {
            if let Some(identity) = &ready.pod.identity
                && pods.iter().all(|(target, _)| *target != ready.pod.target)
            {
                pods.push((&ready.pod.target, identity.clone()));
            }
        }
        let pods: Vec<PodIdentity> = pods.into_iter().map(|(_, pod)| pod).collect();
        events::tell(&pods, &self.told()).await;
    }

    fn told(&self) -> [Told; 2] {
        let point = &self.created.point;
        let id = point.id.as_deref().unwrap_or("-");
        let outage = point.outage_ms.unwrap_or_default();
        let note =
            format!("Paused with every other pod of the window for {outage} ms, for restore point {id}; open again.");
        let paused = Told { reason: "Paused", warning: false, note };
        let done = match (&self.created.recorded, self.attempts.last()) {
            (Some(_), _) => {
                let restore_time = point.restore_time.as_deref().unwrap_or("-");
                let note = format!("Restore point {id} is recorded, restore time {restore_time}.");
                Told { reason: "RestorePointRecorded", warning: false, note }
            }
            (None, last) => {
                let names = last.iter().flat_map(|last| &last.violations);
                let names: Vec<String> = names.map(|one| format!("{} on {}", one.name, one.subject)).collect();
                let note = format!("The window for {id} proved nothing: {}.", names.join(", "));
                Told { reason: "WindowVoid", warning: true, note }
            }
        };
        [paused, done]
    }

    async fn record(&mut self, attempted: &Attempted, ready: &Ready<'_>, proven: &Proven) -> Result<(), CatalogError> {
        let Some(mut log) = self.log.take() else { return Ok(()) };
        if attempted.outcome.all_open.is_none() {
            self.warn("some pods are not proven open yet: the outage is counted as far as it had come".to_owned());
        }
        let (outcome, found) = (&attempted.outcome, ready.found);
        let good = Good { outcome, found, proven, attempts: &self.attempts, settings: self.settings };
        let mut point = self.created.point.clone();
        let event = good.tell(&mut point);
        if let Err(error) = log.append(event).await {
            arrived_all_the_same(ready, error).await?;
        }
        point.state = Some(State::Recorded);
        point.verdict = Some(Verdict::Good);
        self.created.point = point;
        self.created.recorded = Some((ready.catalog.clone(), ready.id.clone()));
        Ok(())
    }

    async fn append_void(&mut self) -> Result<(), CatalogError> {
        let (Some(log), Some(attempt)) = (&mut self.log, self.attempts.last()) else { return Ok(()) };
        log.append(PointEvent::AttemptVoid { attempt: attempt.clone() }).await
    }

    /// Removes the note when nothing depends on it any more.
    async fn conclude(&mut self, attempt: &Attempt<'_>, stored: Result<(), CatalogError>, left: &Attempted) -> Next {
        if let Err(error) = stored {
            let mut failure = catalog_failure(&error);
            failure.exit = Exit::Void;
            failure.name = "verdict_not_stored".to_owned();
            failure.message = format!("the window is over, but its verdict could not be stored: {}", failure.message);
            self.created.failures.push(failure);
            // The note stays, and whoever finds it ends this log.
            self.log = None;
            return Next::Stop;
        }
        if left.failures.iter().any(|failure| failure.exit == Exit::MaybePaused) {
            return Next::Stop;
        }
        if let Err(error) = attempt.close().await {
            self.warn(format!("the open window note could not be removed: {error}; `stillpoint recover` does it"));
        }
        let done = self.created.recorded.is_some() || self.cancel.is_cancelled();
        if done { Next::Stop } else { Next::Again }
    }
}

async fn judge(
    attempted: &mut Attempted,
    found: &Preflight,
    lock: &PauseLock,
    leases: &HeldLeases,
    margin: Duration,
) -> Result<Proven, Vec<Violation>> {
    if !attempted.outcome.violations.is_empty() {
        return Err(Vec::new());
    }
    // Not cancelled by a signal: the pods are open, and what is proven is worth its comparison.
    let context = Context::new(CancellationToken::new());
    let watching = std::mem::take(&mut attempted.watching);
    let (settled, lost, judged) = tokio::join!(
        watching.settle(SETTLE),
        leases.lost(),
        after::judge(&attempted.outcome, &found.surveyed, lock, margin, &context)
    );
    let lost = lost.into_iter().map(|(lease, why)| after::violation(Name::LockLost, &lease, why));
    let changed = settled.changes.into_iter();
    let changed = changed.map(|change| after::violation(change.name, &change.subject, change.detail));
    let changed: Vec<Violation> = changed.chain(lost).collect();
    match judged {
        Ok(proven) if changed.is_empty() => Ok(Proven { pods: settled.table, ..proven }),
        Ok(_) => Err(changed),
        Err(other) => Err(changed.into_iter().chain(other).collect()),
    }
}

/// An answer that was lost does not mean that the verdict was: the log tells.
async fn arrived_all_the_same(ready: &Ready<'_>, error: CatalogError) -> Result<(), CatalogError> {
    if error.kind != CatalogErrorKind::Unreachable {
        return Err(error);
    }
    match PointLog::resume(ready.catalog, &ready.id).await {
        Ok((log, _)) if log.phase().has_restore_time() => Ok(()),
        _ => Err(error),
    }
}
