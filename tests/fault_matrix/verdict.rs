//! What is asked of every row, of the sandbox's logs alone.

use crate::support::{Ended, Stage, restore_time};
use serde_json::Value;
use std::time::Duration;
use stillpoint_sandbox::pods::{Event, Mover, PodLog};

/// How soon after a death all pods must be open.
pub const SOON: Duration = Duration::from_secs(2);

/// A time for which a gate was closed by a Pause that was called, not by a stranger in the sandbox itself.
#[derive(Clone, Copy, Debug)]
pub struct Closed {
    pub pod: usize,
    pub from: u64,
    pub to: Option<u64>,
}

/// Every such time of every pod.
pub fn closed(logs: &[PodLog]) -> Vec<Closed> {
    let mut all = Vec::new();
    for log in logs {
        let mut since = None;
        for entry in &log.entries {
            match entry.event {
                Event::GateClosed { mover: Mover::Call { .. } } => since = Some(entry.mono_ns),
                Event::GateOpened { .. } => {
                    all.extend(since.take().map(|from| Closed { pod: log.pod, from, to: Some(entry.mono_ns) }));
                }
                _ => {}
            }
        }
        all.extend(since.map(|from| Closed { pod: log.pod, from, to: None }));
    }
    all
}

/// All gates are open, and the last one was opened at most `within` after `at_ns`.
pub fn open_within(stage: &Stage, at_ns: u64, within: Duration) {
    let limit = at_ns + u64::try_from(within.as_nanos()).unwrap();
    let late: Vec<Closed> =
        closed(&stage.sandbox.logs()).into_iter().filter(|closed| closed.to.is_none_or(|to| to > limit)).collect();
    assert!(late.is_empty(), "left paused, {within:?} after {at_ns}: {late:?}\n{}", log_lines(stage));
}

/// All gates are open now, and none was closed for longer than `max_outage` (and a moment for the guard to act).
pub fn all_open_in_time(stage: &Stage) {
    let most = stage.length("max_outage") + SOON;
    let most = u64::try_from(most.as_nanos()).unwrap();
    let late: Vec<Closed> = closed(&stage.sandbox.logs())
        .into_iter()
        .filter(|closed| closed.to.is_none_or(|to| to - closed.from > most))
        .collect();
    assert!(late.is_empty(), "left paused: {late:?}\n{}", log_lines(stage));
}

/// The points of the catalog, after the judge has looked at each: none may say `recorded` or better of a second in
/// which something happened.
pub async fn points(stage: &Stage) -> Vec<Value> {
    let list = stage.run(&["list"]).await.expect(0);
    let points = list.json["points"].as_array().unwrap().clone();
    for point in &points {
        let good = point["verdict"] == "good" || point["restore_time"].is_string();
        let offences = restore_time(point).map(|t| stage.sandbox.offences(t)).unwrap_or_default();
        assert!(!good || restore_time(point).is_some(), "good without a restore time: {point:#}");
        assert!(offences.is_empty(), "FALSE GOOD: {offences:?}\n{point:#}");
    }
    points
}

/// What a `create` that ended by itself must have left: pods open, its record and its exit code telling the same.
pub async fn create_ended(stage: &Stage, ended: &Ended) {
    all_open_in_time(stage);
    agree(stage, ended).await;
}

/// The record in the catalog and the exit code tell the same, and the judge has nothing against a good one.
pub async fn agree(stage: &Stage, ended: &Ended) {
    let points = points(stage).await;
    let stored = points.iter().find(|point| point["id"] == ended.json["id"]);
    match ended.code {
        Some(0) => {
            let stored = stored.unwrap_or_else(|| panic!("exit 0 and no such point: {:#}", ended.json));
            assert!(matches!(stored["state"].as_str(), Some("recorded" | "sealed")), "{stored:#}");
            assert_eq!(stored["restore_time"], ended.json["restore_time"]);
        }
        Some(1) => {
            assert_eq!(ended.json["verdict"], "void", "{:#}", ended.json);
            assert_ne!(stored.map(|point| &point["verdict"]), Some(&Value::from("good")), "{stored:#?}");
        }
        _ => {}
    }
}

/// The pods' logs, without the traffic.
pub fn log_lines(stage: &Stage) -> String {
    let mut entries: Vec<_> = stage.sandbox.logs().into_iter().flat_map(|log| log.entries).collect();
    entries.retain(|entry| {
        !matches!(
            entry.event,
            Event::TransactionBegan { .. } | Event::TransactionEnded { .. } | Event::TransactionRefused
        )
    });
    entries.sort_by_key(|entry| entry.mono_ns);
    entries.iter().map(|entry| serde_json::to_string(entry).unwrap() + "\n").collect()
}
