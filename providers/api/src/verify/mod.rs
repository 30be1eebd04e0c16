//! Verification: is a set of tables, as it stands, one that ScalarDB can work with? Reading only.
//!
//! What the transaction columns may say is ScalarDB's consensus commit, the same on every database: [`Judge`] knows it, and
//! holds no connection. How tables are read and what their keys must be is each provider's own.

mod consensus;
mod judge;
mod pace;
mod seen;

pub use consensus::{Decision, Fate, TxColumns, fate, lookups};
pub use judge::{Judge, Suspects, Waiting};
pub use pace::ReadPace;
pub use seen::SeenIds;

use crate::{Context, ProviderError, Role};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How fast tables may be read.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadBudget {
    /// Percent of each table's own read capacity. Above zero.
    Percent(f64),
    /// Read units a second for all tables of a database together. Above zero.
    Units(f64),
}

impl Default for ReadBudget {
    /// Half: what else reads keeps the other half.
    fn default() -> Self {
        ReadBudget::Percent(50.0)
    }
}

/// The latest moments that a sound set can show, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// When the still period began. What says to be younger and breaks no rule is remarked.
    pub still_from_ms: i64,
    /// Nothing was prepared or decided later: the still period had begun. The bound of the pods' clocks is added already.
    pub written_by_ms: i64,
    /// Nothing that is undecided was prepared later: the drain had ended. The bound is added already.
    pub drained_by_ms: i64,
}

/// A table of the point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PointSet {
    /// Its name when the point was made.
    pub name: String,
    /// What it is to ScalarDB.
    pub role: Role,
    /// Its identity then.
    pub id: String,
}

/// What is to be verified.
#[derive(Clone, Copy, Debug)]
pub struct VerifyRequest<'a> {
    /// The tables of the point.
    pub sets: &'a [PointSet],
    /// ScalarDB's own metadata of them, as recorded.
    pub metadata: &'a BTreeMap<String, Value>,
    /// In front of every table's name; empty: the tables under their own names.
    pub prefix: &'a str,
    /// The latest moments that a sound set can show.
    pub limits: Limits,
    /// How fast to read.
    pub budget: ReadBudget,
    /// Parts in which each table is read side by side. `None`: as many as the budget needs.
    pub segments: Option<u32>,
}

/// A rule that a sound set keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Rule {
    /// A record was prepared after the pods had fallen still: a writer outside the targets.
    WrittenLate,
    /// A transaction was decided after the pods had fallen still.
    DecidedLate,
    /// An undecided record is younger than the drain.
    UndecidedLate,
    /// One record of a transaction waits without a COMMITTED row, another is committed.
    TornTransaction,
    /// A record is committed by a transaction that the coordinator aborted.
    CommittedThoughAborted,
    /// Transaction columns that ScalarDB never writes.
    StrangeRecord,
    /// A table of the point, or one that the metadata describes, is not there or not usable.
    TableMissing,
    /// A table of the point is not in ScalarDB's metadata.
    NotDescribed,
    /// ScalarDB's metadata of a table is not what it was when the point was made.
    MetadataDiffers,
    /// A table's keys are not those that the metadata asks for.
    KeySchemaDiffers,
    /// An index that the metadata asks for is not there, or not as it must be.
    IndexMissing,
}

impl Rule {
    /// All of them.
    pub const ALL: [Rule; 11] = [
        Rule::WrittenLate,
        Rule::DecidedLate,
        Rule::UndecidedLate,
        Rule::TornTransaction,
        Rule::CommittedThoughAborted,
        Rule::StrangeRecord,
        Rule::TableMissing,
        Rule::NotDescribed,
        Rule::MetadataDiffers,
        Rule::KeySchemaDiffers,
        Rule::IndexMissing,
    ];

    /// Its name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Rule::WrittenLate => "WrittenLate",
            Rule::DecidedLate => "DecidedLate",
            Rule::UndecidedLate => "UndecidedLate",
            Rule::TornTransaction => "TornTransaction",
            Rule::CommittedThoughAborted => "CommittedThoughAborted",
            Rule::StrangeRecord => "StrangeRecord",
            Rule::TableMissing => "TableMissing",
            Rule::NotDescribed => "NotDescribed",
            Rule::MetadataDiffers => "MetadataDiffers",
            Rule::KeySchemaDiffers => "KeySchemaDiffers",
            Rule::IndexMissing => "IndexMissing",
        }
    }
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A rule that is not kept, and where. Never an attribute's value other than the key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Breach {
    /// Which rule.
    pub rule: Rule,
    /// The table, by the name that it has now.
    pub table: String,
    /// The record's key as the service's own tools take it.
    pub key: Option<String>,
    /// The transaction.
    pub tx_id: Option<String>,
    /// What was seen, for people.
    pub detail: String,
}

/// What a table is to verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableKind {
    /// Its records have transaction columns.
    Transactional,
    /// Records without: counted, not judged.
    Plain,
    /// The coordinator's.
    Coordinator,
    /// ScalarDB's metadata.
    Metadata,
}

/// What was counted in a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableCounts {
    /// The name it has in the point.
    pub name: String,
    /// The name it has now.
    pub table: String,
    /// What it is.
    pub kind: TableKind,
    /// Records.
    pub records: u64,
    /// Of a coordinator's: rows that say COMMITTED. Else records whose fate is applied.
    pub committed: u64,
    /// Of a coordinator's only: rows that say ABORTED.
    pub aborted: u64,
    /// Records that were written and wait for their fate.
    pub prepared: u64,
    /// Records that were marked for deletion and wait for their fate.
    pub deleted: u64,
    /// Of the waiting: those that will be completed.
    pub roll_forward: u64,
    /// Of the waiting: those that will be undone.
    pub roll_back: u64,
    /// The latest `tx_prepared_at`; of a coordinator's: the latest `tx_created_at`.
    pub youngest_ms: Option<i64>,
}

impl TableCounts {
    /// Nothing counted yet.
    pub fn new(name: &str, table: &str, kind: TableKind) -> Self {
        let (name, table) = (name.to_owned(), table.to_owned());
        let (records, committed, aborted, prepared, deleted, roll_forward, roll_back) = (0, 0, 0, 0, 0, 0, 0);
        TableCounts {
            name,
            table,
            kind,
            records,
            committed,
            aborted,
            prepared,
            deleted,
            roll_forward,
            roll_back,
            youngest_ms: None,
        }
    }
}

/// Breaches listed one by one; further ones are only counted.
pub const LISTED: usize = 1_000;

/// What verification found in one database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// What was counted, by table.
    pub tables: Vec<TableCounts>,
    /// The first [`LISTED`] breaches, by rule, table and key.
    pub breaches: Vec<Breach>,
    /// All breaches, by rule.
    pub broken: BTreeMap<Rule, u64>,
    /// What a person should know; none of it makes the set unsound.
    pub remarks: Vec<String>,
    /// Read units that were paid for.
    pub read_units: f64,
    /// How often the tables were read: once, or twice where something had to be matched.
    pub passes: u32,
}

impl Verification {
    /// Whether every rule is kept.
    pub fn is_sound(&self) -> bool {
        self.broken.is_empty()
    }
}

/// What is going on, for progress.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct VerifyProgress {
    /// 1, or 2 where something has to be matched.
    pub pass: u32,
    /// Tables that are read to their end.
    pub tables: usize,
    /// All tables.
    pub of: usize,
    /// Records read so far, in all passes.
    pub records: u64,
}

/// Is told what is going on, from any task, often.
pub type Watch<'a> = dyn Fn(VerifyProgress) + Send + Sync + 'a;

/// The power to verify. Changes nothing; every call is safe to repeat.
#[async_trait::async_trait]
pub trait Verify: std::fmt::Debug + Send + Sync {
    /// Reads every table within the budget and judges it. What is wrong with the tables is in the answer; an error says
    /// that they could not be read.
    async fn verify(
        &self,
        context: &Context,
        request: &VerifyRequest<'_>,
        watch: &Watch<'_>,
    ) -> Result<Verification, ProviderError>;
}

/// A provider's power to verify, shared with the tasks that use it.
pub type Verifier = Arc<dyn Verify>;
