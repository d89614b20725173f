//! Why a disk image is not taken.

use std::io;
use std::path::PathBuf;

use protocol::config::FsType;
use thiserror::Error;

use super::ext4::Ext4Error;
use super::partitions::PartitionTableError;
use super::qcow2::Qcow2Error;
use super::root::PartitionList;
use crate::disk::{PartitionChoice, ProbeError};

/// Why a disk image is not taken.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImportError {
    /// It cannot be read.
    #[error("{}: cannot be read", .path.display())]
    Read {
        /// The image.
        path: PathBuf,
        /// What was said.
        source: io::Error,
    },
    /// It is a directory, a pipe or a device.
    #[error("{}: is not a file, so it is no disk image; copy it into one", .path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// A container that is not read.
    #[error(
        "{}: is a {format} image, which is not supported; convert it: `qemu-img convert -O qcow2`",
        .path.display()
    )]
    Foreign {
        /// The image.
        path: PathBuf,
        /// What it is.
        format: &'static str,
    },
    /// It was said to be a qcow2 image and is none.
    #[error("{}: is not a qcow2 image", .path.display())]
    NotQcow2 {
        /// The image.
        path: PathBuf,
    },
    /// The qcow2 image is refused.
    #[error("{}: is refused", .path.display())]
    Qcow2 {
        /// The image.
        path: PathBuf,
        /// Why.
        source: Qcow2Error,
    },
    /// The partition table is refused.
    #[error("{}: is refused", .path.display())]
    PartitionTable {
        /// The image.
        path: PathBuf,
        /// Why.
        source: PartitionTableError,
    },
    /// There is a partition table, and a file system over it.
    #[error(
        "{}: has a partition table, and is a file system ({kind}) at once; wipe the one that is \
         not in use (wipefs), or choose a partition", .path.display()
    )]
    TableAndFileSystem {
        /// The image.
        path: PathBuf,
        /// The file system.
        kind: FsType,
    },
    /// A partition was chosen, and there are none.
    #[error("{}: has no partition table, so there is no partition to choose", .path.display())]
    NoPartitions {
        /// The image.
        path: PathBuf,
    },
    /// No partition is the chosen one.
    #[error("the disk has no partition {choice}; it has{list}")]
    NoSuchPartition {
        /// What was asked for.
        choice: PartitionChoice,
        /// What there is.
        list: PartitionList,
    },
    /// Several partitions are the chosen one.
    #[error("several partitions of the disk are {choice}; give a number. It has{list}")]
    SeveralPartitions {
        /// What was asked for.
        choice: PartitionChoice,
        /// What there is.
        list: PartitionList,
    },
    /// Several partitions could be the root.
    #[error("several partitions could be the root; choose one. The disk has{list}")]
    AmbiguousRoot {
        /// What there is.
        list: PartitionList,
    },
    /// No partition could be the root.
    #[error(
        "no partition is a root: none has the type of an x86-64 root, and none a Linux file \
         system; the disk has{list}"
    )]
    NoRoot {
        /// What there is.
        list: PartitionList,
    },
    /// The root is no file system.
    #[error("{place} holds {content}: {remedy}")]
    NotAFileSystem {
        /// The partition, or the disk.
        place: String,
        /// What it holds.
        content: String,
        /// What to do.
        remedy: &'static str,
    },
    /// There is no file system that is known.
    #[error("{place} is refused")]
    Probe {
        /// The partition, or the disk.
        place: String,
        /// Why.
        source: ProbeError,
    },
    /// The ext4 cannot be read.
    #[error("{}: its ext4 is refused", .path.display())]
    Ext4 {
        /// The image.
        path: PathBuf,
        /// Why.
        source: Ext4Error,
    },
}
