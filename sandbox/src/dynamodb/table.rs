//! One table: what it is, and what state it is in at a moment.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    history::History,
    policy::Policy,
    settings::TimeToLive,
    streaming::{Insights, Kinesis},
};

/// What a backup records of a table and a restore gives back.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) attributes: Vec<Value>,
    pub(crate) keys: Value,
    pub(crate) local_indexes: Vec<Value>,
    pub(crate) indexes: Vec<Index>,
    pub(crate) on_demand: bool,
    /// When the table last became on-demand; absent if it never was.
    pub(crate) on_demand_since: Option<i64>,
    /// Read and write units; zero while on-demand.
    pub(crate) capacity: (i64, i64),
    pub(crate) maxima: Option<Value>,
    pub(crate) encryption: Option<Encryption>,
}

/// A customer-managed or AWS-managed key; without one, the key is AWS-owned.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Encryption {
    pub(crate) key_arn: String,
}

/// A global secondary index.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    pub(crate) name: String,
    pub(crate) keys: Value,
    pub(crate) projection: Value,
    pub(crate) capacity: (i64, i64),
    pub(crate) maxima: Option<Value>,
    pub(crate) warm: Option<(i64, i64)>,
    pub(crate) active_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) gone_at: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IndexStatus {
    Creating,
    Updating,
    Deleting,
    Active,
}

impl Index {
    pub(crate) fn status(&self, now: i64) -> IndexStatus {
        if self.gone_at.is_some() {
            IndexStatus::Deleting
        } else if now < self.active_at {
            IndexStatus::Creating
        } else if now < self.updated_at {
            IndexStatus::Updating
        } else {
            IndexStatus::Active
        }
    }
}

impl Spec {
    pub(crate) fn index(&self, name: &str) -> Option<&Index> {
        self.indexes.iter().find(|index| index.name == name)
    }

    /// Names of the key attributes, partition key first.
    pub(crate) fn key_names(&self) -> Vec<String> {
        let of_type = |kind: &str| {
            let keys = self.keys.as_array()?;
            let key = keys.iter().find(|key| key["KeyType"] == kind)?;
            key["AttributeName"].as_str().map(str::to_owned)
        };
        ["HASH", "RANGE"].into_iter().filter_map(of_type).collect()
    }

    /// Drops the definitions of attributes that no key uses any more.
    pub(crate) fn prune_attributes(&mut self) {
        let schemas = [&self.keys].into_iter();
        let schemas = schemas.chain(self.indexes.iter().map(|index| &index.keys));
        let schemas = schemas.chain(self.local_indexes.iter().map(|index| &index["KeySchema"]));
        let used: Vec<Value> =
            schemas.filter_map(Value::as_array).flatten().map(|element| element["AttributeName"].clone()).collect();
        self.attributes.retain(|attribute| used.contains(&attribute["AttributeName"]));
    }

    /// The CreateTable body that makes the same table for the items.
    pub(crate) fn creation(&self, name: &str) -> Value {
        let index =
            |index: &Index| json!({ "IndexName": index.name, "KeySchema": index.keys, "Projection": index.projection });
        let mut body = json!({
            "TableName": name,
            "AttributeDefinitions": self.attributes,
            "KeySchema": self.keys,
            "BillingMode": "PAY_PER_REQUEST",
        });
        if !self.indexes.is_empty() {
            body["GlobalSecondaryIndexes"] = self.indexes.iter().map(index).collect();
        }
        if !self.local_indexes.is_empty() {
            body["LocalSecondaryIndexes"] = Value::from(self.local_indexes.clone());
        }
        body
    }
}

/// A value that readers see some time after it was written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lagged<T> {
    seen: T,
    written: T,
    visible_at: i64,
}

impl<T: Clone> Lagged<T> {
    pub(crate) fn write(&mut self, value: T, now: i64, visible_at: i64) {
        self.seen = self.read(now).clone();
        self.written = value;
        self.visible_at = visible_at;
    }

    pub(crate) fn read(&self, now: i64) -> &T {
        if now < self.visible_at { &self.seen } else { &self.written }
    }

    pub(crate) fn newest(&self) -> &T {
        &self.written
    }
}

/// Where a table comes from; shown only while it is being restored.
#[derive(Debug, Clone)]
pub(crate) struct Lineage {
    pub(crate) source_arn: String,
    pub(crate) backup_arn: Option<String>,
    pub(crate) at: i64,
}

/// Point-in-time recovery that is on.
#[derive(Debug)]
pub(crate) struct Pitr {
    pub(crate) enabled_at: i64,
    pub(crate) days: i64,
    /// Never earlier than this, even if the period grows again.
    pub(crate) earliest: i64,
    pub(crate) history: History,
}

#[derive(Debug, Clone)]
pub(crate) struct Stream {
    pub(crate) view: String,
    pub(crate) label: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Creating,
    Active,
    Updating,
    Deleting,
    /// Set from outside, such as INACCESSIBLE_ENCRYPTION_CREDENTIALS.
    Forced,
}

/// A table and everything that hangs on it. All times are ns since 1970 on the service's clock.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) id: String,
    /// The identity of the table in which its data began: its own, unless it was restored.
    pub(crate) root: String,
    pub(crate) spec: Spec,
    pub(crate) key_names: Vec<String>,
    pub(crate) created_at: i64,
    pub(crate) active_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) deleting: Option<Deleting>,
    pub(crate) forced_status: Option<String>,
    pub(crate) lineage: Option<Lineage>,
    pub(crate) skew_ns: i64,
    pub(crate) pitr: Option<Pitr>,
    pub(crate) backups_ready_at: i64,
    pub(crate) statistics: (i64, (i64, i64)),
    pub(crate) protected: bool,
    pub(crate) protection_changed_at: Option<i64>,
    pub(crate) class: Option<String>,
    pub(crate) class_changes: Vec<i64>,
    pub(crate) encryption_changes: Vec<i64>,
    pub(crate) encrypted_at: i64,
    pub(crate) warm: Option<(i64, i64)>,
    pub(crate) warm_at: i64,
    pub(crate) decreases: Vec<i64>,
    pub(crate) stream: Option<Stream>,
    pub(crate) last_stream: Option<Stream>,
    pub(crate) tags: Lagged<BTreeMap<String, String>>,
    pub(crate) tags_locked_until: i64,
    pub(crate) ttl: TimeToLive,
    pub(crate) policy: Lagged<Option<Policy>>,
    pub(crate) policy_changed_at: Option<i64>,
    pub(crate) kinesis: Vec<Kinesis>,
    /// By index name; the table's own under the empty name.
    pub(crate) insights: BTreeMap<String, Insights>,
    pub(crate) replicas: Vec<Value>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Deleting {
    pub(crate) since: i64,
    pub(crate) gone_at: i64,
}

impl Table {
    pub(crate) fn new(name: &str, id: String, spec: Spec, now: i64, active_at: i64) -> Self {
        Self {
            name: name.to_owned(),
            root: id.clone(),
            id,
            key_names: spec.key_names(),
            spec,
            created_at: now,
            active_at,
            updated_at: now,
            deleting: None,
            forced_status: None,
            lineage: None,
            skew_ns: 0,
            pitr: None,
            backups_ready_at: active_at,
            statistics: (now, (0, 0)),
            protected: false,
            protection_changed_at: None,
            class: None,
            class_changes: Vec::new(),
            encryption_changes: Vec::new(),
            encrypted_at: now,
            warm: None,
            warm_at: now,
            decreases: Vec::new(),
            stream: None,
            last_stream: None,
            tags: Lagged::default(),
            tags_locked_until: now,
            ttl: TimeToLive::default(),
            policy: Lagged::default(),
            policy_changed_at: None,
            kinesis: Vec::new(),
            insights: BTreeMap::new(),
            replicas: Vec::new(),
        }
    }

    pub(crate) fn status(&self, now: i64) -> Status {
        let index_busy = |index: &Index| matches!(index.status(now), IndexStatus::Creating | IndexStatus::Deleting);
        if self.deleting.is_some() {
            Status::Deleting
        } else if self.forced_status.is_some() {
            Status::Forced
        } else if now < self.active_at {
            Status::Creating
        } else if now < self.updated_at || self.spec.indexes.iter().any(index_busy) {
            Status::Updating
        } else {
            Status::Active
        }
    }

    pub(crate) fn status_name(&self, now: i64) -> &str {
        match self.status(now) {
            Status::Creating => "CREATING",
            Status::Active => "ACTIVE",
            Status::Updating => "UPDATING",
            Status::Deleting => "DELETING",
            Status::Forced => self.forced_status.as_deref().unwrap_or_default(),
        }
    }

    pub(crate) fn gone(&self, now: i64) -> bool {
        self.deleting.is_some_and(|deleting| deleting.gone_at <= now)
    }

    /// Why it cannot be deleted now, if it cannot.
    pub(crate) fn busy(&self, now: i64, policy_lock: i64) -> Option<&'static str> {
        let index_busy = |index: &Index| index.status(now) != IndexStatus::Active;
        match self.status(now) {
            Status::Creating => Some("Table is being created"),
            Status::Updating => Some("Table is being updated"),
            Status::Deleting => Some("Table is being deleted"),
            _ if self.spec.indexes.iter().any(index_busy) => Some("An index is being changed"),
            _ if now < self.encrypted_at => Some("Encryption is being changed"),
            _ if now < self.warm_at => Some("Warm throughput is being changed"),
            _ if now < self.tags_locked_until => Some("Tags are being changed"),
            _ if self.policy_changed_at.is_some_and(|at| now < at.saturating_add(policy_lock)) => {
                Some("The resource policy is being changed")
            }
            _ => None,
        }
    }
}
