//! `ravelin image verity`.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use image_builder::disk::clean::Clean;
use image_builder::disk::{
    self, Built, Compression, DATA_SERIAL, HASH_SERIAL, Layout, Make, Options, Owner, SaltChoice,
    Sidecar, Source, Target, Tools, Xattrs,
};
use protocol::config::FsType;
use serde::Serialize;
use uuid::Uuid;
use verity::{Algorithm, BlockSize, Salt};

use super::in_use::ReplaceArguments;
use super::places::{self, appended};
use super::preparation::PreparationArguments;
use super::source::SourceArguments;
use super::values::{bytes, serial};
use crate::exit::Exit;
use crate::failure::{Failure, Remedy, Result};
use crate::terminal::{Terminal, Text, size};
use crate::vm::{Cmdline, Serial, VmEditor};

const EXAMPLES: &str = "\
Examples:
  ravelin image verity --from rootfs/ --output root.img --vm vm.toml
  ravelin image verity --from debian.tar.zst --output root.img --fs squashfs --compress zstd:19
  mmdebstrap trixie - | ravelin image verity --from - --output root.img
  docker save app:1 | ravelin image verity --from - --output root.img
  ravelin image verity --from debian-13-generic-amd64.qcow2 --output root.img
  ravelin image verity --from server.img --format raw --partition 2 --output root.img
  ravelin image verity --from root.ext4 --output root.img
  ravelin image verity --from rootfs/ --output root.erofs --layout bare --hash-output root.hash

The image is public: what is one machine's own (SSH host keys, machine id, random seed, state of
cloud-init, histories, fstab lines of the old disk) is left out, and a note names each of them and
whatever looks like a secret. `ravelin image audit` tells before; --no-clean keeps everything.

The file system is made by its own tool (erofs-utils, squashfs-tools, e2fsprogs), which has to
be installed; nothing needs root. The same source, options and seed give the same bytes.

The sidecar (root.img.toml) says all about the image. What the VM must be told are the
ravelin.* words of its `cmdline`: they have to be on the kernel command line, which is
measured at launch; --vm puts them there.

JSON (\"kind\": \"image-verity\"): output, hash_output (null unless bare), sidecar, bytes,
hash_bytes (of the bare hash tree, else null), root_hash, salt, algorithm, data_block_size,
hash_block_size, data_blocks, hash_start_block, uuid, seed, file_system (kind, uuid, bytes),
cmdline (the ravelin.* words), notes, vm (null without --vm), vm_cmdline (all words, as in vm).";

/// Make a verified disk: root file system, hash tree, partition table
///
/// The root comes from a directory, a tar, a container image, a disk image of a virtual machine,
/// or an image of a file system; docs/import.md has more about each. Every block of it is
/// hashed into a dm-verity tree, whose root hash stands for the whole disk: a VM that has the
/// root hash on its measured command line boots this disk and no other.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Verity {
    #[command(flatten)]
    source: SourceArguments,
    /// The disk image to write; the sidecar is written beside it
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// The VM description to update (made if there is none): sets the disk and `cmdline`
    ///
    /// Words of `cmdline` that do not describe the image stay as they are.
    #[arg(long, value_name = "FILE")]
    vm: Option<PathBuf>,
    /// Where the sidecar goes [default: the output's name with .toml at its end]
    #[arg(long, value_name = "FILE")]
    sidecar: Option<PathBuf>,
    #[command(flatten)]
    replace: ReplaceArguments,
    #[command(flatten)]
    preparation: PreparationArguments,
    /// One disk with a partition table, or two bare files
    #[arg(long, value_enum, default_value = "gpt", value_name = "LAYOUT")]
    layout: LayoutChoice,
    /// With --layout bare: the file for the hash tree [default: the output's name with .hash]
    #[arg(long, value_name = "FILE")]
    hash_output: Option<PathBuf>,

    /// The file system to make [default: erofs]
    ///
    /// Not for a source that is a file-system image already.
    #[arg(
        long,
        alias = "filesystem",
        value_enum,
        value_name = "TYPE",
        help_heading = "File system"
    )]
    fs: Option<MadeFileSystem>,
    /// Its compression: NAME, NAME:LEVEL, or none [default: lz4 for erofs, zstd for squashfs]
    #[arg(long, value_name = "HOW", value_parser = compression, help_heading = "File system")]
    compress: Option<CompressionChoice>,
    /// The size of an ext4, such as 2G [default: as large as it has to be]
    #[arg(long, value_name = "SIZE", value_parser = bytes, help_heading = "File system")]
    fs_size: Option<u64>,
    /// User 0 and group 0 own everything, whoever owns the source
    #[arg(long, help_heading = "File system")]
    root_owned: bool,
    /// Leave out extended attributes that the file system cannot take, instead of failing
    #[arg(long, help_heading = "File system")]
    drop_xattrs: bool,
    /// Creation time of the file system, in seconds since 1970
    #[arg(long, value_name = "SECONDS", default_value_t = 0, help_heading = "File system")]
    created: u32,

    /// The hash of the tree
    #[arg(long, value_name = "NAME", value_parser = str::parse::<Algorithm>,
        default_value = "sha256", help_heading = "Hash tree")]
    hash: Algorithm,
    /// Bytes of a data block: 512, 1024, 2048 or 4096
    #[arg(long, value_name = "BYTES", value_parser = str::parse::<BlockSize>,
        default_value = "4096", help_heading = "Hash tree")]
    data_block_size: BlockSize,
    /// Bytes of a hash block: 512, 1024, 2048 or 4096
    #[arg(long, value_name = "BYTES", value_parser = str::parse::<BlockSize>,
        default_value = "4096", help_heading = "Hash tree")]
    hash_block_size: BlockSize,
    /// Hexadecimal digits, - for none, or random [default: follows from the seed]
    ///
    /// A random salt makes every build another image with another root hash.
    #[arg(long, value_name = "SALT", value_parser = salt, allow_hyphen_values = true,
        help_heading = "Hash tree")]
    salt: Option<SaltChoiceArgument>,
    /// Where all UUIDs and the salt of the image come from [default: a fixed one]
    #[arg(long, value_name = "UUID", help_heading = "Hash tree")]
    seed: Option<Uuid>,
    /// Threads that hash [default: one for each core]; the image does not depend on it
    #[arg(long, value_name = "NUMBER", help_heading = "Hash tree")]
    threads: Option<NonZeroUsize>,

    /// With --layout bare: the virtio serial of the root's disk
    #[arg(long, value_name = "SERIAL", value_parser = serial, default_value = DATA_SERIAL)]
    data_serial: Serial,
    /// With --layout bare: the virtio serial of the hash tree's disk
    #[arg(long, value_name = "SERIAL", value_parser = serial, default_value = HASH_SERIAL)]
    hash_serial: Serial,
}

/// What files an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LayoutChoice {
    /// One disk with a root and a verity partition
    Gpt,
    /// The file system and the hash tree as a disk each
    Bare,
}

/// File systems that can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum MadeFileSystem {
    /// Compressed, read-only; the fastest to boot from
    Erofs,
    /// Compressed, read-only; the smallest
    Squashfs,
    /// Not compressed
    Ext4,
}

/// `none` or a compression.
#[derive(Debug, Clone)]
struct CompressionChoice(Option<Compression>);

/// `random` or a salt.
#[derive(Debug, Clone)]
struct SaltChoiceArgument(SaltChoice);

#[derive(Serialize)]
struct Report {
    output: String,
    hash_output: Option<String>,
    sidecar: String,
    bytes: u64,
    hash_bytes: Option<u64>,
    root_hash: String,
    salt: String,
    algorithm: &'static str,
    data_block_size: u32,
    hash_block_size: u32,
    data_blocks: u64,
    hash_start_block: u64,
    uuid: String,
    seed: String,
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

pub(crate) fn run(arguments: &Verity, terminal: &Terminal) -> Result {
    let sidecar = places::sidecar(&arguments.output, arguments.sidecar.as_deref())?;
    let source = arguments.source.open()?;
    let unchanged = source.is_file_system();
    let options = options(arguments, &source)?;
    let target = target(arguments)?;
    check_places(arguments, &target, &sidecar)?;
    // A description that cannot be used is better found before the work than after it.
    arguments.vm.as_deref().map(VmEditor::open).transpose()?;

    let progress = terminal.progress();
    let built = disk::build(source, &options, &target, &sidecar, &progress)?;
    progress.finish();
    if unchanged {
        arguments.preparation.note_unchanged(terminal);
    }
    let cmdline = match &arguments.vm {
        Some(vm) => Some(update(vm, &built.sidecar, &target).remedy(format!(
            "the image and {} are complete; {} is as it was",
            sidecar.display(),
            vm.display()
        ))?),
        None => None,
    };
    report(arguments, &target, &sidecar, &built, cmdline.as_ref(), terminal)
}

/// What is written must be neither what is read nor an encrypted disk in use.
fn check_places(arguments: &Verity, target: &Target, sidecar: &Path) -> Result<()> {
    let hash = match target {
        Target::Disk { .. } => None,
        Target::Files { hash, .. } => Some(hash.as_path()),
    };
    let [customize, modules] = arguments.preparation.files();
    places::distinct(&[
        customize,
        modules,
        ("--from", arguments.source.file()),
        ("--output", Some(&arguments.output)),
        ("--hash-output", hash),
        ("the sidecar", Some(sidecar)),
        ("--vm", arguments.vm.as_deref()),
    ])?;
    let outputs = [Some(arguments.output.as_path()), hash].into_iter().flatten();
    arguments.replace.check(Some(sidecar), outputs)
}

fn options(arguments: &Verity, source: &Source) -> Result<Options> {
    let is_image = source.is_file_system();
    let made = arguments.fs.is_some()
        || arguments.compress.is_some()
        || arguments.fs_size.is_some()
        || arguments.root_owned
        || arguments.drop_xattrs;
    if is_image && made {
        let shown = arguments.source.path().display();
        let failure = Failure::usage(format!("{shown} is a file system already and is not made"));
        return Err(
            failure.help("leave --fs, --compress, --fs-size, --root-owned and --drop-xattrs out")
        );
    }
    let mut options = Options {
        salt: arguments.salt.as_ref().map(|salt| salt.0.clone()).unwrap_or_default(),
        algorithm: arguments.hash,
        data_block_size: arguments.data_block_size,
        hash_block_size: arguments.hash_block_size,
        make: make(arguments)?,
        owner: if arguments.root_owned { Owner::Root } else { Owner::AsSeen },
        xattrs: if arguments.drop_xattrs { Xattrs::Drop } else { Xattrs::Keep },
        preparation: arguments.preparation.of(source, Clean::public_image())?,
        created: arguments.created,
        tools: Tools::from_environment(),
        threads: arguments.threads,
        ..Options::default()
    };
    if let Some(seed) = arguments.seed {
        options.seed = seed;
    }
    Ok(options)
}

fn make(arguments: &Verity) -> Result<Make> {
    let kind = match arguments.fs.unwrap_or(MadeFileSystem::Erofs) {
        MadeFileSystem::Erofs => FsType::Erofs,
        MadeFileSystem::Squashfs => FsType::Squashfs,
        MadeFileSystem::Ext4 => FsType::Ext4,
    };
    let mut make = Make::new(kind).unwrap_or_default();
    match (&mut make, &arguments.compress, arguments.fs_size) {
        (Make::Ext4 { .. }, Some(_), _) => {
            Err(Failure::usage("ext4 has no compression; leave --compress out"))
        }
        (Make::Erofs { .. } | Make::Squashfs { .. }, _, Some(_)) => {
            Err(Failure::usage("--fs-size is for --fs ext4; the others are as large as they are"))
        }
        (Make::Ext4 { size, .. }, None, given) => {
            *size = given;
            Ok(make)
        }
        (Make::Erofs { compression } | Make::Squashfs { compression }, given, None) => {
            if let Some(CompressionChoice(given)) = given {
                compression.clone_from(given);
            }
            Ok(make)
        }
    }
}

fn target(arguments: &Verity) -> Result<Target> {
    match arguments.layout {
        LayoutChoice::Gpt if arguments.hash_output.is_some() => Err(Failure::usage(
            "--hash-output is for --layout bare; a disk with partitions has the tree inside",
        )),
        LayoutChoice::Gpt => Ok(Target::Disk { path: arguments.output.clone() }),
        LayoutChoice::Bare => Ok(Target::Files {
            data: arguments.output.clone(),
            hash: arguments
                .hash_output
                .clone()
                .unwrap_or_else(|| appended(&arguments.output, ".hash")),
            data_serial: arguments.data_serial.as_str().to_owned(),
            hash_serial: arguments.hash_serial.as_str().to_owned(),
        }),
    }
}

/// Puts the image into the VM description, which is read again: building may
/// have taken long.
fn update(vm: &Path, sidecar: &Sidecar, target: &Target) -> Result<Cmdline> {
    let mut editor = VmEditor::open(vm)?;
    let cmdline = editor.set_image(&sidecar.cmdline)?;
    match target {
        Target::Disk { path } => editor.set_disk(path, &serial(DATA_SERIAL)?, false)?,
        Target::Files { data, hash, data_serial, hash_serial } => {
            editor.set_disk(data, &serial(data_serial)?, false)?;
            editor.set_disk(hash, &serial(hash_serial)?, false)?;
        }
    }
    editor.write()?;
    Ok(cmdline)
}

fn report(
    arguments: &Verity,
    target: &Target,
    sidecar_path: &Path,
    built: &Built,
    cmdline: Option<&Cmdline>,
    terminal: &Terminal,
) -> Result {
    let Sidecar { cmdline: words, seed, file_system, verity, layout, .. } = &built.sidecar;
    let (bytes, hash_bytes) = match layout {
        Layout::Disk(disk) => (disk.size, None),
        Layout::Files(files) => (files.data.size, Some(files.hash.size)),
    };
    let mut notes: Vec<String> = built.notes.list.iter().map(ToString::to_string).collect();
    if built.notes.omitted > 0 {
        notes.push(format!("and {} more", built.notes.omitted));
    }
    let report = Report {
        output: arguments.output.display().to_string(),
        hash_output: match target {
            Target::Disk { .. } => None,
            Target::Files { hash, .. } => Some(hash.display().to_string()),
        },
        sidecar: sidecar_path.display().to_string(),
        bytes,
        hash_bytes,
        root_hash: verity.root_hash.to_string(),
        salt: verity.salt.to_string(),
        algorithm: verity.algorithm.name(),
        data_block_size: verity.data_block_size.to_u32(),
        hash_block_size: verity.hash_block_size.to_u32(),
        data_blocks: verity.data_blocks,
        hash_start_block: verity.hash_start_block,
        uuid: verity.uuid.to_string(),
        seed: seed.to_string(),
        file_system: FileSystemReport {
            kind: file_system.kind.as_str(),
            uuid: file_system.uuid.map(|uuid| uuid.to_string()),
            bytes: file_system.size,
        },
        cmdline: words.clone(),
        notes,
        vm: arguments.vm.as_ref().map(|vm| vm.display().to_string()),
        vm_cmdline: cmdline.map(ToString::to_string),
    };
    for note in &report.notes {
        terminal.note(note);
    }
    terminal.result("image-verity", &report, &describe(&report))?;
    if let Some(vm) = &report.vm {
        terminal.note(&format!("{vm}: the disk and cmdline are set"));
    }
    Ok(Exit::Success)
}

fn describe(report: &Report) -> Text {
    let mut text = Text::new();
    text.line(format!("{}: verified disk", report.output)).field("size", size(report.bytes));
    if let (Some(hash), Some(bytes)) = (&report.hash_output, report.hash_bytes) {
        text.field("hash tree", format!("{hash}, {}", size(bytes)));
    }
    let Report { data_blocks, data_block_size, algorithm, .. } = report;
    text.field("sidecar", &report.sidecar)
        .field(
            "file system",
            format!("{}, {}", report.file_system.kind, size(report.file_system.bytes)),
        )
        .field("data", format!("{data_blocks} blocks of {data_block_size} bytes, {algorithm}"))
        .field("root hash", &report.root_hash)
        .field("salt", &report.salt);
    if report.vm_cmdline.is_none() {
        text.heading("these words have to be on the kernel command line");
        text.line(&report.cmdline);
    }
    text
}

fn compression(text: &str) -> std::result::Result<CompressionChoice, disk::CompressionError> {
    if text == "none" {
        return Ok(CompressionChoice(None));
    }
    text.parse().map(|compression| CompressionChoice(Some(compression)))
}

fn salt(text: &str) -> std::result::Result<SaltChoiceArgument, verity::ParamsError> {
    if text == "random" {
        return Ok(SaltChoiceArgument(SaltChoice::Random));
    }
    text.parse::<Salt>().map(|salt| SaltChoiceArgument(SaltChoice::Given(salt)))
}
