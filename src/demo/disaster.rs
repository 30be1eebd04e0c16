//! The disaster, and the way back: rows deleted, balances overwritten, a table dropped; then `restore`, `verify`, and the
//! bank at work again on its own tables.

use super::restore::Restorer;
use super::{Look, Story, commands, trouble};
use crate::failure::{Exit, Failure};
use std::path::Path;
use std::time::Duration;
use stillpoint_sandbox::Sandbox;
use stillpoint_sandbox::bank::accounts_table;

/// Transfers on the restored tables before the last look.
const TRANSFERS: u64 = 60;
/// They take two seconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// The rest of the story, from a sealed point on.
pub async fn strike_and_restore(
    sandbox: &Sandbox,
    restorer: &Restorer,
    config: &Path,
    expected: i64,
    story: &mut Story,
    say: &mut dyn FnMut(&str),
) -> Result<(), Failure> {
    let id = story.point.id.clone().unwrap_or_default();
    say(&format!("stillpoint prepare {id}"));
    story.point = commands::run(config, &["prepare", &id]).await?;

    say("disaster: rows deleted, balances overwritten, a table dropped; then the pods are scaled to nothing");
    strike(restorer).await?;
    stop_pods(sandbox).await;
    look(restorer, "disaster", expected, story, say).await?;

    say(&format!("stillpoint restore {id} --yes-restore {id}"));
    story.point = commands::run(config, &["restore", &id, "--yes-restore", &id]).await?;
    say(&format!("stillpoint verify {id}"));
    commands::run(config, &["verify", &id]).await?;
    look(restorer, "restore", expected, story, say).await?;

    say("the pods come back, and the bank goes on");
    story.transfers_after = work(sandbox).await?;
    look(restorer, "new_traffic", expected, story, say).await?;
    judge(&story.looks)
}

/// What a person with the wrong script can do in a minute.
async fn strike(restorer: &Restorer) -> Result<(), Failure> {
    restorer.delete_every_other_row(&accounts_table(0)).await?;
    restorer.overwrite_balances(&accounts_table(1)).await?;
    restorer.drop_table(&accounts_table(2)).await
}

async fn stop_pods(sandbox: &Sandbox) {
    sandbox.stop_traffic().await;
    for pod in sandbox.pods() {
        pod.scale_down().await;
    }
}

async fn work(sandbox: &Sandbox) -> Result<u64, Failure> {
    for pod in sandbox.pods() {
        pod.scale_up().await;
    }
    sandbox.start_traffic();
    let bank = sandbox.bank();
    let committed = || bank.as_ref().map_or(0, |bank| bank.stats().committed);
    let give_up = tokio::time::Instant::now() + PATIENCE;
    while committed() < TRANSFERS {
        if tokio::time::Instant::now() >= give_up {
            let slow = std::io::Error::from(std::io::ErrorKind::TimedOut);
            return Err(trouble("the bank does not work on the restored tables", &slow));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    sandbox.stop_traffic().await;
    Ok(committed())
}

async fn look(
    restorer: &Restorer,
    after: &'static str,
    expected: i64,
    story: &mut Story,
    say: &mut dyn FnMut(&str),
) -> Result<(), Failure> {
    let (report, missing_tables) = restorer.read_originals(expected).await?;
    let adds_up = report.is_consistent() && missing_tables.is_empty();
    let look =
        Look { after, expected, found: report.found, missing_tables, anomalies: report.anomalies.len(), adds_up };
    let verdict = if adds_up { "adds up".to_owned() } else { format!("DOES NOT ADD UP{}", gone(&look)) };
    say(&format!("  after {}: {} of {expected}: {verdict}", after.replace('_', " "), look.found));
    story.looks.push(look);
    Ok(())
}

fn gone(look: &Look) -> String {
    if look.missing_tables.is_empty() {
        return String::new();
    }
    format!(", gone: {}", look.missing_tables.join(", "))
}

/// The disaster must be one, and nothing of it may be left.
fn judge(looks: &[Look]) -> Result<(), Failure> {
    let hint = "That must not happen: please report it with the seed.";
    if looks.iter().any(|look| look.after == "disaster" && look.adds_up) {
        let message = "the balances still add up after the disaster, so the demo shows nothing";
        return Err(Failure::new(Exit::Void, "nothing_shown", message, hint));
    }
    match looks.iter().find(|look| look.after != "disaster" && !look.adds_up) {
        None => Ok(()),
        Some(look) => {
            let message = format!("the balances do not add up after {}", look.after.replace('_', " "));
            Err(Failure::new(Exit::Void, "restore_inconsistent", message, hint))
        }
    }
}
