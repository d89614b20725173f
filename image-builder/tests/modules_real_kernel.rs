//! The closure and the whole initramfs with the kernel that the project tests
//! with: `$RAVELIN_TEST_KERNEL` is a directory with `boot/` and `lib/modules/`
//! of an unpacked Debian kernel package; `cargo xtask test` sets it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod initramfs_support;

use std::path::PathBuf;
use std::process::Command;

use image_builder::initramfs::{Compression, Level, assemble, base, configuration, modules};
use image_builder::modules::{Closure, ModuleTree, Request, Set};
use initramfs_support::{Random, has_oracle, skipped, static_executable};
use protocol::config::{FsType, VerityAlgorithm};

fn kernel() -> Option<PathBuf> {
    let kernel = std::env::var_os("RAVELIN_TEST_KERNEL").map(PathBuf::from);
    if kernel.is_none() {
        skipped("RAVELIN_TEST_KERNEL is unset; `cargo xtask test` sets it");
    }
    kernel
}

fn closure(kernel: &std::path::Path, sets: Vec<Set>) -> Closure {
    let requests: Vec<Request> = sets.into_iter().flat_map(Set::requests).collect();
    ModuleTree::find(kernel, None).unwrap().closure(&requests).unwrap()
}

fn short(closure: &Closure) -> Vec<String> {
    let short = |module: &protocol::load_order::Module| {
        let name = module.path.rsplit('/').next().unwrap();
        format!("{}{}{name}", module.wave, if module.required { '!' } else { '?' })
    };
    let mut short: Vec<String> = closure.order.modules.iter().map(short).collect();
    short.sort();
    short
}

/// What Debian's 6.12 cloud kernel has to load for each file system, checked by
/// hand against `modinfo`.
#[test]
fn the_closures_of_debians_cloud_kernel() {
    let Some(kernel) = kernel() else { return };
    if !ModuleTree::find(&kernel, None).unwrap().kernel().starts_with("6.12.") {
        skipped("the lists are those of Debian's 6.12");
        return;
    }
    let with = |fstype| {
        short(&closure(&kernel, Set::for_root(fstype, Some(VerityAlgorithm::Sha256), true)))
    };
    let common = [
        "0!dm-mod.ko",
        "0!overlay.ko",
        "0!reed_solomon.ko",
        "0!virtio_blk.ko",
        "0?sha256-ssse3.ko",
        "1!dm-bufio.ko",
        "2!dm-verity.ko",
    ];
    let and = |more: &[&str]| {
        let mut all: Vec<String> = common.iter().chain(more).map(|&name| name.to_owned()).collect();
        all.sort();
        all
    };
    assert_eq!(with(FsType::Ext4), and(&[]));
    assert_eq!(with(FsType::Squashfs), and(&["0!squashfs.ko"]));
    let crc = ["0?crc32c-intel.ko", "1!libcrc32c.ko"];
    assert_eq!(with(FsType::Erofs), and(&[&crc[..], &["2!erofs.ko"]].concat()));
    assert_eq!(with(FsType::Xfs), and(&[&crc[..], &["2!xfs.ko"]].concat()));
    let btrfs = ["0!xor.ko", "0!raid6_pq.ko", "0?blake2b_generic.ko", "2!btrfs.ko"];
    let found = with(FsType::Btrfs);
    for module in and(&[&crc[..], &btrfs].concat()) {
        assert!(found.contains(&module), "{module} is not in {found:?}");
    }
}

#[test]
fn every_set_is_solved() {
    let Some(kernel) = kernel() else { return };
    for set in Set::ALL {
        let found = closure(&kernel, vec![set]);
        eprintln!("{set}: {:?}, built in: {:?}, {:?}", short(&found), found.built_in, found.notes);
    }
}

/// kmod's own reading of each module agrees with the builder's.
#[test]
fn modinfo_agrees_about_the_dependencies() {
    let Some(kernel) = kernel() else { return };
    if !has_oracle(&[("modinfo", "kmod")]) {
        return;
    }
    let sets = Set::ALL.to_vec();
    let found = closure(&kernel, sets);
    let directory = tempfile::tempdir().unwrap();
    let wave = |name: &str| {
        let names = |module: &&protocol::load_order::Module| {
            let file = module.path.rsplit('/').next().unwrap();
            file.strip_suffix(".ko").unwrap().replace('-', "_") == name.replace('-', "_")
        };
        found.order.modules.iter().find(names).map(|module| module.wave)
    };
    for (module, file) in found.order.modules.iter().zip(&found.files) {
        let path = directory.path().join("module.ko");
        std::fs::write(&path, &file.content).unwrap();
        let output = Command::new("modinfo").args(["-F", "depends"]).arg(&path).output().unwrap();
        assert!(output.status.success());
        let depends = String::from_utf8(output.stdout).unwrap();
        for needed in depends.trim().split(',').filter(|name| !name.is_empty()) {
            let needed_wave = wave(needed).unwrap_or_else(|| panic!("{needed} is missing"));
            assert!(needed_wave < module.wave, "{needed} is not before {}", module.path);
        }
    }
}

/// The whole initramfs for verity is small: with a PID 1 of 1.3 MB that
/// compresses as badly as machine code does, below 1.5 MB.
#[test]
fn the_verity_initramfs_is_below_one_and_a_half_megabytes() {
    let Some(kernel) = kernel() else { return };
    // Machine code compresses to about 45 %: bytes of which every other one is
    // random are worse than that.
    let mut random = Random(1);
    let code: Vec<u8> = (0..1_300_000_usize)
        .map(|n| if n % 2 == 0 { random.next().to_le_bytes()[0] } else { 0x48 })
        .collect();
    let init = base(&static_executable(&code)).unwrap();
    for fstype in [FsType::Erofs, FsType::Squashfs, FsType::Ext4] {
        let sets = Set::for_root(fstype, Some(VerityAlgorithm::Sha256), true);
        let found = closure(&kernel, sets);
        let parts = [
            init.clone(),
            modules(&found).unwrap(),
            configuration("on_failure = \"poweroff\"\n").unwrap(),
        ];
        let size = |part: &_, compression| assemble([part], compression).unwrap().len();
        let zstd = Compression::Zstd(Level::DEFAULT);
        let plain = assemble(&parts, Compression::None).unwrap().len();
        let packed = assemble(&parts, zstd).unwrap().len();
        eprintln!(
            "{fstype}: {plain} bytes plain, {packed} with zstd -19; the modules alone {} and {}",
            size(&parts[1], Compression::None),
            size(&parts[1], zstd),
        );
        assert!(packed <= 1_500_000, "{fstype}: {packed} bytes");
    }
}
