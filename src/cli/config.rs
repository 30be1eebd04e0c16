//! `config show` and `config check`: what is true, where it came from, and everything that is wrong with it.

use super::args::{Context, DatabaseFlags, PodFlags, WindowFlags};
use super::failures::Failures;
use super::output::{Body, ConfigReport, ProblemReport, Report, SettingReport};
use super::timeline::count;
use crate::settings::{Loaded, Needs, Problem, Shown};
use clap::Subcommand;

/// `config`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// What to do with the configuration.
    #[command(subcommand)]
    pub action: Action,
}

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Print every value that is true, and where it came from
    Show(Over),
    /// Read and resolve everything, and tell all problems at once; asks no pod, no cloud, no catalog
    Check(Over),
}

/// Flags laid over the file, as other verbs would.
#[derive(clap::Args, Debug)]
pub struct Over {
    /// Pods.
    #[command(flatten)]
    pub pods: PodFlags,
    /// Window.
    #[command(flatten)]
    pub window: WindowFlags,
    /// Database.
    #[command(flatten)]
    pub database: DatabaseFlags,
}

/// Reads local files only. `check` also wants a target and a database, which `create` cannot do without.
pub fn run(context: &Context, args: &Args) -> Report {
    let (over, needs) = match &args.action {
        Action::Show(over) => (over, Needs::WHAT_IS_WRITTEN),
        Action::Check(over) => (over, Needs::ALL),
    };
    let loaded = context.load(needs, |flags| {
        over.pods.add_to(flags);
        over.window.add_to(flags);
        over.database.add_to(flags);
    });
    let summary = match &args.action {
        Action::Show(_) => None,
        Action::Check(_) if loaded.problems.is_empty() => Some(in_order(&loaded)),
        Action::Check(_) => Some(String::new()),
    };
    let Loaded { config_file: _, settings: _, shown, problems, warnings } = loaded;
    let settings = shown.into_iter().map(setting).collect();
    let reports = problems.iter().map(problem).collect();
    let report = ConfigReport { settings, problems: reports, summary, warnings, ..ConfigReport::default() };
    Report { body: Body::Config(report), failures: Failures::from(problems) }
}

fn in_order(loaded: &Loaded) -> String {
    let place = match &loaded.config_file {
        Some(path) => path.display().to_string(),
        None => "the command line".to_owned(),
    };
    let addresses = loaded.settings.targets.iter().map(|t| t.addresses().len()).sum();
    // How many pods a release has, only its cluster knows.
    let pods = if addresses == 0 { String::new() } else { format!(" with {}", count(addresses, "pod")) };
    format!(
        "{place} is in order: {}{pods}, {}\n",
        count(loaded.settings.targets.len(), "target"),
        count(loaded.settings.databases.len(), "database")
    )
}

fn setting(shown: Shown) -> SettingReport {
    let Shown { key, value, source } = shown;
    SettingReport { key, value, source: source.to_string() }
}

fn problem(problem: &Problem) -> ProblemReport {
    let Problem { name, key, source, message, hint } = problem;
    ProblemReport {
        name: (*name).to_owned(),
        key: key.clone(),
        source: source.as_ref().map(ToString::to_string),
        message: message.clone(),
        hint: hint.clone(),
    }
}
