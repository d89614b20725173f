//! The tree that layers make, one applied over the other.
//!
//! Format: OCI image specification 1.1, "Image Layer Filesystem Changeset". A whiteout hides
//! what lower layers have, and nothing of its own layer, wherever in the tar it stands.
//!
//! A directory of a member's path may be a symbolic link: it is followed, as container
//! runtimes do it, but inside of the root; nothing is looked up in the file system of the
//! machine.

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;

use crate::disk::tree::{Entry, Kind, MAX_PATH, Meta, TreeError, check_path};

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// What aufs kept for itself, at the top of old layers.
const AUFS: &[u8] = b".wh..wh.";
/// The most symbolic links on the way to a member (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// What is kept in memory at most.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// Members of all layers, implied directories included.
    pub(super) members: u64,
    /// Bytes of their paths (where they are, links followed), link targets (once more each
    /// time that one is followed) and attributes.
    pub(super) bytes: u64,
}

/// A member of the tree without its name.
pub(super) struct Inode {
    pub(super) kind: Kind,
    pub(super) meta: Meta,
    pub(super) xattrs: Box<[(String, Vec<u8>)]>,
    /// Where a file's content is, see [`Stored`].
    pub(super) stored: Stored,
    /// How many names it has.
    pub(super) names: u32,
}

/// Where the content of a file is in the unpacked layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stored {
    /// Where it begins; of a file with holes, where its member begins.
    pub(super) offset: u64,
    pub(super) holes: bool,
}

#[derive(Clone, Copy)]
struct Name {
    inode: u32,
    /// The last layer that has it, or something below it.
    layer: u32,
}

/// Why a layer is not applied.
pub(super) enum Refused {
    Tree(TreeError),
    TooMany,
}

impl From<TreeError> for Refused {
    fn from(error: TreeError) -> Refused {
        Refused::Tree(error)
    }
}

/// The tree.
pub(super) struct Merged {
    pub(super) root: Entry,
    /// By [`key`] of the path: what is below a directory comes right after it.
    names: BTreeMap<Box<[u8]>, Name>,
    inodes: Vec<Inode>,
    layer: u32,
    /// What the current layer has hidden: once is enough.
    hidden: HashSet<Vec<u8>>,
    left: Limits,
}

impl Merged {
    pub(super) fn new(limits: Limits) -> Merged {
        Merged {
            root: Entry::implied_directory(Vec::new()),
            names: BTreeMap::new(),
            inodes: Vec::new(),
            layer: 0,
            hidden: HashSet::new(),
            left: limits,
        }
    }

    /// Begins the next layer.
    pub(super) fn next_layer(&mut self) {
        self.layer = self.layer.saturating_add(1);
        self.hidden.clear();
    }

    /// Applies a member of the current layer.
    pub(super) fn apply(&mut self, entry: Entry, stored: Stored) -> Result<(), Refused> {
        check_path(&entry.path)?;
        let xattrs =
            entry.xattrs.iter().map(|(name, value)| name.len().saturating_add(value.len()));
        self.spend(1, entry.path.len().saturating_add(xattrs.sum()))?;
        if entry.path.is_empty() {
            self.root = entry;
            return Ok(());
        }
        if entry.path.starts_with(AUFS) && entry.path != OPAQUE {
            return Ok(());
        }
        let (directory, name) = split(&entry.path);
        if has_whiteout(directory) {
            let problem = "lies below a name that begins with .wh., which hides others";
            return Err(TreeError::Member { path: entry.path, problem }.into());
        }
        let resolved = self.resolve(directory, &entry.path);
        if matches!(resolved, Err(Refused::Tree(TreeError::NotADirectory { .. })))
            && name.starts_with(WHITEOUT)
        {
            // umoci hides the files of a directory that became a file, below that file.
            return Ok(());
        }
        let directory = resolved?;
        // A link may lead to a longer path, and that one is kept.
        self.spend(0, directory.len().saturating_sub(entry.path.len()))?;
        if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            return self.hide(&directory, name, hidden).map_err(|problem| {
                Refused::Tree(TreeError::Member { path: entry.path.clone(), problem })
            });
        }
        let path = join(&directory, name);
        check_path(&path)?;
        let inode = match &entry.kind {
            Kind::HardLink { target } => Some(self.link_target(target, &entry.path)?),
            Kind::Symlink { target } => {
                if target.len() > MAX_PATH || target.is_empty() {
                    return Err(TreeError::TooLong { path: entry.path }.into());
                }
                if target.contains(&0) {
                    let problem = "is a symbolic link to a path with a zero byte";
                    return Err(TreeError::Member { path: entry.path, problem }.into());
                }
                self.spend(0, target.len())?;
                None
            }
            Kind::Directory
            | Kind::File { .. }
            | Kind::CharacterDevice(_)
            | Kind::BlockDevice(_)
            | Kind::Fifo => None,
        };
        self.parents(&path)?;
        if let Some(inode) = inode {
            // First, so that a link to itself keeps its file.
            self.add_name(inode);
            self.place(&path, inode);
            return Ok(());
        }
        let new = |entry: Entry| Inode {
            kind: entry.kind,
            meta: entry.meta,
            xattrs: entry.xattrs.into(),
            stored,
            names: 0,
        };
        if entry.kind == Kind::Directory
            && let Some(name) = self.names.get_mut(&key(&path)[..])
            && let Some(old) = self.inodes.get_mut(name.inode as usize)
            && old.kind == Kind::Directory
        {
            name.layer = self.layer;
            *old = Inode { names: 1, ..new(entry) };
            return Ok(());
        }
        let inode = self.add_inode(new(entry))?;
        self.add_name(inode);
        self.place(&path, inode);
        Ok(())
    }

    /// The members in order, each directory before its content, with the number of its inode.
    pub(super) fn members(&self) -> impl Iterator<Item = (Vec<u8>, u32, &Inode)> {
        self.names.iter().filter_map(|(key, name)| {
            let inode = self.inodes.get(name.inode as usize)?;
            Some((path(key), name.inode, inode))
        })
    }

    /// What a path leads to, through all symbolic links.
    pub(super) fn look_up(&self, path: &[u8]) -> Option<&Inode> {
        self.inode(&self.walk(path, &mut 0).ok()?)
    }

    /// Whether a member lies in a directory, and hides nothing.
    pub(super) fn is_in_place(&self, path: &[u8]) -> bool {
        let (directory, name) = split(path);
        let in_directory =
            directory.is_empty() || self.inode(directory).is_some_and(Inode::is_directory);
        in_directory && !name.is_empty() && !name.starts_with(WHITEOUT)
    }

    fn spend(&mut self, members: u64, bytes: usize) -> Result<(), Refused> {
        let left = self.left.members.checked_sub(members);
        let left = left.zip(self.left.bytes.checked_sub(bytes as u64));
        let (members, bytes) = left.ok_or(Refused::TooMany)?;
        self.left = Limits { members, bytes };
        Ok(())
    }

    fn inode(&self, path: &[u8]) -> Option<&Inode> {
        self.inodes.get(self.names.get(&key(path)[..])?.inode as usize)
    }

    /// The directory that a path of a layer means.
    fn resolve(&mut self, directory: &[u8], member: &[u8]) -> Result<Vec<u8>, Refused> {
        // A directory that is there under this very path has no links on its way.
        if directory.is_empty() || self.inode(directory).is_some_and(Inode::is_directory) {
            return Ok(directory.to_vec());
        }
        let mut followed = 0;
        let found = self.walk(directory, &mut followed);
        self.spend(0, followed)?;
        let found = found.map_err(|lost| match lost {
            Lost::NotADirectory(parent) => {
                TreeError::NotADirectory { path: member.to_vec(), parent }
            }
            Lost::Links => {
                let problem = "lies below a symbolic link that leads to itself, or too far";
                TreeError::Member { path: member.to_vec(), problem }
            }
        })?;
        if has_whiteout(&found) {
            let problem = "lies below a symbolic link to the name of a whiteout";
            return Err(TreeError::Member { path: member.to_vec(), problem }.into());
        }
        if !found.is_empty() && self.inode(&found).is_some_and(|inode| !inode.is_directory()) {
            return Err(TreeError::NotADirectory { path: member.to_vec(), parent: found }.into());
        }
        Ok(found)
    }

    /// Follows all symbolic links of a path; `followed` is how many bytes they have.
    fn walk(&self, path: &[u8], followed: &mut usize) -> Result<Vec<u8>, Lost> {
        let mut done = Vec::new();
        let mut todo: Vec<&[u8]> = path.rsplit(|&byte| byte == b'/').collect();
        let mut links = 0;
        while let Some(part) = todo.pop() {
            match part {
                b"" | b"." => continue,
                b".." => {
                    done.truncate(done.iter().rposition(|&byte| byte == b'/').unwrap_or(0));
                    continue;
                }
                _ => {}
            }
            let at = join(&done, part);
            if at.len() > MAX_PATH {
                return Err(Lost::Links);
            }
            match self.inode(&at).map(|inode| &inode.kind) {
                Some(Kind::Symlink { target }) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Lost::Links);
                    }
                    *followed = followed.saturating_add(target.len());
                    if target.starts_with(b"/") {
                        done.clear();
                    }
                    todo.extend(target.rsplit(|&byte| byte == b'/'));
                }
                Some(Kind::Directory) | None => done = at,
                Some(_) if todo.is_empty() => done = at,
                Some(_) => return Err(Lost::NotADirectory(at)),
            }
        }
        Ok(done)
    }

    /// The inode that a hard link names.
    fn link_target(&mut self, target: &[u8], path: &[u8]) -> Result<u32, Refused> {
        let lost = || TreeError::LinkTarget { path: path.to_vec(), target: target.to_vec() };
        let (directory, name) = split(target);
        let found = join(&self.resolve(directory, path)?, name);
        let inode = self.names.get(&key(&found)[..]).ok_or_else(lost)?.inode;
        let is_directory = self.inodes.get(inode as usize).is_none_or(Inode::is_directory);
        if is_directory { Err(lost().into()) } else { Ok(inode) }
    }

    /// Applies a whiteout in a directory.
    fn hide(&mut self, directory: &[u8], name: &[u8], hidden: &[u8]) -> Result<(), &'static str> {
        if name == OPAQUE {
            if self.hidden.insert(join(directory, OPAQUE)) {
                self.remove_lower_below(directory);
            }
            return Ok(());
        }
        if hidden.is_empty() || hidden == b"." || hidden == b".." || hidden.starts_with(WHITEOUT) {
            return Err("hides a name that no file has");
        }
        let path = join(directory, hidden);
        let Some(found) = self.names.get(&key(&path)[..]) else { return Ok(()) };
        if found.layer < self.layer {
            self.remove(&path);
        } else if self.hidden.insert(path.clone()) {
            self.remove_lower_below(&path);
        }
        Ok(())
    }

    /// Removes what lower layers have below a directory. What has something of this layer
    /// below it belongs to this layer, see [`Merged::parents`].
    fn remove_lower_below(&mut self, directory: &[u8]) {
        let layer = self.layer;
        self.remove_below(directory, |name| name.layer < layer);
    }

    /// Removes a path, and everything below it.
    fn remove(&mut self, path: &[u8]) {
        let removed = self.names.remove(&key(path)[..]);
        self.is_gone(path, removed);
    }

    /// Gives a path to an inode, in place of what has it.
    fn place(&mut self, path: &[u8], inode: u32) {
        let replaced = self.names.insert(key(path).into(), Name { inode, layer: self.layer });
        self.is_gone(path, replaced);
    }

    /// What was below a name that is gone is gone too.
    fn is_gone(&mut self, path: &[u8], name: Option<Name>) {
        let Some(name) = name else { return };
        let was_directory = self.inodes.get(name.inode as usize).is_some_and(Inode::is_directory);
        self.remove_name(name.inode);
        if was_directory {
            self.remove_below(path, |_| true);
        }
    }

    fn remove_below(&mut self, directory: &[u8], removed: impl Fn(&Name) -> bool) {
        let bounds: (Bound<Box<[u8]>>, _) = if directory.is_empty() {
            (Bound::Unbounded, Bound::Unbounded)
        } else {
            let directory = key(directory);
            let end = |byte: u8| Bound::Excluded([&directory[..], &[byte]].concat().into());
            (end(0), end(1))
        };
        let gone: Vec<u32> = self
            .names
            .extract_if(bounds, |_, name| removed(name))
            .map(|(_, name)| name.inode)
            .collect();
        for inode in gone {
            self.remove_name(inode);
        }
    }

    /// Makes sure that the directories on the way are there, and that they belong to this layer.
    fn parents(&mut self, path: &[u8]) -> Result<(), Refused> {
        let mut path = path;
        loop {
            (path, _) = split(path);
            if path.is_empty() {
                return Ok(());
            }
            let layer = self.layer;
            match self.names.get_mut(&key(path)[..]) {
                // Then so do those above it.
                Some(name) if name.layer == layer => return Ok(()),
                Some(name) => name.layer = layer,
                None => {
                    self.spend(1, path.len())?;
                    let Entry { kind, meta, .. } = Entry::implied_directory(Vec::new());
                    let (xattrs, stored) = (Box::default(), Stored::default());
                    let inode = self.add_inode(Inode { kind, meta, xattrs, stored, names: 1 })?;
                    self.place(path, inode);
                }
            }
        }
    }

    fn add_inode(&mut self, inode: Inode) -> Result<u32, Refused> {
        let number = u32::try_from(self.inodes.len()).map_err(|_too_many| Refused::TooMany)?;
        self.inodes.push(inode);
        Ok(number)
    }

    fn add_name(&mut self, inode: u32) {
        if let Some(inode) = self.inodes.get_mut(inode as usize) {
            inode.names = inode.names.saturating_add(1);
        }
    }

    fn remove_name(&mut self, inode: u32) {
        if let Some(inode) = self.inodes.get_mut(inode as usize) {
            inode.names = inode.names.saturating_sub(1);
        }
    }
}

impl Inode {
    fn is_directory(&self) -> bool {
        self.kind == Kind::Directory
    }
}

/// Why a path leads nowhere.
enum Lost {
    /// This part of it is something else.
    NotADirectory(Vec<u8>),
    Links,
}

/// A path with zeros for its slashes, which sorts a directory's content before its siblings.
fn key(path: &[u8]) -> Vec<u8> {
    replaced(path, b'/', 0)
}

/// The path of a key.
fn path(key: &[u8]) -> Vec<u8> {
    replaced(key, 0, b'/')
}

fn replaced(bytes: &[u8], from: u8, to: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for byte in &mut bytes {
        if *byte == from {
            *byte = to;
        }
    }
    bytes
}

/// Whether a part of a path is the name of a whiteout.
fn has_whiteout(path: &[u8]) -> bool {
    path.split(|&byte| byte == b'/').any(|part| part.starts_with(WHITEOUT))
}

/// Directory and name of a path.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => {
            let (directory, name) = path.split_at(slash);
            (directory, name.get(1..).unwrap_or_default())
        }
        None => (b"", path),
    }
}

fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() { name.to_vec() } else { [directory, b"/", name].concat() }
}
