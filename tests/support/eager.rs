//! Callers who never back off: the moment a gate is open, they are through it. The bank's own clients wait for seconds
//! after a refusal, as ScalarDB's do, and would miss a gate that opens too early.

use std::time::Duration;
use stillpoint_sandbox::pods::{Outcome, Pod};
use tokio::task::JoinSet;

const BETWEEN: Duration = Duration::from_millis(15);

/// One caller for each pod, until dropped.
pub struct Eager(#[allow(dead_code)] JoinSet<()>);

impl Eager {
    pub fn start(pods: &[Pod]) -> Self {
        let mut callers = JoinSet::new();
        for pod in pods {
            let pod = pod.clone();
            callers.spawn(async move {
                loop {
                    if let Ok(transaction) = pod.begin().await {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                        transaction.end(Outcome::Committed);
                    }
                    tokio::time::sleep(BETWEEN).await;
                }
            });
        }
        Self(callers)
    }
}
