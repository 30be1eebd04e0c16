//! How long something has not been found that was asked for or seen before.
//!
//! Answers of the service may lag behind what it has done: "not found" right after a creation proves nothing. What is missing is
//! believed to be gone only when it has stayed missing for a while. That memory is this process's alone; without it, the
//! while begins anew, which is as safe.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Longer than a call that was sent may still be under way (ten seconds), and than any lag that was measured (seconds).
const GRACE: Duration = Duration::from_secs(30);

/// What is missing, and since when.
#[derive(Debug, Default)]
pub(crate) struct Absences(Mutex<HashMap<String, Instant>>);

impl Absences {
    /// `what` has not been found: whether it has been missing for long enough to be believed.
    pub(crate) fn believed(&self, what: &str, time_scale: f64) -> bool {
        let mut missing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = *missing.entry(what.to_owned()).or_insert_with(Instant::now);
        // Kept when believed, so that a repeat says the same; names hold nonces and come no second time.
        since.elapsed() >= GRACE.div_f64(time_scale)
    }

    /// `what` has been found.
    pub(crate) fn found(&self, what: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_missing_is_believed_only_when_it_has_stayed_so() {
        let absences = Absences::default();
        assert!(!absences.believed("a", 1.0));
        tokio::time::advance(Duration::from_secs(29)).await;
        assert!(!absences.believed("a", 1.0) && !absences.believed("b", 1.0));
        tokio::time::advance(Duration::from_secs(2)).await;
        absences.found("b");
        assert!(absences.believed("a", 1.0) && absences.believed("a", 1.0));
        assert!(!absences.believed("b", 1.0), "it was there in between");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(absences.believed("b", 60.0));
    }
}
