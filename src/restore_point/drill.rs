//! `drill`: the point is restored under scratch names, verified, and the copies are removed again; what happened is evidence.

mod evidence;
mod work;

pub use evidence::{DrillReport, DrilledTable, page};

use crate::catalog::{Catalog, Loaded, Phase, PointEvent, PointId, PointLog, RunKind, nonce};
use crate::databases::{self, Database};
use crate::failure::{Exit, Failure};
use crate::restore_point::preflight::catalog_failure;
use crate::restore_point::prepare::{self, recorded_time};
use crate::restore_point::seal::{self, Look, Sealing};
use crate::restore_point::verify::{not_sound, sets};
use crate::workflow::{self, Ended, Job, Order, Run, Seen};
use provider_api::{Context, DrillRequest, Driller, ReadBudget, Unit, Way};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use work::DrillWork;

/// The unit of each database that verifies the copies. No data set has this name: it is no name of a table.
pub(crate) const VERIFY: &str = "(verify)";

/// What is chosen when a drill begins, and kept with the run: whoever goes on with it, goes on by it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DrillPlan {
    /// In front of every copy's name, nonce included.
    pub prefix: String,
    /// Whether the copies stay.
    pub keep: bool,
    /// The on-demand backup of each data set, by database; empty: by point-in-time recovery.
    pub backups: BTreeMap<String, BTreeMap<String, String>>,
    /// How fast the copies are read.
    pub budget: ReadBudget,
    /// In how many parts each.
    pub segments: Option<u32>,
}

/// What a drill is asked for.
#[derive(Clone, Debug)]
pub struct Drilling<'a> {
    /// Where the point is.
    pub catalog: &'a Catalog,
    /// Which.
    pub id: &'a PointId,
    /// The databases of the settings.
    pub databases: &'a [Database],
    /// In front of the copies' names; a nonce follows it.
    pub prefix: &'a str,
    /// Leave the copies.
    pub keep: bool,
    /// How fast the copies are read.
    pub budget: ReadBudget,
    /// In how many parts each.
    pub segments: Option<u32>,
    /// Divides waits between looks.
    pub time_scale: f64,
    /// Stop after this long, with [`Exit::NotYet`].
    pub time_out: Option<Duration>,
}

/// Begins a drill, or goes on with one that has not ended: then by what was chosen at its beginning. The evidence, where the
/// drill came to its end; and why it did not, or what it found.
pub async fn forward(
    this: &Drilling<'_>,
    cancel: &CancellationToken,
    seen: &mut Seen<'_>,
) -> (Option<DrillReport>, Vec<Failure>) {
    let ended = async {
        let context = Context::new(cancel.clone());
        let mut loaded = this.load().await?;
        if matches!(loaded.phase, Phase::Recorded | Phase::Captured | Phase::Sealed | Phase::Prepared) {
            this.seal(&context).await?;
            loaded = this.load().await?;
        }
        let (plan, going_on) = this.plan(&loaded)?;
        let jobs = this.jobs(&loaded, &plan)?;
        let mut warnings = Vec::new();
        if !going_on {
            for (database, driller, units) in &jobs {
                let found = driller.may_copy(&context, units).await;
                warnings.extend(found.map_err(|error| databases::failure(database, &error))?);
            }
        }
        this.work(Way::Forward, &loaded, &plan, jobs, warnings, cancel, seen).await
    };
    let failures = match ended.await {
        Ok(failures) if !failures.is_empty() => return (None, failures),
        Ok(failures) => failures,
        Err(failure) => return (None, vec![failure]),
    };
    match this.load().await.and_then(|loaded| evidence::of(&loaded)) {
        Ok(report) => {
            let failures = report.verify.as_ref().and_then(|found| not_sound(this.id.as_str(), found));
            (Some(report), failures.into_iter().collect())
        }
        Err(failure) => (None, failures.into_iter().chain([failure]).collect()),
    }
}

/// Ends a drill that has not ended: removes its copies, each by its recorded identity, and nothing else.
pub async fn back(this: &Drilling<'_>, cancel: &CancellationToken, seen: &mut Seen<'_>) -> Vec<Failure> {
    let ended = async {
        let loaded = this.load().await?;
        let plan = match loaded.phase {
            Phase::Drilling { .. } => this.plan(&loaded)?.0,
            // The engine says what is in the way, or that nothing is to be undone.
            _ => this.fresh(&loaded),
        };
        let jobs = match loaded.phase {
            Phase::Drilling { .. } => this.jobs(&loaded, &plan)?,
            _ => Vec::new(),
        };
        this.work(Way::Back, &loaded, &plan, jobs, Vec::new(), cancel, seen).await
    };
    ended.await.unwrap_or_else(|failure: Failure| vec![failure])
}

type Copies = (String, Driller, Vec<Unit>);

impl Drilling<'_> {
    async fn load(&self) -> Result<Loaded, Failure> {
        crate::catalog::load(self.catalog, self.id).await.map_err(|error| catalog_failure(&error))
    }

    /// Looks whether every data set, or its backup, can be restored, also where that was so before: it may be lost since.
    async fn seal(&self, context: &Context) -> Result<(), Failure> {
        let (log, loaded) = PointLog::resume(self.catalog, self.id).await.map_err(|error| catalog_failure(&error))?;
        let mut sealing = Sealing::of(log, &loaded, self.databases)?;
        sealing.complete_capture(&loaded, context).await?;
        let look = sealing.look(context).await?;
        match (&look, seal::failure(self.id.as_str(), &look)) {
            (Look::NotYet { .. }, Some(failure)) => {
                let hint = format!("Run `stillpoint drill {}` again then.", self.id);
                Err(Failure { hint, ..failure })
            }
            (_, Some(failure)) => Err(failure),
            (_, None) => Ok(()),
        }
    }

    /// The plan of the drill that goes on, or a new one; refused where none may begin.
    fn plan(&self, loaded: &Loaded) -> Result<(DrillPlan, bool), Failure> {
        let id = self.id.as_str();
        match loaded.phase {
            Phase::Drilling { .. } => {
                let run = Run::of(loaded.events()).map(|run| run.plan).unwrap_or_default();
                let plan = serde_json::from_value(run).map_err(|cause| {
                    let message = format!("what the drill of {id} was begun with cannot be read: {cause}");
                    let hint = "Use the version of stillpoint that began it.";
                    Failure::new(Exit::Refused, "drill_plan", message, hint)
                })?;
                Ok((plan, true))
            }
            Phase::Lost => Err(seal::lost(id, loaded)),
            phase if !phase.has_restore_time() => Err(seal::no_restore_time(id, phase)),
            // Other work in the way, and what has ended for good, is the engine's to refuse.
            _ => Ok((self.fresh(loaded), false)),
        }
    }

    fn fresh(&self, loaded: &Loaded) -> DrillPlan {
        let nonce: String = nonce().chars().take(10).collect();
        DrillPlan {
            prefix: format!("{}{nonce}-", self.prefix),
            keep: self.keep,
            backups: backups(loaded),
            budget: self.budget,
            segments: self.segments,
        }
    }

    fn jobs(&self, loaded: &Loaded, plan: &DrillPlan) -> Result<Vec<Copies>, Failure> {
        let Some(at) = recorded_time(loaded) else { return Ok(Vec::new()) };
        let none = BTreeMap::new();
        let mut jobs = Vec::new();
        for (database, recorded) in seal::recorded(self.id.as_str(), loaded, self.databases)? {
            let Some(driller) = Arc::clone(&database.provider).driller() else {
                let message = format!("database `{}` ({}) cannot be drilled", database.name, database.provider);
                let hint = "Restore it under another name by hand, and look at it there.";
                return Err(Failure::new(Exit::Refused, "no_drill", message, hint));
            };
            let capsules = prepare::capsules(loaded, &database.name);
            let request = DrillRequest {
                label: self.id.as_str(),
                at,
                sets: &recorded,
                capsules: &capsules,
                prefix: &plan.prefix,
                backups: plan.backups.get(&database.name).unwrap_or(&none),
                keep: plan.keep,
            };
            let units = driller.copies(&request).map_err(|error| databases::failure(&database.name, &error))?;
            jobs.push((database.name.clone(), driller, units));
        }
        Ok(jobs)
    }

    #[allow(clippy::too_many_arguments)]
    async fn work(
        &self,
        way: Way,
        loaded: &Loaded,
        plan: &DrillPlan,
        copies: Vec<Copies>,
        warnings: Vec<String>,
        cancel: &CancellationToken,
        seen: &mut Seen<'_>,
    ) -> Result<Vec<Failure>, Failure> {
        let mut jobs = Vec::new();
        for (name, driller, mut units) in copies {
            let work = DrillWork::new(loaded, self.databases, &name, driller, &units, plan)?;
            units.push(work.unit());
            jobs.push(Job { database: name, work: Arc::new(work), units });
        }
        let plan = serde_json::to_value(plan).unwrap_or_default();
        let order = Order { kind: RunKind::Drill, way, plan, warnings, terms: Default::default() };
        let options = prepare::run_options(self.time_scale, self.time_out)?;
        let ended = workflow::work(self.catalog, self.id, &order, &jobs, &options, cancel, seen).await?;
        Ok(self.failures(way, ended))
    }

    fn failures(&self, way: Way, ended: Ended) -> Vec<Failure> {
        let again = match way {
            Way::Forward => format!("stillpoint drill {}", self.id),
            Way::Back => format!("stillpoint drill {} --abort", self.id),
        };
        match ended {
            Ended::Done => Vec::new(),
            Ended::Failed(failed) => failed.iter().map(|(unit, error)| prepare::unit_failure(unit, error)).collect(),
            Ended::TimedOut { done, total } => {
                let message = format!("{done} of {total} steps are done; what was begun goes on at the service");
                let hint = format!("Run `{again}` again: it goes on where this one stopped.");
                vec![Failure::new(Exit::NotYet, "still_drilling", message, hint)]
            }
            Ended::Cancelled => {
                let message = format!("asked to stop; the copies made for {} are recorded, and stay for now", self.id);
                let hint = format!(
                    "`{again}` goes on where this one stopped; `stillpoint drill {} --abort` removes them.",
                    self.id
                );
                vec![Failure::new(Exit::Void, "cancelled", message, hint)]
            }
        }
    }
}

/// The on-demand backups that a prepared point has, by database and data set.
fn backups(loaded: &Loaded) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut all: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    if loaded.phase != Phase::Prepared {
        return all;
    }
    let Some(run) = Run::of_kind(loaded.events(), RunKind::Prepare) else { return all };
    for (key, unit) in &run.units {
        let arn = unit.state.records.last().and_then(|record| record.what["arn"].as_str());
        if let Some(arn) = arn {
            all.entry(key.database.clone()).or_default().insert(key.unit.clone(), arn.to_owned());
        }
    }
    all
}

/// Names of the databases that the point recorded.
fn database_names(loaded: &Loaded) -> Vec<String> {
    let names = loaded.events().find_map(|event| match event {
        PointEvent::Opened { databases, .. } => Some(databases.iter().map(|d| d.name.clone()).collect()),
        _ => None,
    });
    names.unwrap_or_default()
}

/// The recorded data sets of a database, by name.
fn recorded_names(loaded: &Loaded, database: &str) -> Vec<String> {
    sets(loaded, database).into_iter().map(|set| set.name).collect()
}
