//! How a person restores a point with nothing but the `aws` command line: every call with all its values, in order.
//!
//! Pure: what is printed follows from the point's record alone, so that it can be printed, and kept, on a day when nothing is
//! wrong. It is a script to be read and pasted piece by piece rather than run blindly; destruction begins at one marked place.

mod restore;
mod settings;
mod shell;

use crate::prepare;
use provider_api::{Capsule, ErrorKind, ProviderError, RestoreTime, Role, UnitState};
use serde_json::Value;
use shell::Script;

/// One table of the point.
#[derive(Clone, Copy, Debug)]
pub struct RunbookTable<'a> {
    /// Its physical name.
    pub name: &'a str,
    /// What it is to ScalarDB: the metadata and coordinator tables come last.
    pub role: Role,
    /// Its settings, as captured.
    pub capsule: Option<&'a Capsule>,
    /// What a finished run of `prepare` recorded of it.
    pub prepared: Option<&'a UnitState>,
}

/// A point to be restored by hand.
#[derive(Clone, Debug)]
pub struct RunbookRequest<'a> {
    /// The restore point's id: letters, digits, `-` and `_`.
    pub label: &'a str,
    /// T.
    pub at: RestoreTime,
    /// All its tables in this database.
    pub tables: Vec<RunbookTable<'a>>,
}

/// A table with what the commands need of it.
struct Table<'a> {
    name: &'a str,
    arn: String,
    region: String,
    /// DescribeTable, and everything else that was captured.
    settings: &'a Value,
    unread: Vec<String>,
    /// Of a prepared point.
    backup: Option<String>,
}

/// The script. By point-in-time recovery unless every table has its backup. Fails when the settings of a table are not in the
/// record.
pub fn runbook(request: &RunbookRequest<'_>) -> Result<String, ProviderError> {
    let tables = tables(request)?;
    let mut script = Script::default();
    let prepared = !tables.is_empty() && tables.iter().all(|table| table.backup.is_some());
    restore::head(&mut script, request, &tables, prepared);
    if prepared {
        restore::look_at_backups(&mut script, &tables);
    } else {
        restore::make_backups(&mut script, request, &tables);
    }
    restore::keep_what_is_there(&mut script, request, &tables);
    restore::replace(&mut script, &tables);
    settings::put_back(&mut script, &tables);
    restore::tail(&mut script, request, &tables, prepared);
    Ok(script.text())
}

fn tables<'a>(request: &RunbookRequest<'a>) -> Result<Vec<Table<'a>>, ProviderError> {
    let (mut tables, mut missing) = (Vec::new(), Vec::new());
    let mut sorted = request.tables.clone();
    sorted.sort_by_key(|table| match table.role {
        Role::Coordinator => 1,
        Role::Metadata => 2,
        _ => 0,
    });
    for table in sorted {
        let found = table.capsule.and_then(|capsule| {
            let arn = capsule.settings["table"]["TableArn"].as_str()?.to_owned();
            Some((capsule, arn.split(':').nth(3)?.to_owned(), arn))
        });
        let Some((capsule, region, arn)) = found else {
            missing.push(table.name.to_owned());
            continue;
        };
        tables.push(Table {
            name: table.name,
            arn,
            region,
            settings: &capsule.settings,
            unread: capsule.unread.iter().map(|unread| format!("{}: {}", unread.setting, unread.reason)).collect(),
            backup: table.prepared.and_then(prepare::backup_of),
        });
    }
    if missing.is_empty() {
        return Ok(tables);
    }
    let message = format!("the settings of {} are not in the point's record", missing.join(", "));
    let hint = "`stillpoint seal ID` reads them, if the tables are still as they were";
    Err(ProviderError::new(ErrorKind::NotFound, message, hint).about(missing))
}
