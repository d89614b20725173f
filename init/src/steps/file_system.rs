//! File systems on encrypted volumes: checked, made and mounted.
//!
//! What is on such a device was written with its key, so its journal may be
//! replayed: another than the host wrote it.

use std::path::Path;

use protocol::config::FsType;
use protocol::layout;

use super::{mounts, programs};
use crate::failure::{Failure, ProgramError, path};
use crate::platform::{Access, Mount, Platform};

/// Bits of fsck's exit status that say that all is well now: 1, errors were
/// corrected; 2, the system should be restarted, for which mounting anew is enough
/// here (fsck(8)).
const REPAIRED: i32 = 1 | 2;

/// What has to be zeros for a device to be without a file system: every one that is
/// made here has its superblock in it (ext4 at 1 KiB, xfs at 0, btrfs at 64 KiB).
const HEAD: usize = 128 << 10;

/// Checks the root by its own program, from the root mounted read-only. A file system
/// that is never written to is not checked.
///
/// # Errors
/// [`Failure::Fsck`], or a mount's.
pub(super) fn check_root(
    platform: &impl Platform,
    node: &Path,
    fstype: FsType,
) -> Result<(), Failure> {
    if matches!(fstype, FsType::Erofs | FsType::Squashfs) {
        return Ok(());
    }
    let failed = |source| Failure::Fsck { device: node.to_owned(), source };
    let root = Path::new(layout::SYSROOT);
    mount_root(platform, node, fstype, true)?;
    let device = node.to_string_lossy();
    let (program, status) =
        programs::run(platform, &format!("fsck.{fstype}"), &["-p", &device]).map_err(failed)?;
    if status & !REPAIRED != 0 {
        return Err(failed(ProgramError::Status { program, status }));
    }
    platform.detach_mount(root).map_err(path("taking out the mount", root))
}

/// Mounts the root.
///
/// # Errors
/// [`Failure::Mount`].
pub(super) fn mount_root(
    platform: &impl Platform,
    node: &Path,
    fstype: FsType,
    read_only: bool,
) -> Result<(), Failure> {
    mounts::mount(
        platform,
        &Mount {
            source: &node.to_string_lossy(),
            target: Path::new(layout::SYSROOT),
            fstype: fstype.as_str(),
            read_only,
            nosuid: false,
            nodev: true,
            noexec: false,
            options: "",
        },
    )
}

/// Mounts a volume. `plain` leaves set-user-ID bits and device nodes without effect.
///
/// # Errors
/// [`Failure::Mount`].
pub(super) fn mount_volume(
    platform: &impl Platform,
    node: &Path,
    fstype: FsType,
    target: &Path,
    plain: bool,
) -> Result<(), Failure> {
    mounts::mount(
        platform,
        &Mount {
            source: &node.to_string_lossy(),
            target,
            fstype: fstype.as_str(),
            read_only: false,
            nosuid: plain,
            nodev: plain,
            noexec: false,
            options: "",
        },
    )
}

/// Whether there is nothing at the start of a device, where a file system would be.
///
/// # Errors
/// From the system.
pub(super) fn is_blank(platform: &impl Platform, node: &Path) -> Result<bool, Failure> {
    let mut head = vec![0xff; HEAD];
    platform
        .open_disk(node, Access::Read)
        .and_then(|disk| disk.read_exact_at(&mut head, 0))
        .map_err(path("reading", node))?;
    Ok(head.iter().all(|byte| *byte == 0))
}

/// Makes a file system by the root's own program. Nothing is discarded: an
/// authenticated device cannot, and every block of it is written already.
///
/// # Errors
/// [`Failure::Mkfs`].
pub(super) fn make(platform: &impl Platform, node: &Path, fstype: FsType) -> Result<(), Failure> {
    let failed = |source| Failure::Mkfs { device: node.to_owned(), source };
    let device = node.to_string_lossy();
    let arguments: &[&str] = match fstype {
        FsType::Ext4 => &["-q", "-E", "nodiscard", &device],
        FsType::Xfs | FsType::Btrfs => &["-q", "-K", &device],
        // Not accepted by the configuration: nothing could be written to it.
        FsType::Erofs | FsType::Squashfs => &[],
    };
    let (program, status) =
        programs::run(platform, &format!("mkfs.{fstype}"), arguments).map_err(failed)?;
    if status != 0 {
        return Err(failed(ProgramError::Status { program, status }));
    }
    Ok(())
}
