//! The processor: which one it is, and what of it the kernel uses.

use std::collections::BTreeSet;

use attestation::product::Product;

use super::{Check, Facts, View};

/// The first processor of /proc/cpuinfo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Processor {
    /// `AuthenticAMD`, for one.
    pub vendor: String,
    /// The family, with the extended one added.
    pub family: u8,
    /// The model, with the extended one.
    pub model: u8,
    /// The name.
    pub name: String,
    flags: BTreeSet<String>,
}

impl Processor {
    pub(super) fn of(view: &View) -> Option<Self> {
        Self::parse(&view.read("/proc/cpuinfo").ok()?)
    }

    /// Reads the first block of a /proc/cpuinfo of x86.
    #[must_use]
    pub fn parse(cpuinfo: &str) -> Option<Self> {
        let first = cpuinfo.split("\n\n").next()?;
        let value = |key: &str| {
            first.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                (name.trim() == key).then(|| value.trim())
            })
        };
        Some(Self {
            vendor: value("vendor_id")?.to_owned(),
            family: value("cpu family")?.parse().ok()?,
            model: value("model")?.parse().ok()?,
            name: value("model name").unwrap_or_default().to_owned(),
            flags: value("flags")?.split_whitespace().map(str::to_owned).collect(),
        })
    }

    /// Whether the kernel lists this flag: the processor has it, and nothing has
    /// switched it off.
    #[must_use]
    pub fn has(&self, flag: &str) -> bool {
        self.flags.contains(flag)
    }

    /// The product, if it is one with SEV-SNP.
    #[must_use]
    pub fn product(&self) -> Option<Product> {
        Product::from_cpuid(self.family, self.model).filter(|_| self.vendor == "AuthenticAMD")
    }
}

impl Facts<'_> {
    /// Whether the processor has SEV-SNP, whatever is switched off. Nothing if nobody
    /// tells.
    pub(super) fn capable(&self) -> Option<bool> {
        match (&self.encryption, &self.processor) {
            (Some(encryption), _) => Some(encryption.sev_snp),
            (None, Some(processor)) => Some(processor.product().is_some()),
            (None, None) => None,
        }
    }

    pub(super) fn flag(&self, flag: &str) -> bool {
        self.processor.as_ref().is_some_and(|processor| processor.has(flag))
    }
}

const NEEDED: &str = "an AMD EPYC 7003 (Milan), 8004 or 9004 (Genoa) or 9005 (Turin) is needed";
/// What there cannot be on another processor, and where it is told.
pub(super) const WITHOUT: &str = "none: the processor has no SEV-SNP";
pub(super) const SEE: &str = "see `sev-snp`";
const UNREADABLE: &str = "/proc/cpuinfo describes no x86 processor";
const MOUNT: &str = "run this on the server, with /proc mounted";

pub(super) fn model(facts: &Facts) -> Check {
    const ID: &str = "processor";
    let Some(processor) = &facts.processor else {
        return Check::unknown(ID, UNREADABLE, MOUNT);
    };
    let Processor { vendor, family, model, name, .. } = processor;
    let described = format!("{name}, {vendor} family {family:#x} model {model:#x}");
    if let Some(product) = processor.product() {
        return Check::ok(ID, format!("{product}: {described}"));
    }
    if vendor == "AuthenticAMD" && facts.encryption.is_some_and(|encryption| encryption.sev_snp) {
        let remedy = "its reports cannot be verified by this ravelin; a later one may know it";
        return Check::unknown(ID, format!("{described}: SEV-SNP, of an unknown product"), remedy);
    }
    Check::missing(ID, described, NEEDED)
}

pub(super) fn bare_metal(facts: &Facts) -> Check {
    const ID: &str = "bare-metal";
    if facts.processor.is_none() {
        return Check::unknown(ID, UNREADABLE, MOUNT);
    }
    if facts.flag("hypervisor") {
        let remedy = "SNP guests are started by a server itself; rent or use one without a \
                      hypervisor below it";
        return Check::missing(ID, "this is a virtual machine", remedy);
    }
    Check::ok(ID, "no hypervisor below")
}

/// Since Linux 6.9 the flag `sev_snp` says that the kernel can be a host: it takes the
/// flag away where the set-up has reserved no memory for the RMP table
/// (`arch/x86/kernel/cpu/amd.c`, `bsp_determine_snp`).
pub(super) fn features(facts: &Facts) -> Check {
    const ID: &str = "sev-snp";
    let Some(processor) = &facts.processor else {
        return Check::unknown(ID, UNREADABLE, MOUNT);
    };
    let flags = ["sme", "sev", "sev_es", "sev_snp"];
    let shown: Vec<&str> = flags.into_iter().filter(|flag| processor.has(flag)).collect();
    let shown = if shown.is_empty() { "none".to_owned() } else { shown.join(" ") };
    let found = match facts.encryption {
        Some(encryption) => format!(
            "the processor has{}{}{}; the kernel uses: {shown}",
            if encryption.sev { " SEV" } else { " no SEV" },
            if encryption.sev_es { ", SEV-ES" } else { ", no SEV-ES" },
            if encryption.sev_snp { ", SEV-SNP" } else { ", no SEV-SNP" },
        ),
        None => format!("the kernel uses: {shown}"),
    };
    if processor.has("sev_snp") {
        return Check::ok(ID, found);
    }
    if facts.capable() == Some(false) {
        let remedy = if processor.has("hypervisor") { "see `bare-metal`" } else { NEEDED };
        return Check::missing(ID, found, remedy);
    }
    if let Some(word) = facts.cmdline.setting("sev", &["nosnp"]) {
        let remedy = format!("take {word} off the kernel command line and reboot");
        return Check::missing(ID, found, remedy);
    }
    if !processor.has("sev") {
        let remedy = "in the set-up of the server's firmware, enable memory encryption (SMEE) and \
                      SEV-SNP support";
        return Check::missing(ID, found, remedy);
    }
    if facts.release.as_ref().is_some_and(|release| !release.shows_snp()) {
        return Check::unknown(ID, found, "this kernel does not tell; see `kernel`");
    }
    let remedy = "in the set-up of the server's firmware, set SEV-SNP support to Enabled (Auto \
                  leaves it off) and RMP table coverage to Enabled; see `rmp`";
    Check::missing(ID, found, remedy)
}

/// ASIDs are shared out between SEV and SEV-ES with SEV-SNP in the set-up; the
/// default of many servers leaves none for the latter.
pub(super) fn asids(facts: &Facts) -> Check {
    const ID: &str = "asids";
    const REMEDY: &str = "in the set-up of the server's firmware, set the SEV-ES ASID space limit \
                          by hand to one more than the SNP guests that you want";
    if facts.capable() == Some(false) {
        return Check::missing(ID, WITHOUT, SEE);
    }
    let guests = match facts.encryption.filter(|encryption| encryption.sev) {
        Some(encryption) => Some(encryption.snp_guests()),
        None => capacity(facts.view),
    };
    match guests {
        Some(0) => Check::missing(ID, "none for SEV-ES and SEV-SNP guests", REMEDY),
        Some(guests) => {
            Check::ok(ID, format!("{guests} for SEV-ES and SEV-SNP guests at the same time"))
        }
        None => Check::unknown(
            ID,
            "how many SNP guests there can be is not known",
            "load kvm_amd, and see `sev-snp`",
        ),
    }
}

/// The kernel's count for SEV-ES and SEV-SNP, of the misc controller (Linux,
/// `Documentation/admin-guide/cgroup-v2.rst`).
fn capacity(view: &View) -> Option<u32> {
    let text = view.read("/sys/fs/cgroup/misc.capacity").ok()?;
    text.lines().find_map(|line| line.strip_prefix("sev_es ")?.trim().parse().ok())
}
