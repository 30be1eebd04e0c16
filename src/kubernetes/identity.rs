//! Whether a pod still exists: for releasing one that does not answer any more.

use super::{Cluster, Clusters};
use crate::settings::ClusterReference;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// For one answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which pod it is, for ever: a name can be given again, a UID cannot. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodIdentity {
    /// Which cluster, and as whom.
    pub cluster: ClusterReference,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

impl PodIdentity {
    /// True only when the API server says so: there is no pod of this name, or one with another UID. Whatever keeps it
    /// from saying so is no news, and `false`.
    pub async fn no_longer_exists(&self, clusters: &Clusters) -> bool {
        let Ok(cluster) = clusters.get(&self.cluster).await else { return false };
        match tokio::time::timeout(PATIENCE, self.uid_now(&cluster)).await {
            Ok(Ok(now)) => now.is_none_or(|uid| uid != self.uid),
            _ => false,
        }
    }

    async fn uid_now(&self, cluster: &Cluster) -> kube::Result<Option<String>> {
        let api: Api<Pod> = Api::namespaced(cluster.client.clone(), &self.namespace);
        let found = api.get_metadata_opt(&self.name).await?;
        Ok(found.map(|pod| pod.metadata.uid.unwrap_or_default()))
    }
}
