//! Builds the program and its benchmark as they are released, and runs the benchmark.

use crate::{cargo, run::Run};
use std::path::PathBuf;
use std::process::Command;

/// Prints a table and the name of the JSON file with every number. Further words are sizes: `cargo xtask bench 3 100`.
pub fn run(run: &mut Run, sizes: &[String]) {
    let mut built = false;
    run.step("release build", |_| {
        // Together: alone, each would be built with features of its own, and its dependencies with it.
        let outcome = cargo::run(&["build", "--release", "--locked", "-p", "stillpoint", "-p", "stillpoint-bench"]);
        built = outcome.is_ok();
        outcome
    });
    run.step("benchmark", |_| {
        if !built {
            return Err("not run: it does not build".to_owned());
        }
        let program = target().join("release/stillpoint-bench");
        match Command::new(&program).args(sizes).current_dir(cargo::root()).status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("the benchmark ended with {status}")),
            Err(error) => Err(format!("{} cannot be started: {error}", program.display())),
        }
    });
    simulated(run);
}

/// What is measured in simulated time, by tests too long for every day. Each prints its numbers as one line of JSON.
const IN_SIMULATED_TIME: [(&str, &str); 1] = [("pace of prepare", "prepare_pace")];

fn simulated(run: &mut Run) {
    for (step, test) in IN_SIMULATED_TIME {
        run.step(step, |_| cargo::run(&["test", "--locked", "--test", test, "--", "--ignored", "--nocapture"]));
    }
}

/// Where cargo builds.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| cargo::root().join("target"), |folder| cargo::root().join(folder))
}
