//! The guard as a container's first process.
//!
//! When the first process of a PID namespace ends, the kernel kills all others: a guard that is the child of what it
//! guards would die with it. So there the first process does not run the command. It starts this binary once more as its
//! child, with the same arguments, and stays: it passes signals on, reaps whatever ends, ends with the command's exit
//! code, and is the guard of every window that the command opens. It ends when its last child has.
//!
//! The pipe between both is inherited, and named by an environment variable; standard input stays the command's own.

use super::feed::Feed;
use super::message::FromGuard;
use super::process::{Guard, Watched};
use crate::note::{Held, OpenWindowNote};
use crate::termination;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, WaitOptions, WaitStatus, getppid, wait};
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::Duration;
use tokio::net::unix::pipe::{OpenOptions, Receiver, Sender};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// The id of a PID namespace's first process.
pub const FIRST: u32 = 1;
/// Names the two ends of the pipe that the command inherits.
pub const PIPES: &str = "STILLPOINT_GUARD_PIPES";
/// Between two looks at the children. SIGCHLD mostly comes first.
const LOOK: Duration = Duration::from_millis(200);
/// What is passed on to the command. The kernel drops what a first process has no handler for.
const PASSED_ON: [Signal; 6] = [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::USR1, Signal::USR2];

/// Whether this is the first process of its PID namespace.
pub fn is_first() -> bool {
    std::process::id() == FIRST
}

/// The command's ends of the pipe.
pub(super) struct Pipes {
    pub messages: Sender,
    pub answers: Receiver,
}

/// The pipe to the first process, if that is this one's guard.
pub(super) fn pipes() -> Option<Pipes> {
    let named = std::env::var(PIPES).ok()?;
    let parent = getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
    if parent != Some(FIRST) {
        return None;
    }
    let (messages, answers) = named.split_once(',')?;
    let path = |fd: &str| fd.parse::<u32>().ok().map(|fd| format!("/proc/self/fd/{fd}"));
    let options = OpenOptions::new();
    Some(Pipes {
        messages: options.open_sender(path(messages)?).ok()?,
        answers: options.open_receiver(path(answers)?).ok()?,
    })
}

/// Runs the command as a child, and guards it.
pub fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let code = runtime.and_then(|runtime| {
        runtime.block_on(async {
            crate::file_limit::survive();
            let ended = Worker::start()?.guarded().await;
            Ok(ended)
        })
    });
    match code {
        // A read of the pipe may still block a thread of the runtime.
        Ok(code) => std::process::exit(code),
        Err(error) => {
            // Without threads, pipes or /proc no command works either. Said where a container's log has it.
            eprintln!("error: the first process cannot start the command: {error}\nhint: mount /proc");
            ExitCode::from(crate::failure::Exit::Refused.code())
        }
    }
}

/// What has become of the children.
#[derive(Clone, Copy, Debug, Default)]
struct Children {
    /// How the command ended.
    worker: Option<WaitStatus>,
    /// Nobody is left.
    none: bool,
}

/// The command at work.
struct Worker {
    pid: u32,
    feed: Feed,
    children: watch::Receiver<Children>,
}

impl Worker {
    fn start() -> std::io::Result<Self> {
        let mut ends = signal(SignalKind::child())?;
        let mut passed_on = Vec::new();
        for one in PASSED_ON {
            passed_on.push((one, signal(SignalKind::from_raw(one.as_raw()))?));
        }
        let (hears, messages) = pipe_with(PipeFlags::CLOEXEC)?;
        let (answers, says) = pipe_with(PipeFlags::CLOEXEC)?;
        let pid = spawn(&messages, &answers)?;
        let (told, children) = watch::channel(Children::default());
        tokio::spawn(async move {
            while !reap(pid, &told) {
                let _ = tokio::time::timeout(LOOK, ends.recv()).await;
            }
        });
        for (one, mut stream) in passed_on {
            let worker = Held::open(pid)?;
            tokio::spawn(async move {
                while stream.recv().await.is_some() {
                    // It may have ended; then the guard's own handlers are asked.
                    let _ = worker.signal(one);
                }
            });
        }
        Ok(Worker { pid, feed: Feed::new(Receiver::from_owned_fd(hears)?, File::from(says)), children })
    }

    /// Guards one window after the other until the command has ended, and every pod that it may have paused is open.
    async fn guarded(mut self) -> i32 {
        let mut fired = None;
        loop {
            let mut children = self.children.clone();
            let line = tokio::select! {
                line = self.feed.next_line() => line,
                _ = children.wait_for(|children| children.worker.is_some()) => break,
            };
            let Ok(Some(line)) = line else { break };
            let pid = self.pid;
            match Guard::armed(self.feed, &line, |note| owner(note, pid)).await {
                Ok(guard) => {
                    let watched: Watched = guard.watch().await;
                    self.feed = watched.feed;
                    fired = watched.fired.or(fired);
                }
                Err(feed) => {
                    self.feed = *feed;
                    // Then the command pauses nothing.
                    let _ = self.feed.answer(FromGuard::Refused);
                }
            }
        }
        let ended = self.children.wait_for(|children| children.worker.is_some()).await.map(|c| c.worker);
        let (code, killed) = exit_code(ended.ok().flatten());
        if let Some(signal) = killed {
            termination::say(&killed_line(signal, fired.as_deref()));
        }
        // A guard that was started in place of this one goes on.
        let _ = self.children.wait_for(|children| children.none).await;
        code
    }
}

/// What is left to say of a command that could not say it.
fn killed_line(signal: i32, fired: Option<&str>) -> String {
    match fired {
        Some(reason) => format!("void: killed by signal {signal} ({reason}); every pod is proven open again"),
        None => format!("failed: killed by signal {signal} while no pod was paused"),
    }
}

/// The command's exit code, or 128 and the signal that ended it, as shells say it.
fn exit_code(ended: Option<WaitStatus>) -> (i32, Option<i32>) {
    match ended {
        Some(status) => match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => (code, None),
            (None, Some(signal)) => (128 + signal, Some(signal)),
            (None, None) => (1, None),
        },
        None => (1, None),
    }
}

/// Only the command itself pauses: a note of another process is not this guard's.
fn owner(note: &OpenWindowNote, worker: u32) -> Result<Held, String> {
    if note.owner.pid != worker {
        return Err(format!("process {} is not the command that this one started", note.owner.pid));
    }
    Held::open(worker).map_err(|e| e.to_string())
}

fn spawn(messages: &OwnedFd, answers: &OwnedFd) -> std::io::Result<u32> {
    for end in [messages, answers] {
        fcntl_setfd(end, FdFlags::empty())?;
    }
    let mut arguments = std::env::args_os();
    // The running program, also when its file was replaced meanwhile.
    let mut command = Command::new("/proc/self/exe");
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments).env(PIPES, format!("{},{}", messages.as_raw_fd(), answers.as_raw_fd()));
    // Not waited for by its handle: one loop reaps it with all others.
    Ok(command.spawn()?.id())
}

/// Takes note of every child that has ended. True when none is left.
fn reap(worker: u32, told: &watch::Sender<Children>) -> bool {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid.as_raw_nonzero().get().unsigned_abs() == worker => {
                told.send_modify(|children| children.worker = Some(status));
            }
            Ok(Some(_)) => {}
            Ok(None) | Err(rustix::io::Errno::INTR) => return false,
            // No child is left; no other error has another meaning.
            Err(_) => {
                told.send_modify(|children| children.none = true);
                return true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_killed_is_told_with_what_became_of_the_pods() {
        assert!(killed_line(9, Some("the hard deadline passed")).starts_with("void: killed by signal 9"));
        assert!(killed_line(9, None).contains("no pod was paused"));
        assert_eq!(exit_code(None), (1, None));
    }

    #[test]
    fn a_process_that_is_not_the_first_s_child_has_a_guard_of_its_own() {
        assert!(!is_first() && pipes().is_none());
    }
}
