//! A new header, so that `cryptsetup open` knows a disk that Ravelin made. The
//! guest does not need it.

use base64ct::{Base64, Encoding};
use rand_core::CryptoRngCore;
use serde_json::{Value, json};
use uuid::Uuid;

use super::binary::{self, Binary};
use super::keyslot::{AreaError, Kdf, KeyDigest, area_size, make_area};
use super::metadata::{AREA_CIPHER, AREA_KEY_SIZE, KEYSLOTS_OFFSET, KEYSLOTS_SIZE, MIN_ITERATIONS};
use super::{COPY_SIZE, Copy, HEADER_SIZE, JSON_SIZE, af};
use crate::key::{Argon2Cost, Secret, StretchError, VolumeKey};
use crate::layout::LUKS2_DATA_OFFSET;
use crate::spec::VolumeSpec;

const SALT_SIZE: usize = 32;

/// What opens the keyslot.
#[derive(Clone, Copy)]
pub enum HeaderKey<'a> {
    /// A secret of 256 random bits, as the bytes of a key file. PBKDF2 with the
    /// fewest iterations: there is nothing to guess.
    Secret(&'a Secret),
    /// A passphrase, by Argon2id.
    Passphrase {
        /// The passphrase.
        passphrase: &'a [u8],
        /// Its cost.
        cost: Argon2Cost,
    },
}

/// A new header with one keyslot, which holds the volume key.
#[derive(Clone, Copy)]
pub struct NewHeader<'a> {
    /// The volume; its ID becomes the UUID.
    pub spec: &'a VolumeSpec,
    /// The volume key.
    pub key: &'a VolumeKey,
    /// What opens the keyslot.
    pub unlock: HeaderKey<'a>,
}

impl NewHeader<'_> {
    /// The first [`HEADER_SIZE`] bytes of the disk.
    ///
    /// # Errors
    /// A volume that does not start behind 16 MiB, too little memory for Argon2id,
    /// or no random bytes.
    pub fn to_bytes(self, random: &mut impl CryptoRngCore) -> Result<Vec<u8>, NewHeaderError> {
        let offset = self.spec.layout().params().data_offset;
        if offset != LUKS2_DATA_OFFSET {
            return Err(NewHeaderError::DataOffset(offset));
        }
        let mut salts = [[0; SALT_SIZE]; 2];
        let mut header_salts = [[0; 64]; 2];
        random.try_fill_bytes(salts.as_flattened_mut())?;
        random.try_fill_bytes(header_salts.as_flattened_mut())?;
        let [kdf_salt, digest_salt] = salts.map(Vec::from);
        let (kdf, passphrase) = match self.unlock {
            HeaderKey::Secret(secret) => {
                let kdf = Kdf::Pbkdf2 { salt: kdf_salt, iterations: MIN_ITERATIONS };
                (kdf, secret.as_bytes().as_slice())
            }
            HeaderKey::Passphrase { passphrase, cost } => {
                (Kdf::Argon2id { salt: kdf_salt, cost }, passphrase)
            }
        };
        let key = self.key.as_bytes();
        let digest = KeyDigest::of(key, digest_salt, MIN_ITERATIONS);
        let area = make_area(&kdf, passphrase, key, random).map_err(|error| match error {
            AreaError::Kdf(source) => NewHeaderError::Kdf(source),
            AreaError::Random(source) => NewHeaderError::Random(source),
        })?;
        let json = self.json(&kdf, &digest).to_string();
        if json.len() >= JSON_SIZE {
            return Err(NewHeaderError::JsonSize(json.len()));
        }
        let binary = Binary { sequence: 1, label: String::new(), uuid: self.uuid() };
        let [first, second] = &header_salts;
        let primary = binary::make(&binary, Copy::Primary, first, json.as_bytes());
        let secondary = binary::make(&binary, Copy::Secondary, second, json.as_bytes());
        let mut bytes = Vec::with_capacity(HEADER_SIZE);
        bytes.extend_from_slice(&primary);
        bytes.extend_from_slice(&secondary);
        bytes.extend_from_slice(&area);
        bytes.resize(HEADER_SIZE, 0);
        // Otherwise the area would reach into the volume, or be cut.
        assert!(area.len() as u64 <= KEYSLOTS_SIZE && KEYSLOTS_OFFSET == 2 * COPY_SIZE as u64);
        Ok(bytes)
    }

    fn uuid(&self) -> Uuid {
        self.spec.volume_id()
    }

    fn json(&self, kdf: &Kdf, digest: &KeyDigest) -> Value {
        let params = self.spec.layout().params();
        let (encryption, integrity) = params.cipher.segment_names();
        let key_size = params.cipher.key_size();
        let kdf = match kdf {
            Kdf::Pbkdf2 { salt, iterations } => json!({
                "type": "pbkdf2",
                "hash": "sha256",
                "iterations": iterations,
                "salt": Base64::encode_string(salt),
            }),
            Kdf::Argon2id { salt, cost } => json!({
                "type": "argon2id",
                "time": cost.passes(),
                "memory": cost.memory_kib(),
                "cpus": cost.lanes(),
                "salt": Base64::encode_string(salt),
            }),
        };
        json!({
            "keyslots": { "0": {
                "type": "luks2",
                "key_size": key_size,
                "af": { "type": "luks1", "stripes": af::STRIPES, "hash": "sha256" },
                "area": {
                    "type": "raw",
                    "offset": KEYSLOTS_OFFSET.to_string(),
                    "size": area_size(key_size).to_string(),
                    "encryption": AREA_CIPHER,
                    "key_size": AREA_KEY_SIZE,
                },
                "kdf": kdf,
            }},
            "tokens": {},
            "segments": { "0": {
                "type": "crypt",
                "offset": HEADER_SIZE.to_string(),
                "size": "dynamic",
                "iv_tweak": "0",
                "encryption": encryption,
                "sector_size": params.sector_size.bytes(),
                "integrity": {
                    "type": integrity,
                    "journal_encryption": "none",
                    "journal_integrity": "none",
                },
            }},
            "digests": { "0": {
                "type": "pbkdf2",
                "keyslots": ["0"],
                "segments": ["0"],
                "hash": "sha256",
                "iterations": digest.iterations,
                "salt": Base64::encode_string(&digest.salt),
                "digest": Base64::encode_string(&digest.digest),
            }},
            "config": {
                "json_size": JSON_SIZE.to_string(),
                "keyslots_size": KEYSLOTS_SIZE.to_string(),
            },
        })
    }
}

/// Why a header was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NewHeaderError {
    /// The volume starts elsewhere.
    #[error("a volume behind a LUKS2 header starts at sector 32768, not at {0}")]
    DataOffset(u64),
    /// Argon2id is not possible here.
    #[error(transparent)]
    Kdf(StretchError),
    /// There are no random bytes.
    #[error("no random bytes for the LUKS2 header")]
    Random(#[from] rand_core::Error),
    /// The JSON is larger than its area.
    #[error("the LUKS2 header's JSON of {0} bytes is larger than its area")]
    JsonSize(usize),
}
