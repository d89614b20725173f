//! The directory tree: report directories that users make and remove, with
//! configfs's way of opening, reading and writing their files.
//!
//! As in configfs, a file that is read is filled once an open file; a blob that
//! is written is stored whole when the file is closed; a text is stored with
//! each write.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use super::attribute::Attribute;
use super::entry::{Entry, INBLOB_MAX};
use crate::port::Port;

/// Nothing is cached.
const TTL: Duration = Duration::ZERO;
const ROOT: u64 = 1;
/// Inodes of one directory: itself and its files.
const STRIDE: u64 = 16;
/// The longest text that configfs takes (`SIMPLE_ATTR_SIZE`).
const TEXT_MAX: usize = 4096;
/// More directories and open files than any guest needs.
const MAX_ENTRIES: usize = 256;
const MAX_OPEN: usize = 1024;

/// The file system.
pub(crate) struct Files {
    port: Arc<Port>,
    made: SystemTime,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By inode of the directory.
    entries: BTreeMap<u64, (String, Entry)>,
    open: BTreeMap<u64, Open>,
    next_entry: u64,
    next_handle: u64,
}

/// An open file.
struct Open {
    directory: u64,
    attribute: Attribute,
    /// What it is read from, once it was.
    filled: Option<Vec<u8>>,
    /// What was written to a blob, until it is closed.
    written: Option<Vec<u8>>,
}

/// What an inode is.
enum Node {
    Root,
    Directory(u64),
    File(u64, Attribute),
}

impl Files {
    pub(super) fn new(port: Arc<Port>) -> Self {
        Self { port, made: SystemTime::now(), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn attributes(&self, inode: u64, node: &Node) -> FileAttr {
        let (kind, perm, size, nlink) = match node {
            Node::Root | Node::Directory(_) => (FileType::Directory, 0o755, 0, 2),
            Node::File(_, attribute) => {
                (FileType::RegularFile, attribute.permissions(), attribute.size(), 1)
            }
        };
        FileAttr {
            ino: INodeNo(inode),
            size,
            blocks: 0,
            atime: self.made,
            mtime: self.made,
            ctime: self.made,
            crtime: self.made,
            kind,
            perm,
            nlink,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }

    fn read_bytes(&self, handle: u64) -> Result<Vec<u8>, Errno> {
        let mut state = self.state();
        let State { entries, open, .. } = &mut *state;
        let open = open.get_mut(&handle).ok_or(Errno::EBADF)?;
        if let Some(filled) = &open.filled {
            return Ok(filled.clone());
        }
        let (_, entry) = entries.get_mut(&open.directory).ok_or(Errno::ENOENT)?;
        let content = entry.show(open.attribute, &*self.port)?;
        open.filled = Some(content.clone());
        Ok(content)
    }

    fn write_bytes(&self, handle: u64, offset: u64, data: &[u8]) -> Result<u32, Errno> {
        let mut state = self.state();
        let State { entries, open, .. } = &mut *state;
        let open = open.get_mut(&handle).ok_or(Errno::EBADF)?;
        let written = u32::try_from(data.len()).map_err(|_long| Errno::EINVAL)?;
        if open.attribute == Attribute::Inblob {
            let start = usize::try_from(offset).map_err(|_far| Errno::EFBIG)?;
            let end = start.checked_add(data.len()).filter(|end| *end <= INBLOB_MAX);
            let end = end.ok_or(Errno::EFBIG)?;
            let blob = open.written.get_or_insert_default();
            blob.resize(blob.len().max(end), 0);
            blob.get_mut(start..end).ok_or(Errno::EFBIG)?.copy_from_slice(data);
            return Ok(written);
        }
        if data.len() >= TEXT_MAX {
            return Err(Errno::EINVAL);
        }
        let (_, entry) = entries.get_mut(&open.directory).ok_or(Errno::ENOENT)?;
        entry.store(open.attribute, data)?;
        Ok(written)
    }

    /// Stores what was written to a blob. The kernel does so when the last
    /// descriptor is closed, and drops the error; here it is at each `close`,
    /// which waits for it, so that who reads next sees it.
    fn store_blob(&self, handle: u64) {
        let mut state = self.state();
        let State { entries, open, .. } = &mut *state;
        let Some(open) = open.get_mut(&handle) else { return };
        let Some(blob) = open.written.take() else { return };
        if let Some((_, entry)) = entries.get_mut(&open.directory) {
            let _dropped = entry.store(open.attribute, &blob);
        }
    }
}

impl State {
    fn node(&self, inode: u64) -> Option<Node> {
        if inode == ROOT {
            return Some(Node::Root);
        }
        let directory = inode - inode % STRIDE;
        self.entries.get(&directory)?;
        if inode == directory {
            return Some(Node::Directory(directory));
        }
        let attribute = Attribute::ALL.into_iter().find(|one| one.index() == inode % STRIDE)?;
        Some(Node::File(directory, attribute))
    }

    fn lookup(&self, parent: u64, name: &OsStr) -> Option<u64> {
        match self.node(parent)? {
            Node::Root => self
                .entries
                .iter()
                .find(|(_, (known, _))| known.as_str() == name)
                .map(|(inode, _)| *inode),
            Node::Directory(directory) => Attribute::ALL
                .into_iter()
                .find(|attribute| attribute.name() == name)
                .map(|attribute| directory + attribute.index()),
            Node::File(..) => None,
        }
    }

    fn list(&self, inode: u64) -> Option<Vec<(u64, FileType, String)>> {
        let mut list = vec![
            (inode, FileType::Directory, ".".to_owned()),
            (ROOT, FileType::Directory, "..".to_owned()),
        ];
        match self.node(inode)? {
            Node::Root => list.extend(
                self.entries
                    .iter()
                    .map(|(inode, (name, _))| (*inode, FileType::Directory, name.clone())),
            ),
            Node::Directory(directory) => {
                list.extend(Attribute::ALL.into_iter().map(|attribute| {
                    let inode = directory + attribute.index();
                    (inode, FileType::RegularFile, attribute.name().to_owned())
                }))
            }
            Node::File(..) => return None,
        }
        Some(list)
    }
}

impl Filesystem for Files {
    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let state = self.state();
        let found = state.lookup(parent.0, name);
        match found.and_then(|inode| Some((inode, state.node(inode)?))) {
            Some((inode, node)) => {
                reply.entry(&TTL, &self.attributes(inode, &node), Generation(0));
            }
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(
        &self,
        _request: &Request,
        inode: INodeNo,
        _handle: Option<FileHandle>,
        reply: ReplyAttr,
    ) {
        match self.state().node(inode.0) {
            Some(node) => reply.attr(&TTL, &self.attributes(inode.0, &node)),
            None => reply.error(Errno::ENOENT),
        }
    }

    /// Truncation, which a shell's `>` asks for, does nothing, as in configfs.
    fn setattr(
        &self,
        request: &Request,
        inode: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        _size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        handle: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        if mode.is_some() || uid.is_some() || gid.is_some() {
            return reply.error(Errno::EPERM);
        }
        self.getattr(request, inode, handle, reply);
    }

    fn mkdir(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        let mut state = self.state();
        if parent.0 != ROOT {
            return reply.error(Errno::EPERM);
        }
        let Some(name) = name.to_str() else { return reply.error(Errno::EINVAL) };
        if state.lookup(ROOT, OsStr::new(name)).is_some() {
            return reply.error(Errno::EEXIST);
        }
        if state.entries.len() >= MAX_ENTRIES {
            return reply.error(Errno::ENOMEM);
        }
        // Never used again: an open file of a removed directory stays dead.
        state.next_entry += STRIDE;
        let inode = state.next_entry;
        state.entries.insert(inode, (name.to_owned(), Entry::default()));
        reply.entry(&TTL, &self.attributes(inode, &Node::Directory(inode)), Generation(0));
    }

    fn rmdir(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let mut state = self.state();
        if parent.0 != ROOT {
            return reply.error(Errno::EPERM);
        }
        match state.lookup(ROOT, name) {
            Some(inode) => {
                state.entries.remove(&inode);
                reply.ok();
            }
            None => reply.error(Errno::ENOENT),
        }
    }

    fn unlink(&self, _request: &Request, _parent: INodeNo, _name: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EPERM);
    }

    fn rename(
        &self,
        _request: &Request,
        _parent: INodeNo,
        _name: &OsStr,
        _new_parent: INodeNo,
        _new_name: &OsStr,
        _flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::EPERM);
    }

    fn open(&self, _request: &Request, inode: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let mut state = self.state();
        let Some(Node::File(directory, attribute)) = state.node(inode.0) else {
            return reply.error(Errno::ENOENT);
        };
        if state.open.len() >= MAX_OPEN {
            return reply.error(Errno::ENFILE);
        }
        state.next_handle += 1;
        let handle = state.next_handle;
        state.open.insert(handle, Open { directory, attribute, filled: None, written: None });
        reply.opened(FileHandle(handle), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _request: &Request,
        _inode: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.read_bytes(handle.0) {
            Ok(content) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
                let rest = content.get(start..).unwrap_or_default();
                let length = usize::try_from(size).unwrap_or(usize::MAX).min(rest.len());
                reply.data(rest.get(..length).unwrap_or_default());
            }
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _request: &Request,
        _inode: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.write_bytes(handle.0, offset, data) {
            Ok(written) => reply.written(written),
            Err(error) => reply.error(error),
        }
    }

    fn flush(
        &self,
        _request: &Request,
        _inode: INodeNo,
        handle: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        self.store_blob(handle.0);
        reply.ok();
    }

    fn release(
        &self,
        _request: &Request,
        _inode: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.store_blob(handle.0);
        self.state().open.remove(&handle.0);
        reply.ok();
    }

    fn readdir(
        &self,
        _request: &Request,
        inode: INodeNo,
        _handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let Some(list) = self.state().list(inode.0) else { return reply.error(Errno::ENOTDIR) };
        let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
        for ((inode, kind, name), next) in list.into_iter().zip(1..).skip(skipped) {
            if reply.add(INodeNo(inode), next, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _request: &Request, _inode: INodeNo, reply: ReplyStatfs) {
        reply.statfs(0, 0, 0, 0, 0, 4096, 255, 4096);
    }
}
