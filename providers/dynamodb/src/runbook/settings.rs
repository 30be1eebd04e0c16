//! What a restore drops, put back table by table in the order that works: point-in-time recovery first, deletion protection last.

use super::Table;
use super::restore::list;
use super::shell::{Command, Script};
use serde_json::{Value, json};

pub(super) fn put_back(script: &mut Script, tables: &[Table<'_>]) {
    for table in tables {
        script.part(&format!("Settings of {}, as they were when the point was made", table.name));
        for unread in &table.unread {
            script.remark(format!("not known, since it could not be read then: {unread}"));
        }
        recovery(script, table);
        of_the_table(script, table);
        tags(script, table);
        time_to_live(script, table);
        kinesis(script, table);
        insights(script, table);
        policies(script, table);
        auto_scaling(script, table);
        if table.settings["table"]["DeletionProtectionEnabled"] == true {
            script.run(on(table, "update-table").flag("--deletion-protection-enabled"));
        }
    }
}

fn on(table: &Table<'_>, operation: &str) -> Command {
    Command::dynamodb(operation, &table.region).with("--table-name", table.name)
}

fn wait(script: &mut Script, table: &Table<'_>) {
    let wait = Command::aws("dynamodb wait", "table-exists", &table.region);
    script.run(wait.with("--table-name", table.name));
}

fn recovery(script: &mut Script, table: &Table<'_>) {
    let recovery = &table.settings["continuous_backups"]["PointInTimeRecoveryDescription"];
    if recovery["PointInTimeRecoveryStatus"] == "ENABLED" {
        let mut given = json!({ "PointInTimeRecoveryEnabled": true });
        // Left out, the service would set 35 days.
        if let Some(days) = recovery["RecoveryPeriodInDays"].as_i64() {
            given["RecoveryPeriodInDays"] = json!(days);
        }
        script.run(on(table, "update-continuous-backups").with_json("--point-in-time-recovery-specification", &given));
    }
}

fn of_the_table(script: &mut Script, table: &Table<'_>) {
    let described = &table.settings["table"];
    if let Some(class) = described["TableClassSummary"]["TableClass"].as_str().filter(|class| *class != "STANDARD") {
        script.run(on(table, "update-table").with("--table-class", class));
        wait(script, table);
    }
    if described["StreamSpecification"]["StreamEnabled"] == true {
        script.remark(
            "The stream gets a new ARN: its consumers (Lambda triggers, Kinesis adapters) must be pointed at it.",
        );
        let view = &described["StreamSpecification"]["StreamViewType"];
        let given = json!({ "StreamEnabled": true, "StreamViewType": view });
        script.run(on(table, "update-table").with_json("--stream-specification", &given));
        wait(script, table);
    }
}

fn tags(script: &mut Script, table: &Table<'_>) {
    let ours = |tag: &&Value| !tag["Key"].as_str().unwrap_or_default().starts_with("aws:");
    let tags: Vec<Value> = list(&table.settings["tags"]).filter(ours).cloned().collect();
    if !tags.is_empty() {
        let command = Command::dynamodb("tag-resource", &table.region).with("--resource-arn", &table.arn);
        script.run(command.with_json("--tags", &Value::Array(tags)));
    }
}

fn time_to_live(script: &mut Script, table: &Table<'_>) {
    let given = &table.settings["time_to_live"];
    if let Some(name) = given["AttributeName"].as_str()
        && is_on(&given["TimeToLiveStatus"])
    {
        let given = json!({ "Enabled": true, "AttributeName": name });
        script.run(on(table, "update-time-to-live").with_json("--time-to-live-specification", &given));
    }
}

/// ENABLED, ENABLING, ACTIVE.
fn is_on(status: &Value) -> bool {
    matches!(status.as_str(), Some("ENABLED" | "ENABLING" | "ACTIVE"))
}

fn kinesis(script: &mut Script, table: &Table<'_>) {
    for destination in list(&table.settings["kinesis_destinations"]).filter(|one| is_on(&one["DestinationStatus"])) {
        let stream = destination["StreamArn"].as_str().unwrap_or_default();
        let command = on(table, "enable-kinesis-streaming-destination").with("--stream-arn", stream);
        script.run(match destination["ApproximateCreationDateTimePrecision"].as_str() {
            Some(precision) => command.with_json(
                "--enable-kinesis-streaming-configuration",
                &json!({ "ApproximateCreationDateTimePrecision": precision }),
            ),
            None => command,
        });
    }
}

fn insights(script: &mut Script, table: &Table<'_>) {
    for one in list(&table.settings["contributor_insights"]).filter(|one| is_on(&one["ContributorInsightsStatus"])) {
        let mut command = on(table, "update-contributor-insights").with("--contributor-insights-action", "ENABLE");
        if let Some(index) = one["IndexName"].as_str() {
            command = command.with("--index-name", index);
        }
        if let Some(mode) = one["ContributorInsightsMode"].as_str() {
            command = command.with("--contributor-insights-mode", mode);
        }
        script.run(command);
    }
}

fn policies(script: &mut Script, table: &Table<'_>) {
    if let Some(policy) = table.settings["resource_policy"]["Policy"].as_str() {
        let command = Command::dynamodb("put-resource-policy", &table.region).with("--resource-arn", &table.arn);
        script.run(command.with("--policy", policy));
    }
    if let Some(policy) = table.settings["stream_resource_policy"]["Policy"].as_str() {
        script.remark(format!("The old stream had this policy; put it on the new one, with its ARN: {policy}"));
    }
}

fn auto_scaling(script: &mut Script, table: &Table<'_>) {
    let settings = table.settings;
    for target in list(&settings["auto_scaling_targets"]) {
        let mut command = scaling("register-scalable-target", table, target);
        for (flag, field) in [("--min-capacity", "MinCapacity"), ("--max-capacity", "MaxCapacity")] {
            if let Some(units) = target[field].as_i64() {
                command = command.with(flag, &units.to_string());
            }
        }
        if target["SuspendedState"].is_object() {
            command = command.with_json("--suspended-state", &target["SuspendedState"]);
        }
        let mut tagged = list(&settings["auto_scaling_target_tags"]);
        if let Some(tags) = tagged.find(|tagged| tagged["ScalableTargetARN"] == target["ScalableTargetARN"])
            && tags["Tags"].as_object().is_some_and(|tags| !tags.is_empty())
        {
            command = command.with_json("--tags", &tags["Tags"]);
        }
        script.run(command);
    }
    for policy in list(&settings["auto_scaling_policies"]) {
        let mut command = scaling("put-scaling-policy", table, policy)
            .with("--policy-name", policy["PolicyName"].as_str().unwrap_or_default())
            .with("--policy-type", policy["PolicyType"].as_str().unwrap_or("TargetTrackingScaling"));
        for (flag, field) in [
            ("--target-tracking-scaling-policy-configuration", "TargetTrackingScalingPolicyConfiguration"),
            ("--step-scaling-policy-configuration", "StepScalingPolicyConfiguration"),
        ] {
            if policy[field].is_object() {
                command = command.with_json(flag, &policy[field]);
            }
        }
        script.run(command);
    }
    for action in list(&settings["auto_scaling_scheduled_actions"]) {
        scheduled(script, table, action);
    }
}

fn scheduled(script: &mut Script, table: &Table<'_>, action: &Value) {
    let name = action["ScheduledActionName"].as_str().unwrap_or_default();
    let mut command = scaling("put-scheduled-action", table, action).with("--scheduled-action-name", name);
    for (flag, field) in [("--schedule", "Schedule"), ("--timezone", "Timezone")] {
        if let Some(text) = action[field].as_str() {
            command = command.with(flag, text);
        }
    }
    for (flag, field) in [("--start-time", "StartTime"), ("--end-time", "EndTime")] {
        match &action[field] {
            Value::Number(seconds) => command = command.with(flag, &seconds.to_string()),
            Value::String(text) => command = command.with(flag, text),
            _ => {}
        }
    }
    if action["ScalableTargetAction"].is_object() {
        command = command.with_json("--scalable-target-action", &action["ScalableTargetAction"]);
    }
    script.run(command);
}

/// A call about one target, policy or scheduled action.
pub(super) fn scaling(operation: &str, table: &Table<'_>, of: &Value) -> Command {
    Command::aws("application-autoscaling", operation, &table.region)
        .with("--service-namespace", "dynamodb")
        .with("--resource-id", of["ResourceId"].as_str().unwrap_or_default())
        .with("--scalable-dimension", of["ScalableDimension"].as_str().unwrap_or_default())
}
