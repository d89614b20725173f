//! The journal of dm-integrity: how it is made, and an empty one.
//!
//! A section has 8 sectors of entries and a block of data for each. Every sector
//! ends with 8 bytes that say which section, sector and sequence it belongs to; an
//! unused entry has all ones in the upper half of its sector number; all else is
//! zero. A used entry is, integers little-endian:
//!
//! | bytes | content |
//! |---|---|
//! | 0..8 | the block's first sector in the volume |
//! | 8 for each sector of the block | the last 8 bytes of the sector, where the journal has its own |
//! | the metadata size | the block's metadata |
//!
//! Nothing of it is secret or authenticated: an entry's data is what would be on
//! the disk.
//!
//! Specification: Linux `drivers/md/dm-integrity.c`, `init_journal`,
//! `struct journal_entry`, `struct journal_sector`, `dm_integrity_commit_id`.

mod replay;

pub use replay::JournalError;
pub(crate) use replay::Overlay;

use crate::layout::{Layout, SECTOR, SECTOR_BYTES, Section};

/// The commit IDs of the four sequences.
const COMMIT_IDS: [u64; 4] =
    [0x1111_1111_1111_1111, 0x2222_2222_2222_2222, 0x3333_3333_3333_3333, 0x4444_4444_4444_4444];
const ENTRY_SECTORS: u64 = 8;
/// The upper half of an unused entry's sector number.
const UNUSED: [u8; 4] = [0xff; 4];

/// Where an entry is in its section, in bytes.
fn entry_offset(section: Section, entry: u64) -> u64 {
    entry % ENTRY_SECTORS * SECTOR + entry / ENTRY_SECTORS * section.entry_size
}

/// Where an entry's "unused" mark is in a section.
fn mark(section: Section, entry: u64) -> Option<usize> {
    usize::try_from(entry_offset(section, entry) + 4).ok()
}

/// The last 8 bytes of a sector of the journal.
fn commit_id(sequence: u64, section: u32, sector: u64) -> u64 {
    sequence ^ u64::from(section) << 32 ^ sector
}

/// Bytes of a section.
pub(crate) fn section_bytes(layout: &Layout) -> u64 {
    layout.section().sectors * SECTOR
}

/// An empty section.
pub(crate) fn empty_section(layout: &Layout, index: u32) -> Vec<u8> {
    let section = layout.section();
    let mut bytes = vec![0; usize::try_from(section_bytes(layout)).unwrap_or(0)];
    for entry in 0..section.entries {
        let mark = mark(section, entry).and_then(|at| bytes.get_mut(at..)?.first_chunk_mut::<4>());
        if let Some(mark) = mark {
            *mark = UNUSED;
        }
    }
    let [first, ..] = COMMIT_IDS;
    for (number, sector) in bytes.chunks_exact_mut(SECTOR_BYTES).enumerate() {
        if let Some(end) = sector.last_chunk_mut::<8>() {
            *end = commit_id(first, index, number as u64).to_le_bytes();
        }
    }
    bytes
}

/// Whether no entry of a section is used.
fn is_empty(layout: &Layout, bytes: &[u8]) -> bool {
    let section = layout.section();
    (0..section.entries).all(|entry| {
        mark(section, entry).and_then(|at| bytes.get(at..)?.first_chunk()) == Some(&UNUSED)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cipher::Cipher;
    use crate::layout::{LUKS2_DATA_OFFSET, LayoutParams, SectorSize};

    #[test]
    fn sections_are_told_apart_and_empty() {
        for (sector_size, entries, entry_size) in
            [(SectorSize::B512, 80, 48), (SectorSize::B4096, 32, 104)]
        {
            let layout = Layout::new(LayoutParams::with_default_journal(
                Cipher::AesXtsHmacSha256,
                sector_size,
                81_920,
                LUKS2_DATA_OFFSET,
            ))
            .unwrap();
            let mut bytes = empty_section(&layout, 3);
            assert!(is_empty(&layout, &bytes));
            assert_eq!(bytes[504..512], 0x1111_1112_1111_1111_u64.to_le_bytes());
            assert_eq!(bytes[1016..1024], 0x1111_1112_1111_1110_u64.to_le_bytes());
            assert_eq!(bytes[..8], [0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
            assert_eq!(bytes[entry_size + 4..entry_size + 8], [0xff; 4]);
            let marks = bytes.chunks_exact(4).filter(|word| *word == [0xff; 4]).count();
            assert_eq!(marks, entries);
            bytes[512 + 7] = 0;
            assert!(!is_empty(&layout, &bytes));
            assert!(!is_empty(&layout, &bytes[..100]));
        }
    }
}
