//! The script for a restore by hand is carried out, word for word, by a reader of shell lines.

use crate::capsule::{captured, dress, scale};
use crate::prepare::lagging;
use crate::support::{Account, lag};
use aws_smithy_types::date_time::Format;
use provider_api::conformance::World;
use provider_api::{
    Act, BackupProvider, Capsule, Context, DataSet, Fence, PrepareRequest, ProviderError, RecordedSet, RestoreTime,
    Role, Step, UnitState, Way,
};
use provider_dynamodb::runbook::{RunbookRequest, RunbookTable, runbook};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const A: &str = "bank.account0000";
const LABEL: &str = "nightly-20261123T030000Z";

struct Free;

#[async_trait::async_trait]
impl Fence for Free {
    async fn pass(&self) -> Result<(), ProviderError> {
        Ok(())
    }
}

/// A shell that knows `aws` and variables.
struct Shell<'a> {
    account: &'a Account,
    variables: BTreeMap<String, String>,
}

impl Shell<'_> {
    /// Every line of the script. What a person repeats is repeated until it says so.
    async fn run(&mut self, script: &str) -> Vec<String> {
        let mut ran = Vec::new();
        for line in script.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            match line.split_once("=$(") {
                Some((name, command))
                    if name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_') =>
                {
                    let printed = self.aws(command.strip_suffix(')').unwrap()).await;
                    self.variables.insert(name.to_owned(), printed.as_str().unwrap().to_owned());
                }
                _ => drop(self.aws(line).await),
            }
            ran.push(line.split_whitespace().take(3).collect::<Vec<_>>().join(" "));
        }
        ran
    }

    async fn aws(&self, line: &str) -> Value {
        let mut words = shlex::split(line).unwrap_or_else(|| panic!("no shell reads {line}"));
        for word in &mut words {
            if let Some(name) = word.strip_prefix('$') {
                *word = self.variables[name].clone();
            }
        }
        let mut words = words.into_iter().peekable();
        assert_eq!(words.next().as_deref(), Some("aws"), "{line}");
        let (service, operation) = (words.next().unwrap(), words.next().unwrap());
        let operation = if operation == "wait" { format!("wait {}", words.next().unwrap()) } else { operation };
        let mut given: BTreeMap<String, Option<String>> = BTreeMap::new();
        while let Some(flag) = words.next() {
            let flag = flag.strip_prefix("--").unwrap_or_else(|| panic!("{flag} in {line}")).to_owned();
            given.insert(flag, words.next_if(|word| !word.starts_with("--")));
        }
        assert_eq!(given.remove("region").flatten().as_deref(), Some("us-east-1"), "{line}");
        let query = given.remove("query").flatten();
        given.remove("output");
        let body = Value::Object(given.into_iter().map(|(flag, value)| argument(&flag, value)).collect::<Map<_, _>>());
        match (service.as_str(), operation.as_str()) {
            ("sts", "get-caller-identity") => Value::Null,
            ("application-autoscaling", _) => self.account.scaling(&pascal(&operation), body),
            ("dynamodb", "wait table-exists") => self.wait(&body, true).await,
            ("dynamodb", "wait table-not-exists") => self.wait(&body, false).await,
            ("dynamodb", _) => self.dynamodb(&pascal(&operation), body, query.as_deref()).await,
            _ => panic!("no such command: {line}"),
        }
    }

    async fn wait(&self, body: &Value, there: bool) -> Value {
        for _ in 0..10_000 {
            let found = self.account.call("DescribeTable", body.clone()).await;
            let active = found.as_ref().is_ok_and(|found| found["Table"]["TableStatus"] == "ACTIVE");
            if active && there || found.is_err() && !there {
                return Value::Null;
            }
            self.account.pass(Duration::from_millis(500)).await;
        }
        panic!("never came about: {body}");
    }

    /// Locks and changes that pass are waited out, as a person would, and so is a status that is to be repeated.
    async fn dynamodb(&self, operation: &str, body: Value, query: Option<&str>) -> Value {
        for _ in 0..200 {
            match self.account.call(operation, body.clone()).await {
                Ok(answer) => {
                    let path = query.filter(|query| query.chars().all(|c| c.is_ascii_alphabetic() || c == '.'));
                    let found = path.map(|path| path.split('.').fold(&answer, |value, step| &value[step]).clone());
                    if operation != "DescribeBackup" || found == Some(json!("AVAILABLE")) {
                        return found.unwrap_or(answer);
                    }
                }
                Err(error) if ["ResourceInUseException", "LimitExceededException"].contains(&error.code.as_str()) => {}
                Err(error) if error.code.contains("ContinuousBackups") => {}
                Err(error) => panic!("{operation} {body}: {error}"),
            }
            self.account.pass(Duration::from_millis(500)).await;
        }
        panic!("{operation} {body} never worked");
    }
}

fn pascal(words: &str) -> String {
    words.split('-').map(|word| word[..1].to_uppercase() + &word[1..]).collect()
}

/// A flag and its value, as the `aws` command line turns them into a member of the request.
fn argument(flag: &str, value: Option<String>) -> (String, Value) {
    let Some(value) = value else {
        return match flag.strip_prefix("no-") {
            Some(flag) => (pascal(flag), json!(false)),
            None => (pascal(flag), json!(true)),
        };
    };
    let name = pascal(flag).replace("SseSpecification", "SSESpecification");
    let value = match flag {
        "restore-date-time" => json!(aws_smithy_types::DateTime::from_str(&value, Format::DateTime).unwrap().secs()),
        "min-capacity" | "max-capacity" => json!(value.parse::<i64>().unwrap()),
        "policy" => json!(value),
        _ if value.starts_with(['{', '[']) => serde_json::from_str(&value).unwrap(),
        _ => json!(value),
    };
    (name, value)
}

/// A point of an account whose first table has every setting.
struct Point {
    sets: Vec<DataSet>,
    capsules: Vec<Capsule>,
    at: RestoreTime,
    prepared: BTreeMap<String, UnitState>,
    items: Vec<Value>,
}

impl Point {
    async fn made(account: &Account) -> Point {
        account.scalardb(3).await;
        account.put(A, 1, 100).await;
        dress(account, A).await;
        account.ok("UpdateTable", json!({ "TableName": A, "TableClass": "STANDARD_INFREQUENT_ACCESS" })).await;
        account.pass(Duration::from_secs(30)).await;
        scale(account, &format!("table/{A}"), "dynamodb:table:ReadCapacityUnits");
        scale(account, &format!("table/{A}/index/{A}.global_index.c0"), "dynamodb:index:WriteCapacityUnits");
        let provider = account.provider().await;
        let sets = provider.discover(&Context::default()).await.unwrap().data_sets;
        let capsules = captured(account).await;
        account.pass(Duration::from_secs(2)).await;
        let items = account.items(A).await;
        let at = RestoreTime(account.now().await.0 / 1_000_000_000);
        account.pass(lag() + Duration::from_secs(2)).await;
        Point { sets, capsules, at, prepared: BTreeMap::new(), items }
    }

    async fn prepare(&mut self, account: &Account) {
        let work = Arc::new(account.provider().await).preparer().unwrap();
        let ids: Vec<_> =
            self.capsules.iter().map(|one| RecordedSet { name: one.name.clone(), id: one.id.clone() }).collect();
        let request = PrepareRequest { label: LABEL, at: self.at, sets: &ids, capsules: &self.capsules };
        for unit in work.units(&request).unwrap() {
            let (mut state, mut intent) = (UnitState::default(), None);
            loop {
                let act = intent.as_ref().map(|intent| Act { intent, fence: &Free });
                match work.step(&Context::default(), Way::Forward, &unit, &state, act).await {
                    Ok(Step::Intend(next)) => intent = Some(next),
                    Ok(Step::Did(record)) => {
                        intent = None;
                        state.records.push(record);
                    }
                    Ok(Step::Done(record)) => {
                        state.records.push(record);
                        break;
                    }
                    Ok(Step::Wait { .. }) => account.pass(Duration::from_secs(1)).await,
                    Err(error) if error.retryable => account.pass(Duration::from_secs(1)).await,
                    other => panic!("{other:?}"),
                }
            }
            self.prepared.insert(unit.name, state);
        }
    }

    fn script(&self) -> String {
        let table = |set: &'_ DataSet| RunbookTable {
            name: &self.sets.iter().find(|one| one.name == set.name).unwrap().name,
            role: set.role,
            capsule: self.capsules.iter().find(|capsule| capsule.name == set.name),
            prepared: self.prepared.get(&set.name),
        };
        runbook(&RunbookRequest { label: LABEL, at: self.at, tables: self.sets.iter().map(table).collect() }).unwrap()
    }
}

/// What a capsule says that must come back; identities and what belongs to one incarnation of a table left out.
fn lasting(capsule: &Capsule) -> Value {
    let mut settings = capsule.settings.clone();
    let table = settings["table"].as_object_mut().unwrap();
    for field in ["TableId", "CreationDateTime", "LatestStreamArn", "LatestStreamLabel"] {
        table.remove(field);
    }
    // Absent means the same.
    if table.get("BillingModeSummary") == Some(&json!({ "BillingMode": "PROVISIONED" })) {
        table.remove("BillingModeSummary");
    }
    table
        .entry("TableClassSummary")
        .and_modify(|class| drop(class.as_object_mut().unwrap().remove("LastUpdateDateTime")));
    for list in ["auto_scaling_targets", "auto_scaling_policies", "auto_scaling_scheduled_actions"] {
        for one in settings[list].as_array_mut().unwrap() {
            for field in ["CreationTime", "ScalableTargetARN", "PolicyARN", "ScheduledActionARN", "Alarms"] {
                one.as_object_mut().unwrap().remove(field);
            }
        }
    }
    for one in settings["auto_scaling_target_tags"].as_array_mut().unwrap() {
        one.as_object_mut().unwrap().remove("ScalableTargetARN");
    }
    for one in settings["contributor_insights"].as_array_mut().unwrap() {
        one.as_object_mut().unwrap().remove("LastUpdateDateTime");
    }
    for policy in ["resource_policy", "stream_resource_policy"] {
        if let Some(policy) = settings[policy].as_object_mut() {
            policy.remove("RevisionId");
        }
    }
    settings.as_object_mut().unwrap().remove("alarms");
    settings
}

#[tokio::test]
async fn the_script_carried_out_brings_the_tables_back_with_the_items_of_t_and_their_settings() {
    for prepared in [true, false] {
        let account = lagging();
        let mut point = Point::made(&account).await;
        if prepared {
            point.prepare(&account).await;
        }
        account.put(A, 1, 999).await;
        account.put(A, 2, 5).await;
        let before = account.tables().await;
        let script = point.script();
        let mut shell = Shell { account: &account, variables: BTreeMap::new() };
        let ran = shell.run(&script).await;
        account.pass(Duration::from_secs(60)).await;
        assert_eq!(account.items(A).await, point.items, "prepared: {prepared}");
        assert_eq!(account.tables().await, before, "and nothing else is left");
        for (was, is) in point.capsules.iter().zip(captured(&account).await) {
            assert_ne!(was.id, is.id, "{} was made anew", was.name);
            assert_eq!(lasting(was), lasting(&is), "{}", was.name);
        }
        // The safety backups, and the ones that were restored from.
        assert_eq!(account.backups().await.len(), 2 * before.len());
        let first = |what: &str| ran.iter().position(|line| line == what).unwrap();
        let last = |what: &str| ran.iter().rposition(|line| line == what).unwrap();
        assert!(last("aws dynamodb describe-backup") < first("aws dynamodb delete-table"), "{ran:#?}");
        assert!(last("aws dynamodb create-backup") < first("aws dynamodb delete-table"), "{ran:#?}");
        assert!(last("aws dynamodb restore-table-from-backup") < first("aws dynamodb update-continuous-backups"));
        assert!(first("aws dynamodb update-continuous-backups") < first("aws dynamodb tag-resource"), "{ran:#?}");
        assert_eq!(ran.iter().any(|line| line.ends_with("restore-table-to-point-in-time")), !prepared);
    }
}

#[tokio::test]
async fn metadata_and_coordinator_come_last_and_a_table_without_its_settings_is_named() {
    let account = lagging();
    let mut point = Point::made(&account).await;
    let script = point.script();
    let place = |name: &str| script.find(&format!("4 of 5, {name}")).or(script.find(&format!("5 of 5, {name}")));
    assert!(place("coordinator.state").unwrap() < place("scalardb.metadata").unwrap(), "{script}");
    assert!(point.sets.iter().any(|set| set.role == Role::Metadata));
    point.capsules.retain(|capsule| capsule.name != A);
    let tables = point.sets.iter().map(|set| RunbookTable {
        name: &set.name,
        role: set.role,
        capsule: point.capsules.iter().find(|capsule| capsule.name == set.name),
        prepared: None,
    });
    let error = runbook(&RunbookRequest { label: LABEL, at: point.at, tables: tables.collect() }).unwrap_err();
    assert_eq!(error.subjects, [A]);
}
