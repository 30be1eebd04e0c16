//! Whether the region has room for what a restore makes. A table whose restore finds no room is deleted by then, so this is
//! said before. Quotas can be raised, and what they are cannot be asked of DynamoDB: what may not fit is a warning.

use crate::limits::{ACCOUNT_CAPACITY, RESTORES_AT_ONCE, TABLES_OF_ACCOUNT};
use crate::prepare::plan::{PREFIX, provisioned};
use aws_sdk_dynamodb::types::{BillingMode, TableDescription};
use provider_api::Capsule;
use std::collections::BTreeSet;

/// Read and write units.
type Units = (i64, i64);

/// What a restore asks of the account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Demand {
    tables: usize,
    absent: usize,
    wanted: Units,
    freed: Units,
}

impl Demand {
    /// One more table, with its settings of T, and what has its name now.
    pub(super) fn add(&mut self, capsule: &Capsule, now: Option<&TableDescription>) {
        self.tables += 1;
        self.absent += usize::from(now.is_none());
        let sum = |a: Units, b: Units| (a.0 + b.0, a.1 + b.1);
        self.wanted = sum(self.wanted, provisioned(&capsule.settings["table"]).unwrap_or_default());
        self.freed = sum(self.freed, now.map(units).unwrap_or_default());
    }

    /// What may not fit; `there`: every table of the account in the region.
    pub(super) fn warnings(&self, region: &str, there: &BTreeSet<String>) -> Vec<String> {
        [self.tables(region, there), self.restores(region, there), self.capacity(region)]
            .into_iter()
            .flatten()
            .collect()
    }

    /// A table that is there makes room for itself.
    fn tables(&self, region: &str, there: &BTreeSet<String>) -> Option<String> {
        let sum = there.len() + self.absent;
        (self.absent > 0 && sum > TABLES_OF_ACCOUNT).then(|| {
            format!(
                "{} of the tables are not there, and {region} has {} tables already: {sum} are more than the {TABLES_OF_ACCOUNT} \
                 that an account may have in a region unless the quota was raised; delete tables that are not needed first",
                self.absent,
                there.len()
            )
        })
    }

    /// Staging tables are restores under way, or have been a short while ago.
    fn restores(&self, region: &str, there: &BTreeSet<String>) -> Option<String> {
        let staged = there.iter().filter(|name| name.starts_with(PREFIX)).count();
        (staged > 0 && staged + self.tables.min(RESTORES_AT_ONCE) > RESTORES_AT_ONCE).then(|| {
            format!(
                "{staged} staging tables `{PREFIX}...` are in {region}: their restores count too, and an account may have \
                 {RESTORES_AT_ONCE} at once; a table whose restore finds no room is deleted already and waits for it. Let what \
                 makes them end first (`stillpoint status`)"
            )
        })
    }

    /// What the tables have now is given back before.
    fn capacity(&self, region: &str) -> Option<String> {
        let (reads, writes) = self.wanted;
        let over = |wanted: i64, freed: i64| wanted > ACCOUNT_CAPACITY && wanted > freed;
        (over(reads, self.freed.0) || over(writes, self.freed.1)).then(|| {
            format!(
                "the tables come back with {reads} read and {writes} write units, and have {} and {} now; an account may have \
                 {ACCOUNT_CAPACITY} of each in a region unless the quota was raised (aws dynamodb describe-limits --region \
                 {region})",
                self.freed.0, self.freed.1
            )
        })
    }
}

/// Of a table and its indexes together.
fn units(table: &TableDescription) -> Units {
    let mode = table.billing_mode_summary.as_ref().and_then(|summary| summary.billing_mode.as_ref());
    if mode == Some(&BillingMode::PayPerRequest) {
        return (0, 0);
    }
    let of_indexes = table.global_secondary_indexes().iter().filter_map(|index| index.provisioned_throughput.as_ref());
    let all = of_indexes.chain(table.provisioned_throughput.as_ref());
    let both = all.map(|one| (one.read_capacity_units.unwrap_or(0), one.write_capacity_units.unwrap_or(0)));
    both.fold((0, 0), |(reads, writes), (r, w)| (reads + r, writes + w))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_dynamodb::types::ProvisionedThroughputDescription;
    use serde_json::json;

    fn capsule(read: i64) -> Capsule {
        let table = json!({ "ProvisionedThroughput": { "ReadCapacityUnits": read, "WriteCapacityUnits": 1 } });
        Capsule { name: "a".into(), id: "i".into(), settings: json!({ "table": table }), unread: Vec::new() }
    }

    fn present(read: i64) -> TableDescription {
        let units = ProvisionedThroughputDescription::builder().read_capacity_units(read).write_capacity_units(1);
        TableDescription::builder().provisioned_throughput(units.build()).build()
    }

    fn names(prefix: &str, count: usize) -> BTreeSet<String> {
        (0..count).map(|n| format!("{prefix}{n}")).collect()
    }

    fn demand(tables: &[(i64, Option<i64>)]) -> Demand {
        let mut demand = Demand::default();
        tables.iter().for_each(|(wanted, now)| demand.add(&capsule(*wanted), now.map(present).as_ref()));
        demand
    }

    #[test]
    fn tables_that_are_not_there_need_room_and_those_that_are_make_their_own() {
        let there = names("t", 2_499);
        assert_eq!(demand(&[(1, Some(1)), (1, Some(1)), (1, None)]).warnings("r", &there), Vec::<String>::new());
        let warned = demand(&[(1, None), (1, None)]).warnings("r", &there);
        assert!(warned.len() == 1 && warned[0].contains("2501 are more than the 2500"), "{warned:?}");
    }

    #[test]
    fn staging_tables_that_may_take_restores_are_counted_beside_ours() {
        let ours = vec![(1, Some(1)); 49];
        assert_eq!(demand(&ours).warnings("r", &names("rp-", 1)), Vec::<String>::new());
        let warned = demand(&ours).warnings("r", &names("rp-", 2));
        assert!(warned.len() == 1 && warned[0].contains("2 staging tables"), "{warned:?}");
        assert_eq!(demand(&vec![(1, Some(1)); 500]).warnings("r", &names("t", 500)), Vec::<String>::new());
    }

    #[test]
    fn capacity_is_warned_of_where_more_comes_back_than_is_given_back_and_the_quota_is_passed() {
        let none = BTreeSet::new();
        assert_eq!(
            demand(&[(50_000, Some(50_000)), (40_000, Some(40_000))]).warnings("r", &none),
            Vec::<String>::new()
        );
        assert_eq!(demand(&[(80_000, None)]).warnings("r", &none), Vec::<String>::new());
        let warned = demand(&[(50_000, Some(5)), (40_000, None)]).warnings("r", &none);
        assert!(
            warned.len() == 1 && warned[0].contains("90000 read") && warned[0].contains("5 and 1 now"),
            "{warned:?}"
        );
    }
}
