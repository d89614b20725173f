//! Hooks in a real kernel. The guest probe is the hook: its file's name says what it does.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use vm_tests::{Outcome, Tool, WorkDir};

use crate::fixtures::{self, SmallRoot, concatenate, make_initramfs};
use crate::hand_over::secrets;

/// An initramfs with these hooks, `STAGE=NAME`.
fn with_hooks(work: &WorkDir, hooks: &[&str]) -> PathBuf {
    let path = work.join("initramfs");
    let mut arguments = vec!["--filesystem".to_owned(), "erofs".to_owned()];
    for hook in hooks {
        let (stage, name) = hook.split_once('=').unwrap();
        let file = work.join(name);
        fs::copy(Tool::GuestProbe.path(), &file).unwrap();
        arguments.extend(["--hook".to_owned(), format!("{stage}={}", file.display())]);
    }
    make_initramfs(&path, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    path
}

fn run(work: &WorkDir, hooks: &[&str], words: &str) -> Outcome {
    SmallRoot::get().vm().initrd(with_hooks(work, hooks)).add_words(words).run()
}

/// What a hook said, by the first word of its lines.
fn said<'a>(outcome: &'a Outcome, hook: &str, what: &str) -> Vec<&'a str> {
    outcome.console.values(&format!("ravelin: {hook}: {what} "))
}

/// Each stage, in order; what a hook gets, and that it gets nothing else. A process that
/// a hook leaves behind, in a session of its own, is gone before the next one runs.
#[test]
fn hooks_run_in_order_with_nothing_of_pid_1() {
    let work = WorkDir::new();
    let hooks = [
        "pre-handover=30-tell",
        "post-root=20-tell",
        "pre-root=10-tell",
        "pre-root=05-daemon",
        "post-root=15-daemon",
    ];
    let outcome = run(&work, &hooks, "secret=word");
    outcome.booted();
    let steps: Vec<&str> =
        outcome.console.lines().filter(|line| line.starts_with("ravelin: [")).collect();
    let step = |text: &str| steps.iter().position(|line| line.ends_with(text)).unwrap();
    let starts = |text: &str| steps.iter().position(|line| line.contains(text)).unwrap();
    assert!(starts("] disks: ") < step("] pre-root: 05-daemon 10-tell"));
    assert!(step("] pre-root: 05-daemon 10-tell") < starts("] root: "));
    assert!(starts("] root: ") < step("] post-root: 15-daemon 20-tell"));
    assert!(step("] post-root: 15-daemon 20-tell") < starts("] writable: "));
    assert!(starts("] identity: ") < step("] pre-handover: 30-tell"));

    for (hook, stage) in
        [("10-tell", "pre-root"), ("20-tell", "post-root"), ("30-tell", "pre-handover")]
    {
        let program = format!("/etc/ravelin/hooks/{stage}.d/{hook}");
        assert_eq!(said(&outcome, hook, "argument"), [program.as_str(), stage]);
        let mut variables = vec![
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "RAVELIN_HASH_DEVICE=/dev/vdb",
            "RAVELIN_HOOKS=1",
            "RAVELIN_ROOT_DEVICE=/dev/vda",
            "RAVELIN_ROOT_FSTYPE=erofs",
            "RAVELIN_ROOT_MODE=verity",
            "RAVELIN_VOLUMES=",
        ];
        if stage != "pre-root" {
            variables.insert(3, "RAVELIN_ROOT=/sysroot");
        }
        assert_eq!(said(&outcome, hook, "variable"), variables);
        let open = said(&outcome, hook, "fd");
        assert_eq!(open.len(), 3, "{open:?}");
        assert_eq!(open[0], "0 /dev/null");
        assert!(open[1..].iter().all(|fd| fd.contains(" pipe:[")), "{open:?}");
        assert_eq!(said(&outcome, hook, "stdin"), ["Some(0)"]);
        assert_eq!(said(&outcome, hook, "cwd"), ["/"]);
        // PID 1 and the hook.
        let processes = said(&outcome, hook, "process");
        assert_eq!(processes.len(), 2, "{processes:?}");
        assert!(processes[1].ends_with("R parent 1"), "{processes:?}");
        assert_eq!(secrets(&said(&outcome, hook, "key")), [""; 0]);
    }
    let there =
        |hook, file: &str, answer| said(&outcome, hook, &format!("there {file}")) == [answer];
    assert!(there("10-tell", "/sysroot/sbin/init", "false"));
    assert!(there("20-tell", "/sysroot/sbin/init", "true"));
    assert!(there("20-tell", "/sysroot/etc/ssh/ssh_host_ed25519_key.pub", "true"));
    for daemon in ["05-daemon", "15-daemon"] {
        let left = said(&outcome, daemon, "left");
        assert!(left[0].ends_with("behind: daemon in a session of its own: true"), "{left:?}");
    }
    assert_eq!(outcome.console.probe("process"), "1 R parent 0", "no other process is left");
}

/// What it says is in the log, cut and without control characters.
#[test]
fn a_hook_that_fails_ends_the_boot() {
    let work = WorkDir::new();
    let outcome = run(&work, &["post-root=10-fail", "post-root=20-tell"], "");
    outcome.refused("post-root", "hook").said("10-fail ended with status 3");
    let line = format!("ravelin: 10-fail: \\u{{1b}}[2Jno {}", "x".repeat(180));
    outcome.said(&line).never_said(&"x".repeat(201)).never_said("20-tell");
}

#[test]
fn a_hook_that_does_not_end_is_killed() {
    let work = WorkDir::new();
    let outcome = run(&work, &["pre-root=10-hang"], "ravelin.deadline.hooks=2s");
    outcome.refused("pre-root", "hook-deadline").said("did not end within 2s");
    outcome.said("ravelin: 10-hang: waiting");
}

/// An archive that the builder would not make.
#[test]
fn a_hook_that_is_a_link_is_refused() {
    let root = SmallRoot::get();
    let work = WorkDir::new();
    let stage = work.join("etc/ravelin/hooks/pre-root.d");
    fs::create_dir_all(&stage).unwrap();
    std::os::unix::fs::symlink("/init", stage.join("10-link")).unwrap();
    let archive = "find etc | cpio --create --format=newc --quiet > hooks.cpio";
    fixtures::check(Command::new("sh").args(["-c", archive]).current_dir(work.path()));
    let initramfs = work.join("initramfs");
    concatenate(&[&root.initramfs, &work.join("hooks.cpio")], &initramfs);
    let outcome = root.vm().initrd(initramfs).run();
    outcome.refused("configuration", "hook-refused").said("10-link is a symbolic link");
}
