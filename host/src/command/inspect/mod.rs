//! `ravelin inspect`: says what a file is, from its content alone, and what is
//! in it.
//!
//! The file may come from anywhere. It is read with bounds on memory and time,
//! nothing is extracted, and no byte of it reaches the terminal unescaped.

mod disk;
mod initramfs;
mod small;

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use clap::Args;
use image_builder::disk::describe as describe_disk;
use image_builder::progress::Progress;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::bzimage;
use crate::exit::Exit;
use crate::failure::{Failure, Remedy, Result};
use crate::terminal::{Terminal, Text, causes, printable, size};

const EXAMPLES: &str = "\
Examples:
  ravelin inspect initramfs.cpio.zst
  ravelin inspect root.img
  ravelin inspect --json vm.toml | jq .cmdline

It knows: an initramfs (newc cpio, also several concatenated, plain or zstd), a disk image (raw or
qcow2) with its partitions and verity superblock, a bare hash tree, a bare file system, a LUKS2
volume, the sidecar of an image (root.img.toml), a VM description (vm.toml), a measured configuration
(ravelin.toml), a load order of modules, PID 1 and other executables, a kernel.

A LUKS2 header is held against the one shape that Ravelin accepts: one keyslot, authenticated
encryption, nothing that it does not know. Even such a header proves nothing about who made it.

Whether an image is undamaged is another question: see `ravelin image verify`.

JSON (\"kind\": \"inspect\"): \"file\", \"bytes\", \"sha256\" (not of disks), \"findings\" (what is wrong with
it, a list of texts), \"type\" (\"initramfs\", \"disk\", \"qcow2\", \"hash-tree\", \"file-system\",
\"encrypted\", \"sidecar\", \"encrypted-sidecar\", \"vm\", \"configuration\", \"load-order\", \"executable\" or
\"kernel\") and the fields of that type:
  initramfs      archives, compressed, entries (archive, path, kind, mode, uid, gid, bytes),
                 configuration (text or null), modules (null, or kernel and modules), hooks
                 (stage, name, bytes, sha256, interpreter)
  disk           disk_guid, sectors, partitions (number, name, type, type_guid, guid, first_lba,
                 last_lba, file_system, superblock, luks)
  qcow2          disk_bytes (null if it is refused), and the fields of what is on the disk
  file-system,   file_system (null, or kind, bytes, block_size, uuid), superblock (null, or
  hash-tree,     offset, uuid, algorithm, data_block_size, hash_block_size, data_blocks, salt), luks
  encrypted      (null, or uuid, label, cipher, sector_size, kdf, sha256)
  sidecar,       sidecar (as in the file)
  encrypted-sidecar
  vm             cmdline, kernel, initrd, firmware, vcpus, cpu, memory_mib, disks, policy,
                 guest_features, host_data, id_key_digest, author_key_digest (null if not set)
  configuration  text
  load-order     kernel, modules (wave, required, path)
  executable     static (whether it can be PID 1)
  kernel         version";

/// Say what a file is and print its content
///
/// Reads files of any origin: nothing is extracted or executed, and what is wrong with the file
/// is listed. Ends with 1 if there is something, with 3 if the file is none that Ravelin knows.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Inspect {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// What is wrong with a file.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub(super) struct Findings(Vec<String>);

impl Findings {
    /// One more.
    pub(super) fn add(&mut self, finding: impl Into<String>) {
        self.0.push(printable(&finding.into()));
    }

    /// An error with its causes.
    pub(super) fn error(&mut self, error: &dyn std::error::Error) {
        self.add(causes(error));
    }
}

#[derive(Serialize)]
struct Report {
    file: String,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    findings: Findings,
    #[serde(flatten)]
    content: Content,
}

/// What the file is.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum Content {
    Initramfs(initramfs::Initramfs),
    Disk(disk::Disk),
    Qcow2(disk::Qcow2),
    HashTree(disk::Volume),
    FileSystem(disk::Volume),
    Encrypted(disk::Volume),
    Sidecar(small::SidecarContent),
    EncryptedSidecar(small::EncryptedSidecarContent),
    Vm(small::VmDescription),
    Configuration(small::Configuration),
    LoadOrder(initramfs::Modules),
    Executable(small::Executable),
    Kernel(small::Kernel),
}

pub(crate) fn run(arguments: &Inspect, terminal: &Terminal) -> Result {
    let path = &arguments.file;
    let input = Input::open(path)?;
    let progress = terminal.progress();
    progress.stage("reading", None);
    let mut findings = Findings::default();
    let content = content(&input, &mut findings)?;
    let sha256 = match content {
        Content::Disk(_)
        | Content::Qcow2(_)
        | Content::HashTree(_)
        | Content::FileSystem(_)
        | Content::Encrypted(_) => None,
        Content::Initramfs(_)
        | Content::Sidecar(_)
        | Content::EncryptedSidecar(_)
        | Content::Vm(_)
        | Content::Configuration(_)
        | Content::LoadOrder(_)
        | Content::Executable(_)
        | Content::Kernel(_) => Some(input.sha256()?),
    };
    progress.finish();
    let file = printable(&path.to_string_lossy());
    let report = Report { file, bytes: input.bytes, sha256, findings, content };
    terminal.result("inspect", &report, &describe(&report))?;
    Ok(if report.findings.0.is_empty() { Exit::Success } else { Exit::CheckFailed })
}

/// The measured configuration in the initramfs at `path`: `None` if that is no
/// undamaged initramfs with a PID 1, and `Some(None)` if it has none.
pub(crate) fn configuration(path: &Path) -> Option<Option<Vec<u8>>> {
    let mut damage = Findings::default();
    let initramfs = initramfs::Initramfs::read(File::open(path).ok()?, &mut damage);
    initramfs.has_pid_1().then(|| initramfs.into_configuration())
}

fn content(input: &Input, findings: &mut Findings) -> Result<Content> {
    let head = input.head()?;
    let at = |offset: usize, magic: &[u8]| {
        head.get(offset..).is_some_and(|bytes| bytes.starts_with(magic))
    };
    if at(0, b"07070") || at(0, &[0x28, 0xb5, 0x2f, 0xfd]) {
        return Ok(Content::Initramfs(initramfs::Initramfs::read(input.reader()?, findings)));
    }
    if at(0, b"\x7fELF") {
        return Ok(Content::Executable(small::Executable::read(input)?));
    }
    if bzimage::is_bzimage(&head) {
        return Ok(Content::Kernel(small::Kernel::read(&head)));
    }
    match disk::found(describe_disk(input.path)?, findings) {
        disk::Found::Disk(found) => Ok(Content::Disk(found)),
        disk::Found::Qcow2(found) => Ok(Content::Qcow2(found)),
        disk::Found::HashTree(found) => Ok(Content::HashTree(found)),
        disk::Found::FileSystem(found) => Ok(Content::FileSystem(found)),
        disk::Found::Encrypted(found) => Ok(Content::Encrypted(found)),
        disk::Found::Nothing => small::text(input, findings),
    }
}

fn describe(report: &Report) -> Text {
    let mut text = Text::new();
    let what = match &report.content {
        Content::Initramfs(_) => "an initramfs",
        Content::Disk(_) => "a disk with a partition table",
        Content::Qcow2(_) => "a qcow2 disk image",
        Content::HashTree(_) => "a dm-verity hash tree",
        Content::FileSystem(_) => "a file system",
        Content::Encrypted(_) => "a LUKS2 volume",
        Content::Sidecar(_) => "the sidecar of a verified image",
        Content::EncryptedSidecar(_) => "the sidecar of an encrypted disk",
        Content::Vm(_) => "a VM description",
        Content::Configuration(_) => "a measured configuration of PID 1",
        Content::LoadOrder(_) => "a load order of kernel modules",
        Content::Executable(_) => "an executable",
        Content::Kernel(_) => "a Linux kernel",
    };
    text.line(format!("{}: {what}", report.file));
    text.field("size", size(report.bytes));
    if let Some(sha256) = &report.sha256 {
        text.field("SHA-256", sha256);
    }
    match &report.content {
        Content::Initramfs(content) => content.describe(&mut text),
        Content::Disk(content) => content.describe(&mut text),
        Content::Qcow2(content) => content.describe(&mut text),
        Content::HashTree(content) => content.describe(&mut text),
        Content::FileSystem(content) => content.describe(&mut text),
        Content::Encrypted(content) => content.describe(&mut text),
        Content::Sidecar(content) => content.describe(&mut text),
        Content::EncryptedSidecar(content) => content.describe(&mut text),
        Content::Vm(content) => content.describe(&mut text),
        Content::Configuration(content) => content.describe(&mut text),
        Content::LoadOrder(content) => content.describe(&mut text),
        Content::Executable(content) => content.describe(&mut text),
        Content::Kernel(content) => content.describe(&mut text),
    }
    if !report.findings.0.is_empty() {
        text.heading("findings");
        for finding in &report.findings.0 {
            text.line(format!("  - {finding}"));
        }
    }
    text
}

/// The file that is looked at.
pub(super) struct Input<'a> {
    path: &'a Path,
    file: File,
    bytes: u64,
}

impl<'a> Input<'a> {
    fn open(path: &'a Path) -> Result<Self> {
        let failed = |error: io::Error| Failure::file(path, error);
        let mut file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            let failure = Failure::new(format!("{}: is a directory", path.display()));
            return Err(failure.help("name a file; `ravelin image audit` looks into a directory"));
        }
        let bytes = file
            .seek(io::SeekFrom::End(0))
            .and_then(|end| file.rewind().map(|()| end))
            .map_err(failed)
            .remedy("a pipe has to be saved to a file first")?;
        Ok(Self { path, file, bytes })
    }

    /// Its beginning: enough for every magic number.
    fn head(&self) -> Result<Vec<u8>> {
        self.read_at(0, 128 << 10)
    }

    /// At most `length` bytes from `offset`; fewer at the end of the file.
    pub(super) fn read_at(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset.saturating_add(filled as u64)) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let shown = self.path.display();
                    return Err(Failure::new(format!(
                        "{shown}: cannot be read at byte {offset}: {error}"
                    )));
                }
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    fn reader(&self) -> Result<File> {
        let mut file = self.file.try_clone()?;
        file.rewind()?;
        Ok(file)
    }

    fn sha256(&self) -> Result<String> {
        let mut reader = self.reader()?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => hash.update(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(hex::encode(hash.finalize()))
    }
}

/// The lines of a text from a file, indented.
pub(super) fn quote(to: &mut Text, text: &str) {
    for line in text.lines() {
        to.line(format!("  {}", printable(&line.replace('\t', "    "))));
    }
}
