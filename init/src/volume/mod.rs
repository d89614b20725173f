//! Opening volumes with a key: authenticated encryption by dm-crypt over
//! dm-integrity.
//!
//! **Threat.** The host has the disk, and may change it between two reads. Nothing on
//! it is believed: its geometry comes from the specification, the superblock has to
//! be the computed bytes before the kernel sees it, the kernel's own reading is
//! compared before a device starts, and what is read by the key is authentic before
//! anything is mounted. Freshness is the epoch's, see [`luks::Epoch`].
//!
//! Keys are in memory that wipes itself, and in the kernel; every error takes all
//! devices of the volume away.

mod derived;
mod error;
mod luks2;
mod provision;
mod spec;
mod stack;

use std::path::PathBuf;
use std::time::Duration;

use luks::{Epoch, Secret, VolumeSpec};
use protocol::config::{DataVolume, Sealing, VolumeCipher};
use protocol::receipt::{Event, Receipt};
use protocol::release::{ReleasedKey, ReleasedVolume, VolumeName};

pub use error::OpenError;

use crate::boot::log;
use crate::platform::{Level, Platform, Target};
use crate::steps::disks::Device;
use spec::{Blank, Wanted};
use stack::Names;

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
    /// The tables that were started, with the names of their devices, in this order.
    tables: Vec<(String, Target)>,
    tail: Option<Tail>,
}

impl Opened {
    /// What the receipt says of it: where its key is from, and whether it was made in this
    /// boot.
    pub fn record(&self, key: &str, made: bool, receipt: &mut Receipt) {
        for (device, Target { kind, sectors, params }) in &self.tables {
            receipt.push(&Event::Table {
                device: device.clone(),
                sectors: sectors.to_string(),
                target: kind.clone(),
                parameters: params.clone(),
            });
        }
        receipt.push(&Event::Volume {
            name: self.name.to_string(),
            key: key.to_owned(),
            state: if made { "made" } else { "opened" }.to_owned(),
            epoch: self.epoch.map(|epoch| epoch.to_string()).unwrap_or_default(),
        });
    }
}

/// Where the epochs are.
#[derive(Debug)]
struct Tail {
    /// The decrypted volume.
    device: PathBuf,
    /// In bytes.
    offset: u64,
}

/// Opens a volume with what the owners released.
///
/// # Errors
/// [`OpenError`]; nothing is mapped then.
pub fn open_released(
    platform: &impl Platform,
    disk: &Device,
    released: &ReleasedVolume,
) -> Result<Opened, OpenError> {
    let (name, min_epoch) = (&released.name, released.min_epoch);
    match &released.key {
        ReleasedKey::Spec { spec, secret } => {
            let spec = &VolumeSpec::decode(spec).map_err(OpenError::Spec)?;
            let secret = &Secret::new(secret);
            let blank = if released.provision { Blank::Provision } else { Blank::Refuse };
            Wanted { name, disk, spec, secret, min_epoch, blank }.open(platform)
        }
        ReleasedKey::Luks { .. } if released.provision => Err(OpenError::ProvisionLuks),
        ReleasedKey::Luks { .. } if min_epoch > 0 => Err(OpenError::NoEpochs { least: min_epoch }),
        ReleasedKey::Luks { header_sha256, passphrase } => {
            luks2::open(platform, name, disk, header_sha256, passphrase)
        }
    }
}

/// Opens a volume with a key that the secure processor derives, at most until PID 1
/// has run for `evidence_until`. A blank disk is made a volume if the measured
/// configuration says so.
///
/// # Errors
/// [`OpenError`]; nothing is mapped then.
pub fn open_sealed(
    platform: &impl Platform,
    disk: &Device,
    volume: &DataVolume,
    sealing: &Sealing,
    evidence_until: Duration,
) -> Result<Opened, OpenError> {
    let name = &volume.name;
    let spec = &derived::spec(disk, sealing.cipher, derived::sealed_id(name))?;
    let derived = platform.derived_key(sealing, evidence_until).map_err(OpenError::DerivedKey)?;
    let secret = &derived::sealed_secret(&derived, name);
    let blank = if volume.provision_if_blank { Blank::Provision } else { Blank::Refuse };
    Wanted { name, disk, spec, secret, min_epoch: 0, blank }.open(platform)
}

/// Makes a volume with a random key. The measured configuration says that this disk is
/// ephemeral, so whatever is on it is overwritten; but not if it is in use.
///
/// # Errors
/// [`OpenError`]; nothing is mapped then.
pub fn open_ephemeral(
    platform: &impl Platform,
    disk: &Device,
    volume: &DataVolume,
    cipher: VolumeCipher,
) -> Result<Opened, OpenError> {
    let (secret, id) = &derived::ephemeral()?;
    let spec = &derived::spec(disk, cipher, *id)?;
    let (name, min_epoch, blank) = (&volume.name, 0, Blank::Overwrite);
    Wanted { name, disk, spec, secret, min_epoch, blank }.open(platform)
}

/// Writes the next epoch, makes it durable and reads it back. Returns it; 0 for a
/// volume without epochs.
///
/// # Errors
/// [`OpenError`]. The volume stays open.
pub fn commit_epoch(platform: &impl Platform, opened: &mut Opened) -> Result<u64, OpenError> {
    let (Some(tail), Some(epoch)) = (&opened.tail, opened.epoch) else { return Ok(0) };
    let Epoch(next) = spec::commit(platform, tail, Epoch(epoch))?;
    opened.epoch = Some(next);
    Ok(next)
}

/// Takes all devices of a volume away, also those that were half made. What cannot be
/// taken away is logged.
pub fn close(platform: &impl Platform, name: &VolumeName) {
    remove(platform, &Names::new(name));
}

fn remove(platform: &impl Platform, names: &Names) {
    if let Err(error) = names.remove(platform) {
        let source = std::error::Error::source(&error).map(ToString::to_string);
        log(platform, Level::Error, &format!("{error}: {}", source.unwrap_or_default()));
    }
}

/// Runs `open`; takes all devices away if it fails.
fn all_or_nothing(
    platform: &impl Platform,
    names: &Names,
    open: impl FnOnce() -> Result<Opened, OpenError>,
) -> Result<Opened, OpenError> {
    open().inspect_err(|_error| remove(platform, names))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
