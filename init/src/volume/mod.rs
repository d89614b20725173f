//! Opening volumes with a key: authenticated encryption by dm-crypt over
//! dm-integrity.
//!
//! **Threat.** The host has the disk, and may change it between two reads. Nothing on
//! it is believed: its geometry comes from the specification, the superblock has to
//! be the computed bytes before the kernel sees it, the kernel's own reading is
//! compared before a device starts, and what is read by the key is authentic before
//! anything is mounted. Freshness is the epoch's, see `luks::Epoch`.

mod error;

use std::path::PathBuf;
use std::time::Duration;

use protocol::config::{DataVolume, Sealing, VolumeCipher};
use protocol::release::{ReleasedVolume, VolumeName};

pub use error::OpenError;

use crate::platform::Platform;
use crate::steps::disks::Device;

/// An open volume.
#[derive(Debug)]
pub struct Opened {
    /// Its name.
    pub name: VolumeName,
    /// The device of its file system: what is mounted.
    pub node: PathBuf,
    /// The epoch that is on the disk now; `None` for a volume without epochs.
    pub epoch: Option<u64>,
    /// A blank disk was sealed just now: there is no file system yet.
    pub formatted: bool,
}

/// Opens a volume with what the owners released.
///
/// # Errors
/// [`OpenError`].
pub fn open_released(
    _platform: &impl Platform,
    disk: &Device,
    _released: &ReleasedVolume,
) -> Result<Opened, OpenError> {
    Err(not_yet(disk))
}

/// Opens a volume with a key that the secure processor derives, at most until PID 1
/// has run for `evidence_until`.
///
/// # Errors
/// [`OpenError`].
pub fn open_sealed(
    _platform: &impl Platform,
    disk: &Device,
    _volume: &DataVolume,
    _sealing: &Sealing,
    _evidence_until: Duration,
) -> Result<Opened, OpenError> {
    Err(not_yet(disk))
}

/// Makes a volume with a random key, over whatever was on the disk.
///
/// # Errors
/// [`OpenError`].
pub fn open_ephemeral(
    _platform: &impl Platform,
    disk: &Device,
    _volume: &DataVolume,
    _cipher: VolumeCipher,
) -> Result<Opened, OpenError> {
    Err(not_yet(disk))
}

/// Writes the next epoch, makes it durable and reads it back. Returns it; 0 for a
/// volume without epochs.
///
/// # Errors
/// [`OpenError`].
pub fn commit_epoch(_platform: &impl Platform, opened: &mut Opened) -> Result<u64, OpenError> {
    Ok(opened.epoch.unwrap_or(0))
}

/// Takes all devices of a volume away, also those that were half made.
pub fn close(_platform: &impl Platform, _name: &VolumeName) {}

fn not_yet(disk: &Device) -> OpenError {
    OpenError::System {
        action: "opening",
        device: disk.node.clone(),
        source: std::io::ErrorKind::Unsupported.into(),
    }
}
