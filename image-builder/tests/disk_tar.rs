//! Root images from tars: honest ones as GNU tar sees them, and hostile ones.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod disk_common;

use std::fs;
use std::io::Cursor;
use std::process::Command;

use disk_common::{MADE, build_disk, extract_partition, names, options, oracle, run};
use image_builder::disk::{BuildError, Built, Source, TreeError};
use protocol::config::FsType;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};
use tar::{Builder, EntryType, Header};

fn stream(tar: Vec<u8>) -> Source {
    Source::TarStream { name: "test".to_owned(), reader: Box::new(Cursor::new(tar)) }
}

fn header(path: &str, kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    // Not through `set_path`, which refuses what a hostile tar holds.
    let name = &mut header.as_old_mut().name;
    name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
    header.set_uid(1000);
    header.set_gid(100);
    header.set_mtime(1_600_000_000);
    header.set_size(size);
    header.set_cksum();
    header
}

fn file(path: &str, content: &[u8]) -> Vec<u8> {
    let mut out = header(path, EntryType::Regular, content.len() as u64).as_bytes().to_vec();
    out.extend(content);
    out.resize(out.len().next_multiple_of(512), 0);
    out
}

fn link(path: &str, kind: EntryType, target: &str) -> Vec<u8> {
    let mut header = header(path, kind, 0);
    header.set_link_name_literal(target).unwrap();
    header.set_cksum();
    header.as_bytes().to_vec()
}

fn device(path: &str, kind: EntryType, major: u32, minor: u32) -> Vec<u8> {
    let mut header = header(path, kind, 0);
    header.set_device_major(major).unwrap();
    header.set_device_minor(minor).unwrap();
    header.set_cksum();
    header.as_bytes().to_vec()
}

fn dir(path: &str) -> Vec<u8> {
    header(path, EntryType::Directory, 0).as_bytes().to_vec()
}

fn pax(records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Builder::new(Vec::new());
    out.append_pax_extensions(records.iter().copied()).unwrap();
    let mut out = out.into_inner().unwrap();
    out.truncate(out.len() - 1024);
    out
}

fn archive(members: &[Vec<u8>]) -> Vec<u8> {
    let mut out = members.concat();
    out.resize(out.len() + 1024, 0);
    out
}

/// Devices, which need no root in a tar, and everything else of a root.
fn honest() -> Vec<u8> {
    archive(&[
        dir("./"),
        dir("./dev/"),
        device("./dev/null", EntryType::Char, 1, 3),
        device("./dev/vda", EntryType::Block, 254, 0),
        header("./dev/pipe", EntryType::Fifo, 0).as_bytes().to_vec(),
        dir("./etc/"),
        file("./etc/passwd", b"root:x:0:0::/:/bin/sh\n"),
        link("./etc/passwd-", EntryType::Link, "./etc/passwd"),
        link("./etc/mtab", EntryType::Symlink, "/proc/self/mounts"),
        // A directory that is not listed.
        file("usr/bin/true", &[0x7f; 9000]),
    ])
}

/// Kind and mode, owner, path and link of each name, as `tar -tv` prints it.
fn listing(lines: &str, prefix: &str) -> Vec<(String, String, String)> {
    let mut found: Vec<(String, String, String)> = lines
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let rest = line.split_once(prefix)?.1.trim_end_matches('/').to_owned();
            (!rest.is_empty()).then(|| (fields[0].to_owned(), fields[1].to_owned(), rest))
        })
        .collect();
    found.sort_by(|a, b| a.2.cmp(&b.2));
    found
}

#[test]
fn gnu_tar_sees_the_same_tree() {
    let Some(tar) = oracle("tar", "tar") else { return };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("root.tar");
    // As GNU tar prints it, with the directories that it would make itself.
    let mut listed = archive(&[dir("usr/"), dir("usr/bin/")]);
    listed.truncate(listed.len() - 1024);
    listed.extend(honest());
    fs::write(&path, listed).unwrap();
    let list = run(Command::new(tar).args(["--numeric-owner", "-tvf"]).arg(&path));
    // The minute is the last of the five fields before the name.
    let list: String = list.replace(":26 ./", ":26 /").replace(":26 usr", ":26 /usr");
    let mut expected = listing(&list, ":26 /");
    for (mode, owner, rest) in &mut expected {
        if let Some((name, _)) = rest.clone().split_once(" link to ") {
            // A hard link is another name of the file.
            *rest = name.to_owned();
            mode.replace_range(..1, "-");
        }
        if mode.starts_with('l') {
            // The only mode of a symbolic link.
            *mode = "lrwxrwxrwx".to_owned();
        }
        if rest.starts_with("usr") && mode.starts_with('d') {
            *owner = "0/0".to_owned();
        }
    }
    assert_eq!(expected.len(), 11);

    let Some(unsquashfs) = oracle("unsquashfs", "squashfs-tools") else { return };
    let source = stream(honest());
    let built = build_disk(source, &options(FsType::Squashfs), directory.path()).unwrap();
    let image = extract_partition(&built, directory.path());
    let list = run(Command::new(unsquashfs).arg("-lln").arg(&image));
    let found = listing(&list, "squashfs-root/");
    assert_eq!(found, expected);
}

#[test]
fn the_three_file_systems_agree_on_devices_without_root() {
    let directory = tempfile::tempdir().unwrap();
    let build = |fs| {
        let built = build_disk(stream(honest()), &options(fs), directory.path()).unwrap();
        extract_partition(&built, directory.path())
    };
    if let Some(dump) = oracle("dump.erofs", "erofs-utils") {
        let image = build(FsType::Erofs);
        let of = |path: &str| run(Command::new(&dump).arg(format!("--path={path}")).arg(&image));
        assert!(of("/dev/null").contains("char dev"), "{}", of("/dev/null"));
        assert!(of("/dev/vda").contains("block dev"));
        assert!(of("/dev/pipe").to_lowercase().contains("fifo"));
        assert!(of("/etc/passwd").contains("Links: 2"));
        assert!(of("/etc/passwd").contains("Uid: 1000   Gid: 100"));
        assert!(of("/usr/bin").contains("Uid: 0   Gid: 0  Access: 0755"));
    }
    if let Some(debugfs) = oracle("debugfs", "e2fsprogs") {
        let image = build(FsType::Ext4);
        let of = |path: &str| {
            run(Command::new(&debugfs).arg("-R").arg(format!("stat {path}")).arg(&image))
        };
        assert!(of("/dev/null").contains("character special"));
        assert!(of("/dev/null").contains("01:03"), "{}", of("/dev/null"));
        assert!(of("/dev/vda").contains("block special"));
        assert!(of("/etc/passwd").contains("Links: 2"));
        assert!(of("/etc/passwd").contains("User:  1000   Group:   100"));
    }
}

fn refused(tar: Vec<u8>) -> TreeError {
    let directory = tempfile::tempdir().unwrap();
    let result = build_disk(stream(tar), &options(FsType::Erofs), directory.path());
    assert_eq!(names(directory.path()), [""; 0], "nothing is left");
    match result {
        Err(BuildError::Tree(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn accepted(tar: Vec<u8>) -> Built {
    let directory = tempfile::tempdir().unwrap();
    build_disk(stream(tar), &options(FsType::Erofs), directory.path()).unwrap()
}

/// Attack: names that lead out of the tree, or into what a link points to.
/// Observed: the build stops with the name. Closed, because nothing reached the
/// tool, and the tool writes into an image only.
#[test]
fn no_name_leads_out_of_the_tree() {
    for path in ["../evil", "a/../../evil", "..", "/../evil", "./a/.."] {
        let error = refused(archive(&[dir("a"), file(path, b"x")]));
        assert!(matches!(&error, TreeError::Member { .. }), "{path}: {error:?}");
        assert!(error.to_string().contains("leads out of the tree"), "{error}");
    }
    let outside = link("l", EntryType::Link, "../../etc/shadow");
    assert!(matches!(refused(archive(&[outside])), TreeError::Member { .. }));
    let absolute = link("l", EntryType::Link, "/etc/shadow");
    assert!(matches!(refused(archive(&[absolute])), TreeError::LinkTarget { .. }));
    let through = [link("l", EntryType::Symlink, "/etc"), file("l/passwd", b"x")];
    assert!(matches!(refused(archive(&through)), TreeError::NotADirectory { .. }));
    // A leading slash is no way out: it is the image's root.
    assert_eq!(
        accepted(archive(&[file("/a", b"x")])).sidecar,
        accepted(archive(&[file("a", b"x")])).sidecar
    );
}

/// Attack: an attribute whose value looks like PAX records. Observed: the same
/// image as with any value of that length, but for the value.
#[test]
fn an_attribute_cannot_rename_or_resize_its_file() {
    let value = b"1\n18 path=../evil\n\n10 size=1\n";
    let member = [pax(&[("SCHILY.xattr.user.a", value)]), file("honest", b"content")].concat();
    let directory = tempfile::tempdir().unwrap();
    let tar = archive(&[member, file("next", b"")]);
    let built = build_disk(stream(tar), &options(FsType::Squashfs), directory.path()).unwrap();
    let Some(unsquashfs) = oracle("unsquashfs", "squashfs-tools") else { return };
    let image = extract_partition(&built, directory.path());
    let list = run(Command::new(unsquashfs).arg("-lln").arg(image));
    let of = |name: &str| list.lines().find(|line| line.ends_with(name)).unwrap().to_owned();
    assert!(of("/honest").contains(" 7 2020-"), "{list}");
    assert!(of("/next").contains(" 0 2020-"), "{list}");
    assert!(!list.contains("evil"));
}

#[test]
fn what_two_readers_would_see_differently_is_refused() {
    use TreeError as E;
    let error = refused(archive(&[file("a", b"1"), file("./a", b"2")]));
    assert!(matches!(error, E::Repeated { path } if path == b"a"));
    let error = refused(archive(&[file("d/a", b"1"), dir("d/")]));
    assert!(matches!(error, E::LateDirectory { path } if path == b"d"));
    let sparse = [pax(&[("GNU.sparse.major", b"1")]), file("a", b"1")].concat();
    assert!(matches!(refused(archive(&[sparse])), E::Member { .. }));
    let global = {
        let mut header = header("g", EntryType::XGlobalHeader, 10);
        header.set_cksum();
        let mut out = header.as_bytes().to_vec();
        out.extend(b"10 uid=12\n");
        out.resize(1024, 0);
        out
    };
    assert!(matches!(refused(archive(&[global, file("a", b"1")])), E::Damaged { .. }));
    let label = header("label", EntryType::new(b'V'), 0).as_bytes().to_vec();
    assert!(matches!(refused(archive(&[label])), E::Member { .. }));
    let acl = [pax(&[("SCHILY.acl.access", b"user::rwx")]), file("a", b"1")].concat();
    assert!(matches!(refused(archive(&[acl])), E::Attribute { .. }));
    let impossible = device("d", EntryType::Char, 5000, 1);
    assert!(matches!(refused(archive(&[impossible])), E::Member { .. }));
    let two = [archive(&[file("a", b"1")]), archive(&[file("b", b"1")])].concat();
    assert!(matches!(refused(two), E::Trailing { .. }));
    assert!(matches!(refused(b"not a tar at all".repeat(100)), E::Damaged { .. }));
    assert!(matches!(refused(vec![]), E::CutOff { offset: 0, .. }));
    let owner = [pax(&[("uid", b"4294967295")]), file("a", b"1")].concat();
    assert!(matches!(refused(archive(&[owner])), E::Member { .. }));
    let root = archive(&[file("./", b"1")]);
    assert!(matches!(refused(root), E::Member { .. }));
}

#[test]
fn a_tar_that_is_cut_anywhere_is_noticed() {
    let whole = honest();
    let end = whole.len() - 1024;
    for length in (0..=end).step_by(256).chain([1, 511, 513, end - 1]) {
        let error = refused(whole[..length].to_vec());
        assert!(matches!(error, TreeError::CutOff { .. }), "{length}: {error:?}");
    }
    // One block of zeros ends it.
    accepted(whole[..end + 512].to_vec());
}

/// Every byte of the headers, damaged in three ways: a typed error or an image,
/// never a panic, and never two different images without a reason.
#[test]
fn damaged_headers_are_refused_by_their_checksum() {
    let whole = archive(&[dir("d/"), file("d/f", b"content"), link("d/l", EntryType::Link, "d/f")]);
    for offset in (0..1024).chain(1536..2048).step_by(7) {
        let mut damaged = whole.clone();
        damaged[offset] ^= 0x41;
        let error = refused(damaged);
        assert!(matches!(error, TreeError::Damaged { .. }), "{offset}: {error:?}");
    }
}

#[test]
fn a_huge_size_is_believed_only_with_its_content() {
    let huge = header("huge", EntryType::Regular, 1 << 40).as_bytes().to_vec();
    let error = refused(archive(&[huge]));
    assert!(matches!(error, TreeError::CutOff { .. }), "{error:?}");
}

#[test]
fn gnu_tar_in_other_formats_gives_the_same_image() {
    let Some(tar) = oracle("tar", "tar") else { return };
    for fs in MADE {
        let directory = tempfile::tempdir().unwrap();
        let tree = directory.path().join("tree");
        disk_common::make_directory(&tree.join("d"));
        fs::write(tree.join("d/file"), b"content").unwrap();
        fs::hard_link(tree.join("d/file"), tree.join("d/link")).unwrap();
        std::os::unix::fs::symlink("file", tree.join("d/symlink")).unwrap();
        let sparse = fs::File::create(tree.join("d/sparse")).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&sparse, b"end", 3 << 20).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&sparse, b"middle", 1 << 20).unwrap();
        let time = Timespec { tv_sec: 1_600_000_000, tv_nsec: 0 };
        let times = Timestamps { last_access: time, last_modification: time };
        for name in ["d/file", "d/sparse", "d/symlink", "d", ""] {
            let (path, flags) = (tree.join(name), AtFlags::SYMLINK_NOFOLLOW);
            rustix::fs::utimensat(CWD, path, &times, flags).unwrap();
        }
        let expected =
            build_disk(Source::Directory(tree.clone()), &options(fs), directory.path()).unwrap();
        let tar_of = |arguments: &[&str]| {
            let path = directory.path().join("t.tar");
            run(Command::new(&tar)
                .args(["--sort=name", "-C"])
                .arg(&tree)
                .args(arguments)
                .arg("-cf")
                .arg(&path)
                .arg("."));
            fs::read(path).unwrap()
        };
        for arguments in [
            &["--format=ustar"][..],
            &["--format=v7"],
            &["--format=gnu", "--sparse"],
            &["--format=posix"],
        ] {
            let built = build_disk(stream(tar_of(arguments)), &options(fs), directory.path());
            assert_eq!(built.unwrap().sidecar, expected.sidecar, "{fs} {arguments:?}");
        }
        let refused = build_disk(
            stream(tar_of(&["--format=posix", "--sparse"])),
            &options(fs),
            directory.path(),
        );
        assert!(matches!(refused, Err(BuildError::Tree(TreeError::Member { .. }))));
    }
}
