//! An emulated secure processor, to develop and test attestation without
//! SEV-SNP hardware. It protects nothing.
//!
//! The emulation lies outside PID 1, at the kernel's own interfaces, so that
//! the production `/init` runs unmodified and byte-identical:
//!
//! - In the guest, a second cpio archive behind the production initramfs holds
//!   `/ravelin-sim`, which the kernel starts because of ` rdinit=/ravelin-sim`
//!   at the end of its command line. It leaves a daemon behind that serves
//!   `/sys/kernel/config/tsm/report` (FUSE) and `/dev/sev-guest` (CUSE), and
//!   becomes `/init`.
//! - On the host, `ravelin-simulator` holds a test authority in AMD's form, a
//!   root, intermediates and the keys of simulated chips, and signs real
//!   ATTESTATION_REPORTs. Both sides talk over a virtio-serial port ([`wire`]).
//!
//! What it reports as measured it takes from the QEMU process at the other end
//! of that port: kernel, initramfs, command line, vCPU count and type. It
//! refuses a VM whose initramfs does not end in exactly the simulator's
//! archive, or whose command line does not end in exactly the simulator's word;
//! takes these two off; and measures the rest. One input is substituted, the
//! firmware, because an OVMF with SEV hashes does not run without SEV: it is
//! the VM description's, and is hashed as it would be on hardware.
//!
//! **Threat.** None is held off: whoever runs the simulator can make it say
//! anything. What must hold is that no verifier takes its reports for real
//! ones: its root is made on each machine, says what it is in its name, and is
//! accepted only where it is given (`--trust-root`); nothing of this crate is
//! linked into `ravelin` or PID 1.
//!
//! **Specification.** AMD 56860 (SEV-SNP firmware ABI) for reports and derived
//! keys, 57230 for certificates; Linux's `drivers/virt/coco/tsm.c` and
//! `include/uapi/linux/sev-guest.h` for the interfaces.

#[cfg(feature = "host")]
pub mod archive;
#[cfg(feature = "host")]
pub mod authority;
#[cfg(feature = "host")]
pub mod chip;
#[cfg(feature = "host")]
pub mod fault;
#[cfg(feature = "host")]
pub mod measured;
pub mod names;
#[cfg(feature = "host")]
pub mod qemu;
#[cfg(feature = "host")]
pub mod report;
#[cfg(feature = "host")]
pub mod server;
#[cfg(feature = "host")]
pub mod state;
pub mod wire;
