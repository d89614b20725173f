//! The device-mapper tables of a volume, as the kernel prints them back.
//!
//! Every parameter stands in the integrity table, also those that are the kernel's
//! defaults (the size of its buffers depends on the metadata run), so that what is
//! loaded and what is read back are one text: only then is the kernel's own reading of
//! the superblock known to be ours.
//!
//! Specification: Linux `dm-integrity.rst` and `dm-crypt.rst` (Documentation/
//! admin-guide/device-mapper); `dm_integrity_status` and `crypt_status` for the order.

use std::fmt;

use uuid::Uuid;

use crate::layout::{Layout, LayoutParams};
use crate::spec::VolumeSpec;

/// The description of the key in the kernel's keyring, type `logon`.
#[must_use]
pub fn key_description(volume_id: Uuid) -> String {
    format!("ravelin:{volume_id}")
}

/// A name for a device that can stand in a table: a path or `major:minor`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device(String);

impl Device {
    /// A device of this name.
    ///
    /// # Errors
    /// Text that would be more than one word of a table.
    pub fn new(name: impl Into<String>) -> Result<Self, TableError> {
        let name = name.into();
        let fits = (1..=255).contains(&name.len());
        if fits && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
            Ok(Self(name))
        } else {
            Err(TableError::Device(name))
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The table of the `integrity` target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntegrityTable<'a> {
    layout: &'a Layout,
    device: Device,
}

/// The table of the `crypt` target over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CryptTable<'a> {
    layout: &'a Layout,
    volume_id: Uuid,
    device: Device,
}

/// The table of a `linear` target over that: the volume without its tail, for the
/// file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSystemTable<'a> {
    spec: &'a VolumeSpec,
    device: Device,
}

impl<'a> IntegrityTable<'a> {
    /// The name of the target.
    pub const TARGET: &'static str = "integrity";

    /// Over the disk.
    #[must_use]
    pub fn new(layout: &'a Layout, disk: Device) -> Self {
        Self { layout, device: disk }
    }

    /// The length of the device, in sectors.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.layout.volume_sectors()
    }
}

impl<'a> CryptTable<'a> {
    /// The name of the target.
    pub const TARGET: &'static str = "crypt";

    /// Over the integrity device. The key is named, not held: it has to be in the
    /// keyring as [`key_description`] when the table is loaded.
    #[must_use]
    pub fn new(spec: &'a VolumeSpec, integrity: Device) -> Self {
        Self::of_layout(spec.layout(), spec.volume_id(), integrity)
    }

    /// The same for a volume with a header instead of a specification, whose UUID
    /// names the key.
    #[must_use]
    pub fn of_layout(layout: &'a Layout, volume_id: Uuid, integrity: Device) -> Self {
        Self { layout, volume_id, device: integrity }
    }

    /// The length of the device, in sectors.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.layout.volume_sectors()
    }
}

impl<'a> FileSystemTable<'a> {
    /// The name of the target.
    pub const TARGET: &'static str = "linear";

    /// Over the crypt device.
    #[must_use]
    pub fn new(spec: &'a VolumeSpec, crypt: Device) -> Self {
        Self { spec, device: crypt }
    }

    /// The length of the device, in sectors.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.spec.file_system_sectors()
    }
}

impl fmt::Display for IntegrityTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LayoutParams {
            cipher, sector_size, interleave_log2, journal_sectors, data_offset, ..
        } = self.layout.params();
        let (tag, interleave) = (cipher.metadata_size(), 1_u64 << interleave_log2);
        let large = sector_size.sectors() > 1;
        write!(f, "{} {data_offset} {tag} J {}", self.device, if large { 7 } else { 6 })?;
        if large {
            write!(f, " block_size:{sector_size}")?;
        }
        write!(
            f,
            " journal_sectors:{journal_sectors} interleave_sectors:{interleave} buffer_sectors:{} \
             journal_watermark:50 commit_time:10000 fix_padding",
            self.layout.buffer_sectors()
        )
    }
}

impl fmt::Display for CryptTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LayoutParams { cipher, sector_size, .. } = self.layout.params();
        let key = key_description(self.volume_id);
        let large = sector_size.sectors() > 1;
        write!(
            f,
            "{} :{}:logon:{key} 0 {} 0 {} integrity:{}:aead",
            cipher.table_name(),
            cipher.key_size(),
            self.device,
            if large { 2 } else { 1 },
            cipher.metadata_size()
        )?;
        if large { write!(f, " sector_size:{sector_size}") } else { Ok(()) }
    }
}

impl fmt::Display for FileSystemTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} 0", self.device)
    }
}

/// Why values make no table.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The name of a device cannot stand in a table.
    #[error(
        "{0:?} cannot be a device in a table; use a path of at most 255 ASCII characters without \
         spaces and backslashes, or major:minor"
    )]
    Device(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cipher::Cipher;
    use crate::layout::{LUKS2_DATA_OFFSET, SectorSize};

    fn tables(cipher: Cipher, sector_size: SectorSize) -> [String; 3] {
        let params =
            LayoutParams::with_default_journal(cipher, sector_size, 81_920, LUKS2_DATA_OFFSET);
        let id = Uuid::from_u128(0x0011_2233_4455_4677_8899_aabb_ccdd_eeff);
        let spec = VolumeSpec::new(Layout::new(params).unwrap(), id, None).unwrap();
        let device = |name: &str| Device::new(name).unwrap();
        let (integrity, crypt, file_system) = (
            IntegrityTable::new(spec.layout(), device("254:16")),
            CryptTable::new(&spec, device("253:0")),
            FileSystemTable::new(&spec, device("253:1")),
        );
        [
            format!("0 {} integrity {integrity}", integrity.length()),
            format!("0 {} crypt {crypt}", crypt.length()),
            format!("0 {} linear {file_system}", file_system.length()),
        ]
    }

    /// What `dmsetup table` says of volumes that cryptsetup 2.6.1 made, apart from
    /// the key's description.
    #[test]
    fn tables_are_those_of_cryptsetup() {
        let key = "logon:ravelin:00112233-4455-4677-8899-aabbccddeeff";
        assert_eq!(
            tables(Cipher::AesXtsHmacSha256, SectorSize::B4096),
            [
                "0 48104 integrity 254:16 32768 32 J 7 block_size:4096 journal_sectors:528 \
                 interleave_sectors:32768 buffer_sectors:128 journal_watermark:50 \
                 commit_time:10000 fix_padding"
                    .to_owned(),
                format!(
                    "0 48104 crypt capi:authenc(hmac(sha256),xts(aes))-plain64 :96:{key} 0 253:0 0 \
                     2 integrity:32:aead sector_size:4096"
                ),
                "0 48072 linear 253:1 0".to_owned(),
            ]
        );
        let [integrity, crypt, _] = tables(Cipher::AesXtsHmacSha256, SectorSize::B512);
        assert_eq!(
            integrity,
            "0 44432 integrity 254:16 32768 32 J 6 journal_sectors:616 interleave_sectors:32768 \
             buffer_sectors:128 journal_watermark:50 commit_time:10000 fix_padding"
        );
        assert_eq!(
            crypt,
            format!(
                "0 44432 crypt capi:authenc(hmac(sha256),xts(aes))-plain64 :96:{key} 0 253:0 0 1 \
                 integrity:32:aead"
            )
        );
        let [_, gcm, _] = tables(Cipher::AesGcmRandom, SectorSize::B512);
        assert_eq!(
            gcm,
            format!("0 44944 crypt capi:gcm(aes)-random :32:{key} 0 253:0 0 1 integrity:28:aead")
        );
        let [integrity, ..] = tables(Cipher::AesGcmRandom, SectorSize::B4096);
        assert!(integrity.contains(" buffer_sectors:32 "), "{integrity}");
        let [_, aegis, _] = tables(Cipher::Aegis128Random, SectorSize::B512);
        assert_eq!(
            aegis,
            format!("0 44432 crypt capi:aegis128-random :16:{key} 0 253:0 0 1 integrity:32:aead")
        );
    }

    #[test]
    fn a_device_is_one_word() {
        for name in ["", "a b", "a\\b", "a\n", "\u{e4}"] {
            assert_eq!(Device::new(name), Err(TableError::Device(name.to_owned())));
        }
        assert!(Device::new("x".repeat(256)).is_err());
    }
}
