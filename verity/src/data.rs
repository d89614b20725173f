//! The one pass over the data that building and verifying share.

use std::fmt;
use std::io;

use crate::geometry::Geometry;
use disk_io::ReadAt;

/// What a thread takes at a time. A power of two, and as much as the largest
/// hash block covers, so that a piece fills whole hash blocks of level 0.
const PIECE: u64 = 512 << 10;
/// What is read at a time: little enough to stay in a core's own cache until it
/// is hashed.
const READ: usize = 128 << 10;

/// The data as numbered pieces of whole blocks.
pub(crate) struct Data<'a, D: ?Sized> {
    device: &'a D,
    bytes: u64,
    block_size: usize,
    progress: &'a (dyn Fn(u64) + Sync),
}

impl<'a, D: ReadAt + ?Sized> Data<'a, D> {
    pub(crate) fn new(
        device: &'a D,
        geometry: &Geometry,
        progress: &'a (dyn Fn(u64) + Sync),
    ) -> Self {
        let block_size = geometry.data_block_size().to_usize();
        Self { device, bytes: geometry.data_bytes(), block_size, progress }
    }

    pub(crate) fn pieces(&self) -> u64 {
        self.bytes.div_ceil(PIECE)
    }

    /// The first block of a piece.
    pub(crate) fn first_block(&self, piece: u64) -> u64 {
        piece * (PIECE / self.block_size as u64)
    }

    /// Reads the blocks of a piece in order, each once, and hands them to `block`.
    pub(crate) fn for_each_block<E: From<ReadError>>(
        &self,
        piece: u64,
        buffer: &mut Vec<u8>,
        mut block: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut offset = piece * PIECE;
        let end = self.bytes.min(offset + PIECE);
        while offset < end {
            buffer.resize(usize::try_from(end - offset).unwrap_or(READ).min(READ), 0);
            read_at(Device::Data, self.device, buffer, offset)?;
            buffer.chunks_exact(self.block_size).try_for_each(&mut block)?;
            (self.progress)(buffer.len() as u64);
            offset += buffer.len() as u64;
        }
        Ok(())
    }
}

/// One of the two devices of an image; they may be one and the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The one with the data.
    Data,
    /// The one with the hash tree.
    Hash,
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Data => "data device",
            Self::Hash => "hash device",
        })
    }
}

/// Why bytes of a device are not there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The device ends early.
    #[error(
        "the {device} ends before byte {end}, {len} bytes from {offset} on were expected: it was \
         truncated, it shrank while it was read, or the number of data blocks is another image's",
        end = offset + len
    )]
    Ended {
        /// Which device.
        device: Device,
        /// The first of the bytes that were asked for.
        offset: u64,
        /// How many they were.
        len: u64,
    },
    /// The device reports an error.
    #[error("cannot read {len} bytes at byte {offset} of the {device}")]
    Failed {
        /// Which device.
        device: Device,
        /// The first of the bytes that were asked for.
        offset: u64,
        /// How many they were.
        len: u64,
        /// What it reports.
        source: io::Error,
    },
}

/// Fills `buffer` from `offset` of `from`, which is the `device`.
pub(crate) fn read_at(
    device: Device,
    from: &(impl ReadAt + ?Sized),
    buffer: &mut [u8],
    offset: u64,
) -> Result<(), ReadError> {
    let len = buffer.len() as u64;
    from.read_exact_at(buffer, offset).map_err(|source| {
        if source.kind() == io::ErrorKind::UnexpectedEof {
            ReadError::Ended { device, offset, len }
        } else {
            ReadError::Failed { device, offset, len, source }
        }
    })
}
