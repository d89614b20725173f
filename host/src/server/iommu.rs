//! The IOMMU. SNP needs it to translate: in passthrough mode devices would go past
//! the reverse map table (Linux, `drivers/iommu/amd/init.c`, `iommu_snp_enable`).

use super::{Check, Facts, View};

const ID: &str = "iommu";
const GROUPS: &str = "/sys/kernel/iommu_groups";

pub(super) fn check(facts: &Facts) -> Check {
    if let Some(word) = offending(facts) {
        let found = format!("the kernel command line has {word}");
        return Check::missing(ID, found, format!("take {word} off it and reboot"));
    }
    let set_up = "in the set-up of the server's firmware, enable the IOMMU, and set SEV-SNP \
                  support to Enabled (Auto leaves the IOMMU's part of it off)";
    let refusals = [
        (
            "SNP: IOMMU disabled or configured in passthrough mode",
            "put iommu=nopt on the kernel command line (this kernel's default is passthrough), \
             enable the IOMMU in the set-up, and reboot",
        ),
        (
            "SNP: IOMMU is configured with V2 page table mode",
            "put amd_iommu=pgtbl_v1 on the kernel command line and reboot",
        ),
        ("SNP: IOMMU SNP feature not enabled", set_up),
    ];
    for (text, remedy) in refusals {
        if let Some(message) = facts.log.find(text) {
            return Check::missing(ID, format!("the kernel: {message}"), remedy);
        }
    }
    let units = match facts.view.names("/sys/class/iommu") {
        Ok(names) => names.iter().filter(|name| name.starts_with("ivhd")).count(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
        Err(error) => {
            let found = format!("/sys/class/iommu cannot be read: {error}");
            return Check::unknown(ID, found, "mount /sys");
        }
    };
    if units == 0 {
        return Check::missing(ID, "no AMD IOMMU is in use", set_up);
    }
    let domains = Domains::of(facts.view);
    if domains.translated == 0 && domains.identity > 0 {
        let found = format!("{units} units; all {} groups pass through", domains.identity);
        let remedy = "put iommu=nopt on the kernel command line (this kernel's default is \
                      passthrough) and reboot";
        return Check::missing(ID, found, remedy);
    }
    Check::ok(ID, format!("{units} units; {} groups are translated", domains.translated))
}

/// The word of the command line that switches it off or to passthrough. As in the
/// kernel, a later word takes back an earlier passthrough.
fn offending<'a>(facts: &'a Facts) -> Option<&'a str> {
    let (mut off, mut passthrough) = (None, None);
    for word in facts.cmdline.words() {
        let Some((key, values)) = word.split_once('=') else { continue };
        for value in values.split(',') {
            match (key, value) {
                ("iommu" | "amd_iommu", "off") | ("amd_iommu", "pgtbl_v2") => off = Some(word),
                ("iommu", "pt") | ("iommu.passthrough", "1" | "y" | "Y" | "on") => {
                    passthrough = Some(word);
                }
                ("iommu", "nopt") | ("iommu.passthrough", "0" | "n" | "N" | "off") => {
                    passthrough = None;
                }
                _ => {}
            }
        }
    }
    off.or(passthrough)
}

/// The groups of devices, by the type of their default domain (Linux,
/// `Documentation/ABI/testing/sysfs-kernel-iommu_groups`).
#[derive(Default)]
struct Domains {
    translated: usize,
    identity: usize,
}

impl Domains {
    fn of(view: &View) -> Self {
        let mut domains = Self::default();
        for group in view.names(GROUPS).unwrap_or_default() {
            match view.read(&format!("{GROUPS}/{group}/type")).as_deref() {
                Ok("identity") => domains.identity += 1,
                Ok("DMA" | "DMA-FQ") => domains.translated += 1,
                Ok(_) | Err(_) => {}
            }
        }
        domains
    }
}
