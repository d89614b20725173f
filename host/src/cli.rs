//! The command line: its tree, its global options, and the way from arguments
//! to an exit code. Each subcommand has a file in [`crate::command`].

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use anstream::ColorChoice;
use clap::{Args, ColorChoice as ClapColorChoice, CommandFactory, FromArgMatches, Parser};
use clap::{Subcommand, ValueEnum};

use crate::command::{
    attest, certs, completions, explain, host, id_block, image, inspect, kernel, launch, man,
    measure, policy, report, ssh, unlock,
};
use crate::exit;
use crate::failure::Result;
use crate::terminal::Terminal;

const LONG_ABOUT: &str = "\
Boots a confidential VM on AMD SEV-SNP from a disk that is verified block by block.

ravelin runs on your own machine, without root. It makes the two files that such \
a VM needs beside a kernel: an initramfs whose only program is Ravelin's PID 1, \
and a disk image with its dm-verity tree, whose root hash stands on the measured \
kernel command line. One file, vm.toml, describes the VM; the image commands \
write it, `launch` reads it, and `measure` computes from it what the hardware will \
report. `report verify` says whether a report is genuine and of that VM.";

const EXAMPLES: &str = "\
From a root file system to a running VM:
  ravelin image verity --from debian.tar --output root.img --vm vm.toml
  ravelin image initramfs --output initramfs.cpio.zst --vm vm.toml \\
      --kernel vmlinuz-6.12.95 --kernel-modules lib/modules/6.12.95
  ravelin launch --simulate      # development: no protection, needs no SNP
  ravelin launch                 # on an SEV-SNP host, with firmware in vm.toml

Attestation:
  ravelin measure                # the launch digest, before the VM exists
  ravelin policy init --vm vm.toml --output policy.toml
  ravelin attest --wait          # ask the running VM, verify what it says
  ravelin unlock --wait          # the same, and release the key of its encrypted disk
  ravelin ssh-config web --output ssh.conf    # then: ssh -F ssh.conf web
  ravelin report verify report.bin --certs vcek.der --policy policy.toml
  ravelin explain --report report.bin    # why a digest is another one

On the server:
  ravelin host check --vm vm.toml        # can it start SEV-SNP guests, and what is missing

Look before you trust:
  ravelin image verify root.img.toml
  ravelin inspect initramfs.cpio.zst
  ravelin launch --print

`ravelin COMMAND --help` has the details of each command.

With --json, standard output has exactly one JSON document, also when the command fails: its
\"kind\" is then \"error\", with \"message\", \"causes\", \"help\" and \"exit_code\". The fields of every
other kind are listed in the help of its command. All have \"kind\" and \"format\" (1); fields are
added in later releases, never renamed. Only a command line that cannot be parsed is answered
without JSON.";

/// The owner's command line.
#[derive(Debug, Parser)]
#[command(
    name = "ravelin",
    version,
    about = "Boots confidential VMs on AMD SEV-SNP from verified disks",
    long_about = LONG_ABOUT,
    after_help = "`ravelin help` and `ravelin COMMAND --help` have examples and exit codes.",
    after_long_help = format!("{EXAMPLES}\n\n{}", exit::HELP),
    disable_help_subcommand = false,
    infer_subcommands = false,
    max_term_width = 100
)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Print the result as one JSON document on standard output
    #[arg(long, global = true)]
    json: bool,
    /// Print nothing but errors and warnings, and JSON if --json asks for it
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Say more on standard error, such as the time that each stage took
    #[arg(short, long, global = true)]
    verbose: bool,
    /// Use colours: always, never, or auto (on a terminal, unless NO_COLOR is set)
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = true
    )]
    color: Color,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Color {
    /// On a terminal
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(subcommand)]
    Image(image::Image),
    Inspect(inspect::Inspect),
    Launch(launch::Launch),
    Attest(Box<attest::Attest>),
    Unlock(Box<unlock::Unlock>),
    #[command(name = "ssh-known-hosts")]
    SshKnownHosts(Box<ssh::known_hosts::KnownHosts>),
    #[command(name = "ssh-config")]
    SshConfig(Box<ssh::config::Config>),
    Measure(Box<measure::Measure>),
    Explain(Box<explain::Explain>),
    #[command(name = "id-block")]
    IdBlock(Box<id_block::IdBlockArguments>),
    #[command(subcommand)]
    Policy(policy::Policy),
    #[command(subcommand)]
    Report(report::Report),
    #[command(subcommand)]
    Certs(certs::Certs),
    #[command(subcommand)]
    Kernel(kernel::Kernel),
    #[command(subcommand)]
    Host(host::Host),
    Completions(completions::Completions),
    Man(man::Man),
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let color = color_before_parsing(&arguments);
    color.write_global();
    let parsed = command()
        .color(match color {
            ColorChoice::Always | ColorChoice::AlwaysAnsi => ClapColorChoice::Always,
            ColorChoice::Never => ClapColorChoice::Never,
            ColorChoice::Auto => ClapColorChoice::Auto,
        })
        .try_get_matches_from(arguments)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        // Help and version too; nothing can be done if printing fails.
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let terminal = Terminal::new(cli.global.json, cli.global.quiet, cli.global.verbose);
    match run(cli.command, &terminal) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            terminal.failure(&failure);
            failure.exit().into()
        }
    }
}

/// The tree of commands, with the exit codes in every long help text.
#[must_use]
pub fn command() -> clap::Command {
    fn finish(command: clap::Command) -> clap::Command {
        let help = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
        let command = if help.contains("Exit codes:") {
            command
        } else {
            let gap = if help.is_empty() { "" } else { "\n\n" };
            command.after_long_help(format!("{help}{gap}{}", exit::HELP))
        };
        command.mut_subcommands(finish)
    }
    finish(Cli::command())
}

fn run(command: Command, terminal: &Terminal) -> Result {
    match command {
        Command::Image(image) => image::run(image, terminal),
        Command::Inspect(inspect) => inspect::run(&inspect, terminal),
        Command::Launch(launch) => launch::run(&launch, terminal),
        Command::Attest(arguments) => attest::run(&arguments, terminal),
        Command::Unlock(arguments) => unlock::run(&arguments, terminal),
        Command::SshKnownHosts(arguments) => ssh::known_hosts::run(&arguments, terminal),
        Command::SshConfig(arguments) => ssh::config::run(&arguments, terminal),
        Command::Measure(measure) => measure::run(&measure, terminal),
        Command::Explain(explain) => explain::run(&explain, terminal),
        Command::IdBlock(arguments) => id_block::run(&arguments, terminal),
        Command::Policy(policy) => policy::run(policy, terminal),
        Command::Report(report) => report::run(report, terminal),
        Command::Certs(certs) => certs::run(certs, terminal),
        Command::Host(host) => host::run(host, terminal),
        Command::Kernel(kernel) => kernel::run(kernel, terminal),
        Command::Completions(completions) => completions::run(&completions, terminal),
        Command::Man(man) => man::run(&man, terminal),
    }
}

/// `--color`, before the arguments are parsed: help and errors of the parser
/// obey it too. Whatever is not understood here the parser refuses later.
fn color_before_parsing(arguments: &[OsString]) -> ColorChoice {
    let mut choice = ColorChoice::Auto;
    let mut arguments = arguments.iter().map(OsString::as_os_str).take_while(|a| *a != "--");
    while let Some(argument) = arguments.next() {
        let value = match argument.to_str() {
            Some("--color") => arguments.next().and_then(OsStr::to_str),
            Some(argument) => argument.strip_prefix("--color="),
            None => None,
        };
        match value {
            Some("always") => choice = ColorChoice::Always,
            Some("never") => choice = ColorChoice::Never,
            Some("auto") => choice = ColorChoice::Auto,
            Some(_) | None => {}
        }
    }
    choice
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn color_is_known_early() {
        let choice = |arguments: &[&str]| {
            color_before_parsing(&arguments.iter().map(OsString::from).collect::<Vec<_>>())
        };
        assert_eq!(choice(&["ravelin", "--color", "never"]), ColorChoice::Never);
        assert_eq!(choice(&["ravelin", "man", "--color=always"]), ColorChoice::Always);
        assert_eq!(choice(&["ravelin", "launch", "--", "--color=never"]), ColorChoice::Auto);
    }
}
