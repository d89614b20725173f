//! Why a partition table is refused.

use thiserror::Error;
use uuid::Uuid;

use super::MIN_SECTORS;

/// Why a table is refused.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum GptError {
    /// The slice does not hold the table.
    #[error("a partition table takes {expected} bytes, got {got}")]
    Short {
        /// Bytes needed.
        expected: usize,
        /// Bytes given.
        got: usize,
    },
    /// LBA 0 does not end in 55 AA.
    #[error("no protective MBR: bytes 510..512 of the disk are not 55 aa")]
    MbrSignature,
    /// The MBR holds something else than the one protective partition.
    #[error("the MBR is not a plain protective one (a single entry of type ee at LBA 1)")]
    MbrNotProtective,
    /// The header does not start with `EFI PART`.
    #[error("no GPT header: byte {offset} of the table does not start `EFI PART`")]
    Signature {
        /// Offset of the header in the slice.
        offset: usize,
    },
    /// Another revision than 1.0.
    #[error("GPT revision {0:#010x} is not known (expected 0x00010000)")]
    Revision(u32),
    /// Another header size than 92.
    #[error("GPT header size {0} is not supported (expected 92)")]
    HeaderSize(u32),
    /// The header's checksum is wrong.
    #[error("the GPT header is damaged: CRC-32 is {computed:08x}, the header says {stored:08x}")]
    HeaderCrc {
        /// What the header says.
        stored: u32,
        /// What its bytes give.
        computed: u32,
    },
    /// A reserved part of the header is not zero.
    #[error("reserved bytes of the GPT header are not zero")]
    Reserved,
    /// The header says that it is somewhere else.
    #[error("the GPT header says that it is at LBA {stored}, it is at {actual}")]
    OwnLba {
        /// What the header says.
        stored: u64,
        /// Where it is.
        actual: u64,
    },
    /// The other header is outside of the disk: the disk was cut.
    #[error(
        "the partition table is for a disk of {described} sectors, but this one has {actual}: \
         the disk is truncated"
    )]
    Truncated {
        /// Sectors that the table describes.
        described: u64,
        /// Sectors of the disk.
        actual: u64,
    },
    /// Too few sectors for a table.
    #[error("{0} sectors are too few for a GPT (at least {MIN_SECTORS})")]
    TooSmall(u64),
    /// The usable area is empty or reaches into the tables.
    #[error("the usable area, LBA {first} to {last}, is empty or overlaps the tables")]
    UsableArea {
        /// First usable LBA.
        first: u64,
        /// Last usable LBA.
        last: u64,
    },
    /// The array of entries is not next to its header.
    #[error("the array of partition entries is at LBA {stored}, expected {expected}")]
    ArrayLba {
        /// What the header says.
        stored: u64,
        /// Where it has to be.
        expected: u64,
    },
    /// Number or size of the entries.
    #[error("{count} partition entries of {size} bytes (expected 1 to 128 entries of 128 bytes)")]
    ArrayShape {
        /// Number of entries.
        count: u32,
        /// Bytes of an entry.
        size: u32,
    },
    /// The array's checksum is wrong.
    #[error("the partition entries are damaged: CRC-32 is {computed:08x}, expected {stored:08x}")]
    ArrayCrc {
        /// What the header says.
        stored: u32,
        /// What the bytes give.
        computed: u32,
    },
    /// A partition that ends before it starts or lies outside of the usable area.
    #[error("partition {number}, LBA {first} to {last}, is empty or outside of the usable area")]
    Range {
        /// The partition's number.
        number: u32,
        /// Its first LBA.
        first: u64,
        /// Its last LBA.
        last: u64,
    },
    /// A name that is too long, not UTF-16, or has control characters.
    #[error(
        "the name of partition {number} is not at most 36 UTF-16 units without control characters"
    )]
    Name {
        /// The partition's number.
        number: u32,
    },
    /// A number outside of 1..=128, one given twice, or a partition without a type (writing only).
    #[error("partition number {number} is given twice, is not in 1..=128, or has no type")]
    Number {
        /// The number.
        number: u32,
    },
    /// Two partitions share sectors.
    #[error("partitions {first} and {second} overlap")]
    Overlap {
        /// The one that starts first.
        first: u32,
        /// The other.
        second: u32,
    },
    /// Two partitions have the same GUID.
    #[error("partitions {first} and {second} have the same GUID {guid}")]
    DuplicateGuid {
        /// One partition.
        first: u32,
        /// The other.
        second: u32,
        /// Their GUID.
        guid: Uuid,
    },
}
