//! The process's environment as a value, read once, so that settings can be resolved from any.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Environment variables and the working directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    current_dir: PathBuf,
}

impl Environment {
    /// Reads the process's own. Variables that are not Unicode are left out: none of ours can be.
    pub fn of_process() -> Self {
        let variables =
            std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect();
        Environment { variables, current_dir: std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")) }
    }

    /// Given variables, seen from `current_dir`.
    pub fn of<'a>(current_dir: &Path, variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let variables = variables.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        Environment { variables, current_dir: current_dir.to_owned() }
    }

    /// A variable's value; an empty one counts as unset.
    pub fn var(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|v| !v.is_empty())
    }

    /// The first of `names` that is set, with its name.
    pub fn first_of(&self, names: &[&'static str]) -> Option<(&'static str, &str)> {
        names.iter().find_map(|name| Some((*name, self.var(name)?)))
    }

    /// The working directory.
    pub fn current_dir(&self) -> &Path {
        &self.current_dir
    }

    /// `path` made absolute, seen from the working directory.
    pub fn absolute(&self, path: &Path) -> PathBuf {
        self.current_dir.join(path)
    }
}
