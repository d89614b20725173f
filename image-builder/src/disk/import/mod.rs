//! Importing what a virtual machine has run from: disk images, their partitions, and the
//! files of an ext4 in them. Nothing is mounted, attached or started.
//!
//! Threat: a disk image is somebody else's file, often one that a virtual machine has
//! written to. Each layer (container, partition table, file system) is read by a strict
//! reader whose memory does not depend on what the layer claims, and no layer leads out of
//! the image's own file.

mod container;
mod content;
mod error;
mod ext4;
mod file_system;
mod partitions;
mod qcow2;
mod root;

use std::path::Path;

use protocol::config::FsType;

pub use container::{DiskFormat, DiskFormatError};
pub(super) use container::{foreign, format_of};
pub use error::ImportError;
pub(super) use ext4::Ext4Tree;
pub use ext4::{Content as Ext4Content, Ext4, Ext4Error, Ext4Names, Inode as Ext4Inode};
pub use file_system::FileSystemImage;
pub use partitions::{Mbr, MbrError, MbrPartition, PartitionTableError};
pub use qcow2::{Qcow2, Qcow2Error};
pub use root::PartitionList;

use super::PartitionChoice;
use container::DiskImage;
use content::Content;

/// How a disk image is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskOptions {
    /// Its form; if `None`, its content tells. A raw disk is its virtual machine's to write:
    /// one that starts like a qcow2 image is taken for one unless this says raw.
    pub format: Option<DiskFormat>,
    /// Which partition is the root; if `None`, it is looked for.
    pub partition: Option<PartitionChoice>,
    /// Take the root's file system as it is, instead of its files.
    pub keep_file_system: bool,
}

/// The root of a disk image.
pub(super) enum Root {
    /// A file system to be taken as it is.
    FileSystem(FileSystemImage),
    /// An ext4 to be read.
    Ext4(FileSystemImage),
}

/// Whether a raw disk has a partition table, sound or not.
pub(super) fn is_partitioned(path: &Path) -> Result<bool, ImportError> {
    let disk = DiskImage::open(path, Some(DiskFormat::Raw))?;
    Ok(!matches!(partitions::read(&disk, disk.size()), Ok(None)))
}

/// Finds the root in a disk image.
///
/// # Errors
/// [`ImportError`] by layer; with the list of partitions where one has to be chosen.
pub(super) fn open(path: &Path, options: &DiskOptions) -> Result<Root, ImportError> {
    let disk = DiskImage::open(path, options.format)?;
    let bytes = disk.size();
    let read = |source| ImportError::Read { path: path.to_owned(), source };
    let table = partitions::read(&disk, bytes);
    let table =
        table.map_err(|source| ImportError::PartitionTable { path: path.to_owned(), source })?;
    let (place, content, offset, length) = match table {
        None if options.partition.is_some() => {
            return Err(ImportError::NoPartitions { path: path.to_owned() });
        }
        None => {
            let content = Content::of(&disk, bytes).map_err(read)?;
            (format!("the disk {}", path.display()), content, 0, bytes)
        }
        Some(partitions) => {
            if options.partition.is_none()
                && let Content::FileSystem { found, .. } =
                    Content::of(&disk, bytes).map_err(read)?
            {
                let (path, kind) = (path.to_owned(), found.kind);
                return Err(ImportError::TableAndFileSystem { path, kind });
            }
            let seen = root::look(&disk, partitions).map_err(read)?;
            let root::Seen { partition, content } = root::choose(seen, options.partition.as_ref())?;
            let place = format!("partition {}", partition.number);
            (place, content, partition.offset, partition.bytes)
        }
    };
    let found = match content {
        Content::FileSystem { found, .. } => found,
        Content::Other(other) => {
            let (content, remedy) = (other.to_string(), other.remedy());
            return Err(ImportError::NotAFileSystem { place, content, remedy });
        }
        Content::Refused(source) => return Err(ImportError::Probe { place, source }),
        Content::Unknown => {
            return Err(ImportError::Probe { place, source: super::ProbeError::Unknown });
        }
    };
    let image = FileSystemImage::part(disk, offset, length, path);
    Ok(if options.keep_file_system {
        Root::FileSystem(image)
    } else if found.kind == FsType::Ext4 {
        Root::Ext4(image)
    } else {
        Root::FileSystem(image.unread(found.kind))
    })
}
