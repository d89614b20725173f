//! The partition table of the master boot record, with the logical partitions of an
//! extended one.
//!
//! Threat: every byte is somebody else's. At most 64 logical partitions are followed, a
//! chain that comes back to itself is refused, and so is what overlaps or leaves the disk.
//!
//! There is no standard; this is what Linux reads (`block/partitions/msdos.c`). Integers are
//! little-endian, sectors have 512 bytes. A table is at byte 446 of its sector, which ends in
//! 55 aa, and has four entries:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | 80 if the partition is to be booted from, otherwise 00 |
//! | 4 | 1 | type, zero for an unused entry |
//! | 8 | 4 | first sector |
//! | 12 | 4 | number of sectors |
//!
//! The first sector of an extended partition is a table as well: its first entry is a logical
//! partition, from that sector on; its second one leads to the next table, counted from the
//! start of the extended partition.

use std::io;

use thiserror::Error;
use verity::ReadAt;

const SECTOR: u64 = 512;
/// Where the entries are, and the disk's own number before them.
const ENTRIES: usize = 446;
const ENTRY: usize = 16;
const DISK_ID: usize = 440;
/// The types of an extended partition: CHS, LBA, and Linux's own.
const EXTENDED: [u8; 3] = [0x05, 0x0f, 0x85];
/// The type of the entry that protects a GPT.
pub(super) const PROTECTIVE: u8 = 0xee;
/// Logical partitions that are followed.
const MAX_LOGICAL: u32 = 64;

/// A partition table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mbr {
    /// The number of the disk: `PARTUUID` is this one and the partition's.
    pub disk_id: u32,
    /// The partitions, in the order of their numbers; extended ones are not among them.
    pub partitions: Vec<MbrPartition>,
}

/// A partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MbrPartition {
    /// The number that Linux gives it: 1 to 4, logical ones from 5.
    pub number: u32,
    /// Its type.
    pub kind: u8,
    /// First sector, of 512 bytes.
    pub first: u64,
    /// Number of sectors.
    pub sectors: u64,
}

/// Why a table is refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MbrError {
    /// The disk cannot be read.
    #[error("the disk cannot be read at sector {sector}")]
    Read {
        /// Where.
        sector: u64,
        /// What was said.
        source: io::Error,
    },
    /// A partition that is empty or leaves the disk, or its extended partition.
    #[error(
        "partition {number} of the MBR, {sectors} sectors from {first} on, is empty or reaches \
         beyond what it is in (which ends at sector {end})"
    )]
    Range {
        /// Its number.
        number: u32,
        /// First sector.
        first: u64,
        /// Number of sectors.
        sectors: u64,
        /// First sector behind the disk, or the extended partition.
        end: u64,
    },
    /// Two partitions share sectors.
    #[error("partitions {first} and {second} of the MBR overlap")]
    Overlap {
        /// The one that starts first.
        first: u32,
        /// The other.
        second: u32,
    },
    /// More than one extended partition.
    #[error("the MBR has two extended partitions, {first} and {second}")]
    TwoExtended {
        /// One.
        first: u32,
        /// The other.
        second: u32,
    },
    /// A table of logical partitions that is none.
    #[error("the table of logical partitions at sector {sector} does not end in 55 aa")]
    Signature {
        /// Where.
        sector: u64,
    },
    /// A chain of tables that comes back to itself or never ends.
    #[error(
        "the tables of logical partitions form a loop at sector {sector}, or are more than \
         {MAX_LOGICAL}"
    )]
    Loop {
        /// Where.
        sector: u64,
    },
}

impl Mbr {
    /// Reads the table of a disk of `sectors` sectors; `None` if the disk has none: no
    /// signature, nothing in it, or the start of a file system that is booted from.
    ///
    /// # Errors
    /// [`MbrError`] on a table that contradicts itself or the disk.
    pub fn parse(disk: &impl ReadAt, sectors: u64) -> Result<Option<Self>, MbrError> {
        let Some(table) = read(disk, 0)? else { return Ok(None) };
        let entries = entries(&table);
        if entries.iter().any(|entry| entry.flag & 0x7f != 0)
            || entries.iter().all(|entry| entry.kind == 0)
        {
            return Ok(None);
        }
        let mut partitions = Vec::new();
        let mut extended: Option<MbrPartition> = None;
        // Primary and extended ones: what may not overlap on the first level.
        let mut primary = Vec::new();
        for (number, entry) in (1..).zip(&entries).filter(|(_, entry)| entry.kind != 0) {
            let found = entry.partition(number, 0, sectors)?;
            primary.push(found);
            if !EXTENDED.contains(&entry.kind) {
                partitions.push(found);
            } else if let Some(MbrPartition { number: first, .. }) = extended.replace(found) {
                return Err(MbrError::TwoExtended { first, second: number });
            }
        }
        check_overlap(&mut primary)?;
        if let Some(extended) = extended {
            partitions.extend(logical(disk, extended)?);
        }
        let id = table.get(DISK_ID..).and_then(|rest| rest.first_chunk()).copied();
        Ok(Some(Self { disk_id: id.map_or(0, u32::from_le_bytes), partitions }))
    }
}

/// The logical partitions of an extended one.
fn logical(disk: &impl ReadAt, extended: MbrPartition) -> Result<Vec<MbrPartition>, MbrError> {
    let end = extended.first.saturating_add(extended.sectors);
    let mut found: Vec<MbrPartition> = Vec::new();
    let mut tables = Vec::new();
    let mut sector = extended.first;
    let mut number = 5;
    loop {
        if tables.contains(&sector) || tables.len() >= MAX_LOGICAL as usize {
            return Err(MbrError::Loop { sector });
        }
        tables.push(sector);
        let table = read(disk, sector)?.ok_or(MbrError::Signature { sector })?;
        let [partition, next, ..] = entries(&table);
        // An emptied place in the chain has no partition and is not counted.
        if partition.kind != 0 {
            found.push(partition.partition(number, sector, end)?);
            number = number.saturating_add(1);
        }
        if next.kind == 0 {
            break;
        }
        // Where a next table is, is said as if it were a partition.
        sector = extended.first.saturating_add(next.first);
        if sector >= end {
            let (first, sectors) = (sector, next.sectors);
            return Err(MbrError::Range { number, first, sectors, end });
        }
    }
    let mut sorted = found.clone();
    check_overlap(&mut sorted)?;
    Ok(found)
}

fn check_overlap(partitions: &mut [MbrPartition]) -> Result<(), MbrError> {
    partitions.sort_by_key(|partition| partition.first);
    for [a, b] in partitions.array_windows() {
        if b.first < a.first.saturating_add(a.sectors) {
            return Err(MbrError::Overlap { first: a.number, second: b.number });
        }
    }
    Ok(())
}

/// A sector that may be a table; `None` without the signature.
fn read(disk: &impl ReadAt, sector: u64) -> Result<Option<[u8; 512]>, MbrError> {
    let mut table = [0; 512];
    let offset = sector.saturating_mul(SECTOR);
    match disk.read_exact_at(&mut table, offset) {
        Ok(()) => Ok(table.ends_with(&[0x55, 0xaa]).then_some(table)),
        Err(error) if sector == 0 && error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(source) => Err(MbrError::Read { sector, source }),
    }
}

#[derive(Clone, Copy, Default)]
struct Entry {
    flag: u8,
    kind: u8,
    first: u64,
    sectors: u64,
}

impl Entry {
    /// The partition, if it is within `end`; its start is counted from `base` on.
    fn partition(self, number: u32, base: u64, end: u64) -> Result<MbrPartition, MbrError> {
        let Entry { kind, sectors, .. } = self;
        let first = base.saturating_add(self.first);
        if self.first == 0 || sectors == 0 || first.saturating_add(sectors) > end {
            return Err(MbrError::Range { number, first, sectors, end });
        }
        Ok(MbrPartition { number, kind, first, sectors })
    }
}

fn entries(table: &[u8; 512]) -> [Entry; 4] {
    let mut entries = [Entry::default(); 4];
    let bytes = table.get(ENTRIES..).unwrap_or_default().as_chunks::<ENTRY>().0;
    for (entry, bytes) in entries.iter_mut().zip(bytes) {
        let [flag, _, _, _, kind, _, _, _, a, b, c, d, e, f, g, h] = *bytes;
        let number = |bytes| u64::from(u32::from_le_bytes(bytes));
        *entry = Entry { flag, kind, first: number([a, b, c, d]), sectors: number([e, f, g, h]) };
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECTORS: u64 = 1000;

    fn disk() -> Vec<u8> {
        vec![0; 1000 * 512]
    }

    /// Writes a table with these entries: flag, type, first sector, sectors.
    fn put(disk: &mut [u8], sector: usize, entries: &[(u8, u8, u32, u32)]) {
        let table = &mut disk[sector * 512..][..512];
        table[510..].copy_from_slice(&[0x55, 0xaa]);
        table[440..444].copy_from_slice(&0x1234_abcd_u32.to_le_bytes());
        for (place, (flag, kind, first, sectors)) in entries.iter().enumerate() {
            let entry = &mut table[446 + 16 * place..][..16];
            (entry[0], entry[4]) = (*flag, *kind);
            entry[8..12].copy_from_slice(&first.to_le_bytes());
            entry[12..].copy_from_slice(&sectors.to_le_bytes());
        }
    }

    fn parse(disk: &[u8]) -> Result<Option<Mbr>, MbrError> {
        Mbr::parse(&disk.to_vec(), SECTORS)
    }

    /// One primary partition, and two logical ones.
    fn usual() -> Vec<u8> {
        let mut disk = disk();
        put(&mut disk, 0, &[(0x80, 0x83, 8, 92), (0, 0, 0, 0), (0, 5, 100, 900)]);
        put(&mut disk, 100, &[(0, 0x82, 8, 92), (0, 5, 200, 700)]);
        put(&mut disk, 300, &[(0, 0x83, 8, 692)]);
        disk
    }

    #[test]
    fn primary_and_logical_partitions_have_linuxs_numbers() {
        let found = parse(&usual()).unwrap().unwrap();
        assert_eq!(found.disk_id, 0x1234_abcd);
        let list: Vec<_> =
            found.partitions.iter().map(|p| (p.number, p.kind, p.first, p.sectors)).collect();
        assert_eq!(list, [(1, 0x83, 8, 92), (5, 0x82, 108, 92), (6, 0x83, 308, 692)]);
    }

    #[test]
    fn what_is_no_table_is_none() {
        assert!(parse(&disk()).unwrap().is_none());
        assert!(parse(&[0; 100]).unwrap().is_none());
        let mut empty = disk();
        put(&mut empty, 0, &[]);
        assert!(parse(&empty).unwrap().is_none());
        // The boot sector of a FAT has instructions where the entries would be.
        put(&mut empty, 0, &[(0x31, 0x83, 8, 8)]);
        assert!(parse(&empty).unwrap().is_none());
    }

    #[test]
    fn what_contradicts_itself_is_refused_by_name() {
        type Wanted = fn(&MbrError) -> bool;
        let range: Wanted = |e| matches!(e, MbrError::Range { .. });
        let overlap: Wanted = |e| matches!(e, MbrError::Overlap { .. });
        let two: Wanted = |e| matches!(e, MbrError::TwoExtended { first: 1, second: 3 });
        let looped: Wanted = |e| matches!(e, MbrError::Loop { .. });
        let signature: Wanted = |e| matches!(e, MbrError::Signature { sector: 300 });
        type Case<'a> = (usize, &'a [(u8, u8, u32, u32)], Wanted);
        let cases: &[Case<'_>] = &[
            (0, &[(0, 0x83, 8, 993)], range),
            (0, &[(0, 0x83, 0, 10)], range),
            (0, &[(0, 0x83, 8, 0)], range),
            (0, &[(0, 0x83, u32::MAX, u32::MAX)], range),
            (0, &[(0, 0x83, 50, 50), (0, 0x83, 8, 43)], overlap),
            (0, &[(0, 0x83, 50, 51)], overlap),
            (0, &[(0, 5, 8, 10)], two),
            (100, &[(0, 0x82, 8, 893), (0, 5, 200, 700)], range),
            (100, &[(0, 0x82, 8, 300), (0, 5, 200, 700)], overlap),
            (100, &[(0, 0x82, 8, 92), (0, 5, 900, 1)], range),
            (100, &[(0, 0x82, 8, 92), (0, 5, 0, 1)], looped),
            (300, &[(0, 0x83, 8, 692), (0, 5, 0, 1)], looped),
        ];
        for (sector, entries, wanted) in cases {
            let mut disk = usual();
            put(&mut disk, *sector, entries);
            let error = parse(&disk).unwrap_err();
            assert!(wanted(&error), "{sector} {entries:?}: {error:?}");
        }
        let mut unsigned = usual();
        unsigned[300 * 512 + 511] = 0;
        assert!(signature(&parse(&unsigned).unwrap_err()));
        // A chain that never comes back, each table with nothing but the next one.
        let mut endless = usual();
        for sector in 100..999_usize {
            let next = u32::try_from(sector - 99).unwrap();
            put(&mut endless, sector, &[(0, 0, 0, 0), (0, 5, next, 1)]);
        }
        assert!(looped(&parse(&endless).unwrap_err()));
    }
}
