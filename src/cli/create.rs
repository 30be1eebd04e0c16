//! `create`: makes a restore point, or a window alone.

use super::args::{Context, DatabaseFlags, Output, PodFlags, ReleaseFlags, ViewFlags, WindowFlags, length};
use super::failures::Failures;
use super::output::{Body, Report, Text};
use super::watching::Watching;
use super::{prepare, sak, seal, signals};
use crate::catalog::{self, Catalog, PointId, PointLog};
use crate::databases::{self, Database};
use crate::failure::{Exit, Failure};
use crate::point::Point;
use crate::restore_point;
use crate::restore_point::preflight::catalog_failure;
use crate::restore_point::seal::Sealing;
use crate::settings::{Flags, Hold, Needs, Settings};
use crate::window::driver::Happened;
use crate::window::protocol::Window;
use clap::ValueEnum;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long `--wait sealed` waits unless told: DynamoDB needs about five minutes.
const WAIT: Duration = Duration::from_secs(60 * 60);

/// A window alone is over when its command is.
const NOTHING_RECORDED: &str =
    "no database was asked: no restore time is chosen and nothing is recorded; keep the two times yourself";

/// How far a point is to be when the command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Wait {
    /// T is chosen and proven
    Recorded,
    /// Every data set can be restored to T (DynamoDB: about five minutes later)
    Sealed,
    /// Every data set has an on-demand backup of T (many tables: hours)
    Prepared,
}

/// `create`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// How far the point is to be when the command ends
    #[arg(long, value_enum, default_value = "recorded")]
    pub wait: Wait,
    /// Stop waiting after this long and exit 5; the point stays, and `seal` or `prepare` goes on
    #[arg(long, value_name = "DURATION", value_parser = length)]
    pub wait_timeout: Option<Duration>,
    /// Window.
    #[command(flatten)]
    pub window: WindowFlags,
    /// Pods.
    #[command(flatten)]
    pub pods: PodFlags,
    /// Database.
    #[command(flatten)]
    pub database: DatabaseFlags,
    /// How the point is shown.
    #[command(flatten)]
    pub view: ViewFlags,
    /// A Helm release.
    #[command(flatten)]
    pub release: ReleaseFlags,
    /// Make the window and nothing else: no database is asked, no restore time is chosen, nothing is recorded
    #[arg(long, conflicts_with_all = ["wait_timeout", "region", "endpoint"], help_heading = "Window")]
    pub window_only: bool,
}

impl Args {
    /// Asked for, or meant: the flags of scalar-admin-for-kubernetes know no database.
    fn is_window_only(&self, context: &Context) -> bool {
        let names_database = self.database.region.is_some() || self.database.endpoint.is_some();
        self.window_only || self.release.release_name.is_some() && !names_database && !context.has_file()
    }

    fn add_to(&self, flags: &mut Flags) {
        self.window.add_to(flags);
        self.pods.add_to(flags);
        self.release.add_to(flags);
        self.database.add_to(flags);
    }
}

/// The window alone, and the two times.
async fn window_only(context: &Context, args: &Args) -> Result<Report, Failures> {
    let (settings, warnings) = context.settings_of_pods(Needs::PODS, |flags| args.add_to(flags)).await?;
    if args.wait != Wait::Recorded {
        let hint = "leave out `--wait`, or name a database in a configuration file";
        let message = "a window without a database leaves nothing to seal or to prepare";
        return Err(Failure::new(Exit::Usage, "contradiction", message, hint).into());
    }
    if settings.window.hold == Hold::Auto {
        let hint = "say how long the pods are to stay paused: --hold 10s, or -d 10000";
        let message = "`hold = \"auto\"` proves a second on a database's clock, and a window alone has no database";
        return Err(Failure::new(Exit::Usage, "contradiction", message, hint).into());
    }
    let cancel = signals::cancellation();
    let watching = Watching::start(context.progress());
    let mut seen = |names: &[String], window: &Window, happened: &Happened<'_>| watching.seen(names, window, happened);
    let mut created = restore_point::create::window_only(&settings, &cancel, &mut seen).await;
    watching.finish();
    created.point.warnings.splice(0..0, warnings);
    if created.failures.is_empty() {
        created.point.warnings.push(NOTHING_RECORDED.to_owned());
    }
    Ok(report(context, args, &settings, created.point, created.failures.into()))
}

/// What is printed of a point: as asked, its other form.
fn report(context: &Context, args: &Args, settings: &Settings, point: Point, failures: Failures) -> Report {
    let line = match context.global.output {
        Output::Sak if failures.is_empty() => sak::line(&point, settings, args.view.time_zone),
        _ => None,
    };
    let body = match line {
        Some(line) => Body::Text(Text { key: "sak", text: Some(line), warnings: point.warnings }),
        None => Body::Point(Box::new(point), args.view.into()),
    };
    Report { body, failures }
}

/// Makes the point and waits as asked.
pub async fn run(context: &Context, args: &Args) -> Result<Report, Failures> {
    if args.is_window_only(context) {
        return window_only(context, args).await;
    }
    let (settings, warnings) = context.settings_of_pods(Needs::ALL, |flags| args.add_to(flags)).await?;
    let databases = databases::build(&settings.databases, settings.time_scale).await?;
    let cancel = signals::cancellation();
    let watching = Watching::start(context.progress());
    let mut seen = |names: &[String], window: &Window, happened: &Happened<'_>| watching.seen(names, window, happened);
    let mut created = restore_point::create::run(&settings, &databases, &cancel, &mut seen).await;
    watching.finish();
    created.point.warnings.splice(0..0, warnings);
    let mut failures = Failures::from(std::mem::take(&mut created.failures));
    let point = match created.recorded {
        Some((catalog, id)) => {
            let recorded = Recorded { catalog, id, databases, cancel };
            recorded.finish(context, &Goal::of(args, &settings), &mut created.point.warnings, &mut failures).await;
            let stored = catalog::load(&recorded.catalog, &recorded.id).await.map(|loaded| loaded.point);
            let warnings = std::mem::take(&mut created.point.warnings);
            let mut point = stored.unwrap_or(created.point);
            point.warnings.extend(warnings.into_iter().filter(|w| !point.warnings.contains(w)).collect::<Vec<_>>());
            point
        }
        None => created.point,
    };
    Ok(report(context, args, &settings, point, failures))
}

/// What is to be reached after the record.
struct Goal {
    wait: Wait,
    /// As given: the seal has a limit of its own.
    time_out: Option<Duration>,
    time_scale: f64,
}

impl Goal {
    fn of(args: &Args, settings: &Settings) -> Self {
        Goal { wait: args.wait, time_out: args.wait_timeout, time_scale: settings.time_scale }
    }
}

/// A point that is proven and stored, whatever follows.
struct Recorded {
    catalog: Catalog,
    id: PointId,
    databases: Vec<Database>,
    cancel: CancellationToken,
}

impl Recorded {
    /// Captures the settings of every data set and, if asked, waits for the seal. What fails here can be made up for by
    /// `seal`: it is a warning, or where the seal was asked for, *not yet*. Nothing here was refused before anything was
    /// touched.
    async fn finish(&self, context: &Context, goal: &Goal, warnings: &mut Vec<String>, failures: &mut Failures) {
        let id = &self.id;
        if failures.iter().any(|failure| failure.exit == Exit::MaybePaused) {
            // That must be told now.
            warnings
                .push(format!("the settings of the data sets are not captured yet; `stillpoint seal {id}` does it"));
            return;
        }
        let begun = std::time::Instant::now();
        match self.reach(context, goal, warnings).await {
            Ok(None) if goal.wait == Wait::Prepared => {
                let time_out = goal.time_out.map(|all| all.saturating_sub(begun.elapsed()));
                let goal = prepare::Goal { abort: false, time_out, time_scale: goal.time_scale };
                let found = prepare::work(context, &self.catalog, id, &self.databases, &goal, &self.cancel).await;
                found.into_iter().for_each(|failure| failures.push(unprepared(id, failure)));
            }
            Ok(failure) => failure.into_iter().for_each(|failure| failures.push(failure)),
            Err(failure) if goal.wait == Wait::Recorded => warnings.push(uncaptured(id, &failure)),
            Err(mut failure) => {
                failure.exit = Exit::NotYet;
                failure.hint = format!("{}\n{id} is recorded: `stillpoint seal {id}` goes on.", failure.hint);
                failures.push(failure);
            }
        }
    }

    async fn reach(
        &self,
        context: &Context,
        goal: &Goal,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Failure>, Failure> {
        let resumed = PointLog::resume(&self.catalog, &self.id).await;
        let (log, loaded) = resumed.map_err(|error| catalog_failure(&error))?;
        let mut sealing = Sealing::of(log, &loaded, &self.databases)?;
        let provider = provider_api::Context::new(self.cancel.clone());
        if let Err(failure) = sealing.complete_capture(&loaded, &provider).await {
            if goal.wait != Wait::Recorded {
                return Err(failure);
            }
            warnings.push(uncaptured(&self.id, &failure));
        }
        if goal.wait == Wait::Recorded {
            return Ok(None);
        }
        let look = seal::wait(context, &mut sealing, &provider, goal.time_scale, goal.time_out.unwrap_or(WAIT)).await?;
        Ok(restore_point::seal::failure(self.id.as_str(), &look))
    }
}

/// The point was made and sealed: nothing was refused before anything was touched.
fn unprepared(id: &PointId, mut failure: Failure) -> Failure {
    if failure.exit == Exit::Refused {
        failure.exit = Exit::NotYet;
        failure.hint = format!("{}\n{id} is sealed: `stillpoint prepare {id}` goes on.", failure.hint);
    }
    failure
}

fn uncaptured(id: &PointId, failure: &Failure) -> String {
    let why = failure.report().message;
    format!("the settings of the data sets are not captured yet: {why}; `stillpoint seal {id}` does it")
}
