//! `ravelin image initramfs`.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use image_builder::initramfs::{
    Additions, Archive, Compression, Level, assemble, base, configuration, modules,
};
use image_builder::modules::{Closure, ModuleTree, Request, Set};
use image_builder::output::Output;
use image_builder::progress::Progress;
use protocol::cmdline::CommandLine;
use protocol::config::{self, Config, FsType, VerityAlgorithm};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::hooks::{self, HookOptions};
use super::places;
use crate::bzimage;
use crate::embedded;
use crate::exit::Exit;
use crate::failure::{Failure, Remedy, Result};
use crate::terminal::{Terminal, Text, causes, size};
use crate::vm::{VmEditor, VmFile};

const EXAMPLES: &str = "\
Examples:
  ravelin image initramfs --output initramfs.cpio.zst --kernel-modules /lib/modules/6.12.95 \\
      --kernel /boot/vmlinuz-6.12.95 --vm vm.toml
  ravelin image initramfs --output initramfs.cpio --kernel-modules unpacked/lib/modules/6.12.95 \\
      --filesystem ext4 --set nvme --config ravelin.toml
  ravelin image initramfs --output initramfs.cpio.zst --kernel-modules /lib/modules/6.12.95 \
      --config ravelin.toml --hook post-root=10-check --hook-file /bin/sh=busybox
  ravelin image initramfs --part base --output base.cpio    # for a project of your own

The output is a function of the inputs alone: the same files give the same bytes, whatever the
time, the user and the directory. Archives made with --part and without compression can be
concatenated with cat.

JSON (\"kind\": \"image-initramfs\"): output, bytes, sha256, compression, parts (part, entries,
bytes), kernel_release (null without modules), modules (wave, required, path), built_in, notes,
hooks (stage, name, bytes; in the order in which they run), vm (null without --vm).";

/// Make the initramfs: PID 1, kernel modules, measured configuration
///
/// PID 1 is the only program in it. The kernel modules are those that the root needs, with all
/// that they depend on, decompressed, in the order in which PID 1 loads them. Which ones these
/// are follows from the VM description and the configuration where they say it, else from
/// --filesystem.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Initramfs {
    /// The initramfs to write, such as initramfs.cpio.zst
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// The modules of the kernel: its directory lib/modules/VERSION
    ///
    /// Of an installed kernel, or of an unpacked package (`dpkg -x linux-image-….deb DIR`). Without
    /// it, the kernel must have everything built in.
    #[arg(short = 'm', long, value_name = "DIR")]
    kernel_modules: Option<PathBuf>,
    /// The measured configuration; it becomes /etc/ravelin.toml
    ///
    /// Its keys are those of the kernel command line without `ravelin.`; a key is given once, in
    /// one of the two places. Without it, all settings come from the command line.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The VM description to update (made if there is none): sets `initrd`
    #[arg(long, value_name = "FILE", conflicts_with = "part")]
    vm: Option<PathBuf>,
    /// The kernel, for the VM description; it must be the one that the modules are for
    #[arg(short, long, value_name = "FILE", requires = "vm")]
    kernel: Option<PathBuf>,
    /// The firmware, for the VM description: an OVMF with SEV hashes (AmdSev)
    #[arg(long, value_name = "FILE", requires = "vm")]
    firmware: Option<PathBuf>,
    /// Take the modules for this root file system (repeatable)
    ///
    /// Default: what the VM description and the configuration say, else erofs.
    #[arg(short, long, alias = "fs", value_name = "TYPE", value_enum)]
    filesystem: Vec<FileSystem>,
    /// Take this set of modules too: virtio-mmio, virtio-scsi, nvme, sha512, … (repeatable)
    ///
    /// The sets are: virtio-blk, virtio-mmio, virtio-scsi, nvme, verity, sha256, sha512, overlay,
    /// evidence, encrypted, network, and the file systems. An image with dm-verity gets virtio-blk,
    /// verity, its hash, overlay and its file system without being asked, and evidence unless
    /// attest.mode is none; encrypted and network come with a VM description that needs them.
    #[arg(long, value_name = "SET", value_parser = str::parse::<Set>)]
    set: Vec<Set>,
    /// Take this module too; the boot fails without it (repeatable)
    ///
    /// A root that has no kernel modules of its own needs virtio_net here to have a network.
    #[arg(long, value_name = "NAME")]
    module: Vec<String>,
    /// Take this module too if the kernel has it; the boot goes on without it (repeatable)
    #[arg(long, value_name = "NAME")]
    optional_module: Vec<String>,
    #[command(flatten)]
    hooks: HookOptions,
    /// Another PID 1 than the one inside ravelin: a static x86-64 executable
    #[arg(long, value_name = "FILE")]
    init: Option<PathBuf>,
    /// none, zstd, or zstd:LEVEL with a level from 1 to 22
    ///
    /// Default: zstd:19 if the name of the output ends in .zst, else none.
    #[arg(long, value_name = "HOW", value_parser = str::parse::<Compression>)]
    compress: Option<Compression>,
    /// Only this part of the initramfs (repeatable)
    ///
    /// Each part is an archive by itself. Default: base, and the parts whose inputs are given.
    #[arg(short, long, value_enum)]
    part: Vec<Part>,
}

/// An archive of the initramfs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Part {
    /// PID 1 and the directories that it mounts on
    Base,
    /// The kernel modules and their load order
    Modules,
    /// The measured configuration, with the hooks
    Config,
}

/// A root file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FileSystem {
    Erofs,
    Squashfs,
    Ext4,
    Xfs,
    Btrfs,
}

impl From<FileSystem> for FsType {
    fn from(file_system: FileSystem) -> FsType {
        match file_system {
            FileSystem::Erofs => FsType::Erofs,
            FileSystem::Squashfs => FsType::Squashfs,
            FileSystem::Ext4 => FsType::Ext4,
            FileSystem::Xfs => FsType::Xfs,
            FileSystem::Btrfs => FsType::Btrfs,
        }
    }
}

#[derive(Serialize)]
struct Report {
    output: String,
    bytes: u64,
    sha256: String,
    compression: String,
    parts: Vec<PartReport>,
    kernel_release: Option<String>,
    modules: Vec<ModuleReport>,
    built_in: Vec<String>,
    notes: Vec<String>,
    hooks: Vec<HookReport>,
    vm: Option<String>,
}

#[derive(Serialize)]
struct PartReport {
    part: Part,
    entries: usize,
    bytes: usize,
}

#[derive(Serialize)]
struct ModuleReport {
    wave: u16,
    required: bool,
    path: String,
}

#[derive(Serialize)]
struct HookReport {
    stage: &'static str,
    name: String,
    bytes: usize,
}

pub(crate) fn run(arguments: &Initramfs, terminal: &Terminal) -> Result {
    let parts = parts(arguments, terminal)?;
    let read = [
        ("--config", arguments.config.as_deref()),
        ("--vm", arguments.vm.as_deref()),
        ("--kernel", arguments.kernel.as_deref()),
        ("--firmware", arguments.firmware.as_deref()),
        ("--init", arguments.init.as_deref()),
    ];
    places::apart(&arguments.output, read.into_iter().chain(arguments.hooks.places()))?;
    // Everything that can be wrong is looked at before something is made.
    let mut vm = arguments.vm.as_deref().map(VmEditor::open).transpose()?;
    let output = Output::create(&arguments.output)?;
    let toml = arguments.config.as_deref().map(read_configuration).transpose()?;
    let measured = measured(arguments, toml.as_deref())?;
    let additions = arguments.hooks.read()?;

    let progress = terminal.progress();
    let mut archives = Vec::new();
    let mut closure = None;
    for part in &parts {
        let archive = match part {
            Part::Base => base_archive(arguments)?,
            Part::Modules => {
                progress.stage("reading modules", None);
                let found = gather(arguments, measured.as_ref(), toml.as_deref())?;
                let archive = modules(&found)?;
                closure = Some(found);
                archive
            }
            Part::Config => configuration_archive(toml.as_deref(), &additions)?,
        };
        archives.push((*part, archive));
    }
    let compression = arguments.compress.unwrap_or_else(|| usual_compression(&arguments.output));
    progress.stage("compressing", None);
    let bytes = assemble(archives.iter().map(|(_, archive)| archive), compression)?;
    output
        .file()
        .write_all(&bytes)
        .map_err(|error| Failure::new(error).named(&arguments.output))?;
    progress.stage("writing", None);
    output.commit()?;
    progress.finish();
    if let Some(mut vm) = vm.take() {
        vm.set_initrd(&arguments.output)?;
        if let Some(kernel) = &arguments.kernel {
            vm.set_kernel(kernel)?;
        }
        if let Some(firmware) = &arguments.firmware {
            vm.set_firmware(firmware)?;
        }
        if let Some(modules) = &arguments.kernel_modules {
            vm.set_simulation_modules(modules)?;
        }
        vm.write()?;
    }
    report(arguments, &bytes, compression, &archives, closure, additions, terminal)
}

/// The parts to make, in the order in which they belong together.
fn parts(arguments: &Initramfs, terminal: &Terminal) -> Result<Vec<Part>> {
    let given = |part| match part {
        Part::Base => true,
        Part::Modules => arguments.kernel_modules.is_some(),
        Part::Config => arguments.config.is_some() || !arguments.hooks.is_empty(),
    };
    let asked = |part| arguments.part.is_empty() || arguments.part.contains(&part);
    for (part, name, option) in [
        (Part::Modules, "modules", "--kernel-modules DIR"),
        (
            Part::Config,
            "config",
            if arguments.config.is_some() { "--config FILE" } else { "--hook" },
        ),
    ] {
        if arguments.part.contains(&part) && !given(part) {
            let failure = Failure::usage(format!("--part {name} has nothing to be made of"));
            return Err(failure.help(format!("add {option}")));
        }
        if !asked(part) && given(part) {
            let failure = Failure::usage(format!("{option} has no use without --part {name}"));
            return Err(failure.help(format!("add --part {name}, or leave {option} out")));
        }
    }
    if arguments.part.is_empty() && arguments.kernel_modules.is_none() {
        terminal.warning(
            "no --kernel-modules: this initramfs boots only a kernel that has virtio, dm-verity, \
             overlayfs and the file system built in",
        );
    }
    Ok([Part::Base, Part::Modules, Part::Config]
        .into_iter()
        .filter(|part| asked(*part) && given(*part))
        .collect())
}

fn base_archive(arguments: &Initramfs) -> Result<Archive> {
    match (&arguments.init, embedded::INIT) {
        (Some(path), _) => {
            let init = fs::read(path).map_err(|error| Failure::new(error).named(path))?;
            base(&init).map_err(|error| Failure::new(causes(&error)).named(path))
        }
        (None, Some(init)) => Ok(base(init)?),
        (None, None) => Err(Failure::new("this ravelin was built without PID 1 inside").help(
            "`cargo xtask build` makes one that has it; or name a PID 1 with --init FILE \
             (cargo xtask build leaves it in target/x86_64-unknown-linux-gnu/init/init)",
        )),
    }
}

fn configuration_archive(toml: Option<&str>, additions: &Additions) -> Result<Archive> {
    let mut archive = match toml {
        Some(toml) => configuration(toml)?,
        None => Archive::new(),
    };
    hooks::add(additions, &mut archive)?;
    Ok(archive)
}

fn read_configuration(path: &Path) -> Result<String> {
    let shown = path.display();
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(config::FILE_MAX as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| Failure::file(path, error))?;
    config::check_file(&bytes)
        .map_err(|error| Failure::new(format!("{shown}: {error}")))
        .remedy("PID 1 would refuse to boot with it; `docs/configuration.md` has all keys")?;
    String::from_utf8(bytes).map_err(|_not_utf8| Failure::new(format!("{shown}: not UTF-8")))
}

/// The whole configuration, where the VM description has an image's settings
/// already; it must then be one that PID 1 accepts.
fn measured(arguments: &Initramfs, toml: Option<&str>) -> Result<Option<Config>> {
    let Some(path) = arguments.vm.as_deref().filter(|path| path.exists()) else {
        return Ok(None);
    };
    let file = VmFile::read(path)?;
    let Some(cmdline) = &file.vm().cmdline else { return Ok(None) };
    let line = CommandLine::parse(cmdline.as_str().as_bytes())?;
    match config::parse(toml.map(str::as_bytes), &line) {
        Ok(config) => Ok(Some(config)),
        // Nothing of the root is set yet: `image verity --vm` comes later.
        Err(config::ConfigError::MissingKey { .. }) => Ok(None),
        Err(error) => Err(Failure::new(format!(
            "PID 1 would refuse this configuration together with the command line of {}: {error}",
            path.display()
        ))
        .help("correct the configuration, or `cmdline` of the VM description")),
    }
}

fn gather(arguments: &Initramfs, measured: Option<&Config>, toml: Option<&str>) -> Result<Closure> {
    let directory = arguments.kernel_modules.as_deref().unwrap_or(Path::new(""));
    let tree = ModuleTree::open(directory)?;
    if let Some(kernel) = &arguments.kernel {
        let release =
            bzimage::release(kernel).map_err(|error| Failure::new(error).named(kernel))?;
        if let Some(release) = release.filter(|release| release != tree.kernel()) {
            return Err(Failure::new(format!(
                "{} is kernel {release}, and {} has the modules of kernel {}",
                kernel.display(),
                directory.display(),
                tree.kernel()
            ))
            .help("give a kernel and modules that were built together"));
        }
    }
    let mut sets: Vec<Set> = match measured {
        Some(config) if arguments.filesystem.is_empty() => Set::for_configuration(config),
        _ => {
            let file_systems = match arguments.filesystem.as_slice() {
                [] => &[FileSystem::Erofs],
                given => given,
            };
            let sha256 = Some(VerityAlgorithm::Sha256);
            let mut sets: Vec<Set> = file_systems
                .iter()
                .flat_map(|fs| Set::for_root((*fs).into(), sha256, true))
                .collect();
            let evidence = match measured {
                Some(config) => config.attest.is_some(),
                None => config::wants_evidence(toml.map(str::as_bytes), &CommandLine::default()),
            };
            if evidence {
                sets.push(Set::Evidence);
            }
            sets
        }
    };
    sets.extend(&arguments.set);
    let mut requests: Vec<Request> = sets.into_iter().flat_map(Set::requests).collect();
    requests
        .extend(arguments.module.iter().map(|name| Request::required(name).wanted_by("--module")));
    requests.extend(
        arguments
            .optional_module
            .iter()
            .map(|name| Request::optional(name).wanted_by("--optional-module")),
    );
    Ok(tree.closure(&requests)?)
}

fn usual_compression(output: &Path) -> Compression {
    if output.extension().is_some_and(|extension| extension == "zst") {
        Compression::Zstd(Level::DEFAULT)
    } else {
        Compression::None
    }
}

fn report(
    arguments: &Initramfs,
    bytes: &[u8],
    compression: Compression,
    archives: &[(Part, Archive)],
    closure: Option<Closure>,
    additions: Additions,
    terminal: &Terminal,
) -> Result {
    let mut hooks = additions.hooks;
    hooks.sort_by(|a, b| (a.stage, &a.name).cmp(&(b.stage, &b.name)));
    let hooks = hooks.into_iter().map(|hook| HookReport {
        stage: hook.stage.as_str(),
        name: hook.name,
        bytes: hook.content.len(),
    });
    let parts = archives.iter().map(|(part, archive)| PartReport {
        part: *part,
        entries: archive.paths().count(),
        bytes: archive.to_bytes().len(),
    });
    let mut report = Report {
        output: arguments.output.display().to_string(),
        bytes: bytes.len() as u64,
        sha256: hex::encode(Sha256::digest(bytes)),
        compression: compression.to_string(),
        parts: parts.collect(),
        kernel_release: None,
        modules: Vec::new(),
        built_in: Vec::new(),
        notes: Vec::new(),
        hooks: hooks.collect(),
        vm: arguments.vm.as_ref().map(|vm| vm.display().to_string()),
    };
    if let Some(closure) = closure {
        report.kernel_release = Some(closure.order.kernel);
        report.modules = closure
            .order
            .modules
            .into_iter()
            .map(|module| ModuleReport {
                wave: module.wave,
                required: module.required,
                path: module.path,
            })
            .collect();
        report.built_in = closure.built_in.into_iter().collect();
        report.notes = closure.notes.iter().map(ToString::to_string).collect();
    }
    for note in &report.notes {
        terminal.detail(note);
    }
    terminal.result("image-initramfs", &report, &describe(&report))?;
    if let Some(vm) = &report.vm {
        terminal.note(&format!("{vm}: initrd is set"));
    }
    Ok(Exit::Success)
}

fn describe(report: &Report) -> Text {
    let mut text = Text::new();
    text.line(format!("{}: initramfs", report.output))
        .field("size", size(report.bytes))
        .field("SHA-256", &report.sha256)
        .field("compression", &report.compression);
    for PartReport { part, entries, bytes } in &report.parts {
        let name = match part {
            Part::Base => "base",
            Part::Modules => "modules",
            Part::Config => "config",
        };
        text.field(name, format!("{entries} entries, {bytes} bytes"));
    }
    if let Some(release) = &report.kernel_release {
        text.field("kernel", release);
        let names: Vec<String> = report.modules.iter().map(name).collect();
        text.field("modules", if names.is_empty() { "none".to_owned() } else { names.join(" ") });
        if !report.built_in.is_empty() {
            text.field("built in", report.built_in.join(" "));
        }
    }
    for HookReport { stage, name, bytes } in &report.hooks {
        text.field(&format!("hook {stage}"), format!("{name}, {bytes} bytes"));
    }
    text
}

/// The module's name, in brackets if it is optional.
fn name(module: &ModuleReport) -> String {
    let file = module.path.rsplit('/').next().unwrap_or_default();
    let name = file.strip_suffix(".ko").unwrap_or(file);
    if module.required { name.to_owned() } else { format!("[{name}]") }
}
