//! What the secure processor says of itself: SNP_PLATFORM_STATUS (56860 revision
//! 1.58, "Platform Management Commands"), through /dev/sev.

use std::io;

use attestation::tcb::Components;
use sev::firmware::host::{Firmware, SnpPlatformStatus, TcbVersion};

/// Why the secure processor cannot be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlatformError {
    /// The device cannot be opened.
    #[error("/dev/sev cannot be opened: {0}")]
    Open(#[source] io::Error),
    /// The kernel or the firmware refused the command.
    #[error("the secure processor gives no SNP status: {0}")]
    Refused(String),
}

/// The state of the SEV-SNP firmware of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlatformStatus {
    /// Version of the API, major and minor.
    pub api: (u8, u8),
    /// Build of the firmware.
    pub build: u32,
    /// What runs now.
    pub current: Components,
    /// What reports are signed for: the certificate's levels. The server's owner may
    /// set it lower than the current one.
    pub reported: Components,
}

impl PlatformStatus {
    /// Asks this machine's secure processor. The command only reads.
    ///
    /// # Errors
    /// If /dev/sev cannot be opened, or SNP is not initialised.
    pub fn of_this_machine() -> Result<Self, PlatformError> {
        let mut firmware = Firmware::open().map_err(PlatformError::Open)?;
        let status = firmware
            .snp_platform_status()
            .map_err(|error| PlatformError::Refused(error.to_string()))?;
        Ok(status.into())
    }
}

impl From<SnpPlatformStatus> for PlatformStatus {
    fn from(status: SnpPlatformStatus) -> Self {
        Self {
            api: status.version,
            build: status.build_id,
            current: components(status.platform_tcb_version),
            reported: components(status.reported_tcb_version),
        }
    }
}

fn components(tcb: TcbVersion) -> Components {
    let TcbVersion { fmc, bootloader, tee, snp, microcode } = tcb;
    Components { fmc, bootloader, tee, snp, microcode }
}
