//! The GUID table at the end of an OVMF image.
//!
//! The table ends 32 bytes before the image does and is read backwards. Every
//! entry is its data, then 2 bytes of length (of the whole entry, with these 2
//! and the GUID), then 16 bytes of GUID in the mixed-endian form. The last entry,
//! without data, is the footer; its length is that of the whole table. Entries
//! with other GUIDs than those below are skipped: firmware gains new ones.
//!
//! | from the end | size | field |
//! |---|---|---|
//! | 32 | - | end of the table |
//! | 48 | 16 | footer GUID 96b582de-1fb2-45f7-baea-a366c55a082d |
//! | 50 | 2 | length of the table, with the footer |
//!
//! Source: edk2 `OvmfPkg/ResetVector/Ia16/ResetVectorVtf0.asm`, and how QEMU's
//! `hw/i386/pc_sysfw_ovmf.c` reads it.

use uuid::{Uuid, uuid};

use super::FirmwareError;

const AFTER_TABLE: usize = 32;
const HEADER: usize = 18;

const FOOTER: Uuid = uuid!("96b582de-1fb2-45f7-baea-a366c55a082d");
const SEV_METADATA: Uuid = uuid!("dc886566-984a-4798-a75e-5585a7bf67cc");
const RESET_BLOCK: Uuid = uuid!("00f771de-1a7e-4fcb-890e-68c77e2fb44e");
const HASH_TABLE: Uuid = uuid!("7255371f-3a3b-4b04-927b-1da6efa8d454");

/// The data of the entries that matter here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    /// Where the SEV metadata begins, in bytes before the end of the image.
    pub(super) metadata_offset: Option<u32>,
    /// Where the vCPUs other than the first start (CS base and IP in one).
    pub(super) reset_address: Option<u32>,
    /// Guest-physical address and size of the kernel-hash table.
    pub(super) hash_table: Option<(u32, u32)>,
}

impl Table {
    pub(super) fn parse(image: &[u8]) -> Result<Self, FirmwareError> {
        let end = image.len().checked_sub(AFTER_TABLE).ok_or(FirmwareError::NoTable)?;
        let table = image.get(..end).ok_or(FirmwareError::NoTable)?;
        let (before, length, guid) = split_entry(table).ok_or(FirmwareError::NoTable)?;
        if guid != FOOTER.to_bytes_le() {
            return Err(FirmwareError::NoTable);
        }
        let mut rest = usize::from(length)
            .checked_sub(HEADER)
            .and_then(|data| before.len().checked_sub(data))
            .and_then(|start| before.get(start..))
            .ok_or(FirmwareError::TableLength { length })?;
        let mut found = Self::default();
        let mut offset = AFTER_TABLE + HEADER;
        while let Some((before, length, guid)) = split_entry(rest) {
            let data_start = usize::from(length)
                .checked_sub(HEADER)
                .and_then(|data| before.len().checked_sub(data))
                .ok_or(FirmwareError::EntryLength { offset, length })?;
            let (next, data) = before.split_at(data_start);
            found.take(&guid, data)?;
            rest = next;
            offset += usize::from(length);
        }
        Ok(found)
    }

    fn take(&mut self, guid: &[u8; 16], data: &[u8]) -> Result<(), FirmwareError> {
        if *guid == SEV_METADATA.to_bytes_le() {
            let [offset] = words(data, "SEV metadata")?;
            once(&mut self.metadata_offset, offset, "SEV metadata")
        } else if *guid == RESET_BLOCK.to_bytes_le() {
            let [address] = words(data, "SEV-ES reset block")?;
            once(&mut self.reset_address, address, "SEV-ES reset block")
        } else if *guid == HASH_TABLE.to_bytes_le() {
            let [base, size] = words(data, "SEV hash table")?;
            once(&mut self.hash_table, (base, size), "SEV hash table")
        } else {
            Ok(())
        }
    }
}

/// What is before the last entry's header, and that header.
fn split_entry(table: &[u8]) -> Option<(&[u8], u16, [u8; 16])> {
    let (before, guid) = table.split_last_chunk::<16>()?;
    let (before, length) = before.split_last_chunk::<2>()?;
    Some((before, u16::from_le_bytes(*length), *guid))
}

/// The first `N` little-endian words of an entry's data.
fn words<const N: usize>(data: &[u8], entry: &'static str) -> Result<[u32; N], FirmwareError> {
    let mut words = [0; N];
    let (chunks, _) = data.as_chunks::<4>();
    if chunks.len() < N {
        return Err(FirmwareError::EntryData { entry, length: data.len(), needed: 4 * N });
    }
    words.iter_mut().zip(chunks).for_each(|(word, bytes)| *word = u32::from_le_bytes(*bytes));
    Ok(words)
}

fn once<T>(slot: &mut Option<T>, value: T, entry: &'static str) -> Result<(), FirmwareError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(FirmwareError::RepeatedEntry { entry }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(data: &[u8], guid: Uuid) -> Vec<u8> {
        let length = u16::try_from(data.len() + HEADER).unwrap();
        [data, &length.to_le_bytes(), &guid.to_bytes_le()].concat()
    }

    /// An image of 4096 bytes whose table has `entries`.
    fn image(entries: &[u8]) -> Vec<u8> {
        let length = u16::try_from(entries.len() + HEADER).unwrap();
        let mut image = vec![0xff; 4096];
        let table = [entries, &length.to_le_bytes(), &FOOTER.to_bytes_le()].concat();
        let end = image.len() - AFTER_TABLE;
        image[end - table.len()..end].copy_from_slice(&table);
        image
    }

    #[test]
    fn known_entries_are_found_among_unknown_ones() {
        let other = entry(&[1; 40], uuid!("784fa70e-3176-4677-8a20-04b68699e374"));
        let entries = [
            other.clone(),
            entry(&[0xc4, 5, 0, 0], SEV_METADATA),
            other.clone(),
            entry(&[0, 0x0c, 0x81, 0, 0, 4, 0, 0], HASH_TABLE),
            entry(&[4, 0xb0, 0x80, 0], RESET_BLOCK),
            other,
        ]
        .concat();
        assert_eq!(
            Table::parse(&image(&entries)).unwrap(),
            Table {
                metadata_offset: Some(0x5c4),
                reset_address: Some(0x80_b004),
                hash_table: Some((0x81_0c00, 0x400)),
            }
        );
        assert_eq!(Table::parse(&image(&[])).unwrap(), Table::default());
    }

    #[test]
    fn broken_tables_have_their_own_errors() {
        let parse = |entries: &[u8]| Table::parse(&image(entries)).unwrap_err();
        assert!(matches!(Table::parse(&[]), Err(FirmwareError::NoTable)));
        assert!(matches!(Table::parse(&[0; 49]), Err(FirmwareError::NoTable)));
        assert!(matches!(Table::parse(&[0; 4096]), Err(FirmwareError::NoTable)));

        let mut too_long = image(&[]);
        let at = too_long.len() - 50;
        too_long[at..at + 2].copy_from_slice(&[0xff, 0xff]);
        assert!(matches!(
            Table::parse(&too_long),
            Err(FirmwareError::TableLength { length: 0xffff })
        ));
        too_long[at..at + 2].copy_from_slice(&[17, 0]);
        assert!(matches!(Table::parse(&too_long), Err(FirmwareError::TableLength { length: 17 })));

        let mut longer_than_table = entry(&[0; 4], SEV_METADATA);
        longer_than_table[4] = 23;
        assert!(matches!(
            parse(&longer_than_table),
            FirmwareError::EntryLength { offset: 50, length: 23 }
        ));
        longer_than_table[4] = 0;
        assert!(matches!(
            parse(&longer_than_table),
            FirmwareError::EntryLength { offset: 50, length: 0 }
        ));
        let short = entry(&[0; 7], HASH_TABLE);
        assert!(matches!(parse(&short), FirmwareError::EntryData { length: 7, needed: 8, .. }));
        let twice = [entry(&[0; 4], RESET_BLOCK), entry(&[0; 4], RESET_BLOCK)].concat();
        assert!(matches!(parse(&twice), FirmwareError::RepeatedEntry { .. }));
    }
}
