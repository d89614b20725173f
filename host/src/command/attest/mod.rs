//! `ravelin attest`.

mod receipt;
mod store;
pub(crate) mod target;

use std::path::PathBuf;

use attestation::report::Hex;
use attestation::verify::Verdict;
use clap::Args;
use protocol::host_keys::{HostKeys, key_type};
use serde::Serialize;

use self::receipt::{Compared, Files};
use self::target::{Attested, Target};
use super::report::verify::{say_warnings, text};
use crate::attest::known_hosts::fingerprint;
use crate::exit::Exit;
use crate::failure::Result;
use crate::terminal::Terminal;

const EXAMPLES: &str = "\
Examples:
  ravelin attest                              # the VM of vm.toml here
  ravelin attest --wait                       # one that is still booting
  ravelin attest --vm web/vm.toml --address web.example:4777 --output evidence
  ravelin attest --address web.example:4777 --policy policy.toml --manifest fleet.toml
  ravelin attest --pin web.instance           # this VM, and none other of its image, …
  ravelin attest --instance web.instance      # … from now on
  ravelin attest --receipt                    # also what it did at its boot
  ravelin attest --vsock 3 --policy vm-config.toml    # SNPGuard's description

What is checked: that the report is genuine (certificates up to AMD's root, signature), that it
answers this question (a fresh nonce in REPORT_DATA), that the SSH host keys that came with it are
the ones that it binds, and the policy. The launch digest that is expected is computed from the
files of vm.toml, unless --manifest or --measurement names others; if the policy names digests, it
has to be among them. The policy is
--policy, or `policy` under [attest] in vm.toml; without any, the digest alone is required and
everything that weakens a guest is refused.

VMs of one image satisfy the same policy. REPORT_ID tells them apart: --pin and --instance.

--receipt shows the boot receipt: what PID 1 did (docs/formats.md lists the entries), which the
report binds. Each line is held against what the configuration, the load order and the hooks of
vm.toml's files predict. What cannot be predicted is named with who decides it: the host (nodes,
sizes, what DHCP gave), the owners' release, or the image. Any other line is an error of the guest.
Without --receipt, too, a receipt that does not lead to the head that came with it is no evidence.

Exit code 1: refused, every failing check is listed; with --receipt also if there is none, or it is
not as predicted. 4: nobody answered, or with something that is
no evidence.

JSON (\"kind\": \"attest\"): address, nonce, accepted, authentic, time, identity, warnings and checks
as of `ravelin report verify`, host_keys (a list of type, fingerprint, key in base64; empty if
refused), receipt_head (64 digits; null if refused or there is none), with --receipt receipt (null
if refused or there is none, or as_predicted and lines, each with event, values, and its finding:
predicted with decided (by value: host, owners or image), differs with expected (by value),
unexpected, or missing).";

/// Ask a running VM for evidence, and verify it
///
/// Sends a fresh nonce to the VM's responder, verifies the report that comes back, and prints the
/// verdict check by check with the SSH host keys that the report binds.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Attest {
    #[command(flatten)]
    target: Target,
    /// Show the boot receipt, and compare it with what the VM's files predict
    ///
    /// Needs the VM description, whose initramfs and command line are read.
    #[arg(long)]
    receipt: bool,
    /// Keep report, certificates, nonce and verdict in this directory
    ///
    /// report.bin, evidence.bin (the answer's body, docs/formats.md), certificates.bin if any came,
    /// nonce and verdict.json. Also of a VM that is refused.
    #[arg(long, value_name = "DIRECTORY")]
    output: Option<PathBuf>,
    /// Write the REPORT_ID of an accepted VM into this file, for --instance
    ///
    /// A file that pins another VM is not replaced: remove it first.
    #[arg(long, value_name = "FILE")]
    pin: Option<PathBuf>,
    /// Write the CHIP_ID too: the VM must also stay on this processor
    #[arg(long, requires = "pin")]
    pin_chip: bool,
}

#[derive(Serialize)]
struct Printed<'a> {
    address: String,
    nonce: String,
    #[serde(flatten)]
    verdict: &'a Verdict,
    host_keys: Vec<Key<'a>>,
    receipt_head: Option<Hex<32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<Option<Compared>>,
}

#[derive(Serialize)]
struct Key<'a> {
    r#type: &'a str,
    fingerprint: String,
    key: String,
}

pub(crate) fn run(arguments: &Attest, terminal: &Terminal) -> Result {
    let prepared = arguments.target.prepare(terminal)?;
    let files = match arguments.receipt {
        true => Some(Files::read(arguments.target.vm()?.as_ref())?),
        false => None,
    };
    let attested = prepared.attest(terminal)?;
    let Attested { nonce, evidence, verdict, notes } = &attested;
    notes.iter().for_each(|note| terminal.warning(note));
    say_warnings(verdict, terminal);
    // A refused answer's keys and receipt are anybody's: they are not shown as the VM's.
    let accepted = verdict.accepted();
    let compared = files.filter(|_| accepted).map(|files| files.compare(evidence));
    let (compared, nothing) = match compared {
        Some(Ok(compared)) => (Some(compared), None),
        Some(Err(why)) => (None, Some(why)),
        None => (None, None),
    };
    let printed = Printed {
        address: prepared.address.to_string(),
        nonce: hex::encode(nonce),
        verdict,
        host_keys: if accepted { keys(&evidence.host_keys) } else { Vec::new() },
        receipt_head: evidence.receipt_head.filter(|_| accepted).map(Hex),
        receipt: arguments.receipt.then_some(compared),
    };
    if let Some(directory) = &arguments.output {
        store::store(directory, &attested, &printed)?;
    }
    let warning = printed.receipt.as_ref().and_then(Option::as_ref).and_then(Compared::warning);
    let success = accepted && nothing.is_none() && warning.is_none();
    // Before the result: a pin that fails is an error, and standard output has one document.
    let pinned = arguments.pin.as_ref().filter(|_| success);
    if let Some(path) = pinned {
        store::pin(path, verdict, arguments.pin_chip)?;
    }
    let mut text = text(verdict);
    if accepted {
        text.heading("SSH host keys that the report binds");
        if printed.host_keys.is_empty() {
            text.line("  none");
        }
        for key in &printed.host_keys {
            text.field(key.r#type, &key.fingerprint);
        }
        if let Some(head) = &printed.receipt_head {
            text.field("boot receipt", head);
        }
        if let Some(Some(compared)) = &printed.receipt {
            compared.describe(&mut text);
        }
    }
    terminal.result("attest", &printed, &text)?;
    if let Some(meaning) = attested.unbound() {
        terminal.note(meaning);
    }
    if let Some(why) = &nothing {
        terminal.warning(why);
    } else if let Some(warning) = warning {
        terminal.warning(warning);
    }
    if let Some(path) = pinned {
        terminal.note(&format!("{}: pins this VM until it ends", path.display()));
    }
    Ok(if success { Exit::Success } else { Exit::CheckFailed })
}

fn keys(keys: &HostKeys) -> Vec<Key<'_>> {
    use base64ct::{Base64, Encoding};
    keys.blobs()
        .iter()
        .map(|blob| Key {
            r#type: key_type(blob).unwrap_or_default(),
            fingerprint: fingerprint(blob),
            key: Base64::encode_string(blob),
        })
        .collect()
}
