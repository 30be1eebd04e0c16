//! Wall time for people: one reading per process translates monotonic times, so that a step of the host's clock changes
//! neither a restore time nor a verdict.

use chrono::{DateTime, SecondsFormat, Utc};
use provider_api::{ClockInterval, Mono};
use std::sync::OnceLock;

/// Our wall clock minus our monotonic clock, nanoseconds, as it was when this process first asked.
fn offset_ns() -> i64 {
    static OFFSET: OnceLock<i64> = OnceLock::new();
    *OFFSET.get_or_init(|| {
        let mono = i64::try_from(Mono::now().0).unwrap_or(i64::MAX);
        Utc::now().timestamp_nanos_opt().unwrap_or(0) - mono
    })
}

/// A monotonic moment as wall time.
pub fn at(mono: Mono) -> DateTime<Utc> {
    DateTime::from_timestamp_nanos(i64::try_from(mono.0).unwrap_or(i64::MAX).saturating_add(offset_ns()))
}

/// A monotonic moment as people and scripts read it.
pub fn text(mono: Mono) -> String {
    rfc3339(at(mono))
}

/// RFC 3339, UTC, nanoseconds.
pub fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Nanos, true)
}

/// A service's clock minus our wall clock, milliseconds: lower and upper bound.
pub fn clock(interval: ClockInterval) -> crate::point::Clock {
    let ms = |ns: i64| (ns.saturating_sub(offset_ns())) as f64 / 1e6;
    crate::point::Clock { offset_low_ms: ms(interval.lo_ns), offset_high_ms: ms(interval.hi_ns) }
}
