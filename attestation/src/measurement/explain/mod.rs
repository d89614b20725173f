//! Why a digest does not match: which input of the launch differs.
//!
//! A launch digest says that *something* is different and not what. [`explain`]
//! measures what the owner described with one input changed, then with two, and
//! so on, until the digest that was reported comes out, and names the inputs
//! that differ. It tries other vCPU counts, vCPU types, guest features and
//! hypervisors, edits of the command line, a boot without kernel hashes, and the
//! firmware, kernels, initrds, command lines and root hashes that the caller
//! supplies.
//!
//! **Threat.** An explanation is no verification: the digest still is not the
//! one the owner asked for, and what the host started may be an attack (a VM
//! without kernel hashes, an older kernel). Each [`Difference`] says what to
//! make of it, and nothing here yields an acceptable measurement by itself. The
//! work is bounded by [`Limits`] whatever the candidates are.

mod cmdline;
mod difference;
mod naming;
mod search;

use super::cpu::{CpuSignature, CpuType, QemuModel};
use super::digest::{LaunchDigest, Sha256Digest};
use super::features::GuestFeatures;
use super::firmware::Firmware;
use super::launch::VcpuCount;
use super::vmm::VmmKind;

pub use difference::{Difference, Explanation, Input};

/// A value and the name under which a person knows it, a path for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named<T> {
    /// Its name.
    pub name: String,
    /// The value.
    pub value: T,
}

impl<T> Named<T> {
    /// This value under that name.
    pub fn new(name: impl Into<String>, value: T) -> Self {
        Self { name: name.into(), value }
    }
}

/// What a direct boot with kernel hashes loads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// The kernel's digest.
    pub kernel: Named<Sha256Digest>,
    /// The initrd's digest; [`Sha256Digest::EMPTY`] if there is none.
    pub initrd: Named<Sha256Digest>,
    /// The command line, exactly.
    pub cmdline: Vec<u8>,
}

/// The guest as its owner described it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The firmware.
    pub firmware: Named<Firmware>,
    /// What it boots; nothing if the firmware alone is measured.
    pub boot: Option<Boot>,
    /// The hypervisor.
    pub vmm: VmmKind,
    /// How many vCPUs.
    pub vcpus: VcpuCount,
    /// Of which type.
    pub cpu: CpuType,
    /// With which guest features.
    pub features: GuestFeatures,
}

/// What to try besides the description. [`Candidates::default`] has what needs
/// no file: add what the caller knows.
#[derive(Debug, Clone)]
pub struct Candidates {
    /// Other firmware.
    pub firmware: Vec<Named<Firmware>>,
    /// Other kernels.
    pub kernels: Vec<Named<Sha256Digest>>,
    /// Other initrds. No initrd at all is always tried.
    pub initrds: Vec<Named<Sha256Digest>>,
    /// Other complete command lines.
    pub cmdlines: Vec<Vec<u8>>,
    /// Words to add to the command line, at its end and at its start. Each word
    /// that it has is tried without in any case.
    pub words: Vec<String>,
    /// Root hashes, in hexadecimal, to put in place of the value of every word
    /// whose key ends in `roothash`.
    pub root_hashes: Vec<String>,
    /// The largest vCPU count; all from 1 are tried.
    pub max_vcpus: u32,
    /// CPU signatures. Where the host passes its own processor through
    /// (`-cpu host`), that one's: a report of version 3 or later has it.
    pub cpus: Vec<CpuSignature>,
    /// Guest features.
    pub features: Vec<GuestFeatures>,
    /// Hypervisors.
    pub vmms: Vec<VmmKind>,
}

/// Signatures of the processors that SEV-SNP guests run on, for `-cpu host`:
/// Milan-X, Genoa, Genoa-X, Bergamo and Siena, Turin, Turin Dense. Milan's own
/// is that of QEMU's model.
const PROCESSORS: [(u32, u32, u32); 9] = [
    (25, 1, 0),
    (25, 1, 2),
    (25, 17, 1),
    (25, 17, 2),
    (25, 160, 1),
    (25, 160, 2),
    (26, 2, 0),
    (26, 2, 1),
    (26, 17, 0),
];

/// Words that command lines commonly differ by.
const WORDS: [&str; 14] = [
    "console=ttyS0",
    "console=tty0",
    "console=hvc0",
    "console=ttyS0,115200",
    "console=ttyS0,115200n8",
    "earlyprintk=serial",
    "earlyprintk=ttyS0",
    "quiet",
    "debug",
    "ro",
    "rw",
    "panic=-1",
    "panic=1",
    "loglevel=7",
];

impl Default for Candidates {
    fn default() -> Self {
        let models = QemuModel::all().iter().map(QemuModel::signature);
        let processors = PROCESSORS.iter().filter_map(|(family, model, stepping)| {
            CpuSignature::from_family(*family, *model, *stepping).ok()
        });
        let known = [0x1, 0x21, 0x201, 0x221, 0x0].map(GuestFeatures::new);
        Self {
            firmware: Vec::new(),
            kernels: Vec::new(),
            initrds: Vec::new(),
            cmdlines: Vec::new(),
            words: WORDS.map(str::to_owned).to_vec(),
            root_hashes: Vec::new(),
            max_vcpus: 512,
            cpus: models.chain(processors).collect(),
            features: known.to_vec(),
            vmms: VmmKind::ALL.to_vec(),
        }
    }
}

/// How far a search goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most inputs that are changed at once, at most 4. Two edits of the
    /// command line are two changes.
    pub max_changes: usize,
    /// The most hashes that are computed, each of a fraction of a microsecond:
    /// one a vCPU and one a page of the firmware's sections. The search stops
    /// before the combination that reaches it.
    pub max_hashes: u64,
}

/// Single changes, then pairs; some seconds at most.
impl Default for Limits {
    fn default() -> Self {
        Self { max_changes: 2, max_hashes: 10_000_000 }
    }
}

/// Finds what differs between `description` and the guest with the launch digest
/// `target`. Fewer changes are tried before more.
#[must_use]
pub fn explain(
    target: LaunchDigest,
    description: &Description,
    candidates: &Candidates,
    limits: Limits,
) -> Explanation {
    search::Search::new(target, description, candidates, limits).run()
}
