//! A target's `srv` and `resolver`: the name of a service record, and a name server.

use super::resolve::Resolver;
use super::source::{Problem, Told};
use super::{Product, SrvTarget};
use serde_json::json;
use std::net::{IpAddr, SocketAddr};

/// The form of a name that Kubernetes gives to the named port of a headless Service.
const FORM: &str = "_PORT-NAME._tcp.RELEASE-headless.NAMESPACE.svc.cluster.local";

/// Resolves one target's `srv`; `None` where it is no such name.
pub(super) fn resolve(
    resolver: &mut Resolver<'_>,
    path: &str,
    srv: Told<String>,
    server: Option<Told<String>>,
) -> Option<SrvTarget> {
    let key = format!("{path}.srv");
    resolver.show(&key, json!(srv.value), &srv.source);
    let checked = check(&srv.value);
    if let Err((why, hint)) = &checked {
        let message = format!("`{key}` {:?}: {why}", srv.value);
        resolver.problems.push(Problem::of_key("bad_srv", key, Some(&srv.source), message, hint));
    }
    let server = match server.map(|told| name_server(resolver, path, told)) {
        None => None,
        Some(Some(server)) => Some(server),
        Some(None) => return None,
    };
    checked.ok().map(|()| SrvTarget { name: srv.value, resolver: server })
}

fn name_server(resolver: &mut Resolver<'_>, path: &str, told: Told<String>) -> Option<SocketAddr> {
    let key = format!("{path}.resolver");
    resolver.show(&key, json!(told.value), &told.source);
    let server = told.value.parse::<SocketAddr>().ok().filter(|server| server.port() > 0);
    if server.is_none() {
        let hint = match told.value.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(ip) => format!("write \"{}\"", SocketAddr::new(ip, 53)),
            Err(_) => "write an IP address and a port: \"10.96.0.10:53\"; leave it out for the system's own".to_owned(),
        };
        let message = format!("`{key}`: {:?} is not ip:port", told.value);
        resolver.problems.push(Problem::of_key("bad_resolver", key, Some(&told.source), message, hint));
    }
    server
}

/// A `resolver` that nothing asks.
pub(super) fn idle(resolver: &mut Resolver<'_>, path: &str, told: &Told<String>) {
    let key = format!("{path}.resolver");
    let message = format!("`{key}` is given without `srv`");
    let hint = format!("it serves SRV names: write srv = \"{FORM}\", or remove the key");
    resolver.problems.push(Problem::of_key("contradiction", key, Some(&told.source), message, hint));
}

/// Checks the name of a service record. `Err` is why it is refused, and what to write.
fn check(text: &str) -> Result<(), (String, String)> {
    let why = if text.is_empty() || text.contains(char::is_whitespace) {
        "a name is one word"
    } else if text.contains("://") || text.contains('/') {
        "a name has no scheme and no path"
    } else if text.contains(':') {
        "a name has no port: the service record says it"
    } else if let Err(why) = check_labels(text) {
        why
    } else {
        return Ok(());
    };
    Err((why.to_owned(), right_form(text)))
}

fn check_labels(text: &str) -> Result<(), &'static str> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let labels: Vec<&str> = name.split('.').collect();
    let plain = |l: &&str| l.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if labels.iter().any(|label| label.is_empty()) {
        return Err("two dots stand side by side, or one at an end");
    }
    if !labels.iter().all(plain) {
        return Err("only letters, digits, `-`, `_` and dots stand in a name");
    }
    if name.len() > 253 || labels.iter().any(|label| label.len() > 63) {
        return Err("a name has up to 253 characters, and up to 63 between two dots");
    }
    match labels.as_slice() {
        [service, ..] if !service.starts_with('_') || service.len() < 2 => {
            Err("the name of a service record begins with `_` and the name of a port")
        }
        [_, protocol, rest, ..] if protocol.eq_ignore_ascii_case("_tcp") && !rest.starts_with('_') => Ok(()),
        [_, protocol, ..] if protocol.eq_ignore_ascii_case("_udp") => Err("pods are spoken to over TCP"),
        [_, protocol] if protocol.eq_ignore_ascii_case("_tcp") => Err("the Service's own name is missing"),
        _ => Err("`_tcp` and the Service's name follow the name of the port"),
    }
}

/// The form, and where what was written lets one guess, what was meant.
fn right_form(text: &str) -> String {
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
    let bare = bare.split(['/', ':']).next().unwrap_or_default().trim_matches(['.', ' ']);
    let labels: Vec<&str> = bare.split('.').filter(|label| !label.is_empty()).collect();
    let is_protocol = |l: &str| matches!(l.trim_start_matches('_').to_ascii_lowercase().as_str(), "tcp" | "udp");
    let guess = match labels.as_slice() {
        [port, protocol, rest @ ..] if is_protocol(protocol) && !rest.is_empty() => {
            Some((port.trim_start_matches('_'), rest.join(".")))
        }
        [port, rest @ ..] if port.starts_with('_') && port.len() > 1 && rest.len() > 1 => {
            Some((port.trim_start_matches('_'), rest.join(".")))
        }
        rest if rest.len() > 1 && rest.iter().all(|l| !l.starts_with('_')) => {
            Some((port_name_of(rest[0]), rest.join(".")))
        }
        _ => None,
    };
    let guess = guess.map(|(port, rest)| format!("_{port}._tcp.{rest}")).filter(|guess| check_labels(guess).is_ok());
    let ports = Product::ALL.map(|product| format!("`{}`", product.port_name()));
    let form = format!("the form is {FORM}, where the port is one of {}", ports.join(", "));
    match guess {
        Some(guess) => format!("did you mean \"{guess}\"? {form}"),
        None => form,
    }
}

/// The admin port of the product that a Service's name speaks of.
fn port_name_of(service: &str) -> &'static str {
    let product = if service.contains("audit") {
        Product::Auditor
    } else if service.contains("ledger") || service.contains("scalardl") {
        Product::Ledger
    } else if service.contains("cluster") {
        Product::ScalarDbCluster
    } else {
        Product::ScalarDb
    };
    product.port_name()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_service_records_are_taken_as_they_are() {
        for good in [
            "_scalardb._tcp.scalardb-headless.ns-scalar.svc.cluster.local",
            "_scalardl-admin._tcp.scalardl-ledger-headless.ns.svc.cluster.local.",
            "_scalardb._tcp.scalardb-headless",
            "_SCALARDB._TCP.db.example",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn each_malformed_name_says_why_and_shows_what_was_meant() {
        let cases = [
            (
                "scalardb-headless.ns.svc.cluster.local",
                "begins with `_`",
                "_scalardb._tcp.scalardb-headless.ns.svc.cluster.local",
            ),
            (
                "scalardl-ledger-headless.ns.svc",
                "begins with `_`",
                "_scalardl-admin._tcp.scalardl-ledger-headless.ns.svc",
            ),
            (
                "my-scalardl-auditor-headless.ns",
                "begins",
                "_scalardl-auditor-admin._tcp.my-scalardl-auditor-headless.ns",
            ),
            ("db-scalardb-cluster-headless.ns", "begins", "_scalardb-cluster._tcp.db-scalardb-cluster-headless.ns"),
            ("scalardb._tcp.db-headless.ns", "begins", "_scalardb._tcp.db-headless.ns"),
            ("_scalardb.tcp.db-headless.ns", "follow", "_scalardb._tcp.db-headless.ns"),
            ("_scalardb._udp.db-headless.ns", "over TCP", "_scalardb._tcp.db-headless.ns"),
            ("_scalardb.db-headless.ns", "follow", "_scalardb._tcp.db-headless.ns"),
            ("_scalardb._tcp.db-headless.ns:60051", "no port", "_scalardb._tcp.db-headless.ns"),
            ("dns://_scalardb._tcp.db-headless.ns", "no scheme", "_scalardb._tcp.db-headless.ns"),
            ("_scalardb._tcp.db..ns", "side by side", "_scalardb._tcp.db.ns"),
        ];
        for (text, why, meant) in cases {
            let (said, hint) = check(text).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
            assert!(hint.contains(&format!("did you mean \"{meant}\"?")), "{text}: {hint}");
            assert!(hint.contains(FORM), "{text}: {hint}");
        }
    }

    #[test]
    fn where_nothing_can_be_guessed_the_form_is_shown_all_the_same() {
        let long = format!("_scalardb._tcp.{}.ns", "x".repeat(64));
        for text in ["", "_scalardb", "_scalardb._tcp", "_._tcp.db", "a b", "_scalardb._tcp.dé.ns", &long] {
            let (_, hint) = check(text).unwrap_err();
            assert!(hint.starts_with("the form is") && hint.contains("`scalardl-auditor-admin`"), "{text}: {hint}");
        }
    }
}
