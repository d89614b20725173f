//! Launch measurement: what the secure processor of AMD SEV-SNP will report as
//! MEASUREMENT for a guest, computed before the guest exists.
//!
//! **Threat.** The host starts the guest and could start another; the launch
//! digest is what tells them apart. So a digest computed here must be that of
//! the hardware, bit for bit, or not be computed: inputs that hypervisors or
//! tools treat differently are errors. Files are bounded and never trusted for
//! their lengths; nothing here opens a path.
//!
//! **Specification.** AMD 56860 (SEV-SNP firmware ABI), SNP_LAUNCH_START and
//! SNP_LAUNCH_UPDATE, for the digest; AMD 24593 (APM volume 2), appendix B, for
//! the state of a vCPU; edk2's OvmfPkg for the firmware's tables; QEMU's
//! `target/i386/sev.c` and Linux's `arch/x86/kvm/svm/sev.c` for what is added
//! and in which order.
//!
//! # Use
//!
//! ```no_run
//! use std::fs::File;
//! use attestation::measurement::{DirectBoot, GuestFeatures, Launch, VmmKind, prepare};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let boot = DirectBoot {
//!     kernel: &mut File::open("vmlinuz")?,
//!     initrd: Some(&mut File::open("initrd.img")?),
//!     cmdline: b"console=ttyS0",
//! };
//! let (firmware, kernel) = prepare(File::open("OVMF.amdsev.fd")?, Some(boot))?;
//! let launch = Launch::new(&firmware, kernel.as_ref(), VmmKind::Qemu)?;
//! let cpu: attestation::measurement::CpuType = "EPYC-v4".parse()?;
//! println!("{}", launch.digest("4".parse()?, cpu.signature(), GuestFeatures::default()));
//! # Ok(())
//! # }
//! ```
//!
//! A [`Firmware`] is hashed once, [`KernelHashes`] are computed once, and a
//! [`Launch`] holds the digest of all but the vCPUs, so a matrix of vCPU
//! configurations ([`Launch::matrix`], [`Manifest`]) costs microseconds each.
//! [`explain`] turns that round: from a digest that does not match to the input
//! that differs.
//!
//! # What of the `sev` crate is used
//!
//! Version 8.0.0 has a `measurement` module. Its CPU signatures and VMSA pages
//! are right and are what this module's are tested against; but it cannot be
//! built on:
//!
//! * it trims white space off the command line, which QEMU does not, so that
//!   the digest of a line with a space at its end is wrong;
//! * it opens paths itself, and reads a kernel and an initrd whole into memory;
//! * it panics on firmware with hostile lengths or offsets (slice indexing,
//!   unchecked subtraction, an assertion on the size of a section), and has no
//!   bound on the work that a section asks for;
//! * it takes a section's type from the lowest of its four bytes, and the last
//!   of two entries of one GUID where QEMU takes the first;
//! * it gives a guest of 0 vCPUs a digest, and leaves out the pages of all vCPUs
//!   but the first if the firmware's reset address is zero;
//! * a vCPU type is one of its 18 names: no signature, no newer model;
//! * its launch context cannot be read from outside the crate, so firmware
//!   cannot be hashed once for many configurations;
//! * its ID blocks need OpenSSL (see [`crate::id_block`]).

mod chain;
mod cpu;
mod digest;
pub mod explain;
mod features;
mod firmware;
mod kernel_hashes;
mod launch;
mod manifest;
mod matrix;
mod parallel;
mod prepare;
mod vmm;
mod vmsa;

pub use cpu::{CpuError, CpuSignature, CpuType, QemuModel};
pub use digest::{DigestError, KeyDigest, LaunchDigest, Sha256Digest};
pub use features::{FeaturesError, GuestFeatures};
pub use firmware::{Firmware, FirmwareError, MAX_IMAGE, Section, SectionKind};
pub use kernel_hashes::{CommandLineError, KernelHashes};
pub use launch::{Launch, MeasureError, VcpuCount, VcpuCountError, VcpuDigests};
pub use manifest::{Manifest, ManifestError, Measurement};
pub use matrix::Combination;
pub use prepare::{DirectBoot, PrepareError, prepare};
pub use vmm::{VmmError, VmmKind};
