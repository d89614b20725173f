//! Salted digests of blocks. Format 1: `digest = H(salt ‖ block)`.

use sha2::{Digest, Sha256, Sha512};

use crate::params::{Algorithm, Params};

/// A hash state that has taken in the salt; it is cloned for every block, so the
/// salt is hashed once.
pub(crate) enum Hasher {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    pub(crate) fn new(params: &Params) -> Self {
        let salt = params.salt.as_bytes();
        match params.algorithm {
            Algorithm::Sha256 => Self::Sha256(Sha256::new_with_prefix(salt)),
            Algorithm::Sha512 => Self::Sha512(Sha512::new_with_prefix(salt)),
        }
    }

    /// Appends the digest of `block` to `digests`.
    pub(crate) fn append(&self, block: &[u8], digests: &mut Vec<u8>) {
        match self {
            Self::Sha256(salted) => append(salted, block, digests),
            Self::Sha512(salted) => append(salted, block, digests),
        }
    }
}

fn append<D: Digest + Clone>(salted: &D, block: &[u8], digests: &mut Vec<u8>) {
    digests.extend_from_slice(&salted.clone().chain_update(block).finalize());
}

/// A hasher for data blocks. Images hold long runs of zeros, whose digest it
/// knows; a block that is not zero costs it one comparison that ends early.
pub(crate) struct DataHasher {
    hasher: Hasher,
    zero_block: Vec<u8>,
    zero_digest: Vec<u8>,
}

impl DataHasher {
    pub(crate) fn new(params: &Params) -> Self {
        let hasher = Hasher::new(params);
        let zero_block = vec![0; params.data_block_size.to_usize()];
        let mut zero_digest = Vec::new();
        hasher.append(&zero_block, &mut zero_digest);
        Self { hasher, zero_block, zero_digest }
    }

    /// Appends the digest of `block` to `digests`.
    pub(crate) fn append(&self, block: &[u8], digests: &mut Vec<u8>) {
        if block == self.zero_block {
            digests.extend_from_slice(&self.zero_digest);
        } else {
            self.hasher.append(block, digests);
        }
    }
}
