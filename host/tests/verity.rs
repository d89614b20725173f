//! `ravelin image verity` and `verify`: what they make, find, refuse, and leave
//! behind when they are stopped.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Ran, names, ravelin, run, squashfs, tool};
use serde_json::Value;

/// A directory with `source`, an image of 200 000 bytes.
fn source() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("source"), squashfs(200_000)).unwrap();
    directory
}

fn verity(directory: &Path, more: &[&str]) -> Ran {
    run(directory, &[&["image", "verity", "--from", "source", "-o", "root.img"], more].concat())
}

fn verify(directory: &Path, arguments: &[&str]) -> Ran {
    run(directory, &[&["image", "verify", "--json"], arguments].concat())
}

fn text(json: &Value, key: &str) -> String {
    json[key].as_str().unwrap().to_owned()
}

#[test]
fn a_disk_its_sidecar_and_the_vm() {
    let directory = source();
    let json = verity(directory.path(), &["--vm", "vm.toml", "--json"]).ok().json();
    assert_eq!(json["kind"], "image-verity");
    assert_eq!(json["data_blocks"], 49);
    assert_eq!(names(directory.path()), ["root.img", "root.img.toml", "source", "vm.toml"]);
    let size = fs::metadata(directory.path().join("root.img")).unwrap().len();
    assert_eq!(json["bytes"], size);

    let inspected = run(directory.path(), &["inspect", "--json", "root.img"]).ok().json();
    assert_eq!(inspected["type"], "disk");
    assert_eq!(inspected["partitions"][0]["file_system"]["kind"], "squashfs");
    assert_eq!(inspected["partitions"][1]["superblock"]["salt"], json["salt"]);
    let sidecar = run(directory.path(), &["inspect", "--json", "root.img.toml"]).ok().json();
    assert_eq!(sidecar["sidecar"]["verity"]["root_hash"], json["root_hash"]);
    let vm = run(directory.path(), &["inspect", "--json", "vm.toml"]).ok().json();
    assert_eq!(vm["cmdline"], json["vm_cmdline"]);
    let cmdline = text(&vm, "cmdline");
    assert_eq!(cmdline, format!("{} {}", host::vm::BASE, text(&json, "cmdline")));
    assert_eq!(vm["disks"][0]["file"], "root.img");
    assert_eq!(vm["disks"][0]["serial"], "ravelin-root");
    assert_eq!(vm["disks"][0]["read_only"], true);

    // Built again, elsewhere, it is the same; with another seed it is not.
    let other = source();
    assert_eq!(verity(other.path(), &["--json"]).ok().json()["root_hash"], json["root_hash"]);
    let read = |directory: &Path| fs::read(directory.join("root.img")).unwrap();
    assert_eq!(read(other.path()), read(directory.path()));
    let seed = ["--seed", "00000000-0000-4000-8000-000000000001", "--json"];
    assert_ne!(verity(other.path(), &seed).ok().json()["root_hash"], json["root_hash"]);

    // Another image in the same VM: one disk, new words, the user's own kept.
    let path = directory.path().join("vm.toml");
    let edited = fs::read_to_string(&path).unwrap();
    let edited = edited.replace("trust_bootloader=off", "trust_bootloader=off quiet");
    fs::write(&path, edited).unwrap();
    let json = verity(directory.path(), &["--vm", "vm.toml", "--json", "--salt", "-"]).ok().json();
    let vm = run(directory.path(), &["inspect", "--json", "vm.toml"]).ok().json();
    assert_eq!(vm["disks"].as_array().unwrap().len(), 1);
    let cmdline = text(&vm, "cmdline");
    assert!(
        cmdline.starts_with("console=ttyS0 panic=-1 random.trust_bootloader=off quiet systemd.")
    );
    assert_eq!(cmdline.matches("ravelin.verity.roothash=").count(), 1);
    assert!(cmdline.contains(&format!(" ravelin.verity.roothash={} ", text(&json, "root_hash"))));
    assert!(cmdline.contains(" ravelin.verity.salt=- "));
}

#[test]
fn two_bare_files() {
    let directory = source();
    let more = [
        "--layout",
        "bare",
        "--hash-output",
        "root.hash",
        "--vm",
        "vm.toml",
        "--hash",
        "sha512",
        "--data-serial",
        "mine",
        "--json",
    ];
    let json = verity(directory.path(), &more).ok().json();
    assert_eq!(json["algorithm"], "sha512");
    let vm = run(directory.path(), &["inspect", "--json", "vm.toml"]).ok().json();
    assert_eq!(vm["disks"][0]["serial"], "mine");
    assert_eq!(vm["disks"][1]["file"], "root.hash");
    assert_eq!(vm["disks"][1]["serial"], "ravelin-hash");
    assert!(text(&vm, "cmdline").contains("ravelin.root.device=serial:mine "));
    let tree = run(directory.path(), &["inspect", "--json", "root.hash"]).ok().json();
    assert_eq!(tree["type"], "hash-tree");
    assert_eq!(tree["superblock"]["algorithm"], "sha512");
    assert_eq!(verify(directory.path(), &["root.img"]).ok().json()["good"], true);

    let root_hash = text(&json, "root_hash");
    if let Some(veritysetup) = tool("veritysetup") {
        let output = Command::new(veritysetup)
            .current_dir(directory.path())
            .args(["verify", "root.img", "root.hash", &root_hash])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    fs::remove_file(directory.path().join("root.img.toml")).unwrap();
    let arguments = ["root.img", "--hash-image", "root.hash", "--root-hash", &root_hash];
    let json = verify(directory.path(), &arguments).ok().json();
    assert_eq!(json["parameters_from"], "superblock");
}

/// Writes over one byte and says where in the file.
fn damage(path: &Path, offset: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 0x40], offset).unwrap();
}

#[test]
fn every_damage_is_found_and_named() {
    let directory = source();
    let json = verity(directory.path(), &["--json"]).ok().json();
    let root_hash = text(&json, "root_hash");
    let path = directory.path().join("root.img");
    let good = fs::read(&path).unwrap();
    let hash_start = good.windows(8).position(|bytes| bytes == b"verity\0\0").unwrap() as u64;
    let end = good.len() as u64;
    let findings = |arguments: &[&str]| {
        let ran = verify(directory.path(), arguments).code(1);
        let json = ran.json();
        assert_eq!(json["good"], false);
        let list = json["findings"].as_array().unwrap().clone();
        assert!(!list.is_empty());
        list.iter().map(|text| text.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let cases: &[(&str, u64, &str)] = &[
        ("data", (1 << 20) + 5 * 4096 + 17, "data block 5"),
        ("the tree", hash_start + 4096 + 32, "block"),
        ("the superblock's salt", hash_start + 90, "superblock says"),
        ("the primary table", 600, "the partition table is damaged (byte 0)"),
        ("the backup table", end - 500, "the backup of the partition table is damaged"),
    ];
    for (what, offset, expected) in cases {
        fs::write(&path, &good).unwrap();
        damage(&path, *offset);
        let found = findings(&["root.img.toml"]);
        assert_eq!(found.len(), 1, "{what}: {found:?}");
        assert!(found[0].contains(expected), "{what}: {found:?}");
    }
    // All at once: all are listed, of damaged blocks the first.
    fs::write(&path, &good).unwrap();
    for (_, offset, _) in cases {
        damage(&path, *offset);
    }
    assert_eq!(findings(&["root.img.toml"]).len(), 4, "of blocks, the first");
    // Without a sidecar, with the trusted root hash.
    fs::write(&path, &good).unwrap();
    fs::rename(directory.path().join("root.img.toml"), directory.path().join("s.toml")).unwrap();
    verify(directory.path(), &["root.img"]).code(2);
    verify(directory.path(), &["root.img", "--root-hash", &root_hash]).ok();
    damage(&path, cases[0].1);
    let found = findings(&["root.img", "--root-hash", &root_hash]);
    assert!(found[0].contains("data block 5"), "{found:?}");
    // A cut disk.
    File::options().write(true).open(&path).unwrap().set_len(end / 2).unwrap();
    let found = findings(&["s.toml", "--image", "root.img"]);
    assert!(found[0].contains(&format!("has {} bytes instead of {end}", end / 2)), "{found:?}");
    // A sidecar for another root hash than the one that is trusted.
    fs::write(&path, &good).unwrap();
    let trusted = "00".repeat(32);
    let found = findings(&["s.toml", "--root-hash", &trusted]);
    assert!(found[0].contains(&format!("not for {trusted}")), "{found:?}");
    // Not there at all: no finding, an error.
    fs::remove_file(&path).unwrap();
    let ran = verify(directory.path(), &["s.toml"]).code(3);
    assert_eq!(ran.json()["kind"], "error");
    verify(directory.path(), &["absent.toml"]).code(3);
}

/// Each wrong use, the start of its message, and nothing is left behind.
#[test]
fn errors_leave_nothing() {
    let directory = source();
    fs::write(directory.path().join("text"), "hello").unwrap();
    fs::write(directory.path().join("bad-vm.toml"), "format = 1\nx = 1\n").unwrap();
    let long = format!("format = 1\ncmdline = \"{}\"\n", "a".repeat(2000));
    fs::write(directory.path().join("long.toml"), long).unwrap();
    let before = names(directory.path());
    let cases: &[(&[&str], i32, &str)] = &[
        (&["--from", "absent", "-o", "o"], 3, "absent: cannot be read"),
        (&["--from", "text", "-o", "o"], 3, "text: is neither a directory, nor a tar"),
        (&["--from", "text", "-o", "o", "--format", "qcow2"], 3, "text: is not a qcow2 image"),
        (&["--from", "text", "-o", "o", "--format", "vdi"], 2, "invalid value 'vdi'"),
        (&["--from", "-", "-o", "o", "--format", "raw"], 2, "a disk image cannot come from"),
        (&["--from", "source", "-o", "o", "--partition", "1"], 3, "source: has no partition table"),
        (&["--from", "source", "-o", "absent/o"], 3, "absent/o"),
        (&["--from", "source", "-o", "o", "--fs", "ext4"], 2, "source is a file system already"),
        (&["--from", "source", "-o", "o", "--hash-output", "h"], 2, "--hash-output is for"),
        (&["--from", "source", "-o", "o", "--vm", "bad-vm.toml"], 3, "bad-vm.toml:2:1: unknown"),
        (&["--from", ".", "-o", "o", "--fs", "ext4", "--compress", "lz4"], 2, "ext4 has no compr"),
        (&["--from", ".", "-o", "o", "--fs-size", "2G"], 2, "--fs-size is for --fs ext4"),
        (&["--from", "source", "-o", "o", "--salt", "xyz"], 2, "invalid value 'xyz' for '--salt"),
        (&["--from", "source", "-o", "o", "--hash", "md5"], 2, "invalid value 'md5'"),
        (&["--from", "source", "-o", "o", "--data-block-size", "8192"], 2, "invalid value '8192'"),
        (&["--from", "source", "-o", "o", "--seed", "1"], 2, "invalid value '1' for '--seed"),
        (&["--from", "source", "-o", "o", "--sidecar", "o"], 2, "o: --output and the sidecar are"),
        (&["--from", "source", "-o", "r.img/"], 3, "r.img/: this names a directory"),
    ];
    for (arguments, code, message) in cases {
        let all = [&["image", "verity"], *arguments].concat();
        let ran = run(directory.path(), &all).code(*code);
        let expected = format!("error: {message}");
        assert!(ran.stderr.starts_with(&expected), "{arguments:?}: {}", ran.stderr);
        assert_eq!(names(directory.path()), before, "{arguments:?}");
    }
    // The image is complete; the description, with which the kernel would cut the
    // command line, is as it was.
    let ran = verity(directory.path(), &["--vm", "long.toml"]).code(3);
    assert!(ran.stderr.contains("2046 are allowed"), "{}", ran.stderr);
    assert!(ran.stderr.contains("help: the image and root.img.toml are complete"));
    verify(directory.path(), &["root.img"]).ok();
}

/// What is written takes the place of nothing that is read, nor of another output.
#[test]
fn no_output_takes_the_place_of_what_is_read_or_of_another() {
    let directory = source();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("vm.toml"), "format = 1\n").unwrap();
    fs::write(at("users.toml"), "").unwrap();
    fs::create_dir(at("rootfs")).unwrap();
    fs::hard_link(at("source"), at("hard")).unwrap();
    let all = ["hard", "source", "users.toml", "vm.toml"];
    let before = all.map(|name| fs::read(at(name)).unwrap());
    let bare = ["--layout", "bare"];
    let cases: [(&str, &[&str]); 11] = [
        ("source", &["-o", "source"]),
        ("source", &["-o", "hard"]),
        ("source", &["-o", "vm.toml", "--vm", "vm.toml"]),
        ("source", &["-o", "vm", "--vm", "vm.toml"]),
        ("source", &["-o", "root.img", "--sidecar", "source"]),
        ("source", &["-o", "root.img", "--vm", "source"]),
        ("source", &[&bare[..], &["-o", "root.img", "--hash-output", "source"]].concat()),
        ("source", &[&bare[..], &["-o", "root.img", "--hash-output", "./root.img"]].concat()),
        ("rootfs", &["-o", "users.toml", "--customize", "users.toml"]),
        ("rootfs", &["-o", "hard", "--modules", "source"]),
        ("rootfs", &["-o", "rootfs"]),
    ];
    for (from, arguments) in cases {
        let ran =
            run(directory.path(), &[&["image", "verity", "--from", from], arguments].concat());
        let ran = ran.code(2);
        assert!(ran.stderr.contains("are the same file"), "{arguments:?}: {}", ran.stderr);
        assert_eq!(all.map(|name| fs::read(at(name)).unwrap()), before, "{arguments:?}");
    }
}

/// A tree from standard input, with the first file-system tool that is there and
/// new enough.
#[test]
fn a_tar_from_standard_input() {
    if tool("tar").is_none() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("rootfs");
    fs::create_dir_all(root.join("sbin")).unwrap();
    fs::write(root.join("sbin/init"), "the real init").unwrap();
    for fs in ["erofs", "squashfs", "ext4"] {
        let script = format!(
            "tar -C rootfs -c . | {} image verity --from - -o root.img --fs {fs} --root-owned",
            env!("CARGO_BIN_EXE_ravelin")
        );
        let output = Command::new("sh")
            .args(["-c", &script])
            .current_dir(directory.path())
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        if stderr.contains("; install ") {
            eprintln!("SKIPPED for {fs}: {stderr}");
            assert_eq!(names(directory.path()), ["rootfs"]);
            continue;
        }
        assert!(output.status.success(), "{stderr}");
        assert!(String::from_utf8_lossy(&output.stdout).contains(fs));
        verify(directory.path(), &["root.img"]).ok();
        return;
    }
}

/// Stopped while it works, however rudely: no output, no partial file, the old
/// image as it was.
#[test]
fn a_stopped_build_leaves_nothing() {
    for (signal, code) in [("INT", Some(130)), ("TERM", Some(143)), ("KILL", None)] {
        let directory = tempfile::tempdir().unwrap();
        // A sparse image: large enough to be still hashing when the signal comes.
        let size = 64_u64 << 30;
        let source = directory.path().join("source");
        fs::write(&source, squashfs(4096)).unwrap();
        let file = OpenOptions::new().write(true).open(&source).unwrap();
        file.set_len(size).unwrap();
        file.write_all_at(&size.to_le_bytes(), 40).unwrap();
        for name in ["root.img", "root.img.toml", "vm.toml"] {
            fs::write(directory.path().join(name), "format = 1\n").unwrap();
        }
        let before = names(directory.path());
        let mut child = ravelin()
            .current_dir(directory.path())
            .args(["image", "verity", "--from", "source", "-o", "root.img", "--vm", "vm.toml"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        busy(child.id());
        assert_eq!(names(directory.path()), before, "nothing is seen while it works");
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
        let status = child.wait().unwrap();
        assert_eq!(status.code(), code);
        assert_eq!(names(directory.path()), before);
        for name in ["root.img", "root.img.toml", "vm.toml"] {
            let content = fs::read_to_string(directory.path().join(name)).unwrap();
            assert_eq!(content, "format = 1\n", "{name}");
        }
    }
}

/// Waits until the process has used half a second of processor time: it is then
/// past its start and at work.
fn busy(pid: u32) {
    let begun = Instant::now();
    loop {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        if ticks >= 50 {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not work: {stat}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
