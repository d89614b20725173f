//! The options by which `measure` and `explain` say which guest is meant.

use std::path::PathBuf;
use std::str::FromStr;

use attestation::measurement::{
    Combination, CpuType, GuestFeatures, LaunchDigest, VcpuCount, VmmKind,
};
use clap::Args;

use crate::failure::{Failure, Remedy, Result};
use crate::measure::{Guest, GuestError, Overrides};
use crate::vm::{VmError, VmFile};

/// The most vCPUs of a range: as many as Linux' KVM gives a VM.
const MAX_RANGE: u32 = 4096;

/// Which guest is meant: a VM description, and what differs from it.
#[derive(Debug, Args)]
#[command(next_help_heading = "The guest")]
pub(crate) struct GuestArguments {
    /// The VM description
    #[arg(long, value_name = "FILE", default_value = "vm.toml")]
    pub(crate) vm: PathBuf,
    /// Another firmware than the description's
    #[arg(long, value_name = "FILE")]
    firmware: Option<PathBuf>,
    /// The digest of the firmware's pages, computed elsewhere
    ///
    /// 96 hexadecimal digits, as `ravelin measure` prints them, or other tools as the OVMF hash.
    /// Of the firmware file only the tables at its end are read then, and its pages are NOT
    /// compared with the digest.
    #[arg(long, value_name = "DIGEST", alias = "ovmf-hash")]
    firmware_hash: Option<LaunchDigest>,
    /// Measure the firmware alone, without kernel, initramfs and command line
    ///
    /// For a guest that boots from its disk. The digest then says nothing about what the
    /// firmware boots.
    #[arg(long)]
    pub(crate) firmware_only: bool,
    /// The hypervisor: qemu, qemu-kvm-6.8, ec2, ec2-rdx-zero, gce or krun
    ///
    /// Each begins a guest differently. qemu-kvm-6.8 is QEMU on SNP host kernels before Linux
    /// 6.9. Tools disagree about EC2's RDX at reset: ec2 has 0x600, ec2-rdx-zero has 0. Of
    /// ec2, gce and krun the vCPU type is not measured.
    #[arg(long, value_name = "KIND", default_value_t = VmmKind::Qemu)]
    vmm: VmmKind,
    /// Another number of vCPUs; with --matrix a list such as 1,2,4 or 1-64
    #[arg(long, value_name = "COUNT", value_delimiter = ',')]
    vcpus: Vec<Counts>,
    /// Another vCPU type; with --matrix a list
    ///
    /// One of QEMU's models (EPYC-Milan-v2), a CPUID signature (0x00a00f11), or FAMILY/MODEL/STEPPING
    /// (25/1/1).
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    cpu: Vec<CpuType>,
    /// Other guest features (SEV_FEATURES), such as 0x1; with --matrix a list
    #[arg(long, value_name = "BITS", value_delimiter = ',')]
    guest_features: Vec<GuestFeatures>,
}

/// `4`, or `1-64`.
#[derive(Debug, Clone)]
struct Counts(Vec<VcpuCount>);

impl FromStr for Counts {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let count = |text: &str| text.parse::<VcpuCount>().map_err(|error| error.to_string());
        let Some((first, last)) = text.split_once('-') else {
            return Ok(Self(vec![count(text)?]));
        };
        let (first, last) = (count(first)?.get(), count(last)?.get());
        if first > last || last > MAX_RANGE {
            return Err(format!("a range of vCPU counts rises and ends at {MAX_RANGE} or before"));
        }
        let counts = (first..=last).map(VcpuCount::try_from).collect::<std::result::Result<_, _>>();
        counts.map(Self).map_err(|error| error.to_string())
    }
}

impl GuestArguments {
    /// The one guest, with its files hashed.
    ///
    /// # Errors
    /// If a list was given, or the guest cannot be measured.
    pub(crate) fn guest(&self) -> Result<Guest> {
        let vcpus: Vec<VcpuCount> = self.counts().collect();
        for (option, values) in [
            ("--vcpus", vcpus.len()),
            ("--cpu", self.cpu.len()),
            ("--guest-features", self.guest_features.len()),
        ] {
            if values > 1 {
                let failure = Failure::usage(format!("{option} has {values} values here"));
                return Err(failure.help("one guest has one; `measure --matrix` takes lists"));
            }
        }
        self.read(vcpus.first().copied(), self.cpu.first(), self.guest_features.first())
    }

    /// The guest, and all combinations of the lists that were given; where
    /// none was, the description's value.
    ///
    /// # Errors
    /// If the guest cannot be measured.
    pub(crate) fn matrix(&self) -> Result<(Guest, Vec<Combination>)> {
        let guest =
            self.read(self.counts().next(), self.cpu.first(), self.guest_features.first())?;
        let mut vcpus: Vec<VcpuCount> = self.counts().collect();
        vcpus.sort_unstable();
        vcpus.dedup();
        let or = |given: &[CpuType]| match given {
            [] => vec![guest.cpu],
            given => given.to_vec(),
        };
        if vcpus.is_empty() {
            vcpus.push(guest.vcpus);
        }
        let mut features = self.guest_features.clone();
        if features.is_empty() {
            features.push(guest.features);
        }
        let combinations = Combination::product(&vcpus, &or(&self.cpu), &features);
        Ok((guest, combinations))
    }

    fn counts(&self) -> impl Iterator<Item = VcpuCount> {
        self.vcpus.iter().flat_map(|counts| counts.0.iter().copied())
    }

    fn read(
        &self,
        vcpus: Option<VcpuCount>,
        cpu: Option<&CpuType>,
        features: Option<&GuestFeatures>,
    ) -> Result<Guest> {
        let file = vm_file(&self.vm)?;
        let overrides = Overrides {
            firmware: self.firmware.clone(),
            firmware_hash: self.firmware_hash,
            firmware_only: self.firmware_only,
            vmm: self.vmm,
            vcpus,
            cpu: cpu.copied(),
            features: features.copied(),
            digests: None,
        };
        Guest::of(&file, &overrides).map_err(failure)
    }
}

/// The description, or where one comes from.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn vm_file(path: &std::path::Path) -> Result<VmFile> {
    VmFile::read(path).remedy(
        "`ravelin image initramfs --vm FILE` and `ravelin image verity --vm FILE` write a VM \
         description; `ravelin launch --help` shows its keys; --vm names another one",
    )
}

/// Why a guest cannot be measured, with the remedy.
pub(crate) fn failure(error: GuestError) -> Failure {
    let help = match &error {
        GuestError::Vm(VmError::Missing { key: "firmware", .. }) => {
            "Debian's package ovmf-amdsev (forky and sid) has one that measures a kernel, \
             OVMF.amdsev.fd; --firmware names one for this time"
        }
        GuestError::Vm(VmError::Missing { .. }) => {
            "to measure the firmware alone, say --firmware-only"
        }
        GuestError::Cpu { .. } => "correct it there, or name the type with --cpu",
        GuestError::Vcpus { .. } => "correct it there, or give the number with --vcpus",
        GuestError::Vm(_)
        | GuestError::Open { .. }
        | GuestError::Read { .. }
        | GuestError::Tables { .. }
        | GuestError::Firmware { .. }
        | GuestError::Manifest { .. } => return error.into(),
    };
    Failure::from(error).help(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        let counts = |text: &str| {
            let counts = text.parse::<Counts>().ok()?;
            Some(counts.0.into_iter().map(VcpuCount::get).collect::<Vec<_>>())
        };
        assert_eq!(counts("4"), Some(vec![4]));
        assert_eq!(counts("2-4"), Some(vec![2, 3, 4]));
        assert_eq!(counts("4096-4096"), Some(vec![4096]));
        for bad in ["", "0", "0-3", "4-2", "1-", "-1", "1-4097", "1-2-3", "x"] {
            assert_eq!(counts(bad), None, "{bad:?}");
        }
    }
}
