//! Where a value came from, and what is wrong with one.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Nobody wrote it.
    Default,
    /// A line of a file: the configuration, or an AWS profile file.
    File {
        /// The file as it was opened.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// An environment variable.
    Env(&'static str),
    /// A flag of this command.
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::File { path, line } => write!(f, "{}:{line}", path.display()),
            Source::Env(name) => write!(f, "env {name}"),
            Source::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// A value together with where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told<T> {
    /// What was written.
    pub value: T,
    /// Where.
    pub source: Source,
}

impl<T> Told<T> {
    /// A value and its place.
    pub fn new(value: T, source: Source) -> Self {
        Told { value, source }
    }
}

/// One line of `config show`: a value that is true, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// Dotted path, as in the file.
    pub key: String,
    /// The value; `null` where there is none.
    pub value: serde_json::Value,
    /// Where it came from.
    pub source: Source,
}

/// Something that must be put right before a command can start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// A stable name for scripts.
    pub name: &'static str,
    /// Dotted path of the key concerned, if one is.
    pub key: Option<String>,
    /// Where it was written, if it was.
    pub source: Option<Source>,
    /// What, on which object, why; without the place.
    pub message: String,
    /// What next.
    pub hint: String,
}

impl Problem {
    /// A problem with one key.
    pub fn of_key(
        name: &'static str,
        key: impl Into<String>,
        source: Option<&Source>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Problem { name, key: Some(key.into()), source: source.cloned(), message: message.into(), hint: hint.into() }
    }

    /// A problem with no key of its own.
    pub fn general(name: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Problem { name, key: None, source: None, message: message.into(), hint: hint.into() }
    }
}

impl fmt::Display for Problem {
    /// The message with its place, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.source {
            None | Some(Source::Default) => Ok(()),
            Some(source) => write!(f, " ({source})"),
        }
    }
}
