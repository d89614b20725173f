//! Hooks on the recording machine.

use std::io;
use std::path::Path;

use super::tests::{elf, machine as verity_machine, outcome};
use crate::fake::{Fake, Node};

/// One of each stage, and two of one.
const HOOKS: [&str; 4] =
    ["pre-root.d/10-first", "pre-root.d/9-second", "post-root.d/check", "pre-handover.d/last.sh"];

fn path(hook: &str) -> String {
    format!("/etc/ravelin/hooks/{hook}")
}

fn machine() -> Fake {
    let fake = verity_machine();
    fake.add("/sys/kernel/config", Node::Directory);
    for hook in HOOKS {
        fake.add_file(
            &path(hook),
            if hook.ends_with(".sh") { b"#!/bin/sh\n".to_vec() } else { elf(62) },
        );
    }
    fake
}

#[test]
fn hooks_run_in_order_and_know_what_they_may() {
    let fake = machine();
    fake.add_file("/proc/cmdline", {
        let cmdline = fake.file("/proc/cmdline").unwrap();
        format!("secret=1 {}", cmdline.trim())
    });
    assert_eq!(outcome(&fake), "");
    let known = "RAVELIN_HOOKS=1 RAVELIN_ROOT_MODE=verity RAVELIN_ROOT_FSTYPE=ext4 \
                 RAVELIN_ROOT_DEVICE=/dev/vda RAVELIN_VOLUMES= RAVELIN_HASH_DEVICE=/dev/vdb";
    let ran =
        |hook: &str, stage: &str, more: &str| format!("hook {} {stage} {known}{more}", path(hook));
    assert_eq!(
        fake.calls_of("hook "),
        [
            ran("pre-root.d/10-first", "pre-root", ""),
            ran("pre-root.d/9-second", "pre-root", ""),
            ran("post-root.d/check", "post-root", " RAVELIN_ROOT=/sysroot"),
            ran("pre-handover.d/last.sh", "pre-handover", " RAVELIN_ROOT=/sysroot"),
        ]
    );
    // Where the boot is then.
    let calls = fake.calls.borrow();
    let at = |start: &str| calls.iter().position(|call| call.starts_with(start)).unwrap();
    let hook = |hook: &str| at(&format!("hook {}", path(hook)));
    assert!(at("module ") < hook(HOOKS[0]) && hook(HOOKS[1]) < at("verity root"));
    assert!(at("program /sbin/init") < hook(HOOKS[2]));
    assert!(hook(HOOKS[2]) < at("mount ravelin /sysroot/etc overlay"));
    assert!(at("responder ") < hook(HOOKS[3]) && hook(HOOKS[3]) < at("replace "));
    // All were looked at before anything was done.
    assert!(at("program /etc/ravelin/hooks/pre-handover.d/last.sh") < at("module "));
    let lines = fake.lines.borrow();
    assert!(lines.iter().any(|line| line.ends_with("] pre-root: 10-first 9-second")), "{lines:?}");
}

#[test]
fn a_hook_that_does_not_end_well_ends_the_boot() {
    for hook in HOOKS {
        for (status, error, code) in [
            (1, None, "hook"),
            (127, None, "hook"),
            (0, Some(io::ErrorKind::Other), "hook"),
            (0, Some(io::ErrorKind::TimedOut), "hook-deadline"),
        ] {
            let fake = verity_machine();
            fake.add_file(&path(hook), elf(62));
            fake.hooks.status.set(status);
            fake.hooks.error.set(error);
            assert_eq!(outcome(&fake), code, "{hook}");
            let calls = fake.calls.borrow();
            let at = calls.iter().position(|call| call.starts_with("hook ")).unwrap();
            let after: Vec<&String> =
                calls[at + 1..].iter().filter(|call| !call.starts_with("stop ")).collect();
            assert!(after.is_empty(), "{hook}: {after:?}");
        }
    }
}

/// Each is refused by what it is, before any hook runs or anything is opened.
#[test]
fn what_is_no_hook_is_refused_at_once() {
    let script = || Node::File(b"#!/bin/sh\n".to_vec());
    let cases: [(&str, Node, &str); 14] = [
        ("", script(), "is not a directory"),
        ("pre-boot.d", Node::Directory, "is the directory of no stage"),
        ("pre-root", Node::Directory, "is the directory of no stage"),
        ("README", script(), "is the directory of no stage"),
        ("post-root.d", script(), "is not a directory"),
        ("post-root.d", Node::Symlink, "is not a directory"),
        ("post-root.d/link", Node::Symlink, "is a symbolic link"),
        ("post-root.d/below", Node::Directory, "is not a regular file"),
        ("post-root.d/disk", Node::BlockDevice(vec![]), "is not a regular file"),
        ("post-root.d/data", Node::File(b"#no".to_vec()), "is not executable"),
        (
            "post-root.d/text",
            Node::File(b"text".to_vec()),
            "is neither an ELF program nor a script",
        ),
        ("post-root.d/arm", Node::File(elf(183)), "is for another architecture"),
        ("post-root.d/.hidden", script(), "has a name that no hook may have"),
        ("post-root.d/a\u{fffd}b", script(), "has a name that no hook may have"),
    ];
    for (name, node, why) in cases {
        let fake = machine();
        let at = Path::new("/etc/ravelin/hooks").join(name);
        let at = at.to_str().unwrap().trim_end_matches('/').to_owned();
        fake.remove(&at);
        fake.add(&at, node);
        assert_eq!(outcome(&fake), "hook-refused", "{name}");
        let lines = fake.lines.borrow();
        assert!(lines.iter().any(|line| line.ends_with(why)), "{name}: {lines:?}");
        assert!(lines.iter().any(|line| line.contains("step=configuration")), "{name}");
        assert!(fake.calls_of("hook ").is_empty() && fake.calls_of("module ").is_empty());
    }
}

/// A boot with hooks; the other tests of this kind have none.
#[test]
fn a_failure_at_any_call_ends_the_boot() {
    let calls = {
        let fake = machine();
        assert_eq!(outcome(&fake), "");
        fake.calls.take()
    };
    let end = calls.iter().position(|call| call.starts_with("hand-over ")).unwrap();
    let of_hooks = |call: &str| call.starts_with("hook ") || call.contains("/etc/ravelin/hooks");
    for (k, call) in calls[..end].iter().enumerate().filter(|(_, call)| of_hooks(call)) {
        let fake = machine();
        fake.fail_at.set(Some(k));
        assert_ne!(outcome(&fake), "", "call {k}: {call}");
        let calls = fake.calls.borrow();
        assert!(calls[k + 1].starts_with("stop "), "call {k}: {call}: {}", calls[k + 1]);
    }
}
