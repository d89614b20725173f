//! Round trips, and everything a host could do to a table.

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
    // Each bit of the MBR and the header; one of each byte of the used entries,
    // and of some unused ones.
    let unused = (1024 + 3 * 128..good.len()).step_by(61);
    for offset in (0..1024 + 3 * 128).chain(unused) {
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
        (592, max, GptError::ArrayShape { count: u32::MAX, size: u32::MAX }),
        (596, &[0, 1], GptError::ArrayShape { count: 128, size: 256 }),
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
