//! `ravelin report show`.

use std::path::PathBuf;

use attestation::product::Product;
use attestation::report::{Container, Unwrapped, View};
use clap::Args;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::evidence;
use crate::exit::Exit;
use crate::failure::{Remedy, Result};
use crate::terminal::{Terminal, Text, printable};

const EXAMPLES: &str = "\
Examples:
  ravelin report show report.bin
  ravelin report show outblob
  ravelin report show --product milan old-report.bin     # version 2 names no product
  ravelin report show --json report.json | jq -r .report.measurement

JSON (\"kind\": \"report\"): file, container (\"bare\", \"response\", \"hcl\" or \"snpguard-json\"), report
(version, product, guest_svn, guest_policy, family_id, image_id, vmpl, signature_algorithm,
current_tcb, committed_tcb, launch_tcb, reported_tcb, platform_info, signing_key, mask_chip_key,
author_key_enabled, report_data, measurement, host_data, id_key_digest, author_key_digest,
report_id, report_id_ma, cpuid, chip_id, current_firmware, committed_firmware, launch_mitigations,
current_mitigations, reserved_offsets), runtime_data (of an HCL blob: the text, else null),
runtime_data_bound (whether the report's data is its SHA-256; null without one).";

/// Print a report, field by field
///
/// Nothing is verified: whoever gave you the file may have written every byte of it.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Show {
    /// The report
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The product, for a report of version 2, which does not name it: milan, genoa or turin
    #[arg(long, value_name = "NAME")]
    product: Option<Product>,
}

#[derive(Serialize)]
struct Shown {
    file: String,
    container: &'static str,
    report: View,
    runtime_data: Option<String>,
    runtime_data_bound: Option<bool>,
}

pub(crate) fn run(arguments: &Show, terminal: &Terminal) -> Result {
    let unwrapped = evidence::report(&arguments.file).remedy(FORMS)?;
    let bound = runtime_data_bound(&unwrapped);
    let shown = Shown {
        file: printable(&arguments.file.to_string_lossy()),
        container: container(unwrapped.container),
        report: View::new(&unwrapped.report, arguments.product),
        runtime_data: unwrapped
            .runtime_data
            .as_deref()
            .map(|data| String::from_utf8_lossy(data).trim_end_matches('\0').to_owned()),
        runtime_data_bound: bound,
    };
    let mut text = Text::new();
    text.line(shown.report.to_string().trim_end());
    if let Some(data) = &shown.runtime_data {
        text.line(format!("{:<20} {}", "runtime data", printable(data)));
    }
    terminal.result("report", &shown, &text)?;
    if bound == Some(false) {
        terminal.warning("the report data is not the SHA-256 of the runtime data beside it");
    }
    terminal.note("nothing of this is verified; `ravelin report verify` does it");
    Ok(Exit::Success)
}

/// What to say where a file is no report.
pub(super) const FORMS: &str = "a report is 1184 bytes (configfs-tsm's outblob), or in the \
    answer of /dev/sev-guest, an Azure HCL blob, or SNPGuard's JSON; versions 2 to 5 are known";

/// The container's name in JSON.
pub(super) fn container(container: Container) -> &'static str {
    if container == Container::Bare {
        "bare"
    } else if container == Container::Response {
        "response"
    } else if container == Container::Hcl {
        "hcl"
    } else {
        "snpguard-json"
    }
}

/// Whether the first half of REPORT_DATA is the SHA-256 of the runtime data
/// that came with it, and the second half zero.
pub(super) fn runtime_data_bound(unwrapped: &Unwrapped) -> Option<bool> {
    let data = unwrapped.runtime_data.as_deref()?;
    let mut expected = [0; 64];
    let digest = Sha256::digest(data);
    expected.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    Some(unwrapped.report.report_data().0 == expected)
}
