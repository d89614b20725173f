//! What is on a disk image: partitions, file systems, the verity superblock.

use protocol::gpt::{
    BACKUP_BYTES, PRIMARY_BYTES, SECTOR, TYPE_ROOT_VERITY_X86_64, TYPE_ROOT_X86_64, Table,
};
use serde::Serialize;
use verity::{SUPERBLOCK_SIZE, Superblock};

use super::{Findings, Input, printable};
use crate::failure::Result;
use crate::terminal::{Text, size};

/// A disk with a GUID partition table.
#[derive(Debug, Serialize)]
pub(super) struct Disk {
    disk_guid: Option<String>,
    sectors: Option<u64>,
    partitions: Vec<Partition>,
    superblock: Option<SuperblockFields>,
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
    content: Option<&'static str>,
}

/// A hash tree with its superblock.
#[derive(Debug, Serialize)]
pub(super) struct HashTree {
    superblock: Option<SuperblockFields>,
}

#[derive(Debug, Serialize)]
struct SuperblockFields {
    uuid: String,
    algorithm: &'static str,
    data_block_size: u32,
    hash_block_size: u32,
    data_blocks: u64,
    salt: String,
}

/// A bare file system.
#[derive(Debug, Serialize)]
pub(super) struct FileSystem {
    file_system: &'static str,
}

impl Disk {
    pub(super) fn read(input: &Input, findings: &mut Findings) -> Result<Self> {
        let sectors = input.bytes / SECTOR as u64;
        let primary = Table::parse(&input.read_at(0, PRIMARY_BYTES)?, sectors);
        let tail = input.bytes.saturating_sub(BACKUP_BYTES as u64);
        let backup = Table::parse_backup(&input.read_at(tail, BACKUP_BYTES)?, sectors);
        match (&primary, &backup) {
            (Ok(primary), Ok(backup)) if primary != backup => {
                findings.add("the partition tables at the two ends of the disk differ");
            }
            (primary, backup) => {
                for (end, result) in [("at the start", primary), ("at the end", backup)] {
                    if let Err(error) = result {
                        findings.add(format!("the partition table {end} of the disk: {error}"));
                    }
                }
            }
        }
        let mut disk =
            Self { disk_guid: None, sectors: None, partitions: Vec::new(), superblock: None };
        let Ok(table) = primary.or(backup) else { return Ok(disk) };
        disk.disk_guid = Some(table.disk_guid.to_string());
        disk.sectors = Some(table.sectors);
        for partition in &table.partitions {
            let start = partition.first_lba.saturating_mul(SECTOR as u64);
            let head = input.read_at(start, 128 << 10)?;
            let verity = head.starts_with(b"verity\0\0");
            if verity && disk.superblock.is_none() {
                disk.superblock = HashTree::read(input, start, findings)?.superblock;
            }
            let content = if verity {
                Some("verity")
            } else {
                FileSystem::recognise(&head).map(|found| found.file_system)
            };
            disk.partitions.push(Partition {
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
                content,
            });
        }
        Ok(disk)
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
            text.field("content", partition.content.unwrap_or("unknown"));
            text.field("size", size(sectors.saturating_mul(SECTOR as u64)));
            text.field("sectors", format!("{first_lba} to {last_lba}"));
        }
        if let Some(superblock) = &self.superblock {
            superblock.describe(text);
        }
    }
}

impl HashTree {
    pub(super) fn read(input: &Input, offset: u64, findings: &mut Findings) -> Result<Self> {
        let bytes = input.read_at(offset, SUPERBLOCK_SIZE)?;
        let Ok(bytes) = <[u8; SUPERBLOCK_SIZE]>::try_from(bytes) else {
            findings.add(format!("the verity superblock at byte {offset} is cut off"));
            return Ok(Self { superblock: None });
        };
        let superblock = match Superblock::parse(&bytes) {
            Ok(found) => Some(SuperblockFields {
                uuid: found.uuid.to_string(),
                algorithm: found.params.algorithm.name(),
                data_block_size: found.params.data_block_size.to_u32(),
                hash_block_size: found.params.hash_block_size.to_u32(),
                data_blocks: found.data_blocks,
                salt: found.params.salt.to_string(),
            }),
            Err(error) => {
                findings.add(format!("the verity superblock at byte {offset}: {error}"));
                None
            }
        };
        Ok(Self { superblock })
    }

    pub(super) fn describe(&self, text: &mut Text) {
        if let Some(superblock) = &self.superblock {
            superblock.describe(text);
        }
    }
}

impl SuperblockFields {
    fn describe(&self, text: &mut Text) {
        text.heading("verity superblock (no root hash covers it, and PID 1 does not read it)");
        text.field("UUID", &self.uuid)
            .field("hash", self.algorithm)
            .field("data blocks", format!("{} of {} bytes", self.data_blocks, self.data_block_size))
            .field("hash blocks", format!("of {} bytes", self.hash_block_size))
            .field("salt", &self.salt);
    }
}

impl FileSystem {
    /// Known by its magic number alone.
    pub(super) fn recognise(head: &[u8]) -> Option<Self> {
        const MAGICS: [(usize, &[u8], &str); 5] = [
            (0, b"hsqs", "squashfs"),
            (1024, &[0xe2, 0xe1, 0xf5, 0xe0], "erofs"),
            (1080, &[0x53, 0xef], "ext4"),
            (0, b"XFSB", "xfs"),
            (0x10040, b"_BHRfS_M", "btrfs"),
        ];
        MAGICS
            .iter()
            .find(|(offset, magic, _)| {
                head.get(*offset..).is_some_and(|bytes| bytes.starts_with(magic))
            })
            .map(|(_, _, file_system)| Self { file_system })
    }

    pub(super) fn describe(&self, text: &mut Text) {
        text.field("file system", self.file_system);
        text.line("");
        text.line("A hash tree may follow it; only the sidecar of the image says so.");
    }
}
