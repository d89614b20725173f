//! `ravelin image encrypt`.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use image_builder::disk::clean::Clean;
use image_builder::disk::{
    self, DATA_SERIAL, EncryptError, EncryptOptions, Encrypted, HostKeys, Owner, Protection, Tools,
    Xattrs,
};
use luks::{Argon2Cost, Cipher, SectorSize};
use serde::Serialize;

use super::in_use::ReplaceArguments;
use super::places::{self, appended};
use super::preparation::PreparationArguments;
use super::secret::{self, PassphraseArguments};
use super::source::SourceArguments;
use super::values::{bytes, serial};
use crate::exit::Exit;
use crate::failure::{Failure, Remedy, Result};
use crate::terminal::{Terminal, Text, size};
use crate::vm::{Cmdline, Serial, VmEditor};

const EXAMPLES: &str = "\
Examples:
  ravelin image encrypt --from rootfs/ --output root.img --size 4G --vm vm.toml
  ravelin image encrypt --from debian.tar.zst --output root.img --passphrase
  ravelin image encrypt --from debian-13-generic-amd64.qcow2 --output root.img --size 8G
  ravelin image encrypt --from root.ext4 --output root.img --key team.key
  ravelin image encrypt --from app.tar --image app:1 --output root.img --customize vm-users.toml
  cryptsetup open --key-file root.img.key root.img root    # with --layout bare, as root

A directory, a tar, a container image or the ext4 of a disk image becomes an ext4 with a journal (by
mke2fs, which has to be installed); another file system is taken as it is. Nothing needs root. With
--size, an ext4 is made that large, and around an image is room to grow (resize2fs, in the guest).

SSH host keys of a directory or a tar stay out of the image: VMs made from one source would share
them. The guest makes its own on its encrypted root and keeps them (ssh.host_keys,
docs/configuration.md); a note names each file that was left out.

The key file holds 32 random bytes and is the only way to the data: keep it, and keep it secret.
The sidecar (root.img.toml) holds no secret; it has the volume specification that is sent to the
guest together with the key, so nobody may change it.

What the VM must be told are the ravelin.* words that are printed: they have to be on the kernel
command line, which is measured at launch; --vm puts them there.

The disk has a LUKS2 header, so that cryptsetup opens it. The guest does not read it.

Every sector is encrypted and authenticated. What no encryption of this kind notices is a disk, or
single sectors of it, put back to what they were at an earlier time.

JSON (\"kind\": \"image-encrypt\"): output, sidecar, key (path of the new key file, else null), bytes,
volume_id, cipher, sector_size, device_sectors, data_offset, spec (hexadecimal), header_sha256,
room (bytes that the file system can have), file_system (kind, uuid, bytes), cmdline (the ravelin.*
words), notes, vm (null without --vm), vm_cmdline (all words, as in vm).";

/// Make an encrypted disk: root file system, authenticated encryption, LUKS2 header
///
/// The root comes from a directory, a tar, a container image, a disk image of a virtual machine,
/// or an image of a file system; docs/import.md has more about each. The disk can be given to
/// the host: whoever has it without the key learns nothing but its size, and every changed sector
/// is an I/O error in the guest.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Encrypt {
    #[command(flatten)]
    source: SourceArguments,
    /// The disk image to write; the sidecar is written beside it
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// The VM description to update (made if there is none): sets the disk and `cmdline`
    ///
    /// Words of `cmdline` that do not describe the image stay as they are. The disk can be written
    /// to. A new description has `unlock_port = 4778` too, for `ravelin unlock`.
    #[arg(long, value_name = "FILE")]
    vm: Option<PathBuf>,
    /// Where the sidecar goes [default: the output's name with .toml at its end]
    #[arg(long, value_name = "FILE")]
    sidecar: Option<PathBuf>,
    #[command(flatten)]
    replace: ReplaceArguments,
    #[command(flatten)]
    preparation: PreparationArguments,
    /// A disk with a partition table, or the volume alone
    #[arg(long, value_enum, default_value = "gpt", value_name = "LAYOUT")]
    layout: LayoutChoice,
    /// The room for the file system, such as 4G [default: as large as it has to be]
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    size: Option<u64>,
    /// User 0 and group 0 own everything, whoever owns the source
    #[arg(long)]
    root_owned: bool,
    /// Leave out extended attributes that ext4 cannot take, instead of failing
    #[arg(long)]
    drop_xattrs: bool,
    /// Leave out the SSH host keys, so that the guest makes its own on its first boot [default for
    /// a directory and a tar]
    ///
    /// They are /etc/ssh/ssh_host_*_key with their .pub and certificates. Of images, only of ext4
    /// (by debugfs, in a copy); what they held is wiped there.
    #[arg(long, conflicts_with = "keep_host_keys")]
    new_host_keys: bool,
    /// Take the source's SSH host keys along [default for an image of a file system]
    #[arg(long)]
    keep_host_keys: bool,

    /// Where the new key goes; an existing file is an error [default: the output's name with .key]
    #[arg(long, value_name = "FILE", help_heading = "Key",
        conflicts_with_all = ["key", "passphrase_source"])]
    new_key: Option<PathBuf>,
    /// Use the key in this file, instead of a new one
    #[arg(long, value_name = "FILE", help_heading = "Key", conflicts_with = "passphrase_source")]
    key: Option<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseArguments,
    /// With a passphrase: the memory that each guess costs, 64K to 4G
    #[arg(long, value_name = "SIZE", value_parser = bytes, default_value = "512M",
        help_heading = "Key")]
    argon2_memory: u64,
    /// With a passphrase: how often each guess goes over that memory, 1 to 32
    #[arg(long, value_name = "NUMBER", default_value_t = 4, help_heading = "Key")]
    argon2_passes: u32,

    /// aes-xts-hmac-sha256, aes-gcm-random or aegis128-random
    ///
    /// The first is the most conservative. The others are faster in the guest; aes-gcm-random is for
    /// disks of which less than 2^32 sectors are ever written, aegis128-random has a key of 128 bits.
    #[arg(long, value_name = "NAME", value_parser = str::parse::<Cipher>,
        default_value = "aes-xts-hmac-sha256", help_heading = "Encryption")]
    cipher: Cipher,
    /// Bytes that are encrypted and authenticated at a time: 512 or 4096
    #[arg(long, value_name = "BYTES", value_parser = str::parse::<SectorSize>,
        default_value = "4096", help_heading = "Encryption")]
    sector_size: SectorSize,
    /// Threads that encrypt [default: one for each core]
    #[arg(long, value_name = "NUMBER", help_heading = "Encryption")]
    threads: Option<NonZeroUsize>,

    /// The virtio serial of the disk; with --layout bare the guest finds it by that
    #[arg(long, value_name = "SERIAL", value_parser = serial, default_value = DATA_SERIAL)]
    data_serial: Serial,
}

/// What the disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LayoutChoice {
    /// A disk with one partition
    Gpt,
    /// The volume, from the first byte on
    Bare,
}

#[derive(Serialize)]
struct Report {
    output: String,
    sidecar: String,
    key: Option<String>,
    bytes: u64,
    volume_id: String,
    cipher: &'static str,
    sector_size: u32,
    device_sectors: u64,
    data_offset: u64,
    spec: String,
    header_sha256: String,
    room: u64,
    file_system: FileSystemReport,
    cmdline: String,
    notes: Vec<String>,
    vm: Option<String>,
    vm_cmdline: Option<String>,
}

#[derive(Serialize)]
struct FileSystemReport {
    kind: &'static str,
    uuid: Option<String>,
    bytes: u64,
}

pub(crate) fn run(arguments: &Encrypt, terminal: &Terminal) -> Result {
    let sidecar = places::sidecar(&arguments.output, arguments.sidecar.as_deref())?;
    let source = arguments.source.open()?;
    let options = EncryptOptions {
        cipher: arguments.cipher,
        sector_size: arguments.sector_size,
        size: arguments.size,
        partitioned: arguments.layout == LayoutChoice::Gpt,
        owner: if arguments.root_owned { Owner::Root } else { Owner::AsSeen },
        xattrs: if arguments.drop_xattrs { Xattrs::Drop } else { Xattrs::Keep },
        host_keys: match (arguments.new_host_keys, arguments.keep_host_keys) {
            (true, _) => Some(HostKeys::LeaveOut),
            (false, true) => Some(HostKeys::Keep),
            (false, false) => None,
        },
        preparation: arguments.preparation.of(&source, Clean::another_disk())?,
        tools: Tools::from_environment(),
        threads: arguments.threads,
    };
    let [customize, modules] = arguments.preparation.files();
    places::distinct(&[
        customize,
        modules,
        ("--from", arguments.source.file()),
        ("--output", Some(&arguments.output)),
        ("the sidecar", Some(&sidecar)),
        ("--key", arguments.key.as_deref()),
        ("--new-key", arguments.new_key.as_deref()),
        ("--passphrase-file", arguments.passphrase.file()),
        ("--vm", arguments.vm.as_deref()),
    ])?;
    arguments.replace.check(Some(&sidecar), [arguments.output.as_path()])?;
    let protection = protection(arguments, terminal)?;
    // A description that cannot be used is better found before the work than after it.
    arguments.vm.as_deref().map(VmEditor::open).transpose()?;
    let progress = terminal.progress();
    let encrypted =
        disk::encrypt(source, &options, &protection, &arguments.output, &sidecar, &progress)
            .map_err(failure)?;
    progress.finish();
    let words = encrypted.sidecar.cmdline(arguments.data_serial.as_str());
    let vm_cmdline = match &arguments.vm {
        Some(vm) => Some(update(vm, &words, arguments).remedy(format!(
            "the disk, its key and {} are complete; {} is as it was",
            sidecar.display(),
            vm.display()
        ))?),
        None => None,
    };
    report(arguments, &protection, &sidecar, encrypted, (words, vm_cmdline), terminal)
}

/// Puts the disk into the VM description, which is read again: encrypting may have
/// taken long.
fn update(vm: &Path, words: &str, arguments: &Encrypt) -> Result<Cmdline> {
    let mut editor = VmEditor::open(vm)?;
    let cmdline = editor.set_image(words)?;
    editor.set_disk(&arguments.output, &arguments.data_serial, true)?;
    editor.set_unlock_port(protocol::release::PORT)?;
    editor.write()?;
    Ok(cmdline)
}

fn failure(error: EncryptError) -> Failure {
    let key_exists = matches!(error, EncryptError::KeyExists { .. });
    let failure = Failure::new(error);
    if key_exists {
        failure.help("name another place with --new-key, or use a key that is there with --key")
    } else {
        failure
    }
}

fn protection(arguments: &Encrypt, terminal: &Terminal) -> Result<Protection> {
    if arguments.passphrase.given() {
        // Four lanes, as cryptsetup chooses: how many are computed at once is another matter.
        let memory = u32::try_from(arguments.argon2_memory >> 10).unwrap_or(u32::MAX);
        let cost = Argon2Cost::new(memory, arguments.argon2_passes, 4).map_err(Failure::usage)?;
        let passphrase = arguments.passphrase.read_new(terminal)?;
        return Ok(Protection::Passphrase { passphrase, cost });
    }
    if let Some(path) = &arguments.key {
        return Ok(Protection::Key(secret::key(path, terminal)?));
    }
    let path = arguments.new_key.clone();
    Ok(Protection::NewKey(path.unwrap_or_else(|| appended(&arguments.output, ".key"))))
}

fn report(
    arguments: &Encrypt,
    protection: &Protection,
    sidecar_path: &Path,
    Encrypted { sidecar, notes }: Encrypted,
    (cmdline, vm_cmdline): (String, Option<Cmdline>),
    terminal: &Terminal,
) -> Result {
    let spec = &sidecar.spec;
    let params = spec.layout().params();
    let mut lines: Vec<String> = notes.list.iter().map(ToString::to_string).collect();
    if notes.omitted > 0 {
        lines.push(format!("and {} more", notes.omitted));
    }
    let report = Report {
        output: arguments.output.display().to_string(),
        sidecar: sidecar_path.display().to_string(),
        key: match protection {
            Protection::NewKey(path) => Some(path.display().to_string()),
            Protection::Key(_) | Protection::Passphrase { .. } => None,
        },
        bytes: sidecar.disk.size,
        volume_id: spec.volume_id().to_string(),
        cipher: params.cipher.name(),
        sector_size: params.sector_size.bytes(),
        device_sectors: params.device_sectors,
        data_offset: params.data_offset,
        spec: hex::encode(spec.encode()),
        header_sha256: hex::encode(sidecar.header_sha256),
        room: spec.tail_offset(),
        file_system: FileSystemReport {
            kind: sidecar.file_system.kind.as_str(),
            uuid: sidecar.file_system.uuid.map(|uuid| uuid.to_string()),
            bytes: sidecar.file_system.size,
        },
        cmdline,
        notes: lines,
        vm: arguments.vm.as_ref().map(|vm| vm.display().to_string()),
        vm_cmdline: vm_cmdline.map(|cmdline| cmdline.to_string()),
    };
    for note in &report.notes {
        terminal.note(note);
    }
    terminal.result("image-encrypt", &report, &describe(&report))?;
    if let Some(vm) = &report.vm {
        terminal.note(&format!("{vm}: the disk and cmdline are set"));
    }
    if let Some(key) = &report.key {
        terminal.note(&format!("{key}: the only key to this disk; keep it, and keep it secret"));
    }
    Ok(Exit::Success)
}

fn describe(report: &Report) -> Text {
    let mut text = Text::new();
    let FileSystemReport { kind, bytes, .. } = &report.file_system;
    text.line(format!("{}: encrypted disk", report.output))
        .field("size", size(report.bytes))
        .field("sidecar", &report.sidecar);
    if let Some(key) = &report.key {
        text.field("key", key);
    }
    text.field("file system", format!("{kind}, {}", size(*bytes)))
        .field("room for it", size(report.room))
        .field("cipher", format!("{}, sectors of {} bytes", report.cipher, report.sector_size))
        .field("volume ID", &report.volume_id)
        .field("header SHA-256", &report.header_sha256);
    if report.vm_cmdline.is_none() {
        text.heading("these words have to be on the kernel command line");
        text.line(&report.cmdline);
    }
    text
}
