//! libvirt's schemas and its list of processor models, unpacked into the cache.
//!
//! The tests check `ravelin launch --print libvirt` against them. They are data of one small
//! package, of Debian 13 because domains with SEV-SNP are newer than Debian 12; libvirt itself
//! is neither installed nor run.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::apt::{Apt, Dependencies};
use super::cached;

const PACKAGE: &str = "libvirt-common";

/// The environment variable through which the tests find its files.
pub(crate) const EXPORTED: &str = "RAVELIN_TEST_LIBVIRT";

/// The directory that has `schemas` and `cpu_map`.
pub(crate) fn share(cache: &Path) -> PathBuf {
    directory(cache).join("usr/share/libvirt")
}

pub(crate) fn is_current(cache: &Path) -> bool {
    cached::is_current(&directory(cache), PACKAGE)
}

pub(crate) fn make(cache: &Path, apt: &Apt) -> Result<()> {
    println!(
        "setup: unpacking Debian 13's {PACKAGE} into the cache: libvirt's schemas, for the tests"
    );
    cached::replace(&directory(cache), PACKAGE, |directory| {
        apt.unpack(&[PACKAGE], Dependencies::None, directory)?;
        let schema = directory.join("usr/share/libvirt/schemas/domain.rng");
        ensure!(schema.is_file(), "{PACKAGE} has no schema of domains");
        Ok(())
    })
}

fn directory(cache: &Path) -> PathBuf {
    cache.join("libvirt")
}
