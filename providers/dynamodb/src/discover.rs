//! Which tables are ScalarDB's.

use crate::client::Cloud;
use crate::limits::{LIST_TABLES, SCAN};
use crate::metadata;
use crate::settings::Config;
use provider_api::{Context, Discovery, ErrorKind, ProviderError};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Items a page. The metadata table often has one read unit a second, and a large page would spend minutes of it at
/// once: small pages let a throttled scan get on.
const PAGE: i32 = 100;

pub(crate) async fn discover(cloud: &Cloud, config: &Config, context: &Context) -> Result<Discovery, ProviderError> {
    if config.named_tables() {
        let existing = existing(cloud, context).await?;
        return metadata::named(config, &existing);
    }
    // One after the other, metadata first: a table dropped in between is then missing, never overlooked.
    let metadata = described(cloud, &config.metadata_table(), context).await.map_err(|error| match error.kind {
        ErrorKind::NotFound => no_metadata(config, error),
        _ => error,
    })?;
    let existing = existing(cloud, context).await?;
    metadata::discovery(config, metadata, &existing)
}

/// The names of the tables that are there and are ScalarDB's, also where others of them are missing.
pub(crate) async fn present(
    cloud: &Cloud,
    config: &Config,
    context: &Context,
) -> Result<BTreeSet<String>, ProviderError> {
    if config.named_tables() {
        let found = discover(cloud, config, context).await?;
        return Ok(found.data_sets.into_iter().map(|set| set.name).collect());
    }
    let described = described(cloud, &config.metadata_table(), context).await.map_err(|error| match error.kind {
        ErrorKind::NotFound => no_metadata(config, error),
        _ => error,
    })?;
    let existing = existing(cloud, context).await?;
    Ok(described.into_keys().filter(|name| existing.contains(name)).collect())
}

/// ScalarDB's description of its tables: a consistent scan of all pages of its metadata table.
pub(crate) async fn described(
    cloud: &Cloud,
    table: &str,
    context: &Context,
) -> Result<BTreeMap<String, Value>, ProviderError> {
    let mut described = BTreeMap::new();
    let mut start = None;
    loop {
        let page = cloud
            .call(context, &SCAN, table, || {
                let scan = cloud.dynamodb.scan().table_name(table).consistent_read(true).limit(PAGE);
                scan.set_exclusive_start_key(start.clone()).send()
            })
            .await?;
        described.extend(page.items.unwrap_or_default().into_iter().filter_map(metadata::described));
        match page.last_evaluated_key {
            Some(key) if !key.is_empty() => start = Some(key),
            _ => return Ok(described),
        }
    }
}

fn no_metadata(config: &Config, cause: ProviderError) -> ProviderError {
    let table = config.metadata_table();
    let message = format!("no ScalarDB metadata table `{table}` in {}", config.region);
    let hint = "set `region`, `prefix` and `metadata_namespace` as in ScalarDB's configuration; \
                for tables that are not ScalarDB's set `tables` or `table_prefix`";
    ProviderError { source: cause.source, ..ProviderError::new(ErrorKind::NotFound, message, hint).about([table]) }
}

/// The names of all tables of the account in the region.
pub(crate) async fn existing(cloud: &Cloud, context: &Context) -> Result<BTreeSet<String>, ProviderError> {
    let mut names = BTreeSet::new();
    let mut start: Option<String> = None;
    loop {
        let page = cloud
            .call(context, &LIST_TABLES, "", || {
                cloud.dynamodb.list_tables().set_exclusive_start_table_name(start.clone()).send()
            })
            .await?;
        names.extend(page.table_names.unwrap_or_default());
        match page.last_evaluated_table_name {
            Some(name) => start = Some(name),
            None => return Ok(names),
        }
    }
}
