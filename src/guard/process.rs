//! The guard's own process.

use super::feed::Feed;
use super::message::{FromGuard, ToGuard};
use super::reporter::{Reporter, Said};
use super::signals::Signals;
use crate::admin::AdminClient;
use crate::kubernetes;
use crate::note::{GuardStatus, Held, Kind, NotedPod, OpenWindowNote};
use crate::window::plan::boot_ns;
use crate::window::release::{PodIndex, Release, Tuning};
use crate::window::releasing::{self, Answer, Closed};
use chrono::{TimeDelta, Utc};
use futures::future::join_all;
use provider_api::Mono;
use rustix::process::{Pid, getppid, setsid};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// How often the boot clock is looked at. Timers would stop while the machine is suspended.
const LOOK: Duration = Duration::from_millis(50);
/// How long a killed parent may take to end before its pods are opened all the same. Its threads run no more, but one
/// that hangs in the kernel keeps it from ending.
const LAST_BREATH: Duration = Duration::from_secs(1);
/// How long the first Pause may wait for this process's connections. A thousand of them, made while the Pauses go out,
/// would hold these up; pods that are still silent by then are no reason to wait.
const CONNECTING: Duration = Duration::from_secs(1);

/// How long giving Leases back may take, of pods that are open.
const LEASES: Duration = Duration::from_secs(30);

/// Runs this process as a guard. Never returns before every pod it was given is proven open.
pub fn main() -> ExitCode {
    // An own session: a Ctrl-C or a hang-up of the terminal is for the parent. An error means that it is one already.
    let _ = setsid();
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return ExitCode::FAILURE;
    };
    let code = runtime.block_on(async {
        crate::file_limit::survive();
        let mut feed = Feed::new(tokio::io::stdin(), std::io::stdout());
        let Ok(Some(first)) = feed.next_line().await else { return ExitCode::FAILURE };
        match Guard::armed(feed, &first, parent_of_this).await {
            Ok(guard) => {
                guard.watch().await;
                ExitCode::SUCCESS
            }
            Err(_) => ExitCode::FAILURE,
        }
    });
    // A read of standard input may still block a thread of the runtime.
    std::process::exit(if code == ExitCode::SUCCESS { 0 } else { 1 })
}

/// A guard at work.
pub struct Guard {
    note: OpenWindowNote,
    pods: Vec<Closed>,
    left_alone: Vec<usize>,
    /// Every Pause was answered OK before the pods were handed over: none can still arrive.
    all_answered: bool,
    parent: Parent,
    /// How often in a row the parent was seen to have ended.
    ended: u8,
    feed: Feed,
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

/// How a guard's watch ended: every pod is proven open.
pub struct Watched {
    /// For the next window.
    pub feed: Feed,
    /// Why it released them itself; `None`: the window did.
    pub fired: Option<String>,
}

/// The first message.
struct Arm {
    note: OpenWindowNote,
    state_folder: PathBuf,
    releasing: bool,
}

impl Arm {
    fn read(line: &str) -> Result<Self, String> {
        match serde_json::from_str(line).map_err(|e| e.to_string())? {
            ToGuard::Arm { note, state_folder, releasing } => Ok(Arm { note: *note, state_folder, releasing }),
            _ => Err("the first message must arm".to_owned()),
        }
    }
}

/// Getting ready, and watching.
impl Guard {
    /// Gets ready for everything that the first message says, and answers it. `open_parent` opens the process that
    /// pauses, and refuses one that is not whom this guard serves.
    /// The error gives the pipe back.
    pub async fn armed(
        feed: Feed,
        first: &str,
        open_parent: impl FnOnce(&OpenWindowNote) -> Result<Held, String>,
    ) -> Result<Guard, Box<Feed>> {
        let ready = || {
            let signals = Signals::new().map_err(|e| e.to_string())?;
            let arm = Arm::read(first)?;
            let parent = open_parent(&arm.note)?;
            crate::target::make_room(arm.note.pods.len());
            let closed = |p: &NotedPod| {
                let client = AdminClient::connect_lazy(&p.endpoint).map_err(|e| e.to_string())?;
                Ok(Closed { client, identity: p.identity.clone() })
            };
            let pods = arm.note.pods.iter().map(closed).collect::<Result<Vec<_>, String>>()?;
            Ok::<_, String>((signals, arm, parent, pods))
        };
        let Ok((signals, arm, parent, pods)) = ready() else { return Err(Box::new(feed)) };
        let Arm { note, state_folder, releasing } = arm;
        let mut guard = Guard {
            reporter: Reporter::start(state_folder, &note),
            deadline_boot_ns: note.deadline_boot_ns,
            note,
            pods,
            left_alone: Vec::new(),
            all_answered: false,
            parent: if releasing { Parent::Releasing(parent) } else { Parent::Pausing(parent) },
            ended: 0,
            feed,
            listening: true,
            status: GuardStatus::Armed,
            signals,
        };
        guard.say(GuardStatus::Armed, None);
        guard.connect_early().await;
        // Were the answer lost, the end of the pipe says so next.
        let _ = guard.feed.answer(FromGuard::Armed);
        Ok(guard)
    }

    /// Makes the connections now, so that a release later costs one round trip. Failures are tried again then.
    async fn connect_early(&self) {
        let connecting = self.pods.iter().map(|Closed { client, .. }| {
            let client = client.clone();
            tokio::spawn(async move {
                let _ = client.check_paused(Duration::from_secs(5)).await;
            })
        });
        // Those that take longer go on.
        let _ = tokio::time::timeout(CONNECTING, join_all(connecting)).await;
    }

    /// Watches until nothing is left to do: the process that pauses has released, or this one has.
    pub async fn watch(mut self) -> Watched {
        let (end, reason) = match self.turn().await {
            Turn::StandDown => (GuardStatus::StoodDown, None),
            Turn::Fire(reason) => (self.fire(&reason).await, Some(reason)),
        };
        self.say(end, reason.as_deref());
        if self.note.kind == Kind::Pause && end == GuardStatus::Released {
            // Nobody has to record anything about a pause, so its note ends with it.
            self.reporter.remove_note();
            // Whoever finds the Leases free finds no note either.
            self.reporter.flush();
            self.give_leases_back().await;
        }
        self.reporter.finish();
        Watched { feed: self.feed, fired: reason }
    }

    /// The pods are open: what is left is to let the next run in at once. One that is not given back goes stale.
    async fn give_leases_back(&self) {
        let (leases, id) = (&self.note.leases, &self.note.id);
        match tokio::time::timeout(LEASES, kubernetes::give_back(leases, id)).await {
            Ok(troubles) => troubles.into_iter().for_each(|trouble| self.reporter.log(trouble)),
            Err(_) => self.reporter.log("the Leases could not be given back in time and go stale".to_owned()),
        }
    }

    async fn turn(&mut self) -> Turn {
        let mut look = tokio::time::interval(LOOK);
        loop {
            let owner = self.status == GuardStatus::Owner;
            tokio::select! {
                line = self.feed.next_line(), if self.listening => {
                    if let Some(turn) = self.heard(line) {
                        return turn;
                    }
                }
                _ = look.tick() => if self.parent_is_silent() && let Some(turn) = self.heard(Ok(None)) {
                    return turn;
                } else if boot_ns() >= self.deadline_boot_ns {
                    return Turn::Fire(if owner { "the time of the pause is over" } else { "the hard deadline passed" }.to_owned());
                },
                asked = self.signals.asked_to_release() => if asked && owner {
                    return Turn::Fire("asked to release".to_owned());
                },
            }
        }
    }

    /// The pipe ends with the parent, unless a process that it started holds the other end too. What it said last is
    /// read before it counts as ended.
    fn parent_is_silent(&mut self) -> bool {
        let ended = match &self.parent {
            Parent::Pausing(parent) | Parent::Releasing(parent) => self.listening && parent.has_ended(),
            Parent::Gone => false,
        };
        self.ended = if ended { self.ended.saturating_add(1) } else { 0 };
        self.ended > 1
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
                let _ = self.feed.answer(FromGuard::Understood);
                return Some(Turn::Fire("the window could not prove every pod open in time".to_owned()));
            }
            Ok(ToGuard::Released) => {
                let _ = self.feed.answer(FromGuard::Understood);
                return Some(Turn::StandDown);
            }
            Ok(ToGuard::Arm { .. }) | Err(_) => return Some(Turn::Fire(format!("unknown message `{line}`"))),
        }
        // If the answer cannot be written, the parent is gone, and the end of the pipe says so next.
        let _ = self.feed.answer(FromGuard::Understood);
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
            let released = releasing::run(&self.pods, release, None, |seen| {
                reporter.log(match seen {
                    Answer::Unpause(pod, answer) => format!("Unpause {} {answer:?}", named(pod)),
                    Answer::Check(pod, answer) => format!("CheckPaused {} {answer:?}", named(pod)),
                    Answer::NoLongerExists(pod) => format!("Kubernetes no longer has {}", named(pod)),
                });
            });
            let line = tokio::select! {
                _ = released => return Turn::Fire(String::new()),
                line = self.feed.next_line(), if self.listening => line,
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
fn parent_of_this(note: &OpenWindowNote) -> Result<Held, String> {
    let parent = Held::open(note.owner.pid).map_err(|e| e.to_string())?;
    if getppid().map(Pid::as_raw_nonzero).map(|pid| pid.get().unsigned_abs()) != Some(note.owner.pid) {
        return Err("the parent is gone".to_owned());
    }
    Ok(parent)
}
