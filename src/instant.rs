//! Choosing the restore time: from what is proven quiet and how far each database's clock is from ours, to one whole second.
//!
//! Pure: no I/O, no clock, no async. Every moment comes in as a value.
//!
//! The restore time T is a whole second such that on *every* database
//! `T >= still start + hi + margin` and `T + 1 s <= still end + lo - margin`,
//! where `[lo, hi]` bounds *database clock minus ours*. The whole second from T to T + 1 s then lies inside the still period for
//! every offset within the bounds, so it does not matter whether the service reads "at T" inclusively or exclusively, or cuts the
//! fractions of the moments it compares with T. When there is no such second there is no restore time: [`choose`] never guesses.

use provider_api::{ClockInterval, Mono, RestoreTime};
use std::time::Duration;

/// A measured interval is never taken for narrower than this: front ends of one service differ among themselves, and a few samples
/// may all have met the same one.
pub const MIN_CLOCK_WIDTH: Duration = Duration::from_millis(100);

/// A measurement wider than this says that something is wrong with the network or the service. One `Date` header alone bounds a
/// clock to one second and a round trip, and sampling around the edge of a second narrows that to a few round trips.
pub const MAX_CLOCK_WIDTH: Duration = Duration::from_secs(3);

/// How much earlier than the ideal moment [`best_first_pause`] aims: pausing a little late would cost a whole second more of
/// outage, pausing early costs only this.
pub const PAUSE_SAFETY_GAP: Duration = Duration::from_millis(200);

/// When ScalarDB's own client tries again after the first refusal: its waits of 0.1, 0.2, 0.4 ... 25.6 s summed up.
pub const CLIENT_RETRY_STEPS: [Duration; 9] = [
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_millis(700),
    Duration::from_millis(1_500),
    Duration::from_millis(3_100),
    Duration::from_millis(6_300),
    Duration::from_millis(12_700),
    Duration::from_millis(25_500),
    Duration::from_millis(51_100),
];

const SECOND: i128 = 1_000_000_000;

/// What is proven quiet, on our monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StillPeriod {
    /// The end of the first round of CheckPaused that was true everywhere.
    pub start: Mono,
    /// The start of the last such round before the first Unpause.
    pub end: Mono,
}

/// A database's clock could not be bounded well enough to choose a restore time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClockUnsure {
    /// The clock before and the clock after the window have nothing in common and lie further apart than the margin.
    #[error("the database's clock moved by {moved:?} during the window, more than the margin of {margin:?}")]
    Moved {
        /// The smallest step that explains both measurements.
        moved: Duration,
        /// The configured margin.
        margin: Duration,
    },
    /// A measurement is too wide to mean anything.
    #[error("the database's clock is known only to within {width:?}, more than {MAX_CLOCK_WIDTH:?}")]
    TooWide {
        /// Its width.
        width: Duration,
    },
    /// A lower bound above the upper bound: the samples contradict each other.
    #[error("the samples of the database's clock contradict each other by {by:?}")]
    Contradiction {
        /// By how much.
        by: Duration,
    },
}

/// One interval from the measurement before the window and the one after it: the hull of both, at least [`MIN_CLOCK_WIDTH`] wide.
///
/// Fails when one of them makes no sense by itself, or when they lie further apart than `margin`.
pub fn settle(before: ClockInterval, after: ClockInterval, margin: Duration) -> Result<ClockInterval, ClockUnsure> {
    for interval in [before, after] {
        let width = i128::from(interval.hi_ns) - i128::from(interval.lo_ns);
        if width < 0 {
            return Err(ClockUnsure::Contradiction { by: duration(-width) });
        }
        if width > nanos(MAX_CLOCK_WIDTH) {
            return Err(ClockUnsure::TooWide { width: duration(width) });
        }
    }
    let gap = i128::from(before.lo_ns.max(after.lo_ns)) - i128::from(before.hi_ns.min(after.hi_ns));
    if gap > nanos(margin) {
        return Err(ClockUnsure::Moved { moved: duration(gap), margin });
    }
    Ok(floored(before.hull(after)))
}

/// The interval to plan a window with, before its second measurement exists: never narrower than [`MIN_CLOCK_WIDTH`], then widened
/// by `slack` (`auto_slack`) on each side, so that a second measurement that differs by less does not void the window.
pub fn widened_for_auto(before: ClockInterval, slack: Duration) -> ClockInterval {
    let floor = floored(before);
    bounds(i128::from(floor.lo_ns) - nanos(slack), i128::from(floor.hi_ns) + nanos(slack))
}

/// There is no whole second that is inside the still period on every database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.describe())]
pub struct NoSafeSecond {
    /// How long was proven quiet.
    pub still: Duration,
    /// How long it would have had to be for a second to be certain, whatever the phase of the clocks.
    pub needed: Duration,
    /// The configured margin.
    pub margin: Duration,
    /// From the lowest lower bound to the highest upper bound of all databases: how well the clocks are known.
    pub spread: Duration,
    /// How many databases took part. Zero: there is no clock to choose a second on.
    pub databases: usize,
}

impl NoSafeSecond {
    fn describe(&self) -> String {
        if self.databases == 0 {
            return "no database takes part, so there is no clock on which to choose a second".to_owned();
        }
        format!(
            "no whole second lies inside the still period of {:.3} s on all {} database(s): {:.3} s are always enough \
             (twice the margin of {:.3} s, up to two seconds to hold a whole one, and {:.3} s by which the clocks are uncertain)",
            self.still.as_secs_f64(),
            self.databases,
            self.needed.as_secs_f64(),
            self.margin.as_secs_f64(),
            self.spread.as_secs_f64(),
        )
    }
}

/// The restore time: of all seconds that are safe on every database, the middle one.
pub fn choose(still: StillPeriod, clocks: &[ClockInterval], margin: Duration) -> Result<RestoreTime, NoSafeSecond> {
    let candidates = hull_of(clocks).and_then(|all| {
        let first = ceil_second(i128::from(still.start.0) + i128::from(all.highest.hi_ns) + nanos(margin));
        let last = floor_second(i128::from(still.end.0) + i128::from(all.lowest.lo_ns) - nanos(margin)) - 1;
        (first <= last).then(|| first + (last - first) / 2)
    });
    candidates
        .and_then(|second| i64::try_from(second).ok())
        .map(RestoreTime)
        .ok_or_else(|| no_safe_second(still, clocks, margin))
}

/// With hold `auto`: the earliest end of a still period that began at `still_start` and holds one safe second.
///
/// `widened` are the intervals of [`widened_for_auto`]: [`choose`] then succeeds with any intervals inside them.
/// Without databases there is nothing to wait for, and the answer is `still_start`.
pub fn earliest_end(still_start: Mono, widened: &[ClockInterval], margin: Duration) -> Mono {
    let Some(all) = hull_of(widened) else { return still_start };
    let first = ceil_second(i128::from(still_start.0) + i128::from(all.highest.hi_ns) + nanos(margin));
    let end = (first + 1) * SECOND - i128::from(all.lowest.lo_ns) + nanos(margin);
    mono(end).max(still_start)
}

/// With hold `auto`: when to send the first Pause, at `now` or within the second after it, so that the still period that begins
/// `expected_drain` later (pausing, drain and the first round of CheckPaused) needs to be as short as possible.
///
/// `clocks` are as measured; `slack` is `auto_slack`. Aims [`PAUSE_SAFETY_GAP`] before the ideal moment.
pub fn best_first_pause(
    now: Mono,
    clocks: &[ClockInterval],
    margin: Duration,
    slack: Duration,
    expected_drain: Duration,
) -> Mono {
    let widened: Vec<_> = clocks.iter().map(|clock| widened_for_auto(*clock, slack)).collect();
    let Some(all) = hull_of(&widened) else { return now };
    let lead = i128::from(all.highest.hi_ns) + nanos(margin) + nanos(expected_drain) + nanos(PAUSE_SAFETY_GAP);
    // The still period is shortest when its start, moved by `hi` and margin, falls just before a whole second.
    let second = ceil_second(i128::from(now.0) + lead);
    mono(second * SECOND - lead).max(now)
}

/// An outage as ScalarDB's own clients feel it: until the first of their tries ([`CLIENT_RETRY_STEPS`]) at or after its end.
///
/// Past the last step they have given up: the answer is the outage itself, and [`beyond_client_retries`] is true.
pub fn client_outage(outage: Duration) -> Duration {
    if outage.is_zero() {
        return outage;
    }
    CLIENT_RETRY_STEPS.into_iter().find(|step| *step >= outage).unwrap_or(outage)
}

/// Whether an outage outlasts every try of ScalarDB's own clients, so that their calls fail.
pub fn beyond_client_retries(outage: Duration) -> bool {
    CLIENT_RETRY_STEPS.iter().all(|step| *step < outage)
}

/// The two databases whose bounds limit the choice.
struct Hull {
    highest: ClockInterval,
    lowest: ClockInterval,
}

fn hull_of(clocks: &[ClockInterval]) -> Option<Hull> {
    let highest = clocks.iter().copied().max_by_key(|clock| clock.hi_ns)?;
    let lowest = clocks.iter().copied().min_by_key(|clock| clock.lo_ns)?;
    Some(Hull { highest, lowest })
}

fn no_safe_second(still: StillPeriod, clocks: &[ClockInterval], margin: Duration) -> NoSafeSecond {
    let spread = hull_of(clocks).map_or(0, |all| i128::from(all.highest.hi_ns) - i128::from(all.lowest.lo_ns)).max(0);
    NoSafeSecond {
        still: still.end.since(still.start),
        needed: duration(2 * nanos(margin) + 2 * SECOND + spread),
        margin,
        spread: duration(spread),
        databases: clocks.len(),
    }
}

/// [`MIN_CLOCK_WIDTH`], grown evenly around the middle.
fn floored(interval: ClockInterval) -> ClockInterval {
    let (lo, hi) = (i128::from(interval.lo_ns), i128::from(interval.hi_ns));
    let missing = (nanos(MIN_CLOCK_WIDTH) - (hi - lo)).max(0);
    bounds(lo - missing / 2, hi + (missing - missing / 2))
}

/// A bound beyond what an `i64` holds is three centuries away and no clock of anybody's: clamped.
fn bounds(lo: i128, hi: i128) -> ClockInterval {
    let clamp = |value: i128| value.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64;
    ClockInterval { lo_ns: clamp(lo), hi_ns: clamp(hi) }
}

fn nanos(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX / 8)
}

fn duration(nanos: i128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
}

fn mono(nanos: i128) -> Mono {
    Mono(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
}

fn floor_second(nanos: i128) -> i128 {
    nanos.div_euclid(SECOND)
}

fn ceil_second(nanos: i128) -> i128 {
    -((-nanos).div_euclid(SECOND))
}

#[cfg(test)]
mod tests;
