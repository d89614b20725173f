//! `ravelin inspect` on good, damaged and hostile files.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking"
)]

mod common;

use std::fs;
use std::path::Path;

use common::{run, static_executable};

/// A newc header, its name and its content, padded.
fn entry(name: &[u8], mode: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = b"070701".to_vec();
    for field in [1, mode, 0, 0, 1, 0, content.len() as u32, 0, 0, 0, 0, name.len() as u32 + 1, 0] {
        bytes.extend(format!("{field:08X}").bytes());
    }
    bytes.extend(name);
    bytes.push(0);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn cpio(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = entries.concat();
    bytes.extend(entry(b"TRAILER!!!", 0, b""));
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

const FILE: u32 = 0o100_644;

fn inspect(content: &[u8]) -> common::Ran {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("file"), content).unwrap();
    let plain = run(directory.path(), &["inspect", "file"]);
    assert!(plain.stdout.chars().all(|c| c == '\n' || !c.is_control()), "{}", plain.stdout);
    let json = run(directory.path(), &["inspect", "--json", "file"]);
    assert_eq!(plain.code, json.code);
    json.json();
    json
}

#[track_caller]
fn finding(content: &[u8], expected: &str) {
    let ran = inspect(content).code(1);
    let json = ran.json();
    let findings = json["findings"].to_string();
    assert!(findings.contains(expected), "{findings}");
}

#[test]
fn hostile_archives() {
    let init = entry(b"init", FILE, &static_executable());
    inspect(&cpio(std::slice::from_ref(&init))).ok();
    finding(&cpio(&[entry(b"init", FILE, b"#!/bin/sh")]), "/init: it is a script");
    finding(&cpio(&[entry(b"a/../../b", FILE, b"")]), "a/../../b: a name with `..`");
    finding(&cpio(&[init.clone(), entry(b"/init", FILE, b"")]), "init: twice; the kernel takes");
    finding(&cpio(&[entry(b"etc/ravelin.toml", FILE, b"nope = 1")]), "unknown key 'nope'");
    finding(&cpio(&[entry(b"lib/modules/ravelin.load", FILE, b"x")]), "load order");
    let order = b"# ravelin load order 1\nkernel 6.12.0\n0 required /lib/modules/6.12.0/a.ko\n";
    let missing = cpio(&[entry(b"lib/modules/ravelin.load", FILE, order)]);
    finding(&missing, "/lib/modules/6.12.0/a.ko: in the load order, but not in the archive");
    // Escapes in names reach neither the text nor the JSON unescaped.
    inspect(&cpio(&[entry(b"\x1b[2J\xff\n", FILE, b"")])).ok();
    inspect(&cpio(&[entry(b"l", 0o120_777, b"/dev/\x1b]0;owned\x07")])).ok();
    inspect(&cpio(&[entry(b"etc/ravelin.toml", FILE, b"# \x1b[2J\n")])).code(1);
    // Every truncation of a good archive is damaged, none crashes.
    let good = init;
    for length in (6..good.len()).step_by(7) {
        finding(&good[..length], "");
    }
    finding(b"0707010000", "cut off");
    finding(&[&cpio(&[])[..], b"garbage."].concat(), "no archive begins at");
    finding(b"\x28\xb5\x2f\xfd garbage", "zstd");
    let mut header = entry(b"a", FILE, b"");
    header[54..62].copy_from_slice(b"FFFFFFFF");
    finding(&header, "cut off");
}

#[test]
fn small_files_of_every_kind() {
    let kind = |content: &[u8]| inspect(content).ok().json()["type"].as_str().unwrap().to_owned();
    assert_eq!(kind(&static_executable()), "executable");
    assert_eq!(kind(b"format = 1\nkernel = \"k\"\n"), "vm");
    assert_eq!(kind(b"on_failure = \"halt\"\n[root]\nmode = \"plain\"\n"), "configuration");
    assert_eq!(kind(b"# ravelin load order 1\nkernel 6.12.0\n"), "load-order");
    let mut squashfs = vec![0; 8192];
    squashfs[..4].copy_from_slice(b"hsqs");
    let ran = inspect(&squashfs).code(1);
    assert_eq!(ran.json()["type"], "file-system");
    finding(&squashfs, "the squashfs superblock is damaged");
    finding(b"[root]\nfstype = \"ntfs\"\n", "key 'root.fstype'");
    finding(&[b"verity\0\0".as_slice(), &[0xff; 504]].concat(), "superblock at byte 0");
}

#[test]
fn what_is_unknown_is_said_to_be() {
    let directory = tempfile::tempdir().unwrap();
    let unknown = |name: &str, content: &[u8]| {
        fs::write(directory.path().join(name), content).unwrap();
        run(directory.path(), &["inspect", name]).code(3).stderr
    };
    assert!(unknown("empty", b"").starts_with("error: empty: is empty\n"));
    assert!(unknown("text", b"hello\n").contains("is no file that Ravelin knows"));
    assert!(unknown("bytes", &[0xff; 3 << 20]).contains("is no file that Ravelin knows"));
    assert!(unknown("short", b"verity\0\0short").contains("is no file that Ravelin knows"));
    let sidecar = b"format = 1\nlayout = 2\n";
    assert!(unknown("sidecar", sidecar).contains("sidecar: not a sidecar: "));
    assert!(unknown("vm", b"format = 1\nx = 1\n").contains("vm:2:1: unknown field `x`"));
    assert!(unknown("order", b"# ravelin load order 1\nx\n").contains("is a load order, but"));
    run(directory.path(), &["inspect", "absent"]).code(3);
    run(directory.path(), &["inspect", "."]).code(3);
    run(Path::new("/"), &["inspect", "/dev/null"]).code(3);
}

/// A reader that goes away early is not an error, and no panic.
#[test]
fn a_closed_pipe_is_no_failure() {
    let directory = tempfile::tempdir().unwrap();
    let entries: Vec<Vec<u8>> =
        (0..20_000).map(|n| entry(format!("file-{n}").as_bytes(), FILE, b"")).collect();
    fs::write(directory.path().join("a.cpio"), cpio(&entries)).unwrap();
    let script = format!("{} inspect a.cpio | head -1", env!("CARGO_BIN_EXE_ravelin"));
    let output = std::process::Command::new("sh")
        .args(["-c", &script])
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "a.cpio: an initramfs\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

/// A qcow2 image with an empty disk of 1 MiB: header, L1 table, refcount table.
fn qcow2() -> Vec<u8> {
    let mut image = vec![0; 3 << 16];
    for (offset, bytes) in [
        (0, &b"QFI\xfb\0\0\0\x02"[..]),
        (20, &16_u32.to_be_bytes()),
        (24, &(1_u64 << 20).to_be_bytes()),
        (36, &1_u32.to_be_bytes()),
        (40, &(1_u64 << 16).to_be_bytes()),
        (48, &(2_u64 << 16).to_be_bytes()),
        (56, &1_u32.to_be_bytes()),
    ] {
        image[offset..offset + bytes.len()].copy_from_slice(bytes);
    }
    image
}

#[test]
fn a_qcow2_image_is_known_and_held_against_its_rules() {
    let image = qcow2();
    let ran = inspect(&image).code(0);
    assert_eq!(ran.json()["type"], "qcow2");
    assert_eq!(ran.json()["disk_bytes"], 1 << 20);
    let mut over = image.clone();
    over[15] = 200;
    finding(&over, "has a backing file");
    let mut looped = image;
    looped[(1 << 16) + 5..(1 << 16) + 8].copy_from_slice(&[1, 0, 0]);
    finding(&looped, "share a place");
}
