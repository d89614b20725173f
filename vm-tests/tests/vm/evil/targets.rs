//! The project's own targets, with the places that scenarios name.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use vm_tests::Environment;
use vm_tests::evil::{Target, TargetDisk};

use crate::fixtures::{self, BASE, BIG_FILE, BLOCK, Settings, SmallRoot, directory};
use crate::images;

/// A block of the big file which nothing but its reader needs.
const LATE_BLOCK: u64 = 500;

/// The target of this name.
#[track_caller]
pub(super) fn get(name: &str) -> Target {
    static VERITY: LazyLock<Target> = LazyLock::new(verity);
    static PARTITIONED: LazyLock<Target> = LazyLock::new(partitioned);
    match name {
        "verity" => VERITY.clone(),
        "partitioned" => PARTITIONED.clone(),
        other => unreachable!("no target {other}"),
    }
}

/// A verity root on two bare disks.
fn verity() -> Target {
    let root = SmallRoot::get();
    let late = root.first_block_of(BIG_FILE) + LATE_BLOCK;
    let init = root.first_block_of("/sbin/init");
    let above = |block| root.hash_block_above(block);
    assert!(above(0) != above(init) && above(init) != above(late), "each below its own hashes");
    let data = [("superblock", 0), ("real-init", init), ("late-file", late)];
    let hash = [
        ("verity-superblock", 0),
        ("hash-top", 1),
        ("hash-of-superblock", above(0)),
        ("hash-of-real-init", above(init)),
        ("hash-of-late-file", above(late)),
    ];
    let (older_data, older_hash) = (directory().join("older.data"), directory().join("older.hash"));
    fs::copy(&root.data, &older_data).unwrap();
    fixtures::flip(&older_data, late);
    fixtures::veritysetup_format_with(root.settings.get("verity.salt"), &older_data, &older_hash);
    Target {
        disks: vec![disk("data", &root.data, &data), disk("hash", &root.hash, &hash)],
        images: [("older-data", older_data), ("older-hash", older_hash)]
            .map(|(name, path)| (name.to_owned(), path))
            .into(),
        ..target("verity", &root.initramfs, &root.settings.to_string())
    }
}

/// A verity root on one disk with a partition table, as `ravelin image verity` makes it.
fn partitioned() -> Target {
    let work = directory().join("partitioned");
    fs::create_dir_all(&work).unwrap();
    let image = images::Disk::make(&work, &[]);
    let block = |partition| image.offset(partition) / BLOCK;
    let mut disk = disk(
        "root",
        &image.image,
        &[("superblock", block("root")), ("hash-superblock", block("verity"))],
    );
    disk.places.insert("partition-table".to_owned(), 512);
    disk.places.insert("partitions".to_owned(), 1024);
    Target { disks: vec![disk], ..target("partitioned", &image.initramfs, &image.cmdline()) }
}

/// The settings of a verity root that asks the secure processor for a report.
pub(super) fn attested() -> Settings {
    SmallRoot::get().settings.clone().with("attest.mode", "report")
}

fn target(name: &str, initramfs: &Path, cmdline: &str) -> Target {
    assert!(cmdline.starts_with(BASE));
    Target {
        name: name.to_owned(),
        kernel: Environment::get().kernel(),
        initramfs: initramfs.to_owned(),
        cmdline: cmdline.to_owned(),
        memory_mib: 512,
        vcpus: 1,
        disks: Vec::new(),
        images: BTreeMap::new(),
        booted: "PROBE begin=1".to_owned(),
        refused: Some("ravelin: FAILED ".to_owned()),
        seconds: 180,
    }
}

/// The places are blocks.
fn disk(name: &str, file: &Path, places: &[(&str, u64)]) -> TargetDisk {
    TargetDisk {
        name: name.to_owned(),
        file: file.to_owned(),
        serial: name.to_owned(),
        device: None,
        places: places.iter().map(|(name, block)| ((*name).to_owned(), block * BLOCK)).collect(),
    }
}
