//! What a build left out or was told by a tool: facts that the user should see
//! though they are no failure.

use std::fmt;

use protocol::config::FsType;

use super::Shown;
use crate::disk::clean::Finding;

/// How many notes are kept word by word.
const KEPT: usize = 50;

/// One thing that the user should know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// A socket: it means nothing without the process that listens on it.
    SocketSkipped {
        /// Path from the root of the tree.
        path: Vec<u8>,
    },
    /// An attribute that the file system cannot hold.
    AttributeDropped {
        /// Path from the root of the tree.
        path: Vec<u8>,
        /// The attribute's name.
        name: String,
    },
    /// An SSH host key that was left out: the guest makes its own.
    HostKeyLeftOut {
        /// Path from the root of the tree.
        path: Vec<u8>,
    },
    /// The root of a disk is on a file system whose files are not read.
    FileSystemKept {
        /// Its kind.
        kind: FsType,
    },
    /// Something that does not belong into a public image.
    Found(Finding),
    /// A container image without a program that could run as the first one.
    NoInit,
    /// What the file system's tool said although it succeeded.
    Tool {
        /// The tool's name.
        tool: &'static str,
        /// Its words.
        text: String,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::SocketSkipped { path } => write!(f, "{}: socket skipped", Shown(path)),
            Note::AttributeDropped { path, name } => {
                write!(f, "{}: attribute {} left out", Shown(path), Shown(name.as_bytes()))
            }
            Note::HostKeyLeftOut { path } => write!(f, "{}: host key left out", Shown(path)),
            Note::FileSystemKept { kind } => {
                write!(f, "the root is {kind}, whose files are not read: it is taken as it is")
            }
            Note::Found(finding) => finding.fmt(f),
            Note::NoInit => f.write_str(
                "the container image has no /sbin/init, which the VM starts; install one (on Debian \
                 and Ubuntu the package systemd-sysv), or name another program with \
                 ravelin.root.init",
            ),
            Note::Tool { tool, text } => write!(f, "{tool}: {text}"),
        }
    }
}

/// The notes of a build: the first ones, and how many more there were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// The first notes, in order.
    pub list: Vec<Note>,
    /// How many were not kept.
    pub omitted: u64,
}

impl Notes {
    pub(crate) fn push(&mut self, note: Note) {
        if self.list.len() < KEPT {
            self.list.push(note);
        } else {
            self.omitted = self.omitted.saturating_add(1);
        }
    }
}
