//! The ID block.

use super::base64;
use crate::measurement::LaunchDigest;

/// The VERSION of ID blocks.
const VERSION: u32 = 1;

/// Bytes that are no ID block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdBlockError {
    /// The wrong length.
    #[error("an ID block is 96 bytes long, not {length}")]
    Length {
        /// Its length in bytes.
        length: usize,
    },
    /// Not base64 of 96 bytes.
    #[error("an ID block in text form is base64 of 96 bytes: 128 characters")]
    Base64,
    /// A version that nobody has defined yet.
    #[error("the ID block has version {version}; 1 is known")]
    Version {
        /// Its version.
        version: u32,
    },
}

/// The ID block (AMD 56860, section 8.18, "Structure of the ID Block").
///
/// 96 bytes; integers are little-endian:
///
/// | offset | size | field |
/// |---|---|---|
/// | 0x00 | 48 | LD |
/// | 0x30 | 16 | FAMILY_ID |
/// | 0x40 | 16 | IMAGE_ID |
/// | 0x50 | 4 | VERSION: 1 |
/// | 0x54 | 4 | GUEST_SVN |
/// | 0x58 | 8 | POLICY |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdBlock {
    /// The launch digest that the guest must have.
    pub launch_digest: LaunchDigest,
    /// For the owner's use; in every report.
    pub family_id: [u8; 16],
    /// For the owner's use; in every report.
    pub image_id: [u8; 16],
    /// The guest's security version, for the owner's use; in every report.
    pub guest_svn: u32,
    /// The guest policy that the guest must be launched with.
    pub policy: u64,
}

impl IdBlock {
    /// Its size in bytes.
    pub const SIZE: usize = 96;

    /// Its bytes: what the ID key signs.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        let fields = self
            .launch_digest
            .as_bytes()
            .iter()
            .copied()
            .chain(self.family_id)
            .chain(self.image_id)
            .chain(VERSION.to_le_bytes())
            .chain(self.guest_svn.to_le_bytes())
            .chain(self.policy.to_le_bytes());
        bytes.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        bytes
    }

    /// Reads its bytes.
    ///
    /// # Errors
    /// A length other than 96, a version other than 1.
    pub fn parse(bytes: &[u8]) -> Result<Self, IdBlockError> {
        let length = || IdBlockError::Length { length: bytes.len() };
        let (digest, rest) = bytes.split_first_chunk::<48>().ok_or_else(length)?;
        let (family_id, rest) = rest.split_first_chunk::<16>().ok_or_else(length)?;
        let (image_id, rest) = rest.split_first_chunk::<16>().ok_or_else(length)?;
        let (version, rest) = rest.split_first_chunk::<4>().ok_or_else(length)?;
        let (guest_svn, rest) = rest.split_first_chunk::<4>().ok_or_else(length)?;
        let policy: [u8; 8] = rest.try_into().ok().ok_or_else(length)?;
        let version = u32::from_le_bytes(*version);
        if version != VERSION {
            return Err(IdBlockError::Version { version });
        }
        Ok(Self {
            launch_digest: LaunchDigest::new(*digest),
            family_id: *family_id,
            image_id: *image_id,
            guest_svn: u32::from_le_bytes(*guest_svn),
            policy: u64::from_le_bytes(policy),
        })
    }

    /// The text that QEMU's `id-block` takes: 128 characters of base64.
    #[must_use]
    pub fn to_base64(&self) -> String {
        base64::encode(&self.to_bytes())
    }

    /// Reads that text; white space around it is ignored.
    ///
    /// # Errors
    /// As [`IdBlock::parse`], and for a text that is not base64 of 96 bytes.
    pub fn from_base64(text: &str) -> Result<Self, IdBlockError> {
        Self::parse(&base64::decode::<{ Self::SIZE }>(text).ok_or(IdBlockError::Base64)?)
    }
}
