//! The two calls that pods are seen by: a list, page by page, and a watch from a version. Never without a selector.

use super::facts::{PodFacts, WireList, WirePod};
use super::judge::PodEvent;
use crate::kubernetes::Cluster;
use futures::{Stream, StreamExt};
use kube::Error;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::core::Request;
use std::time::Duration;

/// A page of a list: a thousand pods at once would be ten megabytes of text.
const PAGE: u32 = 100;
/// For one answer that is not a watch.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Pods of one namespace that carry some labels.
#[derive(Clone, Debug)]
pub struct Pods {
    /// Where.
    pub cluster: Cluster,
    /// In which namespace.
    pub namespace: String,
    /// A label selector; never empty.
    pub selector: String,
}

/// One consistent list.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// Its version; a watch from it misses nothing.
    pub version: String,
    /// The pods, in the order of their names.
    pub pods: Vec<PodFacts>,
}

impl Pods {
    fn request(&self) -> Request {
        Request::new(format!("/api/v1/namespaces/{}/pods", self.namespace))
    }

    /// Lists the pods, all as of one version.
    pub async fn list(&self) -> Result<Look, Error> {
        let mut look = Look::default();
        let mut params = ListParams::default().labels(&self.selector).limit(PAGE);
        loop {
            let request = self.request().list(&params).map_err(Error::BuildRequest)?;
            let page: WireList = in_time(self.cluster.client.request(request)).await?;
            look.version = page.metadata.resource_version;
            look.pods.extend(page.items.into_iter().map(PodFacts::from));
            match page.metadata.more.filter(|more| !more.is_empty()) {
                Some(more) => params = params.continue_token(&more),
                None => return Ok(look),
            }
        }
    }

    /// Watches from a version on, for at most that many seconds. An `Err` in the stream is its end.
    pub async fn watch(
        &self,
        version: &str,
        seconds: u32,
    ) -> Result<impl Stream<Item = Result<PodEvent, Error>> + Send + Unpin + use<>, Error> {
        let params = WatchParams::default().labels(&self.selector).timeout(seconds);
        let request = self.request().watch(&params, version).map_err(Error::BuildRequest)?;
        let events = in_time(self.cluster.client.request_events::<WirePod>(request)).await?;
        Ok(events.map(|event: Result<WatchEvent<WirePod>, Error>| event.and_then(read)).boxed())
    }
}

fn read(event: WatchEvent<WirePod>) -> Result<PodEvent, Error> {
    match event {
        WatchEvent::Added(pod) | WatchEvent::Modified(pod) => Ok(PodEvent::Is(pod.into())),
        WatchEvent::Deleted(pod) => Ok(PodEvent::Gone(pod.into())),
        WatchEvent::Bookmark(bookmark) => Ok(PodEvent::Version(bookmark.metadata.resource_version)),
        WatchEvent::Error(status) => Err(Error::Api(status)),
    }
}

/// The answer, or that there was none in time.
pub async fn in_time<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::Service(format!("no answer within {PATIENCE:?}").into())),
    }
}

/// The version is too old: what happened since is not known any more.
pub fn has_expired(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 410 || status.reason == "Expired" || status.reason == "Gone")
}
