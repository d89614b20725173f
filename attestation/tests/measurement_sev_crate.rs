//! The second reference, the `sev` crate, where it is right: tidy command lines,
//! firmware of its making, named vCPU types.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

mod measurement_common;

use std::fs;

use attestation::measurement::{
    Combination, CpuType, Firmware, GuestFeatures, KernelHashes, Launch, QemuModel, Sha256Digest,
    VcpuCount, VmmKind,
};
use measurement_common::Random;
use measurement_common::ovmf::Ovmf;
use sev::measurement::snp::{SnpMeasurementArgs, calc_snp_ovmf_hash, snp_calc_launch_digest};
use sev::measurement::vmsa::{GuestFeatures as SevFeatures, VMMType};
use sev::parser::ByteParser;

#[test]
fn digests_are_those_of_the_sev_crate() {
    let mut random = Random(0x5e5_0002);
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let kernel = random.bytes(70_000);
    let initrd = random.bytes(9);
    fs::write(file("kernel"), &kernel).unwrap();
    fs::write(file("initrd"), &initrd).unwrap();
    let mut compared = 0;
    for round in 0..60 {
        let image = Ovmf::random(&mut random).image();
        fs::write(file("ovmf"), &image).unwrap();
        let firmware = Firmware::new(&image).unwrap();
        let pages = calc_snp_ovmf_hash(file("ovmf")).unwrap();
        assert_eq!(firmware.digest().to_string(), pages.get_hex_ld());

        let line = "console=ttyS0 root=/dev/vda1";
        let direct = firmware.measures_kernel() && !random.one_in(3);
        let hashes = KernelHashes {
            kernel: Sha256Digest::of(&kernel),
            initrd: Sha256Digest::of(&initrd),
            cmdline: Sha256Digest::of_command_line(line.as_bytes()).unwrap(),
        };
        let vcpus = 1 + u32::try_from(random.below(20)).unwrap();
        let model = random.pick(QemuModel::all());
        let features = random.next() & 0xffff;
        let kinds = [
            (VmmKind::Qemu, VMMType::QEMU),
            (VmmKind::Ec2ZeroRdx, VMMType::EC2),
            (VmmKind::Krun, VMMType::KRUN),
        ];
        let (vmm, theirs) = kinds[round % kinds.len()];
        let Ok(cpu) = model.name().try_into() else { continue };
        let digest = snp_calc_launch_digest(SnpMeasurementArgs {
            vcpus,
            vcpu_type: cpu,
            ovmf_file: file("ovmf"),
            guest_features: SevFeatures::from_bytes(&features.to_le_bytes()).unwrap(),
            kernel_file: direct.then(|| file("kernel")),
            initrd_file: direct.then(|| file("initrd")),
            append: direct.then_some(line),
            ovmf_hash_str: None,
            vmm_type: Some(theirs),
        })
        .unwrap();
        let launch = Launch::new(&firmware, direct.then_some(&hashes), vmm).unwrap();
        let ours = launch.digest(
            vcpus.try_into().unwrap(),
            model.signature(),
            GuestFeatures::new(features),
        );
        assert_eq!(ours.to_string(), digest.get_hex_ld(), "{vmm} {vcpus} {}", model.name());
        compared += 1;
    }
    assert!(compared >= 30, "{compared}");
}

/// One pass for many configurations gives what one pass each gives.
#[test]
fn a_matrix_is_its_single_digests_in_order() {
    let firmware = Firmware::new(&Ovmf::default().image()).unwrap();
    let count = |count: u32| VcpuCount::try_from(count).unwrap();
    let cpus: Vec<CpuType> = QemuModel::all().iter().map(CpuType::Model).collect();
    let features = [GuestFeatures::default(), GuestFeatures::new(0x21)];
    for vmm in VmmKind::ALL {
        let launch = Launch::new(&firmware, None, vmm).unwrap();
        let mut combinations =
            Combination::product(&[count(64), count(1), count(7)], &cpus, &features);
        Random(3).shuffle(&mut combinations);
        combinations.extend_from_within(..5);
        let digests = launch.matrix(&combinations);
        assert_eq!(digests.len(), combinations.len());
        for (combination, digest) in combinations.iter().zip(&digests) {
            let single =
                launch.digest(combination.vcpus, combination.cpu.signature(), combination.features);
            assert_eq!(*digest, single);
        }
        assert_eq!(launch.matrix(&combinations), digests);
        let sequence: Vec<_> = launch.digests(cpus[0].signature(), features[0]).take(7).collect();
        assert_eq!(
            sequence.last(),
            Some(&launch.digest(count(7), cpus[0].signature(), features[0]))
        );
    }
    assert_eq!(Launch::new(&firmware, None, VmmKind::Qemu).unwrap().matrix(&[]), []);
}
