//! Reads the settings of a restored table, in the shape of a capsule.

use super::plan::{Setting, named, with};
use super::{gone, scaling as plan_scaling};
use crate::alarms;
use crate::capture;
use crate::client::Cloud;
use crate::error::Fault;
use crate::limits::DESCRIBE_TABLE;
use crate::raw::take;
use crate::{scaling, together};
use aws_sdk_dynamodb::types::TableStatus;
use provider_api::{Capsule, Context, ErrorKind, ProviderError};
use serde_json::{Value, json};

/// Where to read.
struct Reader<'a> {
    cloud: &'a Cloud,
    context: &'a Context,
    table: &'a str,
    /// As recorded. The ARNs and names in it are those of the restored table too.
    recorded: &'a Value,
}

/// What this setting is about, and no more.
pub(super) async fn for_setting(
    cloud: &Cloud,
    context: &Context,
    table: &str,
    capsule: &Capsule,
    setting: Setting,
) -> Result<Value, ProviderError> {
    let reader = Reader { cloud, context, table, recorded: &capsule.settings };
    let read = match setting {
        Setting::ContinuousBackups => reader.backups().await,
        Setting::Capacity
        | Setting::Indexes
        | Setting::Maxima
        | Setting::Class
        | Setting::Encryption
        | Setting::Stream
        | Setting::Protection => reader.table().await,
        Setting::Tags => reader.tags().await,
        Setting::TimeToLive => reader.time_to_live().await,
        Setting::Kinesis => reader.kinesis().await,
        Setting::Insights => reader.insights().await,
        Setting::Policy => reader.policy().await,
        Setting::ScalingTargets => reader.targets().await,
        Setting::ScalingPolicies => reader.scaling_policies().await,
        Setting::ScheduledActions => reader.scheduled_actions().await,
        Setting::Alarms => reader.alarms().await,
    };
    read.map_err(|fault| missing(table, fault))
}

/// Everything.
pub(super) async fn all(
    cloud: &Cloud,
    context: &Context,
    table: &str,
    capsule: &Capsule,
) -> Result<Value, ProviderError> {
    let reader = Reader { cloud, context, table, recorded: &capsule.settings };
    let read = async {
        let mut found = reader.table().await?;
        let stream = found["table"]["LatestStreamArn"].as_str().map(str::to_owned);
        let stream = stream.filter(|_| found["table"]["StreamSpecification"]["StreamEnabled"] == true);
        let parts = tokio::try_join!(
            reader.backups(),
            reader.tags(),
            reader.time_to_live(),
            reader.kinesis(),
            reader.insights(),
            reader.policy(),
            reader.stream_policy(stream),
            reader.targets(),
            reader.scaling_policies(),
            reader.scheduled_actions(),
            reader.alarms(),
        )?;
        let parts: [Value; 11] = parts.into();
        for part in parts {
            found = with(found, part);
        }
        Ok(found)
    };
    read.await.map_err(|fault| missing(table, fault))
}

/// A table that is not found was there a moment ago.
fn missing(table: &str, fault: Fault) -> ProviderError {
    match fault.error.kind {
        ErrorKind::NotFound => gone(table).caused_by(fault.error),
        _ => fault.error,
    }
}

impl Reader<'_> {
    fn arn(&self) -> &str {
        self.recorded["table"]["TableArn"].as_str().unwrap_or_default()
    }

    /// Global secondary indexes by name.
    fn indexes(&self) -> Vec<String> {
        named(&self.recorded["table"]["GlobalSecondaryIndexes"]).map(|(name, _)| name.to_owned()).collect()
    }

    fn resources(&self) -> Vec<String> {
        scaling::resources(self.table, &self.indexes())
    }

    async fn table(&self) -> Result<Value, Fault> {
        let (_, mut json) = self
            .cloud
            .read(self.context, &DESCRIBE_TABLE, self.table, |keep| {
                self.cloud.dynamodb.describe_table().table_name(self.table).customize().interceptor(keep).send()
            })
            .await?;
        let table = take(&mut json, "Table");
        let status = TableStatus::from(table["TableStatus"].as_str().unwrap_or_default());
        match crate::table::trouble(&status) {
            Some((what, hint, false)) => {
                let message = format!("the restored table `{}` {what}", self.table);
                Err(ProviderError::new(ErrorKind::WrongState, message, hint).about([self.table]).into())
            }
            _ => Ok(json!({ "table": table })),
        }
    }

    async fn backups(&self) -> Result<Value, Fault> {
        Ok(json!({ "continuous_backups": capture::continuous_backups(self.cloud, self.context, self.table).await? }))
    }

    async fn tags(&self) -> Result<Value, Fault> {
        Ok(json!({ "tags": capture::tags(self.cloud, self.context, self.table, self.arn()).await? }))
    }

    async fn time_to_live(&self) -> Result<Value, Fault> {
        Ok(json!({ "time_to_live": capture::time_to_live(self.cloud, self.context, self.table).await? }))
    }

    async fn kinesis(&self) -> Result<Value, Fault> {
        Ok(json!({ "kinesis_destinations": capture::kinesis(self.cloud, self.context, self.table).await? }))
    }

    async fn insights(&self) -> Result<Value, Fault> {
        // An index that is not there cannot be asked about.
        let table = self.table().await?;
        let there: Vec<_> = named(&table["table"]["GlobalSecondaryIndexes"]).map(|(name, _)| name.to_owned()).collect();
        let read = capture::insights(self.cloud, self.context, self.table, &there).await?;
        Ok(json!({ "contributor_insights": read }))
    }

    async fn policy(&self) -> Result<Value, Fault> {
        let read = capture::resource_policy(self.cloud, self.context, self.table, Some(self.arn())).await?;
        Ok(json!({ "resource_policy": read }))
    }

    async fn stream_policy(&self, stream: Option<String>) -> Result<Value, Fault> {
        let read = capture::resource_policy(self.cloud, self.context, self.table, stream.as_deref()).await?;
        Ok(json!({ "stream_resource_policy": read }))
    }

    /// With their tags, and with the table beside them: its time of creation says whether they were made for it.
    async fn targets(&self) -> Result<Value, Fault> {
        let resources = self.resources();
        let (targets, table) = tokio::try_join!(scaling::targets(self.cloud, self.context, &resources), self.table())?;
        let arns: Vec<_> = targets.iter().filter_map(|target| target["ScalableTargetARN"].as_str()).collect();
        let tags = together(arns.iter().map(|arn| async move {
            let tags = scaling::tags(self.cloud, self.context, arn).await?;
            Ok::<_, Fault>(json!({ "ScalableTargetARN": arn, "Tags": tags }))
        }))
        .await?;
        Ok(json!({ "auto_scaling_targets": targets, "auto_scaling_target_tags": tags, "table": table["table"] }))
    }

    async fn scaling_policies(&self) -> Result<Value, Fault> {
        let resources = self.resources();
        let read = resources.iter().map(|resource| scaling::policies(self.cloud, self.context, Some(resource)));
        let all: Vec<Value> = together(read).await?.into_iter().flatten().collect();
        Ok(json!({ "auto_scaling_policies": all }))
    }

    async fn scheduled_actions(&self) -> Result<Value, Fault> {
        let resources = self.resources();
        let read = resources.iter().map(|resource| scaling::scheduled(self.cloud, self.context, Some(resource)));
        let all: Vec<Value> = together(read).await?.into_iter().flatten().collect();
        Ok(json!({ "auto_scaling_scheduled_actions": all }))
    }

    async fn alarms(&self) -> Result<Value, Fault> {
        let names = plan_scaling::own_alarms(self.recorded);
        let found = alarms::named(self.cloud, self.context, &names).await?;
        Ok(json!({ "alarms": found }))
    }
}
