//! Encrypted disks where they are used: PID 1 opens its root, and cryptsetup opens and
//! makes such a disk in a Debian with the same kernel.
//!
//! Both in QEMU, as everything that needs device mapper is here. The emulator has the AES
//! instructions, slowly; it slows down both.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use vm_tests::Ssh;

use crate::boot::make_tree;
use crate::known_hosts;
use crate::owned::Owned;
use crate::samples::{Cryptsetup, KnownHosts, Unlock};
use crate::tools::{Noise, run, variable};
use crate::usage;

/// What is encrypted in the Debian.
const BYTES: u64 = 48 << 20;
/// The disk that it is encrypted on has room for what integrity takes.
const DISK: u64 = 96 << 20;
/// And the one with the files, `ravelin`, and what it makes.
const WORK: u64 = 400 << 20;
const ROUNDS: usize = 3;

/// One boot takes a minute, the Debian a few.
pub(crate) fn measure(scratch: &Path, boots: usize) -> Result<Unlock> {
    let tree = scratch.join("unlock-tree");
    make_tree(&tree, &variable("RAVELIN_REFERENCE_INIT")?)?;
    let small = ["--root-owned", "--size", "64M"];
    let root = Owned::encrypted(scratch.join("unlock"), &tree, &small)?;
    let mut logs = Vec::new();
    for round in 0..boots {
        eprintln!("bench: unlocking an encrypted root, round {} of {boots}", round + 1);
        logs.push(root.boot()?);
    }
    let (cryptsetup, known_hosts) = debian(scratch, &root)?;
    Ok(Unlock { ours: logs, cryptsetup, bytes: BYTES, known_hosts })
}

/// cryptsetup opens PID 1's root; and makes an encrypted disk of a file, as `ravelin`
/// does beside it, with the same cipher and no cost of a passphrase.
fn debian(scratch: &Path, root: &Owned) -> Result<(Vec<Cryptsetup>, Vec<KnownHosts>)> {
    let debian = Owned::debian(scratch)?;
    let tools = debian.path("tools");
    fs::create_dir(&tools)?;
    fs::copy(variable("RAVELIN_CLI")?, tools.join("ravelin")).context("copy ravelin")?;
    fs::copy(root.path("root.img.key"), tools.join("key")).context("copy the key")?;
    let (files, plain) = (debian.path("files"), tools.join("plain"));
    fs::create_dir(&files)?;
    Noise::new().write(&files.join("noise"), BYTES * 3 / 4)?;
    let (work, disk) = (debian.path("work.img"), debian.path("disk.img"));
    for (tree, image, bytes) in [(&files, &plain, BYTES), (&tools, &work, WORK)] {
        run(Command::new("mke2fs")
            .args(["-q", "-t", "ext4", "-b", "4096", "-E", "root_owner=0:0", "-d"])
            .args([tree, image])
            .arg(format!("{}M", bytes >> 20)))?;
    }
    fs::File::create(&disk)?.set_len(DISK)?;

    let port = debian.choose_ports()?;
    let disks = [("work", work.as_path()), ("disk", &disk), ("root", &root.path("root.img"))];
    let drives = disks.iter().flat_map(|(name, path)| {
        [
            "-drive".to_owned(),
            format!("if=none,id={name},format=raw,cache=unsafe,file={}", path.display()),
            "-device".to_owned(),
            format!("virtio-blk-pci,drive={name},serial={name}"),
        ]
    });
    let mut machine = debian.launch().qemu_arguments(drives).start();
    let ssh = Ssh::wait(&mut machine, port);
    ssh.run("udevadm settle; mount /dev/disk/by-id/virtio-work /mnt; cat /mnt/plain /mnt/ravelin > /dev/null");
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        eprintln!("bench: cryptsetup in a Debian, round {} of {ROUNDS}", round + 1);
        rounds.push(one_round(&ssh, round)?);
    }
    let known_hosts = known_hosts::measure(&debian.path("vm.toml"), &debian.root(), port)?;
    let _ends_with_the_connection = ssh.output("systemctl start poweroff.target");
    let _ended = machine.finish();
    Ok((rounds, known_hosts))
}

/// Who is first changes with the round.
fn one_round(ssh: &Ssh, round: usize) -> Result<Cryptsetup> {
    let open = timed(
        ssh,
        "cryptsetup open --key-file /mnt/key /dev/disk/by-id/virtio-root-part1 theirs && \
         mkdir -p /run/theirs && mount /dev/mapper/theirs /run/theirs",
    )?;
    ssh.run("umount /run/theirs && cryptsetup close theirs");
    let ours = || {
        timed(
            ssh,
            "/mnt/ravelin --quiet image encrypt --layout bare --from /mnt/plain \
             --output /mnt/encrypted && sync",
        )
    };
    let theirs = || {
        timed(
            ssh,
            "cryptsetup luksFormat --batch-mode --type luks2 --cipher aes-xts-plain64 --integrity \
             hmac-sha256 --key-size 512 --sector-size 4096 --pbkdf pbkdf2 \
             --pbkdf-force-iterations 1000 /dev/disk/by-id/virtio-disk /mnt/key && cryptsetup open \
             --key-file /mnt/key /dev/disk/by-id/virtio-disk new && dd if=/mnt/plain \
             of=/dev/mapper/new bs=1M conv=fsync status=none && cryptsetup close new && sync",
        )
    };
    let (encrypt, format) = usage::in_turns(round, ours, theirs)?;
    ssh.run("rm /mnt/encrypted*");
    Ok(Cryptsetup { open, encrypt, format })
}

/// Milliseconds by the guest's clock.
fn timed(ssh: &Ssh, commands: &str) -> Result<f64> {
    let text = ssh.run(&format!(
        "begin=$(date +%s%N); {{ {commands}; }} >&2 && end=$(date +%s%N) && \
         echo $(((end - begin) / 1000))"
    ));
    let microseconds: f64 = text.trim().parse().with_context(|| format!("a time: {text:?}"))?;
    Ok(microseconds / 1000.0)
}
