//! Sealing and opening one sector, as dm-crypt does over dm-integrity.
//!
//! Authenticated are the sector's number (in units of 512 bytes, whatever the
//! sector size, little-endian) and its IV. The metadata of a sector, which
//! dm-integrity keeps, is the tag and, for the random IVs, the IV. Specification:
//! Linux `drivers/md/dm-crypt.c`, `crypt_convert_block_aead`.

use aes::cipher::{BlockEncrypt, KeyInit};
use aes::{Aes256Enc, Block};
use aes_gcm::aead::AeadInPlace;
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::xts::{self, Xts};
use super::{Cipher, aegis};
use crate::key::VolumeKey;

const GCM_NONCE: usize = 12;
const MAC_SIZE: usize = 32;

/// A cipher with its key.
pub(crate) enum SectorCipher {
    Authenc { xts: Box<Xts>, mac: Hmac<Sha256> },
    Gcm(Box<Aes256Gcm>),
    Aegis(Zeroizing<[u8; aegis::SIZE]>),
}

/// Where the IVs of a new volume's sectors come from: the sectors' numbers under a
/// random permutation. No two are the same, and they look random.
pub(crate) struct Nonces(Aes256Enc);

impl Nonces {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(Aes256Enc::new(key.into()))
    }

    fn of(&self, sector: u64) -> [u8; 16] {
        let mut block = Block::from(u128::from(sector).to_le_bytes());
        self.0.encrypt_block(&mut block);
        block.into()
    }
}

impl SectorCipher {
    /// `None` if the key's length is another cipher's, which `VolumeKey` rules out.
    pub(crate) fn new(key: &VolumeKey) -> Option<Self> {
        let bytes = key.as_bytes();
        match key.cipher() {
            Cipher::AesXtsHmacSha256 => {
                let (data, mac) = bytes.split_first_chunk::<{ xts::KEY_SIZE }>()?;
                let mac = <Hmac<Sha256> as Mac>::new_from_slice(mac).ok()?;
                Some(Self::Authenc { xts: Box::new(Xts::new(data)), mac })
            }
            Cipher::AesGcmRandom => {
                Some(Self::Gcm(Box::new(Aes256Gcm::new_from_slice(bytes).ok()?)))
            }
            Cipher::Aegis128Random => Some(Self::Aegis(Zeroizing::new(bytes.try_into().ok()?))),
        }
    }

    /// Encrypts `data` in place and fills `metadata`, which has the cipher's
    /// metadata size.
    pub(crate) fn seal(&self, sector: u64, nonces: &Nonces, data: &mut [u8], metadata: &mut [u8]) {
        match self {
            Self::Authenc { xts, mac } => {
                xts.encrypt(sector, data);
                let tag = authenc_mac(mac, sector, data).finalize().into_bytes();
                put(metadata, &[&tag]);
            }
            Self::Gcm(gcm) => {
                let full = nonces.of(sector);
                let nonce = Nonce::from_slice(full.split_at(GCM_NONCE).0);
                let associated = associated(sector, nonce);
                let sealed = gcm.encrypt_in_place_detached(nonce, &associated, data);
                // Only beyond 64 GiB in one sector is there no tag, and the data still clear.
                assert!(sealed.is_ok(), "AES-GCM gave no tag");
                put(metadata, &[&sealed.unwrap_or_default(), nonce]);
            }
            Self::Aegis(key) => {
                let nonce = nonces.of(sector);
                let tag = aegis::seal(key, &nonce, &associated(sector, &nonce), data);
                put(metadata, &[&tag, &nonce]);
            }
        }
    }

    /// Decrypts `data` in place and tells whether it is authentic. If it is not,
    /// what is left in `data` is not to be used.
    #[must_use]
    pub(crate) fn open(&self, sector: u64, data: &mut [u8], metadata: &[u8]) -> bool {
        match self {
            Self::Authenc { xts, mac } => {
                let authentic = authenc_mac(mac, sector, data).verify_slice(metadata).is_ok();
                if authentic {
                    xts.decrypt(sector, data);
                }
                authentic
            }
            Self::Gcm(gcm) => {
                let Some((tag, nonce)) = metadata.split_first_chunk::<16>() else { return false };
                if nonce.len() != GCM_NONCE {
                    return false;
                }
                let associated = associated(sector, nonce);
                let (nonce, tag) = (Nonce::from_slice(nonce), Tag::from_slice(tag));
                gcm.decrypt_in_place_detached(nonce, &associated, data, tag).is_ok()
            }
            Self::Aegis(key) => {
                let Some((tag, nonce)) = metadata.split_first_chunk() else { return false };
                let Ok(nonce) = nonce.try_into() else { return false };
                aegis::open(key, nonce, &associated(sector, nonce), data, tag)
            }
        }
    }
}

/// Over the sector's number, the IV (the number again, padded to 16 bytes) and
/// the ciphertext.
fn authenc_mac(mac: &Hmac<Sha256>, sector: u64, ciphertext: &[u8]) -> Hmac<Sha256> {
    let iv = u128::from(sector).to_le_bytes();
    mac.clone().chain_update(sector.to_le_bytes()).chain_update(iv).chain_update(ciphertext)
}

fn associated(sector: u64, iv: &[u8]) -> Vec<u8> {
    [&sector.to_le_bytes(), iv].concat()
}

fn put(to: &mut [u8], parts: &[&[u8]]) {
    // A tag that is cut is none.
    assert_eq!(to.len(), parts.iter().map(|part| part.len()).sum::<usize>());
    to.iter_mut().zip(parts.iter().copied().flatten()).for_each(|(to, from)| *to = *from);
}

const _: () = assert!(MAC_SIZE + xts::KEY_SIZE == Cipher::AesXtsHmacSha256.key_size());
