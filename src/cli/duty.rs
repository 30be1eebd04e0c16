//! Which policy of deploy/iam has all that a verb needs, told where a right is missing.

use super::failures::Failures;

/// The policy under which a verb runs; `None` where it asks the database for nothing.
pub fn policy(verb: &str) -> Option<&'static str> {
    match verb {
        "check" | "create" | "seal" | "prepare" => Some("deploy/iam/backup.json"),
        "restore" => Some("deploy/iam/restore.json"),
        "verify" => Some("deploy/iam/verify.json"),
        "drill" => Some("deploy/iam/drill.json"),
        "prune" => Some("deploy/iam/prune.json"),
        _ => None,
    }
}

/// Whoever is told of one missing right is told once where all of them are: the next may be missing too.
pub fn name_policy(verb: Option<&str>, failures: &mut Failures) {
    let Some((verb, policy)) = verb.and_then(|verb| Some((verb, policy(verb)?))) else { return };
    if let Some(failure) = failures.last_named("permission_denied") {
        failure.hint = format!("{}\n{policy} has every right that `{verb}` needs", failure.hint);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::{Exit, Failure};

    fn failures(names: &[&str]) -> Failures {
        names
            .iter()
            .map(|name| Failure::new(Exit::Refused, name, "refused", format!("mend {name}")))
            .collect::<Vec<_>>()
            .into()
    }

    fn hints(verb: Option<&str>, names: &[&str]) -> Vec<String> {
        let mut failures = failures(names);
        name_policy(verb, &mut failures);
        failures.iter().map(|failure| failure.hint.clone()).collect()
    }

    #[test]
    fn the_last_of_several_missing_rights_names_the_policy_that_has_them_all() {
        let hints = hints(Some("restore"), &["permission_denied", "permission_denied", "throttled"]);
        let policy = "mend permission_denied\ndeploy/iam/restore.json has every right that `restore` needs";
        assert_eq!(hints, ["mend permission_denied", policy, "mend throttled"]);
    }

    #[test]
    fn nothing_is_said_of_policies_where_no_right_is_missing_or_the_verb_has_none() {
        assert_eq!(hints(Some("restore"), &["throttled"]), ["mend throttled"]);
        assert_eq!(hints(Some("demo"), &["permission_denied"]), ["mend permission_denied"]);
        assert_eq!(hints(None, &["permission_denied"]), ["mend permission_denied"]);
    }

    #[test]
    fn every_policy_is_there() {
        for policy in crate::cli::VERBS.into_iter().filter_map(policy) {
            assert!(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(policy).is_file(), "{policy}");
        }
    }
}
