//! The superblock, and where a group's inodes are.
//!
//! Integers are little-endian. Of the 1024 bytes at byte 1024 are read:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | number of inodes |
//! | 4 | 4 | number of blocks, low bits |
//! | 0x14 | 4 | first block of group 0 |
//! | 0x18 | 4 | log2 of the block size, less 10 |
//! | 0x20 | 4 | blocks of a group |
//! | 0x28 | 4 | inodes of a group |
//! | 0x38 | 2 | magic, ef53 |
//! | 0x3a | 2 | state: bit 0 says that it was unmounted, bit 1 that there are errors |
//! | 0x4c | 4 | revision; 0 has inodes of 128 bytes, of which the first is 11 |
//! | 0x54 | 4 | first inode that is not reserved |
//! | 0x58 | 2 | bytes of an inode |
//! | 0x60 | 4 | features without which nothing can be read |
//! | 0x64 | 4 | features without which nothing can be written |
//! | 0x68 | 16 | UUID |
//! | 0xfe | 2 | bytes of a group's descriptor, with the feature `64bit` |
//! | 0x150 | 4 | number of blocks, high bits, with that feature |
//! | 0x175 | 1 | kind of checksum, 1 |
//! | 0x270 | 4 | seed of checksums, with the feature `metadata_csum_seed` |
//! | 0x3fc | 4 | checksum of the superblock |

use super::Ext4Error;
use super::checksum::Checksum;
use super::fields::Fields;

/// Where the superblock is.
pub(super) const OFFSET: u64 = 1024;
pub(super) const BYTES: usize = 1024;

const RECOVER: u32 = 0x4;
const ADDRESSES_64BIT: u32 = 0x80;
const CHECKSUM_SEED: u32 = 0x2000;
/// Features that change nothing for a reader, or that it knows: filetype, extent, 64bit, mmp,
/// flex_bg, metadata_csum_seed, large_dir, encrypt (each encrypted file is refused), casefold.
const READABLE: u32 =
    0x2 | 0x40 | ADDRESSES_64BIT | 0x100 | 0x200 | CHECKSUM_SEED | 0x4000 | 0x1_0000 | 0x2_0000;
/// The names that e2fsprogs has for others.
const NAMES: &[(u32, &str)] = &[
    (0x1, "compression"),
    (0x8, "journal_dev"),
    (0x10, "meta_bg"),
    (0x400, "ea_inode"),
    (0x1000, "dirdata"),
    (0x8000, "inline_data"),
];
const METADATA_CHECKSUMS: u32 = 0x400;
const UNMOUNTED: u16 = 0x1;
const HAS_ERRORS: u16 = 0x2;

/// What the superblock says, checked.
#[derive(Debug)]
pub(super) struct Superblock {
    pub(super) block_size: u64,
    pub(super) blocks: u64,
    pub(super) first_block: u64,
    pub(super) inodes: u32,
    pub(super) inodes_of_group: u32,
    pub(super) first_inode: u32,
    pub(super) inode_size: usize,
    pub(super) descriptor_size: usize,
    /// The seed of all checksums; `None` if there are none.
    pub(super) seed: Option<u32>,
}

impl Superblock {
    /// Reads the superblock of a volume of `volume` bytes.
    pub(super) fn parse(bytes: &[u8; BYTES], volume: u64) -> Result<Self, Ext4Error> {
        let fields = Fields(bytes);
        let damaged = |problem| Ext4Error::Superblock { problem };
        if fields.u16(0x38) != Some(0xef53) {
            return Err(Ext4Error::Magic);
        }
        let u32_at = |offset| fields.u32(offset).ok_or(Ext4Error::Magic);
        let u16_at = |offset| fields.u16(offset).ok_or(Ext4Error::Magic);
        let incompatible = u32_at(0x60)?;
        if incompatible & RECOVER != 0 {
            return Err(Ext4Error::Unclean);
        }
        let unknown = incompatible & !READABLE;
        if unknown != 0 {
            let bit = 1 << unknown.trailing_zeros();
            let name = NAMES.iter().find(|(known, _)| *known == bit);
            let name = name.map_or_else(|| format!("{bit:#x}"), |(_, name)| (*name).to_owned());
            return Err(Ext4Error::Feature { name });
        }
        let state = u16_at(0x3a)?;
        if state & HAS_ERRORS != 0 {
            return Err(Ext4Error::Errors);
        }
        // Without a journal, only this tells.
        if state & UNMOUNTED == 0 {
            return Err(Ext4Error::Unclean);
        }
        let seed = if u32_at(0x64)? & METADATA_CHECKSUMS == 0 {
            None
        } else {
            let (content, stored) = bytes.split_at(0x3fc);
            let checksum = Checksum::new(!0).with(content).value();
            if fields.u8(0x175) != Some(1) || stored != checksum.to_le_bytes() {
                return Err(Ext4Error::Checksum { what: "the superblock", number: 0 });
            }
            Some(match incompatible & CHECKSUM_SEED {
                0 => Checksum::new(!0).with(bytes.get(0x68..0x78).unwrap_or_default()).value(),
                _ => u32_at(0x270)?,
            })
        };

        let shift = u32_at(0x18)?;
        if shift > 6 {
            return Err(damaged("its block size is impossible"));
        }
        let block_size = 1024_u64 << shift;
        let wide = incompatible & ADDRESSES_64BIT != 0;
        let mut blocks = u64::from(u32_at(4)?);
        if wide {
            blocks |= u64::from(u32_at(0x150)?) << 32;
        }
        let described = blocks.checked_mul(block_size).ok_or(damaged("its size is impossible"))?;
        if described > volume {
            return Err(Ext4Error::CutOff { described, actual: volume });
        }
        let revision_0 = u32_at(0x4c)? == 0;
        let inode_size = if revision_0 { 128 } else { usize::from(u16_at(0x58)?) };
        if !inode_size.is_power_of_two() || inode_size < 128 || inode_size as u64 > block_size {
            return Err(damaged("the size of its inodes is impossible"));
        }
        let descriptor_size = if wide { usize::from(u16_at(0xfe)?) } else { 32 };
        if !descriptor_size.is_power_of_two() || !(32..=1024).contains(&descriptor_size) {
            return Err(damaged("the size of its group descriptors is impossible"));
        }
        let (first_block, group_blocks) = (u64::from(u32_at(0x14)?), u64::from(u32_at(0x20)?));
        let (inodes, inodes_of_group) = (u32_at(0)?, u32_at(0x28)?);
        if first_block > 1 || first_block >= blocks || group_blocks == 0 || inodes_of_group == 0 {
            return Err(damaged("its groups are impossible"));
        }
        let groups = blocks.saturating_sub(first_block).div_ceil(group_blocks);
        if u64::from(inodes) > groups.saturating_mul(inodes_of_group.into()) {
            return Err(damaged("it has more inodes than its groups"));
        }
        let first_inode = if revision_0 { 11 } else { u32_at(0x54)? };
        Ok(Self {
            block_size,
            blocks,
            first_block,
            inodes,
            inodes_of_group,
            first_inode,
            inode_size,
            descriptor_size,
            seed,
        })
    }

    /// The byte of the volume where a group's descriptor is. It is in the volume if the
    /// group is: all of them follow the superblock.
    pub(super) fn descriptor_offset(&self, group: u32) -> u64 {
        let start = self.first_block.saturating_add(1).saturating_mul(self.block_size);
        start.saturating_add(u64::from(group).saturating_mul(self.descriptor_size as u64))
    }

    /// The first block of a group's inodes, from its descriptor: at 0x8 are its low bits,
    /// at 0x28 the high ones in a descriptor of 64 bytes or more, at 0x1e the checksum.
    pub(super) fn inode_table(&self, group: u32, descriptor: &[u8]) -> Result<u64, Ext4Error> {
        let fields = Fields(descriptor);
        if let Some(seed) = self.seed {
            let checksum = Checksum::new(seed)
                .with(&group.to_le_bytes())
                .with(descriptor.get(..0x1e).unwrap_or_default())
                .with(&[0; 2])
                .with(descriptor.get(0x20..).unwrap_or_default());
            if fields.u16(0x1e) != Some(checksum.low()) {
                return Err(Ext4Error::Checksum { what: "group", number: group.into() });
            }
        }
        let low = u64::from(fields.u32(8).unwrap_or(0));
        let high = u64::from(fields.u32(0x28).unwrap_or(0));
        Ok(high << 32 | low)
    }
}
