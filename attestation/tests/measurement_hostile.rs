//! Corrupt and hostile firmware: typed errors, bounded work, no panic.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

mod measurement_common;

use std::io::{self, Read};

use attestation::measurement::{
    CpuType, DirectBoot, Firmware, FirmwareError, GuestFeatures, KernelHashes, Launch,
    LaunchDigest, MAX_IMAGE, MeasureError, PrepareError, Sha256Digest, VcpuCount, VmmKind, prepare,
};
use measurement_common::ovmf::{KERNEL_HASHES, Ovmf};
use measurement_common::{Random, vectors};

const HASHES: KernelHashes = KernelHashes {
    kernel: Sha256Digest::EMPTY,
    initrd: Sha256Digest::EMPTY,
    cmdline: Sha256Digest::EMPTY,
};

/// Reads tables and, where that works, measures with them.
fn exercise(image: &[u8]) -> bool {
    let Ok(firmware) = Firmware::with_digest(image, LaunchDigest::START) else { return false };
    let pages: u32 = firmware.sections().iter().map(|section| section.pages()).sum();
    // Large but valid: not worth the time here.
    if pages > 100 {
        return true;
    }
    let cpu: CpuType = "EPYC".parse().unwrap();
    for kernel in [None, Some(&HASHES)] {
        for vmm in [VmmKind::Qemu, VmmKind::Ec2] {
            if let Ok(launch) = Launch::new(&firmware, kernel, vmm) {
                let _ = launch.digest(VcpuCount::ONE, cpu.signature(), GuestFeatures::default());
            }
        }
    }
    true
}

fn bases() -> Vec<Vec<u8>> {
    let mut random = Random(7);
    let mut bases: Vec<_> = (0..4).map(|_| Ovmf::random(&mut random).image()).collect();
    bases.push(Ovmf::default().image());
    if let Some(vectors) = vectors() {
        let image = std::fs::read(vectors.join("firmware/debian_sid_OVMF.amdsev.fd")).unwrap();
        bases.push(image[image.len() - 8192..].to_vec());
    }
    bases
}

/// Where the tables are: a change elsewhere only changes a digest.
const TABLES: usize = 0x700;

#[test]
fn random_damage_never_panics() {
    let mut random = Random(0x5e5_0003);
    let (mut accepted, mut refused) = (0, 0);
    for base in bases() {
        for _ in 0..800 {
            let mut image = base.clone();
            let end = image.len();
            for _ in 0..=random.below(4) {
                let at = end - 1 - random.below(TABLES.min(end));
                match random.below(4) {
                    0 => image[at] ^= 1 << random.below(8),
                    1 => image[at] = *random.pick(&[0, 1, 0x7f, 0x80, 0xff]),
                    2 => {
                        // A length or an offset at its limits.
                        let value = *random.pick(&[0, 1, 17, 18, 19, 0x7fff_ffff, u32::MAX]);
                        let at = at.min(end - 4);
                        image[at..at + 4].copy_from_slice(&value.to_le_bytes());
                    }
                    _ => {
                        let from = end - 1 - random.below(TABLES.min(end));
                        let count = random.below(40).min(end - at.max(from));
                        image.copy_within(from..from + count, at);
                    }
                }
            }
            if exercise(&image) { accepted += 1 } else { refused += 1 }
        }
    }
    assert!(accepted > 100 && refused > 100, "{accepted} {refused}");
}

#[test]
fn every_single_bit_of_the_tables_may_be_wrong() {
    let image = Ovmf::default().image();
    let tail = &image[image.len() - TABLES..];
    for bit in 0..8 * tail.len() {
        let mut damaged = tail.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let _ = Firmware::with_digest(&damaged, LaunchDigest::START);
    }
}

#[test]
fn truncated_and_random_images_never_panic() {
    let image = Ovmf::default().image();
    for length in 0..TABLES {
        assert!(Firmware::new(&image[..length]).is_err());
        exercise(&image[image.len() - length..]);
    }
    let mut random = Random(11);
    for _ in 0..500 {
        let length = random.below(5_000);
        assert!(!exercise(&random.bytes(length)));
    }
}

#[test]
fn images_of_the_wrong_size_are_refused() {
    let image = Ovmf::default().image();
    assert!(matches!(Firmware::new(&[]), Err(FirmwareError::Length { length: 0 })));
    assert!(matches!(
        Firmware::new(&image[1..]),
        Err(FirmwareError::Length { length }) if length == image.len() - 1
    ));
    // A reader without end is not read without end.
    assert!(matches!(Firmware::read(io::repeat(0)), Err(FirmwareError::TooLarge)));
    let largest = io::repeat(0).take(u64::try_from(MAX_IMAGE).unwrap());
    assert!(matches!(Firmware::read(largest), Err(FirmwareError::NoTable)));
}

#[test]
fn a_kernel_needs_firmware_that_measures_it() {
    let without_table = Ovmf { hash_table: None, ..Ovmf::default() };
    let unused_table = Ovmf { hash_table: Some([0, 0]), ..Ovmf::default() };
    let small_table = Ovmf { hash_table: Some([0x81_0c00, 175]), ..Ovmf::default() };
    let mut without_section = Ovmf::default();
    without_section.sections.retain(|[_, _, kind]| *kind != KERNEL_HASHES);
    for ovmf in [without_table, unused_table, small_table, without_section] {
        let firmware = Firmware::new(&ovmf.image()).unwrap();
        assert!(!firmware.measures_kernel());
        let error = Launch::new(&firmware, Some(&HASHES), VmmKind::Qemu).unwrap_err();
        assert!(matches!(error, MeasureError::NoKernelHashes { .. }), "{error}");
        assert!(error.to_string().contains("ovmf-amdsev"), "{error}");
        Launch::new(&firmware, None, VmmKind::Qemu).unwrap();
    }
    let crossing = Ovmf { hash_table: Some([0x81_0f51, 0x400]), ..Ovmf::default() };
    let firmware = Firmware::new(&crossing.image()).unwrap();
    assert!(matches!(
        Launch::new(&firmware, Some(&HASHES), VmmKind::Qemu),
        Err(MeasureError::HashTablePlace { offset: 0xf51 })
    ));
}

/// A reader that fails after some bytes.
struct Failing(usize);

impl Read for Failing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(io::Error::other("the disk is gone"));
        }
        let count = self.0.min(buffer.len());
        self.0 -= count;
        Ok(count)
    }
}

#[test]
fn errors_of_readers_name_the_file() {
    let image = Ovmf::default().image();
    let attempt = |firmware: &mut dyn Read, kernel: usize, initrd: usize, cmdline: &[u8]| {
        let (mut kernel, mut initrd) = (Failing(kernel), Failing(initrd));
        let (mut bytes_k, mut bytes_i) = (&b"kernel"[..], &b"initrd"[..]);
        let kernel: &mut (dyn Read + Send) =
            if kernel.0 == usize::MAX { &mut bytes_k } else { &mut kernel };
        let initrd: &mut (dyn Read + Send) =
            if initrd.0 == usize::MAX { &mut bytes_i } else { &mut initrd };
        prepare(firmware, Some(DirectBoot { kernel, initrd: Some(initrd), cmdline }))
    };
    let none = usize::MAX;
    assert!(matches!(
        attempt(&mut Failing(5_000), none, none, b""),
        Err(PrepareError::Firmware(FirmwareError::Read { .. }))
    ));
    assert!(matches!(attempt(&mut &image[..], 9, none, b""), Err(PrepareError::Kernel { .. })));
    assert!(matches!(
        attempt(&mut &image[..], none, 300_000, b""),
        Err(PrepareError::Initrd { .. })
    ));
    assert!(matches!(
        attempt(&mut &image[..], none, none, b"a\0b"),
        Err(PrepareError::CommandLine(_))
    ));
    let (firmware, kernel) = attempt(&mut &image[..], none, none, b"a").unwrap();
    assert_eq!(firmware, Firmware::new(&image).unwrap());
    assert_eq!(
        kernel,
        Some(KernelHashes {
            kernel: Sha256Digest::of(b"kernel"),
            initrd: Sha256Digest::of(b"initrd"),
            cmdline: Sha256Digest::of(b"a\0"),
        })
    );
}
