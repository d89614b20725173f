//! The content of a root file system on its way to a mkfs tool.
//!
//! A tree is read from a directory or a tar and becomes one canonical tar
//! stream: that is how a tool can be told owners, modes, devices and attributes
//! without being root. The stream is made anew even from a tar, because the
//! tools' own tar readers disagree (on repeated members, on fractions of a
//! second, on sparse files) and because nothing they might misread may reach
//! them: in the stream every directory comes before its content, every name
//! once, every hard link after its target, and no name leads out of the tree.
//!
//! Threat: a tar is somebody else's file. It may not exhaust memory, reach a
//! path outside of the image, or lose members silently.

mod canonical;
mod compression;
mod directory;
mod error;
mod header;
mod members;
mod notes;
mod tarball;
#[cfg(test)]
mod tests;

use std::io::Read;

pub(super) use canonical::check_path;
pub(crate) use canonical::{Canonical, Dialect, Rules, Totals};
pub(super) use compression::{is_compressed, plain};
pub(crate) use directory::Directory;
pub(crate) use error::Shown;
pub use error::TreeError;
pub(super) use members::{Members, checksum};
pub use notes::{Note, Notes};
pub(crate) use tarball::Tarball;
pub(super) use tarball::{damaged, normal, parse};

use super::BuildError;
use super::container::Container;
use super::import::Ext4Tree;

/// All content of a small member.
pub(in crate::disk) fn small(
    path: &[u8],
    size: u64,
    content: &mut dyn Read,
) -> Result<Vec<u8>, TreeError> {
    let mut bytes = Vec::new();
    content.take(size).read_to_end(&mut bytes).map_err(|source| TreeError::Read {
        path: path.to_vec(),
        action: "its content cannot be read",
        source,
    })?;
    if bytes.len() as u64 != size {
        return Err(TreeError::Short { path: path.to_vec() });
    }
    Ok(bytes)
}

/// The longest path in a tree, and the longest target of a symbolic link, in
/// bytes: `PATH_MAX` without its final zero.
pub(super) const MAX_PATH: usize = 4095;
/// The longest component of a path, in bytes.
const MAX_NAME: usize = 255;

/// One member of a tree.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Path from the root, without a slash at either end; empty for the root itself.
    pub(crate) path: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) meta: Meta,
    /// Extended attributes, sorted by name.
    pub(crate) xattrs: Vec<(String, Vec<u8>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File {
        /// Bytes.
        size: u64,
    },
    Symlink {
        target: Vec<u8>,
    },
    HardLink {
        /// A path as in [`Entry::path`].
        target: Vec<u8>,
    },
    CharacterDevice(Device),
    BlockDevice(Device),
    Fifo,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) major: u32,
    pub(crate) minor: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    /// The twelve permission bits.
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Time,
}

/// A modification time. Times before 1970 become 1970, times after 2106 become
/// 2106: squashfs and mke2fs have 32 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Time {
    pub(crate) seconds: u32,
    pub(crate) nanoseconds: u32,
}

impl Time {
    pub(crate) fn new(seconds: i64, nanoseconds: u32) -> Time {
        match u32::try_from(seconds) {
            Ok(seconds) => Time { seconds, nanoseconds },
            Err(_) if seconds < 0 => Time::default(),
            Err(_) => Time { seconds: u32::MAX, nanoseconds: 0 },
        }
    }
}

impl Entry {
    /// A directory that a tar does not list.
    pub(super) fn implied_directory(path: Vec<u8>) -> Entry {
        let meta = Meta { mode: 0o755, uid: 0, gid: 0, mtime: Time::default() };
        Entry { path, kind: Kind::Directory, meta, xattrs: Vec::new() }
    }
}

/// Takes the members of a tree, each directory before its content.
pub(crate) trait Sink {
    /// `content` has the bytes of a file, and nothing for other kinds.
    fn add(&mut self, entry: Entry, content: &mut dyn Read) -> Result<(), BuildError>;

    /// Something that the user should know.
    fn note(&mut self, note: Note);
}

/// A tree to be read once.
pub(crate) enum Tree {
    Directory(Directory),
    Tarball(Tarball),
    Container(Box<Container>),
    Ext4(Box<Ext4Tree>),
}

impl Tree {
    /// Gives the root to `open` and everything below it to the sink that it
    /// returns.
    pub(crate) fn stream<S: Sink>(
        self,
        open: impl FnOnce(&Entry) -> Result<S, BuildError>,
    ) -> Result<S, BuildError> {
        match self {
            Tree::Directory(directory) => directory.stream(open),
            Tree::Tarball(tarball) => tarball.stream(open),
            Tree::Container(container) => container.stream(open),
            Tree::Ext4(files) => files.stream(open),
        }
    }
}
