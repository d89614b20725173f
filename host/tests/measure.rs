//! `ravelin measure`: the digest of what `launch` starts, and nothing else.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;
#[path = "../../attestation/tests/measurement_common/mod.rs"]
mod measurement_common;

use std::fs;
use std::path::Path;

use common::{Ran, run};
use measurement_common::ovmf::Ovmf;
use measurement_common::{Random, python, vectors};
use serde_json::{Value, json};

const LINE: &str = "console=ttyS0 ravelin.verity.salt=-";

/// A VM with synthetic files.
fn vm(directory: &Path, firmware: &Ovmf) {
    fs::write(directory.join("ovmf.fd"), firmware.image()).unwrap();
    fs::write(directory.join("vmlinuz"), Random(2).bytes(70_000)).unwrap();
    fs::write(directory.join("initrd"), Random(3).bytes(300_001)).unwrap();
    let text = format!(
        "format = 1\nfirmware = \"ovmf.fd\"\nkernel = \"vmlinuz\"\ninitrd = \"initrd\"\n\
         cmdline = \"{LINE}\"\nvcpus = 3\ncpu = \"EPYC-Milan\"\n[sev]\nguest_features = 0x21\n"
    );
    fs::write(directory.join("vm.toml"), text).unwrap();
}

fn measure(directory: &Path, arguments: &[&str]) -> Ran {
    run(directory, &[&["measure", "--json"], arguments].concat())
}

fn digest(directory: &Path, arguments: &[&str]) -> String {
    measure(directory, arguments).ok().json()["measurement"].as_str().unwrap().to_owned()
}

#[test]
fn what_is_measured_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    vm(directory, &Ovmf::default());
    let json = measure(directory, &[]).ok().json();
    assert_eq!(json["kind"], "measure");
    assert_eq!(json["measurement"].as_str().unwrap().len(), 96);
    assert_eq!((&json["vcpus"], &json["cpu"]), (&json!(3), &json!("EPYC-Milan")));
    assert_eq!(json["cpu_signature"], "0x00a00f11");
    assert_eq!((&json["guest_features"], &json["vmm"]), (&json!("0x21"), &json!("qemu")));
    assert_eq!(json["cmdline"]["text"], LINE);
    for file in ["kernel", "initrd"] {
        assert_eq!(json[file]["sha256"].as_str().unwrap().len(), 64, "{json}");
    }
    assert_eq!(json["guest_policy"], "0x30000");
    let text = run(directory, &["measure"]).ok().stdout;
    assert_eq!(text.lines().next(), json["measurement"].as_str(), "the digest comes first");
    assert!(run(directory, &["measure", "--quiet"]).ok().stdout.is_empty());

    let bare = measure(directory, &["--firmware-only"]).ok();
    assert!(bare.stderr.contains("the host decides what it boots"), "{}", bare.stderr);
    let bare = bare.json();
    assert!(bare["kernel"].is_null() && bare["initrd"].is_null() && bare["cmdline"].is_null());
    assert_ne!(bare["measurement"], json["measurement"]);
}

#[test]
fn every_input_counts_and_every_override_is_one() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    vm(directory, &Ovmf::default());
    let own = digest(directory, &[]);
    assert_eq!(own, digest(directory, &["--vcpus", "3", "--cpu", "EPYC-Milan"]));
    assert_eq!(own, digest(directory, &["--cpu", "25/1/1", "--guest-features", "33"]));
    assert_eq!(own, digest(directory, &["--cpu", "0x00a00f11", "--vmm", "QEMU"]));
    let mut all = vec![own.clone()];
    let firmware = Ovmf { seed: 9, ..Ovmf::default() }.image();
    fs::write(directory.join("other.fd"), firmware).unwrap();
    for other in [
        ["--vcpus", "4"],
        ["--cpu", "EPYC-Genoa"],
        ["--guest-features", "0x1"],
        ["--vmm", "ec2"],
        ["--vmm", "ec2-rdx-zero"],
        ["--vmm", "krun"],
        ["--firmware", "other.fd"],
    ] {
        all.push(digest(directory, &other));
    }
    for (file, byte) in [("vmlinuz", 0), ("initrd", 300_000)] {
        let path = directory.join(file);
        let good = fs::read(&path).unwrap();
        let mut changed = good.clone();
        changed[byte] ^= 1;
        fs::write(&path, changed).unwrap();
        all.push(digest(directory, &[]));
        fs::write(&path, good).unwrap();
    }
    let path = directory.join("vm.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("salt=-", "salt=- quiet")).unwrap();
    all.push(digest(directory, &[]));
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count, "two inputs have one digest");

    // The digest of the pages stands for the pages: the tables are enough then.
    fs::write(&path, &text).unwrap();
    let json = measure(directory, &[]).ok().json();
    let pages = json["firmware"]["digest"].as_str().unwrap();
    let image = fs::read(directory.join("ovmf.fd")).unwrap();
    fs::write(directory.join("tail.fd"), &image[image.len() - 3000..]).unwrap();
    let by_hash = ["--firmware", "tail.fd", "--firmware-hash", pages];
    assert_eq!(digest(directory, &by_hash), own);
    assert_ne!(digest(directory, &["--firmware-hash", &"ab".repeat(48)]), own);
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    vm(directory, &Ovmf::default());
    let refused = |arguments: &[&str], code: i32, expected: &str| {
        let ran = run(directory, &[&["measure"], arguments].concat()).code(code);
        assert!(ran.stderr.contains(expected), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stdout.is_empty());
    };
    refused(&["--vcpus", "0"], 2, "the number of vCPUs is 1 or more");
    refused(&["--vcpus", "1,2"], 2, "--vcpus has 2 values here");
    refused(&["--cpu", "host"], 2, "depends on the host's processor");
    refused(&["--cpu", "EPYC-Naples"], 2, "is no vCPU type");
    refused(&["--vmm", "xen"], 2, "is no hypervisor kind");
    refused(&["--output", "m.toml"], 2, "--matrix");
    refused(&["--matrix", "--output", "m.txt"], 2, "which form of manifest?");
    refused(&["--vm", "none.toml"], 3, "none.toml: cannot be read");
    refused(&["--firmware", "none.fd"], 3, "the firmware none.fd: cannot be read");
    refused(&["--firmware", "vmlinuz"], 3, "the firmware vmlinuz: cannot be measured");
    refused(&["--firmware", "."], 3, "the firmware .: cannot be measured");

    // A firmware that would boot any kernel, and where one is that would not.
    let blind = Ovmf { hash_table: None, ..Ovmf::default() };
    fs::write(directory.join("blind.fd"), blind.image()).unwrap();
    refused(&["--firmware", "blind.fd"], 3, "ovmf-amdsev");
    refused(&["--matrix", "--firmware", "blind.fd"], 3, "no SEV hash table");
    run(directory, &["measure", "--firmware", "blind.fd", "--firmware-only"]).ok();

    let path = directory.join("vm.toml");
    let text = fs::read_to_string(&path).unwrap();
    let with = |from: &str, to: &str, expected: &str| {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        fs::write(&path, text.replace(from, to)).unwrap();
        refused(&[], 3, expected);
    };
    with("vcpus = 3", "vcpus = 0", "vm.toml:6:9: vcpus is from 1 to 512");
    with("salt=-", "salt=- ", "begins or ends with white space");
    with("EPYC-Milan", "max", "`cpu` cannot be measured");
    with("firmware = \"ovmf.fd\"\n", "", "ovmf-amdsev");
    with("kernel = \"vmlinuz\"\n", "", "--firmware-only");
    with("initrd = \"initrd\"", "initrd = \"gone\"", "gone: cannot be read");
    with("guest_features = 0x21", "guest_feature = 1", "vm.toml:9:1: unknown field");
}

#[test]
fn a_manifest_has_every_combination() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    vm(directory, &Ovmf::default());
    let lists = ["--vcpus", "1-3,7", "--cpu", "EPYC-v4,25/17/0", "--guest-features", "0x1,0x21"];
    let matrix = |output: &str| {
        let ran = measure(directory, &[&["--matrix", "--output", output], &lists[..]].concat());
        ran.ok().json()
    };
    let json = matrix("m.json");
    assert_eq!((&json["kind"], &json["file"]), (&json!("measure-matrix"), &json!("m.json")));
    let measurements = json["manifest"]["measurement"].as_array().unwrap();
    assert_eq!(measurements.len(), 16);
    for one in measurements {
        let text = |key: &str| one[key].as_str().unwrap().to_owned();
        let vcpus = one["vcpus"].to_string();
        let (cpu, features) = (text("cpu"), text("guest_features"));
        let single =
            digest(directory, &["--vcpus", &vcpus, "--cpu", &cpu, "--guest-features", &features]);
        assert_eq!(single, text("digest"), "{one}");
    }
    let written: Value =
        serde_json::from_slice(&fs::read(directory.join("m.json")).unwrap()).unwrap();
    assert_eq!(written, json["manifest"]);
    matrix("m.toml");
    let toml = fs::read_to_string(directory.join("m.toml")).unwrap();
    assert_eq!(toml.matches("[[measurement]]").count(), 16);
    // Without a file, and without lists.
    let plain = run(directory, &["measure", "--matrix"]).ok().stdout;
    assert_eq!(plain.matches("[[measurement]]").count(), 1);
    assert!(plain.contains(&digest(directory, &[])), "{plain}");
    // Two names of one type are two measurements; one name twice is an error.
    let twice = ["measure", "--matrix", "--cpu", "EPYC-v4,EPYC-v4"];
    assert!(run(directory, &twice).code(3).stderr.contains("cannot be measured"));
}

/// The digest is that of QEMU's own arguments: what `launch` passes on is read
/// back from its command and measured by the reference tool.
#[test]
fn what_is_launched_is_what_is_measured() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    vm(directory, &Ovmf::default());
    let json = run(directory, &["launch", "--print", "--json"]).ok().json();
    let arguments: Vec<&str> =
        json["arguments"].as_array().unwrap().iter().map(|a| a.as_str().unwrap()).collect();
    let value = |option: &str| {
        let at = arguments.iter().position(|argument| *argument == option).unwrap();
        arguments[at + 1]
    };
    assert!(arguments.iter().any(|argument| argument.contains("kernel-hashes=on")));
    let job = json!({
        "ovmf": value("-bios"), "kernel": value("-kernel"), "initrd": value("-initrd"),
        "append": value("-append"), "vcpus": value("-smp").parse::<u32>().unwrap(),
        "cpu": value("-cpu"), "features": 0x21,
    });
    let Some(expected) = oracle(&json!([job])) else { return };
    assert_eq!(digest(directory, &[]), expected[0]);
}

/// Random VMs through the command line against `sev-snp-measure`.
#[test]
fn digests_are_those_of_the_reference_tool() {
    const CPUS: [&str; 6] =
        ["EPYC-v4", "EPYC-Rome", "EPYC-Milan-v2", "EPYC-Genoa", "EPYC", "EPYC-IBPB"];
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let mut random = Random(0x6d65_6173);
    let mut jobs = Vec::new();
    let mut found = Vec::new();
    for round in 0..40 {
        let folder = directory.join(round.to_string());
        fs::create_dir(&folder).unwrap();
        let firmware = Ovmf::random(&mut random);
        let direct = firmware.hash_table.is_some();
        fs::write(folder.join("ovmf.fd"), firmware.image()).unwrap();
        let sizes = [random.below(40_000), random.below(200_000)];
        fs::write(folder.join("k"), random.bytes(sizes[0])).unwrap();
        fs::write(folder.join("i"), random.bytes(sizes[1])).unwrap();
        let line = ["a", "a b", "quiet  splash", "x=\\\"y z\\\" ravelin.insecure=true"];
        let line = *random.pick(&line);
        let (vcpus, cpu) = (1 + random.below(20), *random.pick(&CPUS));
        let features = *random.pick(&[1, 0x21, 0x201]);
        let text = format!(
            "format = 1\nfirmware = \"ovmf.fd\"\nkernel = \"k\"\ninitrd = \"i\"\ncmdline = \
             \"{line}\"\nvcpus = {vcpus}\ncpu = \"{cpu}\"\n[sev]\nguest_features = {features}\n"
        );
        fs::write(folder.join("vm.toml"), text).unwrap();
        let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        let mut job =
            json!({ "ovmf": path("ovmf.fd"), "vcpus": vcpus, "cpu": cpu, "features": features });
        let mut options = Vec::new();
        if direct {
            job["kernel"] = path("k").into();
            job["initrd"] = path("i").into();
            job["append"] = line.replace('\\', "").into();
        } else {
            options.push("--firmware-only");
        }
        jobs.push(job);
        found.push(digest(&folder, &options));
    }
    let Some(expected) = oracle(&Value::Array(jobs.clone())) else { return };
    for ((found, expected), job) in found.iter().zip(expected.as_array().unwrap()).zip(&jobs) {
        assert_eq!(found, expected, "{job}");
    }
}

fn oracle(jobs: &Value) -> Option<Value> {
    if python::executable().is_none() {
        eprintln!("SKIPPED: no sev-snp-measure; `cargo xtask test` sets RAVELIN_SEV_SNP_MEASURE");
        return None;
    }
    python::run(
        "from sevsnpmeasure import guest, vcpu_types, vmm_types\n\
         from sevsnpmeasure.sev_mode import SevMode\n\
         results = [guest.calc_launch_digest(SevMode.SEV_SNP, job['vcpus'],\n\
             vcpu_types.CPU_SIGS[job['cpu']], job['ovmf'], job.get('kernel'), job.get('initrd'),\n\
             job.get('append'), job['features'], vmm_type=vmm_types.VMMType.QEMU).hex()\n\
             for job in jobs]",
        jobs,
    )
}

/// The firmware that set-up unpacks is one that the error messages may name.
#[test]
fn the_firmware_of_the_set_up_measures_a_kernel() {
    let Some(firmware) = std::env::var_os("RAVELIN_TEST_FIRMWARE") else {
        eprintln!("SKIPPED: RAVELIN_TEST_FIRMWARE is unset; `cargo xtask test` sets it");
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    vm(directory, &Ovmf::default());
    let firmware = ["--firmware", firmware.to_str().unwrap()];
    assert_ne!(digest(directory, &firmware), digest(directory, &[]));
}

#[test]
fn debian_s_firmware() {
    let Some(vectors) = vectors() else { return };
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let folder = vectors.display();
    let text = format!(
        "format = 1\nfirmware = \"{folder}/firmware/debian_sid_OVMF.amdsev.fd\"\n\
         kernel = \"{folder}/measurement/kernel.bin\"\n\
         initrd = \"{folder}/measurement/initrd.bin\"\ncmdline = \"console=ttyS0\"\n"
    );
    fs::write(directory.join("vm.toml"), text).unwrap();
    let cases = fs::read(vectors.join("measurement/vectors.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_slice(&cases).unwrap();
    let known = |id: &str| {
        let case = cases.iter().find(|case| case["id"] == id);
        case.unwrap_or_else(|| panic!("no {id}"))["digest"].as_str().unwrap().to_owned()
    };
    assert_eq!(digest(directory, &[]), known("P09"));
    assert_eq!(digest(directory, &["--vcpus", "8", "--cpu", "EPYC-Milan-v2"]), known("P10"));
    let suffix = vectors.join("measurement/vsm_ovmf_AmdSev_suffix.bin");
    let bare = ["--firmware-only", "--firmware", suffix.to_str().unwrap()];
    assert_eq!(digest(directory, &bare), known("P01"));
    assert_eq!(digest(directory, &[&bare[..], &["--vmm", "ec2"]].concat()), known("P05"));
    let blind = vectors.join("measurement/vsm_ovmf_OvmfX64_suffix.bin");
    let ran = run(directory, &["measure", "--firmware", blind.to_str().unwrap()]).code(3);
    assert!(ran.stderr.contains("OVMF.amdsev.fd"), "{}", ran.stderr);
}
