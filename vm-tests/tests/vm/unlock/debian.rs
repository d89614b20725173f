//! A whole Debian with systemd on an encrypted root, from the tar to a login, twice.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::SystemTime;

use vm_tests::nbd::{Image, PowerCut, Server, Survival, Taken};
use vm_tests::{Random, Running, Stop, sha256};

use super::Machine;
use super::made::{Made, encrypted};
use crate::attested::Owner;
use crate::containers::{Containers, FOUND, LOOK};
use crate::fixtures::check;
use crate::imports::{FSTAB_FOUND, FSTAB_LEFT, LIST, as_in_the_tar, cloud_image};
use crate::power_cuts::taken;

/// A Debian that runs, and its owner's ssh to it.
struct Debian {
    machine: Running,
    owner: Owner,
    config: PathBuf,
    /// SHA-256 fingerprint of its host key, as the secure processor has it.
    host_key: String,
}

impl Debian {
    /// Starts it, unlocks it, attests it, and waits until all of systemd is there.
    fn boot(described: &Machine, more: &[&str]) -> Self {
        Self::unlocked(described, described.start(), more)
    }

    fn unlocked(described: &Machine, mut machine: Running, more: &[&str]) -> Self {
        described.unlock(more).opened();
        let owner = Owner::of(described.path("vm.toml"), described.ssh, described.attest);
        let verdict = owner.attest(&[]);
        verdict.accepted();
        let host_key = verdict.json["host_keys"][0]["fingerprint"].as_str().unwrap().to_owned();
        let config = owner.ssh_config(&[]);
        let state = "systemctl is-system-running --wait";
        assert_eq!(owner.ssh_once_up(&mut machine, &config, state), "running");
        Self { machine, owner, config, host_key }
    }

    /// What a command says there.
    #[track_caller]
    fn run(&self, remote: &str) -> String {
        let output = self.owner.ssh(&self.config, remote);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{remote}: {error}\n{}", self.machine.console());
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn power_off(self) {
        let _ends_with_the_connection =
            self.owner.ssh(&self.config, "systemctl start poweroff.target");
        self.machine.finish().stopped(Stop::PowerOff).never_said("ravelin: FAILED");
    }
}

/// The first boot, with the owner's own ssh; then the second of the same disk; then the
/// disk on the owner's machine.
#[test]
fn a_debian_lives_on_an_encrypted_root() {
    let described = Machine::of(Made::debian(), &["first"], "");
    let debian = Debian::boot(&described, &[]);
    assert_eq!(debian.run("systemctl list-units --failed --plain --no-legend"), "");

    // The root is the file system's own device, for the kernel and for udev.
    let root = debian.run("findmnt --noheadings --raw --output SOURCE,FSTYPE,OPTIONS /");
    assert!(root.starts_with("/dev/mapper/ravelin-root ext4 rw,"), "{root}");
    let uuid = debian.run("findmnt --noheadings --output UUID /");
    // Three devices show that file system or its cipher text; only one is offered.
    debian.run("udevadm settle");
    let node = debian.run("readlink -f /dev/mapper/ravelin-root");
    let links = debian
        .run("find /dev/disk -type l -exec readlink -f {} + | { grep /dm- || true; } | sort -u");
    assert!(links.is_empty() || links == node, "{links}");
    assert_eq!(debian.run(&format!("findfs UUID={uuid}")), "/dev/mapper/ravelin-root");

    tables(&described, &debian);

    // The host's disk is not its own for udev or anybody: it is in use.
    let nobody_reads =
        debian.owner.ssh(&debian.config, "mount /dev/mapper/ravelin-root.crypt /mnt");
    assert!(!nobody_reads.status.success());

    debian.run("seq 1 100000 > /root/written && sync");
    let id = debian.run("cat /etc/machine-id");
    assert_eq!(id.len(), 32);
    let keys = debian.run("ls /etc/ssh | grep ssh_host; sha256sum /etc/ssh/ssh_host_*");
    let host_key = debian.host_key.clone();
    debian.power_off();

    // Again: another instance, the same machine.
    let debian = Debian::boot(&described, &["--new-instance"]);
    assert_eq!(debian.host_key, host_key);
    assert_eq!(debian.run("cat /etc/machine-id"), id);
    assert_eq!(debian.run("ls /etc/ssh | grep ssh_host; sha256sum /etc/ssh/ssh_host_*"), keys);
    let text: String = (1..=100_000).map(|number| format!("{number}\n")).collect();
    let written = debian.run("sha256sum < /root/written");
    assert_eq!(written, format!("{}  -", sha256(text.as_bytes())));
    assert_eq!(debian.run("systemctl list-units --failed --plain --no-legend"), "");
    debian.power_off();

    let clear = described.decrypted();
    check(Command::new("e2fsck").args(["-f", "-n"]).arg(&clear));
    let shown = Command::new("debugfs").args(["-R", "cat /root/written"]).arg(&clear).output();
    assert!(shown.unwrap().stdout == text.as_bytes());
}

/// The Debian out of a cloud image.
#[test]
fn a_cloud_image_lives_on_an_encrypted_root() {
    let made = encrypted("encrypted-cloud", cloud_image(), &["--size", "512M"]);
    let described = Machine::of(&made, &["first"], "");
    let debian = Debian::boot(&described, &[]);
    assert_eq!(debian.run("systemctl list-units --failed --plain --no-legend"), "");
    let root = debian.run("findmnt --noheadings --raw --output SOURCE,FSTYPE,OPTIONS /");
    assert!(root.starts_with("/dev/mapper/ravelin-root ext4 rw,"), "{root}");
    assert_eq!(debian.run(FSTAB_LEFT), FSTAB_FOUND);
    as_in_the_tar(&debian.run(LIST));
    debian.power_off();
}

/// The Debian out of a container archive, with what was declared for it.
#[test]
fn a_container_archive_lives_on_an_encrypted_root() {
    let containers = Containers::get();
    let customization = containers.customization();
    let options = ["--size", "512M", "--customize", customization.to_str().unwrap()];
    let made = encrypted("encrypted-container", &containers.archive(), &options);
    let described = Machine::of(&made, &["first"], "");
    let debian = Debian::boot(&described, &[]);
    assert_eq!(debian.run("systemctl list-units --failed --plain --no-legend"), "");
    let root = debian.run("findmnt --noheadings --raw --output SOURCE,FSTYPE,OPTIONS /");
    assert!(root.starts_with("/dev/mapper/ravelin-root ext4 rw,"), "{root}");
    assert_eq!(debian.run(LOOK), FOUND);
    debian.power_off();
}

/// Files that the workload has synced before the power is cut, at least.
const SYNCED: u64 = 5;

/// Each round makes a file, syncs it and then says so. (`sync` of a file is fsync(2).)
const WORKLOAD: &str = "mkdir /root/work; sync; (i=0; while i=$((i+1)); do \
     seq $i $((i+20000)) > /root/work/$i && sync /root/work/$i && \
     echo synced $i, > /dev/console; done) > /dev/null 2>&1 < /dev/null &";

/// A power cut on the root itself: all that was synced is there after the next boot,
/// in which the root's own fsck has come first; and the file system has no fault.
#[test]
fn a_power_cut_costs_a_debian_nothing_that_was_synced() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let mut random = Random::new(now.as_secs());
    println!("the seed is {}", now.as_secs());
    let described = Machine::of(Made::debian(), &["first"], "encrypted.fsck = true\n");
    let disk = Arc::new(PowerCut::new(Image::open(&described.path("root.img"))));
    let server = Server::start(Arc::clone(&disk));
    let mut debian = Debian::unlocked(&described, described.start_on(&server), &[]);
    debian.run(WORKLOAD);
    debian.machine.wait_for(&format!("synced {SYNCED},"));
    let survival = Survival::random(&mut random);
    // Looked at before the cut: what is said by now has lasted.
    let console = debian.machine.console().to_string();
    let rounds = console.lines().filter_map(|line| line.split_once("synced ")?.1.split_once(','));
    let synced = rounds.filter_map(|(round, _)| round.parse::<u64>().ok()).max().unwrap();
    disk.arm(1 + random.below(100), survival, &mut random, true);
    let Taken { image, unflushed } = taken(&disk, &mut debian.machine);
    println!("{survival:?} of {unflushed} sectors, {synced} files");
    drop((debian, server));

    let what_was_left = Arc::new(image);
    let server = Server::start(Arc::clone(&what_was_left));
    let machine = described.start_on(&server);
    let debian = Debian::unlocked(&described, machine, &["--new-instance"]);
    let compare = format!(
        "cd /root/work && for i in $(seq {synced}); do \
         seq $i $((i+20000)) | cmp - $i 2>&1 || true; done"
    );
    assert_eq!(debian.run(&compare), "");
    assert_eq!(debian.run("systemctl list-units --failed --plain --no-legend"), "");
    assert_eq!(debian.run("dmesg | grep -ci 'ext4-fs error\\|integrity.*mismatch' || true"), "0");
    debian.power_off();
    drop(server);
    described.put_root(&what_was_left);
    check(Command::new("e2fsck").args(["-f", "-n"]).arg(described.decrypted()));
}

/// What the kernel has loaded is what cryptsetup makes of the same specification (see
/// `encrypted.rs`), but for the name of the key; and `linear` ends before the tail.
#[track_caller]
fn tables(described: &Machine, debian: &Debian) {
    use luks::{CryptTable, Device, FileSystemTable, IntegrityTable, key_description};

    let spec = described.spec();
    let table = |name: &str| debian.run(&format!("dmsetup table ravelin-root{name}"));
    let below = |name: &str| {
        let deps = format!("dmsetup deps -o devno ravelin-root{name}");
        let number = debian.run(&format!("{deps} | sed 's/.*(//; s/, /:/; s/)//'"));
        Device::new(number).unwrap()
    };
    let integrity = IntegrityTable::new(spec.layout(), below(".integrity"));
    assert_eq!(table(".integrity"), format!("0 {} integrity {integrity}", integrity.length()));
    let crypt = CryptTable::new(&spec, below(".crypt"));
    assert_eq!(table(".crypt"), format!("0 {} crypt {crypt}", crypt.length()));
    assert!(table(".crypt").contains(&key_description(spec.volume_id())));
    let linear = FileSystemTable::new(&spec, below(""));
    assert_eq!(table(""), format!("0 {} linear {linear}", linear.length()));
    // And the kernel has counted no sector that is not authentic.
    let status = debian.run("dmsetup status ravelin-root.integrity");
    assert_eq!(status.split(' ').nth(3), Some("0"), "{status}");
}
