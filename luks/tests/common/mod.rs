//! What the tests share.
#![allow(dead_code, reason = "each test program uses a part")]

use std::sync::atomic::{AtomicU8, Ordering};

use luks::{
    Cipher, HEADER_SIZE, HeaderKey, LUKS2_DATA_OFFSET, Layout, LayoutParams, NewHeader, Options,
    ReadAt, Secret, SectorSize, VolumeKey, VolumeSpec, WriteAt, seal,
};
use rand_core::OsRng;
use uuid::Uuid;

pub(crate) const ID: Uuid = Uuid::from_u128(0x0011_2233_4455_4677_8899_aabb_ccdd_eeff);

/// A specification with small areas, so that there are several.
pub(crate) fn spec(cipher: Cipher, sector_size: SectorSize, data_offset: u64) -> VolumeSpec {
    let params = LayoutParams {
        interleave_log2: 9,
        ..LayoutParams::with_default_journal(cipher, sector_size, data_offset + 4096, data_offset)
    };
    VolumeSpec::new(Layout::new(params).unwrap(), ID, None).unwrap()
}

pub(crate) fn secret() -> Secret {
    Secret::new(&[0x11; 32])
}

/// A pattern in which no two blocks are the same.
pub(crate) fn pattern(bytes: usize) -> Vec<u8> {
    let words = (0..bytes.div_ceil(8)).map(|index| (index as u64 + 1).to_le_bytes());
    let mut pattern = words.collect::<Vec<_>>().concat();
    pattern.truncate(bytes);
    pattern
}

/// A blank disk in memory of a fixed size.
pub(crate) struct Disk(pub(crate) Vec<AtomicU8>);

impl Disk {
    pub(crate) fn blank(spec: &VolumeSpec) -> Self {
        let bytes = usize::try_from(spec.layout().params().device_sectors * 512).unwrap();
        Self((0..bytes).map(|_| AtomicU8::new(0)).collect())
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.iter().map(|byte| byte.load(Ordering::Relaxed)).collect()
    }

    pub(crate) fn flip(&self, offset: u64, bit: u8) {
        let at = usize::try_from(offset).unwrap();
        self.0.get(at).unwrap().fetch_xor(bit, Ordering::Relaxed);
    }

    /// Lets two runs of bytes change places.
    pub(crate) fn swap(&self, one: u64, other: u64, bytes: usize) {
        let (mut first, mut second) = (vec![0; bytes], vec![0; bytes]);
        self.read_exact_at(&mut first, one).unwrap();
        self.read_exact_at(&mut second, other).unwrap();
        self.write_all_at(&second, one).unwrap();
        self.write_all_at(&first, other).unwrap();
    }
}

impl ReadAt for Disk {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<()> {
        let offset = usize::try_from(offset).unwrap();
        let from = self.0.get(offset..offset + buf.len());
        let from = from.ok_or(std::io::ErrorKind::UnexpectedEof)?;
        buf.iter_mut().zip(from).for_each(|(to, from)| *to = from.load(Ordering::Relaxed));
        Ok(())
    }
}

impl WriteAt for Disk {
    fn write_all_at(&self, buf: &[u8], offset: u64) -> std::io::Result<()> {
        let offset = usize::try_from(offset).unwrap();
        let to = self.0.get(offset..offset + buf.len());
        let to = to.ok_or(std::io::ErrorKind::StorageFull)?;
        to.iter().zip(buf).for_each(|(to, from)| to.store(*from, Ordering::Relaxed));
        Ok(())
    }
}

/// Where a sector's data and its metadata are on the disk, in bytes: the kernel's
/// formula, written down a second time.
pub(crate) fn place(spec: &VolumeSpec, sector: u64) -> (u64, u64) {
    let params = spec.layout().params();
    let (block, tag) =
        (u64::from(params.sector_size.bytes()), params.cipher.metadata_size() as u64);
    let interleave = 1 << params.interleave_log2;
    let initial = params.data_offset + 8 + u64::from(params.journal_sectors);
    let run = (interleave * 512 / block * tag).div_ceil(4096) * 8;
    let (area, offset) = (sector / interleave, sector % interleave);
    let data = initial + area * interleave + (area + 1) * run + offset;
    let metadata = (initial + area * interleave + area * run) * 512 + offset * 512 / block * tag;
    (data * 512, metadata)
}

/// A sealed volume without a header.
pub(crate) fn sealed(spec: &VolumeSpec, data: &[u8]) -> Disk {
    let disk = Disk::blank(spec);
    let key = VolumeKey::derive(&secret(), spec);
    let options = Options::default();
    seal(spec, &key, data, data.len() as u64, &disk, &mut OsRng, &options).unwrap();
    disk
}

/// A header of a disk with a volume, unlocked by [`secret`].
pub(crate) fn header(cipher: Cipher) -> Vec<u8> {
    let spec = spec(cipher, SectorSize::B4096, LUKS2_DATA_OFFSET);
    let key = VolumeKey::derive(&secret(), &spec);
    let secret = secret();
    let unlock = HeaderKey::Secret(&secret);
    let bytes = NewHeader { spec: &spec, key: &key, unlock }.to_bytes(&mut OsRng).unwrap();
    assert_eq!(bytes.len(), HEADER_SIZE);
    bytes
}
