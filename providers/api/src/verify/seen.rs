//! Ids that were seen, in a fixed amount of memory: "certainly not" or "perhaps".

use std::hash::{DefaultHasher, Hash, Hasher};

/// Bits for each expected id: with [`PROBES`] probes about one in two thousand ids that were never seen looks seen.
const BITS_EACH: u64 = 16;
const PROBES: u64 = 8;
/// The smallest and the largest filter, in 64-bit words: 128 KiB to 64 MiB. More ids than the largest was made for only
/// make "perhaps" more frequent, never "certainly not" wrong.
const WORDS: std::ops::RangeInclusive<u64> = 1 << 14..=1 << 23;

/// A Bloom filter of transaction ids.
#[derive(Clone, Debug)]
pub struct SeenIds {
    words: Vec<u64>,
}

impl SeenIds {
    /// For about this many ids.
    pub fn for_about(ids: u64) -> Self {
        let words = (ids.saturating_mul(BITS_EACH) / 64).next_power_of_two().clamp(*WORDS.start(), *WORDS.end());
        SeenIds { words: vec![0; usize::try_from(words).unwrap_or(1 << 14)] }
    }

    /// It was seen.
    pub fn insert(&mut self, id: &str) {
        for (word, bit) in places(id, self.words.len()) {
            if let Some(word) = self.words.get_mut(word) {
                *word |= bit;
            }
        }
    }

    /// `false`: it was certainly not seen.
    pub fn perhaps(&self, id: &str) -> bool {
        places(id, self.words.len()).all(|(word, bit)| self.words.get(word).is_some_and(|word| word & bit != 0))
    }
}

/// Word and bit of each probe: multiples of one hash added to another.
fn places(id: &str, words: usize) -> impl Iterator<Item = (usize, u64)> {
    let hash = |seed: u8| {
        let mut hasher = DefaultHasher::new();
        seed.hash(&mut hasher);
        id.hash(&mut hasher);
        hasher.finish()
    };
    let (start, stride) = (hash(1), hash(2) | 1);
    (0..PROBES).map(move |probe| {
        let at = start.wrapping_add(stride.wrapping_mul(probe));
        // The number of words is a power of two; the low bits choose the bit, those above the word.
        let word = usize::try_from(at >> 6).unwrap_or(0) & (words - 1);
        (word, 1 << (at & 63))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_never_denied_and_little_else_is_believed() {
        let mut seen = SeenIds::for_about(100_000);
        (0..100_000).for_each(|n| seen.insert(&format!("tx-{n}")));
        assert!((0..100_000).all(|n| seen.perhaps(&format!("tx-{n}"))));
        let wrong = (0..100_000).filter(|n| seen.perhaps(&format!("other-{n}"))).count();
        assert!(wrong < 200, "{wrong} of 100,000");
    }

    #[test]
    fn its_size_is_bounded_whatever_is_expected() {
        assert_eq!(SeenIds::for_about(0).words.len(), 1 << 14);
        assert_eq!(SeenIds::for_about(u64::MAX).words.len(), 1 << 23);
    }
}
