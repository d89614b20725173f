//! The SEV firmware: what runs on the secure processor.

use std::io::ErrorKind;

use super::processor::{SEE, WITHOUT};
use super::{Check, Facts, PlatformError};
use crate::vm::Policy;

/// The first version that the kernel starts SNP with (`SNP_MIN_API_MAJOR` and
/// `SNP_MIN_API_MINOR`, Linux, `drivers/crypto/ccp/sev-dev.c`).
const NEEDED: Version = Version { api: (1, 51), build: 0 };

const UPDATE: &str = "install the newest AMD SEV firmware (the server's BIOS, or the package \
                      linux-firmware or amd64-microcode with amd/amd_sev_*.sbin) and reboot";

/// API version and build.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    api: (u8, u8),
    build: u32,
}

pub(super) fn check(facts: &Facts) -> Check {
    const ID: &str = "sev-firmware";
    let asked = facts.view.platform.map(|ask| ask());
    let (version, source) = match &asked {
        Some(Ok(status)) => {
            let version = Version { api: status.api, build: status.build };
            (Some(version), "the secure processor")
        }
        Some(Err(_)) | None => {
            if let Some(message) = facts.log.find("SEV-SNP: failed to INIT") {
                return Check::missing(ID, format!("the kernel: {message}"), UPDATE);
            }
            (logged(facts), "the kernel's log")
        }
    };
    let Some(version) = version else {
        if facts.capable() == Some(false) {
            return Check::missing(ID, WITHOUT, SEE);
        }
        let (why, remedy) = match asked {
            Some(Err(PlatformError::Open(error))) if error.kind() == ErrorKind::NotFound => {
                ("there is no /dev/sev".to_owned(), "see `dev-sev`")
            }
            Some(Err(error)) => (error.to_string(), "run this as root; see also `kvm-sev-snp`"),
            Some(Ok(_)) | None => {
                ("the secure processor cannot be asked".to_owned(), "run this on the server")
            }
        };
        let log = if facts.log.readable() { "does not tell" } else { "may not be read" };
        return Check::unknown(ID, format!("{why}, and the kernel's log {log}"), remedy);
    };
    let Version { api: (major, minor), build } = version;
    let found = format!("API {major}.{minor} build {build} ({source})");
    if version < NEEDED {
        return Check::missing(ID, format!("{found}; 1.51 is the first with SNP"), UPDATE);
    }
    if let Some(policy) = facts.wanted.policy
        && policy.minimum_abi() > version.api
    {
        let (major, minor) = policy.minimum_abi();
        let found = format!("{found}; the VM's policy asks for {major}.{minor}");
        return Check::missing(ID, found, UPDATE);
    }
    Check::ok(ID, found)
}

/// `ccp 0000:02:00.5: SEV-SNP API:1.55 build:24`, in decimal numbers.
fn logged(facts: &Facts) -> Option<Version> {
    let message = facts.log.find("SEV-SNP API:").or_else(|| facts.log.find("SEV API:"))?;
    let (_, numbers) = message.split_once("API:")?;
    let (api, build) = numbers.split_once(" build:")?;
    let (major, minor) = api.split_once('.')?;
    let build = build.split_whitespace().next()?.parse().ok()?;
    Some(Version { api: (major.parse().ok()?, minor.parse().ok()?), build })
}

impl Policy {
    /// The least API version of the firmware, major and minor, that the secure
    /// processor starts the guest with (56860, "Guest Policy", bits 15:0).
    #[must_use]
    pub(super) fn minimum_abi(self) -> (u8, u8) {
        let [minor, major, ..] = self.bits().to_le_bytes();
        (major, minor)
    }

    /// Whether the guest may run where SMT is on (bit 16).
    #[must_use]
    pub(super) fn allows_smt(self) -> bool {
        self.bits() >> 16 & 1 == 1
    }
}
