//! `restore`: a prepared point under its tables' own names; `--abort` back to what was there before.

use crate::catalog::{self, Catalog, Loaded, Phase, PointEvent, PointId, PointLog, RunKind};
use crate::databases::{self, Database};
use crate::failure::{Exit, Failure};
use crate::restore_point::preflight::catalog_failure;
use crate::restore_point::prepare::{capsules, recorded_time, run_options, unit_failure};
use crate::restore_point::seal::{self, Look, Sealing};
use crate::restore_point::stopped::{self, PodsAbsent, Recorded};
use crate::restore_point::turn;
use crate::settings::Settings;
use crate::workflow::{self, AlsoAsk, Basis, Ended, Job, Options, Order, Run, Seen, Terms, UnitKey};
use provider_api::{Context, ProviderError, RestoreOptions, RestoreRequest, RestoreSet, Restorer, Unit, Way};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How a point is restored.
#[derive(Clone, Debug)]
pub struct Restoring<'a> {
    /// Where the point is.
    pub catalog: &'a Catalog,
    /// Which.
    pub id: &'a PointId,
    /// The databases of the settings.
    pub databases: &'a [Database],
    /// The targets of the settings, whose pods must not run.
    pub settings: &'a Settings,
    /// The caller says that no pod runs, whatever answers.
    pub pods_are_stopped: bool,
    /// What the caller allows. A run that goes on keeps what was allowed when it began.
    pub options: RestoreOptions,
    /// Stop after this long, with [`Exit::NotYet`].
    pub time_out: Option<Duration>,
}

/// What would be done.
#[derive(Debug, Default)]
pub struct Planned {
    plans: Vec<Plan>,
    options: RestoreOptions,
    terms: Terms,
    /// The run was begun before, and goes on.
    pub goes_on: bool,
    /// Database, data set, and what would become of it.
    pub deeds: Vec<(String, String, String)>,
    /// What a person should know.
    pub warnings: Vec<String>,
}

#[derive(Debug)]
struct Plan {
    database: String,
    restorer: Restorer,
    units: Vec<Unit>,
}

/// Looks at everything that can speak against it, pods included; changes nothing but what `seal` would record. All refusals
/// together.
pub async fn plan(this: &Restoring<'_>, cancel: &CancellationToken) -> Result<Planned, Vec<Failure>> {
    let one = |failure: Failure| vec![failure];
    let loaded = this.load().await.map_err(one)?;
    let context = Context::new(cancel.clone());
    this.is_prepared(&loaded, &context).await.map_err(one)?;
    let open = Run::of(loaded.events()).filter(|run| !run.ended);
    let options = open.as_ref().map_or(this.options, |run| chosen(run, this.options));
    let plans = this.plans(&loaded, options).map_err(one)?;
    let terms = Terms { basis: Basis::of(open.as_ref()), forward_again: false };
    let mut planned = Planned { options, terms, goes_on: open.is_some(), ..Planned::default() };
    if let Some(lost) = this.cannot_be_undone(&loaded, &plans, open.as_ref(), cancel).await.map_err(one)? {
        planned.terms.forward_again = true;
        planned.warnings.push(format!("it was being undone, and goes forward again: {}", lost.message));
    }
    let mut failures = match this.pods_are_stopped {
        true => Vec::new(),
        false => stopped::look(this.settings, &Recorded::of(&loaded)).await,
    };
    if !planned.goes_on {
        let databases: Vec<&str> = plans.iter().map(|plan| plan.database.as_str()).collect();
        turn::is_free(this.catalog, this.id, &databases).await.map_err(one)?;
        planned.warnings.extend(turn::would_end(this.catalog, this.id, &databases).await.map_err(one)?);
        for plan in &plans {
            match plan.restorer.preflight(&context, &plan.units).await {
                Ok(found) => {
                    let deeds = found.deeds.into_iter().map(|(set, deed)| (plan.database.clone(), set, deed));
                    planned.deeds.extend(deeds);
                    planned.warnings.extend(found.warnings);
                }
                Err(errors) => failures.extend(errors.iter().map(|error| databases::failure(&plan.database, error))),
            }
        }
    }
    planned.plans = plans;
    if failures.is_empty() { Ok(planned) } else { Err(failures) }
}

/// Restores by the plan, or goes on with what was begun.
pub async fn forward(
    this: &Restoring<'_>,
    planned: Planned,
    cancel: &CancellationToken,
    seen: &mut Seen<'_>,
) -> Vec<Failure> {
    let ended = async {
        // What goes on had its turn when it began, and its log says so.
        let turns = match planned.goes_on {
            true => Vec::new(),
            false => turn::take(this.catalog, this.id, planned.plans.iter().map(|plan| plan.database.as_str())).await?,
        };
        let failures = this.work(Way::Forward, planned, cancel, seen).await;
        turn::give_back(turns).await;
        failures
    };
    ended.await.unwrap_or_else(|failure| vec![failure])
}

/// Stops the run, and leads every data set back to what it was before: left alone where it is still there, else put back from
/// its safety backup. The point stays prepared. Refused when no run is under way, and when there is no way back.
pub async fn back(this: &Restoring<'_>, cancel: &CancellationToken, seen: &mut Seen<'_>) -> Vec<Failure> {
    let ended = async {
        let loaded = this.load().await?;
        let run = Run::of(loaded.events()).filter(|run| !run.ended);
        let terms = Terms { basis: Basis::of(run.as_ref()), forward_again: false };
        let mut planned = Planned { terms, ..Planned::default() };
        if let Phase::Restoring { aborting } = loaded.phase {
            planned.options = run.as_ref().map_or(this.options, |run| chosen(run, this.options));
            planned.plans = this.plans(&loaded, planned.options)?;
            if !aborting {
                this.way_back(&planned.plans, run.as_ref(), cancel).await?;
            }
        }
        this.work(Way::Back, planned, cancel, seen).await
    };
    ended.await.unwrap_or_else(|failure: Failure| vec![failure])
}

/// What was allowed when the run began.
fn chosen(run: &Run, otherwise: RestoreOptions) -> RestoreOptions {
    serde_json::from_value(run.plan.clone()).unwrap_or(otherwise)
}

impl Restoring<'_> {
    async fn load(&self) -> Result<Loaded, Failure> {
        catalog::load(self.catalog, self.id).await.map_err(|error| catalog_failure(&error))
    }

    /// Only a prepared point can be restored, or one whose restore goes on.
    async fn is_prepared(&self, loaded: &Loaded, context: &Context) -> Result<(), Failure> {
        let id = self.id;
        let refused = |name: &str, message: String, hint: String| {
            Err(Failure::new(if name == "point_lost" { Exit::Lost } else { Exit::Refused }, name, message, hint))
        };
        match loaded.phase {
            Phase::Prepared | Phase::Restoring { .. } => Ok(()),
            Phase::Void => refused(
                "point_void",
                format!("{id} is void: no window of it was proven, so it has no restore time"),
                "Restore another point: `stillpoint list`.".to_owned(),
            ),
            Phase::Pruned => refused(
                "point_lost",
                format!("{id} can no longer be restored: retention removed its backups"),
                "Restore another point: `stillpoint list`.".to_owned(),
            ),
            Phase::Sealed => self.not_prepared("its backups are not made yet"),
            Phase::Preparing | Phase::Aborting => self.not_prepared("`prepare` of it was begun and has not ended"),
            phase if phase.run().is_some() => {
                let verb = phase.run().map_or("other work", |(kind, _)| kind.verb());
                refused(
                    "other_work",
                    format!("{verb} of {id} was begun and has not ended"),
                    format!("`stillpoint {verb} {id}` goes on with it; `stillpoint status` shows it."),
                )
            }
            // The rest is told by a look: not yet, lost, or sealed by now.
            _ => self.not_sealed(context).await,
        }
    }

    fn not_prepared(&self, why: &str) -> Result<(), Failure> {
        let message = format!("{} cannot be restored under the names of its tables: {why}", self.id);
        let hint = format!("`stillpoint prepare {}` makes the backups; then restore it.", self.id);
        Err(Failure::new(Exit::Refused, "not_prepared", message, hint))
    }

    async fn not_sealed(&self, context: &Context) -> Result<(), Failure> {
        let (log, loaded) = PointLog::resume(self.catalog, self.id).await.map_err(|error| catalog_failure(&error))?;
        let mut sealing = Sealing::of(log, &loaded, self.databases)?;
        sealing.complete_capture(&loaded, context).await?;
        let look = sealing.look(context).await?;
        match (&look, seal::failure(self.id.as_str(), &look)) {
            (Look::NotYet { .. }, Some(failure)) => {
                let hint = format!("Then `stillpoint prepare {0}`, and restore it when that is done.", self.id);
                Err(Failure { hint, ..failure })
            }
            (_, Some(failure)) => Err(failure),
            (_, None) => self.not_prepared("its backups are not made yet"),
        }
    }

    /// The plan of every database of the point, from its record alone.
    fn plans(&self, loaded: &Loaded, options: RestoreOptions) -> Result<Vec<Plan>, Failure> {
        let Some(at) = recorded_time(loaded) else { return Ok(Vec::new()) };
        let mut plans = Vec::new();
        for (database, _) in seal::recorded(self.id.as_str(), loaded, self.databases)? {
            let name = database.name.clone();
            let Some(restorer) = Arc::clone(&database.provider).restorer() else {
                let message = format!("database `{name}` ({}) cannot be restored by this version", database.provider);
                let hint = "Restore it by hand: docs/runbook.md has the calls.";
                return Err(Failure::new(Exit::Refused, "no_restore", message, hint));
            };
            let (sets, capsules) = (sets(loaded, &name), capsules(loaded, &name));
            let request = RestoreRequest { label: self.id.as_str(), at, sets: &sets, capsules: &capsules, options };
            let units = restorer.units(&request).map_err(|error| databases::failure(&name, &error))?;
            plans.push(Plan { database: name, restorer, units });
        }
        Ok(plans)
    }

    /// One data set without a way back stops the abort before anything is turned.
    async fn way_back(&self, plans: &[Plan], run: Option<&Run>, cancel: &CancellationToken) -> Result<(), Failure> {
        let context = Context::new(cancel.clone());
        let mut lost = Vec::new();
        for plan in plans {
            for unit in &plan.units {
                let key = UnitKey { database: plan.database.clone(), unit: unit.name.clone() };
                let known = run.map(|run| run.unit(&key)).unwrap_or_default();
                match plan.restorer.way_back(&context, unit, &known.state, known.intent.as_ref()).await {
                    Ok(()) => {}
                    Err(error) if error.kind == provider_api::ErrorKind::WrongState => lost.push(error.to_string()),
                    Err(error) => return Err(databases::failure(&plan.database, &error)),
                }
            }
        }
        if lost.is_empty() {
            return Ok(());
        }
        let message = format!("{} cannot be undone: {}", self.id, lost.join("; "));
        let hint = format!("`stillpoint restore {}` finishes it: every table then is as it was at T.", self.id);
        Err(Failure::new(Exit::Refused, "no_way_back", message, hint))
    }

    /// Why a run that is being undone has no way back any more. Then forward is the only way out.
    async fn cannot_be_undone(
        &self,
        loaded: &Loaded,
        plans: &[Plan],
        run: Option<&Run>,
        cancel: &CancellationToken,
    ) -> Result<Option<Failure>, Failure> {
        if loaded.phase != (Phase::Restoring { aborting: true }) {
            return Ok(None);
        }
        match self.way_back(plans, run, cancel).await {
            Ok(()) => Ok(None),
            Err(failure) if failure.name == "no_way_back" => Ok(Some(failure)),
            Err(failure) => Err(failure),
        }
    }

    async fn work(
        &self,
        way: Way,
        planned: Planned,
        cancel: &CancellationToken,
        seen: &mut Seen<'_>,
    ) -> Result<Vec<Failure>, Failure> {
        let job = |plan: Plan| Job { database: plan.database, work: plan.restorer, units: plan.units };
        let jobs: Vec<Job> = planned.plans.into_iter().map(job).collect();
        let before_destroying = match self.pods_are_stopped {
            true => None,
            false => {
                let recorded = Recorded::of(&self.load().await?);
                Some(AlsoAsk(Arc::new(PodsAbsent::new(self.settings.clone(), recorded))))
            }
        };
        let options = Options { before_destroying, ..run_options(self.settings.time_scale, self.time_out)? };
        let plan = serde_json::to_value(planned.options).unwrap_or_default();
        let (warnings, terms) = (planned.warnings, planned.terms);
        let order = Order { kind: RunKind::Restore, way, plan, warnings, terms };
        let ended = workflow::work(self.catalog, self.id, &order, &jobs, &options, cancel, seen).await?;
        Ok(self.failures(way, ended))
    }

    fn failures(&self, way: Way, ended: Ended) -> Vec<Failure> {
        let again = match way {
            Way::Forward => format!("stillpoint restore {}", self.id),
            Way::Back => format!("stillpoint restore {} --abort", self.id),
        };
        match ended {
            Ended::Done => Vec::new(),
            Ended::Failed(failed) => distinct(failed.iter().map(|(unit, error)| failed_unit(unit, error))),
            Ended::TimedOut { done, total } => {
                let message = format!("{done} of {total} data sets are done; what was begun goes on at the service");
                let hint = format!("Run `{again}` again: it goes on where this one stopped.");
                vec![Failure::new(Exit::NotYet, "still_restoring", message, hint)]
            }
            Ended::Cancelled => {
                let message = format!("asked to stop; what was begun for {} is recorded", self.id);
                let hint = format!("`{again}` goes on where this one stopped.");
                vec![Failure::new(Exit::Void, "cancelled", message, hint)]
            }
        }
    }
}

/// Each failure once: pods that run stop every data set alike.
fn distinct(failures: impl Iterator<Item = Failure>) -> Vec<Failure> {
    let mut told: Vec<Failure> = Vec::new();
    for failure in failures {
        if !told.contains(&failure) {
            told.push(failure);
        }
    }
    told
}

fn failed_unit(unit: &UnitKey, error: &ProviderError) -> Failure {
    match stopped::told(error) {
        Some(failure) => Failure { exit: Exit::Void, ..failure },
        None => unit_failure(unit, error),
    }
}

/// The data sets of a database with what `prepare` made of each.
fn sets(loaded: &Loaded, database: &str) -> Vec<RestoreSet> {
    let prepared = Run::of_kind(loaded.events(), RunKind::Prepare);
    let opened = loaded.events().find_map(|event| match event {
        PointEvent::Opened { databases, .. } => databases.iter().find(|one| one.name == database),
        _ => None,
    });
    let of = |set: &catalog::OpenedSet| {
        let key = UnitKey { database: database.to_owned(), unit: set.name.clone() };
        let last = prepared.as_ref().and_then(|run| run.unit(&key).state.records.pop());
        RestoreSet {
            recorded: provider_api::RecordedSet { name: set.name.clone(), id: set.id.clone() },
            role: set.role,
            prepared: last.map(|record| record.what).unwrap_or_default(),
        }
    };
    opened.map(|one| one.data_sets.iter().map(of).collect()).unwrap_or_default()
}
