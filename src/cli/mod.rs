//! The command line: one file per verb, one place that prints. Only here is anything said to people.

pub mod args;
pub mod check;
pub mod completions;
pub mod config;
pub mod create;
pub mod demo;
pub mod drill;
pub mod duty;
pub mod failures;
#[cfg(test)]
mod kept;
pub mod list;
pub mod logging;
pub mod output;
pub mod pause;
pub mod prepare;
pub mod progress;
pub mod prune;
pub mod recover;
pub mod render;
pub mod restore;
pub mod sak;
pub mod sandbox;
pub mod seal;
pub mod show;
pub mod signals;
pub mod status;
pub mod timeline;
pub mod units;
pub mod unpause;
pub mod usage;
pub mod verified;
pub mod verify;
pub mod watching;

use crate::failure::{Exit, Failure};
use crate::settings::Environment;
use args::{Context, Global, Output};
use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use failures::Failures;
use output::{Body, Report, Text};
use std::ffi::OsString;
use std::future::Future;
use std::process::ExitCode;
use usage::Glance;

/// Every verb of this version, in the order of the help page.
pub const VERBS: [&str; 18] = [
    "demo",
    "sandbox",
    "check",
    "create",
    "list",
    "show",
    "seal",
    "prepare",
    "restore",
    "verify",
    "drill",
    "prune",
    "status",
    "pause",
    "unpause",
    "recover",
    "config",
    "completions",
];

/// Makes restore points for ScalarDB and ScalarDL that are proven consistent.
///
/// A restore point: every pod is paused, kept still and proven so, unpaused; T is a second inside the still period, on
/// the database's clock. Point-in-time recovery of every table to T is then one consistent state.
#[derive(Debug, Parser)]
#[command(name = "stillpoint", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// Flags of every verb.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  void or failed; all pods are unpaused
  2  usage or configuration
  3  PODS MAY STILL BE PAUSED; they are named
  4  refused before anything was touched
  5  not yet: not sealed, still running
  6  lost: the point can no longer be restored

Data goes to stdout, everything else to stderr. With --output json, stdout is exactly one JSON object, failures included.";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Show it all in a minute: a sandbox, live traffic, a restore point, a restore, and the balances
    Demo(demo::Args),
    /// Run pods, bank traffic and a DynamoDB with point-in-time recovery on this machine, until interrupted
    Sandbox(sandbox::Args),
    /// Look at everything that `create` would look at first; pauses nothing, changes nothing
    Check(check::Args),
    /// Make a restore point: pause, keep still, prove, unpause, record
    Create(create::Args),
    /// List the restore points of the catalog
    List(list::Args),
    /// Show one restore point with its timeline
    Show(show::Args),
    /// Record that every data set can be restored to the point's time, or that one never can
    Seal(seal::Args),
    /// Make on-demand backups of every data set of a sealed point, as of its restore time; or undo that
    Prepare(prepare::Args),
    /// Bring a prepared point back under its tables' own names; or undo that
    Restore(restore::Args),
    /// Prove by ScalarDB's own rules that restored tables are a sound set; reads only
    Verify(verify::Args),
    /// Restore a point under scratch names, verify and time it, and remove the copies; or undo that
    Drill(drill::Args),
    /// Say which points are older than they are kept, and remove their backups if told to
    Prune(prune::Args),
    /// Show open windows, locks and runs
    Status(status::Args),
    /// Break glass: pause every pod, and let the guard unpause after a while
    Pause(pause::Args),
    /// Unpause every pod, and prove it
    Unpause(unpause::Args),
    /// Release what a dead run left paused; nothing to do is success
    Recover(recover::Args),
    /// Show or check the configuration
    Config(config::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// A word that is none of the above.
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

/// The whole program, from the process's arguments to its exit code.
pub fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    let glance = Glance::at(args.get(1..).unwrap_or_default());
    let environment = Environment::of_process();
    logging::start(glance.log_format, environment.var("STILLPOINT_LOG"));
    let report = match Cli::try_parse_from(&args) {
        Ok(cli) => run(cli, environment, &glance),
        Err(error) => refused(&error, &glance),
    };
    logging::flush();
    report.print(glance.output, glance.log_format, &mut std::io::stdout().lock(), &mut std::io::stderr().lock());
    crate::termination::say(&report.verdict_line());
    ExitCode::from(report.exit_code())
}

/// A help page or version is a success that clap calls an error.
fn refused(error: &clap::Error, glance: &Glance) -> Report {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let key = if error.kind() == ErrorKind::DisplayHelp { "help" } else { "version" };
            let text = error.render().to_string();
            let text = if glance.output == Output::Json { text.trim().to_owned() } else { text };
            Report::of(Body::Text(Text { key, text: Some(text), warnings: Vec::new() }))
        }
        _ => Report::failed(glance.verb.as_deref(), usage::failure(error, glance.verb.as_deref())),
    }
}

fn run(cli: Cli, environment: Environment, glance: &Glance) -> Report {
    let Cli { global, verb } = cli;
    let context = Context { global, environment };
    let Some(verb) = verb else { return Report::failed(None, usage::no_verb()) };
    if context.global.output == Output::Sak && !matches!(verb, Verb::Create(_)) {
        let name = glance.verb.as_deref();
        return Report::failed(name, usage::no_sak(name.unwrap_or_default()));
    }
    let outcome = match &verb {
        Verb::Demo(args) => on_runtime(demo::run(&context, args)),
        Verb::Sandbox(args) => on_runtime(sandbox::run(&context, args)),
        Verb::Check(args) => on_runtime(check::run(&context, args)),
        Verb::Create(args) => on_runtime(create::run(&context, args)),
        Verb::List(args) => on_runtime(list::run(&context, args)),
        Verb::Show(args) => on_runtime(show::run(&context, args)),
        Verb::Seal(args) => on_runtime(seal::run(&context, args)),
        Verb::Prepare(args) => on_runtime(prepare::run(&context, args)),
        Verb::Restore(args) => on_runtime(restore::run(&context, args)),
        Verb::Verify(args) => on_runtime(verify::run(&context, args)),
        Verb::Drill(args) => on_runtime(drill::run(&context, args)),
        Verb::Prune(args) => on_runtime(prune::run(&context, args)),
        Verb::Status(args) => on_runtime(status::run(&context, args)),
        Verb::Pause(args) => on_runtime(pause::run(&context, args)),
        Verb::Unpause(args) => on_runtime(unpause::run(&context, args)),
        Verb::Recover(args) => on_runtime(recover::run(&context, args)),
        Verb::Config(args) => Ok(config::run(&context, args)),
        Verb::Completions(args) => Ok(completions::run(args)),
        Verb::Other(words) => {
            let word = words.first().map(|w| w.to_string_lossy().into_owned()).unwrap_or_default();
            Err(usage::unknown_verb(&word).into())
        }
    };
    let verb = glance.verb.as_deref();
    match outcome {
        Ok(mut report) => {
            duty::name_policy(verb, &mut report.failures);
            report
        }
        Err(mut failures) => {
            duty::name_policy(verb, &mut failures);
            Report::failed(verb, failures)
        }
    }
}

/// Runs a verb that waits for something other than local files.
fn on_runtime(verb: impl Future<Output = Result<Report, Failures>>) -> Result<Report, Failures> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(async {
            crate::file_limit::survive();
            verb.await
        }),
        Err(cause) => {
            let hint = "the machine is short of threads or files: look at `ulimit -a`";
            Err(Failure::new(Exit::Refused, "no_runtime", format!("cannot start threads: {cause}"), hint).into())
        }
    }
}
