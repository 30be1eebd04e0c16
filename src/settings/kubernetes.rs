//! A target's `kubernetes` table: names that an API server can take, and a kubeconfig that is there.

use super::resolve::Resolver;
use super::source::{Problem, Source, Told};
use super::written::WrittenKubernetes;
use super::{AdminPort, ClusterReference, KubernetesTarget, Product, reader};
use serde_json::json;
use std::path::PathBuf;

/// Resolves one target's `kubernetes`; `None` where its pods cannot be found as written.
pub(super) fn resolve(
    resolver: &mut Resolver<'_>,
    path: &str,
    written: Told<WrittenKubernetes>,
) -> Option<KubernetesTarget> {
    let WrittenKubernetes { namespace, release, context, kubeconfig, product, admin_port, selector } = written.value;
    let before = resolver.problems.len();
    let namespace = name(resolver, path, "namespace", namespace, &written.source);
    let release = name(resolver, path, "release", release, &written.source);
    let context = resolver.optional(&format!("{path}.context"), context);
    let kubeconfig = kubeconfig.and_then(|told| file(resolver, path, told));
    let product = product.and_then(|told| read_product(resolver, path, told));
    let admin_port = admin_port.and_then(|told| port(resolver, path, told));
    let selector = selector.and_then(|told| read_selector(resolver, path, told));
    if resolver.problems.len() > before {
        return None;
    }
    let cluster = ClusterReference { kubeconfig, context };
    Some(KubernetesTarget { cluster, namespace: namespace?, release: release?, product, admin_port, selector })
}

/// A namespace or a release: both become parts of DNS names.
fn name(
    resolver: &mut Resolver<'_>,
    path: &str,
    key: &str,
    told: Option<Told<String>>,
    table: &Source,
) -> Option<String> {
    let at = format!("{path}.{key}");
    let Some(told) = told else {
        let message = format!("`{path}` has no `{key}`");
        let hint = "write kubernetes = { namespace = \"...\", release = \"...\" }; `helm list -A` shows both";
        resolver.problems.push(Problem::of_key("missing_key", at, Some(table), message, hint));
        return None;
    };
    resolver.show(&at, json!(told.value), &told.source);
    // Helm takes dots in a release's name; a namespace has none.
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || (c == '.' && key == "release");
    let whole = told.value.chars().all(plain) && !told.value.starts_with('-') && !told.value.ends_with('-');
    if whole && told.value.len() <= 63 {
        return Some(told.value);
    }
    let message = format!("`{at}`: {:?} is not the name of a {key}", told.value);
    let hint = "up to 63 lower-case letters, digits and `-`, as `helm list -A` shows them";
    resolver.problems.push(Problem::of_key("bad_name", at, Some(&told.source), message, hint));
    None
}

fn file(resolver: &mut Resolver<'_>, path: &str, told: Told<String>) -> Option<PathBuf> {
    let key = format!("{path}.kubeconfig");
    let found = resolver.local_path(&told);
    resolver.show(&key, json!(found.to_string_lossy()), &told.source);
    let why = match std::fs::File::open(&found) {
        Ok(_) => return Some(found),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => "does not exist".to_owned(),
        Err(cause) => format!("cannot be read: {cause}"),
    };
    let message = format!("`{key}`: {} {why}", found.display());
    let hint = "name a kubeconfig; a relative name is looked up beside the configuration file. \
                Without the key, KUBECONFIG, ~/.kube/config or the pod's service account is used";
    resolver.problems.push(Problem::of_key("kubeconfig_missing", key, Some(&told.source), message, hint));
    None
}

fn read_product(resolver: &mut Resolver<'_>, path: &str, told: Told<String>) -> Option<Product> {
    let key = format!("{path}.product");
    resolver.show(&key, json!(told.value), &told.source);
    if let Some(product) = Product::of_label(&told.value) {
        return Some(product);
    }
    let known = Product::ALL.map(Product::label);
    let near = reader::nearest(&told.value, known).map(|n| format!("did you mean \"{n}\"? ")).unwrap_or_default();
    let message = format!("`{key}`: unknown product {:?}", told.value);
    let hint = format!("{near}allowed: {}", known.map(|k| format!("\"{k}\"")).join(", "));
    resolver.problems.push(Problem::of_key("unknown_product", key, Some(&told.source), message, hint));
    None
}

fn port(resolver: &mut Resolver<'_>, path: &str, told: Told<String>) -> Option<AdminPort> {
    let key = format!("{path}.admin_port");
    resolver.show(&key, json!(told.value), &told.source);
    let number = told.value.parse::<i64>().ok();
    match number.map(u16::try_from) {
        Some(Ok(number)) if number > 0 => return Some(AdminPort::Number(number)),
        None => return Some(AdminPort::Name(told.value)),
        Some(_) => {}
    }
    let message = format!("`{key}`: {} is not a port", told.value);
    let hint = "write a number from 1 to 65535, or the name of a port of the headless Service";
    resolver.problems.push(Problem::of_key("out_of_range", key, Some(&told.source), message, hint));
    None
}

fn read_selector(resolver: &mut Resolver<'_>, path: &str, told: Told<String>) -> Option<String> {
    let key = format!("{path}.selector");
    resolver.show(&key, json!(told.value), &told.source);
    // The API server judges the syntax; an empty one would select every pod of the namespace.
    if told.value.contains(|c: char| c.is_alphanumeric()) {
        return Some(told.value);
    }
    let message = format!("`{key}`: {:?} selects nothing in particular", told.value);
    let hint = "write labels: \"app.kubernetes.io/instance=my-release,app.kubernetes.io/app=ledger\"";
    resolver.problems.push(Problem::of_key("bad_selector", key, Some(&told.source), message, hint));
    None
}
