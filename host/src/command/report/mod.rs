//! `ravelin report`: what a report says, and whether it is to be believed.

mod show;
pub(crate) mod verify;

use clap::Subcommand;

use crate::failure::Result;
use crate::terminal::Terminal;

const EXAMPLES: &str = "\
Examples:
  ravelin report show report.bin
  ravelin report verify report.bin --certs vcek.der --vm vm.toml
  ravelin report verify report.bin --certs auxblob --policy policy.toml --json";

/// Read and verify attestation reports
///
/// Reports are taken in every form in which they come: the bare 1184 bytes (configfs-tsm's
/// outblob), with the header of /dev/sev-guest, inside an Azure HCL blob, and SNPGuard's JSON.
/// Versions 2 to 5 are known; every other is refused.
#[derive(Debug, Subcommand)]
#[command(after_long_help = EXAMPLES)]
pub(crate) enum Report {
    Show(show::Show),
    Verify(Box<verify::Verify>),
}

pub(crate) fn run(report: Report, terminal: &Terminal) -> Result {
    match report {
        Report::Show(arguments) => show::run(&arguments, terminal),
        Report::Verify(arguments) => verify::run(&arguments, terminal),
    }
}
