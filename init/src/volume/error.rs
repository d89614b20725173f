//! Why a volume is not opened.

use std::io;
use std::path::{Path, PathBuf};

use luks::{HeaderError, LayoutError, SealError, SpecError, SuperblockError, TailError};
use protocol::release::Refusal;
use ssh_key::rand_core;

use crate::reports::ReportError;

/// Why a volume is not opened. Nothing of it is mapped then, and its key is nowhere.
///
/// The texts are for the console and the owner: they hold no secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The specification is none.
    #[error("the volume specification is refused")]
    Spec(#[source] SpecError),
    /// No volume fits the disk.
    #[error("{} cannot hold the volume", device.display())]
    Layout {
        /// The disk.
        device: PathBuf,
        /// Why.
        source: LayoutError,
    },
    /// The disk has another size.
    #[error("{} has {found} sectors of 512 bytes, the specification says {expected}", device.display())]
    DiskSize {
        /// The disk.
        device: PathBuf,
        /// Its size, in sectors of 512 bytes.
        found: u64,
        /// What the specification says, in the same unit.
        expected: u64,
    },
    /// The disk is blank, or was wiped, and there is no permission to make a volume
    /// of it.
    #[error(
        "{} is blank or was wiped, and may not be formatted without permission to provision it",
        device.display()
    )]
    Blank {
        /// The disk.
        device: PathBuf,
    },
    /// The superblock of dm-integrity is another one.
    #[error("{} is not this volume, or was changed", device.display())]
    Superblock {
        /// The disk.
        device: PathBuf,
        /// The field.
        source: SuperblockError,
    },
    /// The kernel has another table than was loaded.
    #[error("the kernel has another table for {device}: {loaded:?} instead of {expected:?}")]
    TableDiffers {
        /// The device-mapper device.
        device: String,
        /// What was asked for.
        expected: String,
        /// What the kernel says.
        loaded: String,
    },
    /// The first read by the key was refused: it is not the key of what is on the
    /// disk, or that was changed.
    #[error("the key does not open {}: wrong key or specification, or a changed disk", device.display())]
    Key {
        /// The disk.
        device: PathBuf,
        /// The read's error, EIO or EILSEQ.
        source: io::Error,
    },
    /// What the key decrypts is no volume of this specification.
    #[error("{} has the tail of another volume", device.display())]
    Tail {
        /// The disk.
        device: PathBuf,
        /// What of it.
        source: TailError,
    },
    /// The disk is older than the owner allows.
    #[error("the volume was rolled back: its epoch is {found}, at least {least} is wanted")]
    RolledBack {
        /// The epoch on the disk.
        found: u64,
        /// The release's.
        least: u64,
    },
    /// A LUKS2 volume has no epochs.
    #[error("a LUKS2 disk has no epochs; the release wants at least epoch {least}")]
    NoEpochs {
        /// The release's.
        least: u64,
    },
    /// There is no later epoch.
    #[error("epoch {0} of the volume is the last one")]
    LastEpoch(u64),
    /// The disk did not keep the new epoch.
    #[error("the new epoch {expected} reads back as {found}")]
    EpochLost {
        /// What was written.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// The header of a LUKS2 disk is not the one that the owner named.
    #[error("the LUKS2 header of {} is not the one that was released", device.display())]
    HeaderDigest {
        /// The disk.
        device: PathBuf,
    },
    /// It is, and is not accepted.
    #[error("the LUKS2 header of {} is refused", device.display())]
    Header {
        /// The disk.
        device: PathBuf,
        /// Why.
        source: HeaderError,
    },
    /// The passphrase is wrong, or its key derivation impossible.
    #[error("unlocking the LUKS2 header")]
    Unlock(#[source] luks::UnlockError),
    /// A LUKS2 disk cannot be provisioned here.
    #[error("a LUKS2 disk is made elsewhere; it cannot be provisioned")]
    ProvisionLuks,
    /// There are no random bytes.
    #[error("no random bytes for a key")]
    Random(#[source] rand_core::Error),
    /// The secure processor gave no key.
    #[error("deriving the key of the sealed volume")]
    DerivedKey(#[source] ReportError),
    /// The volume was not written.
    #[error("formatting {}", device.display())]
    Seal {
        /// The disk.
        device: PathBuf,
        /// Why.
        source: SealError,
    },
    /// A system call failed.
    #[error("{action} {}", device.display())]
    System {
        /// What was tried.
        action: &'static str,
        /// On what.
        device: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

impl OpenError {
    /// Whether another release, or another disk, could open the volume: then the
    /// guest waits on. Otherwise the machine itself failed.
    #[must_use]
    pub fn may_be_the_release(&self) -> bool {
        match self {
            Self::Spec(_)
            | Self::Layout { .. }
            | Self::DiskSize { .. }
            | Self::Blank { .. }
            | Self::Superblock { .. }
            | Self::Key { .. }
            | Self::Tail { .. }
            | Self::RolledBack { .. }
            | Self::NoEpochs { .. }
            | Self::HeaderDigest { .. }
            | Self::Header { .. }
            | Self::Unlock(_)
            | Self::ProvisionLuks => true,
            Self::TableDiffers { .. }
            | Self::LastEpoch(_)
            | Self::EpochLost { .. }
            | Self::Random(_)
            | Self::DerivedKey(_)
            | Self::Seal { .. }
            | Self::System { .. } => false,
        }
    }

    /// What the owner is told.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        if let Self::RolledBack { .. } = self { Refusal::RolledBack } else { Refusal::NotOpened }
    }
}

/// Names what failed, for `map_err`.
pub(super) fn system<'a>(
    action: &'static str,
    device: &'a Path,
) -> impl FnOnce(io::Error) -> OpenError + 'a {
    move |source| OpenError::System { action, device: device.to_owned(), source }
}

/// The first read by a key failed: not authentic, as the crypt target says, or as the
/// page cache passes it on. The disk's own read errors cannot be told from that.
pub(super) fn first_read(device: &Path) -> impl FnOnce(io::Error) -> OpenError + '_ {
    move |source| match source.raw_os_error() {
        Some(nix::libc::EILSEQ | nix::libc::EIO) => {
            OpenError::Key { device: device.to_owned(), source }
        }
        _ => system("reading the volume on", device)(source),
    }
}
