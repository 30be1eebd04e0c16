//! `pause`: break glass. Pauses every pod and hands them to the guard.

use super::args::{Context, PodFlags, length};
use super::failures::Failures;
use super::output::{Body, Report};
use super::signals;
use super::timeline::View;
use super::watching::Watching;
use crate::failure::{Exit, Failure};
use crate::pausing::{self, Left};
use crate::point::Point;
use crate::settings::{Needs, Settings, duration_text};
use crate::window::driver::Happened;
use crate::window::protocol::Window;
use std::time::Duration;

/// `pause`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The guard unpauses after this long; at most, and by default, max_outage
    #[arg(long = "for", value_name = "DURATION", value_parser = length)]
    pub for_: Option<Duration>,
    /// Pods.
    #[command(flatten)]
    pub pods: PodFlags,
}

impl Args {
    /// How long the pods are to stay paused.
    fn duration(&self, settings: &Settings) -> Result<Duration, Failures> {
        let most = settings.window.max_outage;
        let wanted = self.for_.unwrap_or(most);
        if wanted <= most {
            return Ok(wanted);
        }
        let message = format!("`--for {}` is longer than max_outage, {}", duration_text(wanted), duration_text(most));
        let hint = "pause for less, or raise [window] max_outage";
        Err(Failure::new(Exit::Usage, "pause_too_long", message, hint).into())
    }
}

/// Ends when every pod is proven paused and the guard owns them.
pub async fn run(context: &Context, args: &Args) -> Result<Report, Failures> {
    let (settings, warnings) = context.settings_of_pods(Needs::PODS, |flags| args.pods.add_to(flags)).await?;
    let length = args.duration(&settings)?;
    let cancel = signals::cancellation();
    let watching = Watching::start(context.progress());
    let mut seen = |names: &[String], window: &Window, happened: &Happened<'_>| watching.seen(names, window, happened);
    let left = pausing::pause(&settings, length, &cancel, &mut seen).await;
    watching.finish();
    Ok(left.report(warnings))
}

impl Left {
    /// What is left, as every command about pods prints it.
    pub(super) fn report(self, warnings: Vec<String>) -> Report {
        let point = Point {
            pods: self.pods,
            attempts: self.attempt.into_iter().collect(),
            warnings: [warnings, self.warnings].concat(),
            ..Point::default()
        };
        Report { body: Body::Point(Box::new(point), View::default()), failures: self.failures.into() }
    }
}
