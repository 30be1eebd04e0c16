//! `seal`: records that every data set can be restored to the point's time, or that one never can again.

use super::args::{Context, ViewFlags, known_id, length, point_id};
use super::failures::Failures;
use super::output::{Body, Report};
use super::signals;
use crate::catalog::{self, PointLog};
use crate::databases;
use crate::failure::Failure;
use crate::restore_point::preflight::{catalog_failure, open_catalog};
use crate::restore_point::seal::{self, Look, Sealing};
use crate::settings::Needs;
use std::time::Duration;

/// `seal`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The point's id, as `list` prints it
    #[arg(value_name = "ID", value_parser = point_id)]
    pub id: String,
    /// Wait up to this long; without it, look once. Not sealed by then: exit 5
    #[arg(long, value_name = "DURATION", value_parser = length)]
    pub wait_timeout: Option<Duration>,
    /// How the point is shown.
    #[command(flatten)]
    pub view: ViewFlags,
}

/// Seals it. A point that is sealed already stays so.
pub async fn run(context: &Context, args: &Args) -> Result<Report, Failures> {
    let (settings, warnings) = context.settings(Needs::DATABASES, |_| {})?;
    let id = &known_id(&args.id)?;
    let catalog = open_catalog(&settings).await?;
    let databases = databases::build(&settings.databases, settings.time_scale).await?;
    let (log, loaded) = PointLog::resume(&catalog, id).await.map_err(|error| catalog_failure(&error))?;
    let ended = async {
        let mut sealing = Sealing::of(log, &loaded, &databases)?;
        let provider = provider_api::Context::new(signals::cancellation());
        sealing.complete_capture(&loaded, &provider).await?;
        match args.wait_timeout {
            None => sealing.look(&provider).await,
            Some(time_out) => wait(context, &mut sealing, &provider, settings.time_scale, time_out).await,
        }
    };
    let failure = match ended.await {
        Ok(look) => seal::failure(id.as_str(), &look),
        Err(failure) => Some(failure),
    };
    let mut point = catalog::load(&catalog, id).await.map_or(loaded.point, |loaded| loaded.point);
    point.error = None;
    point.warnings.splice(0..0, warnings);
    let failures = Failures::from(failure.into_iter().collect::<Vec<_>>());
    Ok(Report { body: Body::Point(Box::new(point), args.view.into()), failures })
}

/// Waits for the seal, and shows that it waits.
pub(super) async fn wait(
    context: &Context,
    sealing: &mut Sealing,
    provider: &provider_api::Context,
    time_scale: f64,
    time_out: Duration,
) -> Result<Look, Failure> {
    let mut progress = context.progress();
    progress.phase("waiting until every data set can be restored to T");
    let begun = std::time::Instant::now();
    sealing.wait(provider, time_scale, time_out, |_, _| progress.tick(begun.elapsed())).await
}
