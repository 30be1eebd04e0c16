//! Failures for people and scripts: what, on which object, why, what next; and the exit code they lead to.

use crate::point::ErrorReport;

/// The command line's exit codes other than 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    /// 1: void or failed; all pods are unpaused.
    Void,
    /// 2: usage or configuration.
    Usage,
    /// 3: pods may still be paused.
    MaybePaused,
    /// 4: refused before anything was touched.
    Refused,
    /// 5: not yet.
    NotYet,
    /// 6: can no longer be restored.
    Lost,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Exit::Void => 1,
            Exit::Usage => 2,
            Exit::MaybePaused => 3,
            Exit::Refused => 4,
            Exit::NotYet => 5,
            Exit::Lost => 6,
        }
    }
}

/// What layers of the AWS SDK and of HTTP say around a cause: nothing by themselves.
const WRAPPERS: [&str; 8] = [
    "dispatch failure",
    "other",
    "io error",
    "service error",
    "unhandled error",
    "client error (Connect)",
    "tcp connect error",
    "the credential provider was not enabled",
];

/// A cause of several lines, as some lists are, in one.
fn one_line(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join("; ").replace(":; ", ": ")
}

/// One failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit code it leads to.
    pub exit: Exit,
    /// A stable name for scripts.
    pub name: String,
    /// What, on which object.
    pub message: String,
    /// What next.
    pub hint: String,
    /// Why, outermost first.
    pub causes: Vec<String>,
}

impl Failure {
    /// A failure without further causes.
    pub fn new(exit: Exit, name: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Failure { exit, name: name.to_owned(), message: message.into(), hint: hint.into(), causes: Vec::new() }
    }

    /// Takes over the chain of causes of an error whose own text is the message.
    #[must_use]
    pub fn caused_by(mut self, error: &dyn std::error::Error) -> Self {
        let mut source = error.source();
        while let Some(cause) = source {
            let text = one_line(&cause.to_string());
            source = cause.source();
            if source.is_none() || !WRAPPERS.contains(&text.as_str()) {
                self.causes.push(text);
            }
        }
        self
    }

    /// The failure as the JSON of the command line has it: causes follow the message.
    pub fn report(&self) -> ErrorReport {
        let message = std::iter::once(&self.message).chain(&self.causes).cloned().collect::<Vec<_>>().join(": ");
        ErrorReport { name: self.name.clone(), message, hint: self.hint.clone() }
    }
}
