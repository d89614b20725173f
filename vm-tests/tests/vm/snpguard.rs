//! SNPGuard's command line, word for word as its Makefile makes it.

use std::fs;
use std::path::PathBuf;

use vm_tests::WorkDir;

use crate::fixtures::{self, SmallRoot, make_initramfs};

/// An initramfs whose file says what SNPGuard's words do not.
fn initramfs(work: &WorkDir, more: &str) -> PathBuf {
    let mut settings = SmallRoot::get().settings.clone();
    for key in ["root.mode", "root.device", "verity.hash_device", "verity.roothash"] {
        settings = settings.without(key);
    }
    let file = work.join("ravelin.toml");
    fs::write(&file, settings.to_toml() + more).unwrap();
    let initramfs = work.join("initramfs");
    make_initramfs(&initramfs, &["--filesystem", "erofs", "--config", file.to_str().unwrap()]);
    initramfs
}

fn words() -> String {
    let root_hash = SmallRoot::get().settings.get("verity.roothash").to_owned();
    format!(
        "{} earlyprintk=serial root=/dev/vda boot=verity verity_disk=/dev/vdb \
         verity_roothash={root_hash}",
        fixtures::BASE
    )
}

#[test]
fn its_words_boot_where_the_file_says_so() {
    let root = SmallRoot::get();
    let work = WorkDir::new();
    let with = initramfs(&work, "compat.snpguard_cmdline = true\n");
    let outcome = root.vm().initrd(&with).cmdline(words()).run();
    outcome.booted();
    let table = outcome.console.probe("dm.table");
    assert!(table.contains(root.settings.get("verity.roothash")), "{table}");
    // The last `boot=` counts for SNPGuard.
    let outcome = root.vm().initrd(&with).cmdline(words()).add_words("boot=normal").run();
    outcome.refused("configuration", "configuration-repeated-key").said("root.mode");

    let work = WorkDir::new();
    let without = initramfs(&work, "");
    let outcome = root.vm().initrd(&without).cmdline(words()).run();
    outcome.refused("configuration", "configuration-missing-key").said("root.mode");
}
