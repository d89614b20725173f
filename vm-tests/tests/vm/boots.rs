//! Boots that work, seen from the inside: what the real init finds.

use vm_tests::{Outcome, sha256_of_file};

use crate::fixtures::{self, BIG_FILE, SmallRoot, tree};

/// The table in the kernel is the measured one, word for word, and the device
/// is read-only; `dmsetup table` of a real system shows the same (`debian.rs`).
#[test]
fn the_verity_table_is_the_measured_one() {
    let root = SmallRoot::get();
    let outcome = root.vm().run();
    outcome.booted();
    let (blocks, settings) = (root.data_blocks, &root.settings);
    let expected = format!(
        "root: 0 {} verity 1 254:0 254:16 4096 4096 {blocks} 1 sha256 {} {} 2 panic_on_corruption \
         panic_on_error",
        blocks * 8,
        settings.get("verity.roothash"),
        settings.get("verity.salt"),
    );
    assert_eq!(outcome.console.probe("dm.table"), expected);
    assert!(outcome.console.probe("dm.device").ends_with("ro=1"));
    assert_eq!(outcome.console.probe("dm.status"), "root: verity V");
}

/// The real init starts as if there had been no initramfs: one process, the
/// kernel's environment, the console, and the mounts that it expects.
#[test]
fn the_real_init_starts_clean() {
    let root = SmallRoot::get();
    let outcome = root.vm().run();
    outcome.booted();
    let console = &outcome.console;
    assert_eq!(console.probe("pid"), "1");
    assert_eq!(console.probe("cwd"), "/");
    assert_eq!(console.probe("argument"), "/sbin/init");
    assert_eq!(console.probe("process"), "1 R parent 0", "no other process is left");
    assert_eq!(console.probes("environment"), ["HOME=/", "TERM=linux"]);
    let descriptors = console.probes("fd");
    assert_eq!(descriptors.len(), 3, "nothing but the console is open: {descriptors:?}");
    assert!(descriptors.iter().all(|open| open.contains("/dev/console")), "{descriptors:?}");
    assert_eq!(console.probe("status.SigBlk"), "0000000000000000");
    assert_eq!(console.probe("status.Umask"), "0022");

    assert!(
        mount(&outcome, "/")
            .ends_with("- erofs /dev/mapper/root ro,user_xattr,acl,cache_strategy=readaround")
    );
    for (target, fstype) in
        [("/proc", "proc"), ("/sys", "sysfs"), ("/dev", "devtmpfs"), ("/run", "tmpfs")]
    {
        assert!(mount(&outcome, target).contains(&format!(" - {fstype} ")), "{target}");
    }
    let nested =
        console.probes("mount").iter().filter(|line| line.contains("ravelin-layers /")).count();
    assert_eq!(nested, 0, "the layers' tmpfs is out of the tree");
}

/// What the disk says is what the reader gets, and the disk is never written to:
/// QEMU would allow it here, and the root would have it overwritten.
#[test]
fn the_disk_is_read_and_never_written() {
    let root = SmallRoot::get();
    let work = vm_tests::WorkDir::new();
    let (data, hash) = (fixtures::copy(&root.data, &work), fixtures::copy(&root.hash, &work));
    let vm = root.bare_vm().writable_disk(&data, "data").writable_disk(&hash, "hash");
    let actions = format!("probe.do=read:{BIG_FILE},write:/etc/new,write:/var/lib/new");
    let outcome = vm.add_words(&actions).run();
    outcome.booted();
    let console = &outcome.console;
    let big = sha256_of_file(&tree().join("data/big"));
    assert_eq!(console.probe(&format!("read:{BIG_FILE}")), format!("3000000 bytes sha256={big}"));
    assert!(console.probe("write:/etc/new").starts_with("20 bytes"));
    assert!(console.probe("write:/var/lib/new").starts_with("20 bytes"));
    assert_eq!(sha256_of_file(&data), sha256_of_file(&root.data));
    assert_eq!(sha256_of_file(&hash), sha256_of_file(&root.hash));
}

/// The other file systems that an image can have.
#[test]
fn squashfs_and_ext4_boot_too() {
    for (fstype, options) in [("squashfs", "ro"), ("ext4", "ro,norecovery")] {
        let root = SmallRoot::make(fstype);
        let outcome = root.vm().add_words(&format!("probe.do=read:{BIG_FILE}")).run();
        outcome.booted();
        let mounted = mount(&outcome, "/");
        assert!(mounted.contains(&format!(" - {fstype} /dev/mapper/root {options}")), "{mounted}");
        assert!(outcome.console.probe(&format!("read:{BIG_FILE}")).starts_with("3000000 bytes"));
    }
}

/// One line a step, in the order of the boot, with the time in milliseconds.
#[test]
fn the_boot_log_has_a_line_for_each_step() {
    let outcome = SmallRoot::get().vm().run();
    outcome.booted();
    let log = outcome.console.values("ravelin: [");
    let mut last = 0;
    let mut steps = Vec::new();
    for line in &log {
        let (time, rest) = line.split_once(" ms] ").unwrap();
        let time: u64 = time.trim().parse().unwrap();
        assert!(time >= last, "time goes backwards: {log:?}");
        last = time;
        let step = rest.split(' ').next().unwrap();
        steps.push(step.trim_end_matches(':'));
    }
    let expected = [
        "mounts",
        "configuration",
        "modules",
        "harden",
        "disks",
        "root",
        "writable",
        "ssh",
        "identity",
        "evidence",
        "hand-over",
    ];
    // An optional module that finds no device has a line before the step's own.
    steps.dedup();
    assert_eq!(steps, expected);
}

/// The mountinfo line of what is mounted last on a directory.
#[track_caller]
pub(crate) fn mount<'a>(outcome: &'a Outcome, target: &str) -> &'a str {
    let console = &outcome.console;
    let at = |line: &&str| line.split(' ').nth(4) == Some(target);
    console
        .probes("mount")
        .into_iter()
        .rfind(at)
        .unwrap_or_else(|| unreachable!("nothing is mounted on {target}:\n{console}"))
}
