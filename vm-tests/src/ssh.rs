//! ssh into a virtual machine, with nothing of the user's own configuration.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

use crate::{OrFail, Running, Tool};

/// No command of a test takes longer, even on a busy machine.
const COMMAND_LIMIT: &str = "120";

/// A login as root, with the host key pinned.
#[derive(Debug)]
pub struct Ssh {
    port: u16,
    known_hosts: PathBuf,
    fingerprint: String,
}

impl Ssh {
    /// Waits for the SSH server behind a port of 127.0.0.1 and pins the key
    /// that it shows first.
    ///
    /// # Panics
    /// If the machine stops, or its time is up, before that.
    #[must_use]
    #[track_caller]
    pub fn wait(machine: &mut Running, port: u16) -> Self {
        let key = loop {
            machine.check("its SSH server");
            let scan = Command::new("ssh-keyscan")
                .args(["-T", "10", "-t", "ed25519", "-p", &port.to_string(), "127.0.0.1"])
                .output()
                .or_fail("start ssh-keyscan");
            if !scan.stdout.is_empty() {
                break scan.stdout;
            }
            thread::sleep(Duration::from_millis(500));
        };
        let known_hosts = machine.work_dir().join("known_hosts");
        fs::write(&known_hosts, key).or_fail("write known_hosts");
        let shown = Command::new("ssh-keygen")
            .arg("-lf")
            .arg(&known_hosts)
            .output()
            .or_fail("start ssh-keygen");
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        let fingerprint = shown.split_whitespace().nth(1).or_fail("a fingerprint").to_owned();
        Self { port, known_hosts, fingerprint }
    }

    /// The fingerprint of the pinned key, `SHA256:…`.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Runs a command that must not fail; what it printed, trimmed.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub fn run(&self, remote: &str) -> String {
        let output = self.output(remote);
        assert!(
            output.status.success(),
            "{remote}: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Runs a command that may fail.
    ///
    /// # Panics
    /// If ssh cannot be started.
    #[must_use]
    #[track_caller]
    pub fn output(&self, remote: &str) -> Output {
        let mut ssh = Command::new("timeout");
        ssh.args([COMMAND_LIMIT, "ssh", "-F", "none", "-p", &self.port.to_string(), "-i"]);
        ssh.arg(Tool::SshKey.path());
        for option in [
            "BatchMode=yes",
            "ConnectTimeout=60",
            "IdentitiesOnly=yes",
            "LogLevel=ERROR",
            "StrictHostKeyChecking=yes",
            &format!("UserKnownHostsFile={}", self.known_hosts.display()),
        ] {
            ssh.args(["-o", option]);
        }
        ssh.args(["root@127.0.0.1", remote]).output().or_fail("start ssh")
    }
}

/// A port of 127.0.0.1 that is free at the moment.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn free_port() -> u16 {
    let socket = TcpListener::bind(("127.0.0.1", 0)).or_fail("find a free port");
    socket.local_addr().or_fail("find a free port").port()
}
