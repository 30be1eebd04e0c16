//! Choosing seconds in full traffic.

use rand::seq::SliceRandom;
use rand::{SeedableRng, rngs::StdRng};
use std::ops::RangeInclusive;

/// Up to `count` different whole seconds out of the range, the same ones for the same seed.
pub fn in_traffic(seed: u64, count: usize, range: RangeInclusive<i64>) -> Vec<i64> {
    let mut all: Vec<i64> = range.collect();
    all.shuffle(&mut StdRng::seed_from_u64(seed));
    all.truncate(count);
    all.sort_unstable();
    all
}

/// A second of Unix time for people.
pub fn text(second: i64) -> String {
    chrono::DateTime::from_timestamp(second, 0)
        .map(|t| t.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_chooses_the_same_seconds_and_only_from_the_range() {
        let chosen = in_traffic(7, 8, 10..=30);
        assert_eq!(chosen, in_traffic(7, 8, 10..=30));
        assert_ne!(chosen, in_traffic(8, 8, 10..=30));
        assert_eq!(chosen.len(), 8);
        assert!(chosen.iter().all(|s| (10..=30).contains(s)));
        assert_eq!(in_traffic(7, 8, 1..=3), [1, 2, 3]);
    }
}
