//! The whole boot on the recording machine: the good path once, then each way
//! to go wrong.

use std::path::Path;

use super::*;
use crate::fake::{Fake, Node};

const HASH: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn cmdline() -> String {
    format!(
        "console=ttyS0 ravelin.root.mode=verity ravelin.root.device=serial:data \
         ravelin.root.fstype=ext4 ravelin.verity.hash_device=serial:hash \
         ravelin.verity.roothash={HASH} ravelin.verity.salt=- ravelin.verity.data_blocks=16"
    )
}

pub(super) fn disk(fake: &Fake, name: &str, serial: &str, sectors: u64) {
    for (path, node) in disk_nodes(name, serial, sectors) {
        fake.add(path, node);
    }
}

fn disk_nodes(name: &str, serial: &str, sectors: u64) -> Vec<(PathBuf, Node)> {
    let sys = Path::new("/sys/class/block").join(name);
    vec![
        (sys.join("size"), Node::File(format!("{sectors}\n").into_bytes())),
        (sys.join("serial"), Node::File(format!("{serial}\n").into_bytes())),
        (Path::new("/dev").join(name), Node::BlockDevice(vec![0; 512 * 34])),
    ]
}

/// The start of an ELF program.
pub(super) fn elf(machine: u8) -> Vec<u8> {
    let mut head = b"\x7fELF\x02\x01\x01".to_vec();
    head.resize(18, 0);
    head.extend([machine, 0]);
    head
}

/// A machine on which everything works.
pub(super) fn machine() -> Fake {
    let fake = Fake::default();
    fake.add_file("/proc/cmdline", format!("{}\n", cmdline()));
    fake.add_file("/proc/sys/kernel/osrelease", "6.12.1\n");
    fake.add_file(
        "/lib/modules/ravelin.load",
        "# ravelin load order 1\nkernel 6.12.1\n\
         0 required /lib/modules/6.12.1/dm-mod.ko\n\
         0 optional /lib/modules/6.12.1/sha256.ko\n\
         1 required /lib/modules/6.12.1/dm-verity.ko\n",
    );
    disk(&fake, "vda", "data", 128);
    disk(&fake, "vdb", "hash", 24);
    for directory in ["etc/ssh", "var/lib/dbus", "home", "root", "tmp", "dev", "proc", "sys", "run"]
    {
        fake.add(Path::new("/sysroot").join(directory), Node::Directory);
    }
    for directory in ["/dev", "/sys", "/run"] {
        fake.add(directory, Node::Directory);
    }
    fake.add_file("/sysroot/etc/machine-id", "0123\n");
    fake.add_file("/sysroot/var/lib/dbus/machine-id", "0123\n");
    fake.add_file("/sysroot/etc/ssh/sshd_config", "");
    fake.add_file("/sysroot/etc/ssh/ssh_host_rsa_key", "the image's");
    fake.add_file("/sysroot/etc/ssh/ssh_host_ed25519_key", "the image's");
    fake.add_file("/sysroot/sbin/init", elf(62));
    fake
}

/// The code in the failure block; "" if the boot got to the hand-over.
pub(super) fn outcome(fake: &Fake) -> String {
    boot(fake);
    let calls = fake.calls.borrow();
    assert!(calls.last().unwrap().starts_with("stop "), "{calls:?}");
    assert_eq!(calls.iter().filter(|call| call.starts_with("stop ")).count(), 1);
    if calls.iter().any(|call| call.starts_with("hand-over ")) {
        return String::new();
    }
    let lines = fake.lines.borrow();
    let failed = lines.iter().find(|line| line.starts_with("ravelin: FAILED ")).unwrap();
    failed.split_once("code=").unwrap().1.to_owned()
}

#[test]
fn the_good_path() {
    let fake = machine();
    assert_eq!(outcome(&fake), "");
    // dm-verity reports errors while PID 1 works, and panics afterwards.
    let table = format!("128 1 /dev/vda /dev/vdb 4096 4096 16 1 sha256 {HASH} -");
    assert_eq!(
        fake.calls_of("verity "),
        [format!("verity root CRYPT-VERITY-{}-root {table}", &HASH[..32])]
    );
    assert_eq!(
        fake.calls_of("replace "),
        [format!("replace root {table} 2 panic_on_corruption panic_on_error")]
    );
    // Read-only, without believing a journal.
    let calls = fake.calls.borrow();
    let position = |start: &str| calls.iter().position(|call| call.starts_with(start)).unwrap();
    assert!(calls.contains(&"mount /dev/mapper/root /sysroot ext4 ro,nodev,noload".to_owned()));
    assert!(position("mount /dev/mapper/root") < position("program /sbin/init"));
    assert!(position("program /sbin/init") < position("mount ravelin /sysroot/etc overlay"));
    assert!(position("entropy") < position("create /sysroot/etc/ssh/ssh_host_ed25519_key 600"));
    assert!(position("replace ") < position("move /dev"));
    // The directories that the root has, no others.
    let overlays: Vec<String> = fake
        .calls_of("mount ravelin")
        .into_iter()
        .filter(|call| call.contains(" overlay "))
        .collect();
    assert_eq!(overlays.len(), 5, "{overlays:?}");
    assert!(fake.lines.borrow().iter().any(|line| line.contains("the root has no /srv, left out")));
    // Nobody gets under the overlays.
    assert_eq!(fake.calls_of("detach ").len(), 1);
}

#[test]
fn the_identity_is_new() {
    let fake = machine();
    assert_eq!(outcome(&fake), "");
    assert_eq!(fake.file("/sysroot/etc/machine-id").unwrap(), "");
    assert_eq!(fake.file("/sysroot/var/lib/dbus/machine-id"), None);
    assert_eq!(fake.file("/sysroot/etc/ssh/ssh_host_rsa_key"), None);
    let private = fake.file("/sysroot/etc/ssh/ssh_host_ed25519_key").unwrap();
    let public = fake.file("/sysroot/etc/ssh/ssh_host_ed25519_key.pub").unwrap();
    let key = ssh_key::PrivateKey::from_openssh(&private).unwrap();
    assert_eq!(key.public_key().to_openssh().unwrap(), public.trim_end());
    let fingerprint = key.fingerprint(ssh_key::HashAlg::Sha256).to_string();
    let lines = fake.lines.borrow();
    assert!(lines.iter().any(|line| line.contains(&fingerprint)));
    // No line has anything of the private key.
    let secret: Vec<&str> = private.lines().filter(|line| !line.starts_with("---")).collect();
    assert!(lines.iter().all(|line| secret.iter().all(|part| !line.contains(part))));
    // Another boot, another key.
    let other = machine();
    assert_eq!(outcome(&other), "");
    assert_ne!(other.file("/sysroot/etc/ssh/ssh_host_ed25519_key.pub").unwrap(), public);
}

#[test]
fn an_ecdsa_key_is_made_where_configured() {
    let fake = machine();
    fake.add_file("/etc/ravelin.toml", "ssh.host_keys = ['ecdsa-p256']");
    assert_eq!(outcome(&fake), "");
    assert_eq!(fake.file("/sysroot/etc/ssh/ssh_host_ed25519_key"), None);
    let public = fake.file("/sysroot/etc/ssh/ssh_host_ecdsa_key.pub").unwrap();
    assert!(public.starts_with("ecdsa-sha2-nistp256 "), "{public}");
}

#[test]
fn host_keys_behind_a_link_are_no_way_out() {
    for path in ["/sysroot/etc", "/sysroot/etc/ssh"] {
        let fake = machine();
        fake.add_file("/etc/ravelin.toml", "writable.mode = 'root'\nmachine_id = 'keep'");
        fake.remove(path);
        fake.add(path, Node::Symlink);
        assert_eq!(outcome(&fake), "not-a-directory");
    }
}

#[test]
fn the_report_binds_the_keys_of_this_boot() {
    let fake = machine();
    fake.add("/sys/kernel/config", Node::Directory);
    assert_eq!(outcome(&fake), "");
    let public = fake.file("/sysroot/etc/ssh/ssh_host_ed25519_key.pub").unwrap();
    let blob = ssh_key::PublicKey::from_openssh(&public).unwrap().to_bytes().unwrap();
    let keys = protocol::host_keys::HostKeys::new([blob]).unwrap();
    let receipt = fake.receipt.take().unwrap();
    let head = Some(receipt.head());
    let binding = protocol::report_data::Binding::Boot { host_keys: &keys, receipt_head: head };
    let asked: String = binding.report_data().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(fake.calls_of("report "), [format!("report {asked}")]);
    // What is left behind says the same.
    assert_eq!(fake.file("/run/ravelin/ssh_host_keys").unwrap(), public);
    let json = fake.file("/run/ravelin/evidence.json").unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["ssh_host_keys"][0], public.trim_end());
    assert!(json["report"].as_str().unwrap().contains(&asked));
    assert_eq!(fake.file("/run/ravelin/certificates.bin").unwrap(), "table");
    assert_eq!(fake.file("/sysroot/etc/report.json"), None);
    // The order: keys, configfs, report, hand-over.
    let calls = fake.calls.borrow();
    let position = |start: &str| calls.iter().position(|call| call.starts_with(start)).unwrap();
    assert!(position("create /sysroot/etc/ssh/ssh_host_ed25519_key") < position("open-reports"));
    assert!(position("mount configfs /sys/kernel/config") < position("open-reports auto"));
    assert!(position("report ") < position("responder 4777 1 keys"));
    assert!(position("responder ") < position("move /run"));
}

#[test]
fn snpguards_report_binds_the_ecdsa_key() {
    let fake = machine();
    fake.add_file("/etc/ravelin.toml", "compat.snpguard = true");
    fake.add_file("/sysroot/etc/report.json", "the image's");
    assert_eq!(outcome(&fake), "");
    let public = fake.file("/sysroot/etc/ssh/ssh_host_ecdsa_key.pub").unwrap();
    let key = ssh_key::PublicKey::from_openssh(&public).unwrap();
    // As `ssh-keygen -lf` says it, which SNPGuard hands to its verifier.
    let ssh_key::Fingerprint::Sha256(expected) = key.fingerprint(ssh_key::HashAlg::Sha256) else {
        panic!("not SHA-256");
    };
    let json = fake.file("/sysroot/etc/report.json").unwrap();
    let report = attestation::report::Unwrapped::read(json.as_bytes()).unwrap().report;
    assert_eq!(report.report_data().0[..32], expected);
    assert_eq!(report.report_data().0[32..], [0; 32]);
    assert_eq!(fake.calls_of("report ").len(), 2);
}

#[test]
fn nothing_is_asked_for_where_no_evidence_is_wanted() {
    let fake = machine();
    fake.add_file("/etc/ravelin.toml", "attest.mode = 'none'");
    fake.no_reports.set(true);
    assert_eq!(outcome(&fake), "");
    assert!(fake.calls_of("open-reports").is_empty() && fake.calls_of("report ").is_empty());
    assert_eq!(fake.file("/run/ravelin/ssh_host_keys"), None);
    assert!(fake.calls_of("responder ").is_empty());
}

#[test]
fn evidence_that_cannot_be_had_ends_the_boot() {
    let fake = machine();
    fake.no_reports.set(true);
    assert_eq!(outcome(&fake), "report-no-source");
    // VERSION, REPORT_DATA.
    for offset in [2, 0x50, 0x8f] {
        let fake = machine();
        fake.report_error.set(Some((0, offset)));
        assert_eq!(outcome(&fake), "report-mismatch", "{offset:#x}");
        assert!(fake.calls_of("move ").is_empty());
    }
    // REPORT_ID of the second report.
    let fake = machine();
    fake.add_file("/etc/ravelin.toml", "compat.snpguard = true");
    fake.report_error.set(Some((1, 0x140)));
    assert_eq!(outcome(&fake), "report-mismatch");
}

/// For every call k: if it fails, the boot ends, and after k nothing is
/// mounted, opened, made or handed over. The exceptions are named.
#[test]
fn a_failure_at_any_step_ends_the_boot() {
    // With everything that evidence can ask for.
    let machine = || {
        let fake = machine();
        fake.add("/sys/kernel/config", Node::Directory);
        fake.add_file("/etc/ravelin.toml", "compat.snpguard = true");
        fake.add_file("/sysroot/etc/report.json", "the image's");
        fake
    };
    let calls = {
        let fake = machine();
        boot(&fake);
        fake.calls.take()
    };
    // Without these the boot goes on: the log limit is a convenience, an
    // optional module is optional, and the flag of hidden disks is not there.
    let tolerated = |call: &str| {
        call.starts_with("write /proc/sys/kernel/printk_devkmsg")
            || call.starts_with("module /lib/modules/6.12.1/sha256.ko")
            || call.ends_with("/hidden")
    };
    let effects =
        ["mount ", "verity ", "replace ", "create ", "mkdir", "move ", "hand-over ", "responder "];
    let end = calls.iter().position(|call| call.starts_with("hand-over ")).unwrap();
    for (k, call) in calls[..end].iter().enumerate() {
        let fake = machine();
        fake.fail_at.set(Some(k));
        let code = outcome(&fake);
        if tolerated(call) {
            assert_eq!(code, "", "call {k}: {call}");
            continue;
        }
        assert_ne!(code, "", "call {k}: {call}");
        let after = &fake.calls.borrow()[k + 1..];
        let effect = after.iter().find(|call| effects.iter().any(|verb| call.starts_with(verb)));
        assert_eq!(effect, None, "call {k}: {call}");
    }
}

#[test]
fn corruption_is_named() {
    let fake = machine();
    let mount = {
        boot(&fake);
        let calls = fake.calls.take();
        calls.iter().position(|call| call.starts_with("mount /dev/mapper/root")).unwrap()
    };
    let fake = machine();
    fake.fail_at.set(Some(mount));
    fake.corrupted.set(true);
    assert_eq!(outcome(&fake), "verity-mismatch");
    let fake = machine();
    fake.fail_at.set(Some(mount));
    // The disk's own error, not one of PID 1's settings.
    assert_eq!(outcome(&fake), "disk-error");
}

#[test]
fn disks_that_come_late_are_found() {
    let fake = machine();
    fake.remove("/sys/class/block/vdb");
    fake.events.borrow_mut().push(vec![]);
    fake.events.borrow_mut().push(disk_nodes("vdc", "other", 8));
    fake.events.borrow_mut().push(disk_nodes("vdd", "hash", 24));
    assert_eq!(outcome(&fake), "");
    assert_eq!(fake.calls_of("wait").len(), 3);
    assert!(fake.calls_of("verity ")[0].contains(" /dev/vda /dev/vdd "));
}

#[test]
fn disks_of_a_hostile_host() {
    // Missing: the block says what is there instead, escaped.
    let fake = machine();
    fake.remove("/sys/class/block/vdb");
    disk(&fake, "vdc", "ev\x1bil", 24);
    assert_eq!(outcome(&fake), "disk-missing");
    let lines = fake.lines.borrow().join("\n");
    assert!(lines.contains("verity.hash_device=serial:hash within 30s"), "{lines}");
    assert!(lines.contains("serial ev\\u{1b}il"), "{lines}");
    // Twice.
    let fake = machine();
    disk(&fake, "vdc", "data", 128);
    assert_eq!(outcome(&fake), "disk-ambiguous");
    // Too small, each of the two.
    for (name, serial, sectors) in [("vda", "data", 127), ("vdb", "hash", 15)] {
        let fake = machine();
        disk(&fake, name, serial, sectors);
        assert_eq!(outcome(&fake), "disk-too-small");
        assert!(fake.calls_of("verity ").is_empty());
    }
    // An NVMe disk: its serial is padded, and its hidden path is listed too.
    let fake = machine();
    disk(&fake, "vda", "other", 128);
    disk(&fake, "nvme0n1", "", 128);
    fake.remove("/sys/class/block/nvme0n1/serial");
    fake.add_file("/sys/class/block/nvme0n1/device/serial", "data                \n");
    disk(&fake, "nvme0c0n1", "data", 128);
    fake.add_file("/sys/class/block/nvme0c0n1/hidden", "1\n");
    assert_eq!(outcome(&fake), "");
    // In sysfs already, but its node is not there yet.
    let fake = machine();
    fake.remove("/dev/vdb");
    fake.events.borrow_mut().push(disk_nodes("vdb", "hash", 24));
    assert_eq!(outcome(&fake), "");
    assert_eq!(fake.calls_of("wait").len(), 1);
    // A table of a disk that is none of ours is not read.
    assert!(fake.calls_of("read-device").is_empty());
    // No disk at all.
    let fake = machine();
    fake.remove("/sys/class/block");
    fake.add("/sys/class/block", Node::Directory);
    assert_eq!(outcome(&fake), "disk-missing");
}

#[test]
fn partitions_are_found_by_the_table_and_the_kernel_together() {
    let guid = "00112233-4455-6677-8899-aabbccddeeff";
    let table = protocol::gpt::Table {
        disk_guid: uuid::Uuid::from_u128(1),
        sectors: 4096,
        partitions: vec![protocol::gpt::Partition {
            number: 1,
            type_guid: protocol::gpt::TYPE_ROOT_X86_64,
            guid: guid.parse().unwrap(),
            first_lba: 2048,
            last_lba: 2175,
            attributes: 0,
            name: "ravelin-root".to_owned(),
        }],
    };
    let with_table = |start: &str| {
        let fake = machine();
        disk(&fake, "vda", "data", 4096);
        fake.add("/dev/vda", Node::BlockDevice(table.primary().unwrap()));
        fake.add_file("/sys/class/block/vda/vda1/start", start);
        fake.add_file("/sys/class/block/vda/vda1/size", "128");
        fake.add_file("/sys/class/block/vda1/partition", "1");
        fake.add("/dev/vda1", Node::BlockDevice(Vec::new()));
        fake
    };
    for selector in [format!("partuuid:{guid}"), "partlabel:ravelin-root".to_owned()] {
        let line = cmdline().replace("serial:data", &selector);
        let fake = with_table("2048");
        fake.add_file("/proc/cmdline", &line);
        assert_eq!(outcome(&fake), "");
        assert!(fake.calls_of("verity ")[0].contains(" /dev/vda1 /dev/vdb "));
        // The kernel has read another table than PID 1: not the partition.
        let fake = with_table("2049");
        fake.add_file("/proc/cmdline", &line);
        assert_eq!(outcome(&fake), "disk-missing");
    }
}

#[test]
fn the_real_init_is_checked_before_anything_depends_on_it() {
    let spoilt = [
        ("init-missing", None),
        ("init-not-executable", Some(Node::Directory)),
        ("init-not-executable", Some(Node::File(b"#no".to_vec()))),
        ("init-not-executable", Some(Node::File(b"text".to_vec()))),
        ("init-not-executable", Some(Node::File(b"\x7fELF".to_vec()))),
        // AArch64.
        ("init-not-executable", Some(Node::File(elf(183)))),
        ("", Some(Node::File(b"#!/bin/sh".to_vec()))),
    ];
    for (code, instead) in spoilt {
        let fake = machine();
        fake.remove("/sysroot/sbin/init");
        if let Some(node) = instead {
            fake.add("/sysroot/sbin/init", node);
        }
        assert_eq!(outcome(&fake), code);
        assert_eq!(fake.calls_of("mount ravelin").is_empty(), !code.is_empty());
    }
}

#[test]
fn modules_of_another_kernel_and_refused_modules() {
    let fake = machine();
    fake.add_file("/proc/sys/kernel/osrelease", "6.13.0\n");
    assert_eq!(outcome(&fake), "other-kernel");
    assert!(fake.calls_of("module ").is_empty());
    let fake = machine();
    fake.add_file("/lib/modules/ravelin.load", "# something else\n");
    assert_eq!(outcome(&fake), "load-order");
    let (eexist, enodev, ekeyrejected) = (17, 19, 129);
    for (module, errno, code) in [
        ("dm-verity.ko", eexist, ""),
        ("dm-verity.ko", enodev, "module"),
        ("dm-verity.ko", ekeyrejected, "module"),
        ("sha256.ko", enodev, ""),
    ] {
        let fake = machine();
        *fake.module_error.borrow_mut() = Some((module.to_owned(), errno));
        assert_eq!(outcome(&fake), code, "{module} {errno}");
    }
    // Parameters of the command line reach their module and no other.
    let fake = machine();
    let line = format!("{} dm_verity.require_signatures=1", cmdline());
    fake.add_file("/proc/cmdline", line);
    assert_eq!(outcome(&fake), "");
    let with = "module /lib/modules/6.12.1/dm-verity.ko require_signatures=1";
    assert_eq!(fake.calls_of("module ").iter().filter(|call| *call == with).count(), 1);
    assert_eq!(fake.calls_of("module ").iter().filter(|call| call.contains('=')).count(), 1);
    // A kernel with everything built in has no order at all.
    let fake = machine();
    fake.remove("/lib/modules");
    assert_eq!(outcome(&fake), "");
}

#[test]
fn keys_wait_for_the_random_generator() {
    let fake = machine();
    fake.no_entropy.set(true);
    assert_eq!(outcome(&fake), "entropy-deadline");
    assert!(fake.calls_of("create /sysroot/etc/ssh").is_empty());
}

#[test]
fn configuration_failures_have_codes_and_keep_the_configured_action() {
    // The kernel may have cut it: what is missing at the end?
    let too_long = "x".repeat(2047 - cmdline().len());
    let cases = [
        ("ravelin.on_failure=reboot ravelin.nonsense=1", "configuration-unknown-key"),
        ("ravelin.on_failure=reboot ravelin.machine_id=maybe", "configuration-invalid-value"),
        ("ravelin.root.mode=verity", "configuration-repeated-key"),
        ("ravelin.on_failure=halt ravelin.insecure=true", "configuration-conflict"),
        ("ravelin.nonsense", "configuration-command-line"),
        (too_long.as_str(), "configuration-command-line"),
    ];
    for (extra, code) in cases {
        let fake = machine();
        fake.add_file("/proc/cmdline", format!("{} {extra}", cmdline()));
        assert_eq!(outcome(&fake), code, "{extra}");
        assert!(fake.calls_of("module ").is_empty(), "{extra}");
    }
    let fake = machine();
    fake.add_file(
        "/proc/cmdline",
        format!("{} ravelin.on_failure=halt ravelin.insecure=true", cmdline()),
    );
    boot(&fake);
    assert_eq!(fake.calls_of("stop "), ["stop halt"]);
    let fake = machine();
    fake.add_file("/etc/ravelin.toml", vec![b'#'; 1 << 20]);
    assert_eq!(outcome(&fake), "configuration-too-large");
    let fake = machine();
    fake.add_file("/etc/ravelin.toml", b"\xff\x00garbage");
    assert_eq!(outcome(&fake), "configuration-syntax");
}

#[test]
fn writable_directories_are_real_directories_of_the_root() {
    // A link would lead into the initramfs.
    let fake = machine();
    fake.add("/sysroot/home", Node::Symlink);
    assert_eq!(outcome(&fake), "not-a-directory");
    // What was asked for has to be there.
    let fake = machine();
    fake.add_file("/etc/ravelin.toml", "writable.directories = ['/etc', '/opt=10%']");
    assert_eq!(outcome(&fake), "not-a-directory");
    // A size of its own is a tmpfs of its own.
    let fake = machine();
    fake.add_file("/etc/ravelin.toml", "writable.directories = ['/etc', '/var/lib=10%']");
    fake.add("/sysroot/var/lib", Node::Directory);
    assert_eq!(outcome(&fake), "");
    let own = "mount ravelin /run/ravelin-layers/tmpfs-var.lib tmpfs mode=0700,size=10%,noswap";
    assert!(fake.calls.borrow().iter().any(|call| call == own));
    // The whole root.
    let fake = machine();
    fake.add_file("/etc/ravelin.toml", "writable.mode = 'root'");
    assert_eq!(outcome(&fake), "");
    assert_eq!(fake.calls_of("mount ravelin /sysroot overlay").len(), 1);
}

#[test]
fn a_root_without_the_kernels_directories_is_refused_before_any_move() {
    for directory in ["dev", "proc", "sys", "run"] {
        let fake = machine();
        fake.remove(&format!("/sysroot/{directory}"));
        assert_eq!(outcome(&fake), "root-incomplete");
        assert!(fake.calls_of("move ").is_empty());
        assert!(fake.calls_of("replace ").is_empty());
    }
}

#[test]
fn plain_mode_says_what_it_is() {
    let fake = machine();
    fake.add_file(
        "/proc/cmdline",
        "ravelin.root.mode=plain ravelin.insecure=true ravelin.root.device=path:/dev/vda \
         ravelin.root.fstype=ext4",
    );
    assert_eq!(outcome(&fake), "");
    assert!(fake.calls_of("verity ").is_empty());
    assert!(fake.lines.borrow().iter().any(|line| line.contains("INSECURE")));
    assert_eq!(fake.calls_of("mount /dev/vda"), ["mount /dev/vda /sysroot ext4 ro,nodev,noload"]);
}
