//! From attempt to attempt, until a window is good or no more is allowed.

use super::{Next, Ready, Run, Seen};
use crate::catalog::{Catalog, PauseLock, PointEvent, PointId, PointLog};
use crate::failure::{Exit, Failure};
use crate::kubernetes::HeldLeases;
use crate::point::{self, Attempt, State, Verdict};
use crate::restore_point::preflight::{self, Preflight, catalog_failure};
use crate::restore_point::{attempt, record, report};
use crate::window::fault;
use crate::window::violation::Name;
use chrono::{TimeDelta, Utc};
use std::time::Duration;

impl Run<'_> {
    pub(super) async fn attempts(&mut self, seen: &mut Seen<'_>) {
        let window = &self.settings.window;
        for left in (0..window.attempts.max(1)).rev() {
            if self.attempt(seen).await == Next::Stop || left == 0 {
                break;
            }
            if self.outage >= window.outage_budget {
                self.warn("no further attempt: the outage budget is used up".to_owned());
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(window.retry_after) => {}
                () = self.cancel.cancelled() => break,
            }
        }
        self.created.point.attempts = self.attempts.clone();
        if self.created.recorded.is_none() {
            self.end().await;
        }
    }

    async fn attempt(&mut self, seen: &mut Seen<'_>) -> Next {
        let mut found = preflight::run(self.settings, self.databases, Some(&self.notes), self.cancel).await;
        self.created.point.databases = report::databases(&found.surveyed);
        if self.refused(&mut found) {
            return Next::Stop;
        }
        let Some(catalog) = found.catalog.clone() else { return Next::Stop };
        let lock = match attempt::lock(&catalog, &self.settings.window).await {
            Ok(lock) => lock,
            Err(failure) => {
                self.fail(failure);
                return Next::Stop;
            }
        };
        let next = match HeldLeases::take(self.settings, lock.nonce()).await {
            Ok(leases) => {
                let next = self.locked(&mut found, &catalog, (&lock, &leases), seen).await;
                if let Err(error) = leases.release().await {
                    self.warn(format!("a Lease could not be given back and goes stale: {error}"));
                }
                next
            }
            Err(failure) => {
                self.fail(failure);
                Next::Stop
            }
        };
        if let Err(error) = lock.release().await {
            self.warn(format!("the pause lock could not be released and will run out: {}", report::chain(&error)));
        }
        next
    }

    async fn locked(
        &mut self,
        found: &mut Preflight,
        catalog: &Catalog,
        (lock, leases): (&PauseLock, &HeldLeases),
        seen: &mut Seen<'_>,
    ) -> Next {
        let id = match self.open(catalog, found).await {
            Ok(id) => id,
            Err(failure) => {
                self.fail(failure);
                return Next::Stop;
            }
        };
        if found.is_stale() {
            found.look(self.settings, Some(&self.notes), self.cancel).await;
            if self.refused(found) {
                return Next::Stop;
            }
        }
        self.window(&Ready { id, catalog, lock, leases, found }, seen).await
    }

    /// Whether the preflight found anything that forbids a window. Takes over what it found.
    fn refused(&mut self, found: &mut Preflight) -> bool {
        self.created.point.pods.clone_from(&found.seen);
        found.warnings.iter().for_each(|warning| self.warn(warning.clone()));
        let failures = std::mem::take(&mut found.failures);
        let refused = !failures.is_empty();
        failures.into_iter().for_each(|failure| self.fail(failure));
        refused
    }

    /// A point's log begins before its first window, and holds the data sets that were found then. Where they have changed
    /// since, as by what made the last window void, this point ends and another begins; also where the next window could
    /// end after the time for which others leave the log to this run.
    async fn open(&mut self, catalog: &Catalog, found: &Preflight) -> Result<PointId, Failure> {
        let databases = record::databases(&found.surveyed);
        let window = &self.settings.window;
        let same = record::same_data_sets(&self.opened, &databases);
        if let Some(log) = &self.log
            && same
            && Utc::now() + length(record::window_life(window)) < self.until
        {
            return Ok(log.id().clone());
        }
        if let Some(log) = self.log.take() {
            let why = if same { "its time is over" } else { "the data sets have changed" };
            self.warn(format!("{why}: {} ends as void, and another point is begun", log.id()));
            self.end_log(log, None).await;
        }
        let id = PointId::manual(Utc::now());
        self.until = Utc::now() + length(record::log_life(window));
        let opened = record::opened(&id, self.settings, found, self.until);
        let log = PointLog::create(catalog, &id, opened).await.map_err(|error| catalog_failure(&error))?;
        fault::point("after:OpenPoint");
        self.log = Some(log);
        self.opened = databases;
        self.created.point.id = Some(id.to_string());
        Ok(id)
    }

    /// Ends what was begun without a good window.
    async fn end(&mut self) {
        let log = self.log.take();
        if log.is_none() && self.attempts.is_empty() {
            return;
        }
        self.created.point.state = Some(State::Void);
        self.created.point.verdict = Some(Verdict::Void);
        let cancelled = self.cancel.is_cancelled();
        if let Some(failure) = why_void(&self.attempts, &self.created.failures, cancelled) {
            self.created.failures.insert(0, failure);
        }
        if let Some(log) = log {
            let error = self.created.failures.first().map(Failure::report);
            self.end_log(log, error).await;
        }
    }

    async fn end_log(&mut self, mut log: PointLog, error: Option<point::ErrorReport>) {
        let point = &self.created.point;
        let (pods, warnings) = (point.pods.clone(), point.warnings.clone());
        let event = PointEvent::Void { attempts: self.attempts.clone(), pods, warnings, error };
        if let Err(error) = log.append(event).await {
            self.warn(format!("the void run could not be recorded: {}", report::chain(&error)));
        }
    }

    /// After the first window nothing is refused "before anything was touched" any more.
    pub(super) fn fail(&mut self, mut failure: Failure) {
        if !self.attempts.is_empty() && failure.exit == Exit::Refused {
            failure.exit = Exit::Void;
        }
        self.created.failures.push(failure);
    }

    pub(super) fn warn(&mut self, warning: String) {
        if !self.created.point.warnings.contains(&warning) {
            self.created.point.warnings.push(warning);
        }
    }
}

fn length(length: Duration) -> TimeDelta {
    TimeDelta::from_std(length).unwrap_or(TimeDelta::weeks(52))
}

/// `None`: the last window was good, or there was none, and what went wrong is said already.
pub(super) fn why_void(attempts: &[Attempt], failures: &[Failure], cancelled: bool) -> Option<Failure> {
    let last = attempts.last().filter(|last| last.verdict == Verdict::Void)?;
    let reasons: Vec<String> =
        last.violations.iter().map(|v| format!("{} on {}: {}", v.name, v.subject, v.detail)).collect();
    let cancelled = cancelled || last.violations.iter().any(|v| v.name == Name::Cancelled.as_str());
    let name = if cancelled { "cancelled" } else { "void" };
    let message = format!("no window was proven in {} attempt(s): {}", attempts.len(), reasons.join("; "));
    let unproven = failures.iter().any(|f| f.exit == Exit::MaybePaused);
    let hint = if unproven {
        "Nothing was recorded as good. See to the pods first."
    } else {
        "Nothing was recorded as good. docs/runbook.md says what each violation means, and what to do."
    };
    Some(Failure::new(Exit::Void, name, message, hint))
}
