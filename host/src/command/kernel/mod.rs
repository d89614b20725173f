//! `ravelin kernel`: the kernel that a VM boots.

mod check;

use clap::Subcommand;

use crate::failure::Result;
use crate::interrupt;
use crate::terminal::Terminal;

/// What a kernel is good for
#[derive(Debug, Subcommand)]
pub(crate) enum Kernel {
    Check(check::Check),
}

pub(crate) fn run(kernel: Kernel, terminal: &Terminal) -> Result {
    interrupt::end_on_signals()?;
    match kernel {
        Kernel::Check(arguments) => check::run(&arguments, terminal),
    }
}
