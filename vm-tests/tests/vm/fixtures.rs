//! What the tests boot: small roots with the guest probe as their init, made
//! once, and initramfs made by `ravelin`.
//!
//! The small roots come from the file systems' own `mkfs` and from
//! `veritysetup`, so that what PID 1 accepts is not defined by Ravelin's own
//! image builder; the images that `ravelin image verity` makes are in
//! `images.rs`.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::{LazyLock, Mutex};

use vm_tests::{Environment, Tool, Vm, WorkDir};

/// The block size of data and hashes.
pub(crate) const BLOCK: u64 = 4096;

/// Hashes in a hash block: SHA-256 is 32 bytes.
const HASHES: u64 = 128;

/// The content of `/data/big`: read by the probe after the hand-over.
pub(crate) const BIG_FILE: &str = "/data/big";
const BIG_FILE_BYTES: usize = 3_000_000;

/// What every generated command line begins with (`host::vm`'s).
pub(crate) const BASE: &str = "console=ttyS0 panic=-1 random.trust_bootloader=off \
                               systemd.import_credentials=no systemd.gpt_auto=no systemd.swap=no \
                               systemd.ssh_auto=no";

/// The settings of a root, as `ravelin.KEY=VALUE` words.
#[derive(Clone)]
pub(crate) struct Settings(BTreeMap<String, String>);

impl Settings {
    pub(crate) fn with(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.0.insert(key.to_owned(), value.to_string());
        self
    }

    pub(crate) fn without(mut self, key: &str) -> Self {
        assert!(self.0.remove(key).is_some(), "{key} is not set");
        self
    }

    pub(crate) fn get(&self, key: &str) -> &str {
        &self.0[key]
    }

    /// As the measured configuration file.
    pub(crate) fn to_toml(&self) -> String {
        let number = |value: &str| value.parse::<u64>().is_ok();
        let line = |(key, value): (&String, &String)| match number(value) {
            true => format!("{key} = {value}\n"),
            false => format!("{key} = \"{value}\"\n"),
        };
        self.0.iter().map(line).collect()
    }
}

/// The kernel command line.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(BASE)?;
        self.0.iter().try_for_each(|(key, value)| write!(f, " ravelin.{key}={value}"))
    }
}

/// A root on two bare disks, data and hash tree.
pub(crate) struct SmallRoot {
    pub(crate) data: PathBuf,
    pub(crate) hash: PathBuf,
    pub(crate) data_blocks: u64,
    pub(crate) settings: Settings,
    pub(crate) initramfs: PathBuf,
}

impl SmallRoot {
    /// The usual one, on erofs.
    pub(crate) fn get() -> &'static SmallRoot {
        static EROFS: LazyLock<SmallRoot> = LazyLock::new(|| SmallRoot::make("erofs"));
        &EROFS
    }

    /// One on another file system.
    pub(crate) fn make(fstype: &str) -> SmallRoot {
        let data = directory().join(format!("{fstype}.data.img"));
        let hash = directory().join(format!("{fstype}.hash.img"));
        mkfs(fstype, &tree(), &data);
        let data_blocks = fs::metadata(&data).unwrap().len().div_ceil(BLOCK);
        resize(&data, data_blocks * BLOCK);
        let (root_hash, salt) = veritysetup_format(&data, &hash);
        let settings = Settings(BTreeMap::new())
            // No secure processor: `simulator.rs` and `evidence.rs` have one.
            .with("attest.mode", "none")
            .with("root.mode", "verity")
            .with("root.device", "serial:data")
            .with("root.fstype", fstype)
            .with("verity.hash_device", "serial:hash")
            .with("verity.roothash", root_hash)
            .with("verity.salt", salt)
            .with("verity.data_blocks", data_blocks);
        let initramfs = initramfs(&["--filesystem", fstype]);
        SmallRoot { data, hash, data_blocks, settings, initramfs }
    }

    /// A machine that boots it.
    pub(crate) fn vm(&self) -> Vm {
        self.vm_with(&self.data, &self.hash)
    }

    /// A machine with other disks, which a host has put there instead.
    pub(crate) fn vm_with(&self, data: &Path, hash: &Path) -> Vm {
        self.bare_vm().disk(data, "data").disk(hash, "hash")
    }

    /// A machine without disks.
    pub(crate) fn bare_vm(&self) -> Vm {
        Vm::new().initrd(&self.initramfs).cmdline(self.settings.to_string())
    }

    /// The block of the data device that has the first bytes of a file.
    pub(crate) fn first_block_of(&self, file: &str) -> u64 {
        let content = fs::read(tree().join(file.trim_start_matches('/'))).unwrap();
        let image = fs::read(&self.data).unwrap();
        let start = &content[..usize::try_from(BLOCK).unwrap()];
        let blocks = image.chunks(start.len());
        u64::try_from(blocks.into_iter().position(|block| block == start).unwrap()).unwrap()
    }

    /// The block of the hash device with the hash of a data block; block 0 is
    /// the superblock, then come the levels, the top one first.
    pub(crate) fn hash_block_above(&self, data_block: u64) -> u64 {
        let lowest = self.data_blocks.div_ceil(HASHES);
        assert!((2..=HASHES).contains(&lowest), "the tests expect two levels");
        let top = 1;
        1 + top + data_block / HASHES
    }
}

/// Makes an initramfs with the test kernel's modules, once for each set of
/// arguments.
pub(crate) fn initramfs(arguments: &[&str]) -> PathBuf {
    static MADE: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().unwrap();
    let number = made.len();
    made.entry(arguments.join(" "))
        .or_insert_with(|| {
            let path = directory().join(format!("initramfs-{number}.cpio.zst"));
            make_initramfs(&path, arguments);
            path
        })
        .clone()
}

/// Makes an initramfs with the test kernel's modules.
pub(crate) fn make_initramfs(path: &Path, arguments: &[&str]) {
    let mut ravelin = Tool::Ravelin.command();
    ravelin.args(["--quiet", "image", "initramfs", "--output"]).arg(path);
    let part = arguments.iter().skip_while(|argument| **argument != "--part").nth(1);
    if part.is_none_or(|part| *part == "modules") {
        ravelin.arg("--kernel-modules").arg(Environment::get().modules());
    }
    // The fastest to make; the default is the smallest.
    if !arguments.contains(&"--compress") {
        ravelin.args(["--compress", "zstd:3"]);
    }
    check(ravelin.args(arguments));
}

/// A copy of an image for a test to play the host with.
pub(crate) fn copy(image: &Path, work: &WorkDir) -> PathBuf {
    let copy = work.join(image.file_name().unwrap());
    fs::copy(image, &copy).unwrap();
    copy
}

/// Flips one bit in the middle of a block.
pub(crate) fn flip(image: &Path, block: u64) {
    let file = OpenOptions::new().read(true).write(true).open(image).unwrap();
    let at = block * BLOCK + BLOCK / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    byte[0] ^= 1;
    file.write_all_at(&byte, at).unwrap();
}

/// Overwrites bytes of a file.
pub(crate) fn overwrite(image: &Path, offset: u64, bytes: &[u8]) {
    OpenOptions::new().write(true).open(image).unwrap().write_all_at(bytes, offset).unwrap();
}

pub(crate) fn resize(image: &Path, bytes: u64) {
    OpenOptions::new().write(true).create(true).truncate(false).open(image).unwrap();
    File::options().write(true).open(image).unwrap().set_len(bytes).unwrap();
}

/// Joins files, as `cat` does.
pub(crate) fn concatenate(parts: &[&Path], whole: &Path) {
    let bytes: Vec<u8> = parts.iter().flat_map(|part| fs::read(part).unwrap()).collect();
    fs::write(whole, bytes).unwrap();
}

/// Runs a program that must not fail.
#[track_caller]
pub(crate) fn check(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let (out, err) = (&output.stdout, String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{err}", output.status);
    String::from_utf8_lossy(out).into_owned()
}

/// This process's directory for images. Those of dead processes are removed:
/// a static is not dropped.
pub(crate) fn directory() -> PathBuf {
    static DIRECTORY: LazyLock<PathBuf> = LazyLock::new(|| {
        let base = WorkDir::base();
        for entry in fs::read_dir(&base).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let dead = name
                .strip_prefix("fixtures.")
                .is_some_and(|pid| !Path::new("/proc").join(pid).exists());
            if dead {
                let _somebody_else_did = fs::remove_dir_all(entry.path());
            }
        }
        let path = base.join(format!("fixtures.{}", process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    });
    DIRECTORY.clone()
}

/// The root's files: what a small image has, with the leftovers of an image
/// that was booted before.
pub(crate) fn tree() -> PathBuf {
    static TREE: LazyLock<PathBuf> = LazyLock::new(|| {
        let tree = directory().join("tree");
        for name in ["dev", "proc", "sys", "run", "etc/ssh", "var/lib/dbus", "home", "root", "tmp"]
        {
            fs::create_dir_all(tree.join(name)).unwrap();
        }
        for name in ["srv", "usr/bin", "sbin", "data"] {
            fs::create_dir_all(tree.join(name)).unwrap();
        }
        fs::copy(Tool::GuestProbe.path(), tree.join("sbin/init")).unwrap();
        fs::write(tree.join("data/big"), noise(BIG_FILE_BYTES)).unwrap();
        fs::write(tree.join("etc/machine-id"), "0123456789abcdef0123456789abcdef\n").unwrap();
        fs::write(tree.join("var/lib/dbus/machine-id"), "0123456789abcdef0123456789abcdef\n")
            .unwrap();
        for kind in ["rsa", "ed25519", "ecdsa", "dsa"] {
            let key = tree.join(format!("etc/ssh/ssh_host_{kind}_key"));
            fs::write(&key, "a private key that everybody has\n").unwrap();
            fs::write(key.with_extension("pub"), "its public half\n").unwrap();
        }
        fs::write(tree.join("etc/ssh/sshd_config"), "# not a key\n").unwrap();
        tree
    });
    TREE.clone()
}

/// Bytes that no compression shortens and no block repeats.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut noise = Vec::with_capacity(bytes);
    while noise.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise.extend_from_slice(&state.to_le_bytes());
    }
    noise.truncate(bytes);
    noise
}

fn mkfs(fstype: &str, tree: &Path, image: &Path) {
    let tool = |variable: &str, otherwise: &str| {
        Command::new(std::env::var_os(variable).unwrap_or_else(|| otherwise.into()))
    };
    let mut command = match fstype {
        "erofs" => {
            let mut erofs = tool("RAVELIN_MKFS_EROFS", "mkfs.erofs");
            erofs.args(["-T0", "--all-root"]).arg(image).arg(tree);
            erofs
        }
        "squashfs" => {
            let mut squashfs = tool("RAVELIN_MKSQUASHFS", "mksquashfs");
            squashfs.arg(tree).arg(image).args(["-quiet", "-no-progress", "-all-root", "-noI"]);
            squashfs
        }
        "ext4" => {
            let mut ext4 = tool("RAVELIN_MKE2FS", "mke2fs");
            ext4.args(["-q", "-t", "ext4", "-b", "4096", "-d"]).arg(tree).arg(image).arg("16M");
            ext4
        }
        other => unreachable!("no mkfs for {other}"),
    };
    check(&mut command);
}

/// Root hash and salt.
fn veritysetup_format(data: &Path, hash: &Path) -> (String, String) {
    read_report(&check(Command::new("veritysetup").arg("format").arg(data).arg(hash)))
}

/// A hash tree with a salt that is given; its root hash.
pub(crate) fn veritysetup_format_with(salt: &str, data: &Path, hash: &Path) -> String {
    let mut veritysetup = Command::new("veritysetup");
    veritysetup.arg("format").arg(format!("--salt={salt}")).arg(data).arg(hash);
    read_report(&check(&mut veritysetup)).0
}

fn read_report(report: &str) -> (String, String) {
    let value = |name: &str| {
        let line = report.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_start_matches(':').trim().to_owned()
    };
    (value("Root hash"), value("Salt"))
}
