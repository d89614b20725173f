//! Reading a table: total, bounded, strict.

use uuid::Uuid;

use super::{
    ARRAY_BYTES, BACKUP_BYTES, BACKUP_SECTORS, ENTRY_BYTES, ENTRY_SIZE, GptError, HEADER_SIZE,
    MAX_NAME, MAX_PARTITIONS, MIN_SECTORS, PRIMARY_BYTES, Partition, REVISION, SECTOR, SIGNATURE,
    Table,
};

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
    entry_size: u32,
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
            entry_size: reader.u32().ok_or_else(short)?,
            array_crc: reader.u32().ok_or_else(short)?,
        };
        let Header { entries: count, entry_size: size, .. } = header;
        if size != ENTRY_SIZE || !(1..=MAX_PARTITIONS).contains(&count) {
            return Err(GptError::ArrayShape { count, size });
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
