//! The first layer: what was written, key by key, nothing resolved. The schema of the file is this file.

use super::reader::{Document, Section, Standing};
use super::source::{Problem, Source, Told};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Everything that was written. `None` = not written.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub catalog_url: Option<Told<String>>,
    pub state_dir: Option<Told<String>>,
    pub window: WrittenWindow,
    pub time_scale: Option<Told<f64>>,
    pub targets: Vec<WrittenTarget>,
    pub databases: Vec<WrittenDatabase>,
}

/// `[window]`
#[derive(Debug, Default)]
pub(super) struct WrittenWindow {
    pub hold: Option<Told<String>>,
    pub max_outage: Option<Told<Duration>>,
    pub attempts: Option<Told<u32>>,
    pub margin: Option<Told<Duration>>,
    pub outage_budget: Option<Told<Duration>>,
    pub retry_after: Option<Told<Duration>>,
    pub release_wait: Option<Told<Duration>>,
    pub max_pause_wait_time: Option<Told<Duration>>,
    pub call_grace: Option<Told<Duration>>,
    pub tcp_user_timeout: Option<Told<Duration>>,
    pub check_interval: Option<Told<Duration>>,
    pub require_proof: Option<Told<bool>>,
    pub pod_clock_bound: Option<Told<Duration>>,
    pub auto_slack: Option<Told<Duration>>,
}

/// One `[[target]]`
#[derive(Debug)]
pub(super) struct WrittenTarget {
    pub path: String,
    pub source: Source,
    pub name: Option<Told<String>>,
    pub addresses: Option<Told<Vec<Told<String>>>>,
    pub tls: Option<Told<WrittenTls>>,
    /// A kind of target that this version lacks was asked for (and complained about).
    pub lacking: bool,
}

/// `tls = { ... }`
#[derive(Debug, Default)]
pub(super) struct WrittenTls {
    pub ca_file: Option<Told<String>>,
    pub ca_pem: Option<Told<String>>,
    pub cert_file: Option<Told<String>>,
    pub key_file: Option<Told<String>>,
    pub authority: Option<Told<String>>,
}

/// One `[[database]]`
#[derive(Debug)]
pub(super) struct WrittenDatabase {
    pub path: String,
    pub source: Source,
    pub name: Option<Told<String>>,
    pub provider: Option<Told<String>>,
    pub region: Option<Told<String>>,
    pub endpoint: Option<Told<String>>,
    pub endpoints: WrittenEndpoints,
    pub prefix: Option<Told<String>>,
    pub metadata_namespace: Option<Told<String>>,
    pub coordinator_namespace: Option<Told<String>>,
    pub tables: Option<Told<Vec<Told<String>>>>,
    pub table_prefix: Option<Told<String>>,
}

/// `endpoints = { ... }`
#[derive(Debug, Default)]
pub(super) struct WrittenEndpoints {
    pub dynamodb: Option<Told<String>>,
    pub autoscaling: Option<Told<String>>,
    pub cloudwatch: Option<Told<String>>,
}

/// Reads a file's text.
pub(super) fn read(path: PathBuf, text: &str) -> (Written, Vec<Problem>, BTreeMap<String, Standing>) {
    let document = Document::new(path, text);
    let written = document.read(root).unwrap_or_default();
    let (problems, keys) = document.finish();
    (written, problems, keys)
}

fn root(root: Section<'_, '_>) -> Written {
    root.lacking("schedule", "remove [[schedule]]; run `stillpoint create` from cron or a CronJob");
    Written {
        catalog_url: root.section("catalog").and_then(|s| s.value.string("url")),
        state_dir: root.section("state").and_then(|s| s.value.string("dir")),
        window: root.section("window").map(|s| window(&s.value)).unwrap_or_default(),
        time_scale: root.section("polling").and_then(|s| s.value.number("time_scale")),
        targets: root.sections("target").into_iter().map(|s| target(&s.value, s.source)).collect(),
        databases: root.sections("database").into_iter().map(|s| database(&s.value, s.source)).collect(),
    }
}

fn window(section: &Section<'_, '_>) -> WrittenWindow {
    section.lacking("ignore", "remove the key; it names Helm releases, and Kubernetes targets are not in this version");
    WrittenWindow {
        hold: section.duration_text("hold"),
        max_outage: section.duration("max_outage"),
        attempts: section.whole_number("attempts"),
        margin: section.duration("margin"),
        outage_budget: section.duration("outage_budget"),
        retry_after: section.duration("retry_after"),
        release_wait: section.duration("release_wait"),
        max_pause_wait_time: section.duration("max_pause_wait_time"),
        call_grace: section.duration("call_grace"),
        tcp_user_timeout: section.duration("tcp_user_timeout"),
        check_interval: section.duration("check_interval"),
        require_proof: section.boolean("require_proof"),
        pod_clock_bound: section.duration("pod_clock_bound"),
        auto_slack: section.duration("auto_slack"),
    }
}

fn target(section: &Section<'_, '_>, source: Source) -> WrittenTarget {
    const INSTEAD: &str = "name the pods themselves: addresses = [\"10.0.0.4:60051\"]";
    let kubernetes = section.lacking("kubernetes", INSTEAD);
    let srv = section.lacking("srv", INSTEAD);
    section.lacking(
        "resolver",
        "remove the key; it serves SRV targets, and names in `addresses` use the system's resolver",
    );
    WrittenTarget {
        path: section.path_of("").trim_end_matches('.').to_owned(),
        source,
        name: section.string("name"),
        addresses: section.strings("addresses"),
        tls: section.section("tls").map(|s| Told::new(tls(&s.value), s.source)),
        lacking: kubernetes || srv,
    }
}

fn tls(section: &Section<'_, '_>) -> WrittenTls {
    WrittenTls {
        ca_file: section.string("ca_file"),
        ca_pem: None,
        cert_file: section.string("cert_file"),
        key_file: section.string("key_file"),
        authority: section.string("authority"),
    }
}

fn database(section: &Section<'_, '_>, source: Source) -> WrittenDatabase {
    WrittenDatabase {
        path: section.path_of("").trim_end_matches('.').to_owned(),
        source,
        name: section.string("name"),
        provider: section.string("provider"),
        region: section.string("region"),
        endpoint: section.string("endpoint"),
        endpoints: section.section("endpoints").map(|s| endpoints(&s.value)).unwrap_or_default(),
        prefix: section.string("prefix"),
        metadata_namespace: section.string("metadata_namespace"),
        coordinator_namespace: section.string("coordinator_namespace"),
        tables: section.strings("tables"),
        table_prefix: section.string("table_prefix"),
    }
}

fn endpoints(section: &Section<'_, '_>) -> WrittenEndpoints {
    WrittenEndpoints {
        dynamodb: section.string("dynamodb"),
        autoscaling: section.string("autoscaling"),
        cloudwatch: section.string("cloudwatch"),
    }
}

/// Every key of the file by its dotted pattern (`target[].tls.ca_file`), tables included, found by reading a document
/// that opens every table.
pub fn known_keys() -> BTreeMap<String, Standing> {
    const EVERY_TABLE: &str =
        "[catalog]\n[state]\n[window]\n[polling]\n[[target]]\ntls = {}\n[[database]]\nendpoints = {}\n";
    read(PathBuf::from("schema"), EVERY_TABLE).2
}
