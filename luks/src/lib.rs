//! Encrypted and authenticated volumes: LUKS2, dm-crypt and dm-integrity on disk.
//!
//! A volume is described by a [`VolumeSpec`]. From it alone follow the superblock
//! of dm-integrity, the geometry, both device-mapper tables and, with a [`Secret`],
//! the volume key. [`seal()`] writes a volume, [`Volume`] reads one, and the kernel
//! opens it. A LUKS2 header before it ([`NewHeader`]) is for other tools; [`Header`]
//! reads those of disks that were made elsewhere.
//!
//! **Threat.** The host has the disk, and may change it between two reads. LUKS2
//! metadata is not authenticated: a host can replace it so that any passphrase opens
//! the host's own volume, or that the guest writes in clear (CVE-2025-59054,
//! CVE-2025-58356). So nothing on a disk is believed: a specification comes from the
//! owner, and a header is read only where it must be, from one copy in memory, by a
//! parser that refuses whatever it does not know.
//!
//! **Not protected.** Freshness: a sector, or the whole disk, may be put back to
//! what it was at an earlier time with the same key.
//!
//! **Specifications.** LUKS2 On-Disk Format 1.1.3; Linux 6.12
//! `Documentation/admin-guide/device-mapper/{dm-crypt,dm-integrity}.rst` and the
//! sources where these are silent; RFC 9106 (Argon2), RFC 5869 (HKDF), RFC 8018
//! (PBKDF2), IEEE 1619 (XTS).
//!
//! The crate opens no path or device, reads no clock and asks no generator for
//! random bytes: it works on [`ReadAt`] and [`WriteAt`] and is given the generator.

#![forbid(unsafe_code)]

mod cipher;
mod header;
mod journal;
mod key;
mod layout;
mod open;
mod outlet;
mod pieces;
mod seal;
mod spec;
mod superblock;
mod table;
mod tail;

pub use cipher::{Cipher, CipherError};
pub use disk_io::{Memory, Options, ReadAt, Region, WriteAt};
pub use header::{
    Copy, HEADER_SIZE, Header, HeaderError, HeaderKey, KdfLimits, NewHeader, NewHeaderError,
    UnlockError,
};
pub use journal::JournalError;
pub use key::{Argon2Cost, CostError, SECRET_SIZE, Secret, StretchError, VolumeKey};
pub use layout::{
    DEFAULT_INTERLEAVE_LOG2, LUKS2_DATA_OFFSET, Layout, LayoutError, LayoutParams, SECTOR,
    SectorSize,
};
pub use open::{OpenError, Volume};
pub use seal::{SealError, seal, seal_content};
pub use spec::{SPEC_SIZE, STRETCH_SALT_SIZE, SpecError, Stretch, VolumeSpec};
pub use superblock::{SUPERBLOCK_SIZE, SuperblockError};
pub use table::{CryptTable, Device, FileSystemTable, IntegrityTable, TableError, key_description};
pub use tail::{Epoch, TAIL_BLOCK, TAIL_SECTORS, TAIL_SIZE, TailError};
