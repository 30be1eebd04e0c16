//! What the flags of a command say about the settings. They win over the file.

use super::source::{Problem, Source, Told};
use super::units;
use super::written::{Written, WrittenDatabase, WrittenEndpoints, WrittenKubernetes, WrittenTarget, WrittenTls};
use std::path::PathBuf;
use std::time::Duration;

/// Flags that speak about settings. `None` and empty = not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--config`
    pub config: Option<PathBuf>,
    /// `--state-dir`
    pub state_dir: Option<PathBuf>,
    /// `--hold`: a length of time, or `auto`.
    pub hold: Option<String>,
    /// `--pause-duration`: the same setting, where a bare number means milliseconds.
    pub pause_duration: Option<String>,
    /// `--max-pause-wait-time`: a bare number means milliseconds.
    pub max_pause_wait_time: Option<String>,
    /// `--max-outage`
    pub max_outage: Option<String>,
    /// `--address`, repeated: these pods instead of the file's targets.
    pub addresses: Vec<String>,
    /// `--release-name`: the pods of this Helm release instead of the file's targets.
    pub release: Option<String>,
    /// `--namespace` of that release; `default` unless given, as with the tool that these flags come from.
    pub namespace: Option<String>,
    /// `--tls`: TLS with the system's roots.
    pub tls: bool,
    /// `--ca-root-cert-path`
    pub ca_file: Option<String>,
    /// `--ca-root-cert-pem`
    pub ca_pem: Option<String>,
    /// `--override-authority`
    pub authority: Option<String>,
    /// `--region`
    pub region: Option<String>,
    /// `--endpoint`
    pub endpoint: Option<String>,
}

/// The name of the target that `--address` makes, and of the database that `--region` makes.
pub const COMMAND_LINE: &str = "command-line";

/// The namespace of a release for which none is given.
pub const DEFAULT_NAMESPACE: &str = "default";

/// Lays the flags over what was written.
pub(super) fn apply(flags: &Flags, written: &mut Written, problems: &mut Vec<Problem>) {
    let Flags {
        config: _,
        state_dir: _, // looked up before the file is
        hold,
        pause_duration,
        max_pause_wait_time,
        max_outage,
        addresses,
        release,
        namespace,
        tls: _,
        ca_file: _,
        ca_pem: _,
        authority: _,
        region,
        endpoint,
    } = flags;
    if let Some(hold) = hold {
        written.window.hold = Some(Told::new(hold.clone(), Source::Flag("--hold")));
    }
    if let Some(text) = pause_duration {
        written.window.hold = Some(Told::new(with_milliseconds(text), Source::Flag("--pause-duration")));
    }
    let mut length = |text: &Option<String>, key: &str, flag: &'static str, slot: &mut Option<Told<Duration>>| {
        let Some(text) = text else { return };
        let source = Source::Flag(flag);
        match units::duration(text) {
            Ok(length) => *slot = Some(Told::new(length, source)),
            Err(bad) => {
                let message = format!("`{flag}`: {}", bad.why);
                problems.push(Problem::of_key(bad.name, key, None, message, bad.hint));
            }
        }
    };
    length(max_outage, "window.max_outage", "--max-outage", &mut written.window.max_outage);
    let wait = max_pause_wait_time.as_deref().map(with_milliseconds);
    length(&wait, "window.max_pause_wait_time", "--max-pause-wait-time", &mut written.window.max_pause_wait_time);
    if !addresses.is_empty() {
        name_the_pods(addresses, written);
    }
    apply_tls(flags, written);
    if let Some(release) = release {
        name_the_release(release, namespace.as_deref(), flags, written, problems);
    }
    apply_database(region.as_deref(), endpoint.as_deref(), written, problems);
}

/// These flags came from a tool that counts in milliseconds: a bare number keeps that meaning.
fn with_milliseconds(text: &str) -> String {
    let bare = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    if bare { format!("{text}ms") } else { text.to_owned() }
}

/// `--address` stands instead of the file's targets. An address that the file knows keeps its target's name and TLS.
fn name_the_pods(addresses: &[String], written: &mut Written) {
    let mut chosen: Vec<WrittenTarget> = Vec::new();
    let told: Vec<_> = addresses.iter().map(|a| Told::new(a.clone(), Source::Flag("--address"))).collect();
    let (mut known, mut rest) = (Vec::new(), Vec::new());
    for address in told {
        let canonical = super::address::canonical(&address.value);
        let has = |t: &WrittenTarget| {
            t.addresses.iter().flat_map(|a| &a.value).any(|a| super::address::canonical(&a.value) == canonical)
        };
        match written.targets.iter().position(has) {
            Some(target) => known.push((target, address)),
            None => rest.push(address),
        }
    }
    for (n, mut target) in std::mem::take(&mut written.targets).into_iter().enumerate() {
        let mine: Vec<_> = known.iter().filter(|(t, _)| *t == n).map(|(_, a)| a.clone()).collect();
        if !mine.is_empty() {
            target.addresses = Some(Told::new(mine, Source::Flag("--address")));
            chosen.push(target);
        }
    }
    if !rest.is_empty() {
        let source = Source::Flag("--address");
        chosen.push(WrittenTarget {
            path: format!("target[{}]", chosen.len()),
            source: source.clone(),
            name: Some(Told::new(COMMAND_LINE.to_owned(), source.clone())),
            addresses: Some(Told::new(rest, source)),
            kubernetes: None,
            srv: None,
            resolver: None,
            tls: None,
        });
    }
    written.targets = chosen;
}

/// `--release-name` stands instead of the file's targets. A release that the file knows keeps its target, with its name,
/// cluster and TLS. Otherwise the pods are called by IP address, so that TLS needs all that the flags' own tool asks for.
fn name_the_release(
    release: &str,
    namespace: Option<&str>,
    flags: &Flags,
    written: &mut Written,
    problems: &mut Vec<Problem>,
) {
    let source = Source::Flag("--release-name");
    let wanted = namespace.unwrap_or(DEFAULT_NAMESPACE);
    let is = |told: &Option<Told<String>>, value: &str| told.as_ref().is_some_and(|told| told.value == value);
    let known = written.targets.iter().position(|target| {
        let known = target.kubernetes.as_ref().map(|told| &told.value);
        known.is_some_and(|known| is(&known.release, release) && (is(&known.namespace, wanted) || namespace.is_none()))
    });
    if let Some(known) = known {
        let target = written.targets.swap_remove(known);
        written.targets = vec![target];
        return;
    }
    let at = namespace.map_or(Source::Default, |_| Source::Flag("--namespace"));
    let kubernetes = WrittenKubernetes {
        namespace: Some(Told::new(wanted.to_owned(), at)),
        release: Some(Told::new(release.to_owned(), source.clone())),
        ..WrittenKubernetes::default()
    };
    written.targets = vec![WrittenTarget {
        path: "target[0]".to_owned(),
        source: source.clone(),
        name: Some(Told::new(COMMAND_LINE.to_owned(), source.clone())),
        addresses: None,
        kubernetes: Some(Told::new(kubernetes, source)),
        srv: None,
        resolver: None,
        tls: None,
    }];
    apply_tls(flags, written);
    if flags.tls {
        whole_tls(flags, problems);
    }
}

/// What `--tls` cannot do without where pods are called by address: no public authority signs for a pod, and no
/// certificate holds its address.
fn whole_tls(flags: &Flags, problems: &mut Vec<Problem>) {
    let mut missing = |key: &str, what: &str, hint: &str| {
        let message = format!("`--tls` needs {what}");
        problems.push(Problem::of_key("missing_key", format!("target[0].tls.{key}"), None, message, hint));
    };
    if flags.ca_file.is_none() && flags.ca_pem.is_none() {
        let hint = "give the certificate authority of the pods' certificates as a PEM file or as its text";
        missing("ca_file", "`--ca-root-cert-path` or `--ca-root-cert-pem`", hint);
    }
    if flags.authority.is_none() {
        let hint = "give the name that the pods' certificates carry: they are called by IP address";
        missing("authority", "`--override-authority`", hint);
    }
}

/// TLS flags hold for every pod of the command.
fn apply_tls(flags: &Flags, written: &mut Written) {
    let told = |value: &Option<String>, flag| value.clone().map(|v| Told::new(v, Source::Flag(flag)));
    let ca_file = told(&flags.ca_file, "--ca-root-cert-path");
    let ca_pem = told(&flags.ca_pem, "--ca-root-cert-pem").map(|told| Told::new(lines(&told.value), told.source));
    let authority = told(&flags.authority, "--override-authority");
    let source = if flags.tls {
        Source::Flag("--tls")
    } else if let Some(first) = ca_file.iter().chain(&ca_pem).chain(&authority).next() {
        first.source.clone()
    } else {
        return;
    };
    for target in &mut written.targets {
        let tls = target.tls.get_or_insert_with(|| Told::new(WrittenTls::default(), source.clone()));
        if ca_file.is_some() || ca_pem.is_some() {
            tls.value.ca_file = ca_file.clone();
            tls.value.ca_pem = ca_pem.clone();
        }
        if authority.is_some() {
            tls.value.authority = authority.clone();
        }
    }
}

/// A literal `\\n` stands for a line break, as it comes out of a Job's arguments and of the tool that this flag is from.
fn lines(pem: &str) -> String {
    pem.replace("\\n", "\n")
}

fn apply_database(region: Option<&str>, endpoint: Option<&str>, written: &mut Written, problems: &mut Vec<Problem>) {
    let region = region.map(|r| Told::new(r.to_owned(), Source::Flag("--region")));
    let endpoint = endpoint.map(|e| Told::new(e.to_owned(), Source::Flag("--endpoint")));
    let Some(source) = region.iter().chain(&endpoint).map(|t| t.source.clone()).next() else { return };
    match written.databases.as_mut_slice() {
        [] => written.databases.push(WrittenDatabase {
            path: "database[0]".into(),
            source: source.clone(),
            name: Some(Told::new(COMMAND_LINE.to_owned(), source.clone())),
            provider: Some(Told::new("dynamodb".to_owned(), source)),
            region,
            endpoint,
            endpoints: WrittenEndpoints::default(),
            prefix: None,
            metadata_namespace: None,
            coordinator_namespace: None,
            tables: None,
            table_prefix: None,
        }),
        [only] => {
            only.region = region.or(only.region.take());
            if endpoint.is_some() {
                only.endpoint = endpoint;
                only.endpoints = WrittenEndpoints::default();
            }
        }
        several => problems.push(Problem::of_key(
            "ambiguous_flag",
            "database",
            Some(&source),
            format!("{} databases are configured, and a flag cannot say which it means", several.len()),
            "write `region` and `endpoint` in each [[database]] of the file, without the flag",
        )),
    }
}
