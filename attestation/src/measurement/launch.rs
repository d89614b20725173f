//! The launch digest of a guest: firmware, sections, kernel hashes, vCPUs.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::chain::{Chain, PAGE_LEN, PageDigest, PageType};
use super::cpu::CpuSignature;
use super::digest::LaunchDigest;
use super::features::GuestFeatures;
use super::firmware::{Firmware, SectionKind};
use super::kernel_hashes::KernelHashes;
use super::vmm::VmmKind;
use super::vmsa::{self, RESET_VECTOR};

/// Why a guest cannot be measured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MeasureError {
    /// The firmware would not check the kernel.
    #[error(
        "the firmware has no {missing}, so it does not measure a kernel: the host could boot \
         another one under the same digest. Use an OVMF that has it, Debian's package \
         ovmf-amdsev (OVMF.amdsev.fd; in forky and sid, `cargo xtask demo` unpacks it) or an own \
         build of OvmfPkg/AmdSev/AmdSevX64.dsc; or measure the firmware without a kernel"
    )]
    NoKernelHashes {
        /// What is missing.
        missing: &'static str,
    },
    /// The hash table crosses the end of its page; QEMU stops there.
    #[error(
        "the firmware's SEV hash table, {offset:#x} bytes into its page, does not fit the page"
    )]
    HashTablePlace {
        /// Bytes after the start of the page.
        offset: usize,
    },
}

/// A number of vCPUs that is not zero: a guest without vCPUs does not exist,
/// though other tools give it a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct VcpuCount(NonZeroU32);

/// A number of vCPUs that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the number of vCPUs is 1 or more, not '{0}'")]
pub struct VcpuCountError(String);

impl VcpuCount {
    /// One vCPU.
    pub const ONE: Self = Self(NonZeroU32::MIN);

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl TryFrom<u32> for VcpuCount {
    type Error = VcpuCountError;

    fn try_from(count: u32) -> Result<Self, VcpuCountError> {
        NonZeroU32::new(count).map(Self).ok_or_else(|| VcpuCountError(count.to_string()))
    }
}

impl From<VcpuCount> for u32 {
    fn from(count: VcpuCount) -> Self {
        count.get()
    }
}

impl FromStr for VcpuCount {
    type Err = VcpuCountError;

    fn from_str(text: &str) -> Result<Self, VcpuCountError> {
        let digits = Some(text).filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
        let count = digits.and_then(|digits| digits.parse().ok()).and_then(NonZeroU32::new);
        count.map(Self).ok_or_else(|| VcpuCountError(text.to_owned()))
    }
}

impl fmt::Display for VcpuCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A guest measured up to its vCPUs, from which every combination of vCPU count,
/// vCPU type and guest features costs one short hash a vCPU.
///
/// The order is that of QEMU and KVM: the firmware's pages; the sections of its
/// SEV metadata in their own order, the kernel hashes among them; one VMSA page a
/// vCPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Launch {
    chain: Chain,
    reset_address: u32,
    vmm: VmmKind,
}

impl Launch {
    /// Measures all but the vCPUs. `kernel` are the hashes of a direct boot with
    /// `kernel-hashes=on`; without them the firmware alone is measured, and
    /// nothing about what it boots is known.
    ///
    /// # Errors
    /// If there are kernel hashes and the firmware has no place for them.
    pub fn new(
        firmware: &Firmware,
        kernel: Option<&KernelHashes>,
        vmm: VmmKind,
    ) -> Result<Self, MeasureError> {
        let hashes = kernel.map(|kernel| hashes_page(firmware, kernel)).transpose()?;
        let mut chain = Chain::from_digest(firmware.digest());
        for section in firmware.sections() {
            let (gpa, pages) = (u64::from(section.gpa()), section.pages());
            let page_type = match (section.kind(), &hashes) {
                (SectionKind::KernelHashes, Some(digest)) => {
                    chain.normal(gpa, digest);
                    continue;
                }
                (SectionKind::SecureMemory, _) if vmm == VmmKind::Gce => PageType::Unmeasured,
                (SectionKind::SecureMemory | SectionKind::CallingArea, _)
                | (SectionKind::KernelHashes, None) => PageType::Zero,
                (SectionKind::Secrets, _) => PageType::Secrets,
                (SectionKind::Cpuid, _) if vmm.cpuid_page_last() => continue,
                (SectionKind::Cpuid, _) => PageType::Cpuid,
            };
            chain.opaque(page_type, gpa, pages);
        }
        if vmm.cpuid_page_last() {
            for section in firmware.sections() {
                if section.kind() == SectionKind::Cpuid {
                    chain.opaque(PageType::Cpuid, u64::from(section.gpa()), section.pages());
                }
            }
        }
        Ok(Self { chain, reset_address: firmware.reset_address(), vmm })
    }

    /// The hypervisor it is measured for.
    #[must_use]
    pub const fn vmm(&self) -> VmmKind {
        self.vmm
    }

    /// The launch digest with so many vCPUs of this type and these features.
    #[must_use]
    pub fn digest(
        &self,
        vcpus: VcpuCount,
        cpu: CpuSignature,
        features: GuestFeatures,
    ) -> LaunchDigest {
        let mut digests = self.digests(cpu, features);
        for _ in 1..vcpus.get() {
            digests.step();
        }
        digests.step()
    }

    /// The launch digests with 1, 2, 3 … vCPUs, without end. Each costs what
    /// one vCPU costs.
    #[must_use]
    pub fn digests(&self, cpu: CpuSignature, features: GuestFeatures) -> VcpuDigests {
        VcpuDigests {
            chain: self.chain,
            first: Some(vmsa::digest(self.vmm, RESET_VECTOR, cpu, features)),
            other: vmsa::digest(self.vmm, self.reset_address, cpu, features),
        }
    }
}

/// The digests of a growing guest: what [`Launch::digests`] returns.
#[derive(Debug, Clone)]
pub struct VcpuDigests {
    chain: Chain,
    first: Option<PageDigest>,
    other: PageDigest,
}

impl VcpuDigests {
    fn step(&mut self) -> LaunchDigest {
        let page = self.first.take().unwrap_or(self.other);
        self.chain.vmsa(&page);
        self.chain.digest()
    }
}

impl Iterator for VcpuDigests {
    type Item = LaunchDigest;

    fn next(&mut self) -> Option<LaunchDigest> {
        Some(self.step())
    }
}

/// The digest of the page of kernel hashes, where the firmware has one.
fn hashes_page(firmware: &Firmware, kernel: &KernelHashes) -> Result<PageDigest, MeasureError> {
    let missing = |missing| MeasureError::NoKernelHashes { missing };
    let address = firmware.hash_table().ok_or_else(|| missing("SEV hash table"))?;
    if !firmware.has_hashes_section() {
        return Err(missing("section for kernel hashes in its SEV metadata"));
    }
    let offset = usize::try_from(address).unwrap_or(usize::MAX) % PAGE_LEN;
    kernel.page_digest(offset).ok_or(MeasureError::HashTablePlace { offset })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_vcpus_are_refused() {
        assert!(VcpuCount::try_from(0).is_err());
        for text in ["0", "", "-1", "+1", " 1", "4294967296", "0x4"] {
            assert!(text.parse::<VcpuCount>().is_err(), "{text}");
        }
        assert_eq!("64".parse(), VcpuCount::try_from(64));
        assert!(serde_json::from_str::<VcpuCount>("0").is_err());
        assert_eq!(serde_json::to_string(&VcpuCount::ONE).unwrap(), "1");
    }
}
