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
    pub prune: WrittenPrune,
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
    pub ignore: Option<Told<Vec<Told<String>>>>,
}

/// `[prune]`
#[derive(Debug, Default)]
pub(super) struct WrittenPrune {
    pub keep: Option<Told<Duration>>,
    pub keep_last: Option<Told<u32>>,
}

/// One `[[target]]`
#[derive(Debug)]
pub(super) struct WrittenTarget {
    pub path: String,
    pub source: Source,
    pub name: Option<Told<String>>,
    pub addresses: Option<Told<Vec<Told<String>>>>,
    pub kubernetes: Option<Told<WrittenKubernetes>>,
    pub srv: Option<Told<String>>,
    pub resolver: Option<Told<String>>,
    pub tls: Option<Told<WrittenTls>>,
}

/// `kubernetes = { ... }`
#[derive(Debug, Default)]
pub(super) struct WrittenKubernetes {
    pub namespace: Option<Told<String>>,
    pub release: Option<Told<String>>,
    pub context: Option<Told<String>>,
    pub kubeconfig: Option<Told<String>>,
    pub product: Option<Told<String>>,
    pub admin_port: Option<Told<String>>,
    pub selector: Option<Told<String>>,
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
        prune: root.section("prune").map(|s| prune(&s.value)).unwrap_or_default(),
        targets: root.sections("target").into_iter().map(|s| target(&s.value, s.source)).collect(),
        databases: root.sections("database").into_iter().map(|s| database(&s.value, s.source)).collect(),
    }
}

fn window(section: &Section<'_, '_>) -> WrittenWindow {
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
        ignore: section.strings("ignore"),
    }
}

fn prune(section: &Section<'_, '_>) -> WrittenPrune {
    WrittenPrune { keep: section.duration("keep"), keep_last: section.whole_number("keep_last") }
}

fn target(section: &Section<'_, '_>, source: Source) -> WrittenTarget {
    WrittenTarget {
        path: section.path_of("").trim_end_matches('.').to_owned(),
        source,
        name: section.string("name"),
        addresses: section.strings("addresses"),
        kubernetes: section.section("kubernetes").map(|s| Told::new(kubernetes(&s.value), s.source)),
        srv: section.string("srv"),
        resolver: section.string("resolver"),
        tls: section.section("tls").map(|s| Told::new(tls(&s.value), s.source)),
    }
}

fn kubernetes(section: &Section<'_, '_>) -> WrittenKubernetes {
    WrittenKubernetes {
        namespace: section.string("namespace"),
        release: section.string("release"),
        context: section.string("context"),
        kubeconfig: section.string("kubeconfig"),
        product: section.string("product"),
        admin_port: section.name_or_number("admin_port"),
        selector: section.string("selector"),
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
    const EVERY_TABLE: &str = "[catalog]\n[state]\n[window]\n[polling]\n[prune]\n[[target]]\ntls = {}\nkubernetes = {}\n[[database]]\nendpoints = {}\n";
    read(PathBuf::from("schema"), EVERY_TABLE).2
}
