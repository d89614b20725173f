//! `ravelin ssh-known-hosts`: a `KnownHostsCommand` (ssh_config(5)).
//!
//! OpenSSH ends the connection if the command fails (`KnownHostsCommand
//! failed`), and has no key to accept if it prints none. So standard output has
//! either all lines, after everything was checked, or nothing.
//!
//! ssh calls it twice a connection: once to order the key algorithms (`%I` is
//! ORDER) and once for the key that the server showed (HOSTNAME). The second
//! call is answered from the remembered verdict.

use std::time::Duration;

use base64ct::{Base64, Encoding};
use clap::Args;
use protocol::host_keys::{HostKeys, key_type};

use crate::attest::known_hosts::{check_name, lines};
use crate::attest::verdicts::{Remembered, Verdicts};
use crate::command::attest::target::{Attested, Prepared, Target};
use crate::command::launch::duration;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::terminal::Terminal;

const EXAMPLES: &str = "\
Examples:
  ravelin ssh-config web --vm vm.toml --output ssh.conf   # writes the line for you
  KnownHostsCommand /usr/bin/ravelin ssh-known-hosts --vm /srv/web/vm.toml -- %H %K

It prints the SSH host keys that the VM's report binds, as known_hosts lines for the name that ssh
looks up, only if everything passes that `ravelin attest` checks. Else it prints nothing, says why
on standard error and fails, and ssh ends the connection.

A verdict is remembered for --max-age, because ssh calls the command twice a connection: under
XDG_RUNTIME_DIR (or XDG_STATE_HOME), readable by you alone, and only for the same address, policy,
measurements, certificates and roots.";

/// Print a VM's attested host keys for OpenSSH's KnownHostsCommand
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct KnownHosts {
    /// The name that ssh looks up: %H
    #[arg(value_name = "HOST")]
    host: String,
    /// The key that the server shows, in base64: %K
    ///
    /// A remembered verdict without it is not used: the VM may have been started anew, with other
    /// keys. NONE, and what is no key, stand for no key.
    #[arg(value_name = "KEY")]
    key: Option<String>,
    #[command(flatten)]
    target: Target,
    /// How long an accepted verdict is remembered; 0: not at all
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = age)]
    max_age: Duration,
}

pub(crate) fn run(arguments: &KnownHosts, terminal: &Terminal) -> Result {
    if terminal.json() {
        return Err(Failure::usage("known_hosts lines are no JSON document")
            .help("`ravelin attest --json` has the host keys and the verdict"));
    }
    check_name(&arguments.host).map_err(Failure::usage)?;
    let accepted = accepted(arguments, terminal).map_err(in_few_lines)?;
    accepted.warnings.iter().for_each(|warning| terminal.warning(warning));
    if accepted.host_keys == HostKeys::default() {
        return Err(Failure::refused("the VM is genuine, but its report binds no SSH host keys")
            .help("`ssh.host_keys` in its measured configuration makes them"));
    }
    terminal.output(lines(&arguments.host, &accepted.host_keys)?.as_bytes())?;
    Ok(Exit::Success)
}

/// The accepted verdict: remembered, or made now. Which key the server shows
/// decides only whether the VM is asked, never what is accepted.
fn accepted(arguments: &KnownHosts, terminal: &Terminal) -> Result<Remembered> {
    let prepared = arguments.target.prepare(terminal)?;
    let memory = (!arguments.max_age.is_zero()).then(Verdicts::of_user).flatten();
    let Some(memory) = memory else { return attest(&prepared, terminal) };
    let key = prepared.key()?;
    let shown = arguments.key.as_deref().and_then(|key| Base64::decode_vec(key).ok());
    // NONE happens to be base64, but no key.
    let shown = shown.filter(|blob| key_type(blob).is_some());
    let shows_known = |known: &Remembered| {
        shown.as_ref().is_none_or(|shown| known.host_keys.blobs().contains(shown))
    };
    if let Some(known) = memory.get(&key, arguments.max_age).filter(shows_known) {
        terminal.detail("the verdict is a remembered one");
        return Ok(known);
    }
    let accepted = attest(&prepared, terminal)?;
    if let Err(error) = memory.put(&key, &accepted) {
        terminal.detail(&format!("the verdict is not remembered: {error}"));
    }
    Ok(accepted)
}

fn attest(prepared: &Prepared<'_>, terminal: &Terminal) -> Result<Remembered> {
    let attested = prepared.attest(terminal)?;
    if let Some(meaning) = attested.unbound() {
        terminal.note(meaning);
    }
    let Attested { evidence, verdict, notes, .. } = attested;
    let verdict = verdict.into_result().map_err(|refused| {
        Failure::refused(format!("{}: {refused}", prepared.address))
            .help("`ravelin attest` with the same options lists every check")
    })?;
    // Said once for a verdict, not for every connection: that there is no
    // current revocation list, for one.
    notes.iter().for_each(|note| terminal.note(note));
    Ok(Remembered {
        report_id: verdict.identity().report_id.to_string(),
        host_keys: evidence.host_keys,
        warnings: verdict.warnings().iter().map(ToString::to_string).collect(),
    })
}

/// ssh shows what is on standard error between its own lines: the reason in
/// one, the remedy in another.
fn in_few_lines(failure: Failure) -> Failure {
    let mut text = vec![failure.message()];
    text.extend(failure.causes());
    failure.reworded(text.join(": "))
}

/// A time, or 0.
pub(super) fn age(text: &str) -> std::result::Result<Duration, String> {
    let longest = Duration::from_secs(24 * 3600);
    match text {
        "0" | "0s" => Ok(Duration::ZERO),
        text => duration(text)
            .and_then(|age| if age > longest { Err("at most 24h".to_owned()) } else { Ok(age) }),
    }
}
