//! Launch digests against the field's reference tool, `sev-snp-measure`, over
//! random combinations of all inputs that it takes for SEV-SNP.

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
use std::path::{Path, PathBuf};

use attestation::measurement::{
    CpuType, Firmware, FirmwareError, GuestFeatures, KernelHashes, Launch, LaunchDigest,
    MeasureError, Sha256Digest, VcpuCount, VmmKind,
};
use measurement_common::ovmf::Ovmf;
use measurement_common::{Random, python, vectors};
use serde_json::{Value, json};

const COMBINATIONS: usize = 600;

/// What the tool's `main` does for `--mode snp` and `--mode snp:ovmf-hash`,
/// without a process for each.
const PROGRAM: &str = r#"
from sevsnpmeasure import guest, vcpu_types, vmm_types
from sevsnpmeasure.sev_mode import SevMode
results = []
for job in jobs:
    cpu = job["cpu"]
    if "type" in cpu:
        signature = vcpu_types.CPU_SIGS[cpu["type"]]
    elif "family" in cpu:
        signature = vcpu_types.cpu_sig(cpu["family"], cpu["model"], cpu["stepping"])
    else:
        signature = cpu["signature"]
    try:
        digest = guest.calc_launch_digest(
            SevMode.SEV_SNP, job["vcpus"], signature, job["ovmf"], job["kernel"], job["initrd"],
            job["append"], int(job["features"]), job["ovmf_hash"], vmm_types.VMMType[job["vmm"]])
        results.append({"digest": digest.hex(), "pages": guest.calc_snp_ovmf_hash(job["ovmf"]).hex()})
    except RuntimeError as error:
        results.append({"error": str(error)})
"#;

/// All vCPU types of the tool.
const TYPES: [&str; 16] = [
    "EPYC",
    "EPYC-v1",
    "EPYC-v2",
    "EPYC-IBPB",
    "EPYC-v3",
    "EPYC-v4",
    "EPYC-Rome",
    "EPYC-Rome-v1",
    "EPYC-Rome-v2",
    "EPYC-Rome-v3",
    "EPYC-Milan",
    "EPYC-Milan-v1",
    "EPYC-Milan-v2",
    "EPYC-Genoa",
    "EPYC-Genoa-v1",
    "EPYC-Turin",
];

/// Files to choose from.
struct Files {
    firmware: Vec<PathBuf>,
    boot: Vec<PathBuf>,
}

fn files(folder: &Path, random: &mut Random) -> Files {
    let write = |name: String, bytes: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let mut firmware: Vec<_> =
        (0..24).map(|index| write(format!("{index}.fd"), &Ovmf::random(random).image())).collect();
    let boot = [0, 1, 63, 64, 4096, 65_553, 131_077, 300_000]
        .iter()
        .map(|size| write(format!("{size}.bin"), &random.bytes(*size)))
        .collect();
    if let Some(vectors) = vectors() {
        firmware.push(vectors.join("measurement/vsm_ovmf_AmdSev_suffix.bin"));
        firmware.push(vectors.join("measurement/vsm_ovmf_OvmfX64_suffix.bin"));
        firmware.push(vectors.join("firmware/debian_sid_OVMF.amdsev.fd"));
    }
    Files { firmware, boot }
}

/// One combination, in the tool's terms.
fn combination(random: &mut Random, files: &Files) -> Value {
    let cpu = match random.below(3) {
        0 => json!({ "type": random.pick(&TYPES) }),
        1 => json!({
            "family": 1 + random.below(270), "model": random.below(256), "stepping": random.below(16)
        }),
        _ => json!({ "signature": random.u32() }),
    };
    let vcpus = match random.below(4) {
        0 => 1,
        1 => 2 + random.below(7),
        2 => 1 + random.below(64),
        _ => 1 + random.below(512),
    };
    let features = match random.below(4) {
        0 => 1,
        1 => 0x21,
        2 => u64::from(random.u32() & 0xffff),
        _ => random.next(),
    };
    let kernel = (!random.one_in(4)).then(|| random.pick(&files.boot));
    let initrd = kernel.filter(|_| !random.one_in(3)).map(|_| random.pick(&files.boot));
    let append = kernel.filter(|_| !random.one_in(4)).map(|_| line(random));
    let ovmf_hash = random.one_in(5).then(|| hex::encode(random.bytes(48)));
    json!({
        "vcpus": vcpus,
        "cpu": cpu,
        "ovmf": random.pick(&files.firmware),
        "kernel": kernel,
        "initrd": initrd,
        "append": append,
        // As text: a number above 2^63 does not survive every reader of JSON.
        "features": features.to_string(),
        "ovmf_hash": ovmf_hash.unwrap_or_default(),
        "vmm": random.pick(&["QEMU", "QEMU", "QEMU", "ec2", "gce"]),
    })
}

/// A command line, not always a tidy one.
fn line(random: &mut Random) -> String {
    let words = ["console=ttyS0", "root=/dev/vda1", "quiet", "a=\"b c\"", "ü=é", "--", "x=1,2"];
    let mut parts = Vec::new();
    for _ in 0..random.below(6) {
        parts.push(*random.pick(&words));
        parts.push(*random.pick(&[" ", " ", "  ", "\t"]));
    }
    parts.push(*random.pick(&["", "", " ", "\n", "\r\n", "end"]));
    parts.concat()
}

enum Ours {
    Digest { digest: LaunchDigest, pages: LaunchDigest },
    NoKernelHashes,
}

fn measure(job: &Value) -> Ours {
    let cpu = &job["cpu"];
    let cpu: CpuType = if let Some(name) = cpu["type"].as_str() {
        name.parse()
    } else if let Some(signature) = cpu["signature"].as_u64() {
        format!("{signature:#x}").parse()
    } else {
        format!("{}/{}/{}", cpu["family"], cpu["model"], cpu["stepping"]).parse()
    }
    .unwrap();
    let image = fs::read(job["ovmf"].as_str().unwrap()).unwrap();
    let whole = Firmware::new(&image).unwrap();
    let firmware = match job["ovmf_hash"].as_str().unwrap() {
        "" => whole.clone(),
        // The tables are in the last page: that must be enough.
        given => {
            Firmware::with_digest(&image[image.len() - 4096..], given.parse().unwrap()).unwrap()
        }
    };
    let digest = |file: &Value| {
        file.as_str().map_or(Sha256Digest::EMPTY, |path| {
            Sha256Digest::of_reader(fs::File::open(path).unwrap()).unwrap()
        })
    };
    let kernel = job["kernel"].is_string().then(|| KernelHashes {
        kernel: digest(&job["kernel"]),
        initrd: digest(&job["initrd"]),
        cmdline: Sha256Digest::of_command_line(job["append"].as_str().unwrap_or("").as_bytes())
            .unwrap(),
    });
    let vmm: VmmKind = job["vmm"].as_str().unwrap().parse().unwrap();
    let vcpus = VcpuCount::try_from(u32::try_from(job["vcpus"].as_u64().unwrap()).unwrap());
    let features: GuestFeatures = job["features"].as_str().unwrap().parse().unwrap();
    match Launch::new(&firmware, kernel.as_ref(), vmm) {
        Ok(launch) => Ours::Digest {
            digest: launch.digest(vcpus.unwrap(), cpu.signature(), features),
            pages: whole.digest(),
        },
        Err(MeasureError::NoKernelHashes { .. }) => Ours::NoKernelHashes,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn random_combinations_have_the_digests_of_sev_snp_measure() {
    let mut random = Random(0x5e5_0001);
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path(), &mut random);
    let jobs: Vec<_> = (0..COMBINATIONS).map(|_| combination(&mut random, &files)).collect();
    let Some(results) = python::run(PROGRAM, &Value::from(jobs.clone())) else { return };
    let results = results.as_array().unwrap();
    assert_eq!(results.len(), jobs.len());
    let (mut digests, mut refused) = (0, 0);
    for (job, theirs) in jobs.iter().zip(results) {
        match measure(job) {
            Ours::Digest { digest, pages } => {
                assert_eq!(theirs["digest"].as_str(), Some(&*digest.to_string()), "{job}");
                assert_eq!(theirs["pages"].as_str(), Some(&*pages.to_string()), "{job}");
                digests += 1;
            }
            Ours::NoKernelHashes => {
                let theirs = theirs["error"].as_str().unwrap_or_default();
                assert!(theirs.contains("SNP_KERNEL_HASHES"), "{job}: {theirs:?}");
                refused += 1;
            }
        }
    }
    eprintln!("{digests} digests equal, {refused} kernels refused by both");
    assert!(digests >= 400 && refused >= 20, "{digests} {refused}");
}

/// The tool gives both a digest; no guest can have it.
#[test]
fn what_the_tool_takes_and_we_refuse() {
    let image = Ovmf { reset_address: 0, ..Ovmf::default() }.image();
    assert!(matches!(Firmware::new(&image), Err(FirmwareError::ResetAddress)));
    assert!(VcpuCount::try_from(0).is_err());
}
