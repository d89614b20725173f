//! The ciphers of a volume: authenticated ones only.
//!
//! | cipher | key, bytes | metadata, bytes | of it IV |
//! |---|---|---|---|
//! | `aes-xts-hmac-sha256` | 64 + 32 | 32 | – |
//! | `aes-gcm-random` | 32 | 28 | 12 |
//! | `aegis128-random` | 16 | 32 | 16 |

pub(crate) mod aegis;
pub(crate) mod sector;
pub(crate) mod xts;

use std::fmt;
use std::str::FromStr;

/// How a volume's sectors are encrypted and authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cipher {
    /// AES-256-XTS, then HMAC-SHA-256 over the ciphertext: the kernel's
    /// `authenc(hmac(sha256),xts(aes))`. The IV is the sector's number.
    AesXtsHmacSha256,
    /// AES-256-GCM with random IVs of 96 bits: at most 2^32 sector writes under one
    /// key, or IVs may repeat.
    AesGcmRandom,
    /// AEGIS-128 (not 128L) with random IVs of 128 bits.
    Aegis128Random,
}

impl Cipher {
    /// All of them, the default first.
    pub const ALL: [Self; 3] = [Self::AesXtsHmacSha256, Self::AesGcmRandom, Self::Aegis128Random];

    /// Its name in Ravelin's files and options.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AesXtsHmacSha256 => "aes-xts-hmac-sha256",
            Self::AesGcmRandom => "aes-gcm-random",
            Self::Aegis128Random => "aegis128-random",
        }
    }

    /// The length of the volume key, in bytes.
    #[must_use]
    pub const fn key_size(self) -> usize {
        match self {
            Self::AesXtsHmacSha256 => 96,
            Self::AesGcmRandom => 32,
            Self::Aegis128Random => 16,
        }
    }

    /// What dm-integrity keeps for each sector, tag and IV, in bytes.
    #[must_use]
    pub const fn metadata_size(self) -> usize {
        match self {
            Self::AesXtsHmacSha256 | Self::Aegis128Random => 32,
            Self::AesGcmRandom => 28,
        }
    }

    /// Its name in a crypt table.
    #[must_use]
    pub const fn table_name(self) -> &'static str {
        match self {
            Self::AesXtsHmacSha256 => "capi:authenc(hmac(sha256),xts(aes))-plain64",
            Self::AesGcmRandom => "capi:gcm(aes)-random",
            Self::Aegis128Random => "capi:aegis128-random",
        }
    }

    /// `encryption` and `integrity.type` of a LUKS2 segment.
    pub(crate) const fn segment_names(self) -> (&'static str, &'static str) {
        match self {
            Self::AesXtsHmacSha256 => ("aes-xts-plain64", "hmac(sha256)"),
            Self::AesGcmRandom => ("aes-gcm-random", "aead"),
            Self::Aegis128Random => ("aegis128-random", "aead"),
        }
    }

    /// Its number in a volume specification.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::AesXtsHmacSha256 => 1,
            Self::AesGcmRandom => 2,
            Self::Aegis128Random => 3,
        }
    }
}

impl fmt::Display for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Cipher {
    type Err = CipherError;

    fn from_str(name: &str) -> Result<Self, CipherError> {
        Self::ALL
            .into_iter()
            .find(|cipher| cipher.name() == name)
            .ok_or_else(|| CipherError(name.to_owned()))
    }
}

/// A name that is no cipher's.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no cipher; aes-xts-hmac-sha256, aes-gcm-random and aegis128-random are")]
pub struct CipherError(String);
