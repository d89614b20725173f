//! The initramfs as other programs see it: GNU cpio, bsdtar and zstd read what
//! is written, and two builds of the same inputs are the same bytes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod initramfs_support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use image_builder::initramfs::{
    Archive, Compression, ExecutableError, Kind, Level, PartError, Reader, assemble, base,
    check_static_executable, configuration, modules,
};
use image_builder::modules::{ModuleTree, Request};
use initramfs_support::{Random, Tree, executable, has_oracle, run, static_executable};

const CPIO: (&str, &str) = ("cpio", "cpio");
const BSDTAR: (&str, &str) = ("bsdtar", "libarchive-tools");
const ZSTD: (&str, &str) = ("zstd", "zstd");
const CONFIGURATION: &str = "on_failure = \"reboot\"\n[root]\nmode = \"verity\"\n";

/// Every path of the whole initramfs, sorted.
const PATHS: [&str; 17] = [
    "dev",
    "dev/console",
    "dev/null",
    "etc",
    "etc/ravelin.toml",
    "init",
    "lib",
    "lib/modules",
    "lib/modules/6.12.0-test",
    "lib/modules/6.12.0-test/kernel",
    "lib/modules/6.12.0-test/kernel/blk.ko",
    "lib/modules/6.12.0-test/kernel/mod.ko",
    "lib/modules/ravelin.load",
    "proc",
    "run",
    "sys",
    "sysroot",
];

fn tree() -> Tree {
    Tree::new().module("blk.ko.xz", &["depends=mod"]).module("mod.ko.zst", &["depends="])
}

fn parts(tree: &Tree) -> [Archive; 3] {
    let closure =
        ModuleTree::open(&tree.path()).unwrap().closure(&[Request::required("blk")]).unwrap();
    [
        base(&static_executable(b"payload")).unwrap(),
        modules(&closure).unwrap(),
        configuration(CONFIGURATION).unwrap(),
    ]
}

fn whole(compression: Compression) -> Vec<u8> {
    assemble(&parts(&tree()), compression).unwrap()
}

fn sorted(list: &str) -> Vec<String> {
    let mut lines: Vec<String> =
        list.lines().map(|line| line.trim_end_matches('/').to_owned()).collect();
    lines.sort();
    lines
}

#[test]
fn gnu_cpio_lists_and_unpacks_each_archive() {
    if !has_oracle(&[CPIO]) {
        return;
    }
    let tree = tree();
    let directory = tempfile::tempdir().unwrap();
    for archive in &parts(&tree) {
        let listed = run("cpio", &["-it", "--quiet"], directory.path(), &archive.to_bytes());
        assert_eq!(listed.lines().collect::<Vec<_>>(), archive.paths().collect::<Vec<_>>());
        // Device nodes need root.
        run(
            "cpio",
            &["-id", "--quiet", "-f", "dev/console"],
            directory.path(),
            &archive.to_bytes(),
        );
    }
    let at = |path: &str| directory.path().join(path);
    assert_eq!(fs::read(at("init")).unwrap(), static_executable(b"payload"));
    assert_eq!(fs::read_to_string(at("etc/ravelin.toml")).unwrap(), CONFIGURATION);
    assert_eq!(
        fs::read_to_string(at("lib/modules/ravelin.load")).unwrap(),
        "# ravelin load order 1\nkernel 6.12.0-test\n\
         0 required /lib/modules/6.12.0-test/kernel/mod.ko\n\
         1 required /lib/modules/6.12.0-test/kernel/blk.ko\n"
    );
    for (path, mode) in [
        ("init", 0o100_755),
        ("sysroot", 0o040_755),
        ("etc/ravelin.toml", 0o100_644),
        ("lib/modules/6.12.0-test/kernel/blk.ko", 0o100_644),
    ] {
        assert_eq!(fs::metadata(at(path)).unwrap().mode(), mode, "{path}");
    }
}

#[test]
fn gnu_cpio_reads_what_is_in_the_headers() {
    if !has_oracle(&[CPIO]) {
        return;
    }
    let base = base(&static_executable(b"")).unwrap().to_bytes();
    let arguments = ["-itv", "--quiet", "--numeric-uid-gid"];
    let listed = run("cpio", &arguments, Path::new("/"), &base);
    let fields: Vec<Vec<&str>> =
        listed.lines().map(|line| line.split_whitespace().collect()).collect();
    let console = &fields[1];
    assert_eq!(console[..6], ["crw-------", "1", "0", "0", "5,", "1"]);
    assert_eq!(fields[0][..4], ["drwxr-xr-x", "2", "0", "0"]);
    assert_eq!(fields[2][..6], ["crw-rw-rw-", "1", "0", "0", "1,", "3"]);
    assert_eq!(fields[3][..4], ["-rwxr-xr-x", "1", "0", "0"]);
    assert_eq!(fields[3].last(), Some(&"init"));
}

/// Each archive plain, and compressed by itself. (libarchive ends at the first
/// trailer, so it cannot be asked about the concatenation.)
#[test]
fn bsdtar_lists_and_unpacks_each_archive_plain_and_compressed() {
    if !has_oracle(&[BSDTAR]) {
        return;
    }
    for compression in [Compression::None, Compression::Zstd(Level::DEFAULT)] {
        let directory = tempfile::tempdir().unwrap();
        for archive in &parts(&tree()) {
            let image = assemble([archive], compression).unwrap();
            let listed = run("bsdtar", &["-tf", "-"], directory.path(), &image);
            assert_eq!(sorted(&listed), archive.paths().collect::<Vec<_>>());
            let unpack = ["-xf", "-", "--exclude", "dev/console"];
            run("bsdtar", &unpack, directory.path(), &image);
        }
        let at = |path: &str| directory.path().join(path);
        assert_eq!(fs::read_to_string(at("etc/ravelin.toml")).unwrap(), CONFIGURATION);
        assert_eq!(fs::read(at("init")).unwrap(), static_executable(b"payload"));
        let mode = fs::metadata(at("init")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
    }
}

/// cpio reads blocks of 512 bytes up to the trailer, so three of them read
/// three archives, one after another: what the padding is for.
#[test]
fn gnu_cpio_reads_the_concatenation() {
    if !has_oracle(&[CPIO]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("image"), whole(Compression::None)).unwrap();
    let script = "{ cpio -it --quiet; cpio -it --quiet; cpio -it --quiet; } < image";
    let listed = run("sh", &["-c", script], directory.path(), b"");
    assert_eq!(sorted(&listed), PATHS);
}

/// Archives of many shapes: sizes around the padding, modes, deep and long
/// names, links.
#[test]
fn generated_archives_are_unpacked_by_both_tools() {
    if !has_oracle(&[CPIO, BSDTAR]) {
        return;
    }
    let mut random = Random(5);
    for _ in 0..24 {
        let mut archive = Archive::new();
        let mut files = Vec::new();
        for n in 0..1 + random.below(12) {
            let depth = random.below(4);
            let directory: String =
                (0..depth).map(|d| format!("d{d}-{}/", random.below(3))).collect();
            let path = format!("{directory}{}{n}", "n".repeat(1 + random.below(200)));
            // Readable by whoever unpacks.
            let mode = 0o400 | u32::try_from(random.below(0o1000)).unwrap();
            let content: Vec<u8> =
                (0..random.below(1030)).map(|_| random.next().to_le_bytes()[0]).collect();
            archive.file(&path, mode, content.clone()).unwrap();
            archive.symlink(&format!("{path}.link"), &format!("to/{n}")).unwrap();
            files.push((path, mode, content, format!("to/{n}")));
        }
        let image = archive.to_bytes();
        for (tool, arguments) in [("cpio", &["-id", "--quiet"][..]), ("bsdtar", &["-xpf", "-"][..])]
        {
            let directory = tempfile::tempdir().unwrap();
            run(tool, arguments, directory.path(), &image);
            for (path, mode, content, target) in &files {
                let at = directory.path().join(path);
                assert_eq!(fs::read(&at).unwrap(), *content, "{tool}: {path}");
                assert_eq!(fs::metadata(&at).unwrap().mode(), 0o100_000 | mode, "{tool}: {path}");
                let link = directory.path().join(format!("{path}.link"));
                assert_eq!(fs::read_link(link).unwrap(), Path::new(target), "{tool}");
            }
        }
    }
}

#[test]
fn zstd_decompresses_to_the_plain_initramfs() {
    if !has_oracle(&[ZSTD]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (packed, plain) = (directory.path().join("i.zst"), directory.path().join("i"));
    for level in [1, 19, 22].map(|level| Level::new(level).unwrap()) {
        fs::write(&packed, whole(Compression::Zstd(level))).unwrap();
        run("zstd", &["-dqf", "i.zst"], directory.path(), b"");
        assert_eq!(fs::read(&plain).unwrap(), whole(Compression::None));
    }
}

#[test]
fn the_own_reader_reads_every_composition() {
    let plain = whole(Compression::None);
    let packed = whole(Compression::Zstd(Level::DEFAULT));
    let compositions = [
        (plain.clone(), 3),
        (packed.clone(), 3),
        ([packed.clone(), plain.clone()].concat(), 6),
        ([plain.clone(), packed.clone(), plain.clone()].concat(), 9),
        ([packed.clone(), vec![0; 512], packed.clone()].concat(), 6),
        ([vec![0; 4096], plain.clone()].concat(), 3),
    ];
    for (image, archives) in compositions {
        let mut reader = Reader::new(&image[..]);
        let mut names = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            assert_eq!((entry.uid, entry.gid, entry.mtime), (0, 0, 0));
            if entry.name == b"etc/ravelin.toml" {
                assert_eq!(entry.kind(), Kind::File);
                let content = reader.content(4096).unwrap().unwrap();
                assert_eq!(content, CONFIGURATION.as_bytes());
            }
            if entry.name == b"dev/console" {
                assert_eq!(entry.kind(), Kind::CharacterDevice);
                assert_eq!(entry.device, (5, 1));
            }
            names.push(entry.display_name());
        }
        assert_eq!(reader.archives(), archives);
        names.sort();
        names.dedup();
        assert_eq!(names, PATHS);
    }
}

#[test]
fn a_content_over_the_limit_is_left_and_can_be_skipped() {
    let plain = base(&static_executable(&[7; 10_000])).unwrap().to_bytes();
    let mut reader = Reader::new(&plain[..]);
    let mut last = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        if entry.name == b"init" {
            assert_eq!(reader.content(100).unwrap(), None);
        }
        last = entry.name;
    }
    assert_eq!(last, b"sysroot");
}

/// The same inputs in another directory, written in another order, at another
/// time, under another umask and by another user.
#[test]
fn time_path_order_and_user_do_not_reach_the_bytes() {
    let here = whole(Compression::Zstd(Level::DEFAULT));
    let other = Tree::new();
    let other = other.module("mod.ko.zst", &["depends="]).module("blk.ko.xz", &["depends=mod"]);
    for (index, name) in ["kernel/blk.ko.xz", "kernel/mod.ko.zst", "kernel"].iter().enumerate() {
        let path = other.path().join(name);
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(index as u64 * 86_400);
        fs::File::open(&path).unwrap().set_modified(time).unwrap();
        let mode = if path.is_dir() { 0o700 } else { 0o400 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        if is_root() {
            std::os::unix::fs::chown(&path, Some(12_345), Some(54_321)).unwrap();
        }
    }
    let there = assemble(&parts(&other), Compression::Zstd(Level::DEFAULT)).unwrap();
    assert_eq!(here, there);
}

/// The test above changes what the inputs look like; this one changes who
/// builds: it runs itself again as another user, under another umask, in
/// another directory, time zone and language.
#[test]
fn another_user_makes_the_same_bytes() {
    const OUTPUT: &str = "RAVELIN_TEST_DETERMINISM_OUTPUT";
    let here = whole(Compression::Zstd(Level::DEFAULT));
    if let Some(output) = std::env::var_os(OUTPUT) {
        fs::write(output, &here).unwrap();
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let program = directory.path().join("test-program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let output = directory.path().join("image");
    let mut shell = std::process::Command::new("sh");
    shell
        .args(["-c", "umask 077; exec \"$@\"", "sh"])
        .arg(&program)
        .args(["--exact", "another_user_makes_the_same_bytes"])
        .current_dir(directory.path())
        .env(OUTPUT, &output)
        .env("TMPDIR", directory.path())
        .env("TZ", "Pacific/Kiritimati")
        .env("LC_ALL", "tr_TR.UTF-8")
        .env("SOURCE_DATE_EPOCH", "86400");
    if is_root() {
        std::os::unix::process::CommandExt::uid(&mut shell, 65_534);
    }
    let result = shell.output().unwrap();
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    assert_eq!(fs::read(&output).unwrap(), here);
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

#[test]
fn every_archive_and_image_is_aligned() {
    for archive in &parts(&tree()) {
        assert_eq!(archive.to_bytes().len() % 512, 0);
    }
    assert_eq!(whole(Compression::Zstd(Level::DEFAULT)).len() % 4, 0);
}

/// The table of the base archive in the page for other projects.
#[test]
fn the_base_archive_is_as_the_page_says() {
    let page = include_str!("../../docs/initramfs.md");
    let rows = page.lines().skip_while(|line| *line != "| path | what | mode |").skip(2);
    let rows: Vec<String> = rows
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let what = cells[1].split(',').next().unwrap();
            format!("{} {what} {}", cells[0].trim_matches('`'), cells[2])
        })
        .collect();
    let archive = base(&static_executable(b"")).unwrap().to_bytes();
    let mut reader = Reader::new(&archive[..]);
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        let what = if entry.kind() == Kind::Directory {
            "directory".to_owned()
        } else if entry.kind() == Kind::CharacterDevice {
            format!("character device {}:{}", entry.device.0, entry.device.1)
        } else {
            assert_eq!(entry.kind(), Kind::File);
            "PID 1".to_owned()
        };
        entries.push(format!("/{} {what} {:04o}", entry.display_name(), entry.permissions()));
    }
    assert_eq!(rows, entries);
}

#[test]
fn a_configuration_that_is_not_toml_is_refused() {
    let error = configuration("root = [").unwrap_err();
    assert!(matches!(error, PartError::Configuration(_)), "{error:?}");
    let error = configuration("a = 1\na = 2\n").unwrap_err();
    assert!(matches!(error, PartError::Configuration(_)), "{error:?}");
    let error = configuration(&"#".repeat(1 << 20)).unwrap_err();
    assert!(matches!(error, PartError::ConfigurationTooLarge { bytes: 1_048_576, .. }));
    configuration("").unwrap();
}

#[test]
fn only_a_static_executable_is_pid_1() {
    let good = static_executable(b"");
    let changed = |at: usize, byte: u8| {
        let mut file = good.clone();
        file[at] = byte;
        file
    };
    let needed: Vec<u8> = [1_u64, 5, 0, 0].into_iter().flat_map(u64::to_le_bytes).collect();
    let needs_nothing: Vec<u8> = [0_u64; 2].into_iter().flat_map(u64::to_le_bytes).collect();
    let interpreter = b"/lib64/ld-linux-x86-64.so.2\0";
    let cut = good[..good.len() - 1].to_vec();
    let cases: [(Vec<u8>, Result<(), ExecutableError>); 13] = [
        (good.clone(), Ok(())),
        (executable(&[(1, 5, &[]), (2, 6, &needs_nothing)], b""), Ok(())),
        (b"#!/bin/sh\n".to_vec(), Err(ExecutableError::Script)),
        (Vec::new(), Err(ExecutableError::NotElf)),
        (vec![0; 4096], Err(ExecutableError::NotElf)),
        (changed(4, 1), Err(ExecutableError::NotElf)),
        (changed(5, 2), Err(ExecutableError::NotElf)),
        (changed(18, 183), Err(ExecutableError::Machine(183))),
        (changed(16, 1), Err(ExecutableError::NotExecutable(1))),
        (executable(&[(1, 6, &[])], b""), Err(ExecutableError::NoEntry)),
        (executable(&[(1, 5, &[]), (2, 6, &needed)], b""), Err(ExecutableError::NeedsLibraries)),
        (
            executable(&[(3, 4, interpreter), (1, 5, &[])], b""),
            Err(ExecutableError::Dynamic("/lib64/ld-linux-x86-64.so.2".into())),
        ),
        (cut, Err(ExecutableError::Damaged("a segment leads out of the file".into()))),
    ];
    for (index, (file, expected)) in cases.into_iter().enumerate() {
        assert_eq!(check_static_executable(&file), expected, "case {index}");
    }
}

#[test]
fn a_dynamic_executable_of_this_machine_is_refused() {
    let program = fs::read("/bin/sh").unwrap();
    let error = base(&program).unwrap_err();
    assert!(matches!(error, PartError::Init(ExecutableError::Dynamic(_))), "{error:?}");
}
