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

/// What is missing, and since when; `None`: it was seen going, so that its absence is no surprise.
#[derive(Debug, Default)]
pub(crate) struct Absences(Mutex<HashMap<String, Option<Instant>>>);

impl Absences {
    /// `what` has not been found: whether it has been missing for long enough to be believed.
    pub(crate) fn believed(&self, what: &str, time_scale: f64) -> bool {
        let mut missing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = *missing.entry(what.to_owned()).or_insert_with(|| Some(Instant::now()));
        // Kept when believed, so that a repeat says the same; a name that comes a second time has been found in between.
        since.is_none_or(|since| since.elapsed() >= GRACE.div_f64(time_scale))
    }

    /// `what` is on its way out: that it cannot be found next is believed at once.
    pub(crate) fn going(&self, what: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(what.to_owned(), None);
    }

    /// `what` has been found, or may come to be from now on.
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

    #[tokio::test(start_paused = true)]
    async fn what_was_seen_going_is_gone_at_once_unless_it_was_found_again() {
        let absences = Absences::default();
        absences.going("a");
        assert!(absences.believed("a", 1.0) && absences.believed("a", 1.0));
        absences.found("a");
        assert!(!absences.believed("a", 1.0));
        absences.going("a");
        assert!(absences.believed("a", 1.0));
    }
}
