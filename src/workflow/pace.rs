//! When each unit is looked at again, who waits for a slot, and how long it may still take. Pure: times come in.

use super::{Run, UnitKey};
use provider_api::{ErrorKind, Poll, ProviderError};
use std::collections::BTreeMap;
use std::time::Duration;

/// First wait after an error that can pass; doubled for each further one.
const FIRST_TROUBLE: Duration = Duration::from_secs(2);
/// The longest.
const LAST_TROUBLE: Duration = Duration::from_secs(60);
/// How long a unit's errors may go on without a single good answer, before the unit fails.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// The same where the service says that there is no room: somebody else's restores take an hour at times.
const PATIENCE_FOR_ROOM: Duration = Duration::from_secs(2 * 3600);

/// The waits of one unit.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    progress: String,
    looks: u32,
    troubles: u32,
    trouble_since: Option<Duration>,
}

impl Pace {
    /// Something new is true: waits begin anew.
    pub(super) fn moved(&mut self) {
        *self = Pace::default();
    }

    /// Whether this is news, and how long to wait.
    pub(super) fn wait(&mut self, poll: Poll, progress: &str, scale: f64) -> (bool, Duration) {
        let new = self.progress != progress;
        if new {
            self.moved();
            progress.clone_into(&mut self.progress);
        }
        (self.troubles, self.trouble_since) = (0, None);
        let wait = match self.looks {
            0 => poll.first,
            n => poll.then.mul_f64(1.5_f64.powi(i32::try_from(n - 1).unwrap_or(i32::MAX).min(40))).min(poll.last),
        };
        self.looks = self.looks.saturating_add(1);
        (new, wait.div_f64(scale))
    }

    /// How long to wait after an error, or that it has gone on for too long. `now` is since any fixed moment.
    pub(super) fn trouble(&mut self, error: &ProviderError, now: Duration, scale: f64) -> Option<Duration> {
        if !error.retryable {
            return None;
        }
        let patience = if error.kind == ErrorKind::Throttled { PATIENCE_FOR_ROOM } else { PATIENCE };
        let since = *self.trouble_since.get_or_insert(now);
        if now.saturating_sub(since) > patience.div_f64(scale) {
            return None;
        }
        let wait = (FIRST_TROUBLE * 2_u32.saturating_pow(self.troubles.min(10))).min(LAST_TROUBLE);
        self.troubles = self.troubles.saturating_add(1);
        Some(wait.div_f64(scale))
    }
}

/// How many units have each slot.
pub(super) fn taken(run: &Run) -> BTreeMap<String, usize> {
    let mut taken = BTreeMap::new();
    for slot in run.units.values().filter(|unit| !unit.done).filter_map(|unit| unit.slot()) {
        *taken.entry(slot.to_owned()).or_insert(0) += 1;
    }
    taken
}

/// How long it may still take: the rest in rounds of as many as run at once, each as long as those before took.
pub(super) fn left(finished: &[Duration], running: &[Duration], waiting: usize, at_once: usize) -> Option<Duration> {
    let count = u32::try_from(finished.len()).ok().filter(|count| *count > 0)?;
    let mean = finished.iter().sum::<Duration>() / count;
    let rounds = waiting as f64 / at_once.max(1) as f64;
    let current = running.iter().map(|so_far| mean.saturating_sub(*so_far)).max().unwrap_or_default();
    Some(current + mean.mul_f64(rounds))
}

/// Units that wait for a slot, first come first served.
#[derive(Debug, Default)]
pub(super) struct Parked(Vec<(UnitKey, provider_api::Intent)>);

impl Parked {
    pub(super) fn push(&mut self, key: UnitKey, intent: provider_api::Intent) {
        self.0.push((key, intent));
    }

    pub(super) fn holds(&self, key: &UnitKey) -> bool {
        self.0.iter().any(|(parked, _)| parked == key)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes out everybody for whom there is room now, and counts them as having their slot.
    pub(super) fn admit(
        &mut self,
        limits: &BTreeMap<String, usize>,
        taken: &mut BTreeMap<String, usize>,
    ) -> Vec<(UnitKey, provider_api::Intent)> {
        let (mut admitted, mut rest) = (Vec::new(), Vec::new());
        for (key, intent) in self.0.drain(..) {
            let slot = intent.slot.clone().unwrap_or_default();
            let limit = limits.get(&slot).copied().unwrap_or(usize::MAX);
            let used = taken.entry(slot).or_insert(0);
            if *used < limit {
                *used += 1;
                admitted.push((key, intent));
            } else {
                rest.push((key, intent));
            }
        }
        self.0 = rest;
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn waits_grow_by_half_up_to_the_last_and_begin_anew_with_new_progress() {
        let poll = Poll { first: S * 60, then: S * 10, last: S * 15 };
        let mut pace = Pace::default();
        let mut next = |what: &str| pace.wait(poll, what, 1.0);
        assert_eq!(next("restoring"), (true, S * 60));
        assert_eq!(next("restoring"), (false, S * 10));
        assert_eq!(next("restoring"), (false, S * 15));
        assert_eq!(next("backing up"), (true, S * 60));
        assert_eq!(Pace::default().wait(poll, "x", 60.0).1, S);
    }

    #[test]
    fn trouble_that_can_pass_is_waited_out_for_a_while_and_a_good_answer_forgives_it() {
        let error = ProviderError::new(ErrorKind::Unreachable, "m", "h");
        let mut pace = Pace::default();
        let waits: Vec<_> = (0..7).map(|n| pace.trouble(&error, S * n, 1.0).unwrap().as_secs()).collect();
        assert_eq!(waits, [2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pace.trouble(&error, PATIENCE + S, 1.0), None);
        pace.wait(Poll { first: S, then: S, last: S }, "x", 1.0);
        assert_eq!(pace.trouble(&error, PATIENCE + S, 1.0), Some(S * 2));
        assert_eq!(pace.trouble(&error.retryable(false), S, 1.0), None);
    }

    #[test]
    fn the_rest_is_reckoned_in_rounds() {
        assert_eq!(left(&[], &[S], 3, 2), None);
        assert_eq!(left(&[S * 10, S * 20], &[S * 5, S * 9], 4, 2), Some(S * 10 + S * 30));
        assert_eq!(left(&[S * 10], &[S * 50], 0, 2), Some(Duration::ZERO));
    }
}
