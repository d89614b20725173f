//! The manifest: what is written is read, and nothing else is.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

mod measurement_common;

use attestation::measurement::{
    Combination, CpuType, Firmware, GuestFeatures, KernelHashes, Launch, Manifest, ManifestError,
    Sha256Digest, VcpuCount, VmmKind,
};
use measurement_common::ovmf::Ovmf;

fn firmware() -> Firmware {
    Firmware::new(&Ovmf::default().image()).unwrap()
}

fn combinations() -> Vec<Combination> {
    let counts = [1, 4, 64].map(|count| VcpuCount::try_from(count).unwrap());
    let cpus: Vec<CpuType> = ["EPYC-v4", "EPYC-Milan", "EPYC-Genoa", "0x00b00f21"]
        .map(|name| name.parse().unwrap())
        .to_vec();
    Combination::product(&counts, &cpus, &[GuestFeatures::default(), GuestFeatures::new(0x21)])
}

fn manifest() -> Manifest {
    let kernel = KernelHashes {
        kernel: Sha256Digest::of(b"kernel"),
        initrd: Sha256Digest::of(b"initrd"),
        cmdline: Sha256Digest::of(b"line\0"),
    };
    Manifest::compute(&firmware(), Some(&kernel), VmmKind::Qemu, &combinations()).unwrap()
}

#[test]
fn a_manifest_round_trips_in_both_forms() {
    let manifest = manifest();
    assert_eq!(manifest.measurements().len(), 24);
    assert_eq!(Manifest::from_toml(&manifest.to_toml().unwrap()).unwrap(), manifest);
    assert_eq!(Manifest::from_json(&manifest.to_json().unwrap()).unwrap(), manifest);
    assert_eq!(manifest.to_toml().unwrap(), self::manifest().to_toml().unwrap());
    let without = Manifest::compute(&firmware(), None, VmmKind::Ec2, &combinations()).unwrap();
    assert!(without.kernel().is_none());
    assert_eq!(Manifest::from_toml(&without.to_toml().unwrap()).unwrap(), without);
    assert_eq!(without.vmm(), VmmKind::Ec2);
    assert_eq!(without.firmware(), firmware().digest());
}

#[test]
fn digests_are_found_and_are_those_of_single_measurements() {
    let manifest = manifest();
    let launch = Launch::new(&firmware(), manifest.kernel(), manifest.vmm()).unwrap();
    for measurement in manifest.measurements() {
        let digest = launch.digest(
            measurement.vcpus,
            measurement.cpu.signature(),
            measurement.guest_features,
        );
        assert_eq!(digest, measurement.digest);
        assert_eq!(manifest.find(digest).collect::<Vec<_>>(), [measurement]);
    }
    assert_eq!(manifest.find(firmware().digest()).count(), 0);
}

#[test]
fn anything_else_is_refused() {
    let text = manifest().to_toml().unwrap();
    let with = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        Manifest::from_toml(&text.replacen(from, to, 1))
    };
    let toml = |result| matches!(result, Err(ManifestError::Toml { .. }));
    assert!(matches!(with("format = 1", "format = 2"), Err(ManifestError::Format(2))));
    assert!(toml(with("format = 1", "")));
    assert!(toml(with("format = 1", "format = 1\nextra = 0")));
    assert!(toml(with("vcpus = 1", "vcpus = 0")));
    assert!(toml(with("vcpus = 1", "vcpus = -1")));
    assert!(toml(with("vcpus = 1", "vcpus = 1\nmore = 1")));
    assert!(toml(with("EPYC-v4", "EPIC")));
    assert!(toml(with("0x1", "zero")));
    assert!(toml(with("qemu", "xen")));
    assert!(toml(with("[kernel]", "[kernel]\nshim = \"\"")));
    assert!(matches!(with("vcpus = 4", "vcpus = 1"), Err(ManifestError::Repeated { .. })));
    let (head, _) = text.split_once("[[measurement]]").unwrap();
    assert!(toml(Manifest::from_toml(head)));
    let empty = head.replacen("[kernel]", "measurement = []\n[kernel]", 1);
    assert!(matches!(Manifest::from_toml(&empty), Err(ManifestError::Empty)));
    assert!(matches!(Manifest::from_json("[]"), Err(ManifestError::Json { .. })));
    let long = " ".repeat(17 << 20);
    assert!(matches!(Manifest::from_toml(&long), Err(ManifestError::TooLarge)));
    assert!(matches!(Manifest::from_json(&long), Err(ManifestError::TooLarge)));
    let twice = [combinations(), combinations()].concat();
    assert!(matches!(
        Manifest::compute(&firmware(), None, VmmKind::Qemu, &twice),
        Err(ManifestError::Repeated { .. })
    ));
    assert!(matches!(
        Manifest::compute(&firmware(), None, VmmKind::Qemu, &[]),
        Err(ManifestError::Empty)
    ));
}
