//! What is compared once the pods are open again, and the choice of T.

use crate::catalog::{Holding, PauseLock};
use crate::databases::{self, Surveyed};
use crate::instant::{self, StillPeriod};
use crate::point::{PodRow, Violation};
use crate::restore_point::report::chain;
use crate::window::protocol::Outcome;
use crate::window::violation::Name;
use futures::future::join_all;
use provider_api::{ClockInterval, Context, ProviderError, RestoreTime};
use std::time::Duration;

/// What a good window is worth.
#[derive(Clone, Debug)]
pub struct Proven {
    /// What is proven quiet.
    pub still: StillPeriod,
    /// T.
    pub restore_time: RestoreTime,
    /// The settled clock of each database, in order.
    pub clocks: Vec<ClockInterval>,
    /// The clocks as measured after the window.
    pub clocks_after: Vec<ClockInterval>,
    /// Every pod before and after, where something can tell.
    pub pods: Vec<PodRow>,
}

/// Compares everything with the preflight and chooses T. The clocks come first: they are worth the more, the nearer to
/// the window they are measured.
pub async fn judge(
    outcome: &Outcome,
    before: &[Surveyed],
    lock: &PauseLock,
    margin: Duration,
    context: &Context,
) -> Result<Proven, Vec<Violation>> {
    let mut violations = Vec::new();
    let clocks_after = clocks(before, context, &mut violations).await;
    violations.extend(lock_violation(lock).await);
    for one in before {
        violations.extend(schema_violations(one, context).await);
    }
    let still = match (outcome.first_round, outcome.last_round) {
        (Some(first), Some(last)) => StillPeriod { start: first.end, end: last.start },
        _ => {
            // A window without violations has both. Were it not so, it must not pass for a good one.
            violations.push(violation(Name::NoSafeSecond, "-", "no period was proven still"));
            return Err(violations);
        }
    };
    let clocks = settle(before, &clocks_after, margin, &mut violations);
    if !violations.is_empty() {
        return Err(violations);
    }
    match instant::choose(still, &clocks, margin) {
        Ok(restore_time) => Ok(Proven { still, restore_time, clocks, clocks_after, pods: Vec::new() }),
        Err(error) => Err(vec![violation(Name::NoSafeSecond, "-", error.to_string())]),
    }
}

async fn clocks(before: &[Surveyed], context: &Context, violations: &mut Vec<Violation>) -> Vec<ClockInterval> {
    let measured = join_all(before.iter().map(|one| one.database.provider.clock(context))).await;
    let mut clocks = Vec::new();
    for (one, result) in before.iter().zip(measured) {
        match result {
            Ok(clock) => clocks.push(clock),
            Err(error) => violations.push(violation(Name::ClockUnsure, &one.database.name, chain(&error))),
        }
    }
    clocks
}

fn settle(
    before: &[Surveyed],
    after: &[ClockInterval],
    margin: Duration,
    violations: &mut Vec<Violation>,
) -> Vec<ClockInterval> {
    let mut settled = Vec::new();
    for (one, after) in before.iter().zip(after) {
        match instant::settle(one.clock, *after, margin) {
            Ok(clock) => settled.push(clock),
            Err(error) => violations.push(violation(Name::ClockUnsure, &one.database.name, error.to_string())),
        }
    }
    settled
}

async fn lock_violation(lock: &PauseLock) -> Option<Violation> {
    let detail = match lock.still_held().await {
        Ok(Holding::Held) => return None,
        Ok(Holding::Expired) => "its time passed before the window was over".to_owned(),
        Ok(Holding::Lost { by: Some(owner) }) => format!("process {} on {} took it", owner.pid, owner.host),
        Ok(Holding::Lost { by: None }) => "it was released by somebody else".to_owned(),
        Err(error) => format!("it could not be read again: {}", chain(&error)),
    };
    Some(violation(Name::LockLost, "pause lock", detail))
}

async fn schema_violations(one: &Surveyed, context: &Context) -> Vec<Violation> {
    let provider = &one.database.provider;
    let again = async {
        let discovery = provider.discover(context).await?;
        let confirmed = provider.confirm(context, &discovery.data_sets).await?;
        Ok::<_, ProviderError>((discovery, confirmed))
    };
    match again.await {
        Ok((discovery, confirmed)) => databases::differences(one, &discovery, &confirmed)
            .into_iter()
            .map(|(set, detail)| violation(Name::SchemaChanged, &set, detail))
            .collect(),
        Err(error) => {
            let detail = format!("the data sets could not be compared with the preflight's: {}", chain(&error));
            vec![violation(Name::SchemaChanged, &one.database.name, detail)]
        }
    }
}

/// A violation found outside the window's own protocol.
pub fn violation(name: Name, subject: &str, detail: impl Into<String>) -> Violation {
    Violation { name: name.to_string(), subject: subject.to_owned(), detail: detail.into() }
}
