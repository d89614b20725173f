//! Where the parts of a container image are: the files of an image layout, or the members of
//! an archive.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use tar::EntryType;

use super::digest::Digest;
use super::documents::{Descriptor, MAX_DOCUMENT};
use super::error::ContainerError;
use crate::disk::tree::{Members, TreeError, damaged, normal};

/// The most members of an archive; an image has a few for each of its layers.
const MAX_MEMBERS: usize = 1 << 16;
/// The most symbolic links on the way to a part.
const MAX_LINKS: usize = 8;
/// The longest name of a part, in bytes.
const MAX_NAME: usize = 1024;

/// The parts of a container image, by name.
pub(super) struct Store {
    /// The image's file or directory, for messages.
    pub(super) name: String,
    place: Place,
}

enum Place {
    Directory(PathBuf),
    Archive { file: Arc<File>, members: HashMap<Vec<u8>, Part> },
}

enum Part {
    File { offset: u64, size: u64 },
    Link(Vec<u8>),
}

/// A part of a file.
#[derive(Clone)]
pub(super) struct Window {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Window {
    pub(super) fn new(file: Arc<File>, offset: u64, size: u64) -> Window {
        Window { file, at: offset, end: offset.saturating_add(size) }
    }

    pub(super) fn size(&self) -> u64 {
        self.end.saturating_sub(self.at)
    }
}

impl Read for Window {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.size()).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.file.read_at(buffer.get_mut(..most).unwrap_or_default(), self.at)?;
        self.at = self.at.saturating_add(count as u64);
        Ok(count)
    }
}

impl Store {
    pub(super) fn directory(path: &Path) -> Store {
        Store { name: path.display().to_string(), place: Place::Directory(path.to_owned()) }
    }

    /// Of a tar without compression.
    pub(super) fn archive(name: &str, file: File) -> Result<Store, TreeError> {
        let read = |source| TreeError::Open { path: name.into(), source };
        let size = file.metadata().map_err(read)?.len();
        let file = Arc::new(file);
        let mut members = HashMap::new();
        let window = Window::new(Arc::clone(&file), 0, size);
        let mut tar = Members::new(BufReader::with_capacity(1 << 16, window));
        loop {
            let next = tar.next().map_err(|error| damaged(name, tar.offset(), error))?;
            let Some(member) = next else { break };
            let kind = member.header.entry_type();
            let refused = |problem| TreeError::Member { path: member.path.clone(), problem };
            let path = normal(&member.path).filter(|path| path.len() <= MAX_NAME);
            let path = path.ok_or_else(|| refused("is no name of a container image's part"))?;
            let part = if kind.is_file() {
                Part::File { offset: tar.offset(), size: member.size }
            } else if kind.is_symlink() || kind.is_hard_link() {
                // A hard link's target is a path from the root, as if with a slash before it.
                let root: &[u8] = if kind == EntryType::Link { b"/" } else { b"" };
                Part::Link([root, &member.link].concat())
            } else if kind.is_dir() {
                continue;
            } else {
                return Err(refused("is neither file, link nor directory of a container image"));
            };
            if members.insert(path, part).is_some() {
                return Err(TreeError::Repeated { path: member.path });
            }
            if members.len() > MAX_MEMBERS {
                return Err(refused("is one of too many members for a container image"));
            }
        }
        Ok(Store { name: name.to_owned(), place: Place::Archive { file, members } })
    }

    /// The part, if it is there.
    pub(super) fn find(&self, part: &str) -> Result<Option<Window>, ContainerError> {
        let failed = |source| self.unreadable(part, source);
        match &self.place {
            Place::Directory(root) => {
                // A named pipe would wait for ever.
                let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
                let file = match rustix::fs::open(root.join(part), flags, Mode::empty()) {
                    Ok(file) => File::from(file),
                    Err(rustix::io::Errno::NOENT) => return Ok(None),
                    Err(error) => return Err(failed(error.into())),
                };
                let metadata = file.metadata().map_err(failed)?;
                if !metadata.is_file() {
                    return Err(failed(io::Error::other("it is not a regular file")));
                }
                Ok(Some(Window::new(Arc::new(file), 0, metadata.len())))
            }
            Place::Archive { file, members } => {
                let mut path = part.as_bytes().to_vec();
                for _ in 0..=MAX_LINKS {
                    match members.get(&path) {
                        None => return Ok(None),
                        Some(Part::File { offset, size }) => {
                            return Ok(Some(Window::new(Arc::clone(file), *offset, *size)));
                        }
                        Some(Part::Link(target)) => {
                            path = follow(&path, target).ok_or_else(|| {
                                failed(io::Error::other("it is a link out of the archive"))
                            })?;
                        }
                    }
                }
                Err(failed(io::Error::other("it is a link in a loop")))
            }
        }
    }

    /// The part; an error if it is not there.
    pub(super) fn open(&self, part: &str) -> Result<Window, ContainerError> {
        let missing = || ContainerError::Missing { name: self.name.clone(), part: part.to_owned() };
        self.find(part)?.ok_or_else(missing)
    }

    /// A small part.
    pub(super) fn document(&self, part: &str) -> Result<Vec<u8>, ContainerError> {
        let mut window = self.open(part)?;
        if window.size() > MAX_DOCUMENT {
            let (part, bytes) = (part.to_owned(), window.size());
            return Err(ContainerError::DocumentSize { part, bytes, most: MAX_DOCUMENT });
        }
        let mut bytes = Vec::new();
        window.read_to_end(&mut bytes).map_err(|source| self.unreadable(part, source))?;
        Ok(bytes)
    }

    /// The small blob that a descriptor names.
    pub(super) fn described(&self, descriptor: &Descriptor) -> Result<Vec<u8>, ContainerError> {
        let part = descriptor.digest.blob();
        let bytes = self.document(&part)?;
        check_size(&part, descriptor.size, bytes.len() as u64)?;
        self.check(&part, &descriptor.digest, &bytes[..])?;
        Ok(bytes)
    }

    /// Refuses a part that is not what its digest says.
    pub(super) fn check(
        &self,
        part: &str,
        digest: &Digest,
        content: impl Read,
    ) -> Result<(), ContainerError> {
        match digest.is_of(content).map_err(|source| self.unreadable(part, source))? {
            true => Ok(()),
            false => Err(ContainerError::Digest { part: part.to_owned() }),
        }
    }

    pub(super) fn unreadable(&self, part: &str, source: io::Error) -> ContainerError {
        ContainerError::Read { name: self.name.clone(), part: part.to_owned(), source }
    }
}

/// Refuses a part whose size is another one than its descriptor says.
pub(super) fn check_size(part: &str, expected: u64, found: u64) -> Result<(), ContainerError> {
    if expected == found {
        return Ok(());
    }
    Err(ContainerError::Size { part: part.to_owned(), expected, found })
}

/// Where a link leads in an archive; `None` if that is outside of it.
fn follow(link: &[u8], target: &[u8]) -> Option<Vec<u8>> {
    let mut path: Vec<&[u8]> = Vec::new();
    if !target.starts_with(b"/") {
        path = link.split(|&byte| byte == b'/').collect();
        path.pop();
    }
    for part in target.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(path.pop()?),
            _ => path.push(part),
        }
    }
    Some(path.join(&b'/'))
}
