//! Says what is in a disk or volume, without a sidecar: for `ravelin inspect`.
//!
//! Threat: the file is anybody's. What is read is bounded (a partition table, a
//! superblock, 68 KiB and, where there is a LUKS2 header, 16 MiB for each of at most
//! 128 partitions), every parser is the strict one, and a part that is refused is reported with the reason beside the
//! parts that are sound.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use luks::{Cipher, HEADER_SIZE, Header, HeaderError, KdfLimits, SectorSize};
use protocol::gpt::{self, GptError, Table};
use thiserror::Error;
use uuid::Uuid;
use verity::{ReadAt, Region, SUPERBLOCK_SIZE, Superblock, SuperblockError};

use super::{DiskFormat, FileSystem, ProbeError, Qcow2, Qcow2Error, file_system_of, import};

/// What a file is.
#[derive(Debug)]
pub struct Description {
    /// Its size in bytes.
    pub bytes: u64,
    /// Of a qcow2 image, the size of its disk in bytes, or why it is refused. The content is
    /// that of the disk then.
    pub qcow2: Option<Result<u64, Qcow2Error>>,
    /// What is in it.
    pub content: Content,
}

/// What is in a file.
#[derive(Debug)]
pub enum Content {
    /// A disk with a partition table.
    Disk(DiskDescription),
    /// Something without partitions.
    Volume(Volume),
}

/// A disk with a partition table.
#[derive(Debug)]
pub struct DiskDescription {
    /// The table, or why it is refused.
    pub table: Result<Table, GptError>,
    /// Its backup at the end, or why it is refused.
    pub backup: Result<Table, GptError>,
    /// What the table's partitions hold, in their order.
    pub volumes: Vec<Volume>,
}

/// What is in a partition, or in a file without partitions.
#[derive(Debug)]
pub struct Volume {
    /// A file system, or why what claims to be one is refused; `None` if nothing claims.
    pub file_system: Option<Result<FileSystem, ProbeError>>,
    /// A verity superblock at the start or behind the file system, with its offset
    /// in the volume; `None` if there is no signature.
    pub verity: Option<(u64, Result<Superblock, SuperblockError>)>,
    /// A LUKS2 header at the start, or why it is refused; `None` if there is no magic.
    pub luks: Option<Result<LuksHeader, HeaderError>>,
}

/// What a LUKS2 header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LuksHeader {
    /// Its UUID; of a disk of Ravelin's the volume ID.
    pub uuid: Uuid,
    /// Its label.
    pub label: String,
    /// The cipher of the volume.
    pub cipher: Cipher,
    /// The volume's sectors.
    pub sector_size: SectorSize,
    /// The key derivation of its keyslot.
    pub kdf: &'static str,
    /// SHA-256 of its 16 MiB.
    pub sha256: [u8; 32],
}

/// Why a file cannot be described.
#[derive(Debug, Error)]
#[error("{}: cannot be read at byte {offset}", .path.display())]
pub struct DescribeError {
    /// The file.
    pub path: PathBuf,
    /// Where.
    pub offset: u64,
    /// What the kernel said.
    pub source: io::Error,
}

/// Describes a disk, a volume or a hash tree.
///
/// # Errors
/// Only if the file cannot be read: what it holds is in the description.
pub fn describe(path: &Path) -> Result<Description, DescribeError> {
    let failed = |offset| {
        let path = path.to_owned();
        move |source| DescribeError { path, offset, source }
    };
    let file = File::open(path).map_err(failed(0))?;
    // Of a block device too.
    let bytes = (&file).seek(SeekFrom::End(0)).map_err(failed(0))?;
    let mut head = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX).min(gpt::SECTOR)];
    file.read_exact_at(&mut head, 0).map_err(failed(0))?;
    if import::format_of(&head) != Some(DiskFormat::Qcow2) {
        let content = content(&file, bytes).map_err(|(offset, source)| failed(offset)(source))?;
        return Ok(Description { bytes, qcow2: None, content });
    }
    match Qcow2::open(file, bytes) {
        Ok(image) => {
            let content =
                content(&image, image.size()).map_err(|(offset, source)| failed(offset)(source))?;
            Ok(Description { bytes, qcow2: Some(Ok(image.size())), content })
        }
        Err(error) => {
            let nothing = Volume { file_system: None, verity: None, luks: None };
            let content = Content::Volume(nothing);
            Ok(Description { bytes, qcow2: Some(Err(error)), content })
        }
    }
}

/// What is on a disk of `bytes` bytes; an error is where it cannot be read.
fn content(disk: &impl ReadAt, bytes: u64) -> Result<Content, (u64, io::Error)> {
    let failed = |offset| move |source| (offset, source);
    let mut head = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX).min(gpt::PRIMARY_BYTES)];
    disk.read_exact_at(&mut head, 0).map_err(failed(0))?;
    if !head.get(gpt::SECTOR..).is_some_and(|rest| rest.starts_with(b"EFI PART")) {
        return Ok(Content::Volume(volume(&Region::new(disk, 0, bytes), bytes)));
    }

    let sectors = bytes / gpt::SECTOR as u64;
    let table = Table::parse(&head, sectors);
    let mut tail = vec![0; gpt::BACKUP_BYTES];
    // On a disk that has grown, the backup is where the table says.
    let sectors = table.as_ref().map_or(sectors, |table| table.sectors);
    let offset = sectors.saturating_mul(gpt::SECTOR as u64).saturating_sub(tail.len() as u64);
    let backup = match disk.read_exact_at(&mut tail, offset) {
        Ok(()) => Table::parse_backup(&tail, sectors),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(GptError::TooSmall(sectors))
        }
        Err(error) => return Err(failed(offset)(error)),
    };
    let mut volumes = Vec::new();
    for partition in table.iter().flat_map(|table| &table.partitions) {
        // Inside of the disk: the table was checked against its size.
        let offset = partition.first_lba.saturating_mul(gpt::SECTOR as u64);
        let bytes = partition.sectors().saturating_mul(gpt::SECTOR as u64);
        volumes.push(volume(&Region::new(disk, offset, bytes), bytes));
    }
    Ok(Content::Disk(DiskDescription { table, backup, volumes }))
}

fn volume(region: &Region<&impl ReadAt>, bytes: u64) -> Volume {
    let file_system = match file_system_of(region, bytes) {
        Err(ProbeError::Unknown) => None,
        found => Some(found),
    };
    let behind = file_system.iter().flatten().map(|found| found.size.next_multiple_of(4096));
    let verity = std::iter::once(0).chain(behind).find_map(|offset| {
        let mut bytes = [0; SUPERBLOCK_SIZE];
        region.read_exact_at(&mut bytes, offset).ok()?;
        match Superblock::parse(&bytes) {
            Err(SuperblockError::Signature) => None,
            parsed => Some((offset, parsed)),
        }
    });
    Volume { file_system, verity, luks: luks_header(region, bytes) }
}

fn luks_header(
    region: &Region<&impl ReadAt>,
    bytes: u64,
) -> Option<Result<LuksHeader, HeaderError>> {
    let mut magic = [0; 6];
    region.read_exact_at(&mut magic, 0).ok()?;
    if magic != *b"LUKS\xba\xbe" {
        return None;
    }
    let size = usize::try_from(bytes).unwrap_or(HEADER_SIZE).min(HEADER_SIZE);
    let mut header = vec![0; size];
    region.read_exact_at(&mut header, 0).ok()?;
    Some(Header::parse(&header, &KdfLimits::default()).map(|header| LuksHeader {
        uuid: header.uuid(),
        label: header.label().to_owned(),
        cipher: header.cipher(),
        sector_size: header.sector_size(),
        kdf: header.kdf(),
        sha256: *header.sha256(),
    }))
}
