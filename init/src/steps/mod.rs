//! The steps of the boot, in their order.

pub mod mounts;
pub mod configuration;
pub mod modules;
pub mod disks;
pub mod root;
pub mod writable;
pub mod identity;
pub mod handover;
