//! SNPGuard's `vm-config.toml`, accepted as it is.
//!
//! The file describes a VM: what it is launched with, from which its launch
//! digest follows, and what a report must say. SNPGuard compares `guest_policy`
//! and `platform_info` for equality, and the committed TCB alone with
//! `min_commited_tcb`; [`SnpguardConfig::to_policy`] keeps exactly that. It
//! does not look at VMPL, at the certificate's extensions, at dates or at the
//! other TCB versions. Those checks are made here all the same: a report that
//! SNPGuard asked for at VMPL 1, its default, needs the exception
//! `nonzero-vmpl` by name.
//!
//! The policy has no measurement yet: it follows from the files that the
//! description names, which this crate does not open. Until the caller adds
//! it, nothing is accepted. `family_id` and `image_id` belong to the ID block
//! that the VM may be launched with, and are compared by neither.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use super::{BitRules, MinimumLevels, MinimumTcb, Policy, PolicyError, TcbKind};
use crate::product::Product;
use crate::report::Hex;

/// A VM as SNPGuard describes it. Every field of the file, none added.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnpguardConfig {
    /// `host_cpu_family`.
    pub product: Product,
    /// `vcpu_count`.
    pub vcpu_count: u32,
    /// `ovmf_file`, a path.
    pub ovmf_file: String,
    /// `kernel_file`, a path.
    pub kernel_file: String,
    /// `initrd_file`, a path.
    pub initrd_file: String,
    /// `guest_features`: SEV_FEATURES of the VMSA.
    pub guest_features: u64,
    /// `kernel_cmdline`. SNPGuard trims it before hashing, QEMU does not.
    pub kernel_cmdline: String,
    /// `platform_info`, compared for equality.
    pub platform_info: u64,
    /// `guest_policy`, compared for equality.
    pub guest_policy: u64,
    /// `family_id` of the ID block.
    pub family_id: Hex<16>,
    /// `image_id` of the ID block.
    pub image_id: Hex<16>,
    /// `[min_commited_tcb]`.
    pub minimum_committed_tcb: MinimumLevels,
}

impl SnpguardConfig {
    /// Whether `text` is meant to be SNPGuard's: it has a key that only
    /// SNPGuard's file has.
    #[must_use]
    pub fn recognises(text: &str) -> bool {
        toml::from_str::<toml::Table>(text).is_ok_and(|table| {
            ["host_cpu_family", "min_commited_tcb"].iter().any(|key| table.contains_key(*key))
        })
    }

    /// Reads the file.
    ///
    /// # Errors
    ///
    /// [`PolicyError::Snpguard`].
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let raw: Raw =
            toml::from_str(text).map_err(|error| PolicyError::Snpguard(Box::new(error)))?;
        let Tcb { bootloader, tee, snp, microcode, _reserved } = raw.min_commited_tcb;
        Ok(Self {
            product: raw.host_cpu_family.0,
            vcpu_count: raw.vcpu_count,
            ovmf_file: raw.ovmf_file,
            kernel_file: raw.kernel_file,
            initrd_file: raw.initrd_file,
            guest_features: raw.guest_features,
            kernel_cmdline: raw.kernel_cmdline,
            platform_info: raw.platform_info,
            guest_policy: raw.guest_policy,
            family_id: raw.family_id,
            image_id: raw.image_id,
            minimum_committed_tcb: MinimumLevels { fmc: 0, bootloader, tee, snp, microcode },
        })
    }

    /// The policy that the description amounts to, without its measurement.
    #[must_use]
    pub fn to_policy(&self) -> Policy {
        Policy {
            products: vec![self.product],
            minimum_tcb: MinimumTcb {
                which: vec![TcbKind::Committed],
                any: Some(self.minimum_committed_tcb),
                ..MinimumTcb::default()
            },
            guest_policy: BitRules { exact: Some(self.guest_policy), ..BitRules::default() },
            platform_info: BitRules { exact: Some(self.platform_info), ..BitRules::default() },
            ..Policy::default()
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    host_cpu_family: Family,
    vcpu_count: u32,
    ovmf_file: String,
    kernel_file: String,
    initrd_file: String,
    guest_features: u64,
    kernel_cmdline: String,
    platform_info: u64,
    guest_policy: u64,
    family_id: Hex<16>,
    image_id: Hex<16>,
    min_commited_tcb: Tcb,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tcb {
    bootloader: u8,
    tee: u8,
    snp: u8,
    microcode: u8,
    _reserved: [u8; 4],
}

/// A product in SNPGuard's spelling, or any other that [`Product`] reads.
struct Family(Product);

impl<'de> Deserialize<'de> for Family {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Product::from_str(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for SnpguardConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SNPGuard's description of a VM: {}, {} vCPUs, firmware {}, kernel {}, initrd {}",
            self.product, self.vcpu_count, self.ovmf_file, self.kernel_file, self.initrd_file
        )
    }
}
