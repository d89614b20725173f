//! The images that `ravelin image verity` makes: every form boots, and what is
//! done to them is noticed by PID 1, by `ravelin image verify`, or by both.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use vm_tests::{Environment, Outcome, Tool, Vm, WorkDir};

use crate::fixtures::{self, BASE, BIG_FILE, BLOCK, check, flip, initramfs, overwrite, tree};

#[test]
fn an_erofs_disk_boots() {
    boots(&["--fs", "erofs"]);
}

#[test]
fn a_squashfs_disk_boots() {
    boots(&["--fs", "squashfs"]);
}

#[test]
fn an_ext4_disk_boots() {
    boots(&["--fs", "ext4"]);
}

#[test]
fn a_disk_with_sha512_and_no_salt_boots() {
    boots(&["--fs", "squashfs", "--hash", "sha512", "--salt", "-"]);
}

#[test]
fn a_disk_with_small_blocks_boots() {
    boots(&["--fs", "ext4", "--hash-block-size", "1024"]);
}

#[test]
fn bare_files_boot() {
    boots(&["--layout", "bare"]);
}

/// What nothing here reads, but the kernel: taken as the file system that it is.
#[test]
fn a_btrfs_image_boots() {
    let work = WorkDir::new();
    let image = work.join("btrfs.img");
    let mut mkfs = Command::new("mkfs.btrfs");
    check(mkfs.args(["--quiet", "--shrink", "--rootdir"]).arg(tree()).arg(&image));
    taken_as_it_is("btrfs", &image, &work);
}

#[test]
fn an_xfs_image_boots() {
    let work = WorkDir::new();
    let (image, list) = (work.join("xfs.img"), work.join("prototype"));
    let mut prototype = "-\n0 0\n".to_owned();
    prototype_of(&tree(), &mut prototype);
    fs::write(&list, prototype).unwrap();
    let file = fs::File::create(&image).unwrap();
    file.set_len(300 << 20).unwrap();
    // Sectors as large as the blocks of the hash tree, or the kernel cannot mount it there.
    let mut mkfs = Command::new("mkfs.xfs");
    check(mkfs.args(["-q", "-s", "size=4096", "-p"]).arg(&list).arg(&image));
    taken_as_it_is("xfs", &image, &work);
}

/// Attack: the verity superblock in its partition is zeroed, or one bit of it
/// flips. Observed: the machine boots with the identical table, and the owner's check
/// reports it. Closed: PID 1 does not read it.
#[test]
fn a_changed_superblock_changes_nothing_and_is_reported() {
    let work = WorkDir::new();
    let disk = Disk::make(work.path(), &[]);
    let untouched = disk.boot();
    untouched.booted();
    assert!(disk.verify(0).contains("good"));

    let superblock = disk.offset("verity");
    overwrite(&disk.image, superblock, &[0; 4096]);
    let zeroed = disk.boot();
    zeroed.booted();
    assert!(disk.verify(1).contains("superblock"));

    let again = Disk::make(work.path(), &[]);
    flip_bit(&again.image, superblock + 72);
    let flipped = again.boot();
    flipped.booted();
    assert!(again.verify(1).contains("superblock"));

    for outcome in [&zeroed, &flipped] {
        assert_eq!(outcome.console.probe("dm.table"), untouched.console.probe("dm.table"));
    }
}

/// Attack: one bit of the root partition. Observed: `verity-mismatch`, and the owner's
/// check names the block. Closed: the root hash vouches for every block.
#[test]
fn a_changed_root_is_refused_and_reported() {
    let work = WorkDir::new();
    let disk = Disk::make(work.path(), &[]);
    flip(&disk.image, disk.offset("root") / BLOCK);
    disk.boot().refused("root", "verity-mismatch");
    assert!(disk.verify(1).contains("block 0"));
}

/// Attack: the partition table is gone, or its checksum is wrong. Observed:
/// `disk-missing`, at the deadline. Closed: no partition has the identity that is asked
/// for, and nothing else is taken.
#[test]
fn a_broken_partition_table_is_refused() {
    let work = WorkDir::new();
    for (offset, bytes) in [(512, [0; 8]), (512 + 16, [0x5a; 8])] {
        let disk = Disk::make(work.path(), &[]);
        overwrite(&disk.image, offset, &bytes);
        let outcome = disk.vm().add_words("ravelin.deadline.disks=500ms").run();
        outcome.refused("disks", "disk-missing").said("no usable partition table");
        let _report = disk.verify(1);
    }
}

/// Attack: the same disk twice, so that the order decides. Observed: `disk-ambiguous`.
/// Closed: a partition is taken only if there is one of its UUID.
#[test]
fn two_disks_with_one_partition_uuid_are_refused() {
    let work = WorkDir::new();
    let disk = Disk::make(work.path(), &[]);
    disk.vm().disk(&disk.image, "another").run().refused("disks", "disk-ambiguous");
}

/// Attack: the disk ends in the middle of the hash tree; its backup partition
/// table goes with it. Observed: `disk-missing`. Closed: only a partition that the kernel
/// has in the table's size is one.
#[test]
fn a_truncated_disk_is_refused() {
    let work = WorkDir::new();
    let disk = Disk::make(work.path(), &[]);
    fixtures::resize(&disk.image, disk.offset("verity") + BLOCK);
    let outcome = disk.vm().add_words("ravelin.deadline.disks=500ms").run();
    outcome.refused("disks", "disk-missing");
    let _report = disk.verify(1);
}

/// Attack: the partitions of data and tree change their identities, in a
/// partition table with right checksums. Observed: `disk-too-small`: each is found where
/// the other one is, and the tree's is too small for the data. Closed: a partition table
/// only says where to look, the root hash alone vouches for what is there.
#[test]
fn swapped_partitions_are_refused() {
    let work = WorkDir::new();
    let disk = Disk::make(work.path(), &[]);
    let guid = |partition: &str| {
        disk.sidecar["layout"]["disk"][partition]["guid"].as_str().unwrap().to_owned()
    };
    let swap = [format!("1:{}", guid("verity")), format!("2:{}", guid("root"))];
    let mut sgdisk = Command::new("sgdisk");
    check(sgdisk.args(["-u", &swap[0], "-u", &swap[1]]).arg(&disk.image));
    disk.boot().refused("root", "disk-too-small");
    let _report = disk.verify(1);
}

/// Makes an image and boots it.
#[track_caller]
fn boots(arguments: &[&str]) {
    let work = WorkDir::new();
    Disk::make(work.path(), arguments).boots();
}

fn taken_as_it_is(kind: &str, image: &Path, work: &WorkDir) {
    let modules = Environment::get().modules().join("kernel/fs").join(kind);
    if !modules.exists() {
        eprintln!("SKIPPED: this kernel has no {kind}: {} is missing", modules.display());
        return;
    }
    let disk = Disk::of(image, work.path(), &[]);
    assert_eq!(disk.sidecar["file_system"]["kind"].as_str(), Some(kind));
    disk.boots();
}

/// The description of a directory for mkfs.xfs, which has no other way without a mount.
fn prototype_of(directory: &Path, list: &mut String) {
    list.push_str("d--755 0 0\n");
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        list.push_str(&format!("{} ", path.file_name().unwrap().display()));
        if path.is_dir() {
            prototype_of(&path, list);
        } else {
            list.push_str(&format!("---755 0 0 {}\n", path.display()));
        }
    }
    list.push_str("$\n");
}

/// An image of the small root.
pub(crate) struct Disk {
    pub(crate) image: PathBuf,
    hash: Option<PathBuf>,
    sidecar: toml::Table,
    pub(crate) initramfs: PathBuf,
}

impl Disk {
    pub(crate) fn make(work: &Path, arguments: &[&str]) -> Self {
        Self::of(&tree(), work, &[&["--root-owned"], arguments].concat())
    }

    fn of(source: &Path, work: &Path, arguments: &[&str]) -> Self {
        let image = work.join("root.img");
        let mut ravelin = Tool::Ravelin.command();
        ravelin.args(["--quiet", "image", "verity", "--from"]).arg(source);
        check(ravelin.arg("--output").arg(&image).args(arguments));
        let sidecar: toml::Table =
            fs::read_to_string(work.join("root.img.toml")).unwrap().parse().unwrap();
        let hash = Some(work.join("root.img.hash")).filter(|path| path.exists());
        let fstype = sidecar["file_system"]["kind"].as_str().unwrap();
        let algorithm = sidecar["verity"]["algorithm"].as_str().unwrap();
        let initramfs = initramfs(&["--filesystem", fstype, "--set", algorithm]);
        Self { image, hash, sidecar, initramfs }
    }

    /// The kernel command line.
    pub(crate) fn cmdline(&self) -> String {
        let words = self.sidecar["cmdline"].as_str().unwrap();
        format!("{BASE} {words} ravelin.attest.mode=none")
    }

    /// Where a partition begins, in bytes.
    pub(crate) fn offset(&self, partition: &str) -> u64 {
        let offset = self.sidecar["layout"]["disk"][partition]["offset"].as_integer().unwrap();
        u64::try_from(offset).unwrap()
    }

    fn vm(&self) -> Vm {
        let vm = Vm::new()
            .initrd(&self.initramfs)
            .cmdline(self.cmdline())
            .disk(&self.image, "ravelin-root");
        match &self.hash {
            Some(hash) => vm.disk(hash, "ravelin-hash"),
            None => vm,
        }
    }

    fn boot(&self) -> Outcome {
        self.vm().run()
    }

    /// The owner's check finds it good, and the probe reads a file of it.
    #[track_caller]
    fn boots(&self) {
        assert!(self.verify(0).contains("good"));
        let outcome = self.vm().add_words(&format!("probe.do=read:{BIG_FILE}")).run();
        outcome.booted();
        let read = outcome.console.probe(&format!("read:{BIG_FILE}"));
        let expected = vm_tests::sha256_of_file(&tree().join("data/big"));
        assert_eq!(read, format!("3000000 bytes sha256={expected}"));
    }

    /// The owner's check, with the exit code that it must have; what it says.
    #[track_caller]
    fn verify(&self, code: i32) -> String {
        let mut ravelin = Tool::Ravelin.command();
        let sidecar = self.image.with_extension("img.toml");
        let output = ravelin.args(["image", "verify"]).arg(sidecar).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        said
    }
}

fn flip_bit(image: &Path, offset: u64) {
    let bytes = fs::read(image).unwrap();
    let byte = bytes[usize::try_from(offset).unwrap()] ^ 1;
    overwrite(image, offset, &[byte]);
}
