//! What the host, or a stranger, does. Each is refused for its named reason, the guest
//! waits on, and the right key still opens the untouched disk afterwards.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;

use vm_tests::Tool;

use super::{Machine, keep, put_back};
use crate::on_disk::OnDisk;

/// Reads bytes of a file.
fn bytes_at(path: &std::path::Path, offset: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fs::File::open(path).unwrap().read_exact_at(&mut bytes, offset).unwrap();
    bytes
}

fn write_at(path: &std::path::Path, offset: u64, bytes: &[u8]) {
    OpenOptions::new().write(true).open(path).unwrap().write_all_at(bytes, offset).unwrap();
}

/// Attack: the superblock of dm-integrity is changed, field by field (one, DIRTY_BITMAP,
/// made a 6.12 kernel oops); it is wiped. Observed: refused before a table is loaded.
/// Closed: it has to be the computed bytes.
#[test]
fn a_changed_superblock_is_never_shown_to_the_kernel() {
    let owner = Machine::new();
    let mut machine = owner.start();
    let disk = owner.path("root.img");
    let at = owner.volume_offset() + owner.spec().layout().params().data_offset * 512;
    let right = bytes_at(&disk, at, 4096);
    assert_eq!(&right[..8], b"integrt\0");
    // Offset and bit of each field: version, log2_interleave, tag size, journal
    // sections, data sectors, flags (RECALCULATING 2, DIRTY_BITMAP 4, FIXED_PADDING 8),
    // log2 of sectors in a block and of blocks in a bit, and what has to be zero.
    let fields = [
        (0, 0x01),
        (8, 0x01),
        (9, 0x01),
        (10, 0x04),
        (12, 0x01),
        (16, 0x08),
        (24, 0x01),
        (24, 0x02),
        (24, 0x04),
        (24, 0x08),
        (24, 0x10),
        (28, 0x01),
        (29, 0x01),
        (32, 0x01),
        (4095, 0x80),
    ];
    for (offset, bit) in fields {
        let mut changed = right.clone();
        changed[offset] ^= bit;
        write_at(&disk, at, &changed);
        let answer = owner.unlock(&["--new-instance"]);
        answer.failed(1, &["superblock"]);
        machine.check("the right disk");
    }
    write_at(&disk, at, &[0; 4096]);
    owner.unlock(&["--new-instance"]).failed(1, &["wiped"]);
    let console = machine.console().to_string();
    assert!(!console.contains("device-mapper: table"), "{console}");

    write_at(&disk, at, &right);
    owner.unlock(&["--new-instance"]).opened();
    machine.finish().booted();
}

/// Attack: the whole disk of an earlier epoch. Observed: refused before anything is
/// mounted. Closed: the owner's release has the least epoch.
#[test]
fn a_disk_of_an_earlier_epoch_is_refused() {
    let owner = Machine::new();
    let disk = owner.path("root.img");
    let old = keep(&disk);
    let machine = owner.start();
    owner.unlock(&[]).opened();
    machine.finish().booted();
    let new = disk.with_extension("new");
    fs::copy(&disk, &new).unwrap();

    put_back(&disk, &old);
    let machine = owner.start();
    owner.unlock(&["--new-instance"]).failed(1, &["epoch"]);
    put_back(&disk, &new);
    owner.unlock(&["--new-instance"]).opened();
    machine.finish().booted().said("epoch");
}

/// Attack: another key than the disk's, another disk's specification, an owner who is
/// none. Observed: each named, the guest waits on. Closed: check block,
/// derivation of the key from the specification, signature.
#[test]
fn wrong_keys_and_wrong_owners_are_told_and_change_nothing() {
    let owner = Machine::new();
    let mut machine = owner.start();
    let before = vm_tests::sha256_of_file(&owner.path("root.img"));

    let stranger = owner.command_of("stranger").output().unwrap();
    crate::said::Said::of(&stranger).failed(1, &["owner"]);

    let key = owner.path("root.img.key");
    let right = keep(&key);
    fs::write(&key, [0x5a; 32]).unwrap();
    owner.unlock(&["--new-instance"]).failed(1, &["key"]);
    put_back(&key, &right);

    // The specification of another disk of the same key and geometry: what remains
    // different is the volume ID.
    let other = owner.path("other.img");
    let mut encrypt = Tool::Ravelin.command();
    encrypt.args(["--quiet", "image", "encrypt", "--size", super::ROOM, "--from"]);
    encrypt.arg(crate::fixtures::tree().join("etc")).arg("--output").arg(&other);
    crate::fixtures::check(encrypt.arg("--key").arg(&key));
    let sidecar = owner.path("other.img.toml");
    let arguments = ["--sidecar", sidecar.to_str().unwrap(), "--key", key.to_str().unwrap()];
    owner.unlock(&arguments).failed(1, &["key"]);

    machine.check("the right key");
    assert_eq!(
        vm_tests::sha256_of_file(&owner.path("root.img")),
        before,
        "the disk was written to"
    );
    owner.unlock(&["--new-instance"]).opened();
    machine.finish().booted();
}

/// Attack: one bit of the first sector's data, of its tag, of the check block. Observed:
/// an error by name, never a mount of it. Closed: every sector is authentic or an error.
#[test]
fn a_flipped_bit_is_an_error_by_name() {
    let owner = Machine::new();
    let spec = owner.spec();
    let places = OnDisk::of(&spec);
    let disk = owner.path("root.img");
    let start = owner.volume_offset();
    let check_block = start + places.places(spec.tail_offset()).0;
    let mut machine = owner.start();
    let byte = bytes_at(&disk, check_block + 7, 1)[0];
    write_at(&disk, check_block + 7, &[byte ^ 1]);
    owner.unlock(&[]).failed(1, &["key"]);
    write_at(&disk, check_block + 7, &[byte]);
    machine.check("the right disk");

    // The file system's superblock: it opens, and the mount is refused.
    let first = start + places.places(1024).0;
    let byte = bytes_at(&disk, first, 1)[0];
    write_at(&disk, first, &[byte ^ 1]);
    owner.unlock(&["--new-instance"]).opened();
    machine.finish().stopped(vm_tests::Stop::PowerOff).said("code=disk-not-authentic");
}
