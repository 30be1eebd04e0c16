//! A process held by a handle, so that its id cannot come to mean another one while it is signalled or waited for.

use super::{Life, Process};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Between two looks at a process that is to end.
const LOOK: Duration = Duration::from_millis(2);

/// A handle of a process.
#[derive(Debug)]
pub struct Held(OwnedFd);

impl Held {
    /// Opens whatever process has this id now. The caller makes sure that it is the one that is meant.
    pub fn open(pid: u32) -> Result<Self, Errno> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
        pidfd_open(pid, PidfdFlags::empty()).map(Held)
    }

    /// Sends a signal. An error means that the process has ended, or is not ours to signal.
    pub fn signal(&self, signal: Signal) -> Result<(), Errno> {
        pidfd_send_signal(&self.0, signal)
    }

    /// Whether the process has ended, with all of its threads.
    pub fn has_ended(&self) -> bool {
        // A pidfd turns readable when its process has ended.
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        let zero = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fds, Some(&zero)).is_ok_and(|ready| ready > 0)
    }

    /// Ends the process by SIGKILL and waits for it, but no longer than `patience`: a thread that hangs in the kernel
    /// (a lost disk) ends late, though none of its threads can run another instruction. Says whether it has ended.
    pub async fn end(&self, patience: Duration) -> bool {
        // It may have ended already.
        let _ = self.signal(Signal::KILL);
        let ended = async {
            while !self.has_ended() {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(patience, ended).await.is_ok()
    }
}

impl Process {
    /// A handle of this process, if it lives here and is not the caller itself.
    pub fn hold(&self) -> Option<Held> {
        if self.life() != Life::Alive || self.pid == std::process::id() {
            return None;
        }
        let held = Held::open(self.pid).ok()?;
        // Looked at again through the open handle: the id may have come to mean another process.
        (self.life() == Life::Alive).then_some(held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[tokio::test]
    async fn a_stopped_process_is_known_as_stopped_and_ended_all_the_same() {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let process = Process::of(child.id()).unwrap();
        let held = process.hold().unwrap();
        assert!(!process.is_stopped() && !held.has_ended());
        held.signal(Signal::STOP).unwrap();
        while !process.is_stopped() {
            std::thread::yield_now();
        }
        assert_eq!(process.life(), Life::Alive);
        assert!(held.end(Duration::from_secs(60)).await);
        assert!(process.hold().is_none());
        child.wait().unwrap();
        assert!(held.end(Duration::ZERO).await);
    }

    #[test]
    fn nobody_holds_itself_or_a_process_that_only_has_the_same_id() {
        let this = Process::this().unwrap();
        assert!(this.hold().is_none());
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let other = Process::of(child.id()).unwrap();
        assert!(Process { start_ticks: other.start_ticks + 1, ..other }.hold().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
