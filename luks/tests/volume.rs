//! What is sealed is opened again, whatever cipher, sector size and threads; and
//! any change of the disk is noticed where it is.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{Disk, ID, pattern, sealed, secret, spec};
use luks::{
    Cipher, Epoch, Memory, OpenError, Options, SealError, Secret, SectorSize, SuperblockError,
    Volume, VolumeKey, VolumeSpec, WriteAt, seal,
};
use rand_core::OsRng;

fn all() -> impl Iterator<Item = VolumeSpec> {
    let sizes = [SectorSize::B512, SectorSize::B4096];
    let pairs = Cipher::ALL.into_iter().flat_map(move |cipher| sizes.map(|size| (cipher, size)));
    pairs.map(|(cipher, size)| spec(cipher, size, 8))
}

fn key(spec: &VolumeSpec) -> VolumeKey {
    VolumeKey::derive(&secret(), spec)
}

#[test]
fn what_is_sealed_is_opened() {
    for spec in all() {
        let data = pattern(1_000_003);
        let disk = sealed(&spec, &data);
        let volume = Volume::open(spec.layout(), &key(&spec), &disk).unwrap();
        assert_eq!(volume.epoch(&spec).unwrap(), Epoch::FIRST);

        let bytes = spec.file_system_sectors() * 512;
        let out = Memory::default();
        let done = AtomicU64::new(0);
        let progress = |more| {
            done.fetch_add(more, Ordering::Relaxed);
        };
        let options = Options { progress: &progress, ..Options::default() };
        volume.decrypt(bytes, &out, &options).unwrap();
        assert_eq!(done.into_inner(), bytes);
        let mut found = out.into_bytes();
        found.resize(usize::try_from(bytes).unwrap(), 0);
        assert!(found[..data.len()] == data[..]);
        assert!(found[data.len()..].iter().all(|byte| *byte == 0));

        // Nothing of it is on the disk in clear.
        let on_disk = disk.bytes();
        assert!(!on_disk.windows(16).any(|window| window == &data[4096..4112]));
    }
}

/// The IVs of the first cipher are the sectors' numbers, so the bytes are the same
/// whatever the threads; the others have random ones.
#[test]
fn threads_do_not_change_the_disk() {
    let spec = spec(Cipher::AesXtsHmacSha256, SectorSize::B4096, 8);
    let data = pattern(700_000);
    let disks = [1, 2, 7].map(|threads| {
        let disk = Disk::blank(&spec);
        let options = Options { threads: NonZeroUsize::new(threads), ..Options::default() };
        seal(&spec, &key(&spec), &data, 700_000, &disk, &mut OsRng, &options).unwrap();
        disk.bytes()
    });
    assert!(disks[0] == disks[1] && disks[1] == disks[2]);
    let random = common::spec(Cipher::AesGcmRandom, SectorSize::B4096, 8);
    assert!(sealed(&random, &data).bytes() != sealed(&random, &data).bytes());
}

/// Whatever interrupts a run, there is no superblock, so it is no volume yet.
#[test]
fn the_content_alone_is_no_volume() {
    let spec = spec(Cipher::AesXtsHmacSha256, SectorSize::B4096, 8);
    let (data, options) = (pattern(700_000), Options::default());
    let disk = Disk::blank(&spec);
    luks::seal_content(&spec, &key(&spec), &data, 700_000, &disk, &mut OsRng, &options).unwrap();
    let at = usize::try_from(spec.layout().params().data_offset * 512).unwrap();
    let (content, whole) = (disk.bytes(), sealed(&spec, &data).bytes());
    assert!(content[at..at + 4096].iter().all(|byte| *byte == 0));
    assert!(content[at + 4096..] == whole[at + 4096..]);
    assert_eq!(whole[at..at + 4096], spec.layout().superblock());
}

#[test]
fn data_that_does_not_fit_or_shrinks_is_an_error() {
    let spec = spec(Cipher::AesXtsHmacSha256, SectorSize::B4096, 8);
    let (disk, options) = (Memory::default(), Options::default());
    let room = spec.file_system_sectors() * 512;
    let data = pattern(usize::try_from(room).unwrap() + 1);
    let try_seal =
        |data: &[u8], bytes| seal(&spec, &key(&spec), data, bytes, &disk, &mut OsRng, &options);
    let error = try_seal(&data, room + 1).unwrap_err();
    assert!(matches!(error, SealError::DataTooLarge { .. }));
    let error = try_seal(&data[..5000], 5001).unwrap_err();
    assert!(matches!(error, SealError::Ended { offset: 0, len: 5001 }), "{error:?}");
    try_seal(&data, room).unwrap();
    let other = common::spec(Cipher::AesGcmRandom, SectorSize::B4096, 8);
    let error = seal(&spec, &key(&other), &[0_u8; 0][..], 0, &disk, &mut OsRng, &options);
    assert!(matches!(error, Err(SealError::Key)));
}

/// Another secret, and another specification with the same secret, are other keys.
#[test]
fn a_wrong_key_opens_nothing() {
    for spec in all() {
        let disk = sealed(&spec, &pattern(5000));
        let other_secret = VolumeKey::derive(&Secret::new(&[0x12; 32]), &spec);
        let other_id = uuid::Uuid::from_u128(ID.as_u128() + 1);
        let other_spec = VolumeSpec::new(*spec.layout(), other_id, None).unwrap();
        for key in [other_secret, key(&other_spec)] {
            let volume = Volume::open(spec.layout(), &key, &disk).unwrap();
            let mut buffer = vec![7; 4096];
            let error = volume.read(&mut buffer, 0).unwrap_err();
            assert!(matches!(error, OpenError::NotAuthentic { sector: 0 }));
            assert_eq!(buffer, vec![0; 4096], "nothing unauthenticated comes out");
            let error = volume.epoch(&spec).unwrap_err();
            assert!(matches!(error, OpenError::NotAuthentic { .. }));
        }
    }
}

/// A flipped bit of a block or its metadata, and blocks that change places with
/// their metadata, are noticed at that block; other blocks stay readable.
#[test]
fn every_change_is_noticed_where_it_is() {
    for spec in all() {
        let params = spec.layout().params();
        let (block, size) = (u64::from(params.sector_size.bytes()), params.cipher.metadata_size());
        let disk = sealed(&spec, &pattern(1 << 20));
        let key = key(&spec);
        let read = |sector: u64| {
            let volume = Volume::open(spec.layout(), &key, &disk).unwrap();
            volume.read(&mut vec![0; usize::try_from(block).unwrap()], sector)
        };
        let noticed = |sector: u64| {
            let error = read(sector).unwrap_err();
            assert!(matches!(error, OpenError::NotAuthentic { sector: found } if found == sector));
            read(sector - 8).unwrap();
            read(sector + 8).unwrap();
        };
        // Blocks of the second area.
        let (one, other) = (600, 640);
        let (data, metadata) = common::place(&spec, one);
        let bytes = [data, data + 17, data + block - 1].into_iter();
        for at in bytes.chain(metadata..metadata + size as u64) {
            disk.flip(at, 0x10);
            noticed(one);
            disk.flip(at, 0x10);
        }
        read(one).unwrap();
        let (other_data, other_metadata) = common::place(&spec, other);
        disk.swap(data, other_data, usize::try_from(block).unwrap());
        disk.swap(metadata, other_metadata, size);
        noticed(one);
        noticed(other);
    }
}

fn differing(a: &[u8], b: &[u8]) -> Vec<u64> {
    (0_u64..).zip(a.iter().zip(b)).filter(|(_, (a, b))| a != b).map(|(at, _)| at).collect()
}

#[test]
fn an_old_sector_is_accepted_as_the_format_has_it() {
    let spec = spec(Cipher::AesXtsHmacSha256, SectorSize::B4096, 8);
    let old = sealed(&spec, &pattern(100_000));
    let mut content = pattern(100_000);
    content[50_000] ^= 1;
    let new = sealed(&spec, &content);
    // The host puts back what differs: data and tag of one block.
    let (old_bytes, new_bytes) = (old.bytes(), new.bytes());
    for at in differing(&old_bytes, &new_bytes) {
        let at_usize = usize::try_from(at).unwrap();
        new.flip(at, old_bytes[at_usize] ^ new_bytes[at_usize]);
    }
    let volume = Volume::open(spec.layout(), &key(&spec), &new).unwrap();
    let mut block = vec![0; 4096];
    volume.read(&mut block, 96).unwrap();
    assert!(block == pattern(100_000)[49_152..53_248], "exactly the old content");
}

#[test]
fn superblock_and_journal_are_checked_before_anything_is_read() {
    let spec = spec(Cipher::AesXtsHmacSha256, SectorSize::B4096, 8);
    let disk = sealed(&spec, &pattern(5000));
    let key = key(&spec);
    let open = |disk: &Disk| Volume::open(spec.layout(), &key, disk).err().unwrap();
    disk.flip(8 * 512 + 24, 1);
    let error = open(&disk);
    assert!(
        matches!(error, OpenError::Superblock(SuperblockError::Differs { field: "flags", .. })),
        "{error:?}"
    );
    disk.flip(8 * 512 + 24, 1);
    disk.flip(16 * 512 + 504, 1);
    assert!(matches!(open(&disk), OpenError::Journal(_)));
    disk.flip(16 * 512 + 504, 1);
    disk.write_all_at(&[0; 4096], 8 * 512).unwrap();
    assert!(matches!(open(&disk), OpenError::Superblock(SuperblockError::Blank)));
}

#[test]
fn reads_stay_inside() {
    let spec = spec(Cipher::AesXtsHmacSha256, SectorSize::B4096, 8);
    let disk = sealed(&spec, &[]);
    let volume = Volume::open(spec.layout(), &key(&spec), &disk).unwrap();
    let end = spec.layout().volume_sectors();
    for (sector, bytes) in [(end, 4096), (u64::MAX, 4096), (4, 4096), (0, 512), (end - 8, 8192)] {
        let error = volume.read(&mut vec![0; bytes], sector).unwrap_err();
        assert!(matches!(error, OpenError::NotAuthentic { .. }), "{sector} {bytes}");
    }
    volume.read(&mut [0; 4096], end - 8).unwrap();
    let out = Memory::default();
    for bytes in [1, 512, (end + 8) * 512, u64::MAX] {
        let error = volume.decrypt(bytes, &out, &Options::default()).unwrap_err();
        assert!(matches!(error, OpenError::Range { .. }), "{bytes}");
    }
    let half: Vec<u8> = disk.bytes().into_iter().take(700_000).collect();
    let volume = Volume::open(spec.layout(), &key(&spec), &half).unwrap();
    let error = volume.read(&mut [0; 4096], end - 8).unwrap_err();
    assert!(matches!(error, OpenError::Ended { .. }));
}
