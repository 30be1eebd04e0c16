//! TLS references, checked where they are named: the files exist and hold what they should.

use super::resolve::Resolver;
use super::source::{Problem, Told};
use super::written::WrittenTls;
use super::{Source, TlsSettings};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Resolves one target's `tls`. Whatever is wrong is recorded and left out.
pub(super) fn resolve(resolver: &mut Resolver<'_>, path: &str, written: Told<WrittenTls>) -> TlsSettings {
    let WrittenTls { ca_file, ca_pem, cert_file, key_file, authority } = written.value;
    if [&ca_file, &ca_pem, &cert_file, &key_file, &authority].iter().all(|v| v.is_none()) {
        resolver.show(path, json!("system roots"), &written.source);
    }
    match (&cert_file, &key_file) {
        (Some(cert), None) => resolver.problems.push(alone(path, "cert_file", "key_file", &cert.source)),
        (None, Some(key)) => resolver.problems.push(alone(path, "key_file", "cert_file", &key.source)),
        _ => {}
    }
    let ca_pem = ca_pem.and_then(|pem| {
        resolver.show(&format!("{path}.ca_pem"), json!("(given on the command line)"), &pem.source);
        match certificates(pem.value.as_bytes()) {
            Ok(()) => Some(pem.value),
            Err(why) => {
                let hint = "pass the text of a PEM file, from -----BEGIN CERTIFICATE----- to the end";
                let message = format!("`--ca-root-cert-pem` {why}");
                resolver.problems.push(Problem::of_key("tls_pem", format!("{path}.ca_pem"), None, message, hint));
                None
            }
        }
    });
    // Where both are given, the text wins, as with the tool that these flags come from.
    let ca_file = ca_file.filter(|_| ca_pem.is_none());
    TlsSettings {
        ca_file: ca_file.and_then(|f| file(resolver, path, "ca_file", f, certificates)),
        ca_pem,
        cert_file: cert_file.and_then(|f| file(resolver, path, "cert_file", f, certificates)),
        key_file: key_file.and_then(|f| file(resolver, path, "key_file", f, private_key)),
        authority: authority.and_then(|a| check_authority(resolver, path, a)),
    }
}

fn alone(path: &str, given: &str, missing: &str, source: &Source) -> Problem {
    let message = format!("`{path}.{given}` is given without `{missing}`");
    let hint = format!("a client certificate needs both: add `{missing}`, or remove `{given}`");
    Problem::of_key("missing_key", format!("{path}.{missing}"), Some(source), message, hint)
}

fn file(
    resolver: &mut Resolver<'_>,
    path: &str,
    key: &str,
    told: Told<String>,
    check: fn(&[u8]) -> Result<(), String>,
) -> Option<PathBuf> {
    let key = format!("{path}.{key}");
    let found = resolver.local_path(&told);
    resolver.show(&key, json!(found.to_string_lossy()), &told.source);
    match read(&found).and_then(|bytes| check(&bytes)) {
        Ok(()) => Some(found),
        Err(why) => {
            let message = format!("`{key}`: {} {why}", found.display());
            let hint = "name a PEM file; a relative name is looked up beside the configuration file";
            resolver.problems.push(Problem::of_key("tls_file", key, Some(&told.source), message, hint));
            None
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|cause| match cause.kind() {
        std::io::ErrorKind::NotFound => "does not exist".to_owned(),
        _ => format!("cannot be read: {cause}"),
    })
}

fn certificates(bytes: &[u8]) -> Result<(), String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    match found {
        Ok(list) if list.is_empty() => Err("holds no certificate in PEM form".into()),
        Ok(_) => Ok(()),
        // The cause is not repeated: this may be a key's file by mistake, and nothing of one may reach a message.
        Err(_) => Err("holds damaged PEM".into()),
    }
}

fn private_key(bytes: &[u8]) -> Result<(), String> {
    PrivateKeyDer::from_pem_slice(bytes).map(|_| ()).map_err(|_| "holds no private key in PEM form".into())
}

fn check_authority(resolver: &mut Resolver<'_>, path: &str, told: Told<String>) -> Option<String> {
    let key = format!("{path}.authority");
    resolver.show(&key, json!(told.value), &told.source);
    if told.value.parse::<http::uri::Authority>().is_ok_and(|a| !a.as_str().contains('@')) {
        return Some(told.value);
    }
    let message = format!("`{key}`: {:?} is not a host name", told.value);
    let hint = "write the name that the servers' certificate carries, e.g. \"ledger.example.com\"";
    resolver.problems.push(Problem::of_key("bad_authority", key, Some(&told.source), message, hint));
    None
}
