//! URLs that settings name, checked as far as that goes without asking anybody.

use url::Url;

/// The catalog's place. `Err` is why it is refused, and what to write.
pub(super) fn catalog(text: &str) -> Result<Url, (String, String)> {
    const FORMS: &str =
        "write file:///var/lib/stillpoint, s3://bucket/prefix, az://container/prefix, gs://bucket/prefix or memory:";
    let bad = |why: String| (why, FORMS.to_owned());
    // The text is not repeated before it is known to hold no secret.
    let url = Url::parse(text).map_err(|cause| bad(format!("not a URL: {cause}")))?;
    if !url.username().is_empty() || url.password().is_some() {
        let hint = "remove user and password; credentials come from the store's own environment variables".to_owned();
        return Err(("a catalog URL carries no credentials".to_owned(), hint));
    }
    match url.scheme() {
        "memory" => Ok(url),
        "file" if url.host_str().is_some_and(|h| !h.is_empty()) => {
            Err(bad(format!("{text:?} names a host; a local folder has three slashes")))
        }
        "file" => Ok(url),
        "s3" | "az" | "gs" if url.host_str().is_none_or(str::is_empty) => {
            Err(bad(format!("{text:?} names no bucket or container")))
        }
        "s3" | "az" | "gs" => Ok(url),
        other => Err(bad(format!("unknown kind of store `{other}`"))),
    }
}

/// An AWS endpoint. `Err` is why it is refused, and what to write.
pub(super) fn endpoint(text: &str) -> Result<Url, (String, String)> {
    let hint = || "write http://host:port or https://host:port".to_owned();
    // The text is not repeated: with user and password in it, it would be a secret.
    let url = Url::parse(text).map_err(|cause| (format!("not a URL: {cause}"), hint()))?;
    if !url.username().is_empty() || url.password().is_some() {
        let hint = "remove user and password; credentials come from the AWS SDK's own chain".to_owned();
        return Err(("an endpoint carries no credentials".to_owned(), hint));
    }
    match url.scheme() {
        "http" | "https" if url.host_str().is_some() => Ok(url),
        other => Err((format!("an endpoint is http or https, not `{other}`"), hint())),
    }
}
