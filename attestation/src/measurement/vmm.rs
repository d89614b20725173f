//! Hypervisors: how each begins a guest differs, and the difference is measured.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that names no hypervisor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no hypervisor kind; use one of {known}", known = known())]
pub struct VmmError {
    text: String,
}

/// Which hypervisor starts the guest.
///
/// What is known of each, and how well:
///
/// * `qemu` is what QEMU's and KVM's sources do and what the field uses daily.
/// * `ec2` adds the CPUID page last and has other segment attributes. The value
///   of RDX at reset is **unsettled**: `sev-snp-measure` has had 0x600 since
///   0.0.13, which its authors matched with a real instance in 2026, and
///   0 before; the `sev` crate 8.0.0 has 0. Both exist: [`Self::Ec2`] is 0x600,
///   [`Self::Ec2ZeroRdx`] is 0. Older instances may still report the latter.
///   The vCPU type is not measured.
/// * `gce` is as `sev-snp-measure` 0.0.13 describes it; the `sev` crate does not
///   know it. The vCPU type is not measured.
/// * `krun` is as the `sev` crate 8.0.0 describes it; `sev-snp-measure` does not
///   know it. The vCPU type is not measured.
/// * `qemu-kvm-6.8`: QEMU on the out-of-tree SNP host kernels before Linux 6.9,
///   which left the x87 control word and MXCSR at zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[non_exhaustive]
pub enum VmmKind {
    /// QEMU with KVM of Linux 6.9 or later.
    #[default]
    Qemu,
    /// QEMU with KVM before Linux 6.9.
    QemuKvm68,
    /// Amazon EC2, RDX 0x600 at reset.
    Ec2,
    /// Amazon EC2, RDX zero at reset.
    Ec2ZeroRdx,
    /// Google Compute Engine.
    Gce,
    /// libkrun.
    Krun,
}

impl VmmKind {
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::Qemu, Self::QemuKvm68, Self::Ec2, Self::Ec2ZeroRdx, Self::Gce, Self::Krun];

    /// Its name in files and on command lines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Qemu => "qemu",
            Self::QemuKvm68 => "qemu-kvm-6.8",
            Self::Ec2 => "ec2",
            Self::Ec2ZeroRdx => "ec2-rdx-zero",
            Self::Gce => "gce",
            Self::Krun => "krun",
        }
    }

    /// Whether the vCPU type is in the measurement.
    #[must_use]
    pub const fn measures_cpu_type(self) -> bool {
        matches!(self, Self::Qemu | Self::QemuKvm68)
    }

    /// Whether the CPUID page is measured after all other sections.
    pub(super) const fn cpuid_page_last(self) -> bool {
        matches!(self, Self::Ec2 | Self::Ec2ZeroRdx)
    }
}

fn known() -> String {
    VmmKind::ALL.map(VmmKind::name).join(", ")
}

impl fmt::Display for VmmKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for VmmKind {
    type Err = VmmError;

    fn from_str(text: &str) -> Result<Self, VmmError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| VmmError { text: text.to_owned() })
    }
}

impl Serialize for VmmKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for VmmKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for kind in VmmKind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
            assert_eq!(kind.name().to_uppercase().parse(), Ok(kind));
        }
        let error = "xen".parse::<VmmKind>().unwrap_err().to_string();
        assert!(error.contains("qemu, qemu-kvm-6.8, ec2, ec2-rdx-zero, gce, krun"), "{error}");
    }
}
