//! Verification lists everything that is not as the sidecar says, and a
//! description tells what is there without one.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod disk_common;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use disk_common::{build_disk, options};
use image_builder::disk::{
    Content, DATA_SERIAL, Disk, Finding, HASH_SERIAL, ImagePaths, Layout, Sidecar, SidecarError,
    Source, Target, VerifyImageError, build, describe, verify,
};
use image_builder::progress::Silent;
use protocol::config::FsType;
use verity::{Block, VerifyError};

struct Image {
    directory: tempfile::TempDir,
    sidecar: Sidecar,
}

impl Image {
    fn new() -> Image {
        let directory = tempfile::tempdir().unwrap();
        let tree = directory.path().join("tree");
        fs::create_dir(&tree).unwrap();
        let noise: Vec<u8> =
            (0..500_000_u32).flat_map(|n| n.wrapping_mul(n).to_le_bytes()).collect();
        fs::write(tree.join("file"), noise).unwrap();
        let source = Source::Directory(tree);
        let built = build_disk(source, &options(FsType::Squashfs), directory.path()).unwrap();
        Image { directory, sidecar: built.sidecar }
    }

    fn disk(&self) -> &Disk {
        let Layout::Disk(disk) = &self.sidecar.layout else { panic!("no disk") };
        disk
    }

    fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("root.img")
    }

    fn write(&self, offset: u64, bytes: &[u8]) {
        let file = File::options().write(true).open(self.path()).unwrap();
        file.write_all_at(bytes, offset).unwrap();
    }

    fn flip(&self, offset: u64) {
        let file = File::options().read(true).write(true).open(self.path()).unwrap();
        let mut byte = [0];
        FileExt::read_exact_at(&file, &mut byte, offset).unwrap();
        FileExt::write_all_at(&file, &[byte[0] ^ 1], offset).unwrap();
    }

    fn findings(&self) -> Vec<Finding> {
        let path = self.directory.path().join("root.toml");
        let sidecar = Sidecar::load(&path).unwrap();
        verify(&sidecar, &ImagePaths::beside(&sidecar, &path), &Silent).unwrap()
    }
}

#[test]
fn an_untouched_image_has_no_findings() {
    assert!(Image::new().findings().is_empty());
}

/// Attack: the verity superblock flipped or zeroed. PID 1 does not read it and
/// boots; the owner is told.
#[test]
fn a_damaged_superblock_is_reported() {
    let image = Image::new();
    let start = image.disk().verity.offset;
    for offset in [0, 7, 8, 12, 16, 31, 32, 64, 68, 72, 80, 88, 511] {
        image.flip(start + offset);
        let findings = image.findings();
        assert!(
            matches!(
                &findings[..],
                [Finding::Superblock { .. }] | [Finding::SuperblockField { .. }]
            ),
            "{offset}: {findings:?}"
        );
        image.flip(start + offset);
    }
    image.write(start, &[0; 512]);
    let findings = image.findings();
    assert!(matches!(&findings[..], [Finding::Superblock { .. }]), "{findings:?}");
}

#[test]
fn the_first_bad_block_is_named() {
    let image = Image::new();
    let root = image.disk().root.offset;
    image.flip(root + 20 * 4096 + 5);
    image.flip(root + 12 * 4096);
    let findings = image.findings();
    let [Finding::Tree { source: VerifyError::Corrupt { block: Block::Data(12), offset } }] =
        &findings[..]
    else {
        panic!("{findings:?}");
    };
    assert_eq!(*offset, 12 * 4096);
    let text = findings[0].to_string();
    assert!(text.contains("root hash"), "{text}");

    let image = Image::new();
    // Behind the superblock's block comes the top of the tree.
    image.flip(image.disk().verity.offset + 4096);
    let findings = image.findings();
    let top = matches!(&findings[..], [Finding::Tree { source: VerifyError::RootHash { .. } }]);
    assert!(top, "{findings:?}");
}

#[test]
fn all_that_is_wrong_is_listed() {
    let image = Image::new();
    let disk = image.disk().clone();
    image.flip(512 + 20);
    image.flip(disk.size - 1024);
    image.flip(disk.verity.offset + 16);
    image.write(disk.root.offset, &[0; 4]);
    let findings = image.findings();
    assert!(
        matches!(
            &findings[..],
            [
                Finding::Table { .. },
                Finding::Table { .. },
                Finding::FileSystem { .. },
                Finding::SuperblockField { .. },
                Finding::Tree { .. },
            ]
        ),
        "{findings:?}"
    );
}

/// Attack: another table with correct checksums.
#[test]
fn a_table_that_says_something_else_is_reported_by_field() {
    let image = Image::new();
    let disk = image.disk();
    let mut table = disk.table();
    table.partitions[0].name = "other".to_owned();
    table.partitions[1].last_lba += 8;
    table.partitions[1].attributes = 0;
    image.write(0, &table.primary().unwrap());
    let findings = image.findings();
    let field = |finding| {
        if let Finding::TableField { field, .. } = finding { Some(field) } else { None }
    };
    let fields: Vec<Option<String>> = findings.into_iter().map(field).collect();
    assert_eq!(
        fields,
        [
            "the name of partition 1",
            "the last sector of partition 2",
            "the attributes of partition 2"
        ]
        .map(|field| Some(field.to_owned()))
    );
}

#[test]
fn a_file_of_another_size_is_reported_with_the_rest() {
    let image = Image::new();
    let disk = image.disk().clone();
    let file = File::options().write(true).open(image.path()).unwrap();
    file.set_len(disk.size + 1).unwrap();
    assert!(matches!(&image.findings()[..], [Finding::Size { .. }]));
    file.set_len(disk.root.offset + disk.root.size - 1).unwrap();
    let findings = image.findings();
    let kind = |wanted: fn(&Finding) -> bool| findings.iter().any(wanted);
    assert!(kind(|f| matches!(f, Finding::Size { .. })));
    assert!(kind(|f| matches!(f, Finding::Read { .. })));
    assert!(kind(|f| matches!(f, Finding::Tree { .. })), "{findings:?}");
    fs::remove_file(image.path()).unwrap();
    let path = image.directory.path().join("root.toml");
    let gone = verify(&image.sidecar, &ImagePaths::beside(&image.sidecar, &path), &Silent);
    assert!(matches!(gone, Err(VerifyImageError::Open { .. })));
    let files = ImagePaths::Files { data: image.path(), hash: image.path() };
    let mixed = verify(&image.sidecar, &files, &Silent);
    assert!(matches!(mixed, Err(VerifyImageError::Layout { .. })));
}

/// Every value that follows from others: a sidecar with a change is refused with
/// the value's name, so that nobody boots with a table that the image has not.
#[test]
fn a_sidecar_that_contradicts_itself_is_refused() {
    let image = Image::new();
    let text = fs::read_to_string(image.directory.path().join("root.toml")).unwrap();
    assert_eq!(Sidecar::parse(&text).unwrap(), image.sidecar);
    let root_hash = image.sidecar.verity.root_hash.to_string();
    let changed = |from: &str, to: &str| {
        assert!(text.contains(from), "{from} is not in\n{text}");
        Sidecar::parse(&text.replacen(from, to, 1)).unwrap_err()
    };
    type Wanted = fn(&SidecarError) -> bool;
    let inconsistent: Wanted = |e| matches!(e, SidecarError::Inconsistent { .. });
    let parse: Wanted = |e| matches!(e, SidecarError::Parse(_));
    let cases: &[(&str, &str, Wanted)] = &[
        ("format = 1", "format = 2", |e| matches!(e, SidecarError::Version(2))),
        ("format = 1", "", parse),
        ("format = 1", "format = 1\nother = 1", parse),
        ("[verity]", "[verity]\nother = 1", parse),
        ("kind = \"squashfs\"", "kind = \"erofs\"", inconsistent),
        ("kind = \"squashfs\"", "kind = \"ntfs\"", parse),
        ("ravelin.root.mode=verity", "ravelin.root.mode=plain", inconsistent),
        ("ravelin.verity.algorithm=sha256", "ravelin.verity.algorithm=sha512", inconsistent),
        ("algorithm = \"sha256\"", "algorithm = \"sha512\"", inconsistent),
        ("algorithm = \"sha256\"", "algorithm = \"md5\"", parse),
        ("data_block_size = \"4096\"", "data_block_size = \"2048\"", inconsistent),
        ("data_block_size = \"4096\"", "data_block_size = \"8192\"", parse),
        ("hash_start_block = 1", "hash_start_block = 2", inconsistent),
        ("data_blocks = ", "data_blocks = 1", inconsistent),
        ("data_blocks = ", "data_blocks = -", parse),
        ("number = 1", "number = 3", inconsistent),
        ("offset = 1048576", "offset = 1048577", inconsistent),
        ("file = \"root.img\"", "file = \"../root.img\"", |e| {
            matches!(e, SidecarError::FileName(_))
        }),
        ("file = \"root.img\"", "file = \"/etc/shadow\"", |e| {
            matches!(e, SidecarError::FileName(_))
        }),
        ("file = \"root.img\"", "file = \"..\"", |e| matches!(e, SidecarError::FileName(_))),
    ];
    for (from, to, wanted) in cases {
        let error = changed(from, to);
        assert!(wanted(&error), "{from} -> {to}: {error:?}");
    }
    // The root hash alone, everywhere but in the GUIDs.
    let flipped = if root_hash.starts_with('0') { "1" } else { "0" };
    let other = flipped.to_owned() + root_hash.split_at(1).1;
    let error = Sidecar::parse(&text.replace(&root_hash, &other)).unwrap_err();
    assert!(inconsistent(&error), "{error:?}");
    let short = Sidecar::parse(&text.replace(&root_hash, root_hash.split_at(2).1)).unwrap_err();
    assert!(matches!(short, SidecarError::Parse(_)), "{short:?}");
    let large = image.directory.path().join("large.toml");
    fs::write(&large, vec![b'#'; 1 << 17]).unwrap();
    assert!(matches!(Sidecar::load(&large), Err(SidecarError::TooLarge { .. })));
}

#[test]
fn a_description_says_what_is_there() {
    let image = Image::new();
    let disk = image.disk();
    let description = describe(&image.path()).unwrap();
    assert_eq!(description.bytes, disk.size);
    let Content::Disk(found) = description.content else { panic!("no disk") };
    assert_eq!(found.table.as_ref().unwrap(), &disk.table());
    assert_eq!(found.backup.as_ref().unwrap(), &disk.table());
    let [root, hash] = &found.volumes[..] else { panic!("{found:?}") };
    let file_system = root.file_system.as_ref().unwrap().as_ref().unwrap();
    assert_eq!(file_system.kind, FsType::Squashfs);
    assert_eq!(file_system.size, image.sidecar.file_system.size);
    assert!(root.verity.is_none() && hash.file_system.is_none());
    let (0, Ok(superblock)) = hash.verity.as_ref().unwrap() else { panic!("{hash:?}") };
    assert_eq!(superblock, &image.sidecar.superblock());

    // What is damaged is there with its reason, beside what is sound.
    image.flip(disk.size - 1024);
    image.flip(disk.verity.offset + 8);
    image.write(disk.root.offset + 28, &[9]);
    let Content::Disk(found) = describe(&image.path()).unwrap().content else { panic!("no disk") };
    assert!(found.table.is_ok() && found.backup.is_err());
    assert!(found.volumes[0].file_system.as_ref().unwrap().is_err());
    assert!(found.volumes[1].verity.as_ref().unwrap().1.is_err());
    image.flip(512 + 8);
    let Content::Disk(found) = describe(&image.path()).unwrap().content else { panic!("no disk") };
    assert!(found.table.is_err() && found.volumes.is_empty());
}

#[test]
fn bare_files_and_appended_trees_are_described() {
    let directory = tempfile::tempdir().unwrap();
    let tree = directory.path().join("tree");
    fs::create_dir(&tree).unwrap();
    let at = |name: &str| directory.path().join(name);
    let target = Target::Files {
        data: at("data"),
        hash: at("hash"),
        data_serial: DATA_SERIAL.to_owned(),
        hash_serial: HASH_SERIAL.to_owned(),
    };
    let source = Source::Directory(tree);
    let built = build(source, &options(FsType::Erofs), &target, &at("toml"), &Silent).unwrap();
    let volume = |path: &Path| match describe(path).unwrap().content {
        Content::Volume(volume) => volume,
        other => panic!("{other:?}"),
    };
    assert!(volume(&at("data")).file_system.unwrap().is_ok());
    let (0, Ok(superblock)) = volume(&at("hash")).verity.unwrap() else { panic!("no superblock") };
    assert_eq!(superblock, built.sidecar.superblock());
    let both = [fs::read(at("data")).unwrap(), fs::read(at("hash")).unwrap()].concat();
    fs::write(at("both"), both).unwrap();
    let found = volume(&at("both"));
    assert!(found.file_system.unwrap().is_ok());
    let size = fs::metadata(at("data")).unwrap().len();
    assert!(matches!(found.verity, Some((offset, Ok(_))) if offset == size));

    fs::write(at("nothing"), b"x").unwrap();
    let nothing = volume(&at("nothing"));
    assert!(nothing.file_system.is_none() && nothing.verity.is_none());
    fs::write(at("empty"), b"").unwrap();
    assert!(volume(&at("empty")).file_system.is_none());
    assert!(describe(&at("missing")).is_err());
    // A disk of which only the start is there.
    let mut start = vec![0; 1024];
    start[512..520].copy_from_slice(b"EFI PART");
    fs::write(at("start"), start).unwrap();
    let Content::Disk(found) = describe(&at("start")).unwrap().content else { panic!("no disk") };
    assert!(found.table.is_err() && found.backup.is_err());
}
