//! `demo`: the whole story on a sandbox, by the commands a user would run.

use super::args::Context;
use super::failures::Failures;
use super::output::{Body, Report};
use super::signals;
use crate::demo;
use std::io::Write;

/// The seed unless told: every run then tells the same story, but for the clock.
const SEED: u64 = 20_231_101;

/// `demo`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Seed of everything random in the sandbox
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
}

/// Exit 0 only if the balances add up at T, after the restore and after new traffic, and do not at one of the other seconds at least, nor
/// after the disaster.
pub async fn run(_context: &Context, args: &Args) -> Result<Report, Failures> {
    let seed = args.seed.unwrap_or(SEED);
    let mut say = |line: &str| {
        // A closed stderr must not stop the story.
        let _ = writeln!(std::io::stderr(), "{line}");
    };
    let story = demo::tell(seed, &signals::cancellation(), &mut say).await;
    let failures = Failures::from(story.failures.clone());
    Ok(Report { body: Body::Demo(Box::new(story)), failures })
}
