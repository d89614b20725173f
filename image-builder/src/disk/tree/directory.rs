//! Reads a tree from a directory: sorted by the bytes of the names, without
//! following a symbolic link, and without depending on where it lies.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Statx, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use super::{Device, Entry, Kind, Meta, Note, Sink, Time, TreeError};
use crate::disk::BuildError;

const OPEN: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

/// A directory that holds a tree.
pub(crate) struct Directory {
    path: PathBuf,
    root: File,
}

impl Directory {
    pub(crate) fn open(path: &Path) -> Result<Directory, TreeError> {
        // The given path itself may be a symbolic link.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECTORY;
        let root = rustix::fs::openat(CWD, path, flags, Mode::empty())
            .map_err(|e| TreeError::Open { path: path.to_owned(), source: e.into() })?;
        Ok(Directory { path: path.to_owned(), root: File::from(root) })
    }

    pub(crate) fn stream<S: Sink>(
        self,
        open: impl FnOnce(&Entry) -> Result<S, BuildError>,
    ) -> Result<S, BuildError> {
        let failed = |source| TreeError::Open { path: self.path.clone(), source };
        let stat = stat(self.root.as_fd(), c"").map_err(|e| failed(e.into()))?;
        let root = Entry {
            path: Vec::new(),
            kind: Kind::Directory,
            meta: meta(&stat),
            xattrs: attributes(self.root.as_fd(), c".", &[])?,
        };
        let mut sink = open(&root)?;
        let mut walk = Walk { path: Vec::new(), linked: HashMap::new() };
        walk.directory(self.root.as_fd(), &mut sink)?;
        Ok(sink)
    }
}

struct Walk {
    /// Path of the directory that is being read.
    path: Vec<u8>,
    /// The first path of each file with several names, by device and inode.
    linked: HashMap<(u32, u32, u64), Vec<u8>>,
}

impl Walk {
    fn directory(&mut self, dir: BorrowedFd<'_>, sink: &mut impl Sink) -> Result<(), BuildError> {
        let failed = |path: &[u8], error: Errno| TreeError::Read {
            path: path.to_vec(),
            action: "the directory cannot be listed",
            source: error.into(),
        };
        let mut names: Vec<CString> = Vec::new();
        for entry in Dir::read_from(dir).map_err(|e| failed(&self.path, e))? {
            let name = entry.map_err(|e| failed(&self.path, e))?.file_name().to_owned();
            if name.as_c_str() != c"." && name.as_c_str() != c".." {
                names.push(name);
            }
        }
        names.sort_unstable();
        let length = self.path.len();
        for name in names {
            if length > 0 {
                self.path.push(b'/');
            }
            self.path.extend(name.as_bytes());
            self.member(dir, &name, sink)?;
            self.path.truncate(length);
        }
        Ok(())
    }

    fn member(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &CStr,
        sink: &mut impl Sink,
    ) -> Result<(), BuildError> {
        let path = self.path.clone();
        let failed = |action, error: Errno| {
            if error == Errno::NOENT {
                return TreeError::Changed { path: path.clone() };
            }
            TreeError::Read { path: path.clone(), action, source: error.into() }
        };
        let seen = stat(dir, name).map_err(|e| failed("its status cannot be read", e))?;
        if seen.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
            return Err(TreeError::MountPoint { path }.into());
        }
        let file_type = FileType::from_raw_mode(seen.stx_mode.into());
        if file_type == FileType::Socket {
            sink.note(Note::SocketSkipped { path });
            return Ok(());
        }
        if seen.stx_nlink > 1 && file_type != FileType::Directory {
            let inode = (seen.stx_dev_major, seen.stx_dev_minor, seen.stx_ino);
            if let Some(target) = self.linked.get(&inode) {
                let kind = Kind::HardLink { target: target.clone() };
                let entry = Entry { path, kind, meta: meta(&seen), xattrs: Vec::new() };
                return sink.add(entry, &mut io::empty());
            }
            self.linked.insert(inode, path.clone());
        }

        let xattrs = attributes(dir, name, &path)?;
        let device = Device { major: seen.stx_rdev_major, minor: seen.stx_rdev_minor };
        let kind = match file_type {
            FileType::RegularFile => {
                let file = reopen(dir, name, OPEN | OFlags::NONBLOCK, &seen)
                    .map_err(|e| failed("it cannot be opened", e))?
                    .ok_or_else(|| TreeError::Changed { path: path.clone() })?;
                let kind = Kind::File { size: seen.stx_size };
                let entry = Entry { path: path.clone(), kind, meta: meta(&seen), xattrs };
                let added = sink.add(entry, &mut (&file).take(seen.stx_size));
                if matches!(added, Err(BuildError::Tree(TreeError::Short { .. }))) {
                    return Err(TreeError::Changed { path }.into());
                }
                added?;
                let after =
                    stat(file.as_fd(), c"").map_err(|e| failed("its status cannot be read", e))?;
                if !same(&seen, &after) {
                    return Err(TreeError::Changed { path }.into());
                }
                return Ok(());
            }
            FileType::Directory => {
                let below = reopen(dir, name, OPEN | OFlags::DIRECTORY, &seen)
                    .map_err(|e| failed("the directory cannot be opened", e))?
                    .ok_or_else(|| TreeError::Changed { path: path.clone() })?;
                let (kind, meta) = (Kind::Directory, meta(&seen));
                sink.add(Entry { path, kind, meta, xattrs }, &mut io::empty())?;
                return self.directory(below.as_fd(), sink);
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(dir, name, Vec::new())
                    .map_err(|e| failed("the symbolic link cannot be read", e))?;
                Kind::Symlink { target: target.into_bytes() }
            }
            FileType::Fifo => Kind::Fifo,
            FileType::CharacterDevice => Kind::CharacterDevice(device),
            FileType::BlockDevice => Kind::BlockDevice(device),
            FileType::Socket | FileType::Unknown => {
                let problem = "is neither file, directory, link, device nor pipe";
                return Err(TreeError::Member { path, problem }.into());
            }
        };
        sink.add(Entry { path, kind, meta: meta(&seen), xattrs }, &mut io::empty())
    }
}

/// With an empty name, the status of `dir` itself.
fn stat(dir: BorrowedFd<'_>, name: &CStr) -> Result<Statx, Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT;
    rustix::fs::statx(dir, name, flags, StatxFlags::BASIC_STATS)
}

/// Opens what `stat` saw; `None` if something else has the name by now.
fn reopen(
    dir: BorrowedFd<'_>,
    name: &CStr,
    flags: OFlags,
    seen: &Statx,
) -> Result<Option<File>, Errno> {
    let file = File::from(rustix::fs::openat(dir, name, flags, Mode::empty())?);
    let now = stat(file.as_fd(), c"")?;
    Ok(same(seen, &now).then_some(file))
}

fn same(a: &Statx, b: &Statx) -> bool {
    let key = |s: &Statx| {
        let inode = (s.stx_dev_major, s.stx_dev_minor, s.stx_ino);
        (inode, s.stx_mode, s.stx_size, s.stx_mtime.tv_sec, s.stx_mtime.tv_nsec)
    };
    key(a) == key(b)
}

fn meta(stat: &Statx) -> Meta {
    Meta {
        mode: stat.stx_mode & 0o7777,
        uid: stat.stx_uid,
        gid: stat.stx_gid,
        mtime: Time::new(stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec),
    }
}

/// The extended attributes of a name, which may be one that cannot be opened: a
/// device or a symbolic link.
fn attributes(
    dir: BorrowedFd<'_>,
    name: &CStr,
    path: &[u8],
) -> Result<Vec<(String, Vec<u8>)>, TreeError> {
    let failed = |error: Errno| TreeError::Read {
        path: path.to_vec(),
        action: "its attributes cannot be read",
        source: error.into(),
    };
    let mut file = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd()));
    file.push(std::ffi::OsStr::from_bytes(name.to_bytes()));
    let list = match sized(|buffer| rustix::fs::llistxattr(&file, buffer)) {
        Ok(list) => list,
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut attributes = Vec::new();
    for name in list.split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        let text = match std::str::from_utf8(name) {
            Ok(text) if !text.contains('=') => text,
            _ => {
                let problem = "has an attribute whose name is not UTF-8 or has an equals sign";
                return Err(TreeError::Member { path: path.to_vec(), problem });
            }
        };
        let value = sized(|buffer| rustix::fs::lgetxattr(&file, text, buffer)).map_err(failed)?;
        attributes.push((text.to_owned(), value));
    }
    attributes.sort();
    Ok(attributes)
}

/// Calls `read` with a small buffer, then with one of 64 KiB: the kernel's limit
/// for the names of all attributes and for each value.
fn sized(read: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut small = [0; 512];
    match read(&mut small) {
        Ok(length) => Ok(small.get(..length).unwrap_or_default().to_vec()),
        Err(Errno::RANGE) => {
            let mut large = vec![0; 1 << 16];
            let length = read(&mut large)?;
            large.truncate(length);
            Ok(large)
        }
        Err(error) => Err(error),
    }
}
