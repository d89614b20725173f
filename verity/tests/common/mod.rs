//! What the tests share: deterministic random numbers and images made from them.

#![allow(dead_code, reason = "no test uses all of it")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "this is part of tests")]

use verity::{Algorithm, Params, Salt};

/// SplitMix64: a few lines, and the same numbers everywhere.
pub(crate) struct Prng(pub(crate) u64);

impl Prng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap()
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.index(from.len())]
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let words = std::iter::repeat_with(|| self.next().to_le_bytes());
        words.flatten().take(len).collect()
    }
}

pub(crate) fn params(
    algorithm: Algorithm,
    data_block: u32,
    hash_block: u32,
    salt: &[u8],
) -> Params {
    Params {
        algorithm,
        data_block_size: data_block.try_into().unwrap(),
        hash_block_size: hash_block.try_into().unwrap(),
        salt: Salt::new(salt).unwrap(),
    }
}
