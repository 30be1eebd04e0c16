//! Time as values: our monotonic clock, and how far a service's clock is from it.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A reading of CLOCK_MONOTONIC, in nanoseconds. It never steps; it has no meaning on another machine or after a boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Mono(pub u64);

impl Mono {
    /// Reads the clock.
    pub fn now() -> Self {
        let t = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        Mono(t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64)
    }

    /// Nanoseconds since `earlier`; zero if `earlier` is later.
    pub fn since(self, earlier: Mono) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for Mono {
    type Output = Mono;
    fn add(self, d: Duration) -> Mono {
        Mono(self.0.saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl std::ops::Sub<Duration> for Mono {
    type Output = Mono;
    fn sub(self, d: Duration) -> Mono {
        Mono(self.0.saturating_sub(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Bounds of *service clock minus ours* in nanoseconds: service time is in Unix nanoseconds, ours is [`Mono`].
/// So the service's time at `m` lies in `[m + lo_ns, m + hi_ns]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ClockInterval {
    /// Lower bound of the offset, nanoseconds.
    pub lo_ns: i64,
    /// Upper bound of the offset, nanoseconds.
    pub hi_ns: i64,
}

impl ClockInterval {
    /// The smallest interval that holds both.
    pub fn hull(self, other: ClockInterval) -> ClockInterval {
        ClockInterval { lo_ns: self.lo_ns.min(other.lo_ns), hi_ns: self.hi_ns.max(other.hi_ns) }
    }

    /// How far apart two intervals lie, nanoseconds; zero when they touch or overlap.
    pub fn gap_ns(self, other: ClockInterval) -> i64 {
        (self.lo_ns.max(other.lo_ns) - self.hi_ns.min(other.hi_ns)).max(0)
    }

    /// Widens both sides by `by`.
    pub fn widened(self, by: Duration) -> ClockInterval {
        let by = i64::try_from(by.as_nanos()).unwrap_or(i64::MAX);
        ClockInterval { lo_ns: self.lo_ns.saturating_sub(by), hi_ns: self.hi_ns.saturating_add(by) }
    }

    /// Never narrower than `width`: grows evenly around its middle.
    pub fn at_least(self, width: Duration) -> ClockInterval {
        let want = i64::try_from(width.as_nanos()).unwrap_or(i64::MAX);
        let missing = want.saturating_sub(self.hi_ns.saturating_sub(self.lo_ns)).max(0);
        ClockInterval { lo_ns: self.lo_ns - missing / 2, hi_ns: self.hi_ns + (missing - missing / 2) }
    }
}
