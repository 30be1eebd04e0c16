//! `create`: makes a restore point.

use super::args::{Context, DatabaseFlags, PodFlags, ViewFlags, WindowFlags, length};
use super::failures::Failures;
use super::output::{Body, Report};
use super::usage::not_in_this_version;
use super::watching::Watching;
use super::{prepare, seal, signals};
use crate::catalog::{self, Catalog, PointId, PointLog};
use crate::databases::{self, Database};
use crate::failure::{Exit, Failure};
use crate::restore_point;
use crate::restore_point::preflight::catalog_failure;
use crate::restore_point::seal::Sealing;
use crate::settings::{Needs, Settings};
use crate::window::driver::Happened;
use crate::window::protocol::Window;
use clap::ValueEnum;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long `--wait sealed` waits unless told: DynamoDB needs about five minutes.
const WAIT: Duration = Duration::from_secs(60 * 60);

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
    /// A Helm release; not in this version.
    #[arg(short, long, value_name = "NAME", hide = true)]
    pub release_name: Option<String>,
    /// A Kubernetes namespace; not in this version.
    #[arg(short, long, value_name = "NAME", hide = true)]
    pub namespace: Option<String>,
}

impl Args {
    /// Refuses, all at once, what this version lacks.
    fn refuse_lacking(&self) -> Result<(), Failures> {
        const INSTEAD: &str = "name the pods themselves: --address host:port, once for each, or [[target]] in the file";
        let mut failures = Failures::none();
        for (flag, given) in [("--release-name", &self.release_name), ("--namespace", &self.namespace)] {
            if given.is_some() {
                failures.push(not_in_this_version(&format!("`{flag}`"), INSTEAD));
            }
        }
        if failures.is_empty() { Ok(()) } else { Err(failures) }
    }
}

/// Makes the point and waits as asked.
pub async fn run(context: &Context, args: &Args) -> Result<Report, Failures> {
    args.refuse_lacking()?;
    let (settings, warnings) = context.settings(Needs::ALL, |flags| {
        args.window.add_to(flags);
        args.pods.add_to(flags);
        args.database.add_to(flags);
    })?;
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
    Ok(Report { body: Body::Point(Box::new(point), args.view.into()), failures })
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
