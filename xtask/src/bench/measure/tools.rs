//! The programs that are measured, and the bytes that they are given.

use std::env;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// What `cargo xtask bench` has put into the environment.
pub(crate) fn variable(name: &str) -> Result<PathBuf> {
    env::var_os(name)
        .map(PathBuf::from)
        .with_context(|| format!("{name} is not set: start `cargo xtask bench`"))
}

/// The command that a user would call.
pub(crate) fn ravelin() -> Result<Command> {
    let mut ravelin = Command::new(variable("RAVELIN_CLI")?);
    ravelin.stdin(Stdio::null());
    Ok(ravelin)
}

/// Runs a program to its end.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("start {}", command.get_program().display()))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

/// Runs a `ravelin --json`; its report.
pub(crate) fn report(command: &mut Command) -> Result<Value> {
    let output = command.stderr(Stdio::inherit()).output().context("start ravelin")?;
    ensure!(output.status.success(), "{command:?}: {}", output.status);
    serde_json::from_slice(&output.stdout).with_context(|| format!("read JSON of {command:?}"))
}

/// A text of a report.
pub(crate) fn text<'a>(report: &'a Value, key: &str) -> Result<&'a str> {
    report.get(key).and_then(Value::as_str).with_context(|| format!("the report has no {key}"))
}

/// A number of a report.
pub(crate) fn number(report: &Value, key: &str) -> Result<u64> {
    report.get(key).and_then(Value::as_u64).with_context(|| format!("the report has no {key}"))
}

/// Bytes of which no block repeats and nothing can be compressed; the same
/// every time.
pub(crate) struct Noise(u64);

impl Noise {
    pub(crate) fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    /// Fills a new file, and waits until it is on the disk: later writes of it
    /// would disturb what is measured.
    pub(crate) fn write(&mut self, path: &Path, bytes: u64) -> Result<()> {
        let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
        let mut writer = BufWriter::with_capacity(1 << 20, file);
        for _ in 0..bytes / 8 {
            writer.write_all(&self.next().to_le_bytes())?;
        }
        writer.flush().with_context(|| format!("write {}", path.display()))?;
        writer.get_ref().sync_all().with_context(|| format!("write {}", path.display()))
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
