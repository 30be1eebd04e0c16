//! The way back: every table as this run found it.

use super::Table;
use super::journal::{Deed, Fact, Occupant, View, did, record};
use crate::backups;
use crate::prepare::SOON;
use crate::table;
use aws_sdk_dynamodb::types::{BackupTypeFilter, TableStatus};
use provider_api::{ErrorKind, ProviderError, Step};
use std::time::Duration;

/// How long the backup that DynamoDB makes of a deleted table is waited for. It shows within ten seconds; what is not there by
/// then was never made, but nothing is lost by a longer look.
const SYSTEM_BACKUP: Duration = Duration::from_secs(120);

impl Table<'_> {
    /// The next thing towards the table as it was found.
    pub(super) async fn back(&self, view: &View) -> Result<Step, ProviderError> {
        match &view.occupant {
            Occupant::Unknown => Ok(self.left_alone(view, None)),
            Occupant::Old(id) => self.spare(view, id).await,
            Occupant::Nobody => match &view.old {
                None => Ok(self.left_alone(view, None)),
                Some(id) => match self.source(view, id).await? {
                    Ok(arn) => self.intend_restore(view, arn, true).await,
                    Err(wait) => Ok(wait),
                },
            },
            Occupant::Ours { table_id, back: true } => match view.old_settings.as_deref() {
                Some(capsule) => self.complete(view, table_id, capsule).await,
                None => Ok(self.left_alone(view, Some(table_id))),
            },
            Occupant::Ours { table_id, back: false } => self.take_away(view, table_id).await,
        }
    }

    /// What was found is still there: it gets back what was taken from it.
    async fn spare(&self, view: &View, id: &str) -> Result<Step, ProviderError> {
        let Some(found) = self.look().await?.0 else {
            return Ok(self.unsure().unwrap_or_else(|| self.gone_meanwhile(id)));
        };
        if table::identity(&found) != id {
            return Err(self.taken(id, &found));
        }
        match found.table_status {
            Some(TableStatus::Deleting) => Ok(self.wait(SOON, "deleting")),
            _ if view.touched => Ok(self.intend_settings(id)),
            _ => Ok(self.left_alone(view, Some(id))),
        }
    }

    /// What this run restored gives way to what was there before, or the other way round. It cannot be deleted before it is ACTIVE.
    pub(super) async fn take_away(&self, view: &View, table_id: &str) -> Result<Step, ProviderError> {
        match self.look().await?.0 {
            None => Ok(self.unsure().unwrap_or_else(|| {
                did("the restored table is gone", &Fact::Vanished { table_id: table_id.to_owned() })
            })),
            Some(found) if table::identity(&found) != table_id => Err(self.taken(table_id, &found)),
            Some(found) if matches!(found.table_status, Some(TableStatus::Creating)) => {
                Ok(self.wait(SOON, "waiting until the restored table can be deleted"))
            }
            Some(_) => self.clear_away(view, table_id).await,
        }
    }

    fn left_alone(&self, view: &View, table_id: Option<&str>) -> Step {
        let safety = view.safety_arn();
        let kept = safety.as_ref().map(|arn| format!("; a backup of it: {arn}")).unwrap_or_default();
        let text = match table_id {
            Some(_) => format!("was left as it is{kept}"),
            None if view.occupant == Occupant::Unknown => "was not touched".to_owned(),
            None => "is not there, as before".to_owned(),
        };
        Step::Done(record(text, &Fact::PutBack { table_id: table_id.map(str::to_owned), safety }))
    }

    /// The backup that what was found is put back from: its safety backup, else the one that DynamoDB makes by itself when a
    /// table with point-in-time recovery is deleted.
    pub(super) async fn source(&self, view: &View, id: &str) -> Result<Result<String, Step>, ProviderError> {
        if let Some(safety) = &view.safety {
            return match self.backup(&safety.arn).await? {
                Some(found) if found.available && found.table_id == id => Ok(Ok(safety.arn.clone())),
                Some(found) if found.table_id == id => Ok(Err(self.wait(SOON, "making the safety backup"))),
                _ => Err(self.no_way_back(&format!("its safety backup {} is gone", safety.arn))),
            };
        }
        let listed = backups::of_table(self.cloud, self.context, &self.unit.name, BackupTypeFilter::System).await?;
        let of_it = listed.into_iter().find(|found| found.table_id.as_deref() == Some(id));
        if let Some(arn) = of_it.and_then(|found| found.backup_arn) {
            return Ok(Ok(arn));
        }
        // None is made of a table without point-in-time recovery, and nobody can tell any more whether it had that at the end.
        let what = format!("the SYSTEM backup of {id}");
        match self.cloud.waited.since_first(&what, SYSTEM_BACKUP, self.config.time_scale) {
            false => Ok(Err(self.wait(SOON, "waiting for the SYSTEM backup"))),
            true => Err(self.no_way_back("it has no safety backup, and DynamoDB shows no SYSTEM backup of it")),
        }
    }

    pub(super) fn no_way_back(&self, why: &str) -> ProviderError {
        let message = format!("`{}` cannot be put back as it was: {why}", self.unit.name);
        let hint = "finish the restore instead: run `stillpoint restore ID` again without --abort";
        self.wrong(message, hint)
    }

    /// Whether what was found can be put back, should it be gone or have to go.
    pub(super) async fn way_back(&self, view: &View, deed: Option<&Deed>) -> Result<(), ProviderError> {
        let Some(id) = view.old.as_deref() else { return self.may_be_taken_away(view).await };
        while self.is_replaced(view, id, deed).await? {
            match self.source(view, id).await? {
                // A backup that is still being made is of a table that was not deleted.
                Err(_) if view.safety.is_none() => {
                    self.context.sleep("looking for the way back", SOON.first.div_f64(self.config.time_scale)).await?;
                }
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    /// Whether what was found is gone, or may go by a call that was sent already.
    async fn is_replaced(&self, view: &View, id: &str, deed: Option<&Deed>) -> Result<bool, ProviderError> {
        match view.occupant {
            Occupant::Unknown | Occupant::Ours { back: true, .. } => return Ok(false),
            Occupant::Nobody | Occupant::Ours { back: false, .. } => return Ok(true),
            Occupant::Old(_) => {}
        }
        let going = matches!(deed, Some(Deed::Delete { .. }));
        match self.look().await?.0 {
            None => Ok(true),
            Some(found) if table::identity(&found) != id => Ok(false),
            Some(found) if found.table_status == Some(TableStatus::Deleting) => Ok(true),
            Some(_) if going && view.safety.is_none() => {
                // A call that still arrives makes a SYSTEM backup, as long as this is so.
                self.recovery_is_on().await.map_err(|error| match error.kind {
                    ErrorKind::PitrOff => {
                        let why = format!("a call that deletes it may still be under way, and {}", error.message);
                        ProviderError { hint: error.hint, ..self.no_way_back(&why) }
                    }
                    _ => error,
                })?;
                Ok(false)
            }
            Some(_) => Ok(going),
        }
    }

    /// Nothing takes the place of what was not there before: then the restored table goes only while the backup that it was
    /// made of is there.
    pub(super) async fn may_be_taken_away(&self, view: &View) -> Result<(), ProviderError> {
        if !matches!(view.occupant, Occupant::Ours { back: false, .. }) {
            return Ok(());
        }
        self.prepared_is_there().await.map_err(|error| match error.kind {
            ErrorKind::WrongState => {
                self.no_way_back(&format!("the restored table would be the last of its data, since {}", error.message))
            }
            _ => error,
        })
    }
}
