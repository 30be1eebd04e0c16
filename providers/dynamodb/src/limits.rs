//! Every AWS operation that is called, with the rate it is called at. All numbers are here, and nowhere else.
//!
//! Where AWS documents a rate we stay 5 % below it, evenly spaced: answers that were spaced when sent can bunch up on
//! the way. Where AWS documents none, the rate is that of the nearest documented neighbour.
//! Documented: the DynamoDB API Reference page of each operation, and "CloudWatch service quotas" for alarms.

use crate::settings::Config;
use provider_api::{Limiter, Rate};

/// An AWS API, by the prefix of its IAM actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// DynamoDB.
    DynamoDb,
    /// Application Auto Scaling.
    AutoScaling,
    /// CloudWatch.
    CloudWatch,
}

impl Service {
    fn iam_prefix(self) -> &'static str {
        match self {
            Service::DynamoDb => "dynamodb",
            Service::AutoScaling => "application-autoscaling",
            Service::CloudWatch => "cloudwatch",
        }
    }

    /// Its name for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Service::DynamoDb => "DynamoDB",
            Service::AutoScaling => "Application Auto Scaling",
            Service::CloudWatch => "CloudWatch",
        }
    }
}

/// One operation of one API.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Operation {
    /// Its API.
    pub service: Service,
    /// Its name: `DescribeTable`.
    pub name: &'static str,
    /// How fast it may be called.
    pub rate: Rate,
}

impl Operation {
    /// The IAM action that allows it.
    pub fn action(&self) -> String {
        format!("{}:{}", self.service.iam_prefix(), self.name)
    }
}

const fn dynamodb(name: &'static str, rate: Rate) -> Operation {
    Operation { service: Service::DynamoDb, name, rate }
}

const fn scaling(name: &'static str, rate: Rate) -> Operation {
    Operation { service: Service::AutoScaling, name, rate }
}

/// 10 calls a second, less 5 %.
const TEN: Rate = Rate::paced(9.5);
/// 5 calls a second, less 5 %.
const FIVE: Rate = Rate::paced(4.75);

/// Documented: at most 10 times per second.
pub const DESCRIBE_CONTINUOUS_BACKUPS: Operation = dynamodb("DescribeContinuousBackups", TEN);
/// Not documented. The rate of DescribeContinuousBackups, which is always called beside it: faster gains nothing.
pub const DESCRIBE_TABLE: Operation = dynamodb("DescribeTable", TEN);
/// Not documented. 2,500 tables, the default quota of a region, are 25 pages; the burst is for measuring the clock,
/// which sends a few small requests at exact moments.
pub const LIST_TABLES: Operation = dynamodb("ListTables", Rate { per_second: 9.5, burst: 10 });
/// Bounded by the metadata table's read capacity (often 1 unit), not by a rate; throttled answers set the pace.
pub const SCAN: Operation = dynamodb("Scan", TEN);
/// Bounded by a table's read capacity, not by a rate: verification pays for what it reads by a budget of its own.
pub const BATCH_GET_ITEM: Operation = dynamodb("BatchGetItem", TEN);
/// Documented: up to 10 times per second, per account.
pub const LIST_TAGS_OF_RESOURCE: Operation = dynamodb("ListTagsOfResource", TEN);
/// Not documented; throttling was seen at four calls back to back.
pub const DESCRIBE_TIME_TO_LIVE: Operation = dynamodb("DescribeTimeToLive", FIVE);
/// Not documented. As the insights calls.
pub const GET_RESOURCE_POLICY: Operation = dynamodb("GetResourcePolicy", FIVE);
/// Not documented. As the insights calls.
pub const DESCRIBE_KINESIS_STREAMING_DESTINATION: Operation = dynamodb("DescribeKinesisStreamingDestination", FIVE);
/// Documented: 5 times per second.
pub const DESCRIBE_CONTRIBUTOR_INSIGHTS: Operation = dynamodb("DescribeContributorInsights", FIVE);
/// Not documented per operation; the service throttles by account. 50 targets a page.
pub const DESCRIBE_SCALABLE_TARGETS: Operation = scaling("DescribeScalableTargets", FIVE);
/// As DescribeScalableTargets; 10 policies a page.
pub const DESCRIBE_SCALING_POLICIES: Operation = scaling("DescribeScalingPolicies", FIVE);
/// As DescribeScalableTargets.
pub const DESCRIBE_SCHEDULED_ACTIONS: Operation = scaling("DescribeScheduledActions", FIVE);
/// As DescribeScalableTargets; one call per target, so at twice the pace.
pub const LIST_TAGS_FOR_RESOURCE: Operation = scaling("ListTagsForResource", TEN);
/// Documented: 9 transactions per second per region; 100 alarms a page.
pub const DESCRIBE_ALARMS: Operation =
    Operation { service: Service::CloudWatch, name: "DescribeAlarms", rate: Rate::paced(8.5) };

/// Not documented; ten a second, as its sister RestoreTableFromBackup is.
pub const RESTORE_TABLE_TO_POINT_IN_TIME: Operation = dynamodb("RestoreTableToPointInTime", TEN);
/// Documented: up to 10 times per second.
pub const RESTORE_TABLE_FROM_BACKUP: Operation = dynamodb("RestoreTableFromBackup", TEN);
/// Documented: 50 times per second. Slower, because the service was seen to throttle when more than about four changes
/// of tables and backups run at once.
pub const CREATE_BACKUP: Operation = dynamodb("CreateBackup", FIVE);
/// Documented: up to 10 times per second.
pub const DESCRIBE_BACKUP: Operation = dynamodb("DescribeBackup", TEN);
/// Documented: a maximum of 5 times per second.
pub const LIST_BACKUPS: Operation = dynamodb("ListBackups", FIVE);
/// Documented: up to 10 times per second. Slower, as CreateBackup.
pub const DELETE_BACKUP: Operation = dynamodb("DeleteBackup", FIVE);
/// Not documented. As CreateBackup.
pub const DELETE_TABLE: Operation = dynamodb("DeleteTable", FIVE);

/// Not documented. As CreateBackup: changes of tables.
pub const UPDATE_TABLE: Operation = dynamodb("UpdateTable", FIVE);
/// Not documented. As UpdateTable.
pub const UPDATE_CONTINUOUS_BACKUPS: Operation = dynamodb("UpdateContinuousBackups", FIVE);
/// Documented: up to five times per second, per account.
pub const TAG_RESOURCE: Operation = dynamodb("TagResource", FIVE);
/// Not documented. As UpdateTable.
pub const UPDATE_TIME_TO_LIVE: Operation = dynamodb("UpdateTimeToLive", FIVE);
/// Not documented. As UpdateTable.
pub const PUT_RESOURCE_POLICY: Operation = dynamodb("PutResourcePolicy", FIVE);
/// Not documented. As UpdateTable.
pub const ENABLE_KINESIS_STREAMING_DESTINATION: Operation = dynamodb("EnableKinesisStreamingDestination", FIVE);
/// Not documented. As UpdateTable.
pub const UPDATE_KINESIS_STREAMING_DESTINATION: Operation = dynamodb("UpdateKinesisStreamingDestination", FIVE);
/// Never sent; named in commands for people.
pub const DISABLE_KINESIS_STREAMING_DESTINATION: Operation = dynamodb("DisableKinesisStreamingDestination", FIVE);
/// Documented: 5 times per second.
pub const UPDATE_CONTRIBUTOR_INSIGHTS: Operation = dynamodb("UpdateContributorInsights", FIVE);
/// As DescribeScalableTargets.
pub const REGISTER_SCALABLE_TARGET: Operation = scaling("RegisterScalableTarget", FIVE);
/// As DescribeScalableTargets.
pub const DEREGISTER_SCALABLE_TARGET: Operation = scaling("DeregisterScalableTarget", FIVE);
/// As DescribeScalableTargets.
pub const PUT_SCALING_POLICY: Operation = scaling("PutScalingPolicy", FIVE);
/// As DescribeScalableTargets.
pub const PUT_SCHEDULED_ACTION: Operation = scaling("PutScheduledAction", FIVE);
/// As DescribeScalableTargets. Its name is that of DynamoDB's own call, whose rate they share.
pub const TAG_SCALABLE_TARGET: Operation = scaling("TagResource", FIVE);
/// Documented: 3 transactions per second per region.
pub const PUT_METRIC_ALARM: Operation =
    Operation { service: Service::CloudWatch, name: "PutMetricAlarm", rate: Rate::paced(2.85) };

/// Restores of any kind that an account may run at once. Documented: LimitExceededException in the API Reference, "There
/// is a limit of 50 concurrent restores"; also measured.
pub const RESTORES_AT_ONCE: usize = 50;
/// Read capacity units, and as many write capacity units, that all provisioned tables of an account and region may have
/// together by default. Documented: "Quotas in Amazon DynamoDB", account-level quotas.
pub const ACCOUNT_CAPACITY: i64 = 80_000;
/// Tables that an account may have in a region by default. Documented: LimitExceededException in the API Reference.
pub const TABLES_OF_ACCOUNT: usize = 2_500;
/// Read units a second that an on-demand table serves from its first moment. Documented: "Read/write capacity mode" and
/// WarmThroughput in the API Reference.
pub const ON_DEMAND_READS: f64 = 12_000.0;
/// Keys of one BatchGetItem. Documented: its page in the API Reference.
pub const BATCH_KEYS: usize = 100;
/// Characters of a table's, an index's or a backup's name. Documented: the API Reference of each call that makes one.
pub const LONGEST_NAME: usize = 255;

/// All of them.
pub const ALL: [Operation; 35] = [
    DESCRIBE_CONTINUOUS_BACKUPS,
    DESCRIBE_TABLE,
    LIST_TABLES,
    SCAN,
    BATCH_GET_ITEM,
    LIST_TAGS_OF_RESOURCE,
    DESCRIBE_TIME_TO_LIVE,
    GET_RESOURCE_POLICY,
    DESCRIBE_KINESIS_STREAMING_DESTINATION,
    DESCRIBE_CONTRIBUTOR_INSIGHTS,
    DESCRIBE_SCALABLE_TARGETS,
    DESCRIBE_SCALING_POLICIES,
    DESCRIBE_SCHEDULED_ACTIONS,
    LIST_TAGS_FOR_RESOURCE,
    DESCRIBE_ALARMS,
    RESTORE_TABLE_TO_POINT_IN_TIME,
    RESTORE_TABLE_FROM_BACKUP,
    CREATE_BACKUP,
    DESCRIBE_BACKUP,
    LIST_BACKUPS,
    DELETE_BACKUP,
    DELETE_TABLE,
    UPDATE_TABLE,
    UPDATE_CONTINUOUS_BACKUPS,
    TAG_RESOURCE,
    UPDATE_TIME_TO_LIVE,
    PUT_RESOURCE_POLICY,
    ENABLE_KINESIS_STREAMING_DESTINATION,
    UPDATE_KINESIS_STREAMING_DESTINATION,
    UPDATE_CONTRIBUTOR_INSIGHTS,
    REGISTER_SCALABLE_TARGET,
    DEREGISTER_SCALABLE_TARGET,
    PUT_SCALING_POLICY,
    PUT_SCHEDULED_ACTION,
    PUT_METRIC_ALARM,
];

/// The operation of this name.
pub(crate) fn find(name: &str) -> Option<Operation> {
    ALL.into_iter().find(|operation| operation.name == name)
}

/// A hint that lists what a rate can be set for.
pub(crate) fn known() -> String {
    format!("rates can be set for: {}", ALL.map(|operation| operation.name).join(", "))
}

/// A limiter for the account and region of these settings.
pub fn limiter(config: &Config) -> Limiter {
    let rates = ALL.map(|operation| {
        let rate = config.rates.get(operation.name).map_or(operation.rate, |&rate| Rate::paced(rate));
        (operation.name, rate)
    });
    Limiter::new(rates, FIVE)
}
