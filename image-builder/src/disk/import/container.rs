//! A disk image as the disk that it is: raw, or in a container.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;
use std::str::FromStr;

use thiserror::Error;
use verity::ReadAt;

use super::ImportError;
use super::qcow2::{self, Qcow2};
use crate::disk::copy;
use crate::progress::Progress;

/// The form of a disk image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFormat {
    /// The bytes of the disk.
    Raw,
    /// QEMU's, versions 2 and 3.
    Qcow2,
}

/// Text that is no form.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is no form of a disk image: raw or qcow2")]
pub struct DiskFormatError(String);

impl FromStr for DiskFormat {
    type Err = DiskFormatError;

    fn from_str(text: &str) -> Result<Self, DiskFormatError> {
        match text {
            "raw" => Ok(Self::Raw),
            "qcow2" => Ok(Self::Qcow2),
            other => Err(DiskFormatError(other.to_owned())),
        }
    }
}

impl fmt::Display for DiskFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        })
    }
}

/// Containers that are known and not read, by how their files start.
const FOREIGN: &[(&str, usize, &[u8])] = &[
    ("VMDK", 0, b"KDMV"),
    ("VMDK", 0, b"# Disk DescriptorFile"),
    ("VHDX", 0, b"vhdxfile"),
    ("VHD", 0, b"conectix"),
    ("VDI", 64, &[0x7f, 0x10, 0xda, 0xbe]),
    ("QED", 0, b"QED\0"),
    ("Parallels", 0, b"WithoutFreeSpace"),
    ("Parallels", 0, b"WithouFreSpacExt"),
];

/// What a file is by its first bytes, if they say.
pub(in crate::disk) fn format_of(head: &[u8]) -> Option<DiskFormat> {
    qcow2::claims(head).then_some(DiskFormat::Qcow2)
}

/// The container that a file is, if it is one that is not read.
pub(in crate::disk) fn foreign(head: &[u8]) -> Option<&'static str> {
    let starts = |(_, offset, magic): &&(&str, usize, &[u8])| {
        head.get(*offset..).is_some_and(|rest| rest.starts_with(magic))
    };
    FOREIGN.iter().find(starts).map(|(name, ..)| *name)
}

/// A disk in its image.
pub(in crate::disk) enum DiskImage {
    /// A file that is the disk, and its bytes.
    Raw(File, u64),
    Qcow2(Box<Qcow2<File>>),
}

impl DiskImage {
    /// Opens an image, of this form if one is given; otherwise its content tells.
    pub(super) fn open(path: &Path, format: Option<DiskFormat>) -> Result<Self, ImportError> {
        let failed = |source| ImportError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(ImportError::NotAFile { path: path.to_owned() });
        }
        let bytes = metadata.len();
        let mut head = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX).min(512)];
        file.read_exact_at(&mut head, 0).map_err(failed)?;
        let format = match (format, foreign(&head)) {
            (Some(format), _) => format,
            (None, Some(format)) => {
                return Err(ImportError::Foreign { path: path.to_owned(), format });
            }
            (None, None) => format_of(&head).unwrap_or(DiskFormat::Raw),
        };
        match format {
            DiskFormat::Raw => Ok(Self::Raw(file, bytes)),
            DiskFormat::Qcow2 if !qcow2::claims(&head) => {
                Err(ImportError::NotQcow2 { path: path.to_owned() })
            }
            DiskFormat::Qcow2 => Qcow2::open(file, bytes)
                .map(|image| Self::Qcow2(Box::new(image)))
                .map_err(|source| ImportError::Qcow2 { path: path.to_owned(), source }),
        }
    }

    /// Bytes of the disk.
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Raw(_, bytes) => *bytes,
            Self::Qcow2(image) => image.size(),
        }
    }

    /// Copies `length` bytes of the disk from `start` on to byte `offset` of `to`, where
    /// nothing has been written yet: what has no content stays a hole.
    pub(super) fn copy(
        &self,
        start: u64,
        to: &File,
        offset: u64,
        length: u64,
        progress: &dyn Progress,
    ) -> io::Result<()> {
        match self {
            Self::Raw(file, _) => copy::copy(file, start, to, offset, length, progress),
            Self::Qcow2(image) => copy::copy_clusters(image, start, to, offset, length, progress),
        }
    }
}

impl ReadAt for DiskImage {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        match self {
            Self::Raw(file, _) => ReadAt::read_exact_at(file, buf, offset),
            Self::Qcow2(image) => image.read_exact_at(buf, offset),
        }
    }
}
