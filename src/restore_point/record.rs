//! What goes into a point's log, put together from what a run found and did.

use crate::catalog::{By, OpenedDatabase, OpenedSet, OpenedSettings, OpenedTarget, PointEvent, PointId};
use crate::databases::Surveyed;
use crate::instant;
use crate::note::Process;
use crate::point::{Attempt, Point, StillPeriod};
use crate::restore_point::after::Proven;
use crate::restore_point::attempt::lock_owner;
use crate::restore_point::preflight::Preflight;
use crate::restore_point::report;
use crate::settings::{self, PodSource, Settings, TargetSettings, WindowSettings, duration_text};
use crate::wall;
use crate::window::protocol::{Outcome, Round};
use chrono::{DateTime, Utc};
use provider_api::{Confirmed, DataSet, Mono, UnixNanos};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a log may be without a verdict beyond its windows and what lies between them: preflights, and a slow store.
const LOG_SLACK: Duration = Duration::from_secs(600);

/// For how long a run may write to a log that has no verdict.
pub fn log_life(window: &WindowSettings) -> Duration {
    window_life(window)
        .saturating_add(window.retry_after)
        .saturating_mul(window.attempts.max(1))
        .saturating_add(LOG_SLACK)
}

/// How long one window may last, with its verdict.
pub fn window_life(window: &WindowSettings) -> Duration {
    window.max_outage.saturating_add(window.release_wait).saturating_add(LOG_SLACK / 5)
}

/// The beginning of a log: what will be paused, and what T must be restorable on.
pub fn opened(id: &PointId, settings: &Settings, found: &Preflight, until: DateTime<Utc>) -> PointEvent {
    let all = report::pods(&found.pods, None);
    let target = |target: &TargetSettings| OpenedTarget {
        name: target.name.clone(),
        pods: all.iter().filter(|p| p.target == target.name).cloned().collect(),
        source: source(target),
    };
    PointEvent::Opened {
        id: id.clone(),
        at: Utc::now(),
        by: By {
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            process: Process::this().ok().as_ref().map(lock_owner),
        },
        until: Some(until),
        targets: settings.targets.iter().map(target).collect(),
        databases: databases(&found.surveyed),
        settings: proof_settings(settings),
    }
}

/// What a target's pods are found by, other than their own addresses. Two that are the same ask the same place for the same.
pub fn source(target: &TargetSettings) -> Option<String> {
    match &target.pods {
        PodSource::Addresses(_) => None,
        PodSource::Kubernetes(found) => match &found.selector {
            Some(selector) => Some(format!("pods of {selector} in namespace {}", found.namespace)),
            None => Some(format!("release {} in namespace {}", found.release, found.namespace)),
        },
        PodSource::Srv(srv) => {
            let server = srv.resolver.map(|at| format!(" at {at}")).unwrap_or_default();
            Some(format!("srv {}{server}", srv.name))
        }
    }
}

/// Every database with the data sets that a restore of it must bring back.
pub fn databases(surveyed: &[Surveyed]) -> Vec<OpenedDatabase> {
    surveyed.iter().map(opened_database).collect()
}

/// Whether two looks found the same data sets of the same databases. How far each can be restored changes by itself.
pub fn same_data_sets(before: &[OpenedDatabase], now: &[OpenedDatabase]) -> bool {
    let lasting = |databases: &[OpenedDatabase]| {
        let mut databases = databases.to_vec();
        for set in databases.iter_mut().flat_map(|database| &mut database.data_sets) {
            (set.restorable_from, set.restorable_to) = (None, None);
        }
        databases
    };
    lasting(before) == lasting(now)
}

fn opened_database(one: &Surveyed) -> OpenedDatabase {
    let set = |(set, confirmed): (&DataSet, &Confirmed)| OpenedSet {
        name: set.name.clone(),
        role: set.role,
        id: confirmed.id.clone(),
        restorable_from: confirmed.restorable_from,
        restorable_to: confirmed.restorable_to,
        period_days: confirmed.period_days,
    };
    OpenedDatabase {
        name: one.database.name.clone(),
        provider: one.database.provider.kind().to_owned(),
        description: one.database.provider.to_string(),
        data_sets: one.discovery.data_sets.iter().zip(&one.confirmed).map(set).collect(),
    }
}

fn proof_settings(settings: &Settings) -> OpenedSettings {
    let window = &settings.window;
    let ms = |length: Duration| u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    OpenedSettings {
        hold: match window.hold {
            settings::Hold::Fixed(length) => duration_text(length),
            settings::Hold::Auto => "auto".to_owned(),
        },
        margin_ms: ms(window.margin),
        pod_clock_bound_ms: ms(window.pod_clock_bound),
        require_proof: window.require_proof,
        max_outage_ms: ms(window.max_outage),
        max_pause_wait_time_ms: window.max_pause_wait_time.map(ms),
        check_interval_ms: ms(window.check_interval),
        auto_slack_ms: ms(window.auto_slack),
        ignore: window.ignore.clone(),
    }
}

/// The window's times, for people. An outage that has not ended is counted as far as it has come.
pub fn describe(point: &mut Point, outcome: &Outcome, now: Mono) {
    point.pause_completed = outcome.last_answer.map(wall::text);
    point.unpause_started = outcome.first_unpause.map(wall::text);
    let outage = outage(outcome, now);
    point.outage_ms = outage.map(milliseconds);
    point.client_outage_ms = outage.map(instant::client_outage).map(milliseconds);
}

/// From the first Pause to the last gate proven open, or until now; `None` where nothing was paused.
pub fn outage(outcome: &Outcome, now: Mono) -> Option<Duration> {
    outcome.first_pause.map(|from| outcome.all_open.unwrap_or(now).since(from))
}

/// A good window.
#[derive(Debug)]
pub struct Good<'a> {
    /// What happened in it.
    pub outcome: &'a Outcome,
    /// What it was compared with.
    pub found: &'a Preflight,
    /// What it is worth.
    pub proven: &'a Proven,
    /// Every window of the run, the good one last.
    pub attempts: &'a [Attempt],
    /// The settings.
    pub settings: &'a Settings,
}

impl Good<'_> {
    /// Writes what is proven into the point, all but its state, and returns the event that records it.
    pub fn tell(&self, point: &mut Point) -> PointEvent {
        let Good { outcome, proven, .. } = self;
        let still_period = StillPeriod {
            start: wall::text(proven.still.start),
            end: wall::text(proven.still.end),
            start_mono_ns: proven.still.start.0,
            end_mono_ns: proven.still.end.0,
        };
        let mut clocks = BTreeMap::new();
        for (database, clock) in point.databases.iter_mut().zip(&proven.clocks) {
            database.clock = Some(wall::clock(*clock));
            clocks.insert(database.name.clone(), wall::clock(*clock));
        }
        point.still_period = Some(still_period.clone());
        point.pod_table.clone_from(&proven.pods);
        let restore_time = proven.restore_time;
        point.restore_time = Some(report::service_time(UnixNanos(restore_time.0.saturating_mul(1_000_000_000))));
        PointEvent::Recorded {
            restore_time,
            still_period,
            pause_completed: outcome.last_answer.map(wall::text).unwrap_or_default(),
            unpause_started: outcome.first_unpause.map(wall::text).unwrap_or_default(),
            outage_ms: point.outage_ms.unwrap_or_default(),
            client_outage_ms: point.client_outage_ms.unwrap_or_default(),
            attempts: self.attempts.to_vec(),
            pods: point.pods.clone(),
            clocks,
            warnings: point.warnings.clone(),
            evidence: self.evidence(),
        }
    }

    fn evidence(&self) -> serde_json::Value {
        let Good { outcome, found, proven, settings, .. } = self;
        let round = |round: Option<Round>| {
            round.map(|r| serde_json::json!({ "start_mono_ns": r.start.0, "end_mono_ns": r.end.0 }))
        };
        let clocks: BTreeMap<&str, serde_json::Value> = found
            .surveyed
            .iter()
            .zip(proven.clocks.iter().zip(&proven.clocks_after))
            .map(|(one, (settled, after))| {
                let value = serde_json::json!({ "before": one.clock, "after": after, "settled": settled });
                (one.database.name.as_str(), value)
            })
            .collect();
        serde_json::json!({
            "first_pause_mono_ns": outcome.first_pause.map(|m| m.0),
            "last_answer_mono_ns": outcome.last_answer.map(|m| m.0),
            "first_round": round(outcome.first_round),
            "last_round": round(outcome.last_round),
            "looks": outcome.looks,
            "first_unpause_mono_ns": outcome.first_unpause.map(|m| m.0),
            "all_open_mono_ns": outcome.all_open.map(|m| m.0),
            "clocks": clocks,
            "pods": proven.pods,
            "margin_ms": milliseconds(settings.window.margin),
            "pods_without_proof": found.pods.iter().filter(|p| !p.has_check).map(|p| &p.pod.name).collect::<Vec<_>>(),
        })
    }
}

fn milliseconds(length: Duration) -> f64 {
    length.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use provider_api::Role;

    fn database(sets: &[(&str, &str, i64)]) -> OpenedDatabase {
        let set = |(name, id, to): &(&str, &str, i64)| OpenedSet {
            name: (*name).to_owned(),
            role: Role::User,
            id: (*id).to_owned(),
            restorable_from: Some(UnixNanos(0)),
            restorable_to: Some(UnixNanos(*to)),
            period_days: Some(35),
        };
        OpenedDatabase {
            name: "d".to_owned(),
            provider: "dynamodb".to_owned(),
            description: "somewhere".to_owned(),
            data_sets: sets.iter().map(set).collect(),
        }
    }

    #[test]
    fn a_table_that_came_went_or_was_made_again_is_not_the_same_and_time_alone_changes_nothing() {
        let before = [database(&[("a", "1", 5), ("b", "2", 5)])];
        assert!(same_data_sets(&before, &[database(&[("a", "1", 900), ("b", "2", 901)])]));
        assert!(!same_data_sets(&before, &[database(&[("a", "1", 5), ("b", "2", 5), ("c", "3", 5)])]));
        assert!(!same_data_sets(&before, &[database(&[("a", "1", 5)])]));
        assert!(!same_data_sets(&before, &[database(&[("a", "1", 5), ("b", "9", 5)])]));
    }

    #[test]
    fn an_outage_that_has_not_ended_is_counted_as_far_as_it_has_come() {
        let mut outcome = Outcome::default();
        assert_eq!(outage(&outcome, Mono(9)), None);
        outcome.first_pause = Some(Mono(1_000_000));
        let mut point = Point::default();
        describe(&mut point, &outcome, Mono(3_000_000));
        assert_eq!(point.outage_ms, Some(2.0));
        outcome.all_open = Some(Mono(2_000_000));
        assert_eq!(outage(&outcome, Mono(3_000_000)), Some(Duration::from_millis(1)));
    }
}
