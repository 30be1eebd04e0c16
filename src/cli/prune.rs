//! `prune`: says which points retention would remove, and removes them if it is told to.

use super::args::{Context, LogFormat};
use super::failures::Failures;
use super::output::{Body, Prune, PrunePoint, Report};
use super::signals;
use super::units::Units;
use crate::catalog::{self, Catalog};
use crate::databases::{self, Database};
use crate::failure::{Exit, Failure};
use crate::restore_point::preflight::{catalog_failure, open_catalog};
use crate::restore_point::prune::plan::{self, Fate, Retention};
use crate::restore_point::prune::{self, Plan, Planned};
use crate::settings::{LEAST_KEEP, MOST_KEEP, Needs, duration_text};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// `prune`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Remove only points older than this, e.g. 30d; goes before [prune] keep
    #[arg(long, value_name = "DURATION", value_parser = keep)]
    pub keep: Option<Duration>,
    /// Keep so many of the newest points that can be restored, whatever their age; goes before [prune] keep_last
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep_last: Option<u32>,
    /// Only say what would be removed: the default
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
    /// Remove it: the backups that `prepare` made for these points are deleted for good
    #[arg(long)]
    pub yes: bool,
}

fn keep(text: &str) -> Result<Duration, String> {
    let length = super::args::length(text)?;
    if (LEAST_KEEP..=MOST_KEEP).contains(&length) {
        return Ok(length);
    }
    Err(format!("write a length from {} to {}; `m` are minutes", duration_text(LEAST_KEEP), duration_text(MOST_KEEP)))
}

/// Says it, and with `--yes` does it. A repeat goes on with what was begun, and then finds nothing to do.
pub async fn run(context: &Context, args: &Args) -> Result<Report, Failures> {
    let (settings, warnings) = context.settings(Needs::DATABASES, |_| {})?;
    let retention =
        Retention { keep: args.keep.or(settings.prune.keep), keep_last: args.keep_last.or(settings.prune.keep_last) };
    if !retention.is_set() {
        let hint = "Say how long points are kept: --keep 30d, --keep-last 7, or both; or [prune] keep and keep_last in the file.";
        let message = "nothing says how long points are kept, so nothing is removed";
        return Err(Failure::new(Exit::Usage, "no_retention", message, hint).into());
    }
    let catalog = open_catalog(&settings).await?;
    let databases = databases::build(&settings.databases, settings.time_scale).await?;
    let cancel = signals::cancellation();
    let provider = provider_api::Context::new(cancel.clone());
    let plan = prune::look(&catalog, &databases, &retention, &provider).await?;
    let mut report = reported(&plan, &retention, !args.yes);
    report.warnings.splice(0..0, warnings);
    let mut failures = Failures::none();
    if args.yes {
        let going: Vec<_> = going(&plan).map(|planned| &planned.loaded).collect();
        prune::preflight(&going, &databases, &provider).await?;
        say(context, &plan);
        let work =
            Work { context, catalog: &catalog, databases: &databases, retention, time_scale: settings.time_scale };
        failures = work.run(&plan, &mut report, &cancel).await;
    }
    Ok(Report { body: Body::Prune(report), failures })
}

fn going(plan: &Plan) -> impl Iterator<Item = &Planned> {
    plan.points.iter().filter(|planned| matches!(planned.fate, Fate::Prune(_)))
}

fn reported(plan: &Plan, retention: &Retention, dry_run: bool) -> Prune {
    let point = |planned: &Planned| {
        let (action, reason) = match &planned.fate {
            Fate::Keep(why) => ("keep", why),
            Fate::Prune(why) => ("would_prune", why),
        };
        PrunePoint {
            id: planned.loaded.id.to_string(),
            state: planned.loaded.point.state,
            restore_time: planned.loaded.point.restore_time.clone(),
            age_seconds: planned.age_seconds,
            backups: planned.backups,
            action: action.to_owned(),
            reason: reason.clone(),
        }
    };
    Prune {
        dry_run: Some(dry_run),
        keep: retention.keep.map(plan::text),
        keep_last: retention.keep_last,
        points: plan.points.iter().map(point).collect(),
        exit_code: 0,
        warnings: plan.warnings.clone(),
        error: None,
    }
}

/// The plan, before anything is done.
fn say(context: &Context, plan: &Plan) {
    for planned in going(plan) {
        let Fate::Prune(why) = &planned.fate else { continue };
        let id = &planned.loaded.id;
        match context.global.log_format {
            LogFormat::Text => eprintln!("will remove {id} ({why}) with {} backups", planned.backups),
            LogFormat::Json => {
                let line = serde_json::json!({
                    "level": "INFO", "event": "will_prune", "id": id.as_str(), "reason": why, "backups": planned.backups
                });
                eprintln!("{line}");
            }
        }
    }
}

struct Work<'a> {
    context: &'a Context,
    catalog: &'a Catalog,
    databases: &'a [Database],
    retention: Retention,
    time_scale: f64,
}

impl Work<'_> {
    /// One point after the other, the oldest first. One that fails does not keep the others.
    async fn run(&self, plan: &Plan, report: &mut Prune, cancel: &CancellationToken) -> Failures {
        let mut failures = Failures::none();
        let mut touched = false;
        for (planned, told) in plan.points.iter().zip(&mut report.points) {
            if matches!(planned.fate, Fate::Keep(_)) || cancel.is_cancelled() {
                continue;
            }
            let mut units = Units::on_stderr(self.context.global.log_format, "pruning");
            let mut seen = |snapshot: &crate::workflow::Snapshot| units.seen(snapshot);
            let id = &planned.loaded.id;
            let found =
                prune::remove(self.catalog, id, self.databases, &self.retention, self.time_scale, cancel, &mut seen);
            let found = found.await;
            told.action = if found.is_empty() { "pruned" } else { "failed" }.to_owned();
            match catalog::load(self.catalog, id).await {
                Ok(loaded) => told.state = loaded.point.state,
                Err(error) => failures.push(catalog_failure(&error)),
            }
            for failure in found {
                // Once something was removed nothing is refused "before anything was touched" any more.
                let exit = if touched && failure.exit == Exit::Refused { Exit::Void } else { failure.exit };
                failures.push(Failure { exit, ..failure });
            }
            touched = true;
        }
        failures
    }
}
