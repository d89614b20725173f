//! Inodes.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 2 | type and permissions, as in stat(2) |
//! | 2 | 2 | owner, low bits |
//! | 4 | 4 | size, low bits |
//! | 0x10 | 4 | modification time, seconds, signed |
//! | 0x18 | 2 | group, low bits |
//! | 0x1a | 2 | number of names |
//! | 0x20 | 4 | flags |
//! | 0x28 | 60 | the target of a short link, a device's number, or the map of the content |
//! | 0x64 | 4 | generation |
//! | 0x68 | 4 | block of attributes, low bits |
//! | 0x6c | 4 | size, high bits |
//! | 0x76 | 2 | block of attributes, high bits |
//! | 0x78 | 2 | owner, high bits |
//! | 0x7a | 2 | group, high bits |
//! | 0x7c | 2 | checksum, low bits |
//! | 0x80 | 2 | bytes behind byte 128 that are in use |
//! | 0x82 | 2 | checksum, high bits |
//! | 0x88 | 4 | modification time: two more bits of the seconds, and nanoseconds |

use super::Ext4Error;
use super::checksum::Checksum;
use super::fields::Fields;

/// The bytes that every inode has.
pub(super) const FIXED: usize = 128;

const ENCRYPTED: u32 = 0x800;
const INDEXED: u32 = 0x1000;
const EXTENTS: u32 = 0x8_0000;
const IS_ATTRIBUTE: u32 = 0x20_0000;
const INLINE_DATA: u32 = 0x1000_0000;

const DIRECTORY: u16 = 0o040_000;
const REGULAR: u16 = 0o100_000;
const SYMLINK: u16 = 0o120_000;

/// A file of an ext4, without its content.
#[derive(Clone, Debug)]
pub struct Inode {
    /// Its number.
    pub number: u32,
    /// Type and permissions, as in stat(2).
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes of its content.
    pub size: u64,
    /// How many names it has.
    pub links: u16,
    /// Modification time, in seconds since 1970.
    pub seconds: i64,
    /// And nanoseconds of it.
    pub nanoseconds: u32,
    flags: u32,
    generation: u32,
    /// Where more attributes are; zero for nowhere.
    pub(super) attribute_block: u64,
    /// What is behind its fixed and extra fields: attributes.
    pub(super) more: Vec<u8>,
    /// The map of its content, or what stands there instead.
    pub(super) map: [u8; 60],
}

impl Inode {
    /// Reads an inode.
    pub(super) fn parse(number: u32, bytes: &[u8], seed: Option<u32>) -> Result<Self, Ext4Error> {
        let fields = Fields(bytes);
        let damaged = |problem| Ext4Error::Damaged { inode: number, problem };
        let short = || damaged("it is too short");
        let u16_at = |offset| fields.u16(offset).ok_or_else(short);
        let u32_at = |offset| fields.u32(offset).ok_or_else(short);
        let wide = |high: u16, low: u16| u32::from(high) << 16 | u32::from(low);
        let generation = u32_at(0x64)?;
        let extra = if bytes.len() > FIXED { usize::from(u16_at(0x80)?) } else { 0 };
        let end = FIXED.saturating_add(extra);
        if end > bytes.len() || !extra.is_multiple_of(4) {
            return Err(damaged("its extra fields are longer than itself"));
        }
        if let Some(seed) = seed {
            let has_high = extra >= 4;
            let mut content = bytes.to_vec();
            for (offset, is_there) in [(0x7c, true), (0x82, has_high)] {
                let field = content.get_mut(offset..).and_then(|rest| rest.first_chunk_mut());
                if let Some(field) = field.filter(|_| is_there) {
                    *field = [0; 2];
                }
            }
            let computed = seed_of(seed, number, generation).with(&content).value();
            let stored = wide(if has_high { u16_at(0x82)? } else { 0 }, u16_at(0x7c)?);
            let compared = if has_high { u32::MAX } else { 0xffff };
            if computed & compared != stored {
                return Err(Ext4Error::Checksum { what: "inode", number: number.into() });
            }
        }
        let mut seconds = i64::from(u32_at(0x10)?.cast_signed());
        let mut nanoseconds = 0;
        if extra >= 0x8c_usize.saturating_sub(FIXED) {
            let more = u32_at(0x88)?;
            seconds = seconds.saturating_add(i64::from(more & 3) << 32);
            nanoseconds = more >> 2;
        }
        if nanoseconds >= 1_000_000_000 {
            return Err(damaged("its modification time is none"));
        }
        let map = bytes.get(0x28..).and_then(|rest| rest.first_chunk()).ok_or_else(short)?;
        let inode = Self {
            number,
            mode: u16_at(0)?,
            uid: wide(u16_at(0x78)?, u16_at(2)?),
            gid: wide(u16_at(0x7a)?, u16_at(0x18)?),
            size: u64::from(u32_at(0x6c)?) << 32 | u64::from(u32_at(4)?),
            links: u16_at(0x1a)?,
            seconds,
            nanoseconds,
            flags: u32_at(0x20)?,
            generation,
            attribute_block: u64::from(u16_at(0x76)?) << 32 | u64::from(u32_at(0x68)?),
            more: bytes.get(end..).unwrap_or_default().to_vec(),
            map: *map,
        };
        if inode.flags & ENCRYPTED != 0 {
            return Err(Ext4Error::Encrypted { inode: number });
        }
        if inode.flags & (INLINE_DATA | IS_ATTRIBUTE) != 0 {
            return Err(damaged("it is of a kind that the superblock does not announce"));
        }
        if inode.links == 0 {
            return Err(damaged("it is deleted, and has a name"));
        }
        Ok(inode)
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.kind() == DIRECTORY
    }

    /// Whether it is a regular file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.kind() == REGULAR
    }

    /// Whether it is a symbolic link.
    #[must_use]
    pub fn is_symlink(&self) -> bool {
        self.kind() == SYMLINK
    }

    /// Of its mode, what kind of file it is.
    pub(super) fn kind(&self) -> u16 {
        self.mode & 0o170_000
    }

    /// Whether its content is described by extents; otherwise by a block map.
    pub(super) fn has_extents(&self) -> bool {
        self.flags & EXTENTS != 0
    }

    /// Whether it is a directory with an index.
    pub(super) fn is_indexed(&self) -> bool {
        self.flags & INDEXED != 0
    }

    /// A device's number, major and minor: in the old form, or the new one after it.
    pub(super) fn device(&self) -> (u32, u32) {
        let fields = Fields(&self.map);
        match (fields.u32(0).unwrap_or(0), fields.u32(4).unwrap_or(0)) {
            (0, new) => (new >> 8 & 0xfff, new & 0xff | new >> 12 & 0xf_ff00),
            (old, _) => (old >> 8 & 0xff, old & 0xff),
        }
    }

    /// The checksum that those of its blocks go on from.
    pub(super) fn checksum(&self, seed: u32) -> Checksum {
        seed_of(seed, self.number, self.generation)
    }

    pub(super) fn damaged(&self, problem: &'static str) -> Ext4Error {
        Ext4Error::Damaged { inode: self.number, problem }
    }
}

fn seed_of(seed: u32, number: u32, generation: u32) -> Checksum {
    Checksum::new(seed).with(&number.to_le_bytes()).with(&generation.to_le_bytes())
}
