//! The kernel's own file systems.
//!
//! A table, walked once. Each is mounted only if nothing is there yet, so that
//! a measured program that runs before PID 1 (the simulator) may mount first.

use std::path::Path;

use protocol::layout;

use super::kind;
use crate::failure::{self, Failure};
use crate::platform::{Mount, Platform};

/// One file system of the kernel's.
struct Row {
    target: &'static str,
    fstype: &'static str,
    /// Nothing is ever executed from it before the hand-over.
    noexec: bool,
    /// devtmpfs needs its device nodes.
    nodev: bool,
    options: &'static str,
}

impl Row {
    /// Unless something is mounted there.
    fn mount_once(&self, platform: &impl Platform) -> Result<(), Failure> {
        let target = Path::new(self.target);
        if platform.is_mount_point(target).map_err(failure::path("looking at", target))? {
            return Ok(());
        }
        self.mount(platform, target)
    }

    fn mount(&self, platform: &impl Platform, target: &Path) -> Result<(), Failure> {
        mount(
            platform,
            &Mount {
                source: self.fstype,
                target,
                fstype: self.fstype,
                read_only: false,
                nosuid: true,
                nodev: self.nodev,
                noexec: self.noexec,
                options: self.options,
            },
        )
    }
}

const TABLE: [Row; 4] = [
    Row { target: layout::PROC, fstype: "proc", noexec: true, nodev: true, options: "" },
    Row { target: layout::SYS, fstype: "sysfs", noexec: true, nodev: true, options: "" },
    Row {
        target: layout::DEV,
        fstype: "devtmpfs",
        noexec: true,
        nodev: false,
        options: "mode=0755",
    },
    Row {
        target: layout::RUN,
        fstype: "tmpfs",
        noexec: true,
        nodev: true,
        options: "mode=0755,size=20%",
    },
];

/// The kernel's switch for how much userspace may log to `/dev/kmsg`.
pub const KMSG_LIMIT: &str = "/proc/sys/kernel/printk_devkmsg";

/// Mounts the table, and lifts the limit of ten log lines in five seconds that
/// the kernel sets on userspace: the boot log is longer. The hand-over sets it
/// again.
///
/// # Errors
/// If a directory or a mount fails.
pub fn mount_kernel_file_systems(platform: &impl Platform) -> Result<(), Failure> {
    for row in &TABLE {
        let target = Path::new(row.target);
        if kind(platform, target)?.is_none() {
            platform
                .create_directory(target, 0o755)
                .map_err(failure::path("making the directory", target))?;
        }
        row.mount_once(platform)?;
    }
    // Fails where the command line fixes the value; then that value stands.
    let _fixed_by_command_line = platform.write(Path::new(KMSG_LIMIT), b"on\n");
    Ok(())
}

/// Mounts one file system of the table a second time, at `target`. But for `/run` it
/// is the same one there.
///
/// # Errors
/// If there is no such row, or the mount fails.
pub fn mount_again(platform: &impl Platform, row: &str, target: &Path) -> Result<(), Failure> {
    match TABLE.iter().find(|known| known.target == row) {
        Some(row) => row.mount(platform, target),
        None => Err(failure::path("mounting again", row)(std::io::ErrorKind::NotFound.into())),
    }
}

/// Mounts a kernel file system on a directory of sysfs, if this kernel has it and nothing
/// is there yet.
///
/// # Errors
/// [`Failure::Mount`].
pub fn mount_in_sysfs(
    platform: &impl Platform,
    fstype: &'static str,
    target: &'static str,
) -> Result<(), Failure> {
    if kind(platform, Path::new(target))?.is_none() {
        return Ok(());
    }
    Row { target, fstype, noexec: true, nodev: true, options: "" }.mount_once(platform)
}

/// Mounts, with the failure named.
///
/// # Errors
/// [`Failure::Mount`].
pub fn mount(platform: &impl Platform, mount: &Mount<'_>) -> Result<(), Failure> {
    platform.mount(mount).map_err(|source| Failure::Mount {
        what: mount.source.to_owned(),
        fstype: mount.fstype.to_owned(),
        target: mount.target.to_owned(),
        source,
    })
}
