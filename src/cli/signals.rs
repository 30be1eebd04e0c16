//! SIGINT and SIGTERM: a request to stop, never an abrupt end.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that is cancelled by the first SIGINT or SIGTERM. Further ones change nothing: pods are being released.
pub fn cancellation() -> CancellationToken {
    let token = CancellationToken::new();
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        match signal(kind) {
            Ok(mut signals) => {
                let token = token.clone();
                tokio::spawn(async move {
                    while signals.recv().await.is_some() {
                        token.cancel();
                    }
                });
            }
            // The default action then ends the process, and the guard releases.
            Err(error) => tracing::warn!("signals cannot be handled: {error}"),
        }
    }
    token
}
