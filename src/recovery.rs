//! Finding open window notes: which are of the living and to be respected, which are of the dead and to be released.

mod gone;
mod leases;
mod opening;
mod record;
#[cfg(test)]
mod tests;

pub use gone::{Gone, settle_catalog};
pub use leases::{Leases, settle as settle_leases};
pub use opening::{Opened, Opening, open};

use crate::catalog::{self, Catalog};
use crate::failure::{Exit, Failure};
use crate::note::{GuardReport, GuardStatus, Kind, Life, LocalNotes, OpenWindowNote, VERSION, boot_id};
use crate::point::{Pod, PodState};
use crate::restore_point::report;
use crate::wall;
use futures::future::join_all;
use rustix::process::Signal;
use std::time::Duration;

/// How often a guard that is still releasing is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How long an owner that is killed may take to end. A thread that hangs in the kernel does not keep pods closed.
const LAST_BREATH: Duration = Duration::from_secs(1);

/// What a note means to whoever finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its owner lives and its deadline has not passed, or nothing can be said against that.
    Living,
    /// A guard owns the pods for a `pause --for`.
    Guarded,
    /// Its owner is proven dead, or its deadline has passed: release.
    Dead,
    /// Every pod is proven open already; only the record is missing.
    Released,
}

/// A note with where it was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The note.
    pub note: OpenWindowNote,
    /// Its guard's report, where the note is local.
    pub guard: Option<GuardReport>,
    /// Whether it lies in this machine's state folder.
    pub local: bool,
    /// What it means.
    pub standing: Standing,
}

/// What was released.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Every pod of every note that was released.
    pub pods: Vec<Pod>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// Pods that are not proven open, notes that could not be read.
    pub failures: Vec<Failure>,
}

/// Every note there is. Notes that cannot be read become failures: pods may be paused.
pub async fn find(notes: Option<&LocalNotes>, catalog: Option<&Catalog>) -> (Vec<Found>, Vec<Failure>) {
    let mut failures = Vec::new();
    let mut found = Vec::new();
    if let Some(notes) = notes {
        find_local(notes, &mut found, &mut failures);
    }
    let Some(catalog) = catalog else { return (found, failures) };
    match catalog::notes::list(catalog).await {
        Ok((listed, damaged)) => {
            failures.extend(damaged.iter().map(|d| damaged_note(&d.told())));
            for copy in listed {
                if found.iter().any(|f| f.note.id == copy.id) {
                    continue;
                }
                match readable(copy.content) {
                    Ok(note) => {
                        let standing = standing(&note, None);
                        found.push(Found { note, guard: None, local: false, standing });
                    }
                    Err(why) => {
                        failures.push(damaged_note(&format!("notes/{}.json in {}: {why}", copy.id, catalog.place())))
                    }
                }
            }
        }
        Err(error) => failures.push(crate::restore_point::preflight::catalog_failure(&error)),
    }
    (found, failures)
}

fn find_local(notes: &LocalNotes, found: &mut Vec<Found>, failures: &mut Vec<Failure>) {
    match notes.list() {
        Ok((listed, damaged)) => {
            failures.extend(damaged.iter().map(|error| damaged_note(&report::chain(error))));
            for note in listed {
                let guard = notes.guard(&note);
                let standing = standing_of(&note, guard.as_ref(), local_life(notes, &note));
                found.push(Found { note, guard, local: true, standing });
            }
        }
        Err(error) => failures.push(damaged_note(&report::chain(&error))),
    }
}

fn readable(content: serde_json::Value) -> Result<OpenWindowNote, String> {
    let note: OpenWindowNote = serde_json::from_value(content).map_err(|error| error.to_string())?;
    if note.version == VERSION {
        return Ok(note);
    }
    Err(format!("it has version {}, this stillpoint knows {VERSION}", note.version))
}

fn damaged_note(detail: &str) -> Failure {
    let hint = "Pods may be paused. Look at them with `stillpoint check`, open them with `stillpoint unpause --address HOST:PORT`, then move the note away.";
    Failure::new(Exit::Refused, "note_damaged", detail.to_owned(), hint)
}

/// Of a note in this state folder more is known than its process: the owner of a window holds the folder's lock for as
/// long as it lives, whatever container it lives in. A restarted container finds it free.
fn local_life(notes: &LocalNotes, note: &OpenWindowNote) -> Life {
    let life = note.owner.life();
    let same_kernel = boot_id().is_ok_and(|id| id == note.owner.boot_id);
    let gone = || notes.lock().is_ok();
    if life == Life::Unknown && same_kernel && note.kind == Kind::Window && gone() { Life::Dead } else { life }
}

fn standing(note: &OpenWindowNote, guard: Option<&GuardReport>) -> Standing {
    standing_of(note, guard, note.owner.life())
}

fn standing_of(note: &OpenWindowNote, guard: Option<&GuardReport>, owner: Life) -> Standing {
    let (status, passed) = (guard.map(|g| g.status), note.deadline_has_passed());
    if matches!(status, Some(GuardStatus::Released | GuardStatus::StoodDown)) {
        // The pods are open. An owner that works may take long to compare and to record; one that is stopped never will.
        return match owner {
            Life::Dead => Standing::Released,
            Life::Alive if passed && note.owner.is_stopped() => Standing::Released,
            Life::Unknown if passed => Standing::Released,
            Life::Alive | Life::Unknown => Standing::Living,
        };
    }
    if passed {
        return Standing::Dead;
    }
    let guard_lives = guard.is_some_and(|g| g.process.life() == Life::Alive);
    if note.kind == Kind::Pause && status == Some(GuardStatus::Owner) && guard_lives {
        return Standing::Guarded;
    }
    match owner {
        Life::Dead => Standing::Dead,
        Life::Alive | Life::Unknown => Standing::Living,
    }
}

/// Notes whose pods were opened just now: all that were dead, unless a failure says that one was not.
pub fn opened(found: &[Found], failures: &[Failure]) -> Vec<String> {
    if failures.iter().any(|failure| failure.exit == Exit::MaybePaused) {
        return Vec::new();
    }
    found.iter().filter(|found| found.is_dead()).map(|found| found.note.id.clone()).collect()
}

/// Why a new window must not be opened while this note is there.
pub fn refusal(found: &Found) -> Failure {
    let note = &found.note;
    let pods: Vec<&str> = note.pods.iter().map(|p| p.name.as_str()).collect();
    let (what, hint) = match found.standing {
        Standing::Living => ("has an open window on", "Wait until it is done; `stillpoint status` shows it."),
        Standing::Guarded => ("has paused", "`stillpoint unpause` releases them."),
        Standing::Dead | Standing::Released => {
            ("left an open window note and is gone, for", "Run `stillpoint recover`.")
        }
    };
    let message = format!(
        "process {} on {} {what} {} (note {}, deadline {})",
        note.owner.pid,
        note.owner.host,
        pods.join(", "),
        note.id,
        wall::rfc3339(note.deadline)
    );
    Failure::new(Exit::Refused, "window_open", message, hint)
}

impl Found {
    /// Whether its pods are to be released without asking anybody.
    pub fn is_dead(&self) -> bool {
        matches!(self.standing, Standing::Dead | Standing::Released)
    }

    /// Whether this process wrote it: a note that could not be removed after an earlier window of the same run.
    pub fn is_own(&self) -> bool {
        crate::note::Process::this().is_ok_and(|this| this == self.note.owner)
    }

    /// Every Pause had been answered when the guard became the owner, so none can arrive any more.
    fn settled(&self) -> bool {
        self.guard.as_ref().is_some_and(|guard| guard.status == GuardStatus::Owner)
    }
}

/// Releases the pods of these notes, all at once, then records their windows as void and removes the notes.
/// `catalog` is where notes that are not local were found; a local note names its own. Releasing waits for neither.
/// Safe to repeat, and while somebody else does the same.
pub async fn release_all(
    notes: &LocalNotes,
    catalog: Option<&Catalog>,
    found: &[&Found],
    patience: Duration,
) -> Recovered {
    let opened = join_all(found.iter().map(|one| release(notes, one, patience))).await;
    let mut recovered = Recovered::default();
    // What outranks all is known before anything that may wait for a remote store.
    recovered.failures.extend(opened.iter().filter_map(Opened::failure));
    for (one, opened) in found.iter().zip(opened) {
        if opened.failure().is_none() {
            let catalog = catalog.filter(|_| !one.local);
            recovered.warnings.extend(record::close(notes, one, catalog, &opened.pods).await);
        }
        recovered.pods.extend(opened.pods);
    }
    recovered
}

/// Opens one note's pods, or waits until its guard, or its owner, has. Removes and records nothing.
pub async fn release(notes: &LocalNotes, found: &Found, patience: Duration) -> Opened {
    let note = &found.note;
    if found.is_dead()
        && let Some(owner) = note.owner.hold()
    {
        // An owner that outlived its own deadline is stopped, as its guard would have: it must send nothing more.
        owner.end(LAST_BREATH).await;
    }
    let left_alone = found.guard.as_ref().map(|guard| guard.left_alone.clone()).unwrap_or_default();
    let left = |i: usize| if left_alone.contains(&i) { PodState::PausedByOther } else { PodState::Open };
    let all_open = || Opened { pods: opening::named(&note.pods, left), troubles: Vec::new() };
    if found.standing == Standing::Released {
        return all_open();
    }
    let opening = Opening {
        pods: &note.pods,
        call_deadline: note.call_deadline(),
        tcp_user_timeout: note.tcp_user_timeout(),
        settled: found.settled(),
        left_alone: &left_alone,
        patience,
    };
    tokio::select! {
        opened = open(&opening) => opened,
        () = released_by_guard(notes, note), if found.local => all_open(),
    }
}

/// Returns when the note's guard says so, or when the note is gone: it is removed only once every pod is proven open.
async fn released_by_guard(notes: &LocalNotes, note: &OpenWindowNote) {
    let released = || {
        let said = notes.guard(note).is_some_and(|g| g.status == GuardStatus::Released);
        said || notes.has(&note.id).is_ok_and(|there| !there)
    };
    while !released() {
        tokio::time::sleep(LOOK).await;
    }
}

/// Asks the guard that owns a pause's pods to release them now. False: there is no such guard any more.
pub fn ask_guard(found: &Found) -> bool {
    let guard = found.guard.as_ref().and_then(|guard| guard.process.hold());
    guard.is_some_and(|guard| guard.signal(Signal::USR1).is_ok())
}

/// Asks the owner of a living window to stop: it releases, and its window is void. False: it is not on this machine.
pub fn ask_owner(found: &Found) -> bool {
    found.note.owner.hold().is_some_and(|owner| owner.signal(Signal::TERM).is_ok())
}
