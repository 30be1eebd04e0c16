//! What a guard says of itself, on a thread of its own: a full, slow or lost disk must not keep it from releasing.

use crate::note::{GuardReport, GuardStatus, LocalNotes, OpenWindowNote, Process};
use chrono::{DateTime, Utc};
use provider_api::Mono;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// How long the last words may take before the guard ends without them.
const LAST_WORDS: Duration = Duration::from_secs(2);

enum Words {
    Log(String),
    Report(GuardReport),
    RemoveNote,
    Flush(Sender<()>),
}

/// Where a guard stands, as it is reported: see [`GuardReport`].
pub struct Said {
    pub status: GuardStatus,
    pub reason: Option<String>,
    pub until: Option<DateTime<Utc>>,
    pub unproven: Vec<String>,
    pub left_alone: Vec<usize>,
}

/// Writes the guard's log and its report beside the note.
pub struct Reporter {
    words: Option<Sender<Words>>,
    done: Receiver<()>,
    note_opened: DateTime<Utc>,
}

impl Reporter {
    /// Starts the thread.
    pub fn start(state_folder: PathBuf, note: &OpenWindowNote) -> Self {
        let (words, inbox) = channel();
        let (finished, done) = channel();
        let id = note.id.clone();
        std::thread::spawn(move || {
            write_all(&inbox, &state_folder, &id);
            let _ = finished.send(());
        });
        Reporter { words: Some(words), done, note_opened: note.opened }
    }

    /// A line for the log.
    pub fn log(&self, line: String) {
        self.send(Words::Log(line));
    }

    /// Where the guard stands now.
    pub fn report(&self, said: Said) {
        let Ok(process) = Process::this() else { return };
        let Said { status, reason, until, unproven, left_alone } = said;
        let (note_opened, at) = (self.note_opened, Utc::now());
        self.send(Words::Report(GuardReport { process, note_opened, status, reason, at, until, unproven, left_alone }));
    }

    /// Waits, for a while, until everything said so far is written.
    pub fn flush(&self) {
        let (written, done) = channel();
        self.send(Words::Flush(written));
        let _ = done.recv_timeout(LAST_WORDS);
    }

    /// The note has served its purpose.
    pub fn remove_note(&self) {
        self.send(Words::RemoveNote);
    }

    /// Waits, for a while, until everything is written.
    pub fn finish(mut self) {
        self.words = None;
        let _ = self.done.recv_timeout(LAST_WORDS);
    }

    fn send(&self, words: Words) {
        if let Some(sender) = &self.words {
            let _ = sender.send(words);
        }
    }
}

fn write_all(inbox: &Receiver<Words>, state_folder: &Path, id: &str) {
    let mut log = File::options().create(true).append(true).open(state_folder.join("guard.log")).ok();
    let notes = LocalNotes::open(state_folder).ok();
    for words in inbox {
        let line = match words {
            Words::Log(line) => line,
            Words::Flush(written) => {
                let _ = written.send(());
                continue;
            }
            Words::RemoveNote => match notes.as_ref().map(|notes| notes.remove(id)) {
                Some(Err(error)) => format!("its note cannot be removed: {error}"),
                _ => continue,
            },
            Words::Report(report) => {
                let written = notes.as_ref().map(|notes| notes.write_guard(id, &report));
                let trouble = match written {
                    Some(Err(error)) => format!("; its report cannot be written: {error}"),
                    _ => String::new(),
                };
                format!("{:?} {}{trouble}", report.status, report.reason.unwrap_or_default())
            }
        };
        let Some(log) = log.as_mut() else { continue };
        let at = Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Nanos, true);
        let pid = std::process::id();
        let line = serde_json::json!({ "at": at, "mono_ns": Mono::now().0, "pid": pid, "id": id, "event": line });
        // One write a line: formatted straight to the file, each bracket and quote would be a system call of its own.
        let _ = log.write_all(format!("{line}\n").as_bytes());
    }
}
