//! Signing elsewhere: on a hardware module, or on another machine.

use super::auth::{Author, IdAuth, VerifyError};
use super::block::IdBlock;
use super::public_key::PublicKey;
use super::signature::Signature;

/// Why signatures from elsewhere do not make up an ID authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AssembleError {
    /// There is an author key and no signature of it.
    #[error("the author key's signature on the ID key is missing")]
    NoAuthorSignature,
    /// There is a signature of an author key and no such key.
    #[error("there is an author key's signature and no author key")]
    NoAuthorKey,
    /// A signature does not hold.
    #[error(
        "the signature is not that of the given key on the given bytes (ECDSA P-384 over SHA-384 \
         of the file: `openssl dgst -sha384 -sign KEY.pem FILE`)"
    )]
    Signature {
        /// Which.
        #[source]
        source: VerifyError,
    },
}

/// An ID block to be signed with keys that are elsewhere.
///
/// Sign the bytes of [`SigningRequest::id_block_message`] with the ID key and
/// those of [`SigningRequest::id_key_message`] with the author key, both as ECDSA
/// over SHA-384 of the bytes, and hand the signatures to
/// [`SigningRequest::assemble`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SigningRequest {
    block: IdBlock,
    id_key: PublicKey,
    author_key: Option<PublicKey>,
}

impl SigningRequest {
    /// A request for signatures of these keys.
    #[must_use]
    pub const fn new(block: IdBlock, id_key: PublicKey, author_key: Option<PublicKey>) -> Self {
        Self { block, id_key, author_key }
    }

    /// What the ID key signs: the ID block, 96 bytes.
    #[must_use]
    pub fn id_block_message(&self) -> [u8; IdBlock::SIZE] {
        self.block.to_bytes()
    }

    /// What the author key signs: the ID key, 0x404 bytes.
    #[must_use]
    pub fn id_key_message(&self) -> [u8; PublicKey::SIZE] {
        self.id_key.to_bytes()
    }

    /// Puts the signatures in their places, and checks them first.
    ///
    /// # Errors
    /// If a signature is missing, superfluous, or does not hold.
    pub fn assemble(
        &self,
        id_block: Signature,
        id_key: Option<Signature>,
    ) -> Result<IdAuth, AssembleError> {
        let author = match (self.author_key, id_key) {
            (Some(key), Some(signature)) => Some(Author { signature, key }),
            (Some(_), None) => return Err(AssembleError::NoAuthorSignature),
            (None, Some(_)) => return Err(AssembleError::NoAuthorKey),
            (None, None) => None,
        };
        let auth = IdAuth { signature: id_block, id_key: self.id_key, author };
        auth.verify(&self.block).map_err(|source| AssembleError::Signature { source })?;
        Ok(auth)
    }
}
