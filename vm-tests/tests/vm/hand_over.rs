//! What a booted system starts with, held against `docs/initramfs.md`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use vm_tests::{Environment, Outcome, Stop, Tool, WorkDir};

use crate::fixtures::{self, SmallRoot, concatenate, make_initramfs};

const PAGE: &str = include_str!("../../../docs/initramfs.md");

/// The rows of the page's table that begins with this header.
fn table(header: &str) -> Vec<Vec<String>> {
    let mut lines = PAGE.lines().skip_while(|line| !line.starts_with(header)).skip(2);
    let rows = std::iter::from_fn(|| lines.next().filter(|line| line.starts_with('|')));
    let cells = |row: &str| {
        row.trim_matches('|').split(" | ").map(|cell| cell.trim().replace('`', "")).collect()
    };
    let rows: Vec<Vec<String>> = rows.map(cells).collect();
    assert!(!rows.is_empty(), "{header}");
    rows
}

/// The lines of /proc/keys that are keys of PID 1's kind; the kernel has some of its own.
pub(crate) fn secrets<'a>(keys: &[&'a str]) -> Vec<&'a str> {
    let ours = |line: &&&str| line.contains(" logon ") || line.contains("ravelin");
    keys.iter().filter(ours).copied().collect()
}

/// The rows of the settings that this kernel has.
fn settings() -> Vec<Vec<String>> {
    let has = |setting: &str| {
        let option = match setting {
            "kernel.kexec_load_disabled" => "KEXEC_CORE",
            "kernel.unprivileged_bpf_disabled" => "BPF_SYSCALL",
            "net.core.bpf_jit_harden" => "BPF_JIT",
            "kernel.sysrq" => "MAGIC_SYSRQ",
            "kernel.modules_disabled" => "MODULES",
            _ => return true,
        };
        Environment::get().built_with(option)
    };
    table("| class |").into_iter().filter(|row| has(&row[1])).collect()
}

/// The lockdown of a kernel that is asked for one: some are built with the highest.
fn lockdown(asked: &'static str) -> &'static str {
    let built = Environment::get().built_with("LOCK_DOWN_KERNEL_FORCE_CONFIDENTIALITY");
    if built { "confidentiality" } else { asked }
}

fn sysctl(outcome: &Outcome, name: &str) -> String {
    outcome.console.probe(&format!("sysctl.{name}")).to_owned()
}

#[test]
fn it_is_as_the_page_says() {
    let outcome = SmallRoot::get().vm().run();
    outcome.booted();
    for row in table("| mount |") {
        let [target, fstype, options] = row.as_slice() else { panic!("{row:?}") };
        let mounts = outcome.console.probes("mount");
        let mount = mounts.iter().find(|line| line.split(' ').nth(4) == Some(target)).unwrap();
        assert!(mount.contains(&format!(" - {fstype} ")), "{mount}");
        let has: Vec<&str> = mount.split(' ').nth(5).unwrap().split(',').collect();
        for option in ["nosuid", "nodev", "noexec"] {
            let wanted = options.split(',').any(|other| other == option);
            assert_eq!(has.contains(&option), wanted, "{option}: {mount}");
        }
    }
    // Of the classes that are not given up by default, nothing is.
    for row in settings() {
        let is = sysctl(&outcome, &row[1]);
        if row[0] == "modules" {
            assert_eq!(is, "0");
        } else {
            assert_eq!(is, row[2], "{}", row[1]);
        }
    }
    outcome.said("harden: gave up pointers kexec bpf sysrq; lockdown ");
    let state = lockdown("none");
    let states = "none integrity confidentiality".replace(state, &format!("[{state}]"));
    assert_eq!(outcome.console.probe("lockdown"), states);
    assert_eq!(secrets(&outcome.console.probes("key")), [""; 0]);
}

/// Without it the kernel's own settings stand, and they are others: the table does
/// something.
#[test]
fn each_class_is_taken_by_its_name_only() {
    let outcome = SmallRoot::get().vm().add_words("ravelin.harden=none lockdown=integrity").run();
    let lockdown = lockdown("integrity");
    outcome.booted().said(&format!("harden: gave up nothing; lockdown {lockdown}"));
    // Debian's kernel keeps its log for root by itself.
    for row in settings().iter().filter(|row| row[1] != "kernel.dmesg_restrict") {
        assert_ne!(sysctl(&outcome, &row[1]), row[2], "{}", row[1]);
    }
}

/// All of it. What the probe says reaches the console by the kernel's log only.
#[test]
fn a_production_machine_hears_nothing_from_the_host() {
    let root = SmallRoot::get();
    let all = "ravelin.harden=pointers,kexec,bpf,sysrq,modules,console";
    let outcome = root.vm().add_words(all).run();
    outcome.booted();
    for row in settings() {
        assert_eq!(sysctl(&outcome, &row[1]), row[2], "{}", row[1]);
    }
    assert_eq!(outcome.console.probes("fd"), ["0 /dev/null", "1 /dev/null", "2 /dev/null"]);
    for node in ["console", "ttyS0"] {
        assert_eq!(outcome.console.probe(&format!("node./dev/{node}")), "1:3", "{node}");
    }
    // And without it they are what they are called.
    let outcome = root.vm().run();
    assert_eq!(outcome.console.probe("node./dev/ttyS0"), "4:64");
}

/// The base archive with parts that no tool of ours has made.
#[test]
fn another_project_brings_its_own_parts() {
    let root = SmallRoot::get();
    let work = WorkDir::new();
    let base = work.join("base.cpio");
    make_initramfs(&base, &["--part", "base", "--compress", "none"]);
    let modules = work.join("modules.cpio.zst");
    make_initramfs(&modules, &["--part", "modules", "--filesystem", "erofs"]);
    let tree = work.join("own/etc/ravelin/hooks/pre-handover.d");
    fs::create_dir_all(&tree).unwrap();
    fs::write(work.join("own/etc/ravelin.toml"), root.settings.to_toml()).unwrap();
    fs::copy(Tool::GuestProbe.path(), tree.join("50-tell")).unwrap();
    fs::set_permissions(tree.join("50-tell"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(work.join("own/etc/data-of-its-own"), "anything").unwrap();
    let archive = "cd own && find . | cpio --create --format=newc --quiet > ../own.cpio";
    fixtures::check(Command::new("sh").args(["-c", archive]).current_dir(work.path()));
    let initramfs = work.join("initramfs");
    concatenate(&[&base, &modules, &work.join("own.cpio")], &initramfs);
    let outcome = root.vm().initrd(initramfs).cmdline(fixtures::BASE).run();
    outcome.booted().said("ravelin: 50-tell: argument pre-handover");
    // All variables of the page but those that this boot has not.
    let variables: Vec<String> =
        table("| variable |").into_iter().map(|row| row[0].clone()).collect();
    let said = outcome.console.values("ravelin: 50-tell: variable ");
    let said: Vec<&str> = said.iter().map(|line| line.split('=').next().unwrap()).collect();
    assert_eq!(said.len(), variables.len(), "{said:?}");
    assert!(variables.iter().all(|variable| said.contains(&variable.as_str())), "{said:?}");
}

/// The kernel's answer to a real init that ends at once: a panic, and with `panic=-1` a
/// reset. Nothing else takes over.
#[test]
fn a_real_init_that_ends_at_once_stops_the_machine() {
    let outcome = SmallRoot::get().vm().add_words("probe.do=exit").run();
    outcome.stopped(Stop::Reset).said("Attempted to kill init").never_said("PROBE end=");
}
