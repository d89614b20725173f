//! The reverse map table, in which the processor keeps whose each page is. The
//! firmware's set-up reserves its memory, a sixteenth of a percent of all.

use super::processor::{SEE, WITHOUT};
use super::{Check, Facts};

const COVERAGE: &str = "in the set-up of the server's firmware, enable the RMP table's coverage \
                        of all memory (AMD CBS: SNP Memory (RMP Table) Coverage), and reboot";

/// What the kernel says when the table is not usable (`arch/x86/virt/svm/sev.c`).
const REFUSALS: [&str; 4] = [
    "Memory for the RMP table has not been reserved by BIOS",
    "Memory reserved for the RMP table does not cover full system RAM",
    "RMP configuration not valid",
    "RMP initialization failed",
];
/// And when it is.
const FOUND: [&str; 2] = ["RMP table physical", "Segmented RMP base table"];

pub(super) fn check(facts: &Facts) -> Check {
    const ID: &str = "rmp";
    if let Some(message) = REFUSALS.iter().find_map(|text| facts.log.find(text)) {
        return Check::missing(ID, format!("the kernel: {message}"), COVERAGE);
    }
    if let Some(message) = FOUND.iter().find_map(|text| facts.log.find(text)) {
        return Check::ok(ID, format!("the kernel: {message}"));
    }
    if super::kvm::snp_is_on(facts.view) {
        return Check::ok(ID, "in use: KVM has SNP on");
    }
    let Some(processor) = &facts.processor else {
        return Check::unknown(ID, "nothing tells of it", "read the kernel's log as root");
    };
    let tells = facts.release.as_ref().is_some_and(super::Release::shows_snp);
    if processor.has("sev_snp") && tells {
        return Check::ok(ID, "the kernel has found it: it lists the flag sev_snp");
    }
    if facts.capable() == Some(false) {
        return Check::missing(ID, WITHOUT, SEE);
    }
    if tells && processor.has("sev") && !processor.has("hypervisor") {
        let found = "the kernel has dropped the flag sev_snp: no memory is reserved for the table";
        return Check::missing(ID, found, COVERAGE);
    }
    let why = if facts.log.readable() {
        "the kernel's log does not tell (it may have been overwritten)"
    } else {
        "the kernel's log may not be read"
    };
    Check::unknown(ID, why, "run this as root soon after a boot, or see `kvm-sev-snp`")
}
