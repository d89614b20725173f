//! `ravelin completions`.

use clap::Args;
use clap_complete::Shell;

use crate::cli;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::terminal::Terminal;

const EXAMPLES: &str = "\
Examples:
  ravelin completions bash > ~/.local/share/bash-completion/completions/ravelin
  ravelin completions zsh > \"${fpath[1]}/_ravelin\"
  ravelin completions fish > ~/.config/fish/completions/ravelin.fish";

/// Print a completion script for a shell
///
/// Writes the script to standard output; where it has to go depends on the shell.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub(crate) fn run(arguments: &Completions, terminal: &Terminal) -> Result {
    if terminal.json() {
        return Err(Failure::usage("a completion script has no JSON form; leave --json out"));
    }
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut cli::command(), "ravelin", &mut script);
    terminal.output(&script)?;
    Ok(Exit::Success)
}
