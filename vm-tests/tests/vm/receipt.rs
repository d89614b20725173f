//! The boot receipt from end to end: what PID 1 says that it did, bound by its report,
//! beside what `ravelin attest --receipt` predicts from the owner's files.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use vm_tests::{Running, Tool, free_port};

use crate::attested::Owner;
use crate::debian::{Image, LIMIT};
use crate::said::Said;
use crate::simulator::simulated;

/// The VM's description and its owner.
fn owner() -> (PathBuf, Owner) {
    let (ssh, attest) = (free_port(), free_port());
    let vm = Image::get().vm_on_ports(ssh, attest);
    (vm.clone(), Owner::of(vm, ssh, attest))
}

fn start(vm: &Path) -> Running {
    simulated(vm).time_limit(LIMIT).start()
}

/// Another description, beside the first: relative names are the same files'.
fn changed(vm: &Path, name: &str, change: impl FnOnce(&str) -> String) -> PathBuf {
    let text = fs::read_to_string(vm).unwrap();
    let other = change(&text);
    assert_ne!(text, other);
    let path = vm.with_extension(name);
    fs::write(&path, other).unwrap();
    path
}

fn measurement(vm: &Path) -> String {
    let output = Tool::Ravelin.command().args(["measure", "--json", "--vm"]).arg(vm).output();
    let said = Said::of(&output.unwrap());
    assert_eq!(said.code, Some(0), "{}", said.text);
    said.json["measurement"].as_str().unwrap().to_owned()
}

/// The lines of an event in the receipt.
pub(crate) fn lines<'a>(said: &'a Said, event: &str) -> Vec<&'a Value> {
    let lines = said.json["receipt"]["lines"].as_array();
    assert!(lines.is_some(), "{}", said.text);
    let lines = lines.unwrap();
    lines.iter().filter(|line| line["event"] == event).collect()
}

/// The events that are not as predicted.
fn others(said: &Said) -> Vec<&str> {
    let lines = said.json["receipt"]["lines"].as_array().unwrap().iter();
    let others = lines.filter(|line| line["finding"] != "predicted");
    others.filter_map(|line| line["event"].as_str()).collect()
}

/// A boot of the owner's own files: every line is as predicted. The same with the disk
/// behind another, which is the host's to choose: the node differs, and with it the
/// table, and both are as predicted. Other files, of which the owner was told nothing:
/// the lines that differ are exactly those.
#[test]
fn a_boot_is_what_its_files_predict() {
    let (vm, owner) = owner();
    let machine = start(&vm);
    let said = owner.attest(&["--receipt"]);
    said.accepted();
    assert_eq!(said.json["receipt"]["as_predicted"], true, "{}", said.text);
    let count = |event| lines(&said, event).len();
    for event in ["configuration", "modules", "harden", "table", "root", "writable", "reports"] {
        assert_eq!(count(event), 1, "{event}: {}", said.text);
    }
    let disk = &lines(&said, "disk")[0]["values"];
    let root_hash = Image::get().setting("verity.roothash");
    let table = lines(&said, "table")[0]["values"]["parameters"].as_str().unwrap();
    assert!(table.contains(&root_hash), "{table}");
    assert!(table.contains(disk["node"].as_str().unwrap()), "{table}");
    drop(machine);

    let filler = vm.with_extension("filler");
    fs::write(&filler, vec![0; 1 << 20]).unwrap();
    let first =
        format!("[[disks]]\nfile = \"{}\"\nserial = \"filler\"\n\n[[disks]]", filler.display());
    let other = changed(&vm, "disks.toml", |text| text.replacen("[[disks]]", &first, 1));
    let machine = start(&other);
    let said = owner.attest(&["--receipt"]);
    said.accepted();
    assert_eq!(said.json["receipt"]["as_predicted"], true, "{}", said.text);
    let moved = &lines(&said, "disk")[0]["values"];
    assert_ne!(moved["node"], disk["node"], "{}", said.text);
    assert_eq!(moved["bytes"], disk["bytes"]);
    let moved = lines(&said, "table")[0]["values"]["parameters"].as_str().unwrap();
    assert_ne!(moved, table);
    drop(machine);

    let words = "panic=-1 ravelin.harden=pointers ravelin.writable.mode=root";
    let other = changed(&vm, "words.toml", |text| text.replacen("panic=-1", words, 1));
    let machine = start(&other);
    // Its own files predict what it did.
    let digest = measurement(&other);
    let said = owner.attest(&["--receipt"]);
    assert_eq!(said.code, Some(1), "another measurement: {}", said.text);
    assert!(said.json["receipt"].is_null(), "{}", said.text);
    let said = owner.attest(&["--receipt", "--measurement", &digest]);
    assert_eq!(said.code, Some(1), "{}", said.text);
    assert_eq!(said.json["accepted"], true, "{}", said.text);
    assert_eq!(others(&said), ["configuration", "harden", "writable"], "{}", said.text);
    let harden = lines(&said, "harden")[0];
    assert_eq!(harden["values"]["classes"], "pointers");
    assert_eq!(harden["expected"]["classes"], "pointers kexec bpf sysrq");
    drop(machine);
}
