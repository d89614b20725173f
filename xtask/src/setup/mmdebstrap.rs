//! Debian roots from the machine's own archive, made by mmdebstrap.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use super::apt::Machine;
use crate::command;

/// Neither read by anyone in the virtual machine nor worth hashing.
pub(super) const EXCLUDED: &[&str] =
    &["usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info"];

/// A root of Debian's essential packages and more.
pub(super) struct Root<'a> {
    /// Beyond the essential ones, with commas.
    pub(super) packages: &'a str,
    /// Runs outside of the root, with its path as the argument, when all is installed.
    pub(super) hook: &'a Path,
    /// For the hook.
    pub(super) environment: &'a [(&'a str, String)],
}

impl Root<'_> {
    /// As a tar.
    pub(super) fn tar(&self, machine: &Machine, tar: &Path, log: &Path) -> Result<()> {
        let tar = File::create(tar).with_context(|| format!("create {}", tar.display()))?;
        self.make("tar", machine, tar.into(), log)
    }

    /// Leaves nothing but what the hook has made.
    pub(super) fn for_the_hook(&self, machine: &Machine, log: &Path) -> Result<()> {
        self.make("null", machine, Stdio::null(), log)
    }

    fn make(&self, format: &str, machine: &Machine, output: Stdio, log: &Path) -> Result<()> {
        let errors = File::create(log).with_context(|| format!("create {}", log.display()))?;
        let mut mmdebstrap = command::as_root("env")?;
        mmdebstrap
            .args(self.environment.iter().map(|(name, value)| format!("{name}={value}")))
            .args(["mmdebstrap", "--variant=essential"])
            .arg(format!("--format={format}"))
            .arg(format!("--include={}", self.packages))
            .arg(format!("--customize-hook={}", self.hook.display()))
            .args(EXCLUDED.iter().map(|path| format!("--dpkgopt=path-exclude=/{path}/*")))
            .args([machine.release.as_str(), "-"])
            .args(machine.release_sources());
        let status = mmdebstrap
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .status()
            .context("start mmdebstrap")?;
        if !status.success() {
            bail!("mmdebstrap: {status}\n{}", fs::read_to_string(log).unwrap_or_default());
        }
        Ok(())
    }
}

/// Writes a script that can be executed.
pub(super) fn write_script(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    fs::set_permissions(path, Permissions::from_mode(0o755))
        .with_context(|| format!("make {} executable", path.display()))
}
