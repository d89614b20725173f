//! Whether this machine can run SEV-SNP guests, and what it says about itself.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

use crate::server::{MemoryEncryption, this_processor};

/// Why an SNP guest cannot be started here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlatformError {
    /// A device is absent, or this user may not use it.
    #[error("this machine cannot start an SEV-SNP guest: {device} cannot be used")]
    Device {
        /// The device.
        device: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel's KVM module has SNP switched off.
    #[error("this machine cannot start an SEV-SNP guest: {PARAMETER} is '{value}'")]
    SnpOff {
        /// What the kernel says.
        value: String,
    },
    /// The processor has no SEV.
    #[error(
        "this machine cannot start an SEV-SNP guest: its processor does not say where the \
         encryption bit is (CPUID 0x8000001F)"
    )]
    NoCbit,
}

const PARAMETER: &str = "/sys/module/kvm_amd/parameters/sev_snp";

/// A machine on which an SNP guest can be started.
#[derive(Debug, Clone, Copy)]
pub struct SnpHost {
    /// The page-table bit that marks encrypted memory.
    pub cbitpos: u8,
}

impl SnpHost {
    /// Looks at this machine.
    ///
    /// # Errors
    /// The first thing that is missing.
    pub fn detect(configured: Option<u8>) -> Result<Self, PlatformError> {
        for device in ["/dev/kvm", "/dev/sev"] {
            OpenOptions::new()
                .read(true)
                .write(true)
                .open(Path::new(device))
                .map_err(|source| PlatformError::Device { device, source })?;
        }
        if let Ok(value) = fs::read_to_string(PARAMETER)
            && !matches!(value.trim(), "Y" | "1")
        {
            return Err(PlatformError::SnpOff { value: value.trim().to_owned() });
        }
        let cbitpos = configured.or_else(cbitpos_of_this_cpu).ok_or(PlatformError::NoCbit)?;
        Ok(Self { cbitpos })
    }
}

/// The encryption bit as this processor reports it, if it has SEV.
#[must_use]
pub fn cbitpos_of_this_cpu() -> Option<u8> {
    let encryption = MemoryEncryption::of(&this_processor()?)?;
    (encryption.sev && encryption.cbit >= 32).then_some(encryption.cbit)
}
