//! The boot with keys from owners on the recording machine. Its device-mapper really
//! decrypts, so a wrong key is a wrong key.

use std::path::Path;
use std::sync::OnceLock;

use luks::{
    Cipher, Layout, LayoutParams, Memory, Options, SECTOR, Secret, SectorSize, VolumeKey,
    VolumeSpec,
};
use protocol::release::{Release, ReleasedKey, ReleasedVolume};
use ssh_key::rand_core::OsRng;
use zeroize::Zeroizing;

use super::tests::{disk, elf, machine as verity_machine, outcome};
use super::*;
use crate::fake::{Fake, Node};

const SIZE: usize = 4 << 20;
pub(super) const ROOT: [u8; 32] = [0xa1; 32];
pub(super) const DATA: [u8; 32] = [0xa2; 32];
pub(super) const WRONG: [u8; 32] = [0xa3; 32];

/// `ssh-ed25519` of nobody.
const OWNER: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDttIbL2sYDdyQqrCRRrMCpOdUXGFKe4OKRxGsM7oyLD";

const UNLOCK: &str = "network.link = 'driver:virtio_net'\nunlock.owners = ['OWNER']\n\
                      deadline.unlock = '10m'\n";

const VOLUMES: &str = "
    [[volume]]
    name = 'data'
    device = 'serial:data-volume'
    mount = '/srv/data'
    fstype = 'xfs'
    key = 'owner'
    [[volume]]
    name = 'scratch'
    device = 'serial:scratch'
    mount = '/scratch'
    fstype = 'ext4'
    key = 'ephemeral'
    [[volume]]
    name = 'vault'
    device = 'serial:vault'
    mount = '/vault'
    fstype = 'btrfs'
    key = 'sealed'
    sealed.tcb_version = 'any'
    provision = 'if-blank'
";

fn spec(id: u128) -> VolumeSpec {
    let sectors = SIZE as u64 / SECTOR;
    let (cipher, block) = (Cipher::AesXtsHmacSha256, SectorSize::B4096);
    let params = LayoutParams::with_default_journal(cipher, block, sectors, 0);
    VolumeSpec::new(Layout::new(params).unwrap(), uuid::Uuid::from_u128(id), None).unwrap()
}

pub(super) fn key(id: u128, secret: &[u8; 32]) -> VolumeKey {
    VolumeKey::derive(&Secret::new(secret), &spec(id))
}

/// A disk with a volume that is not blank.
fn sealed(id: u128, secret: &[u8; 32]) -> Vec<u8> {
    let spec = spec(id);
    let key = key(id, secret);
    let disk = Memory::new(vec![0; SIZE]);
    luks::seal(&spec, &key, &[1_u8; 4096][..], 4096, &disk, &mut OsRng, &Options::default())
        .unwrap();
    disk.into_bytes()
}

fn root_disk() -> Vec<u8> {
    static DISK: OnceLock<Vec<u8>> = OnceLock::new();
    DISK.get_or_init(|| sealed(1, &ROOT)).clone()
}

fn data_disk() -> Vec<u8> {
    static DISK: OnceLock<Vec<u8>> = OnceLock::new();
    DISK.get_or_init(|| sealed(2, &DATA)).clone()
}

pub(super) fn volume(name: &str, id: u128, secret: [u8; 32]) -> ReleasedVolume {
    ReleasedVolume {
        name: name.parse().unwrap(),
        key: ReleasedKey::Spec { spec: spec(id).encode(), secret: Zeroizing::new(secret) },
        min_epoch: 1,
        provision: false,
    }
}

pub(super) fn release(fake: &Fake, volumes: Vec<ReleasedVolume>) {
    fake.releases.borrow_mut().push(Release::new(volumes).unwrap().encode());
}

pub(super) fn add_disk(fake: &Fake, name: &str, serial: &str, content: Vec<u8>) {
    disk(fake, name, serial, SIZE as u64 / SECTOR);
    fake.volumes.add_disk(&format!("/dev/{name}"), content);
}

/// A machine with an encrypted root alone, on which everything works.
fn root_only() -> Fake {
    let fake = verity_machine();
    fake.add_file(
        "/proc/cmdline",
        "console=ttyS0 random.trust_bootloader=off ravelin.root.mode=encrypted \
         ravelin.root.device=serial:root ravelin.root.fstype=ext4",
    );
    fake.add_file("/etc/ravelin.toml", UNLOCK.replace("OWNER", OWNER));
    fake.remove("/sys/class/block");
    fake.add("/sys/kernel/config", Node::Directory);
    add_disk(&fake, "vda", "root", root_disk());
    fake.remove("/sysroot/etc/ssh/ssh_host_rsa_key");
    fake.remove("/sysroot/etc/ssh/ssh_host_ed25519_key");
    for program in ["fsck.ext4", "mkfs.ext4", "mkfs.xfs"] {
        fake.add_file(&format!("/sysroot/sbin/{program}"), elf(62));
    }
    fake.add_file("/sysroot/usr/bin/mkfs.btrfs", elf(62));
    fake
}

/// The same with a volume of each kind, and a release that opens them.
pub(super) fn machine() -> Fake {
    let fake = root_only();
    fake.add_file("/etc/ravelin.toml", UNLOCK.replace("OWNER", OWNER) + VOLUMES);
    add_disk(&fake, "vdb", "data-volume", data_disk());
    add_disk(&fake, "vdc", "scratch", vec![7; SIZE]);
    add_disk(&fake, "vdd", "vault", vec![0; SIZE]);
    for directory in ["srv/data", "scratch", "vault"] {
        fake.add(Path::new("/sysroot").join(directory), Node::Directory);
    }
    release(&fake, vec![volume("root", 1, ROOT), volume("data", 2, DATA)]);
    fake
}

/// The calls that change something or talk to somebody, cut to what is looked at.
fn effects(fake: &Fake) -> Vec<String> {
    const CUT: [(&str, usize); 2] = [("load ", 2), ("report ", 1)];
    const LOOKS: [&str; 13] = [
        "read ",
        "list ",
        "kind ",
        "is-mount-point ",
        "program ",
        "device-number ",
        "loaded ",
        "start ",
        "module ",
        "write ",
        "watch",
        "open-disk ",
        "mkdir ",
    ];
    let calls = fake.calls.borrow();
    let shown = calls.iter().filter(|call| LOOKS.iter().all(|look| !call.starts_with(look)));
    let cut = |call: &String| match CUT.iter().find(|(verb, _)| call.starts_with(verb)) {
        Some((_, words)) => call.split(' ').take(*words).collect::<Vec<_>>().join(" "),
        None => call.trim_end_matches([' ', ',']).to_owned(),
    };
    shown.map(cut).collect()
}

/// What must have happened when a boot ended without a hand-over: nothing is mapped,
/// nobody is served, the network is down.
fn assert_torn_down(fake: &Fake, what: &str) {
    assert_eq!(fake.volumes.mapped(), [""; 0], "{what}");
    let calls = fake.calls.borrow();
    let position = |start: &str| calls.iter().position(|call| call.starts_with(start));
    for (up, down) in [("network-up", "network-down"), ("serve-owners", "stop-serving")] {
        let (up, down) = (position(up), position(down));
        assert_eq!(up.is_some(), down.is_some(), "{what}: {calls:?}");
        assert!(up <= down && down < position("stop "), "{what}: {calls:?}");
    }
}

#[test]
fn the_good_path() {
    let fake = machine();
    assert_eq!(outcome(&fake), "", "{:#?}", fake.lines.borrow());
    let expected = "\
mount proc /proc proc nosuid,nodev,noexec
mount sysfs /sys sysfs nosuid,nodev,noexec
mount devtmpfs /dev devtmpfs nosuid,noexec,mode=0755
mount tmpfs /run tmpfs nosuid,nodev,noexec,mode=0755,size=20%
network-up Driver(\"virtio_net\")
entropy
mount configfs /sys/kernel/config configfs nosuid,nodev,noexec
open-reports auto
serve-owners 4778 data root
wait-for-release
load ravelin-root.integrity
load ravelin-root.crypt
load ravelin-root
load ravelin-data.integrity
load ravelin-data.crypt
load ravelin-data
answer opened data=2 root=2
wait-until-recorded
answer booting
stop-serving
network-down
mount /dev/mapper/ravelin-root /sysroot ext4 nodev
mount /dev/mapper/ravelin-data /sysroot/srv/data xfs nosuid,nodev
entropy
load ravelin-scratch.integrity
load ravelin-scratch.crypt
load ravelin-scratch
mount devtmpfs /sysroot/dev devtmpfs nosuid,noexec,mode=0755
mount proc /sysroot/proc proc nosuid,nodev,noexec
run /sysroot /sbin/mkfs.ext4 -q -E nodiscard /dev/mapper/ravelin-scratch
detach /sysroot/proc
detach /sysroot/dev
mount /dev/mapper/ravelin-scratch /sysroot/scratch ext4 nosuid,nodev
entropy
derived-key
load ravelin-vault.integrity
load ravelin-vault.crypt
load ravelin-vault
mount devtmpfs /sysroot/dev devtmpfs nosuid,noexec,mode=0755
mount proc /sysroot/proc proc nosuid,nodev,noexec
run /sysroot /usr/bin/mkfs.btrfs -q -K /dev/mapper/ravelin-vault
detach /sysroot/proc
detach /sysroot/dev
mount /dev/mapper/ravelin-vault /sysroot/vault btrfs nosuid,nodev
entropy
create /sysroot/etc/ssh/ssh_host_ed25519_key 600
create /sysroot/etc/ssh/ssh_host_ed25519_key.pub 644
report
create /run/ravelin/report.bin 444
create /run/ravelin/certificates.bin 444
create /run/ravelin/ssh_host_keys 444
create /run/ravelin/receipt 444
create /run/ravelin/evidence.json 444
responder 4777 1 keys
move /dev /sysroot/dev
move /proc /sysroot/proc
move /sys /sysroot/sys
move /run /sysroot/run
hand-over /sysroot /sbin/init";
    let effects = effects(&fake);
    let end = effects.iter().position(|call| call.starts_with("hand-over")).unwrap();
    assert_eq!(effects[..=end].join("\n"), expected);
}

/// For every call k: if it fails, the boot ends; after k nothing is mounted, opened,
/// answered with success or handed over; and what was up is down.
#[test]
fn a_failure_at_any_step_ends_the_boot() {
    let machine = || {
        let fake = machine();
        let file = fake.file("/etc/ravelin.toml").unwrap();
        fake.add_file("/etc/ravelin.toml", format!("encrypted.fsck = true\n{file}"));
        fake
    };
    let calls = {
        let fake = machine();
        assert_eq!(outcome(&fake), "");
        fake.calls.take()
    };
    // As in verity mode; and two that have no way to fail.
    let tolerated = |call: &str| {
        call.starts_with("write /proc/sys/kernel/printk_devkmsg")
            || call.starts_with("module /lib/modules/6.12.1/sha256.ko")
            || call.ends_with("/hidden")
            || call.starts_with("answer ")
            || call.starts_with("stop-serving")
    };
    let forbidden = [
        "mount ",
        "load ",
        "start ",
        "create ",
        "mkdir",
        "move ",
        "hand-over ",
        "responder ",
        "run ",
        "network-up",
        "serve-owners",
        "wait-for-release",
        "answer opened",
        "answer booting",
        "report ",
        "derived-key",
    ];
    let end = calls.iter().position(|call| call.starts_with("hand-over ")).unwrap();
    assert!(calls[..end].iter().any(|call| call.starts_with("run /sysroot /sbin/fsck.ext4 -p")));
    // The disk's, and the kernel's own.
    let faults = [nix::libc::EIO, nix::libc::ENOMEM];
    let faults = (0..end).flat_map(|k| faults.map(|errno| (k, &calls[k], errno)));
    let mut stopped_in_time = 0;
    for (k, call, errno) in faults {
        let fake = machine();
        fake.fail_at.set(Some(k));
        fake.fail_with.set(Some(errno));
        let code = outcome(&fake);
        if tolerated(call) {
            assert_eq!(code, "", "call {k}: {call}");
            continue;
        }
        assert_ne!(code, "", "call {k}: {call}");
        let after = &fake.calls.borrow()[k + 1..].to_vec();
        let forbidden_after = |verb: &&&str| after.iter().any(|call| call.starts_with(**verb));
        let is_release = code == "unlock-deadline";
        // A read of a disk that fails is a disk that another release could open: the
        // guest waits on, and then its time is over.
        let verbs = forbidden.iter().filter(|verb| !(is_release && **verb == "wait-for-release"));
        let done: Vec<_> = verbs.filter(forbidden_after).collect();
        assert_eq!(done, [&""; 0], "call {k}: {call}: {code}");
        if !call.starts_with("remove-target") {
            assert_torn_down(&fake, &format!("call {k}: {call}"));
        }
        // The machine stops also if a disk keeps what is closed from ending.
        let first = |what: &str| after.iter().position(|call| call == what);
        if let Some(closing) = first("detach /sysroot") {
            stopped_in_time += 1;
            let armed = first("stop-after poweroff");
            assert!(armed.is_some_and(|at| at < closing), "call {k}: {call}");
        }
    }
    assert!(stopped_in_time > 0);
}

#[test]
fn a_wrong_key_is_answered_and_the_right_one_opens() {
    let fake = machine();
    let right = fake.releases.take();
    release(&fake, vec![volume("root", 1, WRONG), volume("data", 2, DATA)]);
    // The root opens, the other does not: all or nothing.
    release(&fake, vec![volume("root", 1, ROOT), volume("data", 2, WRONG)]);
    // The specification of another volume.
    release(&fake, vec![volume("root", 2, ROOT), volume("data", 2, DATA)]);
    fake.releases.borrow_mut().extend(right);
    assert_eq!(outcome(&fake), "");
    let answers = fake.calls_of("answer ");
    assert_eq!(answers.len(), 5, "{answers:#?}");
    assert!(answers[0].starts_with("answer NotOpened: root: the key does not open /dev/vda"));
    assert!(answers[1].starts_with("answer NotOpened: data: the key does not open /dev/vdb"));
    assert!(answers[2].starts_with("answer NotOpened: root: "));
    // Epoch 2 and not 3: a refused release writes none.
    assert_eq!(answers[3], "answer opened data=2 root=2");
    let refused = |line: &&String| line.contains("unlock: refused the release of SHA256:owner");
    assert_eq!(fake.lines.borrow().iter().filter(refused).count(), 3);
    // Whatever was opened for a refused release was closed before the next was waited for.
    let calls = fake.calls.borrow();
    let mut mapped = 0;
    for call in calls.iter().take_while(|call| !call.starts_with("answer opened")) {
        match call.split(' ').next() {
            Some("start") => mapped += 1,
            Some("remove-target") => mapped = 0,
            Some("wait-for-release") => assert_eq!(mapped, 0),
            _ => {}
        }
    }
    assert!(
        calls.iter().position(|call| call.starts_with("mount /dev/mapper"))
            > calls.iter().position(|call| call.starts_with("answer opened"))
    );
}

/// Attack: the host keeps the new epochs from the owners, so that an older disk stays as
/// good as this one. Closed: the volumes are closed again, and nothing of them is booted.
#[test]
fn a_boot_whose_epochs_nobody_recorded_waits_for_another_release() {
    let fake = machine();
    let again = vec![volume("root", 1, ROOT), volume("data", 2, DATA)];
    release(&fake, again);
    fake.unrecorded.set(1);
    assert_eq!(outcome(&fake), "");
    let answers = fake.calls_of("answer ");
    assert_eq!(answers.len(), 4, "{answers:#?}");
    assert_eq!(answers[0], "answer opened data=2 root=2");
    assert!(answers[1].starts_with("answer Unrecorded: no owner has recorded the epochs"));
    assert_eq!(answers[2..], ["answer opened data=3 root=3", "answer booting"]);
    let calls = fake.calls.borrow();
    let position = |start: &str| calls.iter().position(|call| call.starts_with(start)).unwrap();
    let between = &calls[position("answer opened")..position("answer Unrecorded")];
    for name in ["ravelin-root", "ravelin-data"] {
        assert!(between.iter().any(|call| *call == format!("remove-target {name}")), "{between:?}");
    }
    assert!(position("mount /dev/mapper") > position("answer booting"));
    // Where nobody comes again, that is the end.
    let fake = machine();
    fake.unrecorded.set(1);
    assert_eq!(outcome(&fake), "unlock-deadline");
    assert_torn_down(&fake, "nobody recorded the epochs");
}

#[test]
fn a_rolled_back_disk_is_refused_by_its_epoch() {
    let fake = root_only();
    release(&fake, vec![ReleasedVolume { min_epoch: 2, ..volume("root", 1, ROOT) }]);
    assert_eq!(outcome(&fake), "unlock-deadline");
    let answers = fake.calls_of("answer ");
    assert_eq!(
        answers,
        ["answer RolledBack: root: the volume was rolled back: its epoch is 1, at least 2 is \
             wanted"]
    );
    assert!(fake.calls_of("mount /dev/mapper").is_empty());
    assert_torn_down(&fake, "rolled back");
}

#[test]
fn nobody_comes() {
    let fake = root_only();
    assert_eq!(outcome(&fake), "unlock-deadline");
    assert!(fake.lines.borrow().iter().any(|line| line.contains("within 600s")));
    assert_torn_down(&fake, "nobody");
}

/// The server compares the names; the boot does not depend on it.
#[test]
fn a_release_for_something_else_opens_nothing() {
    let luks = ReleasedVolume {
        name: VolumeName::root(),
        key: ReleasedKey::Luks {
            header_sha256: [0; 32],
            passphrase: Zeroizing::new(b"secret".to_vec()),
        },
        min_epoch: 0,
        provision: false,
    };
    let provision = ReleasedVolume { provision: true, ..volume("root", 1, ROOT) };
    for volumes in [
        vec![volume("data", 2, DATA)],
        vec![volume("root", 1, ROOT), volume("data", 2, DATA)],
        vec![luks],
        vec![provision],
    ] {
        let fake = root_only();
        release(&fake, volumes);
        assert_eq!(outcome(&fake), "unlock-deadline");
        assert!(fake.calls_of("answer ")[0].starts_with("answer Volumes: "));
        assert!(fake.calls_of("open-disk ").is_empty());
    }
}

/// Where no release can help, the owner learns it and the machine stops.
#[test]
fn a_kernel_that_reads_a_table_differently_is_no_matter_of_the_release() {
    let fake = machine();
    *fake.volumes.other_table.borrow_mut() = Some(("plain64".to_owned(), "plain".to_owned()));
    release(&fake, vec![volume("root", 1, ROOT), volume("data", 2, DATA)]);
    assert_eq!(outcome(&fake), "volume-table");
    let answers = fake.calls_of("answer ");
    assert_eq!(answers.len(), 1);
    assert!(answers[0].starts_with("answer NotOpened: the volume root: "), "{answers:?}");
    assert!(answers[0].ends_with("; the guest stops"), "{answers:?}");
    assert_torn_down(&fake, "another table");

    // A disk that does not keep the epoch.
    let fake = machine();
    fake.volumes.forgetful.set(true);
    assert_eq!(outcome(&fake), "volume-epoch");
    assert!(fake.calls_of("mount /dev/mapper").is_empty());
    assert_torn_down(&fake, "forgetful");
}

#[test]
fn no_secret_is_in_a_line_or_an_answer() {
    let fake = machine();
    let right = fake.releases.take();
    release(&fake, vec![volume("root", 1, WRONG), volume("data", 2, DATA)]);
    fake.releases.borrow_mut().extend(right);
    assert_eq!(outcome(&fake), "");
    let said = [fake.lines.borrow().join("\n"), fake.calls.borrow().join("\n")].join("\n");
    let derived = key(1, &ROOT);
    // The fake machine's own derived key is [1; 32].
    let secrets = [&ROOT[..], &DATA, &WRONG, &[1; 32], derived.as_bytes()];
    for secret in secrets {
        let part = &secret[..8];
        let hex: String = part.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!said.to_lowercase().contains(&hex), "{hex}");
        let debug = format!("{part:?}");
        assert!(!said.contains(debug.trim_matches(['[', ']'])), "{debug}");
    }
}

#[test]
fn refusals_are_logged_ten_times_and_then_counted() {
    let fake = root_only();
    for _ in 0..50 {
        release(&fake, vec![volume("root", 1, WRONG)]);
    }
    release(&fake, vec![volume("root", 1, ROOT)]);
    assert_eq!(outcome(&fake), "");
    assert_eq!(fake.calls_of("answer NotOpened").len(), 50);
    let refused = |line: &&String| line.contains("unlock: refused");
    assert_eq!(fake.lines.borrow().iter().filter(refused).count(), 10);
}

#[test]
fn the_roots_own_fsck_decides() {
    for (status, code) in
        [(0, ""), (1, ""), (2, ""), (3, ""), (4, "fsck"), (8, "fsck"), (127, "fsck")]
    {
        let fake = root_only();
        let file = fake.file("/etc/ravelin.toml").unwrap();
        fake.add_file("/etc/ravelin.toml", format!("encrypted.fsck = true\n{file}"));
        fake.volumes.program_status.set(status);
        release(&fake, vec![volume("root", 1, ROOT)]);
        assert_eq!(outcome(&fake), code, "{status}");
        let mounts = fake.calls_of("mount /dev/mapper/ravelin-root");
        assert_eq!(mounts[0], "mount /dev/mapper/ravelin-root /sysroot ext4 ro,nodev,");
        assert_eq!(mounts.len(), if code.is_empty() { 2 } else { 1 });
    }
    // Not in the root.
    let fake = root_only();
    let file = fake.file("/etc/ravelin.toml").unwrap();
    fake.add_file("/etc/ravelin.toml", format!("encrypted.fsck = true\n{file}"));
    fake.remove("/sysroot/sbin/fsck.ext4");
    release(&fake, vec![volume("root", 1, ROOT)]);
    assert_eq!(outcome(&fake), "fsck");
    assert_torn_down(&fake, "no fsck");
}

#[test]
fn a_file_system_is_made_only_where_there_is_none() {
    // A volume of the owner's that was provisioned, but whose mkfs a power cut ended: it
    // opens, and begins with zeros.
    let empty = {
        let spec = spec(2);
        let key = VolumeKey::derive(&Secret::new(&DATA), &spec);
        let disk = Memory::new(vec![0; SIZE]);
        luks::seal(&spec, &key, &b""[..], 0, &disk, &mut OsRng, &Options::default()).unwrap();
        disk.into_bytes()
    };
    for (content, provision, made) in [
        (data_disk(), false, false),
        (data_disk(), true, false),
        (empty.clone(), false, false),
        (empty, true, true),
        (vec![0; SIZE], true, true),
    ] {
        let fake = machine();
        fake.releases.take();
        fake.volumes.add_disk("/dev/vdb", content);
        let data = ReleasedVolume { provision, ..volume("data", 2, DATA) };
        release(&fake, vec![volume("root", 1, ROOT), data]);
        assert_eq!(outcome(&fake), "");
        let made_one = fake.calls_of("run /sysroot /sbin/mkfs.xfs").len() == 1;
        assert_eq!(made_one, made, "{provision}");
    }
    // Attack: zeros with their tags, from when the volume was sealed, put back at its
    // start in a later boot. Observed: no file system is made over it. Closed: its epoch.
    let made = |fake: &Fake| {
        fake.releases.take();
        let data = ReleasedVolume { provision: true, ..volume("data", 2, DATA) };
        release(fake, vec![volume("root", 1, ROOT), data]);
        assert_eq!(outcome(fake), "");
        fake.calls_of("run /sysroot /sbin/mkfs.xfs").len()
    };
    let first = machine();
    first.volumes.add_disk("/dev/vdb", vec![0; SIZE]);
    assert_eq!(made(&first), 1);
    let mut second = machine();
    second.volumes = first.volumes.rebooted();
    assert_eq!(made(&second), 0);
    // Where nobody recorded the epochs of the release that made it, the next release of
    // this boot is as good.
    let fake = machine();
    fake.volumes.add_disk("/dev/vdb", vec![0; SIZE]);
    fake.releases.take();
    for _ in 0..2 {
        let data = ReleasedVolume { provision: true, ..volume("data", 2, DATA) };
        release(&fake, vec![volume("root", 1, ROOT), data]);
    }
    fake.unrecorded.set(1);
    assert_eq!(outcome(&fake), "");
    assert_eq!(fake.calls_of("run /sysroot /sbin/mkfs.xfs").len(), 1);
    // The receipt says so all the same.
    let receipt = fake.receipt.take().unwrap();
    assert!(receipt.as_str().contains("\t1 of 1\tSHA256:owner\t1\n"), "{}", receipt.as_str());
    assert!(receipt.as_str().contains("\nvolume\tdata\towner\tmade\t"), "{}", receipt.as_str());
    // The measured configuration may give the permission, too.
    let fake = machine();
    fake.volumes.add_disk("/dev/vdb", vec![0; SIZE]);
    assert_eq!(outcome(&fake), "unlock-deadline");
    let fake = machine();
    fake.volumes.add_disk("/dev/vdb", vec![0; SIZE]);
    let file = fake.file("/etc/ravelin.toml").unwrap();
    let file = file.replace("key = 'owner'", "key = 'owner'\nprovision = 'if-blank'");
    fake.add_file("/etc/ravelin.toml", file);
    assert_eq!(outcome(&fake), "");
    assert_eq!(fake.calls_of("run /sysroot /sbin/mkfs.xfs").len(), 1);
    // And the program may fail.
    let fake = machine();
    fake.volumes.program_status.set(1);
    assert_eq!(outcome(&fake), "mkfs");
    assert_torn_down(&fake, "mkfs");
}

#[test]
fn a_mount_point_is_a_real_directory() {
    for (path, node) in [
        ("/sysroot/srv", Node::Symlink),
        ("/sysroot/srv/data", Node::Symlink),
        ("/sysroot/srv/data", Node::File(Vec::new())),
    ] {
        let fake = machine();
        fake.remove(path);
        fake.add(path, node);
        assert_eq!(outcome(&fake), "not-a-directory");
        assert_torn_down(&fake, path);
    }
    let fake = machine();
    fake.remove("/sysroot/vault");
    assert_eq!(outcome(&fake), "not-a-directory");
    assert!(fake.calls_of("derived-key").is_empty());
}

#[test]
fn an_error_of_an_encrypted_disk_is_named() {
    let calls = {
        let fake = machine();
        boot(&fake);
        fake.calls.take()
    };
    for start in
        ["mount /dev/mapper/ravelin-root", "program /sbin/init", "mount /dev/mapper/ravelin-data"]
    {
        let fake = machine();
        fake.fail_at.set(calls.iter().position(|call| call.starts_with(start)));
        assert_eq!(outcome(&fake), "disk-not-authentic", "{start}");
    }
    // Opening has names of its own.
    let fake = machine();
    fake.fail_at.set(calls.iter().position(|call| call == "network-down"));
    assert_eq!(outcome(&fake), "network-down");
}

#[test]
fn one_device_is_one_volume() {
    let fake = machine();
    let file = fake.file("/etc/ravelin.toml").unwrap();
    fake.add_file("/etc/ravelin.toml", file.replace("serial:vault", "path:/dev/vda"));
    assert_eq!(outcome(&fake), "disk-shared");
    assert!(fake.calls_of("network-up").is_empty());
}

fn key_pair(algorithm: ssh_key::Algorithm) -> (String, String) {
    let mut key = ssh_key::PrivateKey::random(&mut OsRng, algorithm).unwrap();
    key.set_comment("root@host \"quoted\"");
    let private = key.to_openssh(ssh_key::LineEnding::LF).unwrap();
    (private.to_string(), key.public_key().to_openssh().unwrap())
}

#[test]
fn host_keys_of_the_disk_are_kept_and_bound() {
    let p256 = ssh_key::Algorithm::Ecdsa { curve: ssh_key::EcdsaCurve::NistP256 };
    let (ecdsa, ecdsa_public) = key_pair(p256);
    let fake = root_only();
    release(&fake, vec![volume("root", 1, ROOT)]);
    fake.add_file("/sysroot/etc/ssh/ssh_host_ecdsa_key", &ecdsa);
    // A form that is not read: its public half counts.
    let pem = "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let (_, other_public) = key_pair(ssh_key::Algorithm::Ed25519);
    fake.add_file("/sysroot/etc/ssh/ssh_host_rsa_key", pem);
    fake.add_file("/sysroot/etc/ssh/ssh_host_rsa_key.pub", &other_public);
    assert_eq!(outcome(&fake), "");
    assert_eq!(fake.file("/sysroot/etc/ssh/ssh_host_ecdsa_key").unwrap(), ecdsa);
    assert_eq!(fake.file("/sysroot/etc/ssh/ssh_host_rsa_key").unwrap(), pem);
    // The default kind is missing, and made.
    let made = fake.file("/sysroot/etc/ssh/ssh_host_ed25519_key.pub").unwrap();
    let bound = fake.file("/run/ravelin/ssh_host_keys").unwrap();
    assert_eq!(bound.lines().count(), 3);
    for public in [&ecdsa_public, &other_public, &made] {
        let words: Vec<&str> = public.split(' ').take(2).map(str::trim).collect();
        assert!(bound.lines().any(|line| line == words.join(" ")), "{bound}");
    }
    assert_eq!(fake.calls_of("responder"), ["responder 4777 3 keys"]);
    let json = fake.file("/run/ravelin/evidence.json").unwrap();
    serde_json::from_str::<serde_json::Value>(&json).unwrap();
    assert!(fake.calls_of("remove /").is_empty());
    assert_eq!(fake.file("/sysroot/etc/machine-id").unwrap(), "0123\n");
}

#[test]
fn host_keys_that_cannot_be_bound_are_refused() {
    let (private, public) = key_pair(ssh_key::Algorithm::Ed25519);
    let (_, other) = key_pair(ssh_key::Algorithm::Ed25519);
    let key = "/sysroot/etc/ssh/ssh_host_ed25519_key";
    let with = |private: Node, public: Option<&str>| {
        let fake = root_only();
        release(&fake, vec![volume("root", 1, ROOT)]);
        fake.add(key, private);
        if let Some(public) = public {
            fake.add_file(&format!("{key}.pub"), public);
        }
        (outcome(&fake), fake)
    };
    let file = |text: &str| Node::File(text.as_bytes().to_vec());
    assert_eq!(with(file(&private), Some(&public)).0, "");
    assert_eq!(with(file(&private), None).0, "");
    for (private, public) in [
        (file(&private), Some(other.as_str())),
        (file(&private), Some("nonsense")),
        (file("nonsense"), None),
        (Node::Symlink, Some(public.as_str())),
    ] {
        let (code, fake) = with(private, public);
        assert_eq!(code, "host-key-file");
        assert!(fake.calls_of("report ").is_empty());
    }
    // What a power cut left of one is made anew.
    let (code, fake) = with(file(""), Some(&other));
    assert_eq!(code, "");
    assert_ne!(fake.file(&format!("{key}.pub")).unwrap().trim(), other);
    let lines = fake.lines.borrow();
    assert!(lines.iter().any(|line| line.contains("0 kept, 1 made")), "{lines:?}");
}

/// Overlays of a verity root on an ephemeral volume, and no network for it.
#[test]
fn an_ephemeral_volume_takes_the_writes() {
    let fake = verity_machine();
    fake.add_file(
        "/etc/ravelin.toml",
        "[[volume]]\nname = 'scratch'\ndevice = 'serial:scratch'\nmount = 'writable'\n\
         fstype = 'ext4'\nkey = 'ephemeral'\n",
    );
    add_disk(&fake, "vdc", "scratch", vec![7; SIZE]);
    fake.add_file("/sysroot/sbin/mkfs.ext4", elf(62));
    assert_eq!(outcome(&fake), "");
    let calls = fake.calls.borrow();
    let position = |start: &str| calls.iter().position(|call| call.starts_with(start)).unwrap();
    let layer = "mount /dev/mapper/ravelin-scratch /run/ravelin-layers/volume ext4 ";
    assert!(calls.iter().any(|call| call == layer));
    assert!(position("mount /dev/mapper/root") < position("load ravelin-scratch"));
    assert!(position("run /sysroot /sbin/mkfs.ext4") < position(layer));
    assert!(position(layer) < position("mount ravelin /sysroot/etc overlay"));
    assert!(position("mount ravelin /sysroot/tmp") < position("detach /run/ravelin-layers/volume"));
    let upper = "upperdir=/run/ravelin-layers/volume/etc.upper";
    assert!(calls.iter().any(|call| call.contains(upper)));
    assert!(!calls.iter().any(|call| call.contains("tmpfs-shared")));
    assert!(!calls.iter().any(|call| call.starts_with("network") || call.starts_with("serve")));
}

/// Attack: the owners' reports are another guest's than the one of the boot. Observed: the
/// boot ends. Closed: its first report says who it is, to whomever it was given.
#[test]
fn reports_for_owners_are_of_the_same_guest() {
    for (owners, code) in [(0x1d, ""), (0x1e, "report-mismatch")] {
        let fake = machine();
        fake.owners_guest.set(Some(owners));
        assert_eq!(outcome(&fake), code);
        assert_eq!(fake.calls_of("responder ").len(), usize::from(code.is_empty()));
    }
}
