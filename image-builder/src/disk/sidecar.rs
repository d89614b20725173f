//! The sidecar: what an image is, in a TOML file beside it.
//!
//! It is the owner's note, not the guest's: PID 1 sees only the words of
//! `cmdline`, which are measured. Everything in it that follows from something
//! else in it is checked when it is loaded, the command line above all, so that
//! a sidecar cannot say one thing to a reader and another to the VM.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use protocol::config::{FsType, Selector};
use protocol::gpt;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;
use verity::{Algorithm, BlockSize, Geometry, GeometryError, Params, RootHash, Salt, Superblock};

use super::layout;

/// The only version there is.
const FORMAT: u32 = 1;
/// A sidecar has about 1.5 KiB.
const MAX_BYTES: u64 = 1 << 16;

/// What an image is. Loaded, it is consistent in itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sidecar {
    /// Version of this file, 1.
    pub format: u32,
    /// The `ravelin.*` words of the kernel command line that boot this image.
    pub cmdline: String,
    /// The seed of its identifiers.
    pub seed: Uuid,
    /// The root file system.
    pub file_system: RootFileSystem,
    /// The hash tree.
    pub verity: VerityTree,
    /// The files.
    pub layout: Layout,
}

/// The root file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootFileSystem {
    /// Its kind.
    #[serde(with = "text")]
    pub kind: FsType,
    /// Its UUID; squashfs has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<Uuid>,
    /// Bytes that it uses of its volume.
    pub size: u64,
}

/// The hash tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerityTree {
    /// The root hash.
    #[serde(with = "text")]
    pub root_hash: RootHash,
    /// The salt, `-` for none.
    #[serde(with = "text")]
    pub salt: Salt,
    /// The hash.
    #[serde(with = "text")]
    pub algorithm: Algorithm,
    /// Bytes of a data block.
    #[serde(with = "text")]
    pub data_block_size: BlockSize,
    /// Bytes of a hash block.
    #[serde(with = "text")]
    pub hash_block_size: BlockSize,
    /// Number of data blocks.
    pub data_blocks: u64,
    /// First block of the tree on its partition or file, in hash blocks; the
    /// superblock is before it.
    pub hash_start_block: u64,
    /// UUID in the superblock.
    pub uuid: Uuid,
}

/// The files of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// A disk with a partition table.
    Disk(Disk),
    /// Two bare files.
    Files(Files),
}

/// A disk with a partition table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// Its name in the sidecar's directory.
    pub file: String,
    /// Bytes.
    pub size: u64,
    /// GUID of the partition table.
    pub guid: Uuid,
    /// The file system's partition.
    pub root: Partition,
    /// The hash tree's partition.
    pub verity: Partition,
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// Number, from 1.
    pub number: u32,
    /// Its GUID.
    pub guid: Uuid,
    /// First byte on the disk.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
}

/// Two bare files, to be two virtio disks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// The file system.
    pub data: BareFile,
    /// The hash tree with its superblock.
    pub hash: BareFile,
}

/// One of two bare files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BareFile {
    /// Its name in the sidecar's directory.
    pub file: String,
    /// Bytes.
    pub size: u64,
    /// The virtio serial by which the guest finds it.
    pub serial: String,
}

/// Why a sidecar is refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SidecarError {
    /// It cannot be read.
    #[error("{}: cannot be read", .path.display())]
    Read {
        /// Its path.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It is larger than any sidecar.
    #[error("{}: is larger than a sidecar can be ({MAX_BYTES} bytes)", .path.display())]
    TooLarge {
        /// Its path.
        path: PathBuf,
    },
    /// It is no sidecar.
    #[error("not a sidecar")]
    Parse(#[from] toml::de::Error),
    /// It cannot be written as TOML.
    #[error("the sidecar cannot be written")]
    Format(#[from] toml::ser::Error),
    /// It is of a later version.
    #[error("the sidecar has format {0}; this ravelin knows format 1: use a later one")]
    Version(u32),
    /// A number of data blocks that no image has.
    #[error("the sidecar's number of data blocks is impossible")]
    Geometry(#[from] GeometryError),
    /// A disk larger than any.
    #[error("the sidecar's sizes are those of a disk that cannot be")]
    TooLargeDisk,
    /// Two of its values contradict each other.
    #[error("the sidecar's `{field}` is {found}; from its other values follows {expected}")]
    Inconsistent {
        /// The value's place.
        field: &'static str,
        /// What it is.
        found: String,
        /// What it has to be.
        expected: String,
    },
    /// A name that leads elsewhere.
    #[error("the sidecar's file name `{0}` is not the plain name of a file beside it")]
    FileName(String),
    /// A serial that no disk has.
    #[error("the sidecar's serial `{0}` is not 1 to 20 printable ASCII characters")]
    Serial(String),
}

/// The text of a sidecar of either kind; `None` if it is larger than any.
pub(super) fn text(path: &Path) -> io::Result<Option<String>> {
    let mut text = String::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    Ok((text.len() as u64 <= MAX_BYTES).then_some(text))
}

/// The version that a sidecar of either kind says it has. It comes first: a later one
/// may have other fields.
pub(super) fn version(text: &str) -> Result<u32, toml::de::Error> {
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    toml::from_str(text).map(|Version { format }| format)
}

impl Sidecar {
    /// Loads and checks a sidecar.
    ///
    /// # Errors
    /// [`SidecarError`].
    pub fn load(path: &Path) -> Result<Sidecar, SidecarError> {
        let text =
            text(path).map_err(|source| SidecarError::Read { path: path.to_owned(), source });
        let too_large = || SidecarError::TooLarge { path: path.to_owned() };
        Sidecar::parse(&text?.ok_or_else(too_large)?)
    }

    /// Reads and checks a sidecar's text.
    ///
    /// # Errors
    /// [`SidecarError`].
    pub fn parse(text: &str) -> Result<Sidecar, SidecarError> {
        let format = version(text)?;
        if format != FORMAT {
            return Err(SidecarError::Version(format));
        }
        let sidecar: Sidecar = toml::from_str(text)?;
        sidecar.check()?;
        Ok(sidecar)
    }

    /// The sidecar as text.
    ///
    /// # Errors
    /// A number beyond TOML's 63 bits.
    pub fn to_toml(&self) -> Result<String, SidecarError> {
        let body = toml::to_string(self)?;
        Ok(format!("# What this image is. Made by ravelin; not read by the guest.\n{body}"))
    }

    /// The parameters of the hash tree.
    #[must_use]
    pub fn params(&self) -> Params {
        Params {
            algorithm: self.verity.algorithm,
            data_block_size: self.verity.data_block_size,
            hash_block_size: self.verity.hash_block_size,
            salt: self.verity.salt.clone(),
        }
    }

    /// The superblock that the hash partition or file starts with.
    #[must_use]
    pub fn superblock(&self) -> Superblock {
        Superblock {
            uuid: self.verity.uuid,
            params: self.params(),
            data_blocks: self.verity.data_blocks,
        }
    }

    pub(super) fn new(
        seed: Uuid,
        file_system: RootFileSystem,
        verity: VerityTree,
        layout: Layout,
    ) -> Sidecar {
        let cmdline = cmdline(&file_system, &verity, &layout);
        Sidecar { format: FORMAT, cmdline, seed, file_system, verity, layout }
    }

    fn check(&self) -> Result<(), SidecarError> {
        let tree = &self.verity;
        let algorithm = tree.algorithm;
        let digest = algorithm.digest_size() * 2;
        same("verity.root_hash", tree.root_hash.to_string().len(), digest)?;
        let area = Geometry::new(&self.params(), tree.data_blocks)?.after_superblock(0)?;
        same("verity.hash_start_block", tree.hash_start_block, area.start_block())?;
        let data_bytes = Geometry::new(&self.params(), tree.data_blocks)?.data_bytes();
        let rounded = layout::data_bytes(self.file_system.size).unwrap_or(u64::MAX);
        same("verity.data_blocks", data_bytes, rounded)?;
        match &self.layout {
            Layout::Disk(disk) => {
                plain_name(&disk.file)?;
                let Ok(area) = layout::DiskArea::new(data_bytes, area.end()) else {
                    return Err(SidecarError::TooLargeDisk);
                };
                let expected = area.describe(disk.file.clone(), &tree.root_hash, self.seed);
                same("layout.disk.size", disk.size, expected.size)?;
                same("layout.disk.guid", disk.guid, expected.guid)?;
                for (field, found, expected) in [
                    ("layout.disk.root", &disk.root, &expected.root),
                    ("layout.disk.verity", &disk.verity, &expected.verity),
                ] {
                    same(field, format!("{found:?}"), format!("{expected:?}"))?;
                }
            }
            Layout::Files(files) => {
                same("layout.files.data.size", files.data.size, data_bytes)?;
                same("layout.files.hash.size", files.hash.size, area.end())?;
                for BareFile { file, serial, .. } in [&files.data, &files.hash] {
                    plain_name(file)?;
                    if format!("serial:{serial}").parse::<Selector>().is_err() {
                        return Err(SidecarError::Serial(serial.clone()));
                    }
                }
            }
        }
        let expected = cmdline(&self.file_system, tree, &self.layout);
        same("cmdline", self.cmdline.as_str(), expected.as_str())
    }
}

impl Disk {
    /// The partition table that the disk has to have.
    #[must_use]
    pub fn table(&self) -> gpt::Table {
        let sector = gpt::SECTOR as u64;
        let entry = |partition: &Partition, type_guid, name: &str| {
            let first_lba = partition.offset / sector;
            gpt::Partition {
                number: partition.number,
                type_guid,
                guid: partition.guid,
                first_lba,
                last_lba: first_lba.saturating_add(partition.size / sector).saturating_sub(1),
                attributes: gpt::ATTRIBUTE_READ_ONLY,
                name: name.to_owned(),
            }
        };
        gpt::Table {
            disk_guid: self.guid,
            sectors: self.size / sector,
            partitions: vec![
                entry(&self.root, gpt::TYPE_ROOT_X86_64, "ravelin-root"),
                entry(&self.verity, gpt::TYPE_ROOT_VERITY_X86_64, "ravelin-root-verity"),
            ],
        }
    }
}

fn cmdline(file_system: &RootFileSystem, tree: &VerityTree, layout: &Layout) -> String {
    let (root, hash) = match layout {
        Layout::Disk(disk) => {
            (Selector::PartUuid(disk.root.guid), Selector::PartUuid(disk.verity.guid))
        }
        Layout::Files(files) => (
            Selector::Serial(files.data.serial.clone()),
            Selector::Serial(files.hash.serial.clone()),
        ),
    };
    let mut words = String::from("ravelin.root.mode=verity");
    let values: [(&str, &dyn std::fmt::Display); 10] = [
        ("root.device", &root),
        ("root.fstype", &file_system.kind),
        ("verity.hash_device", &hash),
        ("verity.roothash", &tree.root_hash),
        ("verity.salt", &tree.salt),
        ("verity.algorithm", &tree.algorithm),
        ("verity.data_block_size", &tree.data_block_size),
        ("verity.hash_block_size", &tree.hash_block_size),
        ("verity.data_blocks", &tree.data_blocks),
        ("verity.hash_start_block", &tree.hash_start_block),
    ];
    for (key, value) in values {
        // Writing to a string does not fail.
        let _ = write!(words, " ravelin.{key}={value}");
    }
    words
}

fn same<T: PartialEq + ToString>(
    field: &'static str,
    found: T,
    expected: T,
) -> Result<(), SidecarError> {
    if found == expected {
        return Ok(());
    }
    let (found, expected) = (found.to_string(), expected.to_string());
    Err(SidecarError::Inconsistent { field, found, expected })
}

fn plain_name(name: &str) -> Result<(), SidecarError> {
    let plain = Path::new(name).file_name().is_some_and(|file| file == name)
        && !name.contains(char::is_control);
    if plain { Ok(()) } else { Err(SidecarError::FileName(name.to_owned())) }
}

/// Values that are text in TOML and a type here.
mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<T: Display, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(|error| D::Error::custom(format!("`{text}`: {error}")))
    }
}
