//! The LUKS2 header, for disks that were made elsewhere.
//!
//! **Threat.** A host writes any header that it likes, with right checksums. What
//! this module accepts is one shape only: one keyslot, one segment with
//! authenticated encryption, one digest over both, nothing else. Everything is
//! understood or refused, and both copies say the same. That still proves nothing
//! about who made it: a host can put its own volume there together with its own
//! keyslot and digest. So a header must be *pinned*, by the SHA-256 of its bytes,
//! or its content believed for nothing (see [`Header`]).
//!
//! The bytes come from one bounded read by the caller, and everything is done with
//! that copy; what a host writes later has no effect.
//!
//! Specification: LUKS2 On-Disk Format 1.1.3.

mod af;
mod binary;
mod create;
mod error;
mod json;
mod keyslot;
mod metadata;

pub use create::{HeaderKey, NewHeader, NewHeaderError};
pub use error::{Copy, HeaderError, UnlockError};
pub use keyslot::KdfLimits;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::cipher::Cipher;
use crate::key::VolumeKey;
use crate::layout::{LUKS2_DATA_OFFSET, Layout, LayoutError, LayoutParams, SECTOR, SectorSize};
use keyslot::Keyslot;
use metadata::Metadata;

/// The bytes of a disk that hold the header and its keyslots: 16 MiB, as
/// `cryptsetup luksFormat` makes it.
pub const HEADER_SIZE: usize = 16 << 20;

/// One copy with its JSON, and its JSON area.
const COPY_SIZE: usize = 16_384;
const JSON_SIZE: usize = 12_288;

const _: () = assert!(HEADER_SIZE as u64 == LUKS2_DATA_OFFSET * SECTOR);

/// A header that has the one shape which is accepted.
pub struct Header {
    uuid: Uuid,
    label: String,
    sha256: [u8; 32],
    cipher: Cipher,
    sector_size: SectorSize,
    keyslot: Keyslot,
}

impl Header {
    /// Reads a header from the first [`HEADER_SIZE`] bytes of a disk. Costs of key
    /// derivation beyond `limits` are refused here, before anything is derived.
    ///
    /// # Errors
    /// The first thing that is not as it has to be: [`HeaderError`].
    pub fn parse(bytes: &[u8], limits: &KdfLimits) -> Result<Self, HeaderError> {
        let length = bytes.len();
        let bytes: &[u8; HEADER_SIZE] =
            bytes.try_into().map_err(|_length| HeaderError::Length(length))?;
        let (primary, rest) = bytes.split_first_chunk().ok_or(HeaderError::Length(length))?;
        let (secondary, _) = rest.split_first_chunk().ok_or(HeaderError::Length(length))?;
        let (primary, json) = binary::parse(primary, Copy::Primary)?;
        let (secondary, second_json) = binary::parse(secondary, Copy::Secondary)?;
        if primary != secondary || json != second_json {
            return Err(HeaderError::CopiesDisagree);
        }
        let end = json.iter().position(|byte| *byte == 0).ok_or(HeaderError::JsonEnd)?;
        let (text, padding) = json.split_at(end);
        if padding.iter().any(|byte| *byte != 0) {
            return Err(HeaderError::JsonEnd);
        }
        let Metadata { cipher, sector_size, keyslot } = metadata::parse(text, limits)?;
        Ok(Self {
            uuid: primary.uuid,
            label: primary.label,
            sha256: Sha256::digest(bytes).into(),
            cipher,
            sector_size,
            keyslot: keyslot.with_area(bytes).ok_or(HeaderError::AreaPlace)?,
        })
    }

    /// The UUID.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// The label, usually empty.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// SHA-256 of the bytes that it was read from: what a pin is compared with.
    #[must_use]
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// The cipher of the segment.
    #[must_use]
    pub fn cipher(&self) -> Cipher {
        self.cipher
    }

    /// The sector size of the segment.
    #[must_use]
    pub fn sector_size(&self) -> SectorSize {
        self.sector_size
    }

    /// The key derivation of the keyslot: `pbkdf2` or `argon2id`.
    #[must_use]
    pub fn kdf(&self) -> &'static str {
        self.keyslot.kdf_name()
    }

    /// The layout of the volume on a device of this many sectors of 512 bytes, with
    /// the journal that cryptsetup and the kernel choose.
    ///
    /// # Errors
    /// A device without room for it.
    pub fn layout(&self, device_sectors: u64) -> Result<Layout, LayoutError> {
        Layout::new(LayoutParams::with_default_journal(
            self.cipher,
            self.sector_size,
            device_sectors,
            LUKS2_DATA_OFFSET,
        ))
    }

    /// Unlocks the keyslot with a passphrase, or with the bytes of a key file.
    ///
    /// # Errors
    /// A wrong passphrase, or too little memory.
    pub fn unlock(&self, passphrase: &[u8]) -> Result<VolumeKey, UnlockError> {
        let key = self.keyslot.unlock(passphrase)?;
        VolumeKey::from_keyslot(self.cipher, key).ok_or(UnlockError::Passphrase)
    }
}
