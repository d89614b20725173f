//! Verifying a whole image against a trusted root hash.
//!
//! **Threat.** Both devices may be the attacker's. A hash block is compared with
//! its parent's digest of it (the top one with the root hash) before anything in
//! it is used, and what is used are the very bytes that were compared. Data is
//! read once. A thread keeps one authenticated block for each level, so memory
//! does not grow with the image.
//!
//! Superblocks are not read, and bytes outside of data and tree are not looked
//! at. The padding of hash blocks has to be zero, as `veritysetup` demands; the
//! kernel does not care.

use std::fmt;

use crate::VerifyOptions;
use crate::data::{Data, Device, ReadError, read_at};
use crate::geometry::{Geometry, GeometryError, HashArea};
use crate::hasher::{DataHasher, Hasher};
use crate::params::{Algorithm, Params};
use crate::root_hash::RootHash;
use disk_io::ReadAt;

/// Verifies that the first `data_blocks` blocks of `data` and their hash tree,
/// which starts at `hash_start_block` of `hash` (in hash blocks, any superblock
/// not included), are those that `root_hash` stands for. All parameters have to
/// be trusted.
///
/// # Errors
/// The first block that is not as it was when the tree was built: the blocks are
/// taken in the order of the data, and the hash blocks above a data block, from
/// the top down, come before it. The same block is named however many threads
/// work. Also impossible sizes, and devices that cannot be read or end early.
pub fn verify(
    data: &(impl ReadAt + ?Sized),
    data_blocks: u64,
    hash: &(impl ReadAt + ?Sized),
    hash_start_block: u64,
    root_hash: &RootHash,
    params: &Params,
    options: &VerifyOptions<'_>,
) -> Result<(), VerifyError> {
    if !root_hash.fits(params.algorithm) {
        let (root_hash, algorithm) = (*root_hash, params.algorithm);
        return Err(VerifyError::RootHashLength { root_hash, algorithm });
    }
    let geometry = Geometry::new(params, data_blocks)?;
    let tree = Tree {
        geometry: &geometry,
        area: geometry.at_block(hash_start_block)?,
        hasher: Hasher::new(params),
        hash,
        root_hash,
    };
    let data = Data::new(data, &geometry, options.progress);
    let hasher = DataHasher::new(params);

    let state = || (Vec::new(), tree.new_path());
    disk_io::for_each(options.thread_count(), data.pieces(), state, |(buffer, path), piece| {
        let mut index = data.first_block(piece);
        data.for_each_block(piece, buffer, |block| {
            tree.authenticate(path, index)?;
            path.found.clear();
            hasher.append(block, &mut path.found);
            let offset = index * block.len() as u64;
            tree.compare(&path.found, &path.expected, Block::Data(index), offset)?;
            index += 1;
            Ok::<(), VerifyError>(())
        })
    })
}

/// A block of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// A data block, by its number.
    Data(u64),
    /// A block of the hash tree.
    Hash {
        /// Its level; the digests of the data are level 0.
        level: usize,
        /// Its number in the level.
        index: u64,
    },
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data(index) => write!(f, "data block {index}"),
            Self::Hash { level, index } => write!(f, "hash block {index} of level {level}"),
        }
    }
}

/// The tree to check against.
struct Tree<'a, H: ?Sized> {
    geometry: &'a Geometry,
    area: HashArea,
    hasher: Hasher,
    hash: &'a H,
    root_hash: &'a RootHash,
}

/// The hash blocks from the top of the tree to the digest of one data block.
struct Path {
    /// Level 0 first.
    levels: Vec<PathBlock>,
    /// The authenticated digest of the block that is looked at.
    expected: Vec<u8>,
    /// Its digest as it is.
    found: Vec<u8>,
}

struct PathBlock {
    /// Which block of its level this is, once it is authenticated.
    index: Option<u64>,
    bytes: Vec<u8>,
}

impl<H: ReadAt + ?Sized> Tree<'_, H> {
    fn new_path(&self) -> Path {
        let size = self.geometry.hash_block_size().to_usize();
        let levels = self.geometry.levels().iter();
        Path {
            levels: levels.map(|_| PathBlock { index: None, bytes: vec![0; size] }).collect(),
            expected: Vec::new(),
            found: Vec::new(),
        }
    }

    /// Makes `path.expected` the digest of this data block, out of hash blocks
    /// that are all authenticated.
    fn authenticate(&self, path: &mut Path, data_block: u64) -> Result<(), VerifyError> {
        let Path { levels, expected, found } = path;
        expected.clear();
        expected.extend_from_slice(self.root_hash.as_bytes());
        for (level, (shape, cached)) in self.geometry.levels().iter().zip(levels).enumerate().rev()
        {
            let (index, slot) = self.geometry.slot(shape.digest_above(data_block));
            if cached.index != Some(index) {
                cached.index = None;
                let block = Block::Hash { level, index };
                let offset = self.geometry.offset(self.area, shape, index);
                read_at(Device::Hash, self.hash, &mut cached.bytes, offset)?;
                found.clear();
                self.hasher.append(&cached.bytes, found);
                self.compare(found, expected, block, offset)?;
                let used = self.geometry.used_bytes(shape, index);
                if cached.bytes.iter().skip(used).any(|byte| *byte != 0) {
                    return Err(VerifyError::Padding { block, offset });
                }
                cached.index = Some(index);
            }
            expected.clear();
            expected.extend(cached.bytes.iter().skip(slot).take(self.root_hash.as_bytes().len()));
        }
        Ok(())
    }

    fn compare(
        &self,
        found: &[u8],
        expected: &[u8],
        block: Block,
        offset: u64,
    ) -> Result<(), VerifyError> {
        if found == expected {
            return Ok(());
        }
        let is_top = match block {
            Block::Data(_) => self.geometry.levels().is_empty(),
            Block::Hash { level, .. } => level + 1 == self.geometry.levels().len(),
        };
        Err(if is_top {
            VerifyError::RootHash { block, offset, found: RootHash::of_digest(found) }
        } else {
            VerifyError::Corrupt { block, offset }
        })
    }
}

/// Why an image is not the one that its root hash stands for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The sizes are not possible.
    #[error(transparent)]
    Geometry(#[from] GeometryError),
    /// The root hash is of another algorithm.
    #[error("the root hash {root_hash} does not have the length of a {algorithm} digest")]
    RootHashLength {
        /// The root hash.
        root_hash: RootHash,
        /// The algorithm of the tree.
        algorithm: Algorithm,
    },
    /// A device cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The top of the tree does not match the root hash.
    #[error(
        "the root hash of this tree is {found}, not the expected one: {block} (byte {offset}) was \
         changed, or the root hash, the salt or the place of the tree are another image's"
    )]
    RootHash {
        /// The top hash block, or the only data block.
        block: Block,
        /// Where it starts on its device, in bytes.
        offset: u64,
        /// The digest of the block.
        found: RootHash,
    },
    /// A block does not match its digest in the tree.
    #[error("{block} (byte {offset}) was changed; restore the image from where it was built")]
    Corrupt {
        /// The block.
        block: Block,
        /// Where it starts on its device, in bytes.
        offset: u64,
    },
    /// An authentic hash block has something after its last digest.
    #[error("{block} (byte {offset}) is not zero after its digests; the tree was not made by rule")]
    Padding {
        /// The block.
        block: Block,
        /// Where it starts on the hash device, in bytes.
        offset: u64,
    },
}
