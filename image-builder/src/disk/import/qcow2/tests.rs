//! Images written by hand, with clusters of 512 bytes: each table entry is where a test wants
//! it. QEMU's own images are in `tests/disk_qcow2.rs`.

use std::io::Write;

use super::*;

const CLUSTER: usize = 512;
/// 64 entries of an L2 table, 512 bytes each.
const TABLE: u64 = 32768;
/// Bytes of the disk: three L2 tables, the last one not whole.
const SIZE: u64 = 2 * TABLE + 1000;

/// An image: header, L1 table, refcount table, and two L2 tables for the first and the third
/// part of the disk, with two clusters of content behind them.
struct Image(Vec<u8>);

const L1: usize = CLUSTER;
const FIRST: usize = 3 * CLUSTER;
const THIRD: usize = 4 * CLUSTER;
const CONTENT: usize = 5 * CLUSTER;

impl Image {
    fn new() -> Self {
        let mut image = Self(vec![0; 7 * CLUSTER]);
        image.0[..4].copy_from_slice(MAGIC);
        image.u32(4, 3).u32(20, 9).u64(24, SIZE).u32(36, 3).u64(40, L1 as u64);
        image.u64(48, 2 * CLUSTER as u64).u32(56, 1).u32(96, 4).u32(100, 104);
        image.u64(L1, FIRST as u64 | COPIED).u64(L1 + 16, THIRD as u64 | COPIED);
        image.u64(FIRST + 8, CONTENT as u64 | COPIED).u64(FIRST + 16, ZERO);
        image.u64(THIRD, (CONTENT + CLUSTER) as u64 | COPIED);
        image.0[CONTENT..][..CLUSTER].fill(b'a');
        image.0[CONTENT + CLUSTER..].fill(b'b');
        image
    }

    fn u32(&mut self, offset: usize, value: u32) -> &mut Self {
        self.0[offset..offset + 4].copy_from_slice(&value.to_be_bytes());
        self
    }

    fn u64(&mut self, offset: usize, value: u64) -> &mut Self {
        self.0[offset..offset + 8].copy_from_slice(&value.to_be_bytes());
        self
    }

    fn open(&self) -> Result<Qcow2<Vec<u8>>, Qcow2Error> {
        Qcow2::open(self.0.clone(), self.0.len() as u64)
    }

    /// All of the disk.
    fn read(&self) -> Result<Vec<u8>, Qcow2Error> {
        let image = self.open()?;
        let mut whole = vec![9; usize::try_from(image.size()).unwrap()];
        image
            .read_exact_at(&mut whole, 0)
            .map_err(|error| *error.into_inner().unwrap().downcast::<Qcow2Error>().unwrap())?;
        Ok(whole)
    }
}

fn expected() -> Vec<u8> {
    let mut disk = vec![0; usize::try_from(SIZE).unwrap()];
    disk[512..1024].fill(b'a');
    disk[65536..66048].fill(b'b');
    disk
}

#[test]
fn what_has_no_cluster_is_zeros() {
    assert!(Image::new().read().unwrap() == expected());
    let image = Image::new().open().unwrap();
    let mut middle = [9; 10];
    image.read_exact_at(&mut middle, 1020).unwrap();
    assert_eq!(&middle, b"aaaa\0\0\0\0\0\0");
    for (start, found) in [(0, Some(512)), (600, Some(600)), (1024, Some(65536)), (66048, None)] {
        assert_eq!(image.next_content(start, SIZE).unwrap(), found, "{start}");
    }
    assert_eq!(image.next_content(1024, 65536).unwrap(), None);
    for offset in [SIZE - 9, SIZE, u64::MAX] {
        let error = image.read_exact_at(&mut middle, offset).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}

#[test]
fn the_last_cluster_need_not_be_whole() {
    let mut image = Image::new();
    image.0.truncate(6 * CLUSTER + 100);
    let mut disk = expected();
    disk[65636..].fill(0);
    assert!(image.read().unwrap() == disk);
}

/// Puts a compressed cluster at the end, for the second cluster of the disk. `offset` is where
/// it starts, in bytes behind the last cluster.
fn compressed(image: &mut Image, packed: &[u8], offset: usize) {
    let start = image.0.len() + offset;
    image.0.resize(start, 0xee);
    image.0.extend(packed);
    let sectors = (start % 512 + packed.len()).div_ceil(512) as u64 - 1;
    image.u64(FIRST + 8, COMPRESSED | sectors << 61 | start as u64);
}

#[test]
fn compressed_clusters_are_unpacked() {
    let content: Vec<u8> = (0..CLUSTER).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&content).unwrap();
    let deflated = encoder.finish().unwrap();
    let zstd = zstd::bulk::compress(&content, 3).unwrap();
    let mut disk = expected();
    disk[512..1024].copy_from_slice(&content);
    for (packed, kind) in [(deflated, 0), (zstd, 1)] {
        // With what may follow in the last sector, and cut off where the file ends.
        for offset in [0, 77] {
            for rest in [0, 100] {
                let mut image = Image::new();
                image.u64(72, COMPRESSION_TYPE).u32(100, 112);
                image.0[104] = kind;
                compressed(&mut image, &packed, offset);
                image.0.resize(image.0.len() + rest, 0xee);
                assert!(image.read().unwrap() == disk, "{kind} {offset} {rest}");
            }
        }
        let mut cut = Image::new();
        cut.u64(72, COMPRESSION_TYPE).u32(100, 112);
        cut.0[104] = kind;
        compressed(&mut cut, &packed[..packed.len() / 2], 0);
        let error = cut.read().unwrap_err();
        assert!(matches!(error, Qcow2Error::Unpack { guest: 512, .. }), "{error:?}");
    }
}

const COMPRESSION_TYPE: u64 = 8;

#[test]
fn what_is_not_supported_is_refused_by_name() {
    type Case = (fn(&mut Image), fn(&Qcow2Error) -> bool);
    let cases: &[Case] = &[
        (|i| _ = i.u32(4, 1), |e| matches!(e, Qcow2Error::Version(1))),
        (|i| _ = i.u32(4, 4), |e| matches!(e, Qcow2Error::Version(4))),
        (|i| _ = i.u64(8, 4000).u32(16, 10), |e| matches!(e, Qcow2Error::BackingFile)),
        (|i| _ = i.u32(32, 2), |e| matches!(e, Qcow2Error::Encrypted { method: 2 })),
        (|i| _ = i.u32(60, 3), |e| matches!(e, Qcow2Error::Snapshots { count: 3 })),
        (|i| _ = i.u64(72, 2), |e| matches!(e, Qcow2Error::MarkedCorrupt)),
        (|i| _ = i.u64(72, 4), |e| matches!(e, Qcow2Error::ExternalDataFile)),
        (|i| _ = i.u64(72, 16), |e| matches!(e, Qcow2Error::ExtendedL2)),
        (|i| _ = i.u64(72, 32), |e| matches!(e, Qcow2Error::Feature { bit: 5, name: None })),
        (
            |i| {
                // Behind the header an unknown extension of 3 bytes, then names.
                i.u64(72, 1 << 63).u32(104, 7).u32(108, 3);
                i.u32(120, 0x6803_f857).u32(124, 96);
                i.0[128..130].copy_from_slice(&[1, 63]);
                i.0[176..178].copy_from_slice(&[0, 63]);
                i.0[178..187].copy_from_slice(b"time\x1btrav");
            },
            |e| matches!(e, Qcow2Error::Feature { bit: 63, name: Some(n) } if n == "time\\x1btrav"),
        ),
        (
            |i| {
                i.u64(72, COMPRESSION_TYPE).u32(100, 112).0[104] = 2;
            },
            |e| matches!(e, Qcow2Error::Compression(2)),
        ),
    ];
    for (number, (change, wanted)) in cases.iter().enumerate() {
        let mut image = Image::new();
        change(&mut image);
        let error = image.read().unwrap_err();
        assert!(wanted(&error), "{number}: {error:?}");
        assert!(!error.to_string().contains('\x1b'));
    }
    // A dirty image, and features that a reader may not know, are read.
    let mut dirty = Image::new();
    dirty.u64(72, 1).u64(80, u64::MAX).u64(88, u64::MAX);
    assert!(dirty.read().unwrap() == expected());
}

#[test]
fn tables_that_cannot_be_are_refused() {
    type Case = (fn(&mut Image), fn(&Qcow2Error) -> bool);
    let header = |e: &Qcow2Error| matches!(e, Qcow2Error::Header { .. });
    let table = |e: &Qcow2Error| matches!(e, Qcow2Error::Table { .. });
    let overlap = |e: &Qcow2Error| matches!(e, Qcow2Error::Overlap { .. });
    let entry = |e: &Qcow2Error| matches!(e, Qcow2Error::Entry { .. });
    let cases: &[Case] = &[
        (|i| i.0.truncate(103), |e| matches!(e, Qcow2Error::Short)),
        (|i| i.0.truncate(3), |e| matches!(e, Qcow2Error::Short)),
        (|i| _ = i.u32(20, 8), header),
        (|i| _ = i.u32(20, 22), header),
        (|i| _ = i.u32(20, u32::MAX), header),
        (|i| _ = i.u32(96, 7), header),
        (|i| _ = i.u32(100, 103), header),
        (|i| _ = i.u32(100, u32::MAX), header),
        // Huge sizes, and a table that is too short for the disk.
        (|i| _ = i.u64(24, u64::MAX), |e| matches!(e, Qcow2Error::TooLarge { .. })),
        (|i| _ = i.u64(24, TABLE << 22), |e| matches!(e, Qcow2Error::L1Size { entries: 3, .. })),
        (|i| _ = i.u64(24, TABLE << 22).u32(36, u32::MAX), table),
        (|i| _ = i.u32(36, 2), |e| matches!(e, Qcow2Error::L1Size { needed: 3, .. })),
        // Where the tables are.
        (|i| _ = i.u64(40, 0), table),
        (|i| _ = i.u64(40, 513), table),
        (|i| _ = i.u64(40, 7 * 512), table),
        (|i| _ = i.u64(40, u64::MAX - 511), table),
        (|i| _ = i.u64(48, 0), table),
        (|i| _ = i.u64(48, 7 * 512), table),
        (|i| _ = i.u32(56, u32::MAX), table),
        (|i| _ = i.u64(40, 2 * 512), overlap),
        // L2 tables: behind the end, not at a cluster, twice, in another table.
        (|i| _ = i.u64(L1, 7 * 512), table),
        (|i| _ = i.u64(L1, OFFSET), table),
        (|i| _ = i.u64(L1 + 8, FIRST as u64), overlap),
        (|i| _ = i.u64(L1, L1 as u64), overlap),
        (|i| _ = i.u64(L1, 2 * 512), overlap),
        (|i| _ = i.u64(L1, FIRST as u64 | 1), entry),
        (|i| _ = i.u64(L1, FIRST as u64 | COMPRESSED), entry),
        // Clusters: the same.
        (|i| _ = i.u64(FIRST, 7 * 512), entry),
        (|i| _ = i.u64(FIRST, OFFSET), entry),
        (|i| _ = i.u64(FIRST, FIRST as u64), entry),
        (|i| _ = i.u64(FIRST, THIRD as u64), entry),
        (|i| _ = i.u64(FIRST, L1 as u64), entry),
        (|i| _ = i.u64(FIRST, 2 * 512), entry),
        (|i| _ = i.u64(FIRST, CONTENT as u64 | 2), entry),
        (|i| _ = i.u64(FIRST, CONTENT as u64 | 1 << 60), entry),
        (|i| _ = i.u32(4, 2).u64(FIRST, CONTENT as u64 | ZERO), entry),
        (|i| _ = i.u64(FIRST, COMPRESSED), entry),
        (|i| _ = i.u64(FIRST, COMPRESSED | (CONTENT as u64 - 1)), entry),
        (|i| _ = i.u64(FIRST, COMPRESSED | (7 * 512)), entry),
        (|i| _ = i.u64(FIRST, u64::MAX), entry),
        (
            |i| _ = i.u64(FIRST, COMPRESSED | CONTENT as u64),
            |e| matches!(e, Qcow2Error::Unpack { guest: 0, .. }),
        ),
    ];
    for (number, (change, wanted)) in cases.iter().enumerate() {
        let mut image = Image::new();
        change(&mut image);
        match image.read() {
            Ok(_) => panic!("{number} is accepted"),
            Err(error) => assert!(wanted(&error), "{number}: {error:?}"),
        }
    }
}

#[test]
fn every_prefix_is_refused_or_the_same() {
    let whole = Image::new();
    for length in 0..whole.0.len() {
        let image = Image(whole.0[..length].to_vec());
        if let Ok(disk) = image.read() {
            assert!(length > 6 * CLUSTER && disk[..65536] == expected()[..65536], "{length}");
        }
    }
}
