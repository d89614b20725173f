//! ssh to the demo's machine, with nothing of the user's own configuration.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::machine::Machine;
use crate::command;

/// No command of the demo takes longer, even on a busy machine.
const COMMAND_LIMIT: &str = "90";

pub(crate) struct Ssh {
    port: u16,
    key: PathBuf,
    known_hosts: PathBuf,
}

impl Ssh {
    pub(crate) fn new(directory: &Path, port: u16, key: PathBuf) -> Self {
        Self { port, key, known_hosts: directory.join("known_hosts") }
    }

    /// Waits for the server; the fingerprint of its key, which from then on is
    /// the only one that is accepted.
    pub(crate) fn wait_for_fingerprint(
        &self,
        machine: &mut Machine,
        limit: Duration,
    ) -> Result<String> {
        let deadline = Instant::now() + limit;
        let key = loop {
            machine.check(deadline, "the SSH server did not answer")?;
            if let Some(key) = self.scan()? {
                break key;
            }
            thread::sleep(Duration::from_millis(500));
        };
        fs::write(&self.known_hosts, key).context("write known_hosts")?;
        let shown = command::stdout(Command::new("ssh-keygen").arg("-lf").arg(&self.known_hosts))?;
        shown
            .split_whitespace()
            .nth(1)
            .map(str::to_owned)
            .context("ssh-keygen shows no fingerprint")
    }

    /// Runs a command there and shows what it says; it may fail.
    pub(crate) fn show(&self, remote: &str) -> Result<()> {
        super::check_interrupted()?;
        let status = self.command().arg(remote).status().context("start ssh")?;
        // 255 is ssh's own failure, 124 the time limit's.
        match status.code() {
            Some(124 | 255) | None => anyhow::bail!("ssh: {status}"),
            Some(_) => super::check_interrupted(),
        }
    }

    /// Asks for the clean end. The connection may end before the answer comes.
    pub(crate) fn power_off(&self) -> Result<()> {
        // `systemctl poweroff` would ask logind first, which is not there.
        let remote = "systemctl start poweroff.target";
        println!("root@ravelin:~# {remote}");
        self.command().arg(remote).status().context("start ssh").map(drop)
    }

    fn scan(&self) -> Result<Option<String>> {
        let output = Command::new("ssh-keyscan")
            .args(["-T", "5", "-t", "ed25519", "-p", &self.port.to_string(), "127.0.0.1"])
            .output()
            .context("start ssh-keyscan")?;
        let keys = String::from_utf8(output.stdout).context("read ssh-keyscan")?;
        Ok(Some(keys).filter(|keys| keys.contains("ssh-ed25519")))
    }

    fn command(&self) -> Command {
        let mut ssh = Command::new("timeout");
        ssh.args([COMMAND_LIMIT, "ssh", "-F", "none", "-p", &self.port.to_string(), "-i"]);
        ssh.arg(&self.key);
        for option in [
            "BatchMode=yes",
            "ConnectTimeout=30",
            "IdentitiesOnly=yes",
            "LogLevel=ERROR",
            "StrictHostKeyChecking=yes",
            &format!("UserKnownHostsFile={}", self.known_hosts.display()),
        ] {
            ssh.args(["-o", option]);
        }
        ssh.arg("root@127.0.0.1");
        ssh
    }
}
