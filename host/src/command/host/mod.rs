//! `ravelin host`: the server that runs the VM.

mod check;
mod tcb;

use clap::Subcommand;

use crate::failure::Result;
use crate::terminal::Terminal;

const EXAMPLES: &str = "\
Examples:
  ravelin host check --vm vm.toml
  ravelin host tcb > host.toml";

/// What a server needs to run SEV-SNP guests, and what it says of itself
///
/// These commands run on the server. To an owner their answers prove nothing: the server is what
/// attestation is for.
#[derive(Debug, Subcommand)]
#[command(after_long_help = EXAMPLES)]
pub(crate) enum Host {
    Check(check::Check),
    Tcb(tcb::Tcb),
}

pub(crate) fn run(host: Host, terminal: &Terminal) -> Result {
    match host {
        Host::Check(arguments) => check::run(&arguments, terminal),
        Host::Tcb(arguments) => tcb::run(&arguments, terminal),
    }
}
