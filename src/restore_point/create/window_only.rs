//! A window without a restore point: pods are paused, kept still, proven so and released, and nothing is chosen or
//! recorded. For databases that Stillpoint does not know: whoever asked has the two times, and their proof.

use super::attempts::why_void;
use super::verdict::SETTLE;
use super::{Created, Next, Seen, state_failure};
use crate::catalog::{PointId, nonce};
use crate::failure::Exit;
use crate::kubernetes::HeldLeases;
use crate::note::{Kind, LocalNotes};
use crate::point::{StillPeriod, Verdict, Violation};
use crate::restore_point::after::violation;
use crate::restore_point::attempt::{self, Attempt, Attempted};
use crate::restore_point::preflight::Preflight;
use crate::restore_point::{record, report};
use crate::settings::Settings;
use crate::wall;
use crate::window::protocol::Outcome;
use crate::window::violation::Name;
use chrono::Utc;
use provider_api::Mono;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Tries windows until one is proven. No database is asked, and the catalog takes neither note nor verdict; what dead
/// runs left in the state folder is released first. The point has no id and no state.
pub async fn window_only(settings: &Settings, cancel: &CancellationToken, seen: &mut Seen<'_>) -> Created {
    let mut created = Created::default();
    let notes = match LocalNotes::open(&settings.state_dir) {
        Ok(notes) => notes,
        Err(error) => return created.failed(state_failure(&error)),
    };
    let Some(_owner) = created.own(settings, &notes, cancel).await else { return created };
    let mut run = WindowOnly { settings, notes, cancel, outage: Duration::ZERO, created };
    run.attempts(seen).await;
    run.created
}

struct WindowOnly<'a> {
    settings: &'a Settings,
    notes: LocalNotes,
    cancel: &'a CancellationToken,
    outage: Duration,
    created: Created,
}

impl WindowOnly<'_> {
    async fn attempts(&mut self, seen: &mut Seen<'_>) {
        let window = &self.settings.window;
        for left in (0..window.attempts.max(1)).rev() {
            if self.attempt(seen).await == Next::Stop || left == 0 {
                break;
            }
            if self.outage >= window.outage_budget {
                self.created.point.warnings.push("no further attempt: the outage budget is used up".to_owned());
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(window.retry_after) => {}
                () = self.cancel.cancelled() => break,
            }
        }
        let Created { point, failures, .. } = &mut self.created;
        point.verdict = point.attempts.last().map(|last| last.verdict);
        if let Some(failure) = why_void(&point.attempts, failures, self.cancel.is_cancelled()) {
            failures.insert(0, failure);
        }
    }

    async fn attempt(&mut self, seen: &mut Seen<'_>) -> Next {
        let mut found = Preflight::default();
        found.look(self.settings, Some(&self.notes), self.cancel).await;
        self.created.point.pods.clone_from(&found.seen);
        for warning in &found.warnings {
            if !self.created.point.warnings.contains(warning) {
                self.created.point.warnings.push(warning.clone());
            }
        }
        if !found.failures.is_empty() {
            let touched = !self.created.point.attempts.is_empty();
            for mut failure in found.failures {
                // After the first window nothing is refused "before anything was touched" any more.
                if touched && failure.exit == Exit::Refused {
                    failure.exit = Exit::Void;
                }
                self.created.failures.push(failure);
            }
            return Next::Stop;
        }
        let leases = match HeldLeases::take(self.settings, &nonce()).await {
            Ok(leases) => leases,
            Err(failure) => {
                self.created.failures.push(failure);
                return Next::Stop;
            }
        };
        let next = self.window(&found, &leases, seen).await;
        if let Err(error) = leases.release().await {
            self.created.point.warnings.push(format!("a Lease could not be given back and goes stale: {error}"));
        }
        next
    }

    async fn window(&mut self, found: &Preflight, leases: &HeldLeases, seen: &mut Seen<'_>) -> Next {
        let id = PointId::manual(Utc::now()).as_str().replacen("manual-", "window-", 1);
        let notes = self.notes.clone();
        let attempt = Attempt {
            settings: self.settings,
            id: &id,
            kind: Kind::Window,
            hold: attempt::hold(&self.settings.window, &[]),
            pause_for: None,
            started: Mono::now(),
            pods: &found.pods,
            watched: &found.watched,
            notes: &notes,
            catalog: None,
            leases: Some(leases),
            max_outage: self.settings.window.max_outage,
        };
        let Attempted { outcome, pods, watching, failures } = attempt.run(seen, self.cancel).await;
        let maybe_paused = failures.iter().any(|failure| failure.exit == Exit::MaybePaused);
        let not_begun = outcome.first_pause.is_none() && !failures.is_empty();
        self.created.point.pods = pods;
        self.created.failures.extend(failures);
        if not_begun {
            return Next::Stop;
        }
        let over = Mono::now();
        record::describe(&mut self.created.point, &outcome, over);
        self.outage += record::outage(&outcome, over).unwrap_or_default();
        let (still, mut later, mut table) = (still_period(&outcome), Vec::new(), Vec::new());
        if outcome.violations.is_empty() {
            let settled = watching.settle(SETTLE).await;
            later.extend(settled.changes.into_iter().map(told));
            let lost = leases.lost().await.into_iter();
            later.extend(lost.map(|(lease, why)| violation(Name::LockLost, &lease, why)));
            table = settled.table;
        }
        if still.is_none() && outcome.violations.is_empty() {
            // A window without violations has one. Were it not so, it must not pass for a good one.
            later.push(violation(Name::NoSafeSecond, "-", "no period was proven still"));
        }
        let judged = report::attempt(&outcome, &found.pods, attempt.started, later);
        let good = judged.verdict == Verdict::Good;
        if good {
            self.created.point.still_period = still;
            self.created.point.pod_table = table;
        }
        self.created.point.attempts.push(judged);
        if maybe_paused {
            return Next::Stop;
        }
        if let Err(error) = attempt.close().await {
            let warning = format!("the open window note could not be removed: {error}; `stillpoint recover` does it");
            self.created.point.warnings.push(warning);
        }
        if good || self.cancel.is_cancelled() { Next::Stop } else { Next::Again }
    }
}

fn told(change: crate::window::protocol::PodsChange) -> Violation {
    violation(change.name, &change.subject, change.detail)
}

fn still_period(outcome: &Outcome) -> Option<StillPeriod> {
    let (start, end) = (outcome.first_round?.end, outcome.last_round?.start);
    Some(StillPeriod { start: wall::text(start), end: wall::text(end), start_mono_ns: start.0, end_mono_ns: end.0 })
}
