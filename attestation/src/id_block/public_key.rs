//! Public keys and their digests.

use p384::pkcs8::DecodePublicKey;
use p384::{EncodedPoint, ecdsa};
use sha2::{Digest, Sha384};

use super::signature::{little_endian, padded_scalar};
use crate::measurement::KeyDigest;

const CURVE_P384: u32 = 2;

/// Something that is no public key on P-384.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublicKeyError {
    /// Another curve's number.
    #[error("the key's curve number is {curve}; 2, P-384, is the only one")]
    Curve {
        /// The number.
        curve: u32,
    },
    /// Bytes that must be zero are not.
    #[error("the key has a reserved byte that is not zero, at offset {offset:#x}")]
    Reserved {
        /// Its offset in the structure.
        offset: usize,
    },
    /// Not a point.
    #[error("the key's coordinates are no point on P-384")]
    Point,
    /// Not a PEM public key.
    #[error(
        "this is no PEM public key on P-384 (\"BEGIN PUBLIC KEY\"); \
         `openssl pkey -in KEY.pem -pubout` makes one from a private key"
    )]
    Pem,
}

/// An ID or author key's public part (AMD 56860, "Format for an ECDSA P-384
/// Public Key").
///
/// 0x404 bytes; integers are little-endian:
///
/// | offset | size | field |
/// |---|---|---|
/// | 0x000 | 4 | CURVE: 2, P-384 |
/// | 0x004 | 72 | QX: 48 bytes and zeros |
/// | 0x04c | 72 | QY: 48 bytes and zeros |
/// | 0x094 | 0x370 | zeros |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(ecdsa::VerifyingKey);

impl PublicKey {
    /// The structure's size in bytes.
    pub const SIZE: usize = 0x404;

    /// The structure's bytes: what the author key signs of an ID key.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        let point = self.0.to_encoded_point(false);
        let mut bytes = [0; Self::SIZE];
        let fields = CURVE_P384
            .to_le_bytes()
            .into_iter()
            .chain(point.x().into_iter().flat_map(padded_scalar))
            .chain(point.y().into_iter().flat_map(padded_scalar));
        bytes.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        bytes
    }

    /// Reads the structure.
    ///
    /// # Errors
    /// Another curve, a reserved byte that is not zero, no point on the curve.
    pub fn parse(bytes: &[u8; Self::SIZE]) -> Result<Self, PublicKeyError> {
        let (curve, rest) = bytes.split_first_chunk::<4>().ok_or(PublicKeyError::Point)?;
        let curve = u32::from_le_bytes(*curve);
        if curve != CURVE_P384 {
            return Err(PublicKeyError::Curve { curve });
        }
        let (qx, rest) = rest.split_first_chunk::<72>().ok_or(PublicKeyError::Point)?;
        let (qy, rest) = rest.split_first_chunk::<72>().ok_or(PublicKeyError::Point)?;
        let reserved = |at: usize| PublicKeyError::Reserved { offset: at };
        let x = little_endian(qx).map_err(|at| reserved(0x04 + at))?;
        let y = little_endian(qy).map_err(|at| reserved(0x4c + at))?;
        if let Some(at) = rest.iter().position(|byte| *byte != 0) {
            return Err(reserved(0x94 + at));
        }
        let point = EncodedPoint::from_affine_coordinates(&x.into(), &y.into(), false);
        ecdsa::VerifyingKey::from_encoded_point(&point).map(Self).ok().ok_or(PublicKeyError::Point)
    }

    /// Reads a PEM public key ("BEGIN PUBLIC KEY", X.509's form).
    ///
    /// # Errors
    /// If it is not one on P-384.
    pub fn from_pem(pem: &[u8]) -> Result<Self, PublicKeyError> {
        std::str::from_utf8(pem)
            .ok()
            .and_then(|pem| ecdsa::VerifyingKey::from_public_key_pem(pem).ok())
            .map(Self)
            .ok_or(PublicKeyError::Pem)
    }

    /// What a report has as ID_KEY_DIGEST or AUTHOR_KEY_DIGEST of this key:
    /// SHA-384 of [`PublicKey::to_bytes`].
    #[must_use]
    pub fn digest(&self) -> KeyDigest {
        KeyDigest::new(Sha384::digest(self.to_bytes()).into())
    }

    pub(super) const fn verifying_key(&self) -> &ecdsa::VerifyingKey {
        &self.0
    }
}

impl From<ecdsa::VerifyingKey> for PublicKey {
    fn from(key: ecdsa::VerifyingKey) -> Self {
        Self(key)
    }
}
