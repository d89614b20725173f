//! Encrypted disks from a tree: the ext4 inside is one to be written to, and is
//! without a fault; nothing in clear stays behind.

mod disk_common;

use std::fs;
use std::path::Path;
use std::process::Command;

use disk_common::{names, odd_tree, oracle, run};
use image_builder::disk::{
    EncryptError, EncryptOptions, EncryptedSidecar, Protection, Source, Tools, Unlock, decrypt,
    encrypt,
};
use image_builder::progress::Silent;
use luks::{Cipher, Secret, SectorSize};
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
        decrypt(&again, &disk, &Unlock::Key(key()), &clear, None, &Silent).unwrap();
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
