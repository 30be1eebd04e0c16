//! Asking Kubernetes about pods that do not let themselves be released. Releasing never waits for it.

use super::release::{PodIndex, UnpauseAnswer};
use crate::kubernetes::{Clusters, PodIdentity};
use std::collections::HashMap;
use std::sync::Arc;

/// One Unpause may fail for many reasons; from the second on it is worth a question, and every second one after it.
const EVERY: u32 = 2;

/// Asks whether pods still exist, beside their release.
#[derive(Debug, Default)]
pub struct Existence {
    clusters: Arc<Clusters>,
    failed: HashMap<usize, u32>,
}

impl Existence {
    /// Is told how every Unpause ended. Asks about a pod that does not answer, and calls `gone` if the API server says
    /// that there is no such pod any more. What keeps it from saying so is ignored: the pod is tried on.
    pub fn heard(
        &mut self,
        pod: PodIndex,
        identity: Option<&PodIdentity>,
        answer: &UnpauseAnswer,
        gone: impl FnOnce() + Send + 'static,
    ) {
        let Some(identity) = identity.filter(|_| *answer != UnpauseAnswer::Ok) else { return };
        let failed = self.failed.entry(pod.0).or_default();
        *failed += 1;
        if !failed.is_multiple_of(EVERY) {
            return;
        }
        let (clusters, identity) = (self.clusters.clone(), identity.clone());
        tokio::spawn(async move {
            if identity.no_longer_exists(&clusters).await {
                gone();
            }
        });
    }
}
