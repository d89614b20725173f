//! The initramfs as the kernel takes it, and gives it back.

use std::fs;
use std::process::Command;

use vm_tests::{Stop, WorkDir};

use crate::fixtures::{self, SmallRoot, concatenate, make_initramfs};

/// The kernel reads it plain, compressed, and in pieces that `cat` has joined:
/// plain ones and separately compressed ones.
#[test]
fn the_kernel_takes_every_form() {
    let root = SmallRoot::get();
    let work = WorkDir::new();
    let settings = work.join("ravelin.toml");
    fs::write(&settings, root.settings.to_toml()).unwrap();
    let settings = settings.to_str().unwrap();

    let plain = work.join("plain.cpio");
    // The modules part, made without a configuration, has those for evidence.
    let whole = ["--config", settings, "--set", "evidence"];
    make_initramfs(&plain, &[&["--compress", "none"], whole.as_slice()].concat());
    let compressed = work.join("compressed.cpio.zst");
    make_initramfs(&compressed, &[&["--compress", "zstd:19"], whole.as_slice()].concat());
    let part = |name: &str, compress: &str| {
        let path = work.join(format!("{name}.{compress}"));
        let mut arguments = vec!["--part", name, "--compress", compress];
        if name == "config" {
            arguments.extend(["--config", settings]);
        }
        make_initramfs(&path, &arguments);
        path
    };
    let joined = work.join("joined.cpio");
    concatenate(
        &[&part("base", "none"), &part("modules", "none"), &part("config", "none")],
        &joined,
    );
    let mixed = work.join("mixed.cpio");
    concatenate(
        &[&part("base", "zstd:3"), &part("modules", "zstd:19"), &part("config", "none")],
        &mixed,
    );
    let same = fs::read(&plain).unwrap() == fs::read(&joined).unwrap();
    assert!(same, "cat makes the same bytes");

    for initramfs in [plain, compressed, mixed] {
        let vm = root.vm().initrd(&initramfs).cmdline(fixtures::BASE);
        vm.run().booted();
    }
}

/// The memory of the initramfs is given back at the switch of the root: 64 MiB
/// of ballast in it make no difference afterwards.
#[test]
fn the_initramfs_is_freed() {
    let root = SmallRoot::get();
    let work = WorkDir::new();
    fs::create_dir_all(work.join("some/deep")).unwrap();
    fs::write(work.join("some/deep/ballast"), vec![0x42; 64 << 20]).unwrap();
    let archive = "find some | cpio --create --format=newc --quiet | zstd -q > ballast.cpio.zst";
    fixtures::check(Command::new("sh").args(["-c", archive]).current_dir(work.path()));
    let loaded = work.join("initramfs");
    concatenate(&[&root.initramfs, &work.join("ballast.cpio.zst")], &loaded);

    let free_kib = |initramfs: &std::path::Path| {
        let outcome = root.vm().initrd(initramfs).run();
        outcome.booted();
        outcome.console.probe("memory.MemFree").parse::<u64>().unwrap()
    };
    let (without, with) = (free_kib(&root.initramfs), free_kib(&loaded));
    // Half of it: two boots differ by some MiB by themselves, a kept file by 64.
    assert!(without.saturating_sub(with) < 32 << 10, "{without} KiB free without, {with} with");
}

/// Attack: PID 1 is not in the initramfs. Observed: the kernel panics and resets. Closed:
/// it has no shell to fall back to, and it is another measurement.
#[test]
fn without_pid_1_the_machine_resets() {
    let root = SmallRoot::get();
    let work = WorkDir::new();
    let modules = work.join("modules.cpio");
    make_initramfs(&modules, &["--part", "modules", "--compress", "none"]);
    let outcome = root.vm().initrd(modules).run();
    outcome.stopped(Stop::Reset).said("Kernel panic - not syncing").never_said("PROBE ");
}
