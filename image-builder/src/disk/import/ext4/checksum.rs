//! The checksum of ext4's metadata: CRC-32C without the last inversion.
//!
//! Specification: the kernel's `Documentation/filesystems/ext4/checksums.rst`.

use crc::{CRC_32_ISCSI, Crc, Digest};

static CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// A checksum that was begun.
#[derive(Clone)]
pub(super) struct Checksum(Digest<'static, u32>);

impl Checksum {
    /// Begins one with a seed; that of a whole is all ones.
    pub(super) fn new(seed: u32) -> Self {
        // The crate takes the first value in the order of the polynomial's bits.
        Self(CRC32C.digest_with_initial(seed.reverse_bits()))
    }

    #[must_use]
    pub(super) fn with(mut self, bytes: &[u8]) -> Self {
        self.0.update(bytes);
        self
    }

    pub(super) fn value(self) -> u32 {
        !self.0.finalize()
    }

    /// Its low half, which is all that some structures have room for.
    pub(super) fn low(self) -> u16 {
        let [a, b, ..] = self.value().to_le_bytes();
        u16::from_le_bytes([a, b])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_crc32c_and_goes_on_from_a_seed() {
        // RFC 3720, appendix B.4: 32 bytes of zeros.
        assert_eq!(!Checksum::new(!0).with(&[0; 32]).value(), 0x8a91_36aa);
        let first = Checksum::new(!0).with(b"12345").value();
        assert_eq!(!Checksum::new(first).with(b"6789").value(), 0xe306_9283);
    }
}
