//! `ravelin policy check`.

use std::path::PathBuf;

use attestation::policy::{Exception, Loaded, MinimumTcb, Policy};
use clap::Args;
use serde::Serialize;

use crate::command::judge::load;
use crate::exit::Exit;
use crate::failure::Result;
use crate::terminal::{Terminal, Text, printable};

const EXAMPLES: &str = "\
Examples:
  ravelin policy check policy.toml
  ravelin policy check vm-config.toml     # SNPGuard's

Exits with 1 if the policy can accept no report, because it does not say what may run.

JSON (\"kind\": \"policy-check\"): file, form (\"ravelin\" or \"snpguard\"), complete (whether it says what
may run), policy (the TOML text that it comes to), checked and unchecked (lists of texts),
warnings (a list of texts: what weakens it).";

/// Say what a policy checks, and what it does not
///
/// Reads it as strictly as `report verify` does, and lists what is checked, what is not checked,
/// and what is allowed though it weakens the guest.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Check {
    /// The policy, or SNPGuard's vm-config.toml
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Serialize)]
struct Checked {
    file: String,
    form: &'static str,
    complete: bool,
    policy: String,
    checked: Vec<String>,
    unchecked: Vec<String>,
    warnings: Vec<String>,
}

pub(crate) fn run(arguments: &Check, terminal: &Terminal) -> Result {
    let loaded = load(&arguments.file)?;
    let (form, policy) = if let Loaded::Snpguard(config) = loaded {
        ("snpguard", config.to_policy())
    } else if let Loaded::Policy(policy) = loaded {
        ("ravelin", *policy)
    } else {
        ("ravelin", Policy::default())
    };
    // SNPGuard's file names the files that the measurement is computed from.
    let complete = policy.names_workload() || form == "snpguard";
    let (checked, unchecked) = rules(&policy, form);
    let checked = Checked {
        file: printable(&arguments.file.to_string_lossy()),
        form,
        complete,
        policy: policy.to_string(),
        checked,
        unchecked,
        warnings: warnings(&policy),
    };
    terminal.result("policy-check", &checked, &text(&checked))?;
    for warning in &checked.warnings {
        terminal.warning(warning);
    }
    if !complete {
        terminal.warning(
            "the policy does not say what may run in the guest and accepts no report by itself: \
             name a measurement or a key, or give --vm or --manifest when verifying",
        );
    }
    Ok(if complete { Exit::Success } else { Exit::CheckFailed })
}

/// What is checked, and what could be and is not.
fn rules(policy: &Policy, form: &str) -> (Vec<String>, Vec<String>) {
    let mut checked = vec![
        "signature, certificate chain, and the certificate's product, TCB and chip".to_owned(),
    ];
    let mut unchecked = Vec::new();
    let mut rule = |present: bool, said: String, otherwise: &str| {
        if present { checked.push(said) } else { unchecked.push(otherwise.to_owned()) }
    };
    let count = policy.measurements.len();
    if form == "snpguard" {
        rule(true, "measurement: computed from the files that it names".to_owned(), "");
    } else {
        rule(
            count > 0,
            format!("measurement: one of {count}"),
            "measurement: what runs in the guest",
        );
    }
    rule(
        !policy.products.is_empty(),
        format!("product: {}", words(&policy.products)),
        "product: any processor family",
    );
    rule(
        !policy.signing_keys.is_empty(),
        format!("signing key: {}", words(&policy.signing_keys)),
        "signing key: VCEK or VLEK",
    );
    rule(
        !policy.csp_ids.is_empty(),
        format!("provider of a VLEK: {}", words(&policy.csp_ids)),
        "provider of a VLEK: any",
    );
    rule(
        !policy.minimum_tcb.is_empty(),
        format!("minimum TCB: {}", tcb(&policy.minimum_tcb)),
        "minimum TCB: firmware with known holes is accepted",
    );
    let firmware = policy.minimum_firmware.map(|version| version.to_string());
    rule(
        firmware.is_some(),
        format!("firmware: {} or later", firmware.unwrap_or_default()),
        "firmware version: any",
    );
    let bits = &policy.guest_policy;
    rule(
        !bits.is_empty() || policy.minimum_abi.is_some(),
        format!(
            "guest policy: required [{}], forbidden [{}]{}",
            words(&bits.required),
            words(&bits.forbidden),
            exact(bits.exact)
        ),
        "guest policy: any but debug and migration",
    );
    let bits = &policy.platform_info;
    rule(
        !bits.is_empty(),
        format!(
            "platform info: required [{}], forbidden [{}]{}",
            words(&bits.required),
            words(&bits.forbidden),
            exact(bits.exact)
        ),
        "platform info: any (SMT, TSME, ECC, alias check, …)",
    );
    for (present, name) in [
        (policy.minimum_guest_svn.is_some(), "guest SVN"),
        (!policy.id_key_digests.is_empty(), "ID key"),
        (!policy.author_key_digests.is_empty(), "author key"),
        (policy.family_id.is_some(), "family id"),
        (policy.image_id.is_some(), "image id"),
        (policy.host_data.is_some(), "host data"),
        (policy.report_data.is_some(), "report data"),
        (policy.require_crl, "revocation list"),
        (policy.report_id.is_some(), "instance: report id"),
        (policy.chip_id.is_some(), "instance: chip id"),
    ] {
        rule(present, name.to_owned(), name);
    }
    (checked, unchecked)
}

/// What weakens the policy.
fn warnings(policy: &Policy) -> Vec<String> {
    let mut warnings: Vec<String> = policy.allow.iter().map(allowed).collect();
    if policy.minimum_tcb.is_empty() {
        warnings.push(
            "no [minimum_tcb]: a host with old firmware, whose holes are published, is accepted"
                .to_owned(),
        );
    }
    if policy.measurements.is_empty()
        && (!policy.id_key_digests.is_empty() || !policy.author_key_digests.is_empty())
    {
        warnings.push(
            "no measurement: whatever the holder of the ID key signed is accepted".to_owned(),
        );
    }
    if policy.report_id.is_none() {
        warnings.push(
            "no [instance]: all VMs of one image are interchangeable (report_id pins one)"
                .to_owned(),
        );
    }
    warnings
}

fn allowed(exception: Exception) -> String {
    format!("allows {exception}")
}

fn tcb(minimum: &MinimumTcb) -> String {
    let which: Vec<_> = minimum.which.iter().map(|kind| kind.name()).collect();
    if which.is_empty() {
        "of the current, committed, launch and reported".to_owned()
    } else {
        format!("of the {}", which.join(", "))
    }
}

fn exact(bits: Option<u64>) -> String {
    bits.map(|bits| format!(", exactly {bits:#x}")).unwrap_or_default()
}

fn words<T: std::fmt::Display>(values: &[T]) -> String {
    values.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

fn text(checked: &Checked) -> Text {
    let mut text = Text::new();
    text.heading("Checked");
    text.line("  that the guest is not debuggable, has no migration agent and is at VMPL 0, that");
    text.line("  the firmware is committed and no bit is unknown, unless allowed below");
    for rule in &checked.checked {
        text.line(format!("  {}", printable(rule)));
    }
    text.heading("Not checked");
    for rule in &checked.unchecked {
        text.line(format!("  {}", printable(rule)));
    }
    text
}
