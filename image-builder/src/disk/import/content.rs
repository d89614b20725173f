//! What is in a partition, by its signatures: enough to choose the root and to say what
//! something else is.

use std::fmt;
use std::io;

use protocol::config::FsType;
use verity::ReadAt;

use crate::disk::{FileSystem, ProbeError, file_system_of};

/// What a partition, or a whole disk, holds.
#[derive(Debug)]
pub(super) enum Content {
    FileSystem {
        found: FileSystem,
        label: String,
    },
    /// What claims to be a file system and is refused.
    Refused(ProbeError),
    Other(Other),
    Unknown,
}

/// What is no root file system, and is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Other {
    Lvm2,
    Luks,
    Swap,
    Raid,
    Fat,
}

/// How they start: LVM2 has its label in one of the first four sectors (the second one,
/// unless somebody chose), Linux' RAID its superblock at the start, or at 4 KiB.
const SIGNATURES: &[(Other, usize, &[u8])] = &[
    (Other::Luks, 0, b"LUKS\xba\xbe"),
    (Other::Lvm2, 0, b"LABELONE"),
    (Other::Lvm2, 512, b"LABELONE"),
    (Other::Lvm2, 1024, b"LABELONE"),
    (Other::Lvm2, 1536, b"LABELONE"),
    (Other::Swap, 4086, b"SWAPSPACE2"),
    (Other::Raid, 0, &[0xfc, 0x4e, 0x2b, 0xa9]),
    (Other::Raid, 4096, &[0xfc, 0x4e, 0x2b, 0xa9]),
    (Other::Fat, 54, b"FAT"),
    (Other::Fat, 82, b"FAT32"),
];
/// Where the last one ends.
const HEAD: usize = 8192;

/// Offset and bytes of a file system's label. squashfs has none.
fn label_place(kind: FsType) -> Option<(u64, usize)> {
    match kind {
        FsType::Ext4 => Some((1024 + 120, 16)),
        FsType::Xfs => Some((108, 12)),
        FsType::Btrfs => Some((65536 + 0x12b, 256)),
        FsType::Erofs => Some((1024 + 64, 16)),
        FsType::Squashfs => None,
    }
}

impl Content {
    /// Looks at the start of a volume of `bytes` bytes.
    pub(super) fn of(volume: &impl ReadAt, bytes: u64) -> io::Result<Self> {
        match file_system_of(volume, bytes) {
            Ok(found) => {
                let label = match label_place(found.kind) {
                    Some((offset, length)) => {
                        let mut label = vec![0; length];
                        volume.read_exact_at(&mut label, offset)?;
                        label.truncate(label.iter().position(|&b| b == 0).unwrap_or(length));
                        String::from_utf8_lossy(&label).into_owned()
                    }
                    None => String::new(),
                };
                return Ok(Self::FileSystem { found, label });
            }
            Err(ProbeError::Unknown) => {}
            Err(ProbeError::Read { source, .. }) => return Err(source),
            Err(refused) => return Ok(Self::Refused(refused)),
        }
        let mut head = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX).min(HEAD)];
        volume.read_exact_at(&mut head, 0)?;
        let starts = |(_, offset, magic): &&(Other, usize, &[u8])| {
            head.get(*offset..).is_some_and(|rest| rest.starts_with(magic))
        };
        Ok(SIGNATURES.iter().find(starts).map_or(Self::Unknown, |(other, ..)| Self::Other(*other)))
    }

    /// The file system's label, if there is one.
    pub(super) fn label(&self) -> Option<&str> {
        match self {
            Self::FileSystem { label, .. } if !label.is_empty() => Some(label),
            Self::FileSystem { .. } | Self::Refused(_) | Self::Other(_) | Self::Unknown => None,
        }
    }

    /// Whether it is a file system that Linux has its root on, whole or damaged.
    pub(super) fn is_file_system(&self) -> bool {
        matches!(self, Self::FileSystem { .. } | Self::Refused(_))
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FileSystem { found, .. } => {
                f.write_str(found.kind.as_str())?;
                // Anybody's text: escaped.
                self.label().map_or(Ok(()), |label| write!(f, " {label:?}"))
            }
            Self::Refused(_) => f.write_str("a damaged or unclean file system"),
            Self::Other(other) => other.fmt(f),
            Self::Unknown => f.write_str("unknown content"),
        }
    }
}

impl fmt::Display for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lvm2 => "an LVM2 physical volume",
            Self::Luks => "a LUKS volume",
            Self::Swap => "swap space",
            Self::Raid => "a member of a Linux RAID",
            Self::Fat => "FAT",
        })
    }
}

impl Other {
    /// What to do instead.
    pub(super) fn remedy(self) -> &'static str {
        match self {
            Self::Lvm2 => {
                "logical volumes are not read; in the running VM, or on a machine where the disk \
                 is attached, pack the root (`tar --acls --xattrs --one-file-system -C / -cf - .`) \
                 and give that tar, or copy the logical volume (`dd if=/dev/VG/ROOT`) and give \
                 that file"
            }
            Self::Luks => {
                "it is not unlocked here; `ravelin image decrypt --disk` gives the file system of \
                 a volume with dm-integrity that ravelin or cryptsetup made; otherwise open it \
                 (`cryptsetup open`) and copy the mapped device"
            }
            Self::Raid => "assemble the array and copy the file system from it (`dd if=/dev/md0`)",
            Self::Swap | Self::Fat => "a Linux root is on none; choose another partition",
        }
    }
}
