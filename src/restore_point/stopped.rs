//! Whether the pods of the targets are stopped: nothing may write to a table that is being replaced.

use crate::failure::{Exit, Failure};
use crate::restore_point::preflight::FRESH;
use crate::settings::Settings;
use crate::target;
use provider_api::{ErrorKind, Fence, Mono, ProviderError};
use tokio::sync::Mutex;

/// The names of failures that say that nobody is there. Every other answer is an answer: also a refused certificate comes from
/// a process that runs.
const ABSENT: [&str; 6] = [
    "pod_refused_connection",
    "pod_unreachable",
    "pod_unresolvable",
    "no_pods",
    // A Service without pods has no SRV records, a release that is scaled to 0 no pods.
    "srv_not_found",
    "release_without_pods",
];

const HINT: &str = "Stop every pod that writes to these tables (scale to 0) and run it again. If what answers there is none of \
                    them, add --pods-are-stopped.";

/// Asks every pod of the targets. Whoever answers, in whatever way, runs: one failure that names them all; none: all are absent.
pub async fn look(settings: &Settings) -> Vec<Failure> {
    let found = target::prepare(settings).await;
    let mut running: Vec<String> = found.ready.iter().map(|ready| ready.pod.name.clone()).collect();
    running.extend(found.pods.iter().map(|pod| pod.name.clone()));
    running.sort();
    running.dedup();
    let others: Vec<Failure> = found.failures.into_iter().filter(|failure| !is_absence(failure)).collect();
    let answered = others.iter().filter(|failure| !running.iter().any(|name| failure.message.contains(name.as_str())));
    let mut said: Vec<String> = running.iter().map(|name| format!("pod {name} answers")).collect();
    said.extend(answered.map(|failure| failure.message.clone()));
    if said.is_empty() {
        return Vec::new();
    }
    vec![failure(&format!("pods run: {}", said.join("; ")))]
}

/// Our own want of open files says nothing of the pod.
fn is_absence(failure: &Failure) -> bool {
    ABSENT.contains(&failure.name.as_str()) && !failure.hint.contains("limit of open files")
}

fn failure(message: &str) -> Failure {
    Failure::new(Exit::Refused, "pods_running", message, HINT)
}

/// The failure behind an error of [`PodsAbsent`].
pub fn told(error: &ProviderError) -> Option<Failure> {
    (error.hint == HINT).then(|| failure(&error.message))
}

/// Asked again right before each table is deleted. What was found holds for as long as before a window.
#[derive(Debug)]
pub struct PodsAbsent {
    settings: Settings,
    looked: Mutex<Option<Mono>>,
}

impl PodsAbsent {
    /// Of the targets of these settings.
    pub fn new(settings: Settings) -> Self {
        PodsAbsent { settings, looked: Mutex::new(None) }
    }
}

#[async_trait::async_trait]
impl Fence for PodsAbsent {
    async fn pass(&self) -> Result<(), ProviderError> {
        let mut looked = self.looked.lock().await;
        if looked.is_some_and(|at| Mono::now().since(at) < FRESH) {
            return Ok(());
        }
        if let Some(running) = look(&self.settings).await.first() {
            *looked = None;
            return Err(ProviderError::new(ErrorKind::WrongState, &running.message, HINT));
        }
        *looked = Some(Mono::now());
        Ok(())
    }
}
