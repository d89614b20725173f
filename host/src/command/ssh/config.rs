//! `ravelin ssh-config`: the lines by which OpenSSH trusts what was attested,
//! and nothing else.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use clap::Args;
use image_builder::output::Output;
use serde::Serialize;

use super::known_hosts::age;
use crate::attest::address::Address;
use crate::attest::known_hosts::{check_name, quote, quote_argument};
use crate::command::attest::target::Target;
use crate::command::guest::vm_file;
use crate::exit::Exit;
use crate::failure::{Failure, Remedy, Result};
use crate::terminal::{Terminal, Text, printable};

const EXAMPLES: &str = "\
Examples:
  ravelin ssh-config web --output ssh.conf    # then: ssh -F ssh.conf web
  ravelin ssh-config web --vm /srv/web/vm.toml --user root --output ~/.ssh/web.conf
      # and at the top of ~/.ssh/config:  Include web.conf
  ravelin ssh-config web --address web.example:4777 --hostname web.example --policy policy.toml
  rsync -e 'ssh -F ssh.conf' data/ web:data/
  GIT_SSH_COMMAND='ssh -F ssh.conf' git push web:repo
  ansible all -i web, --ssh-common-args '-F ssh.conf' -m ping

Nothing is asked of the VM: it need not run yet. The paths in the lines are absolute, and the
program is this one; write the lines anew if one of them moves.

The lines leave ssh no other way to a host key than `ravelin ssh-known-hosts`: no known_hosts
files, no question on first use, no keys that the server adds later, no DNS. They count from the
first place in the configuration on, so Include them before anything else. OpenSSH 8.5 or later.

JSON (\"kind\": \"ssh-config\"): file (null: standard output), lines (the text).";

/// Write the lines by which OpenSSH connects to an attested VM only
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Config {
    /// The name by which ssh is to know the VM
    #[arg(value_name = "NAME")]
    name: String,
    /// Where the VM's SSH server is
    ///
    /// Without it: 127.0.0.1 with the `ssh_port` of vm.toml, else the host of the responder's
    /// address.
    #[arg(long, value_name = "HOST", help_heading = "SSH")]
    hostname: Option<String>,
    /// The SSH server's port
    #[arg(long, value_name = "PORT", help_heading = "SSH")]
    port: Option<NonZeroU16>,
    /// The user to log in as
    #[arg(long, value_name = "USER", help_heading = "SSH")]
    user: Option<String>,
    #[command(flatten)]
    target: Target,
    /// How long an accepted verdict is remembered; 0: not at all
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = age)]
    max_age: Duration,
    /// Write the lines into this file instead of printing them
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Serialize)]
struct Written {
    file: Option<String>,
    lines: String,
}

pub(crate) fn run(arguments: &Config, terminal: &Terminal) -> Result {
    check_name(&arguments.name).map_err(Failure::usage)?;
    // What cannot be used is told now, not at the first connection.
    let prepared = arguments.target.prepare(terminal)?;
    let (host, port) = server(arguments, &prepared.address)?;
    let lines = lines(arguments, &host, port)?;
    let mut text = Text::new();
    if let Some(path) = &arguments.output {
        let output = Output::create(path)?;
        output
            .file()
            .write_all(lines.as_bytes())
            .map_err(|error| Failure::new(error).named(path))
            .remedy("name a file that can be written")?;
        output.commit()?;
        let path = printable(&path.to_string_lossy());
        text.line(format!("{path}: written; try ssh -F {path} {}", arguments.name));
    } else if !terminal.json() {
        terminal.output(lines.as_bytes())?;
        return Ok(Exit::Success);
    }
    let file = arguments.output.as_ref().map(|path| path.display().to_string());
    terminal.result("ssh-config", &Written { file, lines }, &text)?;
    Ok(Exit::Success)
}

/// Where ssh connects to.
fn server(arguments: &Config, responder: &Address) -> Result<(String, Option<NonZeroU16>)> {
    if let Some(host) = &arguments.hostname {
        return Ok((host.clone(), arguments.port));
    }
    let file = arguments.target.vm_path().map(|path| vm_file(&path)).transpose()?;
    let forwarded = file.and_then(|file| file.vm().network.as_ref()?.ssh_port);
    match (forwarded, responder) {
        (Some(port), _) => Ok(("127.0.0.1".to_owned(), arguments.port.or(Some(port)))),
        (None, Address::Tcp { host, .. }) => Ok((host.clone(), arguments.port)),
        (None, Address::Vsock { .. }) => {
            Err(Failure::usage("a vsock address does not say where the SSH server is")
                .help("give it with --hostname and --port"))
        }
    }
}

fn lines(arguments: &Config, host: &str, port: Option<NonZeroU16>) -> Result<String> {
    check_name(host).map_err(Failure::usage)?;
    let mut text = format!(
        "# `ravelin ssh-config` wrote this: OpenSSH accepts the host keys that the VM's\n\
         # attestation report binds, and no others.\nHost {}\n",
        arguments.name
    );
    let mut line = |key: &str, value: &str| text.push_str(&format!("    {key} {value}\n"));
    line("HostName", &host.replace('%', "%%"));
    if let Some(port) = port {
        line("Port", &port.to_string());
    }
    if let Some(user) = &arguments.user {
        line("User", &quote_argument(user).map_err(Failure::usage)?);
    }
    line("KnownHostsCommand", &command(arguments)?);
    for (key, value) in [
        ("UserKnownHostsFile", "/dev/null"),
        ("GlobalKnownHostsFile", "/dev/null"),
        ("StrictHostKeyChecking", "yes"),
        ("CheckHostIP", "no"),
        ("UpdateHostKeys", "no"),
        ("VerifyHostKeyDNS", "no"),
        ("NoHostAuthenticationForLocalhost", "no"),
        // A shared connection may have been made without these lines, under
        // another name of the same address.
        ("ControlPath", "none"),
    ] {
        line(key, value);
    }
    // With it there would be no host key at all. Distributions' OpenSSH has the
    // option; where it is unknown, the line would be an error for every host.
    if ssh_knows("GSSAPIKeyExchange=no") {
        line("GSSAPIKeyExchange", "no");
    }
    Ok(text)
}

/// Whether the `ssh` of this machine has an option.
fn ssh_knows(option: &str) -> bool {
    let mut ssh = std::process::Command::new("ssh");
    ssh.args(["-G", "-F", "/dev/null", "-o", option, "host"]);
    ssh.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    ssh.status().is_ok_and(|status| status.success())
}

fn command(arguments: &Config) -> Result<String> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::new(format!("the path of this program: {error}")))?;
    let mut words: Vec<OsString> = vec![program.into_os_string(), "ssh-known-hosts".into()];
    words.extend(arguments.target.words()?);
    words.extend(["--max-age".into(), format!("{}s", arguments.max_age.as_secs()).into()]);
    let mut quoted = Vec::new();
    for (index, word) in words.iter().enumerate() {
        // ssh does not expand the program's own name.
        let quote = if index == 0 { quote_argument } else { quote };
        quoted.push(quote(utf8(word)?).map_err(Failure::new)?);
    }
    // The name that ssh looks up, and the key that the server shows.
    Ok(format!("{} -- %H %K", quoted.join(" ")))
}

fn utf8(word: &OsStr) -> Result<&str> {
    word.to_str().ok_or_else(|| {
        let word = word.to_string_lossy();
        Failure::new(format!("{word}: not UTF-8; ssh's configuration cannot name it"))
            .help("rename it")
    })
}
