//! Debian's OVMF for direct boots of SEV guests, unpacked into the cache.
//!
//! Only that build (AmdSev) measures a kernel: the others have no SEV hash
//! table. Stable releases do not have its package, so it comes from the next
//! one; it is a file of data, of which nothing is run on this machine.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::apt::{Apt, Dependencies};
use super::cached;

/// The suites that have it, the steadier one first.
pub(crate) const SUITES: [&str; 2] = ["forky", "sid"];

const PACKAGE: &str = "ovmf-amdsev";

/// Where the package has it.
const FILE: &str = "usr/share/ovmf/OVMF.amdsev.fd";

/// The environment variable through which the tests find it.
pub(crate) const EXPORTED: &str = "RAVELIN_TEST_FIRMWARE";

/// The firmware.
pub(crate) fn image(cache: &Path) -> PathBuf {
    directory(cache).join(FILE)
}

pub(crate) fn is_current(cache: &Path) -> bool {
    cached::is_current(&directory(cache), PACKAGE) && image(cache).is_file()
}

/// Fetches it from the first of [`SUITES`] that has it; `apt` makes a private
/// apt for a suite.
pub(crate) fn make(cache: &Path, apt: impl Fn(&str) -> Result<Apt>) -> Result<()> {
    println!(
        "setup: unpacking {PACKAGE} into the cache: a firmware that measures the kernel, which \
         Debian has from release 14 on"
    );
    let mut last = None;
    for suite in SUITES {
        let made = cached::replace(&directory(cache), PACKAGE, |directory| {
            apt(suite)?.unpack(&[PACKAGE], Dependencies::None, directory)?;
            ensure!(directory.join(FILE).is_file(), "{PACKAGE} of {suite} has no {FILE}");
            Ok(())
        });
        match made {
            Ok(()) => return Ok(()),
            Err(error) => last = Some(error.context(format!("unpack {PACKAGE} of {suite}"))),
        }
    }
    last.map_or(Ok(()), Err)
}

fn directory(cache: &Path) -> PathBuf {
    cache.join("firmware")
}
