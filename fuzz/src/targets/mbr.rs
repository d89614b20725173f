//! A disk that starts with the partition table of an MBR: 64 sectors, of which the input has
//! the tables. Each 66 bytes go to the end of a sector, where a table is.

use image_builder::disk::Mbr;

const SECTOR: usize = 512;
const SECTORS: u64 = 64;
const TABLE: usize = 66;

pub(super) fn run(data: &[u8]) {
    let mut disk = vec![0; SECTOR * 64];
    for (sector, table) in disk.chunks_exact_mut(SECTOR).zip(data.chunks(TABLE)) {
        let place = sector.iter_mut().skip(SECTOR - TABLE);
        place.zip(table).for_each(|(to, from)| *to = *from);
    }
    let Ok(Some(table)) = Mbr::parse(&disk, SECTORS) else { return };
    let mut partitions = table.partitions;
    partitions.sort_by_key(|partition| partition.first);
    let mut end = 0;
    for partition in partitions {
        assert!(partition.first >= end && partition.sectors > 0);
        end = partition.first + partition.sectors;
        assert!(end <= SECTORS);
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let table = |entries: &[(u8, u8, u32, u32)]| {
        let mut bytes = Vec::new();
        for (flag, kind, first, sectors) in entries {
            bytes.extend([*flag, 0, 0, 0, *kind, 0, 0, 0]);
            bytes.extend(first.to_le_bytes());
            bytes.extend(sectors.to_le_bytes());
        }
        bytes.resize(64, 0);
        bytes.extend([0x55, 0xaa]);
        bytes
    };
    let primary = table(&[(0x80, 0x83, 8, 8), (0, 0x82, 20, 10), (0, 0, 0, 0), (0, 0xee, 1, 7)]);
    // An extended partition at sector 2, whose second table is the disk's third one.
    let chain = [
        table(&[(0, 5, 2, 60), (0, 0x83, 1, 1)]),
        vec![0; TABLE],
        table(&[(0, 0x83, 2, 10), (0, 5, 1, 59)]),
        table(&[(0, 0x83, 20, 30)]),
    ];
    vec![primary, chain.concat()]
}
