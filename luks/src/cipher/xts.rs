//! AES-256 in XTS mode, a batch of blocks at a time.
//!
//! Specification: IEEE 1619-2018; the tweak is dm-crypt's `plain64`: the number of
//! the sector in units of 512 bytes, little-endian. A sector is a whole number of
//! blocks here, so there is no ciphertext stealing.

use aes::cipher::{BlockDecrypt, BlockEncrypt, KeyInit};
use aes::{Aes256, Aes256Enc, Block};

/// Bytes of an XTS-AES-256 key: one key for the data, one for the tweak.
pub(crate) const KEY_SIZE: usize = 64;
const BLOCK: usize = 16;
/// Blocks at a time: hardware keeps several in flight.
const BATCH: usize = 32;

/// The two key schedules. They wipe themselves.
pub(crate) struct Xts {
    data: Aes256,
    tweak: Aes256Enc,
}

impl Xts {
    pub(crate) fn new(key: &[u8; KEY_SIZE]) -> Self {
        let (data, tweak) = key.split_at(KEY_SIZE / 2);
        Self { data: Aes256::new(data.into()), tweak: Aes256Enc::new(tweak.into()) }
    }

    /// Encrypts a sector, a whole number of 16-byte blocks, in place.
    pub(crate) fn encrypt(&self, sector: u64, data: &mut [u8]) {
        self.apply(sector, data, |blocks| self.data.encrypt_blocks(blocks));
    }

    /// Decrypts a sector in place.
    pub(crate) fn decrypt(&self, sector: u64, data: &mut [u8]) {
        self.apply(sector, data, |blocks| self.data.decrypt_blocks(blocks));
    }

    fn apply(&self, sector: u64, data: &mut [u8], cipher: impl Fn(&mut [Block])) {
        let mut first = Block::from(u128::from(sector).to_le_bytes());
        self.tweak.encrypt_block(&mut first);
        let mut tweak = u128::from_le_bytes(first.into());
        let mut tweaks = [0_u128; BATCH];
        let mut blocks = [Block::default(); BATCH];
        for batch in data.chunks_mut(BATCH * BLOCK) {
            let (bytes, _) = batch.as_chunks_mut::<BLOCK>();
            for ((from, mask), to) in bytes.iter().zip(&mut tweaks).zip(&mut blocks) {
                *mask = tweak;
                *to = (u128::from_le_bytes(*from) ^ tweak).to_le_bytes().into();
                tweak = double(tweak);
            }
            cipher(blocks.split_at_mut(bytes.len().min(BATCH)).0);
            for ((to, mask), from) in bytes.iter_mut().zip(&tweaks).zip(&blocks) {
                *to = (u128::from_le_bytes((*from).into()) ^ mask).to_le_bytes();
            }
        }
    }
}

/// Multiplication by x in GF(2^128), as IEEE 1619 numbers its bits.
fn double(tweak: u128) -> u128 {
    (tweak << 1) ^ (0x87 * (tweak >> 127))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// IEEE 1619-2018, annex B, vector 10 (XTS-AES-256, data unit 0xff).
    #[test]
    fn the_standard_vector() {
        let mut key = [0; KEY_SIZE];
        key[..32].copy_from_slice(
            &hex::decode("2718281828459045235360287471352662497757247093699959574966967627")
                .unwrap(),
        );
        key[32..].copy_from_slice(
            &hex::decode("3141592653589793238462643383279502884197169399375105820974944592")
                .unwrap(),
        );
        let plain: Vec<u8> = (0..=255).chain(0..=255).collect();
        let mut data = plain.clone();
        let xts = Xts::new(&key);
        xts.encrypt(0xff, &mut data);
        assert_eq!(hex::encode(&data[..16]), "1c3b3a102f770386e4836c99e370cf9b");
        assert_eq!(hex::encode(&data[496..]), "c4f36ffda9fcea70b9c6e693e148c151");
        xts.decrypt(0xff, &mut data);
        assert_eq!(data, plain);
    }

    /// A sector longer than a batch is one tweak sequence.
    #[test]
    fn long_sectors_go_on_where_a_batch_ends() {
        let xts = Xts::new(&[7; KEY_SIZE]);
        let mut long = vec![3; 4096];
        xts.encrypt(9, &mut long);
        assert_ne!(long[..512], long[512..1024]);
        let mut short = vec![3; 512];
        xts.encrypt(9, &mut short);
        assert_eq!(long[..512], short);
        xts.decrypt(9, &mut long);
        assert_eq!(long, [3; 4096]);
    }
}
