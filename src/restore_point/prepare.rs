//! `prepare`: from a sealed point to on-demand backups of every data set; `--abort` back to a sealed one.

use crate::catalog::{Catalog, Loaded, Owner, Phase, PointEvent, PointId, PointLog, RunKind};
use crate::databases::{self, Database};
use crate::failure::{Exit, Failure};
use crate::note::Process;
use crate::restore_point::attempt::{is_dead, lock_owner};
use crate::restore_point::preflight::catalog_failure;
use crate::restore_point::seal::{self, Look, Sealing};
use crate::window::plan::boot_ns;
use crate::workflow::{self, Ended, Job, Options, Order, Run, Seen, UnitKey, Worker};
use provider_api::{Capsule, Context, PrepareRequest, Preparer, ProviderError, Way};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How a point is prepared.
#[derive(Clone, Debug)]
pub struct Preparing<'a> {
    /// Where the point is.
    pub catalog: &'a Catalog,
    /// Which.
    pub id: &'a PointId,
    /// The databases of the settings.
    pub databases: &'a [Database],
    /// Divides waits between looks.
    pub time_scale: f64,
    /// Stop after this long, with [`Exit::NotYet`].
    pub time_out: Option<Duration>,
}

/// Prepares the point, or goes on with it. A point that is prepared already stays so.
pub async fn forward(this: &Preparing<'_>, cancel: &CancellationToken, seen: &mut Seen<'_>) -> Vec<Failure> {
    let begun = tokio::time::Instant::now();
    let ended = async {
        let loaded = this.load().await?;
        let context = Context::new(cancel.clone());
        if matches!(loaded.phase, Phase::Prepared | Phase::Pruned) {
            this.seal(&context).await?;
            return Ok(Vec::new());
        }
        if !loaded.phase.beyond_sealed() {
            this.seal(&context).await?;
        }
        // Sealing may have written; a run of another process may have begun.
        let loaded = this.load().await?;
        let plans = this.plans(&loaded)?;
        let mut warnings = Vec::new();
        if !loaded.phase.beyond_sealed() {
            for (database, preparer, units) in &plans {
                let found = preparer.preflight(&context, units).await;
                warnings.extend(found.map_err(|error| databases::failure(database, &error))?);
            }
        }
        let left = this.time_out.map(|all| all.saturating_sub(begun.elapsed()));
        this.work(Way::Forward, plans, warnings, left, cancel, seen).await
    };
    ended.await.unwrap_or_else(|failure: Failure| vec![failure])
}

/// Stops the run and removes what it made: its staging tables and its backups, those that are finished included, each by
/// its recorded identity. The point is sealed again. What is not this run's stays. Refused when no run is under way.
pub async fn back(this: &Preparing<'_>, cancel: &CancellationToken, seen: &mut Seen<'_>) -> Vec<Failure> {
    let ended = async {
        let loaded = this.load().await?;
        let plans = if loaded.phase.beyond_sealed() { this.plans(&loaded)? } else { Vec::new() };
        this.work(Way::Back, plans, Vec::new(), this.time_out, cancel, seen).await
    };
    ended.await.unwrap_or_else(|failure: Failure| vec![failure])
}

type Plan = (String, Preparer, Vec<provider_api::Unit>);

impl Preparing<'_> {
    async fn load(&self) -> Result<Loaded, Failure> {
        crate::catalog::load(self.catalog, self.id).await.map_err(|error| catalog_failure(&error))
    }

    /// Looks whether every data set can be restored to T, also when that was so before: it may be lost since.
    async fn seal(&self, context: &Context) -> Result<(), Failure> {
        let (log, loaded) = PointLog::resume(self.catalog, self.id).await.map_err(|error| catalog_failure(&error))?;
        let mut sealing = Sealing::of(log, &loaded, self.databases)?;
        sealing.complete_capture(&loaded, context).await?;
        let look = match self.time_out {
            None => sealing.look(context).await?,
            Some(time_out) => sealing.wait(context, self.time_scale, time_out, |_, _| {}).await?,
        };
        match (&look, seal::failure(self.id.as_str(), &look)) {
            (Look::NotYet { .. }, Some(failure)) => {
                let hint = format!("Run `stillpoint prepare {}` again then, or give it --wait-timeout.", self.id);
                Err(Failure { hint, ..failure })
            }
            (_, Some(failure)) => Err(failure),
            (_, None) => Ok(()),
        }
    }

    /// The plan of every database of the point, from its record alone.
    fn plans(&self, loaded: &Loaded) -> Result<Vec<Plan>, Failure> {
        let (log, loaded_at) = (loaded, recorded_time(loaded));
        let Some(at) = loaded_at else { return Ok(Vec::new()) };
        let mut plans = Vec::new();
        for (database, sets) in seal::recorded(self.id.as_str(), log, self.databases)? {
            let Some(preparer) = Arc::clone(&database.provider).preparer() else {
                let message = format!("database `{}` ({}) has nothing to prepare", database.name, database.provider);
                let hint = "Its point-in-time recovery restores the point as long as the recovery period lasts.";
                return Err(Failure::new(Exit::Refused, "no_prepare", message, hint));
            };
            let capsules = capsules(log, &database.name);
            let request = PrepareRequest { label: self.id.as_str(), at, sets: &sets, capsules: &capsules };
            let units = preparer.units(&request).map_err(|error| databases::failure(&database.name, &error))?;
            plans.push((database.name.clone(), preparer, units));
        }
        Ok(plans)
    }

    async fn work(
        &self,
        way: Way,
        plans: Vec<Plan>,
        warnings: Vec<String>,
        time_out: Option<Duration>,
        cancel: &CancellationToken,
        seen: &mut Seen<'_>,
    ) -> Result<Vec<Failure>, Failure> {
        let job = |(database, work, units): Plan| Job { database, work, units };
        let jobs: Vec<Job> = plans.into_iter().map(job).collect();
        let options = run_options(self.time_scale, time_out)?;
        let order =
            Order { kind: RunKind::Prepare, way, plan: serde_json::Value::Null, warnings, terms: Default::default() };
        let ended = workflow::work(self.catalog, self.id, &order, &jobs, &options, cancel, seen).await?;
        Ok(self.failures(way, ended))
    }

    fn failures(&self, way: Way, ended: Ended) -> Vec<Failure> {
        let again = match way {
            Way::Forward => format!("stillpoint prepare {}", self.id),
            Way::Back => format!("stillpoint prepare {} --abort", self.id),
        };
        match ended {
            Ended::Done => Vec::new(),
            Ended::Failed(failed) => failed.iter().map(|(unit, error)| unit_failure(unit, error)).collect(),
            Ended::TimedOut { done, total } => {
                let message = format!("{done} of {total} data sets are done; what was begun goes on at the service");
                let hint = format!("Run `{again}` again: it goes on where this one stopped.");
                vec![Failure::new(Exit::NotYet, "still_preparing", message, hint)]
            }
            Ended::Cancelled => {
                let message = format!("asked to stop; what was begun for {} is recorded", self.id);
                let hint = format!("`{again}` goes on where this one stopped.");
                vec![Failure::new(Exit::Void, "cancelled", message, hint)]
            }
        }
    }
}

/// From here on nothing is refused "before anything was touched" any more.
pub(crate) fn unit_failure(unit: &UnitKey, error: &ProviderError) -> Failure {
    let failure = databases::failure(&unit.database, error);
    let exit = if failure.name == "point_lost" { Exit::Lost } else { Exit::Void };
    Failure { exit, ..failure }
}

/// How this process drives a run.
pub(crate) fn run_options(time_scale: f64, time_out: Option<Duration>) -> Result<Options, Failure> {
    let worker = Worker { owner: this_process()?, is_dead, boot_ns };
    Ok(Options { time_scale, time_out, lease: workflow::LEASE, worker, before_destroying: None })
}

pub(super) fn this_process() -> Result<Owner, Failure> {
    let this = Process::this();
    let this = this.map_err(|e| Failure::new(Exit::Refused, "no_proc", e.to_string(), "Mount /proc."))?;
    Ok(lock_owner(&this))
}

pub(super) fn recorded_time(loaded: &Loaded) -> Option<provider_api::RestoreTime> {
    loaded.events().find_map(|event| match event {
        PointEvent::Recorded { restore_time, .. } => Some(*restore_time),
        _ => None,
    })
}

pub(super) fn capsules(loaded: &Loaded, name: &str) -> Vec<Capsule> {
    let of = |event: &PointEvent| match event {
        PointEvent::Captured { database, capsules, .. } if database == name => capsules.clone(),
        _ => Vec::new(),
    };
    loaded.events().flat_map(of).collect()
}

/// Work that is going on or was left, for `status`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct RunReport {
    /// The point's id.
    pub id: String,
    /// `prepare`, `restore`, `drill`, `prune`; `abort` while it is undone.
    pub kind: String,
    /// Who works, for people; `None`: nobody, the same command goes on.
    pub holder: Option<String>,
    /// RFC 3339: until when the run is held, unless that is renewed.
    pub until: Option<String>,
    /// Data sets that are done.
    pub done: usize,
    /// All data sets.
    pub total: usize,
}

/// The run of a point, unless it has none or it has ended.
pub fn run_report(loaded: &Loaded) -> Option<RunReport> {
    let run = Run::of(loaded.events()).filter(|run| !run.ended)?;
    let hold = run.hold.as_ref();
    Some(RunReport {
        id: loaded.id.to_string(),
        kind: if run.way == Way::Forward { run.kind.verb() } else { "abort" }.to_owned(),
        holder: hold.map(|hold| format!("process {} on {}", hold.owner.pid, hold.owner.host)),
        until: hold.map(|hold| crate::wall::rfc3339(hold.until)),
        done: run.units.values().filter(|unit| unit.done).count(),
        total: loaded.point.databases.iter().map(|database| database.data_sets.len()).sum(),
    })
}
