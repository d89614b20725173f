//! The canonical tar stream: checks that a tree is one tree, applies what the
//! user chose, and writes what every mkfs tool reads the same way.
//!
//! Of every member it remembers 40 bytes, to know repeated names, missing
//! parents and the targets of hard links: 3.6 million members fit into 256 MiB.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};

use protocol::config::FsType;

use super::header::{encode, padding};
use super::{Entry, Kind, MAX_NAME, MAX_PATH, Meta, Note, Notes, Sink, TreeError};
use crate::disk::{BuildError, Owner, Xattrs};
use crate::progress::Progress;

/// What differs between the tools that read the stream.
#[derive(Clone, Copy)]
pub(crate) struct Dialect {
    pub(crate) fs: FsType,
    /// Whether the tool keeps fractions of a second.
    pub(crate) fractions: bool,
    /// Whether the tool takes the root's owner, mode and attributes from the stream.
    pub(crate) root_member: bool,
    /// Whether an attribute of this name arrives in the file system.
    pub(crate) takes_attribute: fn(&str) -> bool,
}

/// How members are changed on their way.
#[derive(Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) dialect: Dialect,
    pub(crate) owner: Owner,
    pub(crate) xattrs: Xattrs,
}

/// What a file system needs room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) inodes: u64,
    pub(crate) directories: u64,
    /// Bytes of all names.
    pub(crate) names: u64,
    /// Blocks of 4096 bytes that the content of files fills, each file by itself;
    /// symbolic links and attributes count one.
    pub(crate) blocks: u64,
    /// Whether something has other attributes than capabilities.
    pub(crate) has_attributes: bool,
}

/// Members that came before, by the hash of their path.
struct Seen {
    members: HashMap<u64, (Class, Meta)>,
    hasher: RandomState,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Directory,
    ImpliedDirectory,
    Other,
}

/// Writes members to `out`.
pub(crate) struct Canonical<'a, W> {
    out: W,
    rules: Rules,
    progress: &'a dyn Progress,
    seen: Seen,
    totals: Totals,
    notes: Notes,
    buffer: Vec<u8>,
}

impl<'a, W: Write> Canonical<'a, W> {
    /// Begins a stream with the tree's root.
    pub(crate) fn begin(
        root: &Entry,
        rules: Rules,
        out: W,
        progress: &'a dyn Progress,
    ) -> Result<Self, BuildError> {
        let seen = Seen { members: HashMap::new(), hasher: RandomState::new() };
        let (totals, notes) = (Totals::default(), Notes::default());
        let buffer = vec![0; 1 << 18];
        let mut canonical = Canonical { out, rules, progress, seen, totals, notes, buffer };
        let mut root = root.clone();
        canonical.adapt(&mut root)?;
        canonical.seen.insert(&root.path, Class::Directory, root.meta);
        canonical.count(&root);
        if rules.dialect.root_member {
            canonical.write(&encode(&root, rules.dialect.fractions))?;
        }
        Ok(canonical)
    }

    /// Writes the end marker.
    pub(crate) fn finish(mut self) -> Result<(Totals, Notes), BuildError> {
        self.write(&[0; 1024])?;
        self.out.flush().map_err(BuildError::Feed)?;
        Ok((self.totals, self.notes))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), BuildError> {
        self.out.write_all(bytes).map_err(BuildError::Feed)
    }

    /// The user's choices.
    fn adapt(&mut self, entry: &mut Entry) -> Result<(), BuildError> {
        if matches!(entry.kind, Kind::Symlink { .. }) {
            // Linux gives them no other mode, whatever a tar says.
            entry.meta.mode = 0o777;
        }
        (entry.meta.uid, entry.meta.gid) = self.rules.owner.map(entry.meta.uid, entry.meta.gid);
        let dialect = self.rules.dialect;
        let at_root = entry.path.is_empty() && !dialect.root_member;
        let lost = |name: &str| at_root || !(dialect.takes_attribute)(name);
        for (name, _) in entry.xattrs.iter().filter(|(name, _)| lost(name)) {
            let (path, name) = (entry.path.clone(), name.clone());
            match self.rules.xattrs {
                Xattrs::Keep => {
                    return Err(TreeError::Attribute { path, name, fs: dialect.fs }.into());
                }
                Xattrs::Drop => self.notes.push(Note::AttributeDropped { path, name }),
            }
        }
        entry.xattrs.retain(|(name, _)| !lost(name));
        Ok(())
    }

    /// Makes sure that the parent is there and is a directory.
    fn parents(&mut self, path: &[u8]) -> Result<(), BuildError> {
        let Some(cut) = path.iter().rposition(|&byte| byte == b'/') else { return Ok(()) };
        let parent = path.get(..cut).unwrap_or_default();
        match self.seen.find(parent) {
            Some((Class::Directory | Class::ImpliedDirectory, _)) => return Ok(()),
            Some((Class::Other, _)) => {
                let (path, parent) = (path.to_vec(), parent.to_vec());
                return Err(TreeError::NotADirectory { path, parent }.into());
            }
            None => {}
        }
        self.parents(parent)?;
        let entry = Entry::implied_directory(parent.to_vec());
        self.seen.insert(parent, Class::ImpliedDirectory, entry.meta);
        self.count(&entry);
        self.write(&encode(&entry, self.rules.dialect.fractions))
    }

    fn count(&mut self, entry: &Entry) {
        let totals = &mut self.totals;
        totals.names = totals.names.saturating_add(12).saturating_add(entry.path.len() as u64);
        let content = match &entry.kind {
            Kind::HardLink { .. } => return,
            Kind::Directory => {
                totals.directories = totals.directories.saturating_add(1);
                0
            }
            Kind::File { size } => size.div_ceil(4096),
            Kind::Symlink { .. } => 1,
            Kind::CharacterDevice(_) | Kind::BlockDevice(_) | Kind::Fifo => 0,
        };
        let attributes = u64::from(!entry.xattrs.is_empty());
        totals.has_attributes |= entry.xattrs.iter().any(|(name, _)| name != "security.capability");
        totals.inodes = totals.inodes.saturating_add(1);
        totals.blocks = totals.blocks.saturating_add(content).saturating_add(attributes);
    }

    /// Copies `size` bytes of a member's content to the stream.
    fn copy(&mut self, path: &[u8], size: u64, content: &mut dyn Read) -> Result<(), BuildError> {
        let mut left = size;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            let Some(buffer) = self.buffer.get_mut(..most) else { break };
            let count = match content.read(buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => {
                    let (path, action) = (path.to_vec(), "its content cannot be read");
                    return Err(TreeError::Read { path, action, source }.into());
                }
            };
            let Some(read) = buffer.get(..count).filter(|read| !read.is_empty()) else {
                return Err(TreeError::Short { path: path.to_vec() }.into());
            };
            self.out.write_all(read).map_err(BuildError::Feed)?;
            left = left.saturating_sub(count as u64);
            self.progress.advance(count as u64);
        }
        Ok(())
    }
}

impl<W: Write> Sink for Canonical<'_, W> {
    fn add(&mut self, mut entry: Entry, content: &mut dyn Read) -> Result<(), BuildError> {
        check_path(&entry.path)?;
        self.adapt(&mut entry)?;
        let class = if entry.kind == Kind::Directory { Class::Directory } else { Class::Other };
        match self.seen.find(&entry.path) {
            None => {}
            Some((Class::ImpliedDirectory, _)) if class == Class::Directory => {
                return Err(TreeError::LateDirectory { path: entry.path }.into());
            }
            Some(_) => return Err(TreeError::Repeated { path: entry.path }.into()),
        }
        self.parents(&entry.path)?;
        let mut size = 0;
        match &mut entry.kind {
            // mke2fs gives the inode the owner and mode of its last name.
            Kind::HardLink { target } => match self.seen.find(target) {
                Some((Class::Other, meta)) => {
                    entry.meta = meta;
                    entry.xattrs.clear();
                }
                Some(_) | None => {
                    let (path, target) = (entry.path, target.clone());
                    return Err(TreeError::LinkTarget { path, target }.into());
                }
            },
            Kind::Symlink { target } => {
                if target.len() > MAX_PATH || target.is_empty() {
                    return Err(TreeError::TooLong { path: entry.path }.into());
                }
            }
            Kind::File { size: bytes } => size = *bytes,
            Kind::Directory | Kind::CharacterDevice(_) | Kind::BlockDevice(_) | Kind::Fifo => {}
        }
        self.seen.insert(&entry.path, class, entry.meta);
        self.count(&entry);
        self.write(&encode(&entry, self.rules.dialect.fractions))?;
        self.copy(&entry.path, size, content)?;
        let zeros = [0; 512];
        self.write(zeros.get(..padding(size)).unwrap_or_default())
    }

    fn note(&mut self, note: Note) {
        self.notes.push(note);
    }
}

impl Seen {
    fn find(&self, path: &[u8]) -> Option<(Class, Meta)> {
        self.members.get(&self.hasher.hash_one(path)).copied()
    }

    fn insert(&mut self, path: &[u8], class: Class, meta: Meta) {
        self.members.insert(self.hasher.hash_one(path), (class, meta));
    }
}

/// Refuses a path that is too long for any file system.
pub(in crate::disk) fn check_path(path: &[u8]) -> Result<(), TreeError> {
    let fits = path.len() <= MAX_PATH && path.split(|&b| b == b'/').all(|n| n.len() <= MAX_NAME);
    if fits { Ok(()) } else { Err(TreeError::TooLong { path: path.to_vec() }) }
}

#[cfg(test)]
mod tests {
    use super::super::members::Members;
    use super::super::{Device, Time};
    use super::*;
    use crate::progress::Silent;

    const META: Meta =
        Meta { mode: 0o4755, uid: 7, gid: 8, mtime: Time { seconds: 5, nanoseconds: 6 } };

    fn rules(root_member: bool, xattrs: Xattrs) -> Rules {
        let takes_attribute = |name: &str| name.starts_with("user.");
        let dialect = Dialect { fs: FsType::Erofs, fractions: true, root_member, takes_attribute };
        Rules { dialect, owner: Owner::AsSeen, xattrs }
    }

    fn entry(path: &str, kind: Kind) -> Entry {
        Entry { path: path.into(), kind, meta: META, xattrs: vec![] }
    }

    fn root() -> Entry {
        Entry::implied_directory(vec![])
    }

    type Outcome = Result<(Vec<u8>, Totals, Notes), BuildError>;

    fn run(rules: Rules, root: &Entry, entries: Vec<Entry>) -> Outcome {
        let mut out = Vec::new();
        let mut canonical = Canonical::begin(root, rules, &mut out, &Silent)?;
        for entry in entries {
            canonical.add(entry, &mut &b"content"[..])?;
        }
        let (totals, notes) = canonical.finish()?;
        Ok((out, totals, notes))
    }

    fn refused(entries: Vec<Entry>) -> TreeError {
        match run(rules(true, Xattrs::Keep), &root(), entries) {
            Err(BuildError::Tree(error)) => error,
            other => panic!("{:?}", other.map(|_| ())),
        }
    }

    fn members(stream: &[u8]) -> Vec<(String, tar::EntryType, u32, Vec<u8>)> {
        let mut archive = tar::Archive::new(stream);
        let entries = archive.entries().unwrap();
        let read = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
            let mut entry = entry.unwrap();
            let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
            let (kind, mode) = (entry.header().entry_type(), entry.header().mode().unwrap());
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (path, kind, mode, content)
        };
        entries.map(read).collect()
    }

    #[test]
    fn parents_are_implied_once_and_links_repeat_their_target() {
        let entries = vec![
            entry("a/b/file", Kind::File { size: 7 }),
            entry("a/b/other", Kind::File { size: 3 }),
            Entry {
                meta: Meta { mode: 0, ..META },
                ..entry("a/link", Kind::HardLink { target: b"a/b/file".into() })
            },
            entry(&"n".repeat(255), Kind::CharacterDevice(Device { major: 1, minor: 3 })),
        ];
        let (stream, totals, _) = run(rules(true, Xattrs::Keep), &root(), entries).unwrap();
        use tar::EntryType as T;
        let none = Vec::new;
        assert_eq!(
            members(&stream),
            [
                ("./".to_owned(), T::Directory, 0o755, none()),
                ("a/".to_owned(), T::Directory, 0o755, none()),
                ("a/b/".to_owned(), T::Directory, 0o755, none()),
                ("a/b/file".to_owned(), T::Regular, 0o4755, b"content".to_vec()),
                ("a/b/other".to_owned(), T::Regular, 0o4755, b"con".to_vec()),
                ("a/link".to_owned(), T::Link, 0o4755, none()),
                ("n".repeat(255), T::Char, 0o4755, none()),
            ]
        );
        assert_eq!((totals.inodes, totals.directories, totals.blocks), (6, 3, 2));
    }

    #[test]
    fn what_is_no_tree_is_refused_by_name() {
        let file = || Kind::File { size: 7 };
        let dir = || Kind::Directory;
        let link = |target: &str| Kind::HardLink { target: target.into() };
        let error = refused(vec![entry("a", file()), entry("a", file())]);
        assert!(matches!(error, TreeError::Repeated { path } if path == b"a"));
        let error = refused(vec![entry("a", dir()), entry("a", dir())]);
        assert!(matches!(error, TreeError::Repeated { .. }));
        let error = refused(vec![entry("a/b", file()), entry("a", dir())]);
        assert!(matches!(error, TreeError::LateDirectory { path } if path == b"a"));
        let error = refused(vec![entry("a/b", file()), entry("a", file())]);
        assert!(matches!(error, TreeError::Repeated { .. }));
        let error = refused(vec![entry("a", file()), entry("a/b/c", file())]);
        assert!(matches!(error, TreeError::NotADirectory { parent, .. } if parent == b"a"));
        let error = refused(vec![entry("", dir())]);
        assert!(matches!(error, TreeError::Repeated { .. }));
        let error = refused(vec![entry("l", link("later")), entry("later", file())]);
        assert!(matches!(error, TreeError::LinkTarget { .. }));
        let error = refused(vec![entry("d", dir()), entry("l", link("d"))]);
        assert!(matches!(error, TreeError::LinkTarget { .. }));
        let error = refused(vec![entry("f", Kind::File { size: 8 })]);
        assert!(matches!(error, TreeError::Short { .. }));
        for long in ["n".repeat(256), "d/".repeat(2047) + "xx"] {
            assert!(matches!(refused(vec![entry(&long, file())]), TreeError::TooLong { .. }));
        }
        for target in [vec![], vec![b't'; 4096]] {
            let error = refused(vec![entry("s", Kind::Symlink { target })]);
            assert!(matches!(error, TreeError::TooLong { .. }));
        }
    }

    #[test]
    fn an_attribute_is_kept_refused_or_dropped_with_a_note() {
        let with = |path: &str, name: &str| Entry {
            xattrs: vec![("user.a".to_owned(), b"1=\n\0".to_vec()), (name.to_owned(), vec![0xff])],
            ..entry(path, Kind::File { size: 7 })
        };
        assert!(matches!(
            refused(vec![with("f", "system.x")]),
            TreeError::Attribute { name, .. } if name == "system.x"
        ));
        let root = Entry { xattrs: vec![("user.r".to_owned(), vec![1])], ..root() };
        let drop = rules(false, Xattrs::Drop);
        let (stream, _, notes) = run(drop, &root, vec![with("f", "system.x")]).unwrap();
        assert_eq!(
            notes.list,
            [
                Note::AttributeDropped { path: vec![], name: "user.r".into() },
                Note::AttributeDropped { path: b"f".to_vec(), name: "system.x".into() },
            ]
        );
        assert_eq!(members(&stream).len(), 1, "this tool takes no root member");
        let file = Members::new(&stream[..]).next().unwrap().unwrap();
        let expected: [(&str, &[u8]); 2] =
            [("mtime", b"5.000000006"), ("SCHILY.xattr.user.a", b"1=\n\0")];
        assert_eq!(file.records, expected.map(|(key, value)| (key.to_owned(), value.to_vec())));
        let strict = run(rules(false, Xattrs::Keep), &root, vec![]);
        assert!(matches!(strict, Err(BuildError::Tree(TreeError::Attribute { .. }))));
    }
}
