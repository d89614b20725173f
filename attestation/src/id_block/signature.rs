//! ECDSA signatures on P-384 with SHA-384, in three forms.

use p384::FieldBytes;
use p384::ecdsa;
use p384::ecdsa::signature::Verifier;

use super::public_key::PublicKey;

/// Something that is no signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// Bytes that must be zero are not.
    #[error("the signature has a reserved byte that is not zero, at offset {offset:#x}")]
    Reserved {
        /// Its offset in the structure.
        offset: usize,
    },
    /// A number that no signature has.
    #[error("r or s of the signature is zero or not below the order of P-384")]
    Range,
    /// Neither of the two forms that other tools write.
    #[error(
        "this is no ECDSA P-384 signature: neither DER (SEQUENCE of r and s, as openssl writes it) \
         nor r and s of 48 bytes each, big-endian (as PKCS#11 does); this has {length} bytes"
    )]
    Form {
        /// Its length in bytes.
        length: usize,
    },
}

/// An ECDSA signature (AMD 56860, "Format for an ECDSA P-384 with SHA-384
/// Signature").
///
/// 512 bytes; numbers are little-endian:
///
/// | offset | size | field |
/// |---|---|---|
/// | 0x000 | 72 | R: 48 bytes and zeros |
/// | 0x048 | 72 | S: 48 bytes and zeros |
/// | 0x090 | 368 | zeros |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature(ecdsa::Signature);

impl Signature {
    /// The structure's size in bytes.
    pub const SIZE: usize = 512;

    /// The structure's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        let (r, s) = self.0.split_bytes();
        let mut bytes = [0; Self::SIZE];
        let fields = padded_scalar(&r).chain(padded_scalar(&s));
        bytes.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        bytes
    }

    /// Reads the structure.
    ///
    /// # Errors
    /// A reserved byte that is not zero; r or s zero or not below the order.
    pub fn parse(bytes: &[u8; Self::SIZE]) -> Result<Self, SignatureError> {
        let (r, rest) = bytes.split_first_chunk::<72>().ok_or(SignatureError::Range)?;
        let (s, rest) = rest.split_first_chunk::<72>().ok_or(SignatureError::Range)?;
        let reserved = |at: usize| SignatureError::Reserved { offset: at };
        let r = little_endian(r).map_err(reserved)?;
        let s = little_endian(s).map_err(|at| reserved(0x48 + at))?;
        if let Some(at) = rest.iter().position(|byte| *byte != 0) {
            return Err(reserved(0x90 + at));
        }
        ecdsa::Signature::from_scalars(r, s).map(Self).ok().ok_or(SignatureError::Range)
    }

    /// Reads what a signing tool wrote: DER, or r and s of 48 bytes each,
    /// big-endian, one after the other.
    ///
    /// # Errors
    /// If it is neither; r or s zero or not below the order.
    pub fn from_tool(bytes: &[u8]) -> Result<Self, SignatureError> {
        if let Ok(signature) = ecdsa::Signature::from_der(bytes) {
            return Ok(Self(signature));
        }
        let Ok(raw) = <&[u8; 96]>::try_from(bytes) else {
            return Err(SignatureError::Form { length: bytes.len() });
        };
        ecdsa::Signature::from_slice(raw).map(Self).ok().ok_or(SignatureError::Range)
    }

    /// Whether this is `key`'s signature on `message`, which is hashed with
    /// SHA-384.
    #[must_use]
    pub fn verifies(&self, key: &PublicKey, message: &[u8]) -> bool {
        key.verifying_key().verify(message, &self.0).is_ok()
    }
}

impl From<ecdsa::Signature> for Signature {
    fn from(signature: ecdsa::Signature) -> Self {
        Self(signature)
    }
}

/// A big-endian number of 48 bytes as AMD's field: little-endian, 72 bytes.
pub(super) fn padded_scalar(number: &FieldBytes) -> impl Iterator<Item = u8> {
    number.iter().rev().copied().chain([0; 24])
}

/// The big-endian number of 48 bytes in AMD's field of 72.
///
/// # Errors
/// The offset of the first byte above that is not zero.
pub(super) fn little_endian(field: &[u8; 72]) -> Result<[u8; 48], usize> {
    let (number, above) = field.split_first_chunk::<48>().ok_or(48_usize)?;
    match above.iter().position(|byte| *byte != 0) {
        Some(at) => Err(48 + at),
        None => {
            let mut number = *number;
            number.reverse();
            Ok(number)
        }
    }
}
