//! What there is: metadata, tables, keys, indexes; how each table will be read, and what is wrong before anything is read.

use super::Target;
use super::schema::{self, Layout};
use crate::client::Cloud;
use crate::limits::ON_DEMAND_READS;
use crate::settings::Config;
use crate::{discover, names, table, together};
use aws_sdk_dynamodb::types::TableDescription;
use provider_api::verify::{Judge, ReadPace};
use provider_api::{Context, ErrorKind, ProviderError, ReadBudget, Role, Rule, TableCounts, TableKind, VerifyRequest};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Read units of one page: one megabyte, eventually consistent, at 4 KB for half a unit.
pub(super) const PAGE_UNITS: f64 = 128.0;
/// A slow answer of a whole page, in seconds: so many pages must be on their way to use a rate.
const SLOW_PAGE: f64 = 0.25;
/// Parts of a table, at most, when nobody says otherwise.
const MOST_SEGMENTS: f64 = 32.0;

/// A table and what is known of it without reading it.
struct Found {
    name: String,
    role: Role,
    table: String,
    described: Option<TableDescription>,
}

pub(super) async fn survey(
    cloud: &Cloud,
    config: &Config,
    context: &Context,
    request: &VerifyRequest<'_>,
) -> Result<(Judge, Vec<Target>), ProviderError> {
    let named = config.named_tables();
    let metadata = if named { None } else { metadata(cloud, config, context, request).await? };
    let mut wanted: BTreeMap<String, Role> = request.sets.iter().map(|set| (set.name.clone(), set.role)).collect();
    for name in metadata.iter().flatten().map(|(name, _)| name) {
        let role = if *name == config.coordinator_table() { Role::Coordinator } else { Role::User };
        wanted.entry(name.clone()).or_insert(role);
    }
    let found =
        together(wanted.into_iter().map(|(name, role)| look(cloud, context, request.prefix, name, role))).await?;
    let shared = match request.budget {
        ReadBudget::Units(units) => Some(Arc::new(ReadPace::new(units))),
        ReadBudget::Percent(_) => None,
    };
    let described = metadata.as_ref().unwrap_or(request.metadata);
    let (mut counts, mut targets, mut broken, mut rows) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for found in &found {
        let layout = layout(config, found, described);
        let Some(description) = usable(found, &mut broken) else { continue };
        broken.extend(schema::breaches(&found.name, layout, description).into_iter().map(|b| (found.table.clone(), b)));
        let kind = kind(layout);
        rows += u64::try_from(description.item_count.unwrap_or(0)).unwrap_or(0);
        if kind != TableKind::Metadata {
            targets.push(target(counts.len(), found, kind, description, request, shared.as_ref()));
        }
        counts.push(TableCounts::new(&found.name, &found.table, kind));
    }
    let mut judge = Judge::new(request.limits, counts, rows.max(EXPECTED_AT_LEAST));
    for (table, (rule, detail)) in broken {
        judge.broken_table(rule, &table, detail);
    }
    compare(&mut judge, config, request, metadata.as_ref());
    remarks(&mut judge, named, request, &found);
    Ok((judge, targets))
}

/// DescribeTable counts with a lag of hours: a table that was restored a moment ago shows none of its records.
const EXPECTED_AT_LEAST: u64 = 4_000_000;

/// ScalarDB's metadata; `None`: there is no such table.
async fn metadata(
    cloud: &Cloud,
    config: &Config,
    context: &Context,
    request: &VerifyRequest<'_>,
) -> Result<Option<BTreeMap<String, Value>>, ProviderError> {
    let table = names::prefixed(request.prefix, &config.metadata_table());
    match discover::described(cloud, &table, context).await {
        Ok(described) => Ok(Some(described)),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

async fn look(
    cloud: &Cloud,
    context: &Context,
    prefix: &str,
    name: String,
    role: Role,
) -> Result<Found, ProviderError> {
    let table = names::prefixed(prefix, &name);
    let described = match table::describe(cloud, context, &table).await {
        Ok(described) => Some(described),
        Err(fault) if fault.error.kind == ErrorKind::NotFound => None,
        Err(fault) => return Err(fault.error),
    };
    Ok(Found { name, role, table, described })
}

fn layout<'a>(config: &Config, found: &Found, described: &'a BTreeMap<String, Value>) -> Layout<'a> {
    match found.role {
        _ if config.named_tables() => Layout::Unknown,
        Role::Coordinator => Layout::Coordinator,
        Role::Metadata if found.name == config.namespaces_table() => Layout::Namespaces,
        Role::Metadata => Layout::Metadata,
        Role::User => described.get(&found.name).map_or(Layout::Unknown, Layout::Described),
    }
}

fn kind(layout: Layout<'_>) -> TableKind {
    match layout {
        Layout::Coordinator => TableKind::Coordinator,
        Layout::Metadata => TableKind::Metadata,
        Layout::Described(metadata) if schema::is_transactional(metadata) => TableKind::Transactional,
        Layout::Described(_) | Layout::Namespaces | Layout::Unknown => TableKind::Plain,
    }
}

/// The description of a table that can be read.
fn usable<'a>(found: &'a Found, broken: &mut Vec<(String, (Rule, String))>) -> Option<&'a TableDescription> {
    let mut missing = |detail: String| broken.push((found.table.clone(), (Rule::TableMissing, detail)));
    let Some(description) = &found.described else {
        missing("there is no such table".to_owned());
        return None;
    };
    if let Some((why, ..)) = description.table_status.as_ref().and_then(table::trouble) {
        missing(why.to_owned());
        return None;
    }
    Some(description)
}

fn target(
    index: usize,
    found: &Found,
    kind: TableKind,
    description: &TableDescription,
    request: &VerifyRequest<'_>,
    shared: Option<&Arc<ReadPace>>,
) -> Target {
    let pace = match (shared, request.budget) {
        (Some(shared), _) => Arc::clone(shared),
        (None, ReadBudget::Percent(percent)) => Arc::new(ReadPace::new(capacity(description) * percent / 100.0)),
        (None, ReadBudget::Units(units)) => Arc::new(ReadPace::new(units)),
    };
    // Whole and small: rates are far below what would not fit.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let by_rate = (pace.rate() * SLOW_PAGE / PAGE_UNITS).ceil().clamp(1.0, MOST_SEGMENTS) as u32;
    Target {
        index,
        table: found.table.clone(),
        kind,
        keys: description.key_schema().iter().map(|key| key.attribute_name.clone()).collect(),
        pace,
        segments: request.segments.unwrap_or(by_rate).max(1),
    }
}

/// Read units a second that the table serves.
fn capacity(description: &TableDescription) -> f64 {
    let provisioned = description
        .provisioned_throughput
        .as_ref()
        .and_then(|units| units.read_capacity_units)
        .filter(|units| *units > 0);
    // Capacities are far below what a float cannot tell apart.
    #[allow(clippy::cast_precision_loss)]
    let float = |units: i64| units as f64;
    if let Some(units) = provisioned {
        return float(units);
    }
    let warm = description.warm_throughput.as_ref().and_then(|warm| warm.read_units_per_second);
    let most = description.on_demand_throughput.as_ref().and_then(|most| most.max_read_request_units);
    let most = most.filter(|units| *units > 0).map_or(f64::INFINITY, float);
    warm.map_or(ON_DEMAND_READS, float).min(most)
}

/// The point's tables, its recorded metadata, and the metadata there is now.
fn compare(
    judge: &mut Judge,
    config: &Config,
    request: &VerifyRequest<'_>,
    metadata: Option<&BTreeMap<String, Value>>,
) {
    let Some(now) = metadata else { return };
    let physical = |name: &str| names::prefixed(request.prefix, name);
    for set in request.sets.iter().filter(|set| set.role == Role::User && !now.contains_key(&set.name)) {
        let detail = format!("ScalarDB's metadata `{}` does not describe it", physical(&config.metadata_table()));
        judge.broken_table(Rule::NotDescribed, &physical(&set.name), detail);
    }
    for (name, recorded) in request.metadata {
        if now.get(name).is_some_and(|now| now != recorded) {
            let detail = "its columns, keys or indexes in ScalarDB's metadata are not those recorded with the point";
            judge.broken_table(Rule::MetadataDiffers, &physical(name), detail);
        }
    }
    let counted = judge.tables().iter().position(|table| table.kind == TableKind::Metadata);
    if let Some(index) = counted {
        judge.plain(index, u64::try_from(now.len()).unwrap_or(u64::MAX));
    }
}

fn remarks(judge: &mut Judge, named: bool, request: &VerifyRequest<'_>, found: &[Found]) {
    if named {
        judge.remark("the tables are given by name, not by ScalarDB's metadata: they are counted, and not judged");
    }
    let recorded: BTreeSet<_> = request.sets.iter().map(|set| (set.name.as_str(), set.id.as_str())).collect();
    let same = |found: &&Found| {
        let id = found.described.as_ref().map(table::identity);
        id.is_some_and(|id| recorded.contains(&(found.name.as_str(), id.as_str())))
    };
    let unrestored = found.iter().filter(same).count();
    if request.prefix.is_empty() && unrestored > 0 {
        judge.remark(format!(
            "{unrestored} of {} tables are still those from when the point was made: they were not restored, and what they \
             hold now was verified",
            found.len()
        ));
    }
    let points: BTreeSet<_> = request.sets.iter().map(|set| set.name.as_str()).collect();
    for found in found.iter().filter(|found| !points.contains(found.name.as_str())) {
        judge.remark(format!("`{}` is in ScalarDB's metadata, but not in the point", found.table));
    }
}
