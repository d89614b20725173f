//! Why a tree cannot be read, or cannot become a file system.

use std::fmt;
use std::io;
use std::path::PathBuf;

use protocol::config::FsType;
use thiserror::Error;

use crate::disk::container::ContainerError;

/// A path or name in a tree for a message: as it is where it is plain text,
/// otherwise escaped, so that it can neither hide nor steer a terminal.
pub(crate) struct Shown<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match std::str::from_utf8(self.0) {
            Ok("") => f.write_str("/"),
            Ok(text) if !text.contains(char::is_control) => f.write_str(text),
            _ => write!(f, "{}", self.0.escape_ascii()),
        }
    }
}

/// Why a tree is refused. Paths are those in the tree, relative to its root.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TreeError {
    /// The source cannot be opened.
    #[error("{}: cannot be opened", .path.display())]
    Open {
        /// The source.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A member of a directory cannot be read.
    #[error(
        "{}: {action}{}", Shown(.path),
        if source.kind() == io::ErrorKind::PermissionDenied {
            " (make it readable, or give a tar that root made)"
        } else {
            ""
        }
    )]
    Read {
        /// Path in the tree.
        path: Vec<u8>,
        /// What was tried.
        action: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// Another file system is mounted inside the directory.
    #[error(
        "{}: another file system is mounted here; unmount it, so that it is clear whether its \
         content belongs to the image", Shown(.path)
    )]
    MountPoint {
        /// Path in the tree.
        path: Vec<u8>,
    },
    /// A file was written to while it was read.
    #[error("{}: changed while it was read; stop what writes to the tree", Shown(.path))]
    Changed {
        /// Path in the tree.
        path: Vec<u8>,
    },
    /// The tar, or its compression, is damaged.
    #[error("{name}: damaged after byte {offset} (of the uncompressed tar)")]
    Damaged {
        /// The tar.
        name: String,
        /// How far it was read.
        offset: u64,
        /// What is wrong.
        source: io::Error,
    },
    /// The tar ends before its end marker.
    #[error("{name}: ends at byte {offset} without the end marker of a tar; it was cut off")]
    CutOff {
        /// The tar.
        name: String,
        /// Its size.
        offset: u64,
    },
    /// Something follows the tar's end marker.
    #[error(
        "{name}: holds data after the end of the archive; are these several tars in one file? \
         `tar --concatenate` joins them"
    )]
    Trailing {
        /// The tar.
        name: String,
    },
    /// A member of a tar that is not supported.
    #[error("{}: {problem}", Shown(.path))]
    Member {
        /// The member's name as it stands in the tar.
        path: Vec<u8>,
        /// What is wrong with it, and the remedy.
        problem: &'static str,
    },
    /// A path or target that no file system of these takes.
    #[error(
        "{}: a path may have {} bytes, each of its names {}", Shown(.path),
        super::MAX_PATH, super::MAX_NAME
    )]
    TooLong {
        /// Path in the tree.
        path: Vec<u8>,
    },
    /// Another name of a file that is left out or replaced.
    #[error(
        "{}: is a hard link to {}, which is to be left out or replaced; make it a file of its own, \
         or keep the other one", Shown(.path), Shown(.target)
    )]
    LeftOutLink {
        /// Path in the tree.
        path: Vec<u8>,
        /// What is left out or replaced.
        target: Vec<u8>,
    },
    /// A name that occurs twice.
    #[error(
        "{}: is there twice; extract the tar and pack it again, so that it is clear which one counts",
        Shown(.path)
    )]
    Repeated {
        /// Path in the tree.
        path: Vec<u8>,
    },
    /// A directory that is listed after what it contains.
    #[error("{}: the directory is listed after its content; pack the tar again", Shown(.path))]
    LateDirectory {
        /// Path in the tree.
        path: Vec<u8>,
    },
    /// Something lies below a name that is no directory.
    #[error("{}: lies below {}, which is not a directory", Shown(.path), Shown(.parent))]
    NotADirectory {
        /// Path in the tree.
        path: Vec<u8>,
        /// The part of it that is something else.
        parent: Vec<u8>,
    },
    /// A hard link to nothing, or to a directory.
    #[error(
        "{}: is a hard link to {}, which is not a file that comes before it", Shown(.path),
        Shown(.target)
    )]
    LinkTarget {
        /// Path in the tree.
        path: Vec<u8>,
        /// Where it points.
        target: Vec<u8>,
    },
    /// An image of a file system, where a tree is needed.
    #[error(
        "{}: is the image of a file system, which is taken as it is and not looked into; give a \
         directory, a tar or a container image", .path.display()
    )]
    NotLookedInto {
        /// The image.
        path: PathBuf,
    },
    /// A customization that does not fit the tree.
    #[error("{}: {problem}", Shown(.path))]
    Customize {
        /// Path in the tree.
        path: Vec<u8>,
        /// What is in the way, and the remedy.
        problem: String,
    },
    /// A container image that cannot be read.
    #[error(transparent)]
    Container(Box<ContainerError>),
    /// A file with less content than its size says.
    #[error("{}: ends early", Shown(.path))]
    Short {
        /// Path in the tree.
        path: Vec<u8>,
    },
    /// An attribute that would be lost.
    #[error(
        "{}: has the attribute {}, which {} cannot take{}; choose another file system (erofs \
         takes user, trusted, security and ACL attributes), or have such attributes left out",
        Shown(.path), Shown(.name.as_bytes()), fs.as_str(),
        if *fs == FsType::Ext4 { " (or not as large)" } else { "" }
    )]
    Attribute {
        /// Path in the tree.
        path: Vec<u8>,
        /// The attribute's name.
        name: String,
        /// The file system.
        fs: FsType,
    },
}
