//! The ID authentication information.

use super::base64;
use super::block::IdBlock;
use super::private_key::PrivateKey;
use super::public_key::{PublicKey, PublicKeyError};
use super::signature::{Signature, SignatureError};
use crate::measurement::KeyDigest;

/// ECDSA P-384 with SHA-384.
const ALGORITHM: u32 = 1;

/// Bytes that are no ID authentication information. Offsets are in bytes from
/// its start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdAuthError {
    /// The wrong length.
    #[error("ID authentication information is 4096 bytes long, not {length}")]
    Length {
        /// Its length in bytes.
        length: usize,
    },
    /// Not base64 of 4096 bytes.
    #[error("ID authentication information in text form is base64 of 4096 bytes: 5464 characters")]
    Base64,
    /// Another algorithm.
    #[error("the {key} has algorithm {algorithm}; 1, ECDSA P-384 with SHA-384, is the only one")]
    Algorithm {
        /// Which key: "ID key" or "author key".
        key: &'static str,
        /// Its algorithm.
        algorithm: u32,
    },
    /// Bytes that must be zero are not.
    #[error(
        "a reserved byte of the ID authentication information is not zero, at offset {offset:#x}"
    )]
    Reserved {
        /// Its offset.
        offset: usize,
    },
    /// A public key.
    #[error("the {key} is not valid")]
    Key {
        /// Which key: "ID key" or "author key".
        key: &'static str,
        /// What is wrong with it.
        #[source]
        source: PublicKeyError,
    },
    /// A signature.
    #[error("the signature of the {key} is not valid")]
    Signature {
        /// Which key: "ID key" or "author key".
        key: &'static str,
        /// What is wrong with it.
        #[source]
        source: SignatureError,
    },
}

/// A signature that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The ID key's signature on the ID block.
    #[error("the ID block is not signed by the ID key, or was changed after it was signed")]
    IdBlock,
    /// The author key's signature on the ID key.
    #[error("the ID key is not signed by the author key")]
    IdKey,
}

/// The author key and its signature on the ID key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Author {
    pub(super) signature: Signature,
    pub(super) key: PublicKey,
}

impl Author {
    /// Its signature on the ID key's structure ([`PublicKey::to_bytes`]).
    #[must_use]
    pub const fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The author key.
    #[must_use]
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }
}

/// The ID authentication information (AMD 56860, section 8.18, "Layout of the ID
/// Authentication Information Structure").
///
/// 4096 bytes; integers are little-endian:
///
/// | offset | size | field |
/// |---|---|---|
/// | 0x000 | 4 | ID_KEY_ALGO: 1, ECDSA P-384 with SHA-384 |
/// | 0x004 | 4 | AUTHOR_KEY_ALGO: 1, or 0 without an author key |
/// | 0x008 | 56 | zeros |
/// | 0x040 | 512 | ID_BLOCK_SIG: by the ID key, on the ID block |
/// | 0x240 | 0x404 | ID_KEY |
/// | 0x644 | 60 | zeros |
/// | 0x680 | 512 | ID_KEY_SIG: by the author key, on ID_KEY; zeros without one |
/// | 0x880 | 0x404 | AUTHOR_KEY; zeros without one |
/// | 0xc84 | 892 | zeros |
///
/// The hypervisor says separately whether there is an author key: with one, QEMU
/// needs `author-key-enabled=on`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdAuth {
    pub(super) signature: Signature,
    pub(super) id_key: PublicKey,
    pub(super) author: Option<Author>,
}

impl IdAuth {
    /// Its size in bytes.
    pub const SIZE: usize = 4096;

    /// Signs `block` with the ID key, and the ID key with the author key.
    #[must_use]
    pub fn sign(block: &IdBlock, id_key: &PrivateKey, author_key: Option<&PrivateKey>) -> Self {
        let public = id_key.public_key();
        let author = author_key
            .map(|key| Author { signature: key.sign(&public.to_bytes()), key: key.public_key() });
        Self { signature: id_key.sign(&block.to_bytes()), id_key: public, author }
    }

    /// The ID key's signature on the ID block.
    #[must_use]
    pub const fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The ID key.
    #[must_use]
    pub const fn id_key(&self) -> &PublicKey {
        &self.id_key
    }

    /// The author key and its signature; QEMU's `author-key-enabled` is `on` if
    /// there is one.
    #[must_use]
    pub const fn author(&self) -> Option<&Author> {
        self.author.as_ref()
    }

    /// The ID_KEY_DIGEST that reports will have.
    #[must_use]
    pub fn id_key_digest(&self) -> KeyDigest {
        self.id_key.digest()
    }

    /// The AUTHOR_KEY_DIGEST that reports will have: zeros without an author
    /// key, which is `None` here.
    #[must_use]
    pub fn author_key_digest(&self) -> Option<KeyDigest> {
        self.author.map(|author| author.key.digest())
    }

    /// Checks the signatures as the secure processor does.
    ///
    /// # Errors
    /// The first signature that does not hold.
    pub fn verify(&self, block: &IdBlock) -> Result<(), VerifyError> {
        if !self.signature.verifies(&self.id_key, &block.to_bytes()) {
            return Err(VerifyError::IdBlock);
        }
        match &self.author {
            Some(Author { signature, key })
                if !signature.verifies(key, &self.id_key.to_bytes()) =>
            {
                Err(VerifyError::IdKey)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let author_algorithm = if self.author.is_some() { ALGORITHM } else { 0 };
        let mut bytes = Vec::with_capacity(Self::SIZE);
        bytes.extend_from_slice(&ALGORITHM.to_le_bytes());
        bytes.extend_from_slice(&author_algorithm.to_le_bytes());
        bytes.resize(0x40, 0);
        bytes.extend_from_slice(&self.signature.to_bytes());
        bytes.extend_from_slice(&self.id_key.to_bytes());
        bytes.resize(0x680, 0);
        if let Some(Author { signature, key }) = &self.author {
            bytes.extend_from_slice(&signature.to_bytes());
            bytes.extend_from_slice(&key.to_bytes());
        }
        bytes.resize(Self::SIZE, 0);
        bytes
    }

    /// Reads its bytes. An author key and a signature of it that are zeros alone
    /// are none; its algorithm may be 0 or 1 then. Signatures are not verified: [`IdAuth::verify`] does.
    ///
    /// # Errors
    /// A length other than 4096, another algorithm, a reserved byte that is not
    /// zero, keys not on the curve, signatures out of range.
    pub fn parse(bytes: &[u8]) -> Result<Self, IdAuthError> {
        let length = || IdAuthError::Length { length: bytes.len() };
        let (id_algorithm, rest) = bytes.split_first_chunk::<4>().ok_or_else(length)?;
        let (author_algorithm, rest) = rest.split_first_chunk::<4>().ok_or_else(length)?;
        let (reserved_1, rest) = rest.split_first_chunk::<56>().ok_or_else(length)?;
        let (signature, rest) = rest.split_first_chunk().ok_or_else(length)?;
        let (id_key, rest) = rest.split_first_chunk().ok_or_else(length)?;
        let (reserved_2, rest) = rest.split_first_chunk::<60>().ok_or_else(length)?;
        let (author_signature, rest) = rest.split_first_chunk().ok_or_else(length)?;
        let (author_key, rest) = rest.split_first_chunk().ok_or_else(length)?;
        let reserved_3 = <&[u8; 892]>::try_from(rest).ok().ok_or_else(length)?;
        zeros(reserved_1, 0x008)?;
        zeros(reserved_2, 0x644)?;
        zeros(reserved_3, 0xc84)?;

        let algorithm = |key, bytes: &[u8; 4]| match u32::from_le_bytes(*bytes) {
            ALGORITHM => Ok(()),
            algorithm => Err(IdAuthError::Algorithm { key, algorithm }),
        };
        algorithm(ID_KEY, id_algorithm)?;
        let signature = read_signature(ID_KEY, signature)?;
        let id_key = read_key(ID_KEY, id_key)?;
        let no_author = author_signature.iter().chain(author_key.iter()).all(|byte| *byte == 0);
        if !no_author || *author_algorithm != [0; 4] {
            algorithm(AUTHOR_KEY, author_algorithm)?;
        }
        let author = if no_author {
            None
        } else {
            Some(Author {
                signature: read_signature(AUTHOR_KEY, author_signature)?,
                key: read_key(AUTHOR_KEY, author_key)?,
            })
        };
        Ok(Self { signature, id_key, author })
    }

    /// The text that QEMU's `id-auth` takes: 5464 characters of base64.
    #[must_use]
    pub fn to_base64(&self) -> String {
        base64::encode(&self.to_bytes())
    }

    /// Reads that text; white space around it is ignored.
    ///
    /// # Errors
    /// As [`IdAuth::parse`], and for a text that is not base64 of 4096 bytes.
    pub fn from_base64(text: &str) -> Result<Self, IdAuthError> {
        Self::parse(&base64::decode::<{ Self::SIZE }>(text).ok_or(IdAuthError::Base64)?)
    }
}

const ID_KEY: &str = "ID key";
const AUTHOR_KEY: &str = "author key";

fn zeros(bytes: &[u8], at: usize) -> Result<(), IdAuthError> {
    match bytes.iter().position(|byte| *byte != 0) {
        None => Ok(()),
        Some(offset) => Err(IdAuthError::Reserved { offset: at + offset }),
    }
}

fn read_key(key: &'static str, bytes: &[u8; PublicKey::SIZE]) -> Result<PublicKey, IdAuthError> {
    PublicKey::parse(bytes).map_err(|source| IdAuthError::Key { key, source })
}

fn read_signature(
    key: &'static str,
    bytes: &[u8; Signature::SIZE],
) -> Result<Signature, IdAuthError> {
    Signature::parse(bytes).map_err(|source| IdAuthError::Signature { key, source })
}
