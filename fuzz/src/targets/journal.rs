//! The journal of a volume: whatever is in it, what comes out of the volume was sealed
//! at that place with its key.
//!
//! An even first byte: sections, each a byte that says its sequence, and whether it is
//! torn, then entries of 11 bytes (section, number, sector, what of it is damaged) until
//! the end. An odd one: the rest lies over the journal as it is.

use std::sync::OnceLock;

use luks::{
    Cipher, Memory, OpenError, Options, SECTOR, SectorSize, Volume, VolumeKey, VolumeSpec, seal,
};

use super::volumes::{secret, small};
use crate::Numbers;

const SECTIONS: u8 = 3;
const ENTRY: usize = 11;
const SECTOR_BYTES: usize = 512;
/// The first byte of the journal: the superblock is before it.
const JOURNAL: usize = 4096;
/// With this cipher and sectors of 512 bytes: sectors, entries and the size of an entry.
const SECTION: usize = (8 + ENTRIES) * 512;
const ENTRIES: usize = 80;
const ENTRY_SIZE: usize = 48;

/// The volume, its key, and its disk with one content and with another.
struct World {
    spec: VolumeSpec,
    key: VolumeKey,
    contents: [Vec<u8>; 2],
    disks: [Vec<u8>; 2],
}

fn world() -> Option<&'static World> {
    static WORLD: OnceLock<Option<World>> = OnceLock::new();
    WORLD
        .get_or_init(|| {
            let spec = small(Cipher::AesXtsHmacSha256, SectorSize::B512, SECTIONS.into())?;
            let key = VolumeKey::derive(&secret(), &spec);
            let contents = [0_u64, 1].map(|number| {
                let size = usize::try_from(spec.tail_offset() / 8).unwrap_or(0);
                let words = (0..size as u64).map(|word| (word << 1 | number).to_le_bytes());
                words.collect::<Vec<_>>().concat()
            });
            let disks = contents.each_ref().map(|content| {
                let disk = Memory::default();
                let (length, random) = (content.len() as u64, &mut Numbers::new(1));
                let sealed = seal(&spec, &key, content, length, &disk, random, &Options::default());
                assert!(sealed.is_ok());
                disk.into_bytes()
            });
            Some(World { spec, key, contents, disks })
        })
        .as_ref()
}

pub(super) fn run(data: &[u8]) {
    let (Some(world), Some((kind, rest))) = (world(), data.split_first()) else { return };
    let [disk, _] = &world.disks;
    let mut disk = disk.clone();
    if kind & 1 == 1 {
        put(&mut disk, JOURNAL, rest);
    } else {
        world.structured(&mut disk, rest);
    }
    let layout = world.spec.layout();
    let Ok(volume) = Volume::open(layout, &world.key, &disk) else { return };
    let [old, new] = &world.contents;
    for sector in 0..world.spec.file_system_sectors() {
        let mut buffer = [0; SECTOR_BYTES];
        let at = usize::try_from(sector * SECTOR).unwrap_or(0);
        match volume.read(&mut buffer, sector) {
            Ok(()) => {
                let known = [old, new].map(|content| content.get(at..at + buffer.len()));
                assert!(known.contains(&Some(&buffer)), "content that was never sealed there");
            }
            Err(error) => assert!(matches!(error, OpenError::NotAuthentic { .. })),
        }
    }
}

impl World {
    fn structured(&self, disk: &mut [u8], data: &[u8]) {
        let (sequences, entries) = data.split_at(data.len().min(SECTIONS.into()));
        for (section, sequence) in sequences.iter().enumerate() {
            for sector in 0..SECTION / 512 {
                // A torn section has sectors of two sequences.
                let torn = sequence & 4 != 0 && sector > usize::from(sequence >> 3);
                let number = u64::from(((sequence & 3) + u8::from(torn)) & 3);
                let id = (0x1111_1111_1111_1111 * (number + 1))
                    ^ ((section as u64) << 32)
                    ^ sector as u64;
                put(disk, JOURNAL + section * SECTION + sector * 512 + 504, &id.to_le_bytes());
            }
        }
        let [_, new] = &self.disks;
        for entry in entries.as_chunks::<ENTRY>().0 {
            let [section, number, a, b, c, d, e, f, g, h, damage] = *entry;
            let sector = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
            let section = JOURNAL + usize::from(section % SECTIONS) * SECTION;
            let number = usize::from(number) % ENTRIES;
            let place = sector.checked_rem(self.spec.file_system_sectors()).unwrap_or(0);
            let (data, tag) = self.place(place);
            let (Some(data), Some(tag)) = (new.get(data..data + 512), new.get(tag..tag + 32))
            else {
                continue;
            };
            let (content, last) = data.split_at(504);
            let at = section + number % 8 * 512 + number / 8 * ENTRY_SIZE;
            put(disk, section + (8 + number) * 512, content);
            put(disk, at, &[&sector.to_le_bytes(), last, tag].concat());
            if let Some(byte) = disk.get_mut(at + 8 + usize::from(damage % 40)) {
                *byte ^= damage >> 6;
            }
        }
    }

    /// Where a sector and its tag are: areas of 64 sectors behind 8 of metadata.
    fn place(&self, sector: u64) -> (usize, usize) {
        let sector = usize::try_from(sector).unwrap_or(0);
        let first = JOURNAL + usize::from(SECTIONS) * SECTION + sector / 64 * (8 + 64) * 512;
        (first + (8 + sector % 64) * 512, first + sector % 64 * 32)
    }
}

fn put(to: &mut [u8], at: usize, from: &[u8]) {
    to.iter_mut().skip(at).zip(from).for_each(|(to, from)| *to = *from);
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let entry = |section: u8, number: u8, sector: u64, damage: u8| {
        [&[section, number], &sector.to_le_bytes()[..], &[damage]].concat()
    };
    let committed = [entry(0, 0, 5, 0), entry(0, 1, 6, 0), entry(1, 0, 70, 0)].concat();
    let damaged = [entry(0, 0, 5, 0xff), entry(0, 79, u64::MAX - 1, 0), entry(2, 3, 9, 0)].concat();
    vec![
        [&[0, 1, 1, 0][..], &committed].concat(),
        [&[0, 2, 1, 1][..], &committed].concat(),
        [&[0, 1, 1 | 4 | 64, 0][..], &committed].concat(),
        [&[0, 0, 3, 3][..], &damaged].concat(),
        [&[0, 0, 1, 2][..], &damaged].concat(),
        [&[1][..], &[0xff; 64]].concat(),
    ]
}
