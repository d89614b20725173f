//! Secrets and the volume key.
//!
//! The volume key is derived from the secret *and* the whole specification of the
//! volume: whoever changes a field of the specification gets another key, and no
//! sector is authentic under it.
//!
//! ```text
//! volume key = HKDF-SHA-512(salt: none, key: secret, info: "ravelin volume key v1" ‖ specification)
//! ```
//!
//! Everything here wipes itself and has no `Debug`.

use argon2::Argon2;
use hkdf::Hkdf;
use rand_core::CryptoRngCore;
use sha2::Sha512;
use zeroize::{Zeroize, Zeroizing};

use crate::cipher::Cipher;
use crate::spec::{Stretch, VolumeSpec};

/// Bytes of a secret.
pub const SECRET_SIZE: usize = 32;

const DOMAIN: &[u8] = b"ravelin volume key v1";

/// 256 secret bits: random, or made from a passphrase.
#[derive(Clone)]
pub struct Secret(Zeroizing<[u8; SECRET_SIZE]>);

impl Secret {
    /// A secret of these bytes, which the caller wipes.
    #[must_use]
    pub fn new(bytes: &[u8; SECRET_SIZE]) -> Self {
        Self(Zeroizing::new(*bytes))
    }

    /// A new one.
    ///
    /// # Errors
    /// What the generator reports.
    pub fn random(random: &mut impl CryptoRngCore) -> Result<Self, rand_core::Error> {
        let mut secret = Self(Zeroizing::new([0; SECRET_SIZE]));
        random.try_fill_bytes(secret.0.as_mut())?;
        Ok(secret)
    }

    /// Stretches a passphrase by Argon2id, version 1.3. For the owner's machine: it
    /// takes the memory and the time that `stretch` says, which is within bounds.
    ///
    /// # Errors
    /// If there is not that much memory.
    pub fn from_passphrase(passphrase: &[u8], stretch: &Stretch) -> Result<Self, StretchError> {
        let mut secret = Self(Zeroizing::new([0; SECRET_SIZE]));
        argon2id(passphrase, stretch.salt(), stretch.cost(), secret.0.as_mut())?;
        Ok(secret)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; SECRET_SIZE] {
        &self.0
    }
}

/// The cost of Argon2id, within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Argon2Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Argon2Cost {
    /// The most memory, in KiB: 4 GiB.
    pub const MAX_MEMORY_KIB: u32 = 4 << 20;
    /// The most passes over it.
    pub const MAX_PASSES: u32 = 32;
    /// The most lanes.
    pub const MAX_LANES: u32 = 16;

    /// A cost.
    ///
    /// # Errors
    /// Less than Argon2 defines (8 KiB a lane, one pass, one lane; here also at
    /// least 64 KiB), or more than the bounds.
    pub fn new(memory_kib: u32, passes: u32, lanes: u32) -> Result<Self, CostError> {
        if !(1..=Self::MAX_LANES).contains(&lanes) {
            return Err(CostError::Lanes(lanes));
        }
        if !(1..=Self::MAX_PASSES).contains(&passes) {
            return Err(CostError::Passes(passes));
        }
        if memory_kib < 64.max(8 * lanes) || memory_kib > Self::MAX_MEMORY_KIB {
            return Err(CostError::Memory(memory_kib));
        }
        Ok(Self { memory_kib, passes, lanes })
    }

    /// Memory, in KiB.
    #[must_use]
    pub fn memory_kib(self) -> u32 {
        self.memory_kib
    }

    /// Passes over the memory.
    #[must_use]
    pub fn passes(self) -> u32 {
        self.passes
    }

    /// Lanes, which another implementation may compute at once.
    #[must_use]
    pub fn lanes(self) -> u32 {
        self.lanes
    }
}

impl Default for Argon2Cost {
    /// 512 MiB, 4 passes, 4 lanes: some seconds on one core.
    fn default() -> Self {
        Self { memory_kib: 512 << 10, passes: 4, lanes: 4 }
    }
}

/// A cost out of bounds.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CostError {
    /// Too little or too much memory.
    #[error("Argon2id with {0} KiB of memory is out of bounds (64 KiB to 4 GiB, 8 KiB a lane)")]
    Memory(u32),
    /// No pass, or too many.
    #[error("Argon2id with {0} passes is out of bounds (1 to 32)")]
    Passes(u32),
    /// No lane, or too many.
    #[error("Argon2id with {0} lanes is out of bounds (1 to 16)")]
    Lanes(u32),
}

/// A passphrase was not stretched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StretchError {
    /// The memory is not there.
    #[error("Argon2id needs {0} KiB of memory, which this machine does not give")]
    Memory(u32),
    /// Argon2 refuses its input, for example a passphrase of 4 GiB.
    #[error("Argon2id cannot be computed: {0}")]
    Argon2(argon2::Error),
}

/// Argon2id, version 1.3, into `output`.
pub(crate) fn argon2id(
    passphrase: &[u8],
    salt: &[u8],
    cost: Argon2Cost,
    output: &mut [u8],
) -> Result<(), StretchError> {
    let Argon2Cost { memory_kib, passes, lanes } = cost;
    let params = argon2::Params::new(memory_kib, passes, lanes, Some(output.len()))
        .map_err(StretchError::Argon2)?;
    // Allocated here, where it can fail without ending the program.
    let mut blocks: Vec<argon2::Block> = Vec::new();
    let count = params.block_count();
    blocks.try_reserve_exact(count).map_err(|_too_large| StretchError::Memory(memory_kib))?;
    blocks.resize(count, argon2::Block::default());
    let argon2 = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let result = argon2.hash_password_into_with_memory(passphrase, salt, output, &mut blocks);
    blocks.iter_mut().for_each(Zeroize::zeroize);
    result.map_err(StretchError::Argon2)
}

/// The key of a volume: what the kernel, and a keyslot, are given.
#[derive(Clone)]
pub struct VolumeKey {
    cipher: Cipher,
    bytes: Zeroizing<Vec<u8>>,
}

impl VolumeKey {
    /// Derives the key of a volume.
    #[must_use]
    pub fn derive(secret: &Secret, spec: &VolumeSpec) -> Self {
        let cipher = spec.layout().params().cipher;
        let mut bytes = Zeroizing::new(vec![0; cipher.key_size()]);
        let hkdf = Hkdf::<Sha512>::new(None, secret.as_bytes());
        // At most 96 bytes, where 16320 could be had: it does not fail. Zeros are no key.
        let expanded = hkdf.expand_multi_info(&[DOMAIN, &spec.encode()], &mut bytes);
        assert!(expanded.is_ok(), "HKDF gave no volume key");
        Self { cipher, bytes }
    }

    /// A key from a keyslot; `None` if its length is not the cipher's.
    pub(crate) fn from_keyslot(cipher: Cipher, bytes: Zeroizing<Vec<u8>>) -> Option<Self> {
        (bytes.len() == cipher.key_size()).then_some(Self { cipher, bytes })
    }

    /// The cipher that it is for.
    #[must_use]
    pub fn cipher(&self) -> Cipher {
        self.cipher
    }

    /// The bytes, as dm-crypt takes them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_out_of_bounds_are_refused_before_they_are_paid() {
        assert_eq!(Argon2Cost::new(u32::MAX, 1, 1), Err(CostError::Memory(u32::MAX)));
        assert_eq!(Argon2Cost::new(63, 1, 1), Err(CostError::Memory(63)));
        assert_eq!(Argon2Cost::new(64, 1, 9), Err(CostError::Memory(64)));
        assert_eq!(Argon2Cost::new(64, 0, 1), Err(CostError::Passes(0)));
        assert_eq!(Argon2Cost::new(64, u32::MAX, 1), Err(CostError::Passes(u32::MAX)));
        assert_eq!(Argon2Cost::new(64, 1, 0), Err(CostError::Lanes(0)));
        assert_eq!(Argon2Cost::new(1 << 20, 1, 17), Err(CostError::Lanes(17)));
        assert!(Argon2Cost::new(64, 1, 8).is_ok());
    }

    /// The reference implementation's test of version 1.3: 64 MiB, 2 passes.
    #[test]
    fn argon2id_is_the_reference() {
        let cost = Argon2Cost::new(1 << 16, 2, 1).unwrap();
        let mut output = [0; 32];
        argon2id(b"password", b"somesalt", cost, &mut output).unwrap();
        assert_eq!(
            hex::encode(output),
            "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7"
        );
    }
}
