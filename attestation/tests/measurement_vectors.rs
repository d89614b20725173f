//! The published vectors: digests of `sev-snp-measure` and `snpguest` over real
//! firmware.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

mod measurement_common;

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::Path;

use attestation::measurement::{
    CpuType, DirectBoot, Firmware, GuestFeatures, Launch, LaunchDigest, MeasureError, SectionKind,
    VcpuCount, VmmKind, prepare,
};
use base64ct::Encoding;
use measurement_common::vectors;
use serde_json::Value;

/// The arguments of a vector that this half knows; all of them.
const KNOWN: [&str; 16] = [
    "--mode",
    "--ovmf",
    "--vcpus",
    "--vcpu-type",
    "--vcpu-sig",
    "--vcpu-family",
    "--vcpu-model",
    "--vcpu-stepping",
    "--vmm-type",
    "--kernel",
    "--initrd",
    "--append",
    "--guest-features",
    "--snp-ovmf-hash",
    "--output-format",
    "sev-snp-measure",
];

/// Firmware that is not in the folder; its vectors cannot be checked.
const ABSENT: [&str; 3] = ["debian_trixie_OVMF.fd", "debian_bookworm_OVMF.fd", "vmlinuz"];

fn measure(arguments: &HashMap<&str, &str>, folder: &Path) -> Result<LaunchDigest, MeasureError> {
    let open = |name: &str| {
        let places = [folder.join("measurement").join(name), folder.join("firmware").join(name)];
        let found = places.into_iter().find(|path| path.exists());
        File::open(found.unwrap_or_else(|| panic!("no {name}"))).unwrap()
    };
    let get = |name: &str| arguments.get(name).copied();
    let mut kernel = get("--kernel").map(open);
    let mut initrd = get("--initrd").map(open);
    let boot = kernel.as_mut().map(|kernel| DirectBoot {
        kernel,
        initrd: initrd.as_mut().map(|initrd| initrd as _),
        cmdline: get("--append").unwrap_or_default().as_bytes(),
    });
    let (mut firmware, kernel) = prepare(open(get("--ovmf").unwrap()), boot).unwrap();
    if get("--mode") == Some("snp:ovmf-hash") {
        return Ok(firmware.digest());
    }
    if let Some(digest) = get("--snp-ovmf-hash") {
        let mut image = Vec::new();
        std::io::Read::read_to_end(&mut open(get("--ovmf").unwrap()), &mut image).unwrap();
        firmware = Firmware::with_digest(&image, digest.parse().unwrap()).unwrap();
    }
    let cpu: CpuType = match (get("--vcpu-type"), get("--vcpu-sig"), get("--vcpu-family")) {
        (Some(name), _, _) | (_, Some(name), _) => name.parse().unwrap(),
        (_, _, Some(family)) => {
            let (model, stepping) = (get("--vcpu-model"), get("--vcpu-stepping"));
            format!("{family}/{}/{}", model.unwrap(), stepping.unwrap()).parse().unwrap()
        }
        _ => panic!("no vCPU type"),
    };
    let vmm: VmmKind = get("--vmm-type").unwrap_or("qemu").parse().unwrap();
    let features: GuestFeatures = get("--guest-features").unwrap_or("0x1").parse().unwrap();
    let vcpus: VcpuCount = get("--vcpus").unwrap().parse().unwrap();
    Ok(Launch::new(&firmware, kernel.as_ref(), vmm)?.digest(vcpus, cpu.signature(), features))
}

#[test]
fn published_digests_are_ours() {
    let Some(folder) = vectors() else { return };
    let text = fs::read(folder.join("measurement/vectors.json")).unwrap();
    let all: Value = serde_json::from_slice(&text).unwrap();
    let (mut equal, mut refused, mut absent) = (0, 0, 0);
    for vector in all.as_array().unwrap() {
        let argv: Vec<_> =
            vector["argv"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        if argv.iter().any(|word| ABSENT.contains(word)) {
            absent += 1;
            continue;
        }
        let arguments: HashMap<_, _> =
            argv[1..].chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
        assert!(arguments.keys().all(|name| KNOWN.contains(name)), "{argv:?}");
        let id = vector["id"].as_str().unwrap();
        match vector["digest"].as_str().filter(|digest| !digest.is_empty()) {
            Some(digest) if arguments.get("--output-format") == Some(&"base64") => {
                let ours = measure(&arguments, &folder).unwrap();
                assert_eq!(digest, base64ct::Base64::encode_string(ours.as_bytes()), "{id}");
                equal += 1;
            }
            Some(digest) => {
                assert_eq!(measure(&arguments, &folder).unwrap().to_string(), digest, "{id}");
                equal += 1;
            }
            None => {
                let error = measure(&arguments, &folder).unwrap_err();
                assert!(error.to_string().contains("ovmf-amdsev"), "{id}: {error}");
                refused += 1;
            }
        }
    }
    eprintln!("{equal} digests equal, {refused} refused, {absent} without their files");
    assert!(equal >= 15 && refused >= 1, "{equal} {refused}");
}

/// EC2's RDX is unsettled: each value is somebody's.
#[test]
fn ec2_has_the_digests_of_both_tools() {
    let Some(folder) = vectors() else { return };
    let image = fs::read(folder.join("measurement/vsm_ovmf_AmdSev_suffix.bin")).unwrap();
    let firmware = Firmware::new(&image).unwrap();
    let text = fs::read(folder.join("measurement/vectors.json")).unwrap();
    let all: Value = serde_json::from_slice(&text).unwrap();
    let vector = all.as_array().unwrap().iter().find(|vector| vector["id"] == "P05").unwrap();
    let cpu: CpuType = "EPYC-v4".parse().unwrap();
    for (vmm, digest) in [
        (VmmKind::Ec2, &vector["digest"]),
        (VmmKind::Ec2ZeroRdx, &vector["snpguest_0_11_0"]["digest"]),
    ] {
        let launch = Launch::new(&firmware, None, vmm).unwrap();
        let ours = launch.digest(VcpuCount::ONE, cpu.signature(), GuestFeatures::default());
        assert_eq!(digest.as_str(), Some(&*ours.to_string()), "{vmm}");
    }
}

/// Debian's build has the kernel hashes after the last zero pages, upstream's
/// before; both orders are followed.
#[test]
fn real_firmware_is_read() {
    let Some(folder) = vectors() else { return };
    let sections = |path: &str| {
        let firmware = Firmware::new(&fs::read(folder.join(path)).unwrap()).unwrap();
        assert_eq!(firmware.reset_address(), 0x80_b004);
        let kinds: Vec<_> = firmware.sections().iter().map(|section| section.kind()).collect();
        (firmware.measures_kernel(), kinds)
    };
    let (measures, kinds) = sections("firmware/debian_sid_OVMF.amdsev.fd");
    assert!(measures);
    assert_eq!(kinds.last(), Some(&SectionKind::KernelHashes));
    let (measures, kinds) = sections("measurement/vsm_ovmf_AmdSev_suffix.bin");
    assert!(measures);
    assert_eq!(kinds.last(), Some(&SectionKind::SecureMemory));
    let (measures, kinds) = sections("measurement/vsm_ovmf_OvmfX64_suffix.bin");
    assert!(!measures);
    assert!(!kinds.contains(&SectionKind::KernelHashes));
}
