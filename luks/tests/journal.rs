//! A volume that was not closed: what its journal holds is read in place of what the
//! areas have, as the kernel would copy it, and is authenticated as any sector.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Disk, ID, pattern, place, sealed, secret};
use luks::{
    Cipher, Epoch, JournalError, Layout, LayoutParams, Memory, OpenError, Options, ReadAt,
    SectorSize, Volume, VolumeKey, VolumeSpec, WriteAt,
};

const SECTIONS: u32 = 4;
const OFFSET: u64 = 8;
/// The area sizes of [`common::spec`].
const INTERLEAVE_LOG2: u8 = 9;

/// A volume of several areas with a journal of [`SECTIONS`] sections.
fn spec(cipher: Cipher, sector_size: SectorSize) -> VolumeSpec {
    let params = LayoutParams::with_default_journal(cipher, sector_size, 2048, OFFSET);
    let params = LayoutParams {
        interleave_log2: INTERLEAVE_LOG2,
        journal_sectors: params.journal_sectors * SECTIONS,
        device_sectors: 8192,
        ..params
    };
    VolumeSpec::new(Layout::new(params).unwrap(), ID, None).unwrap()
}

fn all() -> impl Iterator<Item = VolumeSpec> {
    let sizes = [SectorSize::B512, SectorSize::B4096];
    Cipher::ALL.into_iter().flat_map(move |cipher| sizes.map(|size| spec(cipher, size)))
}

/// A block for the journal: the sector that it is for, and where it is copied from.
struct Entry<'a> {
    sector: u64,
    from: (&'a Disk, u64),
}

fn entry(sector: u64, from: &Disk) -> Entry<'_> {
    Entry { sector, from: (from, sector) }
}

/// The kernel's journal, written down a second time.
struct Journal<'a> {
    spec: &'a VolumeSpec,
    disk: &'a Disk,
}

impl Journal<'_> {
    fn block(&self) -> u64 {
        u64::from(self.spec.layout().params().sector_size.bytes())
    }

    fn tag(&self) -> u64 {
        self.spec.layout().params().cipher.metadata_size() as u64
    }

    fn entry_size(&self) -> u64 {
        (8 + self.block() / 64 + self.tag()).div_ceil(8) * 8
    }

    fn entries(&self) -> u64 {
        504 / self.entry_size() * 8
    }

    fn sectors(&self) -> u64 {
        8 + self.entries() * self.block() / 512
    }

    fn section(&self, index: u64) -> u64 {
        (OFFSET + 8 + index * self.sectors()) * 512
    }

    fn entry(&self, section: u64, number: u64) -> u64 {
        self.section(section) + number % 8 * 512 + number / 8 * self.entry_size()
    }

    /// Writes a section of a sequence, 0 to 3.
    fn write(&self, index: u64, sequence: u64, entries: &[Entry<'_>]) {
        let section = self.section(index);
        let blank = vec![0; usize::try_from(self.sectors() * 512).unwrap()];
        self.disk.write_all_at(&blank, section).unwrap();
        for number in 0..self.entries() {
            let at = self.entry(index, number);
            let Some(Entry { sector, from: (from, from_sector) }) =
                entries.get(usize::try_from(number).unwrap())
            else {
                self.disk.write_all_at(&[0xff; 4], at + 4).unwrap();
                continue;
            };
            let mut data = vec![0; usize::try_from(self.block()).unwrap()];
            let mut tag = vec![0; usize::try_from(self.tag()).unwrap()];
            let (data_at, tag_at) = place(self.spec, *from_sector);
            from.read_exact_at(&mut data, data_at).unwrap();
            from.read_exact_at(&mut tag, tag_at).unwrap();
            self.disk.write_all_at(&data, section + 8 * 512 + number * self.block()).unwrap();
            let last = data.chunks(512).map(|sector| sector.last_chunk::<8>().unwrap());
            let last = last.copied().collect::<Vec<_>>().concat();
            let bytes = [&sector.to_le_bytes()[..], &last, &tag].concat();
            self.disk.write_all_at(&bytes, at).unwrap();
        }
        for sector in 0..self.sectors() {
            self.commit(index, sector, sequence);
        }
    }

    /// Writes the commit ID of a sector of a section.
    fn commit(&self, index: u64, sector: u64, sequence: u64) {
        let id = (0x1111_1111_1111_1111 * (sequence + 1)) ^ (index << 32) ^ sector;
        let at = self.section(index) + sector * 512 + 504;
        self.disk.write_all_at(&id.to_le_bytes(), at).unwrap();
    }

    fn open(&self) -> Result<Volume<'_, Disk>, OpenError> {
        Volume::open(self.spec.layout(), &VolumeKey::derive(&secret(), self.spec), self.disk)
    }

    fn read(&self, sector: u64) -> Result<Vec<u8>, OpenError> {
        let mut block = vec![0; 4096];
        self.open()?.read(&mut block, sector)?;
        Ok(block)
    }

    fn error(&self) -> JournalError {
        let error = self.open().err();
        let Some(OpenError::Journal(error)) = error else { unreachable!("{error:?}") };
        error
    }
}

/// Content in which no block is that of another `number`.
fn content(number: u8) -> Vec<u8> {
    pattern(1 << 20).iter().map(|byte| byte ^ number).collect()
}

fn at(content: &[u8], sector: u64) -> &[u8] {
    let at = usize::try_from(sector * 512).unwrap();
    content.get(at..at + 4096).unwrap()
}

/// The entries that rewrite 4096 bytes from each of these sectors.
fn entries<'a>(spec: &VolumeSpec, sectors: &[u64], from: &'a Disk) -> Vec<Entry<'a>> {
    let step = u64::from(spec.layout().params().sector_size.bytes()) / 512;
    let blocks = |first: &u64| (*first..*first + 8).step_by(usize::try_from(step).unwrap());
    sectors.iter().flat_map(blocks).map(|sector| entry(sector, from)).collect()
}

/// A crash after the first commit: section 0 has the next sequence.
#[test]
fn a_volume_reads_as_the_kernel_would_give_it() {
    for spec in all() {
        let [old, new] = [0, 1].map(content);
        let [disk, other] = [&old, &new].map(|content| sealed(&spec, content));
        let journal = Journal { spec: &spec, disk: &disk };
        assert_eq!(journal.open().unwrap().journal_bytes(), 0);
        // Neighbours, others, the last of an area and the first of the next.
        let sectors = [0, 8, 64, 504, 512, 1024 + 8];
        let entries = entries(&spec, &sectors, &other);
        journal.write(0, 1, &entries);
        let volume = journal.open().unwrap();
        assert_eq!(volume.journal_bytes(), entries.len() as u64 * journal.block());

        let mut expected = old.clone();
        for sector in sectors {
            let at = usize::try_from(sector * 512).unwrap();
            expected[at..at + 4096].copy_from_slice(&new[at..at + 4096]);
        }
        let out = Memory::default();
        volume.decrypt(1 << 20, &out, &Options::default()).unwrap();
        assert!(out.into_bytes() == expected);
        assert_eq!(volume.epoch(&spec).unwrap(), Epoch::FIRST);
    }
}

/// Sections are replayed in the order in which they were written, round the end of
/// the journal, and the newest entry of a block wins; also within a section.
#[test]
fn the_newest_entry_wins() {
    for spec in all() {
        let contents = [0, 1, 2, 3, 4].map(content);
        let disks = contents.each_ref().map(|content| sealed(&spec, content));
        let [disk, one, two, three, four] = &disks;
        let journal = Journal { spec: &spec, disk };
        // Sections 0 and 1 are of the newer round, 2 and 3 of the one before.
        journal.write(2, 1, &entries(&spec, &[0, 8, 16, 24], one));
        journal.write(3, 1, &entries(&spec, &[8, 16, 24], two));
        journal.write(0, 2, &entries(&spec, &[16, 24], three));
        let twice = [entries(&spec, &[24], one), entries(&spec, &[24], four)];
        journal.write(1, 2, &twice.into_iter().flatten().collect::<Vec<_>>());
        for (sector, content) in [(0, 1), (8, 2), (16, 3), (24, 4), (32, 0)] {
            let found = journal.read(sector).unwrap();
            assert!(found == at(&contents[content], sector), "{sector}");
        }
        // The sequences go round too: 0 follows 3.
        for (index, sequence, from) in [(2, 3, three), (3, 3, four), (0, 0, one), (1, 0, two)] {
            journal.write(index, sequence, &entries(&spec, &[40], from));
        }
        assert!(journal.read(40).unwrap() == at(&contents[2], 40));
        // A whole round, so that the oldest section is the first.
        for (index, from) in (0..).zip([one, two, three, four]) {
            journal.write(index, 2, &entries(&spec, &[48], from));
        }
        assert!(journal.read(48).unwrap() == at(&contents[4], 48));
    }
}

/// A section that was being written is not replayed, nor is one behind it.
#[test]
fn a_half_written_section_is_left_out() {
    for spec in all() {
        let contents = [0, 1, 2].map(content);
        let [disk, one, two] = &contents.each_ref().map(|content| sealed(&spec, content));
        let journal = Journal { spec: &spec, disk };
        journal.write(0, 1, &entries(&spec, &[0], one));
        journal.write(1, 1, &entries(&spec, &[8], two));
        for sector in [0, 7, 8, journal.sectors() - 1] {
            journal.commit(1, sector, 0);
            let found = [0, 8].map(|sector| journal.read(sector).unwrap());
            assert!(found[0] == at(&contents[1], 0) && found[1] == at(&contents[0], 8));
            journal.commit(1, sector, 1);
            assert!(journal.read(8).unwrap() == at(&contents[2], 8));
        }
    }
}

/// What a host can write into a journal: nothing comes of it but old sectors.
#[test]
fn forged_entries_are_noticed_and_old_ones_are_what_they_were() {
    for spec in all() {
        let contents = [0, 1].map(content);
        let [disk, other] = &contents.each_ref().map(|content| sealed(&spec, content));
        let journal = Journal { spec: &spec, disk };
        let noticed = || {
            let error = journal.read(16).unwrap_err();
            assert!(matches!(error, OpenError::NotAuthentic { sector: 16 }), "{error:?}");
            assert!(journal.read(8).is_ok() && journal.read(24).is_ok());
        };
        journal.write(0, 1, &[entry(16, other)]);
        let first = usize::try_from(journal.block()).unwrap();
        assert!(journal.read(16).unwrap()[..first] == at(&contents[1], 16)[..first]);
        // The content, the last bytes, the tag.
        let (data, at) = (journal.section(0) + 8 * 512, journal.entry(0, 0));
        for byte in [data + 3, at + 8, at + 8 + journal.block() / 64] {
            disk.flip(byte, 4);
            noticed();
            disk.flip(byte, 4);
        }
        // A good block, moved.
        journal.write(0, 1, &[Entry { sector: 16, from: (other, 24) }]);
        noticed();
    }
}

#[test]
fn entries_of_no_block_lead_nowhere() {
    for spec in all() {
        let disk = sealed(&spec, &content(0));
        let journal = Journal { spec: &spec, disk: &disk };
        let end = spec.layout().volume_sectors();
        let far = [end, end + 8, 1 << 62, u64::MAX - 7, u64::from(u32::MAX - 1) << 32];
        let far = far.map(|sector| Entry { sector, from: (&disk, 0) });
        journal.write(0, 1, &far);
        assert_eq!(journal.open().unwrap().journal_bytes(), 0);
        journal.write(0, 1, &[Entry { sector: 4, from: (&disk, 0) }]);
        if journal.block() == 4096 {
            let error = JournalError::Sector { section: 0, entry: 0, sector: 4 };
            assert_eq!(journal.error(), error);
        } else {
            assert!(matches!(journal.read(0), Err(OpenError::NotAuthentic { sector: 4 })));
        }
    }
}

#[test]
fn a_journal_that_is_none_is_refused() {
    for spec in all() {
        let disk = sealed(&spec, &content(0));
        let journal = Journal { spec: &spec, disk: &disk };
        for (section, sector) in [(0, 0), (1, 8), (SECTIONS - 1, journal.sectors() - 1)] {
            let byte = journal.section(section.into()) + sector * 512 + 504;
            disk.flip(byte, 1);
            assert_eq!(journal.error(), JournalError::CommitId { section, sector });
            disk.flip(byte, 1);
        }
        for index in 0..u64::from(SECTIONS) {
            journal.write(index, index, &[]);
        }
        assert_eq!(journal.error(), JournalError::Sequences);
        // Two sequences that do not follow each other, as no crash leaves them.
        for index in 0..u64::from(SECTIONS) {
            journal.write(index, index % 2 * 2, &[entry(0, &disk)]);
        }
        assert_eq!(journal.open().unwrap().journal_bytes(), 0);
    }
}
