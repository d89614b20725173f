//! Extended attributes of an ext4 that mke2fs does not take from a tar: all but capabilities.
//!
//! They are set in the finished file system by `debugfs`, in the order of the tree, and then read
//! back, because `debugfs` says nothing about what went wrong.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Seek, Write};
use std::path::Path;

use protocol::config::FsType;

use super::{Debugfs, Settings, is_known_attribute, scratch};
use crate::disk::tree::{Members, Note, Notes, TreeError};
use crate::disk::{BuildError, Ext4, Ext4Error, ImportError, Xattrs};
use crate::output;

/// The one that mke2fs takes.
const TAKEN: &str = "security.capability";
/// Attributes, and different values of them, that are set by one run of `debugfs`.
const BATCH: usize = 4096;
const VALUES: usize = 64;

/// Whether ext4 has such an attribute, and `debugfs` can be told its name.
pub(super) fn takes(name: &str) -> bool {
    is_known_attribute(name) && !name.contains(|c: char| c.is_control() || c == '"')
}

/// Sets the attributes that the canonical tar in `stream` has in the file system in `image`.
pub(super) fn complete(
    stream: &File,
    image: &File,
    settings: &Settings<'_>,
    beside: &Path,
    notes: &mut Notes,
) -> Result<(), BuildError> {
    let mut input = stream;
    input.rewind().map_err(scratch)?;
    let mut members = Members::new(BufReader::with_capacity(1 << 18, input));
    let mut setter = Setter {
        image,
        settings,
        beside,
        places: Places::default(),
        batch: Vec::new(),
        values: HashMap::new(),
    };
    while let Some(member) = members.next().map_err(scratch)? {
        for (key, value) in member.records {
            let name = key.strip_prefix("SCHILY.xattr.").filter(|name| *name != TAKEN);
            let Some(name) = name else { continue };
            let path = member.path.strip_suffix(b"/").unwrap_or(&member.path);
            let path = if path == b"." { b"" } else { path };
            setter.add(path, name, value, notes)?;
        }
    }
    setter.flush(notes)
}

/// An attribute that is to be set.
struct Wanted {
    path: Vec<u8>,
    inode: u32,
    name: String,
    value: Vec<u8>,
}

struct Setter<'a> {
    image: &'a File,
    settings: &'a Settings<'a>,
    beside: &'a Path,
    places: Places,
    batch: Vec<Wanted>,
    /// A file without a name for each value.
    values: HashMap<Vec<u8>, File>,
}

impl Setter<'_> {
    fn add(
        &mut self,
        path: &[u8],
        name: &str,
        value: Vec<u8>,
        notes: &mut Notes,
    ) -> Result<(), BuildError> {
        if self.batch.len() >= BATCH || self.values.len() >= VALUES {
            self.flush(notes)?;
        }
        let inode =
            self.places.inode(self.image, path).map_err(|error| damaged(self.beside, error))?;
        if !self.values.contains_key(&value) {
            let mut file = output::scratch(self.beside)?;
            file.write_all(&value).map_err(scratch)?;
            self.values.insert(value.clone(), file);
        }
        self.batch.push(Wanted { path: path.to_vec(), inode, name: name.to_owned(), value });
        Ok(())
    }

    /// Sets what has been collected, and looks whether it is there.
    fn flush(&mut self, notes: &mut Notes) -> Result<(), BuildError> {
        let batch = std::mem::take(&mut self.batch);
        let values = std::mem::take(&mut self.values);
        if batch.is_empty() {
            return Ok(());
        }
        let wanted = batch.iter().filter_map(|wanted| {
            let value = values.get(&wanted.value)?;
            Some((wanted.inode, wanted.name.as_str(), value))
        });
        let debugfs = Debugfs::open(self.settings.tools, self.image)?;
        debugfs.set_attributes(wanted, self.settings.created)?;
        let fs = open(self.image).map_err(|error| damaged(self.beside, error))?;
        for Wanted { path, inode, name, value } in batch {
            let found = fs.inode(inode).and_then(|inode| fs.attributes(&inode));
            let found = found.map_err(|error| damaged(self.beside, error))?;
            if found.iter().any(|(known, set)| *known == name && *set == value) {
                continue;
            }
            match self.settings.xattrs {
                Xattrs::Keep => {
                    return Err(TreeError::Attribute { path, name, fs: FsType::Ext4 }.into());
                }
                Xattrs::Drop => notes.push(Note::AttributeDropped { path, name }),
            }
        }
        Ok(())
    }
}

fn open(image: &File) -> Result<Ext4<&File>, Ext4Error> {
    let bytes = image.metadata().map_err(|source| Ext4Error::Read { offset: 0, source })?.len();
    Ext4::open(image, bytes)
}

fn damaged(path: &Path, source: Ext4Error) -> BuildError {
    ImportError::Ext4 { path: path.to_owned(), source }.into()
}

/// The names in the directories on the way to the last path that was looked up.
#[derive(Default)]
struct Places {
    /// Each is below the one before.
    directories: Vec<Names>,
}

/// What is in a directory.
struct Names {
    directory: Vec<u8>,
    inodes: HashMap<Vec<u8>, u32>,
}

impl Places {
    /// The inode of a path in the file system.
    fn inode(&mut self, image: &File, path: &[u8]) -> Result<u32, Ext4Error> {
        let mut number = Ext4::<&File>::ROOT;
        if path.is_empty() {
            return Ok(number);
        }
        let mut at: Vec<u8> = Vec::new();
        for (depth, name) in path.split(|byte| *byte == b'/').enumerate() {
            if self.directories.get(depth).is_none_or(|names| names.directory != at) {
                self.directories.truncate(depth);
                let fs = open(image)?;
                let names = fs.names(&fs.inode(number)?)?;
                let inodes = names.into_iter().collect();
                self.directories.push(Names { directory: at.clone(), inodes });
            }
            let found = self.directories.get(depth).and_then(|names| names.inodes.get(name));
            let problem = "a name that was written is not there";
            number = *found.ok_or(Ext4Error::Damaged { inode: number, problem })?;
            if !at.is_empty() {
                at.push(b'/');
            }
            at.extend(name);
        }
        Ok(number)
    }
}
