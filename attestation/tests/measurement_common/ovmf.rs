//! Firmware images made for a test: pages, a GUID table and SEV metadata, in any
//! order.

use uuid::{Uuid, uuid};

use super::Random;

pub(crate) const SECURE_MEMORY: u32 = 1;
pub(crate) const SECRETS: u32 = 2;
pub(crate) const CPUID: u32 = 3;
pub(crate) const CALLING_AREA: u32 = 4;
pub(crate) const KERNEL_HASHES: u32 = 0x10;

const FOOTER: Uuid = uuid!("96b582de-1fb2-45f7-baea-a366c55a082d");
const METADATA: Uuid = uuid!("dc886566-984a-4798-a75e-5585a7bf67cc");
const RESET_BLOCK: Uuid = uuid!("00f771de-1a7e-4fcb-890e-68c77e2fb44e");
const HASH_TABLE: Uuid = uuid!("7255371f-3a3b-4b04-927b-1da6efa8d454");

/// What an image is made of.
#[derive(Clone)]
pub(crate) struct Ovmf {
    pub(crate) pages: usize,
    /// Fills the pages.
    pub(crate) seed: u64,
    /// Address, size in bytes, type.
    pub(crate) sections: Vec<[u32; 3]>,
    /// Address and size of the kernel-hash table.
    pub(crate) hash_table: Option<[u32; 2]>,
    pub(crate) reset_address: u32,
    /// Entries of the GUID table that nobody knows.
    pub(crate) unknown_entries: usize,
}

impl Default for Ovmf {
    /// The sections of Debian's AmdSev build.
    fn default() -> Self {
        Self {
            pages: 2,
            seed: 1,
            sections: vec![
                [0x80_0000, 0x9000, SECURE_MEMORY],
                [0x80_a000, 0x3000, SECURE_MEMORY],
                [0x80_d000, 0x1000, SECRETS],
                [0x80_e000, 0x1000, CPUID],
                [0x80_f000, 0x1000, CALLING_AREA],
                [0x81_1000, 0x1_f000, SECURE_MEMORY],
                [0x81_0000, 0x1000, KERNEL_HASHES],
            ],
            hash_table: Some([0x81_0c00, 0x400]),
            reset_address: 0x80_b004,
            unknown_entries: 1,
        }
    }
}

impl Ovmf {
    /// Any firmware that all tools take.
    pub(crate) fn random(random: &mut Random) -> Self {
        let mut sections = vec![[0, 0x1000, SECRETS], [0, 0x1000, CPUID]];
        for _ in 0..random.below(5) {
            let size = 0x1000 * (1 + u32::try_from(random.below(24)).unwrap());
            sections.push([0, size, *random.pick(&[SECURE_MEMORY, CALLING_AREA])]);
        }
        let hashes = !random.one_in(4);
        if hashes {
            sections.push([0, 0x1000, KERNEL_HASHES]);
        }
        random.shuffle(&mut sections);
        let mut gpa = 0x80_0000 + 0x1000 * u32::try_from(random.below(256)).unwrap();
        let mut hash_page = gpa;
        for [at, size, kind] in &mut sections {
            *at = gpa;
            if *kind == KERNEL_HASHES {
                hash_page = gpa;
            }
            gpa += *size;
        }
        random.shuffle(&mut sections);
        let offset = u32::try_from(random.below(4096 - 176 + 1)).unwrap();
        let hash_table = hashes.then_some([hash_page + offset, 0x400]);
        Self {
            pages: 1 + random.below(40),
            seed: random.next(),
            sections,
            hash_table,
            reset_address: random.u32() | 1,
            unknown_entries: random.below(4),
        }
    }

    /// The image.
    pub(crate) fn image(&self) -> Vec<u8> {
        let mut random = Random(self.seed);
        let mut image = random.bytes(4096 * self.pages);
        // Runs of equal pages, as real images have.
        for page in 1..self.pages {
            if random.one_in(3) {
                image.copy_within(4096 * (page - 1)..4096 * page, 4096 * page);
            }
        }
        let end = image.len();
        let metadata_offset = 0x600;
        let metadata = self.metadata();
        let start = end - metadata_offset;
        image[start..start + metadata.len()].copy_from_slice(&metadata);

        let mut entries = vec![
            entry(&u32::try_from(metadata_offset).unwrap().to_le_bytes(), METADATA),
            entry(&self.reset_address.to_le_bytes(), RESET_BLOCK),
        ];
        if let Some([base, size]) = self.hash_table {
            entries.push(entry(&[base.to_le_bytes(), size.to_le_bytes()].concat(), HASH_TABLE));
        }
        for _ in 0..self.unknown_entries {
            let length = random.below(30);
            let guid = Uuid::from_bytes(random.bytes(16).try_into().unwrap());
            entries.push(entry(&random.bytes(length), guid));
        }
        random.shuffle(&mut entries);
        let entries = entries.concat();
        let length = u16::try_from(entries.len() + 18).unwrap();
        let table = [&entries[..], &length.to_le_bytes(), &FOOTER.to_bytes_le()].concat();
        image[end - 32 - table.len()..end - 32].copy_from_slice(&table);
        image
    }

    fn metadata(&self) -> Vec<u8> {
        let count = u32::try_from(self.sections.len()).unwrap();
        let mut bytes = b"ASEV".to_vec();
        for word in [16 + 12 * count, 1, count].iter().chain(self.sections.iter().flatten()) {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

fn entry(data: &[u8], guid: Uuid) -> Vec<u8> {
    let length = u16::try_from(data.len() + 18).unwrap();
    [data, &length.to_le_bytes(), &guid.to_bytes_le()].concat()
}
