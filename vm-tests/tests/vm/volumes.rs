//! Encrypted volumes in small machines: made by `ravelin image encrypt`, opened by the
//! kernel with the tables of the crate `luks`, served by the test itself.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use luks::{
    CryptTable, Device, IntegrityTable, Memory, Options, Volume, VolumeKey, VolumeSpec,
    key_description,
};
use vm_tests::nbd::Image;
use vm_tests::{Outcome, Vm, WorkDir};

use crate::encrypted::{self, Disk, MODULES, OPTIONAL};
use crate::fixtures::{SmallRoot, check, initramfs, resize};

/// The file system at the start of a volume: with 4096-byte blocks it is the smallest
/// that has a journal.
pub(crate) const FILE_SYSTEM: u64 = 12 << 20;
/// What is behind it: raw blocks.
pub(crate) const RAW: u64 = 2 << 20;

/// A volume on a disk of its own.
pub(crate) struct TestVolume {
    pub(crate) disk: Disk,
    pub(crate) spec: VolumeSpec,
    key: VolumeKey,
    path: PathBuf,
}

impl TestVolume {
    /// One with an empty ext4 and room for raw blocks.
    pub(crate) fn make(disk: Disk, work: &WorkDir) -> Self {
        let source = work.join("empty.ext4");
        if !source.exists() {
            let mut mke2fs = Command::new("mke2fs");
            mke2fs.args(["-q", "-t", "ext4", "-b", "4096"]).arg(&source);
            check(mke2fs.arg(format!("{}K", FILE_SYSTEM >> 10)));
        }
        disk.encrypt(work, &source, FILE_SYSTEM + RAW);
        let spec = disk.spec(work);
        let key = VolumeKey::derive(&encrypted::key(work, disk.name), &spec);
        Self { disk, spec, key, path: work.join(disk.name) }
    }

    /// The disk as it was made.
    pub(crate) fn image(&self) -> Image {
        Image::open(&self.path)
    }

    /// Bytes of a sector.
    pub(crate) fn sector(&self) -> u64 {
        u64::from(self.spec.layout().params().sector_size.bytes())
    }

    /// What the probe opens it with, from the disk with this name. The key stands in
    /// the table, for nobody but the test has it.
    pub(crate) fn open(&self, name: &str) -> String {
        let below = Device::new("@").unwrap();
        let integrity = IntegrityTable::new(self.spec.layout(), below.clone());
        let crypt = CryptTable::new(&self.spec, below);
        let key = self.key.as_bytes();
        let named = format!(":{}:logon:{}", key.len(), key_description(self.spec.volume_id()));
        let crypt_text = crypt.to_string();
        assert!(crypt_text.contains(&named), "{crypt_text}");
        let crypt_text = crypt_text.replace(&named, &hex::encode(key));
        format!("open:{name};{name};{};{integrity};{crypt_text}", crypt.length())
    }

    /// The content of the volume on such a disk, every sector authenticated.
    #[track_caller]
    pub(crate) fn decrypt(&self, image: &Image, work: &WorkDir) -> Vec<u8> {
        let path = work.join("to-decrypt.img");
        image.save(&path);
        let disk = File::open(&path).unwrap();
        let layout = self.spec.layout();
        let volume = Volume::open(layout, &self.key, &disk).unwrap();
        let clear = Memory::default();
        let length = layout.volume_sectors() * 512 / 4096 * 4096;
        volume.decrypt(length, &clear, &Options::default()).unwrap();
        let mut clear = clear.into_bytes();
        clear.resize(usize::try_from(length).unwrap(), 0);
        clear
    }
}

/// Checks an ext4 as strictly as it can be.
#[track_caller]
pub(crate) fn e2fsck(file_system: &[u8], work: &WorkDir) {
    let path = work.join("to-check.ext4");
    fs::write(&path, file_system).unwrap();
    check(Command::new("e2fsck").args(["-f", "-n"]).arg(path));
}

/// A machine whose probe does what a script says.
pub(crate) struct Script<'a> {
    work: &'a WorkDir,
    text: String,
}

impl<'a> Script<'a> {
    pub(crate) fn new(work: &'a WorkDir) -> Self {
        Self { work, text: String::new() }
    }

    pub(crate) fn line(&mut self, line: impl AsRef<str>) -> &mut Self {
        writeln!(self.text, "{}", line.as_ref()).unwrap();
        self
    }

    pub(crate) fn vm(&self) -> Vm {
        let path = self.work.join("script");
        fs::write(&path, &self.text).unwrap();
        resize(&path, (self.text.len() as u64 + 1).next_multiple_of(4096));
        let mut arguments = vec!["--filesystem", "erofs"];
        arguments.extend(MODULES.iter().flat_map(|module| ["--module", module]));
        arguments.extend(OPTIONAL.iter().flat_map(|module| ["--optional-module", module]));
        let vm = SmallRoot::get().vm().initrd(initramfs(&arguments)).disk(path, "script");
        vm.add_words("probe.do=script:script").time_limit(Duration::from_secs(600))
    }
}

/// What a scan of a whole volume said: the digest, and the bytes where reading failed,
/// each with its error number.
#[track_caller]
pub(crate) fn scanned<'a>(outcome: &'a Outcome, name: &str) -> (&'a str, &'a str) {
    let said = outcome.console.probe(&format!("scan:{name}"));
    assert!(said.contains(" bytes sha256="), "{name}: {said}");
    let (_, rest) = said.split_once(" bytes sha256=").unwrap();
    let (digest, errors) = rest.split_once(" errors=[").unwrap();
    (digest, errors.trim_end_matches(']'))
}
