//! Who owns a note or a lock, and whether that process is proven dead.

use serde::{Deserialize, Serialize};
use std::fs;

/// A process, named so that a process id used again is not taken for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Process {
    /// Host name, for people.
    pub host: String,
    /// The boot it belongs to, and its PID namespace: ids mean nothing outside.
    pub boot_id: String,
    /// Its PID namespace, as the kernel names it.
    pub pid_namespace: String,
    /// Process id.
    pub pid: u32,
    /// When it started, in clock ticks since boot.
    pub start_ticks: u64,
}

/// What is known of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It runs, or is stopped.
    Alive,
    /// It has ended.
    Dead,
    /// It belongs to another boot or another PID namespace: nothing can be said from here. Host names are no proof
    /// of the same machine, so the owner from before a reboot counts as unknown too, until its deadline has passed.
    Unknown,
}

impl Process {
    /// This process.
    pub fn this() -> std::io::Result<Self> {
        Self::of(std::process::id())
    }

    /// A running process of this machine.
    pub fn of(pid: u32) -> std::io::Result<Self> {
        let stat = Stat::read(pid)?.filter(|stat| !stat.has_ended()).ok_or(std::io::ErrorKind::NotFound)?;
        let start_ticks = stat.start_ticks;
        Ok(Process { host: host(), boot_id: boot_id()?, pid_namespace: pid_namespace(), pid, start_ticks })
    }

    /// Whether it lives.
    pub fn life(&self) -> Life {
        let same_boot = boot_id().is_ok_and(|id| id == self.boot_id);
        if !same_boot || self.pid_namespace != pid_namespace() {
            return Life::Unknown;
        }
        match Stat::read(self.pid) {
            Ok(Some(stat)) if stat.start_ticks == self.start_ticks && !stat.has_ended() => Life::Alive,
            Ok(Some(_)) => Life::Dead,
            // Some systems hide the processes of other users: what cannot be seen may be there all the same.
            Ok(None) if is_there(self.pid) => Life::Unknown,
            Ok(None) => Life::Dead,
            Err(_) => Life::Unknown,
        }
    }

    /// Whether it lives and is stopped, as by SIGSTOP: it does nothing, and will not until somebody lets it go on.
    pub fn is_stopped(&self) -> bool {
        let stopped = |stat: Stat| stat.start_ticks == self.start_ticks && matches!(stat.state, 'T' | 't');
        self.life() == Life::Alive && Stat::read(self.pid).is_ok_and(|stat| stat.is_some_and(stopped))
    }
}

/// This boot's id.
pub fn boot_id() -> std::io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn pid_namespace() -> String {
    fs::read_link("/proc/self/ns/pid").map(|p| p.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Whether any process has this id. Not being allowed to signal one says that there is one.
fn is_there(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

/// What /proc/<pid>/stat says.
struct Stat {
    /// Field 3.
    state: char,
    /// Field 22.
    start_ticks: u64,
}

impl Stat {
    /// `None`: no such process, or none that may be seen.
    fn read(pid: u32) -> std::io::Result<Option<Self>> {
        let gone = |error: &std::io::Error| {
            let errno = rustix::io::Errno::from_io_error(error);
            // The second is what a process says that ends while it is looked at.
            matches!(errno, Some(rustix::io::Errno::NOENT | rustix::io::Errno::SRCH))
        };
        let text = match fs::read_to_string(format!("/proc/{pid}/stat")) {
            Ok(text) => text,
            Err(error) if gone(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let odd = || std::io::Error::other(format!("/proc/{pid}/stat is not in the known form"));
        Self::parse(&text).map(Some).ok_or_else(odd)
    }

    /// The second field is the command in parentheses and may hold spaces, so fields are counted after it.
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(')')?;
        let mut fields = rest.split_whitespace();
        let state = fields.next()?.chars().next()?;
        Some(Stat { state, start_ticks: fields.nth(18)?.parse().ok()? })
    }

    /// A zombie has ended: it can send nothing more.
    fn has_ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_one_with_another_start_time_is_dead() {
        let this = Process::this().unwrap();
        assert_eq!(this.life(), Life::Alive);
        assert_eq!(Process { start_ticks: this.start_ticks + 1, ..this }.life(), Life::Dead);
    }

    #[test]
    fn a_process_that_was_killed_is_dead_even_before_it_is_reaped() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let process = Process::of(child.id()).unwrap();
        assert_eq!(process.life(), Life::Alive);
        child.kill().unwrap();
        while process.life() == Life::Alive {
            std::thread::yield_now();
        }
        assert_eq!(process.life(), Life::Dead);
        child.wait().unwrap();
        assert_eq!(process.life(), Life::Dead);
    }

    #[test]
    fn nothing_is_said_about_a_process_elsewhere() {
        let this = Process::this().unwrap();
        assert_eq!(Process { pid_namespace: "pid:[1]".into(), ..this.clone() }.life(), Life::Unknown);
        assert_eq!(Process { boot_id: "another".into(), ..this }.life(), Life::Unknown);
    }
}
