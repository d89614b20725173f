//! The header of one entry of a newc cpio archive, as the kernel reads it
//! (Linux, `Documentation/driver-api/early-userspace/buffer-format.rst`).
//!
//! Every number is eight hexadecimal digits of ASCII, most significant first:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 6 | magic `070701` |
//! | 6 | 8 | inode number |
//! | 14 | 8 | mode: type and permissions |
//! | 22 | 8 | user id |
//! | 30 | 8 | group id |
//! | 38 | 8 | number of links |
//! | 46 | 8 | modification time, seconds since 1970 |
//! | 54 | 8 | size of the content, bytes |
//! | 62 | 8 | device that holds the file: major |
//! | 70 | 8 | device that holds the file: minor |
//! | 78 | 8 | device node: major |
//! | 86 | 8 | device node: minor |
//! | 94 | 8 | size of the name with its NUL, bytes |
//! | 102 | 8 | checksum: 0 |
//!
//! The name follows at 110, then zeros up to a multiple of four bytes, then the
//! content, then zeros up to a multiple of four.

/// Length of a header, in bytes.
pub(super) const HEADER_BYTES: usize = 110;

/// The magic of newc without checksums.
pub(super) const MAGIC: &[u8; 6] = b"070701";

/// The name of the entry that ends an archive.
pub(super) const TRAILER: &str = "TRAILER!!!";

/// The longest name with its NUL, in bytes (`PATH_MAX`): the kernel silently
/// skips an entry whose name is longer.
pub(super) const MAX_NAME_BYTES: u32 = 4096;

/// Archives are padded with zeros to a multiple of this, in bytes, so that they
/// can be concatenated.
pub(super) const BLOCK_BYTES: usize = 512;

/// The type bits of a mode.
pub(super) const TYPE_MASK: u32 = 0o170_000;
pub(super) const DIRECTORY: u32 = 0o040_000;
pub(super) const REGULAR: u32 = 0o100_000;
pub(super) const SYMLINK: u32 = 0o120_000;
pub(super) const CHARACTER_DEVICE: u32 = 0o020_000;
pub(super) const BLOCK_DEVICE: u32 = 0o060_000;
pub(super) const FIFO: u32 = 0o010_000;
pub(super) const SOCKET: u32 = 0o140_000;

/// The numbers of a header, in the order of the format.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) ino: u32,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) nlink: u32,
    pub(super) mtime: u32,
    pub(super) size: u32,
    pub(super) holder: (u32, u32),
    pub(super) device: (u32, u32),
    pub(super) name_bytes: u32,
    pub(super) check: u32,
}

/// What is wrong with a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderFault {
    /// The first six bytes are not the magic.
    Magic,
    /// A number has a byte that is no hexadecimal digit.
    Digit,
}

impl Header {
    pub(super) fn encode(&self) -> String {
        format!(
            "070701{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}",
            self.ino,
            self.mode,
            self.uid,
            self.gid,
            self.nlink,
            self.mtime,
            self.size,
            self.holder.0,
            self.holder.1,
            self.device.0,
            self.device.1,
            self.name_bytes,
            self.check,
        )
    }

    pub(super) fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, HeaderFault> {
        let numbers = bytes.strip_prefix(MAGIC).ok_or(HeaderFault::Magic)?;
        let mut numbers = numbers.chunks_exact(8).map(number);
        let mut next = || numbers.next().flatten().ok_or(HeaderFault::Digit);
        Ok(Self {
            ino: next()?,
            mode: next()?,
            uid: next()?,
            gid: next()?,
            nlink: next()?,
            mtime: next()?,
            size: next()?,
            holder: (next()?, next()?),
            device: (next()?, next()?),
            name_bytes: next()?,
            check: next()?,
        })
    }
}

/// Zeros from `offset` to the next multiple of four.
pub(super) fn padding_after(offset: u64) -> u64 {
    offset.wrapping_neg() % 4
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0_u32, |value, &digit| {
        let digit = char::from(digit).to_digit(16)?;
        Some(value << 4 | digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let header = Header {
            ino: 1,
            mode: 0o100_755,
            uid: 2,
            gid: 3,
            nlink: 4,
            mtime: 5,
            size: u32::MAX,
            holder: (6, 7),
            device: (8, 0xABCD_EF01),
            name_bytes: 9,
            check: 10,
        };
        let bytes: [u8; HEADER_BYTES] = header.encode().into_bytes().try_into().unwrap();
        assert_eq!(Header::decode(&bytes), Ok(header));
        assert_eq!(Header::decode(&bytes.map(|b| b.to_ascii_lowercase())), Ok(header));
    }

    #[test]
    fn magic_and_every_digit_are_checked() {
        let good: [u8; HEADER_BYTES] = Header::default().encode().into_bytes().try_into().unwrap();
        for at in 0..HEADER_BYTES {
            for byte in [b' ', b'g', b'-', 0, 0xFF, b'2'] {
                let mut bytes = good;
                bytes[at] = byte;
                let expected = if at < 6 {
                    Some(HeaderFault::Magic)
                } else {
                    (byte != b'2').then_some(HeaderFault::Digit)
                };
                assert_eq!(Header::decode(&bytes).err(), expected, "byte {at}");
            }
        }
    }

    #[test]
    fn padding_reaches_the_next_multiple_of_four() {
        assert_eq!([0, 1, 2, 3, 4, 5].map(padding_after), [0, 3, 2, 1, 0, 3]);
    }
}
