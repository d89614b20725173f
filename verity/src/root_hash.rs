//! The root hash: the one value that stands for a whole image.

use std::fmt;
use std::str::FromStr;

use crate::params::Algorithm;

const MAX_DIGEST: usize = 64;

/// The digest of the top hash block or, in an image of one block, of that
/// block. Its length is that of its algorithm's digests. As text it is
/// lower-case hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RootHash {
    len: usize,
    bytes: [u8; MAX_DIGEST],
}

impl RootHash {
    /// The root hash of these bytes.
    ///
    /// # Errors
    /// A length that is no digest's: 32 bytes are a SHA-256 root hash, 64 a
    /// SHA-512 one.
    pub fn new(digest: &[u8]) -> Result<Self, RootHashError> {
        let len = digest.len();
        let known = [Algorithm::Sha256, Algorithm::Sha512];
        if !known.into_iter().any(|algorithm| algorithm.digest_size() == len) {
            return Err(RootHashError::Length(len));
        }
        Ok(Self::of_digest(digest))
    }

    /// The root hash of a digest that an algorithm has just made.
    pub(crate) fn of_digest(digest: &[u8]) -> Self {
        let mut bytes = [0; MAX_DIGEST];
        bytes.iter_mut().zip(digest).for_each(|(to, from)| *to = *from);
        Self { len: digest.len().min(MAX_DIGEST), bytes }
    }

    /// The digest, most significant byte first as in text.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.split_at(self.len).0
    }

    /// Whether its length is that of `algorithm`'s digests.
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        self.len == algorithm.digest_size()
    }
}

impl fmt::Display for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.as_bytes()))
    }
}

impl fmt::Debug for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootHash({self})")
    }
}

impl FromStr for RootHash {
    type Err = RootHashError;

    fn from_str(text: &str) -> Result<Self, RootHashError> {
        if text.len() > 2 * MAX_DIGEST {
            return Err(RootHashError::Length(text.len().div_ceil(2)));
        }
        Self::new(&hex::decode(text).map_err(|source| RootHashError::Hex { source })?)
    }
}

/// Something that is no root hash.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootHashError {
    /// Its length, in bytes, is no digest's.
    #[error("a root hash of {0} bytes is neither SHA-256 (64 digits) nor SHA-512 (128 digits)")]
    Length(usize),
    /// It is not hexadecimal.
    #[error("the root hash is not hexadecimal")]
    Hex {
        /// What is wrong, and where.
        source: hex::FromHexError,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_for_both_lengths() {
        for (text, algorithm) in
            [("0f".repeat(32), Algorithm::Sha256), ("f0".repeat(64), Algorithm::Sha512)]
        {
            let root: RootHash = text.parse().unwrap();
            assert_eq!(root.to_string(), text);
            assert!(root.fits(algorithm));
        }
        assert_eq!("AB".repeat(32).parse::<RootHash>().unwrap().to_string(), "ab".repeat(32));
    }

    #[test]
    fn other_text_is_refused() {
        for digits in [0, 2, 62, 66, 126, 130, 4096] {
            assert!(
                matches!("a".repeat(digits).parse::<RootHash>(), Err(RootHashError::Length(_))),
                "{digits}"
            );
        }
        for text in ["a".repeat(63), "g".repeat(64), format!("0x{}", "a".repeat(62))] {
            assert!(matches!(text.parse::<RootHash>(), Err(RootHashError::Hex { .. })), "{text}");
        }
    }
}
