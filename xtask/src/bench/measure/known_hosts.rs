//! What ssh waits for when it asks `ravelin` for the keys of an attested VM.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::samples::KnownHosts;
use crate::tools::ravelin;
use crate::usage::program;

const ROUNDS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(120);

/// Asks a VM that runs.
pub(crate) fn measure(vm: &Path, trust_root: &Path, ssh_port: u16) -> Result<Vec<KnownHosts>> {
    let owner = Owner { vm: vm.to_owned(), trust_root: trust_root.to_owned() };
    // The responder answers before systemd has started sshd.
    let start = Instant::now();
    while program(&mut keyscan(ssh_port)).is_err() {
        anyhow::ensure!(start.elapsed() < PATIENCE, "sshd does not answer");
        std::thread::sleep(Duration::from_secs(1));
    }
    (0..ROUNDS).map(|_| owner.round(ssh_port)).collect()
}

/// The same keys, and no proof.
fn keyscan(port: u16) -> Command {
    let mut keyscan = Command::new("ssh-keyscan");
    keyscan.args(["-t", "ed25519", "-p", &port.to_string(), "127.0.0.1"]);
    keyscan
}

struct Owner {
    vm: PathBuf,
    trust_root: PathBuf,
}

impl Owner {
    fn round(&self, ssh_port: u16) -> Result<KnownHosts> {
        if self.memory().exists() {
            fs::remove_dir_all(self.memory()).context("forget all verdicts")?;
        }
        let (lines, cold) = program(&mut self.ask()?)?;
        let key = lines.split_whitespace().nth(2).context("no key was printed")?;
        let (_, remembered) = program(self.ask()?.arg(key))?;
        let (scanned, keyscan) = program(&mut keyscan(ssh_port))?;
        anyhow::ensure!(scanned.contains(key), "ssh-keyscan has found another key");
        Ok(KnownHosts { cold: cold.wall, remembered: remembered.wall, keyscan: keyscan.wall })
    }

    /// Nothing of the user's own is read, and nothing is left to him.
    fn memory(&self) -> PathBuf {
        self.vm.with_extension("remembered")
    }

    fn ask(&self) -> Result<Command> {
        let mut ravelin = ravelin()?;
        for variable in ["XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "XDG_DATA_HOME"] {
            ravelin.env(variable, self.memory());
        }
        ravelin.args(["--quiet", "ssh-known-hosts", "--offline", "--vm"]).arg(&self.vm);
        ravelin.arg("--trust-root").arg(&self.trust_root).arg("debian");
        Ok(ravelin)
    }
}
