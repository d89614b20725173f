//! The blocks at the end of a volume, which no file system reaches.
//!
//! | bytes from the tail's start | content |
//! |---|---|
//! | 0 | check block: proves key and specification |
//! | 4096 | epoch block, even epochs |
//! | 8192 | epoch block, odd epochs |
//! | 12288 | zeros |
//!
//! They are in the encrypted volume, so whatever is read from them is authentic;
//! old content can be put back, as everywhere (see docs/security.md). What a block
//! says is in its first 512 bytes, the rest is zeros: dm-integrity writes a sector
//! as a whole or not at all, so a block is never torn.
//!
//! Check block: `ravelin check v1`, then SHA-256 of the specification. Epoch block:
//! `ravelin epoch v1`, then the epoch, 8 bytes big-endian. The epochs count the
//! times that the volume was opened for writing; the guest writes the next one over
//! the older of the two blocks, so that the newer one survives a crash.

use crate::layout::SECTOR;
use crate::spec::VolumeSpec;

/// The size of a block of the tail, in bytes.
pub const TAIL_BLOCK: usize = 4096;
/// The size of the tail, in sectors of 512 bytes.
pub const TAIL_SECTORS: u64 = 4 * TAIL_BLOCK as u64 / SECTOR;
/// The size of the tail, in bytes.
pub const TAIL_SIZE: usize = 4 * TAIL_BLOCK;

const CHECK: &[u8; 16] = b"ravelin check v1";
const EPOCH: &[u8; 16] = b"ravelin epoch v1";

/// How often a volume was opened for writing. A new one has epoch 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl Epoch {
    /// That of a volume which no guest has opened yet.
    pub const FIRST: Self = Self(1);

    /// The next one; `None` after 2^64 openings.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }

    /// Where its block is, in bytes from the tail's start.
    #[must_use]
    pub fn offset(self) -> u64 {
        (1 + (self.0 & 1)) * TAIL_BLOCK as u64
    }

    /// Its block.
    #[must_use]
    pub fn block(self) -> [u8; TAIL_BLOCK] {
        block(EPOCH, &self.0.to_be_bytes())
    }

    /// The latest epoch of a tail.
    ///
    /// # Errors
    /// A block that is none, or stands in the other's place.
    pub fn latest(tail: &[u8; TAIL_SIZE]) -> Result<Self, TailError> {
        let mut latest = Self(0);
        for slot in [0, 1] {
            let block = tail.as_chunks::<TAIL_BLOCK>().0.get(1 + slot).ok_or(TailError::Epoch)?;
            let number = block
                .strip_prefix(EPOCH.as_slice())
                .and_then(|rest| rest.first_chunk())
                .ok_or(TailError::Epoch)?;
            let epoch = Self(u64::from_be_bytes(*number));
            if epoch.block() != *block || epoch.0 & 1 != slot as u64 {
                return Err(TailError::Epoch);
            }
            latest = latest.max(epoch);
        }
        Ok(latest)
    }
}

impl VolumeSpec {
    /// Where the tail is, in bytes of the volume.
    #[must_use]
    pub fn tail_offset(&self) -> u64 {
        self.file_system_sectors() * SECTOR
    }

    /// The tail of a new volume.
    #[must_use]
    pub fn new_tail(&self) -> [u8; TAIL_SIZE] {
        let blocks =
            [block(CHECK, &self.digest()), Epoch(0).block(), Epoch::FIRST.block(), [0; TAIL_BLOCK]];
        let mut tail = [0; TAIL_SIZE];
        tail.iter_mut().zip(blocks.as_flattened()).for_each(|(to, from)| *to = *from);
        tail
    }

    /// Checks that a tail is this volume's, and tells its epoch. That it could be
    /// read proves the key already; this proves that the volume is one of Ravelin's
    /// with this specification.
    ///
    /// # Errors
    /// Another check block, or epoch blocks that are none.
    pub fn check_tail(&self, tail: &[u8; TAIL_SIZE]) -> Result<Epoch, TailError> {
        let expected = block(CHECK, &self.digest());
        if !tail.starts_with(&expected) {
            return Err(TailError::Check);
        }
        Epoch::latest(tail)
    }
}

fn block(magic: &[u8; 16], content: &[u8]) -> [u8; TAIL_BLOCK] {
    let mut block = [0; TAIL_BLOCK];
    block.iter_mut().zip(magic.iter().chain(content)).for_each(|(to, from)| *to = *from);
    block
}

/// What is wrong with a tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TailError {
    /// The check block is another one.
    #[error("the check block is not that of this volume specification")]
    Check,
    /// An epoch block is none.
    #[error("an epoch block of the volume is damaged")]
    Epoch,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cipher::Cipher;
    use crate::layout::{Layout, SectorSize};

    fn spec(id: u128) -> VolumeSpec {
        let layout =
            Layout::for_volume(Cipher::AesXtsHmacSha256, SectorSize::B4096, 0, 64).unwrap();
        VolumeSpec::new(layout, uuid::Uuid::from_u128(id), None).unwrap()
    }

    #[test]
    fn epochs_alternate_and_the_later_counts() {
        let spec = spec(1);
        let mut tail = spec.new_tail();
        let mut epoch = spec.check_tail(&tail).unwrap();
        assert_eq!(epoch, Epoch::FIRST);
        for _ in 0..5 {
            epoch = epoch.next().unwrap();
            let at = usize::try_from(epoch.offset()).unwrap();
            tail[at..at + TAIL_BLOCK].copy_from_slice(&epoch.block());
            assert_eq!(spec.check_tail(&tail), Ok(epoch));
        }
        assert_eq!(epoch, Epoch(6));
        assert_eq!(Epoch(u64::MAX).next(), None);
    }

    #[test]
    fn another_tail_is_refused() {
        let spec = spec(1);
        assert_eq!(spec.check_tail(&super::tests::spec(2).new_tail()), Err(TailError::Check));
        assert_eq!(spec.check_tail(&[0; TAIL_SIZE]), Err(TailError::Check));
        for (byte, error) in [
            (0, TailError::Check),
            (47, TailError::Check),
            (4095, TailError::Check),
            (4096, TailError::Epoch),
            (8191, TailError::Epoch),
            (8192 + 23, TailError::Epoch),
            (8192 + 24, TailError::Epoch),
        ] {
            let mut tail = spec.new_tail();
            tail[byte] ^= 1;
            assert_eq!(spec.check_tail(&tail), Err(error), "{byte}");
        }
    }
}
