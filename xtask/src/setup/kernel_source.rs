//! Debian's source of the 6.12 kernel, unpacked from its package into the cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::apt::{Apt, Dependencies};
use super::cached;
use crate::command;

const PACKAGE: &str = "linux-source-6.12";

/// The source, and what its package says of it.
pub(crate) struct Source {
    /// The sources as a tar, packed with xz.
    pub(crate) tar: PathBuf,
    /// The package's version, such as 6.12.117-1~deb12u1.
    pub(crate) version: String,
    /// When that was made, as RFC 5322 has it.
    pub(crate) date: String,
}

impl Source {
    /// What is in the cache.
    pub(crate) fn find(cache: &Path) -> Option<Self> {
        let directory = directory(cache);
        cached::is_current(&directory, PACKAGE).then(|| Self::read(&directory).ok())?
    }

    /// Fetches the newest one.
    pub(super) fn fetch(cache: &Path, apt: &Apt) -> Result<Self> {
        println!("setup: unpacking {PACKAGE} into the cache: `cargo xtask kernel` builds it");
        let directory = directory(cache);
        cached::replace(&directory, PACKAGE, |directory| {
            apt.unpack(&[PACKAGE], Dependencies::None, directory)
        })?;
        Self::read(&directory)
    }

    fn read(directory: &Path) -> Result<Self> {
        let changelog = directory.join("usr/share/doc").join(PACKAGE).join("changelog.Debian.gz");
        let changelog = command::stdout(Command::new("gzip").arg("-dc").arg(changelog))?;
        let (version, date) = newest(&changelog).context("read the changelog of the source")?;
        let tar = directory.join(format!("usr/src/{PACKAGE}.tar.xz"));
        fs::metadata(&tar).with_context(|| format!("{PACKAGE} has no {}", tar.display()))?;
        Ok(Self { tar, version, date })
    }
}

/// Version and date of a changelog's first entry (Debian Policy, section 4.4).
fn newest(changelog: &str) -> Option<(String, String)> {
    let version = changelog.lines().next()?.split_once('(')?.1.split_once(')')?.0;
    let date = changelog.lines().find_map(|line| line.strip_prefix(" -- "))?.split_once("  ")?.1;
    Some((version.to_owned(), date.to_owned()))
}

fn directory(cache: &Path) -> PathBuf {
    cache.join("kernel-source")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_entry_is_read() {
        let changelog = "linux (6.12.95-1) trixie; urgency=medium\n\n  * New.\n\n \
            -- A B <a@b.org>  Sat, 14 Nov 2026 13:56:01 +0100\n\nlinux (6.12.94-1) x; y\n";
        let (version, date) = newest(changelog).unwrap();
        assert_eq!(version, "6.12.95-1");
        assert_eq!(date, "Sat, 14 Nov 2026 13:56:01 +0100");
        assert_eq!(newest("no changelog"), None);
    }
}
