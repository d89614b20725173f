//! `ravelin host check`.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;
use serde::Serialize;

use crate::command::guest::vm_file;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::server::{
    self, Answer, Outcome, PlatformStatus, Program, Report, View, Wanted, this_processor,
};
use crate::terminal::{Terminal, Text, printable};

/// The emulator of `ravelin launch`.
const QEMU: &str = "qemu-system-x86_64";

const EXAMPLES: &str = "\
Examples:
  ravelin host check                     # this server
  ravelin host check --vm vm.toml        # and whether it can start this VM
  sudo ravelin host check                # the kernel's log and the secure processor are root's
  ravelin host check --json | jq -r '.checks[] | select(.outcome != \"ok\") | .remedy'
  ravelin host check --root recording    # a copy of another server's files

What is looked at (the id of each check):
  processor      AMD EPYC 7003, 8004, 9004 or 9005
  bare-metal     no hypervisor below: only a server itself starts SNP guests
  sev-snp        the processor has SEV, SEV-ES and SEV-SNP, and the kernel uses them
  asids          the set-up of the server's firmware leaves ASIDs for SNP guests
  kernel         Linux 6.11 or later
  rmp            memory is reserved for the reverse map table
  iommu          present and not in passthrough mode
  sev-firmware   API version 1.51 or later, and what the VM's policy asks for
  kvm-sev, kvm-sev-es, kvm-sev-snp       parameters of the module kvm_amd
  dev-kvm, dev-sev                       this user may open /dev/kvm and /dev/sev
  qemu           9.1 or later, with the object sev-snp-guest
  ovmf           the VM's firmware measures kernel, initramfs and command line
  smt            on or off, and whether the VM's policy allows it

A recording is a directory with copies of what is read: proc/cpuinfo, proc/cmdline,
proc/sys/kernel/osrelease, sys/module/kvm_amd/parameters, sys/class/iommu, the files `type` of
sys/kernel/iommu_groups, sys/fs/cgroup/misc.capacity, sys/devices/system/cpu/smt/active, empty
files for dev/kvm and dev/sev, and the output of dmesg as var/log/dmesg.

JSON (\"kind\": \"host-check\"): outcome (\"ok\", \"missing\" or \"unknown\": the worst of all), checks (a
list of id, outcome, found, remedy or null).";

/// Tell whether this server can start SEV-SNP guests, and what to do if not
///
/// Each line is ok, MISSING or unknown, in the order in which to repair them. Nothing is changed.
/// Most is seen without root; what is not is unknown, and says how to see it. Exit code 1:
/// something is missing.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Check {
    /// The VM that is to be started: its firmware and its policy are checked too
    #[arg(long, value_name = "FILE")]
    vm: Option<PathBuf>,
    /// The guests' firmware, instead of the VM's or of the usual places
    #[arg(long, value_name = "FILE")]
    firmware: Option<PathBuf>,
    /// The QEMU program, by name or path [default: qemu-system-x86_64]
    #[arg(long, value_name = "PROGRAM")]
    qemu: Option<OsString>,
    /// A recording of a server's files, instead of this machine
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Fail for what is unknown, too
    #[arg(long)]
    strict: bool,
}

#[derive(Serialize)]
struct Printed<'a> {
    outcome: Outcome,
    checks: &'a [server::Check],
}

pub(crate) fn run(arguments: &Check, terminal: &Terminal) -> Result {
    let vm = arguments.vm.as_deref().map(vm_file).transpose()?;
    let of_vm = vm.as_ref().and_then(|vm| Some(vm.resolve(vm.vm().firmware.as_deref()?)));
    let firmware = arguments.firmware.clone().or(of_vm);
    let policy = vm.as_ref().map(|vm| vm.vm().sev.policy);
    let wanted = Wanted { firmware: firmware.as_deref(), policy };

    let program = arguments.qemu.clone().unwrap_or_else(|| QEMU.into());
    let qemu = |arguments: &[&str]| ask(&program, arguments);
    let report = match &arguments.root {
        Some(root) => {
            if !root.is_dir() {
                let failure = Failure::new(format!("{}: no directory", root.display()));
                return Err(failure.help("--root takes a recording; leave it out for this machine"));
            }
            let qemu = arguments.qemu.is_some().then_some(&qemu as Program);
            let view = View { root, cpuid: None, platform: None, access: None, qemu };
            server::check(&view, wanted)
        }
        None => {
            let cpuid = this_processor();
            let view = View {
                root: Path::new("/"),
                cpuid: cpuid.as_ref().map(|cpuid| cpuid as _),
                platform: Some(&PlatformStatus::of_this_machine),
                access: Some(&access),
                qemu: Some(&qemu),
            };
            server::check(&view, wanted)
        }
    };
    let outcome = report.outcome();
    let printed = Printed { outcome, checks: &report.checks };
    terminal.result("host-check", &printed, &describe(&report))?;
    let failed = match outcome {
        Outcome::Ok => false,
        Outcome::Unknown => arguments.strict,
        Outcome::Missing => true,
    };
    Ok(if failed { Exit::CheckFailed } else { Exit::Success })
}

fn access(path: &Path) -> io::Result<()> {
    OpenOptions::new().read(true).write(true).open(path).map(drop)
}

fn ask(program: &OsString, arguments: &[&str]) -> io::Result<Answer> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(Answer { success: output.status.success(), stdout })
}

fn describe(report: &Report) -> Text {
    let mut text = Text::new();
    for check in &report.checks {
        let outcome = match check.outcome {
            Outcome::Ok => "ok",
            Outcome::Missing => "MISSING",
            Outcome::Unknown => "unknown",
        };
        text.line(format!("{outcome:<8} {:<13} {}", check.id, printable(&check.found)));
        if let Some(remedy) = &check.remedy {
            text.line(format!("{:22} -> {}", "", printable(remedy)));
        }
    }
    let count = |outcome| report.checks.iter().filter(|check| check.outcome == outcome).count();
    let (missing, unknown) = (count(Outcome::Missing), count(Outcome::Unknown));
    text.line("");
    text.line(match report.outcome() {
        Outcome::Ok => "This server can start SEV-SNP guests.".to_owned(),
        Outcome::Unknown => {
            format!("Nothing that was seen is missing; not seen: {unknown} (--strict fails then).")
        }
        Outcome::Missing => {
            format!(
                "This server cannot start SEV-SNP guests: {missing} missing, {unknown} unknown."
            )
        }
    });
    text
}
