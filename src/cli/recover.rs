//! `recover`: releases what a dead run left paused.

use super::args::Context;
use super::failures::Failures;
use super::output::Report;
use super::signals;
use crate::pausing;
use crate::settings::Needs;

/// `recover`
#[derive(clap::Args, Debug)]
pub struct Args {}

/// Needs only a copy of the note and the network to the pods; nothing to do is success.
pub async fn run(context: &Context, args: &Args) -> Result<Report, Failures> {
    let Args {} = args;
    let loaded = context.load(Needs::NOTHING, |_| {});
    let problems = loaded.problems.iter().map(|p| p.to_string());
    let warnings = problems.chain(loaded.warnings.iter().cloned()).collect();
    Ok(pausing::recover(&loaded.settings, &signals::cancellation()).await.report(warnings))
}
