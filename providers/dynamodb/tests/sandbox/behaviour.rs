//! The conformance suite, on paused time, with two front ends whose clocks differ.

use crate::support::{Account, lag};
use provider_api::conformance::World;
use provider_api::{BackupProvider, ClockInterval, UnixNanos};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use stillpoint_sandbox::clock::Clock;

#[async_trait::async_trait]
impl World for Account {
    async fn now(&self) -> UnixNanos {
        UnixNanos(self.db.service_unix_ns())
    }

    async fn pass(&self, by: Duration) {
        tokio::time::sleep(by).await;
    }

    fn lag(&self) -> Duration {
        lag()
    }

    async fn true_offset(&self) -> ClockInterval {
        let offset = self.db.service_unix_ns() - self.clock.mono_ns();
        let all = self.offsets_ns.iter().map(|front_end| offset + front_end);
        all.map(|at| ClockInterval { lo_ns: at, hi_ns: at }).reduce(ClockInterval::hull).unwrap()
    }

    async fn pitr_off(&self, set: &str) {
        self.pitr(set, false).await;
    }

    async fn pitr_on(&self, set: &str) {
        self.pitr(set, true).await;
    }

    async fn delete(&self, set: &str) {
        Account::delete(self, set).await;
    }

    async fn re_create(&self, set: &str) {
        Account::delete(self, set).await;
        self.table(set, 0).await;
    }

    async fn deny_a_setting(&self, set: &str) -> String {
        self.db.deny("DescribeTimeToLive", set);
        "time_to_live".to_owned()
    }

    async fn deny_everything(&self) {
        self.db.deny("*", "*");
    }

    async fn stall(&self) {
        self.below.stalled.store(true, Ordering::SeqCst);
    }

    async fn fingerprint(&self) -> String {
        let mut all = Vec::new();
        let tables = self.ok("ListTables", json!({})).await;
        for name in tables["TableNames"].as_array().unwrap() {
            let body = json!({ "TableName": name });
            let backups = self.ok("DescribeContinuousBackups", body.clone()).await;
            let pitr = &backups["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"];
            all.push(self.ok("DescribeTable", body.clone()).await);
            all.push(json!([pitr["PointInTimeRecoveryStatus"], pitr["EarliestRestorableDateTime"]]));
            all.push(self.ok("Scan", body).await);
        }
        let reads = ["Describe", "List", "Get", "Scan"];
        let writes =
            self.db.calls().into_iter().filter(|call| !reads.iter().any(|read| call.operation.starts_with(read)));
        all.push(json!(writes.count()));
        Value::Array(all).to_string()
    }
}

async fn fresh() -> (Box<dyn BackupProvider>, Arc<Account>) {
    tokio::time::pause();
    let account = Account::new(Clock::tokio(), vec![0, 30_000_000]);
    account.scalardb(4).await;
    (Box::new(account.provider().await), Arc::new(account))
}

provider_api::conformance_suite!(fresh);
