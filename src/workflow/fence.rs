//! What is asked before each call that creates or destroys: is the run still ours?

use super::{AlsoAsk, Options, Worker};
use crate::catalog::{PointEvent, PointWatcher, WorkHold};
use provider_api::{ErrorKind, Fence, ProviderError};
use std::time::Duration;
use tokio::sync::Mutex;

/// A call must end this long before the lease does: its time-out, and a second for the way.
const CALL: Duration = Duration::from_secs(11);

/// The fence of one hold.
pub(super) struct RunFence {
    worker: Worker,
    also: Option<AlsoAsk>,
    seen: Mutex<Seen>,
}

struct Seen {
    watcher: PointWatcher,
    hold: WorkHold,
    lost: bool,
}

impl RunFence {
    pub(super) fn new(options: &Options, watcher: PointWatcher, hold: WorkHold) -> Self {
        let (worker, also) = (options.worker.clone(), options.before_destroying.clone());
        RunFence { worker, also, seen: Mutex::new(Seen { watcher, hold, lost: false }) }
    }
}

#[async_trait::async_trait]
impl Fence for RunFence {
    async fn pass(&self) -> Result<(), ProviderError> {
        let mut seen = self.seen.lock().await;
        let events = seen.watcher.look().await.map_err(|error| {
            let message = format!("nothing is done while the catalog cannot be read: {error}");
            ProviderError::new(ErrorKind::Fenced, message, error.hint()).retryable(error.retryable())
        })?;
        for event in events {
            match event {
                PointEvent::WorkHeld { hold, .. } if hold.holder == seen.hold.holder => seen.hold = hold,
                PointEvent::WorkHeld { .. } | PointEvent::WorkReleased { .. } => seen.lost = true,
                _ => {}
            }
        }
        let hint = "run the same command again: it goes on where this one stopped";
        if seen.lost {
            return Err(ProviderError::new(ErrorKind::Fenced, "another process has taken over this run", hint));
        }
        let call = u64::try_from(CALL.as_nanos()).unwrap_or(u64::MAX);
        if (self.worker.boot_ns)().saturating_add(call) > seen.hold.until_boot_ns {
            let message = "the hold on this run ends before a call could, and is to be renewed first";
            return Err(ProviderError::new(ErrorKind::Fenced, message, hint).retryable(true));
        }
        Ok(())
    }

    async fn destroy(&self) -> Result<(), ProviderError> {
        // Ours last: it is the quicker one, and no time may pass between its answer and the call.
        if let Some(also) = &self.also {
            also.0.destroy().await?;
        }
        self.pass().await
    }
}
