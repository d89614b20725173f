//! Why an encrypted disk was not made, described or decrypted.

use std::io;
use std::path::PathBuf;

use luks::{
    HeaderError, LayoutError, NewHeaderError, OpenError, SealError, SectorSize, SpecError,
    StretchError, UnlockError,
};
use protocol::config::FsType;
use protocol::gpt::GptError;
use thiserror::Error;

use super::PartitionChoice;
use crate::disk::BuildError;
use crate::output::OutputError;

/// Why the sidecar of an encrypted disk is refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EncryptedSidecarError {
    /// It cannot be read.
    #[error("{}: cannot be read", .path.display())]
    Read {
        /// Its path.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It is larger than any sidecar.
    #[error("{}: is larger than a sidecar can be", .path.display())]
    TooLarge {
        /// Its path.
        path: PathBuf,
    },
    /// It is no sidecar of an encrypted disk.
    #[error("not the sidecar of an encrypted disk")]
    Parse(#[source] toml::de::Error),
    /// It cannot be written as TOML.
    #[error("the sidecar cannot be written")]
    Format(#[source] toml::ser::Error),
    /// It is of a later version.
    #[error("the sidecar has format {0}; this ravelin knows format 1: use a later one")]
    Version(u32),
    /// It is of something else.
    #[error("the sidecar is of kind {0:?}, not \"encrypted\"")]
    Kind(String),
    /// Digits that are none.
    #[error("the sidecar's `{field}` is not the hexadecimal text that it has to be")]
    Hex {
        /// The value's place.
        field: &'static str,
        /// What is wrong with it.
        source: hex::FromHexError,
    },
    /// A volume that cannot be.
    #[error("the sidecar's volume specification is refused")]
    Spec(#[from] SpecError),
    /// Two of its values contradict each other.
    #[error("the sidecar's `{field}` is {found}; from its other values follows {expected}")]
    Inconsistent {
        /// The value's place.
        field: &'static str,
        /// What it is.
        found: String,
        /// What it has to be.
        expected: String,
    },
    /// A name that leads elsewhere.
    #[error("the sidecar's file name `{0}` is not the plain name of a file beside it")]
    FileName(String),
    /// A disk larger than any.
    #[error("the sidecar's sizes are those of a disk that cannot be")]
    TooLargeDisk,
    /// Its content cannot be written.
    #[error("{}: cannot be written", .path.display())]
    Write {
        /// Its path.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It cannot be made, or put in place.
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// Why a disk was not encrypted. Nothing was left behind.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EncryptError {
    /// The source cannot be read, its file system not made, an output not written.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// An output cannot be made, or put in place.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// There is a key already where the new one would go.
    #[error("{}: exists; a key file is never replaced", .path.display())]
    KeyExists {
        /// The key file.
        path: PathBuf,
    },
    /// A size that no file system has.
    #[error("{bytes} bytes cannot be the size of the volume: give a multiple of 4096")]
    Size {
        /// The size.
        bytes: u64,
    },
    /// The volume is to be smaller than its file system.
    #[error(
        "the file system has {file_system} bytes, more than the {size} that the volume is to have; \
         shrink it first, or give a larger size"
    )]
    TooSmall {
        /// The file system.
        file_system: u64,
        /// What was asked for.
        size: u64,
    },
    /// Host keys cannot be taken out of this kind of file system.
    #[error(
        "host keys can be left out of a directory, a tar or an ext4, not of a file system that is \
         {kind}: delete /etc/ssh/ssh_host_* in it first, or keep them"
    )]
    HostKeysIn {
        /// The kind.
        kind: FsType,
    },
    /// A host key that does not go away alone.
    #[error("/etc/ssh/{name} {problem}: delete it in the file system first, or keep the host keys")]
    HostKey {
        /// The file's name.
        name: String,
        /// What is in the way.
        problem: &'static str,
    },
    /// The file system cannot be mounted from sectors as large.
    #[error(
        "the {kind} file system has blocks of {block_size} bytes and cannot be mounted from \
         sectors of {sector_size}: choose sectors of 512"
    )]
    BlockSize {
        /// The kind.
        kind: FsType,
        /// Its blocks (of xfs, its sectors).
        block_size: u32,
        /// The sectors that were chosen.
        sector_size: SectorSize,
    },
    /// Sizes that no volume has.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A volume that cannot be.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The passphrase is empty.
    #[error("the passphrase is empty")]
    EmptyPassphrase,
    /// The passphrase was not stretched.
    #[error(transparent)]
    Stretch(#[from] StretchError),
    /// The kernel gave no random bytes.
    #[error("no random bytes for the key")]
    Random {
        /// What the kernel said.
        source: rand_core::Error,
    },
    /// The LUKS2 header was not made.
    #[error(transparent)]
    Header(#[from] NewHeaderError),
    /// The volume was not written.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The partition table could not be made.
    #[error(transparent)]
    Table(#[from] GptError),
    /// The sidecar could not be made.
    #[error(transparent)]
    Sidecar(#[from] EncryptedSidecarError),
}

/// Why a disk was not decrypted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DecryptError {
    /// The disk cannot be opened.
    #[error("{}: cannot be opened", .path.display())]
    Open {
        /// Its path.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A key where a passphrase is needed, or the other way round.
    #[error(
        "this disk is unlocked by {}", if *.passphrase { "a passphrase" } else { "a key file" }
    )]
    Unlock {
        /// Whether a passphrase is needed.
        passphrase: bool,
    },
    /// The passphrase was not stretched.
    #[error(transparent)]
    Stretch(#[from] StretchError),
    /// The key opens nothing.
    #[error(
        "{}: the key does not open this volume, or its last blocks were changed", .path.display()
    )]
    WrongKey {
        /// The disk.
        path: PathBuf,
        /// What was not authentic.
        source: OpenError,
    },
    /// It is of an earlier epoch than the owner knows of.
    #[error("{}: is an old state of the disk: its epoch is {found}, and the sidecar's {least}", .path.display())]
    Old {
        /// The disk.
        path: PathBuf,
        /// Its epoch.
        found: u64,
        /// What was asked for.
        least: u64,
    },
    /// The disk cannot be read.
    #[error("{}: cannot be read", .path.display())]
    Read {
        /// The disk.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// There is a partition table, and nobody said which partition.
    #[error("{}: has partitions; say which one holds the volume", .path.display())]
    Partitions {
        /// The disk.
        path: PathBuf,
    },
    /// There is none.
    #[error("{}: has no partition table", .path.display())]
    NoPartitions {
        /// The disk.
        path: PathBuf,
    },
    /// The partition table is refused.
    #[error("{}: the partition table is refused", .path.display())]
    Table {
        /// The disk.
        path: PathBuf,
        /// Why.
        source: GptError,
    },
    /// No partition is the chosen one, or several are.
    #[error("{}: there is not exactly one partition {choice}", .path.display())]
    Partition {
        /// The disk.
        path: PathBuf,
        /// What was asked for.
        choice: PartitionChoice,
    },
    /// There is no room for a header.
    #[error("{}: has no room for a LUKS2 header", .path.display())]
    TooSmall {
        /// The disk.
        path: PathBuf,
    },
    /// The LUKS2 header is refused.
    #[error("{}: the LUKS2 header is refused", .path.display())]
    Header {
        /// The disk.
        path: PathBuf,
        /// Why.
        source: HeaderError,
    },
    /// The volume does not fit the disk.
    #[error("{}: has no room for the volume that its LUKS2 header describes", .path.display())]
    Layout {
        /// The disk.
        path: PathBuf,
        /// Why.
        source: LayoutError,
    },
    /// The keyslot does not open.
    #[error("{}: the keyslot does not open", .path.display())]
    Keyslot {
        /// The disk.
        path: PathBuf,
        /// Why.
        source: UnlockError,
    },
    /// The volume cannot be read.
    #[error("{}: the volume cannot be read", .path.display())]
    Volume {
        /// The disk.
        path: PathBuf,
        /// Where, and why.
        source: OpenError,
    },
    /// The output cannot be made, or put in place.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The output cannot be written.
    #[error("{}: cannot be written", .path.display())]
    Write {
        /// The output.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}
