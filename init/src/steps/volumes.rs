//! The volumes beside the root: sealed and ephemeral ones are opened here, the
//! owners' are open since the step `unlock`; all get a file system if they have none
//! and may, and are mounted.

use std::path::{Path, PathBuf};

use protocol::config::{Config, DataVolume, KeySource, VolumeTarget};
use protocol::layout;
use protocol::receipt::{Event, short};

use super::disks::Disks;
use super::{entropy, evidence, file_system, in_root};
use crate::boot::{OpenVolume, Progress, log};
use crate::failure::Failure;
use crate::platform::{Level, Platform};
use crate::volume;

/// The volume that takes the writes of the overlays, ready to be mounted.
#[derive(Debug)]
pub struct UpperLayer<'a> {
    /// Its configuration.
    pub volume: &'a DataVolume,
    /// The device of its file system.
    pub node: PathBuf,
}

/// Makes the volume with [`VolumeTarget::Writable`], where there is one.
///
/// # Errors
/// If it cannot be opened or formatted.
pub fn upper_layer<'a>(
    platform: &impl Platform,
    config: &'a Config,
    disks: &Disks,
    progress: &mut Progress,
) -> Result<Option<UpperLayer<'a>>, Failure> {
    let is_layer = |volume: &&DataVolume| volume.target == VolumeTarget::Writable;
    let Some(volume) = config.volumes.iter().find(is_layer) else { return Ok(None) };
    let node = ready(platform, config, volume, disks, progress)?;
    Ok(Some(UpperLayer { volume, node }))
}

/// Opens and mounts all others; returns what the log says.
///
/// # Errors
/// If one cannot be opened, formatted or mounted.
pub fn mount(
    platform: &impl Platform,
    config: &Config,
    disks: &Disks,
    progress: &mut Progress,
) -> Result<String, Failure> {
    let mut mounted = Vec::new();
    for volume in &config.volumes {
        let VolumeTarget::Mount(path) = &volume.target else { continue };
        if !in_root::is_directory(platform, path)? {
            return Err(in_root::nothing(path));
        }
        let node = ready(platform, config, volume, disks, progress)?;
        let target = Path::new(layout::SYSROOT).join(path.relative());
        file_system::mount_volume(platform, &node, volume.fstype, &target, true)?;
        progress.receipt.push(&Event::Mount {
            name: volume.name.to_string(),
            fstype: volume.fstype.to_string(),
            on: short(&path.as_path().display().to_string()),
        });
        mounted.push(format!("{} on {}", volume.name, path.as_path().display()));
    }
    Ok(mounted.join(", "))
}

/// A volume that can be mounted: opened, and with a file system. Its device.
fn ready(
    platform: &impl Platform,
    config: &Config,
    volume: &DataVolume,
    disks: &Disks,
    progress: &mut Progress,
) -> Result<PathBuf, Failure> {
    open(platform, config, volume, disks, progress)?;
    let open = progress.volumes.iter().find(|open| open.opened.name == volume.name);
    let missing =
        || Failure::OwnerServer(format!("the volume {} was not released", volume.name).into());
    let open = open.ok_or_else(missing)?;
    // A power cut may have come between the sealing of a disk and its file system. Zeros
    // of a volume that was in use before are the host's replay: an owner's epoch shows it,
    // and of a sealed volume, whose epoch nobody keeps, the receipt.
    let made = open.opened.formatted || progress.made.contains(&volume.name);
    let young = made || open.opened.epoch.is_none_or(|epoch| epoch <= luks::Epoch::FIRST.0 + 1);
    let without = open.opened.formatted
        || open.may_format && young && file_system::is_blank(platform, &open.opened.node)?;
    if without {
        let line = format!("volumes: making a new {} on {}", volume.fstype, volume.name);
        log(platform, Level::Error, &line);
        file_system::make(platform, &open.opened.node, volume.fstype)?;
        progress.receipt.push(&Event::FileSystem {
            name: volume.name.to_string(),
            fstype: volume.fstype.to_string(),
            found: if made { "new" } else { "zeros" }.to_owned(),
        });
    }
    Ok(open.opened.node.clone())
}

/// Opens one that does not need an owner; the others are open since the step `unlock`.
fn open(
    platform: &impl Platform,
    config: &Config,
    volume: &DataVolume,
    disks: &Disks,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let failed = |source| Failure::Volume { name: volume.name.to_string(), source };
    let disk = disks.volume(&volume.name)?;
    let (opened, key) = match &volume.key {
        KeySource::Sealed(sealing) => {
            entropy::wait(platform, config)?;
            let attest = evidence::open(platform, config, progress)?;
            let until = platform.elapsed() + attest.deadline.duration();
            (volume::open_sealed(platform, disk, volume, sealing, until), "sealed")
        }
        KeySource::Ephemeral(cipher) => {
            entropy::wait(platform, config)?;
            (volume::open_ephemeral(platform, disk, volume, *cipher), "ephemeral")
        }
        KeySource::Owner(_) => return Ok(()),
    };
    let opened = opened.map_err(failed)?;
    opened.record(key, opened.formatted, &mut progress.receipt);
    progress.volumes.push(OpenVolume { opened, may_format: volume.provision_if_blank });
    Ok(())
}
