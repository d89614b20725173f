//! `ravelin policy init`.

use std::io::Write;
use std::path::PathBuf;

use attestation::id_block::IdBlock;
use attestation::policy::{BitRules, Exception, Policy};
use attestation::product::Product;
use attestation::report::{Hex, Report};
use attestation::verify::{ReportData, Request};
use clap::Args;
use image_builder::output::Output;
use serde::Serialize;

use super::comments::commented;
use crate::command::guest::{failure, vm_file};
use crate::command::judge::TrustArguments;
use crate::evidence;
use crate::exit::Exit;
use crate::failure::{Failure, Remedy, Result};
use crate::measure;
use crate::terminal::{Terminal, Text, printable};
use crate::vm::VmFile;

const EXAMPLES: &str = "\
Examples:
  ravelin policy init --vm vm.toml --output policy.toml
  ravelin policy init --report report.bin --certs vcek.der --output policy.toml
  ravelin policy init --report report.bin --vm vm.toml --certs vcek.der

From a report: its product, measurement, keys and ids; the lowest of its TCB versions as the
minimum; the protecting bits that it has, and none of the weakening ones that it has not. No
exception is put in: the policy of a debug guest refuses debug guests.
From a VM description: its measurement, guest policy, host data and ID block.
From both: the report's, whose measurement must be the VM's.

JSON (\"kind\": \"policy-init\"): file (or null), policy (the TOML text).";

/// Write a first policy, from a report that you trust or from a VM description
///
/// With --certs the report is verified first (signature and chain). Without, the policy is as
/// trustworthy as the file: a warning says so.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Init {
    /// A report of a guest as it should be
    #[arg(long, value_name = "FILE", required_unless_present = "vm")]
    report: Option<PathBuf>,
    /// The VM description
    #[arg(long, value_name = "FILE")]
    vm: Option<PathBuf>,
    /// Write the policy to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    trust: TrustArguments,
}

#[derive(Serialize)]
struct Written {
    file: Option<String>,
    policy: String,
}

/// What a VM description does not say.
const HINTS: [&str; 3] = [
    "product = [\"milan\"]",
    "minimum_firmware = \"1.55.22\"",
    "[minimum_tcb]: `ravelin policy init --report` takes it from a report",
];

pub(crate) fn run(arguments: &Init, terminal: &Terminal) -> Result {
    let from_vm = arguments.vm.as_deref().map(vm_file).transpose()?;
    let from_vm = from_vm.map(|file| of_vm(&file)).transpose()?;
    let (policy, origin, hints) = match (&arguments.report, from_vm) {
        (None, Some(policy)) => (policy, "a VM description", HINTS.as_slice()),
        (Some(path), from_vm) => {
            let report = evidence::report(path)?.report;
            let product = product(arguments, &report, terminal)?;
            let policy = Policy::from_report(&report, product);
            if let Some(expected) = from_vm
                && expected.measurements != policy.measurements
            {
                let failure = Failure::new(format!(
                    "{}: the report's measurement {} is not the VM's",
                    path.display(),
                    report.measurement()
                ));
                return Err(failure.help("`ravelin explain` finds the input that differs"));
            }
            (policy, "a report", [].as_slice())
        }
        (None, None) => return Err(Failure::usage("name a --report or a --vm")),
    };
    write(arguments, commented(&policy, origin, hints), terminal)
}

/// The product of a report. With certificates the report is verified first.
fn product(arguments: &Init, report: &Report, terminal: &Terminal) -> Result<Product> {
    if arguments.trust.names_certificates() {
        // Everything is allowed here but what makes a report not genuine.
        let mut policy = Policy::default();
        Exception::ALL.into_iter().for_each(|exception| policy.allow.insert(exception));
        let request = Request::new(arguments.trust.time(), ReportData::Unchecked);
        let judged = arguments.trust.verify(report, None, &policy, &request)?;
        if !judged.verdict.authentic() {
            let failure = judged
                .verdict
                .into_result()
                .err()
                .map_or_else(|| Failure::new("the report is not authentic"), Failure::from);
            return Err(failure.help("no policy is made from a report that is not genuine"));
        }
        if let Ok(chain) = &judged.chain {
            return Ok(chain.product());
        }
    }
    terminal.warning(
        "the report was not verified: the policy accepts whatever wrote it. Give its certificate \
         with --certs",
    );
    report.product().or(arguments.trust.product()).ok_or_else(|| {
        Failure::new("the report does not name its product")
            .help("give its certificate with --certs, or the product with --product")
    })
}

/// What a VM description says of the reports of its VM.
fn of_vm(file: &VmFile) -> Result<Policy> {
    let digest = measure::vm(file).map_err(failure)?;
    let sev = &file.vm().sev;
    let mut policy = Policy::default();
    policy.measurements = vec![Hex(*digest.as_bytes())];
    policy.host_data = sev.host_data;
    policy.guest_policy = BitRules { exact: Some(sev.policy.bits()), ..BitRules::default() };
    if let (Some(block), Some(auth)) = (&sev.id_block, &sev.id_auth) {
        let IdBlock { family_id, image_id, guest_svn, .. } = *block;
        policy.family_id = Some(Hex(family_id)).filter(|id| !id.is_zero());
        policy.image_id = Some(Hex(image_id)).filter(|id| !id.is_zero());
        policy.minimum_guest_svn = Some(guest_svn).filter(|svn| *svn > 0);
        policy.id_key_digests = vec![Hex(*auth.id_key_digest().as_bytes())];
        if sev.author_key_enabled() {
            policy.author_key_digests = auth
                .author_key_digest()
                .map(|digest| Hex(*digest.as_bytes()))
                .into_iter()
                .collect();
        }
    }
    Ok(policy)
}

fn write(arguments: &Init, policy: String, terminal: &Terminal) -> Result {
    let mut text = Text::new();
    if let Some(path) = &arguments.output {
        let output = Output::create(path)?;
        output
            .file()
            .write_all(policy.as_bytes())
            .map_err(|error| Failure::new(error).named(path))
            .remedy("name a file that can be written")?;
        output.commit()?;
        text.line(format!("{}: written", printable(&path.to_string_lossy())));
    } else if !terminal.json() {
        terminal.output(policy.as_bytes())?;
        return Ok(Exit::Success);
    }
    let file = arguments.output.as_ref().map(|path| path.display().to_string());
    terminal.result("policy-init", &Written { file, policy }, &text)?;
    Ok(Exit::Success)
}
