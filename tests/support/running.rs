//! The real program as a child process.

use super::{proc, until};
use rustix::process::Signal;
use serde_json::Value;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use stillpoint_sandbox::pods::mono_ns;
use tokio::process::{Child, Command};

/// No command of any test takes longer.
const LONGEST: Duration = Duration::from_secs(120);

/// A command at work. Dropping it ends it.
pub struct Running {
    child: Child,
    pid: u32,
    words: String,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// A command that has ended.
#[derive(Debug)]
pub struct Ended {
    /// `None`: by a signal.
    pub code: Option<i32>,
    /// When its end was seen, CLOCK_MONOTONIC.
    pub at_ns: u64,
    /// The one object on stdout; null if there is none.
    pub json: Value,
    pub stderr: String,
}

impl Running {
    /// Starts the program with the configuration of a folder.
    pub fn start(folder: &Path, words: &[&str], environment: &[(&str, &str)]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let (stdout, stderr) = (folder.join(format!("{number}.out")), folder.join(format!("{number}.err")));
        let child = Command::new(env!("CARGO_BIN_EXE_stillpoint"))
            .args(words)
            .arg("--config")
            .arg(folder.join("stillpoint.toml"))
            .args(["--output", "json", "--log-format", "json"])
            .env_clear()
            .env("HOME", folder)
            .env("AWS_ACCESS_KEY_ID", "sandbox")
            .env("AWS_SECRET_ACCESS_KEY", "sandbox")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(File::create(&stdout).unwrap())
            .stderr(File::create(&stderr).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let pid = child.id().unwrap();
        Self { child, pid, words: words.join(" "), stdout, stderr }
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    pub fn signal(&self, signal: Signal) {
        proc::signal(self.pid, signal);
    }

    /// Waits until a planted fault has stopped it.
    pub async fn stopped(&mut self) {
        let pid = self.pid;
        until("the command stops at its place, or ends", || proc::is_stopped(pid) || !proc::is_alive(pid)).await;
        if !proc::is_stopped(pid) {
            panic!("`{}` ended before it came to its place: {}", self.words, self.told());
        }
    }

    /// Lets a stopped one go on.
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    /// The guard that it started.
    pub async fn guard(&self) -> u32 {
        let mut guard = None;
        until("there is a guard", || {
            guard = proc::guard_of(self.pid);
            guard.is_some()
        })
        .await;
        guard.unwrap()
    }

    /// Everything it said so far.
    pub fn told(&self) -> String {
        let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
        format!("{}\n{}", read(&self.stdout), read(&self.stderr))
    }

    /// Waits for its end.
    pub async fn end(mut self) -> Ended {
        let status = match tokio::time::timeout(LONGEST, self.child.wait()).await {
            Ok(status) => status.unwrap(),
            Err(_) => panic!("`{}` does not end: {}", self.words, self.told()),
        };
        let at_ns = mono_ns();
        let json = std::fs::read_to_string(&self.stdout).unwrap();
        let json = if json.is_empty() { Value::Null } else { serde_json::from_str(&json).unwrap() };
        let stderr = std::fs::read_to_string(&self.stderr).unwrap();
        Ended { code: status.code(), at_ns, json, stderr }
    }
}

impl Ended {
    /// Asserts its exit code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        self.expect_one_of(&[code])
    }

    /// Asserts its exit code, where timing decides between several right ones.
    #[track_caller]
    pub fn expect_one_of(self, codes: &[i32]) -> Self {
        let fits = self.code.is_some_and(|code| codes.contains(&code));
        assert!(fits, "exit {:?}, expected {codes:?}: {:#}\n{}", self.code, self.json, self.stderr);
        assert_eq!(self.json["exit_code"], Value::from(self.code), "the object says the exit code: {:#}", self.json);
        self
    }

    /// Asserts that a signal ended it.
    #[track_caller]
    pub fn expect_killed(self) -> Self {
        assert_eq!(self.code, None, "not killed: {:#}\n{}", self.json, self.stderr);
        self
    }
}
