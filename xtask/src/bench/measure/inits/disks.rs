//! One Debian root with 500 MiB below /var, as each of them wants its disk.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use aes::cipher::KeyInit as _;
use aes::{Aes256, Aes256Enc};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use vm_tests::Tool;

use crate::encryption::{SECTOR, xts};
use crate::tools::{Noise, ravelin, report, run, variable};

/// Of /var.
const FILES: u64 = 500;
const FILE: u64 = 1 << 20;

/// Where cryptsetup puts the data behind a LUKS2 header.
const HEADER: u64 = 16 << 20;
/// dm-crypt counts in these, whatever the size of what it encrypts.
const COUNTED: u64 = 512;

/// The disks, and what the kernel has to be told of them.
pub(crate) struct Disks {
    /// An ext4 and its hash tree, in partitions.
    pub(crate) verity: PathBuf,
    /// What `ravelin image verity` said about it.
    pub(crate) image: Value,
    /// The ext4 by itself.
    pub(crate) file_system: PathBuf,
    /// The same ext4 in LUKS2, without integrity.
    pub(crate) luks: PathBuf,
}

impl Disks {
    pub(crate) fn make(scratch: &Path, key: &Path) -> Result<Self> {
        eprintln!("bench: disks of a Debian with 500 MiB in /var");
        let tree = scratch.join("files");
        fs::create_dir_all(tree.join("var/lib/bench")).context("make the tree")?;
        let mut noise = Noise::new();
        for number in 0..FILES {
            noise.write(&tree.join(format!("var/lib/bench/{number}")), FILE)?;
        }
        fs::create_dir_all(tree.join("usr/sbin"))?;
        fs::copy(variable("RAVELIN_REFERENCE_INIT")?, tree.join("usr/sbin/init"))
            .context("copy the real init")?;

        let file_system = scratch.join("root.ext4");
        let tar = tar(scratch, &tree)?;
        let mut bare = ravelin()?;
        bare.args(["--quiet", "image", "verity", "--fs", "ext4", "--layout", "bare", "--from"]);
        run(bare.arg(&tar).arg("--output").arg(&file_system))?;
        let verity = scratch.join("root.img");
        let mut gpt = ravelin()?;
        gpt.args(["--quiet", "--json", "image", "verity", "--from"]).arg(&file_system);
        gpt.arg("--output").arg(&verity).arg("--vm").arg(scratch.join("root.vm.toml"));
        let image = report(&mut gpt)?;
        let luks = scratch.join("luks.img");
        encrypt(&file_system, &luks, key)?;
        Ok(Self { verity, image, file_system, luks })
    }
}

/// The Debian root with the files of a tree instead of its own init.
fn tar(scratch: &Path, tree: &Path) -> Result<PathBuf> {
    let tar = scratch.join("root.tar");
    let mut archive = OsString::from("@");
    archive.push(Tool::DebianRoot.path());
    run(Command::new("bsdtar")
        .args(["--exclude", "./usr/sbin/init", "-cf"])
        .args([tar.as_os_str(), &archive]))?;
    let mut append = Command::new("bsdtar");
    append.args(["--uid=0", "--gid=0", "-rf"]).arg(&tar).arg("-C").arg(tree);
    run(append.args(["usr/sbin/init", "var/lib/bench"]))?;
    Ok(tar)
}

/// As `cryptsetup luksFormat` and a copy into the opened volume would leave it; this needs
/// neither root nor the device mapper.
fn encrypt(plain: &Path, disk: &Path, key: &Path) -> Result<()> {
    let (first, second) = ([1; 32], [2; 32]);
    let source = File::open(plain).context("open the file system")?;
    let bytes = source.metadata()?.len();
    ensure!(bytes.is_multiple_of(SECTOR as u64), "the file system ends within a sector");
    File::create(disk)?.set_len(HEADER + bytes).context("make room for the volume")?;
    let volume_key = disk.with_extension("volume-key");
    fs::write(&volume_key, [first, second].concat()).context("write the volume key")?;
    run(Command::new("cryptsetup")
        .args(["luksFormat", "--batch-mode", "--type", "luks2", "--cipher", "aes-xts-plain64"])
        .args(["--key-size", "512", "--sector-size", "4096", "--pbkdf", "pbkdf2"])
        .args(["--pbkdf-force-iterations", "1000", "--volume-key-file"])
        .args([&volume_key, disk, key]))?;

    let (cipher, tweak) = (Aes256::new(&first.into()), Aes256Enc::new(&second.into()));
    let mut reader = BufReader::with_capacity(1 << 20, source);
    let mut volume = OpenOptions::new().write(true).open(disk).context("open the volume")?;
    volume.seek(SeekFrom::Start(HEADER)).context("go to the data")?;
    let mut writer = BufWriter::with_capacity(1 << 20, volume);
    let mut sector = [0; SECTOR];
    for number in 0..bytes / SECTOR as u64 {
        reader.read_exact(&mut sector).context("read the file system")?;
        xts(&cipher, &tweak, number * SECTOR as u64 / COUNTED, &mut sector);
        writer.write_all(&sector).context("write the volume")?;
    }
    writer.flush().context("write the volume")
}
