//! The guard's own process.

use super::message::{FromGuard, ToGuard};
use super::reporter::{Reporter, Said};
use crate::admin::AdminClient;
use crate::note::{GuardStatus, Held, Kind, OpenWindowNote};
use crate::window::plan::boot_ns;
use crate::window::release::{PodIndex, Release, Tuning};
use crate::window::releasing::{self, Answer};
use chrono::{TimeDelta, Utc};
use provider_api::Mono;
use rustix::process::{Pid, getppid, setsid};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin};
use tokio::signal::unix::{SignalKind, signal};

/// How often the boot clock is looked at. Timers would stop while the machine is suspended.
const LOOK: Duration = Duration::from_millis(50);
/// How long a killed parent may take to end before its pods are opened all the same. Its threads run no more, but one
/// that hangs in the kernel keeps it from ending.
const LAST_BREATH: Duration = Duration::from_secs(1);

/// Runs this process as a guard. Never returns before every pod it was given is proven open.
pub fn main() -> ExitCode {
    // An own session: a Ctrl-C or a hang-up of the terminal is for the parent. An error means that it is one already.
    let _ = setsid();
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return ExitCode::FAILURE;
    };
    let code = runtime.block_on(async {
        crate::file_limit::survive();
        match Guard::armed().await {
            Ok(guard) => guard.watch().await,
            Err(_) => ExitCode::FAILURE,
        }
    });
    // A read of standard input may still block a thread of the runtime.
    std::process::exit(if code == ExitCode::SUCCESS { 0 } else { 1 })
}

struct Guard {
    note: OpenWindowNote,
    clients: Vec<AdminClient>,
    left_alone: Vec<usize>,
    /// Every Pause was answered OK before the pods were handed over: none can still arrive.
    all_answered: bool,
    parent: Parent,
    input: Lines<BufReader<Stdin>>,
    /// The pipe has not ended.
    listening: bool,
    deadline_boot_ns: u64,
    status: GuardStatus,
    reporter: Reporter,
    signals: Signals,
}

/// What the process that feeds this one may still do.
enum Parent {
    /// Send Pause: it must have ended before a release can prove anything.
    Pausing(Held),
    /// Only unpause, as this process does; it says when it is done.
    Releasing(Held),
    /// Nothing.
    Gone,
}

/// Why a guard stops watching.
enum Turn {
    /// Every pod is proven open, the parent says.
    StandDown,
    /// Release them.
    Fire(String),
}

/// The first message.
struct Arm {
    note: OpenWindowNote,
    state_folder: PathBuf,
    releasing: bool,
}

impl Arm {
    async fn read(input: &mut Lines<BufReader<Stdin>>) -> Result<Self, String> {
        let line = input.next_line().await.map_err(|e| e.to_string())?.ok_or("no message")?;
        match serde_json::from_str(&line).map_err(|e| e.to_string())? {
            ToGuard::Arm { note, state_folder, releasing } => Ok(Arm { note: *note, state_folder, releasing }),
            _ => Err("the first message must arm".to_owned()),
        }
    }
}

/// Getting ready, and watching.
impl Guard {
    /// Reads the first message and gets ready for everything that it says.
    async fn armed() -> Result<Guard, String> {
        let signals = Signals::new().map_err(|e| e.to_string())?;
        let mut input = BufReader::new(tokio::io::stdin()).lines();
        let Arm { note, state_folder, releasing } = Arm::read(&mut input).await?;
        let parent = open_parent(&note)?;
        crate::target::make_room(note.pods.len());
        let clients = note.pods.iter().map(|p| AdminClient::connect_lazy(&p.endpoint));
        let clients = clients.collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string())?;
        let mut guard = Guard {
            reporter: Reporter::start(state_folder, &note),
            deadline_boot_ns: note.deadline_boot_ns,
            note,
            clients,
            left_alone: Vec::new(),
            all_answered: false,
            parent: if releasing { Parent::Releasing(parent) } else { Parent::Pausing(parent) },
            input,
            listening: true,
            status: GuardStatus::Armed,
            signals,
        };
        guard.say(GuardStatus::Armed, None);
        guard.connect_early();
        answer(FromGuard::Armed)?;
        Ok(guard)
    }

    /// Makes the connections now, so that a release later costs one round trip. Failures are tried again then.
    fn connect_early(&self) {
        for client in &self.clients {
            let client = client.clone();
            tokio::spawn(async move {
                let _ = client.check_paused(Duration::from_secs(5)).await;
            });
        }
    }

    async fn watch(mut self) -> ExitCode {
        let (end, reason) = match self.turn().await {
            Turn::StandDown => (GuardStatus::StoodDown, None),
            Turn::Fire(reason) => (self.fire(&reason).await, Some(reason)),
        };
        self.say(end, reason.as_deref());
        if self.note.kind == Kind::Pause && end == GuardStatus::Released {
            // Nobody has to record anything about a pause, so its note ends with it.
            self.reporter.remove_note();
        }
        self.reporter.finish();
        ExitCode::SUCCESS
    }

    async fn turn(&mut self) -> Turn {
        let mut look = tokio::time::interval(LOOK);
        loop {
            let owner = self.status == GuardStatus::Owner;
            tokio::select! {
                line = self.input.next_line(), if self.listening => {
                    if let Some(turn) = self.heard(line) {
                        return turn;
                    }
                }
                _ = look.tick() => if boot_ns() >= self.deadline_boot_ns {
                    return Turn::Fire(if owner { "the time of the pause is over" } else { "the hard deadline passed" }.to_owned());
                },
                asked = self.signals.asked_to_release() => if asked && owner {
                    return Turn::Fire("asked to release".to_owned());
                },
            }
        }
    }

    /// The next line, or the end of the pipe.
    fn heard(&mut self, line: std::io::Result<Option<String>>) -> Option<Turn> {
        let why = match line {
            Ok(Some(line)) => return self.obey(&line),
            Ok(None) => "the process that paused ended without releasing".to_owned(),
            Err(error) => format!("the pipe broke: {error}"),
        };
        self.listening = false;
        // An owner's parent has done what it wanted.
        (self.status != GuardStatus::Owner).then_some(Turn::Fire(why))
    }

    fn obey(&mut self, line: &str) -> Option<Turn> {
        match serde_json::from_str(line) {
            Ok(ToGuard::LeaveAlone { pod }) => {
                self.left_alone.push(pod);
                // Whoever finds the note after both of us died must leave it alone too.
                self.say(self.status, None);
                return None;
            }
            Ok(ToGuard::Releasing) => {
                if let Parent::Pausing(parent) = std::mem::replace(&mut self.parent, Parent::Gone) {
                    self.parent = Parent::Releasing(parent);
                }
                return None;
            }
            Ok(ToGuard::HandOver { until_boot_ns }) => {
                self.deadline_boot_ns = until_boot_ns.min(self.deadline_boot_ns);
                self.parent = Parent::Gone;
                self.all_answered = true;
                self.say(GuardStatus::Owner, None);
                // The parent ends after our answer. From then on only this report says that its pods have an owner.
                self.reporter.flush();
            }
            Ok(ToGuard::CarryOn) => {
                // The parent will end by itself; there is nothing to wait for.
                self.parent = Parent::Gone;
                let _ = answer(FromGuard::Understood);
                return Some(Turn::Fire("the window could not prove every pod open in time".to_owned()));
            }
            Ok(ToGuard::Released) => {
                let _ = answer(FromGuard::Understood);
                return Some(Turn::StandDown);
            }
            Ok(ToGuard::Arm { .. }) | Err(_) => return Some(Turn::Fire(format!("unknown message `{line}`"))),
        }
        // If the answer cannot be written, the parent is gone, and the end of the pipe says so next.
        let _ = answer(FromGuard::Understood);
        None
    }
}

/// Releasing.
impl Guard {
    /// Makes sure that no Pause can follow, then opens every pod. Returns when every pod is proven open.
    async fn fire(&mut self, reason: &str) -> GuardStatus {
        let parent = match std::mem::replace(&mut self.parent, Parent::Gone) {
            Parent::Pausing(parent) => Some(parent),
            // A stopped one would never say that it is done, and its verdict would be waited for without end.
            Parent::Releasing(parent) if self.note.owner.is_stopped() => Some(parent),
            Parent::Releasing(_) | Parent::Gone => None,
        };
        let mut ended = match &parent {
            Some(parent) => parent.end(LAST_BREATH).await,
            None => true,
        };
        self.say(GuardStatus::Releasing, Some(reason));
        loop {
            if let Turn::StandDown = self.release().await {
                return GuardStatus::StoodDown;
            }
            if ended {
                return GuardStatus::Released;
            }
            // It has got its SIGKILL, but is not gone. What was proven counts from the moment when it is.
            ended = parent.as_ref().is_none_or(Held::has_ended);
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Releases, beside a parent that may be at it too and says when it is done.
    async fn release(&mut self) -> Turn {
        let started = Mono::now();
        loop {
            let release = self.release_since(started);
            let (note, reporter) = (&self.note, &self.reporter);
            let named = |pod: &PodIndex| note.pods.get(pod.0).map_or("?", |p| p.name.as_str());
            let released = releasing::run(&self.clients, release, None, |seen| {
                reporter.log(match seen {
                    Answer::Unpause(pod, answer) => format!("Unpause {} {answer:?}", named(pod)),
                    Answer::Check(pod, answer) => format!("CheckPaused {} {answer:?}", named(pod)),
                });
            });
            let line = tokio::select! {
                _ = released => return Turn::Fire(String::new()),
                line = self.input.next_line(), if self.listening => line,
            };
            if let Some(Turn::StandDown) = self.heard(line) {
                return Turn::StandDown;
            }
        }
    }

    fn release_since(&self, started: Mono) -> Release {
        let can_check = self.note.can_check();
        let tuning = Tuning::new(can_check.len(), self.note.call_deadline(), self.note.tcp_user_timeout());
        let mut release = Release::maybe_paused(Mono::now(), started, &can_check, tuning);
        for pod in &self.left_alone {
            release.leave_alone(PodIndex(*pod));
        }
        if self.all_answered {
            (0..can_check.len()).for_each(|pod| release.pause_was_answered(PodIndex(pod), started));
        }
        release
    }

    /// Says where it stands, to the log and beside the note.
    fn say(&mut self, status: GuardStatus, reason: Option<&str>) {
        self.status = status;
        let unproven = match status {
            GuardStatus::Owner | GuardStatus::Releasing => self.note.pods.iter().map(|p| p.name.clone()).collect(),
            GuardStatus::Armed | GuardStatus::Released | GuardStatus::StoodDown => Vec::new(),
        };
        let until = (status == GuardStatus::Owner).then(|| {
            let left = Duration::from_nanos(self.deadline_boot_ns.saturating_sub(boot_ns()));
            Utc::now() + TimeDelta::from_std(left).unwrap_or(TimeDelta::MAX)
        });
        let (reason, left_alone) = (reason.map(str::to_owned), self.left_alone.clone());
        self.reporter.report(Said { status, reason, until, unproven, left_alone });
    }
}

/// Opens the parent so that its process id cannot come to mean another process.
fn open_parent(note: &OpenWindowNote) -> Result<Held, String> {
    let parent = Held::open(note.owner.pid).map_err(|e| e.to_string())?;
    if getppid().map(Pid::as_raw_nonzero).map(|pid| pid.get().unsigned_abs()) != Some(note.owner.pid) {
        return Err("the parent is gone".to_owned());
    }
    Ok(parent)
}

fn answer(message: FromGuard) -> Result<(), String> {
    let line = serde_json::to_string(&message).map_err(|e| e.to_string())?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|e| e.to_string())
}

/// Signals a guard does not die of. SIGTERM and SIGUSR1 ask an owner to release.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    user: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            user: signal(SignalKind::user_defined1())?,
        })
    }

    async fn asked_to_release(&mut self) -> bool {
        tokio::select! {
            _ = self.interrupt.recv() => false,
            _ = self.hangup.recv() => false,
            _ = self.terminate.recv() => true,
            _ = self.user.recv() => true,
        }
    }
}
