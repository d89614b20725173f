//! `ravelin report verify`.

use std::path::{Path, PathBuf};

use attestation::policy::Policy;
use attestation::report::{Hex, Unwrapped};
use attestation::verify::{ReportData, Request, Verdict};
use clap::Args;
use serde::Serialize;

use super::show::{FORMS, container, runtime_data_bound};
use crate::command::judge::{Accepted, PolicyArguments, TrustArguments};
use crate::evidence::{self, Judged};
use crate::exit::Exit;
use crate::failure::{Failure, Remedy, Result};
use crate::terminal::{Terminal, Text, printable};

const EXAMPLES: &str = "\
Examples:
  ravelin report verify report.bin --vm vm.toml
  ravelin report verify report.bin --certs vcek.der --vm vm.toml    # without a network
  ravelin report verify outblob --certs auxblob --policy policy.toml --manifest fleet.toml
  ravelin report verify report.json --certs vcek.pem --policy vm-config.toml --allow nonzero-vmpl
  ravelin report verify report.bin --certs vlek.der asvk.der --crl ark.crl \\
      --policy policy.toml --at 2025-09-01T00:00:00Z --report-data @expected.bin

What is checked, always: the certificate chain up to AMD's root, the signature, the certificate
against the report (product, TCB, chip), that the host cannot debug the guest, no migration agent,
VMPL 0, committed firmware, no unknown bits. What the policy names is checked besides, and
what may run in the guest must be named: by --vm, --manifest, --measurement or the policy. Where
several of them name measurements, a report must satisfy all.

All checks are made and listed, whatever fails. The exit code is 1 if any does.

JSON (\"kind\": \"report-verify\"): file, container, accepted, authentic (whether chain and signature
hold), time, identity (product, signing_key, csp_id, measurement, report_id, chip_id), warnings (a
list of texts), checks (a list of check, title, outcome: \"passed\", \"failed\", \"allowed\" or
\"unchecked\", reason, findings: code, message, expected, found, allowed_as), runtime_data_bound.";

/// Verify a report: signature, certificates, policy
///
/// Says ACCEPTED or REFUSED, and lists every check with its outcome. Without --report-data nothing
/// says that the report is fresh or for you; `ravelin attest` asks a running VM for a fresh one.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Verify {
    /// The report, in any form
    #[arg(value_name = "REPORT")]
    file: PathBuf,
    #[command(flatten)]
    trust: TrustArguments,
    #[command(flatten)]
    policy: PolicyArguments,
    /// What REPORT_DATA must be: 128 hexadecimal digits, or @FILE with 64 bytes
    #[arg(long, value_name = "HEX")]
    report_data: Option<String>,
}

#[derive(Serialize)]
struct Verified<'a> {
    file: String,
    container: &'static str,
    #[serde(flatten)]
    verdict: &'a Verdict,
    runtime_data_bound: Option<bool>,
}

pub(crate) fn run(arguments: &Verify, terminal: &Terminal) -> Result {
    let unwrapped = evidence::report(&arguments.file).remedy(FORMS)?;
    let report_data = match &arguments.report_data {
        Some(text) => ReportData::Expected(report_data(text)?),
        None => ReportData::Unchecked,
    };
    let Accepted { policy, notes } = arguments.policy.policy(&arguments.trust)?;
    for note in notes {
        terminal.note(&note);
    }
    let (Judged { verdict, notes, .. }, request) =
        judge(arguments, &unwrapped, &policy, report_data)?;
    for note in notes {
        terminal.warning(&note);
    }
    let bound = runtime_data_bound(&unwrapped);
    if bound == Some(false) {
        terminal.warning("the report data is not the SHA-256 of the runtime data beside it");
    }
    say_warnings(&verdict, terminal);
    let verified = Verified {
        file: printable(&arguments.file.to_string_lossy()),
        container: container(unwrapped.container),
        verdict: &verdict,
        runtime_data_bound: bound,
    };
    terminal.result("report-verify", &verified, &text(&verdict))?;
    terminal.detail(&format!("verified for {}", request.now));
    Ok(if verdict.accepted() { Exit::Success } else { Exit::CheckFailed })
}

fn judge(
    arguments: &Verify,
    unwrapped: &Unwrapped,
    policy: &Policy,
    report_data: ReportData,
) -> Result<(Judged, Request)> {
    let request = Request::new(arguments.trust.time(), report_data);
    let judged = arguments.trust.verify(&unwrapped.report, None, policy, &request)?;
    Ok((judged, request))
}

/// Warnings go to standard error, whatever the options say.
pub(crate) fn say_warnings(verdict: &Verdict, terminal: &Terminal) {
    for warning in verdict.warnings() {
        terminal.warning(&warning.to_string());
    }
}

/// The verdict without its warnings, which are said already.
pub(crate) fn text(verdict: &Verdict) -> Text {
    let mut text = Text::new();
    for line in verdict.to_string().lines().filter(|line| !line.starts_with("WARNING: ")) {
        text.line(printable(line));
    }
    text
}

fn report_data(text: &str) -> Result<[u8; 64]> {
    let help = "give 128 hexadecimal digits, or @FILE with exactly 64 bytes";
    if let Some(path) = text.strip_prefix('@') {
        let path = Path::new(path);
        let bytes = evidence::bytes(path)?;
        let found = bytes.len();
        return bytes.try_into().map_err(|_bytes| {
            Failure::new(format!("{}: {found} bytes, not 64", path.display())).help(help)
        });
    }
    text.parse::<Hex<64>>().map(|data| data.0).map_err(|error| Failure::usage(error).help(help))
}
