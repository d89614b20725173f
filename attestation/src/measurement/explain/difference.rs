//! What a search comes to.

use std::fmt;

use super::super::features::GuestFeatures;

/// An input of the launch measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Input {
    /// The number of vCPUs.
    VcpuCount,
    /// The vCPU type.
    CpuType,
    /// The guest features (SEV_FEATURES).
    GuestFeatures,
    /// The kernel command line.
    CommandLine,
    /// The initrd.
    Initrd,
    /// The kernel.
    Kernel,
    /// Whether kernel, initrd and command line are measured at all.
    KernelHashes,
    /// The firmware.
    Firmware,
    /// The hypervisor.
    Vmm,
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::VcpuCount => "vCPU count",
            Self::CpuType => "vCPU type",
            Self::GuestFeatures => "guest features",
            Self::CommandLine => "command line",
            Self::Initrd => "initrd",
            Self::Kernel => "kernel",
            Self::KernelHashes => "kernel hashes",
            Self::Firmware => "firmware",
            Self::Vmm => "hypervisor",
        })
    }
}

/// One input that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which.
    pub input: Input,
    /// What was described.
    pub described: String,
    /// What the digest says was started.
    pub measured: String,
    /// What to make of it.
    pub advice: String,
}

impl Difference {
    pub(super) fn new(
        input: Input,
        described: impl fmt::Display,
        measured: impl fmt::Display,
    ) -> Self {
        let advice = advice(input).to_owned();
        Self { input, described: described.to_string(), measured: measured.to_string(), advice }
    }

    /// A difference in the guest features.
    pub(super) fn features(described: GuestFeatures, measured: GuestFeatures) -> Self {
        let text = |features: GuestFeatures| {
            let names: Vec<_> = features.names().collect();
            format!("{features} ({})", names.join(", "))
        };
        let mut difference = Self::new(Input::GuestFeatures, text(described), text(measured));
        let debug_swap = GuestFeatures::DEBUG_SWAP.bits();
        if (described.bits() ^ measured.bits()) & debug_swap != 0 {
            difference.advice = if measured.bits() & debug_swap != 0 {
                "the host's KVM has debug_swap on: turn it off (modprobe kvm_amd debug_swap=0) or \
                 measure with these features"
            } else {
                "the host's KVM has debug_swap off: turn it on or measure with these features"
            }
            .to_owned();
        }
        difference
    }
}

const fn advice(input: Input) -> &'static str {
    match input {
        Input::VcpuCount => {
            "measure with the vCPU count that the VM is to have, and start it with that many (-smp)"
        }
        Input::CpuType => {
            "measure with the model that QEMU's -cpu names; with -cpu host the host's processor \
             decides"
        }
        Input::GuestFeatures => {
            "the host's KVM or hypervisor has other features on; measure with these if they are \
             acceptable"
        }
        Input::CommandLine => {
            "pass the line exactly as measured: white space and newlines count, and tools that add \
             words change the digest"
        }
        Input::Initrd | Input::Kernel | Input::Firmware => {
            "the host started another file; if that is not wanted, do not trust this VM"
        }
        Input::KernelHashes => {
            "start QEMU with kernel-hashes=on if the kernel is to be measured; without it the host \
             can boot any kernel under this digest"
        }
        Input::Vmm => "name the hypervisor that starts the VM when measuring",
    }
}

/// `vCPU count: described 4, measured 8`
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: described {}, measured {}", self.input, self.described, self.measured)
    }
}

/// What a search comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Explanation {
    /// The description has the digest: nothing differs.
    Same,
    /// The description with these inputs changed has the digest.
    Differs {
        /// The inputs, in the order of [`Input`].
        differences: Vec<Difference>,
        /// How many combinations were compared, this one among them.
        tried: u64,
    },
    /// Nothing that was tried has the digest.
    NothingFits {
        /// How many combinations were compared.
        tried: u64,
        /// Whether all within the limits were; if not, the search ran out of
        /// hashes.
        complete: bool,
    },
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same => f.write_str("the description has this digest; nothing differs"),
            Self::Differs { differences, .. } => {
                for (index, difference) in differences.iter().enumerate() {
                    let newline = if index == 0 { "" } else { "\n" };
                    write!(f, "{newline}{difference}; {}", difference.advice)?;
                }
                Ok(())
            }
            Self::NothingFits { tried, complete } => {
                write!(f, "none of {tried} tried combinations fits")?;
                if *complete {
                    f.write_str(
                        "; add the firmware, kernels, initrds and command lines that the host may \
                         have used as candidates",
                    )
                } else {
                    f.write_str(", and there are more; raise the limit or take candidates away")
                }
            }
        }
    }
}
