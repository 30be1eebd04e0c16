//! How long ago this process came to something for the first time.
//!
//! That memory is this process's alone; without it, the wait begins anew, which is as safe.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// What was asked for, and when first.
#[derive(Debug, Default)]
pub(crate) struct Waited(Mutex<HashMap<String, Instant>>);

impl Waited {
    /// Whether `wait`, divided by `time_scale`, has passed since this was asked for `what` for the first time.
    pub(crate) fn since_first(&self, what: &str, wait: Duration, time_scale: f64) -> bool {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        first.entry(what.to_owned()).or_insert_with(Instant::now).elapsed() >= wait.div_f64(time_scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_thing_is_waited_for_by_itself_and_only_once() {
        let (waited, wait) = (Waited::default(), Duration::from_secs(60));
        assert!(!waited.since_first("a", wait, 1.0));
        tokio::time::advance(Duration::from_secs(59)).await;
        assert!(!waited.since_first("a", wait, 1.0) && !waited.since_first("b", wait, 1.0));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(waited.since_first("a", wait, 1.0) && !waited.since_first("b", wait, 1.0));
        assert!(waited.since_first("a", wait, 1.0) && waited.since_first("b", wait, 60.0));
    }
}
