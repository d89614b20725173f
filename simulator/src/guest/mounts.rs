//! The kernel's file systems, mounted as PID 1 would, which finds them there.

use std::fs;
use std::io;

use rustix::fs::{CWD, Mode, mkdirat};
use rustix::mount::{MountFlags, mount};

/// Where the kernel expects configfs.
const CONFIGFS: &str = "/sys/kernel/config";

type Failed = (&'static str, io::Error);

pub(crate) fn kernel_file_systems() -> Result<(), Failed> {
    let noexec = MountFlags::NOSUID | MountFlags::NOEXEC;
    one("/proc", "proc", noexec | MountFlags::NODEV, c"")?;
    one("/sys", "sysfs", noexec | MountFlags::NODEV, c"")?;
    one("/dev", "devtmpfs", noexec, c"mode=0755")
}

pub(crate) fn configfs() -> Result<(), Failed> {
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
    one(CONFIGFS, "configfs", flags, c"")
}

fn one(
    path: &'static str,
    fstype: &str,
    flags: MountFlags,
    options: &std::ffi::CStr,
) -> Result<(), Failed> {
    let failed = |error: io::Error| (path, error);
    if is_mounted(path) {
        return Ok(());
    }
    match mkdirat(CWD, path, Mode::from_raw_mode(0o755)) {
        // In sysfs nothing can be made; what is missing there fails to mount.
        Ok(()) | Err(rustix::io::Errno::EXIST | rustix::io::Errno::PERM) => {}
        Err(error) => return Err(failed(error.into())),
    }
    mount(fstype, path, fstype, flags, options).map_err(|error| failed(error.into()))
}

fn is_mounted(path: &str) -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts.lines().any(|line| line.split(' ').nth(1) == Some(path))
}
