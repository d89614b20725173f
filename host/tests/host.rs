//! `ravelin host`: on trees that were put together, and on this machine.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;
#[path = "../../attestation/tests/measurement_common/mod.rs"]
mod measurement_common;

use std::fs;
use std::path::Path;

use common::{run, tool};
use measurement_common::ovmf::Ovmf;
use serde_json::Value;

include!("servers/unpack.rs");

const SERVERS: [(&str, &str); 5] = [
    ("genoa", include_str!("servers/genoa.txt")),
    ("set-up-off", include_str!("servers/set-up-off.txt")),
    ("iommu-pt", include_str!("servers/iommu-pt.txt")),
    ("old-kernel", include_str!("servers/old-kernel.txt")),
    ("intel", include_str!("servers/intel.txt")),
];

fn server(name: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let (_, text) = SERVERS.iter().find(|(known, _)| *known == name).unwrap();
    unpack(text, directory.path());
    directory
}

fn check<'a>(json: &'a Value, id: &str) -> &'a Value {
    json["checks"].as_array().unwrap().iter().find(|check| check["id"] == id).unwrap()
}

#[test]
fn a_server_that_can_is_told_so() {
    let root = server("genoa");
    fs::write(root.path().join("ovmf.fd"), Ovmf::default().image()).unwrap();
    let arguments = ["host", "check", "--root", ".", "--firmware", "ovmf.fd"];
    let ran = run(root.path(), &arguments).ok();
    assert!(
        ran.stdout.contains("ok       rmp           the kernel: SEV-SNP: RMP table"),
        "{ran:#?}"
    );
    assert!(ran.stdout.contains("Nothing that was seen is missing; not seen: 3"), "{ran:#?}");
    run(root.path(), &[&arguments[..], &["--strict"]].concat()).code(1);

    if tool("qemu-system-x86_64").is_none() {
        return;
    }
    let more = ["--qemu", "qemu-system-x86_64", "--json"];
    let json = run(root.path(), &[&arguments[..], &more].concat()).ok().json();
    assert_eq!(json["kind"], "host-check");
    assert_eq!(json["outcome"], "unknown");
    assert_eq!(check(&json, "qemu")["outcome"], "ok", "{json}");
    assert_eq!(check(&json, "ovmf")["outcome"], "ok", "{json}");
    assert_eq!(check(&json, "rmp")["remedy"], Value::Null);
}

#[test]
fn one_that_cannot_is_told_why() {
    for (name, id, remedy) in [
        ("set-up-off", "rmp", "RMP Table"),
        ("iommu-pt", "iommu", "take iommu=pt off it and reboot"),
        ("old-kernel", "kernel", "install 6.11 or later"),
        ("intel", "processor", "an AMD EPYC 7003"),
    ] {
        let root = server(name);
        let json = run(root.path(), &["host", "check", "--root", ".", "--json"]).code(1).json();
        assert_eq!(json["outcome"], "missing", "{name}");
        let check = check(&json, id);
        assert_eq!(check["outcome"], "missing", "{name}: {check}");
        assert!(check["remedy"].as_str().unwrap().contains(remedy), "{name}: {check}");
        let text = run(root.path(), &["host", "check", "--root", "."]).code(1).stdout;
        assert!(text.contains(&format!("MISSING  {id:<13} ")), "{text}");
        assert!(text.contains("This server cannot start SEV-SNP guests"), "{text}");
    }
}

/// What a server's files hold reaches the terminal escaped.
#[test]
fn a_recording_moves_no_cursor() {
    let root = server("genoa");
    fs::write(root.path().join("proc/cmdline"), "iommu=pt,\x1b[2J\u{202e}").unwrap();
    let text = run(root.path(), &["host", "check", "--root", "."]).code(1).stdout;
    assert!(text.contains("iommu=pt,\\u{1b}[2J\\u{202e}"), "{text}");
    run(root.path(), &["host", "check", "--root", "absent"]).code(3);
}

#[test]
fn the_vm_is_looked_at() {
    let root = server("genoa");
    fs::write(root.path().join("none.fd"), [0xff; 4096]).unwrap();
    let vm = "format = 1\nfirmware = \"none.fd\"\n[sev]\npolicy = 0x20000\n";
    fs::write(root.path().join("vm.toml"), vm).unwrap();
    let arguments = ["host", "check", "--root", ".", "--vm", "vm.toml", "--json"];
    let json = run(root.path(), &arguments).code(1).json();
    assert!(check(&json, "ovmf")["found"].as_str().unwrap().contains("none.fd"), "{json}");
    let smt = check(&json, "smt");
    assert!(smt["remedy"].as_str().unwrap().contains("sev.policy = 0x30000"), "{json}");
}

/// On whatever machine this runs: every line is there, and a machine without
/// /dev/sev is not called able.
#[test]
fn this_machine_is_described_truly() {
    let directory = tempfile::tempdir().unwrap();
    let ran = run(directory.path(), &["host", "check", "--json"]);
    let json = ran.json();
    let checks = json["checks"].as_array().unwrap();
    assert_eq!(checks.len(), 16, "{json}");
    for check in checks {
        let outcome = check["outcome"].as_str().unwrap();
        assert!(["ok", "missing", "unknown"].contains(&outcome), "{check}");
        assert_ne!(check["found"], "", "{check}");
        assert_eq!(check["remedy"].is_null(), outcome == "ok", "{check}");
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert!(check(&json, "kernel")["found"].as_str().unwrap().contains(release.trim()), "{json}");
    if !Path::new("/dev/sev").exists() {
        assert_eq!(ran.code, Some(1), "{json}");
        assert_eq!(check(&json, "dev-sev")["outcome"], "missing");
        let refused = run(directory.path(), &["host", "tcb"]).code(3);
        assert!(refused.stderr.contains("/dev/sev cannot be opened"), "{}", refused.stderr);
        assert!(refused.stderr.contains("ravelin host check"), "{}", refused.stderr);
        assert_eq!(refused.stdout, "");
    }
}
