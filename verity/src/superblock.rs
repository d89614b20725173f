//! The superblock: a description of a tree for tools, in front of it on the hash
//! device.
//!
//! **Threat.** No root hash covers the superblock, so whoever writes the disk
//! writes it. It is parsed strictly (every field bounded, every reserved byte
//! zero) for inspection and for comparison with what is trusted, and never gives
//! a parameter to [`verify`](crate::verify()) or to a table by itself.
//!
//! Specification: cryptsetup's "DMVerity" page, "Verity superblock format",
//! version 1. 512 bytes, integers little-endian:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 8 | signature, `verity\0\0` |
//! | 8 | 4 | version, 1 |
//! | 12 | 4 | hash type, 1 (0 is Chrome OS's older format) |
//! | 16 | 16 | UUID, in the order of its text |
//! | 32 | 32 | hash algorithm, padded with zeros |
//! | 64 | 4 | data block size, bytes |
//! | 68 | 4 | hash block size, bytes |
//! | 72 | 8 | data blocks |
//! | 80 | 2 | salt size, bytes |
//! | 82 | 6 | zeros |
//! | 88 | 256 | salt, padded with zeros |
//! | 344 | 168 | zeros |

use std::fmt;

use uuid::Uuid;

use crate::geometry::{Geometry, GeometryError};
use crate::params::{BlockSize, MAX_SALT, Params, ParamsError, Salt};

/// The size of a superblock, in bytes.
pub const SUPERBLOCK_SIZE: usize = 512;

const SIGNATURE: [u8; 8] = *b"verity\0\0";
const VERSION: u32 = 1;
const HASH_TYPE: u32 = 1;

/// What a superblock says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// The UUID of the hash device.
    pub uuid: Uuid,
    /// The tree's parameters.
    pub params: Params,
    /// The number of data blocks.
    pub data_blocks: u64,
}

impl Superblock {
    /// The superblock as it stands on the hash device.
    pub fn to_bytes(&self) -> [u8; SUPERBLOCK_SIZE] {
        let name = self.params.algorithm.name().as_bytes();
        let salt = self.params.salt.as_bytes();
        let salt_size = u16::try_from(salt.len()).unwrap_or(u16::MAX);
        let fields: [(usize, &[u8]); 12] = [
            (8, &SIGNATURE),
            (4, &VERSION.to_le_bytes()),
            (4, &HASH_TYPE.to_le_bytes()),
            (16, self.uuid.as_bytes()),
            (32, name),
            (4, &self.params.data_block_size.to_u32().to_le_bytes()),
            (4, &self.params.hash_block_size.to_u32().to_le_bytes()),
            (8, &self.data_blocks.to_le_bytes()),
            (2, &salt_size.to_le_bytes()),
            (6, &[]),
            (MAX_SALT, salt),
            (168, &[]),
        ];
        let mut bytes = [0; SUPERBLOCK_SIZE];
        let mut rest = bytes.as_mut_slice();
        for (size, value) in fields {
            let (field, after) = rest.split_at_mut(size);
            field.iter_mut().zip(value).for_each(|(to, from)| *to = *from);
            rest = after;
        }
        bytes
    }

    /// Reads a superblock.
    ///
    /// # Errors
    /// The first field that Ravelin would not have written, by name.
    pub fn parse(bytes: &[u8; SUPERBLOCK_SIZE]) -> Result<Self, SuperblockError> {
        let mut fields = Fields(bytes);
        if fields.take() != SIGNATURE {
            return Err(SuperblockError::Signature);
        }
        let version = u32::from_le_bytes(fields.take());
        if version != VERSION {
            return Err(SuperblockError::Version(version));
        }
        let hash_type = u32::from_le_bytes(fields.take());
        if hash_type != HASH_TYPE {
            return Err(SuperblockError::HashType(hash_type));
        }
        let uuid = Uuid::from_bytes(fields.take());
        let name: [u8; 32] = fields.take();
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        let (name, padding) = name.split_at(end);
        let algorithm = String::from_utf8_lossy(name)
            .parse()
            .map_err(|source| SuperblockError::Algorithm { source })?;
        zeros("hash algorithm", padding)?;
        let block_size = |field, bytes| {
            BlockSize::try_from(u32::from_le_bytes(bytes))
                .map_err(|source| SuperblockError::BlockSize { field, source })
        };
        let data_block_size = block_size("data block size", fields.take())?;
        let hash_block_size = block_size("hash block size", fields.take())?;
        let data_blocks = u64::from_le_bytes(fields.take());
        let salt_size = u16::from_le_bytes(fields.take());
        zeros("reserved bytes at 82", &fields.take::<6>())?;
        let salt: [u8; MAX_SALT] = fields.take();
        let (salt, padding) = salt
            .split_at_checked(usize::from(salt_size))
            .and_then(|(salt, padding)| Some((Salt::new(salt).ok()?, padding)))
            .ok_or(SuperblockError::SaltSize(salt_size))?;
        zeros("salt", padding)?;
        zeros("reserved bytes at 344", fields.0)?;

        let params = Params { algorithm, data_block_size, hash_block_size, salt };
        Geometry::new(&params, data_blocks)
            .map_err(|source| SuperblockError::DataBlocks { source })?;
        Ok(Self { uuid, params, data_blocks })
    }

    /// The fields in which this superblock differs from the one that is expected,
    /// in the order of the disk.
    pub fn differences(&self, expected: &Self) -> Vec<Difference> {
        let (found, wanted) = (&self.params, &expected.params);
        let fields: [(_, &dyn fmt::Display, &dyn fmt::Display); 6] = [
            ("UUID", &self.uuid, &expected.uuid),
            ("hash algorithm", &found.algorithm, &wanted.algorithm),
            ("data block size", &found.data_block_size, &wanted.data_block_size),
            ("hash block size", &found.hash_block_size, &wanted.hash_block_size),
            ("data blocks", &self.data_blocks, &expected.data_blocks),
            ("salt", &found.salt, &wanted.salt),
        ];
        fields
            .into_iter()
            .map(|(field, found, expected)| Difference {
                field,
                found: found.to_string(),
                expected: expected.to_string(),
            })
            .filter(|difference| difference.found != difference.expected)
            .collect()
    }
}

/// One field of a superblock that is not as expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The field.
    pub field: &'static str,
    /// Its value in the superblock, as text.
    pub found: String,
    /// The value that it should have, as text.
    pub expected: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, found, expected } = self;
        write!(f, "{field}: the superblock says {found}, expected {expected}")
    }
}

/// Takes fixed-size fields off the front of a superblock.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    /// The next `N` bytes. The fields of a superblock add up to its size, so
    /// there are always that many; otherwise it would be zeros.
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let Some((field, rest)) = self.0.split_first_chunk() else { return [0; N] };
        self.0 = rest;
        *field
    }
}

fn zeros(field: &'static str, padding: &[u8]) -> Result<(), SuperblockError> {
    if padding.iter().all(|byte| *byte == 0) {
        Ok(())
    } else {
        Err(SuperblockError::Padding(field))
    }
}

/// Why 512 bytes are no superblock of format 1.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SuperblockError {
    /// The signature is another one.
    #[error("there is no verity superblock here (it would start with \"verity\")")]
    Signature,
    /// The version is unknown.
    #[error("verity superblock version {0} is not supported; version 1 is")]
    Version(u32),
    /// The hash type is unknown, or the one of Chrome OS.
    #[error(
        "verity hash type {0} is not supported; make the tree anew with hash type 1 \
         (veritysetup format --format=1)"
    )]
    HashType(u32),
    /// The hash algorithm is unknown.
    #[error("the verity superblock's hash algorithm is not supported")]
    Algorithm {
        /// Which one it is, and which are supported.
        source: ParamsError,
    },
    /// A block size is out of bounds.
    #[error("the verity superblock's {field} is not supported")]
    BlockSize {
        /// Which of the two.
        field: &'static str,
        /// What it is, and what is supported.
        source: ParamsError,
    },
    /// There are no data blocks, or too many.
    #[error("the verity superblock's number of data blocks is impossible")]
    DataBlocks {
        /// What is wrong with it.
        source: GeometryError,
    },
    /// The salt is longer than its field.
    #[error(
        "the verity superblock's salt size of {0} bytes is more than the 256 there is room for"
    )]
    SaltSize(u16),
    /// Bytes that have to be zero are not.
    #[error("the verity superblock is damaged: the padding of its {0} is not zero")]
    Padding(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::Algorithm;

    fn superblock() -> Superblock {
        Superblock {
            uuid: Uuid::from_u128(0x1234_5678_1234_1234_1234_1234_5678_9abc),
            params: Params {
                algorithm: Algorithm::Sha512,
                data_block_size: 1024.try_into().unwrap(),
                hash_block_size: 4096.try_into().unwrap(),
                salt: Salt::new([0xda; 3]).unwrap(),
            },
            data_blocks: 0x0102_0304,
        }
    }

    fn with(offset: usize, bytes: &[u8]) -> Result<Superblock, SuperblockError> {
        let mut superblock = superblock().to_bytes();
        superblock[offset..offset + bytes.len()].copy_from_slice(bytes);
        Superblock::parse(&superblock)
    }

    #[test]
    fn fields_stand_where_the_table_says() {
        let bytes = superblock().to_bytes();
        assert_eq!(bytes[..16], *b"verity\0\0\x01\0\0\0\x01\0\0\0");
        assert_eq!(bytes[16..22], [0x12, 0x34, 0x56, 0x78, 0x12, 0x34]);
        assert_eq!(bytes[32..39], *b"sha512\0");
        assert_eq!(bytes[64..72], [0, 4, 0, 0, 0, 16, 0, 0]);
        assert_eq!(bytes[72..82], [4, 3, 2, 1, 0, 0, 0, 0, 3, 0]);
        assert_eq!(bytes[88..92], [0xda, 0xda, 0xda, 0]);
        assert_eq!(Superblock::parse(&bytes).unwrap(), superblock());
    }

    #[test]
    fn each_bad_field_is_refused_by_name() {
        use SuperblockError as E;
        assert!(matches!(with(7, b"!"), Err(E::Signature)));
        assert!(matches!(with(8, &[2]), Err(E::Version(2))));
        assert!(matches!(with(12, &[0]), Err(E::HashType(0))));
        assert!(matches!(with(32, b"SHA512"), Err(E::Algorithm { .. })));
        assert!(matches!(with(32, &[0xff; 32]), Err(E::Algorithm { .. })));
        assert!(matches!(with(63, b"x"), Err(E::Padding("hash algorithm"))));
        for (offset, name) in [(64, "data block size"), (68, "hash block size")] {
            for size in [0_u32, 256, 1025, 8192, u32::MAX] {
                let error = with(offset, &size.to_le_bytes()).unwrap_err();
                assert!(matches!(error, E::BlockSize { field, .. } if field == name), "{size}");
            }
        }
        assert!(matches!(with(72, &[0; 8]), Err(E::DataBlocks { .. })));
        assert!(matches!(with(72, &[0xff; 8]), Err(E::DataBlocks { .. })));
        assert!(matches!(with(80, &[1, 1]), Err(E::SaltSize(257))));
        assert!(matches!(with(80, &[2]), Err(E::Padding("salt"))));
        assert!(matches!(with(82, &[1]), Err(E::Padding("reserved bytes at 82"))));
        assert!(matches!(with(343, &[1]), Err(E::Padding("salt"))));
        assert!(matches!(with(344, &[1]), Err(E::Padding("reserved bytes at 344"))));
        assert!(matches!(with(511, &[1]), Err(E::Padding("reserved bytes at 344"))));
    }

    #[test]
    fn differences_are_named() {
        let expected = superblock();
        assert_eq!(expected.differences(&expected), []);
        let mut found = superblock();
        found.params.algorithm = Algorithm::Sha256;
        found.params.salt = Salt::default();
        found.data_blocks = 7;
        let lines: Vec<String> =
            found.differences(&expected).iter().map(Difference::to_string).collect();
        assert_eq!(
            lines,
            [
                "hash algorithm: the superblock says sha256, expected sha512",
                "data blocks: the superblock says 7, expected 16909060",
                "salt: the superblock says -, expected dadada",
            ]
        );
    }
}
