//! The copies in the local state folder: `notes/<id>.json` by the owner, `notes/<id>.guard.json` by its guard, each
//! written whole, fsynced and renamed into place. One `owner.lock` keeps two owners on one folder apart.

use super::{OpenWindowNote, Process, VERSION, boot_id};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// What a guard says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardReport {
    /// The guard.
    pub process: Process,
    /// [`OpenWindowNote::opened`] of the note that it guards: an earlier window of the same id had another guard, and
    /// what that one said says nothing about this window's pods.
    pub note_opened: DateTime<Utc>,
    /// Where it stands.
    pub status: GuardStatus,
    /// Why it fired, for people.
    pub reason: Option<String>,
    /// When it said so.
    pub at: DateTime<Utc>,
    /// As the owner of a pause's pods: until when.
    pub until: Option<DateTime<Utc>>,
    /// Names of the pods that are not proven open.
    pub unproven: Vec<String>,
    /// Places of the pods that another caller's pause holds: an Unpause would revoke it.
    #[serde(default)]
    pub left_alone: Vec<usize>,
}

/// Where a guard stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardStatus {
    /// Watching its parent and the deadline.
    Armed,
    /// Owner of the pods until the deadline.
    Owner,
    /// Releasing the pods.
    Releasing,
    /// Every pod is proven open; by the guard itself.
    Released,
    /// Every pod is proven open; by the window.
    StoodDown,
}

/// Why the state folder could not be used.
#[derive(Debug, thiserror::Error)]
pub enum NoteError {
    /// The file system said no.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A note that cannot be read.
    #[error("the open window note `{}` is damaged: {reason}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Another process uses the folder as an owner.
    #[error("another run of stillpoint holds `{}`", path.display())]
    Held {
        /// The lock file.
        path: PathBuf,
    },
}

/// The notes in one state folder.
#[derive(Clone, Debug)]
pub struct LocalNotes {
    folder: PathBuf,
}

/// Held while this process may own a note; the kernel lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct OwnerLock {
    file: File,
    former: Vec<Process>,
}

/// How many owners a folder's lock remembers.
const REMEMBERED: usize = 16;

impl OwnerLock {
    /// Who owned the folder before, on this boot, whatever container they lived in. Each held this lock for as long as it
    /// could pause or record anything: that it is ours now proves that none of them does any more.
    pub fn former(&self) -> &[Process] {
        &self.former
    }

    /// Writes down who has the folder now, for whoever has it next. What cannot be written or read back costs the next
    /// one only its haste.
    fn enroll(&mut self, this: &Process) {
        let mut all = self.former.clone();
        all.push(this.clone());
        let from = all.len().saturating_sub(REMEMBERED);
        let lines: Vec<String> = all[from..].iter().filter_map(|one| serde_json::to_string(one).ok()).collect();
        let _ = self.file.set_len(0).and_then(|()| self.file.write_all((lines.join("\n") + "\n").as_bytes()));
    }
}

/// Of this boot alone: of another one nothing is known, not even that it was this machine's.
fn enrolled(file: &mut File) -> Vec<Process> {
    let (mut text, boot) = (String::new(), boot_id());
    if file.read_to_string(&mut text).is_err() {
        return Vec::new();
    }
    let all = text.lines().filter_map(|line| serde_json::from_str::<Process>(line).ok());
    all.filter(|one| boot.as_ref().is_ok_and(|boot| *boot == one.boot_id)).collect()
}

impl LocalNotes {
    /// The notes below a state folder, which is made if it is missing.
    pub fn open(state_folder: &Path) -> Result<Self, NoteError> {
        let notes = LocalNotes::at(state_folder);
        fs::create_dir_all(&notes.folder).map_err(failed("make the folder", &notes.folder))?;
        Ok(notes)
    }

    /// The same without touching the folder: for releasing by a note from elsewhere where this folder cannot be used.
    pub fn at(state_folder: &Path) -> Self {
        LocalNotes { folder: state_folder.join("notes") }
    }

    /// Takes the folder for this process, which is written down, and clears away what dead writers left half-written.
    pub fn own(&self) -> Result<OwnerLock, NoteError> {
        let mut owner = self.lock()?;
        if let Ok(this) = Process::this() {
            owner.enroll(&this);
        }
        self.tidy(&owner);
        Ok(owner)
    }

    /// Holds the folder, or says that another process has it. Writes nothing.
    pub fn lock(&self) -> Result<OwnerLock, NoteError> {
        let path = self.folder.with_file_name("owner.lock");
        let file = File::options().create(true).read(true).append(true).open(&path);
        let mut file = file.map_err(failed("open", &path))?;
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                let former = enrolled(&mut file);
                Ok(OwnerLock { file, former })
            }
            Err(rustix::io::Errno::WOULDBLOCK) => Err(NoteError::Held { path }),
            Err(errno) => Err(failed("lock", &path)(errno.into())),
        }
    }

    /// Removes half-written files, and reports that no note is left for. A note is written by the folder's owner alone, so
    /// with the lock in hand its half-written copy has no writer. A guard lives on without the lock: what it may be writing
    /// stays for as long as its note does. What cannot be removed does no harm.
    fn tidy(&self, _held: &OwnerLock) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let of_guard = name.split_once(".guard.").map(|(id, _)| id);
            let dead = match of_guard {
                Some(id) => {
                    (name.ends_with(".tmp") || name.ends_with(".json")) && self.has(id).is_ok_and(|there| !there)
                }
                None => name.ends_with(".tmp"),
            };
            if dead {
                let _ = fs::remove_file(&path);
            }
        }
    }

    /// Writes a note; returns only when it would survive a power cut. A repeat replaces it, and takes away what the
    /// guard of an earlier window of the same id said.
    pub fn write(&self, note: &OpenWindowNote) -> Result<(), NoteError> {
        remove_file(&self.guard_path(&note.id))?;
        self.put(&self.note_path(&note.id), note)
    }

    /// Every note, and what could not be read.
    pub fn list(&self) -> Result<(Vec<OpenWindowNote>, Vec<NoteError>), NoteError> {
        let mut notes = Vec::new();
        let mut damaged = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed("list", &self.folder))? {
            let path = entry.map_err(failed("list", &self.folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !name.ends_with(".json") || name.ends_with(".guard.json") {
                continue;
            }
            match read::<OpenWindowNote>(&path) {
                Ok(Some(note)) if note.version == VERSION => notes.push(note),
                Ok(Some(note)) => {
                    let reason = format!("it has version {}, this stillpoint knows {VERSION}", note.version);
                    damaged.push(NoteError::Damaged { path, reason });
                }
                Ok(None) => {}
                Err(error) => damaged.push(error),
            }
        }
        notes.sort_by(|a, b| a.id.cmp(&b.id));
        Ok((notes, damaged))
    }

    /// Whether a note is there.
    pub fn has(&self, id: &str) -> Result<bool, NoteError> {
        let path = self.note_path(id);
        path.try_exists().map_err(failed("look at", &path))
    }

    /// Removes a note and its guard's report. Missing files are no error.
    pub fn remove(&self, id: &str) -> Result<(), NoteError> {
        remove_file(&self.note_path(id))?;
        remove_file(&self.guard_path(id))?;
        sync_folder(&self.folder)
    }

    /// Writes a guard's report of itself.
    pub fn write_guard(&self, id: &str, report: &GuardReport) -> Result<(), NoteError> {
        self.put(&self.guard_path(id), report)
    }

    /// The last report of this note's guard, if there is one that can be read.
    pub fn guard(&self, note: &OpenWindowNote) -> Option<GuardReport> {
        let report: GuardReport = read(&self.guard_path(&note.id)).ok().flatten()?;
        (report.note_opened == note.opened).then_some(report)
    }

    fn note_path(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }

    fn guard_path(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.guard.json"))
    }

    fn put(&self, path: &Path, value: &impl Serialize) -> Result<(), NoteError> {
        let bytes = serde_json::to_vec_pretty(value).map_err(|e| failed("write", path)(e.into()))?;
        let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
        let written = File::create(&temporary).and_then(|mut file| {
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, path)
        });
        if let Err(error) = written {
            let _ = fs::remove_file(&temporary);
            return Err(failed("write", path)(error));
        }
        sync_folder(&self.folder)
    }
}

/// A file that is not there counts as removed.
fn remove_file(path: &Path) -> Result<(), NoteError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

fn sync_folder(folder: &Path) -> Result<(), NoteError> {
    File::open(folder).and_then(|f| f.sync_all()).map_err(failed("sync the folder", folder))
}

/// `None`: no such file.
fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, NoteError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read", path)(error)),
    };
    let damaged = |e: serde_json::Error| NoteError::Damaged { path: path.to_owned(), reason: e.to_string() };
    serde_json::from_slice(&bytes).map(Some).map_err(damaged)
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> NoteError {
    let path = path.to_owned();
    move |source| NoteError::Io { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::Kind;

    fn note(id: &str) -> OpenWindowNote {
        OpenWindowNote {
            version: VERSION,
            id: id.into(),
            kind: Kind::Window,
            owner: Process::this().unwrap(),
            opened: Utc::now(),
            deadline: Utc::now(),
            deadline_boot_ns: 1,
            call_deadline_ms: 35_000,
            pods: Vec::new(),
            catalog: None,
            leases: Vec::new(),
        }
    }

    #[test]
    fn a_note_is_read_back_as_written_and_gone_after_removal() {
        let folder = tempfile::tempdir().unwrap();
        let notes = LocalNotes::open(folder.path()).unwrap();
        notes.write(&note("a")).unwrap();
        notes.write(&note("b")).unwrap();
        let (listed, damaged) = notes.list().unwrap();
        assert_eq!(listed.iter().map(|n| n.id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert!(damaged.is_empty());
        notes.remove("a").unwrap();
        notes.remove("a").unwrap();
        assert_eq!(notes.list().unwrap().0.len(), 1);
    }

    #[test]
    fn a_damaged_note_is_named_and_hides_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let notes = LocalNotes::open(folder.path()).unwrap();
        notes.write(&note("good")).unwrap();
        fs::write(folder.path().join("notes/bad.json"), b"{\"version\":1").unwrap();
        let (listed, damaged) = notes.list().unwrap();
        assert_eq!(listed.len(), 1);
        assert!(damaged[0].to_string().contains("bad.json"), "{}", damaged[0]);
    }

    #[test]
    fn what_the_guard_of_an_earlier_window_said_is_never_taken_for_this_one() {
        let folder = tempfile::tempdir().unwrap();
        let notes = LocalNotes::open(folder.path()).unwrap();
        let first = note("a");
        let stood_down = GuardReport {
            process: Process::this().unwrap(),
            note_opened: first.opened,
            status: GuardStatus::StoodDown,
            reason: None,
            at: Utc::now(),
            until: None,
            unproven: Vec::new(),
            left_alone: Vec::new(),
        };
        notes.write(&first).unwrap();
        notes.write_guard("a", &stood_down).unwrap();
        assert_eq!(notes.guard(&first), Some(stood_down.clone()));
        let second = OpenWindowNote { opened: first.opened + chrono::TimeDelta::nanoseconds(1), ..first };
        notes.write(&second).unwrap();
        assert_eq!(notes.guard(&second), None);
        // The first guard was late.
        notes.write_guard("a", &stood_down).unwrap();
        assert_eq!(notes.guard(&second), None);
    }

    #[test]
    fn one_folder_has_one_owner() {
        let folder = tempfile::tempdir().unwrap();
        let notes = LocalNotes::open(folder.path()).unwrap();
        let held = soon(|| notes.lock());
        assert!(matches!(notes.lock(), Err(NoteError::Held { .. })));
        drop(held);
        drop(soon(|| notes.lock()));
    }

    /// Another test's child has this process's open files until it runs its own program, and with them a lock.
    fn soon(take: impl Fn() -> Result<OwnerLock, NoteError>) -> OwnerLock {
        loop {
            match take() {
                Err(NoteError::Held { .. }) => std::thread::yield_now(),
                other => return other.unwrap(),
            }
        }
    }

    #[test]
    fn an_owner_learns_who_had_the_folder_before_on_this_boot_and_a_look_leaves_no_trace() {
        let folder = tempfile::tempdir().unwrap();
        let notes = LocalNotes::open(folder.path()).unwrap();
        let this = Process::this().unwrap();
        let elsewhere = Process { pid_namespace: "pid:[1]".into(), ..this.clone() };
        let before = Process { boot_id: "another".into(), ..this.clone() };
        for one in [&before, &elsewhere] {
            soon(|| notes.lock()).enroll(one);
        }
        assert_eq!(soon(|| notes.lock()).former(), std::slice::from_ref(&elsewhere));
        assert_eq!(soon(|| notes.own()).former(), std::slice::from_ref(&elsewhere));
        assert_eq!(soon(|| notes.own()).former(), [elsewhere, this.clone()]);
        for _ in 0..100 {
            drop(soon(|| notes.own()));
        }
        assert_eq!(soon(|| notes.lock()).former().len(), REMEMBERED);
        // A torn line hides no other.
        let path = folder.path().join("owner.lock");
        let line = serde_json::to_string(&this).unwrap();
        fs::write(&path, format!("{line}\n{{\"host\":\n")).unwrap();
        assert_eq!(soon(|| notes.lock()).former(), [this]);
    }

    #[test]
    fn what_dead_writers_left_is_cleared_away_and_nothing_that_a_guard_may_be_writing() {
        let folder = tempfile::tempdir().unwrap();
        let notes = LocalNotes::open(folder.path()).unwrap();
        notes.write(&note("kept")).unwrap();
        let at = |name: &str| folder.path().join("notes").join(name);
        let stays = ["kept.json", "kept.guard.7.tmp", "kept.guard.json", "a-person-s.txt"];
        let goes = ["kept.7.tmp", "gone.7.tmp", "gone.guard.7.tmp", "gone.guard.json"];
        for name in stays.iter().chain(&goes).skip(1) {
            fs::write(at(name), b"{").unwrap();
        }
        {
            let _held = soon(|| notes.lock());
            assert!(notes.own().is_err());
        }
        assert!(goes.iter().all(|name| at(name).exists()), "another owns the folder");
        drop(soon(|| notes.own()));
        assert!(stays.iter().all(|name| at(name).exists()));
        assert!(goes.iter().all(|name| !at(name).exists()));
        assert_eq!(notes.list().unwrap().0.len(), 1);
    }
}
