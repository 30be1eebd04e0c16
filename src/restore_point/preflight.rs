//! Everything that must be true before the first Pause. Pauses nothing and changes nothing; `check` is exactly this.
//! Slow things first, pods last; all failures are listed together.

use crate::catalog::{self, Access, Catalog, Options};
use crate::databases::{self, Database, Surveyed};
use crate::failure::{Exit, Failure};
use crate::kubernetes::srv_names;
use crate::note::LocalNotes;
use crate::point;
use crate::recovery;
use crate::restore_point::attempt;
use crate::settings::Settings;
use crate::target::{self, ReadyPod, Watched};
use provider_api::{Context, Mono};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What a preflight found.
#[derive(Debug, Default)]
pub struct Preflight {
    /// The catalog, writable.
    pub catalog: Option<Catalog>,
    /// Every database that answered in full.
    pub surveyed: Vec<Surveyed>,
    /// Every pod, connected.
    pub pods: Vec<ReadyPod>,
    /// Ways to see what becomes of them.
    pub watched: Vec<Arc<dyn Watched>>,
    /// Every pod whose gate could be read, ready or not.
    pub seen: Vec<point::Pod>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// Why nothing may be paused. Empty: go.
    pub failures: Vec<Failure>,
    /// When the pods were looked at.
    pub looked: Option<Mono>,
}

/// What is found holds for this long: then somebody else may have begun to pause.
pub const FRESH: Duration = Duration::from_secs(5);

/// Looks at everything, as `check` does. Open window notes of anybody are failures; `notes` are this machine's.
pub async fn run(
    settings: &Settings,
    databases: &[Database],
    notes: Option<&LocalNotes>,
    cancel: &CancellationToken,
) -> Preflight {
    let mut found = survey(settings, databases, cancel).await;
    if let Some(catalog) = &found.catalog
        && let Some(held) = attempt::lock_is_held(catalog).await
    {
        found.failures.push(held);
    }
    found.look(settings, notes, cancel).await;
    found
}

/// The slow half: databases and catalog.
async fn survey(settings: &Settings, databases: &[Database], cancel: &CancellationToken) -> Preflight {
    let context = Context::new(cancel.clone());
    let (opened, (surveyed, failures)) = tokio::join!(open_catalog(settings), databases::survey(databases, &context));
    let mut found = Preflight { surveyed, failures, ..Preflight::default() };
    match opened {
        Ok(catalog) => found.catalog = Some(catalog),
        Err(failure) => found.failures.push(failure),
    }
    for one in &found.surveyed {
        let named = |warning: &String| format!("database `{}`: {warning}", one.database.name);
        let of_sets = one.confirmed.iter().flat_map(|set| &set.warnings);
        found.warnings.extend(one.discovery.warnings.iter().chain(of_sets).map(named));
    }
    found
}

impl Preflight {
    /// The quick half, last: open window notes and pods. A repeat takes the place of the one before.
    pub async fn look(&mut self, settings: &Settings, notes: Option<&LocalNotes>, cancel: &CancellationToken) {
        let (open_windows, unread) = recovery::find(notes, self.catalog.as_ref()).await;
        self.failures.extend(unread);
        // Of an earlier window of this run, whose pods are open, and which could not be removed.
        let others = open_windows.iter().filter(|note| !note.is_own());
        // What is told of here is not told of again by its Lease.
        self.failures.extend(others.map(recovery::refusal));
        if !cancel.is_cancelled() {
            let (leases, mut pods) = tokio::join!(recovery::Leases::look(settings), target::prepare(settings));
            srv_names::advise(settings, &mut pods.failures).await;
            self.failures.extend(leases.refusals(&open_windows));
            // A cluster that cannot be asked is told once.
            let untold = |f: &&Failure| pods.failures.iter().all(|told| told.name != f.name);
            self.failures.extend(leases.unread.iter().filter(untold).cloned());
            self.looked = Some(Mono::now());
            self.seen = pods.pods;
            self.pods = pods.ready;
            self.watched = pods.watched;
            self.warnings.extend(pods.warnings.into_iter().filter(|w| !self.warnings.contains(w)).collect::<Vec<_>>());
            self.failures.extend(pods.failures);
        }
        if cancel.is_cancelled() {
            let message = "asked to stop before anything was paused";
            self.failures.push(Failure::new(Exit::Void, "cancelled", message, "Run it again."));
        }
    }

    /// Whether so much time has passed since the pods were looked at that they must be again.
    pub fn is_stale(&self) -> bool {
        self.looked.is_none_or(|looked| Mono::now().since(looked) > FRESH)
    }
}

/// Opens the catalog for writing.
pub async fn open_catalog(settings: &Settings) -> Result<Catalog, Failure> {
    let options = Options { access: Access::Write, ..Options::default() };
    Catalog::open(settings.catalog_url.as_str(), options).await.map_err(|error| catalog_failure(&error))
}

/// A catalog's error for people.
pub fn catalog_failure(error: &catalog::CatalogError) -> Failure {
    Failure::new(Exit::Refused, error.name(), error.to_string(), error.hint().to_owned()).caused_by(error)
}
