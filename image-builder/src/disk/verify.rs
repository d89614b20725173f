//! Checks a whole image against its sidecar, and lists all that is wrong.
//!
//! PID 1 reads neither the superblock nor anything that the root hash does not
//! cover, so an image may boot with findings here; but then somebody has changed
//! it, and other tools may be misled.

use std::fmt;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use protocol::config::FsType;
use protocol::gpt::{self, GptError, Table};
use thiserror::Error;
use verity::{Difference, Region, SUPERBLOCK_SIZE, Superblock, SuperblockError, VerifyError};

use super::{Disk, Layout, ProbeError, Sidecar, file_system_of};
use crate::progress::Progress;

/// Where the files of an image are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImagePaths {
    /// A disk with a partition table.
    Disk(PathBuf),
    /// Two bare files.
    Files {
        /// The file system.
        data: PathBuf,
        /// The hash tree.
        hash: PathBuf,
    },
}

impl ImagePaths {
    /// The files that a sidecar names, beside it.
    #[must_use]
    pub fn beside(sidecar: &Sidecar, sidecar_path: &Path) -> ImagePaths {
        match &sidecar.layout {
            Layout::Disk(disk) => ImagePaths::Disk(sidecar_path.with_file_name(&disk.file)),
            Layout::Files(files) => ImagePaths::Files {
                data: sidecar_path.with_file_name(&files.data.file),
                hash: sidecar_path.with_file_name(&files.hash.file),
            },
        }
    }
}

/// Why an image could not be checked at all.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VerifyImageError {
    /// A file cannot be opened.
    #[error("{}: cannot be opened", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A disk was given for two files, or the other way round.
    #[error("the sidecar is of {}, not of {}", layout(*.disk), layout(!*.disk))]
    Layout {
        /// Whether the sidecar is of a disk.
        disk: bool,
    },
}

/// One thing that is not as the sidecar says.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Finding {
    /// A file of another size.
    #[error("{}: has {found} bytes instead of {expected}", .path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// Its size.
        found: u64,
        /// What it should be.
        expected: u64,
    },
    /// A part that cannot be read.
    #[error("the {part} cannot be read (byte {offset})")]
    Read {
        /// Which part.
        part: Part,
        /// Where it starts in its file.
        offset: u64,
        /// What the kernel said.
        source: io::Error,
    },
    /// A partition table that is refused.
    #[error("the {part} is damaged (byte {offset})")]
    Table {
        /// Which of the two.
        part: Part,
        /// Where it starts in its file.
        offset: u64,
        /// What is wrong with it.
        source: GptError,
    },
    /// A field of a partition table.
    #[error("the {part} says {found} for {field} instead of {expected}")]
    TableField {
        /// Which of the two.
        part: Part,
        /// Which field.
        field: String,
        /// What it says.
        found: String,
        /// What it should say.
        expected: String,
    },
    /// The superblock of the hash tree is damaged. PID 1 does not read it.
    #[error("the verity superblock is damaged (byte {offset}); the guest does not read it")]
    Superblock {
        /// Where it starts in its file.
        offset: u64,
        /// What is wrong with it.
        source: SuperblockError,
    },
    /// A field of the superblock. PID 1 does not read it.
    #[error(
        "the verity superblock says {} for {} instead of {} (byte {offset}); the guest does not \
         read it", .difference.found, .difference.field, .difference.expected
    )]
    SuperblockField {
        /// Where the superblock starts in its file.
        offset: u64,
        /// The field.
        difference: Difference,
    },
    /// The data or the hash tree is not what the root hash stands for.
    #[error(
        "the image is not the one that its root hash stands for (bytes are counted from the start \
         of the partition or file)"
    )]
    Tree {
        /// The first block that is wrong.
        source: VerifyError,
    },
    /// There is no such file system.
    #[error("the root file system cannot be used")]
    FileSystem {
        /// What is wrong with it.
        source: ProbeError,
    },
    /// There is another file system.
    #[error("the root file system is {found} instead of {expected}")]
    FileSystemKind {
        /// What it is.
        found: FsType,
        /// What it should be.
        expected: FsType,
    },
}

/// A part of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// The partition table at the start.
    PrimaryTable,
    /// The one at the end.
    BackupTable,
    /// The superblock of the hash tree.
    Superblock,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::PrimaryTable => "partition table",
            Part::BackupTable => "backup of the partition table",
            Part::Superblock => "verity superblock",
        })
    }
}

/// Checks an image; without findings it is the one that the sidecar describes.
///
/// # Errors
/// [`VerifyImageError`] if there is nothing to check.
pub fn verify(
    sidecar: &Sidecar,
    paths: &ImagePaths,
    progress: &dyn Progress,
) -> Result<Vec<Finding>, VerifyImageError> {
    let mut findings = Vec::new();
    match (&sidecar.layout, paths) {
        (Layout::Disk(disk), ImagePaths::Disk(path)) => {
            let file = open(path, disk.size, &mut findings)?;
            tables(disk, &file, &mut findings);
            let part = |partition: &super::Partition| Volume {
                file: &file,
                offset: partition.offset,
                bytes: partition.size,
            };
            volumes(sidecar, &part(&disk.root), &part(&disk.verity), progress, &mut findings);
        }
        (Layout::Files(files), ImagePaths::Files { data, hash }) => {
            let data = open(data, files.data.size, &mut findings)?;
            let hash = open(hash, files.hash.size, &mut findings)?;
            let whole = |file, bytes| Volume { file, offset: 0, bytes };
            let (data, hash) = (whole(&data, files.data.size), whole(&hash, files.hash.size));
            volumes(sidecar, &data, &hash, progress, &mut findings);
        }
        (Layout::Disk(_), ImagePaths::Files { .. }) => {
            return Err(VerifyImageError::Layout { disk: true });
        }
        (Layout::Files(_), ImagePaths::Disk(_)) => {
            return Err(VerifyImageError::Layout { disk: false });
        }
    }
    Ok(findings)
}

struct Volume<'a> {
    file: &'a File,
    offset: u64,
    bytes: u64,
}

impl<'a> Volume<'a> {
    fn region(&self) -> Region<&'a File> {
        Region::new(self.file, self.offset, self.bytes)
    }
}

fn open(path: &Path, expected: u64, findings: &mut Vec<Finding>) -> Result<File, VerifyImageError> {
    let failed = |source| VerifyImageError::Open { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    // Of a block device too.
    let found = (&file).seek(SeekFrom::End(0)).map_err(failed)?;
    if found != expected {
        findings.push(Finding::Size { path: path.to_owned(), found, expected });
    }
    Ok(file)
}

fn tables(disk: &Disk, file: &File, findings: &mut Vec<Finding>) {
    let expected = disk.table();
    let backup = disk.size.saturating_sub(gpt::BACKUP_BYTES as u64);
    type Parse = fn(&[u8], u64) -> Result<Table, GptError>;
    let parts: [(Part, u64, usize, Parse); 2] = [
        (Part::PrimaryTable, 0, gpt::PRIMARY_BYTES, Table::parse),
        (Part::BackupTable, backup, gpt::BACKUP_BYTES, Table::parse_backup),
    ];
    for (part, offset, length, parse) in parts {
        let mut bytes = vec![0; length];
        if let Err(source) = file.read_exact_at(&mut bytes, offset) {
            findings.push(Finding::Read { part, offset, source });
            continue;
        }
        match parse(&bytes, expected.sectors) {
            Ok(found) => compare(part, &found, &expected, findings),
            Err(source) => findings.push(Finding::Table { part, offset, source }),
        }
    }
}

fn compare(part: Part, found: &Table, expected: &Table, findings: &mut Vec<Finding>) {
    let mut field = |field: &str, found: &dyn fmt::Display, expected: &dyn fmt::Display| {
        let (found, expected) = (found.to_string(), expected.to_string());
        if found != expected {
            findings.push(Finding::TableField { part, field: field.to_owned(), found, expected });
        }
    };
    field("the disk's GUID", &found.disk_guid, &expected.disk_guid);
    field("the number of sectors", &found.sectors, &expected.sectors);
    field("the number of partitions", &found.partitions.len(), &expected.partitions.len());
    for (found, expected) in found.partitions.iter().zip(&expected.partitions) {
        let number = expected.number;
        let mut of = |what: &str, found: &dyn fmt::Display, expected: &dyn fmt::Display| {
            field(&format!("the {what} of partition {number}"), found, expected);
        };
        of("number", &found.number, &expected.number);
        of("type", &found.type_guid, &expected.type_guid);
        of("GUID", &found.guid, &expected.guid);
        of("first sector", &found.first_lba, &expected.first_lba);
        of("last sector", &found.last_lba, &expected.last_lba);
        of("attributes", &found.attributes, &expected.attributes);
        of("name", &found.name, &expected.name);
    }
}

fn volumes(
    sidecar: &Sidecar,
    data: &Volume<'_>,
    hash: &Volume<'_>,
    progress: &dyn Progress,
    findings: &mut Vec<Finding>,
) {
    match file_system_of(&data.region(), data.bytes) {
        Ok(found) if found.kind == sidecar.file_system.kind => {}
        Ok(found) => findings.push(Finding::FileSystemKind {
            found: found.kind,
            expected: sidecar.file_system.kind,
        }),
        Err(source) => findings.push(Finding::FileSystem { source }),
    }

    let offset = hash.offset;
    let mut bytes = [0; SUPERBLOCK_SIZE];
    match hash.file.read_exact_at(&mut bytes, offset).map(|()| Superblock::parse(&bytes)) {
        Err(source) => findings.push(Finding::Read { part: Part::Superblock, offset, source }),
        Ok(Err(source)) => findings.push(Finding::Superblock { offset, source }),
        Ok(Ok(found)) => {
            let differences = found.differences(&sidecar.superblock());
            let finding = |difference| Finding::SuperblockField { offset, difference };
            findings.extend(differences.into_iter().map(finding));
        }
    }

    progress.stage("verifying", Some(data.bytes));
    let advance = |bytes| progress.advance(bytes);
    let tree = &sidecar.verity;
    let checked = verity::verify(
        &data.region(),
        tree.data_blocks,
        &hash.region(),
        tree.hash_start_block,
        &tree.root_hash,
        &sidecar.params(),
        &verity::VerifyOptions { threads: None, progress: &advance },
    );
    if let Err(source) = checked {
        findings.push(Finding::Tree { source });
    }
}

fn layout(disk: bool) -> &'static str {
    if disk { "a disk" } else { "two bare files" }
}
