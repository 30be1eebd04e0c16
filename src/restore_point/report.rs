//! A run's findings in the words of the JSON: pods, data sets, violations, failures.

use crate::databases::Surveyed;
use crate::failure::{Exit, Failure};
use crate::point::{self, Attempt, DataSetReport, Pod, PodState, Verdict};
use crate::target::ReadyPod;
use crate::wall;
use crate::window::protocol::{Gate, Outcome, Window};
use crate::window::release::PodIndex;
use provider_api::{Confirmed, Mono, UnixNanos};

/// Every pod, with its gate as the window left it; before a window all are open, as the preflight saw them.
pub fn pods(pods: &[ReadyPod], window: Option<&Window>) -> Vec<Pod> {
    let gate = |i| window.map_or(Gate::Open, |w| w.gate(PodIndex(i)));
    let report = |(i, ready): (usize, &ReadyPod)| Pod {
        name: ready.pod.name.clone(),
        target: ready.pod.target.clone(),
        address: ready.pod.address.clone(),
        state: state(gate(i)),
    };
    pods.iter().enumerate().map(report).collect()
}

fn state(gate: Gate) -> PodState {
    match gate {
        Gate::Open => PodState::Open,
        Gate::Paused => PodState::Paused,
        Gate::MaybePaused => PodState::MaybePaused,
        Gate::PausedByOther => PodState::PausedByOther,
        Gate::Gone => PodState::Gone,
    }
}

/// Whether a pod may be paused by our doing.
pub fn may_be_paused(gate: Gate) -> bool {
    matches!(gate, Gate::Paused | Gate::MaybePaused)
}

/// One window for the record.
pub fn attempt(outcome: &Outcome, pods: &[ReadyPod], started: Mono, later: Vec<point::Violation>) -> Attempt {
    let named = |pod: Option<PodIndex>| {
        pod.and_then(|p| pods.get(p.0)).map_or_else(|| "-".to_owned(), |ready| ready.pod.name.clone())
    };
    let own = outcome.violations.iter().map(|v| point::Violation {
        name: v.name.to_string(),
        subject: v.subject.clone().unwrap_or_else(|| named(v.pod)),
        detail: v.detail.clone(),
    });
    let violations: Vec<_> = own.chain(later).collect();
    let verdict = if violations.is_empty() { Verdict::Good } else { Verdict::Void };
    Attempt { started: wall::text(started), verdict, violations }
}

/// The databases as the preflight found them.
pub fn databases(surveyed: &[Surveyed]) -> Vec<point::Database> {
    let report = |one: &Surveyed| point::Database {
        name: one.database.name.clone(),
        provider: one.database.provider.kind().to_owned(),
        clock: Some(wall::clock(one.clock)),
        data_sets: one.confirmed.iter().map(confirmed).collect(),
    };
    surveyed.iter().map(report).collect()
}

fn confirmed(set: &Confirmed) -> DataSetReport {
    DataSetReport {
        name: set.name.clone(),
        id: Some(set.id.clone()),
        state: Some("confirmed".to_owned()),
        restorable_from: set.restorable_from.map(service_time),
        restorable_to: set.restorable_to.map(service_time),
        reason: None,
    }
}

/// A moment on a database's clock.
pub fn service_time(at: UnixNanos) -> String {
    wall::rfc3339(chrono::DateTime::from_timestamp_nanos(at.0))
}

/// The failure that outranks all: these pods are not proven open.
pub fn maybe_paused(unproven: &[&str], guard_goes_on: Result<(), String>) -> Failure {
    let message = format!("{} pod(s) may still be paused: {}", unproven.len(), unproven.join(", "));
    let hint = match &guard_goes_on {
        Ok(()) => {
            "The guard goes on unpausing them; `stillpoint status` shows it. To open a pod by hand: `stillpoint unpause --address HOST:PORT`."
        }
        Err(_) => {
            "No guard is left to do it. Run `stillpoint recover` now, or `stillpoint unpause --address HOST:PORT` for each pod."
        }
    };
    let mut failure = Failure::new(Exit::MaybePaused, "maybe_paused", message, hint);
    failure.causes.extend(guard_goes_on.err());
    failure
}

/// An error with its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
