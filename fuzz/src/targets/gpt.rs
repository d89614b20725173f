//! A partition table, as a host would write it: with right checksums if the first byte is
//! even. The rest is the protective MBR, the header and the first entries.

use protocol::gpt::{
    ATTRIBUTE_READ_ONLY, BACKUP_BYTES, PRIMARY_BYTES, Partition, SECTOR, TYPE_ROOT_X86_64, Table,
};
use uuid::Uuid;

const SECTORS: u64 = 4096;
const HEADER: usize = 92;
const ARRAY: usize = 32 * SECTOR;

pub(super) fn run(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let mut head = vec![0; PRIMARY_BYTES];
    head.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    if kind & 1 == 0 {
        sign(&mut head);
    }
    if let Ok(table) = Table::parse(&head, SECTORS) {
        for partition in &table.partitions {
            assert!(partition.first_lba <= partition.last_lba && partition.last_lba < SECTORS);
        }
        // What is read can be written, and says the same again.
        let again = table.primary().map(|bytes| Table::parse(&bytes, SECTORS));
        assert_eq!(again, Ok(Ok(table)));
    }
    let mut tail = vec![0; BACKUP_BYTES];
    tail.iter_mut().rev().zip(rest.iter().rev()).for_each(|(to, from)| *to = *from);
    let _ = Table::parse_backup(&tail, SECTORS);
}

/// Puts both checksums right.
fn sign(head: &mut [u8]) {
    let Some((header, array)) = head.split_at_mut_checked(2 * SECTOR) else { return };
    let Some(header) = header.get_mut(SECTOR..SECTOR + HEADER) else { return };
    put(header, 88, &crc32(array.get(..ARRAY).unwrap_or_default()).to_le_bytes());
    put(header, 16, &[0; 4]);
    let checksum = crc32(header);
    put(header, 16, &checksum.to_le_bytes());
}

fn put(to: &mut [u8], at: usize, from: &[u8]) {
    to.iter_mut().skip(at).zip(from).for_each(|(to, from)| *to = *from);
}

/// CRC-32 as in ISO 3309.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _bit| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    })
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let partition = |number: u32, name: &str| Partition {
        number,
        type_guid: TYPE_ROOT_X86_64,
        guid: Uuid::from_u128(u128::from(number) + 1),
        first_lba: u64::from(number) * 1000,
        last_lba: u64::from(number) * 1000 + 499,
        attributes: ATTRIBUTE_READ_ONLY,
        name: name.to_owned(),
    };
    let partitions = vec![partition(1, "root"), partition(3, "größer")];
    let table = Table { disk_guid: Uuid::from_u128(9), sectors: SECTORS, partitions };
    let bytes = table.primary().unwrap_or_default();
    // Two sectors, and the four entries of the third.
    let start = bytes.get(..3 * SECTOR).unwrap_or_default();
    vec![[&[0], start].concat(), [&[1], start].concat()]
}
