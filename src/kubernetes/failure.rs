//! What the API server says, by meaning.

use crate::failure::{Exit, Failure};
use kube::Error;

/// Why `what` (an infinitive: `list pods in namespace x`) could not be done at this server.
pub fn refusal(server: &str, what: &str, error: &Error) -> Failure {
    let (name, hint) = match error {
        Error::Api(status) => match status.code {
            401 => (
                "kubernetes_unauthorized",
                "The credentials are refused or have expired: log in again, or renew the kubeconfig or token.",
            ),
            403 => (
                "kubernetes_forbidden",
                "Give this user or service account the right, by a Role in that namespace; `stillpoint check` says which rights are needed.",
            ),
            _ => ("kubernetes_error", "The API server's own words say what is wrong with the request."),
        },
        Error::Auth(_) => (
            "kubernetes_unauthorized",
            "The kubeconfig's way to get credentials failed: try it with `kubectl get pods`, or log in again.",
        ),
        Error::SerdeError(_) => (
            "kubernetes_unsupported",
            "The answer is not what Kubernetes 1.25 and later send; is there a proxy in between?",
        ),
        _ => (
            "kubernetes_unreachable",
            "Check that the API server's address is right and can be reached from here: `kubectl cluster-info`.",
        ),
    };
    let mut failure = Failure::new(Exit::Refused, name, format!("cannot {what} at {server}"), hint);
    match error {
        // Its text comes twice in the error's own.
        Error::Api(status) => failure.causes.push(status.message.clone()),
        other => failure = failure.caused_by(other),
    }
    failure
}
