//! Mutations of inputs, the same ones every time.

use rand_core::{CryptoRng, RngCore, impls};

/// Numbers that look random and are none: `splitmix64`.
pub struct Numbers(u64);

impl Numbers {
    /// The sequence with this number.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next_u64() % end).unwrap_or(0)
    }
}

impl RngCore for Numbers {
    fn next_u32(&mut self) -> u32 {
        impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        impls::fill_bytes_via_next(self, bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

/// So that the project's writers take them: seeds hold no secrets.
impl CryptoRng for Numbers {}

/// Changes an input a little: bits, bytes, ends, runs of it, parts of another one.
#[must_use]
pub fn mutate(input: &[u8], other: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(bytes.len() + 1);
        let length = numbers.below(17);
        let end = (at + length).min(bytes.len());
        match numbers.below(8) {
            0 => bytes.truncate(at),
            1 => bytes.extend(other.iter().skip(at).take(length)),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let run: Vec<u8> = bytes.iter().skip(at).take(length).copied().collect();
                drop(bytes.splice(at..at, run));
            }
            4 => drop(bytes.splice(at..end, other.iter().skip(at).take(length).copied())),
            choice => {
                let Some(byte) = bytes.get_mut(at) else { continue };
                let random = numbers.next_u64().to_le_bytes();
                *byte = match choice {
                    5 => *byte ^ (1 << numbers.below(8)),
                    6 => random.first().copied().unwrap_or(0),
                    _ => *[0, 1, 0x7f, 0x80, 0xfe, 0xff, b'"', b'/']
                        .get(numbers.below(8))
                        .unwrap_or(&0),
                };
            }
        }
    }
    bytes
}
