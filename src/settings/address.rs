//! A pod's address as it is written: `host:port`, `10.0.0.4:60051`, `[::1]:60051`.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The port that Scalar Admin listens on in ScalarDB Cluster and Server, for hints.
pub const USUAL_PORT: u16 = 60051;

/// Checks an address. `Err` is why it is refused, and what to write.
pub fn check(text: &str) -> Result<(), (String, String)> {
    let usual =
        |host: &str| format!("write \"{host}:{USUAL_PORT}\" (host:port; {USUAL_PORT} is ScalarDB's usual port)");
    if text.is_empty() || text.contains(char::is_whitespace) {
        return Err(("an address is one word, host:port".into(), usual("10.0.0.4")));
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        let why = format!("an address has no scheme (`{scheme}://`); TLS is asked for by `tls`");
        return Err((why, format!("write \"{}\"", rest.trim_end_matches('/'))));
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err((
            "an IPv6 address stands in brackets, and the port is missing".into(),
            usual(&format!("[{text}]")),
        ));
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(("the port is missing".into(), usual(text)));
    };
    if text.ends_with(']') {
        return Err(("the port is missing".into(), usual(text)));
    }
    if host.parse::<Ipv6Addr>().is_ok() {
        let hint = format!("write \"[{host}]:{port}\"");
        return Err(("an IPv6 address stands in brackets".into(), hint));
    }
    check_host(host).map_err(|why| (why, usual("10.0.0.4")))?;
    match port.parse::<u16>() {
        Ok(port) if port > 0 => Ok(()),
        _ => Err((format!("{port:?} is not a port from 1 to 65535"), usual(host))),
    }
}

fn check_host(host: &str) -> Result<(), String> {
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or_else(|| format!("`{host}` has no closing bracket"))?;
        return match inner.parse::<Ipv6Addr>() {
            Ok(_) => Ok(()),
            Err(_) => Err(format!("`{inner}` is not an IPv6 address")),
        };
    }
    if host.contains(':') {
        return Err(format!("`{host}` has a colon; an IPv6 address stands in brackets"));
    }
    let numeric = !host.is_empty() && host.chars().all(|c| c.is_ascii_digit() || c == '.');
    if numeric {
        return host.parse::<Ipv4Addr>().map(|_| ()).map_err(|_| format!("`{host}` is not an IPv4 address"));
    }
    let label = |l: &str| {
        !l.is_empty() && l.len() <= 63 && l.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    };
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.is_empty() || name.len() > 253 || !name.split('.').all(label) {
        return Err(format!("`{host}` is not a host name"));
    }
    Ok(())
}

/// The address in the form in which two spellings of one address are equal.
pub fn canonical(text: &str) -> String {
    match text.parse::<std::net::SocketAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => text.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_both_kinds_of_numbers_are_addresses() {
        for good in ["10.0.0.4:60051", "[::1]:60051", "pod-0.ledger.ns.svc:1", "localhost:65535", "a_b.example.:80"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn each_bad_address_says_why_and_what_to_write() {
        let cases = [
            ("10.0.0.4", "port is missing"),
            ("[::1]", "port is missing"),
            ("::1", "brackets"),
            ("::1:60051", "brackets"),
            ("fe80::1%eth0:60051", "brackets"),
            ("[::1:60051", "closing bracket"),
            ("[nope]:60051", "not an IPv6"),
            ("10.0.0.400:60051", "not an IPv4"),
            ("host:0", "port from 1"),
            ("host:70000", "port from 1"),
            ("host:", "port from 1"),
            (":60051", "not a host name"),
            ("ho st:60051", "one word"),
            ("", "one word"),
            ("https://pod:60051", "no scheme"),
            ("a,b:60051", "not a host name"),
        ];
        for (text, why) in cases {
            let (said, hint) = check(text).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
            assert!(hint.starts_with("write"), "{text}: {hint}");
        }
    }

    #[test]
    fn spellings_of_one_address_are_equal() {
        assert_eq!(canonical("[0:0::1]:60051"), canonical("[::1]:60051"));
        assert_eq!(canonical("Pod-0.ns:60051"), canonical("pod-0.ns:60051"));
    }
}
