//! The same Debian and the same kernel, booted by PID 1 and by what others make.
//!
//! Everybody hands over to the same program, which says when it started and how much
//! memory was in use then. A boot of the others takes a minute, so there are few.

mod archives;
mod disks;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use vm_tests::{Console, Vm};

use self::disks::Disks;
use crate::boot::log_of;
use crate::owned::Owned;
use crate::samples::{HandOver, Init, Inits};
use crate::tools::{text, variable};

/// 500 MiB have to fit, beside what a system needs.
const MEMORY_MIB: u32 = 2048;
const TIME_LIMIT: std::time::Duration = std::time::Duration::from_secs(900);

/// The most boots of each kind, and those that count instructions: these are all alike.
const TIMED: usize = 3;
const COUNTED: usize = 1;

pub(crate) fn measure(scratch: &Path, boots: usize) -> Result<Inits> {
    let made = variable("RAVELIN_OTHER_INITS")?;
    let scratch = scratch.join("inits");
    std::fs::create_dir_all(&scratch).context("make a directory")?;
    let (ours, archive) = archives::ours(&scratch)?;
    let (mut bootable, mut sizes) = (vec![ours], vec![archive]);
    for (init, name) in [
        (Init::Dracut, "dracut.cpio"),
        (Init::InitramfsTools, "initramfs-tools.cpio"),
        (Init::Shell, "shell.cpio"),
    ] {
        let (other, archive) = archives::other(&scratch, init, &made.join(name))?;
        bootable.push(other);
        sizes.push(archive);
    }
    let disks = Disks::make(&scratch, &made.join("root.key"))?;
    let mut machines = Vec::new();
    for other in bootable {
        machines.push(Machine::new(other.init, other.path, &disks)?);
    }

    let encrypted = Owned::encrypted(scratch.join("encrypted"), &disks.file_system, &[])?;
    encrypted.edit(|vm| {
        vm.insert("memory".to_owned(), format!("{MEMORY_MIB}M").into());
        vm.insert("vcpus".to_owned(), 2.into());
    })?;
    let mut samples =
        Inits { sizes, timed: Vec::new(), counted: Vec::new(), encrypted: Vec::new() };
    for round in 0..boots.min(TIMED) {
        samples.timed.push(everybody(&machines, round, "as they are", |vm| vm.cpus(2))?);
        eprintln!("bench: Ravelin boots an encrypted root, round {}", round + 1);
        samples.encrypted.push(encrypted.boot()?);
    }
    for round in 0..boots.min(COUNTED) {
        let clock = ["-icount", "shift=0"];
        let kind = |vm: Vm| vm.cpus(1).qemu_arguments(clock);
        samples.counted.push(everybody(&machines, round, "counting instructions", kind)?);
    }
    Ok(samples)
}

/// Who is first changes with the round.
fn everybody(
    machines: &[Machine],
    round: usize,
    how: &str,
    kind: impl Fn(Vm) -> Vm,
) -> Result<Vec<HandOver>> {
    let mut order: Vec<&Machine> = machines.iter().collect();
    order.rotate_left(round % machines.len());
    let boot = |machine: &Machine| {
        eprintln!("bench: {:?} boots, {how}, round {}", machine.init, round + 1);
        machine.boot(&kind).with_context(|| format!("{:?}", machine.init))
    };
    order.into_iter().map(boot).collect()
}

struct Machine {
    init: Init,
    initrd: PathBuf,
    cmdline: String,
    disk: PathBuf,
}

impl Machine {
    fn new(init: Init, initrd: PathBuf, disks: &Disks) -> Result<Self> {
        let words = text(&disks.image, "vm_cmdline")?;
        // What everybody is told, of the console and of panics.
        let common: Vec<&str> =
            words.split(' ').filter(|word| !word.starts_with("ravelin.")).collect();
        let common = common.join(" ");
        let root_hash = text(&disks.image, "root_hash")?;
        let (cmdline, disk) = match init {
            Init::Ravelin => (words.to_owned(), &disks.verity),
            Init::Dracut => (
                format!(
                    "{common} root=/dev/mapper/root ro rootfstype=ext4 rootflags=noload \
                     roothash={root_hash} systemd.verity_root_data=/dev/vda1 \
                     systemd.verity_root_hash=/dev/vda2 init=/sbin/init quiet \
                     systemd.show_status=no"
                ),
                &disks.verity,
            ),
            Init::InitramfsTools => {
                (format!("{common} root=/dev/mapper/root ro rootfstype=ext4 quiet"), &disks.luks)
            }
            Init::Shell => (
                format!(
                    "{common} root=/dev/vda1 verity_disk=/dev/vda2 verity_roothash={root_hash}"
                ),
                &disks.verity,
            ),
        };
        Ok(Self { init, initrd, cmdline, disk: disk.clone() })
    }

    fn boot(&self, kind: impl Fn(Vm) -> Vm) -> Result<HandOver> {
        let vm = kind(Vm::new()).memory_mib(MEMORY_MIB).time_limit(TIME_LIMIT);
        let vm = vm.initrd(&self.initrd).cmdline(&self.cmdline).disk(&self.disk, "root");
        let outcome = vm.run();
        let log = log_of(&outcome)?;
        let memory = |name: &str| kilobytes(&outcome.console, name);
        Ok(HandOver {
            init: self.init,
            log,
            memory: memory("MemTotal")?.saturating_sub(memory("MemAvailable")?) << 10,
            shared: memory("Shmem")? << 10,
        })
    }
}

/// A line of `/proc/meminfo` that the real init has shown.
fn kilobytes(console: &Console, name: &str) -> Result<u64> {
    let lines = console.values("MEMORY ");
    let value = lines.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = value.and_then(|value| value.trim().strip_suffix(" kB")?.parse().ok());
    number.with_context(|| format!("the real init did not say {name}"))
}
