//! `vm.toml`, the description of one VM: what is measured at launch (firmware,
//! kernel, initramfs, command line, vCPUs) and what is not (memory, disks,
//! network).
//!
//! Written and updated by the image commands, read by `launch`; whatever
//! computes a launch measurement reads the same file, so that what is launched
//! and what is expected cannot drift. The file is the owner's, but it is read
//! strictly all the same: an unknown key, a doubled serial or a command line
//! that the kernel would cut is an error that names the line.

mod attest;
mod cmdline;
mod edit;
mod error;
mod file;
mod network;
mod sev;
mod unlock;
mod value;

use std::path::PathBuf;

use serde::Deserialize;

pub use attest::Attest;
pub use cmdline::{BASE, Cmdline, CmdlineError, IMAGE_KEYS};
pub use edit::VmEditor;
pub use error::VmError;
pub use file::VmFile;
pub use network::{Forward, InterfaceName, Link, Mac, Network, Protocol};
pub use sev::Sev;
pub use unlock::Unlock;
pub use value::{CpuModel, MemoryMib, Policy, Serial, ValueError, Vcpus};

/// The version of the format that this program reads and writes.
pub const FORMAT: i64 = 1;

/// The content of a `vm.toml`. Paths are as written: relative ones start at the
/// directory of the file ([`VmFile::resolve`]).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Vm {
    /// Version of this format; checked before anything else is read.
    pub format: i64,
    /// The firmware: an OVMF with SEV hashes (AmdSev). Measured. Needed for
    /// everything but a simulation.
    pub firmware: Option<PathBuf>,
    /// The kernel (bzImage). Measured.
    pub kernel: Option<PathBuf>,
    /// The initramfs. Measured.
    pub initrd: Option<PathBuf>,
    /// The kernel command line, exactly as the kernel gets it. Measured.
    pub cmdline: Option<Cmdline>,
    /// Number of virtual processors; each has its page in the measurement.
    #[serde(default)]
    pub vcpus: Vcpus,
    /// QEMU's name of the processor model; its signature is measured.
    #[serde(default)]
    pub cpu: CpuModel,
    /// Guest memory. Not measured.
    #[serde(default)]
    pub memory: MemoryMib,
    /// Disks in the order in which the VM gets them.
    #[serde(default)]
    pub disks: Vec<Disk>,
    /// The network card; without this table the VM has none.
    pub network: Option<Network>,
    /// What the secure processor is told at launch.
    #[serde(default)]
    pub sev: Sev,
    /// What only a simulation uses.
    #[serde(default)]
    pub simulation: Simulation,
    /// How the running VM is asked for evidence, and what is accepted.
    #[serde(default)]
    pub attest: Attest,
    /// How keys are released to it.
    #[serde(default)]
    pub unlock: Unlock,
}

/// One virtio disk.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Disk {
    /// The raw image.
    pub file: PathBuf,
    /// The virtio serial by which the guest finds it (`serial:NAME`).
    pub serial: Serial,
    /// Whether the VM may write to the image.
    #[serde(default = "read_only")]
    pub read_only: bool,
}

fn read_only() -> bool {
    true
}

/// What only a simulation uses.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Simulation {
    /// The kernel's `lib/modules/VERSION`: the simulated secure processor needs
    /// modules that the initramfs does not.
    pub kernel_modules: Option<PathBuf>,
}
