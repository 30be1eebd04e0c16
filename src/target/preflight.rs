//! The last look before a window: every pod connected, every gate open.

use super::{Failure, Pod, Reason, make_room};
use crate::{
    admin::{AdminClient, AdminError, AdminErrorKind},
    point::{self, PodState},
};
use futures::{StreamExt, stream};
use std::time::Duration;

/// How to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreflightOptions {
    /// For connecting to one pod, and again for its answer.
    pub timeout: Duration,
    /// Pods looked at at the same time; at least 1.
    pub concurrency: usize,
    /// Refuse pods without CheckPaused, whose still period cannot be proven.
    pub require_proof: bool,
}

/// A pod whose gate is open, as far as it can tell, and the connection to it.
#[derive(Clone, Debug)]
pub struct ReadyPod {
    /// The pod.
    pub pod: Pod,
    /// Connected.
    pub client: AdminClient,
    /// Has CheckPaused. Always true when proof is required.
    pub has_check: bool,
}

/// What was found, in the order of the pods given.
#[derive(Clone, Debug, Default)]
pub struct Preflight {
    /// Pods that can take part.
    pub ready: Vec<ReadyPod>,
    /// Pods that cannot, each with the reason.
    pub failures: Vec<Failure>,
    /// Every pod whose gate could be read, `open` or, where somebody else holds it, `paused_by_other`.
    pub pods: Vec<point::Pod>,
}

impl Preflight {
    /// The connected pods, if *all* pods can take part; otherwise all failures.
    pub fn all_ready(self) -> Result<Vec<ReadyPod>, Vec<Failure>> {
        if self.failures.is_empty() { Ok(self.ready) } else { Err(self.failures) }
    }
}

/// Connects to every pod and asks for its gate. Pauses nothing, changes nothing; looks at all pods, whatever it finds.
pub async fn preflight(pods: Vec<Pod>, options: &PreflightOptions) -> Preflight {
    make_room(pods.len());
    let looked: Vec<Looked> = stream::iter(pods)
        .map(|pod| look(pod, options))
        // Keeps the order; a slow pod holds back only those that come `concurrency` later.
        .buffered(options.concurrency.max(1))
        .collect()
        .await;
    let mut preflight = Preflight::default();
    for Looked { pod, state, outcome } in looked {
        preflight.pods.extend(state.map(|state| point::Pod {
            name: pod.name.clone(),
            target: pod.target.clone(),
            address: pod.address.clone(),
            state,
        }));
        match outcome {
            Ok((client, has_check)) => preflight.ready.push(ReadyPod { pod, client, has_check }),
            Err(failure) => preflight.failures.push(failure),
        }
    }
    preflight
}

struct Looked {
    pod: Pod,
    state: Option<PodState>,
    outcome: Result<(AdminClient, bool), Failure>,
}

async fn look(pod: Pod, options: &PreflightOptions) -> Looked {
    let (state, outcome) = match connect_and_ask(&pod, options).await {
        Ok((_, Some(true))) => (Some(PodState::PausedByOther), Err(already_paused(&pod))),
        Ok((client, Some(false))) => (Some(PodState::Open), Ok((client, true))),
        Ok((_, None)) if options.require_proof => (None, Err(no_check_paused(&pod))),
        Ok((client, None)) => (None, Ok((client, false))),
        Err(error) => (None, Err(Failure::of_admin(&pod.target, &pod.name, error))),
    };
    Looked { pod, state, outcome }
}

/// The connection, and whether the pod is paused; `None` when it has no CheckPaused.
async fn connect_and_ask(pod: &Pod, options: &PreflightOptions) -> Result<(AdminClient, Option<bool>), AdminError> {
    let client = AdminClient::connect(&pod.endpoint, options.timeout).await?;
    match client.check_paused(options.timeout).await {
        Ok(paused) => Ok((client, Some(paused))),
        Err(error) if error.kind == AdminErrorKind::Unimplemented => Ok((client, None)),
        Err(error) => Err(error),
    }
}

fn already_paused(pod: &Pod) -> Failure {
    // A pod that Kubernetes names is still opened by its address; one that was written keeps its name, for TLS.
    let address = if pod.identity.is_some() { &pod.address } else { &pod.name };
    Failure {
        target: pod.target.clone(),
        pod: pod.name.clone(),
        reason: Reason::AlreadyPaused,
        message: format!("pod {} is paused already: somebody else's window, or a dead run's", pod.endpoint.label()),
        hint: format!(
            "Look with `stillpoint status`. If nobody holds it, release it with `stillpoint unpause --address {address}`."
        ),
    }
}

fn no_check_paused(pod: &Pod) -> Failure {
    Failure {
        target: pod.target.clone(),
        pod: pod.name.clone(),
        reason: Reason::NoCheckPaused,
        message: format!("pod {} has no CheckPaused: that it stays paused cannot be proven", pod.endpoint.label()),
        hint: "ScalarDB Server before 3.6 has none: upgrade it, or set `require_proof = false` under [window]; \
               the point then says so. Any other server: check that this is its admin port."
            .to_owned(),
    }
}
