//! The tables themselves: backups, what is there now, and the restore under the old names.

use super::shell::{Command, Script};
use super::{RunbookRequest, Table};
use crate::prepare::{LONGEST_NAME, staging_name};
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde_json::{Value, json};

/// ISO 8601, UTC, as the `aws` command line reads it.
fn at_text(request: &RunbookRequest<'_>) -> String {
    // A year that cannot be written that way cannot be a restore time either; its seconds are at least true.
    DateTime::from_secs(request.at.0).fmt(Format::DateTime).unwrap_or_else(|_| request.at.0.to_string())
}

/// The copy's name in a restore by hand. In front of the table's, so that ScalarDB does not take it for one of its own.
fn copy_name(request: &RunbookRequest<'_>, table: &Table<'_>) -> String {
    // What an id ends with tells it from every other: copies of two points must not meet.
    let point = request.label.rsplit('-').next().unwrap_or(request.label);
    staging_name(&format!("runbook-{point}"), table.name)
}

fn variable(number: usize) -> String {
    format!("BACKUP_{}", number + 1)
}

pub(super) fn head(script: &mut Script, request: &RunbookRequest<'_>, tables: &[Table<'_>], prepared: bool) {
    script.remark(format!(
        "Restore of {} to {}: {} tables, without stillpoint.",
        request.label,
        at_text(request),
        tables.len()
    ));
    script.remark("All of them belong together: restore every one or none. Read it all first; paste it part by part.");
    script.remark("Stop at the first command that fails, and find out why before you go on.");
    script.remark("`wait` gives up after some minutes (\"Max attempts exceeded\"): give the same command again; restores can take hours.");
    script.remark(
        "Another endpoint than AWS's: set AWS_ENDPOINT_URL first. AWS_PAGER= (empty) keeps answers out of a pager.",
    );
    script.remark("An account restores 50 tables at once; a command that is refused with LimitExceededException waits for others to end.");
    match prepared {
        true => script.remark("The point is prepared: every table has an on-demand backup as of that time."),
        false => script.remark(
            "There are no on-demand backups yet: they are made here, by point-in-time recovery, which needs the tables as they are.",
        ),
    }
    if let Some(table) = tables.first() {
        script.part("Which account is this? It must be the one of the ARNs below");
        script.run(Command::aws("sts", "get-caller-identity", &table.region));
        script.remark(format!("for example {}", table.arn));
    }
}

/// Nothing is begun before every backup is known to be there.
pub(super) fn look_at_backups(script: &mut Script, tables: &[Table<'_>]) {
    script.part("Every backup is there: each of these must print AVAILABLE");
    for table in tables {
        let arn = table.backup.as_deref().unwrap_or_default();
        script.run(status_of(Command::dynamodb("describe-backup", &table.region).with("--backup-arn", arn)));
    }
}

fn status_of(describe: Command) -> Command {
    describe.with("--query", "BackupDescription.BackupDetails.BackupStatus").with("--output", "text")
}

/// Copies by point-in-time recovery, and backups of them.
pub(super) fn make_backups(script: &mut Script, request: &RunbookRequest<'_>, tables: &[Table<'_>]) {
    script.part("Restore each table to a copy; the tables themselves are only read");
    for table in tables {
        let command = Command::dynamodb("restore-table-to-point-in-time", &table.region)
            .with("--source-table-name", table.name)
            .with("--target-table-name", &copy_name(request, table))
            .with("--restore-date-time", &at_text(request));
        let command = match on_demand(table.settings) {
            true => command,
            // A copy is neither read nor written: it needs no capacity, and this one override switches its indexes too.
            false => command.with("--billing-mode-override", "PAY_PER_REQUEST"),
        };
        script.run(encrypted(command, table));
    }
    script.part("Wait for the copies");
    for table in tables {
        let wait = Command::aws("dynamodb wait", "table-exists", &table.region);
        script.run(wait.with("--table-name", &copy_name(request, table)));
    }
    script.part("Back the copies up; keep this shell open, it knows the ARNs from here on");
    for (number, table) in tables.iter().enumerate() {
        let command = Command::dynamodb("create-backup", &table.region)
            .with("--table-name", &copy_name(request, table))
            .with("--backup-name", &backup_name("runbook", request.label))
            .with("--query", "BackupDetails.BackupArn")
            .with("--output", "text");
        script.run(command.into_variable(&variable(number)));
    }
    script.part("Every backup is there: repeat each of these until it prints AVAILABLE");
    for (number, table) in tables.iter().enumerate() {
        let command = Command::dynamodb("describe-backup", &table.region);
        script.run(status_of(command.with_variable("--backup-arn", &variable(number))));
    }
}

fn backup_name(what: &str, label: &str) -> String {
    let mut name = format!("{what}-{label}");
    name.truncate(LONGEST_NAME);
    name
}

/// The way back, before anything is destroyed.
pub(super) fn keep_what_is_there(script: &mut Script, request: &RunbookRequest<'_>, tables: &[Table<'_>]) {
    script.part("Stop every pod that uses these tables, now; then keep what is there");
    script.remark(
        "Wait for a minute after the last pod has stopped: a backup may lack what was written in the minute before it.",
    );
    script.remark("A table that is gone already has nothing to keep: pass its command over.");
    let name = backup_name("before", request.label);
    for table in tables {
        let command = Command::dynamodb("create-backup", &table.region);
        script.run(command.with("--table-name", table.name).with("--backup-name", &name));
    }
    script.part("Repeat each of these until it prints AVAILABLE: they are the way back");
    for table in tables {
        let query = format!("BackupSummaries[?BackupName=='{name}'].[BackupStatus,BackupArn]");
        let command = Command::dynamodb("list-backups", &table.region).with("--table-name", table.name);
        script.run(command.with("--query", &query).with("--output", "text"));
    }
}

/// From here on tables are destroyed.
pub(super) fn replace(script: &mut Script, tables: &[Table<'_>]) {
    for (number, table) in tables.iter().enumerate() {
        script.part(&format!("FROM HERE ON DATA IS DELETED: {} of {}, {}", number + 1, tables.len(), table.name));
        script.remark("Gone already: only the restore. Its backup not AVAILABLE: stop.");
        if table.settings["table"]["DeletionProtectionEnabled"] == true {
            let command = Command::dynamodb("update-table", &table.region).with("--table-name", table.name);
            script.run(command.flag("--no-deletion-protection-enabled"));
        }
        for target in list(&table.settings["auto_scaling_targets"]) {
            script.run(super::settings::scaling("deregister-scalable-target", table, target));
        }
        let command = Command::dynamodb("delete-table", &table.region);
        script.run(command.with("--table-name", table.name));
        let wait = Command::aws("dynamodb wait", "table-not-exists", &table.region);
        script.run(wait.with("--table-name", table.name));
        script.run(from_backup(number, table));
    }
    script.part("Wait for the tables");
    for table in tables {
        let wait = Command::aws("dynamodb wait", "table-exists", &table.region);
        script.run(wait.with("--table-name", table.name));
    }
}

fn from_backup(number: usize, table: &Table<'_>) -> Command {
    let command = Command::dynamodb("restore-table-from-backup", &table.region).with("--target-table-name", table.name);
    let command = match &table.backup {
        Some(arn) => command.with("--backup-arn", arn),
        None => command.with_variable("--backup-arn", &variable(number)),
    };
    let described = &table.settings["table"];
    let on_demand = on_demand(table.settings);
    let command = match on_demand {
        true => command.with("--billing-mode-override", "PAY_PER_REQUEST"),
        false => command
            .with("--billing-mode-override", "PROVISIONED")
            .with_json("--provisioned-throughput-override", &capacity(described)),
    };
    let command = match maxima(&described["OnDemandThroughput"]).filter(|_| on_demand) {
        Some(maxima) => command.with_json("--on-demand-throughput-override", &maxima),
        None => command,
    };
    // Every index or none is listed: one that is left out of the list is not restored.
    let indexes: Vec<Value> =
        list(&described["GlobalSecondaryIndexes"]).map(|index| override_of(index, on_demand)).collect();
    let command = match indexes.is_empty() {
        true => command,
        false => command.with_json("--global-secondary-index-override", &Value::Array(indexes)),
    };
    encrypted(command, table)
}

fn override_of(index: &Value, on_demand: bool) -> Value {
    let mut given = json!({
        "IndexName": index["IndexName"],
        "KeySchema": index["KeySchema"],
        "Projection": index["Projection"],
    });
    if !on_demand {
        given["ProvisionedThroughput"] = capacity(index);
    } else if let Some(maxima) = maxima(&index["OnDemandThroughput"]) {
        given["OnDemandThroughput"] = maxima;
    }
    given
}

/// Maxima that are set; an empty object must never be sent.
fn maxima(given: &Value) -> Option<Value> {
    let set = given.as_object()?.iter().filter(|(_, units)| units.as_i64().is_some_and(|units| units > 0));
    let set: serde_json::Map<_, _> = set.map(|(name, units)| (name.clone(), units.clone())).collect();
    (!set.is_empty()).then_some(Value::Object(set))
}

fn capacity(of: &Value) -> Value {
    let units = |field: &str| of["ProvisionedThroughput"][field].as_i64().unwrap_or(1).max(1);
    json!({ "ReadCapacityUnits": units("ReadCapacityUnits"), "WriteCapacityUnits": units("WriteCapacityUnits") })
}

/// Absent for a table that was never on-demand.
fn on_demand(settings: &Value) -> bool {
    settings["table"]["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
}

fn encrypted(command: Command, table: &Table<'_>) -> Command {
    match table.settings["table"]["SSEDescription"]["KMSMasterKeyArn"].as_str() {
        Some(key) => {
            let key = json!({ "Enabled": true, "SSEType": "KMS", "KMSMasterKeyId": key });
            command.with_json("--sse-specification-override", &key)
        }
        None => command,
    }
}

pub(super) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

pub(super) fn tail(script: &mut Script, request: &RunbookRequest<'_>, tables: &[Table<'_>], prepared: bool) {
    script.part("Compare: each table ACTIVE, with its indexes, point-in-time recovery on");
    for table in tables {
        let query = "Table.[TableName,TableStatus,GlobalSecondaryIndexes[].IndexName]";
        let command = Command::dynamodb("describe-table", &table.region).with("--table-name", table.name);
        script.run(command.with("--query", query).with("--output", "json"));
    }
    script.part("Then start the pods, and make a new restore point: the old ones ended with the old tables");
    if !prepared {
        script.remark("When all is well, delete the copies:");
        for table in tables {
            let command = Command::dynamodb("delete-table", &table.region);
            script.run(command.with("--table-name", &copy_name(request, table)));
        }
    }
}
