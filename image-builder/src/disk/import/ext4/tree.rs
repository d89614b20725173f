//! An ext4 as a tree: the same members, in the same order, as a directory with its content.

use std::collections::{HashMap, HashSet};
use std::io;
use std::vec::IntoIter;

use super::{Ext4, Ext4Error, Ext4Names, Inode};
use crate::disk::BuildError;
use crate::disk::import::{FileSystemImage, ImportError};
use crate::disk::tree::{Device, Entry, Kind, Meta, Note, Sink, Time, TreeError};

/// Where e2fsck puts what has lost its name: part of the file system rather than of the tree,
/// as long as it is empty.
const LOST_AND_FOUND: &[u8] = b"lost+found";

/// An ext4 that holds a tree.
pub(in crate::disk) struct Ext4Tree {
    fs: Ext4<FileSystemImage>,
}

impl Ext4Tree {
    pub(in crate::disk) fn open(image: FileSystemImage) -> Result<Self, ImportError> {
        let (bytes, path) = (image.size(), image.path().to_owned());
        let fs = Ext4::open(image, bytes).map_err(|source| ImportError::Ext4 { path, source })?;
        Ok(Self { fs })
    }

    pub(in crate::disk) fn stream<S: Sink>(
        self,
        open: impl FnOnce(&Entry) -> Result<S, BuildError>,
    ) -> Result<S, BuildError> {
        let mut walk = Walk { fs: &self.fs, linked: HashMap::new(), seen: HashSet::new() };
        let inode = walk.inode(b"", Ext4::<FileSystemImage>::ROOT)?;
        walk.seen.insert(inode.number);
        let mut names = walk.names(b"", &inode)?;
        walk.drop_empty_lost_and_found(&mut names);
        let root = walk.entry(Vec::new(), Kind::Directory, &inode)?;
        let mut sink = open(&root)?;
        walk.directories(names, &mut sink)?;
        Ok(sink)
    }
}

struct Walk<'a> {
    fs: &'a Ext4<FileSystemImage>,
    /// The first path of each file with several names.
    linked: HashMap<u32, Vec<u8>>,
    /// The files that may have no further name.
    seen: HashSet<u32>,
}

/// A directory that is being read.
struct Frame {
    names: IntoIter<(Vec<u8>, u32)>,
    /// Bytes of its path.
    length: usize,
}

impl Walk<'_> {
    fn directories(&mut self, names: Ext4Names, sink: &mut impl Sink) -> Result<(), BuildError> {
        let mut path = Vec::new();
        let mut frames = vec![Frame { names: names.into_iter(), length: 0 }];
        while let Some(frame) = frames.last_mut() {
            path.truncate(frame.length);
            let Some((name, number)) = frame.names.next() else {
                frames.pop();
                continue;
            };
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend(name);
            if let Some(names) = self.member(&path, number, sink)? {
                frames.push(Frame { names: names.into_iter(), length: path.len() });
            }
        }
        Ok(())
    }

    /// Gives a member to the sink; of a directory, the names in it.
    fn member(
        &mut self,
        path: &[u8],
        number: u32,
        sink: &mut impl Sink,
    ) -> Result<Option<Ext4Names>, BuildError> {
        let inode = self.inode(path, number)?;
        let is_directory = inode.is_directory();
        if inode.links > 1 && !is_directory {
            if let Some(target) = self.linked.get(&number) {
                let kind = Kind::HardLink { target: target.clone() };
                let entry =
                    Entry { path: path.to_vec(), kind, meta: meta(&inode), xattrs: Vec::new() };
                sink.add(entry, &mut io::empty())?;
                return Ok(None);
            }
            self.linked.insert(number, path.to_vec());
        } else if !self.seen.insert(number) {
            // A directory in two places would have no end.
            let problem = "it has more names than it says";
            return Err(failed(path, "its inode cannot be used", inode.damaged(problem)).into());
        }
        let device = || {
            let (major, minor) = inode.device();
            Device { major, minor }
        };
        let kind = match inode.kind() >> 12 {
            0o1 => Kind::Fifo,
            0o2 => Kind::CharacterDevice(device()),
            0o4 => Kind::Directory,
            0o6 => Kind::BlockDevice(device()),
            0o10 => Kind::File { size: inode.size },
            0o12 => Kind::Symlink {
                target: self
                    .fs
                    .target(&inode)
                    .map_err(|e| failed(path, "the symbolic link cannot be read", e))?,
            },
            0o14 => {
                sink.note(Note::SocketSkipped { path: path.to_vec() });
                return Ok(None);
            }
            _ => {
                let error = inode.damaged("it is of no kind");
                return Err(failed(path, "its inode cannot be used", error).into());
            }
        };
        let is_file = inode.is_file();
        let entry = self.entry(path.to_vec(), kind, &inode)?;
        if is_file {
            let content = self.fs.content(&inode);
            let mut content =
                content.map_err(|e| failed(path, "its content cannot be found", e))?;
            sink.add(entry, &mut content)?;
            return Ok(None);
        }
        sink.add(entry, &mut io::empty())?;
        is_directory.then(|| self.names(path, &inode)).transpose().map_err(BuildError::from)
    }

    fn inode(&self, path: &[u8], number: u32) -> Result<Inode, TreeError> {
        self.fs.inode(number).map_err(|e| failed(path, "its inode cannot be read", e))
    }

    fn names(&self, path: &[u8], inode: &Inode) -> Result<Ext4Names, TreeError> {
        self.fs.names(inode).map_err(|e| failed(path, "the directory cannot be listed", e))
    }

    fn entry(&self, path: Vec<u8>, kind: Kind, inode: &Inode) -> Result<Entry, TreeError> {
        let xattrs = self.fs.attributes(inode);
        let xattrs = xattrs.map_err(|e| failed(&path, "its attributes cannot be read", e))?;
        Ok(Entry { path, kind, meta: meta(inode), xattrs })
    }

    fn drop_empty_lost_and_found(&self, names: &mut Ext4Names) {
        names.retain(|(name, number)| {
            let is_empty = || {
                let inode = self.fs.inode(*number).ok()?;
                Some(inode.is_directory() && self.fs.names(&inode).ok()?.is_empty())
            };
            // One that cannot be read is kept, and refused when its turn comes.
            name != LOST_AND_FOUND || is_empty() != Some(true)
        });
    }
}

fn failed(path: &[u8], action: &'static str, error: Ext4Error) -> TreeError {
    let source = io::Error::new(io::ErrorKind::InvalidData, error);
    TreeError::Read { path: path.to_vec(), action, source }
}

fn meta(inode: &Inode) -> Meta {
    Meta {
        mode: inode.mode & 0o7777,
        uid: inode.uid,
        gid: inode.gid,
        mtime: Time::new(inode.seconds, inode.nanoseconds),
    }
}
