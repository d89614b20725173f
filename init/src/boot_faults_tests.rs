//! Faults that the other boot tests have not: every error that memory, a full tmpfs and
//! signals make of a call, and disks that come in a bad moment.

use std::path::{Path, PathBuf};

use super::tests::{machine, outcome};
use super::*;
use crate::fake::{Fake, Node};

const EINTR: i32 = 4;
const ENOMEM: i32 = 12;
const ENOSPC: i32 = 28;

/// What a boot may go on without.
fn tolerated(call: &str) -> bool {
    call.starts_with("write /proc/sys/kernel/printk_devkmsg")
        || call.starts_with("module /lib/modules/6.12.1/sha256.ko")
        || call.ends_with("/hidden")
}

/// A machine with everything that a boot can touch.
fn full_machine() -> Fake {
    let fake = machine();
    fake.add("/sys/kernel/config", Node::Directory);
    fake.add("/sys/kernel/security", Node::Directory);
    fake.add_file("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
    fake.add_file("/sys/class/tty/console/active", "tty0 ttyS0\n");
    for node in ["console", "ttyS0"] {
        fake.add(format!("/dev/{node}"), Node::File(Vec::new()));
    }
    for setting in ["kernel/kptr_restrict", "kernel/kexec_load_disabled", "kernel/sysrq"] {
        fake.add_file(&format!("/proc/sys/{setting}"), "1\n");
    }
    fake.add_file("/proc/sys/kernel/modules_disabled", "0\n");
    fake.add_file(
        "/etc/ravelin.toml",
        "harden = ['pointers', 'kexec', 'sysrq', 'modules', 'console']",
    );
    fake
}

#[test]
fn every_error_of_every_call_ends_the_boot() {
    let calls = {
        let fake = full_machine();
        assert_eq!(outcome(&fake), "", "{:?}", fake.lines.borrow());
        fake.calls.take()
    };
    let end = calls.iter().position(|call| call.starts_with("hand-over ")).unwrap();
    for errno in [EINTR, ENOMEM, ENOSPC] {
        for (k, call) in calls[..end].iter().enumerate() {
            let fake = full_machine();
            fake.fail_at.set(Some(k));
            fake.fail_with.set(Some(errno));
            let code = outcome(&fake);
            assert_eq!(code.is_empty(), tolerated(call), "{errno} at call {k}: {call}: {code}");
            // The error is not taken for a disk's.
            assert!(!code.starts_with("disk-error"), "{errno} at call {k}: {call}");
        }
    }
}

/// A real init that the kernel does not start, and one that ends at once (which the
/// kernel answers with a panic): PID 1 is no more, or stops the machine.
#[test]
fn a_hand_over_that_fails_stops_the_machine() {
    let fake = full_machine();
    // The machine's calls, up to the failing one.
    let end = {
        let fake = full_machine();
        boot(&fake);
        let calls = fake.calls.take();
        calls.iter().position(|call| call.starts_with("hand-over ")).unwrap()
    };
    fake.fail_at.set(Some(end));
    fake.fail_with.set(Some(ENOMEM));
    boot(&fake);
    let calls = fake.calls.borrow();
    assert_eq!(calls[end + 1..], ["stop poweroff"]);
    let lines = fake.lines.borrow();
    assert!(lines.iter().any(|line| line == "ravelin: FAILED step=hand-over code=hand-over"));
}

/// The disk that was waited for, and a second one with its serial in the same moment.
#[test]
fn a_disk_that_comes_late_and_twice_is_ambiguous() {
    let nodes = |name: &str, sectors: u64| -> Vec<(PathBuf, Node)> {
        let sys = Path::new("/sys/class/block").join(name);
        vec![
            (sys.join("size"), Node::File(format!("{sectors}\n").into_bytes())),
            (sys.join("serial"), Node::File(b"hash\n".to_vec())),
            (Path::new("/dev").join(name), Node::BlockDevice(vec![0; 512 * 34])),
        ]
    };
    let fake = machine();
    fake.remove("/sys/class/block/vdb");
    fake.events.borrow_mut().push([nodes("vdc", 24), nodes("vdd", 24)].concat());
    assert_eq!(outcome(&fake), "disk-ambiguous");
    assert!(fake.calls_of("verity ").is_empty());
    // The second one after PID 1 has chosen: nobody looks any more.
    let fake = machine();
    fake.remove("/sys/class/block/vdb");
    fake.events.borrow_mut().push(nodes("vdc", 24));
    fake.events.borrow_mut().push(nodes("vdd", 24));
    assert_eq!(outcome(&fake), "");
    assert!(fake.calls_of("verity ")[0].contains(" /dev/vda /dev/vdc "));
}

#[test]
fn what_is_given_up_is_what_the_configuration_says() {
    let written = |fake: &Fake| -> Vec<String> {
        let all = fake.calls_of("write /proc/sys/").into_iter();
        all.filter(|call| !call.contains("printk_devkmsg")).collect()
    };
    let fake = full_machine();
    assert_eq!(outcome(&fake), "");
    assert_eq!(
        written(&fake),
        [
            // What this kernel does not have is passed over.
            "write /proc/sys/kernel/kptr_restrict 2",
            "write /proc/sys/kernel/kexec_load_disabled 1",
            "write /proc/sys/kernel/sysrq 0",
            "write /proc/sys/kernel/modules_disabled 1",
        ]
    );
    let calls = fake.calls.borrow();
    let first = |start: &str| calls.iter().position(|call| call.starts_with(start)).unwrap();
    let last = |start: &str| calls.iter().rposition(|call| call.starts_with(start)).unwrap();
    assert!(last("module ") < first("write /proc/sys/kernel/kptr_restrict"));
    assert!(first("write /proc/sys/kernel/modules_disabled") < first("list /sys/class/block"));
    assert_eq!(
        fake.calls_of("bind "),
        ["bind /dev/null /dev/ttyS0", "bind /dev/null /dev/console"]
    );
    assert!(first("replace ") < first("bind ") && last("bind ") < first("close-standard-streams"));
    assert!(first("close-standard-streams") < first("move "));
    let said = "harden: gave up pointers kexec sysrq modules console; lockdown integrity";
    assert!(fake.lines.borrow().iter().any(|line| line.ends_with(said)));
    drop(calls);

    let fake = full_machine();
    fake.add_file("/etc/ravelin.toml", "harden = 'none'");
    assert_eq!(outcome(&fake), "");
    assert!(written(&fake).is_empty() && fake.calls_of("bind ").is_empty());
    // By default what an ordinary system keeps is kept.
    let fake = full_machine();
    fake.add_file("/etc/ravelin.toml", "");
    assert_eq!(outcome(&fake), "");
    assert_eq!(written(&fake).len(), 3);
    assert!(fake.calls_of("bind ").is_empty());
}
