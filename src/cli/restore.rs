//! `restore`: brings a prepared point back under its tables' own names, or undoes that.

use super::args::{Context, LogFormat, Output, ViewFlags, length, point_id};
use super::failures::Failures;
use super::output::{Body, Report};
use super::signals;
use super::units::Units;
use crate::catalog::{self, PointId};
use crate::databases;
use crate::failure::{Exit, Failure};
use crate::point::Point;
use crate::restore_point::preflight::{catalog_failure, open_catalog};
use crate::restore_point::restore::{self, Planned, Restoring};
use crate::settings::Needs;
use provider_api::RestoreOptions;
use std::io::{BufRead, IsTerminal, Write};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// `restore`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The point's id, as `list` prints it
    #[arg(value_name = "ID", value_parser = point_id)]
    pub id: String,
    /// Yes, replace the tables: the point's id once more. Without it a terminal is asked, and anything else refused
    #[arg(long, value_name = "ID", conflicts_with_all = ["abort", "dry_run"])]
    pub yes_restore: Option<String>,
    /// No pod writes to these tables, whatever answers at the targets' addresses
    #[arg(long)]
    pub pods_are_stopped: bool,
    /// Do not back up the tables as they are now before they are deleted
    #[arg(long, conflicts_with = "abort")]
    pub no_safety_backup: bool,
    /// Replace also tables that were made anew since the point was made
    #[arg(long, conflicts_with = "abort")]
    pub accept_recreated: bool,
    /// Stop, and lead every table back to what it was before this restore
    #[arg(long)]
    pub abort: bool,
    /// Stop waiting after this long and exit 5; the same command goes on
    #[arg(long, value_name = "DURATION", value_parser = length)]
    pub wait_timeout: Option<Duration>,
    /// Look at everything, show the plan, and change nothing
    #[arg(long, conflicts_with = "abort")]
    pub dry_run: bool,
    /// How the point is shown.
    #[command(flatten)]
    pub view: ViewFlags,
}

/// Restores it, or goes on with it after a crash.
pub async fn run(context: &Context, args: &Args) -> Result<Report, Failures> {
    let needs = if args.pods_are_stopped { Needs::DATABASES } else { Needs::ALL };
    let (settings, warnings) = context.settings(needs, |_| {})?;
    let id = PointId::parse(&args.id).map_err(|error| catalog_failure(&error))?;
    let catalog = open_catalog(&settings).await?;
    let databases = databases::build(&settings.databases, settings.time_scale).await?;
    let before = catalog::load(&catalog, &id).await.map_err(|error| catalog_failure(&error))?;
    let this = Restoring {
        catalog: &catalog,
        id: &id,
        databases: &databases,
        settings: &settings,
        pods_are_stopped: args.pods_are_stopped,
        options: RestoreOptions { safety_backup: !args.no_safety_backup, accept_recreated: args.accept_recreated },
        time_out: args.wait_timeout,
    };
    let mut untouched = None;
    let failures = work(context, args, &this, &mut untouched).await;
    let mut point = catalog::load(&catalog, &id).await.map_or(before.point, |loaded| loaded.point);
    point.error = None;
    point.warnings.splice(0..0, warnings);
    if let Some(planned) = untouched {
        tell(&mut point, context, planned);
    }
    Ok(Report { body: Body::Point(Box::new(point), args.view.into()), failures: failures.into() })
}

/// `untouched`: what would be done, where nothing was.
async fn work(context: &Context, args: &Args, this: &Restoring<'_>, untouched: &mut Option<Planned>) -> Vec<Failure> {
    let cancel = signals::cancellation();
    let mut units = Units::on_stderr(context.global.log_format, if args.abort { "putting back" } else { "restoring" });
    let mut seen = |snapshot: &crate::workflow::Snapshot| units.seen(snapshot);
    if args.abort {
        return restore::back(this, &cancel, &mut seen).await;
    }
    let planned = match restore::plan(this, &cancel).await {
        Ok(planned) => planned,
        Err(failures) => return failures,
    };
    show(context, args, &planned);
    if args.dry_run {
        *untouched = Some(planned);
        return Vec::new();
    }
    if let Err(failure) = confirmed(args, &cancel).await {
        *untouched = Some(planned);
        return vec![failure];
    }
    restore::forward(this, planned, &cancel, &mut seen).await
}

/// The plan for people, on stderr; scripts find it in the point.
fn show(context: &Context, args: &Args, planned: &Planned) {
    if context.global.log_format == LogFormat::Json {
        return;
    }
    let mut stderr = std::io::stderr().lock();
    // A closed stderr stops nothing.
    if planned.goes_on {
        let _ = writeln!(stderr, "the restore of {} goes on", args.id);
    }
    for (database, set, deed) in &planned.deeds {
        let _ = writeln!(stderr, "{database}: {set} {deed}");
    }
    for warning in &planned.warnings {
        let _ = writeln!(stderr, "warning: {warning}");
    }
}

/// The point's id, said twice.
async fn confirmed(args: &Args, cancel: &CancellationToken) -> Result<(), Failure> {
    let again = format!("stillpoint restore {0} --yes-restore {0}", args.id);
    let refused = |message: String| {
        let hint = format!("Read the plan; then `{again}`.");
        Failure::new(Exit::Refused, "not_confirmed", message, hint)
    };
    let said = match &args.yes_restore {
        Some(id) => id.clone(),
        None if std::io::stdin().is_terminal() && std::io::stderr().is_terminal() => {
            let question =
                format!("This replaces the tables named above. Type the point's id to go on ({}): ", args.id);
            let asked = tokio::task::spawn_blocking(move || ask(&question));
            tokio::select! {
                said = asked => said.unwrap_or_default(),
                () = cancel.cancelled() => return Err(refused("asked to stop before anything was touched".to_owned())),
            }
        }
        None => return Err(refused(format!("nobody confirmed that {} replaces its tables", args.id))),
    };
    match said.trim() == args.id {
        true => Ok(()),
        false => Err(refused(format!("`{}` is not the id of the point to restore, {}", said.trim(), args.id))),
    }
}

fn ask(question: &str) -> String {
    let mut answer = String::new();
    let _ = write!(std::io::stderr(), "{question}");
    let _ = std::io::stderr().flush();
    let _ = std::io::stdin().lock().read_line(&mut answer);
    answer
}

/// Puts the plan where scripts look for what is said of a data set and of a run.
fn tell(point: &mut Point, context: &Context, planned: Planned) {
    // People have read the warnings with the plan.
    if context.global.output == Output::Json {
        point.warnings.extend(planned.warnings);
    }
    for (database, name, deed) in planned.deeds {
        let ours = point.databases.iter_mut().filter(|one| one.name == database);
        for report in ours.flat_map(|one| &mut one.data_sets).filter(|report| report.name == name) {
            report.reason = Some(deed.clone());
        }
    }
}
