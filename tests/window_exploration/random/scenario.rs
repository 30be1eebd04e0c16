//! Which scenarios are tried.

use super::{MS, Mishap, MishapKind, Scenario};
use proptest::prelude::*;
use std::time::Duration;
use stillpoint::window::plan::{Hold, Rules};

fn mishap() -> impl Strategy<Value = Mishap> {
    let ms = |range: std::ops::Range<u64>| range.prop_map(|ms| ms * MS);
    let kind = prop_oneof![
        ms(0..5_000).prop_map(|down| MishapKind::Restart { down }),
        Just(MishapKind::Die),
        ms(1..8_000).prop_map(|time| MishapKind::Hang { time }),
        ms(1..9_000).prop_map(|time| MishapKind::LongTransaction { time }),
        (1..11u32).prop_map(|times| MishapKind::RefuseUnpause { times }),
        Just(MishapKind::OthersUnpause),
        Just(MishapKind::OthersPause),
        ms(1..40_000).prop_map(|time| MishapKind::Stop { time }),
        Just(MishapKind::Cancel),
        Just(MishapKind::GuardDies),
    ];
    // Early ones meet the pausing, later ones the hold, the last round and the release.
    let at = prop_oneof![ms(0..500), ms(0..12_000), ms(0..60_000)];
    (at, 0..50usize, kind).prop_map(|(at, pod, kind)| Mishap { at, pod, kind })
}

/// Any scenario under these rules.
pub fn scenario(rules: Rules) -> impl Strategy<Value = Scenario> {
    let hold = prop_oneof![
        6 => (500..6_000u64).prop_map(|ms| Hold::Fixed(Duration::from_millis(ms))),
        1 => Just(Hold::HandOver),
    ];
    let times = |range: std::ops::Range<u64>| range.prop_map(|ms| ms * MS);
    let crash = proptest::option::weighted(0.3, (times(0..15_000), proptest::option::weighted(0.3, times(0..10_000))));
    let unreliable = prop_oneof![3 => Just(0), 2 => 0..5u32, 1 => 0..100u32];
    let mishaps = prop_oneof![1 => Just(Vec::new()), 4 => proptest::collection::vec(mishap(), 1..12)];
    (any::<u64>(), 1..=50usize, hold, times(1_000..6_000), unreliable, crash, mishaps).prop_map(
        move |(seed, pods, hold, drain, unreliable, crash, mishaps)| Scenario {
            seed,
            pods,
            hold,
            drain,
            rules,
            unreliable,
            crash,
            mishaps,
        },
    )
}
