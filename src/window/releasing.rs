//! Carries out a [`Release`] over the network: for the guard, `recover` and `unpause`. Needs nothing but the pods;
//! where Kubernetes can be asked, pods that are gone for good end sooner.

use super::calls;
use super::existence::Existence;
use super::release::{CheckAnswer, PodIndex, Release, ReleaseCommand, UnpauseAnswer};
use crate::admin::AdminClient;
use crate::kubernetes::PodIdentity;
use provider_api::Mono;
use std::time::Duration;
use tokio::sync::mpsc;

/// An answer of a pod during release.
#[derive(Clone, Debug)]
pub enum Answer {
    /// To Unpause.
    Unpause(PodIndex, UnpauseAnswer),
    /// To CheckPaused.
    Check(PodIndex, CheckAnswer),
    /// Kubernetes no longer has the pod.
    NoLongerExists(PodIndex),
}

/// One pod to release.
#[derive(Clone, Debug)]
pub struct Closed {
    /// Speaks to it; connects by itself.
    pub client: AdminClient,
    /// Which pod it is, where Kubernetes knows.
    pub identity: Option<PodIdentity>,
}

/// Releases until every pod is proven open, gone or not ours, or until `give_up`. `seen` is told every answer.
/// Clients reconnect by themselves. Safe to run while somebody else releases the same pods.
pub async fn run(
    pods: &[Closed],
    mut release: Release,
    give_up: Option<Mono>,
    mut seen: impl FnMut(&Answer),
) -> Release {
    let (sender, mut inbox) = mpsc::unbounded_channel();
    let mut existence = Existence::default();
    let mut tries = vec![0u32; pods.len()];
    loop {
        for command in release.due(Mono::now()) {
            carry_out(command, pods, &mut tries, &sender);
        }
        if release.is_done() || give_up.is_some_and(|at| Mono::now() >= at) {
            return release;
        }
        let wake = [release.next_due(), give_up].into_iter().flatten().min();
        let pause = wake.map_or(Duration::from_millis(100), |at| at.since(Mono::now()));
        tokio::select! {
            Some(answer) = inbox.recv() => {
                seen(&answer);
                match answer {
                    Answer::Unpause(pod, answer) => {
                        let identity = pods.get(pod.0).and_then(|pod| pod.identity.as_ref());
                        let answers = sender.clone();
                        let gone = move || drop(answers.send(Answer::NoLongerExists(pod)));
                        existence.heard(pod, identity, &answer, gone);
                        if let Some(command) = release.unpaused(Mono::now(), pod, &answer) {
                            carry_out(command, pods, &mut tries, &sender);
                        }
                    }
                    Answer::Check(pod, answer) => release.checked(Mono::now(), pod, &answer),
                    Answer::NoLongerExists(pod) => release.no_longer_exists(pod),
                }
            }
            () = tokio::time::sleep(pause.min(Duration::from_millis(100))) => {}
        }
    }
}

fn carry_out(command: ReleaseCommand, pods: &[Closed], tries: &mut [u32], answers: &mpsc::UnboundedSender<Answer>) {
    let (ReleaseCommand::Unpause(pod) | ReleaseCommand::Check(pod)) = command;
    let (Some(closed), Some(tries)) = (pods.get(pod.0), tries.get_mut(pod.0)) else { return };
    let client = closed.client.clone();
    let answers = answers.clone();
    let earlier = *tries;
    if matches!(command, ReleaseCommand::Unpause(_)) {
        *tries += 1;
    }
    tokio::spawn(async move {
        let answer = match command {
            ReleaseCommand::Unpause(pod) => Answer::Unpause(pod, calls::unpause(&client, earlier).await),
            ReleaseCommand::Check(pod) => Answer::Check(pod, calls::check(&client).await),
        };
        // The receiver is gone only after the release ended.
        let _ = answers.send(answer);
    });
}
