//! The image of one file system: a file, or a partition of a disk image.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use protocol::config::FsType;
use verity::{ReadAt, Region};

use super::container::DiskImage;
use crate::disk::{Note, Notes};
use crate::progress::Progress;

/// The bytes of one file system. Offset 0 is its first one.
pub struct FileSystemImage {
    disk: DiskImage,
    offset: u64,
    bytes: u64,
    path: PathBuf,
    /// It is taken as it is because there is no reader for its kind.
    unread: Option<FsType>,
}

impl FileSystemImage {
    /// A file that is the image.
    pub(in crate::disk) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self::part(DiskImage::Raw(file, bytes), 0, bytes, path))
    }

    /// A part of a disk, which has to be in it.
    pub(super) fn part(disk: DiskImage, offset: u64, bytes: u64, path: &Path) -> Self {
        Self { disk, offset, bytes, path: path.to_owned(), unread: None }
    }

    /// The same, of a kind that is not read.
    pub(super) fn unread(self, kind: FsType) -> Self {
        Self { unread: Some(kind), ..self }
    }

    /// What the user should know about it.
    pub(in crate::disk) fn notes(&self) -> Notes {
        let mut notes = Notes::default();
        if let Some(kind) = self.unread {
            notes.push(Note::FileSystemKept { kind });
        }
        notes
    }

    /// Bytes that it may have: those of its partition.
    pub(in crate::disk) fn size(&self) -> u64 {
        self.bytes
    }

    /// The file that it is in.
    pub(in crate::disk) fn path(&self) -> &Path {
        &self.path
    }

    /// Copies the first `length` bytes to byte `offset` of `to`, where nothing has been
    /// written yet.
    pub(in crate::disk) fn copy(
        &self,
        to: &File,
        offset: u64,
        length: u64,
        progress: &dyn Progress,
    ) -> io::Result<()> {
        self.disk.copy(self.offset, to, offset, length, progress)
    }
}

impl ReadAt for FileSystemImage {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        Region::new(&self.disk, self.offset, self.bytes).read_exact_at(buf, offset)
    }
}
