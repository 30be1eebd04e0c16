//! A command line that was not understood: it still gets its own output format and exactly one JSON object.

use super::args::{LogFormat, Output};
use crate::failure::{Exit, Failure};
use crate::settings::nearest;
use clap::error::ErrorKind;
use std::ffi::OsString;

/// Verbs of the design that this version lacks.
const LACKING: [(&str, &str); 1] = [("agent", "run `stillpoint create` from cron or a CronJob")];

/// What can be seen of a command line without understanding it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Glance {
    /// `--output`
    pub output: Output,
    /// `--log-format`
    pub log_format: LogFormat,
    /// The first word that is neither a flag nor a global flag's value.
    pub verb: Option<String>,
}

impl Glance {
    /// Looks at everything after the program's name.
    pub fn at(args: &[OsString]) -> Self {
        let words: Vec<_> = args.iter().map(|a| a.to_string_lossy()).collect();
        let mut glance = Glance::default();
        let mut rest = words.iter().map(AsRef::as_ref).take_while(|w: &&str| *w != "--");
        while let Some(word) = rest.next() {
            let (flag, value) = match word.split_once('=') {
                Some((flag, value)) => (flag, Some(value)),
                None => (word, None),
            };
            match flag {
                "--output" => match value.or_else(|| rest.next()) {
                    Some("json") => glance.output = Output::Json,
                    Some("sak") => glance.output = Output::Sak,
                    _ => {}
                },
                "--log-format" if value.or_else(|| rest.next()) == Some("json") => glance.log_format = LogFormat::Json,
                "--config" | "--state-dir" if value.is_none() => drop(rest.next()),
                _ if !word.starts_with('-') && glance.verb.is_none() => glance.verb = Some(word.to_owned()),
                _ => {}
            }
        }
        glance
    }
}

/// What clap refused, as one of our failures. Its text is taken apart: message first, then tips.
pub fn failure(error: &clap::Error, verb: Option<&str>) -> Failure {
    if matches!(error.kind(), ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand) {
        let verb = verb.unwrap_or_default();
        let hint = format!("`stillpoint {verb} --help` lists what may follow");
        return Failure::new(Exit::Usage, "usage", format!("`{verb}` alone is no command"), hint);
    }
    let text = error.render().to_string();
    let mut paragraphs = text.split("\n\n").map(|p| p.lines().map(str::trim).collect::<Vec<_>>().join(" "));
    let message = paragraphs.next().unwrap_or_default();
    let message = message.strip_prefix("error: ").unwrap_or(&message).trim().to_owned();
    let tips: Vec<_> = paragraphs.filter_map(|p| p.strip_prefix("tip: ").map(str::to_owned)).collect();
    let known = verb.filter(|v| super::VERBS.contains(v));
    let help = match known {
        Some(verb) => format!("`stillpoint {verb} --help` lists what is allowed"),
        None => "`stillpoint --help` lists what is allowed".to_owned(),
    };
    let hint = tips.into_iter().chain([help]).collect::<Vec<_>>().join("; ");
    Failure::new(Exit::Usage, "usage", message, hint)
}

/// No verb at all.
pub fn no_verb() -> Failure {
    let hint = format!("one of: {}; `stillpoint --help` says more", super::VERBS.join(", "));
    Failure::new(Exit::Usage, "usage", "no command given", hint)
}

/// A verb that is not one of this version's.
pub fn unknown_verb(verb: &str) -> Failure {
    if let Some((_, instead)) = LACKING.iter().find(|(name, _)| *name == verb) {
        return not_in_this_version(&format!("`{verb}`"), instead);
    }
    let near = nearest(verb, super::VERBS).map(|v| format!("did you mean `{v}`? ")).unwrap_or_default();
    let hint = format!("{near}commands: {}", super::VERBS.join(", "));
    Failure::new(Exit::Usage, "usage", format!("unknown command `{verb}`"), hint)
}

/// The output of another tool, of which only one verb has an equal.
pub fn no_sak(verb: &str) -> Failure {
    let message = format!("`{verb}` has no output that scalar-admin-for-kubernetes has");
    Failure::new(Exit::Usage, "usage", message, "`--output sak` is for `create`; use `--output json`")
}

/// Something of the design that this version lacks.
pub fn not_in_this_version(what: &str, instead: &str) -> Failure {
    Failure::new(Exit::Usage, "not_in_this_version", format!("{what} is not in this version"), instead)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glance(line: &str) -> Glance {
        Glance::at(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn the_format_is_found_wherever_it_stands() {
        for line in ["--output json show x", "show x --output=json", "show --nonsense --output json"] {
            let seen = glance(line);
            assert_eq!((seen.output, seen.verb.as_deref()), (Output::Json, Some("show")), "{line}");
        }
        assert_eq!(glance("create --log-format json").log_format, LogFormat::Json);
        assert_eq!(glance("create -- --output json").output, Output::Table);
        assert_eq!(glance("create --output=sak").output, Output::Sak);
    }

    #[test]
    fn values_of_global_flags_are_no_verbs() {
        assert_eq!(glance("--config status --state-dir list create").verb.as_deref(), Some("create"));
        assert_eq!(glance("--output table --log-format text seal x").verb.as_deref(), Some("seal"));
        assert_eq!(glance("").verb, None);
    }
}
