//! A tree arrives in each file system as it was: compared with what the file
//! systems' own tools take out of the image.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod disk_common;

use std::fs;
use std::path::Path;
use std::process::Command;

use disk_common::{
    MADE, Seen, assert_same, build_disk, extract_partition, is_root, look, odd_tree, options,
    oracle, run,
};
use image_builder::disk::{BuildError, Note, Owner, Source, TreeError, Xattrs};
use protocol::config::FsType;

fn source(directory: &Path, fs: FsType) -> std::path::PathBuf {
    let tree = directory.join("tree");
    fs::create_dir(&tree).unwrap();
    odd_tree(&tree, fs);
    tree
}

#[test]
fn erofs_holds_the_tree() {
    let directory = tempfile::tempdir().unwrap();
    let tree = source(directory.path(), FsType::Erofs);
    let expected = look(&tree);
    let built =
        build_disk(Source::Directory(tree), &options(FsType::Erofs), directory.path()).unwrap();
    assert_eq!(built.notes.list, []);
    let Some(fsck) = oracle("fsck.erofs", "erofs-utils") else { return };
    if !is_root("extracting an erofs with its owners and devices") {
        return;
    }
    let image = extract_partition(&built, directory.path());
    let out = directory.path().join("out");
    run(Command::new(fsck)
        .args(["--preserve", "--xattrs"])
        .arg(format!("--extract={}", out.display()))
        .arg(&image));
    let (mut found, mut extracted) = (look(&out), expected.clone());
    // fsck.erofs sets the owner last, which takes a capability away again, and
    // does not set an empty attribute.
    for seen in found.iter_mut().chain(&mut extracted) {
        seen.xattrs.retain(|(name, value)| name != b"security.capability" && !value.is_empty());
    }
    assert_same(&found, &extracted);
    kernel_sees(&image, "erofs", &expected);
}

#[test]
fn squashfs_holds_the_tree() {
    let directory = tempfile::tempdir().unwrap();
    let tree = source(directory.path(), FsType::Squashfs);
    let mut expected = look(&tree);
    let built =
        build_disk(Source::Directory(tree), &options(FsType::Squashfs), directory.path()).unwrap();
    assert_eq!(built.notes.list, []);
    let Some(unsquashfs) = oracle("unsquashfs", "squashfs-tools") else { return };
    if !is_root("extracting a squashfs with its owners and devices") {
        return;
    }
    let image = extract_partition(&built, directory.path());
    let out = directory.path().join("out");
    run(Command::new(unsquashfs).args(["-no-progress", "-xattrs", "-d"]).arg(&out).arg(&image));
    let mut found = look(&out);
    for seen in found.iter_mut().chain(&mut expected) {
        // Whole seconds; and of what is no file, tar streams give it one each.
        seen.mtime.1 = 0;
        if seen.mode & 0o170_000 != 0o100_000 {
            seen.links = 0;
        }
    }
    assert_same(&found, &expected);
    kernel_sees(&image, "squashfs", &expected);
}

#[test]
fn ext4_holds_the_tree() {
    let directory = tempfile::tempdir().unwrap();
    let tree = source(directory.path(), FsType::Ext4);
    let mut expected = look(&tree);
    let built =
        build_disk(Source::Directory(tree), &options(FsType::Ext4), directory.path()).unwrap();
    assert_eq!(built.notes.list, []);
    let image = extract_partition(&built, directory.path());
    let Some(e2fsck) = oracle("e2fsck", "e2fsprogs") else { return };
    run(Command::new(e2fsck).arg("-fn").arg(&image));
    let Some(debugfs) = oracle("debugfs", "e2fsprogs") else { return };
    let debugfs = Debugfs { program: debugfs, image };
    let mut found = Vec::new();
    debugfs.look(2, Vec::new(), &mut found);
    found.sort();
    let names = |seen: &[Seen]| -> Vec<Vec<u8>> { seen.iter().map(|s| s.path.clone()).collect() };
    assert_eq!(names(&found), names(&expected));
    for (found, expected) in found.iter().zip(&expected) {
        let name = expected.path.escape_ascii().to_string();
        assert_eq!((found.mode, found.owner), (expected.mode, expected.owner), "{name}");
        assert_eq!(found.mtime.0, expected.mtime.0, "{name}");
        assert_eq!(found.links, expected.links, "{name}");
        assert_eq!(found.device, expected.device, "{name}");
        assert_eq!(found.xattrs, expected.xattrs, "{name}");
        assert!(found.content == expected.content, "{name}");
    }
    // Whole seconds, and a directory of its own.
    for seen in &mut expected {
        seen.mtime.1 = 0;
    }
    kernel_sees(&debugfs.image, "ext4", &expected);
}

/// Where loop devices can be used, the kernel is the judge of the whole.
fn kernel_sees(image: &Path, fs: &str, expected: &[Seen]) {
    if !is_root("mounting an image") {
        return;
    }
    let at = tempfile::tempdir().unwrap();
    let mut mount = Command::new("mount");
    mount.args(["-t", fs, "-o", "ro,loop"]).arg(image).arg(at.path());
    let mounted = disk_common::output(&mut mount);
    if !mounted.status.success() {
        eprintln!("SKIPPED: mount: {}", String::from_utf8_lossy(&mounted.stderr));
        return;
    }
    let found = std::panic::catch_unwind(|| look(at.path()));
    run(Command::new("umount").arg(at.path()));
    let mut found = found.unwrap();
    found.retain(|seen| fs != "ext4" || seen.path != b"lost+found");
    if fs == "squashfs" {
        for seen in &mut found {
            let file = seen.mode & 0o170_000 == 0o100_000;
            seen.links = if file { seen.links } else { 0 };
        }
    }
    assert_same(&found, expected);
}

struct Debugfs {
    program: std::path::PathBuf,
    image: std::path::PathBuf,
}

impl Debugfs {
    fn ask(&self, request: &str) -> Vec<u8> {
        let mut command = Command::new(&self.program);
        let output = disk_common::output(command.arg("-R").arg(request).arg(&self.image));
        assert!(output.status.success());
        output.stdout
    }

    /// All below a directory's inode, and itself.
    fn look(&self, inode: u64, path: Vec<u8>, seen: &mut Vec<Seen>) {
        let stat = String::from_utf8_lossy(&self.ask(&format!("stat <{inode}>"))).into_owned();
        let after = |label: &str| {
            let rest = stat.split_once(label).unwrap_or_else(|| panic!("{label}: {stat}")).1;
            rest.split_whitespace().next().unwrap().to_owned()
        };
        let number = |label: &str| after(label).parse::<i64>().unwrap();
        // Owners are printed with a sign.
        let id = |label: &str| u32::try_from(number(label).rem_euclid(1 << 32)).unwrap();
        let kind = after("Type:");
        let (kind, device) = match kind.as_str() {
            "directory" => (0o040_000, 0),
            "regular" => (0o100_000, 0),
            "symlink" => (0o120_000, 0),
            "FIFO" => (0o010_000, 0),
            "character" | "block" => {
                let numbers = after("major/minor number:");
                let (major, minor) = numbers.split_once(':').unwrap();
                let number = |text: &str| text.trim_start_matches('0').parse().unwrap_or(0);
                let device = rustix::fs::makedev(number(major), number(minor));
                (if kind == "block" { 0o060_000 } else { 0o020_000 }, device)
            }
            other => panic!("{other}"),
        };
        let mtime = after("mtime: 0x");
        let mtime = u32::from_str_radix(mtime.split(':').next().unwrap(), 16).unwrap();
        let content = match kind {
            0o100_000 => self.ask(&format!("cat <{inode}>")),
            // Not what `cat` says: a short one has no blocks.
            0o120_000 => self.link(inode),
            _ => Vec::new(),
        };
        let mut xattrs = Vec::new();
        let name = "security.capability";
        let listed = self.ask(&format!("ea_list <{inode}>"));
        if String::from_utf8_lossy(&listed).contains(name) {
            let mut value = self.ask(&format!("ea_get -V <{inode}> {name}"));
            assert_eq!(value.pop(), Some(b'\n'), "debugfs ends the line");
            xattrs.push((name.as_bytes().to_vec(), value));
        }
        let entry = Seen {
            path: path.clone(),
            mode: kind | u32::from_str_radix(&after("Mode:"), 8).unwrap(),
            owner: (id("User:"), id("Group:")),
            links: if kind == 0o040_000 { 0 } else { number("Links:").unsigned_abs() },
            device,
            mtime: (mtime.into(), 0),
            content,
            xattrs,
        };
        seen.push(entry);
        if kind != 0o040_000 {
            return;
        }
        for line in String::from_utf8(self.ask(&format!("ls -l <{inode}>"))).unwrap().lines() {
            // Inode, mode, (type), owner, group, size, date, time, name.
            let mut rest = line.trim_start();
            let mut fields = Vec::new();
            for _ in 0..8 {
                let Some((field, after)) = rest.split_once(' ') else { break };
                fields.push(field);
                // The name comes after exactly one blank and may start with one.
                rest = if fields.len() < 8 { after.trim_start() } else { after };
            }
            let [inode, ..] = fields[..] else { continue };
            let name = unescape(rest);
            if name == b"." || name == b".." || (path.is_empty() && name == b"lost+found") {
                continue;
            }
            let separator: &[u8] = if path.is_empty() { b"" } else { b"/" };
            let below = [&path[..], separator, &name].concat();
            self.look(inode.parse().unwrap(), below, seen);
        }
    }

    fn link(&self, inode: u64) -> Vec<u8> {
        let (stat, label) = (self.ask(&format!("stat <{inode}>")), b"Fast link dest: \"");
        match stat.windows(label.len()).position(|window| window == label) {
            Some(at) => {
                let target = &stat[at + label.len()..];
                target[..target.iter().rposition(|&byte| byte == b'"').unwrap()].to_vec()
            }
            None => self.ask(&format!("cat <{inode}>")),
        }
    }
}

/// `\x0a` as debugfs writes it.
fn unescape(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = name;
    while let Some((before, after)) = rest.split_once("\\x") {
        out.extend(before.as_bytes());
        let (digits, after) = after.split_at(2);
        out.push(u8::from_str_radix(digits, 16).unwrap());
        rest = after;
    }
    out.extend(rest.as_bytes());
    out
}

#[test]
fn gnu_tar_gives_the_same_image_in_every_form() {
    for fs in MADE {
        let directory = tempfile::tempdir().unwrap();
        let tree = source(directory.path(), fs);
        let expected =
            build_disk(Source::Directory(tree.clone()), &options(fs), directory.path()).unwrap();
        let whole = fs::read(directory.path().join("root.img")).unwrap();
        let tar = directory.path().join("tree.tar");
        let Some(program) = oracle("tar", "tar") else { return };
        run(Command::new(program)
            .args(["--format=posix", "--sort=name", "--xattrs", "--xattrs-include=*", "-C"])
            .arg(&tree)
            .arg("-cf")
            .arg(&tar)
            .arg("."));
        for (compressor, package) in
            [("", ""), ("gzip", "gzip"), ("xz", "xz-utils"), ("zstd", "zstd")]
        {
            let mut path = tar.clone();
            if !compressor.is_empty() {
                let Some(program) = oracle(compressor, package) else { continue };
                path = directory.path().join(format!("tree.{compressor}"));
                let packed =
                    disk_common::output(Command::new(program).args(["-1", "-c"]).arg(&tar));
                fs::write(&path, packed.stdout).unwrap();
            }
            let source = Source::detect(&path).unwrap();
            assert!(matches!(source, Source::Tar(_)));
            let into = directory.path().join("from-tar");
            fs::create_dir(&into).unwrap();
            let built = build_disk(source, &options(fs), &into).unwrap();
            assert_eq!(built.sidecar, expected.sidecar, "{fs} {compressor}");
            assert!(fs::read(into.join("root.img")).unwrap() == whole, "{fs} {compressor}");
            fs::remove_dir_all(into).unwrap();
        }
    }
}

#[test]
fn everything_can_belong_to_root() {
    let directory = tempfile::tempdir().unwrap();
    let tree = source(directory.path(), FsType::Squashfs);
    let options = image_builder::disk::Options { owner: Owner::Root, ..options(FsType::Squashfs) };
    let built = build_disk(Source::Directory(tree), &options, directory.path()).unwrap();
    let Some(unsquashfs) = oracle("unsquashfs", "squashfs-tools") else { return };
    let image = extract_partition(&built, directory.path());
    let list = run(Command::new(unsquashfs).arg("-lln").arg(image));
    let owned: Vec<&str> = list.lines().filter(|line| line.contains("squashfs-root")).collect();
    assert!(owned.len() > 30);
    for line in owned {
        assert_eq!(line.split_whitespace().nth(1), Some("0/0"), "{line}");
    }
}

#[test]
fn what_a_file_system_cannot_hold_is_refused_or_noted() {
    let directory = tempfile::tempdir().unwrap();
    let tree = source(directory.path(), FsType::Squashfs);
    let _listener = std::os::unix::net::UnixListener::bind(tree.join("socket")).unwrap();
    // debugfs could take what follows a quotation mark for something else.
    disk_common::xattr(&tree.join("tmp"), "user.\"quoted\" name", b"value");
    let strict = options(FsType::Ext4);
    let refused = build_disk(Source::Directory(tree.clone()), &strict, directory.path());
    assert!(
        matches!(&refused, Err(BuildError::Tree(TreeError::Attribute { fs: FsType::Ext4, .. }))),
        "{refused:?}"
    );
    assert_eq!(disk_common::names(directory.path()), ["tree"]);
    let lax = image_builder::disk::Options { xattrs: Xattrs::Drop, ..strict };
    let built = build_disk(Source::Directory(tree), &lax, directory.path()).unwrap();
    let dropped =
        Note::AttributeDropped { path: b"tmp".into(), name: "user.\"quoted\" name".into() };
    assert!(built.notes.list.contains(&dropped), "{:?}", built.notes);
    let skipped = Note::SocketSkipped { path: b"socket".into() };
    assert!(built.notes.list.contains(&skipped), "{:?}", built.notes);
}
