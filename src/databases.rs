//! The one place that builds providers from settings, and what is asked of all of them at once.

use crate::failure::{Exit, Failure};
use crate::settings::{DatabaseSettings, ProviderName};
use futures::future::join_all;
use provider_api::{
    BackupProvider, ClockInterval, Confirmed, Context, DataSet, Discovery, ErrorKind, Limiter, ProviderError,
    RecordedSet, RestoreTime, SetRestorability,
};
use std::collections::HashMap;
use std::sync::Arc;

/// A database with its provider.
#[derive(Clone, Debug)]
pub struct Database {
    /// Its name in the settings.
    pub name: String,
    /// The connection.
    pub provider: Arc<dyn BackupProvider>,
}

/// What a preflight learned of a database.
#[derive(Clone, Debug)]
pub struct Surveyed {
    /// Which.
    pub database: Database,
    /// Its data sets and their metadata.
    pub discovery: Discovery,
    /// PITR of every set, in the same order.
    pub confirmed: Vec<Confirmed>,
    /// Its clock.
    pub clock: ClockInterval,
}

/// Builds the providers. Asks no database; the AWS SDK may read its own files and environment.
/// Databases of one region and endpoint share a rate limiter, as they share the account's limits.
pub async fn build(settings: &[DatabaseSettings], time_scale: f64) -> Result<Vec<Database>, Vec<Failure>> {
    let mut databases = Vec::new();
    let mut failures = Vec::new();
    let mut limiters: HashMap<(String, Option<url::Url>), Arc<Limiter>> = HashMap::new();
    for database in settings {
        let built = match database.provider {
            ProviderName::Dynamodb => {
                let mut config = dynamodb(database, time_scale);
                let account = (database.region.clone(), database.endpoint.clone());
                let limiter = || Arc::new(provider_dynamodb::limits::limiter(&config));
                config.limiter = Some(limiters.entry(account).or_insert_with(limiter).clone());
                provider_dynamodb::DynamoDbProvider::connect(config).await
            }
        };
        match built {
            Ok(provider) => databases.push(Database { name: database.name.clone(), provider: Arc::new(provider) }),
            Err(error) => failures.push(failure(&database.name, &error)),
        }
    }
    if failures.is_empty() { Ok(databases) } else { Err(failures) }
}

fn dynamodb(settings: &DatabaseSettings, time_scale: f64) -> provider_dynamodb::Config {
    let url = |url: &Option<url::Url>| url.as_ref().map(|u| u.as_str().trim_end_matches('/').to_owned());
    provider_dynamodb::Config {
        endpoint: url(&settings.endpoint),
        endpoints: provider_dynamodb::Endpoints {
            dynamodb: url(&settings.endpoints.dynamodb),
            autoscaling: url(&settings.endpoints.autoscaling),
            cloudwatch: url(&settings.endpoints.cloudwatch),
        },
        prefix: settings.prefix.clone().unwrap_or_default(),
        metadata_namespace: settings.metadata_namespace.clone(),
        coordinator_namespace: settings.coordinator_namespace.clone(),
        tables: settings.tables.clone(),
        table_prefix: settings.table_prefix.clone(),
        time_scale,
        ..provider_dynamodb::Config::new(&settings.name, &settings.region)
    }
}

/// Discovers, confirms PITR and measures the clock of every database, all at once. All failures are returned together.
pub async fn survey(databases: &[Database], context: &Context) -> (Vec<Surveyed>, Vec<Failure>) {
    let all = join_all(databases.iter().map(|database| survey_one(database, context))).await;
    let mut surveyed = Vec::new();
    let mut failures = Vec::new();
    for (database, result) in databases.iter().zip(all) {
        match result {
            Ok(one) => surveyed.push(one),
            Err(errors) => failures.extend(errors.iter().map(|error| failure(&database.name, error))),
        }
    }
    (surveyed, failures)
}

async fn survey_one(database: &Database, context: &Context) -> Result<Surveyed, Vec<ProviderError>> {
    let provider = &database.provider;
    let discovered = async {
        let discovery = provider.discover(context).await?;
        let confirmed = provider.confirm(context, &discovery.data_sets).await?;
        Ok((discovery, confirmed))
    };
    // The clock last: its measurement is worth the more, the younger it is.
    let (discovery, confirmed) = discovered.await.map_err(|error: ProviderError| vec![error])?;
    let clock = provider.clock(context).await.map_err(|error| vec![error])?;
    Ok(Surveyed { database: database.clone(), discovery, confirmed, clock })
}

/// Where every set of a point stands, database by database.
pub async fn restorable(
    database: &Database,
    context: &Context,
    at: RestoreTime,
    sets: &[RecordedSet],
) -> Result<Vec<SetRestorability>, Failure> {
    database.provider.restorable(context, at, sets).await.map_err(|error| failure(&database.name, &error))
}

/// How two looks at the same database differ, for people; empty when they show the same schema and identities.
pub fn differences(before: &Surveyed, after_discovery: &Discovery, after: &[Confirmed]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let names = |sets: &[DataSet]| sets.iter().map(|s| s.name.clone()).collect::<std::collections::BTreeSet<_>>();
    let (old, new) = (names(&before.discovery.data_sets), names(&after_discovery.data_sets));
    found.extend(old.difference(&new).map(|name| (name.clone(), "is gone since the preflight".to_owned())));
    found.extend(new.difference(&old).map(|name| (name.clone(), "is new since the preflight".to_owned())));
    for set in &before.confirmed {
        let now = after.iter().find(|now| now.name == set.name);
        if let Some(now) = now.filter(|now| now.id != set.id) {
            found.push((set.name.clone(), format!("was dropped and made again: {} became {}", set.id, now.id)));
        }
    }
    for name in old.intersection(&new) {
        if before.discovery.metadata.get(name) != after_discovery.metadata.get(name) {
            found.push((name.clone(), "has other ScalarDB metadata than at the preflight".to_owned()));
        }
    }
    found
}

/// A provider's error for people.
pub fn failure(database: &str, error: &ProviderError) -> Failure {
    let name = match error.kind {
        ErrorKind::PitrOff => "pitr_off",
        ErrorKind::Credentials => "credentials",
        ErrorKind::PermissionDenied => "permission_denied",
        ErrorKind::NotFound => "data_set_not_found",
        ErrorKind::Unreachable => "database_unreachable",
        ErrorKind::Throttled => "throttled",
        ErrorKind::ClockUnsure => "clock_unsure",
        ErrorKind::WrongState => "data_set_state",
        ErrorKind::Invalid => "database_settings",
        ErrorKind::Lost => "point_lost",
        ErrorKind::Fenced => "hold_lost",
        ErrorKind::Cancelled => "cancelled",
        ErrorKind::Service => "database_error",
    };
    Failure::new(Exit::Refused, name, format!("database `{database}`: {error}"), error.hint.clone()).caused_by(error)
}
