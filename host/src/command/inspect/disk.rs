//! What is on a disk image: partitions, file systems, the verity superblock, a LUKS2
//! header.

use image_builder::disk::{self, Description, DiskDescription};
use protocol::gpt::{self, SECTOR, TYPE_ROOT_VERITY_X86_64, TYPE_ROOT_X86_64, Table};
use serde::Serialize;
use verity::Superblock;

use super::Findings;
use crate::terminal::{Text, printable, size};

/// A disk with a GUID partition table.
#[derive(Debug, Serialize)]
pub(super) struct Disk {
    disk_guid: Option<String>,
    sectors: Option<u64>,
    partitions: Vec<Partition>,
}

#[derive(Debug, Serialize)]
struct Partition {
    number: u32,
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    type_guid: String,
    guid: String,
    first_lba: u64,
    last_lba: u64,
    #[serde(flatten)]
    volume: Volume,
}

/// A partition, or a file without partitions.
#[derive(Debug, Default, Serialize)]
pub(super) struct Volume {
    file_system: Option<FileSystem>,
    superblock: Option<SuperblockFields>,
    luks: Option<LuksFields>,
}

/// A LUKS2 header that Ravelin would accept.
#[derive(Debug, Serialize)]
struct LuksFields {
    uuid: String,
    label: String,
    cipher: &'static str,
    sector_size: u32,
    kdf: &'static str,
    /// Of its 16 MiB.
    sha256: String,
}

#[derive(Debug, Serialize)]
struct FileSystem {
    kind: &'static str,
    bytes: u64,
    block_size: u32,
    uuid: Option<String>,
}

#[derive(Debug, Serialize)]
struct SuperblockFields {
    /// Its offset in the partition or file.
    offset: u64,
    uuid: String,
    algorithm: &'static str,
    data_block_size: u32,
    hash_block_size: u32,
    data_blocks: u64,
    salt: String,
}

/// A qcow2 image, and what is on the disk in it.
#[derive(Debug, Serialize)]
pub(super) struct Qcow2 {
    /// Bytes of the disk; none if the image is refused.
    disk_bytes: Option<u64>,
    #[serde(flatten)]
    disk: Option<Disk>,
    #[serde(flatten)]
    volume: Option<Volume>,
}

/// What the library found: a disk, a volume, or nothing that it knows.
pub(super) enum Found {
    Qcow2(Qcow2),
    Disk(Disk),
    HashTree(Volume),
    FileSystem(Volume),
    Encrypted(Volume),
    Nothing,
}

/// Sorts out what the library found.
pub(super) fn found(description: Description, findings: &mut Findings) -> Found {
    let Description { qcow2, content, .. } = description;
    let Some(qcow2) = qcow2 else { return found_on_disk(content, findings) };
    let disk_bytes = qcow2.map_err(|error| findings.error(&error)).ok();
    let (disk, volume) = match found_on_disk(content, findings) {
        Found::Disk(disk) => (Some(disk), None),
        Found::HashTree(volume) | Found::FileSystem(volume) | Found::Encrypted(volume) => {
            (None, Some(volume))
        }
        Found::Qcow2(_) | Found::Nothing => (None, None),
    };
    Found::Qcow2(Qcow2 { disk_bytes, disk, volume })
}

fn found_on_disk(content: disk::Content, findings: &mut Findings) -> Found {
    match content {
        disk::Content::Disk(found) => Found::Disk(Disk::new(found, findings)),
        disk::Content::Volume(found) => {
            let (is_file_system, is_tree) = (found.file_system.is_some(), found.verity.is_some());
            let is_luks = found.luks.is_some();
            let volume = Volume::new(found, findings);
            match (is_file_system, is_tree) {
                _ if is_luks => Found::Encrypted(volume),
                (true, _) => Found::FileSystem(volume),
                (false, true) => Found::HashTree(volume),
                (false, false) => Found::Nothing,
            }
        }
    }
}

impl Qcow2 {
    pub(super) fn describe(&self, text: &mut Text) {
        if let Some(bytes) = self.disk_bytes {
            text.field("disk", size(bytes));
        }
        if let Some(disk) = &self.disk {
            disk.describe(text);
        }
        if let Some(volume) = &self.volume {
            volume.describe(text);
        }
    }
}

impl Disk {
    fn new(found: DiskDescription, findings: &mut Findings) -> Self {
        let DiskDescription { table, backup, volumes } = found;
        if let (Ok(table), Ok(backup)) = (&table, &backup)
            && table != backup
        {
            findings.add("the partition table and its backup differ");
        }
        if let Err(error) = backup {
            findings.add(format!("the backup of the partition table: {error}"));
        }
        match table {
            Ok(table) => Self::with_table(table, volumes, findings),
            Err(error) => {
                findings.add(format!("the partition table: {error}"));
                Self { disk_guid: None, sectors: None, partitions: Vec::new() }
            }
        }
    }

    fn with_table(table: Table, volumes: Vec<disk::Volume>, findings: &mut Findings) -> Self {
        let partitions = table.partitions.into_iter().zip(volumes);
        Self {
            disk_guid: Some(table.disk_guid.to_string()),
            sectors: Some(table.sectors),
            partitions: partitions
                .map(|(partition, volume)| Partition::new(partition, volume, findings))
                .collect(),
        }
    }

    pub(super) fn describe(&self, text: &mut Text) {
        if let Some(guid) = &self.disk_guid {
            text.field("disk GUID", guid);
        }
        for partition in &self.partitions {
            let Partition { number, name, kind, guid, first_lba, last_lba, .. } = partition;
            let sectors = last_lba.saturating_sub(*first_lba).saturating_add(1);
            text.heading(&format!("partition {number}: {name}"));
            text.field("type", if *kind == "other" { &partition.type_guid } else { *kind });
            text.field("PARTUUID", guid);
            text.field("size", size(sectors.saturating_mul(SECTOR as u64)));
            text.field("sectors", format!("{first_lba} to {last_lba}"));
            partition.volume.describe(text);
        }
    }
}

impl Partition {
    fn new(partition: gpt::Partition, volume: disk::Volume, findings: &mut Findings) -> Self {
        Self {
            number: partition.number,
            name: printable(&partition.name),
            kind: match partition.type_guid {
                TYPE_ROOT_X86_64 => "root-x86-64",
                TYPE_ROOT_VERITY_X86_64 => "root-x86-64-verity",
                _ => "other",
            },
            type_guid: partition.type_guid.to_string(),
            guid: partition.guid.to_string(),
            first_lba: partition.first_lba,
            last_lba: partition.last_lba,
            volume: Volume::new(volume, findings),
        }
    }
}

impl Volume {
    fn new(found: disk::Volume, findings: &mut Findings) -> Self {
        let mut volume = Self::default();
        match found.file_system {
            Some(Ok(found)) => {
                volume.file_system = Some(FileSystem {
                    kind: found.kind.as_str(),
                    bytes: found.size,
                    block_size: found.block_size,
                    uuid: found.uuid.map(|uuid| uuid.to_string()),
                });
            }
            Some(Err(error)) => findings.error(&error),
            None => {}
        }
        match found.verity {
            Some((offset, Ok(found))) => {
                volume.superblock = Some(SuperblockFields::new(offset, &found));
            }
            Some((offset, Err(error))) => {
                findings.add(format!("the verity superblock at byte {offset}: {error}"));
            }
            None => {}
        }
        match found.luks {
            Some(Ok(found)) => {
                volume.luks = Some(LuksFields {
                    uuid: found.uuid.to_string(),
                    label: printable(&found.label),
                    cipher: found.cipher.name(),
                    sector_size: found.sector_size.bytes(),
                    kdf: found.kdf,
                    sha256: hex::encode(found.sha256),
                });
            }
            Some(Err(error)) => findings.error(&error),
            None => {}
        }
        volume
    }

    pub(super) fn describe(&self, text: &mut Text) {
        if let Some(FileSystem { kind, bytes, block_size, uuid }) = &self.file_system {
            let uuid = uuid.as_ref().map(|uuid| format!(", UUID {uuid}")).unwrap_or_default();
            let blocks = format!("blocks of {block_size} bytes");
            text.field("file system", format!("{kind}, {}, {blocks}{uuid}", size(*bytes)));
        }
        if let Some(found) = &self.superblock {
            let SuperblockFields { data_blocks, data_block_size, hash_block_size, .. } = found;
            text.field(
                "verity",
                "the superblock, which no root hash covers and PID 1 never reads:",
            )
            .field("  at byte", found.offset)
            .field("  UUID", &found.uuid)
            .field("  hash", found.algorithm)
            .field("  data", format!("{data_blocks} blocks of {data_block_size} bytes"))
            .field("  tree", format!("blocks of {hash_block_size} bytes"))
            .field("  salt", &found.salt);
        }
        if let Some(found) = &self.luks {
            let LuksFields { uuid, label, cipher, sector_size, kdf, sha256 } = found;
            text.field("LUKS2", "the header, which nothing authenticates but its SHA-256:")
                .field("  UUID", uuid)
                .field("  cipher", format!("{cipher}, sectors of {sector_size} bytes"))
                .field("  keyslot", kdf)
                .field("  SHA-256", sha256);
            if !label.is_empty() {
                text.field("  label", label);
            }
        }
    }
}

impl SuperblockFields {
    fn new(offset: u64, found: &Superblock) -> Self {
        Self {
            offset,
            uuid: found.uuid.to_string(),
            algorithm: found.params.algorithm.name(),
            data_block_size: found.params.data_block_size.to_u32(),
            hash_block_size: found.params.hash_block_size.to_u32(),
            data_blocks: found.data_blocks,
            salt: found.params.salt.to_string(),
        }
    }
}
