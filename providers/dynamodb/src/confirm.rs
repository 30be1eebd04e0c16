//! Is PITR on everywhere, and how far does it reach?

use crate::client::Cloud;
use crate::table::{self, Pitr, Seen};
use crate::together;
use provider_api::{Confirmed, Context, DataSet, ErrorKind, ProviderError};

/// What one table is, as far as an answer or an error needs it.
enum Finding {
    Fit(Confirmed),
    Off(String),
    Missing(String),
    Unfit { name: String, why: &'static str, hint: &'static str, passes: bool },
}

pub(crate) async fn confirm(
    cloud: &Cloud,
    context: &Context,
    sets: &[DataSet],
) -> Result<Vec<Confirmed>, ProviderError> {
    let work: Vec<_> = sets.iter().map(|set| find(cloud, context, &set.name)).collect();
    let findings = together(work).await?;
    judge(findings, &cloud.region, cloud.dynamodb_endpoint())
}

async fn find(cloud: &Cloud, context: &Context, name: &str) -> Result<Finding, ProviderError> {
    match table::look(cloud, context, name).await {
        Ok(seen) => Ok(finding(name, &seen)),
        Err(fault) if fault.error.kind == ErrorKind::NotFound => Ok(Finding::Missing(name.to_owned())),
        Err(fault) => Err(fault.error),
    }
}

fn finding(name: &str, seen: &Seen) -> Finding {
    let name = name.to_owned();
    if let Some((why, hint, passes)) = table::trouble(&seen.status) {
        return Finding::Unfit { name, why, hint, passes };
    }
    let Pitr::On { from, to, days } = seen.pitr else { return Finding::Off(name) };
    let mut warnings = Vec::new();
    if seen.replicas > 0 {
        warnings.push(format!(
            "`{name}` has replicas: PITR restores an independent table of this region, and replicas are not restored"
        ));
    }
    Finding::Fit(Confirmed {
        name,
        id: seen.id.clone(),
        restorable_from: from,
        restorable_to: to,
        period_days: days,
        warnings,
    })
}

/// All answers, or one error that lists every table it is about. What waiting or a look at the name must settle
/// first comes before what a switch settles.
fn judge(findings: Vec<Finding>, region: &str, endpoint: Option<&str>) -> Result<Vec<Confirmed>, ProviderError> {
    let (mut fit, mut off, mut missing, mut unfit) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for finding in findings {
        match finding {
            Finding::Fit(confirmed) => fit.push(confirmed),
            Finding::Off(name) => off.push(name),
            Finding::Missing(name) => missing.push(name),
            Finding::Unfit { name, why, hint, passes } => unfit.push((name, why, hint, passes)),
        }
    }
    if !missing.is_empty() {
        let message = format!("no table named {} in {region}", missing.join(", "));
        let hint = "it was dropped or never there: check the region and run again to discover anew";
        return Err(ProviderError::new(ErrorKind::NotFound, message, hint).about(missing));
    }
    if let Some((_, _, hint, _)) = unfit.first() {
        let list: Vec<_> = unfit.iter().map(|(name, why, ..)| format!("`{name}` {why}")).collect();
        let passes = unfit.iter().all(|(.., passes)| *passes);
        return Err(ProviderError::new(ErrorKind::WrongState, list.join("; "), *hint)
            .retryable(passes)
            .about(unfit.iter().map(|(name, ..)| name)));
    }
    if !off.is_empty() {
        let message =
            format!("point-in-time recovery is off on {} of {} in {region}", list(&off), fit.len() + off.len());
        return Err(ProviderError::new(ErrorKind::PitrOff, message, turn_on(&off, region, endpoint)).about(off));
    }
    Ok(fit)
}

fn list(names: &[String]) -> String {
    let plural = if names.len() == 1 { "table" } else { "tables" };
    format!("{} {plural} ({})", names.len(), names.join(", "))
}

/// The command that turns PITR on for all of them, to be pasted into a shell.
pub(crate) fn turn_on(names: &[String], region: &str, endpoint: Option<&str>) -> String {
    let endpoint = endpoint.map(|url| format!(" --endpoint-url {url}")).unwrap_or_default();
    let command = |table: &str| {
        format!(
            "aws dynamodb update-continuous-backups --region {region}{endpoint} --table-name {table} \
             --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true"
        )
    };
    match names {
        [one] => command(one),
        // Table names have no characters that a shell would read.
        _ => format!("for t in {}; do {}; done", names.join(" "), command("\"$t\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_dynamodb::types::TableStatus;

    fn seen(status: TableStatus, pitr: Pitr) -> Seen {
        Seen { id: "id".to_owned(), status, replicas: 0, pitr }
    }

    const ON: Pitr = Pitr::On { from: None, to: None, days: Some(35) };

    #[test]
    fn all_tables_with_pitr_off_are_in_one_error_with_the_command() {
        let findings = vec![
            finding("a", &seen(TableStatus::Active, Pitr::Off)),
            finding("b", &seen(TableStatus::Active, ON)),
            finding("c", &seen(TableStatus::Updating, Pitr::Off)),
        ];
        let error = judge(findings, "eu-west-1", None).unwrap_err();
        assert_eq!((error.kind, error.retryable), (ErrorKind::PitrOff, false));
        assert_eq!(error.subjects, ["a", "c"]);
        assert_eq!(error.message, "point-in-time recovery is off on 2 tables (a, c) of 3 in eu-west-1");
        assert_eq!(
            error.hint,
            "for t in a c; do aws dynamodb update-continuous-backups --region eu-west-1 --table-name \"$t\" \
             --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true; done"
        );
    }

    #[test]
    fn the_command_names_the_endpoint_that_is_used() {
        let hint = turn_on(&["bank.account".to_owned()], "us-east-1", Some("http://127.0.0.1:8000"));
        assert_eq!(
            hint,
            "aws dynamodb update-continuous-backups --region us-east-1 --endpoint-url http://127.0.0.1:8000 \
             --table-name bank.account --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true"
        );
    }

    #[test]
    fn states_in_which_no_restore_can_be_relied_on_are_errors() {
        for (status, passes) in [
            (TableStatus::Creating, true),
            (TableStatus::Deleting, true),
            (TableStatus::InaccessibleEncryptionCredentials, false),
            (TableStatus::Archiving, false),
            (TableStatus::Archived, false),
            (TableStatus::ReplicationNotAuthorized, false),
            (TableStatus::from("SOMETHING_NEW"), false),
        ] {
            let findings = vec![finding("a", &seen(TableStatus::Active, ON)), finding("b", &seen(status.clone(), ON))];
            let error = judge(findings, "eu-west-1", None).unwrap_err();
            assert_eq!((error.kind, error.retryable), (ErrorKind::WrongState, passes), "{status:?}");
            assert_eq!(error.subjects, ["b"]);
        }
    }

    #[test]
    fn replicas_are_a_warning() {
        let table = Seen { replicas: 2, ..seen(TableStatus::Active, ON) };
        let confirmed = judge(vec![finding("a", &table)], "eu-west-1", None).unwrap();
        assert!(confirmed[0].warnings[0].contains("replicas"));
    }
}
