//! What must hold between values: bounds, and sums that leave a window room to end in order.

use super::resolve::{Mentioned, Resolver};
use super::source::{Problem, Shown, Source, Told};
use super::{
    Hold, LEAST_KEEP, MOST_KEEP, Needs, PruneSettings, RETRY_BEYOND_DRAIN, Settings, TargetSettings, WindowSettings,
    address, units,
};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Checks everything that is resolved. What breaks a bound goes back to its default, so that later sums make sense.
pub(super) fn check(resolver: &mut Resolver<'_>, settings: &mut Settings) {
    let Settings { catalog_url, state_dir: _, window, time_scale, prune, targets, databases: _ } = settings;
    if catalog_url.scheme() == "memory" {
        resolver.warnings.push("the catalog is in memory: restore points are gone when this process ends".into());
    }
    if !(time_scale.is_finite() && (0.001..=10_000.0).contains(time_scale)) {
        let message = format!("`polling.time_scale` is {time_scale}, outside 0.001 to 10000");
        complain(
            resolver,
            "out_of_range",
            "polling.time_scale",
            message,
            "1.0 is real time; 60.0 makes lags 60 times shorter",
        );
        *time_scale = 1.0;
    }
    retention(resolver, prune);
    if bounds(resolver, window) {
        sums(resolver, window);
    }
    unique(resolver, "target");
    unique(resolver, "database");
    unique_addresses(resolver, targets);
}

fn complain(resolver: &mut Resolver<'_>, name: &'static str, key: &str, message: String, hint: &str) {
    let source = resolver.source_of(key);
    resolver.problems.push(Problem::of_key(name, key, source.as_ref(), message, hint));
}

/// What does not hold is left out: then less is removed, not more.
fn retention(resolver: &mut Resolver<'_>, prune: &mut PruneSettings) {
    let before = resolver.problems.len();
    if let Some(keep) = prune.keep {
        within(resolver, "prune.keep", keep, LEAST_KEEP, MOST_KEEP);
    }
    if prune.keep_last == Some(0) {
        let message = "`prune.keep_last` is zero, which makes no sense here".to_owned();
        complain(resolver, "zero", "prune.keep_last", message, "1 keeps the newest point that can be restored");
    }
    if resolver.problems.len() > before {
        *prune = PruneSettings::default();
    }
}

/// Each length within its own bounds; true when all are.
fn bounds(resolver: &mut Resolver<'_>, window: &WindowSettings) -> bool {
    let WindowSettings {
        hold,
        max_outage,
        attempts,
        margin,
        outage_budget,
        retry_after,
        release_wait,
        max_pause_wait_time,
        call_grace,
        tcp_user_timeout,
        check_interval,
        require_proof,
        pod_clock_bound,
        auto_slack,
        ignore: _,
    } = window;
    let before = resolver.problems.len();
    let fixed = match hold {
        Hold::Fixed(length) => Some(*length),
        Hold::Auto => None,
    };
    let day = 24 * HOUR;
    let lengths = [
        ("window.hold", fixed, MS, HOUR),
        ("window.max_outage", Some(*max_outage), SECOND, HOUR),
        ("window.margin", Some(*margin), Duration::ZERO, 600 * SECOND),
        ("window.outage_budget", Some(*outage_budget), SECOND, day),
        ("window.retry_after", Some(*retry_after), SECOND, day),
        ("window.release_wait", Some(*release_wait), SECOND, day),
        ("window.max_pause_wait_time", *max_pause_wait_time, MS, HOUR),
        ("window.call_grace", Some(*call_grace), 100 * MS, 600 * SECOND),
        ("window.tcp_user_timeout", Some(*tcp_user_timeout), SECOND, 600 * SECOND),
        // Each pod is asked at least once a second.
        ("window.check_interval", Some(*check_interval), 10 * MS, SECOND),
        ("window.pod_clock_bound", Some(*pod_clock_bound), Duration::ZERO, HOUR),
        ("window.auto_slack", Some(*auto_slack), Duration::ZERO, 600 * SECOND),
    ];
    for (key, length, least, most) in lengths {
        if let Some(length) = length {
            within(resolver, key, length, least, most);
        }
    }
    if !(1..=100).contains(attempts) {
        let name = if *attempts == 0 { "zero" } else { "out_of_range" };
        let message = format!("`window.attempts` is {attempts}, outside 1 to 100");
        complain(resolver, name, "window.attempts", message, "3 is the default; 1 never tries again");
    }
    if max_pause_wait_time.is_some_and(|w| w.subsec_nanos() % 1_000_000 != 0) {
        let key = "window.max_pause_wait_time";
        complain(resolver, "out_of_range", key, format!("`{key}` is not in whole milliseconds"), "servers count in ms");
    }
    if margin.is_zero() {
        let warning =
            "window.margin is 0s: nothing is left for clocks that the services do not tell about; the point records it";
        resolver.warnings.push(warning.into());
    }
    if !require_proof {
        let warning = "window.require_proof is false: servers without CheckPaused are accepted, and the point says so";
        resolver.warnings.push(warning.into());
    }
    resolver.problems.len() == before
}

fn within(resolver: &mut Resolver<'_>, key: &str, length: Duration, least: Duration, most: Duration) {
    if (least..=most).contains(&length) {
        return;
    }
    let (name, message) = if length.is_zero() {
        ("zero", format!("`{key}` is zero, which makes no sense here"))
    } else {
        ("out_of_range", format!("`{key}` is {}, out of range", units::text(length)))
    };
    let hint = format!("write a length from \"{}\" to \"{}\"", units::text(least), units::text(most));
    complain(resolver, name, key, message, &hint);
}

fn sums(resolver: &mut Resolver<'_>, window: &WindowSettings) {
    let drain = units::text(window.drain_timeout());
    let least = window.least_max_outage();
    if window.max_outage < least {
        let message = format!(
            "`window.max_outage` is {}, less than a window can take: drain time-out {drain} + call grace {} + hold {} + 10s to release",
            units::text(window.max_outage),
            units::text(window.call_grace),
            units::text(window.hold_bound()),
        );
        let hint =
            format!("write max_outage = \"{}\" or more, or shorten hold or max_pause_wait_time", units::text(least));
        complain(resolver, "max_outage_too_short", "window.max_outage", message, &hint);
    }
    let least = window.drain_timeout() + RETRY_BEYOND_DRAIN;
    if window.retry_after < least {
        let message = format!(
            "`window.retry_after` is {}, less than drain time-out {drain} + 5s: an old Pause could open a gate under a new one",
            units::text(window.retry_after)
        );
        let hint = format!("write retry_after = \"{}\" or more, or remove the key", units::text(least));
        complain(resolver, "retry_after_too_short", "window.retry_after", message, &hint);
    }
}

/// The warning that no second can be proven in such a still period.
pub(super) fn hold_too_short(window: &WindowSettings) -> Option<String> {
    // A safe second is one second long, keeps the margin on both sides, and no clock is known better than 100 ms.
    let safe = 2 * window.margin + SECOND + 100 * MS;
    (window.hold_bound() < safe).then(|| {
        format!(
            "window.hold is {}: with a margin of {} no second can be proven in less than {}; every window will be void (NoSafeSecond)",
            units::text(window.hold_bound()),
            units::text(window.margin),
            units::text(safe)
        )
    })
}

/// Broken entries count too: their names have been shown all the same.
fn unique(resolver: &mut Resolver<'_>, kind: &str) {
    let mut places: BTreeMap<String, Vec<Shown>> = BTreeMap::new();
    for shown in resolver.shown.iter().filter(|s| s.key.starts_with(kind) && s.key.ends_with("].name")) {
        places.entry(shown.value.to_string()).or_default().push(shown.clone());
    }
    for (name, places) in places.iter().filter(|(_, places)| places.len() > 1) {
        let last = &places[places.len() - 1];
        let message = format!("{} [[{kind}]] tables are called {name}", places.len());
        let hint = "give each its own name; points refer to it";
        resolver.problems.push(Problem::of_key("duplicate_name", last.key.clone(), Some(&last.source), message, hint));
    }
}

fn unique_addresses(resolver: &mut Resolver<'_>, targets: &[TargetSettings]) {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for target in targets {
        for address in target.addresses() {
            let Some(first) = seen.insert(address::canonical(address), &target.name) else { continue };
            let whose = if first == target.name {
                format!("twice in target `{first}`")
            } else {
                format!("in target `{first}` and in target `{}`", target.name)
            };
            let holds = |s: &&Shown| {
                let named = s.value.as_array().is_some_and(|a| a.iter().any(|v| v == address));
                s.key.ends_with("].addresses") && named
            };
            let place = resolver.shown.iter().rev().find(holds).cloned();
            resolver.problems.push(Problem::of_key(
                "duplicate_address",
                place.as_ref().map_or_else(|| "target".to_owned(), |s| s.key.clone()),
                place.as_ref().map(|s| &s.source),
                format!("address `{address}` stands {whose}"),
                "name each pod once; a second Pause to the same gate would spoil the first",
            ));
        }
    }
}

/// Tables come from ScalarDB's metadata, or from a list, or from a prefix: one of the three.
pub(super) fn one_way_to_tables(
    resolver: &mut Resolver<'_>,
    path: &str,
    tables: &Option<Told<Vec<Told<String>>>>,
    table_prefix: &Option<Told<String>>,
    scalardb: &[(&str, &Option<Told<String>>)],
) {
    let mut clash = |a: &str, b: &str, source: &Source| {
        let message = format!("`{path}.{a}` and `{path}.{b}` exclude each other");
        let hint =
            "tables are found by ScalarDB's metadata, by `tables` or by `table_prefix`; for more, add a [[database]]";
        resolver.problems.push(Problem::of_key("contradiction", format!("{path}.{a}"), Some(source), message, hint));
    };
    if let (Some(tables), Some(_)) = (tables, table_prefix) {
        clash("tables", "table_prefix", &tables.source);
    }
    let own =
        [("tables", tables.as_ref().map(|t| &t.source)), ("table_prefix", table_prefix.as_ref().map(|t| &t.source))];
    for (key, source) in own {
        let Some(source) = source else { continue };
        for (other, _) in scalardb.iter().filter(|(_, told)| told.is_some()) {
            clash(key, other, source);
        }
    }
}

/// Table names that DynamoDB could have, each once, at least one.
pub(super) fn table_names(resolver: &mut Resolver<'_>, key: &str, told: &Told<Vec<Told<String>>>) {
    if told.value.is_empty() {
        let message = format!("`{key}` is empty");
        let hint = "name the tables, or remove the key: ScalarDB's metadata lists them";
        resolver.problems.push(Problem::of_key("empty", key, Some(&told.source), message, hint));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    for (n, table) in told.value.iter().enumerate() {
        let key = format!("{key}[{n}]");
        if !(3..=255).contains(&table.value.len()) || !table.value.chars().all(plain) {
            let message = format!("`{key}`: {:?} is not the name of a table", table.value);
            let hint = "3 to 255 letters, digits, `-`, `_` and `.`";
            resolver.problems.push(Problem::of_key("bad_name", key, Some(&table.source), message, hint));
        } else if told.value.iter().take(n).any(|t| t.value == table.value) {
            let message = format!("`{key}`: table `{}` is named twice", table.value);
            resolver.problems.push(Problem::of_key("duplicate_name", key, Some(&table.source), message, "remove one"));
        }
    }
}

/// What the command cannot do without.
pub(super) fn needs(
    needs: Needs,
    settings: &Settings,
    config_file: &Option<PathBuf>,
    mentioned: &Mentioned,
    problems: &mut Vec<Problem>,
) {
    let place = match config_file {
        Some(path) => format!("in {}", path.display()),
        None => format!("and no configuration file (./{} does not exist)", super::CONFIG_FILE),
    };
    let Mentioned { targets, databases } = mentioned;
    // What is there but broken has been complained about already.
    let broken = |problems: &[Problem], key: &str| problems.iter().any(|p| p.key.as_deref() == Some(key));
    if needs.targets && settings.targets.is_empty() && *targets == 0 && !broken(problems, "target") {
        problems.push(Problem::of_key(
            "no_target",
            "target",
            None,
            format!("no target {place}: nothing says which pods to pause"),
            "add a [[target]] with name and kubernetes = { namespace, release } or addresses = [\"10.0.0.4:60051\"], or use --address host:port",
        ));
    }
    if needs.databases && settings.databases.is_empty() && *databases == 0 && !broken(problems, "database") {
        problems.push(Problem::of_key(
            "no_database",
            "database",
            None,
            format!("no database {place}: nothing says what to restore"),
            "add a [[database]] with name, provider = \"dynamodb\" and region, or use --region",
        ));
    }
}
