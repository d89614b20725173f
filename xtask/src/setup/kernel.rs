//! Debian's 6.12 cloud kernel, unpacked into the cache and not installed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::apt::{Apt, Dependencies};
use super::cached;

/// Signed images of the cloud flavour only: no `-unsigned`, no `-dbg`.
const PACKAGES: &str = r"^linux-image-6\.12\.[^-]*-cloud-amd64$";

/// A directory with `boot/vmlinuz-VERSION` and `lib/modules/VERSION`.
pub(crate) fn directory(cache: &Path) -> PathBuf {
    cache.join("kernel")
}

pub(crate) fn is_current(cache: &Path) -> bool {
    cached::is_current(&directory(cache), PACKAGES) && version(cache).is_ok()
}

/// Fetches the newest one.
pub(crate) fn make(cache: &Path, apt: &Apt) -> Result<()> {
    let names = apt.names(PACKAGES)?;
    let package = names
        .iter()
        .max_by_key(|name| numbers(name))
        .with_context(|| format!("no package matches {PACKAGES}"))?;
    println!("setup: unpacking {package} into the cache: the virtual machines boot it");
    cached::replace(&directory(cache), PACKAGES, |directory| {
        apt.unpack(&[package], Dependencies::None, directory)?;
        if !directory.join("lib").exists() {
            symlink("usr/lib", directory.join("lib")).context("link lib to usr/lib")?;
        }
        Ok(())
    })
}

/// The one kernel's version, as in `uname -r`.
pub(crate) fn version(cache: &Path) -> Result<String> {
    let modules = directory(cache).join("lib/modules");
    let entry = fs::read_dir(&modules)
        .with_context(|| format!("read {}", modules.display()))?
        .next()
        .with_context(|| format!("{} is empty", modules.display()))??;
    entry.file_name().into_string().ok().context("the kernel's version is not text")
}

/// The numbers in a name, in their order: 6.12.95+deb12 is after 6.12.9+deb13.
fn numbers(name: &str) -> Vec<u64> {
    name.split(|character: char| !character.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_by_number_not_by_letter() {
        let newer = numbers("linux-image-6.12.95+deb12-cloud-amd64");
        assert!(newer > numbers("linux-image-6.12.9+deb12-cloud-amd64"));
        assert!(newer > numbers("linux-image-6.12.9+deb13-cloud-amd64"));
    }
}
