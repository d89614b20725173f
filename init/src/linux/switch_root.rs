//! From the initramfs to the real root.

use std::convert::Infallible;
use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

use super::signals;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};

/// The file systems that an initramfs can be (`linux/magic.h`).
const RAMFS_MAGIC: u64 = 0x8584_58f6;
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// Frees the initramfs, makes `root` the root, and executes `program` with the
/// arguments that the kernel gave to PID 1.
pub(super) fn switch_root(root: &Path, program: &Path) -> io::Result<Infallible> {
    let old =
        rustix::fs::open("/", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let magic = rustix::fs::fstatfs(&old)?.f_type;
    if ![RAMFS_MAGIC, TMPFS_MAGIC].map(u64::cast_signed).contains(&magic) {
        return Err(io::Error::other("the present root is not an initramfs; nothing was deleted"));
    }
    rustix::process::chdir(root)?;
    let device = rustix::fs::fstat(&old)?.st_dev;
    delete_content(old.as_fd(), device)?;
    drop(old);
    rustix::mount::mount_move(".", "/")?;
    rustix::process::chroot(".")?;
    rustix::process::chdir("/")?;
    let mut arguments = vec![CString::new(program.as_os_str().as_bytes())?];
    for argument in std::env::args_os().skip(1) {
        arguments.push(CString::new(argument.as_bytes())?);
    }
    signals::restore()?;
    // Not execvp(3), which runs what the kernel cannot execute as a shell script.
    let program = arguments.first().cloned().unwrap_or_default();
    Ok(nix::unistd::execv(&program, &arguments)?)
}

/// Deletes everything below a directory, but not what is mounted there.
fn delete_content(directory: BorrowedFd<'_>, device: u64) -> io::Result<()> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if stat.st_dev != device {
            continue;
        }
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            rustix::fs::unlinkat(directory, name, AtFlags::empty())?;
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let below: OwnedFd = rustix::fs::openat(directory, name, flags, Mode::empty())?;
        delete_content(below.as_fd(), device)?;
        drop(below);
        // Not empty where something is mounted below: then it stays.
        let _stays = rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR);
    }
    Ok(())
}
