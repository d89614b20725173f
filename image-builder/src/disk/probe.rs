//! Which file system a volume holds, by its superblock, and how large it is.
//!
//! Threat: the bytes are anybody's. A superblock says where the kernel will look,
//! so its numbers are checked against the volume before they are used; what two
//! file systems claim at once is refused rather than guessed.
//!
//! Specifications: the kernel's `fs/erofs/erofs_fs.h`, `fs/squashfs/squashfs_fs.h`,
//! `Documentation/filesystems/ext4/super.rst`, `fs/xfs/libxfs/xfs_format.h` and
//! `include/uapi/linux/btrfs_tree.h`.

use std::io;

use protocol::config::FsType;
use thiserror::Error;
use uuid::Uuid;
use verity::ReadAt;

/// Where the last superblock that is looked for ends.
const HEAD: usize = BTRFS + 0x100;
/// Where the superblock of ext4 and erofs starts.
const KIBIBYTE: usize = 1024;
/// Where the superblock of btrfs starts.
const BTRFS: usize = 65536;

/// A file system, as its superblock describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSystem {
    /// Its kind.
    pub kind: FsType,
    /// Bytes from its start to its end.
    pub size: u64,
    /// The largest block, in bytes, that a device below it may have. A verity
    /// device's blocks are its data blocks.
    pub block_size: u32,
    /// Its UUID; squashfs has none.
    pub uuid: Option<Uuid>,
}

/// Why there is no file system to use.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// The volume cannot be read.
    #[error("the volume cannot be read at byte {offset}")]
    Read {
        /// Where.
        offset: u64,
        /// What the kernel said.
        source: io::Error,
    },
    /// No known file system.
    #[error("no file system was found (known are erofs, squashfs, ext4, xfs and btrfs)")]
    Unknown,
    /// Two at once.
    #[error("both {first} and {second} claim the volume; wipe the one that is not in use (wipefs)")]
    Ambiguous {
        /// One kind.
        first: FsType,
        /// The other.
        second: FsType,
    },
    /// A superblock that makes no sense.
    #[error("the {kind} superblock is damaged or of an unknown version: {problem}")]
    Damaged {
        /// The kind.
        kind: FsType,
        /// What is wrong.
        problem: &'static str,
    },
    /// A file system that was not unmounted in order.
    #[error(
        "the {kind} file system has a log to be replayed, which cannot happen on a read-only disk; \
         mount and unmount it once, or check it (fsck)"
    )]
    Unclean {
        /// The kind.
        kind: FsType,
    },
    /// A file system on several devices.
    #[error("the {kind} file system extends over several devices; a root has one")]
    SeveralDevices {
        /// The kind.
        kind: FsType,
    },
    /// The volume ends before its file system does.
    #[error(
        "the {kind} file system has {described} bytes, the volume only {actual}: it was cut off"
    )]
    CutOff {
        /// The kind.
        kind: FsType,
        /// What the superblock says.
        described: u64,
        /// What is there.
        actual: u64,
    },
}

/// Describes the file system of a volume of `bytes` bytes.
///
/// # Errors
/// [`ProbeError`] if there is none, or none that could be a root.
pub fn file_system_of(volume: &impl ReadAt, bytes: u64) -> Result<FileSystem, ProbeError> {
    let length = usize::try_from(bytes).unwrap_or(usize::MAX).min(HEAD);
    let mut head = vec![0; length];
    volume.read_exact_at(&mut head, 0).map_err(|source| ProbeError::Read { offset: 0, source })?;
    let found = recognise(&head)?;
    if found.size > bytes {
        let (kind, described) = (found.kind, found.size);
        return Err(ProbeError::CutOff { kind, described, actual: bytes });
    }
    Ok(found)
}

/// Whether a file that starts like this may be a file system's image.
pub(super) fn claims(head: &[u8]) -> bool {
    !matches!(recognise(head), Err(ProbeError::Unknown))
}

fn recognise(head: &[u8]) -> Result<FileSystem, ProbeError> {
    let head = Head(head);
    let mut found: Vec<(FsType, Parser)> = Vec::new();
    for (kind, offset, magic, parser) in KINDS {
        if head.0.get(*offset..).is_some_and(|rest| rest.starts_with(magic)) {
            found.push((*kind, *parser));
        }
    }
    match found.as_slice() {
        [] => Err(ProbeError::Unknown),
        [(kind, parser)] => {
            let problem = "it does not fit its block size or the file";
            parser(head).ok_or(ProbeError::Damaged { kind: *kind, problem })?
        }
        [(first, _), (second, _), ..] => {
            Err(ProbeError::Ambiguous { first: *first, second: *second })
        }
    }
}

/// `None` if the head is too short or its numbers overflow.
type Parser = fn(Head<'_>) -> Option<Result<FileSystem, ProbeError>>;

/// Kind, place of the magic number, magic number, reader of the rest.
const KINDS: &[(FsType, usize, &[u8], Parser)] = &[
    (FsType::Erofs, KIBIBYTE, &[0xe2, 0xe1, 0xf5, 0xe0], erofs),
    (FsType::Squashfs, 0, b"hsqs", squashfs),
    (FsType::Ext4, KIBIBYTE + 56, &[0x53, 0xef], ext4),
    (FsType::Xfs, 0, b"XFSB", xfs),
    (FsType::Btrfs, BTRFS + 0x40, b"_BHRfS_M", btrfs),
];

/// | offset | bytes | field |
/// |---|---|---|
/// | 12 | 1 | log2 of the block size |
/// | 14 | 2 | with 48-bit addresses: high bits of the number of blocks |
/// | 36 | 4 | number of blocks |
/// | 48 | 16 | UUID |
/// | 80 | 4 | incompatible features |
/// | 86 | 2 | number of further devices |
fn erofs(head: Head<'_>) -> Option<Result<FileSystem, ProbeError>> {
    const ADDRESSES_48BIT: u32 = 0x80;
    let kind = FsType::Erofs;
    let at = |offset| KIBIBYTE + offset;
    let shift = u32::from(*head.0.get(at(12))?);
    if !(9..=16).contains(&shift) {
        return Some(Err(ProbeError::Damaged { kind, problem: "its block size is impossible" }));
    }
    let mut blocks = u64::from(head.u32(at(36))?);
    if head.u32(at(80))? & ADDRESSES_48BIT != 0 {
        blocks |= u64::from(head.u16(at(14))?) << 32;
    }
    if head.u16(at(86))? != 0 {
        return Some(Err(ProbeError::SeveralDevices { kind }));
    }
    let (size, block_size) = (blocks.checked_mul(1 << shift)?, 1 << shift);
    Some(Ok(FileSystem { kind, size, block_size, uuid: head.uuid(at(48)) }))
}

/// | offset | bytes | field |
/// |---|---|---|
/// | 28 | 2 | major version, 4 |
/// | 40 | 8 | bytes used |
fn squashfs(head: Head<'_>) -> Option<Result<FileSystem, ProbeError>> {
    let kind = FsType::Squashfs;
    if head.u16(28)? != 4 {
        return Some(Err(ProbeError::Damaged { kind, problem: "it is not of version 4" }));
    }
    // It reads through a cache of blocks of any size.
    Some(Ok(FileSystem { kind, size: head.u64(40)?, block_size: 4096, uuid: None }))
}

/// | offset | bytes | field |
/// |---|---|---|
/// | 4 | 4 | number of blocks, low bits |
/// | 24 | 4 | log2 of the block size, less 10 |
/// | 96 | 4 | incompatible features |
/// | 104 | 16 | UUID |
/// | 336 | 4 | number of blocks, high bits, with 64-bit addresses |
fn ext4(head: Head<'_>) -> Option<Result<FileSystem, ProbeError>> {
    const RECOVER: u32 = 0x4;
    const JOURNAL_DEVICE: u32 = 0x8;
    const ADDRESSES_64BIT: u32 = 0x80;
    let kind = FsType::Ext4;
    let at = |offset| KIBIBYTE + offset;
    let shift = head.u32(at(24))?;
    let features = head.u32(at(96))?;
    if shift > 6 || features & JOURNAL_DEVICE != 0 {
        return Some(Err(ProbeError::Damaged { kind, problem: "its block size is impossible" }));
    }
    if features & RECOVER != 0 {
        return Some(Err(ProbeError::Unclean { kind }));
    }
    let mut blocks = u64::from(head.u32(at(4))?);
    if features & ADDRESSES_64BIT != 0 {
        blocks |= u64::from(head.u32(at(336))?) << 32;
    }
    let block_size = 1024_u32 << shift;
    let size = blocks.checked_mul(block_size.into())?;
    Some(Ok(FileSystem { kind, size, block_size, uuid: head.uuid(at(104)) }))
}

/// Big-endian.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 4 | 4 | block size |
/// | 8 | 8 | number of data blocks |
/// | 32 | 16 | UUID |
/// | 102 | 2 | sector size |
fn xfs(head: Head<'_>) -> Option<Result<FileSystem, ProbeError>> {
    let kind = FsType::Xfs;
    let (block, sector) = (head.u32(4)?.swap_bytes(), head.u16(102)?.swap_bytes());
    if !block.is_power_of_two() || !(512..=65536).contains(&block) || !sector.is_power_of_two() {
        return Some(Err(ProbeError::Damaged { kind, problem: "its block size is impossible" }));
    }
    let size = head.u64(8)?.swap_bytes().checked_mul(block.into())?;
    Some(Ok(FileSystem { kind, size, block_size: sector.into(), uuid: head.uuid(32) }))
}

/// | offset | bytes | field |
/// |---|---|---|
/// | 0x20 | 16 | UUID |
/// | 0x60 | 8 | address of the log tree, zero if there is none |
/// | 0x70 | 8 | bytes on all devices |
/// | 0x88 | 8 | number of devices |
/// | 0x90 | 4 | sector size |
fn btrfs(head: Head<'_>) -> Option<Result<FileSystem, ProbeError>> {
    let kind = FsType::Btrfs;
    let at = |offset| BTRFS + offset;
    let block_size = head.u32(at(0x90))?;
    if !block_size.is_power_of_two() || !(4096..=65536).contains(&block_size) {
        return Some(Err(ProbeError::Damaged { kind, problem: "its sector size is impossible" }));
    }
    if head.u64(at(0x88))? != 1 {
        return Some(Err(ProbeError::SeveralDevices { kind }));
    }
    if head.u64(at(0x60))? != 0 {
        return Some(Err(ProbeError::Unclean { kind }));
    }
    let size = head.u64(at(0x70))?;
    Some(Ok(FileSystem { kind, size, block_size, uuid: head.uuid(at(0x20)) }))
}

/// The start of a volume; every read may be beyond its end.
#[derive(Clone, Copy)]
struct Head<'a>(&'a [u8]);

impl Head<'_> {
    fn bytes<const N: usize>(self, offset: usize) -> Option<[u8; N]> {
        self.0.get(offset..)?.first_chunk().copied()
    }

    fn u16(self, offset: usize) -> Option<u16> {
        self.bytes(offset).map(u16::from_le_bytes)
    }

    fn u32(self, offset: usize) -> Option<u32> {
        self.bytes(offset).map(u32::from_le_bytes)
    }

    fn u64(self, offset: usize) -> Option<u64> {
        self.bytes(offset).map(u64::from_le_bytes)
    }

    fn uuid(self, offset: usize) -> Option<Uuid> {
        self.bytes(offset).map(Uuid::from_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(volume: &mut [u8], offset: usize, bytes: &[u8]) {
        volume[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    /// A volume of 128 KiB that one kind claims, with all of it in use.
    fn volume(kind: FsType) -> Vec<u8> {
        let mut v = vec![0; 1 << 17];
        match kind {
            FsType::Erofs => {
                put(&mut v, 1024, &[0xe2, 0xe1, 0xf5, 0xe0]);
                put(&mut v, 1024 + 12, &[12]);
                put(&mut v, 1024 + 36, &[32]);
            }
            FsType::Squashfs => {
                put(&mut v, 0, b"hsqs");
                put(&mut v, 28, &[4]);
                put(&mut v, 40, &[0, 0, 2]);
            }
            FsType::Ext4 => {
                put(&mut v, 1024 + 56, &[0x53, 0xef]);
                put(&mut v, 1024 + 4, &[32]);
                put(&mut v, 1024 + 24, &[2]);
            }
            FsType::Xfs => {
                put(&mut v, 0, b"XFSB\0\0\x10\0");
                put(&mut v, 15, &[32]);
                put(&mut v, 102, &[2, 0]);
            }
            FsType::Btrfs => {
                put(&mut v, 65536 + 0x40, b"_BHRfS_M");
                put(&mut v, 65536 + 0x72, &[2]);
                put(&mut v, 65536 + 0x88, &[1]);
                put(&mut v, 65536 + 0x91, &[0x10]);
            }
        }
        v
    }

    const ALL: [FsType; 5] =
        [FsType::Erofs, FsType::Squashfs, FsType::Ext4, FsType::Xfs, FsType::Btrfs];

    fn probe(volume: &[u8]) -> Result<FileSystem, ProbeError> {
        file_system_of(&volume.to_vec(), volume.len() as u64)
    }

    #[test]
    fn each_kind_is_known_by_its_magic() {
        for kind in ALL {
            let found = probe(&volume(kind)).unwrap();
            assert_eq!((found.kind, found.size), (kind, 1 << 17));
            assert_eq!(found.block_size, if kind == FsType::Xfs { 512 } else { 4096 });
            assert!(claims(&volume(kind)));
        }
        assert!(matches!(probe(&[0; 1 << 17]), Err(ProbeError::Unknown)));
        assert!(matches!(probe(&[]), Err(ProbeError::Unknown)));
        assert!(!claims(&[0; 4096]));
    }

    #[test]
    fn a_volume_that_is_cut_or_claimed_twice_is_refused() {
        for kind in ALL {
            let whole = volume(kind);
            let cut = probe(&whole[..whole.len() - 4096]);
            assert!(matches!(cut, Err(ProbeError::CutOff { actual: 0x1f000, .. })), "{cut:?}");
            for length in [28, 1080, 1100, 65536 + 0x48, 65536 + 0x90] {
                assert!(probe(&whole[..length]).is_err(), "{kind} {length}");
            }
        }
        let mut two = volume(FsType::Ext4);
        put(&mut two, 0, b"hsqs");
        assert!(matches!(probe(&two), Err(ProbeError::Ambiguous { .. })));
    }

    #[test]
    fn mutations_get_their_own_error() {
        type Wanted = fn(&ProbeError) -> bool;
        let damaged: Wanted = |e| matches!(e, ProbeError::Damaged { .. });
        let several: Wanted = |e| matches!(e, ProbeError::SeveralDevices { .. });
        let unclean: Wanted = |e| matches!(e, ProbeError::Unclean { .. });
        let cut: Wanted = |e| matches!(e, ProbeError::CutOff { .. });
        let ff: &[u8] = &[0xff; 8];
        let cases: &[(FsType, usize, &[u8], Wanted)] = &[
            (FsType::Erofs, 1024 + 12, &[8], damaged),
            (FsType::Erofs, 1024 + 12, &[255], damaged),
            (FsType::Erofs, 1024 + 36, &[0xff; 4], cut),
            (FsType::Erofs, 1024 + 86, &[1], several),
            (FsType::Squashfs, 28, &[3], damaged),
            (FsType::Squashfs, 40, ff, cut),
            (FsType::Ext4, 1024 + 24, &[7], damaged),
            (FsType::Ext4, 1024 + 24, &[0xff; 4], damaged),
            (FsType::Ext4, 1024 + 96, &[0x4], unclean),
            (FsType::Ext4, 1024 + 96, &[0x8], damaged),
            (FsType::Ext4, 1024 + 4, &[0xff; 4], cut),
            (FsType::Xfs, 4, &[0; 4], damaged),
            (FsType::Xfs, 4, &[0xff; 4], damaged),
            (FsType::Xfs, 102, &[0, 0], damaged),
            (FsType::Xfs, 8, ff, damaged),
            (FsType::Btrfs, 65536 + 0x60, &[1], unclean),
            (FsType::Btrfs, 65536 + 0x88, &[2], several),
            (FsType::Btrfs, 65536 + 0x90, &[1], damaged),
            (FsType::Btrfs, 65536 + 0x70, ff, cut),
        ];
        for (kind, offset, bytes, wanted) in cases {
            let mut v = volume(*kind);
            put(&mut v, *offset, bytes);
            let error = probe(&v).unwrap_err();
            assert!(wanted(&error), "{kind} {offset}: {error:?}");
        }
        let mut large = volume(FsType::Erofs);
        put(&mut large, 1024 + 14, &[1]);
        assert_eq!(probe(&large).unwrap().size, 1 << 17, "the root's number, without the feature");
        put(&mut large, 1024 + 80, &[0x80]);
        assert!(matches!(
            probe(&large),
            Err(ProbeError::CutOff { described: 0x1000_0002_0000, .. })
        ));
    }
}
