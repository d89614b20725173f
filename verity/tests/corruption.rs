//! What `build` and `verify` do with images that are damaged, cut short or made
//! up, without any tool to compare with.

#![expect(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod common;

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{Prng, params};
use sha2::{Digest, Sha512};
use verity::{
    Algorithm, Block, BuildError, BuildOptions, Device, Geometry, Memory, Params, ReadAt,
    ReadError, Region, RootHash, VerifyError, VerifyOptions, build, verify,
};

fn threads(count: usize) -> VerifyOptions<'static> {
    VerifyOptions { threads: NonZeroUsize::new(count), ..VerifyOptions::default() }
}

/// An image whose tree is alone on its device.
struct Image {
    params: Params,
    data: Vec<u8>,
    data_blocks: u64,
    hash: Vec<u8>,
    root: RootHash,
}

impl Image {
    fn new(params: Params, data: Vec<u8>) -> Self {
        let data_blocks = params.data_blocks(data.len() as u64).unwrap();
        let hash = Memory::default();
        let root = build(&data, data_blocks, &hash, 0, None, &params, &threads(2)).unwrap();
        Self { params, data, data_blocks, hash: hash.into_bytes(), root }
    }

    fn verify(&self, count: usize) -> Result<(), VerifyError> {
        let Self { params, data, data_blocks, hash, root } = self;
        verify(data, *data_blocks, hash, 0, root, params, &threads(count))
    }
}

/// The block that an error names.
fn bad_block(result: Result<(), VerifyError>) -> (Block, u64) {
    match result {
        Err(
            VerifyError::Corrupt { block, offset } | VerifyError::RootHash { block, offset, .. },
        ) => (block, offset),
        other => panic!("expected a bad block, got {other:?}"),
    }
}

#[test]
fn every_changed_byte_is_blamed_on_its_block() {
    // 8 digests in a block: levels of 10, 2 and 1 blocks, the last ones in part.
    let mut image =
        Image::new(params(Algorithm::Sha512, 1024, 512, b"pepper"), Prng(1).bytes(75 * 1024));
    image.verify(1).unwrap();
    for at in (0..image.data.len()).step_by(13) {
        image.data[at] ^= 0x20;
        let index = at as u64 / 1024;
        assert_eq!(bad_block(image.verify(1)), (Block::Data(index), index * 1024));
        image.data[at] ^= 0x20;
    }
    assert_eq!(image.hash.len(), 13 * 512);
    for at in 0..image.hash.len() {
        image.hash[at] ^= 1;
        let block = at as u64 / 512;
        let expected = match block {
            0 => Block::Hash { level: 2, index: 0 },
            1..=2 => Block::Hash { level: 1, index: block - 1 },
            _ => Block::Hash { level: 0, index: block - 3 },
        };
        let result = image.verify(1);
        assert_eq!(block == 0, matches!(result, Err(VerifyError::RootHash { .. })), "{at}");
        assert_eq!(bad_block(result), (expected, block * 512), "{at}");
        image.hash[at] ^= 1;
    }
    image.verify(1).unwrap();
}

#[test]
fn one_block_is_checked_against_the_root_hash_itself() {
    let mut image = Image::new(params(Algorithm::Sha256, 4096, 512, b""), vec![7; 4096]);
    assert_eq!(image.hash, []);
    image.verify(1).unwrap();
    image.data[4095] = 8;
    let result = image.verify(1);
    assert!(matches!(result, Err(VerifyError::RootHash { block: Block::Data(0), offset: 0, .. })));
}

#[test]
fn the_first_bad_block_is_named_however_many_threads_look() {
    let mut image =
        Image::new(params(Algorithm::Sha256, 4096, 4096, b"s"), Prng(2).bytes(24 << 20));
    for at in [5_003_000, 5_020_000, 9_000_000, 24_000_000] {
        image.data[at] ^= 1;
    }
    // The last blocks of level 0, above data behind all of these.
    let end = image.hash.len();
    image.hash[end - 5000] ^= 1;
    for count in [1, 2, 3, 8, 64] {
        for _ in 0..5 {
            assert_eq!(bad_block(image.verify(count)).0, Block::Data(5_003_000 / 4096));
        }
    }
    // A hash block comes before the data below it.
    image.hash[4096] ^= 1;
    for count in [1, 2, 8] {
        assert_eq!(bad_block(image.verify(count)).0, Block::Hash { level: 0, index: 0 });
    }
}

#[test]
fn threads_and_zeros_do_not_change_the_tree() {
    let mut data = Prng(3).bytes(9 << 20);
    data[1 << 20..3 << 20].fill(0);
    data.truncate((9 << 20) - 512);
    for (algorithm, hash_block) in
        [(Algorithm::Sha256, 512), (Algorithm::Sha256, 4096), (Algorithm::Sha512, 512)]
    {
        let params = params(algorithm, 512, hash_block, &[0x5a; 200]);
        let blocks = params.data_blocks(data.len() as u64).unwrap();
        let results = [1, 2, 3, 16].map(|count| {
            let hash = Memory::default();
            let root = build(&data, blocks, &hash, 0, None, &params, &threads(count)).unwrap();
            (root, hash.into_bytes())
        });
        for result in &results {
            assert!(*result == results[0]);
        }
        let size = Geometry::new(&params, blocks).unwrap().tree_bytes();
        assert_eq!(results[0].1.len() as u64, size);
    }
}

#[test]
fn other_trusted_values_do_not_fit() {
    let image =
        Image::new(params(Algorithm::Sha256, 1024, 1024, b"salt"), Prng(4).bytes(200 << 10));
    let check = |params: &Params, blocks, start, root: &RootHash| {
        verify(&image.data, blocks, &image.hash, start, root, params, &threads(2))
    };
    check(&image.params, 200, 0, &image.root).unwrap();

    let other_root = RootHash::new(&[1; 32]).unwrap();
    let error = check(&image.params, 200, 0, &other_root).unwrap_err();
    assert!(matches!(error, VerifyError::RootHash { found, .. } if found == image.root));
    let long_root = RootHash::new(&[1; 64]).unwrap();
    let error = check(&image.params, 200, 0, &long_root).unwrap_err();
    assert!(matches!(error, VerifyError::RootHashLength { .. }));

    let salt = params(Algorithm::Sha256, 1024, 1024, b"Salt");
    let smaller = params(Algorithm::Sha256, 1024, 512, b"salt");
    for (params, start) in [(&salt, 0), (&smaller, 0), (&image.params, 1)] {
        let error = check(params, 200, start, &image.root).unwrap_err();
        let top = params.hash_block_size.bytes() * start;
        assert!(
            matches!(error, VerifyError::RootHash { offset, .. } if offset == top),
            "{error:?}"
        );
    }
    // Another number of blocks comes out later: in a tree of another depth at the
    // first digest, in one of the same depth at the end.
    let error = check(&image.params, 20, 0, &image.root).unwrap_err();
    assert!(matches!(error, VerifyError::Corrupt { block: Block::Data(0), .. }), "{error:?}");
    let error = check(&image.params, 199, 0, &image.root).unwrap_err();
    let last = Block::Hash { level: 0, index: 6 };
    assert!(matches!(error, VerifyError::Padding { block, .. } if block == last), "{error:?}");
    let error = check(&image.params, 201, 0, &image.root).unwrap_err();
    assert!(matches!(error, VerifyError::Read(_)), "{error:?}");
    assert!(matches!(check(&image.params, 0, 0, &image.root), Err(VerifyError::Geometry(_))));
}

#[test]
fn padding_is_zero_even_where_the_root_hash_vouches_for_it() {
    let params = params(Algorithm::Sha512, 512, 512, b"");
    let data = Prng(5).bytes(3 * 512);
    let mut tree: Vec<u8> = data.chunks(512).flat_map(Sha512::digest).collect();
    tree.resize(512, 0);
    let check = |tree: &Vec<u8>| {
        let root = RootHash::new(&Sha512::digest(tree)).unwrap();
        verify(&data, 3, tree, 0, &root, &params, &threads(1))
    };
    check(&tree).unwrap();
    for at in [3 * 64, 511] {
        let mut tree = tree.clone();
        tree[at] = 1;
        let block = Block::Hash { level: 0, index: 0 };
        let result = check(&tree);
        assert!(
            matches!(result, Err(VerifyError::Padding { block: b, offset: 0 }) if b == block),
            "{result:?}"
        );
    }
}

#[test]
fn short_devices_are_told_from_corrupt_ones() {
    let image = Image::new(params(Algorithm::Sha256, 4096, 4096, b""), Prng(6).bytes(3 << 20));
    let Image { params, data, data_blocks, hash, root } = &image;
    let short = Region::new(data, 0, data.len() as u64 - 1);
    let error = build(&short, *data_blocks, &Memory::default(), 0, None, params, &threads(2));
    let Err(BuildError::Read(ReadError::Ended { device: Device::Data, offset, len })) = error
    else {
        panic!("{error:?}");
    };
    assert_eq!(offset + len, data.len() as u64);

    let error = verify(&short, *data_blocks, hash, 0, root, params, &threads(2));
    assert!(matches!(error, Err(VerifyError::Read(ReadError::Ended { device: Device::Data, .. }))));
    let short = Region::new(hash, 0, hash.len() as u64 - 1);
    let error = verify(data, *data_blocks, &short, 0, root, params, &threads(2));
    let Err(VerifyError::Read(ReadError::Ended { device: Device::Hash, offset, len })) = error
    else {
        panic!("{error:?}");
    };
    assert_eq!(offset + len, hash.len() as u64);
}

/// A device that fails, once a number of bytes has been read.
struct Failing<'a>(&'a [u8], AtomicU64, io::ErrorKind);

impl ReadAt for Failing<'_> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        if self.1.fetch_add(buf.len() as u64, Ordering::Relaxed) > 1 << 20 {
            return Err(self.2.into());
        }
        self.0.read_exact_at(buf, offset)
    }
}

#[test]
fn data_that_shrinks_or_fails_during_the_build_is_an_error() {
    let data = vec![1; 4 << 20];
    let params = params(Algorithm::Sha256, 4096, 4096, b"");
    for kind in [io::ErrorKind::UnexpectedEof, io::ErrorKind::Other] {
        for count in [1, 4] {
            let failing = Failing(&data, AtomicU64::new(0), kind);
            let hash = Memory::default();
            let result = build(&failing, 1024, &hash, 0, None, &params, &threads(count));
            let Err(BuildError::Read(error)) = result else { panic!("{result:?}") };
            let ended = matches!(error, ReadError::Ended { device: Device::Data, .. });
            assert_eq!(ended, kind == io::ErrorKind::UnexpectedEof);
        }
    }
}

#[test]
fn a_hash_device_that_is_full_is_an_error_and_gets_no_superblock() {
    let data = vec![1; 4 << 20];
    let params = params(Algorithm::Sha256, 4096, 4096, b"");
    let hash = Memory::new(vec![0xee; 10 * 4096]);
    let full = Region::new(&hash, 0, 4096 * 5);
    let result =
        build(&data, 1024, &full, 0, Some(uuid::Uuid::nil()), &params, &BuildOptions::default());
    // Superblock, top level, then eight blocks of level 0.
    let Err(BuildError::Write { offset, .. }) = result else { panic!("{result:?}") };
    assert_eq!(offset, 5 * 4096);
    assert_eq!(hash.into_bytes()[..4096], [0xee; 4096]);
}

#[test]
fn a_wrong_offset_is_refused_before_anything_is_written() {
    let params = params(Algorithm::Sha256, 4096, 4096, b"");
    let hash = Memory::default();
    for (offset, superblock) in [(1, Some(uuid::Uuid::nil())), (512, None), (u64::MAX - 511, None)]
    {
        let result =
            build(&vec![0; 8192], 2, &hash, offset, superblock, &params, &BuildOptions::default());
        assert!(matches!(result, Err(BuildError::Geometry(_))), "{offset}");
    }
    let result = build(&vec![0; 0], 0, &hash, 0, None, &params, &BuildOptions::default());
    assert!(matches!(result, Err(BuildError::Geometry(_))));
    assert_eq!(hash.into_bytes(), []);
}

/// Counts how often each offset is read.
struct Counting<'a>(&'a [u8], Mutex<BTreeMap<u64, u64>>);

impl ReadAt for Counting<'_> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let mut counts = self.1.lock().unwrap();
        for at in (offset..offset + buf.len() as u64).step_by(512) {
            *counts.entry(at).or_default() += 1;
        }
        self.0.read_exact_at(buf, offset)
    }
}

impl Counting<'_> {
    fn assert_all_once(&self) {
        let counts = self.1.lock().unwrap();
        assert_eq!(counts.len(), self.0.len() / 512);
        assert!(counts.values().all(|count| *count == 1));
    }
}

/// Attack: a device that answers a second read of a block with something else.
/// Nothing is read twice, so there is no second answer.
#[test]
fn everything_is_read_once_and_progress_adds_up() {
    let image = Image::new(params(Algorithm::Sha512, 512, 512, b""), Prng(7).bytes(5 << 19));
    let done = AtomicU64::new(0);
    let progress = |bytes| {
        done.fetch_add(bytes, Ordering::Relaxed);
    };
    let options = VerifyOptions { threads: NonZeroUsize::new(1), progress: &progress };
    let Image { params, data, data_blocks, hash, root } = &image;
    let counted = Counting(data, Mutex::default());
    let tree = Counting(hash, Mutex::default());
    verify(&counted, *data_blocks, &tree, 0, root, params, &options).unwrap();
    counted.assert_all_once();
    tree.assert_all_once();
    assert_eq!(done.swap(0, Ordering::Relaxed), data.len() as u64);

    let counted = Counting(data, Mutex::default());
    let options = BuildOptions { threads: NonZeroUsize::new(3), progress: &progress };
    build(&counted, *data_blocks, &Memory::default(), 0, None, params, &options).unwrap();
    counted.assert_all_once();
    assert_eq!(done.into_inner(), data.len() as u64);
}

/// Attack: the superblock says what the attacker likes. It is not read.
#[test]
fn the_superblock_is_not_looked_at() {
    let params = params(Algorithm::Sha256, 4096, 1024, b"salt");
    let data = Prng(8).bytes(1 << 20);
    let hash = Memory::default();
    let uuid = Some(uuid::Uuid::nil());
    let root = build(&data, 256, &hash, 4096, uuid, &params, &BuildOptions::default()).unwrap();
    let mut hash = hash.into_bytes();
    hash[..5120].fill(0xff);
    verify(&data, 256, &hash, 5, &root, &params, &VerifyOptions::default()).unwrap();
}
