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

use std::path::Path;

use crate::failure::{self, Failure};
use crate::platform::{Kind, Platform};

/// What is at a path, not followed.
fn kind(platform: &impl Platform, path: &Path) -> Result<Option<Kind>, Failure> {
    platform.kind(path).map_err(failure::path("looking at", path))
}
