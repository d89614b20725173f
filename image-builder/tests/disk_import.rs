//! Disk images as virtual machines have them: the root is found, and its files arrive as they
//! were.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod disk_common;

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use disk_common::{
    Seen, assert_same, build_disk, extract_partition, look, names, odd_tree, options, oracle, run,
    xattr,
};
use image_builder::disk::{
    BuildError, DiskOptions, Ext4, ImportError, Note, PartitionChoice, PartitionTableError, Source,
    SourceError, file_system_of,
};
use protocol::config::FsType;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};

const MIB: u64 = 1 << 20;

struct Tools {
    mke2fs: PathBuf,
    debugfs: PathBuf,
    qemu_img: PathBuf,
    sgdisk: PathBuf,
    sfdisk: PathBuf,
}

impl Tools {
    fn find() -> Option<Self> {
        Some(Self {
            mke2fs: oracle("mke2fs", "e2fsprogs")?,
            debugfs: oracle("debugfs", "e2fsprogs")?,
            qemu_img: oracle("qemu-img", "qemu-utils")?,
            sgdisk: oracle("sgdisk", "gdisk")?,
            sfdisk: oracle("sfdisk", "fdisk")?,
        })
    }

    fn mke2fs(&self, image: &Path, options: &[&str], tree: Option<&Path>, size: &str) {
        let mut make = Command::new(&self.mke2fs);
        make.args(["-q", "-F"]).args(options);
        if let Some(tree) = tree {
            make.arg("-d").arg(tree);
        }
        run(make.arg(image).arg(size));
    }

    /// mke2fs gives the root no owner, mode and time of the tree's, and makes two symbolic
    /// links of one with two names.
    fn complete(&self, image: &Path, tree: &Path) {
        let root = tree.metadata().unwrap();
        let fields = [
            ("mode", format!("0{:o}", root.mode())),
            ("uid", root.uid().to_string()),
            ("gid", root.gid().to_string()),
            ("mtime", format!("@{}", root.mtime())),
            ("mtime_extra", "0".to_owned()),
        ];
        let script = image.with_extension("debugfs");
        let lines = fields.map(|(field, value)| format!("sif <2> {field} {value}\n"));
        let link = "rm /a/dangling\nln /dangling /a/dangling\nsif /dangling links_count 2\n";
        fs::write(&script, lines.concat() + link).unwrap();
        run(Command::new(&self.debugfs).args(["-w", "-f"]).arg(&script).arg(image));
    }

    fn qcow2(&self, raw: &Path, options: &[&str]) -> PathBuf {
        let image = raw.with_extension("qcow2");
        let mut convert = Command::new(&self.qemu_img);
        convert.args(["convert", "-f", "raw", "-O", "qcow2"]).args(options).arg(raw).arg(&image);
        run(&mut convert);
        image
    }
}

/// A disk with a GPT, as `sgdisk` makes it: number, type, name and content of each partition,
/// all of `size` MiB.
struct Disk<'a> {
    tools: &'a Tools,
    path: PathBuf,
    size: u64,
}

impl<'a> Disk<'a> {
    fn new(tools: &'a Tools, path: PathBuf, size: u64, parts: &[(u32, &str, &str)]) -> Self {
        let disk = Self { tools, path, size };
        let last = u64::from(parts.iter().map(|(number, ..)| *number).max().unwrap_or(0));
        let file = File::create(&disk.path).unwrap();
        file.set_len((2 + last * size) * MIB).unwrap();
        let mut sgdisk = Command::new(&disk.tools.sgdisk);
        for (number, kind, name) in parts {
            let first = disk.offset(*number) / 512;
            let last = first + size * MIB / 512 - 1;
            sgdisk.arg(format!("--new={number}:{first}:{last}"));
            sgdisk.arg(format!("--typecode={number}:{kind}"));
            sgdisk.arg(format!("--change-name={number}:{name}"));
        }
        run(sgdisk.arg(&disk.path));
        disk
    }

    fn offset(&self, number: u32) -> u64 {
        (1 + u64::from(number - 1) * self.size) * MIB
    }

    /// Makes an empty ext4 in a partition.
    fn ext4(&self, number: u32, label: &str) {
        let image = self.path.with_extension(format!("part{number}"));
        self.tools.mke2fs(&image, &["-t", "ext4", "-L", label], None, &format!("{}M", self.size));
        self.fill(number, &image);
    }

    fn fill(&self, number: u32, image: &Path) {
        self.write(&fs::read(image).unwrap(), self.offset(number));
    }

    fn write(&self, bytes: &[u8], offset: u64) {
        OpenOptions::new()
            .write(true)
            .open(&self.path)
            .unwrap()
            .write_all_at(bytes, offset)
            .unwrap();
    }
}

const ROOT: &str = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709";
const LINUX: &str = "8300";
const ESP: &str = "ef00";

fn choose(path: &Path, partition: &str) -> Result<Source, SourceError> {
    let partition = Some(partition.parse::<PartitionChoice>().unwrap());
    Source::disk(path, &DiskOptions { partition, ..DiskOptions::default() })
}

fn refused(found: Result<Source, SourceError>) -> ImportError {
    match found {
        Err(SourceError::Import(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// An error with its causes.
fn words(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// With what only an import has: access control lists.
fn tree(directory: &Path) -> PathBuf {
    let tree = directory.join("tree");
    fs::create_dir(&tree).unwrap();
    odd_tree(&tree, FsType::Erofs);
    // user::rwx, user:1000:r--, group::r-x, mask::r-x, other::---
    let id = |number: u32| number.to_le_bytes();
    let entries = [(1, 7, !0), (2, 4, 1000), (4, 5, !0), (0x10, 5, !0), (0x20, 0, !0)];
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, mode, who) in entries {
        list.extend([tag, 0, mode, 0]);
        list.extend(id(who));
    }
    xattr(&tree.join("etc"), "system.posix_acl_access", &list);
    xattr(&tree.join("etc"), "system.posix_acl_default", &list);
    xattr(&tree.join("setgid"), "system.posix_acl_default", &list);
    tree
}

/// mke2fs keeps no fractions of a second.
fn whole_seconds(tree: &Path) {
    for seen in look(tree) {
        let time = Timespec { tv_sec: seen.mtime.0, tv_nsec: 0 };
        let times = Timestamps { last_access: time, last_modification: time };
        let path = tree.join(OsStr::from_bytes(&seen.path));
        rustix::fs::utimensat(CWD, &path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
}

/// The root hash of a verity image of a source: equal ones have equal files.
fn root_hash(source: Source, into: &Path) -> String {
    let built = build_disk(source, &options(FsType::Erofs), into).unwrap();
    assert_eq!(built.notes.list, []);
    built.sidecar.verity.root_hash.to_string()
}

/// The files of the image in a directory, for a message about what differs.
fn unpacked(into: &Path, source: Source) -> Vec<Seen> {
    let built = build_disk(source, &options(FsType::Erofs), into).unwrap();
    let image = extract_partition(&built, into);
    let out = into.join("out");
    let fsck = oracle("fsck.erofs", "erofs-utils").unwrap();
    let mut extract = Command::new(fsck);
    extract.args(["--preserve", "--xattrs"]).arg(format!("--extract={}", out.display()));
    run(extract.arg(&image));
    let seen = look(&out);
    fs::remove_dir_all(out).unwrap();
    seen
}

/// Every kind of ext4 that a root can be on gives the very image that the directory gives from
/// which the ext4 was made: owners, modes, times, attributes, links, devices, holes, odd names.
/// (That a GNU tar of a directory gives the same as well is in `disk_trees.rs`.)
#[test]
fn the_files_of_an_ext4_arrive_as_they_were() {
    let Some(tools) = Tools::find() else { return };
    let directory = tempfile::tempdir().unwrap();
    let tree = tree(directory.path());
    let sparse = File::create(tree.join("sparse")).unwrap();
    sparse.write_all_at(b"one", 1_000_000).unwrap();
    sparse.write_all_at(b"two", 30_000_000).unwrap();
    sparse.set_len(40_000_000).unwrap();
    drop(sparse);
    whole_seconds(&tree);
    same_from_ext4(
        &tools,
        &tree,
        directory.path(),
        &[
            &["-b", "4096"],
            &["-b", "4096", "-I", "128"],
            &["-b", "4096", "-O", "^metadata_csum,^64bit"],
            &["-b", "4096", "-O", "metadata_csum_seed,large_dir,bigalloc"],
            &["-b", "4096", "-O", "^has_journal,^flex_bg,mmp"],
            &["-b", "4096", "-O", "^extent,^64bit,^metadata_csum"],
            &["-b", "65536"],
        ],
    );
    // A link of 3000 bytes needs a larger block, and so does a value of 2000.
    fs::remove_file(tree.join("long")).unwrap();
    xattr(&tree.join("tmp"), "user.large", &[b'v'; 900]);
    whole_seconds(&tree);
    same_from_ext4(
        &tools,
        &tree,
        directory.path(),
        &[
            &["-b", "1024"],
            &["-b", "1024", "-O", "^extent,^64bit,^metadata_csum"],
            &["-b", "2048", "-t", "ext2"],
        ],
    );
}

fn same_from_ext4(tools: &Tools, tree: &Path, directory: &Path, variants: &[&[&str]]) {
    let expected = root_hash(Source::Directory(tree.to_owned()), directory);
    let raw = directory.join("root.raw");
    for (number, variant) in variants.iter().enumerate() {
        let kind = if variant.contains(&"-t") { &[][..] } else { &["-t", "ext4"] };
        tools.mke2fs(&raw, &[kind, variant].concat(), Some(tree), "96M");
        tools.complete(&raw, tree);
        let packed = ["-c", "-o", "compression_type=zstd"];
        let image = tools.qcow2(&raw, if number % 2 == 0 { &[] } else { &packed });
        let source = Source::detect(&image).unwrap();
        assert!(matches!(source, Source::DiskFiles(_)), "{source:?}");
        if root_hash(source, directory) != expected {
            let found = unpacked(directory, Source::detect(&image).unwrap());
            assert_same(&found, &unpacked(directory, Source::Directory(tree.to_owned())));
            panic!("{variant:?}: another image with the same files");
        }
    }
}

/// What mke2fs does not take from a tar arrives in an ext4 as well: lists and attributes.
#[test]
fn attributes_go_from_ext4_to_ext4() {
    let Some(tools) = Tools::find() else { return };
    let Some(e2fsck) = oracle("e2fsck", "e2fsprogs") else { return };
    let directory = tempfile::tempdir().unwrap();
    let tree = tree(directory.path());
    // More values than are set at once, and more than an inode has room for.
    for number in 0..150_u32 {
        let path = tree.join(format!("a/numbered {number}"));
        fs::write(&path, "").unwrap();
        xattr(&path, "user.number of it", &number.to_le_bytes());
        xattr(&path, "user.same", &[7; 300]);
    }
    let raw = directory.path().join("root.raw");
    tools.mke2fs(&raw, &["-t", "ext4", "-b", "4096"], Some(&tree), "96M");
    let image = tools.qcow2(&raw, &[]);
    let into = directory.path().join("into");
    fs::create_dir(&into).unwrap();
    let ext4 = |source: &str| {
        let source = if source.is_empty() { &tree } else { &image };
        let built =
            build_disk(Source::detect(source).unwrap(), &options(FsType::Ext4), &into).unwrap();
        assert_eq!(built.notes.list, []);
        (extract_partition(&built, &into), built.sidecar.verity.root_hash)
    };
    let (made, hash) = ext4("image");
    run(Command::new(e2fsck).arg("-fn").arg(&made));
    let (expected, found) = (attributes_of(&raw), attributes_of(&made));
    assert!(expected.len() > 155);
    assert_eq!(found, expected);
    assert_eq!(ext4("image").1, hash, "the same every time");
    ext4("");
    assert_eq!(attributes_of(&made), expected);
}

/// All attributes in an ext4 image, by path.
fn attributes_of(image: &Path) -> Vec<(Vec<u8>, String, Vec<u8>)> {
    let ext4 = Ext4::open(File::open(image).unwrap(), image.metadata().unwrap().len()).unwrap();
    let (mut found, mut directories) = (Vec::new(), vec![(Vec::new(), 2)]);
    while let Some((path, number)) = directories.pop() {
        let directory = ext4.inode(number).unwrap();
        let names = ext4.names(&directory).unwrap();
        let below =
            names.into_iter().map(|(name, number)| ([&path[..], b"/", &name].concat(), number));
        for (path, number) in below {
            let inode = ext4.inode(number).unwrap();
            let attributes = ext4.attributes(&inode).unwrap().into_iter();
            found.extend(attributes.map(|(name, value)| (path.clone(), name, value)));
            if inode.is_directory() {
                directories.push((path, number));
            }
        }
        if number == 2 {
            let attributes = ext4.attributes(&directory).unwrap().into_iter();
            found.extend(attributes.map(|(name, value)| (Vec::new(), name, value)));
        }
    }
    found.sort();
    found
}

/// An index over a directory's names, and a file of more than 4 GiB with holes: read in place.
#[test]
fn large_directories_and_large_files_are_read() {
    let Some(tools) = Tools::find() else { return };
    let Some(e2fsck) = oracle("e2fsck", "e2fsprogs") else { return };
    let directory = tempfile::tempdir().unwrap();
    let tree = directory.path().join("tree");
    fs::create_dir_all(tree.join("many")).unwrap();
    let mut expected: Vec<Vec<u8>> = (0..3000)
        .map(|number| format!("a rather long name, so that there are levels: {number:0100}"))
        .map(String::into_bytes)
        .collect();
    for name in &expected {
        File::create(tree.join("many").join(OsStr::from_bytes(name))).unwrap();
    }
    expected.sort();
    let size = (5 << 30) + 7;
    let large = File::create(tree.join("large")).unwrap();
    for offset in [0, (4 << 30) - 3, size - 5] {
        large.write_all_at(b"there", offset).unwrap();
    }
    for checksums in ["metadata_csum", "^metadata_csum"] {
        let image = directory.path().join("root.ext4");
        tools.mke2fs(&image, &["-t", "ext4", "-b", "1024", "-O", checksums], Some(&tree), "64M");
        let made = disk_common::output(Command::new(&e2fsck).arg("-fyD").arg(&image));
        assert!(matches!(made.status.code(), Some(0 | 1)), "{made:?}");
        let stat = run(Command::new(&tools.debugfs).args(["-R", "stat /many"]).arg(&image));
        assert!(stat.contains("Flags: 0x81000"), "there is no index: {stat}");
        let bytes = image.metadata().unwrap().len();
        let ext4 = Ext4::open(File::open(&image).unwrap(), bytes).unwrap();
        let root = ext4.names(&ext4.inode(2).unwrap()).unwrap();
        let inode = |name: &[u8]| {
            let (_, number) = root.iter().find(|(found, _)| found == name).unwrap();
            ext4.inode(*number).unwrap()
        };
        let names = ext4.names(&inode(b"many")).unwrap();
        assert!(names.iter().map(|(name, _)| name).eq(&expected));
        let large = inode(b"large");
        assert_eq!(large.size, size);
        let mut content = ext4.content(&large).unwrap();
        let (mut at, mut found, mut buffer) = (0_u64, Vec::new(), vec![0; 1 << 20]);
        let zeros = buffer.clone();
        loop {
            let count = content.read(&mut buffer).unwrap();
            if count == 0 {
                break;
            }
            if buffer[..count] != zeros[..count] {
                let written = buffer[..count].iter().enumerate().filter(|(_, byte)| **byte != 0);
                found.extend(written.map(|(place, byte)| (at + place as u64, *byte)));
            }
            at += count as u64;
        }
        assert_eq!(at, size);
        let there = |offset: u64| (0..).zip(*b"there").map(move |(n, byte)| (offset + n, byte));
        assert!(found.iter().copied().eq([0, (4 << 30) - 3, size - 5].into_iter().flat_map(there)));
    }
}

#[test]
fn the_root_is_found_or_the_partitions_are_listed() {
    let Some(tools) = Tools::find() else { return };
    let directory = tempfile::tempdir().unwrap();
    let disk = |name: &str, parts: &[(u32, &str, &str)]| {
        Disk::new(&tools, directory.path().join(name), 4, parts)
    };
    let number = |found: Result<Source, SourceError>| {
        let found = found.unwrap();
        let Source::DiskFiles(image) = found else { panic!("{found:?}") };
        // Each file system here has its partition's number for a label.
        let mut label = [0; 16];
        verity::ReadAt::read_exact_at(&image, &mut label, 1024 + 120).unwrap();
        label[0] - b'0'
    };

    // By its type, whatever else there is, in any order.
    let typed = disk("typed", &[(1, LINUX, ""), (2, ROOT, ""), (3, LINUX, "root"), (14, ESP, "")]);
    for part in 1..=3 {
        typed.ext4(part, &part.to_string());
    }
    assert_eq!(number(Source::detect(&typed.path)), 2);
    assert_eq!(number(Source::detect(&tools.qcow2(&typed.path, &["-c"]))), 2);
    for (choice, found) in [("3", 3), ("root", 3), ("1", 1), ("2", 2)] {
        assert_eq!(number(choose(&typed.path, choice)), found);
    }
    assert!(matches!(refused(choose(&typed.path, "9")), ImportError::NoSuchPartition { .. }));
    let nothing = refused(choose(&typed.path, "14"));
    assert!(matches!(nothing, ImportError::Probe { .. }), "{nothing:?}");

    // The only Linux file system; of several, the one with a root's name or label.
    let single = disk("single", &[(1, LINUX, ""), (2, LINUX, ""), (15, ESP, "")]);
    single.ext4(2, "2");
    assert_eq!(number(Source::detect(&single.path)), 2);
    let named = disk("named", &[(1, LINUX, "home"), (2, LINUX, "cloudimg-rootfs")]);
    named.ext4(1, "1");
    named.ext4(2, "2");
    assert_eq!(number(Source::detect(&named.path)), 2);

    // Too many, and none: all that there is.
    let several = disk("several", &[(1, LINUX, "one"), (2, LINUX, "two"), (3, ESP, "")]);
    several.ext4(1, "1");
    several.ext4(2, "2");
    let error = refused(Source::detect(&several.path));
    assert!(matches!(error, ImportError::AmbiguousRoot { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        "several partitions could be the root; choose one. The disk has\
         \n  1: 4 MiB, Linux data \"one\", ext4 \"1\"\
         \n  2: 4 MiB, Linux data \"two\", ext4 \"2\"\
         \n  3: 4 MiB, EFI system, unknown content"
    );
    let twice = disk("twice", &[(1, ROOT, ""), (2, ROOT, "")]);
    assert!(matches!(refused(Source::detect(&twice.path)), ImportError::AmbiguousRoot { .. }));
    let none = disk("none", &[(1, ESP, ""), (2, "8200", "swap")]);
    assert!(matches!(refused(Source::detect(&none.path)), ImportError::NoRoot { .. }));

    // What is no file system is named, with the way out.
    for (name, offset, magic, said) in [
        ("lvm", 512, &b"LABELONE"[..], "holds an LVM2 physical volume: "),
        ("luks", 0, b"LUKS\xba\xbe\0\x02", "holds a LUKS volume: "),
        ("raid", 4096, &[0xfc, 0x4e, 0x2b, 0xa9], "holds a member of a Linux RAID: "),
    ] {
        for kind in [ROOT, "8e00"] {
            let other = disk(name, &[(1, ESP, ""), (2, kind, "")]);
            other.write(magic, other.offset(2) + offset);
            let error = refused(Source::detect(&other.path)).to_string();
            assert!(error.starts_with(&format!("partition 2 {said}")), "{error}");
        }
    }
}

#[test]
fn a_disk_with_an_mbr_or_no_table_is_taken() {
    let Some(tools) = Tools::find() else { return };
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let ext4 = at("root.ext4");
    tools.mke2fs(&ext4, &["-t", "ext4"], None, "4M");

    let disk = at("mbr.img");
    File::create(&disk).unwrap().set_len(32 * MIB).unwrap();
    let script = at("script");
    // A primary one, and three in an extended one, of which the second is the root.
    fs::write(&script, "label: dos\n4M,4M,82\n8M,,E\n10M,4M,82\n16M,4M,83\n22M,4M,82\n").unwrap();
    let mut sfdisk = Command::new("sh");
    sfdisk.arg("-c").arg("\"$0\" --quiet \"$1\" < \"$2\"");
    run(sfdisk.arg(&tools.sfdisk).arg(&disk).arg(&script));
    let file = OpenOptions::new().write(true).open(&disk).unwrap();
    file.write_all_at(&fs::read(&ext4).unwrap(), 16 * MIB).unwrap();
    for image in [disk.clone(), tools.qcow2(&disk, &[])] {
        assert!(matches!(Source::detect(&image).unwrap(), Source::DiskFiles(_)));
        assert!(matches!(choose(&image, "6").unwrap(), Source::DiskFiles(_)));
    }

    // A file system that is the whole of a qcow2 image; a raw one is a file-system image.
    let whole = tools.qcow2(&ext4, &[]);
    assert!(matches!(Source::detect(&whole).unwrap(), Source::DiskFiles(_)));
    assert!(matches!(Source::detect(&ext4).unwrap(), Source::Image(_)));
    assert!(matches!(refused(choose(&whole, "1")), ImportError::NoPartitions { .. }));
    let as_it_is = DiskOptions { keep_file_system: true, ..DiskOptions::default() };
    assert!(Source::disk(&whole, &as_it_is).unwrap().is_file_system());

    // Both at once.
    file.write_all_at(&fs::read(&ext4).unwrap()[1024..2048], 1024).unwrap();
    let both = refused(Source::detect(&disk));
    assert!(matches!(both, ImportError::TableAndFileSystem { .. }), "{both:?}");
    assert!(matches!(choose(&disk, "6").unwrap(), Source::DiskFiles(_)));
}

/// The file system out of a partition of a qcow2 image, byte for byte, and one that is not
/// read with a word about it.
#[test]
fn a_file_system_is_taken_as_it_is() {
    let Some(tools) = Tools::find() else { return };
    let directory = tempfile::tempdir().unwrap();
    let tree = directory.path().join("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("file"), "content").unwrap();
    let into = directory.path().join("into");
    fs::create_dir(&into).unwrap();
    let made = build_disk(Source::Directory(tree), &options(FsType::Erofs), &into).unwrap();
    let erofs = directory.path().join("root.erofs");
    fs::rename(extract_partition(&made, &into), &erofs).unwrap();
    let ext4 = directory.path().join("root.ext4");
    tools.mke2fs(&ext4, &["-t", "ext4", "-b", "4096"], None, "4M");
    for (image, kept) in [(&ext4, true), (&erofs, false)] {
        let disk = Disk::new(&tools, directory.path().join("disk"), 4, &[(1, ROOT, "")]);
        disk.fill(1, image);
        for qcow2 in [None, Some(&[][..]), Some(&["-c", "-o", "cluster_size=512"])] {
            let path = qcow2.map_or(disk.path.clone(), |how| tools.qcow2(&disk.path, how));
            let options = DiskOptions { keep_file_system: kept, ..DiskOptions::default() };
            let source = Source::disk(&path, &options).unwrap();
            let built = build_disk(source, &disk_common::options(FsType::Erofs), &into).unwrap();
            let unread = Note::FileSystemKept { kind: FsType::Erofs };
            assert_eq!(built.notes.list, if kept { vec![] } else { vec![unread] });
            let found = fs::read(extract_partition(&built, &into)).unwrap();
            let bytes = fs::read(image).unwrap();
            let size = file_system_of(&bytes, bytes.len() as u64).unwrap().size;
            assert!(found == bytes[..usize::try_from(size).unwrap()], "{qcow2:?}");
        }
    }
}

/// Tables that lie, with right checksums where there are any.
#[test]
fn a_table_that_contradicts_itself_is_refused_by_name() {
    let Some(tools) = Tools::find() else { return };
    let directory = tempfile::tempdir().unwrap();
    let make = |name: &str, parts: &[(u32, &str, &str)]| {
        let disk = Disk::new(&tools, directory.path().join(name), 4, parts);
        disk.ext4(1, "1");
        disk
    };
    let table = |disk: &Disk| {
        let error = refused(Source::detect(&disk.path));
        let ImportError::PartitionTable { source, .. } = error else { panic!("{error:?}") };
        source
    };
    let read = |disk: &Disk| fs::read(&disk.path).unwrap();

    // A backup of another disk.
    let (lying, other) = (make("a", &[(1, ROOT, "one")]), make("b", &[(1, ROOT, "two")]));
    let (theirs, ours) = (read(&other), read(&lying).len() as u64 - 33 * 512);
    lying.write(&theirs[usize::try_from(ours).unwrap()..], ours);
    assert!(matches!(table(&lying), PartitionTableError::TwoTables));
    // None at all.
    lying.write(&[0; 512], ours + 32 * 512);
    assert!(matches!(table(&lying), PartitionTableError::Backup(_)));
    // The backup alone.
    other.write(&[0; 512], 512);
    assert!(matches!(table(&other), PartitionTableError::NoGpt));
    // Cut off.
    let cut = make("c", &[(1, ROOT, "")]);
    OpenOptions::new().write(true).open(&cut.path).unwrap().set_len(5 * MIB).unwrap();
    let error = table(&cut);
    assert!(words(&error).contains("the disk is truncated"), "{}", words(&error));
    // Partitions that overlap.
    let overlapping = make("d", &[(1, ROOT, ""), (2, LINUX, "")]);
    let mut head = read(&overlapping)[..34 * 512].to_vec();
    let first = head[1024 + 32..1024 + 40].to_vec();
    head[1024 + 128 + 32..1024 + 128 + 40].copy_from_slice(&first);
    let crc = |bytes: &[u8]| crc32(bytes).to_le_bytes();
    let array = crc(&head[1024..]);
    head[600..604].copy_from_slice(&array);
    head[528..532].fill(0);
    let header = crc(&head[512..604]);
    head[528..532].copy_from_slice(&header);
    overlapping.write(&head, 0);
    assert!(words(&table(&overlapping)).contains("partitions 1 and 2 overlap"));
}

/// CRC-32 as in ISO 3309.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _bit| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    })
}

/// A damaged file system is refused, and with checksums all damage to what is followed is
/// noticed: the tree is the same, or there is an error.
#[test]
fn a_damaged_ext4_is_refused_or_harmless() {
    let Some(tools) = Tools::find() else { return };
    let directory = tempfile::tempdir().unwrap();
    let tree = directory.path().join("tree");
    fs::create_dir(&tree).unwrap();
    for (name, content) in [("a", &b"the first"[..]), ("b", &[7; 9000]), ("c", b"")] {
        fs::write(tree.join(name), content).unwrap();
    }
    fs::create_dir(tree.join("d")).unwrap();
    std::os::unix::fs::symlink("a".repeat(100), tree.join("d/link")).unwrap();
    xattr(&tree.join("a"), "user.long", &[b'x'; 300]);
    let image = directory.path().join("root.ext4");
    let options = ["-t", "ext4", "-b", "1024", "-I", "256", "-O", "^has_journal,^resize_inode"];
    tools.mke2fs(&image, &options, Some(&tree), "400k");
    let whole = fs::read(&image).unwrap();
    let expected = all_of(&whole).unwrap();
    assert_eq!(expected.len(), 6);
    let (mut refused, mut content) = (0, 0);
    for place in (1024..whole.len()).step_by(61) {
        if whole[place] == 0 && place % 3 != 0 {
            continue;
        }
        for bit in [0, 7] {
            let mut damaged = whole.clone();
            damaged[place] ^= 1 << bit;
            match all_of(&damaged) {
                Err(_) => refused += 1,
                // Content has no checksum.
                Ok(found) if found != expected => content += 1,
                Ok(_) => {}
            }
        }
    }
    assert!(refused > 50 && content > 50, "{refused} {content}");
    for length in (0..whole.len()).step_by(1000) {
        assert!(all_of(&whole[..length]).is_err(), "{length}");
    }
}

/// All names with all that there is of them, or the first error.
fn all_of(image: &[u8]) -> Result<Vec<String>, String> {
    let ext4 = Ext4::open(image.to_vec(), image.len() as u64).map_err(|e| e.to_string())?;
    let mut found = Vec::new();
    let mut directories = vec![(Vec::new(), 2)];
    while let Some((path, number)) = directories.pop() {
        let directory = ext4.inode(number).map_err(|e| e.to_string())?;
        for (name, number) in ext4.names(&directory).map_err(|e| e.to_string())? {
            let inode = ext4.inode(number).map_err(|e| e.to_string())?;
            let attributes = ext4.attributes(&inode).map_err(|e| e.to_string())?;
            let mut content = Vec::new();
            if inode.is_symlink() {
                content = ext4.target(&inode).map_err(|e| e.to_string())?;
            } else if inode.is_file() {
                let reader = ext4.content(&inode).map_err(|e| e.to_string())?;
                reader.take(1 << 20).read_to_end(&mut content).map_err(|e| e.to_string())?;
            }
            let path = [&path[..], b"/", &name].concat();
            found.push(format!("{path:?} {inode:?} {attributes:?} {content:?}"));
            if inode.is_directory() && directories.len() < 100 {
                directories.push((path, number));
            }
        }
    }
    Ok(found)
}

/// A directory that is in itself has no end, and a file with one name has no second one.
#[test]
fn loops_in_an_ext4_are_refused() {
    let Some(tools) = Tools::find() else { return };
    let directory = tempfile::tempdir().unwrap();
    let tree = directory.path().join("tree");
    fs::create_dir_all(tree.join("a/b")).unwrap();
    fs::write(tree.join("a/file"), "x").unwrap();
    for (script, path) in [
        ("ln /a /a/b/again\n", &b"a/b/again"[..]),
        ("ln / /a/b/root\n", b"a/b/root"),
        ("ln /a/file /a/twice\n", b"a/twice"),
        ("ln <8> /a/journal\n", b"a/journal"),
        ("sif /a/file block[0] 0\nsif /a/file mode 0\n", b"a/file"),
    ] {
        let raw = directory.path().join("root.raw");
        tools.mke2fs(&raw, &["-t", "ext4", "-b", "1024"], Some(&tree), "8M");
        let commands = directory.path().join("commands");
        fs::write(&commands, script).unwrap();
        run(Command::new(&tools.debugfs).args(["-w", "-f"]).arg(&commands).arg(&raw));
        let source = Source::disk(&raw, &DiskOptions::default()).unwrap();
        let built = build_disk(source, &options(FsType::Erofs), directory.path());
        let Err(BuildError::Tree(error)) = built else { panic!("{script}: {built:?}") };
        let said = words(&error);
        assert!(said.starts_with(&String::from_utf8_lossy(path).into_owned()), "{script}: {said}");
        assert!(said.contains("the ext4 is damaged"), "{said}");
    }
    assert_eq!(names(directory.path()), ["commands", "root.raw", "tree"]);
}

/// What was not shut down in order is said so, and what is not supported by its name.
#[test]
fn an_ext4_that_cannot_be_read_is_refused_by_name() {
    let Some(tools) = Tools::find() else { return };
    let directory = tempfile::tempdir().unwrap();
    let raw = directory.path().join("root.raw");
    let refused = |options: &[&str], script: &str| {
        tools.mke2fs(&raw, options, None, "8M");
        let commands = directory.path().join("commands");
        fs::write(&commands, script).unwrap();
        run(Command::new(&tools.debugfs).args(["-w", "-f"]).arg(&commands).arg(&raw));
        let source = Source::disk(&raw, &DiskOptions::default());
        match source.map(|source| build_disk(source, &options_of(), directory.path())) {
            Ok(Err(error)) => words(&error),
            Err(error) => words(&error),
            Ok(Ok(_)) => panic!("{options:?} {script} is accepted"),
        }
    };
    let ext4 = ["-t", "ext4", "-O"];
    let with = |feature: &'static str| [&ext4[..], &[feature]].concat();
    let said = refused(&with("inline_data"), "");
    assert!(said.contains("has the feature inline_data"), "{said}");
    let said = refused(&with("ea_inode"), "");
    assert!(said.contains("has the feature ea_inode"), "{said}");
    let said = refused(&with("meta_bg,^resize_inode"), "");
    assert!(said.contains("has the feature meta_bg"), "{said}");
    let said = refused(&with("64bit"), "feature needs_recovery\n");
    assert!(said.contains("has a log to be replayed"), "{said}");
    let said = refused(&with("64bit"), "ssv state 0\n");
    assert!(said.contains("was not unmounted in order"), "{said}");
    let said = refused(&with("64bit"), "ssv state 3\n");
    assert!(said.contains("marked as having errors"), "{said}");
}

fn options_of() -> image_builder::disk::Options {
    options(FsType::Erofs)
}
