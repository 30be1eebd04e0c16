//! Settings in two layers: what was written (file, flags, environment) and what is true (all resolved), with the source
//! of every value. Resolving reads local files only: nothing here touches a pod, a cloud or the catalog, and every
//! problem is found in one go.

mod address;
mod aws;
mod entries;
mod environment;
mod flags;
mod kubernetes;
mod reader;
mod resolve;
mod rules;
mod source;
mod srv;
mod tls;
mod truth;
mod units;
mod urls;
mod written;

pub use environment::Environment;
pub use flags::{COMMAND_LINE, DEFAULT_NAMESPACE, Flags};
pub use reader::{Standing, nearest};
pub use source::{Problem, Shown, Source, Told};
pub use truth::*;
pub use units::{BadDuration, duration as parse_duration, text as duration_text};
pub use written::known_keys;

/// Checks `host:port`; `Err` is why it is refused, and what to write.
pub use address::check as check_address;

use std::path::{Path, PathBuf};

/// The file that is read when none is named.
pub const CONFIG_FILE: &str = "stillpoint.toml";

/// What a command cannot do without.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// At least one target.
    pub targets: bool,
    /// At least one database.
    pub databases: bool,
    /// A problem with a database is only a warning: none is asked.
    pub pardon_databases: bool,
}

impl Needs {
    /// Pods, and databases where there are any: `check`.
    pub const TARGETS: Needs = Needs { targets: true, databases: false, pardon_databases: false };
    /// Pods and databases: `create`, `config check`.
    pub const ALL: Needs = Needs { targets: true, databases: true, pardon_databases: false };
    /// Pods alone: `pause`.
    pub const PODS: Needs = Needs { targets: true, databases: false, pardon_databases: true };
    /// Databases alone: `seal`, `prepare`.
    pub const DATABASES: Needs = Needs { targets: false, databases: true, pardon_databases: false };
    /// Neither: `list`, `show`, `status`, `recover`, and `unpause` while it follows notes.
    pub const NOTHING: Needs = Needs { targets: false, databases: false, pardon_databases: true };
    /// Nothing is missed, but whatever is written must be right: `config show`.
    pub const WHAT_IS_WRITTEN: Needs = Needs { targets: false, databases: false, pardon_databases: false };
}

/// Settings with everything that is to be said about them.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The file that was read, if any.
    pub config_file: Option<PathBuf>,
    /// What is true. Where there are problems, the parts concerned are left out or at their defaults: then only
    /// `state_dir` and whole targets may be used, and only to release pods.
    pub settings: Settings,
    /// Every value with its source.
    pub shown: Vec<Shown>,
    /// What must be put right first.
    pub problems: Vec<Problem>,
    /// What a person should know.
    pub warnings: Vec<String>,
}

impl Loaded {
    /// The settings, if nothing is wrong with them.
    pub fn checked(self) -> Result<(Settings, Vec<String>), Vec<Problem>> {
        if self.problems.is_empty() { Ok((self.settings, self.warnings)) } else { Err(self.problems) }
    }
}

/// Finds the file, reads it, lays the flags over it and resolves everything. Reads local files only; a repeat gives the
/// same unless those changed.
pub fn load(flags: &Flags, environment: &Environment, needs: Needs) -> Loaded {
    let mut problems = Vec::new();
    let file = find_file(flags, environment);
    let text = file.as_ref().and_then(|(path, source)| read_file(path, source, &mut problems));
    let config_file = file.map(|(path, _)| path);
    let (mut written, found, _) = match (&config_file, &text) {
        (Some(path), Some(text)) => written::read(path.clone(), text),
        _ => Default::default(),
    };
    let unparsed = found.iter().any(|p| p.name == "syntax");
    problems.extend(found);
    flags::apply(flags, &mut written, &mut problems);
    let base = config_file.as_deref().and_then(Path::parent).unwrap_or(environment.current_dir());
    let mut loaded = resolve::resolve(written, flags, environment, base);
    problems.append(&mut loaded.problems);
    // A file that could not be read says nothing about what is missing from it.
    if !(unparsed || config_file.is_some() && text.is_none()) {
        rules::needs(needs, &loaded.settings, &config_file, &loaded.mentioned, &mut problems);
    }
    let (mut problems, pardoned) = pardon(problems, needs);
    // In the order of the file; what stands in no line of it comes last.
    problems.sort_by_key(|p| match &p.source {
        Some(Source::File { line, .. }) => *line,
        _ => usize::MAX,
    });
    loaded.warnings.extend(pardoned.iter().map(|p| format!("not needed here, but wrong: {p}")));
    if !needs.pardon_databases {
        // Without a database no second is to be proven, and any hold will do.
        loaded.warnings.extend(rules::hold_too_short(&loaded.settings.window));
    }
    let resolve::Resolved { settings, shown, warnings, .. } = loaded;
    Loaded { config_file, settings, shown, problems, warnings }
}

/// Breaking the glass must not fail over a database that is not asked: such problems become warnings.
fn pardon(problems: Vec<Problem>, needs: Needs) -> (Vec<Problem>, Vec<Problem>) {
    let of_database = |p: &Problem| p.key.as_deref().is_some_and(|k| k.starts_with("database"));
    problems.into_iter().partition(|p| !needs.pardon_databases || !of_database(p))
}

/// Whether there is a configuration file to read, or one was named.
pub fn has_file(flags: &Flags, environment: &Environment) -> bool {
    find_file(flags, environment).is_some()
}

fn find_file(flags: &Flags, environment: &Environment) -> Option<(PathBuf, Source)> {
    if let Some(path) = &flags.config {
        return Some((environment.absolute(path), Source::Flag("--config")));
    }
    if let Some(path) = environment.var("STILLPOINT_CONFIG") {
        return Some((environment.absolute(path.as_ref()), Source::Env("STILLPOINT_CONFIG")));
    }
    let here = environment.absolute(CONFIG_FILE.as_ref());
    here.exists().then_some((here, Source::Default))
}

fn read_file(path: &Path, source: &Source, problems: &mut Vec<Problem>) -> Option<String> {
    let cause = match std::fs::read_to_string(path) {
        Ok(text) => return Some(text),
        Err(cause) => cause,
    };
    let (name, why) = match cause.kind() {
        std::io::ErrorKind::NotFound => ("config_missing", "does not exist".to_owned()),
        std::io::ErrorKind::InvalidData => ("config_unreadable", "is not UTF-8 text".to_owned()),
        _ => ("config_unreadable", format!("cannot be read: {cause}")),
    };
    problems.push(Problem {
        name,
        key: None,
        source: Some(source.clone()),
        message: format!("configuration file {} {why}", path.display()),
        hint: "name a readable TOML file with --config or STILLPOINT_CONFIG; config/ has examples".into(),
    });
    None
}

#[cfg(test)]
mod tests;
