//! Building a hash tree in one pass over the data.
//!
//! Threads take pieces of the data in order. The digests of a piece are whole
//! hash blocks of level 0, which the thread writes and hashes at once; their
//! digests go into the open blocks of the level above, and a block that is full
//! goes the same way. What is in memory at a time is one buffer for each thread
//! and the open blocks, of which there are as many on a level as there are
//! threads, at most, and one more: the size of the image does not matter.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, OnceLock, PoisonError};

use uuid::Uuid;

use crate::BuildOptions;
use crate::data::{Data, ReadError};
use crate::geometry::{Geometry, GeometryError, HashArea, Level};
use crate::hasher::{DataHasher, Hasher};
use crate::params::Params;
use crate::root_hash::RootHash;
use crate::superblock::Superblock;
use disk_io::{ReadAt, WriteAt};

/// Builds the hash tree of the first `data_blocks` blocks of `data` and returns
/// its root hash.
///
/// With a UUID, a superblock goes to byte `hash_offset` of `hash` (a multiple of
/// 512) and the tree to the next hash block, see [`Geometry::after_superblock`];
/// the bytes between the two become zero. Without one, the tree goes to
/// `hash_offset`, see [`Geometry::without_superblock`]. The superblock is written
/// last. Data and tree may be on one device; then the caller chooses a
/// `hash_offset` behind the data.
///
/// Nothing is synchronised to the disk; that is for the caller to do.
///
/// # Errors
/// Impossible sizes, before anything is written; then data that cannot be read
/// or ends early, and a hash device that cannot be written, with the offset. The
/// hash device's content is of no use then.
pub fn build(
    data: &(impl ReadAt + ?Sized),
    data_blocks: u64,
    hash: &(impl WriteAt + ?Sized),
    hash_offset: u64,
    superblock: Option<Uuid>,
    params: &Params,
    options: &BuildOptions<'_>,
) -> Result<RootHash, BuildError> {
    let geometry = Geometry::new(params, data_blocks)?;
    let area = match superblock {
        Some(_) => geometry.after_superblock(hash_offset)?,
        None => geometry.without_superblock(hash_offset)?,
    };
    let tree = Tree {
        geometry: &geometry,
        area,
        hasher: Hasher::new(params),
        hash,
        open: Mutex::default(),
        root: OnceLock::new(),
    };
    let data = Data::new(data, &geometry, options.progress);
    let hasher = DataHasher::new(params);

    disk_io::for_each(options.thread_count(), data.pieces(), Vec::new, |buffer, piece| {
        let mut digests = Vec::new();
        data.for_each_block(piece, buffer, |block| {
            hasher.append(block, &mut digests);
            Ok::<(), BuildError>(())
        })?;
        tree.add(0, data.first_block(piece), digests)
    })?;

    if let Some(uuid) = superblock {
        let superblock = Superblock { uuid, params: params.clone(), data_blocks };
        let mut bytes = superblock.to_bytes().to_vec();
        bytes.resize(usize::try_from(area.start() - hash_offset).unwrap_or(bytes.len()), 0);
        tree.write(&bytes, hash_offset)?;
    }
    #[expect(
        clippy::expect_used,
        reason = "all digests were added; the last of them makes the root"
    )]
    Ok(*tree.root.get().expect("the tree is complete"))
}

/// A tree as far as it is built.
struct Tree<'a, H: ?Sized> {
    geometry: &'a Geometry,
    area: HashArea,
    hasher: Hasher,
    hash: &'a H,
    /// The hash blocks that have some of their digests, by level and index.
    open: Mutex<BTreeMap<(usize, u64), Open>>,
    root: OnceLock<RootHash>,
}

/// A hash block that waits for digests.
struct Open {
    block: Vec<u8>,
    missing: usize,
}

impl<H: WriteAt + ?Sized> Tree<'_, H> {
    /// Adds consecutive digests to a level. They fill hash blocks, the level's
    /// last one perhaps in part, or lie within one: pieces of data and hash
    /// blocks both hold a power of two of digests.
    fn add(&self, level: usize, first: u64, digests: Vec<u8>) -> Result<(), BuildError> {
        let Some(shape) = self.geometry.levels().get(level) else {
            self.root.get_or_init(|| RootHash::of_digest(&digests));
            return Ok(());
        };
        let (index, slot) = self.geometry.slot(first);
        let size = self.geometry.used_bytes(shape, index);
        if slot == 0 && digests.len() >= size {
            return self.finish(level, shape, index, digests);
        }

        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = open
            .entry((level, index))
            .or_insert_with(|| Open { block: vec![0; size], missing: size });
        entry.block.iter_mut().skip(slot).zip(&digests).for_each(|(to, from)| *to = *from);
        entry.missing = entry.missing.saturating_sub(digests.len());
        if entry.missing > 0 {
            return Ok(());
        }
        let complete = open.remove(&(level, index));
        drop(open);
        complete.map_or(Ok(()), |complete| self.finish(level, shape, index, complete.block))
    }

    /// Writes consecutive blocks of a level, given as their digests, and adds
    /// the digests of these blocks to the level above.
    fn finish(
        &self,
        level: usize,
        shape: &Level,
        first: u64,
        mut blocks: Vec<u8>,
    ) -> Result<(), BuildError> {
        let block_size = self.geometry.hash_block_size().to_usize();
        blocks.resize(blocks.len().next_multiple_of(block_size), 0);
        self.write(&blocks, self.geometry.offset(self.area, shape, first))?;
        let mut digests = Vec::new();
        for block in blocks.chunks_exact(block_size) {
            self.hasher.append(block, &mut digests);
        }
        self.add(level + 1, first, digests)
    }

    fn write(&self, bytes: &[u8], offset: u64) -> Result<(), BuildError> {
        self.hash.write_all_at(bytes, offset).map_err(|source| BuildError::Write {
            offset,
            len: bytes.len(),
            source,
        })
    }
}

/// Why a hash tree was not built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The sizes are not possible.
    #[error(transparent)]
    Geometry(#[from] GeometryError),
    /// The data cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The hash device cannot be written.
    #[error("cannot write {len} bytes at byte {offset} of the hash device")]
    Write {
        /// The first of the bytes.
        offset: u64,
        /// How many they were.
        len: usize,
        /// What the device reports.
        source: io::Error,
    },
}
