//! One window, what it is compared with, and its stored verdict.

use super::{Next, Ready, Run, Seen};
use crate::catalog::{CatalogError, CatalogErrorKind, PauseLock, PointEvent, PointLog};
use crate::failure::Exit;
use crate::note::Kind;
use crate::point::{State, Verdict, Violation};
use crate::restore_point::after::{self, Proven};
use crate::restore_point::attempt::{self, Attempt, Attempted};
use crate::restore_point::preflight::{Preflight, catalog_failure};
use crate::restore_point::record::{self, Good};
use crate::restore_point::report;
use crate::window::fault;
use provider_api::{Context, Mono};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

impl Run<'_> {
    pub(super) async fn window(&mut self, ready: &Ready<'_>, seen: &mut Seen<'_>) -> Next {
        let Ready { id, catalog, lock, found } = ready;
        let notes = self.notes.clone();
        let attempt = Attempt {
            settings: self.settings,
            id: id.as_str(),
            kind: Kind::Window,
            hold: attempt::hold(&self.settings.window, &found.surveyed),
            pause_for: None,
            started: Mono::now(),
            pods: &found.pods,
            notes: &notes,
            catalog: Some(*catalog),
            max_outage: self.settings.window.max_outage,
        };
        let attempted = attempt.run(seen, self.cancel).await;
        self.created.point.pods.clone_from(&attempted.pods);
        attempted.failures.iter().for_each(|failure| self.fail(failure.clone()));
        if attempted.outcome.first_pause.is_none() && !attempted.failures.is_empty() {
            return Next::Stop;
        }
        let over = Mono::now();
        record::describe(&mut self.created.point, &attempted.outcome, over);
        self.outage += record::outage(&attempted.outcome, over).unwrap_or_default();
        let judged = judge(&attempted, found, lock, self.settings.window.margin).await;
        let violations = judged.as_ref().err().cloned().unwrap_or_default();
        self.attempts.push(report::attempt(&attempted.outcome, &found.pods, attempt.started, violations));
        fault::point("before:StoreVerdict");
        let stored = match judged {
            Ok(proven) => self.record(&attempted, ready, &proven).await,
            Err(_) => self.append_void().await,
        };
        fault::point("after:StoreVerdict");
        self.conclude(&attempt, stored, &attempted).await
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
    attempted: &Attempted,
    found: &Preflight,
    lock: &PauseLock,
    margin: Duration,
) -> Result<Proven, Vec<Violation>> {
    if !attempted.outcome.violations.is_empty() {
        return Err(Vec::new());
    }
    // Not cancelled by a signal: the pods are open, and what is proven is worth its comparison.
    let context = Context::new(CancellationToken::new());
    after::judge(&attempted.outcome, &found.surveyed, lock, margin, &context).await
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
