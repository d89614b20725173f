//! ssh to the demo's machine, with the configuration that `ravelin ssh-config`
//! wrote and nothing of the user's own.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::machine::Machine;

/// No command of the demo takes longer, even on a busy machine.
const COMMAND_LIMIT: &str = "90";

/// What ssh says while the guest's server is not up: QEMU's forwarding accepts
/// before anybody listens.
const NOT_YET: [&str; 4] = ["reset", "closed", "refused", "timed out"];

pub(crate) struct Ssh {
    config: PathBuf,
    key: PathBuf,
}

impl Ssh {
    pub(crate) fn new(config: PathBuf, key: PathBuf) -> Self {
        Self { config, key }
    }

    /// Waits for the server.
    pub(crate) fn wait(&self, machine: &mut Machine, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            machine.check(deadline, "the SSH server did not answer")?;
            let Output { status, stderr, .. } =
                self.command().arg("true").output().context("start ssh")?;
            if status.success() {
                return Ok(());
            }
            let error = String::from_utf8_lossy(&stderr);
            if !NOT_YET.iter().any(|word| error.contains(word)) {
                bail!("ssh: {}", error.trim());
            }
            thread::sleep(Duration::from_millis(500));
        }
    }

    /// Runs a command there and shows what it says; it may fail.
    pub(crate) fn show(&self, remote: &str) -> Result<()> {
        super::check_interrupted()?;
        let status = self.command().arg(remote).status().context("start ssh")?;
        // 255 is ssh's own failure, 124 the time limit's.
        match status.code() {
            Some(124 | 255) | None => bail!("ssh: {status}"),
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

    fn command(&self) -> Command {
        let mut ssh = Command::new("timeout");
        ssh.args([COMMAND_LIMIT, "ssh", "-F"]).arg(&self.config).arg("-i").arg(&self.key);
        for option in ["BatchMode=yes", "ConnectTimeout=30", "IdentitiesOnly=yes"] {
            ssh.args(["-o", option]);
        }
        ssh.arg("demo");
        ssh
    }
}
