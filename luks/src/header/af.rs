//! The anti-forensic splitter: a key spread over 4000 stripes, all of which are
//! needed.
//!
//! Specification: LUKS1 On-Disk Format 1.2.3, chapter 2.4, with SHA-256.

use rand_core::CryptoRngCore;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// The number of stripes.
pub(super) const STRIPES: usize = 4000;

/// Splits a key.
pub(super) fn split(
    key: &[u8],
    random: &mut impl CryptoRngCore,
) -> Result<Zeroizing<Vec<u8>>, rand_core::Error> {
    let mut stripes = Zeroizing::new(vec![0; key.len() * STRIPES]);
    let (before, last) = stripes.split_at_mut(key.len() * (STRIPES - 1));
    random.try_fill_bytes(before)?;
    let mask = folded(before, key.len());
    last.iter_mut().zip(mask.iter().zip(key)).for_each(|(to, (mask, byte))| *to = mask ^ byte);
    Ok(stripes)
}

/// Puts a key of this length together.
pub(super) fn merge(stripes: &[u8], length: usize) -> Zeroizing<Vec<u8>> {
    let (before, last) = stripes.split_at(stripes.len().saturating_sub(length));
    let mut key = folded(before, length);
    key.iter_mut().zip(last).for_each(|(byte, mask)| *byte ^= mask);
    key
}

fn folded(stripes: &[u8], length: usize) -> Zeroizing<Vec<u8>> {
    let mut block = Zeroizing::new(vec![0; length]);
    for stripe in stripes.chunks_exact(length) {
        block.iter_mut().zip(stripe).for_each(|(to, from)| *to ^= from);
        for (index, chunk) in (0_u32..).zip(block.chunks_mut(32)) {
            let digest = Zeroizing::new(<[u8; 32]>::from(
                Sha256::new_with_prefix(index.to_be_bytes()).chain_update(&*chunk).finalize(),
            ));
            chunk.iter_mut().zip(digest.iter()).for_each(|(to, from)| *to = *from);
        }
    }
    block
}

#[cfg(test)]
mod tests {
    use rand_core::OsRng;

    use super::*;

    #[test]
    fn what_is_split_is_merged_and_needs_every_stripe() {
        for length in [16, 32, 96] {
            let key: Vec<u8> = (0..).take(length).collect();
            let mut stripes = split(&key, &mut OsRng).unwrap();
            assert_eq!(stripes.len(), length * STRIPES);
            assert_eq!(*merge(&stripes, length), key);
            for byte in [0, length * 2000, length * STRIPES - 1] {
                stripes[byte] ^= 1;
                assert_ne!(*merge(&stripes, length), key);
                stripes[byte] ^= 1;
            }
        }
    }
}
