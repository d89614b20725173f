//! `ravelin policy`: what a report must say to be accepted.

mod check;
mod comments;
mod init;

use clap::Subcommand;

use crate::failure::Result;
use crate::terminal::Terminal;

const EXAMPLES: &str = "\
Examples:
  ravelin policy init --report report.bin --certs vcek.der --output policy.toml
  ravelin policy init --vm vm.toml > policy.toml
  ravelin policy check policy.toml";

/// Write and check policies
///
/// A policy says what a report must say to be accepted. It is a TOML file in which unknown keys
/// are errors. SNPGuard's vm-config.toml is read too, wherever a policy is.
#[derive(Debug, Subcommand)]
#[command(after_long_help = EXAMPLES)]
pub(crate) enum Policy {
    Init(Box<init::Init>),
    Check(check::Check),
}

pub(crate) fn run(policy: Policy, terminal: &Terminal) -> Result {
    match policy {
        Policy::Init(arguments) => init::run(&arguments, terminal),
        Policy::Check(arguments) => check::run(&arguments, terminal),
    }
}
