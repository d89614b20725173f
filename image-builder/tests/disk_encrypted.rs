//! Encrypted disks from a tree: the ext4 inside is one to be written to, and is
//! without a fault; nothing in clear stays behind.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod disk_common;

use std::fs;
use std::path::Path;
use std::process::Command;

use disk_common::{names, odd_tree, oracle, run};
use image_builder::disk::{
    BuildError, EncryptError, EncryptOptions, Encrypted, EncryptedSidecar, HostKeys, Note,
    Protection, Source, Tools, TreeError, Unlock, decrypt, encrypt,
};
use image_builder::progress::Silent;
use luks::{Cipher, Epoch, Secret, SectorSize};
use protocol::config::FsType;

fn key() -> Secret {
    Secret::new(&[7; 32])
}

fn options() -> EncryptOptions {
    EncryptOptions { tools: Tools::from_environment(), ..EncryptOptions::default() }
}

fn encrypt_into(
    source: Source,
    options: &EncryptOptions,
    into: &Path,
) -> Result<EncryptedSidecar, EncryptError> {
    let (disk, sidecar) = (into.join("root.img"), into.join("root.toml"));
    encrypt(source, options, &Protection::Key(key()), &disk, &sidecar, &Silent)
        .map(|encrypted| encrypted.sidecar)
}

/// A directory with host keys and what only looks like them.
fn with_host_keys(tree: &Path) {
    fs::create_dir_all(tree.join("etc/ssh/ssh_host_directory_key")).unwrap();
    let ssh = tree.join("etc/ssh");
    for name in HOST_KEYS {
        fs::write(ssh.join(name), format!("the secret of {name}\n").repeat(300)).unwrap();
    }
    std::os::unix::fs::symlink("elsewhere", ssh.join("ssh_host_link_key")).unwrap();
    for name in ["ssh_host_notes", "sshd_config", "moduli"] {
        fs::write(ssh.join(name), format!("{name} stays")).unwrap();
    }
}

const HOST_KEYS: [&str; 3] =
    ["ssh_host_ed25519_key", "ssh_host_ed25519_key.pub", "ssh_host_ed25519_key-cert.pub"];
const STAYS: [&str; 4] = ["moduli", "ssh_host_directory_key", "ssh_host_notes", "sshd_config"];

/// The names in /etc/ssh of the disk, and the file system in clear.
fn etc_ssh(debugfs: &Path, e2fsck: &Path, into: &Path) -> (Vec<String>, Vec<u8>) {
    let clear = into.join("clear");
    let sidecar = EncryptedSidecar::load(&into.join("root.toml")).unwrap();
    let disk = into.join("root.img");
    decrypt(&sidecar, &disk, &Unlock::Key(key()), Epoch::FIRST, &clear, None, &Silent).unwrap();
    run(Command::new(e2fsck).args(["-f", "-n"]).arg(&clear));
    let list = run(Command::new(debugfs).args(["-R", "ls -p /etc/ssh"]).arg(&clear));
    let names = list.lines().filter_map(|line| line.split('/').nth(5)).map(str::to_owned);
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    let bytes = fs::read(&clear).unwrap();
    fs::remove_file(clear).unwrap();
    (names, bytes)
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn with(host_keys: Option<HostKeys>) -> EncryptOptions {
    EncryptOptions { host_keys, ..options() }
}

#[test]
fn host_keys_of_a_tree_are_left_out_unless_they_are_to_be_kept() {
    let (Some(e2fsck), Some(debugfs)) =
        (oracle("e2fsck", "e2fsprogs"), oracle("debugfs", "e2fsprogs"))
    else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let (tree, into) = (directory.path().join("tree"), directory.path().join("into"));
    fs::create_dir(&into).unwrap();
    with_host_keys(&tree);
    let tar = directory.path().join("tree.tar");
    run(Command::new("tar").arg("-cf").arg(&tar).arg("-C").arg(&tree).arg("."));
    for source in [|tree, _| Source::Directory(tree), |_, tar| Source::Tar(tar)] {
        let source = || source(tree.clone(), tar.clone());
        let (disk, sidecar) = (into.join("root.img"), into.join("root.toml"));
        let protection = Protection::Key(key());
        let Encrypted { notes, .. } =
            encrypt(source(), &with(None), &protection, &disk, &sidecar, &Silent).unwrap();
        let mut notes: Vec<String> = notes.list.iter().map(ToString::to_string).collect();
        notes.sort();
        let expected = HOST_KEYS.iter().chain(&["ssh_host_link_key"]);
        let expected = expected.map(|name| format!("etc/ssh/{name}: host key left out"));
        let mut expected: Vec<String> = expected.collect();
        expected.sort();
        assert_eq!(notes, expected);
        let (names, clear) = etc_ssh(&debugfs, &e2fsck, &into);
        assert_eq!(names, STAYS);
        assert!(!contains(&clear, "the secret of") && contains(&clear, "moduli stays"));

        encrypt_into(source(), &with(Some(HostKeys::Keep)), &into).unwrap();
        let (names, clear) = etc_ssh(&debugfs, &e2fsck, &into);
        assert_eq!(names.len(), STAYS.len() + HOST_KEYS.len() + 1, "{names:?}");
        assert!(contains(&clear, "the secret of ssh_host_ed25519_key\n"));
    }
    // Another name of a key would keep it in the image.
    fs::hard_link(tree.join("etc/ssh/ssh_host_ed25519_key"), tree.join("etc/ssh/ssh_host_z"))
        .unwrap();
    let error = encrypt_into(Source::Directory(tree), &with(None), &into).unwrap_err();
    let EncryptError::Build(BuildError::Tree(TreeError::LeftOutLink { path, .. })) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(path, b"etc/ssh/ssh_host_z");
}

#[test]
fn host_keys_of_an_ext4_image_are_left_out_on_request() {
    let (Some(e2fsck), Some(debugfs), Some(mke2fs)) = (
        oracle("e2fsck", "e2fsprogs"),
        oracle("debugfs", "e2fsprogs"),
        oracle("mke2fs", "e2fsprogs"),
    ) else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let (tree, into) = (directory.path().join("tree"), directory.path().join("into"));
    let image = directory.path().join("root.ext4");
    fs::create_dir(&into).unwrap();
    with_host_keys(&tree);
    let mut make = Command::new(mke2fs);
    run(make.args(["-q", "-t", "ext4", "-b", "4096", "-d"]).arg(&tree).arg(&image).arg("16M"));
    let before = fs::read(&image).unwrap();

    let (disk, sidecar) = (into.join("root.img"), into.join("root.toml"));
    let source = || Source::Image(image.clone());
    let leave_out = with(Some(HostKeys::LeaveOut));
    let made = encrypt(source(), &leave_out, &Protection::Key(key()), &disk, &sidecar, &Silent);
    let notes = made.unwrap().notes;
    let left_out = |note: &Note| matches!(note, Note::HostKeyLeftOut { .. });
    assert_eq!(notes.list.len(), HOST_KEYS.len() + 1);
    assert!(notes.list.iter().all(left_out), "{notes:?}");
    assert_eq!(fs::read(&image).unwrap(), before, "the user's image stays as it was");
    let (names, clear) = etc_ssh(&debugfs, &e2fsck, &into);
    assert_eq!(names, STAYS);
    assert!(!contains(&clear, "the secret of"), "not in free blocks either");

    encrypt_into(source(), &with(None), &into).unwrap();
    let (names, clear) = etc_ssh(&debugfs, &e2fsck, &into);
    assert_eq!(names.len(), STAYS.len() + HOST_KEYS.len() + 1, "{names:?}");
    assert!(contains(&clear, "the secret of"));

    let link = "ln /etc/ssh/ssh_host_ed25519_key /etc/ssh/ssh_host_copy\n";
    let links = "sif /etc/ssh/ssh_host_ed25519_key links_count 2\n";
    let script = directory.path().join("script");
    fs::write(&script, [link, links].concat()).unwrap();
    run(Command::new(&debugfs).args(["-w", "-f"]).arg(&script).arg(&image));
    let error = encrypt_into(source(), &leave_out, &into).unwrap_err();
    assert!(error.to_string().contains("has another name too"), "{error}");
}

#[test]
fn host_keys_of_an_image_without_any_and_of_other_kinds() {
    let Some(mke2fs) = oracle("mke2fs", "e2fsprogs") else { return };
    let directory = tempfile::tempdir().unwrap();
    let (image, into) = (directory.path().join("root.fs"), directory.path().join("into"));
    fs::create_dir(&into).unwrap();
    run(Command::new(mke2fs).args(["-q", "-t", "ext4", "-b", "4096"]).arg(&image).arg("8M"));
    let leave_out = with(Some(HostKeys::LeaveOut));
    encrypt_into(Source::Image(image.clone()), &leave_out, &into).unwrap();
    assert_eq!(names(&into), ["root.img", "root.toml"]);

    let mut squashfs = vec![0; 8192];
    squashfs[..4].copy_from_slice(b"hsqs");
    squashfs[28] = 4;
    squashfs[41] = 32;
    fs::write(&image, squashfs).unwrap();
    let error = encrypt_into(Source::Image(image), &leave_out, &into).unwrap_err();
    assert!(matches!(error, EncryptError::HostKeysIn { kind: FsType::Squashfs }), "{error:?}");
}

/// The journal is as small as the disk needs it, and where there can be none, the least
/// size is said, and it is one that works.
#[test]
fn a_small_disk_has_a_small_journal() {
    let Some(e2fsck) = oracle("e2fsck", "e2fsprogs") else { return };
    let Some(debugfs) = oracle("debugfs", "e2fsprogs") else { return };
    let directory = tempfile::tempdir().unwrap();
    let (tree, into) = (directory.path().join("tree"), directory.path().join("into"));
    fs::create_dir(&into).unwrap();
    with_host_keys(&tree);
    let encrypted = |size| {
        let options = EncryptOptions { size: Some(size), ..options() };
        encrypt_into(Source::Directory(tree.clone()), &options, &into)
    };
    let error = encrypted(4 << 20).unwrap_err();
    let EncryptError::Build(BuildError::JournalRoom { bytes, least }) = error else {
        panic!("{error:?}")
    };
    assert_eq!(bytes, 4 << 20);
    for size in [least, 24 << 20, 128 << 20] {
        encrypted(size).unwrap();
        assert_eq!(etc_ssh(&debugfs, &e2fsck, &into).0, STAYS, "{size}");
    }
}

#[test]
fn a_tree_becomes_an_ext4_to_be_written_to() {
    let (Some(e2fsck), Some(debugfs), Some(dumpe2fs)) = (
        oracle("e2fsck", "e2fsprogs"),
        oracle("debugfs", "e2fsprogs"),
        oracle("dumpe2fs", "e2fsprogs"),
    ) else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let (tree, into) = (directory.path().join("tree"), directory.path().join("into"));
    fs::create_dir(&tree).unwrap();
    fs::create_dir(&into).unwrap();
    odd_tree(&tree, FsType::Ext4);
    for size in [None, Some(96 << 20)] {
        let options = EncryptOptions { size, ..options() };
        let sidecar = encrypt_into(Source::Directory(tree.clone()), &options, &into).unwrap();
        assert_eq!(names(&into), ["root.img", "root.toml"]);
        assert_eq!(EncryptedSidecar::load(&into.join("root.toml")).unwrap(), sidecar);
        if let Some(size) = size {
            assert_eq!(sidecar.file_system.size, size);
        }
        // Made again it has other identifiers: they follow from the volume's.
        let again = encrypt_into(Source::Directory(tree.clone()), &options, &into).unwrap();
        assert_ne!(again.file_system.uuid, sidecar.file_system.uuid);

        let clear = directory.path().join("clear");
        let disk = into.join("root.img");
        decrypt(&again, &disk, &Unlock::Key(key()), Epoch::FIRST, &clear, None, &Silent).unwrap();
        run(Command::new(&e2fsck).args(["-f", "-n"]).arg(&clear));
        let features = run(Command::new(&dumpe2fs).arg("-h").arg(&clear));
        assert!(features.contains("has_journal"), "{features}");
        let free = |what: &str| {
            let line = features.lines().find(|line| line.starts_with(what)).unwrap();
            line.split_whitespace().last().unwrap().parse::<u64>().unwrap()
        };
        assert!(free("Free blocks:") > 1000 && free("Free inodes:") > 1000, "{features}");
        let one = run(Command::new(&debugfs).args(["-R", "cat etc/one"]).arg(&clear));
        assert_eq!(one, fs::read_to_string(tree.join("etc/one")).unwrap());
        fs::remove_file(clear).unwrap();
    }
}

#[test]
fn sectors_larger_than_the_file_systems_blocks_are_refused() {
    let Some(mke2fs) = oracle("mke2fs", "e2fsprogs") else { return };
    let directory = tempfile::tempdir().unwrap();
    let (image, into) = (directory.path().join("small.ext4"), directory.path().join("into"));
    fs::create_dir(&into).unwrap();
    run(Command::new(mke2fs).args(["-q", "-t", "ext4", "-b", "1024"]).arg(&image).arg("4096k"));
    let error = encrypt_into(Source::Image(image.clone()), &options(), &into).unwrap_err();
    assert!(matches!(error, EncryptError::BlockSize { block_size: 1024, .. }), "{error:?}");
    assert!(names(&into).is_empty());
    let small = EncryptOptions {
        sector_size: SectorSize::B512,
        cipher: Cipher::AesGcmRandom,
        partitioned: false,
        ..options()
    };
    let sidecar = encrypt_into(Source::Image(image), &small, &into).unwrap();
    assert_eq!(sidecar.disk.partition, None);
    assert_eq!(sidecar.file_system.size, 4 << 20);
}
