//! One window, with everything around it: the lock, the note, the guard, and what is left behind.

use crate::catalog::{self, Acquired, Catalog, LockStatus, Owner, PauseLock};
use crate::databases::Surveyed;
use crate::failure::{Exit, Failure};
use crate::guard::GuardLink;
use crate::kubernetes::HeldLeases;
use crate::note::{Kind, Life, LocalNotes, NotedPod, OpenWindowNote, Process, VERSION};
use crate::point::Pod;
use crate::restore_point::create::Seen;
use crate::restore_point::preflight::catalog_failure;
use crate::restore_point::report;
use crate::settings::{Settings, WindowSettings};
use crate::target::{ReadyPod, Watched, Watching};
use crate::wall;
use crate::window::driver::{self, DrivenPod, Edges, Happened, Pausing};
use crate::window::fault;
use crate::window::plan::{Auto, Hold, Plan, PodPlan, Rules, boot_ns};
use crate::window::protocol::{Outcome, Window};
use crate::window::release::PodIndex;
use chrono::{TimeDelta, Utc};
use provider_api::Mono;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long pausing is taken to last when `auto` times the first Pause: pods that are idle answer in a round trip.
const EXPECTED_DRAIN: Duration = Duration::from_millis(100);

/// How long to try to take back a note that could not be written everywhere.
const TAKE_BACK: Duration = Duration::from_secs(5);

/// What a window is made with.
#[derive(Debug)]
pub struct Attempt<'a> {
    /// The settings.
    pub settings: &'a Settings,
    /// The id of the point, or of the pause.
    pub id: &'a str,
    /// Whether `create` or `pause` made it.
    pub kind: Kind,
    /// How long to keep still.
    pub hold: Hold,
    /// With [`Hold::HandOver`]: how long the guard is to own the pods.
    pub pause_for: Option<Duration>,
    /// When it began: what tells this attempt from others of the same id.
    pub started: Mono,
    /// The pods.
    pub pods: &'a [ReadyPod],
    /// Ways to see what becomes of the pods.
    pub watched: &'a [Arc<dyn Watched>],
    /// The local notes.
    pub notes: &'a LocalNotes,
    /// Where a second copy of the note goes; `None` for a pause, which must not wait for a remote store.
    pub catalog: Option<&'a Catalog>,
    /// Further copies of the note, where targets are Kubernetes'.
    pub leases: Option<&'a HeldLeases>,
    /// Hard deadline: longest outage of this window.
    pub max_outage: Duration,
}

/// What a window left behind.
#[derive(Debug)]
pub struct Attempted {
    /// What happened in it.
    pub outcome: Outcome,
    /// The pods as it left them.
    pub pods: Vec<Pod>,
    /// The watches, which have not settled yet.
    pub watching: Watching,
    /// Why the command cannot be called done, if pods may still be paused or nothing could be begun.
    pub failures: Vec<Failure>,
}

impl Attempt<'_> {
    /// Runs the window. At the end every pod is proven open, or a guard goes on releasing and a failure says so.
    /// The local note stays until [`Attempt::close`].
    pub async fn run(&self, seen: &mut Seen<'_>, cancel: &CancellationToken) -> Attempted {
        let window = &self.settings.window;
        let mut watching = Watching::start(self.watched);
        let note = match self.note() {
            Ok(note) => note,
            Err(failure) => {
                return Attempted {
                    outcome: Outcome::default(),
                    pods: report::pods(self.pods, None),
                    watching,
                    failures: vec![failure],
                };
            }
        };
        let driven = |p: &ReadyPod| DrivenPod {
            name: p.pod.name.clone(),
            client: p.client.clone(),
            identity: p.pod.identity.clone(),
        };
        let pods: Vec<DrivenPod> = self.pods.iter().map(driven).collect();
        let mut edges =
            WindowEdges { attempt: self, note: &note, names: pods.iter().map(|p| p.name.clone()).collect(), seen };
        let pausing = Pausing { max_wait: window.max_pause_wait_time, deadline: window.call_deadline() };
        let driven = driver::run(self.plan(), &pods, pausing, &mut watching.changes, &mut edges, cancel).await;
        fault::point("before:StandDown");
        let failures = self.leave(&driven.window, driven.guard, &note).await;
        Attempted {
            outcome: driven.window.outcome().clone(),
            pods: report::pods(self.pods, Some(&driven.window)),
            watching,
            failures,
        }
    }

    /// Removes the note's copies: the verdict is stored, and every pod is proven open.
    pub async fn close(&self) -> Result<(), String> {
        let deleted = match self.catalog {
            Some(catalog) => catalog::notes::delete(catalog, self.id).await.map_err(|e| report::chain(&e)),
            None => Ok(()),
        };
        let removed = match self.leases {
            Some(leases) => leases.remove_note().await,
            None => Ok(()),
        };
        // The local copy stays as long as the others do: only who reads it knows that there is nothing to release.
        let deleted = deleted.and(removed);
        deleted.and_then(|()| self.notes.remove(self.id).map_err(|e| report::chain(&e)))
    }

    async fn write_note(&self, note: &OpenWindowNote) -> Result<(), String> {
        self.notes.write(note).map_err(|e| report::chain(&e))?;
        if let Some(leases) = self.leases {
            leases.write_note(note).await?;
        }
        let Some(catalog) = self.catalog else { return Ok(()) };
        let content = serde_json::to_value(note).map_err(|e| e.to_string())?;
        let nonce = format!("{}-{}", note.owner.pid, note.owner.start_ticks);
        catalog::notes::put(catalog, &note.id, &nonce, &content).await.map_err(|e| report::chain(&e))
    }

    fn plan(&self) -> Plan {
        let window = &self.settings.window;
        Plan {
            pods: self.pods.iter().map(|p| PodPlan { can_check: p.has_check }).collect(),
            hold: self.hold.clone(),
            call_deadline: window.call_deadline(),
            tcp_user_timeout: window.tcp_user_timeout,
            max_outage: self.max_outage,
            check_interval: window.check_interval,
            release_wait: window.release_wait,
            rules: rules(),
        }
    }

    fn note(&self) -> Result<OpenWindowNote, Failure> {
        let owner = Process::this().map_err(|error| {
            let hint = "Stillpoint needs /proc, as every ordinary Linux and container has it.";
            Failure::new(Exit::Refused, "no_proc", "cannot read this process's own identity", hint).caused_by(&error)
        })?;
        let now = Utc::now();
        let noted = |p: &ReadyPod| NotedPod {
            name: p.pod.name.clone(),
            target: p.pod.target.clone(),
            can_check: p.has_check,
            endpoint: p.pod.endpoint.clone(),
            identity: p.pod.identity.clone(),
        };
        Ok(OpenWindowNote {
            version: VERSION,
            id: self.id.to_owned(),
            kind: self.kind,
            owner,
            opened: wall::at(self.started),
            deadline: now + TimeDelta::from_std(self.max_outage).unwrap_or(TimeDelta::MAX),
            deadline_boot_ns: boot_ns() + u64::try_from(self.max_outage.as_nanos()).unwrap_or(u64::MAX),
            call_deadline_ms: u64::try_from(self.settings.window.call_deadline().as_millis()).unwrap_or(u64::MAX),
            pods: self.pods.iter().map(noted).collect(),
            catalog: self.catalog.map(|_| self.settings.catalog_url.to_string()),
            leases: self.leases.map(|leases| leases.references().to_vec()).unwrap_or_default(),
        })
    }

    /// Ends the guard when every pod is proven open; otherwise leaves the rest to it.
    async fn leave(&self, window: &Window, guard: Option<GuardLink>, note: &OpenWindowNote) -> Vec<Failure> {
        let outcome = window.outcome();
        if let Some(reason) = &outcome.refused {
            stand_down(guard).await;
            let hint = "Nothing was paused. Make the state folder and the catalog writable, then run it again.";
            return vec![Failure::new(
                Exit::Refused,
                "note_unwritable",
                format!("cannot write the open window note: {reason}"),
                hint,
            )];
        }
        if outcome.handed_over {
            return Vec::new();
        }
        if outcome.first_pause.is_none() || outcome.all_open.is_some() {
            stand_down(guard).await;
            return Vec::new();
        }
        let unproven: Vec<&str> = (0..self.pods.len())
            .filter(|i| report::may_be_paused(window.gate(PodIndex(*i))))
            .map(|i| self.pods[i].pod.name.as_str())
            .collect();
        let told = match guard {
            Some(mut guard) => guard.carry_on().await,
            None => Err("the guard is lost".to_owned()),
        };
        let goes_on = match told {
            Ok(()) => Ok(()),
            Err(lost) => {
                let again = GuardLink::carry_on_anew(note, &self.settings.state_dir).await;
                again.map_err(|error| format!("{lost}, and no other one could be started: {error}"))
            }
        };
        vec![report::maybe_paused(&unproven, goes_on)]
    }
}

/// A guard that cannot be told ends by itself: it finds its pipe closed and unpauses once more, which harms nobody.
async fn stand_down(guard: Option<GuardLink>) {
    if let Some(guard) = guard
        && let Err(error) = guard.released().await
    {
        tracing::warn!("{error}");
    }
}

/// How long to keep still, for a restore point over these databases.
pub fn hold(window: &WindowSettings, surveyed: &[Surveyed]) -> Hold {
    match window.hold {
        crate::settings::Hold::Fixed(length) => Hold::Fixed(length),
        crate::settings::Hold::Auto => Hold::Auto(Auto {
            clocks: surveyed.iter().map(|s| s.clock).collect(),
            margin: window.margin,
            slack: window.auto_slack,
            expected_drain: EXPECTED_DRAIN,
        }),
    }
}

fn rules() -> Rules {
    Rules {
        last_round: !fault::broken_rule("last_round"),
        wait_for_late_pauses: !fault::broken_rule("wait_for_late_pauses"),
        first_round: !fault::broken_rule("first_round"),
    }
}

struct WindowEdges<'a> {
    attempt: &'a Attempt<'a>,
    note: &'a OpenWindowNote,
    names: Vec<String>,
    seen: &'a mut Seen<'a>,
}

#[async_trait::async_trait]
impl Edges for WindowEdges<'_> {
    async fn write_note(&mut self) -> Result<(), String> {
        let attempt = self.attempt;
        let written = attempt.write_note(self.note).await;
        if written.is_err() {
            // Nothing is paused: a note left behind would only make the next run release pods that are open.
            let _ = attempt.notes.remove(attempt.id);
            if let Some(leases) = attempt.leases {
                let _ = tokio::time::timeout(TAKE_BACK, leases.remove_note()).await;
            }
            if let Some(catalog) = attempt.catalog {
                let _ = tokio::time::timeout(TAKE_BACK, catalog::notes::delete(catalog, attempt.id)).await;
            }
        }
        written
    }

    async fn arm_guard(&mut self) -> Result<GuardLink, String> {
        GuardLink::arm(self.note, &self.attempt.settings.state_dir).await
    }

    fn hand_over_until(&self) -> u64 {
        let length = self.attempt.pause_for.unwrap_or_default();
        let until = boot_ns().saturating_add(u64::try_from(length.as_nanos()).unwrap_or(u64::MAX));
        until.min(self.note.deadline_boot_ns)
    }

    fn seen(&mut self, window: &Window, happened: &Happened<'_>) {
        (self.seen)(&self.names, window, happened);
    }
}

/// Takes the pause lock for one window.
pub async fn lock(catalog: &Catalog, window: &WindowSettings) -> Result<PauseLock, Failure> {
    let this = Process::this().map_err(|e| Failure::new(Exit::Refused, "no_proc", e.to_string(), "Mount /proc."))?;
    let until = Utc::now() + TimeDelta::from_std(window.max_outage + window.release_wait).unwrap_or(TimeDelta::MAX);
    let acquired = PauseLock::acquire(catalog, lock_owner(&this), until, is_dead).await;
    match acquired.map_err(|e| catalog_failure(&e))? {
        Acquired::Held(lock) => Ok(lock),
        Acquired::Refused { holder } => Err(held(catalog, &holder)),
    }
}

/// Why the pause lock could not be taken now; takes nothing. `None`: it could.
pub async fn lock_is_held(catalog: &Catalog) -> Option<Failure> {
    let holder = match catalog::lock_status(catalog).await {
        Ok(holder) => holder?,
        Err(error) => return Some(catalog_failure(&error)),
    };
    // Another host's processes cannot be judged, and their life is not known.
    let free = holder.expired(Utc::now()) || is_dead(&holder.owner);
    (!free).then(|| held(catalog, &holder))
}

fn held(catalog: &Catalog, holder: &LockStatus) -> Failure {
    let message = format!(
        "the pause lock of {} is held by process {} on {} until {}",
        catalog.place(),
        holder.owner.pid,
        holder.owner.host,
        wall::rfc3339(holder.until)
    );
    let hint = match process(&holder.owner).life() {
        Life::Unknown => format!(
            "Another run makes a restore point now, or died: from here that cannot be told. If it died, its lock ends by itself at {}; there is nothing to delete. Run it again then.",
            wall::rfc3339(holder.until + LockStatus::TOLERANCE)
        ),
        _ => "Another run makes a restore point now. Wait for it; `stillpoint status` shows it.".to_owned(),
    };
    Failure::new(Exit::Refused, "lock_held", message, hint)
}

/// A process as the lock's log names it. The PID namespace goes with the boot: ids of two containers say nothing of each other.
pub(crate) fn lock_owner(process: &Process) -> Owner {
    Owner {
        host: process.host.clone(),
        boot_id: format!("{} {}", process.boot_id, process.pid_namespace),
        pid: process.pid,
        pid_start: process.start_ticks,
    }
}

pub(crate) fn is_dead(owner: &Owner) -> bool {
    process(owner).life() == Life::Dead
}

/// The process that a lock's log names.
pub(crate) fn process(owner: &Owner) -> Process {
    let (boot_id, pid_namespace) = owner.boot_id.split_once(' ').unwrap_or((&owner.boot_id, ""));
    Process {
        host: owner.host.clone(),
        boot_id: boot_id.to_owned(),
        pid_namespace: pid_namespace.to_owned(),
        pid: owner.pid,
        start_ticks: owner.pid_start,
    }
}
