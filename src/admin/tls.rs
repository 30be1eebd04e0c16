//! TLS settings for pods, read once for all pods that share them.

use super::{AdminError, AdminErrorKind, HostPort, TlsReference, endpoint::AdminEndpoint};
use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, LazyLock, Mutex, PoisonError, Weak},
};
use tokio_rustls::rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};

/// A thousand pods of a target share one configuration, and so one copy of the roots. Weak: when the last client is
/// gone the files are read afresh, so that a long-lived process takes up renewed certificates.
static LOADED: LazyLock<Mutex<HashMap<TlsReference, Weak<ClientConfig>>>> = LazyLock::new(Mutex::default);

/// The configuration of `reference`, from the clients that use it already or from its files.
pub(super) fn client_config(reference: &TlsReference) -> Result<Arc<ClientConfig>, AdminError> {
    // The name is checked per pod; it does not belong to the configuration.
    let key = TlsReference { authority: None, ..reference.clone() };
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(config) = loaded.get(&key).and_then(Weak::upgrade) {
        return Ok(config);
    }
    let config = Arc::new(load(&key)?);
    loaded.retain(|_, config| config.strong_count() > 0);
    loaded.insert(key, Arc::downgrade(&config));
    Ok(config)
}

fn load(reference: &TlsReference) -> Result<ClientConfig, AdminError> {
    let TlsReference { ca_file, ca_pem, cert_file, key_file, authority: _ } = reference;
    let roots = match (ca_file, ca_pem) {
        (None, None) => system_roots()?,
        (Some(file), None) => roots_of(&format!("`{}`", file.display()), certificates_of(file)?)?,
        (None, Some(text)) => roots_of("the CA given as text", certificates_in(text)?)?,
        (Some(_), Some(_)) => {
            return Err(invalid("the CA is given twice, as a file and as text", "Leave one of the two out."));
        }
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| invalid(format!("TLS cannot be set up: {e}"), "This is a fault of the build; please report it."))?
        .with_root_certificates(roots);
    let mut config = match (cert_file, key_file) {
        (None, None) => builder.with_no_client_auth(),
        (Some(cert), Some(key)) => {
            let chain = certificates_of(cert)?;
            let secret = PrivateKeyDer::from_pem_file(key).map_err(|e| unreadable("private key", key, &e))?;
            builder.with_client_auth_cert(chain, secret).map_err(|e| {
                invalid(
                    format!(
                        "the key in `{}` does not go with the certificate in `{}`: {e}",
                        key.display(),
                        cert.display()
                    ),
                    "Give the key that the certificate was made for.",
                )
            })?
        }
        _ => {
            return Err(invalid(
                "of `cert_file` and `key_file` only one is set",
                "A client certificate needs both; leave both out when the server asks for none.",
            ));
        }
    };
    config.alpn_protocols.push(b"h2".to_vec());
    Ok(config)
}

fn roots_of(what: &str, certificates: Vec<CertificateDer<'static>>) -> Result<RootCertStore, AdminError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).map_err(|e| {
            invalid(
                format!("{what} holds a certificate that cannot be a CA: {e}"),
                "Give the CA that signed the servers' certificates, as PEM.",
            )
        })?;
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, AdminError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added > 0 {
        return Ok(roots);
    }
    let why = found.errors.first().map_or_else(|| "none were found".to_owned(), ToString::to_string);
    Err(invalid(
        format!("TLS without `ca_file` needs the system's root certificates: {why}"),
        "Set `ca_file`, or install the system's CA certificates (package ca-certificates).",
    ))
}

fn certificates_of(file: &Path) -> Result<Vec<CertificateDer<'static>>, AdminError> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => Err(invalid(
            format!("`{}` holds no certificate", file.display()),
            "A PEM file with at least one `BEGIN CERTIFICATE` block is expected.",
        )),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(unreadable("certificates", file, &error)),
    }
}

fn certificates_in(text: &str) -> Result<Vec<CertificateDer<'static>>, AdminError> {
    let read = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>();
    read.ok().filter(|certificates| !certificates.is_empty()).ok_or_else(|| {
        invalid(
            "the CA given as text holds no certificate",
            "At least one `BEGIN CERTIFICATE` block is expected, with its line breaks.",
        )
    })
}

fn unreadable(what: &str, file: &Path, error: &dyn std::fmt::Display) -> AdminError {
    invalid(
        format!("the {what} in `{}` cannot be read: {error}", file.display()),
        "Check the path, its permissions, and that the file is PEM.",
    )
}

fn invalid(message: impl Into<String>, hint: &str) -> AdminError {
    AdminError::new(AdminErrorKind::InvalidSettings, message, hint)
}

/// The name that the pod's certificate must show.
pub(super) fn server_name(endpoint: &AdminEndpoint) -> Result<ServerName<'static>, AdminError> {
    let called = endpoint.called();
    let host = called.parse::<HostPort>().map_or_else(|_| called.to_owned(), |at| at.host);
    ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).map_err(|_| {
        invalid(
            format!("`{called}` is not a name that a certificate can be checked against"),
            "Set `authority` to the host name or IP address in the server's certificate.",
        )
    })
}
