//! Runs steps one after the other, whatever becomes of the earlier ones, and sums them up at the end.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

/// What a step found wrong, for people. Empty when its output has said it already.
pub type Outcome = Result<(), String>;

/// The steps so far.
#[derive(Debug, Default)]
pub struct Run {
    done: Vec<(String, Outcome, Duration)>,
    notes: Vec<String>,
}

impl Run {
    /// Runs a step. Says so before, so that a hanging step is known by name.
    pub fn step(&mut self, name: &str, step: impl FnOnce(&mut Self) -> Outcome) {
        eprintln!("==> {name}");
        let begun = Instant::now();
        let outcome = step(self);
        if let Err(why) = &outcome {
            eprintln!("==> {name}: FAILED{}{why}", if why.is_empty() { "" } else { "\n" });
        }
        self.done.push((name.to_owned(), outcome, begun.elapsed()));
    }

    /// Adds a line to the summary.
    pub fn note(&mut self, line: String) {
        self.notes.push(line);
    }

    /// Prints the summary. 0 only if every step passed.
    pub fn finish(self) -> ExitCode {
        println!("\nsummary:");
        for (name, outcome, took) in &self.done {
            let word = if outcome.is_ok() { "ok" } else { "FAILED" };
            println!("  {word:<7}{name} ({:.1} s)", took.as_secs_f64());
        }
        for note in &self.notes {
            println!("  {note}");
        }
        let failed = self.done.iter().filter(|(_, outcome, _)| outcome.is_err()).count();
        if failed == 0 {
            println!("all {} steps passed", self.done.len());
            return ExitCode::SUCCESS;
        }
        println!("{failed} of {} steps FAILED", self.done.len());
        ExitCode::FAILURE
    }
}
