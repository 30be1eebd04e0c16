//! Opening pods of which a process that is not there any more may have left some paused.

use crate::admin::AdminClient;
use crate::failure::Failure;
use crate::note::NotedPod;
use crate::point::{Pod, PodState};
use crate::restore_point::report;
use crate::window::release::{End, PodIndex, Release, Tuning};
use crate::window::releasing::{self, Closed};
use provider_api::Mono;
use std::time::Duration;

/// Pods to open, with what is known of their Pauses.
#[derive(Clone, Debug)]
pub struct Opening<'a> {
    /// The pods.
    pub pods: &'a [NotedPod],
    /// Each Pause call's deadline: how long a server may hold one back.
    pub call_deadline: Duration,
    /// The longest time for which the kernel may still deliver a Pause.
    pub tcp_user_timeout: Duration,
    /// No Pause of ours can be on its way: one look after an Unpause proves a pod open. Otherwise every pod is *maybe
    /// paused*, and is watched until none can arrive.
    pub settled: bool,
    /// Places of pods that another caller's pause holds: an Unpause would revoke it.
    pub left_alone: &'a [usize],
    /// How long to try, beyond the time that proving takes.
    pub patience: Duration,
}

/// How pods were left.
#[derive(Clone, Debug, Default)]
pub struct Opened {
    /// Every pod, in order.
    pub pods: Vec<Pod>,
    /// Pods that could not even be tried, with the reason.
    pub troubles: Vec<String>,
}

impl Opened {
    /// The failure that outranks all, if a pod is not proven open.
    pub fn failure(&self) -> Option<Failure> {
        let closed = |pod: &&Pod| matches!(pod.state, PodState::MaybePaused | PodState::Paused);
        let unproven: Vec<&str> = self.pods.iter().filter(closed).map(|pod| pod.name.as_str()).collect();
        if unproven.is_empty() {
            return None;
        }
        let mut failure = report::maybe_paused(&unproven, Err("they do not answer as open pods do".to_owned()));
        failure.causes.extend(self.troubles.iter().cloned());
        Some(failure)
    }
}

/// Unpauses until every pod is proven open, all at once. A pod that cannot be tried holds up no other.
/// Safe to repeat, and while somebody else does the same.
pub async fn open(opening: &Opening<'_>) -> Opened {
    crate::target::make_room(opening.pods.len());
    let (mut clients, mut tried, mut troubles) = (Vec::new(), Vec::new(), Vec::new());
    for (i, pod) in opening.pods.iter().enumerate() {
        match AdminClient::connect_lazy(&pod.endpoint) {
            Ok(client) => {
                clients.push(Closed { client, identity: pod.identity.clone() });
                tried.push(i);
            }
            Err(error) => troubles.push(format!("{error} (hint: {})", error.hint)),
        }
    }
    let now = Mono::now();
    let can_check: Vec<bool> = tried.iter().map(|i| opening.pods[*i].can_check).collect();
    let tuning = Tuning::new(can_check.len(), opening.call_deadline, opening.tcp_user_timeout);
    let mut release = Release::maybe_paused(now, now, &can_check, tuning);
    if opening.settled {
        (0..can_check.len()).for_each(|pod| release.pause_was_answered(PodIndex(pod), now));
    }
    for (place, i) in tried.iter().enumerate() {
        if opening.left_alone.contains(i) {
            release.leave_alone(PodIndex(place));
        }
    }
    let longest = opening.patience + if opening.settled { Duration::ZERO } else { tuning.quiet };
    let release = releasing::run(&clients, release, Some(now + longest), |_| ()).await;
    let state = |i: usize| match tried.binary_search(&i).ok().and_then(|place| release.ended(PodIndex(place))) {
        Some(End::Open) => PodState::Open,
        Some(End::Gone) => PodState::Gone,
        Some(End::PausedByOther) => PodState::PausedByOther,
        None => PodState::MaybePaused,
    };
    Opened { pods: named(opening.pods, state), troubles }
}

/// Pods with their states, by their place.
pub fn named(pods: &[NotedPod], state: impl Fn(usize) -> PodState) -> Vec<Pod> {
    let pod = |(i, pod): (usize, &NotedPod)| Pod {
        name: pod.name.clone(),
        target: pod.target.clone(),
        address: pod.endpoint.address.clone(),
        state: state(i),
    };
    pods.iter().enumerate().map(pod).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::test_pods::TestPod;
    use crate::admin::{AdminEndpoint, TlsReference};
    use crate::failure::Exit;
    use std::sync::atomic::Ordering;

    fn noted(endpoint: AdminEndpoint) -> NotedPod {
        NotedPod { name: endpoint.address.clone(), target: "t".into(), can_check: true, endpoint, identity: None }
    }

    #[tokio::test]
    async fn a_pod_that_cannot_be_tried_is_named_and_keeps_no_other_closed() {
        let pods = [TestPod::plain().await, TestPod::plain().await];
        pods[1].gate.closed.store(true, Ordering::SeqCst);
        let lost = TlsReference { ca_file: Some("/nowhere/ca.pem".into()), ..TlsReference::default() };
        let noted = [noted(pods[0].tls_endpoint(lost)), noted(pods[1].endpoint())];
        let opening = Opening {
            pods: &noted,
            call_deadline: Duration::from_secs(35),
            tcp_user_timeout: Duration::from_secs(10),
            settled: true,
            left_alone: &[],
            patience: Duration::from_secs(60),
        };
        let opened = open(&opening).await;
        assert!(!pods[1].gate.is_closed());
        let states: Vec<_> = opened.pods.iter().map(|pod| pod.state).collect();
        assert_eq!(states, [PodState::MaybePaused, PodState::Open]);
        let failure = opened.failure().unwrap();
        assert_eq!(failure.exit, Exit::MaybePaused);
        assert!(failure.message.contains(&noted[0].name) && !failure.message.contains(&noted[1].name), "{failure:?}");
        assert!(failure.causes.iter().any(|cause| cause.contains("/nowhere/ca.pem")), "{failure:?}");
    }

    #[tokio::test]
    async fn a_pod_that_another_caller_holds_stays_paused() {
        let pods = [TestPod::plain().await, TestPod::plain().await];
        pods.iter().for_each(|pod| pod.gate.closed.store(true, Ordering::SeqCst));
        let noted = [noted(pods[0].endpoint()), noted(pods[1].endpoint())];
        let opening = Opening {
            pods: &noted,
            call_deadline: Duration::from_secs(35),
            tcp_user_timeout: Duration::from_secs(10),
            settled: true,
            left_alone: &[0],
            patience: Duration::from_secs(60),
        };
        let opened = open(&opening).await;
        assert!(pods[0].gate.is_closed() && !pods[1].gate.is_closed());
        let states: Vec<_> = opened.pods.iter().map(|pod| pod.state).collect();
        assert_eq!(states, [PodState::PausedByOther, PodState::Open]);
        assert_eq!(opened.failure(), None);
    }
}
