//! The one clock a sandbox runs on: host monotonic time, and a host wall clock that is anchored once.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Host time for everything in the sandbox. Cheap to clone; every clone reads the same time.
///
/// The wall clock is read once, when the clock is made: later steps of the host's wall clock move nothing here, as
/// they would not move a cloud's clock either.
#[derive(Clone)]
pub struct Clock {
    mono: Arc<dyn Fn() -> i64 + Send + Sync>,
    unix_minus_mono: i64,
}

impl Clock {
    /// `CLOCK_MONOTONIC` of this host.
    #[must_use]
    pub fn real() -> Self {
        Self::from_fn(host_mono_ns, host_unix_ns())
    }

    /// Tokio's time, which stands still and jumps under a paused test runtime. It starts at the host's monotonic time,
    /// so that an unpaused runtime gives the same readings as [`Clock::real`].
    #[must_use]
    pub fn tokio() -> Self {
        let (start, base) = (tokio::time::Instant::now(), host_mono_ns());
        let mono = move || base.saturating_add(to_ns(tokio::time::Instant::now().duration_since(start)));
        Self::from_fn(mono, host_unix_ns())
    }

    /// A clock that moves only when its [`Hand`] is moved; it starts at `unix_ns` (nanoseconds since 1970).
    #[must_use]
    pub fn manual(unix_ns: i64) -> (Self, Hand) {
        let hand = Hand(Arc::new(AtomicI64::new(0)));
        let read = hand.clone();
        (Self::from_fn(move || read.0.load(Ordering::SeqCst), unix_ns), hand)
    }

    /// Any source of monotonic nanoseconds, with the host wall clock (ns since 1970) at this moment.
    pub fn from_fn(mono: impl Fn() -> i64 + Send + Sync + 'static, unix_now_ns: i64) -> Self {
        let unix_minus_mono = unix_now_ns.saturating_sub(mono());
        Self { mono: Arc::new(mono), unix_minus_mono }
    }

    /// Monotonic nanoseconds.
    #[must_use]
    pub fn mono_ns(&self) -> i64 {
        (self.mono)()
    }

    /// Nanoseconds since 1970 by the host's wall clock as it was when this clock was made.
    #[must_use]
    pub fn unix_ns(&self) -> i64 {
        self.mono_ns().saturating_add(self.unix_minus_mono)
    }

    /// What to add to monotonic nanoseconds to get [`Clock::unix_ns`].
    #[must_use]
    pub fn unix_minus_mono_ns(&self) -> i64 {
        self.unix_minus_mono
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::real()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("mono_ns", &self.mono_ns()).field("unix_ns", &self.unix_ns()).finish()
    }
}

/// Moves a [`Clock::manual`] forward.
#[derive(Debug, Clone)]
pub struct Hand(Arc<AtomicI64>);

impl Hand {
    /// Lets `by` pass.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(to_ns(by), Ordering::SeqCst);
    }
}

fn to_ns(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

fn host_mono_ns() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

fn host_unix_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, to_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_by_its_hand() {
        let (clock, hand) = Clock::manual(1_700_000_000_000_000_000);
        let copy = clock.clone();
        assert_eq!(clock.unix_ns(), 1_700_000_000_000_000_000);
        hand.advance(Duration::from_millis(1500));
        assert_eq!(copy.unix_ns(), 1_700_000_001_500_000_000);
        assert_eq!(copy.mono_ns(), 1_500_000_000);
    }

    #[test]
    fn the_real_clock_agrees_with_the_host() {
        let clock = Clock::real();
        let before = host_mono_ns();
        let read = clock.mono_ns();
        assert!(before <= read && read <= host_mono_ns());
        assert!(clock.unix_ns().abs_diff(host_unix_ns()) < 5_000_000_000);
    }
}
