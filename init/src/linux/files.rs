//! Files, directories and devices.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, StatxAttributes, StatxFlags, Uid,
    XattrFlags,
};
use rustix::io::Errno;

use crate::platform::{Kind, Program};

/// How much of a program is looked at: one page, which is one block of every
/// file system that is used.
const HEAD: usize = 4096;

/// How much memory a file of at most `limit` bytes is read into. With room behind it, so
/// that the end is seen without another piece of memory.
const fn room(limit: usize) -> usize {
    limit.saturating_add(64)
}

pub(super) fn read(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut content = Vec::with_capacity(room(limit));
    let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)?.take(bound).read_to_end(&mut content)?;
    if content.len() > limit { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(content) }
}

pub(super) fn read_device(device: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut content = vec![0; length];
    File::open(device)?.read_exact_at(&mut content, offset)?;
    Ok(content)
}

pub(super) fn list(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

pub(super) fn kind(path: &Path) -> io::Result<Option<Kind>> {
    let stat = match rustix::fs::lstat(path) {
        Ok(stat) => stat,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Ok(Some(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Kind::Directory,
        FileType::RegularFile => Kind::File,
        FileType::Symlink => Kind::Symlink,
        FileType::BlockDevice => Kind::BlockDevice,
        FileType::Fifo | FileType::Socket | FileType::CharacterDevice | FileType::Unknown => {
            Kind::Other
        }
    }))
}

pub(super) fn is_mount_point(path: &Path) -> io::Result<bool> {
    let statx = rustix::fs::statx(
        rustix::fs::CWD,
        path,
        AtFlags::SYMLINK_NOFOLLOW,
        StatxFlags::BASIC_STATS,
    )?;
    Ok(statx.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

pub(super) fn program(root: &Path, program: &Path) -> io::Result<Program> {
    let root =
        rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    // Absolute symbolic links mean the new root, not the initramfs. A FIFO
    // must not make PID 1 wait for a writer.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = rustix::fs::openat2(root, program, flags, Mode::empty(), ResolveFlags::IN_ROOT)?;
    let stat = rustix::fs::fstat(&file)?;
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    let mut head = Vec::new();
    if is_file {
        File::from(file).take(HEAD as u64).read_to_end(&mut head)?;
    }
    Ok(Program { is_file, executable: stat.st_mode & 0o111 != 0, head })
}

pub(super) fn create_directory_like(path: &Path, model: &Path) -> io::Result<()> {
    let stat = rustix::fs::stat(model)?;
    rustix::fs::mkdir(path, Mode::RWXU)?;
    rustix::fs::chown(path, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    copy_xattrs(path, model)?;
    // Last, because chown(2) clears bits and an ACL changes them.
    rustix::fs::chmod(path, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    Ok(())
}

/// Labels and access lists. A tmpfs that cannot hold one goes without.
fn copy_xattrs(path: &Path, model: &Path) -> io::Result<()> {
    // XATTR_LIST_MAX and XATTR_SIZE_MAX of the kernel.
    let mut names = vec![0_u8; 65536];
    let length = match rustix::fs::listxattr(model, names.as_mut_slice()) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let mut value = vec![0_u8; 65536];
    for name in names.get(..length).unwrap_or_default().split(|byte| *byte == 0) {
        if name.is_empty() || name.starts_with(b"trusted.overlay.") {
            continue;
        }
        let length = rustix::fs::getxattr(model, name, value.as_mut_slice())?;
        let value = value.get(..length).unwrap_or_default();
        match rustix::fs::setxattr(path, name, value, XattrFlags::empty()) {
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

pub(super) fn create(path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(content)?;
    // A host key that was bound must be there after a power cut, too.
    file.sync_all()
}

pub(super) fn overwrite(path: &Path, content: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).open(path)?.write_all(content)
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsRawFd as _, OwnedFd};
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;

    fn path_of(file: &OwnedFd) -> PathBuf {
        format!("/proc/self/fd/{}", file.as_raw_fd()).into()
    }

    /// A file that comes in single bytes is read whole; one that is too long, not at all.
    #[test]
    fn short_reads_are_no_end() {
        let read_in_pieces = |limit: usize| {
            let (reader, mut writer) = io::pipe().unwrap();
            let reader = OwnedFd::from(reader);
            let writing = std::thread::spawn(move || {
                for byte in b"in pieces" {
                    writer.write_all(&[*byte]).unwrap();
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
            let content = read(&path_of(&reader), limit);
            writing.join().unwrap();
            content
        };
        assert_eq!(read_in_pieces(9).unwrap(), b"in pieces");
        assert_eq!(read_in_pieces(8).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    /// What is read is nowhere else: a buffer that grew would leave a part of a private key
    /// in freed memory.
    #[test]
    fn a_file_is_read_into_one_piece_of_memory() {
        let file = rustix::fs::memfd_create("key", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        for length in [0, 1, 31, 32, 4000, 64 << 10] {
            rustix::fs::ftruncate(&file, length).unwrap();
            let content = read(&path_of(&file), 64 << 10).unwrap();
            assert_eq!(content.len() as u64, length);
            assert_eq!(content.capacity(), room(64 << 10));
        }
    }

    /// A device that ends early is an error, not a shorter answer.
    #[test]
    fn a_device_that_is_cut_gives_nothing() {
        let device = rustix::fs::memfd_create("device", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        rustix::io::write(&device, &[7; 100]).unwrap();
        let path = path_of(&device);
        assert_eq!(read_device(&path, 90, 10).unwrap(), [7; 10]);
        let error = read_device(&path, 90, 11).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
