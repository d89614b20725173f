//! What the tests of root images share: trees with everything in them, the
//! tools, and the oracles.
//!
//! A missing oracle is a failure with its remedy, unless RAVELIN_SKIP_ORACLE=1,
//! which skips that comparison and says so.

#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test helper")]

use std::ffi::{CString, OsStr};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use image_builder::disk::{BuildError, Built, Make, Options, Source, Target, Tools, build};
use image_builder::progress::Silent;
use protocol::config::FsType;
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};

/// The file systems that can be made.
pub(crate) const MADE: [FsType; 3] = [FsType::Erofs, FsType::Squashfs, FsType::Ext4];

/// The path of a program that a test compares with; `None` only if the user said
/// that comparisons may be skipped.
pub(crate) fn oracle(name: &str, package: &str) -> Option<PathBuf> {
    // The file systems' checkers come with their mkfs tool.
    let tools = Tools::from_environment();
    let beside = [tools.mkfs_erofs, tools.mke2fs, tools.mksquashfs];
    let beside = beside.iter().flatten().filter_map(|tool| tool.parent());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let found = beside
        .map(Path::to_owned)
        .chain(std::env::split_paths(&path))
        .chain(system)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file());
    if found.is_none() {
        let remedy = format!("{name} is missing: install {package} (`cargo xtask setup`)");
        if std::env::var_os("RAVELIN_SKIP_ORACLE").is_none_or(|value| value != "1") {
            panic!("{remedy}, or set RAVELIN_SKIP_ORACLE=1 to go without");
        }
        eprintln!("SKIPPED: {remedy}");
    }
    found
}

/// Says that a comparison needs root; true for root.
pub(crate) fn is_root(what: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED: {what} needs root");
    }
    root
}

/// Runs a program that has to succeed; its output.
pub(crate) fn run(command: &mut Command) -> String {
    let output = output(command);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{text}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// Runs a program.
pub(crate) fn output(command: &mut Command) -> Output {
    command.env("LC_ALL", "C").env("TZ", "UTC").stdin(Stdio::null()).output().unwrap()
}

pub(crate) fn options(fs: FsType) -> Options {
    Options { make: Make::new(fs).unwrap(), tools: Tools::from_environment(), ..Options::default() }
}

pub(crate) fn disk(directory: &Path) -> Target {
    Target::Disk { path: directory.join("root.img") }
}

/// Builds `root.img` and `root.toml`.
pub(crate) fn build_disk(
    source: Source,
    options: &Options,
    into: &Path,
) -> Result<Built, BuildError> {
    build(source, options, &disk(into), &into.join("root.toml"), &Silent)
}

/// The file system alone, out of the disk's root partition.
pub(crate) fn extract_partition(built: &Built, into: &Path) -> PathBuf {
    let image_builder::disk::Layout::Disk(disk) = &built.sidecar.layout else { panic!("no disk") };
    let whole = fs::read(into.join("root.img")).unwrap();
    let start = usize::try_from(disk.root.offset).unwrap();
    let end = start + usize::try_from(disk.root.size).unwrap();
    let path = into.join("root.fs");
    fs::write(&path, &whole[start..end]).unwrap();
    path
}

pub(crate) fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// A tree with what makes trees difficult. What only root can make is there if
/// root runs the test.
pub(crate) fn odd_tree(root: &Path, fs: FsType) {
    let at = |name: &[u8]| root.join(OsStr::from_bytes(name));
    let file = |name: &[u8], content: &[u8], mode: u32| {
        fs::write(at(name), content).unwrap();
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    let dir = |name: &[u8], mode: u32| {
        fs::DirBuilder::new().recursive(true).create(at(name)).unwrap();
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    dir(b"etc", 0o755);
    dir(b"tmp", 0o1777);
    dir(b"empty", 0o700);
    dir(b"setgid", 0o2775);
    dir(b"a.b", 0o755);
    dir(b"a", 0o755);
    file(b"a/z", b"sorted before a.b", 0o644);
    file(b"etc/empty", b"", 0o600);
    file(b"etc/one", b"1", 0o444);
    file(b"etc/block", &[b'b'; 4096], 0o644);
    file(b"etc/more", &[b'm'; 4097], 0o640);
    let noise: Vec<u8> = (0..3_000_000_u32).flat_map(|n| n.wrapping_mul(n).to_le_bytes()).collect();
    file(b"etc/large", &noise[..5_000_001], 0o644);
    file(b"su", b"#!", 0o4755);
    file(b"sg", b"#!", 0o2755);
    file(b"etc/bits", b"", 0o7777);
    if rustix::process::geteuid().is_root() {
        // Nobody else can read it, so nobody else can make an image of it.
        file(b"etc/none", b"x", 0);
    }
    // Names that tools trip over.
    for name in [
        &b"new\nline"[..],
        b"tab\there",
        b" space ",
        b"-n",
        b"--help",
        b"back\\slash",
        b"quote'\"",
        b"glob*?[",
        b"percent%s",
        b"...",
        b"\xff\xfe not UTF-8",
        "umläut-\u{1f980}".as_bytes(),
        b".wh.whiteout",
        b"=equals",
        &[b'n'; 255],
        &[0xfe; 255],
    ] {
        file(&[b"a/", name].concat(), name, 0o644);
    }
    // A path of more than 100 and of more than 256 bytes.
    let mut deep = b"deep".to_vec();
    for _ in 0..6 {
        deep.push(b'/');
        deep.extend([b'd'; 99]);
    }
    dir(&deep, 0o711);
    file(&[&deep[..], b"/file"].concat(), b"deep down", 0o644);
    // Links.
    symlink("../etc", at(b"a/relative")).unwrap();
    symlink("/nowhere", at(b"dangling")).unwrap();
    symlink(OsStr::from_bytes(&[b't'; 3000]), at(b"long")).unwrap();
    symlink(OsStr::from_bytes(&[b's'; 59]), at(b"short")).unwrap();
    symlink(OsStr::from_bytes(b"\xff\n"), at(b"odd")).unwrap();
    fs::hard_link(at(b"su"), at(b"a/su")).unwrap();
    fs::hard_link(at(b"su"), at(b"zz su")).unwrap();
    fs::hard_link(at(b"a/\xff\xfe not UTF-8"), at(b"etc/linked")).unwrap();
    rustix::fs::linkat(CWD, at(b"dangling"), CWD, at(b"a/dangling"), AtFlags::empty()).unwrap();
    let pipe = CString::new(at(b"pipe").as_os_str().as_bytes()).unwrap();
    rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o622), 0).unwrap();
    if rustix::process::geteuid().is_root() {
        for (name, kind, major, minor) in [
            ("null", FileType::CharacterDevice, 1, 3),
            ("sda", FileType::BlockDevice, 8, 0),
            ("large", FileType::CharacterDevice, 300, 70000),
            ("whiteout", FileType::CharacterDevice, 0, 0),
        ] {
            let device = rustix::fs::makedev(major, minor);
            let path = at(name.as_bytes());
            let path = if name == "large" { at(b"large device") } else { path };
            rustix::fs::mknodat(CWD, path, kind, Mode::from_raw_mode(0o660), device).unwrap();
        }
        let own = |name: &[u8], uid, gid| {
            let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
            rustix::fs::chownat(CWD, at(name), uid, gid, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        };
        own(b"", 5, 6);
        own(b"etc/one", 1000, 1000);
        own(b"tmp", 3_000_000, 70_000);
        own(b"etc/more", u32::MAX - 1, u32::MAX - 1);
        own(b"long", 7, 8);
        // A change of owner takes the bits away.
        fs::set_permissions(root, fs::Permissions::from_mode(0o751)).unwrap();
        fs::set_permissions(at(b"tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
        let capability: &[u8] = &[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        xattr(&at(b"etc/block"), "security.capability", capability);
        if fs != FsType::Ext4 {
            xattr(&at(b"etc/more"), "trusted.test", b"trusted");
            xattr(&at(b"long"), "trusted.on-a-link", b"1");
        }
    }
    if fs != FsType::Ext4 {
        xattr(&at(b"etc/more"), "user.binary", b"\xff\n\0=1\n11 path=bad\n");
        xattr(&at(b"etc/more"), "user.empty", b"");
        xattr(&at(b"tmp"), "user.large", &[b'v'; 2000]);
    }
    if fs == FsType::Erofs {
        xattr(root, "user.root", b"root");
    }
    // Last, because everything above changes them.
    let time = |name: &[u8], seconds, nanoseconds| {
        let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(CWD, at(name), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    };
    time(b"etc/one", 1, 0);
    time(b"etc/more", 1_234_567_890, 120_000_000);
    time(b"etc/block", 1_234_567_890, 1);
    time(b"dangling", 1_000_000_000, 0);
    time(b"etc", 1_000_000_001, 999_999_999);
    time(b"", 1_000_000_002, 0);
}

pub(crate) fn xattr(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
}

/// One name of a tree, with all that can be seen of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seen {
    pub(crate) path: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) links: u64,
    pub(crate) device: u64,
    pub(crate) mtime: (i64, i64),
    pub(crate) content: Vec<u8>,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Everything below a directory, and itself, sorted.
pub(crate) fn look(root: &Path) -> Vec<Seen> {
    let mut seen = Vec::new();
    look_at(root, Vec::new(), &mut seen);
    seen.sort();
    seen
}

fn look_at(path: &Path, relative: Vec<u8>, seen: &mut Vec<Seen>) {
    let meta = path.symlink_metadata().unwrap();
    let kind = meta.file_type();
    let content = if kind.is_file() {
        fs::read(path).unwrap()
    } else if kind.is_symlink() {
        fs::read_link(path).unwrap().into_os_string().as_bytes().to_vec()
    } else {
        Vec::new()
    };
    let special = FileType::from_raw_mode(meta.mode());
    let special = matches!(special, FileType::CharacterDevice | FileType::BlockDevice);
    if kind.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            let name = entry.unwrap().file_name();
            let separator: &[u8] = if relative.is_empty() { b"" } else { b"/" };
            let below = [&relative[..], separator, name.as_bytes()].concat();
            look_at(&path.join(&name), below, seen);
        }
    }
    seen.push(Seen {
        path: relative,
        mode: meta.mode(),
        owner: (meta.uid(), meta.gid()),
        // Not all file systems count the directories below a directory.
        links: if kind.is_dir() { 0 } else { meta.nlink() },
        device: if special { meta.rdev() } else { 0 },
        mtime: (meta.mtime(), meta.mtime_nsec()),
        content,
        xattrs: xattrs(path),
    });
}

fn xattrs(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut list = vec![0; 1 << 16];
    let length = rustix::fs::llistxattr(path, &mut list[..]).unwrap();
    let mut found: Vec<(Vec<u8>, Vec<u8>)> = list[..length]
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let mut value = vec![0; 1 << 16];
            let length =
                rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut value[..]).unwrap();
            (name.to_vec(), value[..length].to_vec())
        })
        .collect();
    found.sort();
    found
}

/// Fails with the first difference only: trees are large.
pub(crate) fn assert_same(found: &[Seen], expected: &[Seen]) {
    for (found, expected) in found.iter().zip(expected) {
        if found != expected {
            let short = |seen: &Seen| {
                let name = seen.path.escape_ascii().to_string();
                let xattrs = seen.xattrs.iter().flat_map(|(name, value)| [name, value]);
                let xattrs: Vec<String> =
                    xattrs.map(|bytes| bytes.escape_ascii().to_string()).collect();
                let rest = (seen.mode, seen.owner, seen.links, seen.device, seen.mtime);
                format!("{name} {rest:?} {} bytes, {xattrs:?}", seen.content.len())
            };
            panic!("found {}\nexpected {}", short(found), short(expected));
        }
    }
    assert_eq!(found.len(), expected.len());
}

/// A directory that anybody may enter.
pub(crate) fn open_directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

/// Makes a directory, with parents.
pub(crate) fn make_directory(path: &Path) {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(path).unwrap();
}
