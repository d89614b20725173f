//! Why an image was not built.

use std::io;
use std::path::PathBuf;

use protocol::config::FsType;
use protocol::gpt::GptError;
use thiserror::Error;
use verity::{BlockSize, GeometryError, ParamsError};

use super::{AddModulesError, ImportError, ProbeError, SidecarError, ToolError, TreeError};
use crate::output::OutputError;

/// Why an image was not built. Nothing was left behind.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The names of the outputs do not go together.
    #[error("{}: {problem}", .path.display())]
    Names {
        /// One of the outputs.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// An output's directory cannot be used.
    #[error("{}: the directory of the output cannot be used; does it exist?", .path.display())]
    Directory {
        /// The output.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A serial that no virtio disk can have.
    #[error(
        "`{serial}` cannot be a disk's serial: 1 to 20 printable ASCII characters, two different ones"
    )]
    Serial {
        /// The serial.
        serial: String,
    },
    /// The source cannot be read, or is no tree.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The disk image is not taken.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The kernel modules cannot be put in.
    #[error(transparent)]
    Modules(Box<AddModulesError>),
    /// The file system's tool is missing or failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The file system's tool does not take its input.
    #[error("the file system's tool cannot be given its input")]
    Feed(#[source] io::Error),
    /// A size that no ext4 has.
    #[error("{bytes} bytes cannot be the size of the file system: give a multiple of 4096")]
    Size {
        /// The size.
        bytes: u64,
    },
    /// A size at which there is no journal.
    #[error(
        "{bytes} bytes are too few for an ext4 that is to be written to: with its journal, this \
         one has at least {least} bytes ({}M), and its content beside that", .least >> 20
    )]
    JournalRoom {
        /// The size.
        bytes: u64,
        /// The least.
        least: u64,
    },
    /// A temporary file beside the output cannot be used.
    #[error("a temporary file beside the output cannot be used; is there enough room?")]
    Scratch {
        /// What the kernel said.
        source: io::Error,
    },
    /// A file system cannot be copied into place.
    #[error("{}: cannot be copied", .path.display())]
    Copy {
        /// The image, or the output.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// There is no usable file system in the image, or after its tool ran.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// The file system cannot be mounted from blocks as large.
    #[error(
        "the {kind} file system has blocks of {block_size} bytes and cannot be mounted from a \
         verity device with data blocks of {data_block_size}: choose data blocks of at most \
         {block_size}, or make the file system with larger ones"
    )]
    BlockSize {
        /// The kind.
        kind: FsType,
        /// Its blocks (of xfs, its sectors).
        block_size: u32,
        /// The data blocks that were chosen.
        data_block_size: BlockSize,
    },
    /// Sizes that no image can have.
    #[error(transparent)]
    Geometry(#[from] GeometryError),
    /// The image would be larger than a disk.
    #[error("the image would be larger than any disk")]
    TooLarge,
    /// A salt of an impossible length.
    #[error(transparent)]
    Salt(#[from] ParamsError),
    /// The kernel gave no random bytes.
    #[error("no random bytes for the salt")]
    Random {
        /// What the kernel said.
        source: io::Error,
    },
    /// The hash tree could not be built.
    #[error(transparent)]
    Verity(#[from] verity::BuildError),
    /// The partition table could not be made.
    #[error(transparent)]
    Table(#[from] GptError),
    /// The sidecar could not be made.
    #[error(transparent)]
    Sidecar(#[from] SidecarError),
    /// An output cannot be written.
    #[error("{}: cannot be written", .path.display())]
    Write {
        /// The output.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// An output cannot be made, or put in place.
    #[error(transparent)]
    Output(#[from] OutputError),
}
