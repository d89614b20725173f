//! The volume as numbered pieces, which threads take one at a time.

use crate::layout::{Layout, SECTOR};

/// A piece, in sectors of 512 bytes: 512 KiB. Metadata of a piece is written at once.
const PIECE: u64 = 1024;
/// What is encrypted between two looks at the disk: little enough for a core's own
/// cache.
pub(crate) const STEP: usize = 128 << 10;

/// A part of a volume that lies within one area, so that its data and its metadata
/// are each in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Its first sector in the volume.
    pub(crate) first: u64,
    /// Its sectors.
    pub(crate) sectors: u64,
}

impl Layout {
    fn piece_sectors(&self) -> u64 {
        PIECE.min(1 << self.params().interleave_log2)
    }

    pub(crate) fn pieces(&self) -> u64 {
        self.volume_sectors().div_ceil(self.piece_sectors())
    }

    pub(crate) fn piece(&self, index: u64) -> Piece {
        let first = index * self.piece_sectors();
        let sectors = self.piece_sectors().min(self.volume_sectors().saturating_sub(first));
        Piece { first, sectors }
    }
}

impl Piece {
    /// Its size in bytes.
    pub(crate) fn bytes(self) -> usize {
        usize::try_from(self.sectors * SECTOR).unwrap_or(0)
    }

    /// The size of its metadata, in bytes.
    pub(crate) fn metadata_bytes(self, layout: &Layout) -> usize {
        let blocks = self.sectors >> layout.params().sector_size.sectors_log2();
        usize::try_from(blocks).unwrap_or(0) * layout.params().cipher.metadata_size()
    }
}
