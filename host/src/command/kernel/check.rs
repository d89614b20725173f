//! `ravelin kernel check`.

use std::path::PathBuf;

use clap::Args;
use image_builder::kernel::{self, Found};
use kernel_config::{Aml, Findings, From, KernelOption, Need, Risk};
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::terminal::{Terminal, Text, printable};

const EXAMPLES: &str = "\
Examples:
  ravelin kernel check /boot/config-6.12.95+deb12-cloud-amd64
  ravelin kernel check linux-image-6.12.95+deb12-cloud-amd64_6.12.95-1_amd64.deb
  ravelin kernel check bzImage --strict        # a kernel of your own, CONFIG_IKCONFIG=y
  ravelin kernel check config --json | jq -r '.missing[].symbol'

A stock kernel of a distribution is usable and has most of the risky options; they are a larger
surface, not a fault. kernel-config/ravelin.config is a fragment with all that is needed built in
and all that is risky left out, and `cargo xtask kernel` builds a kernel of it (docs/kernel.md).

ACPI tables come from the host and are not measured. Their AML is run by the kernel and can read
and write the VM's memory: \"AML\" says whether this kernel has a defence.

JSON (\"kind\": \"kernel-check\"): file, found (\"text\", \"image\" or \"package\"), release, usable, aml
(\"none\", \"sandboxed\" or \"unprotected\"), missing, modules, absent (lists of symbol, module, group,
reason), forbidden (the same), risky (a list of symbol, from: \"host\" or \"root\", reason).";

/// Tell whether a kernel has what Ravelin needs, and what it is better without
///
/// The file is a kernel's configuration (also as config.gz), a package (deb, rpm) of a kernel, or a
/// kernel image (bzImage or vmlinux) that has its configuration inside. Exit code 1: something
/// needed is missing, or something is built in that must not be.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Check {
    /// The configuration, package or image
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Fail for risky options and for unprotected AML too
    #[arg(long)]
    strict: bool,
}

#[derive(Serialize)]
struct Report {
    file: String,
    found: &'static str,
    release: Option<String>,
    usable: bool,
    aml: &'static str,
    missing: Vec<Row>,
    forbidden: Vec<Row>,
    modules: Vec<Row>,
    absent: Vec<Row>,
    risky: Vec<Risky>,
}

#[derive(Serialize)]
struct Row {
    symbol: &'static str,
    module: Option<&'static str>,
    group: &'static str,
    reason: &'static str,
}

#[derive(Serialize)]
struct Risky {
    symbol: &'static str,
    from: &'static str,
    reason: &'static str,
}

/// What every boot of an image of Ravelin's needs; the rest depends on the image.
const NEEDS: [Need; 2] = [Need::Verity, Need::Evidence];

pub(crate) fn run(arguments: &Check, terminal: &Terminal) -> Result {
    let (config, found) = kernel::configuration(&arguments.file).map_err(|error| {
        let failure = Failure::new(error).named(&arguments.file);
        failure.help("`ravelin kernel check --help` says which files it reads")
    })?;
    let findings = kernel_config::check(&config, &NEEDS);
    let release = config.release().map(printable);
    let text = describe(&findings, release.as_deref());
    let report = report(arguments, &findings, found, release);
    terminal.result("kernel-check", &report, &text)?;
    let risky = !findings.risky.is_empty() || findings.aml == Aml::Unprotected;
    let failed = !findings.usable() || (arguments.strict && risky);
    Ok(if failed { Exit::CheckFailed } else { Exit::Success })
}

fn report(arguments: &Check, findings: &Findings, found: Found, release: Option<String>) -> Report {
    let rows = |options: &[&'static KernelOption]| options.iter().copied().map(row).collect();
    Report {
        file: arguments.file.display().to_string(),
        found: match found {
            Found::Text => "text",
            Found::Image => "image",
            Found::Package => "package",
        },
        release,
        usable: findings.usable(),
        aml: match findings.aml {
            Aml::NoInterpreter => "none",
            Aml::Sandboxed => "sandboxed",
            Aml::Unprotected => "unprotected",
        },
        missing: rows(&findings.missing),
        forbidden: rows(&findings.forbidden),
        modules: rows(&findings.modules),
        absent: rows(&findings.absent),
        risky: findings.risky.iter().copied().map(risky).collect(),
    }
}

fn row(option: &'static KernelOption) -> Row {
    let KernelOption { symbol, module, need, reason } = option;
    Row { symbol, module: *module, group: need.description(), reason }
}

fn risky(risk: &'static Risk) -> Risky {
    let from = match risk.from {
        From::Host => "host",
        From::Root => "root",
    };
    Risky { symbol: risk.symbol, from, reason: risk.reason }
}

/// A description as the rest of a sentence.
fn lowercase(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(characters).collect()
}

fn describe(findings: &Findings, release: Option<&str>) -> Text {
    let mut text = Text::new();
    if let Some(release) = release {
        text.field("kernel", release);
    }
    text.field("usable", if findings.usable() { "yes" } else { "NO" });
    let aml = match findings.aml {
        Aml::NoInterpreter => "no interpreter: the host's ACPI tables cannot run code",
        Aml::Sandboxed => "sandboxed: the host's ACPI tables reach shared memory only",
        Aml::Unprotected => {
            "UNPROTECTED: code in the host's ACPI tables can read and write the VM's memory"
        }
    };
    text.field("AML", aml);
    let mut options = |heading: &str, options: &[&'static KernelOption]| {
        if !options.is_empty() {
            text.heading(heading);
        }
        for option in options {
            text.field(option.symbol, option.reason);
        }
    };
    options("Missing: no image boots, or none attests, without", &findings.missing);
    options("Must not be built in", &findings.forbidden);
    for group in findings.absent.chunk_by(|a, b| a.need == b.need) {
        let need = group.first().map_or("", |option| option.need.description());
        options(&format!("Off: {}", lowercase(need)), group);
    }
    if !findings.modules.is_empty() {
        text.heading("Modules: the initramfs has to carry them (`image initramfs` does)");
        let names: Vec<&str> = findings.modules.iter().filter_map(|option| option.module).collect();
        text.field("modules", names.join(" "));
    }
    for (from, heading) in [
        (From::Host, "Risky: ways in for the host"),
        (From::Root, "Risky: ways for root to undo what was measured"),
    ] {
        let mut risks = findings.risky.iter().filter(|risk| risk.from == from).peekable();
        if risks.peek().is_some() {
            text.heading(heading);
        }
        for risk in risks {
            text.field(risk.symbol, risk.reason);
        }
    }
    text
}
