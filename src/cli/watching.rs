//! A window told to people and logs: each command and event is a line with `event`, `pod` and `mono_ns`; phases and
//! seconds go to the progress display. All of it is written on a thread of its own: a terminal that is held or a pipe
//! that nobody reads must not keep pods paused.

use super::progress::Progress;
use crate::window::driver::{Happened, command_name, event_name, paused_count, pod_of};
use crate::window::protocol::{Event, PauseAnswer, Window};
use crate::window::release::{CheckAnswer, UnpauseAnswer};
use provider_api::Mono;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// Up to so many pods, the paused ones are counted at every answer.
const COUNT_ALWAYS: usize = 100;
/// With more pods: a thousand answers, each followed by a look at a thousand gates, would delay what they answer.
const COUNT_EVERY: Duration = Duration::from_millis(50);

/// How long the last lines may take before the command goes on without them.
const LAST_LINES: Duration = Duration::from_secs(2);

struct Line {
    at: Mono,
    told: Option<Told>,
    paused: usize,
    total: usize,
}

struct Told {
    event: &'static str,
    pod: String,
    detail: String,
}

/// Watches the windows of one command.
#[derive(Debug)]
pub struct Watching {
    lines: Option<Sender<Line>>,
    paused: AtomicUsize,
    counted_at: AtomicU64,
    done: Mutex<Receiver<()>>,
}

impl Watching {
    /// Starts the thread.
    pub fn start(progress: Progress) -> Self {
        let (lines, inbox) = channel();
        let (finished, done) = channel();
        std::thread::spawn(move || {
            write_all(&inbox, progress);
            let _ = finished.send(());
        });
        let (paused, counted_at) = (AtomicUsize::new(0), AtomicU64::new(0));
        Watching { lines: Some(lines), paused, counted_at, done: Mutex::new(done) }
    }

    /// Told by the driver; never waits.
    pub fn seen(&self, names: &[String], window: &Window, happened: &Happened<'_>) {
        let told = match happened {
            Happened::Tick => None,
            Happened::Command(command) => Some((command_name(command), String::new())),
            Happened::Event(event) => Some((event_name(event), answer(event))),
        };
        let pod = pod_of(happened).and_then(|p| names.get(p.0)).map_or("-", String::as_str);
        let told = told.map(|(event, detail)| Told { event, pod: pod.to_owned(), detail });
        let (at, total) = (Mono::now(), names.len());
        let counted_at = Mono(self.counted_at.load(Ordering::Relaxed));
        let due = total <= COUNT_ALWAYS || at.since(counted_at) >= COUNT_EVERY;
        // Sending a command changes no gate: with a thousand pods, counting at each would delay the last Pause.
        if due && !matches!(happened, Happened::Command(_)) {
            self.counted_at.store(at.0, Ordering::Relaxed);
            self.paused.store(paused_count(window, total), Ordering::Relaxed);
        }
        let paused = self.paused.load(Ordering::Relaxed);
        if let Some(lines) = &self.lines {
            let _ = lines.send(Line { at, told, paused, total });
        }
    }

    /// Waits, for a while, until everything is written.
    pub fn finish(mut self) {
        self.lines = None;
        if let Ok(done) = self.done.into_inner() {
            let _ = done.recv_timeout(LAST_LINES);
        }
    }
}

fn write_all(inbox: &Receiver<Line>, mut progress: Progress) {
    let mut first_pause = None;
    for Line { at, told, paused, total } in inbox {
        if let Some(Told { event, pod, detail }) = told {
            tracing::info!(target: "stillpoint::window", event, pod, mono_ns = at.0, detail);
            match event {
                "WriteNote" => progress.phase("opening the window"),
                "Pause" => {
                    first_pause.get_or_insert(at);
                    progress.phase("pausing");
                }
                "CheckHold" => progress.phase("holding still"),
                "CheckLast" => progress.phase("proving"),
                "Unpause" => progress.phase("unpausing"),
                "Finish" => {
                    first_pause = None;
                    progress.phase("closing the window");
                }
                _ => {}
            }
        }
        progress.pods(paused, total);
        if let Some(first) = first_pause {
            progress.tick(at.since(first));
        }
    }
    progress.done();
}

fn answer(event: &Event) -> String {
    match event {
        Event::NoteWritten(result) | Event::GuardArmed(result) | Event::HandedOver(result) => match result {
            Ok(()) => "ok".to_owned(),
            Err(reason) => reason.clone(),
        },
        Event::PauseAnswered(_, answer) => match answer {
            PauseAnswer::Paused => "paused".to_owned(),
            PauseAnswer::Refused(detail) => format!("refused: {detail}"),
            PauseAnswer::DrainTimedOut(detail) => format!("drain timed out: {detail}"),
            PauseAnswer::PausedByOther(detail) => format!("paused by another: {detail}"),
            PauseAnswer::Unknown(detail) => format!("unknown: {detail}"),
        },
        Event::Checked(_, _, answer) => match answer {
            CheckAnswer::Paused => "paused".to_owned(),
            CheckAnswer::Open => "open".to_owned(),
            CheckAnswer::Unimplemented => "unimplemented".to_owned(),
            CheckAnswer::ConnectionRefused => "connection refused".to_owned(),
            CheckAnswer::Failed(detail) => format!("failed: {detail}"),
        },
        Event::Unpaused(_, answer) => match answer {
            UnpauseAnswer::Ok => "ok".to_owned(),
            UnpauseAnswer::ConnectionRefused => "connection refused".to_owned(),
            UnpauseAnswer::Failed => "failed".to_owned(),
        },
        Event::PodsChanged(change) => format!("{} on {}: {}", change.name, change.subject, change.detail),
        Event::ConnectionBroke(_, detail) | Event::GuardLost(detail) | Event::Cancelled(detail) => detail.clone(),
        Event::NoLongerExists(_) => "Kubernetes no longer has it".to_owned(),
        Event::Start | Event::Tick => String::new(),
    }
}
