//! Other inits than PID 1, held against the same scenarios as `cargo xtask evil-host`
//! does: the suite can fail.

use std::fs;
use std::path::{Path, PathBuf};

use vm_tests::evil::{Scenario, Score, Target, Verdict};
use vm_tests::{Environment, Tool, WorkDir};

use super::targets;
use crate::fixtures::{BASE, SmallRoot, initramfs};

/// `src/bin/reference-init.rs` opens a dm-verity root and checks nothing else: what
/// dm-verity itself refuses is a panic, and a disk that does not come is waited for.
#[test]
fn the_reference_init_holds_by_dm_verity_and_hangs_without_its_disk() {
    let root = SmallRoot::get();
    let init = Tool::ReferenceInit.path();
    let initramfs = initramfs(&["--filesystem", "erofs", "--init", init.to_str().unwrap()]);
    let setting = |key| root.settings.get(key);
    let table = format!(
        "{} 1 /dev/vda /dev/vdb 4096 4096 {blocks} 1 sha256 {} {} 1 panic_on_corruption",
        root.data_blocks * 8,
        setting("verity.roothash"),
        setting("verity.salt"),
        blocks = root.data_blocks,
    );
    let cmdline = format!(
        "{BASE} REFERENCE_FSTYPE=erofs REFERENCE_DEVICES=\"/dev/vda /dev/vdb\" \
         REFERENCE_TABLE=\"{table}\""
    );
    let score = score(
        "reference",
        &(initramfs, cmdline, 40),
        &["another-disk-first", "data-first-block-flipped", "data-extended", "hash-disk-missing"],
    );
    let verdicts: Vec<Verdict> = score.lines.iter().map(|line| line.verdict).collect();
    let expected = [Verdict::Held, Verdict::Held, Verdict::Held, Verdict::Hung];
    assert_eq!(verdicts, expected, "{}", score.table());
    assert!(score.holds());
}

/// PID 1 without any protection: a root of the host's own runs.
#[test]
fn an_unprotected_root_is_broken() {
    let root = SmallRoot::get();
    let cmdline = format!(
        "{BASE} ravelin.root.mode=plain ravelin.insecure=true ravelin.root.device=serial:data \
         ravelin.root.fstype=erofs ravelin.attest.mode=none"
    );
    let score = score(
        "unprotected",
        &(root.initramfs.clone(), cmdline, 180),
        &["image-of-the-host", "no-disk-at-all", "report-cut-off"],
    );
    let verdicts: Vec<Verdict> = score.lines.iter().map(|line| line.verdict).collect();
    let expected = [Verdict::Broken, Verdict::Held, Verdict::NotApplicable];
    assert_eq!(verdicts, expected, "{}", score.table());
    assert!(!score.holds());
}

/// By way of a target's file, as somebody else would write it.
fn score(name: &str, (initramfs, cmdline, seconds): &(PathBuf, String, u64), of: &[&str]) -> Score {
    let (work, root) = (WorkDir::new(), SmallRoot::get());
    let text = |path: &Path| format!("\"{}\"", path.display());
    let older = targets::get("verity").images;
    let target = format!(
        "kernel = {}\ninitramfs = {}\ncmdline = '''{cmdline}'''\nbooted = \"PROBE begin=1\"\n\
         seconds = {seconds}\n\
         [[disks]]\nname = \"data\"\nfile = {}\nserial = \"data\"\nplaces.superblock = 0\n\
         [[disks]]\nname = \"hash\"\nfile = {}\nserial = \"hash\"\n\
         [images]\nolder-data = {}\nolder-hash = {}\n",
        text(&Environment::get().kernel()),
        text(initramfs),
        text(&root.data),
        text(&root.hash),
        text(&older["older-data"]),
        text(&older["older-hash"]),
    );
    let path = work.join(format!("{name}.toml"));
    fs::write(&path, target).unwrap();
    let scenarios: Vec<Scenario> = of
        .iter()
        .map(|name| Scenario::read(&Scenario::directory().join(format!("{name}.toml"))).unwrap())
        .collect();
    Score::of(&Target::read(&path).unwrap(), &scenarios, |_line| {})
}
