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
    let metadata = described(cloud, config, context).await?;
    let existing = existing(cloud, context).await?;
    metadata::discovery(config, metadata, &existing)
}

/// ScalarDB's description of its tables: a consistent scan of all pages.
async fn described(
    cloud: &Cloud,
    config: &Config,
    context: &Context,
) -> Result<BTreeMap<String, Value>, ProviderError> {
    let table = config.metadata_table();
    let mut described = BTreeMap::new();
    let mut start = None;
    loop {
        let page = cloud
            .call(context, &SCAN, &table, || {
                let scan = cloud.dynamodb.scan().table_name(&table).consistent_read(true).limit(PAGE);
                scan.set_exclusive_start_key(start.clone()).send()
            })
            .await
            .map_err(|fault| match fault.error.kind {
                ErrorKind::NotFound => no_metadata(config, fault.error),
                _ => fault.error,
            })?;
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
async fn existing(cloud: &Cloud, context: &Context) -> Result<BTreeSet<String>, ProviderError> {
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
