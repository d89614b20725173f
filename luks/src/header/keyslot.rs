//! A keyslot: from a passphrase to the volume key, and back.

use hmac::Hmac;
use pbkdf2::pbkdf2;
use rand_core::CryptoRngCore;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{HEADER_SIZE, UnlockError, af};
use crate::cipher::xts::{self, Xts};
use crate::key::{Argon2Cost, StretchError, argon2id};
/// Areas are encrypted in sectors of 512 bytes, whatever the volume's are.
use crate::layout::SECTOR_BYTES as AREA_SECTOR;

/// Bytes of a digest and of all salts that Ravelin makes.
pub(super) const DIGEST_SIZE: usize = 32;
/// An area is a multiple of this.
const AREA_ALIGNMENT: u64 = 4096;

/// What key derivation may cost at most; checked before any of it is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KdfLimits {
    /// Memory of Argon2id, in KiB.
    pub memory_kib: u32,
    /// Passes of Argon2id over its memory.
    pub passes: u32,
    /// Iterations of PBKDF2, of the keyslot and of the digest each.
    pub iterations: u32,
}

impl Default for KdfLimits {
    /// What cryptsetup chooses by itself for an unlock of two seconds, on fast
    /// machines: 1 GiB of memory, 32 passes, 16 million iterations.
    fn default() -> Self {
        Self { memory_kib: 1 << 20, passes: 32, iterations: 1 << 24 }
    }
}

/// How a passphrase becomes the key of the area.
#[derive(Clone)]
pub(super) enum Kdf {
    Pbkdf2 { salt: Vec<u8>, iterations: u32 },
    Argon2id { salt: Vec<u8>, cost: Argon2Cost },
}

/// The check of a volume key: PBKDF2-SHA-256.
#[derive(Clone)]
pub(super) struct KeyDigest {
    pub(super) salt: Vec<u8>,
    pub(super) iterations: u32,
    pub(super) digest: [u8; DIGEST_SIZE],
}

/// A keyslot with its area.
#[derive(Clone)]
pub(super) struct Keyslot {
    pub(super) kdf: Kdf,
    pub(super) digest: KeyDigest,
    pub(super) key_size: usize,
    pub(super) area_offset: u64,
    pub(super) area: Vec<u8>,
}

impl Kdf {
    fn derive(&self, passphrase: &[u8]) -> Result<Zeroizing<[u8; xts::KEY_SIZE]>, StretchError> {
        let mut key = Zeroizing::new([0; xts::KEY_SIZE]);
        match self {
            Self::Pbkdf2 { salt, iterations } => {
                pbkdf2_sha256(passphrase, salt, *iterations, key.as_mut());
            }
            Self::Argon2id { salt, cost } => argon2id(passphrase, salt, *cost, key.as_mut())?,
        }
        Ok(key)
    }
}

impl KeyDigest {
    /// The digest of a key.
    pub(super) fn of(key: &[u8], salt: Vec<u8>, iterations: u32) -> Self {
        let mut digest = [0; DIGEST_SIZE];
        pbkdf2_sha256(key, &salt, iterations, &mut digest);
        Self { salt, iterations, digest }
    }

    fn fits(&self, key: &[u8]) -> bool {
        let found = Self::of(key, self.salt.clone(), self.iterations);
        found.digest.ct_eq(&self.digest).into()
    }
}

/// The size of the area of a key, in bytes.
pub(super) fn area_size(key_size: usize) -> u64 {
    ((key_size * af::STRIPES) as u64).next_multiple_of(AREA_ALIGNMENT)
}

impl Keyslot {
    /// Takes its area from the header; `None` if it is not in there.
    pub(super) fn with_area(mut self, header: &[u8; HEADER_SIZE]) -> Option<Self> {
        let start = usize::try_from(self.area_offset).ok()?;
        let end = start.checked_add(self.key_size.checked_mul(af::STRIPES)?)?;
        self.area = header.get(start..end.checked_next_multiple_of(AREA_SECTOR)?)?.to_vec();
        Some(self)
    }

    pub(super) fn kdf_name(&self) -> &'static str {
        match self.kdf {
            Kdf::Pbkdf2 { .. } => "pbkdf2",
            Kdf::Argon2id { .. } => "argon2id",
        }
    }

    /// The key, if the passphrase is right.
    pub(super) fn unlock(&self, passphrase: &[u8]) -> Result<Zeroizing<Vec<u8>>, UnlockError> {
        let area_key = Xts::new(&*self.kdf.derive(passphrase)?);
        let mut stripes = Zeroizing::new(self.area.clone());
        for (number, sector) in (0..).zip(stripes.chunks_exact_mut(AREA_SECTOR)) {
            area_key.decrypt(number, sector);
        }
        stripes.truncate(self.key_size * af::STRIPES);
        let key = af::merge(&stripes, self.key_size);
        if self.digest.fits(&key) { Ok(key) } else { Err(UnlockError::Passphrase) }
    }
}

/// The encrypted area of a new keyslot.
pub(super) fn make_area(
    kdf: &Kdf,
    passphrase: &[u8],
    key: &[u8],
    random: &mut impl CryptoRngCore,
) -> Result<Zeroizing<Vec<u8>>, AreaError> {
    let area_key = Xts::new(&*kdf.derive(passphrase).map_err(AreaError::Kdf)?);
    let mut area = af::split(key, random).map_err(AreaError::Random)?;
    // A key of any cipher makes whole sectors: its length is a multiple of 16.
    for (number, sector) in (0..).zip(area.chunks_exact_mut(AREA_SECTOR)) {
        area_key.encrypt(number, sector);
    }
    Ok(area)
}

/// Why an area was not made.
pub(super) enum AreaError {
    Kdf(StretchError),
    Random(rand_core::Error),
}

fn pbkdf2_sha256(passphrase: &[u8], salt: &[u8], iterations: u32, output: &mut [u8]) {
    // HMAC takes keys of any length: it does not fail. Zeros are no key.
    let result = pbkdf2::<Hmac<Sha256>>(passphrase, salt, iterations, output);
    assert!(result.is_ok(), "PBKDF2 gave no key");
}
