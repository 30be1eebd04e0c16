//! Everything an account holds besides its items.

use std::collections::{BTreeMap, HashMap};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use super::{
    backups::Backup, faults::Faults, guard::Guard, iam::Policy, limits::Limits, names, scaling::Scaling, table::Table,
};

/// A write that is in the table, for whoever judges a restore.
#[derive(Debug, Clone)]
pub struct WriteRecord {
    /// Table name.
    pub table: String,
    /// The table's incarnation.
    pub table_id: String,
    /// The item's key attributes, in DynamoDB's JSON.
    pub key: Value,
    /// Did it leave no item behind?
    pub deleted: bool,
    /// Host `CLOCK_MONOTONIC` (or whatever the [`Clock`](crate::clock::Clock) reads) in ns.
    pub mono_ns: i64,
    /// The stamp in the table's history: ns since 1970 on that table's own clock.
    pub history_ns: i64,
}

/// An API call as it was answered.
#[derive(Debug, Clone)]
pub struct CallRecord {
    /// Operation, such as `PutItem`.
    pub operation: String,
    /// The table it was about (the source of a restore), or empty.
    pub table: String,
    /// When it was answered: monotonic ns.
    pub mono_ns: i64,
    /// Was it refused because of its rate?
    pub throttled: bool,
    /// The error's name, if it was not a success.
    pub error: Option<String>,
}

pub(crate) struct State {
    pub(crate) tables: BTreeMap<String, Table>,
    /// Names of the tables that are DELETING.
    pub(crate) deleting: Vec<String>,
    pub(crate) backups: BTreeMap<String, Backup>,
    pub(crate) scaling: Scaling,
    pub(crate) alarms: BTreeMap<String, Value>,
    pub(crate) limits: Limits,
    pub(crate) faults: Faults,
    pub(crate) guard: Guard,
    /// By access key id.
    pub(crate) policies: BTreeMap<String, Policy>,
    pub(crate) rng: ChaCha8Rng,
    pub(crate) seed: u64,
    pub(crate) writes: Vec<WriteRecord>,
    pub(crate) calls: Vec<CallRecord>,
    /// Tokens of write transactions that were applied, with the time: a repeat writes nothing.
    pub(crate) tokens: HashMap<String, i64>,
}

impl State {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            tables: BTreeMap::new(),
            deleting: Vec::new(),
            backups: BTreeMap::new(),
            scaling: Scaling::default(),
            alarms: BTreeMap::new(),
            limits: Limits::default(),
            faults: Faults::default(),
            guard: Guard::default(),
            policies: BTreeMap::new(),
            rng: ChaCha8Rng::seed_from_u64(seed),
            seed,
            writes: Vec::new(),
            calls: Vec::new(),
            tokens: HashMap::new(),
        }
    }

    pub(crate) fn uuid(&mut self) -> String {
        uuid::Builder::from_random_bytes(self.rng.random()).into_uuid().to_string()
    }

    /// The skew of a table's history clock: by seed and name alone, so that a test can meet the same one again.
    pub(crate) fn skew_of(&self, name: &str, max_ns: i64) -> i64 {
        let hash = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        ChaCha8Rng::seed_from_u64(self.seed ^ hash).random_range(-max_ns..=max_ns)
    }
}

/// The table a request is about; the source for a restore.
pub(crate) fn table_in(body: &Value) -> String {
    let member = |name: &str| body.get(name).and_then(Value::as_str);
    let named = ["TableName", "SourceTableName", "SourceTableArn", "ResourceArn", "BackupArn"]
        .into_iter()
        .find_map(member)
        .map(names::table_of);
    let scaled = || member("ResourceId").and_then(|id| id.strip_prefix("table/")?.split('/').next());
    named.or_else(scaled).unwrap_or_default().to_owned()
}
