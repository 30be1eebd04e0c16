//! A wall clock that steps, for one process alone: a small library is compiled and loaded into it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const SOURCE: &str = include_str!("step_clock.c");

/// The stepped clock of one child process and the processes that it starts.
pub struct StepClock {
    folder: TempDir,
}

impl StepClock {
    /// Compiles the library with the machine's C compiler (`CC`, else `cc`); the clock is the machine's own at first.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("step_clock.c");
        std::fs::write(&source, SOURCE).unwrap();
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let built = Command::new(&compiler)
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library(folder.path()), &source])
            .status();
        assert!(built.is_ok_and(|status| status.success()), "`{compiler}` cannot build the stepping clock");
        let clock = Self { folder };
        clock.step(Duration::ZERO, true);
        clock
    }

    /// What the child's environment must hold.
    pub fn environment(&self) -> [(&'static str, String); 2] {
        [
            ("LD_PRELOAD", library(self.folder.path()).display().to_string()),
            ("STEP_CLOCK", self.offset().display().to_string()),
        ]
    }

    /// From now on the clock is this far from the machine's.
    pub fn step(&self, by: Duration, forward: bool) {
        let sign = if forward { "" } else { "-" };
        // Renamed into place: no reader sees half a number.
        let new = self.folder.path().join("offset.new");
        std::fs::write(&new, format!("{sign}{}", by.as_nanos())).unwrap();
        std::fs::rename(new, self.offset()).unwrap();
    }

    fn offset(&self) -> PathBuf {
        self.folder.path().join("offset")
    }
}

fn library(folder: &Path) -> PathBuf {
    folder.join("step_clock.so")
}
