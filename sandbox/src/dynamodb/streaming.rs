//! Kinesis destinations and contributor insights: settings that take a while to become true.

use serde_json::{Value, json};

use super::{
    api::{Api, Result},
    error::ServiceError,
    names::{self, seconds},
};

/// A Kinesis stream that changes are sent to; it stays listed after it was disabled.
#[derive(Debug, Clone)]
pub(crate) struct Kinesis {
    arn: String,
    precision: Option<String>,
    enabled: bool,
    settled_at: i64,
    exists: bool,
}

impl Kinesis {
    fn status(&self, now: i64) -> &'static str {
        match (self.enabled, now < self.settled_at) {
            (true, true) => "ENABLING",
            (true, false) if self.exists => "ACTIVE",
            (true, false) => "ENABLE_FAILED",
            (false, true) => "DISABLING",
            (false, false) => "DISABLED",
        }
    }
}

/// Contributor insights of a table or an index.
#[derive(Debug, Clone)]
pub(crate) struct Insights {
    enabled: bool,
    mode: String,
    changed_at: i64,
    settled_at: i64,
}

impl Insights {
    fn status(&self, now: i64) -> &'static str {
        match (self.enabled, now < self.settled_at) {
            (true, true) => "ENABLING",
            (true, false) => "ENABLED",
            (false, true) => "DISABLING",
            (false, false) => "DISABLED",
        }
    }
}

const PRECISION: &str = "ApproximateCreationDateTimePrecision";

impl Api<'_> {
    pub(crate) fn describe_kinesis(&mut self, body: &Value) -> Result<Value> {
        let now = self.now;
        let table = self.settled_table(names::required(body, "TableName")?)?;
        let described = |one: &Kinesis| {
            let mut described = json!({ "StreamArn": one.arn, "DestinationStatus": one.status(now) });
            if let Some(precision) = &one.precision {
                described[PRECISION] = precision.clone().into();
            }
            described
        };
        let destinations: Vec<_> = table.kinesis.iter().map(described).collect();
        Ok(json!({ "TableName": table.name, "KinesisDataStreamDestinations": destinations }))
    }

    pub(crate) fn enable_kinesis(&mut self, body: &Value) -> Result<Value> {
        let arn = names::required(body, "StreamArn")?;
        let configuration = body.get("EnableKinesisStreamingConfiguration");
        let precision = precision(configuration)?;
        let home = format!("arn:aws:kinesis:{}:", self.config.region);
        if !arn.starts_with(&home) || !arn.contains(":stream/") {
            return Err(ServiceError::validation(format!("StreamArn is not a Kinesis stream of this region: {arn}")));
        }
        let exists = !self.state.faults.missing_streams.iter().any(|missing| missing == arn);
        let (now, settled_at) = (self.now, self.after(self.config.lags.streaming));
        let table = self.settled_table(names::required(body, "TableName")?)?;
        let busy = |one: &Kinesis| one.arn == arn && matches!(one.status(now), "ENABLING" | "ACTIVE" | "DISABLING");
        if table.kinesis.iter().any(busy) {
            return Err(ServiceError::in_use(format!(
                "Table is not in a valid state to enable Kinesis Streaming Destination: {arn}"
            )));
        }
        table.kinesis.retain(|one| one.arn != arn);
        table.kinesis.push(Kinesis { arn: arn.to_owned(), precision, enabled: true, settled_at, exists });
        let mut answer = json!({ "TableName": table.name, "StreamArn": arn, "DestinationStatus": "ENABLING" });
        if let Some(configuration) = configuration {
            answer["EnableKinesisStreamingConfiguration"] = configuration.clone();
        }
        Ok(answer)
    }

    pub(crate) fn disable_kinesis(&mut self, body: &Value) -> Result<Value> {
        let arn = names::required(body, "StreamArn")?;
        let (now, settled_at) = (self.now, self.after(self.config.lags.streaming));
        let table = self.settled_table(names::required(body, "TableName")?)?;
        let name = table.name.clone();
        let one = destination(&mut table.kinesis, arn, now)?;
        (one.enabled, one.settled_at) = (false, settled_at);
        Ok(json!({ "TableName": name, "StreamArn": arn, "DestinationStatus": "DISABLING" }))
    }

    pub(crate) fn update_kinesis(&mut self, body: &Value) -> Result<Value> {
        let arn = names::required(body, "StreamArn")?;
        let configuration = body.get("UpdateKinesisStreamingConfiguration");
        let wanted = precision(configuration)?.ok_or_else(|| names::missing(PRECISION))?;
        let now = self.now;
        let table = self.settled_table(names::required(body, "TableName")?)?;
        let name = table.name.clone();
        destination(&mut table.kinesis, arn, now)?.precision = Some(wanted);
        Ok(json!({
            "TableName": name,
            "StreamArn": arn,
            "DestinationStatus": "UPDATING",
            "UpdateKinesisStreamingConfiguration": configuration,
        }))
    }

    pub(crate) fn describe_insights(&mut self, body: &Value) -> Result<Value> {
        let now = self.now;
        let (table, index) = self.insights_of(body)?;
        let table = self.settled_table(&table)?;
        let mut answer = json!({ "TableName": table.name, "ContributorInsightsStatus": "DISABLED" });
        if !index.is_empty() {
            answer["IndexName"] = index.clone().into();
        }
        if let Some(insights) = table.insights.get(&index) {
            answer["ContributorInsightsStatus"] = insights.status(now).into();
            answer["ContributorInsightsMode"] = insights.mode.clone().into();
            answer["LastUpdateDateTime"] = seconds(insights.changed_at);
        }
        Ok(answer)
    }

    pub(crate) fn update_insights(&mut self, body: &Value) -> Result<Value> {
        let action = names::one_of(body, "ContributorInsightsAction", &["ENABLE", "DISABLE"])?;
        let enabled = action.ok_or_else(|| names::missing("ContributorInsightsAction"))? == "ENABLE";
        let modes = ["ACCESSED_AND_THROTTLED_KEYS", "THROTTLED_KEYS"];
        let mode = names::one_of(body, "ContributorInsightsMode", &modes)?;
        let (table, index) = self.insights_of(body)?;
        let (now, settled_at) = (self.now, self.after(self.config.lags.streaming));
        let table = self.healthy_table(&table)?;
        let before = table.insights.get(&index).map(|insights| insights.mode.clone());
        let mode = mode.map(str::to_owned).or(before).unwrap_or_else(|| modes[0].to_owned());
        let insights = Insights { enabled, mode: mode.clone(), changed_at: now, settled_at };
        let status = insights.status(now);
        let mut answer = json!({
            "TableName": table.name,
            "ContributorInsightsStatus": status,
            "ContributorInsightsMode": mode,
        });
        if !index.is_empty() {
            answer["IndexName"] = index.clone().into();
        }
        table.insights.insert(index, insights);
        Ok(answer)
    }

    /// Table and index (or the empty name) of a call about insights, both existing.
    fn insights_of(&mut self, body: &Value) -> Result<(String, String)> {
        let table = self.settled_table(names::required(body, "TableName")?)?;
        let index = names::optional(body, "IndexName")?.unwrap_or_default();
        if !index.is_empty() && table.spec.index(index).is_none() {
            return Err(ServiceError::new(
                "ResourceNotFoundException",
                format!("Requested resource not found: Index: {index} not found for table: {}", table.name),
            ));
        }
        Ok((table.name.clone(), index.to_owned()))
    }
}

fn precision(configuration: Option<&Value>) -> Result<Option<String>> {
    let Some(configuration) = configuration else { return Ok(None) };
    Ok(names::one_of(configuration, PRECISION, &["MILLISECOND", "MICROSECOND"])?.map(str::to_owned))
}

/// A destination that is on.
fn destination<'a>(all: &'a mut [Kinesis], arn: &str, now: i64) -> Result<&'a mut Kinesis> {
    let found = all.iter_mut().find(|one| one.arn == arn);
    let found = found.ok_or_else(|| {
        ServiceError::new(
            "ResourceNotFoundException",
            format!("Requested resource not found: {arn} is not a destination"),
        )
    })?;
    match found.status(now) {
        "ACTIVE" | "ENABLE_FAILED" => Ok(found),
        status => Err(ServiceError::in_use(format!("Kinesis Streaming Destination {arn} is {status}"))),
    }
}
