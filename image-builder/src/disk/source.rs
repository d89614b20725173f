//! What a root image is made from.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::import::{self, DiskOptions, Ext4Tree, FileSystemImage, ImportError, Root};
use super::tree::{Directory, Tree, TreeError, checksum, is_compressed};
use super::{BuildError, container, probe};
use crate::progress::Progress;

/// How much of a file is looked at to tell what it is.
const HEAD: u64 = 1 << 17;

/// What a root image is made from.
pub enum Source {
    /// A directory: its content becomes the root; or an OCI image layout.
    Directory(PathBuf),
    /// A tar: v7, ustar, GNU or PAX; plain, gzip, xz or zstd; of the root, or of a container
    /// image (an OCI image layout, or what `docker save` or `podman save` wrote).
    Tar(PathBuf),
    /// A tar from somewhere else, such as the standard input.
    TarStream {
        /// What to call it in errors.
        name: String,
        /// The tar.
        reader: Box<dyn Read>,
    },
    /// An image of a file system (erofs, squashfs, ext4, xfs, btrfs), taken as it is.
    Image(PathBuf),
    /// The file system of a disk image's root, taken as it is.
    DiskFileSystem(FileSystemImage),
    /// The files of a disk image's root, an ext4.
    DiskFiles(FileSystemImage),
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Directory(path) => f.debug_tuple("Directory").field(path).finish(),
            Source::Tar(path) => f.debug_tuple("Tar").field(path).finish(),
            Source::TarStream { name, .. } => f.debug_tuple("TarStream").field(name).finish(),
            Source::Image(path) => f.debug_tuple("Image").field(path).finish(),
            Source::DiskFileSystem(image) => {
                f.debug_tuple("DiskFileSystem").field(&image.path()).finish()
            }
            Source::DiskFiles(image) => f.debug_tuple("DiskFiles").field(&image.path()).finish(),
        }
    }
}

/// Why a path is no source.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SourceError {
    /// It cannot be read.
    #[error("{}: cannot be read", .path.display())]
    Read {
        /// The path.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A disk image that is not taken.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// Something else.
    #[error(
        "{}: is neither a directory, nor a tar (plain, gzip, xz, zstd), nor a disk image (raw with \
         a partition table, qcow2), nor an image of erofs, squashfs, ext4, xfs or btrfs",
        .path.display()
    )]
    Unknown {
        /// The path.
        path: PathBuf,
    },
}

impl Source {
    /// Tells by its content what lies at a path.
    ///
    /// # Errors
    /// What cannot be read, or is none of them; a disk image as [`Source::disk`] refuses it.
    pub fn detect(path: &Path) -> Result<Source, SourceError> {
        let failed = |source| SourceError::Read { path: path.to_owned(), source };
        let kind = path.metadata().map_err(failed)?.file_type();
        if kind.is_dir() {
            return Ok(Source::Directory(path.to_owned()));
        }
        if !kind.is_file() {
            // A pipe cannot be looked at twice, and only a tar can come out of one.
            return Ok(Source::Tar(path.to_owned()));
        }
        let mut head = Vec::new();
        File::open(path).and_then(|f| f.take(HEAD).read_to_end(&mut head)).map_err(failed)?;
        if import::is_partitioned(path)?
            || import::format_of(&head).is_some()
            || import::foreign(&head).is_some()
        {
            return Source::disk(path, &DiskOptions::default());
        }
        if is_tar(&head) || is_compressed(&head) {
            return Ok(Source::Tar(path.to_owned()));
        }
        if probe::claims(&head) {
            return Ok(Source::Image(path.to_owned()));
        }
        Err(SourceError::Unknown { path: path.to_owned() })
    }

    /// The root of the disk image at a path.
    ///
    /// # Errors
    /// [`ImportError`], by layer.
    pub fn disk(path: &Path, options: &DiskOptions) -> Result<Source, SourceError> {
        Ok(match import::open(path, options)? {
            Root::FileSystem(image) => Source::DiskFileSystem(image),
            Root::Ext4(image) => Source::DiskFiles(image),
        })
    }

    /// Whether it is a file system already, which is not made.
    #[must_use]
    pub fn is_file_system(&self) -> bool {
        matches!(self, Source::Image(_) | Source::DiskFileSystem(_))
    }

    /// The tree to be read, or the image.
    pub(super) fn open(self, opening: &Opening<'_>) -> Result<Opened, BuildError> {
        Ok(match self {
            Source::Directory(path) => Opened::Tree(match container::directory(&path, opening)? {
                Some(image) => image,
                None => Tree::Directory(Directory::open(&path)?),
            }),
            Source::Tar(path) => {
                let file = File::open(&path)
                    .map_err(|source| TreeError::Open { path: path.clone(), source })?;
                let reader = container::Reader::File(file);
                Opened::Tree(container::tar(&path.display().to_string(), reader, opening)?)
            }
            Source::TarStream { name, reader } => {
                let reader = container::Reader::Stream(reader);
                Opened::Tree(container::tar(&name, reader, opening)?)
            }
            Source::Image(path) => Opened::Image(
                FileSystemImage::open(&path)
                    .map_err(|source| TreeError::Open { path: path.clone(), source })?,
            ),
            Source::DiskFileSystem(image) => Opened::Image(image),
            Source::DiskFiles(image) => Opened::Tree(Tree::Ext4(Box::new(Ext4Tree::open(image)?))),
        })
    }
}

/// What opening a source needs.
pub(super) struct Opening<'a> {
    /// Which image of several, in a container image.
    pub(super) image: Option<&'a str>,
    /// A path beside which unnamed files may be made.
    pub(super) scratch: &'a Path,
    pub(super) progress: &'a dyn Progress,
}

/// A source that can be read.
pub(super) enum Opened {
    Tree(Tree),
    Image(FileSystemImage),
}

/// A header whose checksum is right, also of v7, which has no magic number; or
/// nothing but zeros, as an empty tar is.
fn is_tar(head: &[u8]) -> bool {
    let Some(block) = head.first_chunk::<512>() else { return false };
    if block.iter().all(|&byte| byte == 0) {
        return head.len() == 10240 || head.len() == 1024;
    }
    tar::Header::from_byte_slice(block).cksum().is_ok_and(|stored| stored == checksum(block))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn sources_are_told_by_their_content() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str, bytes: &[u8]| {
            let path = directory.path().join(name);
            fs::write(&path, bytes).unwrap();
            Source::detect(&path)
        };
        assert!(matches!(Source::detect(directory.path()), Ok(Source::Directory(_))));
        let mut header = tar::Header::new_old();
        header.set_path("a").unwrap();
        header.set_size(0);
        header.set_cksum();
        assert!(matches!(at("v7", header.as_bytes()), Ok(Source::Tar(_))));
        assert!(matches!(at("empty.tar", &[0; 10240]), Ok(Source::Tar(_))));
        assert!(matches!(at("a.tar.zst", &[0x28, 0xb5, 0x2f, 0xfd]), Ok(Source::Tar(_))));
        let mut squashfs = vec![0; 4096];
        squashfs[..4].copy_from_slice(b"hsqs");
        // Even one that is damaged: opening it says how.
        assert!(matches!(at("root.squashfs", &squashfs), Ok(Source::Image(_))));
        let mut disk = vec![0; 4096];
        disk[512..520].copy_from_slice(b"EFI PART");
        let refused = at("disk", &disk);
        assert!(matches!(refused, Err(SourceError::Import(ImportError::PartitionTable { .. }))));
        disk[510..520].copy_from_slice(&[0x55, 0xaa, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert!(matches!(at("no table", &disk), Err(SourceError::Unknown { .. })));
        let refused = at("disk.qcow2", b"QFI\xfb\0\0\0\x03");
        assert!(matches!(refused, Err(SourceError::Import(ImportError::Qcow2 { .. }))));
        let refused = at("disk.vmdk", b"KDMV");
        assert!(matches!(refused, Err(SourceError::Import(ImportError::Foreign { .. }))));
        assert!(matches!(at("text", b"hello"), Err(SourceError::Unknown { .. })));
        assert!(matches!(at("empty", b""), Err(SourceError::Unknown { .. })));
        assert!(matches!(at("zeros", &[0; 4096]), Err(SourceError::Unknown { .. })));
        let missing = Source::detect(&directory.path().join("missing"));
        assert!(matches!(missing, Err(SourceError::Read { .. })));
        assert!(matches!(Source::detect(Path::new("/dev/null")), Ok(Source::Tar(_))));
    }
}
