//! File systems made from a tree by their own tools, without root.
//!
//! Each tool gets the canonical tar stream of [`tree`](super::tree) and writes
//! to the start of an unnamed file. All three could write at the offset where the
//! partition begins, and are not asked to: erofs-utils 1.8.6 then puts wrong data
//! into files, without a word. A disk's root partition is copied from that file
//! instead, inside of the kernel (by reference where the file system can), which
//! is the cheapest part of a build.
//!
//! What reaches the bytes of a file system is the tree, the seed and the
//! options: no environment, clock, user, configuration file or core count.

mod attributes;
mod debugfs;
mod depmod;
mod erofs;
mod ext4;
mod squashfs;
mod tool;

use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;
use std::str::FromStr;

use protocol::config::FsType;
use thiserror::Error;
use uuid::Uuid;

pub(crate) use debugfs::Debugfs;
pub(crate) use depmod::depmod;
pub use tool::{ToolError, Tools};

use super::tree::{Canonical, Dialect, Entry, Note, Notes, Rules};
use super::{BuildError, Owner, Prepared, Xattrs};
use crate::progress::Progress;
use tool::Running;

/// Whether a file system that has all of Linux's attributes has such a one.
fn is_known_attribute(name: &str) -> bool {
    ["user.", "trusted.", "security."].iter().any(|prefix| name.starts_with(prefix))
        || name == "system.posix_acl_access"
        || name == "system.posix_acl_default"
}

/// Which file system to make, and what only it can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Make {
    /// EROFS, the default.
    Erofs {
        /// lz4 unless said otherwise; `None` stores files as they are.
        compression: Option<Compression>,
    },
    /// SquashFS.
    Squashfs {
        /// zstd unless said otherwise; `None` stores files as they are.
        compression: Option<Compression>,
    },
    /// ext4.
    Ext4 {
        /// Bytes of the file system, a multiple of 4096; computed if `None`.
        size: Option<u64>,
        /// With a journal, free space and spare inodes: to be written to.
        writable: bool,
    },
}

impl Make {
    /// A file system with its default settings; `None` for one that can only be
    /// taken as it is.
    #[must_use]
    pub fn new(fs: FsType) -> Option<Make> {
        match fs {
            FsType::Erofs => Some(Make::default()),
            FsType::Squashfs => Some(Make::Squashfs { compression: Compression::new("zstd") }),
            FsType::Ext4 => Some(Make::Ext4 { size: None, writable: false }),
            FsType::Xfs | FsType::Btrfs => None,
        }
    }

    /// Which file system it is.
    #[must_use]
    pub fn fs(&self) -> FsType {
        match self {
            Make::Erofs { .. } => FsType::Erofs,
            Make::Squashfs { .. } => FsType::Squashfs,
            Make::Ext4 { .. } => FsType::Ext4,
        }
    }
}

impl Default for Make {
    fn default() -> Make {
        Make::Erofs { compression: Compression::new("lz4") }
    }
}

/// A compression by the name that the file system's tool gives it, as text
/// `NAME` or `NAME:LEVEL`. The tool knows which ones there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compression {
    algorithm: String,
    level: Option<u32>,
}

impl Compression {
    fn new(algorithm: &str) -> Option<Compression> {
        Some(Compression { algorithm: algorithm.to_owned(), level: None })
    }
}

/// Text that is no compression.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is not a compression: write NAME or NAME:LEVEL, such as lz4 or zstd:19")]
pub struct CompressionError(String);

impl FromStr for Compression {
    type Err = CompressionError;

    fn from_str(text: &str) -> Result<Compression, CompressionError> {
        let refused = || CompressionError(text.to_owned());
        let (algorithm, level) = match text.split_once(':') {
            Some((algorithm, level)) => (algorithm, Some(level)),
            None => (text, None),
        };
        // Nothing that a tool could take for another option.
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let level = level
            .map(|level| level.parse().ok().filter(|_| level.bytes().all(|b| b.is_ascii_digit())));
        let level = level.map(|level: Option<u32>| level.ok_or_else(refused)).transpose()?;
        if algorithm.is_empty() || !algorithm.bytes().all(plain) {
            return Err(refused());
        }
        Ok(Compression { algorithm: algorithm.to_owned(), level })
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.algorithm)?;
        self.level.map_or(Ok(()), |level| write!(f, ":{level}"))
    }
}

/// What all file systems are told.
pub(crate) struct Settings<'a> {
    pub(crate) make: &'a Make,
    pub(crate) owner: Owner,
    pub(crate) xattrs: Xattrs,
    /// Creation time, in seconds since 1970.
    pub(crate) created: u32,
    pub(crate) uuid: Uuid,
    pub(crate) hash_seed: Uuid,
    pub(crate) tools: &'a Tools,
}

/// Where a file system is written.
pub(crate) struct Place<'a> {
    pub(crate) file: &'a File,
    /// A path beside which unnamed files may be made.
    pub(crate) beside: &'a Path,
}

/// Makes the file system at the start of an empty file.
pub(crate) fn make(
    tree: Prepared,
    settings: &Settings<'_>,
    place: &Place<'_>,
    progress: &dyn Progress,
) -> Result<Notes, BuildError> {
    match settings.make {
        Make::Erofs { compression } => {
            erofs::make(tree, compression.as_ref(), settings, place, progress)
        }
        Make::Squashfs { compression } => {
            squashfs::make(tree, compression.as_ref(), settings, place, progress)
        }
        Make::Ext4 { size, writable } => {
            let shape = ext4::Shape { size: *size, writable: *writable };
            ext4::make(tree, shape, settings, place, progress)
        }
    }
}

fn rules(settings: &Settings<'_>, dialect: Dialect) -> Rules {
    let Settings { owner, xattrs, .. } = *settings;
    Rules { dialect, owner, xattrs }
}

/// Streams the tree into the standard input of the tool that `spawn` starts.
fn feed(
    tree: Prepared,
    rules: Rules,
    spawn: impl FnOnce(&Entry) -> Result<Running, ToolError>,
    progress: &dyn Progress,
) -> Result<Notes, BuildError> {
    let mut running = None;
    let slot = &mut running;
    let streamed = tree
        .stream(move |root| {
            let input = slot.insert(spawn(root)?);
            Canonical::begin(root, rules, input, progress)
        })
        .and_then(Canonical::finish);
    match (streamed, running) {
        (Ok((_, mut notes)), Some(running)) => {
            notes.extend(running.finish()?);
            Ok(notes)
        }
        // The tool's own words say more than that its input was closed.
        (Err(error), Some(running)) if stopped_reading(&error) => {
            Err(running.finish().map_or_else(BuildError::from, |_| error))
        }
        // On an error of ours, the tool is dropped and so killed.
        (streamed, _) => streamed.map(|(_, notes)| notes),
    }
}

/// Whether the tool closed its input.
fn stopped_reading(error: &BuildError) -> bool {
    if let BuildError::Feed(source) = error {
        source.kind() == io::ErrorKind::BrokenPipe
    } else {
        false
    }
}

impl Notes {
    fn extend(&mut self, said: Option<Note>) {
        if let Some(note) = said {
            self.push(note);
        }
    }
}

/// The path by which a tool opens a file that has no name.
fn path_of(file: &File) -> String {
    use std::os::fd::AsRawFd;
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd())
}

/// Why a scratch file cannot be used.
fn scratch(source: io::Error) -> BuildError {
    BuildError::Scratch { source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compression_is_a_name_and_a_level() {
        for text in ["lz4", "zstd:19", "lz4hc:9"] {
            assert_eq!(text.parse::<Compression>().unwrap().to_string(), text);
        }
        for text in ["", ":", "zstd:", "zstd:x", "zstd:+1", "-z", "lz4,level=9", "LZ4", "a b"] {
            assert_eq!(text.parse::<Compression>(), Err(CompressionError(text.to_owned())));
        }
    }
}
