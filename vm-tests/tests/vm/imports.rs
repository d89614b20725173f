//! A Debian as cloud images are: a compressed qcow2 image with a GPT, an EFI system partition and
//! an ext4 root. One command makes a verified disk of it that boots. (On an encrypted root:
//! `unlock/debian.rs`.)

use std::collections::BTreeSet;
use std::env;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::io::{Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use vm_tests::{Ssh, Stop, Tool, free_port};

use crate::debian::{Image, LIMIT};
use crate::fixtures::{check, directory};
use crate::simulator::simulated;

const MIB: u64 = 1 << 20;
/// Where the root starts, and its size.
const ROOT: u64 = 64 * MIB;
const ROOT_BYTES: u64 = 448 * MIB;

/// Partitions as Debian's cloud images have them: the root last on the disk and the first in the
/// table.
const PARTITIONS: &[&str] = &[
    "--new=14:2048:8191",
    "--typecode=14:ef02",
    "--new=15:8192:131071",
    "--typecode=15:ef00",
    "--new=1:131072:1048575",
    "--typecode=1:4f68bce3-e8cd-4db1-96e7-fbcaf984b709",
];

/// Lines that an installed system has, and that keep it from starting on another disk.
const FSTAB: &str = "\
PARTUUID=11111111-1111-1111-1111-111111111111 / ext4 rw,discard,errors=remount-ro 0 1
PARTUUID=22222222-2222-2222-2222-222222222222 /boot/efi vfat defaults 0 0
UUID=33333333-3333-3333-3333-333333333333 none swap sw 0 0
";

/// The image.
pub(crate) fn cloud_image() -> &'static Path {
    static IMAGE: LazyLock<PathBuf> = LazyLock::new(|| {
        let at = directory().join("cloud");
        fs::create_dir_all(&at).unwrap();
        let (root, disk, image) =
            (at.join("root.ext4"), at.join("disk.raw"), at.join("disk.qcow2"));
        // The one that reads a tar: nothing here needs root.
        let mke2fs = env::var_os("RAVELIN_MKE2FS").unwrap_or_else(|| "mke2fs".into());
        let mut make = Command::new(mke2fs);
        make.args(["-q", "-t", "ext4", "-L", "cloudimg-rootfs", "-d"]).arg(Tool::DebianRoot.path());
        check(make.arg(&root).arg(format!("{}M", ROOT_BYTES / MIB)));
        installed(&root, &at);
        File::create(&disk).unwrap().set_len(ROOT + ROOT_BYTES + MIB).unwrap();
        check(Command::new("sgdisk").args(PARTITIONS).arg(&disk));
        let mut to = OpenOptions::new().write(true).open(&disk).unwrap();
        to.seek(SeekFrom::Start(ROOT)).unwrap();
        io::copy(&mut File::open(&root).unwrap(), &mut to).unwrap();
        let mut convert = Command::new("qemu-img");
        convert.args(["convert", "-c", "-O", "qcow2"]).arg(&disk).arg(&image);
        check(&mut convert);
        fs::remove_file(root).unwrap();
        fs::remove_file(disk).unwrap();
        image
    });
    &IMAGE
}

/// Gives a root what it has after it was installed on a disk.
fn installed(root: &Path, at: &Path) {
    let (fstab, commands) = (at.join("fstab"), at.join("commands"));
    fs::write(&fstab, FSTAB).unwrap();
    let script = format!("rm /etc/fstab\nwrite {} /etc/fstab\n", fstab.display());
    fs::write(&commands, script).unwrap();
    let debugfs = env::var_os("RAVELIN_DEBUGFS").unwrap_or_else(|| "debugfs".into());
    check(Command::new(debugfs).args(["-w", "-f"]).arg(&commands).arg(root));
}

/// What is said about the old disk's lines in `/etc/fstab`: that they are left out.
pub(crate) const FSTAB_LEFT: &str = "grep -c ^P /etc/fstab; grep -c 'left out by' /etc/fstab";
pub(crate) const FSTAB_FOUND: &str = "0\n3";

/// Asks a guest for what [`as_in_the_tar`] compares.
pub(crate) const LIST: &str = "find /usr /etc/ssh -xdev -printf '%M %U/%G %p\\n'";

/// The guest's files have the kinds, modes, owners and names that GNU tar sees in the tar that
/// the image was made from. (Links are one more name to it, and no host keys are in an image.)
#[track_caller]
pub(crate) fn as_in_the_tar(said: &str) {
    let mut tar = Command::new("tar");
    tar.args(["--numeric-owner", "--quoting-style=literal", "-tvf"]).arg(Tool::DebianRoot.path());
    let of_tar = |line: &str| {
        let mut words = line.split_whitespace();
        let (mode, owner) = (words.next()?.to_owned(), words.next()?);
        let path = words.nth(3)?.strip_prefix('.')?.trim_end_matches('/');
        Some(format!("{mode} {owner} {path}"))
    };
    let wanted = |line: &String| {
        let below = line.contains(" /usr/") || line.contains(" /etc/ssh/");
        below && !line.starts_with('h') && !line.contains("/ssh_host_")
    };
    let listed = check(&mut tar);
    let expected: BTreeSet<String> = listed.lines().filter_map(of_tar).filter(wanted).collect();
    let links = listed.lines().filter(|line| line.starts_with('h')).count();
    let found: BTreeSet<String> = said.lines().map(str::to_owned).filter(wanted).collect();
    let missing: Vec<&String> = expected.difference(&found).collect();
    assert!(expected.len() > 1000 && missing.is_empty(), "{missing:?}");
    let more: Vec<&String> = found.difference(&expected).collect();
    assert!(more.len() <= links, "{more:?}");
}

#[test]
fn a_cloud_image_boots_from_a_verified_disk() {
    let image = Image::of("cloud-verity", cloud_image(), &[]);
    let port = free_port();
    let mut machine = simulated(&image.vm_on_port(port)).time_limit(LIMIT).start();
    let ssh = Ssh::wait(&mut machine, port);
    assert_eq!(ssh.run("systemctl is-system-running --wait"), "running");
    assert_eq!(ssh.run("systemctl list-units --failed --plain --no-legend"), "");
    let root = ssh.run("findmnt --noheadings --raw --output MAJ:MIN,FSTYPE,OPTIONS /");
    assert!(root.starts_with("253:0 erofs ro,"), "{root}");
    assert!(ssh.run("dmsetup table root").contains(&image.setting("verity.roothash")));
    assert_eq!(ssh.run(FSTAB_LEFT), FSTAB_FOUND);
    as_in_the_tar(&ssh.run(LIST));
    let _ends_with_the_connection = ssh.output("systemctl start poweroff.target");
    machine.finish().stopped(Stop::PowerOff).never_said("ravelin: FAILED");
}
