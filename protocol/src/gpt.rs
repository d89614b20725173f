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

use thiserror::Error;
use uuid::Uuid;

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

impl Table {
    /// Reads the primary table. `head` starts at LBA 0 and holds at least
    /// [`PRIMARY_BYTES`]; `disk_sectors` is the size of the disk, which may be larger
    /// than the table says, but not smaller.
    ///
    /// # Errors
    /// [`GptError`] on the first deviation.
    pub fn parse(head: &[u8], disk_sectors: u64) -> Result<Table, GptError> {
        let short = GptError::Short { expected: PRIMARY_BYTES, got: head.len() };
        let mut reader = Reader(head);
        let (Some(mbr), Some(header), Some(array)) =
            (reader.take(SECTOR), reader.take(SECTOR), reader.take(ARRAY_BYTES))
        else {
            return Err(short);
        };
        check_mbr(mbr)?;
        let header = Header::parse(header, SECTOR)?;
        if header.own_lba != 1 {
            return Err(GptError::OwnLba { stored: header.own_lba, actual: 1 });
        }
        let sectors = header.other_lba.saturating_add(1);
        if sectors > disk_sectors {
            return Err(GptError::Truncated { described: sectors, actual: disk_sectors });
        }
        header.table(array, sectors, 2)
    }

    /// Reads the backup table. `tail` is the last [`BACKUP_BYTES`] of a disk of
    /// `disk_sectors`.
    ///
    /// # Errors
    /// [`GptError`] on the first deviation, also when the backup is not at the very
    /// end of the disk.
    pub fn parse_backup(tail: &[u8], disk_sectors: u64) -> Result<Table, GptError> {
        let mut reader = Reader(tail);
        let (Some(array), Some(header), true) =
            (reader.take(ARRAY_BYTES), reader.take(SECTOR), tail.len() == BACKUP_BYTES)
        else {
            return Err(GptError::Short { expected: BACKUP_BYTES, got: tail.len() });
        };
        if disk_sectors < MIN_SECTORS {
            return Err(GptError::TooSmall(disk_sectors));
        }
        let header = Header::parse(header, ARRAY_BYTES)?;
        let own_lba = disk_sectors.saturating_sub(1);
        if header.own_lba != own_lba {
            return Err(GptError::OwnLba { stored: header.own_lba, actual: own_lba });
        }
        if header.other_lba != 1 {
            return Err(GptError::OwnLba { stored: header.other_lba, actual: 1 });
        }
        header.table(array, disk_sectors, disk_sectors.saturating_sub(BACKUP_SECTORS))
    }

    /// The first [`PRIMARY_BYTES`] of the disk: protective MBR, header, entries.
    ///
    /// # Errors
    /// [`GptError`] if the reader would refuse the table.
    pub fn primary(&self) -> Result<Vec<u8>, GptError> {
        let array = self.array()?;
        let mut out = self.protective_mbr();
        out.extend(self.header(&array, 1, self.sectors.saturating_sub(1), 2));
        out.extend(array);
        Ok(out)
    }

    /// The last [`BACKUP_BYTES`] of the disk: entries, header.
    ///
    /// # Errors
    /// [`GptError`] if the reader would refuse the table.
    pub fn backup(&self) -> Result<Vec<u8>, GptError> {
        let mut out = self.array()?;
        let array_lba = self.sectors.saturating_sub(BACKUP_SECTORS);
        let header = self.header(&out, self.sectors.saturating_sub(1), 1, array_lba);
        out.extend(header);
        Ok(out)
    }

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

    fn array(&self) -> Result<Vec<u8>, GptError> {
        self.check(FIRST_USABLE, self.last_usable())?;
        for partition in &self.partitions {
            let number = partition.number;
            let same = self.partitions.iter().filter(|p| p.number == number).count();
            if same != 1 || partition.type_guid.is_nil() || !(1..=MAX_PARTITIONS).contains(&number)
            {
                return Err(GptError::Number { number });
            }
        }
        let mut out = Vec::with_capacity(ARRAY_BYTES);
        for number in 1..=MAX_PARTITIONS {
            match self.partitions.iter().find(|p| p.number == number) {
                Some(partition) => write_entry(partition, &mut out)?,
                None => out.extend([0; ENTRY_BYTES]),
            }
        }
        Ok(out)
    }

    fn header(&self, array: &[u8], own_lba: u64, other_lba: u64, array_lba: u64) -> Vec<u8> {
        let fields = |header_crc: u32| {
            let mut out = Vec::with_capacity(SECTOR);
            out.extend(SIGNATURE);
            out.extend(REVISION.to_le_bytes());
            out.extend(HEADER_SIZE.to_le_bytes());
            out.extend(header_crc.to_le_bytes());
            out.extend([0; 4]);
            out.extend(own_lba.to_le_bytes());
            out.extend(other_lba.to_le_bytes());
            out.extend(FIRST_USABLE.to_le_bytes());
            out.extend(self.last_usable().to_le_bytes());
            out.extend(self.disk_guid.to_bytes_le());
            out.extend(array_lba.to_le_bytes());
            out.extend(MAX_PARTITIONS.to_le_bytes());
            out.extend(ENTRY_SIZE.to_le_bytes());
            out.extend(crc32fast::hash(array).to_le_bytes());
            out
        };
        let mut out = fields(crc32fast::hash(&fields(0)));
        out.resize(SECTOR, 0);
        out
    }

    /// UEFI 2.10, table 5.4: one partition of type EE over the whole disk.
    fn protective_mbr(&self) -> Vec<u8> {
        let sectors = u32::try_from(self.sectors.saturating_sub(1)).unwrap_or(u32::MAX);
        let mut out = vec![0; 446];
        // Not bootable; CHS 0/0/2 to the largest CHS address.
        out.extend([0x00, 0x00, 0x02, 0x00, 0xee, 0xff, 0xff, 0xff]);
        out.extend(1_u32.to_le_bytes());
        out.extend(sectors.to_le_bytes());
        out.resize(510, 0);
        out.extend([0x55, 0xaa]);
        out
    }
}

/// The fields of a header whose checksum, signature and constants have been checked.
struct Header {
    own_lba: u64,
    other_lba: u64,
    first_usable: u64,
    last_usable: u64,
    disk_guid: Uuid,
    array_lba: u64,
    entries: u32,
    array_crc: u32,
}

impl Header {
    /// `offset` is where `sector` starts in the caller's slice, for the error.
    fn parse(sector: &[u8], offset: usize) -> Result<Header, GptError> {
        let short = || GptError::Short { expected: SECTOR, got: sector.len() };
        let mut reader = Reader(sector);
        if reader.bytes().ok_or_else(short)? != SIGNATURE {
            return Err(GptError::Signature { offset });
        }
        let revision = reader.u32().ok_or_else(short)?;
        if revision != REVISION {
            return Err(GptError::Revision(revision));
        }
        let size = reader.u32().ok_or_else(short)?;
        if size != HEADER_SIZE {
            return Err(GptError::HeaderSize(size));
        }
        let stored = reader.u32().ok_or_else(short)?;
        // The checksum is taken with its own field zero.
        let mut crc = crc32fast::Hasher::new();
        crc.update(sector.get(..16).ok_or_else(short)?);
        crc.update(&[0; 4]);
        crc.update(sector.get(20..92).ok_or_else(short)?);
        let computed = crc.finalize();
        if stored != computed {
            return Err(GptError::HeaderCrc { stored, computed });
        }
        let reserved = reader.u32().ok_or_else(short)?;
        if reserved != 0 || sector.iter().skip(92).any(|&b| b != 0) {
            return Err(GptError::Reserved);
        }
        let header = Header {
            own_lba: reader.u64().ok_or_else(short)?,
            other_lba: reader.u64().ok_or_else(short)?,
            first_usable: reader.u64().ok_or_else(short)?,
            last_usable: reader.u64().ok_or_else(short)?,
            disk_guid: reader.guid().ok_or_else(short)?,
            array_lba: reader.u64().ok_or_else(short)?,
            entries: reader.u32().ok_or_else(short)?,
            array_crc: {
                let size = reader.u32().ok_or_else(short)?;
                if size != ENTRY_SIZE {
                    return Err(GptError::ArrayShape { count: 0, size });
                }
                reader.u32().ok_or_else(short)?
            },
        };
        if header.entries == 0 || header.entries > MAX_PARTITIONS {
            return Err(GptError::ArrayShape { count: header.entries, size: ENTRY_SIZE });
        }
        Ok(header)
    }

    fn table(&self, array: &[u8], sectors: u64, array_lba: u64) -> Result<Table, GptError> {
        if self.array_lba != array_lba {
            return Err(GptError::ArrayLba { stored: self.array_lba, expected: array_lba });
        }
        let mut reader = Reader(array);
        let mut crc = crc32fast::Hasher::new();
        let mut entries = Vec::new();
        for number in 1..=self.entries {
            let short = GptError::Short { expected: ARRAY_BYTES, got: array.len() };
            let entry = reader.take(ENTRY_BYTES).ok_or(short)?;
            crc.update(entry);
            entries.push((number, entry));
        }
        let (stored, computed) = (self.array_crc, crc.finalize());
        if stored != computed {
            return Err(GptError::ArrayCrc { stored, computed });
        }
        let mut partitions = Vec::new();
        for (number, entry) in entries {
            partitions.extend(read_entry(number, entry)?);
        }
        let table = Table { disk_guid: self.disk_guid, sectors, partitions };
        table.check(self.first_usable, self.last_usable)?;
        Ok(table)
    }
}

/// One protective partition in the first slot and nothing else. Its size is not
/// looked at: the header's fields decide.
fn check_mbr(mbr: &[u8]) -> Result<(), GptError> {
    if mbr.get(510..512) != Some(&[0x55, 0xaa]) {
        return Err(GptError::MbrSignature);
    }
    let kind = mbr.get(450) == Some(&0xee);
    let start = mbr.get(454..458) == Some(&1_u32.to_le_bytes());
    let rest = mbr.get(462..510).is_some_and(|rest| rest.iter().all(|&b| b == 0));
    if kind && start && rest { Ok(()) } else { Err(GptError::MbrNotProtective) }
}

/// `None` is an unused entry, whatever its other fields hold.
fn read_entry(number: u32, entry: &[u8]) -> Result<Option<Partition>, GptError> {
    let short = || GptError::Short { expected: ENTRY_BYTES, got: entry.len() };
    let mut reader = Reader(entry);
    let type_guid = reader.guid().ok_or_else(short)?;
    if type_guid.is_nil() {
        return Ok(None);
    }
    Ok(Some(Partition {
        number,
        type_guid,
        guid: reader.guid().ok_or_else(short)?,
        first_lba: reader.u64().ok_or_else(short)?,
        last_lba: reader.u64().ok_or_else(short)?,
        attributes: reader.u64().ok_or_else(short)?,
        name: read_name(reader).ok_or(GptError::Name { number })?,
    }))
}

fn read_name(mut reader: Reader<'_>) -> Option<String> {
    let mut units = Vec::with_capacity(MAX_NAME);
    for _ in 0..MAX_NAME {
        units.push(u16::from_le_bytes(reader.bytes()?));
    }
    // Zeros pad the end; one in the middle is a control character, refused below.
    while units.last() == Some(&0) {
        units.pop();
    }
    let name = String::from_utf16(&units).ok()?;
    (!name.contains(char::is_control)).then_some(name)
}

fn write_entry(partition: &Partition, out: &mut Vec<u8>) -> Result<(), GptError> {
    let units: Vec<u16> = partition.name.encode_utf16().collect();
    if units.len() > MAX_NAME || partition.name.contains(char::is_control) {
        return Err(GptError::Name { number: partition.number });
    }
    out.extend(partition.type_guid.to_bytes_le());
    out.extend(partition.guid.to_bytes_le());
    out.extend(partition.first_lba.to_le_bytes());
    out.extend(partition.last_lba.to_le_bytes());
    out.extend(partition.attributes.to_le_bytes());
    let padding = std::iter::repeat_n(0, MAX_NAME.saturating_sub(units.len()));
    out.extend(units.iter().copied().chain(padding).flat_map(u16::to_le_bytes));
    Ok(())
}

/// Takes bytes from the front; `None` when they run out.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(front)
    }

    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (front, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*front)
    }

    fn u32(&mut self) -> Option<u32> {
        self.bytes().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.bytes().map(u64::from_le_bytes)
    }

    fn guid(&mut self) -> Option<Uuid> {
        self.bytes().map(Uuid::from_bytes_le)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECTORS: u64 = 8192;

    fn partition(number: u32, first_lba: u64, last_lba: u64) -> Partition {
        Partition {
            number,
            type_guid: TYPE_ROOT_X86_64,
            guid: Uuid::from_u128(u128::from(number) << 64 | 0x1234),
            first_lba,
            last_lba,
            attributes: ATTRIBUTE_READ_ONLY,
            name: format!("part-{number}-ü𝄞"),
        }
    }

    fn table() -> Table {
        Table {
            disk_guid: Uuid::from_u128(0xd15c),
            sectors: SECTORS,
            partitions: vec![partition(1, 2048, 4095), partition(3, 4096, 8158)],
        }
    }

    /// Puts the right checksums on a head that a test has changed.
    fn seal(head: &mut [u8]) {
        let count = u32::from_le_bytes(head[592..596].try_into().unwrap()).min(128) as usize;
        let array = crc32fast::hash(&head[1024..1024 + count * 128]);
        head[600..604].copy_from_slice(&array.to_le_bytes());
        head[528..532].fill(0);
        let header = crc32fast::hash(&head[512..604]);
        head[528..532].copy_from_slice(&header.to_le_bytes());
    }

    fn put(head: &mut [u8], offset: usize, bytes: &[u8]) {
        head[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let table = table();
        let (primary, backup) = (table.primary().unwrap(), table.backup().unwrap());
        assert_eq!(primary.len(), PRIMARY_BYTES);
        assert_eq!(backup.len(), BACKUP_BYTES);
        assert_eq!(Table::parse(&primary, SECTORS), Ok(table.clone()));
        assert_eq!(Table::parse_backup(&backup, SECTORS), Ok(table.clone()));
        // A larger disk is fine, its backup is elsewhere then; a smaller one is not.
        assert_eq!(Table::parse(&primary, SECTORS + 99), Ok(table));
        assert_eq!(
            Table::parse(&primary, SECTORS - 1),
            Err(GptError::Truncated { described: SECTORS, actual: SECTORS - 1 })
        );
        assert_eq!(
            Table::parse_backup(&backup, SECTORS + 1),
            Err(GptError::OwnLba { stored: SECTORS - 1, actual: SECTORS })
        );
    }

    #[test]
    fn every_flipped_bit_is_noticed_or_harmless() {
        let table = table();
        let good = table.primary().unwrap();
        for offset in 0..good.len() {
            // Each bit of the MBR and the header, one of each byte of the entries.
            let bits = if offset < 1024 { 0..8 } else { offset % 8..offset % 8 + 1 };
            for bit in bits {
                let mut head = good.clone();
                head[offset] ^= 1 << bit;
                let result = Table::parse(&head, SECTORS);
                // Boot code, disk signature, the CHS fields and the size in the MBR are not read.
                let unread = offset < 450 || (451..454).contains(&offset);
                if unread || (458..462).contains(&offset) {
                    assert_eq!(result.as_ref(), Ok(&table), "offset {offset}");
                } else {
                    assert!(result.is_err(), "offset {offset} bit {bit}");
                }
            }
        }
    }

    #[test]
    fn every_prefix_is_too_short() {
        let (head, tail) = (table().primary().unwrap(), table().backup().unwrap());
        for length in 0..head.len() {
            let expected = GptError::Short { expected: PRIMARY_BYTES, got: length };
            assert_eq!(Table::parse(&head[..length], SECTORS), Err(expected));
        }
        for length in 0..tail.len() {
            let expected = GptError::Short { expected: BACKUP_BYTES, got: length };
            assert_eq!(Table::parse_backup(&tail[..length], SECTORS), Err(expected));
        }
    }

    /// Changes with correct checksums: the host can compute a CRC.
    #[test]
    fn sealed_mutations_get_their_own_error() {
        type Mutation = (usize, &'static [u8], GptError);
        let max = &[0xff; 8];
        let cases: &[Mutation] = &[
            (510, &[0], GptError::MbrSignature),
            (450, &[0x83], GptError::MbrNotProtective),
            (454, &[2], GptError::MbrNotProtective),
            (466, &[0x83], GptError::MbrNotProtective),
            (512, b"EFI PARX", GptError::Signature { offset: 512 }),
            (520, &[1], GptError::Revision(0x0001_0001)),
            (524, &[93], GptError::HeaderSize(93)),
            (532, &[1], GptError::Reserved),
            (1023, &[1], GptError::Reserved),
            (536, &[2], GptError::OwnLba { stored: 2, actual: 1 }),
            (544, max, GptError::Truncated { described: u64::MAX, actual: SECTORS }),
            (544, &[66, 0], GptError::TooSmall(67)),
            (552, &[33], GptError::UsableArea { first: 33, last: SECTORS - 34 }),
            (552, max, GptError::UsableArea { first: u64::MAX, last: SECTORS - 34 }),
            (560, max, GptError::UsableArea { first: 34, last: u64::MAX }),
            (560, &[0xdf], GptError::UsableArea { first: 34, last: SECTORS - 33 }),
            (584, &[3], GptError::ArrayLba { stored: 3, expected: 2 }),
            (592, &[0], GptError::ArrayShape { count: 0, size: 128 }),
            (592, &[129], GptError::ArrayShape { count: 129, size: 128 }),
            (592, max, GptError::ArrayShape { count: 0, size: u32::MAX }),
            (596, &[0, 1], GptError::ArrayShape { count: 0, size: 256 }),
            (1056, &[33, 0], GptError::Range { number: 1, first: 33, last: 4095 }),
            (1056, max, GptError::Range { number: 1, first: u64::MAX, last: 4095 }),
            (1064, max, GptError::Range { number: 1, first: 2048, last: u64::MAX }),
            (1064, &[0xff, 0x07], GptError::Range { number: 1, first: 2048, last: 2047 }),
            (1064, &[0x00, 0x10], GptError::Overlap { first: 1, second: 3 }),
            (1080, &[0x00, 0xd8], GptError::Name { number: 1 }),
            (1080, &[0x0a, 0x00], GptError::Name { number: 1 }),
            (1150, &[0x61, 0x00], GptError::Name { number: 1 }),
        ];
        for (offset, bytes, error) in cases {
            let mut head = table().primary().unwrap();
            put(&mut head, *offset, bytes);
            seal(&mut head);
            assert_eq!(Table::parse(&head, SECTORS).as_ref(), Err(error), "offset {offset}");
        }
        let mut head = table().primary().unwrap();
        let guid: [u8; 16] = head[1040..1056].try_into().unwrap();
        put(&mut head, 1024 + 256 + 16, &guid);
        seal(&mut head);
        let guid = table().partitions[0].guid;
        let expected = GptError::DuplicateGuid { first: 1, second: 3, guid };
        assert_eq!(Table::parse(&head, SECTORS), Err(expected));
    }

    #[test]
    fn sealed_random_bytes_never_panic_and_keep_the_rules() {
        // A fixed xorshift: the same bytes on each run.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        let mut accepted = 0;
        for _ in 0..20_000 {
            let mut head = table().primary().unwrap();
            for _ in 0..1 + random()[0] % 3 {
                let [kind, low, high, value, ..] = random();
                let range = if kind % 2 == 0 { 532..604 } else { 1024..1408 };
                let offset = usize::from(u16::from_le_bytes([low, high])) % range.len();
                head[range.start + offset] = value;
            }
            seal(&mut head);
            if let Ok(table) = Table::parse(&head, SECTORS) {
                accepted += 1;
                assert!(table.partitions.iter().all(|p| p.last_lba < SECTORS - 33));
                assert!(table.partitions.iter().all(|p| p.first_lba >= 34));
                assert_eq!(Table::parse(&table.primary().unwrap(), SECTORS), Ok(table));
            }
        }
        assert!(accepted > 1000, "{accepted}");
    }

    #[test]
    fn the_writer_refuses_what_the_reader_would() {
        type Case = (fn(&mut Table), GptError);
        let cases: &[Case] = &[
            (|t| t.sectors = 67, GptError::TooSmall(67)),
            (|t| t.sectors = 0, GptError::TooSmall(0)),
            (
                |t| t.partitions[1].last_lba = 8159,
                GptError::Range { number: 3, first: 4096, last: 8159 },
            ),
            (|t| t.partitions[1].first_lba = 4095, GptError::Overlap { first: 1, second: 3 }),
            (|t| t.partitions[1].number = 1, GptError::Number { number: 1 }),
            (|t| t.partitions[1].number = 0, GptError::Number { number: 0 }),
            (|t| t.partitions[1].number = 129, GptError::Number { number: 129 }),
            (|t| t.partitions[0].type_guid = Uuid::nil(), GptError::Number { number: 1 }),
            (|t| t.partitions[0].name = "x".repeat(37), GptError::Name { number: 1 }),
            (|t| t.partitions[0].name = "a\0b".into(), GptError::Name { number: 1 }),
            (
                |t| t.partitions[0].guid = t.partitions[1].guid,
                GptError::DuplicateGuid { first: 1, second: 3, guid: partition(3, 0, 0).guid },
            ),
        ];
        for (change, error) in cases {
            let mut changed = table();
            change(&mut changed);
            assert_eq!(changed.primary().as_ref(), Err(error));
            assert_eq!(changed.backup().as_ref(), Err(error));
        }
        let mut longest = table();
        longest.partitions[0].name = "x".repeat(36);
        assert_eq!(Table::parse(&longest.primary().unwrap(), SECTORS), Ok(longest));
    }

    #[test]
    fn a_disk_of_the_largest_size_is_described() {
        let huge = Table { sectors: u64::MAX, ..table() };
        let head = huge.primary().unwrap();
        assert_eq!(Table::parse(&head, u64::MAX), Ok(huge));
        assert_eq!(head[458..462], [0xff; 4], "the MBR's size is capped");
    }
}
