//! The roots of these tests: each made once by `ravelin`, and copied for each test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use vm_tests::Tool;

use crate::fixtures::{check, directory, tree};

/// A root on a disk, and the description of a VM with it.
pub(super) struct Made {
    /// Has root.img, its sidecar, its key where it is encrypted, and vm.toml.
    pub(super) directory: PathBuf,
}

/// The room of an encrypted root's file system.
pub(super) const ROOM: &str = "64M";

impl Made {
    /// A small encrypted one with the probe as its init.
    pub(super) fn get() -> &'static Made {
        static MADE: LazyLock<Made> = LazyLock::new(|| small("encrypted", &tree()));
        &MADE
    }

    /// The same with e2fsprogs.
    pub(super) fn with_e2fsprogs() -> &'static Made {
        static MADE: LazyLock<Made> =
            LazyLock::new(|| small("encrypted-e2fsprogs", &tree_with_e2fsprogs()));
        &MADE
    }

    /// The same in a file system of so many bytes, with room for so many behind it.
    pub(super) fn with_room_behind(file_system: u64, room: u64) -> Made {
        let image = directory().join("root.ext4");
        ext4(&image, file_system);
        encrypted("encrypted-room", &image, &["--size", &(file_system + room).to_string()])
    }

    /// An encrypted Debian. The image has no host keys: the first boot makes them.
    pub(super) fn debian() -> &'static Made {
        static MADE: LazyLock<Made> = LazyLock::new(|| {
            encrypted("encrypted-debian", &Tool::DebianRoot.path(), &["--size", "512M"])
        });
        &MADE
    }

    /// A dm-verity one with e2fsprogs.
    pub(super) fn verity() -> &'static Made {
        static MADE: LazyLock<Made> = LazyLock::new(|| {
            let arguments = ["verity", "--root-owned"];
            make("verity-e2fsprogs", &arguments, &tree_with_e2fsprogs())
        });
        &MADE
    }
}

fn small(name: &str, tree: &Path) -> Made {
    encrypted(name, tree, &["--root-owned", "--size", ROOM])
}

pub(super) fn encrypted(name: &str, from: &Path, options: &[&str]) -> Made {
    make(name, &[&["encrypt"], options].concat(), from)
}

fn make(name: &str, arguments: &[&str], from: &Path) -> Made {
    let made = Made { directory: directory().join(name) };
    fs::create_dir_all(&made.directory).unwrap();
    let mut image = Tool::Ravelin.command();
    image.args(["--quiet", "image"]).args(arguments).arg("--from").arg(from);
    image.arg("--output").arg(made.directory.join("root.img"));
    check(image.arg("--vm").arg(made.directory.join("vm.toml")));
    made
}

/// A file system of so many bytes with the tree that has e2fsprogs.
pub(super) fn ext4(image: &Path, bytes: u64) {
    let mke2fs = std::env::var_os("RAVELIN_MKE2FS").unwrap_or_else(|| "mke2fs".into());
    let mut mke2fs = Command::new(mke2fs);
    mke2fs.args(["-q", "-t", "ext4", "-b", "4096", "-E", "root_owner=0:0", "-d"]);
    check(mke2fs.arg(tree_with_e2fsprogs()).arg(image).arg(format!("{}K", bytes >> 10)));
}

/// The usual tree with mkfs.ext4 and fsck.ext4, their libraries, and directories to
/// mount on; without its SSH host keys, which are no keys.
fn tree_with_e2fsprogs() -> PathBuf {
    static TREE: LazyLock<PathBuf> = LazyLock::new(|| {
        let with = directory().join("tree-e2fsprogs");
        check(Command::new("cp").arg("-a").arg(tree()).arg(&with));
        for entry in fs::read_dir(with.join("etc/ssh")).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_string_lossy().starts_with("ssh_host_") {
                fs::remove_file(path).unwrap();
            }
        }
        // The set-up's mke2fs is a script, beside the root that it takes program and
        // libraries from.
        let script = PathBuf::from(std::env::var_os("RAVELIN_MKE2FS").unwrap());
        let root = script.parent().unwrap().join("../root");
        let libraries = "usr/lib/x86_64-linux-gnu";
        for directory in [libraries, "usr/lib64", "mnt/sealed", "mnt/scratch"] {
            fs::create_dir_all(with.join(directory)).unwrap();
        }
        for link in ["lib", "lib64"] {
            std::os::unix::fs::symlink(format!("usr/{link}"), with.join(link)).unwrap();
        }
        let names =
            ["ext2fs.so.2", "com_err.so.2", "blkid.so.1", "uuid.so.1", "e2p.so.2", "c.so.6"];
        let mut files: Vec<_> = names
            .into_iter()
            .map(|name| format!("{libraries}/lib{name}"))
            .map(|path| (path.clone(), path))
            .collect();
        for (from, to) in [
            ("usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "usr/lib64/ld-linux-x86-64.so.2"),
            ("usr/sbin/mke2fs", "sbin/mkfs.ext4"),
            ("usr/sbin/e2fsck", "sbin/fsck.ext4"),
        ] {
            files.push((from.to_owned(), to.to_owned()));
        }
        for (from, to) in files {
            fs::copy(root.join(from), with.join(to)).unwrap();
        }
        with
    });
    TREE.clone()
}
