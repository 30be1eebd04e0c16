//! The values that pass between Stillpoint and a provider.

use serde::{Deserialize, Serialize};

/// A whole second of Unix time on the database's clock: the restore time T.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RestoreTime(pub i64);

/// A moment in Unix nanoseconds, on whichever clock the field says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixNanos(pub i64);

/// What a data set is to ScalarDB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A table of the user's, or one given by name or prefix.
    User,
    /// ScalarDB's table of tables (and of namespaces).
    Metadata,
    /// The coordinator's state table: decides every transaction.
    Coordinator,
}

/// The unit the provider restores: a DynamoDB table, a Cosmos DB container.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DataSet {
    /// The physical name, as the service knows it.
    pub name: String,
    /// What it is to ScalarDB.
    pub role: Role,
}

/// All data sets of a database, and ScalarDB's description of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discovery {
    /// Sorted by name; metadata and coordinator tables included.
    pub data_sets: Vec<DataSet>,
    /// ScalarDB's own metadata per table (canonical JSON), empty where tables are given by list or prefix.
    /// Two discoveries with equal `data_sets` and `metadata` describe the same schema.
    pub metadata: std::collections::BTreeMap<String, serde_json::Value>,
    /// What a person should know: leftover tables, names that are not ScalarDB's.
    pub warnings: Vec<String>,
}

/// One data set with PITR on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmed {
    /// The data set's name.
    pub name: String,
    /// The identity that a re-created data set of the same name does not share (DynamoDB: TableId).
    pub id: String,
    /// Earliest restorable moment, on the database's clock.
    pub restorable_from: Option<UnixNanos>,
    /// Latest restorable moment, on the database's clock.
    pub restorable_to: Option<UnixNanos>,
    /// How many days back a restore can reach.
    pub period_days: Option<u32>,
    /// What a person should know about restoring this set: replicas, say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A setting that could not be read, with the reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unread {
    /// The setting, e.g. `tags`.
    pub setting: String,
    /// Why, e.g. `AccessDeniedException`.
    pub reason: String,
    /// What the operator does next, e.g. the IAM action to allow.
    pub hint: String,
}

/// What a restore drops and must be put back, saved with the point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capsule {
    /// The data set's name.
    pub name: String,
    /// Its identity at capture.
    pub id: String,
    /// Every setting that was read, by the provider's own names. A setting that is unset is absent or null.
    pub settings: serde_json::Value,
    /// What could not be read. Empty = complete.
    pub unread: Vec<Unread>,
}

/// A data set as the point recorded it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedSet {
    /// The data set's name.
    pub name: String,
    /// Its identity when the point was made.
    pub id: String,
}

/// Can a data set be restored to T?
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Restorability {
    /// Yes, now.
    Ok,
    /// Not yet; the provider's guess when, on the database's clock.
    NotYet {
        /// Expected moment.
        expected_at: UnixNanos,
    },
    /// Never again.
    Lost {
        /// Why, for people.
        reason: String,
    },
}

/// One data set's answer to [`crate::BackupProvider::restorable`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetRestorability {
    /// The data set's name.
    pub name: String,
    /// The answer.
    pub restorability: Restorability,
    /// Earliest restorable moment now, if the service says one.
    pub restorable_from: Option<UnixNanos>,
    /// Latest restorable moment now, if the service says one.
    pub restorable_to: Option<UnixNanos>,
}
