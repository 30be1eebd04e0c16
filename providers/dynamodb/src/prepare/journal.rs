//! What is stored about one table: intents, records, and what they add up to.

use provider_api::{ErrorKind, Intent, ProviderError, Record, RestoreTime, Step, UnitState, UnixNanos};
use serde::{Deserialize, Serialize};

/// What will be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(crate) enum Deed {
    /// RestoreTableToPointInTime.
    Restore {
        /// The staging table. Its name was free, and has a nonce of its own.
        target: String,
        at: RestoreTime,
        /// A moment on the service's clock before the call: what is older is not ours.
        since: UnixNanos,
    },
    /// CreateBackup.
    BackUp { target: String, table_id: String, name: String },
    /// DeleteTable of a staging table.
    Drop { target: String, table_id: String },
    /// DeleteBackup.
    DeleteBackup { arn: String },
}

/// What became true.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub(crate) enum Fact {
    /// The staging table is being restored. Its lineage can be read only now, so it is kept.
    Restoring { target: String, table_id: String, source_arn: Option<String>, at: Option<UnixNanos> },
    /// It is ACTIVE, with every index.
    Restored { target: String },
    /// Its backup is being made.
    BackingUp { arn: String, name: String },
    /// The backup is AVAILABLE.
    Available { arn: String },
    /// The staging table is gone, by our doing.
    Dropped { target: String },
    /// A backup of ours is gone, by our doing.
    BackupDeleted { arn: String },
    /// The staging table went by itself.
    Vanished {
        target: String,
        /// Of a backup that had been asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// The backup went by somebody else's doing.
    BackupGone { arn: String },
    /// What was intended was not done, and will not be.
    Nothing {
        /// Of the backup that had been asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// The name has been taken by a table that is not ours.
    Foreign { target: String },
    /// The backup that the table is restored from, and where it comes from.
    Prepared { arn: String, name: String, target: String, table_id: String },
    /// Nothing of ours is left.
    Undone,
}

/// A staging table of ours, by recorded identity.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Staged {
    pub(crate) target: String,
    pub(crate) table_id: String,
    pub(crate) restored: bool,
    pub(crate) gone: bool,
}

/// A backup of ours.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kept {
    pub(crate) arn: String,
    pub(crate) name: String,
    pub(crate) available: bool,
    pub(crate) gone: bool,
    /// Index of the staging table it was made of.
    pub(crate) of: usize,
}

/// What the records of a table add up to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct View {
    pub(crate) staged: Vec<Staged>,
    pub(crate) kept: Vec<Kept>,
    /// Every name under which a backup was asked for, also in vain.
    pub(crate) names: Vec<String>,
}

impl View {
    pub(crate) fn of(state: &UnitState) -> Result<View, ProviderError> {
        let mut view = View::default();
        for record in &state.records {
            view.apply(read(&record.what)?);
        }
        Ok(view)
    }

    fn apply(&mut self, fact: Fact) {
        match fact {
            Fact::Restoring { target, table_id, .. } => {
                self.staged.push(Staged { target, table_id, restored: false, gone: false });
            }
            Fact::Restored { target } => self.of_name(&target, |staged| staged.restored = true),
            Fact::Dropped { target } => self.of_name(&target, |staged| staged.gone = true),
            Fact::Vanished { target, name } => {
                self.of_name(&target, |staged| staged.gone = true);
                self.names.extend(name);
            }
            Fact::BackingUp { arn, name } => {
                let of = self.staged.len().saturating_sub(1);
                self.names.push(name.clone());
                self.kept.push(Kept { arn, name, available: false, gone: false, of });
            }
            Fact::Available { arn } => self.of_arn(&arn, |kept| kept.available = true),
            Fact::BackupDeleted { arn } | Fact::BackupGone { arn } => self.of_arn(&arn, |kept| kept.gone = true),
            Fact::Nothing { name } => self.names.extend(name),
            Fact::Foreign { .. } | Fact::Prepared { .. } | Fact::Undone => {}
        }
    }

    fn of_name(&mut self, target: &str, change: impl Fn(&mut Staged)) {
        self.staged.iter_mut().filter(|staged| staged.target == target).for_each(change);
    }

    fn of_arn(&mut self, arn: &str, change: impl Fn(&mut Kept)) {
        self.kept.iter_mut().filter(|kept| kept.arn == arn).for_each(change);
    }

    /// The staging table that counts, gone or not; with the backup of it that is there.
    pub(crate) fn current(&self) -> Option<(&Staged, Option<&Kept>)> {
        let (index, staged) = self.staged.iter().enumerate().next_back()?;
        let kept = self.kept.iter().rev().find(|kept| kept.of == index && !kept.gone);
        Some((staged, kept))
    }
}

/// Reads a stored value of ours.
pub(crate) fn read<T: serde::de::DeserializeOwned>(what: &serde_json::Value) -> Result<T, ProviderError> {
    serde_json::from_value(what.clone()).map_err(|cause| {
        ProviderError::new(
            ErrorKind::Invalid,
            format!("a record of this run cannot be read: {what}"),
            "use the version of stillpoint that began this run",
        )
        .caused_by(cause)
    })
}

/// An intent to store.
pub(crate) fn intend(text: String, deed: &Deed, slot: Option<String>) -> Step {
    Step::Intend(Intent { text, what: serde_json::to_value(deed).unwrap_or_default(), slot })
}

/// A record to store.
pub(crate) fn record(text: impl Into<String>, fact: &Fact) -> Record {
    let what = serde_json::to_value(fact).unwrap_or_default();
    Record { text: text.into(), what, slot: None, warning: None }
}

pub(crate) fn did(text: impl Into<String>, fact: &Fact) -> Step {
    Step::Did(record(text, fact))
}
