//! Writing newc cpio archives, byte for byte the same from the same content.
//!
//! Nothing of the machine that builds reaches the bytes: entries are sorted,
//! inode numbers are counted, times and owners are zero. The archive is part of
//! the launch measurement, and the owner must be able to compute it again.

use std::collections::BTreeMap;
use std::io::{self, Write};

use thiserror::Error;

use super::header::{
    BLOCK_BYTES, CHARACTER_DEVICE, DIRECTORY, HEADER_BYTES, Header, MAX_NAME_BYTES, REGULAR,
    SYMLINK, TRAILER, padding_after,
};

/// Why an entry cannot be in an archive.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// A path with `..`, an empty component, a NUL, or of no length.
    #[error("{path:?} is not a plain path inside an archive (no `..`, no empty part, no NUL)")]
    Path {
        /// The path as given.
        path: String,
    },
    /// A name that the kernel would skip.
    #[error("the path {start:?}… is {bytes} bytes long; the kernel skips names over 4095 bytes")]
    LongPath {
        /// The first 60 characters of the path.
        start: String,
        /// Its length.
        bytes: usize,
    },
    /// A file larger than the format can say.
    #[error("/{path} is {bytes} bytes long; a cpio archive holds files below 4 GiB only")]
    TooLarge {
        /// The path inside the archive.
        path: String,
        /// The file's size.
        bytes: u64,
    },
    /// Two entries of one name.
    #[error("/{path} is already in the archive")]
    Repeated {
        /// The path inside the archive.
        path: String,
    },
    /// Something that is not a directory has entries below it.
    #[error("/{path} is in the archive and is not a directory, so nothing can be below it")]
    NotADirectory {
        /// The path inside the archive.
        path: String,
    },
}

/// A newc archive in memory.
///
/// Paths are those inside the initramfs, with or without the leading `/`.
/// Directories above an entry are made, with mode 0755, where they are missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Archive {
    entries: BTreeMap<String, Node>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Node {
    /// Type and permissions.
    mode: u32,
    content: Vec<u8>,
    device: (u32, u32),
}

impl Archive {
    /// An archive without entries.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a directory, or sets the permissions of one that is there.
    ///
    /// # Errors
    /// A path that is not plain, or that something else has.
    pub fn directory(&mut self, path: &str, permissions: u32) -> Result<&mut Self, ArchiveError> {
        let node =
            Node { mode: DIRECTORY | (permissions & 0o7777), content: Vec::new(), device: (0, 0) };
        if let Some(old) = self.entries.get_mut(name(path)?)
            && old.is_directory()
        {
            *old = node;
            return Ok(self);
        }
        self.add(path, node)
    }

    /// Adds a regular file.
    ///
    /// # Errors
    /// A path that is not plain or not free, or a content of 4 GiB or more.
    pub fn file(
        &mut self,
        path: &str,
        permissions: u32,
        content: Vec<u8>,
    ) -> Result<&mut Self, ArchiveError> {
        size(name(path)?, content.len())?;
        self.add(path, Node { mode: REGULAR | (permissions & 0o7777), content, device: (0, 0) })
    }

    /// Adds a symbolic link that holds `target`.
    ///
    /// # Errors
    /// A path that is not plain or not free; a target that is empty, has a NUL
    /// or is longer than a path may be.
    pub fn symlink(&mut self, path: &str, target: &str) -> Result<&mut Self, ArchiveError> {
        if target.is_empty() || target.contains('\0') {
            return Err(ArchiveError::Path { path: target.to_owned() });
        }
        check_length(target)?;
        let content = target.as_bytes().to_vec();
        self.add(path, Node { mode: SYMLINK | 0o777, content, device: (0, 0) })
    }

    /// Adds a character device node of numbers (major, minor).
    ///
    /// # Errors
    /// A path that is not plain or not free.
    pub fn character_device(
        &mut self,
        path: &str,
        permissions: u32,
        device: (u32, u32),
    ) -> Result<&mut Self, ArchiveError> {
        let mode = CHARACTER_DEVICE | (permissions & 0o7777);
        self.add(path, Node { mode, content: Vec::new(), device })
    }

    /// The paths of the entries, without the leading `/`, in the archive's order.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Writes the archive with its trailer, padded to a multiple of 512 bytes.
    ///
    /// # Errors
    /// What `out` answers.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        let mut out = Counted { inner: out, bytes: 0 };
        for (ino, (name, node)) in (1..).zip(&self.entries) {
            out.entry(ino, self.links(name, node), name, node)?;
        }
        let trailer = Node { mode: 0, content: Vec::new(), device: (0, 0) };
        out.entry(0, 1, TRAILER, &trailer)?;
        let block = BLOCK_BYTES as u64;
        out.zeros(out.bytes.next_multiple_of(block) - out.bytes)
    }

    /// The bytes that [`Archive::write_to`] writes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // Writing into a Vec does not fail.
        let _ = self.write_to(&mut bytes);
        bytes
    }

    fn add(&mut self, path: &str, node: Node) -> Result<&mut Self, ArchiveError> {
        let name = name(path)?;
        if self.entries.contains_key(name) {
            return Err(ArchiveError::Repeated { path: name.to_owned() });
        }
        for (at, _) in name.match_indices('/') {
            let above = name.get(..at).unwrap_or_default();
            let directory = Node { mode: DIRECTORY | 0o755, content: Vec::new(), device: (0, 0) };
            if !self.entries.entry(above.to_owned()).or_insert(directory).is_directory() {
                return Err(ArchiveError::NotADirectory { path: above.to_owned() });
            }
        }
        self.entries.insert(name.to_owned(), node);
        Ok(self)
    }

    /// As a file system counts them: a directory is linked by its parent, by
    /// itself and by each directory in it.
    fn links(&self, name: &str, node: &Node) -> u32 {
        if !node.is_directory() {
            return 1;
        }
        let prefix = format!("{name}/");
        let children = self
            .entries
            .range(prefix.clone()..)
            .map_while(|(path, node)| Some((path.strip_prefix(&prefix)?, node)))
            .filter(|(path, node)| node.is_directory() && !path.contains('/'))
            .count();
        u32::try_from(children).unwrap_or(u32::MAX - 2) + 2
    }
}

impl Node {
    fn is_directory(&self) -> bool {
        self.mode & super::header::TYPE_MASK == DIRECTORY
    }
}

struct Counted<'a, W> {
    inner: &'a mut W,
    bytes: u64,
}

impl<W: Write> Counted<'_, W> {
    fn entry(&mut self, ino: u32, nlink: u32, name: &str, node: &Node) -> io::Result<()> {
        let too_large = |error| io::Error::new(io::ErrorKind::FileTooLarge, error);
        let header = Header {
            ino,
            mode: node.mode,
            nlink,
            size: size(name, node.content.len()).map_err(too_large)?,
            device: node.device,
            name_bytes: size(name, name.len() + 1).map_err(too_large)?,
            ..Header::default()
        };
        let header = header.encode();
        debug_assert_eq!(header.len(), HEADER_BYTES, "every number has eight digits");
        self.all(header.as_bytes())?;
        self.all(name.as_bytes())?;
        self.all(&[0])?;
        self.zeros(padding_after(self.bytes))?;
        self.all(&node.content)?;
        self.zeros(padding_after(self.bytes))
    }

    fn zeros(&mut self, count: u64) -> io::Result<()> {
        for _ in 0..count {
            self.all(&[0])?;
        }
        Ok(())
    }

    fn all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.inner.write_all(bytes)?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

/// The name in the archive of a path in the initramfs.
fn name(path: &str) -> Result<&str, ArchiveError> {
    let name = path.strip_prefix('/').unwrap_or(path);
    check_length(name)?;
    let plain = name.split('/').all(|part| !matches!(part, "" | "." | ".."));
    // An entry of the trailer's name would end the archive.
    if !plain || name.contains('\0') || name == TRAILER {
        return Err(ArchiveError::Path { path: path.to_owned() });
    }
    Ok(name)
}

fn check_length(name: &str) -> Result<(), ArchiveError> {
    if name.len() < MAX_NAME_BYTES as usize {
        return Ok(());
    }
    Err(ArchiveError::LongPath { start: name.chars().take(60).collect(), bytes: name.len() })
}

fn size(path: &str, bytes: usize) -> Result<u32, ArchiveError> {
    u32::try_from(bytes)
        .map_err(|_too_large| ArchiveError::TooLarge { path: path.to_owned(), bytes: bytes as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_archive_is_its_trailer() {
        let bytes = Archive::new().to_bytes();
        assert_eq!(bytes.len(), 512);
        assert!(bytes.starts_with(b"07070100000000"));
        assert_eq!(&bytes[110..121], b"TRAILER!!!\0");
        assert!(bytes[121..].iter().all(|&b| b == 0));
    }

    #[test]
    fn the_order_of_adding_does_not_matter() {
        let mut one = Archive::new();
        one.file("/a/x", 0o644, b"1".to_vec()).unwrap();
        one.directory("/b", 0o700).unwrap();
        one.symlink("/a-b", "a").unwrap();
        let mut other = Archive::new();
        other.symlink("a-b", "a").unwrap();
        other.directory("b", 0o700).unwrap();
        other.directory("a", 0o755).unwrap();
        other.file("a/x", 0o644, b"1".to_vec()).unwrap();
        assert_eq!(one.to_bytes(), other.to_bytes());
        assert_eq!(one.paths().collect::<Vec<_>>(), ["a", "a-b", "a/x", "b"]);
    }

    #[test]
    fn directories_count_the_directories_in_them() {
        let mut archive = Archive::new();
        archive.file("a/b/c/file", 0o644, Vec::new()).unwrap();
        archive.directory("a/d", 0o755).unwrap();
        archive.directory("ab", 0o755).unwrap();
        let links = |path: &str| archive.links(path, &archive.entries[path]);
        assert_eq!(["a", "a/b", "a/b/c", "a/b/c/file", "ab"].map(links), [4, 3, 2, 1, 2]);
    }

    #[test]
    fn paths_that_are_not_plain_are_refused() {
        let mut archive = Archive::new();
        for path in ["", "/", "//a", "a//b", "a/", "./a", "a/../b", "..", "a\0b", "TRAILER!!!"] {
            let error = archive.file(path, 0o644, Vec::new()).unwrap_err();
            assert_eq!(error, ArchiveError::Path { path: path.into() });
        }
        let longest = "a/".repeat(2047) + "a";
        assert_eq!(longest.len(), 4095);
        archive.file(&longest, 0o644, Vec::new()).unwrap();
        let error = archive.file(&(longest + "a"), 0o644, Vec::new()).unwrap_err();
        assert!(matches!(error, ArchiveError::LongPath { bytes: 4096, .. }));
    }

    #[test]
    fn a_name_is_given_once_and_files_have_nothing_below_them() {
        let mut archive = Archive::new();
        archive.file("a", 0o644, Vec::new()).unwrap();
        let repeated = ArchiveError::Repeated { path: "a".into() };
        assert_eq!(archive.file("/a", 0o644, Vec::new()).unwrap_err(), repeated);
        assert_eq!(archive.directory("a", 0o755).unwrap_err(), repeated);
        assert_eq!(
            archive.file("a/b", 0o644, Vec::new()).unwrap_err(),
            ArchiveError::NotADirectory { path: "a".into() }
        );
    }

    #[test]
    fn a_file_of_four_gibibytes_is_refused_by_name() {
        assert_eq!(size("big", (1 << 32) - 1), Ok(u32::MAX));
        let error = size("big", 1 << 32).unwrap_err();
        assert_eq!(
            error.to_string(),
            "/big is 4294967296 bytes long; a cpio archive holds files below 4 GiB only"
        );
    }
}
