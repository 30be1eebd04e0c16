//! A sandboxed account with a prepared point, and a restore of it that is driven by hand.

use crate::support::{Account, fault, lag, pause};
use provider_api::conformance::World as _;
use provider_api::{
    Act, BackupProvider, Capsule, Context, DataSet, Drill, DrillRequest, DurableWork, ErrorKind, Fence, Intent,
    MadeSet, Prepare, PrepareRequest, ProviderError, RecordedSet, Restore, RestoreOptions, RestoreRequest, RestoreSet,
    RestoreTime, Restorer, Role, Step, Unit, UnitState, Way,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use stillpoint_sandbox::clock::Clock;
use stillpoint_sandbox::dynamodb::{Effect, Lags};

/// With an index, auto scaling, tags, time to live, deletion protection.
pub const A: &str = "bank.account0000";
/// As ScalarDB makes it; dropped by the disaster.
pub const B: &str = "bank.account0001";

/// The process that drove the run is dead, and everything that it had under way.
pub const DIED: &str = "the process died";

/// More calls than any run needs.
const ENDLESS: usize = 3_000;

/// Real lags, a sixtieth as long; those that only make a test long are cut.
pub fn lagging() -> Account {
    pause();
    Account::with_lags(Clock::tokio(), vec![0], Lags { restore: (81.0, 240.0), ..Lags::default() })
}

/// As many digits as a number can have.
pub const DIGITS: &str = "12345678901234567890123456789012345678";

/// DynamoDB's limit, in bytes: names and values of all attributes.
pub const LARGEST: usize = 409_600;

/// 2,000 items of every type of attribute in several pages, one of them as large as items can be; sort keys, and an index of
/// either kind.
pub async fn ledger(account: &Account) {
    let attribute = |name: &str, kind: &str| json!({ "AttributeName": name, "AttributeType": kind });
    let key = |name: &str, kind: &str| json!({ "AttributeName": name, "KeyType": kind });
    let table = json!({
        "TableName": "bank.ledger",
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [attribute("p", "B"), attribute("s", "N"), attribute("t", "S")],
        "KeySchema": [key("p", "HASH"), key("s", "RANGE")],
        "GlobalSecondaryIndexes": [
            { "IndexName": "by_t", "KeySchema": [key("t", "HASH")], "Projection": { "ProjectionType": "KEYS_ONLY" } },
        ],
        "LocalSecondaryIndexes": [{
            "IndexName": "by_p_t",
            "KeySchema": [key("p", "HASH"), key("t", "RANGE")],
            "Projection": { "ProjectionType": "ALL" },
        }],
    });
    account.ok("CreateTable", table).await;
    account.pitr("bank.ledger", true).await;
    for n in 0..2_000 {
        let keys = json!({ "p": { "B": "AAE=" }, "s": { "N": n.to_string() }, "t": { "S": format!("t{}", n % 100) } });
        let mut item = json!({
            "text": { "S": "naïve ☃ \u{1F600}" }, "empty": { "S": "" },
            "number": { "N": "-1.2345678901234567890123456789012345678E-100" }, "digits": { "N": DIGITS },
            "bytes": { "B": "AP8Q" }, "nothing": { "B": "" },
            "pad": { "S": "-".repeat(500) }, "yes": { "BOOL": true }, "no": { "BOOL": false }, "null": { "NULL": true },
            "list": { "L": [{ "S": "" }, { "N": "0" }, { "M": {} }, { "L": [] }] },
            "map": { "M": { "deep": { "M": { "er": { "SS": ["a", "b"] } } } } },
            "texts": { "SS": ["", "ü"] }, "numbers": { "NS": ["1", "2.5", DIGITS] }, "blobs": { "BS": ["AA==", "AQ=="] },
        });
        if n == 7 {
            // Keys as DynamoDB counts them: two bytes, a number of one digit, two letters.
            let rest = LARGEST - ("p".len() + 2) - ("s".len() + 2) - ("t".len() + 2) - "large".len();
            item = json!({ "large": { "S": "x".repeat(rest + 1) } });
            item.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
            let put = json!({ "TableName": "bank.ledger", "Item": item });
            let refused = account.call("PutItem", put).await.unwrap_err();
            assert_eq!(refused.message, "Item size has exceeded the maximum allowed size");
            item["large"] = json!({ "S": "x".repeat(rest) });
        }
        item.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        account.ok("PutItem", json!({ "TableName": "bank.ledger", "Item": item })).await;
    }
    account.pass(Duration::from_secs(2)).await;
}

async fn bank_of_one() -> Arc<Account> {
    let account = lagging();
    account.scalardb(1).await;
    for key in [1, 2] {
        account.put(A, key, u32::from(key) * 100).await;
    }
    account.pass(Duration::from_secs(2)).await;
    Arc::new(account)
}

impl Account {
    /// The ARN of a backup, once it is there.
    async fn available(&self, table: &str, name: &str) -> Value {
        self.pass(Duration::from_secs(1)).await;
        let made = self.ok("CreateBackup", json!({ "TableName": table, "BackupName": name })).await;
        self.pass(Duration::from_secs(1)).await;
        made["BackupDetails"]["BackupArn"].clone()
    }
}

pub struct World {
    pub account: Arc<Account>,
    names: Vec<String>,
    sets: Vec<RestoreSet>,
    capsules: Vec<Capsule>,
    at: RestoreTime,
    /// What `prepare` recorded, if it prepared the point.
    pub made: Vec<MadeSet>,
    data: Value,
    settings: Value,
}

impl World {
    /// Two tables, the first with everything that a restore drops.
    pub async fn new() -> World {
        let account = lagging();
        account.scalardb(2).await;
        for (key, table) in [(1, A), (2, A), (3, B)] {
            account.put(table, key, u32::from(key) * 100).await;
        }
        let arn = account.ok("DescribeTable", json!({ "TableName": A })).await["Table"]["TableArn"].clone();
        account.ok("TagResource", json!({ "ResourceArn": arn, "Tags": [{ "Key": "owner", "Value": "bank" }] })).await;
        account.pass(Duration::from_secs(1)).await;
        let ttl = json!({ "Enabled": true, "AttributeName": "expires" });
        account.ok("UpdateTimeToLive", json!({ "TableName": A, "TimeToLiveSpecification": ttl })).await;
        account.ok("UpdateTable", json!({ "TableName": A, "DeletionProtectionEnabled": true })).await;
        let target = json!({
            "ServiceNamespace": "dynamodb", "ResourceId": format!("table/{A}"),
            "ScalableDimension": "dynamodb:table:ReadCapacityUnits",
        });
        let mut register = target.clone();
        (register["MinCapacity"], register["MaxCapacity"]) = (5.into(), 50.into());
        account.scaling("RegisterScalableTarget", register.clone());
        // What a dropped table leaves behind would not act on the next one of its name.
        let mut of_b = register.clone();
        of_b["ResourceId"] = format!("table/{B}").into();
        account.scaling("RegisterScalableTarget", of_b);
        let mut policy = target;
        policy["PolicyName"] = "reads".into();
        policy["PolicyType"] = "TargetTrackingScaling".into();
        policy["TargetTrackingScalingPolicyConfiguration"] = json!({
            "PredefinedMetricSpecification": { "PredefinedMetricType": "DynamoDBReadCapacityUtilization" },
            "TargetValue": 70.0,
        });
        account.scaling("PutScalingPolicy", policy);
        account.pass(Duration::from_secs(2)).await;
        World::by_hand(Arc::new(account), &[A, B]).await
    }

    /// One table with an index, and nothing about it that a restore drops but recovery.
    pub async fn plain() -> World {
        World::by_hand(bank_of_one().await, &[A]).await
    }

    /// The same, not prepared: it can be restored to T, and there is no backup.
    pub async fn sealed() -> World {
        let (world, _) = World::recorded(bank_of_one().await, vec![A.to_owned()]).await;
        world.account.pass(lag() + Duration::from_secs(3)).await;
        world.account.guard().await;
        world
    }

    /// A point of these tables, prepared by the steps of `prepare`.
    pub async fn of(account: Account, names: &[&str]) -> World {
        World::point(Arc::new(account), names.iter().map(|name| (*name).to_owned()).collect()).await
    }

    pub async fn later_point(&self) -> World {
        self.account.pass(Duration::from_secs(2)).await;
        World::point(Arc::clone(&self.account), self.names.clone()).await
    }

    async fn point(account: Arc<Account>, names: Vec<String>) -> World {
        let (mut world, _) = World::recorded(account, names).await;
        world.account.pass(lag() + Duration::from_secs(3)).await;
        let preparer = Arc::new(world.account.provider().await).preparer().unwrap();
        let units = world.prepare_units(&*preparer);
        let mut prepare = Run::new(Arc::clone(&world.account), preparer, units);
        prepare.finish(Way::Forward).await.unwrap();
        for set in &mut world.sets {
            let RecordedSet { name, id } = set.recorded.clone();
            set.prepared = prepare.fact(&name, "prepared");
            world.made.push(MadeSet { runs: vec![prepare.state(&name)], name, id });
        }
        world.account.guard().await;
        world
    }

    /// The same in fewer calls: what `prepare` leaves behind, made by the calls that it makes.
    async fn by_hand(account: Arc<Account>, names: &[&str]) -> World {
        let (mut world, _) = World::recorded(account, names.iter().map(|name| (*name).to_owned()).collect()).await;
        let account = &world.account;
        for set in &mut world.sets {
            let (name, target) = (&set.recorded.name, format!("rp-0123456789ab-{}", set.recorded.name));
            let first = account.available(name, "first").await;
            let restore = json!({
                "BackupArn": first, "TargetTableName": target, "BillingModeOverride": "PAY_PER_REQUEST",
            });
            account.ok("RestoreTableFromBackup", restore).await;
            account.pass(Duration::from_secs(5)).await;
            let id = account.table_id(&target).await;
            let arn = account.available(&target, "rp-0123456789ab-nightly").await;
            Account::delete(account, &target).await;
            account.ok("DeleteBackup", json!({ "BackupArn": first })).await;
            set.prepared = json!({
                "fact": "prepared", "arn": arn, "name": "rp-0123456789ab-nightly", "target": target, "table_id": id,
            });
        }
        world.account.guard().await;
        world
    }

    /// Everything as it is now, as a point has it.
    async fn recorded(account: Arc<Account>, names: Vec<String>) -> (World, Vec<RecordedSet>) {
        let provider = account.provider().await;
        let context = Context::default();
        let found = provider.discover(&context).await.unwrap().data_sets;
        let role = |name: &String| found.iter().find(|set| set.name == *name).map_or(Role::User, |set| set.role);
        let sets: Vec<_> = names.iter().map(|name| DataSet { name: name.clone(), role: role(name) }).collect();
        let confirmed = provider.confirm(&context, &sets).await.unwrap();
        let recorded: Vec<_> = confirmed.into_iter().map(|set| RecordedSet { name: set.name, id: set.id }).collect();
        let capsules = provider.capture(&context, &sets).await.unwrap();
        let at = RestoreTime(account.now().await.0 / 1_000_000_000);
        let unprepared = |(set, recorded): (DataSet, &RecordedSet)| RestoreSet {
            recorded: recorded.clone(),
            role: set.role,
            prepared: Value::Null,
        };
        let sets = sets.into_iter().zip(&recorded).map(unprepared).collect();
        let (made, data, settings) = (Vec::new(), Value::Null, Value::Null);
        let mut world = World { account, names, sets, capsules, at, made, data, settings };
        (world.data, world.settings) = (world.data().await, world.settings().await);
        (world, recorded)
    }

    /// Money vanishes, settings change, and a table is dropped.
    pub async fn disaster(&self) {
        let account = &self.account;
        account.put(A, 1, 999_999).await;
        account.put(A, 9, 1).await;
        let arn = account.ok("DescribeTable", json!({ "TableName": A })).await["Table"]["TableArn"].clone();
        account.ok("TagResource", json!({ "ResourceArn": arn, "Tags": [{ "Key": "owner", "Value": "nobody" }] })).await;
        Account::delete(account, B).await;
        account.pass(Duration::from_secs(1)).await;
    }

    fn recorded_sets(&self) -> Vec<RecordedSet> {
        self.sets.iter().map(|set| set.recorded.clone()).collect()
    }

    /// The plan to prepare the point.
    pub fn prepare_units(&self, preparer: &dyn Prepare) -> Vec<Unit> {
        let sets = self.recorded_sets();
        let request = PrepareRequest { label: "nightly", at: self.at, sets: &sets, capsules: &self.capsules };
        preparer.units(&request).unwrap()
    }

    /// The plan to drill it: of its backups, where it has them.
    pub fn drill_units(&self, driller: &dyn Drill) -> Vec<Unit> {
        let arn = |set: &RestoreSet| Some((set.recorded.name.clone(), set.prepared["arn"].as_str()?.to_owned()));
        let (sets, backups) = (self.recorded_sets(), self.sets.iter().filter_map(arn).collect());
        let request = DrillRequest {
            label: "nightly",
            at: self.at,
            sets: &sets,
            capsules: &self.capsules,
            prefix: "drill-n0nce-",
            backups: &backups,
            keep: false,
        };
        driller.copies(&request).unwrap()
    }

    /// The plan to restore it.
    pub fn restore_units(&self, restorer: &dyn Restore) -> Vec<Unit> {
        restorer.units(&self.request(RestoreOptions::default())).unwrap()
    }

    fn request(&self, options: RestoreOptions) -> RestoreRequest<'_> {
        RestoreRequest { label: "nightly", at: self.at, sets: &self.sets, capsules: &self.capsules, options }
    }

    pub async fn restorer(&self) -> Restorer {
        Arc::new(self.account.provider().await).restorer().unwrap()
    }

    /// A run of which nothing is done, after a preflight that found nothing against it.
    pub async fn run(&self, options: RestoreOptions) -> Run {
        let restorer = self.restorer().await;
        let units = restorer.units(&self.request(options)).unwrap();
        let plan = restorer.preflight(&Context::default(), &units).await.unwrap();
        assert_eq!(plan.deeds.len(), units.len());
        Run::new(Arc::clone(&self.account), restorer, units)
    }

    /// Everything that speaks against it.
    pub async fn refused(&self, options: RestoreOptions) -> Vec<ProviderError> {
        let restorer = self.restorer().await;
        let units = restorer.units(&self.request(options)).unwrap();
        restorer.preflight(&Context::default(), &units).await.unwrap_err()
    }

    /// The items of every table, all pages, by table.
    pub async fn data(&self) -> Value {
        let mut all = BTreeMap::new();
        for name in self.account.tables().await.into_iter().filter(|name| self.names.contains(name)) {
            let mut items = Vec::new();
            let mut start = Value::Null;
            loop {
                let mut scan = json!({ "TableName": name });
                if !start.is_null() {
                    scan["ExclusiveStartKey"] = start;
                }
                let page = self.account.ok("Scan", scan).await;
                items.extend(page["Items"].as_array().unwrap().iter().map(Value::to_string));
                start = page["LastEvaluatedKey"].clone();
                if start.is_null() {
                    break;
                }
            }
            items.sort();
            all.insert(name, items);
        }
        json!(all)
    }

    /// The settings of every table, without what no two tables share.
    pub async fn settings(&self) -> Value {
        let there = self.account.tables().await;
        let sets = self.names.iter().filter(|name| there.contains(name));
        let sets: Vec<_> = sets.map(|name| DataSet { name: name.clone(), role: Role::User }).collect();
        let provider = self.account.provider().await;
        let capsules = provider.capture(&Context::default(), &sets).await.unwrap();
        let mut all = BTreeMap::new();
        for capsule in capsules {
            assert!(capsule.unread.is_empty(), "{capsule:?}");
            let mut settings = capsule.settings;
            settings.as_object_mut().unwrap().remove("alarms");
            own(&mut settings);
            all.insert(capsule.name, settings);
        }
        json!(all)
    }

    pub async fn is_as_at_t(&self, run: &Run, how: &str) {
        assert_eq!(self.data().await, self.data, "{how}");
        let (now, then) = (self.settings().await, self.settings.clone());
        assert_eq!(now, then, "{how}: {:#?}", run.warnings());
        self.nothing_left(how).await;
    }

    pub async fn nothing_left(&self, how: &str) {
        let tables = self.account.tables().await;
        assert!(tables.iter().all(|name| !name.starts_with("rp-")), "{how}: {tables:?}");
        self.account.nothing_lost();
    }

    pub fn disturb(&self, operation: &str, effect: Effect) {
        self.account.db.inject(fault(operation, effect));
    }
}

/// Takes away identities and times.
fn own(value: &mut Value) {
    const OWN: [&str; 12] = [
        "TableId",
        "CreationDateTime",
        "CreationTime",
        "PolicyARN",
        "ScalableTargetARN",
        "Alarms",
        "RevisionId",
        "LatestStreamArn",
        "LatestStreamLabel",
        "ContributorInsightsRuleList",
        "LastUpdateDateTime",
        "WarmThroughput",
    ];
    match value {
        Value::Object(map) => {
            map.retain(|key, value| !OWN.contains(&key.as_str()) && value["BillingMode"] != "PROVISIONED");
            map.values_mut().for_each(own);
        }
        Value::Array(items) => items.iter_mut().for_each(own),
        _ => {}
    }
}

struct Counting(AtomicUsize);

#[async_trait::async_trait]
impl Fence for Counting {
    async fn pass(&self) -> Result<(), ProviderError> {
        Ok(())
    }

    async fn destroy(&self) -> Result<(), ProviderError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

#[derive(Clone, Debug, Default)]
struct Entry {
    state: UnitState,
    intent: Option<Intent>,
    done: bool,
}

/// A journal in memory, and who fills it.
pub struct Run {
    account: Arc<Account>,
    work: Arc<dyn DurableWork>,
    pub units: Vec<Unit>,
    journal: BTreeMap<String, Entry>,
    fence: Counting,
    /// Every call is made twice; the second answer counts.
    pub twice: bool,
    /// What was found is lost on purpose: nobody asks where it is.
    pub loses: bool,
    /// Looked at after every call.
    old: BTreeMap<String, String>,
}

impl Run {
    pub fn new(account: Arc<Account>, work: Arc<dyn DurableWork>, units: Vec<Unit>) -> Run {
        let (journal, fence, old) = (BTreeMap::new(), Counting(AtomicUsize::new(0)), BTreeMap::new());
        Run { account, work, units, journal, fence, twice: false, loses: false, old }
    }

    /// Another process goes on, with nothing but what was stored.
    pub fn heir(&mut self, work: Arc<dyn DurableWork>) {
        self.work = work;
    }

    /// How often the right to destroy was asked for.
    pub fn destroyed(&self) -> usize {
        self.fence.0.load(Ordering::SeqCst)
    }

    pub async fn finish(&mut self, way: Way) -> Result<(), ProviderError> {
        match self.drive(way, ENDLESS).await? {
            true => Ok(()),
            false => panic!("still not done after {ENDLESS} calls: {:#?}", self.journal),
        }
    }

    /// Until the end, or until so many calls were made that were not answered by a wait: the last one's answer is not stored.
    /// Says whether it ended.
    pub async fn drive(&mut self, way: Way, calls: usize) -> Result<bool, ProviderError> {
        let (mut made, mut rounds) = (0, 0);
        loop {
            let mut waits = true;
            let open: Vec<Unit> = self.units.iter().filter(|unit| !self.is_done(&unit.name)).cloned().collect();
            if open.is_empty() {
                return Ok(true);
            }
            for unit in open {
                if way == Way::Forward && !unit.after.iter().all(|name| self.is_done(name)) {
                    continue;
                }
                let outcome = self.call(way, &unit).await;
                if !matches!(outcome, Ok(Step::Wait { .. })) {
                    (made, waits) = (made + 1, false);
                    if made >= calls {
                        return Ok(false);
                    }
                }
                self.store(&unit.name, outcome)?;
            }
            rounds += 1;
            assert!(rounds < ENDLESS, "no end: {:#?}", self.journal);
            self.nothing_is_nowhere().await;
            if waits {
                self.account.pass(Duration::from_millis(1_500)).await;
            }
        }
    }

    pub async fn call(&self, way: Way, unit: &Unit) -> Result<Step, ProviderError> {
        let entry = self.journal.get(&unit.name).cloned().unwrap_or_default();
        let act = entry.intent.as_ref().map(|intent| Act { intent, fence: &self.fence });
        let context = Context::default();
        let step = async || {
            if self.twice {
                let _ = self.work.step(&context, way, unit, &entry.state, act).await;
            }
            self.work.step(&context, way, unit, &entry.state, act).await
        };
        tokio::select! {
            biased;
            () = self.account.below.died() => {
                Err(ProviderError::new(ErrorKind::Cancelled, DIED, "another has to go on").retryable(false))
            }
            outcome = step() => outcome,
        }
    }

    /// Keeps an answer, as the log does.
    pub fn store(&mut self, name: &str, outcome: Result<Step, ProviderError>) -> Result<(), ProviderError> {
        let entry = self.journal.entry(name.to_owned()).or_default();
        let (record, done, failed) = match outcome {
            Ok(Step::Intend(intent)) => {
                entry.intent = Some(intent);
                return Ok(());
            }
            Ok(Step::Wait { .. }) => return Ok(()),
            Ok(Step::Did(record)) => (record, false, None),
            Ok(Step::Done(record)) => (record, true, None),
            Ok(Step::Failed(record, error)) => (record, false, Some(error)),
            Err(error) if error.retryable => return Ok(()),
            Err(error) => return Err(error),
        };
        entry.intent = None;
        entry.done = done;
        if record.what["fact"] == "found"
            && let Some(id) = record.what["table_id"].as_str()
        {
            self.old.insert(name.to_owned(), id.to_owned());
        }
        entry.state.records.push(record);
        failed.map_or(Ok(()), Err)
    }

    /// Until this fact is recorded of a table, or this is intended.
    pub async fn until(&mut self, name: &str, wanted: &str) -> Result<(), ProviderError> {
        self.until_on(Way::Forward, name, wanted).await
    }

    pub async fn until_on(&mut self, way: Way, name: &str, wanted: &str) -> Result<(), ProviderError> {
        for _ in 0..ENDLESS {
            let entry = self.journal.get(name);
            let said = entry.and_then(|entry| entry.state.records.last()).map(|record| record.what["fact"] == wanted);
            let intended = entry.and_then(|entry| entry.intent.as_ref()).map(|intent| intent.what["do"] == wanted);
            if said == Some(true) || intended == Some(true) {
                return Ok(());
            }
            let unit = self.units.iter().find(|unit| unit.name == name).cloned().unwrap();
            let outcome = self.call(way, &unit).await;
            let waits = matches!(outcome, Ok(Step::Wait { .. }) | Err(_));
            self.store(name, outcome)?;
            if waits {
                self.account.pass(Duration::from_millis(1_500)).await;
            }
        }
        panic!("never came to {wanted}: {:#?}", self.journal);
    }

    /// Turns the run round, as an abort does.
    pub fn turn(&mut self) {
        self.journal.values_mut().for_each(|entry| entry.done = false);
    }

    /// Whether a table can still be put back.
    pub async fn way_back(&self, restorer: &Restorer, name: &str) -> Result<(), ProviderError> {
        let entry = self.journal.get(name).cloned().unwrap_or_default();
        let unit = self.units.iter().find(|unit| unit.name == name).unwrap();
        restorer.way_back(&Context::default(), unit, &entry.state, entry.intent.as_ref()).await
    }

    fn is_done(&self, name: &str) -> bool {
        self.journal.get(name).is_some_and(|entry| entry.done)
    }

    pub fn state(&self, name: &str) -> UnitState {
        self.journal.get(name).map(|entry| entry.state.clone()).unwrap_or_default()
    }

    /// The last record of this fact.
    pub fn fact(&self, name: &str, fact: &str) -> Value {
        let records = self.state(name).records;
        let found = records.iter().rev().find(|record| record.what["fact"] == fact);
        found.unwrap_or_else(|| panic!("no {fact}: {records:#?}")).what.clone()
    }

    /// One call for one table, its answer stored.
    pub async fn step(&mut self, name: &str, way: Way) -> Result<(), ProviderError> {
        if self.is_done(name) {
            return Ok(());
        }
        let unit = self.units.iter().find(|unit| unit.name == name).cloned().unwrap();
        let outcome = self.call(way, &unit).await;
        self.store(name, outcome)
    }

    /// Every fact recorded of a table, in order.
    pub fn facts(&self, name: &str) -> Vec<String> {
        let fact = |what: &Value| what["fact"].as_str().unwrap_or_default().to_owned();
        self.state(name).records.iter().map(|record| fact(&record.what)).collect()
    }

    pub fn warnings(&self) -> Vec<String> {
        let all = self.journal.values().flat_map(|entry| &entry.state.records);
        all.filter_map(|record| record.warning.clone()).collect()
    }

    /// The data that was found exists as the table itself, or as a backup of it.
    async fn nothing_is_nowhere(&self) {
        for (name, id) in self.old.iter().filter(|_| !self.loses) {
            // The backup that DynamoDB makes by itself of a table that is deleted shows only when the table is gone.
            let mut is_somewhere = false;
            for _ in 0..20 {
                is_somewhere = self.is_somewhere(name, id).await;
                if is_somewhere {
                    break;
                }
                self.account.pass(Duration::from_millis(20)).await;
            }
            assert!(is_somewhere, "the data of {name} ({id}) is nowhere");
        }
    }

    async fn is_somewhere(&self, name: &str, id: &str) -> bool {
        let table = self.account.call("DescribeTable", json!({ "TableName": name })).await;
        let deleting = |table: &Value| table["Table"]["TableStatus"] == "DELETING";
        if table.is_ok_and(|table| table["Table"]["TableId"] == *id && !deleting(&table)) {
            return true;
        }
        let list = json!({ "TableName": name, "BackupType": "ALL" });
        let backups = self.account.ok("ListBackups", list).await["BackupSummaries"].clone();
        let is_safe = |backup: &Value| backup["TableId"] == *id && backup["BackupStatus"] == "AVAILABLE";
        backups.as_array().unwrap().iter().any(is_safe)
    }
}
