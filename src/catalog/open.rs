//! From a URL to an object store: the one place that knows which stores there are.

use super::error::{CatalogError, CatalogErrorKind};
use super::store::{Patience, Store};
use object_store::{
    BackoffConfig, ClientConfigKey, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
    local::LocalFileSystem,
    memory::InMemory,
    path::Path,
};
use std::{sync::Arc, time::Duration};
use url::Url;

const FORMS: &str =
    "write file:///absolute/folder, s3://bucket/folder, az://container/folder, gs://bucket/folder, or memory:";

/// Builds the store for a URL. Contacts nothing.
pub(super) fn store(url: &str, patience: Patience) -> Result<Store, CatalogError> {
    let parsed = Url::parse(url).map_err(|_| bad_url(url, "it is not a URL"))?;
    if !parsed.username().is_empty() && !matches!(parsed.scheme(), "az" | "abfs" | "abfss")
        || parsed.password().is_some()
    {
        return Err(CatalogError::new(
            CatalogErrorKind::BadUrl,
            "the catalog URL holds a user name or password",
            "credentials come from the environment only; remove them from [catalog] url",
        ));
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(CatalogError::new(
            CatalogErrorKind::BadUrl,
            "the catalog URL has a part behind `?` or `#`",
            "endpoints, tokens and options come from the environment only; remove that part of [catalog] url",
        ));
    }
    let folder = || Path::from_url_path(parsed.path()).map_err(|error| bad_url(url, &error.to_string()));
    let (inner, prefix, local): (Arc<dyn ObjectStore>, Path, bool) = match parsed.scheme() {
        "file" => (Arc::new(LocalFileSystem::new().with_fsync(true)), local_folder(url, &parsed)?, true),
        "memory" => (Arc::new(InMemory::new()), folder()?, false),
        "s3" | "s3a" => (s3(AmazonS3Builder::from_env(), &parsed, patience)?, folder()?, false),
        "az" | "abfs" | "abfss" => {
            let builder =
                client(patience).into_iter().fold(MicrosoftAzureBuilder::from_env(), |builder, (key, value)| {
                    builder.with_config(AzureConfigKey::Client(key), value)
                });
            let built = builder.with_url(parsed.as_str()).with_retry(retries(patience)).build();
            (Arc::new(built.map_err(|error| not_built(url, error))?), folder()?, false)
        }
        "gs" => {
            let builder =
                client(patience).into_iter().fold(GoogleCloudStorageBuilder::from_env(), |builder, (key, value)| {
                    builder.with_config(GoogleConfigKey::Client(key), value)
                });
            let built = builder.with_url(parsed.as_str()).with_retry(retries(patience)).build();
            (Arc::new(built.map_err(|error| not_built(url, error))?), folder()?, false)
        }
        other => return Err(bad_url(url, &format!("`{other}` is not a kind of catalog"))),
    };
    Ok(Store::new(inner, prefix, url.trim_end_matches('/').to_owned(), patience, local))
}

/// `environment` is a builder that has read the environment.
pub(super) fn s3(
    environment: AmazonS3Builder,
    url: &Url,
    patience: Patience,
) -> Result<Arc<dyn ObjectStore>, CatalogError> {
    let mut builder = client(patience)
        .into_iter()
        .fold(environment, |builder, (key, value)| builder.with_config(AmazonS3ConfigKey::Client(key), value));
    // Who writes http:// into the endpoint means it; only then are requests sent in plain text.
    let endpoint = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint]
        .iter()
        .find_map(|key| builder.get_config_value(key));
    if endpoint.is_some_and(|endpoint| endpoint.starts_with("http://")) {
        builder = builder.with_allow_http(true);
    }
    builder
        .with_url(url.as_str())
        .with_retry(retries(patience))
        // We delete one object at a time, and not every service that speaks S3 has the bulk call.
        .with_disable_bulk_delete(true)
        .build()
        .map(|built| Arc::new(built) as Arc<dyn ObjectStore>)
        .map_err(|error| not_built(url.as_str(), error))
}

fn local_folder(url: &str, parsed: &Url) -> Result<Path, CatalogError> {
    let relative = || bad_url(url, "a folder is given as file:/// and an absolute path");
    if !url.to_ascii_lowercase().starts_with("file:///") {
        return Err(relative());
    }
    let folder = parsed.to_file_path().map_err(|()| relative())?;
    Path::from_absolute_path(&folder).map_err(|error| bad_url(url, &error.to_string()))
}

/// Short: above these are our own tries, and above those a person or a schedule.
fn retries(patience: Patience) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig { init_backoff: patience.first_wait, max_backoff: Duration::from_secs(2), base: 2.0 },
        max_retries: 2,
        retry_timeout: patience.call_timeout,
    }
}

/// Set one by one, so that what the environment says about proxies and the like stays.
fn client(patience: Patience) -> [(ClientConfigKey, String); 2] {
    let timeout = format!("{} ms", patience.call_timeout.as_millis());
    [(ClientConfigKey::ConnectTimeout, "3 s".to_owned()), (ClientConfigKey::Timeout, timeout)]
}

fn bad_url(url: &str, why: &str) -> CatalogError {
    CatalogError::new(CatalogErrorKind::BadUrl, format!("the catalog URL `{url}` cannot be used: {why}"), FORMS)
}

fn not_built(url: &str, error: object_store::Error) -> CatalogError {
    let mut built = CatalogError::from_store("set up the client", url, error);
    // Nothing was sent: whatever is wrong is in the URL or the environment.
    if built.kind == CatalogErrorKind::Unreachable {
        built.kind = CatalogErrorKind::BadUrl;
    }
    built
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str) -> CatalogError {
        store(url, Patience::default()).unwrap_err()
    }

    #[test]
    fn a_url_that_names_no_catalog_is_refused_with_the_forms_that_do() {
        for url in ["/var/lib/catalog", "ftp://host/x", "file:relative", "file://host/x", "https://example.com/x", ""] {
            let error = refused(url);
            assert_eq!(error.kind, CatalogErrorKind::BadUrl, "{url}");
            assert!(error.hint().contains("file:///absolute/folder"), "{url}: {}", error.hint());
        }
    }

    #[test]
    fn a_url_with_credentials_is_refused_and_not_repeated() {
        for url in ["s3://AKIA:wJalr@bucket/x", "s3://bucket/x?token=wJalr", "az://container/x?sv=1&sig=wJalr"] {
            let error = refused(url);
            assert_eq!(error.kind, CatalogErrorKind::BadUrl);
            assert!(!format!("{error:?}").contains("wJalr"), "{error:?}");
        }
    }
}
