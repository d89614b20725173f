//! What is put into a root and what is taken out of it, in the file system that is made.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod disk_common;

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use disk_common::{build_disk, extract_partition, make_directory, options, oracle, run};
use image_builder::disk::clean::{Clean, RuleId};
use image_builder::disk::customize::Customization;
use image_builder::disk::{BuildError, ModuleSource, Options, Preparation, Source, audit};
use image_builder::progress::Silent;
use protocol::config::FsType;

const VERSION: &str = "6.1.0-test-amd64";

/// The files of a kernel's package, below `lib/modules`.
fn modules(root: &Path) {
    let directory = root.join("lib/modules").join(VERSION);
    make_directory(&directory.join("kernel"));
    fs::write(directory.join("modules.builtin"), "kernel/fs/ext4/ext4.ko\n").unwrap();
    fs::write(directory.join("modules.order"), "").unwrap();
    fs::write(directory.join("kernel/readme"), "no module").unwrap();
    symlink("/usr/src/linux", directory.join("build")).unwrap();
}

/// A Debian package with these files, by tar and ar's format (deb(5)).
fn package(root: &Path, to: &Path) {
    let data = to.with_extension("data.tar.xz");
    run(Command::new("tar").arg("-C").arg(root).arg("-cJf").arg(&data).arg("."));
    let data = fs::read(data).unwrap();
    let mut deb = fs::File::create(to).unwrap();
    deb.write_all(b"!<arch>\n").unwrap();
    for (name, content) in [("debian-binary", &b"2.0\n"[..]), ("data.tar.xz", &data)] {
        writeln!(deb, "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`", 0, 0, 0, 100_644, content.len())
            .unwrap();
        deb.write_all(content).unwrap();
        if content.len() % 2 == 1 {
            deb.write_all(b"\n").unwrap();
        }
    }
}

/// An RPM package with these files, by rpmbuild; `None` where that is not there.
fn rpm(root: &Path, to: &Path) -> Option<()> {
    let rpmbuild = oracle("rpmbuild", "rpm")?;
    let work = tempfile::tempdir().unwrap();
    let spec = work.path().join("kernel.spec");
    let text = format!(
        "Name: kernel\nVersion: 6.1.0\nRelease: 1\nSummary: A kernel\nLicense: MIT\n\
         %description\nA kernel.\n%install\ncp -a {}/. %{{buildroot}}\n%files\n/lib\n/boot\n",
        root.display()
    );
    fs::write(&spec, text).unwrap();
    let mut command = Command::new(rpmbuild);
    command.args(["-bb", "--quiet", "--define", "__os_install_post %{nil}", "--define"]);
    command.arg(format!("_topdir {}", work.path().display())).args(["--define"]);
    command.arg(format!("_rpmdir {}", work.path().display()));
    run(command.args(["--define", "_rpmfilename kernel.rpm"]).arg(&spec));
    fs::copy(work.path().join("kernel.rpm"), to).unwrap();
    Some(())
}

/// A root, with `/lib` as a link or as a directory.
fn root(at: &Path, merged: bool) -> PathBuf {
    let root = at.join(if merged { "merged" } else { "split" });
    make_directory(&root.join("usr/lib"));
    if merged {
        symlink("usr/lib", root.join("lib")).unwrap();
    } else {
        make_directory(&root.join("lib"));
    }
    root
}

fn with(modules: ModuleSource) -> Options {
    let preparation = Preparation { modules: Some(modules), ..Preparation::default() };
    Options { preparation, ..options(FsType::Squashfs) }
}

/// Builds from a directory and lists the file system, as unsquashfs shows it.
fn listed(from: &Path, options: &Options) -> Option<String> {
    let into = tempfile::tempdir().unwrap();
    let built = build_disk(Source::Directory(from.to_owned()), options, into.path()).unwrap();
    let unsquashfs = oracle("unsquashfs", "squashfs-tools")?;
    let image = extract_partition(&built, into.path());
    Some(run(Command::new(unsquashfs).args(["-lln", "-UTC"]).arg(image)))
}

#[test]
fn modules_of_a_package_arrive_with_their_lists() {
    if oracle("depmod", "kmod").is_none() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let files = directory.path().join("files");
    modules(&files);
    make_directory(&files.join("boot"));
    fs::write(files.join("boot/vmlinuz"), "the kernel itself").unwrap();
    let deb = directory.path().join("linux-image.deb");
    package(&files, &deb);
    let rpm_package = directory.path().join("kernel.rpm");
    if rpm(&files, &rpm_package).is_none() {
        return;
    }
    for (package, merged) in [(&deb, true), (&deb, false), (&rpm_package, true)] {
        let options = with(ModuleSource::detect(package));
        let place = if merged { "usr/lib/modules" } else { "/lib/modules" };
        let tree = root(&package.with_extension("root"), merged);
        let Some(list) = listed(&tree, &options) else { return };
        for name in ["modules.builtin", "modules.dep.bin", "modules.alias.bin", "kernel/readme"] {
            let line =
                list.lines().find(|line| line.ends_with(&format!("{place}/{VERSION}/{name}")));
            let line = line.unwrap_or_else(|| panic!("no {name} in {list}"));
            assert!(line.starts_with("-rw-r--r-- 0/0 "), "{line}");
            assert!(line.contains("1970-01-01"), "{line}");
        }
        assert!(!list.contains("build") && !list.contains("vmlinuz"), "{list}");
    }
    // Twice the same, and from either package.
    let tree = root(&directory.path().join("again"), true);
    let hash = |package: &Path| {
        let into = tempfile::tempdir().unwrap();
        let options = with(ModuleSource::detect(package));
        let built = build_disk(Source::Directory(tree.clone()), &options, into.path()).unwrap();
        built.sidecar.verity.root_hash.to_string()
    };
    assert_eq!(hash(&deb), hash(&deb));
    assert_eq!(hash(&deb), hash(&rpm_package));
}

#[test]
fn modules_that_do_not_fit_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let refused = |root: &Path, modules: &Path| {
        let into = tempfile::tempdir().unwrap();
        let options = with(ModuleSource::detect(modules));
        match build_disk(Source::Directory(root.to_owned()), &options, into.path()) {
            Err(error @ (BuildError::Modules(_) | BuildError::Tree(_))) => error.to_string(),
            other => panic!("{:?}", other.map(|_| ())),
        }
    };
    let files = directory.path().join("files");
    modules(&files);
    let source = files.join("lib/modules").join(VERSION);
    let merged = root(directory.path(), true);
    assert!(refused(&merged, &source).contains("has no modules.dep.bin"));
    fs::write(source.join("modules.dep.bin"), "").unwrap();
    make_directory(&merged.join("usr/lib/modules").join(VERSION));
    let error = refused(&merged, &source);
    assert!(error.contains(&format!("has the modules of {VERSION} already")), "{error}");
    let split = root(directory.path(), false);
    symlink("/etc", split.join("lib/modules")).unwrap();
    let error = refused(&split, &source);
    assert!(error.contains("is a link to /etc"), "{error}");
    let text = directory.path().join("text.deb");
    fs::write(&text, "hello").unwrap();
    assert!(refused(&split, &text).contains("neither a deb nor an rpm"));
    let empty = directory.path().join("empty");
    make_directory(&empty);
    let deb = directory.path().join("empty.deb");
    package(&empty, &deb);
    assert!(refused(&split, &deb).contains("has the modules of no kernel"));
}

/// Taken out, put in, and then nothing is found any more.
#[test]
fn a_root_is_cleaned_and_customized_on_its_way() {
    let directory = tempfile::tempdir().unwrap();
    let tree = directory.path().join("root");
    for path in ["etc/ssh", "root/.ssh", "var/lib/systemd", "var/lib/cloud/data"] {
        make_directory(&tree.join(path));
    }
    for (path, content) in [
        ("etc/fstab", "UUID=1 / ext4 a 0 1\n"),
        ("etc/group", "root:x:0:\n"),
        ("etc/hostname", "old\n"),
        ("etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
        ("etc/passwd", "root:x:0:0::/root:/bin/sh\n"),
        ("etc/ssh/ssh_host_ed25519_key", "a key"),
        ("root/.ssh/authorized_keys", "ssh-ed25519 old"),
        ("var/lib/cloud/data/user", "password"),
        ("var/lib/systemd/random-seed", "seed"),
    ] {
        fs::write(tree.join(path), content).unwrap();
    }
    let declaration = directory.path().join("vm.toml");
    fs::write(
        &declaration,
        "hostname = \"new\"\n[[user]]\nname = \"root\"\nauthorized_keys = [\"ssh-ed25519 new\"]\n",
    )
    .unwrap();
    let preparation = Preparation {
        clean: Clean::public_image().with(RuleId::AuthorizedKeys, true),
        customize: Some(Customization::read(&declaration).unwrap()),
        ..Preparation::default()
    };
    let options = Options { preparation, ..options(FsType::Squashfs) };
    let into = directory.path().join("into");
    make_directory(&into);
    let built = build_disk(Source::Directory(tree.clone()), &options, &into).unwrap();
    let notes: Vec<String> = built.notes.list.iter().map(ToString::to_string).collect();
    assert_eq!(
        notes,
        [
            "etc/fstab:1: fstab, rewritten",
            "etc/machine-id: machine-id, emptied",
            "etc/ssh/ssh_host_ed25519_key: host key left out",
            "root/.ssh/authorized_keys: authorized-keys, left out",
            "var/lib/cloud/data: cloud-init, left out",
            "var/lib/systemd/random-seed: random-seed, left out",
        ]
    );
    let Some(unsquashfs) = oracle("unsquashfs", "squashfs-tools") else { return };
    let image = extract_partition(&built, &into);
    let out = directory.path().join("out");
    run(Command::new(unsquashfs).args(["-no-progress", "-d"]).arg(&out).arg(image));
    let text = |path: &str| fs::read_to_string(out.join(path)).unwrap();
    assert_eq!(text("etc/hostname"), "new\n");
    assert_eq!(text("etc/machine-id"), "");
    assert_eq!(text("etc/fstab"), "# left out by ravelin: UUID=1 / ext4 a 0 1\n");
    assert_eq!(text("root/.ssh/authorized_keys"), "ssh-ed25519 new\n");
    assert!(out.join("var/lib/cloud").is_dir() && !out.join("var/lib/cloud/data").exists());

    let scratch = directory.path().join("scratch");
    let look =
        |path: &Path| audit(Source::Directory(path.to_owned()), None, &scratch, &Silent).unwrap();
    assert!(look(&out).clean(), "{:?}", look(&out));
    let before = look(&tree);
    assert!(!before.clean());
    assert_eq!(before.list.len(), 6);
}
