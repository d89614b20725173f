//! The header of a qcow2 image, and the extensions behind it.
//!
//! Integers are big-endian.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic `QFI\xfb` |
//! | 4 | 4 | version, 2 or 3 |
//! | 8 | 8 | offset of the backing file's name, zero if there is none |
//! | 16 | 4 | length of that name |
//! | 20 | 4 | log2 of the bytes of a cluster |
//! | 24 | 8 | bytes of the disk |
//! | 32 | 4 | encryption method, zero for none |
//! | 36 | 4 | entries of the L1 table |
//! | 40 | 8 | offset of the L1 table |
//! | 48 | 8 | offset of the refcount table |
//! | 56 | 4 | clusters of the refcount table |
//! | 60 | 4 | number of snapshots |
//! | 64 | 8 | offset of the snapshot table |
//!
//! and of version 3:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 72 | 8 | incompatible features |
//! | 80 | 8 | compatible features |
//! | 88 | 8 | features that a writer clears |
//! | 96 | 4 | log2 of the bits of a reference count |
//! | 100 | 4 | bytes of the header |
//! | 104 | 1 | compression type, where the header is as long |

use std::ops::Range;

use super::Qcow2Error;

pub(super) const MAGIC: &[u8] = b"QFI\xfb";
/// How much of the file is looked at: the header, its extensions with the features' names.
pub(super) const HEAD: usize = 4096;
/// Clusters of 512 bytes to 2 MiB, which is QEMU's limit.
const CLUSTER_BITS: Range<u32> = 9..22;
/// Entries of the L1 table: 32 MiB, which is QEMU's limit.
const MAX_L1_ENTRIES: u64 = (32 << 20) / ENTRY;
/// Bytes of an entry of L1 and L2.
pub(super) const ENTRY: u64 = 8;
/// The extension with the names of features: 48 bytes each, of which are the kind of
/// feature, the bit, and 46 of the name.
const FEATURE_NAMES: u32 = 0x6803_f857;

/// Reference counts may be wrong: nothing here reads them.
const DIRTY: u64 = 1 << 0;
const CORRUPT: u64 = 1 << 1;
const EXTERNAL_DATA: u64 = 1 << 2;
const COMPRESSION_TYPE: u64 = 1 << 3;
const EXTENDED_L2: u64 = 1 << 4;

/// How clusters are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    /// Deflate without a header.
    Zlib,
    Zstd,
}

/// What the header says, checked.
#[derive(Debug)]
pub(super) struct Header {
    /// Bytes of the disk.
    pub(super) size: u64,
    pub(super) cluster_bits: u32,
    pub(super) compression: Compression,
    /// Whether an L2 entry can say that a cluster is zeros.
    pub(super) has_zero_flag: bool,
    /// Bytes of the file with the L1 entries that the disk takes.
    pub(super) l1: Range<u64>,
    /// Bytes of the file with the refcount table.
    pub(super) refcounts: Range<u64>,
}

impl Header {
    /// Reads the header at the start of `head` of a file of `file` bytes.
    pub(super) fn parse(head: &[u8], file: u64) -> Result<Self, Qcow2Error> {
        let fields = Fields(head);
        let version = fields.u32(4)?;
        let cluster_bits = fields.u32(20)?;
        let size = fields.u64(24)?;
        if !(2..=3).contains(&version) {
            return Err(Qcow2Error::Version(version));
        }
        if !CLUSTER_BITS.contains(&cluster_bits) {
            let (field, value) = ("the cluster size (its logarithm)", cluster_bits.into());
            return Err(Qcow2Error::Header { field, value });
        }
        if fields.u64(8)? != 0 {
            return Err(Qcow2Error::BackingFile);
        }
        let method = fields.u32(32)?;
        if method != 0 {
            return Err(Qcow2Error::Encrypted { method });
        }
        let count = fields.u32(60)?;
        if count != 0 {
            return Err(Qcow2Error::Snapshots { count });
        }
        let compression = if version == 3 { fields.version_3()? } else { Compression::Zlib };

        let cluster = 1_u64 << cluster_bits;
        let table = |table, offset: u64, bytes: u64| {
            let end = offset.checked_add(bytes).filter(|end| *end <= file);
            match end {
                Some(end) if offset.is_multiple_of(cluster) && offset >= cluster => Ok(offset..end),
                _ => Err(Qcow2Error::Table { table, offset, file }),
            }
        };
        // Each entry is for the disk that an L2 table, one cluster of entries, describes.
        let needed = size.div_ceil((cluster / ENTRY).saturating_mul(cluster));
        let entries = u64::from(fields.u32(36)?);
        if needed > MAX_L1_ENTRIES {
            return Err(Qcow2Error::TooLarge { size });
        }
        if entries < needed {
            return Err(Qcow2Error::L1Size { entries, needed, size });
        }
        let l1 = match needed {
            0 => 0..0,
            _ => table("L1 table", fields.u64(40)?, needed.saturating_mul(ENTRY))?,
        };
        let refcounts = u64::from(fields.u32(56)?).saturating_mul(cluster);
        let refcounts = table("refcount table", fields.u64(48)?, refcounts)?;
        if overlap(&l1, &refcounts) {
            let (first, second) = ("L1 table", "refcount table");
            return Err(Qcow2Error::Overlap { first, second, offset: refcounts.start });
        }
        let has_zero_flag = version == 3;
        Ok(Self { size, cluster_bits, compression, has_zero_flag, l1, refcounts })
    }
}

/// Whether two ranges share a byte.
pub(super) fn overlap(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}

/// The bytes of the header; every field may be behind their end.
#[derive(Clone, Copy)]
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn bytes<const N: usize>(self, offset: usize) -> Result<[u8; N], Qcow2Error> {
        let bytes = self.0.get(offset..).and_then(|rest| rest.first_chunk());
        bytes.copied().ok_or(Qcow2Error::Short)
    }

    fn u32(self, offset: usize) -> Result<u32, Qcow2Error> {
        self.bytes(offset).map(u32::from_be_bytes)
    }

    fn u64(self, offset: usize) -> Result<u64, Qcow2Error> {
        self.bytes(offset).map(u64::from_be_bytes)
    }

    /// Checks the fields of version 3; how clusters are compressed.
    fn version_3(self) -> Result<Compression, Qcow2Error> {
        let length = self.u32(100)?;
        let features = self.u64(72)?;
        let header = |field, value| Err(Qcow2Error::Header { field, value });
        if length < 104 || !length.is_multiple_of(8) {
            return header("its length", length.into());
        }
        let order = self.u32(96)?;
        if order > 6 {
            return header("the size of reference counts (its logarithm)", order.into());
        }
        if features & CORRUPT != 0 {
            return Err(Qcow2Error::MarkedCorrupt);
        }
        if features & EXTERNAL_DATA != 0 {
            return Err(Qcow2Error::ExternalDataFile);
        }
        if features & EXTENDED_L2 != 0 {
            return Err(Qcow2Error::ExtendedL2);
        }
        let unknown = features & !(DIRTY | COMPRESSION_TYPE);
        if unknown != 0 {
            let bit = unknown.trailing_zeros();
            return Err(Qcow2Error::Feature { bit, name: self.feature_name(length, bit) });
        }
        if features & COMPRESSION_TYPE == 0 {
            return Ok(Compression::Zlib);
        }
        let [kind] = if length > 104 { self.bytes(104)? } else { [0] };
        match kind {
            0 => Ok(Compression::Zlib),
            1 => Ok(Compression::Zstd),
            other => Err(Qcow2Error::Compression(other)),
        }
    }

    /// What the image calls an incompatible feature, if it does.
    fn feature_name(self, header: u32, bit: u32) -> Option<String> {
        let mut offset = usize::try_from(header).ok()?;
        loop {
            let kind = self.u32(offset).ok()?;
            let length = usize::try_from(self.u32(offset.checked_add(4)?).ok()?).ok()?;
            let start = offset.checked_add(8)?;
            let data = self.0.get(start..start.checked_add(length)?)?;
            if kind == FEATURE_NAMES {
                let mut names = data.chunks_exact(48).filter_map(|name| name.split_first_chunk());
                let wanted = [0, u8::try_from(bit).ok()?];
                let (_, name) = names.find(|(key, _): &(&[u8; 2], &[u8])| **key == wanted)?;
                let name = name.split(|byte| *byte == 0).next()?;
                return Some(name.escape_ascii().to_string());
            }
            if kind == 0 {
                return None;
            }
            offset = start.checked_add(length.checked_next_multiple_of(8)?)?;
        }
    }
}
