//! Runs the measured program as a user would, and watches it and its guard from outside.

use crate::{
    Outcome,
    memory::{Seen, guard_of},
};
use serde_json::Value;
use std::{
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};
use stillpoint_sandbox::pods::mono_ns;

/// Between two looks at the memory of a running program.
const LOOK: Duration = Duration::from_millis(20);
/// No run takes that long; a program that hangs must not hang the benchmark.
const PATIENCE_NS: u64 = 90_000_000_000;

/// The program and its configuration.
#[derive(Clone, Debug)]
pub struct Program {
    /// The binary.
    pub binary: PathBuf,
    /// The settings file.
    pub config: PathBuf,
}

/// One run.
#[derive(Debug)]
pub struct Ran {
    /// CLOCK_MONOTONIC right before the process was made.
    pub spawned_ns: u64,
    /// Spawn to exit, nanoseconds.
    pub took_ns: u64,
    /// What it printed.
    pub printed: Value,
    /// Its memory.
    pub own: Seen,
    /// Its guard's memory, for as long as the program itself ran.
    pub guard: Seen,
}

impl Program {
    /// Runs a verb with JSON output to its end; an exit code other than 0 is an error with what the program said.
    pub fn run(&self, arguments: &[&str]) -> Outcome<Ran> {
        let mut command = clean(&self.binary);
        command.args(arguments).args(["--output", "json", "--config"]).arg(&self.config);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let spawned_ns = mono_ns();
        let mut child = command.spawn().map_err(|e| format!("{} cannot be started: {e}", self.binary.display()))?;
        let printed = reader(child.stdout.take());
        let said = reader(child.stderr.take());
        let (own, guard) = watch(&mut child, spawned_ns)?;
        let took_ns = mono_ns().saturating_sub(spawned_ns);
        let status = child.wait()?;
        let (printed, said) = (joined(printed), joined(said));
        if !status.success() {
            return Err(format!("`stillpoint {}` ended with {status}:\n{said}{printed}", arguments.join(" ")).into());
        }
        Ok(Ran { spawned_ns, took_ns, printed: serde_json::from_str(&printed)?, own, guard })
    }

    /// Spawn to exit of a run that does nothing but parse its arguments: what starting the process costs, nanoseconds.
    pub fn bare_start_ns(&self) -> Outcome<u64> {
        let mut command = clean(&self.binary);
        command.arg("--version").stdout(Stdio::null());
        let spawned_ns = mono_ns();
        let status = command.status()?;
        if !status.success() {
            return Err(format!("`stillpoint --version` ended with {status}").into());
        }
        Ok(mono_ns().saturating_sub(spawned_ns))
    }
}

/// The binary with nothing of this shell's settings or credentials.
fn clean(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("STILLPOINT_") || text.starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    // Any key will do for the sandbox; the SDK wants one to sign with.
    command.env("AWS_ACCESS_KEY_ID", "sandbox").env("AWS_SECRET_ACCESS_KEY", "sandbox");
    command
}

/// Looks at the memory of the program and its guard until the program has ended.
fn watch(child: &mut Child, spawned_ns: u64) -> Outcome<(Seen, Seen)> {
    let (mut own, mut guard, mut guard_pid) = (Seen::default(), Seen::default(), None);
    while child.try_wait()?.is_none() {
        let now = mono_ns();
        own.look(child.id(), now);
        guard_pid = guard_pid.or_else(|| guard_of(child.id()));
        if let Some(pid) = guard_pid {
            guard.look(pid, now);
        }
        if now.saturating_sub(spawned_ns) > PATIENCE_NS {
            child.kill()?;
            return Err("the program did not end in time; its guard releases the pods".into());
        }
        thread::sleep(LOOK);
    }
    Ok((own, guard))
}

fn reader(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut text = Vec::new();
        if let Some(mut pipe) = pipe {
            // What was read until an error is all there is.
            let _ = pipe.read_to_end(&mut text);
        }
        String::from_utf8_lossy(&text).into_owned()
    })
}

fn joined(reader: thread::JoinHandle<String>) -> String {
    reader.join().unwrap_or_default()
}
