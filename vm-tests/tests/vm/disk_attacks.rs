//! The host changes the disks, in what a scenario of `evil` has no words for: what is
//! compared with another boot, or is a matter of time.

use vm_tests::{Stop, WorkDir};

use crate::fixtures::{self, BIG_FILE, SmallRoot};

/// Attack: a bit of a file that the system reads later, where the configuration asks for a
/// restart. Observed: the machine resets, without a panic. Closed: the reader never gets
/// data.
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

/// Attack: a bit of a file that the system reads later, where the configuration asks for an
/// I/O error. Observed: the reader gets that. Closed: it never gets data.
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

/// Attack: the host lets the machine wait for its disk. Observed: `disk-missing` when the
/// measured deadline is over, not before and not much later. Closed: PID 1's own clock.
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
