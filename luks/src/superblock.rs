//! The superblock of dm-integrity, which follows from the layout.
//!
//! **Threat.** The kernel believes it: with other flags or sizes it maps the disk
//! otherwise, re-formats it (all zeros), or crashes (dirty bitmap without a bitmap).
//! It holds nothing random, so it is never parsed: it is computed, and what is on
//! the disk has to be equal.
//!
//! Specification: Linux `drivers/md/dm-integrity.c`, `struct superblock`, version 4.
//! Integers little-endian:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 8 | `integrt\0` |
//! | 8 | 1 | version, 4 |
//! | 9 | 1 | log2 of the interleave |
//! | 10 | 2 | metadata bytes of a block |
//! | 12 | 4 | sections of the journal |
//! | 16 | 8 | sectors of the volume |
//! | 24 | 4 | flags: 8, fixed padding |
//! | 28 | 1 | log2 of the sectors of a block |
//! | 29 | 1 | log2 of the blocks of a bitmap bit |
//! | 30 | 4066 | zeros |

use crate::layout::Layout;

/// The size of a superblock, in bytes. It starts at the data offset.
pub const SUPERBLOCK_SIZE: usize = 4096;

const MAGIC: [u8; 8] = *b"integrt\0";
const VERSION: u8 = 4;
const FLAG_FIXED_PADDING: u32 = 8;
/// The kernel's default for a bitmap bit, which is written without a bitmap too.
const BITMAP_SECTORS_LOG2: u8 = 15;

impl Layout {
    /// The superblock that the device has to have.
    #[must_use]
    pub fn superblock(&self) -> [u8; SUPERBLOCK_SIZE] {
        let params = self.params();
        let block_log2 = params.sector_size.sectors_log2();
        let metadata = u16::try_from(params.cipher.metadata_size()).unwrap_or(u16::MAX);
        let fields: [&[u8]; 9] = [
            &MAGIC,
            &[VERSION],
            &[params.interleave_log2],
            &metadata.to_le_bytes(),
            &self.journal_sections().to_le_bytes(),
            &self.volume_sectors().to_le_bytes(),
            &FLAG_FIXED_PADDING.to_le_bytes(),
            &[block_log2],
            &[BITMAP_SECTORS_LOG2 - block_log2],
        ];
        let mut bytes = [0; SUPERBLOCK_SIZE];
        bytes.iter_mut().zip(fields.into_iter().flatten()).for_each(|(to, from)| *to = *from);
        bytes
    }

    /// Compares the superblock of a disk with the one that it has to have.
    ///
    /// # Errors
    /// What it is instead.
    pub fn check_superblock(&self, found: &[u8; SUPERBLOCK_SIZE]) -> Result<(), SuperblockError> {
        let expected = self.superblock();
        if *found == expected {
            return Ok(());
        }
        if found.iter().all(|byte| *byte == 0) {
            return Err(SuperblockError::Blank);
        }
        let offset = found.iter().zip(&expected).position(|(a, b)| a != b).unwrap_or(0);
        Err(SuperblockError::Differs { offset, field: field(offset) })
    }
}

fn field(offset: usize) -> &'static str {
    match offset {
        0..8 => "magic",
        8 => "version",
        9 => "interleave",
        10..12 => "metadata size",
        12..16 => "journal sections",
        16..24 => "volume size",
        24..28 => "flags",
        28 => "block size",
        29 => "bitmap granularity",
        _ => "reserved bytes",
    }
}

/// Why a superblock is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SuperblockError {
    /// It is all zeros: the kernel would format the device.
    #[error("the dm-integrity superblock was wiped: the kernel would format the disk anew")]
    Blank,
    /// It differs.
    #[error("the dm-integrity superblock is not the one of this volume: {field} (byte {offset})")]
    Differs {
        /// The first byte that does.
        offset: usize,
        /// The field that it belongs to.
        field: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cipher::Cipher;
    use crate::layout::{LUKS2_DATA_OFFSET, LayoutParams, SectorSize};

    fn layout() -> Layout {
        Layout::new(LayoutParams::with_default_journal(
            Cipher::AesXtsHmacSha256,
            SectorSize::B4096,
            81_920,
            LUKS2_DATA_OFFSET,
        ))
        .unwrap()
    }

    /// That of a device which cryptsetup 2.6.1 and Linux 6.12 formatted.
    #[test]
    fn the_reference_bytes() {
        let bytes = layout().superblock();
        assert_eq!(
            hex::encode(&bytes[..32]),
            "696e746567727400040f200002000000e8bb00000000000008000000030c0000"
        );
        assert!(bytes[32..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let layout = layout();
        layout.check_superblock(&layout.superblock()).unwrap();
        for bit in 0..SUPERBLOCK_SIZE * 8 {
            let mut bytes = layout.superblock();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let error = layout.check_superblock(&bytes).unwrap_err();
            assert!(matches!(error, SuperblockError::Differs { offset, .. } if offset == bit / 8));
        }
        let error = layout.check_superblock(&[0; SUPERBLOCK_SIZE]).unwrap_err();
        assert_eq!(error, SuperblockError::Blank);
    }
}
