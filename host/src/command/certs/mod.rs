//! `ravelin certs`: the certificates behind reports.

mod fetch;
mod import;
mod list;
mod show;

use clap::Subcommand;

use crate::failure::Result;
use crate::interrupt;
use crate::terminal::Terminal;

const EXAMPLES: &str = "\
Examples:
  ravelin certs fetch --report report.bin
  ravelin certs import bundle.pem       # on a machine without network
  ravelin certs list

The cache is $XDG_CACHE_HOME/ravelin/certificates (~/.cache/ravelin/certificates). All of it may
be deleted at any time.";

/// Fetch, import and list the certificates behind reports
///
/// `report verify` and `attest` get the certificates that they need by themselves, from the cache or
/// AMD's key service; with these commands you do it in advance, or without a network. Nothing is
/// trusted because it is in the cache: each use verifies it up to AMD's roots, and a damaged entry
/// is fetched again.
#[derive(Debug, Subcommand)]
#[command(after_long_help = EXAMPLES)]
pub(crate) enum Certs {
    Fetch(Box<fetch::Fetch>),
    Import(import::Import),
    List(list::List),
}

pub(crate) fn run(certs: Certs, terminal: &Terminal) -> Result {
    interrupt::end_on_signals()?;
    match certs {
        Certs::Fetch(arguments) => fetch::run(&arguments, terminal),
        Certs::Import(arguments) => import::run(&arguments, terminal),
        Certs::List(arguments) => list::run(&arguments, terminal),
    }
}
