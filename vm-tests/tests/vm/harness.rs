//! The harness itself: a test that believes it must see the difference between
//! a power-off, a panic and a machine that hangs.

use std::fs;
use std::process::Command;
use std::time::Duration;

use vm_tests::{Stop, Tool, Vm, WorkDir};

#[test]
fn a_power_off_is_told_and_the_probe_is_heard() {
    let work = WorkDir::new();
    fs::copy(Tool::GuestProbe.path(), work.join("init")).unwrap();
    let archive = work.join("initramfs.cpio");
    let cpio = "echo init | cpio --create --format=newc --quiet > initramfs.cpio";
    assert!(
        Command::new("sh").args(["-c", cpio]).current_dir(work.path()).status().unwrap().success()
    );

    let outcome = Vm::new().initrd(archive).cmdline("console=ttyS0 panic=-1").run();
    outcome.booted();
    assert_eq!(outcome.console.probe("pid"), "1");
}

#[test]
fn a_kernel_panic_is_a_reset() {
    let outcome = Vm::new().cmdline("console=ttyS0 panic=-1").run();
    outcome.stopped(Stop::Reset).said("Kernel panic - not syncing: VFS");
}

#[test]
fn a_machine_that_hangs_is_ended() {
    // `panic=0` waits for ever.
    let mut machine =
        Vm::new().cmdline("console=ttyS0 panic=0").time_limit(Duration::from_secs(60)).start();
    machine.wait_for("Kernel panic - not syncing: VFS");
    let outcome = machine.finish_within(Duration::from_secs(2));
    outcome.stopped(Stop::TimeLimit);
}
