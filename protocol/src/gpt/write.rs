//! Writing a table.

use super::{
    ARRAY_BYTES, BACKUP_SECTORS, ENTRY_BYTES, ENTRY_SIZE, FIRST_USABLE, GptError, HEADER_SIZE,
    MAX_NAME, MAX_PARTITIONS, Partition, REVISION, SECTOR, SIGNATURE, Table,
};

impl Table {
    /// The first [`PRIMARY_BYTES`](super::PRIMARY_BYTES) of the disk: protective MBR, header, entries.
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

    /// The last [`BACKUP_BYTES`](super::BACKUP_BYTES) of the disk: entries, header.
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
