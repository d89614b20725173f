//! `ravelin measure`.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};

use attestation::measurement::{
    CpuType, GuestFeatures, LaunchDigest, Manifest, VcpuCount, VmmKind,
};
use clap::Args;
use image_builder::output::Output;
use serde::Serialize;

use super::guest::{GuestArguments, failure};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::measure::Guest;
use crate::terminal::{Terminal, Text, printable};

const EXAMPLES: &str = "\
Examples:
  ravelin measure                                  # of vm.toml here
  ravelin measure --vm web/vm.toml --vcpus 8 --cpu EPYC-Milan
  ravelin measure --cpu 25/17/1 --guest-features 0x21
  ravelin measure --firmware-only --vmm ec2 --vcpus 2
  ravelin measure --matrix --vcpus 1-64 --cpu EPYC-Milan,EPYC-Genoa --output fleet.toml
  ravelin measure --json | jq -r .measurement

What is measured: the firmware's pages and sections, the SHA-256 of kernel, initramfs and command
line (its bytes and one NUL, nothing trimmed, as QEMU does), and the initial state of each vCPU.
Memory, disks, network and the guest policy are not: the disk's root hash stands on the command
line, and the policy has a field of its own in every report.

--matrix writes one image's digests for a whole fleet. `ravelin report verify --manifest FILE`
accepts every one of them.

JSON (\"kind\": \"measure\"): measurement (96 hexadecimal digits), vmm, vcpus, cpu, cpu_signature,
guest_features, firmware (file, digest: of its pages), kernel and initrd (file, sha256) and cmdline
(text, sha256), all three null with --firmware-only, guest_policy.
JSON (\"kind\": \"measure-matrix\"): file (or null), manifest (format, vmm, firmware, kernel, measurement: a list of
vcpus, cpu, guest_features, digest).";

/// Compute the launch digest that the hardware will report
///
/// Reads the files that vm.toml names and computes MEASUREMENT of the attestation report, on this
/// machine and before the VM exists. `launch` starts the VM from the same description.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Measure {
    #[command(flatten)]
    guest: GuestArguments,
    /// Compute all combinations of the lists of vCPU counts, vCPU types and guest features
    ///
    /// The result is a manifest, TOML or JSON by the name of --output.
    #[arg(long)]
    matrix: bool,
    /// Write the manifest to this file (.toml or .json)
    #[arg(long, value_name = "FILE", requires = "matrix")]
    output: Option<PathBuf>,
}

#[derive(Serialize)]
struct Measured<'a> {
    measurement: LaunchDigest,
    vmm: VmmKind,
    vcpus: VcpuCount,
    cpu: CpuType,
    cpu_signature: String,
    guest_features: GuestFeatures,
    firmware: FirmwareFile<'a>,
    kernel: Option<HashedFile<'a>>,
    initrd: Option<HashedFile<'a>>,
    cmdline: Option<HashedText>,
    guest_policy: String,
}

#[derive(Serialize)]
struct FirmwareFile<'a> {
    file: &'a str,
    digest: LaunchDigest,
}

#[derive(Serialize)]
struct HashedFile<'a> {
    file: &'a str,
    sha256: String,
}

#[derive(Serialize)]
struct HashedText {
    text: String,
    sha256: String,
}

#[derive(Serialize)]
struct Matrix<'a> {
    file: Option<String>,
    manifest: &'a Manifest,
}

pub(crate) fn run(arguments: &Measure, terminal: &Terminal) -> Result {
    let progress = terminal.progress();
    if arguments.matrix {
        let format = arguments.output.as_deref().map(ManifestForm::of).transpose()?;
        let (guest, combinations) = arguments.guest.matrix()?;
        let manifest = guest.manifest(&combinations).map_err(failure)?;
        progress.finish();
        return write_manifest(&manifest, arguments.output.as_deref().zip(format), terminal);
    }
    let guest = arguments.guest.guest()?;
    let digest = guest.digest().map_err(failure)?;
    progress.finish();
    let policy = super::guest::vm_file(&arguments.guest.vm)?.vm().sev.policy.to_string();
    let measured = measured(&guest, digest, policy);
    terminal.result("measure", &measured, &text(&measured))?;
    if guest.boot.is_none() {
        terminal.note("only the firmware is measured; the host decides what it boots");
    }
    Ok(Exit::Success)
}

fn measured(guest: &Guest, measurement: LaunchDigest, guest_policy: String) -> Measured<'_> {
    let boot = guest.boot.as_ref();
    Measured {
        measurement,
        vmm: guest.vmm,
        vcpus: guest.vcpus,
        cpu: guest.cpu,
        cpu_signature: guest.cpu.signature().to_string(),
        guest_features: guest.features,
        firmware: FirmwareFile {
            file: &guest.firmware.name,
            digest: guest.firmware.value.digest(),
        },
        kernel: boot.map(|boot| HashedFile {
            file: &boot.kernel.name,
            sha256: boot.kernel.value.to_string(),
        }),
        initrd: boot.map(|boot| HashedFile {
            file: &boot.initrd.name,
            sha256: boot.initrd.value.to_string(),
        }),
        cmdline: boot.zip(guest.hashes.as_ref()).map(|(boot, hashes)| HashedText {
            text: String::from_utf8_lossy(&boot.cmdline).into_owned(),
            sha256: hashes.cmdline.to_string(),
        }),
        guest_policy,
    }
}

fn text(measured: &Measured) -> Text {
    let mut text = Text::new();
    text.line(measured.measurement);
    text.field("vCPUs", format!("{} of type {}", measured.vcpus, measured.cpu));
    text.field("CPU signature", &measured.cpu_signature);
    let names: Vec<_> = measured.guest_features.names().collect();
    text.field("guest features", format!("{} ({})", measured.guest_features, names.join(", ")));
    text.field("hypervisor", measured.vmm);
    text.field("firmware", printable(measured.firmware.file));
    text.field("  digest", measured.firmware.digest);
    for (label, file) in [("kernel", &measured.kernel), ("initramfs", &measured.initrd)] {
        if let Some(file) = file {
            text.field(label, printable(file.file)).field("  SHA-256", &file.sha256);
        }
    }
    if let Some(cmdline) = &measured.cmdline {
        text.field("command line", printable(&cmdline.text)).field("  SHA-256", &cmdline.sha256);
    }
    text
}

/// How a manifest is written, by the name of its file.
#[derive(Debug, Clone, Copy)]
enum ManifestForm {
    Toml,
    Json,
}

impl ManifestForm {
    fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(OsStr::to_str) {
            Some("toml") => Ok(Self::Toml),
            Some("json") => Ok(Self::Json),
            _ => Err(Failure::usage(format!("{}: which form of manifest?", path.display()))
                .help("name a file that ends in .toml or .json")),
        }
    }
}

fn write_manifest(
    manifest: &Manifest,
    output: Option<(&Path, ManifestForm)>,
    terminal: &Terminal,
) -> Result {
    let Some((path, form)) = output else {
        if terminal.json() {
            terminal.result("measure-matrix", &Matrix { file: None, manifest }, &Text::new())?;
        } else {
            terminal.output(manifest.to_toml()?.as_bytes())?;
        }
        return Ok(Exit::Success);
    };
    let written = match form {
        ManifestForm::Toml => manifest.to_toml()?,
        ManifestForm::Json => manifest.to_json()?,
    };
    let file = Output::create(path)?;
    file.file().write_all(written.as_bytes()).map_err(|error| Failure::new(error).named(path))?;
    file.commit()?;
    let count = manifest.measurements().len();
    let mut text = Text::new();
    text.line(format!("{}: {count} measurements", printable(&path.to_string_lossy())));
    let file = Some(path.display().to_string());
    terminal.result("measure-matrix", &Matrix { file, manifest }, &text)?;
    Ok(Exit::Success)
}
