//! Settings capsules: everything that a restore drops, and everything that it must be compared with.
//!
//! A table that cannot be described fails the capture, because its identity is unknown then. Any other setting that
//! cannot be read is listed in its capsule, with what would allow it.

use crate::client::Cloud;
use crate::error::Fault;
use crate::limits::{
    DESCRIBE_CONTINUOUS_BACKUPS, DESCRIBE_CONTRIBUTOR_INSIGHTS, DESCRIBE_KINESIS_STREAMING_DESTINATION, DESCRIBE_TABLE,
    DESCRIBE_TIME_TO_LIVE, GET_RESOURCE_POLICY, LIST_TAGS_OF_RESOURCE,
};
use crate::raw::{take, take_list, without};
use crate::table;
use crate::together;
use crate::{alarms, scaling};
use provider_api::{Capsule, Context, DataSet, ErrorKind, ProviderError, Unread};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Fields of DescribeTable that change without anybody changing a setting.
const VOLATILE: [&str; 12] = [
    "TableStatus",
    "IndexStatus",
    "Backfilling",
    "ItemCount",
    "TableSizeBytes",
    "IndexSizeBytes",
    "NumberOfDecreasesToday",
    "LastIncreaseDateTime",
    "LastDecreaseDateTime",
    "RestoreSummary",
    "LastUpdateToPayPerRequestDateTime",
    "Status",
];

/// A table under capture.
struct Draft {
    name: String,
    id: String,
    arn: String,
    /// Of its stream, if that is on.
    stream: Option<String>,
    indexes: Vec<String>,
    settings: Map<String, Value>,
    unread: Vec<Unread>,
}

impl Draft {
    /// Puts down a setting, or why it is missing. What no setting can be blamed for ends the capture.
    fn put(&mut self, setting: &str, read: Result<Value, Fault>) -> Result<(), ProviderError> {
        match read {
            Ok(value) => {
                self.settings.insert(setting.to_owned(), value);
            }
            Err(fault) if matches!(fault.error.kind, ErrorKind::Cancelled | ErrorKind::Credentials) => {
                return Err(fault.error);
            }
            Err(fault) => self.unread.push(unread(setting, &fault)),
        }
        Ok(())
    }
}

fn unread(setting: &str, fault: &Fault) -> Unread {
    Unread { setting: setting.to_owned(), reason: fault.reason(), hint: fault.error.hint.clone() }
}

pub(crate) async fn capture(cloud: &Cloud, context: &Context, sets: &[DataSet]) -> Result<Vec<Capsule>, ProviderError> {
    let work: Vec<_> = sets.iter().map(|set| draft(cloud, context, &set.name)).collect();
    let drafts = together(work).await?;
    let shared = Shared::read(cloud, context, &drafts).await?;
    let work: Vec<_> = drafts.into_iter().map(|draft| settle(cloud, context, draft)).collect();
    let settled = together(work).await?;
    Ok(settled.into_iter().map(|draft| shared.capsule(draft)).collect())
}

/// One table by itself, without alarms: reads nothing that grows with the number of tables in the account.
pub(crate) async fn alone(cloud: &Cloud, context: &Context, name: &str) -> Result<Capsule, ProviderError> {
    let draft = draft(cloud, context, name).await?;
    let shared = Shared::read_one(cloud, context, &draft).await?;
    Ok(shared.capsule(settle(cloud, context, draft).await?))
}

async fn draft(cloud: &Cloud, context: &Context, name: &str) -> Result<Draft, ProviderError> {
    let (answer, mut json) = cloud
        .read(context, &DESCRIBE_TABLE, name, |keep| {
            cloud.dynamodb.describe_table().table_name(name).customize().interceptor(keep).send()
        })
        .await?;
    let Some(described) = answer.table else {
        let message = format!("DescribeTable on `{name}` answered without a table");
        return Err(ProviderError::new(ErrorKind::Service, message, "check that `endpoint` is an AWS endpoint"));
    };
    let mut table = take(&mut json, "Table");
    without(&mut table, &VOLATILE);
    let streams = described.stream_specification.as_ref().is_some_and(|stream| stream.stream_enabled);
    Ok(Draft {
        name: name.to_owned(),
        id: table::identity(&described),
        arn: described.table_arn.clone().unwrap_or_default(),
        stream: described.latest_stream_arn.clone().filter(|_| streams),
        indexes: described.global_secondary_indexes().iter().filter_map(|index| index.index_name.clone()).collect(),
        settings: Map::from_iter([("table".to_owned(), table)]),
        unread: Vec::new(),
    })
}

/// Reads the settings that have calls of their own.
async fn settle(cloud: &Cloud, context: &Context, mut draft: Draft) -> Result<Draft, ProviderError> {
    let (name, arn) = (draft.name.clone(), draft.arn.clone());
    let (tags, ttl, backups, policy, stream_policy, kinesis, insights) = tokio::join!(
        tags(cloud, context, &name, &arn),
        time_to_live(cloud, context, &name),
        continuous_backups(cloud, context, &name),
        resource_policy(cloud, context, &name, Some(&arn)),
        resource_policy(cloud, context, &name, draft.stream.as_deref()),
        kinesis(cloud, context, &name),
        insights(cloud, context, &name, &draft.indexes),
    );
    draft.put("tags", tags)?;
    draft.put("time_to_live", ttl)?;
    draft.put("continuous_backups", backups)?;
    draft.put("resource_policy", policy)?;
    draft.put("stream_resource_policy", stream_policy)?;
    draft.put("kinesis_destinations", kinesis)?;
    draft.put("contributor_insights", insights)?;
    Ok(draft)
}

pub(crate) async fn tags(cloud: &Cloud, context: &Context, name: &str, arn: &str) -> Result<Value, Fault> {
    let mut tags = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let (page, mut json) = cloud
            .read(context, &LIST_TAGS_OF_RESOURCE, name, |keep| {
                let call = cloud.dynamodb.list_tags_of_resource().resource_arn(arn).set_next_token(token.clone());
                call.customize().interceptor(keep).send()
            })
            .await?;
        tags.extend(take_list(&mut json, "Tags"));
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    tags.sort_by(|a, b| a["Key"].as_str().cmp(&b["Key"].as_str()));
    Ok(Value::Array(tags))
}

pub(crate) async fn time_to_live(cloud: &Cloud, context: &Context, name: &str) -> Result<Value, Fault> {
    let (_, mut json) = cloud
        .read(context, &DESCRIBE_TIME_TO_LIVE, name, |keep| {
            cloud.dynamodb.describe_time_to_live().table_name(name).customize().interceptor(keep).send()
        })
        .await?;
    Ok(take(&mut json, "TimeToLiveDescription"))
}

pub(crate) async fn continuous_backups(cloud: &Cloud, context: &Context, name: &str) -> Result<Value, Fault> {
    let (_, mut json) = cloud
        .read(context, &DESCRIBE_CONTINUOUS_BACKUPS, name, |keep| {
            cloud.dynamodb.describe_continuous_backups().table_name(name).customize().interceptor(keep).send()
        })
        .await?;
    let mut backups = take(&mut json, "ContinuousBackupsDescription");
    // These two move with time; the point records them where it proves its range.
    without(&mut backups, &["EarliestRestorableDateTime", "LatestRestorableDateTime"]);
    Ok(backups)
}

/// The policy of a table or stream; null if it has none, or if there is no such thing to have one.
pub(crate) async fn resource_policy(
    cloud: &Cloud,
    context: &Context,
    name: &str,
    arn: Option<&str>,
) -> Result<Value, Fault> {
    let Some(arn) = arn else { return Ok(Value::Null) };
    let read = cloud
        .read(context, &GET_RESOURCE_POLICY, name, |keep| {
            cloud.dynamodb.get_resource_policy().resource_arn(arn).customize().interceptor(keep).send()
        })
        .await;
    match read {
        Ok((_, json)) => Ok(json),
        Err(fault) if fault.is("PolicyNotFoundException") => Ok(Value::Null),
        Err(fault) => Err(fault),
    }
}

pub(crate) async fn kinesis(cloud: &Cloud, context: &Context, name: &str) -> Result<Value, Fault> {
    let (_, mut json) = cloud
        .read(context, &DESCRIBE_KINESIS_STREAMING_DESTINATION, name, |keep| {
            let call = cloud.dynamodb.describe_kinesis_streaming_destination().table_name(name);
            call.customize().interceptor(keep).send()
        })
        .await?;
    Ok(Value::Array(take_list(&mut json, "KinesisDataStreamDestinations")))
}

/// Contributor Insights of the table and of each index: a list, the table first.
pub(crate) async fn insights(cloud: &Cloud, context: &Context, name: &str, indexes: &[String]) -> Result<Value, Fault> {
    let mut all = Vec::new();
    for index in std::iter::once(None).chain(indexes.iter().cloned().map(Some)) {
        let (_, json) = cloud
            .read(context, &DESCRIBE_CONTRIBUTOR_INSIGHTS, name, |keep| {
                let call = cloud.dynamodb.describe_contributor_insights().table_name(name);
                call.set_index_name(index.clone()).customize().interceptor(keep).send()
            })
            .await?;
        all.push(json);
    }
    Ok(Value::Array(all))
}

/// What is read for all tables together.
struct Shared {
    read: BTreeMap<&'static str, BTreeMap<String, Vec<Value>>>,
    unread: Vec<Unread>,
}

impl Shared {
    async fn read(cloud: &Cloud, context: &Context, drafts: &[Draft]) -> Result<Self, ProviderError> {
        let names: BTreeSet<&str> = drafts.iter().map(|draft| draft.name.as_str()).collect();
        let resources: Vec<_> =
            drafts.iter().flat_map(|draft| scaling::resources(&draft.name, &draft.indexes)).collect();
        let mut shared = Self { read: BTreeMap::new(), unread: Vec::new() };
        let (targets, policies, scheduled, alarms) = tokio::join!(
            scaling::targets(cloud, context, &resources),
            scaling::policies(cloud, context, None),
            scaling::scheduled(cloud, context, None),
            alarms::read(cloud, context),
        );
        let targets = scaling::by_table(shared.take("auto_scaling_targets", targets)?, &names);
        let policies = scaling::by_table(shared.take("auto_scaling_policies", policies)?, &names);
        let scheduled = scaling::by_table(shared.take("auto_scaling_scheduled_actions", scheduled)?, &names);
        let made = policies.iter().map(|(table, policies)| (table.clone(), made_by(policies))).collect();
        let alarms = alarms::by_table(shared.take("alarms", alarms)?, &names, &made);
        let tags = shared.target_tags(cloud, context, &targets).await?;
        shared.read = BTreeMap::from([
            ("auto_scaling_targets", targets),
            ("auto_scaling_policies", policies),
            ("auto_scaling_scheduled_actions", scheduled),
            ("auto_scaling_target_tags", tags),
            ("alarms", alarms),
        ]);
        Ok(shared)
    }

    async fn read_one(cloud: &Cloud, context: &Context, draft: &Draft) -> Result<Self, ProviderError> {
        let mut shared = Self { read: BTreeMap::new(), unread: Vec::new() };
        let names = BTreeSet::from([draft.name.as_str()]);
        let resources = scaling::resources(&draft.name, &draft.indexes);
        let found = scaling::targets(cloud, context, &resources).await;
        let targets = scaling::by_table(shared.take("auto_scaling_targets", found)?, &names);
        // Only what has a target has policies and scheduled actions.
        let scaled = targets.values().flatten().filter_map(|target| target["ResourceId"].as_str());
        let (mut policies, mut scheduled) = (Vec::new(), Vec::new());
        for resource in scaled.collect::<BTreeSet<_>>() {
            let found = scaling::policies(cloud, context, Some(resource)).await;
            policies.extend(shared.take("auto_scaling_policies", found)?);
            let found = scaling::scheduled(cloud, context, Some(resource)).await;
            scheduled.extend(shared.take("auto_scaling_scheduled_actions", found)?);
        }
        let tags = shared.target_tags(cloud, context, &targets).await?;
        shared.read = BTreeMap::from([
            ("auto_scaling_targets", targets),
            ("auto_scaling_policies", scaling::by_table(policies, &names)),
            ("auto_scaling_scheduled_actions", scaling::by_table(scheduled, &names)),
            ("auto_scaling_target_tags", tags),
        ]);
        Ok(shared)
    }

    /// The list, or an empty one and a note that it could not be read.
    fn take(&mut self, setting: &str, read: Result<Vec<Value>, Fault>) -> Result<Vec<Value>, ProviderError> {
        match read {
            Ok(items) => Ok(items),
            Err(fault) if matches!(fault.error.kind, ErrorKind::Cancelled | ErrorKind::Credentials) => Err(fault.error),
            Err(fault) => {
                self.unread.push(unread(setting, &fault));
                Ok(Vec::new())
            }
        }
    }

    /// The tags of every scalable target that has any, by table.
    async fn target_tags(
        &mut self,
        cloud: &Cloud,
        context: &Context,
        targets: &BTreeMap<String, Vec<Value>>,
    ) -> Result<BTreeMap<String, Vec<Value>>, ProviderError> {
        let mut work = Vec::new();
        for (table, target) in targets.iter().flat_map(|(table, targets)| targets.iter().map(move |one| (table, one))) {
            if let Some(arn) = target["ScalableTargetARN"].as_str() {
                work.push(tags_of_target(cloud, context, table, arn));
            }
        }
        let read = together(work).await;
        let mut by_table: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        match read {
            Ok(read) => {
                for (table, tags) in read.into_iter().filter(|(_, tags)| has_tags(tags)) {
                    by_table.entry(table).or_default().push(tags);
                }
            }
            Err(fault) => {
                self.take("auto_scaling_target_tags", Err(fault))?;
            }
        }
        Ok(by_table)
    }

    /// Adds what belongs to this table, and what could not be read for any.
    fn capsule(&self, draft: Draft) -> Capsule {
        let Draft { name, id, mut settings, mut unread, .. } = draft;
        for (setting, by_table) in &self.read {
            if !self.unread.iter().any(|unread| unread.setting == *setting) {
                let items = by_table.get(&name).cloned().unwrap_or_default();
                settings.insert((*setting).to_owned(), Value::Array(items));
            }
        }
        unread.extend(self.unread.iter().cloned());
        Capsule { name, id, settings: Value::Object(settings), unread }
    }
}

async fn tags_of_target(cloud: &Cloud, context: &Context, table: &str, arn: &str) -> Result<(String, Value), Fault> {
    let tags = scaling::tags(cloud, context, arn).await?;
    Ok((table.to_owned(), json!({ "ScalableTargetARN": arn, "Tags": tags })))
}

fn has_tags(of_target: &Value) -> bool {
    of_target["Tags"].as_object().is_some_and(|tags| !tags.is_empty())
}

/// Names of the alarms that these policies made.
fn made_by(policies: &[Value]) -> BTreeSet<String> {
    let alarms = policies.iter().filter_map(|policy| policy["Alarms"].as_array()).flatten();
    alarms.filter_map(|alarm| alarm["AlarmName"].as_str().map(str::to_owned)).collect()
}
