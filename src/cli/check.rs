//! `check`: everything that `create` looks at before it pauses; pauses nothing, changes nothing.

use super::args::{Context, DatabaseFlags, PodFlags, ViewFlags, WindowFlags};
use super::failures::Failures;
use super::output::{Body, Report};
use super::signals;
use crate::databases;
use crate::kubernetes;
use crate::note::LocalNotes;
use crate::point::Point;
use crate::restore_point::create::state_failure;
use crate::restore_point::{preflight, report};
use crate::settings::Needs;

/// `check`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Window.
    #[command(flatten)]
    pub window: WindowFlags,
    /// Pods.
    #[command(flatten)]
    pub pods: PodFlags,
    /// Database.
    #[command(flatten)]
    pub database: DatabaseFlags,
    /// How what was found is shown.
    #[command(flatten)]
    pub view: ViewFlags,
}

/// Pods may be all that somebody wants to look at.
const NO_DATABASE: &str = "no database is configured: pods and catalog are looked at, which is enough for `pause` and \
                           `create --window-only`; `create` needs a [[database]]";

/// Looks at everything and tells all that is wrong at once.
pub async fn run(context: &Context, args: &Args) -> Result<Report, Failures> {
    let (settings, warnings) = context
        .settings_of_pods(Needs::TARGETS, |flags| {
            args.window.add_to(flags);
            args.pods.add_to(flags);
            args.database.add_to(flags);
        })
        .await?;
    let databases = databases::build(&settings.databases, settings.time_scale).await?;
    let notes = LocalNotes::open(&settings.state_dir);
    let cancel = signals::cancellation();
    let (found, lacking, rivals) = tokio::join!(
        preflight::run(&settings, &databases, notes.as_ref().ok(), &cancel),
        kubernetes::lacking(&settings),
        kubernetes::rivals::warnings(&settings)
    );
    let mut failures = Failures::from(found.failures);
    lacking.failures.into_iter().for_each(|failure| failures.push(failure));
    if let Err(error) = notes {
        failures.push(state_failure(&error));
    }
    let lacks = settings.databases.is_empty().then(|| NO_DATABASE.to_owned());
    let point = Point {
        pods: found.seen,
        databases: report::databases(&found.surveyed),
        warnings: lacks.into_iter().chain([warnings, found.warnings, lacking.warnings, rivals].concat()).collect(),
        ..Point::default()
    };
    Ok(Report { body: Body::Point(Box::new(point), args.view.into()), failures })
}
