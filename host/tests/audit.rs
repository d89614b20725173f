//! `ravelin image audit`, and what `image verity` and `image encrypt` are told about content.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::Path;

use common::{Ran, names, run, squashfs};

/// A directory with `root`, in which is something of every kind.
fn root() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    fs::create_dir_all(root.join("etc/ssh")).unwrap();
    fs::create_dir_all(root.join("srv")).unwrap();
    for (path, content) in [
        ("etc/ssh/ssh_host_ed25519_key", "a key"),
        ("etc/fstab", "# kept\nUUID=1 / ext4 a 0 1\n"),
        ("srv/app.conf", "aws = AKIAABCDEFGHIJKLMNOP\n"),
    ] {
        fs::write(root.join(path), content).unwrap();
    }
    directory
}

fn audit(directory: &Path, more: &[&str]) -> Ran {
    run(directory, &[&["image", "audit"], more].concat())
}

#[test]
fn what_is_found_is_told_and_fails_only_if_that_is_asked_for() {
    let directory = root();
    let json = audit(directory.path(), &["root", "--json"]).ok().json();
    assert_eq!(json["kind"], "image-audit");
    assert_eq!((&json["clean"], &json["members"]), (&false.into(), &6.into()));
    let found: Vec<String> = json["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| format!("{} {} {}", row["rule"], row["place"], row["action"]).replace('"', ""))
        .collect();
    assert_eq!(
        found,
        [
            "fstab etc/fstab:2 lines left out",
            "ssh-host-key etc/ssh/ssh_host_ed25519_key left out",
            "token srv/app.conf:1 told",
        ]
    );
    audit(directory.path(), &["root", "--json", "--strict"]).code(1);
    let text = audit(directory.path(), &["root"]).ok();
    for part in ["srv/app.conf:1: an AWS access key", "stays in the image"] {
        assert!(text.stdout.contains(part), "{}", text.stdout);
    }
    // Never the secret itself.
    assert!(!text.stdout.contains("AKIA"), "{}", text.stdout);
    assert_eq!(names(directory.path()), ["root"]);

    for path in ["etc/ssh/ssh_host_ed25519_key", "etc/fstab", "srv/app.conf"] {
        fs::remove_file(directory.path().join("root").join(path)).unwrap();
    }
    let json = audit(directory.path(), &["root", "--json", "--strict"]).ok().json();
    assert_eq!((&json["clean"], &json["findings"][0]), (&true.into(), &().into()));
}

#[test]
fn what_cannot_be_looked_into_says_so() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("fs"), squashfs(4096)).unwrap();
    let ran = audit(directory.path(), &["fs"]).code(3);
    assert!(ran.stderr.contains("is the image of a file system"), "{}", ran.stderr);
    fs::create_dir(directory.path().join("tree")).unwrap();
    let ran = audit(directory.path(), &["tree", "--image", "debian"]).code(3);
    assert!(ran.stderr.contains("is no container image"), "{}", ran.stderr);
    audit(directory.path(), &["missing"]).code(3);
    audit(directory.path(), &[]).code(2);
}

#[test]
fn options_about_content_are_not_for_a_file_system() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("fs"), squashfs(4096)).unwrap();
    for command in ["verity", "encrypt"] {
        for option in [
            &["--clean"][..],
            &["--clean-authorized-keys"],
            &["--image", "a"],
            &["--modules", "fs"],
        ] {
            let first = ["image", command, "--from", "fs", "-o", "out.img"];
            let ran = run(directory.path(), &[&first, option].concat()).code(2);
            assert!(ran.stderr.contains("taken as it is"), "{}", ran.stderr);
        }
        let first = ["image", command, "--from", "fs", "-o", "out.img"];
        run(directory.path(), &[&first[..], &["--clean", "--no-clean"]].concat()).code(2);
        fs::write(directory.path().join("bad.toml"), "hostnam = 1").unwrap();
        fs::create_dir_all(directory.path().join("tree")).unwrap();
        let first = ["image", command, "--from", "tree", "-o", "out.img"];
        let ran = run(directory.path(), &[&first[..], &["--customize", "bad.toml"]].concat());
        assert!(ran.code(3).stderr.contains("is no customization"));
        assert_eq!(names(directory.path()), ["bad.toml", "fs", "tree"]);
    }
}
