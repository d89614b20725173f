//! Boots of one disk by PID 1 and by the reference init, in turns.
//!
//! Both find the same kernel, disk and modules. The real init of the root is the
//! reference program again: it shows the log.
//!
//! The times of two emulated processors are what a person sees, and depend on
//! all else that the machine does. So there are boots of another kind beside
//! them, in which QEMU makes the guest's clock count instructions (`-icount`):
//! how long those take here changes nothing in them. One processor is enough
//! then, because QEMU runs them in turns, and nothing is gained by a second.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use vm_tests::{Outcome, Stop, Vm};

use crate::samples::{Boot, Boots, Log};
use crate::sizes::modules;
use crate::tools::{number, ravelin, report, run, text, variable};

/// What an image has: with leftovers of host keys, and the default directories.
const DIRECTORIES: [&str; 11] =
    ["dev", "proc", "sys", "run", "etc/ssh", "var/lib/dbus", "home", "root", "tmp", "srv", "sbin"];

/// One for so many timed ones: they differ little from each other.
const COUNTED: usize = 2;

pub(crate) fn measure(scratch: &Path, boots: usize) -> Result<Boot> {
    let images = Images::make(scratch)?;
    let mut logs = Boot::default();
    for round in 0..boots {
        eprintln!("bench: boots in QEMU, round {} of {boots}", round + 1);
        images.both(round, &mut logs.timed, |vm| vm.cpus(2))?;
    }
    let counted = boots.div_ceil(COUNTED);
    for round in 0..counted {
        eprintln!("bench: boots that count instructions, round {} of {counted}", round + 1);
        let clock = ["-icount", "shift=0"];
        images.both(round, &mut logs.counted, |vm| vm.cpus(1).qemu_arguments(clock))?;
    }
    Ok(logs)
}

struct Images {
    disk: PathBuf,
    ours: PathBuf,
    our_cmdline: String,
    reference: PathBuf,
    cmdline: String,
}

impl Images {
    fn make(scratch: &Path) -> Result<Self> {
        let (tree, disk) = (scratch.join("small"), scratch.join("small.img"));
        let init = variable("RAVELIN_REFERENCE_INIT")?;
        make_tree(&tree, &init)?;
        let vm = scratch.join("small.vm.toml");
        let mut verity = ravelin()?;
        verity.args(["--quiet", "--json", "image", "verity", "--root-owned", "--from"]);
        verity.arg(&tree).arg("--output").arg(&disk).arg("--vm").arg(&vm);
        let image = report(&mut verity)?;
        Ok(Self {
            disk,
            ours: initramfs(&scratch.join("ours.cpio.zst"), None)?,
            // The reference asks for no report, and there is nobody to give one.
            our_cmdline: format!("{} ravelin.attest.mode=none", text(&image, "vm_cmdline")?),
            reference: initramfs(&scratch.join("reference.cpio.zst"), Some(&init))?,
            cmdline: reference_cmdline(&image)?,
        })
    }

    /// Each once, and the other one first in every round.
    fn both(&self, round: usize, logs: &mut Boots, kind: impl Fn(Vm) -> Vm) -> Result<()> {
        for turn in 0..2 {
            if (round + turn).is_multiple_of(2) {
                logs.ours.push(self.boot(&self.ours, &self.our_cmdline, &kind)?);
            } else {
                logs.reference.push(self.boot(&self.reference, &self.cmdline, &kind)?);
            }
        }
        Ok(())
    }

    fn boot(&self, initrd: &Path, cmdline: &str, kind: impl Fn(Vm) -> Vm) -> Result<Log> {
        let vm = kind(Vm::new()).initrd(initrd).cmdline(cmdline).disk(&self.disk, "root");
        log_of(&vm.run())
    }
}

/// The log of a boot that ended as it should; the real init shows it.
pub(crate) fn log_of(outcome: &Outcome) -> Result<Log> {
    let log: Log = outcome
        .console
        .values("LOG ")
        .iter()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(time, line)| Some((time.parse().ok()?, line.to_owned())))
        .collect();
    let ended = outcome.stop == Stop::PowerOff;
    ensure!(ended && !log.is_empty(), "{:?}\n{}", outcome.stop, outcome.console);
    Ok(log)
}

pub(crate) fn make_tree(tree: &Path, init: &Path) -> Result<()> {
    for directory in DIRECTORIES {
        fs::create_dir_all(tree.join(directory)).context("make the root's directories")?;
    }
    for kind in ["ecdsa", "ed25519", "rsa"] {
        fs::write(tree.join(format!("etc/ssh/ssh_host_{kind}_key")), "everybody's\n")?;
    }
    fs::copy(init, tree.join("sbin/init")).context("copy the real init")?;
    Ok(())
}

fn initramfs(output: &Path, init: Option<&Path>) -> Result<PathBuf> {
    let mut command = ravelin()?;
    command.args(["--quiet", "image", "initramfs", "--filesystem", "erofs"]);
    command.arg("--kernel-modules").arg(modules()?).arg("--output").arg(output);
    if let Some(init) = init {
        command.arg("--init").arg(init);
    }
    run(&mut command)?;
    Ok(output.to_owned())
}

/// The same words, but the table in the place of what it is made from.
fn reference_cmdline(image: &Value) -> Result<String> {
    let words = text(image, "vm_cmdline")?.split(' ').filter(|word| !word.starts_with("ravelin."));
    let words: Vec<&str> = words.collect();
    let (data, hash) = ("/dev/vda1", "/dev/vda2");
    let (blocks, data_block) = (number(image, "data_blocks")?, number(image, "data_block_size")?);
    let table = format!(
        "{} 1 {data} {hash} {data_block} {} {blocks} {} {} {} {} 1 panic_on_corruption",
        blocks * data_block / 512,
        number(image, "hash_block_size")?,
        number(image, "hash_start_block")?,
        text(image, "algorithm")?,
        text(image, "root_hash")?,
        text(image, "salt")?,
    );
    Ok(format!(
        "{} REFERENCE_FSTYPE=erofs REFERENCE_DEVICES=\"{data} {hash}\" REFERENCE_TABLE=\"{table}\"",
        words.join(" ")
    ))
}
