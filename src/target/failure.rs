//! Why a pod cannot take part in a window.

use crate::{
    admin::{AdminError, AdminErrorKind},
    point::ErrorReport,
};

/// The meaning of a [`Failure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No target names a pod.
    NoPods,
    /// One name has the addresses of several pods.
    SeveralPods,
    /// The pod is named twice.
    Duplicate,
    /// Its gate is closed already.
    AlreadyPaused,
    /// There is no such service record.
    SrvNotFound,
    /// DNS does not say where a target's pods are.
    SrvUnanswered,
    /// A service record names a host without an address.
    SrvWithoutAddress,
    /// The server cannot say whether its gate is closed.
    NoCheckPaused,
    /// It cannot be spoken to.
    Admin(AdminErrorKind),
}

impl Reason {
    /// A stable name for scripts.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoPods => "no_pods",
            Self::SeveralPods => "several_pods_at_one_name",
            Self::Duplicate => "duplicate_pod",
            Self::AlreadyPaused => "pod_already_paused",
            Self::SrvNotFound => "srv_not_found",
            Self::SrvUnanswered => "srv_unanswered",
            Self::SrvWithoutAddress => "srv_without_address",
            Self::NoCheckPaused => "no_check_paused",
            Self::Admin(kind) => kind.name(),
        }
    }
}

/// One pod that cannot take part. The message names the pod and the cause; the hint is what to do next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The target's name; empty where no target is concerned.
    pub target: String,
    /// The pod's name: its address as written.
    pub pod: String,
    /// Its meaning.
    pub reason: Reason,
    /// What is wrong, with which pod.
    pub message: String,
    /// What the operator does next.
    pub hint: String,
}

impl Failure {
    pub(super) fn of_admin(target: &str, pod: &str, error: AdminError) -> Self {
        let AdminError { kind, message, hint } = error;
        Self { target: target.to_owned(), pod: pod.to_owned(), reason: Reason::Admin(kind), message, hint }
    }
}

/// All failures as one error: each message once, each hint once, in the order given.
pub fn summary(failures: &[Failure]) -> ErrorReport {
    let first = failures.first().map_or("pods_not_ready", |failure| failure.reason.name());
    let alike = failures.iter().all(|failure| failure.reason.name() == first);
    let messages = distinct(failures.iter().map(|failure| failure.message.as_str()));
    let message = match messages.as_slice() {
        [only] => (*only).to_owned(),
        many => format!("{} pods are not ready:\n- {}", failures.len(), many.join("\n- ")),
    };
    let hint = distinct(failures.iter().map(|failure| failure.hint.as_str())).join("\n");
    ErrorReport { name: if alike { first } else { "pods_not_ready" }.to_owned(), message, hint }
}

fn distinct<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = std::collections::HashSet::new();
    texts.filter(|text| seen.insert(*text)).collect()
}
