//! Volumes with a specification: nothing on the disk is believed.

use std::io;
use std::path::Path;

use luks::{Epoch, SECTOR, Secret, TAIL_SIZE, VolumeKey, VolumeSpec};
use protocol::release::VolumeName;
use zeroize::Zeroizing;

use super::error::{OpenError, first_read, system};
use super::provision::{self, Content};
use super::stack::{Names, Stack};
use super::{Opened, Tail, all_or_nothing};
use crate::platform::{Access, Platform};
use crate::steps::disks::Device;

/// What may be done with what is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blank {
    /// A blank disk is refused.
    Refuse,
    /// It is made a volume.
    Provision,
    /// Whatever is on the disk is overwritten.
    Overwrite,
}

/// A volume to open.
pub(super) struct Wanted<'a> {
    pub(super) name: &'a VolumeName,
    pub(super) disk: &'a Device,
    pub(super) spec: &'a VolumeSpec,
    pub(super) secret: &'a Secret,
    pub(super) min_epoch: u64,
    pub(super) blank: Blank,
}

impl Wanted<'_> {
    /// Opens it: size, superblock, tables, check block, epoch, in this order.
    ///
    /// # Errors
    /// [`OpenError`]; nothing is mapped then.
    pub(super) fn open(&self, platform: &impl Platform) -> Result<Opened, OpenError> {
        let Self { name, disk, spec, .. } = *self;
        let (found, expected) = (disk.bytes / SECTOR, spec.layout().params().device_sectors);
        if found != expected {
            return Err(OpenError::DiskSize { device: disk.node.clone(), found, expected });
        }
        let key = VolumeKey::derive(self.secret, spec);
        let formatted = self.prepare(platform, &key)?;
        let names = Names::new(name);
        all_or_nothing(platform, &names, || {
            let mut stack = Stack {
                platform,
                names: &names,
                disk: &disk.node,
                layout: spec.layout(),
                volume_id: spec.volume_id(),
                tables: Vec::new(),
            };
            let crypt = stack.with_tail(&key)?;
            drop(key);
            let tail =
                read_tail(platform, &crypt, spec.tail_offset()).map_err(first_read(&disk.node))?;
            let epoch = spec
                .check_tail(&tail)
                .map_err(|source| OpenError::Tail { device: disk.node.clone(), source })?;
            if epoch.0 < self.min_epoch {
                return Err(OpenError::RolledBack { found: epoch.0, least: self.min_epoch });
            }
            let node = stack.without_tail(spec, &crypt)?;
            let tail = Tail { device: crypt, offset: spec.tail_offset() };
            let (epoch, tables, tail) = (Some(epoch.0), stack.tables, Some(tail));
            Ok(Opened { name: name.clone(), node, epoch, formatted, tables, tail })
        })
    }

    /// Makes sure that the disk has the volume's superblock. Whether it was made now.
    fn prepare(&self, platform: &impl Platform, key: &VolumeKey) -> Result<bool, OpenError> {
        let device = &self.disk.node;
        let content = || provision::content(platform, device, self.spec.layout());
        let is_blank = self.blank == Blank::Overwrite || content()? == Content::Blank;
        if !is_blank {
            return Ok(false);
        }
        if self.blank == Blank::Refuse {
            return Err(OpenError::Blank { device: device.clone() });
        }
        // The owner knows of a volume that is older than a new one could be.
        if self.min_epoch > Epoch::FIRST.0 {
            return Err(OpenError::RolledBack { found: 0, least: self.min_epoch });
        }
        provision::seal(platform, device, self.spec, key)?;
        match content()? {
            Content::Volume => Ok(true),
            Content::Blank => Err(OpenError::Blank { device: device.clone() }),
        }
    }
}

/// Writes the next epoch and reads it back from the disk.
pub(super) fn commit(
    platform: &impl Platform,
    tail: &Tail,
    epoch: Epoch,
) -> Result<Epoch, OpenError> {
    let device = &tail.device;
    let next = epoch.next().ok_or(OpenError::LastEpoch(epoch.0))?;
    let disk = platform.open_disk(device, Access::Write).map_err(system("opening", device))?;
    disk.write_all_at(&next.block(), tail.offset + next.offset())
        .and_then(|()| disk.flush())
        .map_err(system("writing the epoch to", device))?;
    drop(disk);
    let read = read_tail(platform, device, tail.offset);
    let read = read.map_err(system("reading the epoch of", device))?;
    let latest = Epoch::latest(&read)
        .map_err(|source| OpenError::Tail { device: device.clone(), source })?;
    if latest == next {
        Ok(next)
    } else {
        Err(OpenError::EpochLost { expected: next.0, found: latest.0 })
    }
}

fn read_tail(
    platform: &impl Platform,
    crypt: &Path,
    offset: u64,
) -> io::Result<Zeroizing<[u8; TAIL_SIZE]>> {
    let mut tail = Zeroizing::new([0; TAIL_SIZE]);
    platform.open_disk(crypt, Access::Read)?.read_exact_at(tail.as_mut(), offset)?;
    Ok(tail)
}
