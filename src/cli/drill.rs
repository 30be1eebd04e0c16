//! `drill`: restores a point under scratch names, verifies it, times it, removes the copies, and says so on a page.

use super::args::{Context, ViewFlags, known_id, length, point_id};
use super::failures::Failures;
use super::output::{Body, Report};
use super::signals;
use super::units::Units;
use super::verify::ReadFlags;
use crate::catalog;
use crate::databases;
use crate::failure::{Exit, Failure};
use crate::restore_point::drill::{self, Drilling, page};
use crate::restore_point::preflight::{catalog_failure, open_catalog};
use crate::settings::Needs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// `drill`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The point's id, as `list` prints it
    #[arg(value_name = "ID", value_parser = point_id)]
    pub id: String,
    /// In front of the copies' names; a nonce of this drill follows it
    #[arg(long, value_name = "PREFIX", default_value = "drill-")]
    pub prefix: String,
    /// Leave the copies, to be looked at; whoever does that removes them
    #[arg(long)]
    pub keep: bool,
    /// Stop a drill that has not ended, and remove its copies
    #[arg(long, conflicts_with_all = ["keep", "report"])]
    pub abort: bool,
    /// Write the page for people here, as Markdown; otherwise it is printed
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Stop waiting after this long and exit 5; the same command goes on
    #[arg(long, value_name = "DURATION", value_parser = length)]
    pub wait_timeout: Option<Duration>,
    /// How fast the copies are read.
    #[command(flatten)]
    pub read: ReadFlags,
    /// How the point is shown.
    #[command(flatten)]
    pub view: ViewFlags,
}

/// Drills it, or goes on after a crash by what was chosen at the beginning. The tables themselves are never touched.
pub async fn run(context: &Context, args: &Args) -> Result<Report, Failures> {
    let (settings, warnings) = context.settings(Needs::DATABASES, |_| {})?;
    let id = &known_id(&args.id)?;
    let catalog = open_catalog(&settings).await?;
    let databases = databases::build(&settings.databases, settings.time_scale).await?;
    let before = catalog::load(&catalog, id).await.map_err(|error| catalog_failure(&error))?;
    let drilling = Drilling {
        catalog: &catalog,
        id,
        databases: &databases,
        prefix: &args.prefix,
        keep: args.keep,
        budget: args.read.budget(),
        segments: args.read.segments,
        time_scale: settings.time_scale,
        time_out: args.wait_timeout,
    };
    let mut units = Units::on_stderr(context.global.log_format, if args.abort { "removing" } else { "drilling" });
    let mut seen = |snapshot: &crate::workflow::Snapshot| units.seen(snapshot);
    let cancel = signals::cancellation();
    let (found, mut failures) = match args.abort {
        true => (None, drill::back(&drilling, &cancel, &mut seen).await),
        false => drill::forward(&drilling, &cancel, &mut seen).await,
    };
    drop(units);
    let mut point = catalog::load(&catalog, id).await.map_or(before.point, |loaded| loaded.point);
    point.error = None;
    point.warnings.splice(0..0, warnings);
    if let (Some(file), Some(found)) = (&args.report, &found) {
        failures.extend(write(file, &page(&point, found)));
    }
    let written = args.report.is_some();
    let body = Body::Drilled(Box::new(point), found.map(Box::new), written, args.view.into());
    Ok(Report { body, failures: failures.into() })
}

fn write(file: &Path, page: &str) -> Option<Failure> {
    let cause = std::fs::write(file, page).err()?;
    let message = format!("the page cannot be written to {}: {cause}", file.display());
    let hint = "The drill itself has ended; its record is in the point's log and on stdout.";
    Some(Failure::new(Exit::Void, "report_unwritable", message, hint))
}
