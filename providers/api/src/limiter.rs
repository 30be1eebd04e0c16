//! The rate limiter that every call to a cloud goes through: one token bucket per API operation.
//!
//! A cloud's limits are written per operation, account and region, so buckets have the operation's name and one
//! [`Limiter`] serves all databases of an account and region. It runs on tokio's time, so a test with paused time
//! sees hours of pacing in milliseconds. The arithmetic is in [`Bucket`], which holds no clock.

use crate::{Context, ProviderError};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// First pause after a throttled answer; each further one in a row doubles it. Half a second: the shortest in which
/// a bucket of the slowest documented rate (5/s) has certainly gained a token again.
const FIRST_PENALTY: Duration = Duration::from_millis(500);
/// The longest pause after throttled answers. Beyond it waiting more does not help; callers give up instead.
const LONGEST_PENALTY: Duration = Duration::from_secs(20);

/// How fast one operation may be called.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Calls per second in the long run. Above zero.
    pub per_second: f64,
    /// Calls that may go out at once after a rest; 1 = evenly spaced. At least 1.
    pub burst: u32,
}

impl Rate {
    /// `per_second` calls a second, evenly spaced.
    pub const fn paced(per_second: f64) -> Self {
        Self { per_second, burst: 1 }
    }

    /// Time in which one token grows.
    fn interval(self) -> Duration {
        // Nonsense rates (zero, negative, NaN) become one call an hour, not a division by zero.
        let per_second = if self.per_second > 1.0 / 3600.0 { self.per_second } else { 1.0 / 3600.0 };
        Duration::from_secs_f64(1.0 / per_second)
    }
}

/// A token bucket as a *theoretical arrival time*: the moment at which the bucket would be full again.
/// All times are lengths since one origin of the caller's choice.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    rate: Rate,
    full_at: Duration,
    held_until: Duration,
    penalty: Duration,
}

impl Bucket {
    /// A full bucket.
    pub fn new(rate: Rate) -> Self {
        Self { rate, full_at: Duration::ZERO, held_until: Duration::ZERO, penalty: Duration::ZERO }
    }

    /// Takes a token: the moment from which the call may go out. Never earlier than `now`.
    pub fn reserve(&mut self, now: Duration) -> Duration {
        let interval = self.rate.interval();
        let slack = interval * self.rate.burst.saturating_sub(1);
        let full_at = self.full_at.max(now);
        self.full_at = full_at + interval;
        full_at.saturating_sub(slack).max(now)
    }

    /// Whether a call that waited for `slot` may still go: no throttled answer since has pushed it back.
    pub fn open_at(&self, slot: Duration) -> bool {
        slot >= self.held_until
    }

    /// The service said no: empties the bucket and holds every call back, twice as long as last time.
    pub fn throttled(&mut self, now: Duration) {
        // Answers of calls that went out together are one complaint, not many.
        if now < self.held_until {
            return;
        }
        self.penalty = (self.penalty * 2).clamp(FIRST_PENALTY, LONGEST_PENALTY);
        self.held_until = now + self.penalty;
        let slack = self.rate.interval() * self.rate.burst.saturating_sub(1);
        self.full_at = self.held_until + slack;
    }

    /// The service answered: the next complaint costs less again.
    pub fn answered(&mut self, now: Duration) {
        if now >= self.held_until {
            self.penalty /= 2;
        }
    }
}

/// Buckets by operation. Cheap to share in an `Arc`; calls are served in the order in which they ask.
#[derive(Debug)]
pub struct Limiter {
    origin: Instant,
    other: Rate,
    buckets: Mutex<BTreeMap<String, Bucket>>,
}

impl Limiter {
    /// A limiter with a rate per operation, and `other` for each operation that has none.
    pub fn new<S: Into<String>>(rates: impl IntoIterator<Item = (S, Rate)>, other: Rate) -> Self {
        let buckets = rates.into_iter().map(|(operation, rate)| (operation.into(), Bucket::new(rate))).collect();
        Self { origin: Instant::now(), other, buckets: Mutex::new(buckets) }
    }

    /// Waits until `operation` may be called once. Ends early only by cancellation; the token is spent then.
    pub async fn acquire(&self, operation: &str, context: &Context) -> Result<(), ProviderError> {
        loop {
            let now = self.origin.elapsed();
            let slot = self.with(operation, |bucket| bucket.reserve(now));
            if slot > now || context.cancel.is_cancelled() {
                context
                    .run(format!("waiting for the rate limit of {operation}"), async {
                        tokio::time::sleep_until(self.origin + slot).await;
                        Ok(())
                    })
                    .await?;
            }
            if self.with(operation, |bucket| bucket.open_at(slot)) {
                return Ok(());
            }
        }
    }

    /// Tells the limiter that the service throttled `operation`: later calls are held back.
    pub fn throttled(&self, operation: &str) {
        let now = self.origin.elapsed();
        self.with(operation, |bucket| bucket.throttled(now));
    }

    /// Tells the limiter that the service answered `operation`.
    pub fn answered(&self, operation: &str) {
        let now = self.origin.elapsed();
        self.with(operation, |bucket| bucket.answered(now));
    }

    fn with<T>(&self, operation: &str, act: impl FnOnce(&mut Bucket) -> T) -> T {
        // A panic elsewhere cannot leave a bucket half-changed: each change is a few plain assignments.
        let mut buckets: MutexGuard<'_, _> = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        act(buckets.entry(operation.to_owned()).or_insert_with(|| Bucket::new(self.other)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use std::sync::Arc;

    const SECOND: Duration = Duration::from_secs(1);

    fn most_in_one_second(times: &[Duration]) -> usize {
        times.iter().map(|&from| times.iter().filter(|&&t| t >= from && t < from + SECOND).count()).max().unwrap_or(0)
    }

    #[test]
    fn paced_calls_are_evenly_spaced_and_a_rest_saves_up_nothing() {
        let mut bucket = Bucket::new(Rate::paced(10.0));
        let first: Vec<_> = (0..20).map(|_| bucket.reserve(Duration::ZERO)).collect();
        let later: Vec<_> = (0..20).map(|_| bucket.reserve(SECOND * 60)).collect();
        assert_eq!(first[0], Duration::ZERO);
        assert_eq!(first[19], Duration::from_millis(1900));
        assert_eq!(later[19] - later[0], Duration::from_millis(1900));
    }

    #[test]
    fn a_burst_goes_out_at_once_and_is_paid_back() {
        let mut bucket = Bucket::new(Rate { per_second: 5.0, burst: 4 });
        let slots: Vec<_> = (0..10).map(|_| bucket.reserve(SECOND)).collect();
        assert_eq!(slots[..4], [SECOND; 4]);
        assert_eq!(slots[9] - SECOND, Duration::from_millis(1200), "6 calls beyond the burst, 200 ms each");
    }

    #[test]
    fn a_throttled_answer_holds_calls_back_longer_each_time_and_answers_forgive() {
        let mut bucket = Bucket::new(Rate::paced(10.0));
        let mut now = Duration::ZERO;
        let mut waits = Vec::new();
        for _ in 0..8 {
            bucket.throttled(now);
            bucket.throttled(now); // the same complaint, heard twice
            let slot = bucket.reserve(now);
            waits.push((slot - now).as_millis());
            now = slot;
        }
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16000, 20000, 20000]);
        for _ in 0..20 {
            bucket.answered(now);
        }
        bucket.throttled(now);
        assert_eq!(bucket.reserve(now) - now, FIRST_PENALTY);
    }

    #[test]
    fn a_nonsense_rate_is_slow_but_no_panic() {
        for per_second in [0.0, -1.0, f64::NAN] {
            assert_eq!(Rate::paced(per_second).interval(), Duration::from_secs(3600));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_calls_from_many_tasks_keep_the_rate_in_every_second() {
        let limiter = Arc::new(Limiter::new([("Describe", Rate::paced(10.0))], Rate::paced(1.0)));
        let start = Instant::now();
        let tasks: Vec<_> = (0..1000)
            .map(|_| {
                let limiter = Arc::clone(&limiter);
                tokio::spawn(async move {
                    limiter.acquire("Describe", &Context::default()).await.unwrap();
                    start.elapsed()
                })
            })
            .collect();
        let mut times = Vec::new();
        for task in tasks {
            times.push(task.await.unwrap());
        }
        times.sort();
        assert!(times[999] < Duration::from_secs(101), "{:?}", times[999]);
        assert!(most_in_one_second(&times) <= 11);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_calls_hear_of_a_throttle() {
        let limiter = Limiter::new([("Describe", Rate::paced(1.0))], Rate::paced(1.0));
        let context = Context::default();
        limiter.acquire("Describe", &context).await.unwrap();
        let start = Instant::now();
        let (waited, ()) = tokio::join!(limiter.acquire("Describe", &context), async {
            tokio::time::sleep(Duration::from_millis(900)).await;
            limiter.throttled("Describe");
        });
        waited.unwrap();
        assert!(start.elapsed() >= Duration::from_millis(1400), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_wait_ends_at_once_and_other_operations_do_not_wait() {
        let limiter = Limiter::new([("Slow", Rate::paced(0.01))], Rate::paced(1.0));
        let context = Context::default();
        let start = Instant::now();
        limiter.acquire("Slow", &context).await.unwrap();
        limiter.acquire("Fast", &context).await.unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO);
        let (waited, ()) = tokio::join!(limiter.acquire("Slow", &context), async { context.cancel.cancel() });
        assert_eq!(waited.unwrap_err().kind, ErrorKind::Cancelled);
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
