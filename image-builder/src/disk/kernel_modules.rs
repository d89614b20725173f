//! Puts a kernel's modules into a tree on its way: those of the kernel that the VM is started
//! with, which is not the one that the tree was installed with.

use std::fs::{self, File};
use std::io::{self, Cursor, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::BuildError;
use super::fs::{Tools, depmod};
use super::source::Opening;
use super::tree::{
    Directory, Entry, Kind, Note, Shown, Sink, Tarball, Time, TreeError, damaged, plain,
};
use crate::kernel::{KernelFileError, Package};
use crate::modules::{ModuleError, ModuleTree};

/// The most bytes of a package's modules. (Debian's have 500 MB.)
const MAX_MODULES: u64 = 8 << 30;

/// Where modules come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModuleSource {
    /// A kernel's module directory, `…/lib/modules/VERSION`, with its lists.
    Directory(PathBuf),
    /// A package of a kernel (deb, rpm). Its lists are made by `depmod`, as its installation would.
    Package(PathBuf),
}

impl ModuleSource {
    /// By what lies at a path.
    #[must_use]
    pub fn detect(path: &Path) -> ModuleSource {
        if path.is_dir() {
            ModuleSource::Directory(path.to_owned())
        } else {
            ModuleSource::Package(path.to_owned())
        }
    }
}

/// Why modules cannot be put in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddModulesError {
    /// The directory is none of a kernel's modules.
    #[error(transparent)]
    Tree(#[from] ModuleError),
    /// The package cannot be read.
    #[error(transparent)]
    Package(#[from] KernelFileError),
    /// The package has no modules, or of several kernels.
    #[error("{}: has the modules of {found}, not of one kernel", .path.display())]
    Kernels {
        /// The package.
        path: PathBuf,
        /// What it has.
        found: String,
    },
    /// The modules lack their lists.
    #[error(
        "{}: has no modules.dep.bin, so that nothing would find the modules; run `depmod` for it, \
         or give the kernel's package", .path.display()
    )]
    NoLists {
        /// The directory.
        path: PathBuf,
    },
    /// A directory for the package's files cannot be used.
    #[error("a temporary directory cannot be used; is there enough room?")]
    Scratch(#[source] io::Error),
    /// The package unpacks to more than any.
    #[error("the modules of the package have more than {} GiB", MAX_MODULES >> 30)]
    Bomb,
}

/// Modules that are ready to be put in.
pub(super) struct Modules {
    release: String,
    directory: Directory,
    /// Removed when it is no longer needed.
    _unpacked: Option<tempfile::TempDir>,
}

impl Modules {
    pub(super) fn open(
        source: &ModuleSource,
        tools: &Tools,
        opening: &Opening<'_>,
    ) -> Result<Modules, BuildError> {
        let (path, unpacked) = match source {
            ModuleSource::Directory(path) => (path.clone(), None),
            ModuleSource::Package(path) => {
                opening.progress.stage("unpacking the kernel modules", None);
                let (path, unpacked) = unpack(path, tools)?;
                (path, Some(unpacked))
            }
        };
        let tree = ModuleTree::open(&path).map_err(AddModulesError::from)?;
        if !path.join("modules.dep.bin").is_file() {
            return Err(AddModulesError::NoLists { path }.into());
        }
        let release = tree.kernel().to_owned();
        Ok(Modules { release, directory: Directory::open(&path)?, _unpacked: unpacked })
    }
}

impl From<AddModulesError> for BuildError {
    fn from(error: AddModulesError) -> BuildError {
        BuildError::Modules(Box::new(error))
    }
}

/// The module directory of a package, in a directory of its own, with the lists made.
fn unpack(path: &Path, tools: &Tools) -> Result<(PathBuf, tempfile::TempDir), BuildError> {
    let package = Package::open(path).map_err(AddModulesError::from)?;
    let scratch = tempfile::tempdir().map_err(AddModulesError::Scratch)?;
    let modules = scratch.path().join("lib/modules");
    fs::create_dir_all(&modules).map_err(AddModulesError::Scratch)?;
    let mut unpacker = Unpacker { root: scratch.path().to_owned(), left: MAX_MODULES };
    match package {
        Package::Deb(tar) => {
            let name = path.display().to_string();
            let tar = plain(Box::new(Cursor::new(tar)));
            let plain = tar.map_err(|error| damaged(&name, 0, error))?;
            Tarball::plain(&name, plain).stream(|_| Ok(unpacker))?;
        }
        Package::Rpm(package) => {
            let mut files = package.files().map_err(AddModulesError::from)?;
            while let Some(path) = files.next_file().map_err(AddModulesError::from)? {
                unpacker.file(path.as_bytes(), &mut files)?;
            }
        }
    }
    let mut found: Vec<String> = fs::read_dir(&modules)
        .and_then(|list| {
            list.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
        })
        .map_err(AddModulesError::Scratch)?;
    found.sort();
    let [release] = found.as_slice() else {
        let found = if found.is_empty() { "no kernel".to_owned() } else { found.join(", ") };
        return Err(AddModulesError::Kernels { path: path.to_owned(), found }.into());
    };
    let directory = modules.join(release);
    if !directory.join("modules.dep.bin").is_file() {
        depmod(tools, scratch.path(), release)?;
    }
    Ok((directory, scratch))
}

/// Writes the files below `lib/modules` of a package, and nothing else of it, into a directory
/// that nobody else knows. As no link is made, no name leads out of it.
struct Unpacker {
    root: PathBuf,
    /// How many bytes may come.
    left: u64,
}

impl Unpacker {
    /// One file; its path leads nowhere else.
    fn file(&mut self, path: &[u8], content: &mut dyn Read) -> Result<(), AddModulesError> {
        let path = path.strip_prefix(b"usr/").unwrap_or(path);
        if !path.starts_with(b"lib/modules/") {
            return Ok(());
        }
        let to = self.root.join(std::ffi::OsStr::from_bytes(path));
        let parent = to.parent().map_or(Ok(()), fs::create_dir_all);
        let copied = parent.and_then(|()| {
            io::copy(&mut content.take(self.left.saturating_add(1)), &mut File::create_new(&to)?)
        });
        let copied = copied.map_err(AddModulesError::Scratch)?;
        self.left = self.left.checked_sub(copied).ok_or(AddModulesError::Bomb)?;
        Ok(())
    }
}

impl Sink for Unpacker {
    fn add(&mut self, entry: Entry, content: &mut dyn Read) -> Result<(), BuildError> {
        match entry.kind {
            Kind::File { .. } => Ok(self.file(&entry.path, content)?),
            Kind::Directory
            | Kind::Symlink { .. }
            | Kind::HardLink { .. }
            | Kind::CharacterDevice(_)
            | Kind::BlockDevice(_)
            | Kind::Fifo => Ok(()),
        }
    }

    fn note(&mut self, _: Note) {}
}

/// A sink that puts modules in behind all that comes.
pub(super) struct WithModules<S> {
    inner: S,
    modules: Option<Modules>,
    /// Whether `/lib` is a link to `/usr/lib`.
    merged: bool,
}

/// The links that a merged `/usr` has for `/lib`.
const MERGED: [&[u8]; 2] = [b"usr/lib", b"/usr/lib"];
/// The directories on the way, in either case.
const WAY: [&[u8]; 5] = [b"usr", b"usr/lib", b"usr/lib/modules", b"lib", b"lib/modules"];

impl<S: Sink> WithModules<S> {
    pub(super) fn new(inner: S, modules: Option<Modules>) -> WithModules<S> {
        WithModules { inner, modules, merged: false }
    }

    /// Puts the modules in; the sink below.
    pub(super) fn finish(self) -> Result<S, BuildError> {
        let Some(Modules { release, directory, _unpacked }) = self.modules else {
            return Ok(self.inner);
        };
        let lib = if self.merged { "usr/lib" } else { "lib" };
        let below = format!("{lib}/modules/{release}").into_bytes();
        let mut inner = self.inner;
        let placed = directory.stream(|root| {
            inner.add(put_in(root.clone(), below.clone()), &mut io::empty())?;
            Ok(Placed { inner, below })
        })?;
        Ok(placed.inner)
    }

    /// Refuses what would be in the way of the modules.
    fn check(merged: &mut bool, entry: &Entry, release: &str) -> Result<(), TreeError> {
        let refused = |problem| TreeError::Customize { path: entry.path.clone(), problem };
        if let Kind::Symlink { target } = &entry.kind
            && entry.path == b"lib"
            && MERGED.contains(&target.strip_suffix(b"/").unwrap_or(target))
        {
            *merged = true;
        } else if WAY.contains(&&entry.path[..]) && entry.kind != Kind::Directory {
            let what = match &entry.kind {
                Kind::Symlink { target } => format!("a link to {}", Shown(target)),
                Kind::Directory
                | Kind::File { .. }
                | Kind::HardLink { .. }
                | Kind::CharacterDevice(_)
                | Kind::BlockDevice(_)
                | Kind::Fifo => "no directory".to_owned(),
            };
            return Err(refused(format!("is {what}; modules are not put in through it")));
        }
        let path = entry.path.strip_prefix(b"usr/").unwrap_or(&entry.path);
        let kernel =
            path.strip_prefix(b"lib/modules/").and_then(|p| p.split(|b| *b == b'/').next());
        if kernel == Some(release.as_bytes()) {
            let problem = format!("has the modules of {release} already; leave --modules out");
            return Err(refused(problem));
        }
        Ok(())
    }
}

impl<S: Sink> Sink for WithModules<S> {
    fn add(&mut self, entry: Entry, content: &mut dyn Read) -> Result<(), BuildError> {
        if let Some(modules) = &self.modules {
            Self::check(&mut self.merged, &entry, &modules.release)?;
        }
        self.inner.add(entry, content)
    }

    fn note(&mut self, note: Note) {
        self.inner.note(note);
    }
}

/// Puts a tree below a directory of another one.
struct Placed<S> {
    inner: S,
    below: Vec<u8>,
}

impl<S: Sink> Sink for Placed<S> {
    fn add(&mut self, mut entry: Entry, content: &mut dyn Read) -> Result<(), BuildError> {
        // They lead to the kernel's headers on the machine that it was built on.
        if [&b"build"[..], b"source"].contains(&&entry.path[..]) {
            return Ok(());
        }
        if let Kind::HardLink { target } = &mut entry.kind {
            *target = [&self.below[..], b"/", target].concat();
        }
        let path = [&self.below[..], b"/", &entry.path].concat();
        self.inner.add(put_in(entry, path), content)
    }

    fn note(&mut self, note: Note) {
        self.inner.note(note);
    }
}

/// Root's, readable by all, and of 1970: nothing of the machine where it was unpacked.
fn put_in(mut entry: Entry, path: Vec<u8>) -> Entry {
    entry.path = path;
    entry.meta.mode = if entry.kind == Kind::Directory { 0o755 } else { 0o644 };
    (entry.meta.uid, entry.meta.gid) = (0, 0);
    entry.meta.mtime = Time::default();
    entry.xattrs.clear();
    entry
}
