//! Verifying: what waits is told from what is torn, each corruption is found by its name, and nothing sound is called bad.

use crate::support::{Account, lag, metadata_table};
use provider_api::TableCounts;
use provider_api::verify::{Decision, Judge, TxColumns, fate};
use provider_api::{
    BackupProvider, Breach, Context, ErrorKind, Limits, PointSet, ReadBudget, Role, Rule, TableKind, Verification,
    Verify, VerifyProgress, VerifyRequest,
};
use provider_dynamodb::{Config, DynamoDbProvider};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;
use stillpoint_sandbox::clock::Clock;
use stillpoint_sandbox::dynamodb::{Effect, Fault, ServiceError};

/// Limits of every point here, in ms.
const LIMITS: Limits = Limits { still_from_ms: 1_450, written_by_ms: 2_000, drained_by_ms: 1_500 };
const PREPARED: i64 = 1;
const DELETED: i64 = 2;
const COMMITTED: i64 = 3;
const ABORTED: i64 = 4;

/// A set of two transactional tables, one with a sort key, one with an index, and one that is not transactional.
struct Set {
    account: Account,
    sets: Vec<PointSet>,
    metadata: BTreeMap<String, Value>,
    prefix: String,
}

const A: &str = "bank.a";
const B: &str = "bank.b";
const CONTRACT: &str = "scalar.contract";

fn columns(transactional: bool) -> Value {
    let mut columns = json!({ "id": { "S": "int" }, "balance": { "S": "bigint" } });
    let own = ["tx_id", "tx_state", "tx_version", "tx_prepared_at", "tx_committed_at"];
    for name in own.iter().filter(|_| transactional) {
        columns[*name] = json!({ "S": "text" });
        columns[format!("before_{name}")] = json!({ "S": "text" });
    }
    json!({ "M": columns })
}

fn described(name: &str) -> Value {
    let mut item = json!({
        "table": { "S": name },
        "partitionKey": { "L": [{ "S": "id" }] },
        "columns": columns(name.starts_with("bank.")),
    });
    if name == B {
        item["clusteringKey"] = json!({ "L": [{ "S": "balance" }] });
        item["clusteringOrders"] = json!({ "M": { "balance": { "S": "ASC" } } });
    }
    if name == A {
        item["secondaryIndex"] = json!({ "SS": ["balance"] });
    }
    item
}

/// As ScalarDB makes it, with the index's name of the original.
fn table(physical: &str, name: &str, parts: (bool, bool)) -> Value {
    let (clustering, index) = parts;
    let units = json!({ "ReadCapacityUnits": 10, "WriteCapacityUnits": 10 });
    let mut attributes = vec![json!({ "AttributeName": "concatenatedPartitionKey", "AttributeType": "B" })];
    let mut keys = vec![json!({ "AttributeName": "concatenatedPartitionKey", "KeyType": "HASH" })];
    if clustering {
        attributes.push(json!({ "AttributeName": "concatenatedClusteringKey", "AttributeType": "B" }));
        keys.push(json!({ "AttributeName": "concatenatedClusteringKey", "KeyType": "RANGE" }));
    }
    let mut table = json!({ "TableName": physical, "KeySchema": keys, "ProvisionedThroughput": units });
    if index {
        attributes.push(json!({ "AttributeName": "balance", "AttributeType": "N" }));
        table["GlobalSecondaryIndexes"] = json!([{
            "IndexName": format!("{name}.global_index.balance"),
            "KeySchema": [{ "AttributeName": "balance", "KeyType": "HASH" }],
            "Projection": { "ProjectionType": "ALL" },
            "ProvisionedThroughput": units,
        }]);
    }
    table["AttributeDefinitions"] = Value::Array(attributes);
    table
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let n = three.iter().fold(0_u32, |n, byte| n << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        let letter = |place: usize| char::from(LETTERS[(n >> (18 - 6 * place)) as usize & 63]);
        (0..4).for_each(|place| text.push(if place <= three.len() { letter(place) } else { '=' }));
    }
    text
}

fn key(id: u32) -> String {
    base64(&(id ^ 0x8000_0000).to_be_bytes())
}

impl Set {
    async fn new(prefix: &str) -> Set {
        let account = Account::new(Clock::tokio(), vec![0]);
        let metadata = format!("{prefix}scalardb.metadata");
        account.ok("CreateTable", metadata_table(&metadata)).await;
        let shapes =
            [(A, (false, true)), (B, (true, false)), (CONTRACT, (false, false)), ("coordinator.state", (false, false))];
        for (name, shape) in shapes {
            account.ok("CreateTable", table(&format!("{prefix}{name}"), name, shape)).await;
            account.ok("PutItem", json!({ "TableName": metadata, "Item": described(name) })).await;
        }
        let role = |name: &str| match name {
            "scalardb.metadata" => Role::Metadata,
            "coordinator.state" => Role::Coordinator,
            _ => Role::User,
        };
        let names = [A, B, CONTRACT, "coordinator.state", "scalardb.metadata"];
        let sets = names.map(|name| PointSet { name: name.into(), role: role(name), id: "gone".into() }).to_vec();
        Set { account, sets, metadata: BTreeMap::new(), prefix: prefix.to_owned() }
    }

    async fn put(&self, table: &str, item: Value) {
        self.account.ok("PutItem", json!({ "TableName": format!("{}{table}", self.prefix), "Item": item })).await;
    }

    /// A record of a transaction; `more` goes over it.
    async fn record(&self, table: &str, id: u32, tx: &str, state: i64, prepared_at: i64, more: Value) {
        let n = |n: i64| json!({ "N": n.to_string() });
        let mut item = json!({
            "concatenatedPartitionKey": { "B": key(id) },
            "id": n(i64::from(id)),
            "balance": n(7),
            "tx_id": { "S": tx },
            "tx_state": n(state),
            "tx_version": n(1),
            "tx_prepared_at": n(prepared_at),
            "before_tx_id": { "NULL": true },
        });
        if table == B {
            item["concatenatedClusteringKey"] = json!({ "B": key(id + 1) });
        }
        for (name, value) in more.as_object().into_iter().flatten() {
            item[name] = value.clone();
        }
        self.put(table, item).await;
    }

    async fn row(&self, tx: &str, state: i64, created_at: i64, children: Option<&str>) {
        let mut bytes = tx.as_bytes().to_vec();
        bytes.push(0);
        let mut item = json!({
            "concatenatedPartitionKey": { "B": base64(&bytes) },
            "tx_id": { "S": tx },
            "tx_state": { "N": state.to_string() },
            "tx_created_at": { "N": created_at.to_string() },
        });
        if let Some(children) = children {
            item["tx_child_ids"] = json!({ "S": children });
        }
        self.put("coordinator.state", item).await;
    }

    /// Everything that may be in a good set: fates of all kinds, groups, records that were never transactional.
    async fn sound(&self) {
        let none = || json!({});
        self.record(A, 1, "done", COMMITTED, 100, none()).await;
        self.record(B, 1, "done", COMMITTED, 100, none()).await;
        self.row("done", COMMITTED, 101, None).await;
        self.record(A, 2, "half", COMMITTED, 200, json!({ "before_tx_id": { "S": "done" } })).await;
        self.record(B, 2, "half", PREPARED, 201, json!({ "before_tx_id": { "S": "done" } })).await;
        self.row("half", COMMITTED, 202, None).await;
        self.record(A, 3, "undone", PREPARED, 300, none()).await;
        self.record(B, 3, "undone", DELETED, 301, none()).await;
        self.row("undone", ABORTED, 302, None).await;
        self.record(A, 4, "crashed", PREPARED, 1_400, none()).await;
        self.record(B, 4, "crashed", DELETED, 1_401, none()).await;
        let parent = "parent0123456789abcdefgh";
        for (id, child, state) in
            [(5, "one", PREPARED), (6, "two", DELETED), (7, "late", PREPARED), (8, "lost", PREPARED)]
        {
            self.record(A, id, &format!("{parent}:{child}"), state, 500, none()).await;
        }
        self.row(parent, COMMITTED, 501, Some("one,two")).await;
        self.row(&format!("{parent}:late"), ABORTED, 502, None).await;
        self.row("marker0123456789abcdefgh", ABORTED, 503, Some("")).await;
        self.record(B, 9, "one-phase", COMMITTED, 600, none()).await;
        self.put(A, json!({ "concatenatedPartitionKey": { "B": key(10) }, "id": { "N": "10" } })).await;
        // Not ScalarDB's transactions: whatever stands in there is not judged.
        let odd = json!({ "tx_state": { "N": "5" }, "tx_prepared_at": { "N": "999999" } });
        self.record(CONTRACT, 1, "odd", PREPARED, 999_999, odd).await;
        // Recovery during the pause stamps its own time.
        self.record(A, 11, "done", COMMITTED, 100, json!({ "tx_committed_at": { "N": "9999" } })).await;
    }

    async fn provider(&self) -> DynamoDbProvider {
        self.account.provider().await
    }

    async fn verified(&self) -> Verification {
        let provider = self.provider().await;
        provider.verify(&Context::default(), &self.request(), &|_| {}).await.unwrap()
    }

    fn request(&self) -> VerifyRequest<'_> {
        VerifyRequest {
            sets: &self.sets,
            metadata: &self.metadata,
            prefix: &self.prefix,
            limits: LIMITS,
            budget: ReadBudget::default(),
            segments: None,
        }
    }
}

fn rules(found: &Verification) -> Vec<Rule> {
    found.broken.keys().copied().collect()
}

/// The only breach.
fn only(found: &Verification) -> &Breach {
    assert_eq!(found.breaches.len(), 1, "{:#?}", found.breaches);
    &found.breaches[0]
}

#[tokio::test(start_paused = true)]
async fn fates_of_every_kind_are_sound_in_place_and_under_a_prefix() {
    for prefix in ["", "drill-1-"] {
        let set = Set::new(prefix).await;
        set.sound().await;
        let found = set.verified().await;
        assert!(found.is_sound(), "{:#?}", found.breaches);
        let of = |name: &str| found.tables.iter().find(|table| table.name == name).unwrap();
        let a = of(A);
        assert_eq!((a.kind, a.table.clone()), (TableKind::Transactional, format!("{prefix}{A}")));
        assert_eq!((a.records, a.committed, a.prepared, a.deleted), (10, 4, 5, 1));
        assert_eq!((a.roll_forward, a.roll_back, a.youngest_ms), (2, 4, Some(1_400)));
        let b = of(B);
        assert_eq!((b.records, b.prepared, b.deleted, b.roll_forward, b.roll_back), (5, 1, 2, 1, 2));
        assert_eq!((of(CONTRACT).kind, of(CONTRACT).records), (TableKind::Plain, 1));
        let c = of("coordinator.state");
        assert_eq!((c.records, c.committed, c.aborted, c.youngest_ms), (6, 3, 3, Some(503)));
        assert_eq!(of("scalardb.metadata").records, 4);
        assert!(found.remarks.iter().any(|remark| remark.contains("tx_committed_at")), "{:?}", found.remarks);
        assert!(!found.remarks.iter().any(|remark| remark.contains("say to be younger")), "{:?}", found.remarks);
        assert_eq!(found.passes, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_says_to_be_from_the_still_period_is_remarked_with_its_place_and_breaks_no_rule() {
    let set = Set::new("").await;
    set.sound().await;
    set.record(B, 20, "meanwhile", COMMITTED, 1_900, json!({})).await;
    set.row("meanwhile", COMMITTED, 1_905, None).await;
    let found = set.verified().await;
    assert!(found.is_sound(), "{:#?}", found.breaches);
    let remark = found.remarks.iter().find(|remark| remark.contains("say to be younger")).unwrap();
    assert!(remark.contains("period: 2, the latest by 455 ms (`coordinator.state` key"), "{remark}");
}

#[tokio::test(start_paused = true)]
async fn each_corruption_of_records_planted_alone_is_found_by_its_name() {
    for corruption in [
        "torn without a row",
        "torn with an aborted row",
        "torn in a group",
        "built on what waits",
        "committed though aborted",
        "a writer outside the targets",
        "a late decision",
        "undecided in the drain",
        "a strange state",
    ] {
        let set = Set::new("").await;
        set.sound().await;
        let none = || json!({});
        let (rule, table, tx) = match corruption {
            "torn without a row" => {
                set.record(A, 20, "t", COMMITTED, 700, none()).await;
                set.record(B, 20, "t", PREPARED, 700, none()).await;
                (Rule::TornTransaction, A, "t")
            }
            "torn with an aborted row" => {
                set.record(A, 20, "t", DELETED, 700, none()).await;
                set.record(B, 20, "t", COMMITTED, 700, none()).await;
                set.row("t", ABORTED, 701, None).await;
                (Rule::TornTransaction, B, "t")
            }
            "torn in a group" => {
                set.record(A, 20, "parent0123456789abcdefgh:lost", COMMITTED, 500, none()).await;
                (Rule::TornTransaction, A, "parent0123456789abcdefgh:lost")
            }
            "built on what waits" => {
                set.record(A, 20, "t", PREPARED, 700, none()).await;
                set.record(B, 20, "u", COMMITTED, 800, json!({ "before_tx_id": { "S": "t" } })).await;
                (Rule::TornTransaction, B, "t")
            }
            "committed though aborted" => {
                set.record(A, 20, "t", COMMITTED, 700, none()).await;
                set.row("t", ABORTED, 701, None).await;
                (Rule::CommittedThoughAborted, A, "t")
            }
            "a writer outside the targets" => {
                set.record(B, 20, "t", COMMITTED, 2_001, none()).await;
                (Rule::WrittenLate, B, "t")
            }
            "a late decision" => {
                set.row("t", COMMITTED, 2_001, None).await;
                (Rule::DecidedLate, "coordinator.state", "t")
            }
            "undecided in the drain" => {
                set.record(A, 20, "t", PREPARED, 1_501, none()).await;
                (Rule::UndecidedLate, A, "t")
            }
            _ => {
                set.record(A, 20, "t", 5, 700, none()).await;
                (Rule::StrangeRecord, A, "t")
            }
        };
        let found = set.verified().await;
        let breach = only(&found);
        assert_eq!(
            (breach.rule, breach.table.as_str(), breach.tx_id.as_deref()),
            (rule, table, Some(tx)),
            "{corruption}"
        );
        let place = breach.key.as_deref().unwrap();
        assert!(place.starts_with("{\"concatenatedPartitionKey\":{\"B\":\""), "{corruption}: {place}");
        assert!(!format!("{breach:?}").contains("balance"), "no values but keys: {breach:?}");
        let item = set
            .account
            .ok("GetItem", json!({ "TableName": table, "Key": serde_json::from_str::<Value>(place).unwrap() }));
        assert!(item.await.get("Item").is_some(), "{corruption}: the key that is printed finds the record: {place}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_corruption_of_tables_planted_alone_is_found_by_its_name() {
    for corruption in
        ["no table", "no index", "other keys", "not described", "other metadata", "no coordinator", "no metadata"]
    {
        let mut set = Set::new("drill-1-").await;
        set.sound().await;
        let describe = |name: &str| json!({ "TableName": "drill-1-scalardb.metadata", "Item": described(name) });
        let (rule, table) = match corruption {
            "no table" => {
                let mut item = describe(CONTRACT);
                item["Item"]["table"] = json!({ "S": "bank.gone" });
                set.account.ok("PutItem", item).await;
                (Rule::TableMissing, "drill-1-bank.gone")
            }
            "no index" => {
                let mut item = describe(CONTRACT);
                item["Item"]["secondaryIndex"] = json!({ "SS": ["balance"] });
                set.account.ok("PutItem", item).await;
                (Rule::IndexMissing, "drill-1-scalar.contract")
            }
            "other keys" => {
                let mut item = describe(CONTRACT);
                item["Item"]["clusteringKey"] = json!({ "L": [{ "S": "balance" }] });
                set.account.ok("PutItem", item).await;
                (Rule::KeySchemaDiffers, "drill-1-scalar.contract")
            }
            "not described" => {
                let key = json!({ "table": { "S": CONTRACT } });
                set.account.ok("DeleteItem", json!({ "TableName": "drill-1-scalardb.metadata", "Key": key })).await;
                (Rule::NotDescribed, "drill-1-scalar.contract")
            }
            "other metadata" => {
                set.metadata.insert(CONTRACT.to_owned(), json!({ "columns": { "id": "bigint" } }));
                (Rule::MetadataDiffers, "drill-1-scalar.contract")
            }
            "no coordinator" => {
                set.account.delete("drill-1-coordinator.state").await;
                (Rule::TableMissing, "drill-1-coordinator.state")
            }
            _ => {
                set.account.delete("drill-1-scalardb.metadata").await;
                (Rule::TableMissing, "drill-1-scalardb.metadata")
            }
        };
        let found = set.verified().await;
        let breach = only(&found);
        assert_eq!((breach.rule, breach.table.as_str()), (rule, table), "{corruption}: {}", breach.detail);
    }
}

#[tokio::test(start_paused = true)]
async fn a_table_that_cannot_be_read_yet_and_one_that_is_new_are_told() {
    let set = Set::new("").await;
    set.sound().await;
    set.account.ok("CreateTable", table("bank.new", "bank.new", (false, false))).await;
    set.put("scalardb.metadata", described("bank.new")).await;
    let found = set.verified().await;
    assert!(found.is_sound() && found.remarks.iter().any(|remark| remark.contains("`bank.new`")), "{found:#?}");
    set.account.db.force_status(B, Some("INACCESSIBLE_ENCRYPTION_CREDENTIALS"));
    let found = set.verified().await;
    assert_eq!(rules(&found), [Rule::TableMissing]);
    assert!(only(&found).detail.contains("KMS key"), "{:?}", found.breaches);
}

#[tokio::test(start_paused = true)]
async fn names_that_would_be_too_long_are_found_cut_and_told_apart() {
    let prefix = "p".repeat(30) + "-";
    let set = Set::new(&prefix).await;
    set.sound().await;
    let long = format!("bank.{}", "x".repeat(250));
    let cut = |table: &str| format!("{}-{:016x}", &format!("{prefix}{table}")[..238], fnv1a(table));
    set.account.ok("CreateTable", table(&cut(&long), &long, (false, false))).await;
    let mut sets = set.sets.clone();
    sets.push(PointSet { name: long.clone(), role: Role::User, id: "gone".into() });
    set.put("scalardb.metadata", described(&long)).await;
    let found = set.provider().await;
    let request = VerifyRequest { sets: &sets, ..set.request() };
    let found = found.verify(&Context::default(), &request, &|_| {}).await.unwrap();
    assert!(found.is_sound(), "{:#?}", found.breaches);
    assert!(found.tables.iter().any(|table| table.name == long && table.table.len() == 255));
    let provider = set.provider().await;
    let request = VerifyRequest { prefix: "no such/", ..set.request() };
    let error = provider.verify(&Context::default(), &request, &|_| {}).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid, "{error:?}");
}

fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[tokio::test(start_paused = true)]
async fn many_records_are_read_once_in_segments_within_the_budget() {
    let set = Set::new("").await;
    for id in 0..1_500 {
        let tx = format!("t{}", id / 2);
        set.record(
            A,
            id,
            &tx,
            if id < 400 { PREPARED } else { COMMITTED },
            100,
            json!({ "pad": { "S": "x".repeat(1_500) } }),
        )
        .await;
        if id % 4 == 0 {
            set.row(&tx, COMMITTED, 101, None).await;
        }
    }
    let provider = set.provider().await;
    for (segments, units) in [(None, 60.0), (Some(7), 60.0), (Some(3), 25.0)] {
        let request = VerifyRequest { budget: ReadBudget::Units(units), segments, ..set.request() };
        let seen = Mutex::new(VerifyProgress::default());
        let watch = |now: VerifyProgress| *seen.lock().unwrap() = now;
        let begun = tokio::time::Instant::now();
        let found = provider.verify(&Context::default(), &request, &watch).await.unwrap();
        let seconds = begun.elapsed().as_secs_f64();
        assert!(found.is_sound(), "{:#?}", found.breaches);
        let a = found.tables.iter().find(|table| table.name == A).unwrap();
        assert_eq!((a.records, a.prepared, a.roll_forward, a.roll_back), (1_500, 400, 200, 200));
        assert_eq!(seen.lock().unwrap().records, found.tables.iter().map(|table| table.records).sum::<u64>());
        let rate = found.read_units / seconds;
        assert!(rate <= units * 1.1 && found.read_units > 250.0, "{rate} of {units}: {} units", found.read_units);
        // Small tables are cut into as many pages as large ones, so the rate is not all used here; but most of it is.
        assert!(rate >= units * 0.8, "{rate} of {units}, {} units, {segments:?}", found.read_units);
    }
}

#[tokio::test(start_paused = true)]
async fn throttles_and_lost_answers_delay_and_change_nothing_and_a_refusal_says_which_right_is_missing() {
    let set = Set::new("").await;
    set.sound().await;
    let undisturbed = set.verified().await;
    let throttled = ServiceError::new("ProvisionedThroughputExceededException", "slower");
    for (operation, effect) in [
        ("Scan", Effect::Error(throttled.clone())),
        ("BatchGetItem", Effect::Error(throttled)),
        ("Scan", Effect::DropAnswer),
        ("BatchGetItem", Effect::DropAnswer),
    ] {
        set.account.db.inject(Fault { operation: operation.into(), table: "*".into(), times: Some(3), effect });
        let found = set.verified().await;
        assert_eq!((&found.tables, found.is_sound()), (&undisturbed.tables, true), "{operation}");
    }
    for operation in ["Scan", "BatchGetItem", "DescribeTable"] {
        let denied = set.account.db.deny(operation, "*");
        let provider = set.provider().await;
        let error = provider.verify(&Context::default(), &set.request(), &|_| {}).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::PermissionDenied, "{operation}: {error:?}");
        assert!(error.hint.contains(&format!("dynamodb:{operation}")), "{}", error.hint);
        set.account.db.remove(denied);
    }
}

#[tokio::test(start_paused = true)]
async fn tables_given_by_name_are_counted_and_rows_with_foreign_keys_refused() {
    let set = Set::new("").await;
    set.sound().await;
    let config = Config { tables: vec![A.to_owned()], ..set.account.config() };
    let provider = DynamoDbProvider::connect(config).await.unwrap();
    let sets = [PointSet { name: A.into(), role: Role::User, id: "gone".into() }];
    let request = VerifyRequest { sets: &sets, ..set.request() };
    let found = provider.verify(&Context::default(), &request, &|_| {}).await.unwrap();
    assert_eq!((found.tables.len(), found.tables[0].kind, found.tables[0].records), (1, TableKind::Plain, 10));
    assert!(found.remarks[0].contains("counted"), "{:?}", found.remarks);

    let row =
        json!({ "concatenatedPartitionKey": { "B": base64(b"t") }, "tx_id": { "S": "t" }, "tx_state": { "N": "3" } });
    set.put("coordinator.state", row).await;
    let provider = set.provider().await;
    let error = provider.verify(&Context::default(), &set.request(), &|_| {}).await.unwrap_err();
    assert!(error.kind == ErrorKind::Invalid && error.message.contains("transaction t"), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn tables_that_were_not_restored_are_verified_with_a_remark() {
    let mut set = Set::new("").await;
    set.sound().await;
    let provider = set.provider().await;
    let discovered = provider.discover(&Context::default()).await.unwrap();
    for table in &mut set.sets {
        set.account.pitr(&table.name, true).await;
        let answer = set.account.ok("DescribeTable", json!({ "TableName": table.name })).await;
        table.id = answer["Table"]["TableId"].as_str().unwrap().to_owned();
    }
    set.metadata = discovered.metadata;
    tokio::time::sleep(lag() + Duration::from_secs(1)).await;
    let found = set.verified().await;
    assert!(found.is_sound(), "{found:#?}");
    assert!(found.remarks.iter().any(|remark| remark.contains("5 of 5 tables")), "{:?}", found.remarks);
}

/// One transaction of the model: which records it writes, in what order they are prepared and applied.
#[derive(Clone, Debug)]
struct Transfer {
    records: Vec<usize>,
    commits: bool,
    /// Steps that are done of it before its client dies.
    steps: usize,
}

fn transfer() -> impl proptest::strategy::Strategy<Value = Transfer> {
    use proptest::prelude::*;
    (proptest::collection::btree_set(0_usize..8, 1..4), any::<bool>(), 0_usize..9)
        .prop_map(|(records, commits, steps)| Transfer { records: records.into_iter().collect(), commits, steps })
}

/// The protocol, step by step: what is written by every prefix of every transaction.
fn written(transfers: &[Transfer]) -> (Vec<TxColumns>, Vec<Decision>) {
    let mut records = vec![TxColumns { id: Some("opening".into()), state: Some(COMMITTED), ..TxColumns::default() }; 8];
    let mut rows = Vec::new();
    for (n, transfer) in transfers.iter().enumerate() {
        let id = format!("t{n}");
        // Readers recover first: a record that waits is finished by its row, or aborted, before it is written again.
        for at in &transfer.records {
            recover(&mut records, &mut rows, *at);
        }
        let before = records.clone();
        let steps = transfer.records.len() + 1 + transfer.records.len();
        for step in 0..transfer.steps.min(steps) {
            let width = transfer.records.len();
            match step {
                prepare if prepare < width => {
                    let at = transfer.records[prepare];
                    records[at] = TxColumns {
                        id: Some(id.clone()),
                        state: Some(if n % 3 == 0 { DELETED } else { PREPARED }),
                        prepared_at: Some(10),
                        committed_at: None,
                        before_id: before[at].id.clone(),
                    };
                }
                decide if decide == width => {
                    let state = Some(if transfer.commits { COMMITTED } else { ABORTED });
                    rows.push(Decision { id: id.clone(), state, created_at: Some(11), child_ids: None });
                }
                apply => recover(&mut records, &mut rows, transfer.records[apply - width - 1]),
            }
        }
    }
    (records, rows)
}

fn recover(records: &mut [TxColumns], rows: &mut Vec<Decision>, at: usize) {
    let record = &mut records[at];
    if !matches!(record.state, Some(PREPARED | DELETED)) {
        return;
    }
    let id = record.id.clone().unwrap();
    if !rows.iter().any(|row| row.id == id) {
        rows.push(Decision { id: id.clone(), state: Some(ABORTED), created_at: Some(12), child_ids: None });
    }
    let committed = rows.iter().any(|row| row.id == id && row.state == Some(COMMITTED));
    *record = match committed {
        true => TxColumns { state: Some(COMMITTED), ..record.clone() },
        false => TxColumns { id: record.before_id.clone(), state: Some(COMMITTED), before_id: None, ..record.clone() },
    };
}

fn judged(records: &[TxColumns], rows: &[Decision]) -> Verification {
    let tables =
        vec![TableCounts::new("a", "a", TableKind::Transactional), TableCounts::new("c", "c", TableKind::Coordinator)];
    let mut judge = Judge::new(LIMITS, tables, 100);
    for record in records {
        if let Some(waiting) = judge.record(0, String::new, record) {
            let fate = fate(&waiting.tx_id, |id| rows.iter().find(|row| row.id == id));
            judge.decided(waiting, fate);
        }
    }
    rows.iter().for_each(|row| judge.decision(1, String::new, row));
    let suspects = judge.suspects();
    records.iter().for_each(|record| judge.witness(&suspects, 0, String::new, record));
    judge.found(0.0, 1)
}

proptest::proptest! {
    /// Whatever transactions there were, and wherever each of them died: what stands there then is sound. And with the row
    /// of a transaction that is applied in part taken away, as in a coordinator of an earlier moment, it is torn.
    #[test]
    fn every_state_that_the_protocol_can_reach_is_sound(transfers in proptest::collection::vec(transfer(), 0..40)) {
        let (records, rows) = written(&transfers);
        let found = judged(&records, &rows);
        proptest::prop_assert!(found.is_sound(), "{:#?}\n{records:#?}\n{rows:#?}", found.breaches);
        let of = |id: &str, state: fn(i64) -> bool| {
            records.iter().any(|record| record.id.as_deref() == Some(id) && record.state.is_some_and(state))
        };
        let half = rows.iter().find(|row| of(&row.id, |s| s == COMMITTED) && of(&row.id, |s| s < COMMITTED));
        if let Some(half) = half {
            let without: Vec<_> = rows.iter().filter(|row| row.id != half.id).cloned().collect();
            proptest::prop_assert_eq!(rules(&judged(&records, &without)), [Rule::TornTransaction]);
        }
    }
}
