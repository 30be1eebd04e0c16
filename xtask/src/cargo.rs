//! Starts cargo in the workspace's root.

use crate::run::Outcome;
use std::{path::PathBuf, process::Command};

/// The workspace's root: xtask's own folder is right below it.
pub fn root() -> PathBuf {
    // `cargo run` says where it found us, which may not be where an older binary was built.
    let own = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    own.parent().unwrap_or(&own).to_owned()
}

/// Whether this is a CI machine (`CI` set to anything but `false`).
pub fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false")
}

/// A cargo that does not see what `cargo run` told *us* about our own package.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    for (name, _) in std::env::vars_os() {
        let ours = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
        if ours.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    if in_ci() {
        // Nothing is built twice there, and the files would only cost time and disk.
        command.env("CARGO_INCREMENTAL", "0");
    }
    command
}

/// Runs cargo with its output passed through.
pub fn run(arguments: &[&str]) -> Outcome {
    run_with(arguments, &[])
}

/// The same, with environment variables set.
pub fn run_with(arguments: &[&str], environment: &[(&str, &str)]) -> Outcome {
    let status = command(arguments).envs(environment.iter().copied()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`cargo {}` ended with {status}", arguments.join(" "))),
        Err(error) => Err(format!("cargo cannot be started: {error}")),
    }
}
