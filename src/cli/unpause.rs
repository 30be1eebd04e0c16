//! `unpause`: opens every gate and proves it.

use super::args::{Context, PodFlags};
use super::failures::Failures;
use super::output::Report;
use crate::failure::{Exit, Failure};
use crate::pausing;
use crate::settings::{Loaded, Needs, Problem, Source};
use crate::target::Reason;

/// `unpause`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Unpause even against a living window, which makes it void
    #[arg(long)]
    pub force: bool,
    /// Pods.
    #[command(flatten)]
    pub pods: PodFlags,
}

/// Follows open window notes first, whatever is wrong with the configuration; without any, the targets or addresses.
pub async fn run(context: &Context, args: &Args) -> Result<Report, Failures> {
    let Args { force, pods } = args;
    let loaded = context.load(Needs::NOTHING, |flags| pods.add_to(flags));
    let addresses_only = !pods.addresses.is_empty();
    let left = pausing::unpause(&loaded.settings, addresses_only, *force).await;
    let no_pods = |f: &Failure| f.name == Reason::NoPods.name();
    if left.pods.is_empty() && left.failures.iter().all(no_pods) {
        return Err(nothing_to_open(loaded));
    }
    // A wrong configuration did not keep pods from being opened, but is said; a wrong address is a pod not opened.
    let (flags, file) = loaded.problems.into_iter().partition(|p| matches!(p.source, Some(Source::Flag("--address"))));
    let problems = Vec::into_iter(file).map(|p: Problem| p.to_string());
    let mut report = left.report(problems.chain(loaded.warnings).collect());
    Failures::from(flags).iter().for_each(|failure| report.failures.push(failure.clone()));
    Ok(report)
}

/// No note and no target: whatever is wrong with the configuration is the reason.
fn nothing_to_open(loaded: Loaded) -> Failures {
    if !loaded.problems.is_empty() {
        return loaded.problems.into();
    }
    let hint = "name them: --address host:port, once for each, or a configuration with [[target]]";
    Failure::new(Exit::Usage, "no_pods", "there is no open window note, and no pod is named", hint).into()
}
