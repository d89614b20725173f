//! The specification of a volume: everything about it but the secret.
//!
//! It comes to the guest with the secret, on the attested channel, and the volume
//! key is derived from it, so that nothing on the disk has to be believed.
//!
//! **Threat.** Its bytes are as authentic as the message that they come in; they
//! are parsed strictly nevertheless, and one specification has one encoding.
//!
//! 96 bytes, integers big-endian:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 8 | `rvolume` and the version, 01 |
//! | 8 | 1 | cipher: 1 aes-xts-hmac-sha256, 2 aes-gcm-random, 3 aegis128-random |
//! | 9 | 1 | log2 of the sector size: 9 or 12 |
//! | 10 | 1 | log2 of the interleave, in sectors of 512 bytes |
//! | 11 | 1 | metadata bytes of a sector, which the cipher says |
//! | 12 | 4 | journal, sectors of 512 bytes: whole sections |
//! | 16 | 8 | device, sectors of 512 bytes |
//! | 24 | 8 | data offset, sectors of 512 bytes |
//! | 32 | 16 | volume ID, in the order of its text |
//! | 48 | 1 | how the secret was made: 0 at random, 1 by Argon2id from a passphrase |
//! | 49 | 3 | zeros |
//! | 52 | 4 | Argon2id: lanes |
//! | 56 | 4 | Argon2id: passes |
//! | 60 | 4 | Argon2id: memory, KiB |
//! | 64 | 32 | Argon2id: salt |
//!
//! From offset 52 on it is zeros if there is no Argon2id.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::cipher::Cipher;
use crate::key::{Argon2Cost, CostError};
use crate::layout::{Layout, LayoutError, LayoutParams, SectorSize};
use crate::tail::TAIL_SECTORS;

/// The size of an encoded specification, in bytes.
pub const SPEC_SIZE: usize = 96;
/// Bytes of a stretching salt.
pub const STRETCH_SALT_SIZE: usize = 32;

const MAGIC: [u8; 7] = *b"rvolume";
const VERSION: u8 = 1;

/// Everything about a volume but the secret. Any value of it is a volume that can
/// be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VolumeSpec {
    layout: Layout,
    volume_id: Uuid,
    stretch: Option<Stretch>,
}

/// How a passphrase becomes the secret: Argon2id, version 1.3.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stretch {
    salt: [u8; STRETCH_SALT_SIZE],
    cost: Argon2Cost,
}

impl Stretch {
    /// This salt and cost.
    #[must_use]
    pub fn new(salt: [u8; STRETCH_SALT_SIZE], cost: Argon2Cost) -> Self {
        Self { salt, cost }
    }

    /// The salt.
    #[must_use]
    pub fn salt(&self) -> &[u8; STRETCH_SALT_SIZE] {
        &self.salt
    }

    /// The cost.
    #[must_use]
    pub fn cost(&self) -> Argon2Cost {
        self.cost
    }
}

impl VolumeSpec {
    /// Describes a volume. The volume ID is a random UUID: with the same secret and
    /// ID, another disk would be interchangeable.
    ///
    /// # Errors
    /// A nil ID, or a volume without room for a file system.
    pub fn new(
        layout: Layout,
        volume_id: Uuid,
        stretch: Option<Stretch>,
    ) -> Result<Self, SpecError> {
        if volume_id.is_nil() {
            return Err(SpecError::VolumeId);
        }
        if layout.volume_sectors() <= TAIL_SECTORS {
            return Err(SpecError::TooSmall(layout.volume_sectors()));
        }
        Ok(Self { layout, volume_id, stretch })
    }

    /// The geometry.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The volume ID: also the UUID of a LUKS2 header on the disk.
    #[must_use]
    pub fn volume_id(&self) -> Uuid {
        self.volume_id
    }

    /// How a passphrase becomes the secret; `None` if the secret is random.
    #[must_use]
    pub fn stretch(&self) -> Option<&Stretch> {
        self.stretch.as_ref()
    }

    /// What the file system may use, in sectors: the volume without its tail.
    #[must_use]
    pub fn file_system_sectors(&self) -> u64 {
        self.layout.volume_sectors() - TAIL_SECTORS
    }

    /// SHA-256 of the encoding.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.encode()).into()
    }

    /// The one encoding.
    #[must_use]
    pub fn encode(&self) -> [u8; SPEC_SIZE] {
        let LayoutParams {
            cipher,
            sector_size,
            interleave_log2,
            journal_sectors,
            device_sectors,
            data_offset,
        } = *self.layout.params();
        let metadata = u8::try_from(cipher.metadata_size()).unwrap_or(u8::MAX);
        let small = [cipher.code(), sector_size.sectors_log2() + 9, interleave_log2, metadata];
        let (kind, cost, salt) = match &self.stretch {
            None => (0, [0; 3], [0; STRETCH_SALT_SIZE]),
            Some(Stretch { salt, cost }) => {
                (1, [cost.lanes(), cost.passes(), cost.memory_kib()], *salt)
            }
        };
        let [lanes, passes, memory] = cost.map(u32::to_be_bytes);
        let fields: [&[u8]; 12] = [
            &MAGIC,
            &[VERSION],
            &small,
            &journal_sectors.to_be_bytes(),
            &device_sectors.to_be_bytes(),
            &data_offset.to_be_bytes(),
            self.volume_id.as_bytes(),
            &[kind, 0, 0, 0],
            &lanes,
            &passes,
            &memory,
            &salt,
        ];
        let mut bytes = [0; SPEC_SIZE];
        bytes.iter_mut().zip(fields.into_iter().flatten()).for_each(|(to, from)| *to = *from);
        bytes
    }

    /// Reads an encoding.
    ///
    /// # Errors
    /// The first field that is not possible, by name.
    pub fn decode(bytes: &[u8]) -> Result<Self, SpecError> {
        let length = bytes.len();
        let bytes: &[u8; SPEC_SIZE] =
            bytes.try_into().map_err(|_length| SpecError::Length(length))?;
        let mut fields = Fields(bytes);
        if fields.take() != MAGIC {
            return Err(SpecError::Magic);
        }
        let [version] = fields.take();
        if version != VERSION {
            return Err(SpecError::Version(version));
        }
        let [cipher, sector_log2, interleave_log2, metadata] = fields.take();
        let cipher = Cipher::ALL
            .into_iter()
            .find(|known| known.code() == cipher)
            .ok_or(SpecError::Cipher(cipher))?;
        let sector_size = [SectorSize::B512, SectorSize::B4096]
            .into_iter()
            .find(|size| size.sectors_log2() + 9 == sector_log2)
            .ok_or(SpecError::SectorSize(sector_log2))?;
        if usize::from(metadata) != cipher.metadata_size() {
            return Err(SpecError::Metadata(metadata));
        }
        let params = LayoutParams {
            cipher,
            sector_size,
            interleave_log2,
            journal_sectors: u32::from_be_bytes(fields.take()),
            device_sectors: u64::from_be_bytes(fields.take()),
            data_offset: u64::from_be_bytes(fields.take()),
        };
        let volume_id = Uuid::from_bytes(fields.take());
        let [kind] = fields.take();
        if fields.take() != [0; 3] {
            return Err(SpecError::Reserved);
        }
        let [lanes, passes, memory] = [(); 3].map(|()| u32::from_be_bytes(fields.take()));
        let salt = fields.take();
        let stretch = match kind {
            0 if [lanes, passes, memory] == [0; 3] && salt == [0; STRETCH_SALT_SIZE] => None,
            0 => return Err(SpecError::Reserved),
            1 => Some(Stretch::new(salt, Argon2Cost::new(memory, passes, lanes)?)),
            _ => return Err(SpecError::Stretch(kind)),
        };
        Self::new(Layout::new(params)?, volume_id, stretch)
    }
}

/// Takes fixed-size fields off the front.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    /// The next `N` bytes. The fields add up to the size, so there are that many.
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let Some((field, rest)) = self.0.split_first_chunk() else { return [0; N] };
        self.0 = rest;
        *field
    }
}

/// Why bytes or values are no specification.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// Another length than 96 bytes.
    #[error("a volume specification has 96 bytes, not {0}")]
    Length(usize),
    /// It does not start as one.
    #[error("this is no volume specification (it would start with \"rvolume\")")]
    Magic,
    /// A later version.
    #[error("version {0} of the volume specification is not known; 1 is")]
    Version(u8),
    /// A cipher that does not exist.
    #[error("the volume specification's cipher {0} is not known")]
    Cipher(u8),
    /// Neither 512 nor 4096.
    #[error("the volume specification's sector size 2^{0} is neither 512 nor 4096")]
    SectorSize(u8),
    /// A metadata size that is not the cipher's.
    #[error("the volume specification's {0} metadata bytes are not its cipher's")]
    Metadata(u8),
    /// Sizes and places that no device has.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// No volume ID.
    #[error("the volume ID is missing (all zeros)")]
    VolumeId,
    /// A way to make the secret that does not exist.
    #[error("the volume specification's way {0} to make the secret is not known")]
    Stretch(u8),
    /// A cost out of bounds.
    #[error(transparent)]
    Cost(#[from] CostError),
    /// Bytes that have to be zero are not.
    #[error("reserved bytes of the volume specification are not zero")]
    Reserved,
    /// No room for a file system.
    #[error("a volume of {0} sectors has no room for a file system beside its own blocks")]
    TooSmall(u64),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Secret, VolumeKey};
    use crate::layout::LUKS2_DATA_OFFSET;

    fn spec(cipher: Cipher, stretch: Option<Stretch>) -> VolumeSpec {
        let params = LayoutParams::with_default_journal(
            cipher,
            SectorSize::B4096,
            81_920,
            LUKS2_DATA_OFFSET,
        );
        let id = Uuid::from_u128(0x0011_2233_4455_4677_8899_aabb_ccdd_eeff);
        VolumeSpec::new(Layout::new(params).unwrap(), id, stretch).unwrap()
    }

    fn stretch() -> Option<Stretch> {
        Some(Stretch::new([0x5a; 32], Argon2Cost::new(65_536, 3, 4).unwrap()))
    }

    /// The vectors of docs/formats.md.
    #[test]
    fn vectors() {
        let secret = Secret::new(&[0x11; 32]);
        let plain = spec(Cipher::AesXtsHmacSha256, None);
        assert_eq!(
            hex::encode(plain.encode()),
            concat!(
                "72766f6c756d6501010c0f20000002100000000000014000",
                "000000000000800000112233445546778899aabbccddeeff",
                "000000000000000000000000000000000000000000000000",
                "000000000000000000000000000000000000000000000000"
            )
        );
        let stretched = spec(Cipher::AesGcmRandom, stretch());
        assert_eq!(
            hex::encode(stretched.encode()),
            concat!(
                "72766f6c756d6501020c0f1c000002100000000000014000",
                "000000000000800000112233445546778899aabbccddeeff",
                "010000000000000400000003000100005a5a5a5a5a5a5a5a",
                "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a"
            )
        );
        let key = |spec: &VolumeSpec| hex::encode(VolumeKey::derive(&secret, spec).as_bytes());
        assert_eq!(
            key(&plain),
            concat!(
                "f533a0dcecb9b262483d228f5724290812d1b9728bfd45135b801e81d59eb758",
                "8921cb612a2acb81ec544b7c770c3778ef3be162c1d8e266adf165cecf661c79",
                "c0c7e9e080c4e01a06bc8c092e4d95a9987a88897dab0357fa93dcea143f6980"
            )
        );
        assert_eq!(
            key(&stretched),
            "a7b9c4b3c39669af353a9589aba129b8fe38d3910ff2b60fdb6fcb4ca1271e09"
        );
        assert_eq!(
            hex::encode(plain.digest()),
            "4a2ce463f041ba2328735c536838086182ad32ef41280454ae84baa74985e14a"
        );
    }

    #[test]
    fn every_changed_byte_is_refused_or_another_key() {
        let secret = Secret::new(&[0x11; 32]);
        for spec in [spec(Cipher::AesXtsHmacSha256, None), spec(Cipher::AesGcmRandom, stretch())] {
            assert_eq!(VolumeSpec::decode(&spec.encode()).as_ref(), Ok(&spec));
            let key = VolumeKey::derive(&secret, &spec);
            for bit in 0..SPEC_SIZE * 8 {
                let mut bytes = spec.encode();
                bytes[bit / 8] ^= 1 << (bit % 8);
                if let Ok(other) = VolumeSpec::decode(&bytes) {
                    assert_eq!(other.encode(), bytes, "one specification, one encoding");
                    assert!(VolumeKey::derive(&secret, &other).as_bytes() != key.as_bytes());
                }
            }
        }
    }

    #[test]
    fn each_bad_field_is_refused_by_name() {
        use SpecError as E;
        let with = |offset: usize, value: &[u8]| {
            let mut bytes = spec(Cipher::AesXtsHmacSha256, stretch()).encode();
            bytes[offset..offset + value.len()].copy_from_slice(value);
            VolumeSpec::decode(&bytes).unwrap_err()
        };
        assert_eq!(VolumeSpec::decode(&[]), Err(E::Length(0)));
        assert_eq!(VolumeSpec::decode(&[0; 97]), Err(E::Length(97)));
        assert_eq!(with(0, b"R"), E::Magic);
        assert_eq!(with(7, &[2]), E::Version(2));
        assert_eq!(with(8, &[0]), E::Cipher(0));
        assert_eq!(with(8, &[4]), E::Cipher(4));
        assert_eq!(with(9, &[10]), E::SectorSize(10));
        assert_eq!(with(10, &[2]), E::Layout(LayoutError::Interleave(2)));
        assert_eq!(with(11, &[28]), E::Metadata(28));
        assert!(matches!(with(12, &[0, 0, 0, 1]), E::Layout(LayoutError::Journal { .. })));
        assert!(matches!(with(16, &[0xff; 8]), E::Layout(LayoutError::DeviceTooLarge(_))));
        assert!(matches!(with(16, &[0; 8]), E::Layout(LayoutError::DeviceTooSmall(_))));
        assert!(matches!(with(24, &[0xff; 8]), E::Layout(LayoutError::DataOffset(_))));
        assert_eq!(with(32, &[0; 16]), E::VolumeId);
        assert_eq!(with(48, &[0]), E::Reserved);
        assert_eq!(with(48, &[2]), E::Stretch(2));
        assert_eq!(with(51, &[1]), E::Reserved);
        assert_eq!(with(52, &[0, 0, 0, 0]), E::Cost(CostError::Lanes(0)));
        assert_eq!(with(56, &[0xff; 4]), E::Cost(CostError::Passes(u32::MAX)));
        assert_eq!(with(60, &[0xff; 4]), E::Cost(CostError::Memory(u32::MAX)));
    }
}
