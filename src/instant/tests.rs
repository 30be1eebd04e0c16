use super::*;
use proptest::prelude::*;

const MS: i64 = 1_000_000;
/// Service time minus ours: a Unix time of 2026 minus a few days of uptime.
const OFFSET: i64 = 1_795_000_000 * 1_000_000_000 - 400_000 * 1_000_000_000;

fn clock(lo_ms: i64, hi_ms: i64) -> ClockInterval {
    ClockInterval { lo_ns: OFFSET + lo_ms * MS, hi_ns: OFFSET + hi_ms * MS }
}

fn still(start_ms: u64, length_ms: u64) -> StillPeriod {
    let start = Mono(400_000 * 1_000_000_000 + start_ms * 1_000_000);
    StillPeriod { start, end: start + Duration::from_millis(length_ms) }
}

const MARGIN: Duration = Duration::from_secs(2);

/// The promise itself, checked by real times rather than by the formula: a write that the database stamps with any clock within its
/// bounds, before the still period or after it, is on the same side of T however the service reads T.
fn holds_for_every_reading(t: RestoreTime, still: StillPeriod, clock: ClockInterval, margin: i128) -> bool {
    let t = i128::from(t.0) * SECOND;
    [clock.lo_ns, clock.hi_ns, clock.lo_ns / 2 + clock.hi_ns / 2].into_iter().all(|offset| {
        // The change log's own clock may be a margin away from the clock that answered us.
        [-margin, 0, margin].into_iter().all(|log_skew| {
            let last_write_before = i128::from(still.start.0) + i128::from(offset) + log_skew;
            let first_write_after = i128::from(still.end.0) + i128::from(offset) + log_skew;
            // Readings: changes up to and including T; before T only; all of second T; with stamps cut to whole seconds.
            let whole = |moment: i128| moment.div_euclid(SECOND) * SECOND;
            let kept = last_write_before <= t && whole(last_write_before) <= t;
            // At the exact edge of the still period no write exists: it is open there.
            let dropped = first_write_after >= t + SECOND && whole(first_write_after) > t;
            kept && dropped
        })
    })
}

#[test]
fn the_middle_second_is_chosen() {
    // Still from x.300 for 10 s, clock known exactly: T >= .300 + 2 s, T + 1 <= 10.300 - 2 s, so 3, 4, 5, 6, 7.
    let t = choose(still(300, 10_000), &[clock(0, 0)], MARGIN).unwrap();
    assert_eq!(t, RestoreTime(1_795_000_000 + 5));
}

#[test]
fn the_edges_are_included_when_they_fall_on_a_whole_second() {
    let t = choose(still(0, 5_000), &[clock(0, 0)], MARGIN).unwrap();
    assert_eq!(t, RestoreTime(1_795_000_000 + 2));
    assert!(
        choose(
            StillPeriod { end: still(0, 5_000).end - Duration::from_nanos(1), ..still(0, 5_000) },
            &[clock(0, 0)],
            MARGIN
        )
        .is_err()
    );
}

#[test]
fn a_database_whose_clock_is_off_by_more_than_the_period_leaves_no_second() {
    let error = choose(still(0, 10_000), &[clock(0, 100), clock(90_000, 90_100)], MARGIN).unwrap_err();
    assert_eq!(error.databases, 2);
    assert_eq!(error.spread, Duration::from_millis(90_100));
    assert!(error.to_string().contains("96.100 s are always enough"), "{error}");
}

#[test]
fn without_a_database_there_is_no_second() {
    let error = choose(still(0, 60_000), &[], MARGIN).unwrap_err();
    assert!(error.to_string().contains("no database"), "{error}");
}

#[test]
fn one_second_serves_databases_whose_clocks_differ() {
    let clocks = [clock(-700, -500), clock(600, 900)];
    let period = still(0, 10_000);
    let t = choose(period, &clocks, MARGIN).unwrap();
    assert!(clocks.iter().all(|clock| holds_for_every_reading(t, period, *clock, nanos(MARGIN))));
}

#[test]
fn the_two_measurements_become_their_hull() {
    assert_eq!(settle(clock(0, 150), clock(100, 300), MARGIN), Ok(clock(0, 300)));
    assert_eq!(settle(clock(0, 10), clock(4, 6), MARGIN), Ok(clock(-45, 55)));
}

#[test]
fn a_clock_that_moved_by_more_than_the_margin_is_unsure() {
    let moved = settle(clock(0, 100), clock(2_101, 2_200), MARGIN);
    assert_eq!(moved, Err(ClockUnsure::Moved { moved: Duration::from_millis(2_001), margin: MARGIN }));
    assert!(settle(clock(0, 100), clock(2_100, 2_200), MARGIN).is_ok());
    assert!(matches!(settle(clock(2_101, 2_200), clock(0, 100), MARGIN), Err(ClockUnsure::Moved { .. })));
}

#[test]
fn a_measurement_that_makes_no_sense_is_unsure() {
    assert!(matches!(settle(clock(0, 3_001), clock(0, 100), MARGIN), Err(ClockUnsure::TooWide { .. })));
    assert!(matches!(settle(clock(0, 100), clock(50, 40), MARGIN), Err(ClockUnsure::Contradiction { .. })));
    let extreme = ClockInterval { lo_ns: i64::MIN, hi_ns: i64::MAX };
    assert!(matches!(settle(extreme, clock(0, 1), MARGIN), Err(ClockUnsure::TooWide { .. })));
}

#[test]
fn clients_feel_an_outage_until_their_next_try() {
    let felt = |ms| client_outage(Duration::from_millis(ms)).as_millis();
    assert_eq!([felt(0), felt(1), felt(100), felt(101)], [0, 100, 100, 300]);
    assert_eq!([felt(6_200), felt(6_300), felt(6_301), felt(7_400)], [6_300, 6_300, 12_700, 12_700]);
    assert_eq!([felt(51_100), felt(51_101)], [51_100, 51_101]);
    assert!(!beyond_client_retries(Duration::from_millis(51_100)));
    assert!(beyond_client_retries(Duration::from_millis(51_101)));
}

#[test]
fn a_choice_without_the_margin_is_caught_by_the_same_check() {
    let mut caught = 0;
    for start in (0..1_000).step_by(50) {
        let period = still(start, 2_200);
        if let Ok(t) = choose(period, &[clock(0, 100)], Duration::ZERO) {
            caught += u32::from(!holds_for_every_reading(t, period, clock(0, 100), nanos(MARGIN)));
        }
    }
    assert!(caught > 0);
}

#[test]
fn with_default_settings_auto_needs_about_five_and_a_half_seconds() {
    let slack = Duration::from_millis(100);
    let drain = Duration::from_millis(40);
    for phase in 0..1_000 {
        let now = still(phase, 0).start;
        let first_pause = best_first_pause(now, &[clock(0, 20)], MARGIN, slack, drain);
        let start = first_pause + drain;
        let end = earliest_end(start, &[widened_for_auto(clock(0, 20), slack)], MARGIN);
        assert!(end.since(start) <= Duration::from_millis(5_500), "{phase}: {:?}", end.since(start));
    }
}

prop_compose! {
    fn any_clock()(lo in -5_000_000_000i64..5_000_000_000, width in 0i64..3_000_000_000) -> ClockInterval {
        ClockInterval { lo_ns: OFFSET + lo, hi_ns: OFFSET + lo + width }
    }
}

prop_compose! {
    fn any_still()(start in 0u64..1_000_000_000_000_000, length in 0u64..40_000_000_000) -> StillPeriod {
        StillPeriod { start: Mono(start), end: Mono(start + length) }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn every_chosen_second_is_safe_on_every_database(
        still in any_still(),
        clocks in prop::collection::vec(any_clock(), 1..5),
        margin_ms in 0u64..5_000,
    ) {
        let margin = Duration::from_millis(margin_ms);
        if let Ok(t) = choose(still, &clocks, margin) {
            for clock in &clocks {
                prop_assert!(i128::from(t.0) * SECOND >= i128::from(still.start.0) + i128::from(clock.hi_ns) + nanos(margin));
                prop_assert!((i128::from(t.0) + 1) * SECOND <= i128::from(still.end.0) + i128::from(clock.lo_ns) - nanos(margin));
                prop_assert!(holds_for_every_reading(t, still, *clock, nanos(margin)));
            }
        }
    }

    /// By trying every second, rather than by the formula.
    #[test]
    fn a_second_is_chosen_exactly_when_one_exists_and_it_is_the_middle_one(
        still in any_still(),
        clocks in prop::collection::vec(any_clock(), 1..4),
        margin_ms in 0u64..4_000,
    ) {
        let margin = Duration::from_millis(margin_ms);
        let around = (i128::from(still.start.0) + i128::from(OFFSET)).div_euclid(SECOND);
        let safe: Vec<i128> = (around - 60..around + 120)
            .filter(|t| clocks.iter().all(|clock| {
                t * SECOND >= i128::from(still.start.0) + i128::from(clock.hi_ns) + nanos(margin)
                    && (t + 1) * SECOND <= i128::from(still.end.0) + i128::from(clock.lo_ns) - nanos(margin)
            }))
            .collect();
        match choose(still, &clocks, margin) {
            Ok(t) => prop_assert_eq!(i128::from(t.0), safe[(safe.len() - 1) / 2]),
            Err(error) => {
                prop_assert!(safe.is_empty());
                prop_assert!(error.still < error.needed);
            }
        }
    }

    #[test]
    fn auto_holds_long_enough_for_every_interval_inside_the_widened_one_and_no_longer(
        start in 0u64..1_000_000_000_000_000,
        widened in prop::collection::vec(any_clock(), 1..4),
        cut in prop::collection::vec((0.0f64..0.5, 0.0f64..0.5), 4),
        margin_ms in 0u64..4_000,
    ) {
        let margin = Duration::from_millis(margin_ms);
        let start = Mono(start);
        let end = earliest_end(start, &widened, margin);
        let inside: Vec<_> = widened.iter().zip(&cut).map(|(clock, (low, high))| {
            let width = (clock.hi_ns - clock.lo_ns) as f64;
            ClockInterval { lo_ns: clock.lo_ns + (width * low) as i64, hi_ns: clock.hi_ns - (width * high) as i64 }
        }).collect();
        let enough = StillPeriod { start, end };
        let too_short = StillPeriod { start, end: end - Duration::from_nanos(1) };
        prop_assert!(choose(enough, &inside, margin).is_ok());
        prop_assert!(choose(too_short, &widened, margin).is_err());
    }

    #[test]
    fn a_second_measurement_within_the_slack_does_not_void_an_auto_window(
        before in any_clock(),
        (low, high) in (-100_000_000i64..=100_000_000, -100_000_000i64..=100_000_000),
        start in 0u64..1_000_000_000_000_000,
    ) {
        let slack = Duration::from_millis(100);
        let after = ClockInterval { lo_ns: before.lo_ns + low, hi_ns: before.hi_ns + high };
        prop_assume!(after.lo_ns <= after.hi_ns && after.hi_ns - after.lo_ns <= nanos(MAX_CLOCK_WIDTH) as i64);
        let planned = widened_for_auto(before, slack);
        let settled = settle(before, after, MARGIN).unwrap();
        prop_assert!(planned.lo_ns <= settled.lo_ns && settled.hi_ns <= planned.hi_ns);
        let start = Mono(start);
        let still = StillPeriod { start, end: earliest_end(start, &[planned], MARGIN) };
        prop_assert!(choose(still, &[settled], MARGIN).is_ok());
    }

    #[test]
    fn the_first_pause_is_within_a_second_and_no_other_moment_makes_the_window_shorter(
        now in 0u64..1_000_000_000_000_000,
        clocks in prop::collection::vec(any_clock(), 1..4),
        drain_ms in 0u64..3_000,
        other_ms in 0u64..1_000,
    ) {
        let slack = Duration::from_millis(100);
        let (now, drain) = (Mono(now), Duration::from_millis(drain_ms));
        let pause = best_first_pause(now, &clocks, MARGIN, slack, drain);
        prop_assert!(pause >= now && pause.since(now) < Duration::from_secs(1));
        let widened: Vec<_> = clocks.iter().map(|clock| widened_for_auto(*clock, slack)).collect();
        let length = |pause: Mono| earliest_end(pause + drain, &widened, MARGIN).since(pause + drain);
        let other = now + Duration::from_millis(other_ms);
        prop_assert!(length(pause) <= length(other) + PAUSE_SAFETY_GAP);
        // Late by up to the gap: still the same second.
        prop_assert_eq!(length(pause), length(pause + PAUSE_SAFETY_GAP) + PAUSE_SAFETY_GAP);
    }

    #[test]
    fn clients_never_feel_less_than_the_outage(ms in 0u64..100_000) {
        let outage = Duration::from_millis(ms);
        let felt = client_outage(outage);
        prop_assert!(felt >= outage);
        prop_assert_eq!(beyond_client_retries(outage), !outage.is_zero() && !CLIENT_RETRY_STEPS.contains(&felt));
    }

    #[test]
    fn extreme_values_neither_overflow_nor_give_a_second(
        start in any::<u64>(), end in any::<u64>(), lo in any::<i64>(), hi in any::<i64>(), margin in any::<u64>(),
    ) {
        let clock = ClockInterval { lo_ns: lo, hi_ns: hi };
        let margin = Duration::from_secs(margin);
        let _ = settle(clock, clock, margin);
        let still = StillPeriod { start: Mono(start), end: Mono(end) };
        if let Ok(t) = choose(still, &[clock], margin) {
            prop_assert!(i128::from(t.0) * SECOND >= i128::from(start) + i128::from(hi) + nanos(margin));
        }
        let _ = earliest_end(still.start, &[clock], margin);
        let _ = best_first_pause(still.start, &[clock], margin, margin, margin);
    }
}
