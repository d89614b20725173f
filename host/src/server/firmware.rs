//! The SEV firmware: what runs on the secure processor.

use std::io::ErrorKind;

use attestation::report::GuestPolicy;

use super::processor::{SEE, WITHOUT};
use super::{Check, Facts, PlatformError};

/// The first version that the kernel starts SNP with (`SNP_MIN_API_MAJOR` and
/// `SNP_MIN_API_MINOR`, Linux, `drivers/crypto/ccp/sev-dev.c`).
const NEEDED: (u8, u8) = (1, 51);

const UPDATE: &str = "install the newest AMD SEV firmware (the server's BIOS, or the package \
                      linux-firmware or amd64-microcode with amd/amd_sev_*.sbin) and reboot";

/// API version and build.
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
    if version.api < NEEDED {
        return Check::missing(ID, format!("{found}; 1.51 is the first with SNP"), UPDATE);
    }
    let wanted = facts.wanted.policy.map(|policy| GuestPolicy(policy.bits()).abi());
    if let Some((major, minor)) = wanted.filter(|wanted| *wanted > version.api) {
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
