//! The steps of the boot, in their order.

pub mod configuration;
pub mod disks;
pub mod evidence;
pub mod handover;
pub mod identity;
pub mod modules;
pub mod mounts;
pub mod root;
pub mod writable;
