//! Point-in-time recovery: the switch, the window, the restore.

use serde_json::{Value, json};

use super::{
    api::{Api, Result},
    data::keyed,
    error::ServiceError,
    history::History,
    names::{self, seconds},
    restore::Source,
    table::{Lineage, Pitr, Status, Table},
};

const DAY_NS: i64 = 86_400 * 1_000_000_000;
const MS_NS: i64 = 1_000_000;

impl Api<'_> {
    /// A table as the recovery system knows it: not while it is CREATING, and not for long once it is DELETING.
    pub(crate) fn recoverable(&mut self, name_or_arn: &str) -> Result<&mut Table> {
        let (now, forget) = (self.now, self.scaled(self.config.lags.forget));
        let name = names::table_of(name_or_arn);
        let missing = || ServiceError::table_not_found(name);
        let table = self.state.tables.get_mut(name).ok_or_else(missing)?;
        let forgotten = table.deleting.is_some_and(|deleting| now > deleting.since.saturating_add(forget));
        if table.status(now) == Status::Creating || forgotten { Err(missing()) } else { Ok(table) }
    }

    pub(crate) fn describe_continuous_backups(&mut self, body: &Value) -> Result<Value> {
        let name = names::required(body, "TableName")?;
        let (now, lag) = (self.now, self.scaled(self.config.lags.latest_restorable));
        let table = self.recoverable(name)?;
        let ready = table.backups_ready_at <= now;
        Ok(json!({ "ContinuousBackupsDescription": description(table, ready, now, lag) }))
    }

    pub(crate) fn update_continuous_backups(&mut self, body: &Value) -> Result<Value> {
        let name = names::required(body, "TableName")?;
        let wanted = body.get("PointInTimeRecoverySpecification");
        let wanted = wanted.ok_or_else(|| names::missing("PointInTimeRecoverySpecification"))?;
        let enable = names::optional_bool(wanted, "PointInTimeRecoveryEnabled")?;
        let enable = enable.ok_or_else(|| names::missing("PointInTimeRecoveryEnabled"))?;
        let days = names::optional_int(wanted, "RecoveryPeriodInDays")?;
        if days.is_some_and(|days| !(1..=35).contains(&days)) {
            return Err(ServiceError::validation("RecoveryPeriodInDays must be between 1 and 35"));
        }
        if days.is_some() && !enable {
            return Err(ServiceError::validation(
                "RecoveryPeriodInDays cannot be set when PointInTimeRecoveryEnabled is false",
            ));
        }
        let (now, lag, plane) = (self.now, self.scaled(self.config.lags.latest_restorable), self.plane);
        let table = self.recoverable(name)?;
        if now < table.backups_ready_at {
            return Err(unavailable(&table.name));
        }
        match (&mut table.pitr, enable) {
            (pitr, false) => *pitr = None,
            (Some(pitr), true) => {
                pitr.earliest = earliest(pitr, now);
                pitr.days = days.unwrap_or(35);
            }
            (pitr, true) => {
                let items = keyed(plane.items(&table.name)?, &table.key_names);
                let enabled_at = now / MS_NS * MS_NS;
                let history = History::starting_with(items);
                *pitr = Some(Pitr { enabled_at, days: days.unwrap_or(35), earliest: enabled_at, history });
            }
        }
        if let Some(pitr) = &mut table.pitr {
            // A day of margin is far more than any skew.
            let from = earliest(pitr, now).saturating_sub(DAY_NS);
            pitr.history.trim(from);
        }
        let answer = json!({ "ContinuousBackupsDescription": description(table, true, now, lag) });
        if !enable && table.deleting.is_some() {
            let id = table.id.clone();
            self.forget_system_backup(&id);
        }
        Ok(answer)
    }

    pub(crate) fn restore_to_point_in_time(&mut self, body: &Value) -> Result<Value> {
        let target = names::required(body, "TargetTableName")?;
        names::check_name("targetTableName", target)?;
        let source = self.source_given(body)?;
        let at = names::optional_time(body, "RestoreDateTime")?;
        let latest = names::optional_bool(body, "UseLatestRestorableTime")?.unwrap_or(false);
        if at.is_some() == latest {
            return Err(ServiceError::validation(
                "One or more parameter values were invalid: specify either RestoreDateTime or UseLatestRestorableTime",
            ));
        }
        let overrides = self.overrides_given(body)?;
        let (now, lag) = (self.now, self.scaled(self.config.lags.latest_restorable));
        let boundary = self.config.boundary;

        let table = self.recoverable(&source)?;
        let Some(pitr) = &table.pitr else {
            return Err(ServiceError::new(
                "PointInTimeRecoveryUnavailableException",
                format!("Point in time recovery is not enabled for table '{}'", table.name),
            ));
        };
        let window = (earliest(pitr, now), latest_restorable(pitr, now, lag));
        let at = at.unwrap_or(window.1);
        if at < window.0 || window.1 < at {
            return Err(ServiceError::new(
                "InvalidRestoreTimeException",
                format!(
                    "RestoreDateTime {} is invalid: it must be between {} and {}",
                    seconds(at),
                    seconds(window.0),
                    seconds(window.1)
                ),
            ));
        }
        let (spec, root) = (table.spec.clone(), table.root.clone());
        self.target_free(target)?;
        let table = self.recoverable(&source)?;
        let items = table.pitr.as_ref().map(|pitr| pitr.history.before(boundary.first_left_out(at)));
        let lineage = Lineage { source_arn: self.arn(&source), backup_arn: None, at };
        self.start_restore(target, overrides, Source { spec, items: items.unwrap_or_default(), lineage, root })
    }

    /// The source of a restore, by name or by an ARN of this region.
    fn source_given(&self, body: &Value) -> Result<String> {
        let name = names::optional(body, "SourceTableName")?;
        let arn = names::optional(body, "SourceTableArn")?;
        match (name, arn) {
            (Some(name), None) => {
                names::check_name("sourceTableName", name)?;
                Ok(name.to_owned())
            }
            (None, Some(arn)) => match names::parse(arn) {
                // This region knows no table of another one.
                Some(parts) if parts.region != self.config.region => Err(ServiceError::table_not_found(arn)),
                _ => self.table_by_arn(arn).map(str::to_owned),
            },
            _ => Err(ServiceError::validation(
                "One or more parameter values were invalid: specify either SourceTableName or SourceTableArn",
            )),
        }
    }
}

pub(crate) fn unavailable(table: &str) -> ServiceError {
    ServiceError::new(
        "ContinuousBackupsUnavailableException",
        format!("Backups are being enabled for the table: {table}. Please retry later"),
    )
}

fn earliest(pitr: &Pitr, now: i64) -> i64 {
    pitr.earliest.max(now.saturating_sub(pitr.days.saturating_mul(DAY_NS)) / MS_NS * MS_NS)
}

fn latest_restorable(pitr: &Pitr, now: i64, lag: i64) -> i64 {
    pitr.enabled_at.max(now.saturating_sub(lag) / MS_NS * MS_NS)
}

/// The flag in front stays ENABLED whatever the switch says.
fn description(table: &Table, ready: bool, now: i64, lag: i64) -> Value {
    let recovery = match &table.pitr {
        None => json!({ "PointInTimeRecoveryStatus": "DISABLED" }),
        Some(pitr) => json!({
            "PointInTimeRecoveryStatus": "ENABLED",
            "RecoveryPeriodInDays": pitr.days,
            "EarliestRestorableDateTime": seconds(earliest(pitr, now)),
            "LatestRestorableDateTime": seconds(latest_restorable(pitr, now, lag)),
        }),
    };
    json!({
        "ContinuousBackupsStatus": if ready { "ENABLED" } else { "DISABLED" },
        "PointInTimeRecoveryDescription": recovery,
    })
}
