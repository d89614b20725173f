//! The GUID partition table, on byte slices: a strict reader for PID 1 and a
//! writer for the image builder, so that the two cannot drift.
//!
//! Threat: the host owns every byte of the disk. A table decides only *where* to
//! look (what is found there is authenticated by dm-verity), so the reader has to
//! be total: bounded, never panicking, and refusing everything for which two
//! readers could come to different conclusions (hybrid MBR, overlapping or
//! duplicate partitions, a table that is larger than the disk).
//!
//! Specification: UEFI 2.10, section 5.2.3 (protective MBR) and 5.3 (GPT).
//! Sectors are 512 bytes; integers are little-endian; GUIDs are stored with their
//! first three fields little-endian. All LBAs are in sectors.

mod error;
mod read;
#[cfg(test)]
mod tests;
mod write;

use uuid::Uuid;

pub use error::GptError;

/// Bytes of a sector.
pub const SECTOR: usize = 512;
/// Bytes at the start of a disk that hold the protective MBR and the primary table.
pub const PRIMARY_BYTES: usize = 34 * SECTOR;
/// Bytes at the end of a disk that hold the backup table.
pub const BACKUP_BYTES: usize = 33 * SECTOR;
/// Largest number of partitions that this module reads or writes.
pub const MAX_PARTITIONS: u32 = 128;
/// Longest partition name, in UTF-16 code units.
pub const MAX_NAME: usize = 36;
/// Discoverable Partitions Specification: root file system for x86-64.
pub const TYPE_ROOT_X86_64: Uuid = Uuid::from_u128(0x4f68bce3_e8cd_4db1_96e7_fbcaf984b709);
/// Discoverable Partitions Specification: dm-verity data for [`TYPE_ROOT_X86_64`].
pub const TYPE_ROOT_VERITY_X86_64: Uuid = Uuid::from_u128(0x2c7357ed_ebd2_46d9_aec1_23d437ec2bf5);
/// Attribute bit 60, "read-only" (Discoverable Partitions Specification).
pub const ATTRIBUTE_READ_ONLY: u64 = 1 << 60;

const SIGNATURE: [u8; 8] = *b"EFI PART";
const REVISION: u32 = 0x0001_0000;
const HEADER_SIZE: u32 = 92;
const ENTRY_SIZE: u32 = 128;
const ENTRY_BYTES: usize = 128;
/// Sectors that the specification reserves for the array of entries.
const ARRAY_SECTORS: u64 = 32;
const ARRAY_BYTES: usize = 32 * SECTOR;
const FIRST_USABLE: u64 = 2 + ARRAY_SECTORS;
/// Header and array at the end of the disk.
const BACKUP_SECTORS: u64 = 1 + ARRAY_SECTORS;
/// Tables on both ends and one sector between them.
const MIN_SECTORS: u64 = FIRST_USABLE + 1 + BACKUP_SECTORS;

/// One used entry of the table (UEFI 2.10, table 5.6).
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 16 | type GUID; zero marks an unused entry |
/// | 16 | 16 | partition GUID |
/// | 32 | 8 | first LBA |
/// | 40 | 8 | last LBA, inclusive |
/// | 48 | 8 | attributes |
/// | 56 | 72 | name, UTF-16LE, padded with zeros |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Place in the array, from 1: the number that Linux gives to the partition.
    pub number: u32,
    /// What the partition is for.
    pub type_guid: Uuid,
    /// The partition's own GUID (`PARTUUID`).
    pub guid: Uuid,
    /// First sector.
    pub first_lba: u64,
    /// Last sector, inclusive.
    pub last_lba: u64,
    /// Attribute bits.
    pub attributes: u64,
    /// Label: at most [`MAX_NAME`] UTF-16 code units, no control characters.
    pub name: String,
}

impl Partition {
    /// Length in sectors. A [`Table`] that was parsed holds no empty partition.
    #[must_use]
    pub fn sectors(&self) -> u64 {
        self.last_lba.saturating_sub(self.first_lba).saturating_add(1)
    }
}

/// A partition table.
///
/// The header (UEFI 2.10, table 5.5):
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 8 | signature `EFI PART` |
/// | 8 | 4 | revision 1.0 |
/// | 12 | 4 | header size, 92 |
/// | 16 | 4 | CRC-32 of the header with this field zero |
/// | 20 | 4 | reserved, zero |
/// | 24 | 8 | LBA of this header |
/// | 32 | 8 | LBA of the other header |
/// | 40 | 8 | first usable LBA |
/// | 48 | 8 | last usable LBA, inclusive |
/// | 56 | 16 | disk GUID |
/// | 72 | 8 | LBA of the array of entries |
/// | 80 | 4 | number of entries |
/// | 84 | 4 | size of an entry, 128 |
/// | 88 | 4 | CRC-32 of the array |
/// | 92 | 420 | reserved, zero |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The disk's GUID.
    pub disk_guid: Uuid,
    /// Sectors of the disk as the table describes it: the backup header is the last
    /// one. A disk that was enlarged later has more.
    pub sectors: u64,
    /// The used entries, in the order of their numbers.
    pub partitions: Vec<Partition>,
}

impl Table {
    /// The rules that no checksum covers, for the reader and the writer.
    fn check(&self, first_usable: u64, last_usable: u64) -> Result<(), GptError> {
        if self.sectors < MIN_SECTORS {
            return Err(GptError::TooSmall(self.sectors));
        }
        if first_usable < FIRST_USABLE
            || first_usable > last_usable
            || last_usable >= self.sectors.saturating_sub(BACKUP_SECTORS)
        {
            return Err(GptError::UsableArea { first: first_usable, last: last_usable });
        }
        for partition in &self.partitions {
            let Partition { number, first_lba: first, last_lba: last, .. } = *partition;
            if first < first_usable || first > last || last > last_usable {
                return Err(GptError::Range { number, first, last });
            }
        }
        let mut by_start: Vec<&Partition> = self.partitions.iter().collect();
        by_start.sort_by_key(|p| (p.first_lba, p.number));
        for (a, b) in by_start.iter().zip(by_start.iter().skip(1)) {
            if b.first_lba <= a.last_lba {
                return Err(GptError::Overlap { first: a.number, second: b.number });
            }
        }
        let mut by_guid: Vec<&Partition> = self.partitions.iter().collect();
        by_guid.sort_by_key(|p| (p.guid, p.number));
        for (a, b) in by_guid.iter().zip(by_guid.iter().skip(1)) {
            if a.guid == b.guid {
                let (first, second, guid) = (a.number, b.number, a.guid);
                return Err(GptError::DuplicateGuid { first, second, guid });
            }
        }
        Ok(())
    }

    fn last_usable(&self) -> u64 {
        self.sectors.saturating_sub(BACKUP_SECTORS).saturating_sub(1)
    }
}
