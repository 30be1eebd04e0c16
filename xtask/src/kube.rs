//! The control plane that tests/kubernetes runs on: built once into a cache, beside whatever cargo builds.

use crate::{cargo, run::Outcome};
use std::process::{Child, Command, Stdio};

/// A build that runs, or why there is none.
pub struct Build(Result<Option<Child>, String>);

fn up() -> Command {
    let mut command = Command::new(cargo::root().join("tests/kube/up"));
    command.stdin(Stdio::null());
    command
}

fn works(mut command: Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

impl Build {
    /// Begins it, unless it is in the cache already.
    pub fn begin() -> Self {
        let mut find = up();
        find.arg("--find");
        if works(find) {
            return Build(Ok(None));
        }
        let mut go = Command::new("go");
        go.arg("version");
        if !works(go) {
            return Build(Err("there is no Go to build it with".to_owned()));
        }
        let started = up().arg("--build-only").stdout(Stdio::null()).spawn();
        Build(started.map(Some).map_err(|error| format!("tests/kube/up cannot be started: {error}")))
    }

    /// Waits for it. Without it the tests that need it are skipped, and say so; on CI that is a failure.
    pub fn finish(self) -> Outcome {
        let why = match self.0 {
            Ok(None) => return Ok(()),
            Ok(Some(mut child)) => match child.wait() {
                Ok(status) if status.success() => return Ok(()),
                Ok(status) => format!("its build ended with {status}"),
                Err(error) => format!("its build was lost: {error}"),
            },
            Err(why) => why,
        };
        if cargo::in_ci() {
            return Err(why);
        }
        eprintln!("==> tests that need a Kubernetes API server will be skipped: {why}");
        Ok(())
    }
}
