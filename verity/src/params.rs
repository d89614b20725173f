//! The parameters of a hash tree, as types that hold valid values only.
//!
//! Specification: dm-verity table fields `<algorithm>`, `<data_block_size>`,
//! `<hash_block_size>` and `<salt>` (Linux `verity.rst`, "Construction
//! Parameters"), narrowed to what Ravelin supports.

use std::fmt;
use std::str::FromStr;

use crate::geometry::GeometryError;

/// The longest salt of format 1, in bytes (the superblock has no room for more).
pub const MAX_SALT: usize = 256;

/// What determines a hash tree besides the data: every field is part of what
/// must be trusted to verify an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    /// The hash function.
    pub algorithm: Algorithm,
    /// The unit in which data is hashed and read through the verity device.
    pub data_block_size: BlockSize,
    /// The unit in which digests are packed and read from the hash device.
    pub hash_block_size: BlockSize,
    /// Hashed before every data block and every hash block.
    pub salt: Salt,
}

impl Params {
    /// The number of data blocks in an image of `bytes` bytes.
    ///
    /// # Errors
    /// Empty input, and a size that is not a whole number of data blocks: the
    /// bytes after the last whole block would not be protected.
    pub fn data_blocks(&self, bytes: u64) -> Result<u64, GeometryError> {
        let block_size = self.data_block_size;
        let tail = bytes % block_size.bytes();
        if bytes == 0 {
            Err(GeometryError::Empty)
        } else if tail != 0 {
            Err(GeometryError::PartialBlock { bytes, block_size, tail })
        } else {
            Ok(bytes / block_size.bytes())
        }
    }
}

/// A hash function for the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// SHA-256, 32-byte digests.
    Sha256,
    /// SHA-512, 64-byte digests.
    Sha512,
}

impl Algorithm {
    /// The length of a digest, in bytes. It is also the length of a digest's
    /// slot in a hash block, because it is a power of two.
    pub const fn digest_size(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// The name that the kernel, `veritysetup` and the superblock use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = ParamsError;

    fn from_str(name: &str) -> Result<Self, ParamsError> {
        [Self::Sha256, Self::Sha512]
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
            .ok_or_else(|| ParamsError::Algorithm(name.to_owned()))
    }
}

/// The size of a data or hash block: a power of two from 512 to 4096 bytes (a
/// kernel takes no more than its page size for data).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockSize(u32);

impl BlockSize {
    /// 4096 bytes, the usual choice.
    pub const B4096: Self = Self(4096);

    /// The size in bytes, for arithmetic with offsets.
    pub const fn bytes(self) -> u64 {
        self.0 as u64
    }

    /// The size in bytes, for the lengths of buffers.
    pub const fn to_usize(self) -> usize {
        self.0 as usize
    }

    /// The size in bytes, as it stands in the superblock.
    pub const fn to_u32(self) -> u32 {
        self.0
    }
}

impl Default for BlockSize {
    fn default() -> Self {
        Self::B4096
    }
}

impl TryFrom<u32> for BlockSize {
    type Error = ParamsError;

    fn try_from(bytes: u32) -> Result<Self, ParamsError> {
        match bytes {
            512 | 1024 | 2048 | 4096 => Ok(Self(bytes)),
            _ => Err(ParamsError::BlockSize(bytes.to_string())),
        }
    }
}

impl fmt::Display for BlockSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for BlockSize {
    type Err = ParamsError;

    fn from_str(text: &str) -> Result<Self, ParamsError> {
        ["512", "1024", "2048", "4096"]
            .into_iter()
            .zip([512, 1024, 2048, 4096])
            .find_map(|(name, bytes)| (name == text).then_some(Self(bytes)))
            .ok_or_else(|| ParamsError::BlockSize(text.to_owned()))
    }
}

/// A salt of 0 to 256 bytes. As text it is lower-case hexadecimal, or `-` for
/// none, as in the device-mapper table.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Salt(Vec<u8>);

impl Salt {
    /// A salt of these bytes.
    ///
    /// # Errors
    /// More than [`MAX_SALT`] bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, ParamsError> {
        let bytes = bytes.into();
        if bytes.len() > MAX_SALT {
            return Err(ParamsError::SaltLength(bytes.len()));
        }
        Ok(Self(bytes))
    }

    /// The salt's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str("-") } else { f.write_str(&hex::encode(&self.0)) }
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Salt({self})")
    }
}

impl FromStr for Salt {
    type Err = ParamsError;

    fn from_str(text: &str) -> Result<Self, ParamsError> {
        if text == "-" {
            return Ok(Self::default());
        }
        if text.is_empty() || text.len() > 2 * MAX_SALT {
            return Err(ParamsError::SaltLength(text.len().div_ceil(2)));
        }
        hex::decode(text).map(Self).map_err(|source| ParamsError::SaltHex { source })
    }
}

/// A value that no hash tree of Ravelin's has.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParamsError {
    /// Not a hash function that is supported.
    #[error("hash algorithm {0:?} is not supported; use sha256 or sha512")]
    Algorithm(String),
    /// Not a block size that is supported.
    #[error("block size {0:?} is not supported; use 512, 1024, 2048 or 4096")]
    BlockSize(String),
    /// The salt's length, in bytes, is out of bounds.
    #[error("a salt of {0} bytes is not possible; use 1 to 256 bytes, or - for none")]
    SaltLength(usize),
    /// The salt is not hexadecimal.
    #[error("the salt is not hexadecimal; use an even number of hexadecimal digits, or - for none")]
    SaltHex {
        /// What is wrong, and where.
        source: hex::FromHexError,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_blocks_are_counted() {
        let params = Params {
            algorithm: Algorithm::Sha256,
            data_block_size: BlockSize(1024),
            hash_block_size: BlockSize(4096),
            salt: Salt::default(),
        };
        assert_eq!(params.data_blocks(3072).unwrap(), 3);
        assert!(matches!(params.data_blocks(0), Err(GeometryError::Empty)));
        let error = params.data_blocks(3073).unwrap_err();
        assert!(matches!(error, GeometryError::PartialBlock { bytes: 3073, tail: 1, .. }));
    }

    #[test]
    fn text_round_trips() {
        for name in ["sha256", "sha512"] {
            assert_eq!(name.parse::<Algorithm>().unwrap().to_string(), name);
        }
        for size in ["512", "1024", "2048", "4096"] {
            assert_eq!(size.parse::<BlockSize>().unwrap().to_string(), size);
        }
        for salt in ["-".to_owned(), "00".to_owned(), "e4".repeat(256)] {
            assert_eq!(salt.parse::<Salt>().unwrap().to_string(), salt);
        }
    }

    #[test]
    fn other_values_are_refused() {
        for name in ["", "SHA256", "sha256 ", "sha1", "crc32c"] {
            assert!(matches!(name.parse::<Algorithm>(), Err(ParamsError::Algorithm(_))), "{name}");
        }
        for size in ["", "0", "256", "+512", "0512", "513", "8192", "4294967808"] {
            assert!(matches!(size.parse::<BlockSize>(), Err(ParamsError::BlockSize(_))), "{size}");
        }
        for size in [0, 1, 256, 768, 8192, u32::MAX] {
            assert!(BlockSize::try_from(size).is_err(), "{size}");
        }
        assert!(matches!("".parse::<Salt>(), Err(ParamsError::SaltLength(0))));
        assert!(matches!("ab".repeat(257).parse::<Salt>(), Err(ParamsError::SaltLength(257))));
        assert!(matches!("abc".parse::<Salt>(), Err(ParamsError::SaltHex { .. })));
        assert!(matches!("zz".parse::<Salt>(), Err(ParamsError::SaltHex { .. })));
        assert!(matches!(Salt::new([0; 257]), Err(ParamsError::SaltLength(257))));
        assert!(Salt::new([0; 256]).is_ok());
    }
}
