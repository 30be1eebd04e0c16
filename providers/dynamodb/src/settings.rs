//! What one DynamoDB database is, as settings.

use crate::limits;
use aws_sdk_dynamodb::config::{SharedCredentialsProvider, SharedHttpClient};
use provider_api::{ErrorKind, Limiter, Mono, ProviderError};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Endpoints of single services; each wins over [`Config::endpoint`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// DynamoDB.
    pub dynamodb: Option<String>,
    /// Application Auto Scaling.
    pub autoscaling: Option<String>,
    /// CloudWatch.
    pub cloudwatch: Option<String>,
}

/// Where monotonic time is read: [`Mono::now`], unless a test runs on other time.
#[derive(Clone)]
pub struct MonoSource(Arc<dyn Fn() -> Mono + Send + Sync>);

impl MonoSource {
    /// Any source. It must go at the pace of tokio's time.
    pub fn new(read: impl Fn() -> Mono + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    pub(crate) fn now(&self) -> Mono {
        (self.0)()
    }
}

impl Default for MonoSource {
    fn default() -> Self {
        Self::new(Mono::now)
    }
}

impl std::fmt::Debug for MonoSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MonoSource")
    }
}

/// The capacity of staging tables, which hold a copy of a table until its backup is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Staging {
    /// On-demand, whatever the table is: nothing is read or written there, so it costs no capacity and counts against no
    /// quota. The backup then says on-demand; the table's own capacity is in its capsule.
    #[default]
    OnDemand,
    /// As the table's own: for as long as they live, the account's provisioned capacity may double.
    AsTable,
}

/// One DynamoDB database. Start from [`Config::new`].
#[derive(Clone, Debug)]
pub struct Config {
    /// Its name in the settings file, for people.
    pub name: String,
    /// AWS region: `ap-northeast-1`. Given, never guessed from the environment.
    pub region: String,
    /// URL that serves every AWS API called. Unset: the SDK's `AWS_ENDPOINT_URL*`, else AWS itself.
    pub endpoint: Option<String>,
    /// URLs of single APIs.
    pub endpoints: Endpoints,
    /// ScalarDB's `scalar.db.dynamo.namespace.prefix`.
    pub prefix: String,
    /// Namespace of ScalarDB's metadata table, without prefix: `scalardb`.
    pub metadata_namespace: String,
    /// Namespace of the coordinator table, without prefix: `coordinator`.
    pub coordinator_namespace: String,
    /// Physical names of tables that are not ScalarDB's. Not empty: ScalarDB's metadata is not read.
    pub tables: Vec<String>,
    /// All tables whose physical name starts with this; they are not ScalarDB's. Set: as with `tables`.
    pub table_prefix: Option<String>,
    /// Divides the lag that DynamoDB is expected to have; never rates or clocks. 1 for AWS.
    pub time_scale: f64,
    /// The capacity of staging tables.
    pub staging: Staging,
    /// Calls per second by operation (`DescribeTable`), instead of [`limits`]' own.
    pub rates: BTreeMap<String, f64>,
    /// A limiter shared with other databases of the same account and region. Unset: one of its own.
    pub limiter: Option<Arc<Limiter>>,
    /// Replaces the HTTP client below the SDK. For tests and in-process services.
    pub http_client: Option<SharedHttpClient>,
    /// Replaces the SDK's credential chain. For tests and in-process services; no settings file can set it.
    pub credentials: Option<SharedCredentialsProvider>,
    /// Replaces the monotonic clock. For tests.
    pub mono: MonoSource,
}

impl Config {
    /// ScalarDB's tables in a region, with ScalarDB's defaults.
    pub fn new(name: impl Into<String>, region: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            region: region.into(),
            endpoint: None,
            endpoints: Endpoints::default(),
            prefix: String::new(),
            metadata_namespace: "scalardb".to_owned(),
            coordinator_namespace: "coordinator".to_owned(),
            tables: Vec::new(),
            table_prefix: None,
            time_scale: 1.0,
            staging: Staging::default(),
            rates: BTreeMap::new(),
            limiter: None,
            http_client: None,
            credentials: None,
            mono: MonoSource::default(),
        }
    }

    /// Physical name of ScalarDB's metadata table.
    pub(crate) fn metadata_table(&self) -> String {
        format!("{}{}.metadata", self.prefix, self.metadata_namespace)
    }

    /// Physical name of the namespaces table that newer ScalarDB versions have.
    pub(crate) fn namespaces_table(&self) -> String {
        format!("{}{}.namespaces", self.prefix, self.metadata_namespace)
    }

    /// Physical name of the coordinator table.
    pub(crate) fn coordinator_table(&self) -> String {
        format!("{}{}.state", self.prefix, self.coordinator_namespace)
    }

    /// Whether tables are given by name or prefix rather than by ScalarDB's metadata.
    pub(crate) fn named_tables(&self) -> bool {
        !self.tables.is_empty() || self.table_prefix.is_some()
    }

    pub(crate) fn check(&self) -> Result<(), ProviderError> {
        let invalid = |what: String, hint: &str| {
            Err(ProviderError::new(ErrorKind::Invalid, format!("database `{}`: {what}", self.name), hint))
        };
        if self.region.trim().is_empty() {
            return invalid("no region".to_owned(), "set `region`, for example region = \"ap-northeast-1\"");
        }
        if !(self.time_scale.is_finite() && self.time_scale > 0.0) {
            return invalid(format!("time_scale is {}", self.time_scale), "set it to 1.0; more only for a sandbox");
        }
        if self.table_prefix.as_deref() == Some("") {
            return invalid(
                "table_prefix is empty".to_owned(),
                "leave it out, or name the prefix: it would be all tables",
            );
        }
        for (operation, rate) in &self.rates {
            if limits::find(operation).is_none() {
                return invalid(format!("no operation `{operation}` to set a rate for"), &limits::known());
            }
            if !(rate.is_finite() && *rate > 0.0) {
                return invalid(format!("rate of {operation} is {rate}"), "give calls per second, above zero");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_prefix_and_namespaces() {
        let mut config = Config::new("bank", "us-east-1");
        config.prefix = "prod_".to_owned();
        config.metadata_namespace = "meta".to_owned();
        assert_eq!(config.metadata_table(), "prod_meta.metadata");
        assert_eq!(config.namespaces_table(), "prod_meta.namespaces");
        assert_eq!(config.coordinator_table(), "prod_coordinator.state");
    }

    #[test]
    fn settings_that_cannot_be_meant_are_refused_with_a_hint() {
        let good = Config::new("bank", "us-east-1");
        assert!(good.check().is_ok());
        let bad = [
            Config { region: " ".to_owned(), ..good.clone() },
            Config { time_scale: 0.0, ..good.clone() },
            Config { time_scale: f64::NAN, ..good.clone() },
            Config { table_prefix: Some(String::new()), ..good.clone() },
            Config { rates: [("DescribeTabel".to_owned(), 1.0)].into(), ..good.clone() },
            Config { rates: [("DescribeTable".to_owned(), 0.0)].into(), ..good.clone() },
        ];
        for config in bad {
            let error = config.check().unwrap_err();
            assert_eq!(error.kind, ErrorKind::Invalid, "{error:?}");
            assert!(!error.hint.is_empty() && error.message.contains("bank"), "{error:?}");
        }
    }
}
