//! `prepare`: makes on-demand backups of every data set of a sealed point, or undoes that.

use super::args::{Context, ViewFlags, length, point_id};
use super::failures::Failures;
use super::output::{Body, Report};
use super::signals;
use super::units::Units;
use crate::catalog::{self, Catalog, PointId};
use crate::databases::{self, Database};
use crate::failure::Failure;
use crate::restore_point::preflight::{catalog_failure, open_catalog};
use crate::restore_point::prepare::{self, Preparing};
use crate::settings::Needs;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// `prepare`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The point's id, as `list` prints it
    #[arg(value_name = "ID", value_parser = point_id)]
    pub id: String,
    /// Stop, and remove what this point's run made: its staging tables and its backups; the point is sealed again
    #[arg(long)]
    pub abort: bool,
    /// Stop waiting after this long and exit 5; the same command goes on
    #[arg(long, value_name = "DURATION", value_parser = length)]
    pub wait_timeout: Option<Duration>,
    /// How the point is shown.
    #[command(flatten)]
    pub view: ViewFlags,
}

/// Prepares it, or goes on with it after a crash. A point that is prepared already stays so.
pub async fn run(context: &Context, args: &Args) -> Result<Report, Failures> {
    let (settings, warnings) = context.settings(Needs::DATABASES, |_| {})?;
    let id = PointId::parse(&args.id).map_err(|error| catalog_failure(&error))?;
    let catalog = open_catalog(&settings).await?;
    let databases = databases::build(&settings.databases, settings.time_scale).await?;
    let before = catalog::load(&catalog, &id).await.map_err(|error| catalog_failure(&error))?;
    let goal = Goal { abort: args.abort, time_out: args.wait_timeout, time_scale: settings.time_scale };
    let failures = work(context, &catalog, &id, &databases, &goal, &signals::cancellation()).await;
    let mut point = catalog::load(&catalog, &id).await.map_or(before.point, |loaded| loaded.point);
    point.error = None;
    point.warnings.splice(0..0, warnings);
    Ok(Report { body: Body::Point(Box::new(point), args.view.into()), failures: failures.into() })
}

/// What is to be reached, and when to stop.
pub(super) struct Goal {
    /// Back instead of forward.
    pub(super) abort: bool,
    /// Stop after this long.
    pub(super) time_out: Option<Duration>,
    /// Divides waits between looks.
    pub(super) time_scale: f64,
}

/// Does it, and shows what goes on.
pub(super) async fn work(
    context: &Context,
    catalog: &Catalog,
    id: &PointId,
    databases: &[Database],
    goal: &Goal,
    cancel: &CancellationToken,
) -> Vec<Failure> {
    let mut units = Units::on_stderr(context.global.log_format, if goal.abort { "undoing" } else { "preparing" });
    let preparing = Preparing { catalog, id, databases, time_scale: goal.time_scale, time_out: goal.time_out };
    let mut seen = |snapshot: &crate::workflow::Snapshot| units.seen(snapshot);
    match goal.abort {
        true => prepare::back(&preparing, cancel, &mut seen).await,
        false => prepare::forward(&preparing, cancel, &mut seen).await,
    }
}
