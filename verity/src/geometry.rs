//! The shape of a hash tree and its place on the hash device.
//!
//! Level 0 holds the digests of the data blocks, level *n* those of the hash
//! blocks of level *n* − 1, up to a top level of one block, whose digest is the
//! root hash. On the device the top level comes first and level 0 last, without
//! gaps. An image of one data block has no levels: its digest is the root hash.
//!
//! A level is plainly its digests one after the other, with zeros up to the end
//! of its last block: digests and blocks are powers of two, so no digest crosses
//! a block and none leaves a gap.
//!
//! Specification: Linux `verity.rst`, "Hash Tree"; cryptsetup's "DMVerity" page
//! for the place after a superblock.

use crate::params::{BlockSize, Params};
use crate::superblock::SUPERBLOCK_SIZE;

/// No device or file reaches beyond this many bytes (the kernel's `loff_t`).
const MAX_BYTES: u64 = i64::MAX as u64;

/// The shape of the tree over a number of data blocks. Holds only sizes that fit
/// a device: no sum or product of its numbers overflows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Geometry {
    data_blocks: u64,
    data_block_size: BlockSize,
    hash_block_size: BlockSize,
    digest_size: usize,
    /// The binary logarithm of the number of digests in a hash block.
    digests_log2: u32,
    /// Level 0 first.
    levels: Vec<Level>,
}

/// One level of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level {
    /// How many digests it holds: of the data blocks, or of the blocks of the
    /// level below.
    pub(crate) digests: u64,
    /// How many hash blocks they take.
    pub(crate) blocks: u64,
    /// Its first hash block, from the start of the tree.
    pub(crate) first: u64,
    /// The binary logarithm of the number of data blocks under each digest.
    under_log2: u32,
}

impl Level {
    /// The number of the digest that a data block is under.
    pub(crate) fn digest_above(&self, data_block: u64) -> u64 {
        data_block >> self.under_log2
    }
}

/// A tree's place on a hash device. Holds only places that a device can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashArea {
    start_block: u64,
    start: u64,
    end: u64,
}

impl Geometry {
    /// The tree over `data_blocks` blocks of data.
    ///
    /// # Errors
    /// No data, or more of it than a device can hold.
    pub fn new(params: &Params, data_blocks: u64) -> Result<Self, GeometryError> {
        let &Params { algorithm, data_block_size, hash_block_size, .. } = params;
        if data_blocks == 0 {
            return Err(GeometryError::Empty);
        }
        if data_blocks > MAX_BYTES / data_block_size.bytes() {
            return Err(GeometryError::DataTooLarge { data_blocks, data_block_size });
        }
        let digest_size = algorithm.digest_size();
        let digests_log2 = (hash_block_size.to_usize() / digest_size).ilog2();

        let mut levels = Vec::new();
        let (mut digests, mut under_log2) = (data_blocks, 0);
        while digests > 1 {
            let blocks = digests.div_ceil(1 << digests_log2);
            levels.push(Level { digests, blocks, first: 0, under_log2 });
            digests = blocks;
            under_log2 += digests_log2;
        }
        let mut first = 0;
        for level in levels.iter_mut().rev() {
            level.first = first;
            first += level.blocks;
        }
        Ok(Self {
            data_blocks,
            data_block_size,
            hash_block_size,
            digest_size,
            digests_log2,
            levels,
        })
    }

    /// The number of data blocks.
    pub fn data_blocks(&self) -> u64 {
        self.data_blocks
    }

    /// The size of the data, in bytes.
    pub fn data_bytes(&self) -> u64 {
        self.data_blocks * self.data_block_size.bytes()
    }

    /// The number of hash blocks in each level, level 0 first. A single data
    /// block has no levels.
    pub fn level_blocks(&self) -> impl DoubleEndedIterator<Item = u64> + ExactSizeIterator {
        self.levels.iter().map(|level| level.blocks)
    }

    /// The number of hash blocks in all levels.
    pub fn tree_blocks(&self) -> u64 {
        self.levels.iter().map(|level| level.blocks).sum()
    }

    /// The size of all levels, in bytes.
    pub fn tree_bytes(&self) -> u64 {
        self.tree_blocks() * self.hash_block_size.bytes()
    }

    /// Places the tree after a superblock at byte `offset` of the hash device, as
    /// `veritysetup format --hash-offset` does: at the first hash block, counted
    /// from the start of the device, that begins after the superblock.
    ///
    /// # Errors
    /// An offset that is not a multiple of 512, or an end beyond any device's.
    pub fn after_superblock(&self, offset: u64) -> Result<HashArea, GeometryError> {
        aligned(offset, SUPERBLOCK_SIZE as u64)?;
        let after = offset.checked_add(SUPERBLOCK_SIZE as u64).ok_or(GeometryError::HashTooFar)?;
        self.at_block(after.div_ceil(self.hash_block_size.bytes()))
    }

    /// Places the tree itself at byte `offset` of the hash device, as
    /// `veritysetup format --no-superblock` does.
    ///
    /// # Errors
    /// An offset that is not a multiple of the hash block size (`veritysetup`
    /// rounds it down), or an end beyond any device's.
    pub fn without_superblock(&self, offset: u64) -> Result<HashArea, GeometryError> {
        aligned(offset, self.hash_block_size.bytes())?;
        self.at_block(offset / self.hash_block_size.bytes())
    }

    /// Places the tree at this hash block of the hash device, as the
    /// device-mapper table names it.
    ///
    /// # Errors
    /// An end beyond any device's.
    pub fn at_block(&self, start_block: u64) -> Result<HashArea, GeometryError> {
        let block_size = self.hash_block_size.bytes();
        let end = start_block
            .checked_add(self.tree_blocks())
            .and_then(|block| block.checked_mul(block_size))
            .filter(|end| *end <= MAX_BYTES)
            .ok_or(GeometryError::HashTooFar)?;
        Ok(HashArea { start_block, start: start_block * block_size, end })
    }

    pub(crate) fn data_block_size(&self) -> BlockSize {
        self.data_block_size
    }

    pub(crate) fn hash_block_size(&self) -> BlockSize {
        self.hash_block_size
    }

    /// Level 0 first.
    pub(crate) fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// Where a level has this digest: the number of the block, and the byte in it.
    pub(crate) fn slot(&self, digest: u64) -> (u64, usize) {
        let block = digest >> self.digests_log2;
        (block, self.digest_bytes(digest - (block << self.digests_log2)))
    }

    /// How many bytes of a hash block are digests; the rest is zero.
    pub(crate) fn used_bytes(&self, level: &Level, block: u64) -> usize {
        let from_here = level.digests.saturating_sub(block << self.digests_log2);
        self.digest_bytes(from_here.min(1 << self.digests_log2))
    }

    /// The size of some of a block's digests.
    fn digest_bytes(&self, digests: u64) -> usize {
        usize::try_from(digests).unwrap_or(usize::MAX).saturating_mul(self.digest_size)
    }

    /// Where a hash block starts on the hash device, in bytes.
    pub(crate) fn offset(&self, area: HashArea, level: &Level, index: u64) -> u64 {
        area.start + (level.first + index) * self.hash_block_size.bytes()
    }
}

impl HashArea {
    /// The first hash block of the tree, counted from the start of the hash
    /// device: the table's `<hash_start_block>`.
    pub fn start_block(&self) -> u64 {
        self.start_block
    }

    /// The first byte of the tree on the hash device.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// The byte after the tree, which is the least size of the hash device.
    pub fn end(&self) -> u64 {
        self.end
    }
}

fn aligned(offset: u64, multiple: u64) -> Result<(), GeometryError> {
    if offset.is_multiple_of(multiple) {
        Ok(())
    } else {
        Err(GeometryError::HashOffset { offset, multiple })
    }
}

/// Sizes or places that no verity device has.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GeometryError {
    /// There is no data block.
    #[error("there is no data to protect; dm-verity needs at least one block")]
    Empty,
    /// The data does not end with a whole block.
    #[error(
        "the data's {bytes} bytes are not a multiple of the {block_size}-byte data block: the last \
         {tail} would not be protected; pad the image, or use a smaller data block size"
    )]
    PartialBlock {
        /// The size of the data.
        bytes: u64,
        /// The size of its blocks.
        block_size: BlockSize,
        /// The bytes after the last whole block.
        tail: u64,
    },
    /// The data is larger than any device.
    #[error("{data_blocks} data blocks of {data_block_size} bytes are more than a device can hold")]
    DataTooLarge {
        /// The number of blocks.
        data_blocks: u64,
        /// Their size.
        data_block_size: BlockSize,
    },
    /// The superblock or the tree cannot start there.
    #[error("the hash offset {offset} is not a multiple of {multiple} bytes")]
    HashOffset {
        /// The offset, in bytes.
        offset: u64,
        /// What it has to be a multiple of, in bytes.
        multiple: u64,
    },
    /// The tree would end beyond the largest offset of a device.
    #[error("the hash tree would end beyond the largest offset of a device; lower the hash offset")]
    HashTooFar,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::{Algorithm, Salt};

    fn params(algorithm: Algorithm, data_block_size: u32, hash_block_size: u32) -> Params {
        Params {
            algorithm,
            data_block_size: data_block_size.try_into().unwrap(),
            hash_block_size: hash_block_size.try_into().unwrap(),
            salt: Salt::default(),
        }
    }

    #[test]
    fn levels_of_known_trees() {
        let usual = params(Algorithm::Sha256, 4096, 4096);
        for (data_blocks, blocks) in [
            (1, vec![]),
            (2, vec![1]),
            (128, vec![1]),
            (129, vec![2, 1]),
            (128 * 128, vec![128, 1]),
            (128 * 128 + 1, vec![129, 2, 1]),
        ] {
            let geometry = Geometry::new(&usual, data_blocks).unwrap();
            let found: Vec<u64> = geometry.levels.iter().map(|level| level.blocks).collect();
            assert_eq!(found, blocks, "{data_blocks}");
            assert_eq!(geometry.tree_blocks(), blocks.iter().sum::<u64>());
        }
        let geometry = Geometry::new(&usual, 128 * 128 + 1).unwrap();
        let first: Vec<u64> = geometry.levels.iter().map(|level| level.first).collect();
        assert_eq!(first, [3, 1, 0], "the top level comes first");
    }

    #[test]
    fn the_tree_starts_in_the_block_after_the_superblock() {
        for (hash_block_size, offset, start_block) in [
            (4096, 0, 1),
            (4096, 512, 1),
            (4096, 3584, 1),
            (4096, 4096, 2),
            (512, 0, 1),
            (512, 1024, 3),
            (1024, 512, 1),
        ] {
            let params = params(Algorithm::Sha256, 4096, hash_block_size);
            let area = Geometry::new(&params, 2).unwrap().after_superblock(offset).unwrap();
            assert_eq!(area.start_block(), start_block, "{hash_block_size} {offset}");
            assert_eq!(area.end(), (start_block + 1) * u64::from(hash_block_size));
        }
    }

    #[test]
    fn impossible_sizes_and_places_are_refused() {
        let params = params(Algorithm::Sha512, 512, 1024);
        assert!(matches!(Geometry::new(&params, 0), Err(GeometryError::Empty)));
        let most = MAX_BYTES / 512;
        for data_blocks in [most + 1, u64::MAX] {
            let error = Geometry::new(&params, data_blocks).unwrap_err();
            assert!(matches!(error, GeometryError::DataTooLarge { .. }));
        }
        let largest = Geometry::new(&params, most).unwrap();
        assert_eq!(largest.data_bytes(), MAX_BYTES - 511);
        assert!(largest.at_block(0).is_ok());

        let small = Geometry::new(&params, 2).unwrap();
        for offset in [1, 511, 513] {
            let error = small.after_superblock(offset).unwrap_err();
            assert!(matches!(error, GeometryError::HashOffset { multiple: 512, .. }));
        }
        let error = small.without_superblock(512).unwrap_err();
        assert!(matches!(error, GeometryError::HashOffset { offset: 512, multiple: 1024 }));
        for offset in [u64::MAX - 511, MAX_BYTES - 511, MAX_BYTES - 1023] {
            assert!(matches!(small.after_superblock(offset), Err(GeometryError::HashTooFar)));
        }
        for block in [u64::MAX, u64::MAX / 1024, MAX_BYTES / 1024] {
            assert!(matches!(small.at_block(block), Err(GeometryError::HashTooFar)), "{block}");
        }
        assert_eq!(small.at_block(MAX_BYTES / 1024 - 1).unwrap().end(), MAX_BYTES - 1023);
    }
}
