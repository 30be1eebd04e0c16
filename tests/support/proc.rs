//! What the kernel says of processes.

use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;

/// Sends a signal; a process that has ended is none.
pub fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).unwrap();
    let _ = kill_process(pid, signal);
}

/// State letter and parent of a process; `None` when it is gone.
fn stat(pid: u32) -> Option<(char, u32)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command stands in parentheses and may hold anything.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// Stopped by a signal?
pub fn is_stopped(pid: u32) -> bool {
    matches!(stat(pid), Some(('T', _)))
}

/// A process that can still do something.
pub fn is_alive(pid: u32) -> bool {
    matches!(stat(pid), Some((state, _)) if !matches!(state, 'Z' | 'X'))
}

/// The living guard that a process started.
pub fn guard_of(parent: u32) -> Option<u32> {
    all().find(|pid| matches!(stat(*pid), Some((_, of)) if of == parent) && is_alive(*pid) && is_guard(*pid))
}

/// Every living guard of commands that were started with this folder as their home.
pub fn guards_at_home(folder: &Path) -> Vec<u32> {
    let home = [b"HOME=", folder.as_os_str().as_encoded_bytes()].concat();
    let at_home = |pid: &u32| words(*pid, "environ").any(|word| word == home);
    all().filter(|pid| is_guard(*pid) && is_alive(*pid)).filter(at_home).collect()
}

fn all() -> impl Iterator<Item = u32> {
    std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

fn is_guard(pid: u32) -> bool {
    words(pid, "cmdline").nth(1).is_some_and(|word| word == stillpoint::guard::ARGUMENT.as_bytes())
}

fn words(pid: u32, of: &str) -> impl Iterator<Item = Vec<u8>> {
    let bytes = std::fs::read(format!("/proc/{pid}/{of}")).unwrap_or_default();
    bytes.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect::<Vec<_>>().into_iter()
}
