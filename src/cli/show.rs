//! `show`: one restore point with its timeline.

use super::args::{Context, ViewFlags, known_id, point_id};
use super::failures::Failures;
use super::output::{Body, Report, Text};
use crate::catalog;
use crate::restore_point::{self, preflight::catalog_failure};
use crate::settings::Needs;

/// `show`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The point's id, as `list` prints it
    #[arg(value_name = "ID", value_parser = point_id)]
    pub id: String,
    /// Print the `aws` commands by which a person restores this point without stillpoint
    #[arg(long)]
    pub runbook: bool,
    /// Those by point-in-time recovery, although the point has backups
    #[arg(long, requires = "runbook")]
    pub by_recovery: bool,
    /// How the point is shown.
    #[command(flatten)]
    pub view: ViewFlags,
}

/// Shows it. An id that does not exist is refused.
pub async fn run(context: &Context, args: &Args) -> Result<Report, Failures> {
    let (settings, warnings) = context.settings(Needs::NOTHING, |_| {})?;
    let catalog = super::list::open(&settings).await?;
    let id = &known_id(&args.id)?;
    let loaded = catalog::load(&catalog, id).await.map_err(|error| catalog_failure(&error))?;
    if args.runbook {
        let script = restore_point::runbook::of(&loaded, args.by_recovery);
        let failures = script.as_ref().err().cloned().into_iter().collect::<Vec<_>>().into();
        return Ok(Report { body: Body::Text(Text { key: "runbook", text: script.ok(), warnings }), failures });
    }
    let mut point = loaded.point;
    // What ended the run is part of the point; this command did not fail by it.
    let ended = point.error.take().map(|e| format!("the run ended with {}: {}", e.name, e.message));
    point.warnings.splice(0..0, warnings.into_iter().chain(ended));
    Ok(Report::of(Body::Point(Box::new(point), args.view.into())))
}
