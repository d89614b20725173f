//! The partition table of a disk, whichever it has.

mod mbr;

use std::fmt;
use std::io;

use protocol::gpt::{self, GptError, Table};
use thiserror::Error;
use uuid::{Uuid, uuid};
use verity::ReadAt;

pub use mbr::{Mbr, MbrError, MbrPartition};

const SECTOR: u64 = gpt::SECTOR as u64;
const GPT_MAGIC: &[u8] = b"EFI PART";

/// A partition of either kind of table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Partition {
    /// The number that Linux gives it.
    pub(super) number: u32,
    /// First byte.
    pub(super) offset: u64,
    /// Its size in bytes, in the disk.
    pub(super) bytes: u64,
    pub(super) kind: Kind,
    /// The name that a GPT gives it.
    pub(super) name: String,
    /// `PARTUUID`.
    pub(super) id: String,
}

/// The type of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Gpt(Uuid),
    Mbr(u8),
}

const LINUX_DATA: Uuid = uuid!("0fc63daf-8483-4772-8e79-3d69d8477de4");

/// Types that have a name here; the roots of other architectures are not this one's.
const NAMES: &[(Uuid, &str)] = &[
    (gpt::TYPE_ROOT_X86_64, "root (x86-64)"),
    (gpt::TYPE_ROOT_VERITY_X86_64, "root verity (x86-64)"),
    (LINUX_DATA, "Linux data"),
    (uuid!("bc13c2ff-59e6-4262-a352-b275fd6f7172"), "Linux /boot"),
    (uuid!("c12a7328-f81f-11d2-ba4b-00a0c93ec93b"), "EFI system"),
    (uuid!("21686148-6449-6e6f-744e-656564454649"), "BIOS boot"),
    (uuid!("0657fd6d-a4ab-43c4-84e5-0933c84b4f4f"), "Linux swap"),
    (uuid!("e6d6d379-f507-44c2-a23c-238f2a3df928"), "Linux LVM"),
    (uuid!("a19d880f-05fc-4d3b-a006-743f0f84911e"), "Linux RAID"),
    (uuid!("ca7d7ccb-63ed-4c53-861c-1742536059cc"), "LUKS"),
    (uuid!("933ac7e1-2eb4-4f13-b844-0e14e2aef915"), "Linux /home"),
    (uuid!("4d21b016-b534-45c2-a9fb-5c16e091fd2d"), "Linux /var"),
    (uuid!("8484680c-9521-48c6-9c11-b0720656f69e"), "Linux /usr (x86-64)"),
];

impl Kind {
    /// The root of an x86-64, by the Discoverable Partitions Specification.
    pub(super) fn is_root(self) -> bool {
        self == Self::Gpt(gpt::TYPE_ROOT_X86_64)
    }

    /// A file system of a Linux, with no word for what.
    pub(super) fn is_linux(self) -> bool {
        self == Self::Gpt(LINUX_DATA) || self == Self::Mbr(0x83)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gpt(kind) => match NAMES.iter().find(|(known, _)| known == kind) {
                Some((_, name)) => f.write_str(name),
                None => write!(f, "type {kind}"),
            },
            Self::Mbr(0x83) => f.write_str("Linux"),
            Self::Mbr(0x82) => f.write_str("Linux swap"),
            Self::Mbr(0x8e) => f.write_str("Linux LVM"),
            Self::Mbr(0xef) => f.write_str("EFI system"),
            Self::Mbr(kind) => write!(f, "type {kind:02x}"),
        }
    }
}

/// Why a partition table is refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PartitionTableError {
    /// The disk cannot be read.
    #[error("the disk cannot be read at byte {offset}")]
    Read {
        /// Where.
        offset: u64,
        /// What was said.
        source: io::Error,
    },
    /// The GPT is refused.
    #[error("the disk's partition table is refused")]
    Gpt(#[from] GptError),
    /// The backup of the GPT is refused.
    #[error(
        "the backup of the disk's partition table is refused; if the table itself is right, write \
         it again: `sgdisk --load-backup` of a `sgdisk --backup`, or `w` in gdisk"
    )]
    Backup(#[source] GptError),
    /// The two tables of a GPT are not the same.
    #[error(
        "the disk's partition table and its backup describe different partitions, so that it is \
         not clear which one is right; compare them with `gdisk` (r, then c or d), and write one \
         of them to both places"
    )]
    TwoTables,
    /// An MBR that protects a GPT that is not there.
    #[error(
        "the MBR says that there is a GPT, and there is none at sector 1; restore it from its \
         backup at the end of the disk: `gdisk` (r, then b)"
    )]
    NoGpt,
    /// The disk has larger sectors.
    #[error(
        "the disk has sectors of 4096 bytes, which is not supported; extract the root partition \
         and give that (dd)"
    )]
    LargeSectors,
    /// The MBR is refused.
    #[error("the disk's partition table is refused")]
    Mbr(#[from] MbrError),
}

/// Reads the partition table of a disk of `bytes` bytes; `None` if it has none.
///
/// A GPT has two copies: both have to be there, where the first one says, and have to be the
/// same.
pub(super) fn read(
    disk: &impl ReadAt,
    bytes: u64,
) -> Result<Option<Vec<Partition>>, PartitionTableError> {
    let failed = |offset| move |source| PartitionTableError::Read { offset, source };
    let length = usize::try_from(bytes).unwrap_or(usize::MAX).min(gpt::PRIMARY_BYTES);
    let mut head = vec![0; length];
    disk.read_exact_at(&mut head, 0).map_err(failed(0))?;
    let magic_at = |offset| head.get(offset..).is_some_and(|rest| rest.starts_with(GPT_MAGIC));
    let sectors = bytes / SECTOR;
    if magic_at(gpt::SECTOR) {
        let table = Table::parse(&head, sectors)?;
        let mut tail = vec![0; gpt::BACKUP_BYTES];
        // In the disk: the table was checked against its size.
        let offset = table.sectors.saturating_mul(SECTOR).saturating_sub(tail.len() as u64);
        disk.read_exact_at(&mut tail, offset).map_err(failed(offset))?;
        let backup =
            Table::parse_backup(&tail, table.sectors).map_err(PartitionTableError::Backup)?;
        if backup != table {
            return Err(PartitionTableError::TwoTables);
        }
        return Ok(Some(table.partitions.into_iter().map(Partition::from).collect()));
    }
    let Some(table) = Mbr::parse(disk, sectors)? else { return Ok(None) };
    if table.partitions.iter().any(|partition| partition.kind == mbr::PROTECTIVE) {
        let large = magic_at(4096);
        let error =
            if large { PartitionTableError::LargeSectors } else { PartitionTableError::NoGpt };
        return Err(error);
    }
    let id = table.disk_id;
    Ok(Some(table.partitions.into_iter().map(|found| Partition::of_mbr(found, id)).collect()))
}

impl From<gpt::Partition> for Partition {
    fn from(found: gpt::Partition) -> Self {
        Self {
            number: found.number,
            offset: found.first_lba.saturating_mul(SECTOR),
            bytes: found.sectors().saturating_mul(SECTOR),
            kind: Kind::Gpt(found.type_guid),
            id: found.guid.to_string(),
            name: found.name,
        }
    }
}

impl Partition {
    fn of_mbr(found: MbrPartition, disk_id: u32) -> Self {
        Self {
            number: found.number,
            offset: found.first.saturating_mul(SECTOR),
            bytes: found.sectors.saturating_mul(SECTOR),
            kind: Kind::Mbr(found.kind),
            name: String::new(),
            id: format!("{disk_id:08x}-{:02x}", found.number),
        }
    }
}
