//! API rates, as token buckets on the sandbox's clock.

use std::collections::HashMap;

/// Calls per second and the burst before them, for the operations that have a documented or measured rate.
fn rate(operation: &str) -> Option<(f64, f64)> {
    Some(match operation {
        "CreateBackup" => (50.0, 50.0),
        "DescribeBackup"
        | "DeleteBackup"
        | "RestoreTableFromBackup"
        | "RestoreTableToPointInTime"
        | "DescribeContinuousBackups"
        | "ListTagsOfResource" => (10.0, 10.0),
        "ListBackups"
        | "TagResource"
        | "UntagResource"
        | "DescribeContributorInsights"
        | "UpdateContributorInsights"
        | "ListContributorInsights" => (5.0, 5.0),
        "DescribeTimeToLive" => (10.0, 4.0),
        "DescribeLimits" => (1.0 / 60.0, 1.0),
        _ => return None,
    })
}

/// The account's buckets: full at first, filled evenly.
#[derive(Debug, Default)]
pub(crate) struct Limits(HashMap<String, Bucket>);

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: i64,
}

impl Limits {
    /// Takes a token for `operation` at `now` (ns), if there is one.
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn admit(&mut self, operation: &str, now: i64) -> bool {
        let Some((rate, burst)) = rate(operation) else { return true };
        let bucket = self.0.entry(operation.to_owned()).or_insert(Bucket { tokens: burst, at: now });
        let passed = now.saturating_sub(bucket.at).max(0) as f64 / 1e9;
        bucket.tokens = (bucket.tokens + passed * rate).min(burst);
        bucket.at = now;
        // The sum of many small refills falls short of a whole token by rounding only.
        let admitted = bucket.tokens >= 1.0 - 1e-6;
        if admitted {
            bucket.tokens -= 1.0;
        }
        admitted
    }
}

/// Does it change a table, so that only a few of it may run at once?
pub(crate) fn is_control_write(operation: &str) -> bool {
    matches!(
        operation,
        "CreateTable"
            | "UpdateTable"
            | "DeleteTable"
            | "UpdateContinuousBackups"
            | "UpdateTimeToLive"
            | "PutResourcePolicy"
            | "DeleteResourcePolicy"
            | "EnableKinesisStreamingDestination"
            | "DisableKinesisStreamingDestination"
            | "UpdateKinesisStreamingDestination"
            | "UpdateContributorInsights"
            | "TagResource"
            | "UntagResource"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_the_rate() {
        let mut limits = Limits::default();
        let admitted = (0..20).filter(|_| limits.admit("DescribeContinuousBackups", 0)).count();
        assert_eq!(admitted, 10);
        assert!(!limits.admit("DescribeContinuousBackups", 99_000_000));
        assert!(limits.admit("DescribeContinuousBackups", 100_000_000));
        assert!((0..100).all(|_| limits.admit("PutItem", 0)));
    }

    #[test]
    fn a_client_at_exactly_the_rate_is_never_refused() {
        let mut limits = Limits::default();
        assert!((0..1000).all(|n| limits.admit("DescribeContinuousBackups", n * 100_000_000)));
    }
}
