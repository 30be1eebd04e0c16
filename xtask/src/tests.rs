//! Runs the tests, passes their output on as it is, and counts.

use crate::{
    cargo, kube,
    run::{Outcome, Run},
};
use std::{
    io::{self, BufRead, BufReader, Write},
    process::{ChildStdout, Stdio},
};

/// What the runners' lines add up to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    suites: u64,
    passed: u64,
    failed: u64,
    /// Ignored tests by name: nothing is skipped silently.
    ignored: Vec<String>,
}

/// Builds every test of the workspace once, then runs them; `narrowed` replaces `--workspace`. Waits for `kube` between.
pub fn all(run: &mut Run, narrowed: &[String], kube: Option<kube::Build>) {
    let mut scope = vec!["test", "--locked"];
    if narrowed.is_empty() {
        scope.push("--workspace");
    }
    scope.extend(narrowed.iter().map(String::as_str));

    let mut built = false;
    run.step("tests are built", |_| {
        // Before a `--`, which ends what cargo reads.
        let mut build = scope.clone();
        build.insert(1, "--no-run");
        build.insert(1, "--quiet");
        let outcome = cargo::run(&build);
        built = outcome.is_ok();
        outcome
    });
    if let Some(kube) = kube {
        run.step("control plane", |_| kube.finish());
    }
    run.step("tests", |run| {
        if !built {
            return Err("not run: they do not build".to_owned());
        }
        let mut test = scope.clone();
        test.insert(1, "--no-fail-fast");
        let (tally, outcome) = watched(&test)?;
        run.note(format!(
            "tests: {} passed, {} failed, {} ignored, in {} suites",
            tally.passed,
            tally.failed,
            tally.ignored.len(),
            tally.suites
        ));
        for name in &tally.ignored {
            run.note(format!("ignored: {name}"));
        }
        outcome
    });
}

fn watched(arguments: &[&str]) -> Result<(Tally, Outcome), String> {
    let mut child = cargo::command(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cargo cannot be started: {error}"))?;
    let tally = match child.stdout.take() {
        Some(output) => pass_on(output).map_err(|error| format!("the tests' output cannot be passed on: {error}"))?,
        None => return Err("the tests have no output".to_owned()),
    };
    let status = child.wait().map_err(|error| format!("cargo was lost: {error}"))?;
    let outcome = match (status.success(), tally.suites) {
        (true, 0) => Err("cargo passed, but no test runner was seen".to_owned()),
        (true, _) => Ok(()),
        (false, _) => Err(format!("`cargo {}` ended with {status}", arguments.join(" "))),
    };
    Ok((tally, outcome))
}

fn pass_on(output: ChildStdout) -> io::Result<Tally> {
    let (mut reader, mut out) = (BufReader::new(output), io::stdout().lock());
    let (mut tally, mut line) = (Tally::default(), Vec::new());
    while reader.read_until(b'\n', &mut line)? > 0 {
        out.write_all(&line)?;
        out.flush()?;
        tally.read(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    Ok(tally)
}

impl Tally {
    fn read(&mut self, line: &str) {
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.suites += 1;
            self.passed += count(counts, "passed");
            self.failed += count(counts, "failed");
        } else if let Some(test) = line.strip_prefix("test ")
            && let Some((name, _)) = test.split_once(" ... ignored")
        {
            self.ignored.push(name.to_owned());
        }
    }
}

/// The number before `word`.
fn count(counts: &str, word: &str) -> u64 {
    let mut before = "";
    for part in counts.split([' ', ';', '.']).filter(|part| !part.is_empty()) {
        if part == word {
            return before.parse().unwrap_or(0);
        }
        before = part;
    }
    0
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn results_are_added_up_and_ignored_tests_are_named() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test a::b ... ok",
            "test a::slow ... ignored, needs a cluster",
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 2.30s",
            "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        ] {
            tally.read(line);
        }
        assert_eq!(tally, Tally { suites: 2, passed: 15, failed: 2, ignored: vec!["a::slow".to_owned()] });
    }
}
