//! The virtual machine tests: one program, so that its images are made once.
//!
//! `cargo xtask test` runs them; `cargo xtask test --vm NAME` runs some.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests: what goes wrong is the failure of the test that called them"
)]

mod aml;
mod attested;
mod boots;
mod containers;
mod debian;
mod disk_attacks;
mod encrypted;
mod evidence;
mod evil;
mod fixtures;
mod hand_over;
mod harness;
mod hooks;
mod images;
mod imports;
mod initramfs;
mod on_disk;
mod power_cuts;
mod receipt;
mod said;
mod simulator;
mod snpguard;
mod unlock;
mod volume_attacks;
mod volumes;
mod writable;
