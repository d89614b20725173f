//! Making a volume of a blank disk.
//!
//! **Threat.** The host can make any disk blank, so that needs the owner's word or the
//! measured configuration's. A disk with anything on it is never overwritten (but for
//! an ephemeral volume, which is nobody's data).
//!
//! A run may be interrupted: a mark stands where the superblock will be until all
//! sectors are on the disk. A disk with the mark is taken as blank.

use std::path::Path;

use luks::{Layout, Options, SECTOR, SUPERBLOCK_SIZE, SuperblockError, VolumeKey, VolumeSpec};
use ssh_key::rand_core::OsRng;

use super::error::{OpenError, system};
use crate::platform::{Access, Platform};

/// How much of a blank disk is zeros at its beginning, beside the superblock's place:
/// file systems, partition tables and LUKS2 headers begin there.
const BLANK: usize = 1 << 20;

/// The mark, padded with zeros to the size of a superblock.
pub(super) const UNFINISHED: &[u8] = b"ravelin unfinished v1";

/// What is on a disk.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// The volume's superblock.
    Volume,
    /// Nothing, or a volume that was never finished.
    Blank,
}

/// Looks at a disk. Nothing is mapped over it before this says that it is the volume.
///
/// # Errors
/// A disk that is neither.
pub(super) fn content(
    platform: &impl Platform,
    device: &Path,
    layout: &Layout,
) -> Result<Content, OpenError> {
    let disk = platform.open_disk(device, Access::Read).map_err(system("opening", device))?;
    let mut superblock = [0; SUPERBLOCK_SIZE];
    let at = layout.params().data_offset * SECTOR;
    disk.read_exact_at(&mut superblock, at).map_err(system("reading", device))?;
    match layout.check_superblock(&superblock) {
        Ok(()) => Ok(Content::Volume),
        Err(_) if superblock == mark() => Ok(Content::Blank),
        Err(SuperblockError::Blank) => {
            let size = usize::try_from(layout.params().device_sectors * SECTOR).unwrap_or(BLANK);
            let mut head = vec![0; BLANK.min(size)];
            disk.read_exact_at(&mut head, 0).map_err(system("reading", device))?;
            if head.iter().all(|byte| *byte == 0) {
                return Ok(Content::Blank);
            }
            let source = SuperblockError::Blank;
            Err(OpenError::Superblock { device: device.to_owned(), source })
        }
        Err(source) => Err(OpenError::Superblock { device: device.to_owned(), source }),
    }
}

/// Writes a volume without a file system over whatever is on the disk, on all cores.
///
/// # Errors
/// From the system. The disk has the mark then.
pub(super) fn seal(
    platform: &impl Platform,
    device: &Path,
    spec: &VolumeSpec,
    key: &VolumeKey,
) -> Result<(), OpenError> {
    let disk = platform.open_disk(device, Access::Exclusive).map_err(system("opening", device))?;
    let at = spec.layout().params().data_offset * SECTOR;
    let place = |block: &[u8; SUPERBLOCK_SIZE]| {
        disk.write_all_at(block, at).and_then(|()| disk.flush()).map_err(system("writing", device))
    };
    place(&mark())?;
    let (nothing, options) = ([0_u8; 0], Options::default());
    luks::seal_content(spec, key, &nothing[..], 0, &*disk, &mut OsRng, &options)
        .map_err(|source| OpenError::Seal { device: device.to_owned(), source })?;
    disk.flush().map_err(system("writing", device))?;
    place(&spec.layout().superblock())
}

fn mark() -> [u8; SUPERBLOCK_SIZE] {
    let mut block = [0; SUPERBLOCK_SIZE];
    block.iter_mut().zip(UNFINISHED).for_each(|(to, from)| *to = *from);
    block
}
