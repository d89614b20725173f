//! `ravelin explain`: which input makes the digest another one.

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

use common::run;
use measurement_common::Random;
use measurement_common::ovmf::Ovmf;
use serde_json::{Value, json};

const HASH: &str = "8293837ae1b4cf82e1874e9714db524faf30cafa5302db39981907e53c9d1175";

fn vm(directory: &Path) {
    fs::write(directory.join("ovmf.fd"), Ovmf::default().image()).unwrap();
    fs::write(directory.join("vmlinuz"), Random(2).bytes(5000)).unwrap();
    fs::write(directory.join("initrd"), Random(3).bytes(5000)).unwrap();
    let text = format!(
        "format = 1\nfirmware = \"ovmf.fd\"\nkernel = \"vmlinuz\"\ninitrd = \"initrd\"\n\
         cmdline = \"console=ttyS0 ravelin.verity.roothash={HASH}\"\nvcpus = 2\n"
    );
    fs::write(directory.join("vm.toml"), text).unwrap();
}

/// The digest of the VM as it is now.
fn digest(directory: &Path, arguments: &[&str]) -> String {
    let ran = run(directory, &[&["measure", "--json"], arguments].concat()).ok();
    ran.json()["measurement"].as_str().unwrap().to_owned()
}

fn explain(directory: &Path, digest: &str, arguments: &[&str], code: i32) -> Value {
    let all = [&["explain", "--json", "--measurement", digest], arguments].concat();
    let ran = run(directory, &all).code(code);
    let json = ran.json();
    assert_eq!((&json["kind"], &json["target"]), (&json!("explain"), &json!(digest)));
    json
}

#[track_caller]
fn inputs(json: &Value) -> Vec<&str> {
    assert_eq!(json["outcome"], "differs", "{json}");
    let differences = json["differences"].as_array().unwrap();
    differences.iter().map(|difference| difference["input"].as_str().unwrap()).collect()
}

#[test]
fn the_differing_input_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    vm(directory);
    let same = explain(directory, &digest(directory, &[]), &[], 0);
    assert_eq!((&same["outcome"], &same["tried"]), (&json!("same"), &Value::Null));

    for (arguments, input) in [
        (["--vcpus", "7"], "vCPU count"),
        (["--cpu", "EPYC-Milan"], "vCPU type"),
        (["--guest-features", "0x21"], "guest features"),
        (["--vmm", "ec2"], "hypervisor"),
    ] {
        let json = explain(directory, &digest(directory, &arguments), &[], 1);
        assert_eq!(inputs(&json), [input]);
    }
    let both = digest(directory, &["--vcpus", "7", "--cpu", "EPYC-Milan"]);
    assert_eq!(inputs(&explain(directory, &both, &[], 1)), ["vCPU count", "vCPU type"]);
    let one = explain(directory, &both, &["--max-changes", "1"], 1);
    assert_eq!((&one["outcome"], &one["complete"]), (&json!("nothing-fits"), &json!(true)));
    assert!(one["tried"].as_u64().unwrap() > 500, "{one}");

    let text = run(directory, &["explain", "--measurement", &both]).code(1);
    assert!(text.stdout.contains("vCPU count: described 2, measured 7"), "{}", text.stdout);
    assert!(text.stderr.contains("an explanation is no verification"), "{}", text.stderr);
}

#[test]
fn candidates_are_known_by_their_content() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    vm(directory);
    let old = directory.join("old");
    fs::create_dir(&old).unwrap();
    let mut kernel = Random(5).bytes(5000);
    kernel.splice(0x202..0x206, *b"HdrS");
    fs::write(old.join("bzImage"), kernel).unwrap();
    fs::write(old.join("ramdisk"), Random(6).bytes(5000)).unwrap();
    fs::write(old.join("fw"), Ovmf { seed: 7, ..Ovmf::default() }.image()).unwrap();

    let path = directory.join("vm.toml");
    let good = fs::read_to_string(&path).unwrap();
    let other_hash = "f".repeat(64);
    let line = "console=ttyS0 ravelin.verity.roothash=";
    for (from, to, input, arguments) in [
        ("\"vmlinuz\"", "\"old/bzImage\"".to_owned(), "kernel", vec!["--candidates", "old"]),
        ("\"initrd\"", "\"old/ramdisk\"".to_owned(), "initrd", vec!["--candidates", "old/ramdisk"]),
        ("\"ovmf.fd\"", "\"old/fw\"".to_owned(), "firmware", vec!["--candidates", "old"]),
        (HASH, other_hash.clone(), "command line", vec!["--try-root-hash", &other_hash]),
        (line, format!("{line}{HASH}-"), "command line", vec!["--candidates", "other.toml"]),
        (
            "console=ttyS0 ",
            "nosuchword ".to_owned(),
            "command line",
            vec!["--try-word", "nosuchword"],
        ),
    ] {
        let changed = good.replace(from, &to);
        fs::write(&path, &changed).unwrap();
        let target = digest(directory, &[]);
        fs::write(directory.join("other.toml"), &changed).unwrap();
        fs::write(&path, &good).unwrap();
        let json = explain(directory, &target, &arguments, 1);
        let inputs = inputs(&json);
        assert!(inputs.iter().all(|found| *found == input), "{input}: {json}");
    }
}

#[test]
fn wrong_arguments() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    vm(directory);
    run(directory, &["explain"]).code(2);
    run(directory, &["explain", "--measurement", "00"]).code(2);
    run(directory, &["explain", "--report", "vm.toml", "--measurement", &"0".repeat(96)]).code(2);
    let ran = run(directory, &["explain", "--report", "vm.toml"]).code(3);
    assert!(ran.stderr.contains("vm.toml: no report"), "{}", ran.stderr);
    let digest = "0".repeat(96);
    let ran =
        run(directory, &["explain", "--measurement", &digest, "--candidates", "none"]).code(3);
    assert!(ran.stderr.contains("none: No such file"), "{}", ran.stderr);
}
