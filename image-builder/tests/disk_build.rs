//! Whole images: their layout as other tools see it, their independence of
//! everything but the inputs, and what is left when a build does not finish.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod disk_common;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use disk_common::{
    MADE, build_disk, extract_partition, is_root, names, odd_tree, options, oracle, output, run,
};
use image_builder::disk::{
    BuildError, DATA_SERIAL, HASH_SERIAL, Layout, Make, Options, ProbeError, SaltChoice, Sidecar,
    Source, Target, ToolError, build,
};
use image_builder::progress::Silent;
use protocol::cmdline::CommandLine;
use protocol::config::{FsType, Protection, Selector, VerityAlgorithm};
use uuid::Uuid;
use verity::{Algorithm, BlockSize, Salt};

fn small_tree(directory: &Path) -> PathBuf {
    let tree = directory.join("tree");
    disk_common::make_directory(&tree.join("sbin"));
    fs::write(tree.join("sbin/init"), [b'i'; 100_000]).unwrap();
    tree
}

/// The hash partition, out of the disk.
fn extract_hash(sidecar: &Sidecar, directory: &Path) -> PathBuf {
    let Layout::Disk(disk) = &sidecar.layout else { panic!("no disk") };
    let whole = fs::read(directory.join("root.img")).unwrap();
    let start = usize::try_from(disk.verity.offset).unwrap();
    let end = start + usize::try_from(disk.verity.size).unwrap();
    let path = directory.join("root.hash");
    fs::write(&path, &whole[start..end]).unwrap();
    path
}

fn veritysetup_accepts(data: &Path, hash: &Path, sidecar: &Sidecar) {
    let Some(veritysetup) = oracle("veritysetup", "cryptsetup-bin") else { return };
    run(Command::new(&veritysetup)
        .arg("verify")
        .args([data, hash])
        .arg(sidecar.verity.root_hash.to_string()));
    let dump = run(Command::new(&veritysetup).arg("dump").arg(hash));
    let value = |label: &str| {
        let line = dump.lines().find(|line| line.starts_with(label)).unwrap();
        line.split_once(':').unwrap().1.trim().to_owned()
    };
    assert_eq!(value("UUID"), sidecar.verity.uuid.to_string());
    assert_eq!(value("Data blocks"), sidecar.verity.data_blocks.to_string());
    assert_eq!(value("Data block size"), sidecar.verity.data_block_size.to_string());
    assert_eq!(value("Hash block size"), sidecar.verity.hash_block_size.to_string());
    assert_eq!(value("Hash algorithm"), sidecar.verity.algorithm.to_string());
    assert_eq!(value("Salt"), sidecar.verity.salt.to_string());
}

#[test]
fn other_tools_accept_the_disk() {
    for (n, fs) in MADE.into_iter().enumerate() {
        let directory = tempfile::tempdir().unwrap();
        let source = Source::Directory(small_tree(directory.path()));
        let sizes = [512, 1024, 4096].map(|size| BlockSize::try_from(size).unwrap());
        let options = Options {
            algorithm: [Algorithm::Sha256, Algorithm::Sha512, Algorithm::Sha256][n],
            data_block_size: sizes[n],
            hash_block_size: sizes[2 - n],
            salt: SaltChoice::Given([Salt::default(), Salt::new([7; 256]).unwrap()][n % 2].clone()),
            ..options(fs)
        };
        let built = build_disk(source, &options, directory.path()).unwrap();
        let disk = directory.path().join("root.img");
        if let Some(sgdisk) = oracle("sgdisk", "gdisk") {
            let verdict = run(Command::new(sgdisk).arg("-v").arg(&disk));
            assert!(verdict.contains("No problems found"), "{verdict}");
        }
        if let Some(sfdisk) = oracle("sfdisk", "fdisk") {
            let json = run(Command::new(sfdisk).arg("--json").arg(&disk));
            let json: serde_json::Value = serde_json::from_str(&json).unwrap();
            let hash = built.sidecar.verity.root_hash.to_string();
            let uuid = |n: usize| {
                let partition = &json["partitiontable"]["partitions"][n];
                partition["uuid"].as_str().unwrap().replace('-', "").to_lowercase()
            };
            assert!(hash.starts_with(&uuid(0)) && hash.ends_with(&uuid(1)));
        }
        let data = extract_partition(&built, directory.path());
        veritysetup_accepts(&data, &extract_hash(&built.sidecar, directory.path()), &built.sidecar);
    }
}

#[test]
fn bare_files_are_the_same_image_without_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let tree = small_tree(directory.path());
    let options = options(FsType::Erofs);
    let disk =
        build_disk(Source::Directory(tree.clone()), &options, directory.path()).unwrap().sidecar;
    let (data, hash) = (directory.path().join("d"), directory.path().join("h"));
    let target = Target::Files {
        data: data.clone(),
        hash: hash.clone(),
        data_serial: DATA_SERIAL.to_owned(),
        hash_serial: HASH_SERIAL.to_owned(),
    };
    let sidecar = directory.path().join("bare.toml");
    let built = build(Source::Directory(tree), &options, &target, &sidecar, &Silent).unwrap();
    assert_eq!(Sidecar::load(&sidecar).unwrap(), built.sidecar);
    assert_eq!(built.sidecar.verity, disk.verity);
    assert!(built.sidecar.cmdline.contains("ravelin.root.device=serial:ravelin-root "));
    assert!(built.sidecar.cmdline.contains("ravelin.verity.hash_device=serial:ravelin-hash "));
    veritysetup_accepts(&data, &hash, &built.sidecar);
    assert_eq!(names(directory.path()), ["bare.toml", "d", "h", "root.img", "root.toml", "tree"]);
}

/// What the sidecar gives to the VM is what PID 1's own parser reads out of it.
#[test]
fn the_command_line_says_what_the_sidecar_says() {
    let directory = tempfile::tempdir().unwrap();
    let source = Source::Directory(small_tree(directory.path()));
    let options = Options {
        algorithm: Algorithm::Sha512,
        data_block_size: BlockSize::try_from(1024).unwrap(),
        salt: SaltChoice::Given(Salt::default()),
        ..options(FsType::Squashfs)
    };
    let sidecar = build_disk(source, &options, directory.path()).unwrap().sidecar;
    assert_eq!(Sidecar::load(&directory.path().join("root.toml")).unwrap(), sidecar);
    let line = CommandLine::parse(sidecar.cmdline.as_bytes()).unwrap();
    let config = protocol::config::parse(None, &line).unwrap();
    let Layout::Disk(disk) = &sidecar.layout else { panic!("no disk") };
    assert_eq!(config.root.device, Selector::PartUuid(disk.root.guid));
    assert_eq!(config.root.fstype, FsType::Squashfs);
    let Protection::Verity(verity) = &config.root.protection else { panic!("{config:?}") };
    assert_eq!(verity.hash_device, Selector::PartUuid(disk.verity.guid));
    assert_eq!(verity.root_hash, sidecar.verity.root_hash.as_bytes());
    assert!(verity.salt.is_empty());
    assert_eq!(verity.algorithm, VerityAlgorithm::Sha512);
    assert_eq!(verity.data_blocks, sidecar.verity.data_blocks);
    assert_eq!(u64::from(verity.data_block_size), 1024);
    assert_eq!(u64::from(verity.hash_block_size), 4096);
    assert_eq!(verity.hash_start_block, 1);
}

#[test]
fn seed_and_salt_decide_the_identifiers() {
    let directory = tempfile::tempdir().unwrap();
    let tree = small_tree(directory.path());
    let build = |options: &Options| {
        let source = Source::Directory(tree.clone());
        build_disk(source, options, directory.path()).unwrap().sidecar
    };
    let first = build(&options(FsType::Erofs));
    let seed = Uuid::from_u128(1);
    let other = build(&Options { seed, ..options(FsType::Erofs) });
    assert_ne!(first.file_system.uuid, other.file_system.uuid);
    assert_ne!(first.verity.uuid, other.verity.uuid);
    assert_ne!(first.verity.salt, other.verity.salt);
    let random = || Options { salt: SaltChoice::Random, ..options(FsType::Erofs) };
    let (a, b) = (build(&random()), build(&random()));
    assert_ne!(a.verity.salt, b.verity.salt);
    assert_eq!(a.file_system, b.file_system);
}

// ---- builds in another process --------------------------------------------

/// Not a test by itself: the others run it in a process of their own, with a
/// user, an environment or an end of its own.
#[test]
#[ignore = "a helper process of other tests"]
fn helper() {
    let variable = |name| PathBuf::from(std::env::var_os(name).unwrap());
    let fs: FsType = std::env::var("HELPER_FS").unwrap().parse().unwrap();
    let from = variable("HELPER_FROM");
    let source = if from == Path::new("-") {
        Source::TarStream { name: "-".to_owned(), reader: Box::new(std::io::stdin()) }
    } else {
        Source::detect(&from).unwrap()
    };
    build_disk(source, &options(fs), &variable("HELPER_INTO")).unwrap();
}

/// The helper, in `prefix` if that names a program.
fn helper_process(prefix: &[&str], from: &Path, fs: FsType, into: &Path) -> Command {
    // The target directory may be closed to other users.
    // Copied by another process: a descriptor that this one has open for writing
    // could be inherited by a child of another test, and the program be busy.
    let program = into.with_file_name("helper-program");
    run(Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&program));
    let mut words = prefix.iter().map(Into::into).collect::<Vec<std::ffi::OsString>>();
    words.push(program.into());
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).args(["--exact", "helper", "--include-ignored"]);
    command.env("HELPER_FROM", from).env("HELPER_FS", fs.as_str()).env("HELPER_INTO", into);
    command
}

fn odd_tar(directory: &Path, fs: FsType) -> Option<PathBuf> {
    let tar = oracle("tar", "tar")?;
    let (tree, path) = (directory.join("tree"), directory.join("tree.tar"));
    fs::create_dir(&tree).unwrap();
    odd_tree(&tree, fs);
    run(Command::new(tar)
        .args(["--format=posix", "--sort=name", "--xattrs", "--xattrs-include=*", "-C"])
        .arg(&tree)
        .arg("-cf")
        .arg(&path)
        .arg("."));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    Some(path)
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    for fs in MADE {
        let directory = disk_common::open_directory();
        let Some(tar) = odd_tar(directory.path(), fs) else { return };
        let first = directory.path().join("first");
        fs::create_dir(&first).unwrap();
        let source = Source::detect(&tar).unwrap();
        build_disk(source, &Options { threads: None, ..options(fs) }, &first).unwrap();
        let expected =
            (fs::read(first.join("root.img")).unwrap(), fs::read(first.join("root.toml")).unwrap());

        // Another time, path, environment, umask, number of threads and cores.
        std::thread::sleep(Duration::from_millis(1100));
        let second = directory.path().join("a longer path/second");
        disk_common::make_directory(&second);
        let mut command = helper_process(
            &["taskset", "-c", "0", "sh", "-c", "umask 077; exec \"$@\"", "sh"],
            &tar,
            fs,
            &second,
        );
        command
            .env("TZ", "Pacific/Kiritimati")
            .env("LC_ALL", "C.UTF-8")
            .env("SOURCE_DATE_EPOCH", "1234567890")
            .env("MKE2FS_CONFIG", "/dev/null")
            .env("E2FSPROGS_FAKE_TIME", "77")
            .env("EROFS_OPTIONS", "x")
            .current_dir("/");
        // Not `run`: that sets the locale.
        let done = command.stdin(Stdio::null()).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
        assert!(fs::read(second.join("root.img")).unwrap() == expected.0, "{fs}");
        assert!(fs::read(second.join("root.toml")).unwrap() == expected.1, "{fs}");
    }
}

/// Whatever the user: root without any capability, and `nobody`.
#[test]
fn no_privilege_is_needed() {
    if !is_root("becoming another user") {
        return;
    }
    for fs in MADE {
        let directory = disk_common::open_directory();
        let Some(tar) = odd_tar(directory.path(), fs) else { return };
        let into = |name: &str| {
            let path = directory.path().join(name);
            fs::create_dir(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
            path
        };
        let by_root = into("root");
        build_disk(Source::detect(&tar).unwrap(), &options(fs), &by_root).unwrap();
        let expected = fs::read(by_root.join("root.img")).unwrap();
        let bare: &[&str] = &["setpriv", "--inh-caps=-all", "--bounding-set=-all"];
        let nobody: &[&str] =
            &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"];
        for (name, prefix) in [("bare", bare), ("nobody", nobody)] {
            let tool = match fs {
                FsType::Squashfs => options(fs).tools.mksquashfs,
                FsType::Ext4 => options(fs).tools.mke2fs,
                FsType::Erofs | FsType::Xfs | FsType::Btrfs => options(fs).tools.mkfs_erofs,
            };
            if let Some(tool) = tool {
                // The project's own tools may lie below a directory of root's.
                let mut test = Command::new(prefix[0]);
                let reachable = output(test.args(&prefix[1..]).arg("test").arg("-x").arg(&tool));
                if !reachable.status.success() {
                    eprintln!("SKIPPED: {} is closed to {name}", tool.display());
                    continue;
                }
            }
            let into = into(name);
            run(&mut helper_process(prefix, &tar, fs, &into));
            assert!(fs::read(into.join("root.img")).unwrap() == expected, "{fs} {name}");
        }
    }
}

/// Children of a process, by their command lines.
fn tools_of(child: &Child) -> Vec<(u32, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else {
            continue;
        };
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        if command.contains(&format!("/proc/{}/fd/", child.id())) {
            found.push((pid, command));
        }
    }
    found
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A build that is killed while its tool works: no file, and no tool that works
/// on for nobody.
#[test]
fn a_killed_build_leaves_nothing() {
    if oracle("setpriv", "util-linux").is_none() {
        return;
    }
    for fs in [FsType::Erofs, FsType::Squashfs] {
        let directory = disk_common::open_directory();
        let into = directory.path().join("into");
        fs::create_dir(&into).unwrap();
        fs::write(into.join("root.img"), "an older image").unwrap();
        let mut command = helper_process(&[], Path::new("-"), fs, &into);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_path("large").unwrap();
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(1 << 30);
        header.set_cksum();
        stdin.write_all(header.as_bytes()).unwrap();
        stdin.write_all(&[1; 1 << 20]).unwrap();
        wait_until("the tool starts", || !tools_of(&child).is_empty());
        assert_eq!(names(&into), ["root.img"]);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(names(&into), ["root.img"]);
        assert_eq!(fs::read(into.join("root.img")).unwrap(), b"an older image");
        wait_until("the tool ends", || tools_of(&child).is_empty());
    }
}

// ---- what goes wrong -------------------------------------------------------

#[test]
fn a_failing_tool_is_quoted_and_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let tree = small_tree(directory.path());
    let tool = directory.path().join("mkfs.erofs");
    let with = |script: &str| {
        fs::write(&tool, format!("#!/bin/sh\n{script}")).unwrap();
        fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
        let mut options = options(FsType::Erofs);
        options.tools.mkfs_erofs = Some(tool.clone());
        let into = directory.path().join("into");
        disk_common::make_directory(&into);
        fs::write(into.join("root.img"), "an older image").unwrap();
        let error = build_disk(Source::Directory(tree.clone()), &options, &into).unwrap_err();
        assert_eq!(names(&into), ["root.img"]);
        assert_eq!(fs::read(into.join("root.img")).unwrap(), b"an older image");
        error
    };
    let probe = "case $1 in --help) echo --tar= --mkfs-time; exit;; esac\n";
    let error = with(&format!("{probe}echo disk is full >&2; exit 1"));
    assert!(matches!(error, BuildError::Tool(ToolError::Failed { .. })), "{error:?}");
    assert!(error.to_string().ends_with("disk is full"), "{error}");
    let error = with(&format!("{probe}cat >/dev/null; echo no inodes >&2; exit 1"));
    assert!(error.to_string().ends_with("no inodes"), "{error}");
    // It says that all is well, but made nothing.
    let error = with(&format!("{probe}cat >/dev/null"));
    assert!(matches!(error, BuildError::Probe(ProbeError::Unknown)), "{error:?}");
    let error = with("echo 'mkfs.erofs 1.5' >&2");
    assert!(matches!(error, BuildError::Tool(ToolError::Unfit { .. })), "{error:?}");
    assert!(error.to_string().contains("erofs-utils 1.7 or later"), "{error}");
}

#[test]
fn a_size_that_is_too_small_is_the_tools_own_error() {
    let directory = tempfile::tempdir().unwrap();
    let tree = small_tree(directory.path());
    fs::write(tree.join("large"), vec![1; 3 << 20]).unwrap();
    let with = |size| {
        let options = Options {
            make: Make::Ext4 { size: Some(size), writable: false },
            ..options(FsType::Ext4)
        };
        build_disk(Source::Directory(tree.clone()), &options, directory.path())
    };
    let error = with(2 << 20).unwrap_err();
    assert!(matches!(error, BuildError::Tool(ToolError::Failed { .. })), "{error:?}");
    assert!(matches!(with(4097), Err(BuildError::Size { bytes: 4097 })));
    let built = with(16 << 20).unwrap();
    assert_eq!(built.sidecar.file_system.size, 16 << 20);
}

#[test]
fn images_are_taken_as_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let tree = small_tree(directory.path());
    for fs in MADE {
        let made =
            build_disk(Source::Directory(tree.clone()), &options(fs), directory.path()).unwrap();
        let image = extract_partition(&made, directory.path());
        // What follows a file system in its file is not part of it.
        let mut bytes = fs::read(&image).unwrap();
        bytes.extend([0x55; 12345]);
        fs::write(&image, bytes).unwrap();
        let source = Source::detect(&image).unwrap();
        assert!(matches!(source, Source::Image(_)));
        let taken = build_disk(source, &options(fs), directory.path()).unwrap();
        assert_eq!(taken.sidecar, made.sidecar, "{fs}");
    }
}

#[test]
fn an_image_whose_blocks_are_smaller_than_the_data_blocks_is_refused() {
    let Some(mke2fs) = oracle("mke2fs", "e2fsprogs") else { return };
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("small.ext4");
    run(Command::new(mke2fs).args(["-q", "-t", "ext4", "-b", "1024"]).arg(&image).arg("4096k"));
    let take = |size| {
        let data_block_size = BlockSize::try_from(size).unwrap();
        let options = Options { data_block_size, ..Options::default() };
        build_disk(Source::Image(image.clone()), &options, directory.path())
    };
    let error = take(4096).unwrap_err();
    assert!(
        matches!(error, BuildError::BlockSize { kind: FsType::Ext4, block_size: 1024, .. }),
        "{error:?}"
    );
    assert_eq!(take(1024).unwrap().sidecar.verity.data_blocks, 4096);
    let cut = fs::File::options().write(true).open(&image).unwrap();
    cut.set_len(1 << 20).unwrap();
    let error = take(1024).unwrap_err();
    assert!(matches!(error, BuildError::Probe(ProbeError::CutOff { .. })), "{error:?}");
}
