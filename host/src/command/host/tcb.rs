//! `ravelin host tcb`.

use std::fmt::Write as _;
use std::fs;

use attestation::product::Product;
use attestation::tcb::Components;
use clap::Args;
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::server::{PlatformStatus, Processor, policy};
use crate::terminal::{Terminal, Text};

const EXAMPLES: &str = "\
Examples:
  sudo ravelin host tcb
  sudo ravelin host tcb > host.toml      # a policy of its own, or lines for one
  sudo ravelin host tcb --json | jq .reported

JSON (\"kind\": \"host-tcb\"): product, firmware (such as \"1.55.24\"), current and reported (each
bootloader, tee, snp, microcode, on Turin also fmc), policy (the TOML text).";

/// Print the TCB that this server reports, as lines for a policy
///
/// Asks the secure processor (SNP_PLATFORM_STATUS, which only reads) through /dev/sev, usually as
/// root. The reported TCB is what the server's VCEK and its reports are for. It is the server's
/// word: compare it with AMD's security bulletins before you make it your minimum, since a policy
/// with the levels of an old firmware accepts its faults.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Tcb {}

#[derive(Serialize)]
struct Printed {
    product: Product,
    firmware: String,
    current: Components,
    reported: Components,
    policy: String,
}

pub(crate) fn run(_arguments: &Tcb, terminal: &Terminal) -> Result {
    let status = PlatformStatus::of_this_machine()
        .map_err(|error| Failure::from(error).help("`ravelin host check` says what is missing"))?;
    let product = fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|text| Processor::parse(&text)?.product())
        .ok_or_else(|| Failure::new("this processor's product is not known to this ravelin"))?;
    let printed = Printed {
        product,
        firmware: format!("{}.{}.{}", status.api.0, status.api.1, status.build),
        current: status.current,
        reported: status.reported,
        policy: describe(&status, product),
    };
    if terminal.json() {
        terminal.result("host-tcb", &printed, &Text::new())?;
    } else {
        terminal.output(printed.policy.as_bytes())?;
    }
    Ok(Exit::Success)
}

fn describe(status: &PlatformStatus, product: Product) -> String {
    let mut text = String::from(
        "# What this server's secure processor says of itself. It is the server's word: compare it\n\
         # with what AMD publishes before you accept it.\n",
    );
    let _ = writeln!(text, "# current TCB:  {}", status.current);
    let _ = writeln!(text, "# reported TCB: {}", status.reported);
    let _ = write!(text, "{}", policy(status, product));
    text
}

#[cfg(test)]
mod tests {
    use attestation::policy::Policy;
    use attestation::tcb::Tcb;

    use super::*;

    #[test]
    fn the_text_is_a_policy() {
        let components = Tcb([10, 0, 0, 0, 0, 0, 23, 84]).components(Product::Genoa);
        let status =
            PlatformStatus { api: (1, 55), build: 24, current: components, reported: components };
        let text = describe(&status, Product::Genoa);
        assert!(text.contains("# reported TCB: bootloader 10 tee 0 snp 23 microcode 84\n"));
        assert_eq!(Policy::parse(&text).unwrap(), policy(&status, Product::Genoa));
    }
}
