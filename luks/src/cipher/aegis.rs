//! AEGIS-128 as the Linux kernel has it (`crypto/aegis128`), over the AES round of
//! the crate `aes`. The crates that exist have AEGIS-128L and AEGIS-256, which are
//! other ciphers.
//!
//! Specification: Wu and Preneel, "AEGIS: A Fast Authenticated Encryption
//! Algorithm", version 1.1, AEGIS-128 with a tag of 128 bits.

use aes::hazmat::cipher_round_par;
use aes::{Block, Block8};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// Bytes of a key, of a nonce and of a tag.
pub(crate) const SIZE: usize = 16;

const CONSTANTS: [[u8; SIZE]; 2] = [
    [
        0x00, 0x01, 0x01, 0x02, 0x03, 0x05, 0x08, 0x0d, 0x15, 0x22, 0x37, 0x59, 0x90, 0xe9, 0x79,
        0x62,
    ],
    [
        0xdb, 0x3d, 0x18, 0x55, 0x6d, 0xc2, 0x2f, 0xf1, 0x20, 0x11, 0x31, 0x42, 0x73, 0xb5, 0x28,
        0xdd,
    ],
];

/// The five blocks of the state, wiped at the end.
struct State([u128; 5]);

impl State {
    fn new(key: &[u8; SIZE], nonce: &[u8; SIZE]) -> Self {
        let key = u128::from_le_bytes(*key);
        let mixed = key ^ u128::from_le_bytes(*nonce);
        let [zero, one] = CONSTANTS.map(u128::from_le_bytes);
        let mut state = Self([mixed, one, zero, key ^ zero, key ^ one]);
        for _ in 0..5 {
            state.update(key);
            state.update(mixed);
        }
        state
    }

    fn update(&mut self, message: u128) {
        let [a, b, c, d, e] = self.0;
        let block = |value: u128| Block::from(value.to_le_bytes());
        let zero = Block::default();
        let mut blocks: Block8 =
            [block(e), block(a), block(b), block(c), block(d), zero, zero, zero].into();
        let keys: Block8 =
            [block(a ^ message), block(b), block(c), block(d), block(e), zero, zero, zero].into();
        cipher_round_par(&mut blocks, &keys);
        for (to, from) in self.0.iter_mut().zip(&blocks) {
            *to = u128::from_le_bytes((*from).into());
        }
    }

    fn key_stream(&self) -> u128 {
        let [_, b, c, d, e] = self.0;
        b ^ e ^ (c & d)
    }

    fn absorb(&mut self, data: &[u8]) {
        for chunk in data.chunks(SIZE) {
            self.update(padded(chunk));
        }
    }

    fn tag(mut self, data_len: usize, message_len: usize) -> [u8; SIZE] {
        let bits = |len: usize| (len as u128) << 3;
        let [.., d, _] = self.0;
        let last = d ^ (bits(data_len) | bits(message_len) << 64);
        for _ in 0..7 {
            self.update(last);
        }
        let [a, b, c, d, e] = self.0;
        (a ^ b ^ c ^ d ^ e).to_le_bytes()
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Encrypts `message` in place and returns its tag.
pub(crate) fn seal(
    key: &[u8; SIZE],
    nonce: &[u8; SIZE],
    data: &[u8],
    message: &mut [u8],
) -> [u8; SIZE] {
    let mut state = State::new(key, nonce);
    state.absorb(data);
    for chunk in message.chunks_mut(SIZE) {
        let plain = padded(chunk);
        let stream = state.key_stream().to_le_bytes();
        chunk.iter_mut().zip(stream).for_each(|(byte, mask)| *byte ^= mask);
        state.update(plain);
    }
    state.tag(data.len(), message.len())
}

/// Decrypts `message` in place and tells whether it has this tag. What it has left
/// in `message` is not to be used otherwise.
#[must_use]
pub(crate) fn open(
    key: &[u8; SIZE],
    nonce: &[u8; SIZE],
    data: &[u8],
    message: &mut [u8],
    tag: &[u8; SIZE],
) -> bool {
    let mut state = State::new(key, nonce);
    state.absorb(data);
    for chunk in message.chunks_mut(SIZE) {
        let stream = state.key_stream().to_le_bytes();
        chunk.iter_mut().zip(stream).for_each(|(byte, mask)| *byte ^= mask);
        state.update(padded(chunk));
    }
    state.tag(data.len(), message.len()).ct_eq(tag).into()
}

fn padded(chunk: &[u8]) -> u128 {
    let mut block = [0; SIZE];
    block.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
    u128::from_le_bytes(block)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The specification's first vector: all zeros, no associated data.
    #[test]
    fn the_specifications_vector() {
        let zero = [0; SIZE];
        let mut message = [0; SIZE];
        let tag = seal(&zero, &zero, &[], &mut message);
        assert_eq!(hex::encode(message), "951b050fa72b1a2fc16d2e1f01b07d7e");
        assert_eq!(hex::encode(tag), "a7d2a99773249542f422217ee888d5f1");
        assert!(open(&zero, &zero, &[], &mut message, &tag));
        assert_eq!(message, zero);
    }

    #[test]
    fn any_change_is_noticed() {
        let (key, nonce, data) = ([1; SIZE], [2; SIZE], [3; 24]);
        let mut sealed = [4; 96];
        let tag = seal(&key, &nonce, &data, &mut sealed);
        // The nonce, the associated data, the message and the tag, one after the other.
        let all = [&nonce[..], &data, &sealed, &tag].concat();
        let check = |all: &[u8]| {
            let (nonce, rest) = all.split_first_chunk().unwrap();
            let (rest, tag) = rest.split_last_chunk().unwrap();
            let (data, message) = rest.split_at(24);
            open(&key, nonce, data, &mut message.to_vec(), tag)
        };
        assert!(check(&all));
        for bit in 0..all.len() * 8 {
            let mut changed = all.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!check(&changed), "{bit}");
        }
    }
}
