//! Whether this machine can run SEV-SNP guests, and what it says about itself.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

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

/// The encryption bit as this processor reports it, if it has SEV (AMD64
/// Architecture Programmer's Manual, volume 3, CPUID function 0x8000_001F:
/// EAX bit 1 SEV, EBX bits 5:0 the position).
#[must_use]
pub fn cbitpos_of_this_cpu() -> Option<u8> {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::__cpuid;
        const FUNCTION: u32 = 0x8000_001f;
        if __cpuid(0x8000_0000).eax < FUNCTION {
            return None;
        }
        let answer = __cpuid(FUNCTION);
        let position = u8::try_from(answer.ebx & 0x3f).ok()?;
        (answer.eax & 0b10 != 0 && position >= 32).then_some(position)
    }
    #[cfg(not(target_arch = "x86_64"))]
    None
}
