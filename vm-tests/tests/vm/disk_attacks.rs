//! The host changes the disks.
//!
//! What PID 1 meets itself it refuses by name and switches the machine off; what
//! is met after the hand-over is dm-verity's own panic and a reset. In no case
//! does the guest see a byte that the root hash does not vouch for.

use vm_tests::{Stop, WorkDir};

use crate::fixtures::{self, BIG_FILE, BLOCK, SmallRoot};

/// Attack: one bit in the first block, where the file system's superblock is.
/// Observed: the mount fails, and PID 1 says that it is corruption and not a
/// wrong file system. Closed: nothing of the root was used.
#[test]
fn a_flipped_bit_in_the_superblock_is_refused() {
    let root = SmallRoot::get();
    let work = WorkDir::new();
    let data = fixtures::copy(&root.data, &work);
    fixtures::flip(&data, 0);
    root.vm_with(&data, &root.hash).run().refused("root", "verity-mismatch");
}

/// Attack: one bit in the program that would become the real init.
/// Observed: PID 1 reads its first block before it commits to it, and refuses.
/// Closed: the program is never started.
#[test]
fn a_flipped_bit_in_the_real_init_is_refused() {
    let root = SmallRoot::get();
    let work = WorkDir::new();
    let data = fixtures::copy(&root.data, &work);
    fixtures::flip(&data, root.first_block_of("/sbin/init"));
    root.vm_with(&data, &root.hash).run().refused("root", "verity-mismatch");
}

/// Attack: the hash tree is changed instead of the data, above the superblock.
/// Observed: refused the same way. Closed: a hash block counts only if its own
/// hash is right, up to the root hash on the measured command line.
#[test]
fn a_flipped_bit_in_the_hashes_of_the_superblock_is_refused() {
    let root = SmallRoot::get();
    let work = WorkDir::new();
    let hash = fixtures::copy(&root.hash, &work);
    fixtures::flip(&hash, root.hash_block_above(0));
    root.vm_with(&root.data, &hash).run().refused("root", "verity-mismatch");
}

/// Attack: the hash block above the real init, another one than the superblock's.
/// Observed: the mount works, the look at the real init fails. Closed: as above.
#[test]
fn a_flipped_bit_in_the_hashes_of_the_real_init_is_refused() {
    let root = SmallRoot::get();
    let work = WorkDir::new();
    let hash = fixtures::copy(&root.hash, &work);
    let above = root.hash_block_above(root.first_block_of("/sbin/init"));
    assert_ne!(above, root.hash_block_above(0));
    fixtures::flip(&hash, above);
    root.vm_with(&root.data, &hash).run().refused("root", "verity-mismatch");
}

/// Attack: the top of the tree. Observed and closed: as above.
#[test]
fn a_flipped_bit_in_the_top_of_the_hash_tree_is_refused() {
    let root = SmallRoot::get();
    let work = WorkDir::new();
    let hash = fixtures::copy(&root.hash, &work);
    fixtures::flip(&hash, 1);
    root.vm_with(&root.data, &hash).run().refused("root", "verity-mismatch");
}

/// Attack: a complete, consistent image of the host's own, with its own tree.
/// Observed: its tree does not lead to the measured root hash. Closed: the same
/// as a wrong root hash on the command line, which would be another measurement.
#[test]
fn a_wrong_root_hash_is_refused() {
    let root = SmallRoot::get();
    let settings = root.settings.clone();
    let wrong = settings.get("verity.roothash").replace(['0', '1'], "2");
    let settings = settings.with("verity.roothash", wrong);
    root.vm().cmdline(settings.to_string()).run().refused("root", "verity-mismatch");
}

/// Attack: the data disk ends early, so that reads beyond would fail later.
/// Observed: refused by size, before the kernel is asked for anything.
#[test]
fn a_truncated_data_disk_is_refused() {
    let root = SmallRoot::get();
    let work = WorkDir::new();
    let data = fixtures::copy(&root.data, &work);
    fixtures::resize(&data, (root.data_blocks - 1) * BLOCK);
    root.vm_with(&data, &root.hash).run().refused("root", "disk-too-small");
}

/// Attack: the hash disk ends early, within the tree. Observed: as above.
#[test]
fn a_truncated_hash_disk_is_refused() {
    let root = SmallRoot::get();
    let work = WorkDir::new();
    let hash = fixtures::copy(&root.hash, &work);
    fixtures::resize(&hash, root.hash_block_above(root.data_blocks - 1) * BLOCK);
    root.vm_with(&root.data, &hash).run().refused("root", "disk-too-small");
}

/// Attack: data and hash disk change places, both large enough for either.
/// Observed: what is read as data has no matching hash. Closed: names of disks
/// only find them, the root hash alone vouches for them.
#[test]
fn swapped_disks_are_refused() {
    let root = SmallRoot::get();
    let work = WorkDir::new();
    let hash = fixtures::copy(&root.hash, &work);
    fixtures::resize(&hash, root.data_blocks * BLOCK);
    root.vm_with(&hash, &root.data).run().refused("root", "verity-mismatch");
}

/// Attack: the disk never comes. Observed: PID 1 waits until its deadline and
/// no longer, and names the disk. Closed: no fallback to whatever is there.
#[test]
fn a_missing_disk_is_refused_at_the_deadline() {
    let root = SmallRoot::get();
    let outcome =
        root.bare_vm().disk(&root.data, "data").add_words("ravelin.deadline.disks=1500ms").run();
    outcome.refused("disks", "disk-missing").said("verity.hash_device=serial:hash");
    outcome.said("within 1500ms");
}

/// Attack: two disks claim to be the one. Observed: refused, both named.
/// Closed: the host's order of devices decides nothing.
#[test]
fn two_disks_with_one_serial_are_refused() {
    let root = SmallRoot::get();
    root.vm().disk(&root.data, "data").run().refused("disks", "disk-ambiguous");
}

/// Attack: a bit of a file that the system reads later.
/// Observed: dm-verity panics when the block is read, and the machine resets.
/// Closed: the reader never gets data, and nothing runs on after it.
#[test]
fn a_flipped_bit_met_later_is_a_panic_and_never_data() {
    let root = SmallRoot::get();
    let work = WorkDir::new();
    let data = fixtures::copy(&root.data, &work);
    fixtures::flip(&data, root.first_block_of(BIG_FILE) + 500);
    panics_instead_of_reading(root.vm_with(&data, &root.hash));
}

/// Attack: the hash block above that file. Observed and closed: as above.
#[test]
fn a_flipped_hash_met_later_is_a_panic_and_never_data() {
    let root = SmallRoot::get();
    let work = WorkDir::new();
    let hash = fixtures::copy(&root.hash, &work);
    let above = root.hash_block_above(root.first_block_of(BIG_FILE) + 500);
    assert_ne!(above, root.hash_block_above(root.first_block_of("/sbin/init")));
    fixtures::flip(&hash, above);
    panics_instead_of_reading(root.vm_with(&root.data, &hash));
}

/// The configuration can ask for a restart instead of a panic.
#[test]
fn restart_on_corruption_resets_without_data() {
    let root = SmallRoot::get();
    let work = WorkDir::new();
    let data = fixtures::copy(&root.data, &work);
    fixtures::flip(&data, root.first_block_of(BIG_FILE) + 500);
    let vm = root.vm_with(&data, &root.hash).add_words("ravelin.verity.on_corruption=restart");
    let outcome = vm.add_words(&format!("probe.do=read:{BIG_FILE}")).run();
    outcome.stopped(Stop::Reset).said("PROBE begin=1").said("is corrupted");
    outcome.never_said("PROBE read:").never_said("Kernel panic");
}

/// The configuration can ask for an I/O error: the reader gets that, not data.
#[test]
fn eio_on_corruption_is_an_error_and_never_data() {
    let root = SmallRoot::get();
    let work = WorkDir::new();
    let data = fixtures::copy(&root.data, &work);
    fixtures::flip(&data, root.first_block_of(BIG_FILE) + 500);
    let vm = root.vm_with(&data, &root.hash).add_words("ravelin.verity.on_corruption=eio");
    let outcome = vm.add_words(&format!("probe.do=read:{BIG_FILE}")).run();
    outcome.booted();
    assert_eq!(outcome.console.probe(&format!("read:{BIG_FILE}")), "Uncategorized 5");
}

/// Attack: the host does not change a block, it refuses to read it, so that a
/// file (a firewall's, say) is missing and the system goes on. Observed: a kernel
/// panic, as for a wrong block. Closed: `verity.on_error` is `panic` by default.
#[test]
fn a_disk_that_refuses_a_block_later_is_a_panic() {
    let root = SmallRoot::get();
    let vm = refusing(root, (root.first_block_of(BIG_FILE) + 500) * BLOCK / 512);
    let outcome = vm.add_words(&format!("probe.do=read:{BIG_FILE}")).run();
    outcome.stopped(Stop::Reset).said("PROBE begin=1").said("Kernel panic");
    outcome.never_said("PROBE read:").never_said("ravelin: FAILED");
}

/// The same where PID 1 reads. Observed: a refusal that blames the disk and not
/// a setting of the owner's.
#[test]
fn a_disk_that_refuses_its_first_block_is_refused() {
    refusing(SmallRoot::get(), 2).run().refused("root", "disk-error");
}

/// A machine whose data disk answers reads of a sector with EIO.
fn refusing(root: &SmallRoot, sector: u64) -> vm_tests::Vm {
    let file = root.data.display();
    let blkdebug = format!(
        "driver=blkdebug,node-name=data,read-only=on,image.driver=file,image.filename={file},\
         image.read-only=on,inject-error.0.event=none,inject-error.0.iotype=read,\
         inject-error.0.errno=5,inject-error.0.sector={sector}"
    );
    let device = "virtio-blk-pci,drive=data,serial=data";
    root.bare_vm().disk(&root.hash, "hash").qemu_arguments([
        "-blockdev",
        blkdebug.as_str(),
        "-device",
        device,
    ])
}

/// Attack: the verity superblock, which says how to read the tree, is zeroed or
/// filled with the host's wishes (another hash, other sizes, other salt).
/// Observed: the boot is the same, down to the table in the kernel. Closed: PID 1
/// does not read it; all of the table comes from the measured command line.
#[test]
fn the_verity_superblock_is_not_read() {
    let root = SmallRoot::get();
    let table = |hash: &std::path::Path| {
        let outcome = root.vm_with(&root.data, hash).run();
        outcome.booted();
        outcome.console.probe("dm.table").to_owned()
    };
    let untouched = table(&root.hash);

    let work = WorkDir::new();
    let zeroed = fixtures::copy(&root.hash, &work);
    fixtures::overwrite(&zeroed, 0, &[0; 4096]);
    assert_eq!(table(&zeroed), untouched);

    // Offsets of veritysetup's superblock: hash name at 32, block sizes at 64,
    // number of blocks at 72, salt size at 80.
    let lying = fixtures::copy(&root.hash, &work);
    fixtures::overwrite(&lying, 32, b"sha1\0\0\0\0");
    fixtures::overwrite(&lying, 64, &512_u32.to_le_bytes());
    fixtures::overwrite(&lying, 72, &1_u64.to_le_bytes());
    fixtures::overwrite(&lying, 80, &0_u16.to_le_bytes());
    assert_eq!(table(&lying), untouched);
}

/// Attack: the image is right, but its real init is not there (a mistake, more
/// likely). Observed: refused before the root is entered, with the path.
#[test]
fn a_missing_real_init_is_refused() {
    let root = SmallRoot::get();
    let vm = root.vm().add_words("ravelin.root.init=/sbin/no-such-init");
    vm.run().refused("root", "init-missing").said("/sbin/no-such-init");
}

/// The same for something that is there and is no program.
#[test]
fn a_real_init_that_is_no_program_is_refused() {
    let root = SmallRoot::get();
    let vm = root.vm().add_words("ravelin.root.init=/etc/machine-id");
    vm.run().refused("root", "init-not-executable");
}

/// Attack: patience. A machine that does not get its disk must not wait for
/// ever, and one that gets it late must not give up early.
#[test]
fn the_deadline_is_kept() {
    let root = SmallRoot::get();
    let waited = |deadline: &str| {
        let vm = root.bare_vm().add_words(&format!("ravelin.deadline.disks={deadline}"));
        let outcome = vm.run();
        outcome.refused("disks", "disk-missing").said("no disk at all");
        let time = |part| outcome.console.time_of(part).unwrap();
        time("FAILED step=disks") - time("modules: ")
    };
    assert!((0.0..2.0).contains(&waited("1ms")));
    assert!((5.0..8.0).contains(&waited("5s")));
}

#[track_caller]
fn panics_instead_of_reading(vm: vm_tests::Vm) {
    let outcome = vm.add_words(&format!("probe.do=read:{BIG_FILE}")).run();
    outcome
        .stopped(Stop::Reset)
        .said("PROBE begin=1")
        .said("Kernel panic - not syncing: dm-verity device corrupted")
        .never_said("PROBE read:")
        .never_said("ravelin: FAILED");
}
