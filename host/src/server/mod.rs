//! What a server needs to start SEV-SNP guests, and what it lacks.
//!
//! [`check()`] looks at the server through a [`View`]: a directory in which /proc,
//! /sys and /dev are looked for, and what cannot be a file (CPUID, the secure
//! processor, QEMU) as functions. A recorded tree is thus judged like a machine,
//! and what a recording has not is said to be unknown, never guessed.
//!
//! Nothing is written or switched on. What the kernel says counts more than what
//! the processor could do: the kernel has tried, and its log has the reason. A
//! message that is not in the log means nothing, since logs are cut.
//!
//! The answers are the server's own. They help whoever sets it up; to an owner
//! they prove nothing, because the server is what an attestation report is for.

mod check;
mod cmdline;
mod cpuid;
mod devices;
mod firmware;
mod iommu;
mod kernel;
mod kvm;
mod log;
mod ovmf;
mod platform;
mod processor;
mod qemu;
mod rmp;
mod smt;
mod tcb;
mod view;

use std::path::Path;

use crate::vm::Policy;

pub use check::{Check, Outcome, Report};
pub use cpuid::{MemoryEncryption, Registers, this_processor};
pub use platform::{PlatformError, PlatformStatus};
pub use processor::Processor;
pub use tcb::policy;
pub use view::{Access, Answer, Program, View};

use cmdline::Cmdline;
use kernel::Release;
use log::Log;

/// What the VM that is to be started asks of the server.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// Its firmware; absent: the usual places are looked at.
    pub firmware: Option<&'a Path>,
    /// Its guest policy.
    pub policy: Option<Policy>,
}

/// What several checks look at, read once.
struct Facts<'a> {
    view: &'a View<'a>,
    wanted: Wanted<'a>,
    processor: Option<Processor>,
    encryption: Option<MemoryEncryption>,
    release: Option<Release>,
    cmdline: Cmdline,
    log: Log,
}

/// Checks the server, one line each in the order in which to repair it.
#[must_use]
pub fn check(view: &View, wanted: Wanted) -> Report {
    let facts = Facts {
        view,
        wanted,
        processor: Processor::of(view),
        encryption: view.cpuid.and_then(MemoryEncryption::of),
        release: Release::of(view),
        cmdline: Cmdline::of(view),
        log: Log::of(view),
    };
    let mut checks = vec![
        processor::model(&facts),
        processor::bare_metal(&facts),
        processor::features(&facts),
        processor::asids(&facts),
        kernel::check(&facts),
        rmp::check(&facts),
        iommu::check(&facts),
        firmware::check(&facts),
    ];
    checks.extend(kvm::checks(&facts));
    checks.extend(devices::checks(&facts));
    checks.push(qemu::check(&facts));
    checks.push(ovmf::check(&facts));
    checks.push(smt::check(&facts));
    Report { checks }
}

#[cfg(test)]
mod tests;
