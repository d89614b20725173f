//! The manifest of an image: all digests that it may have on a fleet.
//!
//! ```toml
//! format = 1
//! vmm = "qemu"
//! firmware = "086e2e91…"        # 96 digits: the digest of the firmware's pages
//!
//! [kernel]                      # absent if only the firmware is measured
//! kernel = "3b0c44…"            # 64 digits each
//! initrd = "…"
//! cmdline = "…"
//!
//! [[measurement]]
//! vcpus = 4
//! cpu = "EPYC-v4"
//! guest_features = "0x1"
//! digest = "19358ba9…"          # 96 digits
//! ```
//!
//! JSON has the same keys. A manifest is a claim of whoever wrote it: keep it as
//! safe as a policy, or compute it anew.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::cpu::CpuType;
use super::digest::LaunchDigest;
use super::features::GuestFeatures;
use super::firmware::Firmware;
use super::kernel_hashes::KernelHashes;
use super::launch::{Launch, MeasureError, VcpuCount};
use super::matrix::Combination;
use super::vmm::VmmKind;

/// The version of the format that this code reads and writes.
const FORMAT: u32 = 1;

/// The largest text that is read, in bytes.
const MAX_TEXT: usize = 16 << 20;

/// The most measurements that are read or made.
const MAX_MEASUREMENTS: usize = 65_536;

/// Why a manifest is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// Larger than any fleet's.
    #[error("the manifest is larger than {MAX_TEXT} bytes or {MAX_MEASUREMENTS} measurements")]
    TooLarge,
    /// Not TOML, or not a manifest.
    #[error("the manifest is not valid TOML of its kind")]
    Toml {
        /// Where and why.
        #[source]
        source: toml::de::Error,
    },
    /// Not JSON, or not a manifest.
    #[error("the manifest is not valid JSON of its kind")]
    Json {
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// A later format.
    #[error("the manifest has format {0}; this version reads format {FORMAT}: update Ravelin")]
    Format(u32),
    /// No measurements.
    #[error("the manifest has no measurements")]
    Empty,
    /// One configuration twice.
    #[error("the manifest has two measurements of {vcpus} vCPUs {cpu} with features {features}")]
    Repeated {
        /// How many vCPUs.
        vcpus: VcpuCount,
        /// Of which type.
        cpu: CpuType,
        /// With which features.
        features: GuestFeatures,
    },
    /// It cannot be measured.
    #[error(transparent)]
    Measure(#[from] MeasureError),
    /// It could not be written as TOML.
    #[error("writing the manifest as TOML")]
    ToToml {
        /// Why.
        #[source]
        source: toml::ser::Error,
    },
    /// It could not be written as JSON.
    #[error("writing the manifest as JSON")]
    ToJson {
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// One measurement of a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measurement {
    /// How many vCPUs.
    pub vcpus: VcpuCount,
    /// Of which type.
    pub cpu: CpuType,
    /// With which guest features.
    pub guest_features: GuestFeatures,
    /// The launch digest with these.
    pub digest: LaunchDigest,
}

/// The digests of one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: u32,
    vmm: VmmKind,
    firmware: LaunchDigest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kernel: Option<KernelHashes>,
    measurement: Vec<Measurement>,
}

impl Manifest {
    /// Measures an image with all these combinations, in their order.
    ///
    /// # Errors
    /// If the firmware has no place for the kernel's hashes, or a combination is
    /// there twice, or there are none or too many.
    pub fn compute(
        firmware: &Firmware,
        kernel: Option<&KernelHashes>,
        vmm: VmmKind,
        combinations: &[Combination],
    ) -> Result<Self, ManifestError> {
        if combinations.len() > MAX_MEASUREMENTS {
            return Err(ManifestError::TooLarge);
        }
        let digests = Launch::new(firmware, kernel, vmm)?.matrix(combinations);
        let measurement = combinations
            .iter()
            .zip(digests)
            .map(|(combination, digest)| Measurement {
                vcpus: combination.vcpus,
                cpu: combination.cpu,
                guest_features: combination.features,
                digest,
            })
            .collect();
        let firmware = firmware.digest();
        Self { format: FORMAT, vmm, firmware, kernel: kernel.copied(), measurement }.checked()
    }

    /// Reads TOML.
    ///
    /// # Errors
    /// If it is not a manifest of format 1, complete and without repetition.
    pub fn from_toml(text: &str) -> Result<Self, ManifestError> {
        bounded(text)?;
        let manifest: Self =
            toml::from_str(text).map_err(|source| ManifestError::Toml { source })?;
        manifest.checked()
    }

    /// Reads JSON.
    ///
    /// # Errors
    /// As [`Manifest::from_toml`].
    pub fn from_json(text: &str) -> Result<Self, ManifestError> {
        bounded(text)?;
        let manifest: Self =
            serde_json::from_str(text).map_err(|source| ManifestError::Json { source })?;
        manifest.checked()
    }

    /// Writes TOML, ending with a newline.
    ///
    /// # Errors
    /// None in practice.
    pub fn to_toml(&self) -> Result<String, ManifestError> {
        toml::to_string(self).map_err(|source| ManifestError::ToToml { source })
    }

    /// Writes JSON, indented, ending with a newline.
    ///
    /// # Errors
    /// None in practice.
    pub fn to_json(&self) -> Result<String, ManifestError> {
        let mut text = serde_json::to_string_pretty(self)
            .map_err(|source| ManifestError::ToJson { source })?;
        text.push('\n');
        Ok(text)
    }

    /// The hypervisor it is for.
    #[must_use]
    pub const fn vmm(&self) -> VmmKind {
        self.vmm
    }

    /// The digest of the firmware's pages.
    #[must_use]
    pub const fn firmware(&self) -> LaunchDigest {
        self.firmware
    }

    /// The hashes of a direct boot, if it is one.
    #[must_use]
    pub const fn kernel(&self) -> Option<&KernelHashes> {
        self.kernel.as_ref()
    }

    /// All measurements, in their order.
    #[must_use]
    pub fn measurements(&self) -> &[Measurement] {
        &self.measurement
    }

    /// Every measurement with this digest: types with one signature share it.
    pub fn find(&self, digest: LaunchDigest) -> impl Iterator<Item = &Measurement> {
        self.measurement.iter().filter(move |measurement| measurement.digest == digest)
    }

    fn checked(self) -> Result<Self, ManifestError> {
        if self.format != FORMAT {
            return Err(ManifestError::Format(self.format));
        }
        if self.measurement.is_empty() {
            return Err(ManifestError::Empty);
        }
        if self.measurement.len() > MAX_MEASUREMENTS {
            return Err(ManifestError::TooLarge);
        }
        let mut seen = HashSet::new();
        for Measurement { vcpus, cpu, guest_features, .. } in &self.measurement {
            if !seen.insert((*vcpus, cpu.to_string(), *guest_features)) {
                return Err(ManifestError::Repeated {
                    vcpus: *vcpus,
                    cpu: *cpu,
                    features: *guest_features,
                });
            }
        }
        Ok(self)
    }
}

fn bounded(text: &str) -> Result<(), ManifestError> {
    if text.len() > MAX_TEXT { Err(ManifestError::TooLarge) } else { Ok(()) }
}
