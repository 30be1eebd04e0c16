//! `create`: one restore point, from the first look to the stored verdict.

mod attempts;
mod verdict;
mod window_only;

pub use window_only::window_only;

use crate::catalog::{Catalog, OpenedDatabase, Options, PauseLock, PointId, PointLog};
use crate::databases::Database;
use crate::failure::{Exit, Failure};
use crate::kubernetes::HeldLeases;
use crate::note::{LocalNotes, NoteError, OwnerLock};
use crate::point::{self, Point};
use crate::recovery::{self, Found, Gone};
use crate::restore_point::preflight::Preflight;
use crate::settings::Settings;
use crate::window::driver::Happened;
use crate::window::protocol::Window;
use chrono::{DateTime, Utc};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Among how many of the newest points those are looked for that a run left without a verdict. `recover` looks at all.
const NEWEST: usize = 16;

/// Is told what happens in a window, for progress and logs.
pub type Seen<'a> = dyn FnMut(&[String], &Window, &Happened<'_>) + Send + 'a;

/// How a run ended.
#[derive(Debug, Default)]
pub struct Created {
    /// The point as far as it came.
    pub point: Point,
    /// Why it is not good.
    pub failures: Vec<Failure>,
    /// Where a good point is recorded, for capturing and sealing.
    pub recorded: Option<(Catalog, PointId)>,
}

/// Makes a restore point: recovers what a dead run left, then tries windows until one is proven, and stores the verdict.
pub async fn run(
    settings: &Settings,
    databases: &[Database],
    cancel: &CancellationToken,
    seen: &mut Seen<'_>,
) -> Created {
    let mut created = Created::default();
    let notes = match LocalNotes::open(&settings.state_dir) {
        Ok(notes) => notes,
        Err(error) => return created.failed(state_failure(&error)),
    };
    let Some(_owner) = created.own(settings, &notes, cancel).await else { return created };
    let mut run = Run {
        settings,
        databases,
        notes,
        cancel,
        log: None,
        opened: Vec::new(),
        until: DateTime::UNIX_EPOCH,
        outage: Duration::ZERO,
        attempts: Vec::new(),
        created,
    };
    run.attempts(seen).await;
    run.created
}

/// The state folder's error for people.
pub fn state_failure(error: &NoteError) -> Failure {
    let (name, hint) = match error {
        NoteError::Held { .. } => {
            ("window_open", "Wait until the other run is done; `stillpoint status` shows its window, once it has one.")
        }
        _ => ("state_unusable", "Make it a folder that this user can write, or name another one with --state-dir."),
    };
    Failure::new(Exit::Refused, name, error.to_string(), hint).caused_by(error)
}

impl Created {
    fn failed(mut self, failure: Failure) -> Self {
        self.failures.push(failure);
        self
    }

    /// Recovers what dead runs left, then takes the state folder. In this order: a run that is stopped past its deadline
    /// holds the folder until it is recovered from.
    async fn own(&mut self, settings: &Settings, notes: &LocalNotes, cancel: &CancellationToken) -> Option<OwnerLock> {
        let mut gone = self.recover_dead(settings, notes, cancel).await;
        let owner = notes.own();
        match owner {
            Ok(owner) if self.failures.is_empty() => {
                gone.add(owner.former());
                let settled = recovery::settle_catalog(settings, notes, &gone, Some(NEWEST)).await;
                self.point.warnings.extend(settled);
                Some(owner)
            }
            Ok(_) => None,
            // The notes say more than the lock.
            Err(error) => {
                if self.failures.is_empty() {
                    self.failures.push(state_failure(&error));
                }
                None
            }
        }
    }

    /// Returns who was found to be gone on the way.
    async fn recover_dead(&mut self, settings: &Settings, notes: &LocalNotes, cancel: &CancellationToken) -> Gone {
        let (local, damaged) = recovery::find(Some(notes), None).await;
        self.failures.extend(damaged);
        self.recover(settings, notes, None, &local).await;
        let opened = recovery::opened(&local, &self.failures);
        let settled = recovery::settle_leases(settings, notes, &local, &opened, cancel).await;
        self.point.warnings.extend(settled.recovered.warnings);
        self.failures.extend(settled.recovered.failures);
        self.failures.extend(settled.living);
        // Whatever is wrong with cluster or catalog, the preflight finds and says.
        let Ok(catalog) = Catalog::open(settings.catalog_url.as_str(), Options::default()).await else {
            return settled.gone;
        };
        let (mut remote, _) = recovery::find(None, Some(&catalog)).await;
        remote.retain(|note| local.iter().all(|known| known.note.id != note.note.id));
        self.recover(settings, notes, Some(&catalog), &remote).await;
        settled.gone
    }

    async fn recover(&mut self, settings: &Settings, notes: &LocalNotes, catalog: Option<&Catalog>, found: &[Found]) {
        let (dead, living): (Vec<&Found>, Vec<&Found>) = found.iter().partition(|note| note.is_dead());
        let recovered = recovery::release_all(notes, catalog, &dead, settings.window.release_wait).await;
        self.point.warnings.extend(recovered.warnings);
        self.failures.extend(recovered.failures);
        self.failures.extend(living.into_iter().map(recovery::refusal));
    }
}

struct Run<'a> {
    settings: &'a Settings,
    databases: &'a [Database],
    notes: LocalNotes,
    cancel: &'a CancellationToken,
    /// Of the point that is being made; `None` before the first window, and once it has ended.
    log: Option<PointLog>,
    /// The data sets that the log began with.
    opened: Vec<OpenedDatabase>,
    /// Until when this run may write to the log.
    until: DateTime<Utc>,
    outage: Duration,
    attempts: Vec<point::Attempt>,
    created: Created,
}

/// What to do after a window.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Try another.
    Again,
    /// No more.
    Stop,
}

/// What one window is made with.
struct Ready<'a> {
    id: PointId,
    catalog: &'a Catalog,
    lock: &'a PauseLock,
    leases: &'a HeldLeases,
    found: &'a Preflight,
}
