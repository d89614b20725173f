//! `ravelin explain`.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use attestation::measurement::explain::{
    Candidates, Difference, Explanation, Limits, Named, explain,
};
use attestation::measurement::{CpuSignature, LaunchDigest};
use attestation::report::Report;
use clap::Args;
use image_builder::disk::Sidecar;
use serde::Serialize;
use verity::RootHash;

use super::guest::{GuestArguments, failure};
use crate::bzimage;
use crate::evidence;
use crate::exit::Exit;
use crate::failure::{Failure, Remedy, Result};
use crate::measure;
use crate::terminal::{Terminal, Text, printable};
use crate::vm::VmFile;

/// More files than anyone keeps variants of.
const MAX_FILES: usize = 1000;

const EXAMPLES: &str = "\
Examples:
  ravelin explain --report report.bin
  ravelin explain --report report.bin --vm web/vm.toml --candidates old/ vmlinuz-6.12.94
  ravelin explain --measurement 19358ba9a7615534a9a1e2f0dfc29384dcd4dcb7062ff9c6013b26869a5fc6ecabe033c48dd6f6db5d6d76e7c5df632d \\
      --try-cmdline 'console=ttyS0 quiet' --max-vcpus 1024

Tried without being asked: every vCPU count, every vCPU type of QEMU and the processors' own, guest features
(debug_swap among them), other hypervisors, the command line with white space, words added or taken
away, no initramfs, no kernel hashes; singly and in pairs.

An explanation is no verification: the digest is not the one that you asked for, whoever changed
the input. Exits with 0 if nothing differs, and with 1 otherwise.

JSON (\"kind\": \"explain\"): target, described (the two launch digests), outcome (\"same\", \"differs\" or
\"nothing-fits\"), differences (a list of input, described, measured, advice), tried (combinations;
null for \"same\"), complete (whether all within the limits were tried; null but for
\"nothing-fits\").";

/// Find out why a launch digest is not the expected one
///
/// A digest says that something is different and not what. This measures the described VM with one
/// input changed, then with two, until the reported digest comes out, and names the inputs that differ.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Explain {
    /// The report whose measurement is to be explained
    #[arg(long, value_name = "FILE", required_unless_present = "measurement")]
    report: Option<PathBuf>,
    /// The launch digest to be explained, where there is no report
    #[arg(long, value_name = "DIGEST", conflicts_with = "report")]
    measurement: Option<LaunchDigest>,
    #[command(flatten)]
    guest: GuestArguments,
    /// Files that the host may have used instead, or directories of them
    ///
    /// What each is follows from its content: a firmware, a kernel, a VM description (its files and
    /// its command line), an image's sidecar (its root hash); anything else is an initramfs.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    candidates: Vec<PathBuf>,
    /// A whole command line to try
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    try_cmdline: Vec<String>,
    /// A word to try at the end and at the start of the command line
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    try_word: Vec<String>,
    /// A root hash to try in place of the command line's
    #[arg(long, value_name = "HEX")]
    try_root_hash: Vec<RootHash>,
    /// The largest number of vCPUs to try
    #[arg(long, value_name = "COUNT", default_value_t = 512,
        value_parser = clap::value_parser!(u32).range(1..=4096))]
    max_vcpus: u32,
    /// How many inputs are changed at once, 1 to 4
    #[arg(long, value_name = "COUNT", default_value_t = 2,
        value_parser = clap::value_parser!(u8).range(1..=4))]
    max_changes: u8,
    /// Stop after so many hashes; the default takes some seconds
    #[arg(long, value_name = "COUNT", default_value_t = Limits::default().max_hashes)]
    max_hashes: u64,
}

#[derive(Serialize)]
struct Explained {
    target: LaunchDigest,
    described: LaunchDigest,
    outcome: &'static str,
    differences: Vec<DifferenceView>,
    tried: Option<u64>,
    complete: Option<bool>,
}

#[derive(Serialize)]
struct DifferenceView {
    input: String,
    described: String,
    measured: String,
    advice: String,
}

pub(crate) fn run(arguments: &Explain, terminal: &Terminal) -> Result {
    let report = arguments.report.as_deref().map(evidence::report).transpose()?;
    let report = report.map(|unwrapped| unwrapped.report);
    let target = match (&report, arguments.measurement) {
        (Some(report), _) => LaunchDigest::new(report.measurement().0),
        (None, Some(digest)) => digest,
        (None, None) => return Err(Failure::usage("name a --report or a --measurement")),
    };
    let progress = terminal.progress();
    let guest = arguments.guest.guest()?;
    let described = guest.digest().map_err(failure)?;
    let candidates = candidates(arguments, report.as_ref(), terminal)?;
    let limits =
        Limits { max_changes: arguments.max_changes.into(), max_hashes: arguments.max_hashes };
    let explanation = explain(target, &guest.description(), &candidates, limits);
    progress.finish();
    let same = explanation == Explanation::Same;
    let explained = view(target, described, &explanation)?;
    let mut text = Text::new();
    text.field("expected", described).field("reported", target);
    for line in explanation.to_string().lines() {
        text.line(printable(line));
    }
    terminal.result("explain", &explained, &text)?;
    if !same {
        terminal
            .note("an explanation is no verification: the VM is not the one that you described");
    }
    Ok(if same { Exit::Success } else { Exit::CheckFailed })
}

fn view(
    target: LaunchDigest,
    described: LaunchDigest,
    explanation: &Explanation,
) -> Result<Explained> {
    let mut explained = Explained {
        target,
        described,
        outcome: "same",
        differences: Vec::new(),
        tried: None,
        complete: None,
    };
    if let Explanation::Differs { differences, tried } = explanation {
        explained.outcome = "differs";
        explained.tried = Some(*tried);
        explained.differences = differences.iter().map(DifferenceView::from).collect();
    } else if let Explanation::NothingFits { tried, complete } = explanation {
        explained.outcome = "nothing-fits";
        explained.tried = Some(*tried);
        explained.complete = Some(*complete);
    }
    Ok(explained)
}

impl From<&Difference> for DifferenceView {
    fn from(difference: &Difference) -> Self {
        Self {
            input: difference.input.to_string(),
            described: difference.described.clone(),
            measured: difference.measured.clone(),
            advice: difference.advice.clone(),
        }
    }
}

fn candidates(
    arguments: &Explain,
    report: Option<&Report>,
    terminal: &Terminal,
) -> Result<Candidates> {
    let mut candidates = Candidates { max_vcpus: arguments.max_vcpus, ..Candidates::default() };
    // With -cpu host the vCPUs have the signature of the report's processor.
    if let Some([family, model, stepping]) = report.and_then(Report::cpuid) {
        let signature = CpuSignature::from_family(family.into(), model.into(), stepping.into());
        candidates.cpus.extend(signature.ok());
    }
    candidates.cmdlines.extend(arguments.try_cmdline.iter().map(|line| line.clone().into_bytes()));
    candidates.words.extend(arguments.try_word.iter().cloned());
    candidates.root_hashes.extend(arguments.try_root_hash.iter().map(RootHash::to_string));
    for path in files(&arguments.candidates)? {
        let what = add(&mut candidates, &path)?;
        terminal.detail(&format!("{}: taken for {what}", path.display()));
    }
    Ok(candidates)
}

/// The files, and those in the directories.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        let failed = |error| Failure::new(error).named(path);
        if fs::metadata(path).map_err(failed)?.is_dir() {
            let mut inside = Vec::new();
            for entry in fs::read_dir(path).map_err(failed)? {
                let entry = entry.map_err(failed)?.path();
                if fs::metadata(&entry).is_ok_and(|metadata| metadata.is_file()) {
                    inside.push(entry);
                }
                if inside.len() > MAX_FILES {
                    return Err(Failure::new(format!(
                        "{}: more than {MAX_FILES} files",
                        path.display()
                    ))
                    .help("name the files that the host may have used"));
                }
            }
            inside.sort();
            files.extend(inside);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

/// Adds what a file is, and says what that was.
fn add(candidates: &mut Candidates, path: &Path) -> Result<&'static str> {
    if path.extension().is_some_and(|extension| extension == "toml") {
        if let Ok(sidecar) = Sidecar::load(path) {
            candidates.root_hashes.push(sidecar.verity.root_hash.to_string());
            return Ok("a sidecar");
        }
        let file = VmFile::read(path)
            .remedy("a .toml among the candidates is a VM description or an image's sidecar")?;
        if let Ok(firmware) = file.firmware() {
            candidates.firmware.push(measure::firmware(&firmware)?);
        }
        if let Ok(kernel) = file.kernel() {
            candidates.kernels.push(measure::file("kernel", &kernel)?);
        }
        if let Ok(initrd) = file.initrd() {
            candidates.initrds.push(measure::file("initrd", &initrd)?);
        }
        if let Ok(line) = file.cmdline() {
            candidates.cmdlines.push(line.as_str().as_bytes().to_vec());
        }
        return Ok("a VM description");
    }
    let failed = |error| Failure::new(error).named(path);
    let mut head = Vec::new();
    File::open(path).map_err(failed)?.take(0x210).read_to_end(&mut head).map_err(failed)?;
    if bzimage::is_bzimage(&head) {
        candidates.kernels.push(measure::file("kernel", path)?);
        return Ok("a kernel");
    }
    if let Ok(Named { name, value }) = measure::firmware(path) {
        candidates.firmware.push(Named { name, value });
        return Ok("a firmware");
    }
    candidates.initrds.push(measure::file("initrd", path)?);
    Ok("an initramfs")
}
