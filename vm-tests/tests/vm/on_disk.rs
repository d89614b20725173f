//! What an attacker knows of a volume's disk: where the kernel keeps what. Written down a
//! second time, from `drivers/md/dm-integrity.c`, so that the tests do not believe the
//! crate `luks` in what they change. No key is needed for any of it.

use luks::{LayoutParams, VolumeSpec};
use vm_tests::nbd::Image;

/// The commit ID of the first sequence.
const COMMIT: u64 = 0x1111_1111_1111_1111;
/// Sectors of a journal section with entries, the bytes of one that entries may use.
const ENTRY_SECTORS: u64 = 8;
const ENTRY_BYTES: u64 = 504;
const SECTOR: u64 = 512;

/// Ciphertext and metadata of one sector of a volume.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) data: Vec<u8>,
    pub(crate) metadata: Vec<u8>,
}

/// The places of a volume.
pub(crate) struct OnDisk {
    params: LayoutParams,
    /// Bytes of a sector of the volume, and of its metadata.
    block: u64,
    metadata: u64,
}

impl OnDisk {
    pub(crate) fn of(spec: &VolumeSpec) -> Self {
        let params = *spec.layout().params();
        let metadata = params.cipher.metadata_size() as u64;
        Self { params, block: u64::from(params.sector_size.bytes()), metadata }
    }

    /// Where the data and the metadata of a byte of the volume are, in bytes.
    pub(crate) fn places(&self, offset: u64) -> (u64, u64) {
        let area_size = SECTOR << self.params.interleave_log2;
        let run = (area_size / self.block * self.metadata).next_multiple_of(4096);
        let (area, within) = (offset / area_size, offset % area_size);
        let start = self.journal() + u64::from(self.params.journal_sectors) * SECTOR;
        let metadata = start + area * (area_size + run);
        (metadata + run + within, metadata + within / self.block * self.metadata)
    }

    /// What is there.
    pub(crate) fn take(&self, image: &Image, offset: u64) -> Sealed {
        let (data, metadata) = self.places(offset);
        let size = |bytes| usize::try_from(bytes).unwrap();
        Sealed {
            data: image.peek(data, size(self.block)),
            metadata: image.peek(metadata, size(self.metadata)),
        }
    }

    /// Puts something there instead.
    pub(crate) fn put(&self, image: &Image, offset: u64, sealed: &Sealed) {
        let (data, metadata) = self.places(offset);
        image.poke(data, &sealed.data);
        image.poke(metadata, &sealed.metadata);
    }

    /// Makes the journal say that this was written to that byte of the volume, as if the
    /// machine had stopped before it got there.
    pub(crate) fn write_to_journal(&self, image: &Image, offset: u64, sealed: &Sealed) {
        let entry_size = (8 + 8 * (self.block / SECTOR) + self.metadata).next_multiple_of(8);
        let entries = ENTRY_BYTES / entry_size * ENTRY_SECTORS;
        let sectors = ENTRY_SECTORS + entries * self.block / SECTOR;
        let size = |number: u64| usize::try_from(number).unwrap();
        for section in 0..u64::from(self.params.journal_sectors) / sectors {
            let mut bytes = vec![0; size(sectors * SECTOR)];
            let mut put = |at: u64, content: &[u8]| {
                bytes[size(at)..size(at) + content.len()].copy_from_slice(content);
            };
            for entry in 0..entries {
                let at = entry % ENTRY_SECTORS * SECTOR + entry / ENTRY_SECTORS * entry_size;
                put(at + 4, &[0xff; 4]);
            }
            if section == 0 {
                // The first entry: the sector, the last 8 bytes of each 512 of the data
                // (a commit ID is in their place), the metadata.
                let last = sealed.data.as_chunks::<512>().0.iter().map(|part| &part[504..]);
                let last: Vec<u8> = last.flatten().copied().collect();
                let number = (offset / SECTOR).to_le_bytes();
                put(0, &[&number, &last[..], &sealed.metadata].concat());
                put(ENTRY_SECTORS * SECTOR, &sealed.data);
            }
            for (sector, bytes) in (0..).zip(bytes.as_chunks_mut::<512>().0) {
                let id = COMMIT ^ (section << 32 | sector);
                bytes[504..].copy_from_slice(&id.to_le_bytes());
            }
            image.poke(self.journal() + section * sectors * SECTOR, &bytes);
        }
    }

    /// Where the journal starts, in bytes: behind the superblock.
    fn journal(&self) -> u64 {
        (self.params.data_offset + 8) * SECTOR
    }
}
