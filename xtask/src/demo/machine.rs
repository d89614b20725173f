//! The demo's virtual machine: `ravelin launch`, ended in every case.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::check_interrupted;

/// What PID 1 says when it has made an SSH host key.
const KEY_LINE: &str = "ssh host key ssh-ed25519 ";

const INTERVAL: Duration = Duration::from_millis(100);

/// `ravelin launch` needs this long to end QEMU, and a little more.
const KILL_LIMIT: Duration = Duration::from_secs(10);

pub(crate) struct Machine {
    child: Child,
    log: PathBuf,
    /// How many of PID 1's lines were shown.
    shown: usize,
}

impl Machine {
    /// Starts it; the console goes to the log alone.
    pub(crate) fn start(launch: Command, log: PathBuf) -> Result<Self> {
        let _from_an_earlier_run = fs::remove_file(&log);
        let messages = File::create(log.with_extension("launch.log")).context("create a log")?;
        // Should this program be killed, `ravelin launch` ends too, and ends QEMU.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "--"])
            .arg(launch.get_program())
            .args(launch.get_args())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(messages)
            .spawn()
            .context("start ravelin launch")?;
        Ok(Self { child, log, shown: 0 })
    }

    /// Shows PID 1's lines until it has made the host key; its fingerprint.
    pub(crate) fn wait_for_fingerprint(&mut self, limit: Duration) -> Result<String> {
        let deadline = Instant::now() + limit;
        let mut fingerprint = None;
        loop {
            let ended = self.status()?;
            let lines = self.new_lines();
            for line in &lines {
                println!("{line}");
                if let Some((_, key)) = line.split_once(KEY_LINE) {
                    fingerprint = key.split_whitespace().next().map(str::to_owned);
                }
            }
            match fingerprint {
                Some(fingerprint) if lines.iter().any(|line| line.contains("hand-over:")) => {
                    return Ok(fingerprint);
                }
                _ => self.still_running(ended, deadline, "PID 1 did not hand over")?,
            }
            thread::sleep(INTERVAL);
        }
    }

    /// Shows PID 1's lines until one has `part` in it.
    pub(crate) fn wait_for(&mut self, part: &str, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            let ended = self.status()?;
            let lines = self.new_lines();
            lines.iter().for_each(|line| println!("{line}"));
            if lines.iter().any(|line| line.contains(part)) {
                return Ok(());
            }
            self.still_running(ended, deadline, "PID 1 did not get that far")?;
            thread::sleep(INTERVAL);
        }
    }

    /// An error if the machine has stopped, time is up, or the user wants it to end.
    pub(crate) fn check(&mut self, deadline: Instant, otherwise: &str) -> Result<()> {
        let status = self.status()?;
        self.still_running(status, deadline, otherwise)
    }

    /// Waits for the machine to switch itself off.
    pub(crate) fn wait_for_end(&mut self, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.status()? {
                ensure!(status.success(), "ravelin launch: {status}");
                println!("The machine switched itself off.");
                return Ok(());
            }
            check_interrupted()?;
            ensure!(Instant::now() < deadline, "it did not switch itself off within {limit:?}");
            thread::sleep(INTERVAL);
        }
    }

    fn still_running(
        &self,
        ended: Option<ExitStatus>,
        deadline: Instant,
        otherwise: &str,
    ) -> Result<()> {
        check_interrupted()?;
        if let Some(status) = ended {
            bail!("the machine stopped ({status}); its console is in {}", self.log.display());
        }
        ensure!(
            Instant::now() < deadline,
            "{otherwise} in time; the console is in {}",
            self.log.display()
        );
        Ok(())
    }

    fn status(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("look after ravelin launch")
    }

    /// PID 1's lines since the last call, without the kernel's time stamps.
    fn new_lines(&mut self) -> Vec<String> {
        let log = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        // The last piece has no end yet.
        let complete = text.rsplit_once('\n').map_or("", |(complete, _)| complete);
        let lines: Vec<String> = complete
            .lines()
            .filter_map(|line| line.find("ravelin: ").and_then(|start| line.get(start..)))
            .map(|line| line.trim_end().to_owned())
            .collect();
        let new = lines.get(self.shown..).unwrap_or_default().to_vec();
        self.shown = lines.len();
        new
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let deadline = Instant::now() + KILL_LIMIT;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _gone = self.child.kill();
                let _gone = self.child.wait();
                return;
            }
            let _gone = kill_process(Pid::from_child(&self.child), Signal::TERM);
            thread::sleep(INTERVAL);
        }
    }
}
