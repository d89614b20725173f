//! The sidecar of an encrypted disk: what `ravelin` needs to know about it beside
//! the secret.
//!
//! It holds nothing secret, but it has to be authentic: the volume specification
//! in it is what the owner sends to the guest. Everything in it that follows from
//! something else in it is checked when it is loaded.

use std::os::unix::fs::FileExt;
use std::path::Path;

use luks::{Epoch, Layout as VolumeLayout, LayoutParams, VolumeSpec};
use protocol::config::{RootMode, Selector};
use protocol::gpt;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::EncryptedSidecarError as Error;
use super::layout::DiskArea;
use crate::disk::{RootFileSystem, sidecar};
use crate::output::Output;

/// The only version there is.
const FORMAT: u32 = 1;

/// What an encrypted disk is. Loaded, it is consistent in itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Raw", into = "Raw")]
pub struct EncryptedSidecar {
    /// The volume.
    pub spec: VolumeSpec,
    /// SHA-256 of the LUKS2 header: the first 16 MiB of the volume's partition.
    pub header_sha256: [u8; 32],
    /// The least epoch that is accepted from the disk.
    pub epoch: Epoch,
    /// The file system that was encrypted.
    pub file_system: RootFileSystem,
    /// The file.
    pub disk: EncryptedDisk,
}

/// The file of an encrypted disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncryptedDisk {
    /// Its name in the sidecar's directory.
    pub file: String,
    /// Bytes.
    pub size: u64,
    /// The partition of the volume; without one, the whole disk is the volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<EncryptedPartition>,
}

/// The partition of an encrypted volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncryptedPartition {
    /// GUID of the partition table.
    pub disk_guid: Uuid,
    /// Its GUID: the volume ID.
    pub guid: Uuid,
    /// First byte on the disk.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
}

/// As it is written.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    format: u32,
    /// Always `encrypted`.
    kind: String,
    header_sha256: String,
    epoch: u64,
    volume: RawVolume,
    file_system: RootFileSystem,
    disk: EncryptedDisk,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawVolume {
    /// The encoded specification, in hexadecimal: what counts. All else says the
    /// same to a reader.
    spec: String,
    id: Uuid,
    cipher: String,
    sector_size: u32,
    journal_sectors: u32,
    device_sectors: u64,
    data_offset: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    argon2id: Option<RawArgon2id>,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawArgon2id {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: String,
}

impl EncryptedSidecar {
    /// Loads and checks a sidecar.
    ///
    /// # Errors
    /// [`EncryptedSidecarError`](super::EncryptedSidecarError).
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text =
            sidecar::text(path).map_err(|source| Error::Read { path: path.to_owned(), source });
        let too_large = || Error::TooLarge { path: path.to_owned() };
        Self::parse(&text?.ok_or_else(too_large)?)
    }

    /// Whether a text is the sidecar of an encrypted disk, of whatever version.
    #[must_use]
    pub fn claims(text: &str) -> bool {
        #[derive(Deserialize)]
        struct Kind {
            kind: String,
        }
        toml::from_str(text).is_ok_and(|Kind { kind }| kind == "encrypted")
    }

    /// Reads and checks a sidecar's text.
    ///
    /// # Errors
    /// [`EncryptedSidecarError`](super::EncryptedSidecarError).
    pub fn parse(text: &str) -> Result<Self, Error> {
        let format = sidecar::version(text).map_err(Error::Parse)?;
        if format != FORMAT {
            return Err(Error::Version(format));
        }
        Self::try_from(toml::from_str::<Raw>(text).map_err(Error::Parse)?)
    }

    /// The sidecar as text.
    ///
    /// # Errors
    /// A number beyond TOML's 63 bits.
    pub fn to_toml(&self) -> Result<String, Error> {
        let body = toml::to_string(&Raw::from(self.clone())).map_err(Error::Format)?;
        Ok(format!("# What this encrypted disk is. Made by ravelin; holds no secret.\n{body}"))
    }

    /// Writes the sidecar in place of the one at `path`, in one step and to the disk:
    /// whoever reads it, also after a crash, sees the old one or this one.
    ///
    /// # Errors
    /// [`EncryptedSidecarError`](super::EncryptedSidecarError); the old one is still
    /// there, unless only the directory was not synchronised.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        Ok(self.unsaved(path)?.commit()?)
    }

    /// The same before its last step.
    pub(super) fn unsaved(&self, path: &Path) -> Result<Output, Error> {
        let text = self.to_toml()?;
        // What could not be loaded again must not take the place of what can.
        Self::parse(&text)?;
        let output = Output::create(path)?;
        output
            .file()
            .write_all_at(text.as_bytes(), 0)
            .map_err(|source| Error::Write { path: path.to_owned(), source })?;
        Ok(output)
    }

    /// The `ravelin.*` words of a guest whose root the disk is. A disk without a
    /// partition table is found by its virtio serial.
    #[must_use]
    pub fn cmdline(&self, serial: &str) -> String {
        let device = match &self.disk.partition {
            Some(partition) => Selector::PartUuid(partition.guid),
            None => Selector::Serial(serial.to_owned()),
        };
        format!(
            "ravelin.root.mode={} ravelin.root.device={device} ravelin.root.fstype={}",
            RootMode::Encrypted,
            self.file_system.kind,
        )
    }

    /// Where the volume starts in the disk's file, in bytes.
    #[must_use]
    pub fn volume_offset(&self) -> u64 {
        self.disk.partition.as_ref().map_or(0, |partition| partition.offset)
    }
}

impl EncryptedDisk {
    /// The partition table that the disk has to have, if it has one.
    #[must_use]
    pub fn table(&self) -> Option<gpt::Table> {
        let partition = self.partition.as_ref()?;
        let sector = gpt::SECTOR as u64;
        let first_lba = partition.offset / sector;
        Some(gpt::Table {
            disk_guid: partition.disk_guid,
            sectors: self.size / sector,
            partitions: vec![gpt::Partition {
                number: 1,
                type_guid: gpt::TYPE_ROOT_X86_64,
                guid: partition.guid,
                first_lba,
                last_lba: first_lba.saturating_add(partition.size / sector).saturating_sub(1),
                attributes: 0,
                name: "ravelin-encrypted".to_owned(),
            }],
        })
    }
}

impl RawVolume {
    fn new(spec: &VolumeSpec) -> Self {
        let LayoutParams {
            cipher, sector_size, journal_sectors, device_sectors, data_offset, ..
        } = *spec.layout().params();
        Self {
            spec: hex::encode(spec.encode()),
            id: spec.volume_id(),
            cipher: cipher.name().to_owned(),
            sector_size: sector_size.bytes(),
            journal_sectors,
            device_sectors,
            data_offset,
            argon2id: spec.stretch().map(|stretch| RawArgon2id {
                memory_kib: stretch.cost().memory_kib(),
                passes: stretch.cost().passes(),
                lanes: stretch.cost().lanes(),
                salt: hex::encode(stretch.salt()),
            }),
        }
    }
}

impl From<EncryptedSidecar> for Raw {
    fn from(sidecar: EncryptedSidecar) -> Self {
        let EncryptedSidecar { spec, header_sha256, epoch, file_system, disk } = sidecar;
        Self {
            format: FORMAT,
            kind: "encrypted".to_owned(),
            header_sha256: hex::encode(header_sha256),
            epoch: epoch.0,
            volume: RawVolume::new(&spec),
            file_system,
            disk,
        }
    }
}

impl TryFrom<Raw> for EncryptedSidecar {
    type Error = Error;

    fn try_from(raw: Raw) -> Result<Self, Error> {
        let Raw { format, kind, header_sha256, epoch, volume, file_system, disk } = raw;
        if format != FORMAT {
            return Err(Error::Version(format));
        }
        if kind != "encrypted" {
            return Err(Error::Kind(kind));
        }
        let bytes = hex::decode(&volume.spec)
            .map_err(|source| Error::Hex { field: "volume.spec", source })?;
        let spec = VolumeSpec::decode(&bytes)?;
        let mut digest = [0; 32];
        hex::decode_to_slice(&header_sha256, &mut digest)
            .map_err(|source| Error::Hex { field: "header_sha256", source })?;

        let expected = RawVolume::new(&spec);
        same("volume.spec", &volume.spec, &expected.spec)?;
        same("volume.id", &volume.id, &expected.id)?;
        same("volume.cipher", &volume.cipher, &expected.cipher)?;
        same("volume.sector_size", &volume.sector_size, &expected.sector_size)?;
        same("volume.journal_sectors", &volume.journal_sectors, &expected.journal_sectors)?;
        same("volume.device_sectors", &volume.device_sectors, &expected.device_sectors)?;
        same("volume.data_offset", &volume.data_offset, &expected.data_offset)?;
        if volume.argon2id != expected.argon2id {
            return Err(Error::Inconsistent {
                field: "volume.argon2id",
                found: "another one".to_owned(),
                expected: "that of volume.spec".to_owned(),
            });
        }
        let room = spec.tail_offset();
        if file_system.size > room {
            return Err(Error::Inconsistent {
                field: "file_system.size",
                found: file_system.size.to_string(),
                expected: format!("at most {room}"),
            });
        }
        let plain =
            Path::new(&disk.file).file_name().is_some_and(|file| file == disk.file.as_str())
                && !disk.file.contains(char::is_control);
        if !plain {
            return Err(Error::FileName(disk.file));
        }
        let expected = DiskArea::new(spec.layout(), disk.partition.is_some())?
            .describe(disk.file.clone(), &spec);
        same("disk.size", &disk.size, &expected.size)?;
        if disk != expected {
            return Err(Error::Inconsistent {
                field: "disk.partition",
                found: format!("{:?}", disk.partition),
                expected: format!("{:?}", expected.partition),
            });
        }
        Ok(Self { spec, header_sha256: digest, epoch: Epoch(epoch), file_system, disk })
    }
}

fn same<T: PartialEq + ToString>(
    field: &'static str,
    found: &T,
    expected: &T,
) -> Result<(), Error> {
    if found == expected {
        return Ok(());
    }
    let (found, expected) = (found.to_string(), expected.to_string());
    Err(Error::Inconsistent { field, found, expected })
}

/// Used by the layout of the disk, so that both say the same.
pub(super) fn volume_bytes(layout: &VolumeLayout) -> u64 {
    layout.params().device_sectors.saturating_mul(luks::SECTOR)
}
