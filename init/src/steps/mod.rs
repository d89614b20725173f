//! The steps of the boot, and what several of them need.

pub mod configuration;
pub mod disks;
mod entropy;
pub mod evidence;
mod file_system;
pub mod handover;
pub mod harden;
pub mod hooks;
mod host_keys;
pub mod identity;
mod in_root;
pub mod modules;
pub mod mounts;
pub mod network;
mod programs;
pub mod root;
pub mod unlock;
pub mod volumes;
pub mod writable;
