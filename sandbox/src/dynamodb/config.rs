//! What a sandboxed account is like.

use std::time::Duration;

use super::history::Boundary;

/// An account, its clocks and its pace.
#[derive(Debug, Clone)]
pub struct Config {
    /// Everything random (lags, skews, ids) follows from it and from the order of calls.
    pub seed: u64,
    /// Region, such as `us-east-1`.
    pub region: String,
    /// Account number, 12 digits.
    pub account: String,
    /// Divides the lags in [`Lags`] and nothing else; greater than zero.
    pub time_scale: f64,
    /// The service's clock minus the host's, in ns.
    pub service_offset_ns: i64,
    /// How far a table's own history clock may be from the service's clock, either way. Keep it below the lag of the
    /// latest restorable time (300 s by `time_scale`), as it is on AWS.
    pub table_skew: Duration,
    /// How a restore reads its restore time.
    pub boundary: Boundary,
    /// Are API rates and account quotas enforced?
    pub limits: bool,
    /// How long things take.
    pub lags: Lags,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 1,
            region: "us-east-1".into(),
            account: "123456789012".into(),
            time_scale: 1.0,
            service_offset_ns: 0,
            table_skew: Duration::from_millis(300),
            boundary: Boundary::default(),
            limits: true,
            lags: Lags::default(),
        }
    }
}

/// Seconds on the real service, before [`Config::time_scale`]; each is drawn evenly from its range.
#[derive(Debug, Clone)]
pub struct Lags {
    /// CREATING of a new table.
    pub create: (f64, f64),
    /// CREATING of a restored table.
    pub restore: (f64, f64),
    /// DELETING.
    pub delete: (f64, f64),
    /// UPDATING after a change of capacity, billing mode, table class or stream.
    pub update: (f64, f64),
    /// CREATING of an index on an existing table.
    pub index: (f64, f64),
    /// UPDATING of encryption.
    pub encryption: (f64, f64),
    /// UPDATING of warm throughput.
    pub warm: (f64, f64),
    /// CREATING of a backup.
    pub backup: (f64, f64),
    /// From ACTIVE until recovery and backups can be used.
    pub backups_ready: (f64, f64),
    /// From now back to the latest restorable time.
    pub latest_restorable: f64,
    /// From DELETING until recovery has forgotten the table.
    pub forget: f64,
    /// From DeleteTable until its SYSTEM backup can be seen.
    pub system_backup: (f64, f64),
    /// Until a change of tags can be read.
    pub tags: (f64, f64),
    /// How long a change of tags locks tags and table.
    pub tag_lock: f64,
    /// Until a change of the resource policy can be read.
    pub policy: (f64, f64),
    /// Between two changes of the resource policy.
    pub policy_cooldown: f64,
    /// Between two changes of time to live.
    pub ttl_cooldown: f64,
    /// Between two changes of deletion protection.
    pub protection_cooldown: f64,
    /// ENABLING and DISABLING of a Kinesis destination or contributor insights.
    pub streaming: (f64, f64),
    /// Age of the item counts in DescribeTable.
    pub statistics: f64,
}

impl Default for Lags {
    fn default() -> Self {
        Self {
            create: (4.0, 10.0),
            restore: (81.0, 721.0),
            delete: (4.0, 6.0),
            update: (2.0, 30.0),
            index: (480.0, 1020.0),
            encryption: (5.0, 60.0),
            warm: (60.0, 300.0),
            backup: (0.05, 30.0),
            backups_ready: (0.0, 6.0),
            latest_restorable: 300.0,
            forget: 1.0,
            system_backup: (5.0, 10.0),
            tags: (1.6, 3.0),
            tag_lock: 1.6,
            policy: (1.0, 3.0),
            policy_cooldown: 15.0,
            ttl_cooldown: 1860.0,
            protection_cooldown: 15.0,
            streaming: (2.0, 60.0),
            statistics: 21_600.0,
        }
    }
}

impl Lags {
    /// Everything at once, except the 300 s of the latest restorable time: for tests about something else.
    #[must_use]
    pub fn none() -> Self {
        let zero = (0.0, 0.0);
        Self {
            create: zero,
            restore: zero,
            delete: zero,
            update: zero,
            index: zero,
            encryption: zero,
            warm: zero,
            backup: zero,
            backups_ready: zero,
            latest_restorable: 300.0,
            forget: 0.0,
            system_backup: zero,
            tags: zero,
            tag_lock: 0.0,
            policy: zero,
            policy_cooldown: 0.0,
            ttl_cooldown: 0.0,
            protection_cooldown: 0.0,
            streaming: zero,
            statistics: 0.0,
        }
    }
}
