//! Bounds of the service's clock from `Date` headers, as decisions without clocks or calls.
//!
//! An answer whose `Date` is second `s`, sent for at `a` and received at `b` on our clock, was made somewhere between
//! `a` and `b`, while the service's clock showed something in `[s, s + 1 s)`. So *service minus ours* lies in
//! `[s - b, s + 1 s - a]`: a second wide, plus the round trip. Two answers on both sides of the edge of a second leave
//! only the time between them. The sampler therefore chooses each send so that the answer falls where the edge may
//! still be, a quarter of what is left from its early end, and intersects.
//!
//! Front ends may differ. When answers contradict each other, the result reaches from where the lowest of them can be
//! to where the highest can be. Differences that no answer has shown yet are looked for at the end, by answers just
//! outside both ends of the result, two at a time so that they travel on different connections.

use provider_api::{ClockInterval, Mono};
use std::time::Duration;

const SECOND: i64 = 1_000_000_000;
/// No result is narrower: a front end may be off by a little without any answer showing it.
const NARROWEST: Duration = Duration::from_millis(100);
/// An interval this narrow is narrow enough; the result is padded to [`NARROWEST`] around it.
const GOAL_NS: i64 = 80_000_000;
/// After [`PATIENT`], an interval this narrow will do.
const MODEST_GOAL_NS: i64 = 250_000_000;
/// No result is wider: one answer alone gives as much.
const WIDEST_NS: i64 = SECOND;
/// Requests in all.
const MOST_SAMPLES: usize = 48;
/// How long the goal stays ambitious. On a quick line it is reached in two seconds.
const PATIENT: Duration = Duration::from_secs(3);
/// After this long no further request is chosen.
const LONGEST: Duration = Duration::from_secs(6);
/// Requests sent together at each end of the result to look for another front end.
const CHECKS: u32 = 2;

/// One answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When the request was sent, at the earliest.
    pub sent: Mono,
    /// When the answer was there, at the latest.
    pub received: Mono,
    /// Its `Date`, Unix seconds.
    pub second: i64,
}

impl Sample {
    /// What this answer alone says about the offset.
    pub fn bounds(self) -> ClockInterval {
        let start = self.second.saturating_mul(SECOND);
        ClockInterval {
            lo_ns: start.saturating_sub(nanos(self.received)),
            hi_ns: start.saturating_add(SECOND).saturating_sub(nanos(self.sent)),
        }
    }
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Send `copies` requests together at `at` (now, if that has passed), and add their samples.
    Send {
        /// When.
        at: Mono,
        /// How many together.
        copies: u32,
    },
    /// This is the answer.
    Done(ClockInterval),
    /// The clock could not be bounded; the best interval so far, if there is one.
    Unsure(Option<ClockInterval>),
}

/// Collects samples and chooses when to take the next ones.
#[derive(Clone, Debug, Default)]
pub struct Sampler {
    /// What each answer said.
    bounds: Vec<ClockInterval>,
    fastest_ns: i64,
    slowest_ns: i64,
    first: Option<Mono>,
    contradicted: bool,
    checked_hi: bool,
    checked_lo: bool,
    checking_hi: bool,
}

/// Where clocks may be: `lowest` holds the lowest clock seen, `highest` the highest; the same for one clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    lowest: ClockInterval,
    highest: ClockInterval,
}

impl Sampler {
    /// Nothing known.
    pub fn new() -> Self {
        Self::default()
    }

    /// The hull of what is known, padded.
    pub fn interval(&self) -> Option<ClockInterval> {
        let known = self.known()?;
        Some(known.lowest.hull(known.highest).at_least(NARROWEST))
    }

    /// Learns from an answer.
    pub fn add(&mut self, sample: Sample) {
        let round_trip = nanos(sample.received).saturating_sub(nanos(sample.sent)).max(0);
        self.fastest_ns = if self.bounds.is_empty() { round_trip } else { self.fastest_ns.min(round_trip) };
        self.slowest_ns = self.slowest_ns.max(round_trip);
        self.first.get_or_insert(sample.sent);
        let before = self.known();
        let bounds = sample.bounds();
        self.bounds.push(bounds);
        let after = self.known();
        let (Some(before), Some(after)) = (before, after) else { return };
        // One clock only ever narrows what is known.
        if after.lowest.lo_ns < before.lowest.lo_ns || after.highest.hi_ns > before.highest.hi_ns {
            self.contradicted = true;
            (self.checked_hi, self.checked_lo) = (false, false);
        } else if self.checking_hi && bounds.lo_ns > before.highest.hi_ns - SECOND / 2 {
            // The edge had passed, so this clock may be higher, but the answer was too slow to say so: check again,
            // further out.
            self.checked_hi = false;
        }
    }

    /// Chooses. Apart from `now` it depends on the samples, and on which end was chosen for a check before.
    pub fn next(&mut self, now: Mono) -> Next {
        self.checking_hi = false;
        let (Some(known), Some(result)) = (self.known(), self.interval()) else {
            return Next::Send { at: now, copies: 1 };
        };
        let spent = self.first.map_or(Duration::ZERO, |first| now.since(first));
        if self.bounds.len() >= MOST_SAMPLES || spent >= LONGEST {
            return if self.contradicted { Next::Unsure(Some(result)) } else { finish(result) };
        }
        let goal = if spent < PATIENT { GOAL_NS } else { MODEST_GOAL_NS };
        let goal = goal.max(self.fastest_ns / 2 * 5);
        let widest = if width(known.lowest) > width(known.highest) { known.lowest } else { known.highest };
        if width(widest) > goal {
            return Next::Send { at: self.cut(widest, now), copies: 1 };
        }
        // The high end first: its edge comes earlier, so that both ends are seen within one second. A round trip
        // outside, where no clock that is inside can give an answer that says otherwise.
        if !self.checked_hi {
            (self.checked_hi, self.checking_hi) = (true, true);
            return Next::Send { at: self.when_edge_if(result.hi_ns + self.slowest_ns, now), copies: CHECKS };
        }
        if !self.checked_lo {
            self.checked_lo = true;
            return Next::Send { at: self.when_edge_if(result.lo_ns - self.slowest_ns, now), copies: CHECKS };
        }
        finish(result)
    }

    /// Each answer's clock is at or above the answer's low end and at or below its high end.
    fn known(&self) -> Option<Known> {
        let top = self.bounds.iter().map(|bounds| bounds.lo_ns).max()?;
        let bottom = self.bounds.iter().map(|bounds| bounds.hi_ns).min()?;
        if top <= bottom {
            let one = ClockInterval { lo_ns: top, hi_ns: bottom };
            return Some(Known { lowest: one, highest: one });
        }
        // Some clock is at or above `top`, another at or below `bottom`: bound each by the nearest answer beyond it.
        let floor = self.bounds.iter().map(|bounds| bounds.lo_ns).filter(|&lo| lo <= bottom).max()?;
        let ceiling = self.bounds.iter().map(|bounds| bounds.hi_ns).filter(|&hi| hi >= top).min()?;
        Some(Known {
            lowest: ClockInterval { lo_ns: floor, hi_ns: bottom },
            highest: ClockInterval { lo_ns: top, hi_ns: ceiling },
        })
    }

    /// When to send to cut `part` well: at once if the edge may be going by, else just before its next turn.
    fn cut(&self, part: ClockInterval, now: Mono) -> Mono {
        let step = (width(part) / 4).max(self.fastest_ns);
        let arrival = nanos(now) + self.fastest_ns / 2;
        // The offset that this moment would test: the one with which an edge would arrive right now.
        let lowest = part.lo_ns + width(part) / 4;
        let tested = lowest + (-(arrival + lowest)).rem_euclid(SECOND);
        if tested <= part.hi_ns - step / 2 {
            return now;
        }
        self.when_edge_if(part.hi_ns - step, now)
    }

    /// The next moment to send so that the request arrives at the edge of a second, were `offset` the true one.
    fn when_edge_if(&self, offset: i64, now: Mono) -> Mono {
        let arrival = nanos(now) + self.fastest_ns / 2;
        now + Duration::from_nanos((-(arrival + offset)).rem_euclid(SECOND).unsigned_abs())
    }
}

fn finish(result: ClockInterval) -> Next {
    if width(result) <= WIDEST_NS { Next::Done(result) } else { Next::Unsure(Some(result)) }
}

fn width(interval: ClockInterval) -> i64 {
    interval.hi_ns.saturating_sub(interval.lo_ns)
}

fn nanos(at: Mono) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MILLI: i64 = 1_000_000;

    /// Front ends with these offsets that answer in turn; round trips drawn from a small generator.
    struct Service {
        offsets: Vec<i64>,
        slowest_ms: u64,
        seed: u64,
        answers: usize,
    }

    impl Service {
        fn random(&mut self, below: u64) -> i64 {
            self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            i64::try_from((self.seed >> 33) % below.max(1)).unwrap()
        }

        fn answer(&mut self, sent: Mono) -> Sample {
            let there = 200_000 + self.random(self.slowest_ms * 500_000);
            let back = 200_000 + self.random(self.slowest_ms * 500_000);
            let offset = self.offsets[self.answers % self.offsets.len()];
            self.answers += 1;
            let service = nanos(sent) + there + offset;
            let received = sent + Duration::from_nanos(u64::try_from(there + back).unwrap());
            Sample { sent, received, second: service.div_euclid(SECOND) }
        }
    }

    struct Outcome {
        next: Next,
        samples: Vec<Sample>,
        took: Duration,
    }

    fn run(mut service: Service, start: Mono) -> Outcome {
        let (mut sampler, mut now, mut samples) = (Sampler::new(), start, Vec::new());
        loop {
            match sampler.next(now) {
                Next::Send { at, copies } => {
                    let sent = at.max(now);
                    let batch: Vec<_> = (0..copies).map(|_| service.answer(sent)).collect();
                    for sample in batch {
                        sampler.add(sample);
                        now = now.max(sample.received);
                        samples.push(sample);
                    }
                    now = now + Duration::from_micros(300); // timers are late
                }
                next => return Outcome { next, samples, took: now.since(start) },
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn the_truth_is_always_inside_and_the_width_is_bounded(
            offset in 1_700_000_000_000_000_000_i64..1_900_000_000_000_000_000,
            start in 1_000_000_000_u64..1_000_000_000_000_000,
            slowest_ms in 1_u64..400,
            seed: u64,
        ) {
            let outcome = run(Service { offsets: vec![offset], slowest_ms, seed, answers: 0 }, Mono(start));
            let Next::Done(interval) = outcome.next else { panic!("{:?}", outcome.next) };
            prop_assert!(interval.lo_ns <= offset && offset <= interval.hi_ns, "{offset} not in {interval:?}");
            let slowest = i64::try_from(slowest_ms).unwrap() * MILLI + MILLI;
            prop_assert!(width(interval) >= 100 * MILLI);
            prop_assert!(width(interval) <= (250 * MILLI).max(slowest * 5 / 2 + MILLI), "{}", width(interval));
            prop_assert!(outcome.samples.len() <= 30, "{} requests", outcome.samples.len());
            prop_assert!(outcome.took <= Duration::from_millis(8000), "{:?}", outcome.took);
        }

        #[test]
        fn front_ends_that_differ_are_all_inside_or_nothing_is_claimed(
            offset in 1_700_000_000_000_000_000_i64..1_900_000_000_000_000_000,
            apart_ms in 0_i64..900,
            slowest_ms in 1_u64..60,
            seed: u64,
        ) {
            let offsets = vec![offset, offset + apart_ms * MILLI];
            let outcome = run(Service { offsets: offsets.clone(), slowest_ms, seed, answers: 0 }, Mono(5_000_000_000));
            if let Next::Done(interval) = outcome.next {
                let slowest = i64::try_from(slowest_ms).unwrap() * MILLI + MILLI;
                let slack = slowest * 3 / 2; // what answers cannot show
                for truth in offsets {
                    prop_assert!(
                        interval.lo_ns - slack <= truth && truth <= interval.hi_ns + slack,
                        "{truth} not in {interval:?}, {apart_ms} ms apart"
                    );
                }
                for sample in outcome.samples {
                    prop_assert!(sample.bounds().gap_ns(interval) == 0, "{sample:?} contradicts {interval:?}");
                }
            }
        }
    }

    #[test]
    fn on_a_quick_line_a_measurement_takes_about_two_seconds_and_a_dozen_requests() {
        let (mut took, mut requests) = (Duration::ZERO, 0);
        for seed in 0..200 {
            let offset = 1_800_000_000 * SECOND + i64::try_from(seed).unwrap() * 5_001_000;
            let outcome = run(Service { offsets: vec![offset], slowest_ms: 5, seed, answers: 0 }, Mono(77_000_000_000));
            took += outcome.took;
            requests += outcome.samples.len();
        }
        assert!(took / 200 < Duration::from_millis(2600), "{:?} on average", took / 200);
        assert!(requests / 200 <= 14, "{} on average", requests / 200);
    }

    #[test]
    fn nothing_known_asks_at_once() {
        assert_eq!(Sampler::new().next(Mono(7)), Next::Send { at: Mono(7), copies: 1 });
    }

    #[test]
    fn clocks_a_minute_apart_are_not_called_known() {
        let offset = 1_800_000_000 * SECOND;
        let service = Service { offsets: vec![offset, offset + 60 * SECOND], slowest_ms: 5, seed: 1, answers: 0 };
        assert!(matches!(run(service, Mono(1)).next, Next::Unsure(Some(_))));
    }
}
