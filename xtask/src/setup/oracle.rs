//! `sev-snp-measure` from PyPI: the reference that launch measurements are
//! compared with. It is only run by tests.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::cached;
use crate::command::logged;

/// What the package index calls it, and which version of it the tests expect.
const PACKAGE: &str = "sev-snp-measure==0.0.13";

/// The environment variable through which the tests find it.
pub(crate) const EXPORTED: &str = "RAVELIN_SEV_SNP_MEASURE";

/// The program.
pub(crate) fn program(cache: &Path) -> PathBuf {
    directory(cache).join("bin/sev-snp-measure")
}

pub(crate) fn is_current(cache: &Path) -> bool {
    cached::is_current(&directory(cache), PACKAGE)
}

/// Makes a virtual environment for it. That cannot be moved, so it is made in
/// its place; without its stamp it counts as absent.
pub(crate) fn make(cache: &Path) -> Result<()> {
    println!("setup: installing {PACKAGE} into the cache: the reference for launch measurements");
    let log = cache.join("sev-snp-measure.log");
    cached::make_in_place(&directory(cache), PACKAGE, |directory| {
        logged(Command::new("/usr/bin/python3").args(["-m", "venv"]).arg(directory), &log)?;
        let mut pip = Command::new(directory.join("bin/pip"));
        logged(pip.args(["--disable-pip-version-check", "install", PACKAGE]), &log)
    })
}

fn directory(cache: &Path) -> PathBuf {
    cache.join("sev-snp-measure")
}
