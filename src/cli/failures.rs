//! Several failures of one command, told together.

use crate::failure::{Exit, Failure};
use crate::point::ErrorReport;
use crate::settings::Problem;
use std::fmt;

/// What went wrong, in the order in which it is told. Empty = nothing did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failures(Vec<Failure>);

impl Failures {
    /// None.
    pub fn none() -> Self {
        Failures::default()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Failure> {
        self.0.iter()
    }

    /// Whether nothing went wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The last of those with this name.
    pub fn last_named(&mut self, name: &str) -> Option<&mut Failure> {
        self.0.iter_mut().rev().find(|failure| failure.name == name)
    }

    /// Adds one.
    pub fn push(&mut self, failure: Failure) {
        self.0.push(failure);
    }

    /// The code of the strongest; 0 when nothing went wrong.
    pub fn exit_code(&self) -> u8 {
        self.strongest().map_or(0, |f| f.exit.code())
    }

    /// All of them as one error: the strongest gives the name, messages and hints follow each other, one a line.
    pub fn report(&self) -> Option<ErrorReport> {
        let strongest = self.strongest()?;
        let reports: Vec<ErrorReport> = self.0.iter().map(Failure::report).collect();
        let mut hints: Vec<&str> = Vec::new();
        for report in &reports {
            if !hints.contains(&report.hint.as_str()) {
                hints.push(&report.hint);
            }
        }
        let message = reports.iter().map(|r| r.message.as_str()).collect::<Vec<_>>().join("\n");
        Some(ErrorReport { name: strongest.name.clone(), message, hint: hints.join("\n") })
    }

    /// The first of those whose exit outranks the others'.
    fn strongest(&self) -> Option<&Failure> {
        let highest = self.0.iter().map(|f| rank(f.exit)).max()?;
        self.0.iter().find(|f| rank(f.exit) == highest)
    }
}

/// Which exit is told when several apply: pods that may be paused before all else, then what was done, then what was
/// only asked.
fn rank(exit: Exit) -> u8 {
    match exit {
        Exit::MaybePaused => 6,
        Exit::Lost => 5,
        Exit::Void => 4,
        Exit::Refused => 3,
        Exit::Usage => 2,
        Exit::NotYet => 1,
    }
}

impl From<Failure> for Failures {
    fn from(failure: Failure) -> Self {
        Failures(vec![failure])
    }
}

impl From<Vec<Failure>> for Failures {
    fn from(failures: Vec<Failure>) -> Self {
        Failures(failures)
    }
}

impl From<Vec<Problem>> for Failures {
    fn from(problems: Vec<Problem>) -> Self {
        let failure = |p: Problem| Failure::new(Exit::Usage, p.name, p.to_string(), p.hint);
        Failures(problems.into_iter().map(failure).collect())
    }
}

impl fmt::Display for Failures {
    /// `error:`, `  cause:` and `hint:` lines for each, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for failure in &self.0 {
            writeln!(f, "error: {}", failure.message)?;
            for cause in &failure.causes {
                writeln!(f, "  cause: {cause}")?;
            }
            if !failure.hint.is_empty() {
                writeln!(f, "hint: {}", failure.hint)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(exit: Exit, name: &str) -> Failure {
        Failure::new(exit, name, format!("{name} went wrong"), format!("mend {name}"))
    }

    #[test]
    fn pods_that_may_be_paused_outrank_everything() {
        let all = [Exit::NotYet, Exit::Lost, Exit::Void, Exit::MaybePaused, Exit::Refused, Exit::Usage];
        let failures = Failures(all.iter().map(|e| failure(*e, &format!("{e:?}"))).collect());
        assert_eq!(failures.exit_code(), 3);
        assert_eq!(failures.report().unwrap().name, "MaybePaused");
    }

    #[test]
    fn each_failure_is_told_with_its_causes_and_its_hint() {
        let mut first = failure(Exit::Refused, "pod");
        first.causes = vec!["no route".into(), "network is down".into()];
        let failures = Failures(vec![first, failure(Exit::Refused, "table")]);
        assert_eq!(
            failures.to_string(),
            "error: pod went wrong\n  cause: no route\n  cause: network is down\nhint: mend pod\n\
             error: table went wrong\nhint: mend table\n"
        );
        let report = failures.report().unwrap();
        assert_eq!(report.name, "pod");
        assert_eq!(report.message, "pod went wrong: no route: network is down\ntable went wrong");
        assert_eq!(report.hint, "mend pod\nmend table");
    }

    #[test]
    fn nothing_wrong_is_exit_0_and_no_error() {
        assert_eq!((Failures::none().exit_code(), Failures::none().report()), (0, None));
    }
}
