//! The demo's story, on a sandbox: traffic, a restore point made by this same program's own commands, restores of every
//! table to T and to seconds in full traffic, each read through ScalarDB's recovery rules; then a disaster, and the way
//! back under the original names.

mod commands;
mod disaster;
mod restore;
mod seconds;

use crate::failure::{Exit, Failure};
use crate::point::Point;
use restore::Restorer;
use serde::Serialize;
use std::time::Duration;
use stillpoint_sandbox::bank::AuditReport;
use stillpoint_sandbox::{Sandbox, SandboxConfig};
use tokio_util::sync::CancellationToken;

/// Seconds in full traffic that are tried.
const TRAFFIC_SECONDS: usize = 8;
/// Traffic before the restore point, so that there are seconds to choose from.
const TRAFFIC_BEFORE: Duration = Duration::from_secs(10);
/// 300 s of PITR lag become 2.5 s, restores of minutes become seconds.
const TIME_SCALE: f64 = 120.0;

/// Any key will do for the sandbox; the SDK wants one to sign with.
pub const CREDENTIALS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "sandbox"), ("AWS_SECRET_ACCESS_KEY", "sandbox")];

/// A restore to one second, read through recovery.
#[derive(Clone, Debug, Serialize)]
pub struct Audited {
    /// The second, RFC 3339, on the database's clock.
    pub at: String,
    /// Whether it is the restore point's T.
    pub is_restore_time: bool,
    /// Sum of all balances that there should be.
    pub expected: i64,
    /// Sum of all balances found.
    pub found: i64,
    /// Records whose transaction was in doubt and was decided by the coordinator.
    pub in_doubt: usize,
    /// Records that no recovery can explain.
    pub anomalies: usize,
    /// Whether the balances add up.
    pub adds_up: bool,
}

/// The bank's own tables, read through recovery.
#[derive(Clone, Debug, Serialize)]
pub struct Look {
    /// After what: `disaster`, `restore`, `new_traffic`.
    pub after: &'static str,
    /// Sum of all balances that there should be.
    pub expected: i64,
    /// Sum of all balances found.
    pub found: i64,
    /// Tables that are not there.
    pub missing_tables: Vec<String>,
    /// Records that no recovery can explain.
    pub anomalies: usize,
    /// Whether every table is there and the balances add up.
    pub adds_up: bool,
}

/// What the demo showed.
#[derive(Clone, Debug, Default)]
pub struct Story {
    /// The restore point.
    pub point: Point,
    /// Every second that was tried, T first.
    pub audits: Vec<Audited>,
    /// The bank's own tables, step by step.
    pub looks: Vec<Look>,
    /// Transfers that were committed on the restored tables.
    pub transfers_after: u64,
    /// Why it did not show what it should.
    pub failures: Vec<Failure>,
}

/// Tells the story. `say` gets one line for each step, for people.
pub async fn tell(seed: u64, cancel: &CancellationToken, say: &mut dyn FnMut(&str)) -> Story {
    let mut story = Story::default();
    let ended = tokio::select! {
        result = chapters(seed, &mut story, say) => result,
        () = cancel.cancelled() => Err(Failure::new(Exit::Void, "cancelled", "the demo was stopped", "Run it again.")),
    };
    story.failures.extend(ended.err());
    story
}

async fn chapters(seed: u64, story: &mut Story, say: &mut dyn FnMut(&str)) -> Result<(), Failure> {
    let folder = tempfile::tempdir().map_err(|e| trouble("cannot make a folder for the demo", &e))?;
    say(&format!(
        "starting the sandbox: 3 pods, bank traffic, DynamoDB over the wire (seed {seed}, lags 1:{TIME_SCALE})"
    ));
    let config = SandboxConfig::default().with_seed(seed).with_time_scale(TIME_SCALE);
    let (expected, tables) = (config.bank.total(), config.bank.table_names());
    let sandbox = Sandbox::start(config).await.map_err(|e| trouble("the sandbox did not start", &e))?;
    let file = folder.path().join("stillpoint.toml");
    let toml = sandbox.ready_config(folder.path());
    std::fs::write(&file, toml).map_err(|e| trouble("cannot write the demo's configuration", &e))?;
    say(&format!("letting traffic run for {} s", TRAFFIC_BEFORE.as_secs()));
    tokio::time::sleep(TRAFFIC_BEFORE).await;

    say("stillpoint create --wait sealed");
    story.point = commands::run(&file, &["create", "--wait", "sealed"]).await?;
    let t = restore_time(&story.point)?;
    say(&format!("restore point {}: T = {}", story.point.id.as_deref().unwrap_or("-"), seconds::text(t)));

    let region = &sandbox.config().database.region;
    let restorer = Restorer::new(&sandbox.endpoint(), region, tables);
    let others = seconds::in_traffic(seed, TRAFFIC_SECONDS, restorer.traffic(&story.point)?);
    say(&format!("restoring every table to T, and to {} other seconds, under scratch names", others.len()));
    story.audits = audits(&restorer, t, &others, expected, say).await?;
    judge(&story.audits)?;
    disaster::strike_and_restore(&sandbox, &restorer, &file, expected, story, say).await?;
    sandbox.stop().await;
    Ok(())
}

async fn audits(
    restorer: &Restorer,
    t: i64,
    others: &[i64],
    expected: i64,
    say: &mut dyn FnMut(&str),
) -> Result<Vec<Audited>, Failure> {
    let mut audits = Vec::new();
    let all: Vec<i64> = std::iter::once(t).chain(others.iter().copied()).collect();
    // DynamoDB runs 50 restores at once in an account; a batch stays below that.
    for batch in all.chunks(restorer.seconds_at_once()) {
        let reports = restorer.restore_and_read(batch, expected).await?;
        for (second, report) in batch.iter().zip(reports) {
            let audited = audited(*second, *second == t, &report);
            say(&line(&audited));
            audits.push(audited);
        }
    }
    Ok(audits)
}

fn audited(second: i64, is_restore_time: bool, report: &AuditReport) -> Audited {
    Audited {
        at: seconds::text(second),
        is_restore_time,
        expected: report.expected,
        found: report.found,
        in_doubt: report.in_doubt(),
        anomalies: report.anomalies.len(),
        adds_up: report.is_consistent(),
    }
}

fn line(audited: &Audited) -> String {
    let what = if audited.is_restore_time { "T" } else { "in traffic" };
    let verdict = if audited.adds_up { "adds up" } else { "DOES NOT ADD UP" };
    format!("  {} {what:>10}: {} of {}: {verdict}", audited.at, audited.found, audited.expected)
}

/// T must add up, and at least one second in full traffic must not: else the demo shows nothing.
fn judge(audits: &[Audited]) -> Result<(), Failure> {
    let t_adds_up = audits.iter().any(|a| a.is_restore_time && a.adds_up);
    let traffic_breaks = audits.iter().any(|a| !a.is_restore_time && !a.adds_up);
    if !t_adds_up {
        let hint = "That must not happen: please report it with the seed.";
        return Err(Failure::new(Exit::Void, "t_inconsistent", "the balances do not add up at T", hint));
    }
    if !traffic_breaks {
        let message = "every second that was tried adds up, so the demo shows no difference";
        return Err(Failure::new(Exit::Void, "nothing_shown", message, "Run it again with another --seed."));
    }
    Ok(())
}

fn restore_time(point: &Point) -> Result<i64, Failure> {
    let text = point.restore_time.as_deref().unwrap_or_default();
    let parsed = chrono::DateTime::parse_from_rfc3339(text).map(|t| t.timestamp());
    parsed.map_err(|e| trouble("the restore point has no restore time", &e))
}

fn trouble(what: &str, cause: &dyn std::error::Error) -> Failure {
    let hint = "The demo needs loopback ports and a temporary folder; nothing outside this machine.";
    let mut failure = Failure::new(Exit::Void, "demo_failed", what, hint);
    failure.causes.push(crate::restore_point::report::chain(cause));
    failure
}
