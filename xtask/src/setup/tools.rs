//! Debian 13's file-system tools, for the image builder.
//!
//! `mkfs.erofs` of Debian 12 reads no tar and its `mke2fs` neither, and its
//! `mksquashfs` cannot be told who owns the root. The newer ones are unpacked
//! with their own C library into the cache and started through their own loader,
//! so nothing on the machine is replaced.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::apt::{Apt, Dependencies};
use super::cached;

/// The suite that has them.
pub(crate) const SUITE: &str = "trixie";

/// `mke2fs` loads libarchive itself, so no dependency names it.
const PACKAGES: &[&str] = &["erofs-utils", "e2fsprogs", "libarchive13t64", "squashfs-tools"];

/// The tools and the oracles that read their images back in the tests.
const TOOLS: &[&str] = &[
    "usr/bin/mkfs.erofs",
    "usr/bin/fsck.erofs",
    "usr/bin/dump.erofs",
    "usr/bin/mksquashfs",
    "usr/bin/unsquashfs",
    "usr/sbin/mke2fs",
    "usr/sbin/e2fsck",
    "usr/sbin/debugfs",
    "usr/sbin/dumpe2fs",
];

/// The environment variables through which the image builder finds a tool.
pub(crate) const EXPORTED: &[(&str, &str)] = &[
    ("RAVELIN_MKFS_EROFS", "mkfs.erofs"),
    ("RAVELIN_MKE2FS", "mke2fs"),
    ("RAVELIN_DEBUGFS", "debugfs"),
    ("RAVELIN_MKSQUASHFS", "mksquashfs"),
];

/// Where the wrappers are.
pub(crate) fn directory(cache: &Path) -> PathBuf {
    top(cache).join("bin")
}

pub(crate) fn is_current(cache: &Path) -> bool {
    cached::is_current(&top(cache), &recipe())
}

pub(crate) fn make(cache: &Path, apt: &Apt) -> Result<()> {
    println!(
        "setup: unpacking Debian 13's erofs-utils, e2fsprogs and squashfs-tools into the \
         cache: the file systems' own tools, new enough to make a root from a tar"
    );
    cached::replace(&top(cache), &recipe(), |directory| {
        let root = directory.join("root");
        let bin = directory.join("bin");
        for path in [&root, &bin] {
            fs::create_dir(path).with_context(|| format!("create {}", path.display()))?;
        }
        apt.unpack(PACKAGES, Dependencies::All, &root)?;
        for tool in TOOLS {
            write_wrapper(&bin, tool)?;
        }
        Ok(())
    })
}

fn top(cache: &Path) -> PathBuf {
    cache.join("tools")
}

fn recipe() -> String {
    TOOLS.iter().map(|tool| wrapper(tool)).fold(PACKAGES.join(" "), |all, one| all + "\n" + &one)
}

fn write_wrapper(bin: &Path, tool: &str) -> Result<()> {
    let name = Path::new(tool).file_name().context("a tool without a name")?;
    let path = bin.join(name);
    fs::write(&path, wrapper(tool)).with_context(|| format!("write {}", path.display()))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("make {} executable", path.display()))
}

fn wrapper(tool: &str) -> String {
    format!(
        "#!/bin/sh\n\
         root=$(dirname \"$(readlink -f \"$0\")\")/../root\n\
         libraries=$root/usr/lib/x86_64-linux-gnu\n\
         export MKE2FS_CONFIG=\"$root/etc/mke2fs.conf\"\n\
         exec \"$libraries/ld-linux-x86-64.so.2\" --inhibit-cache --library-path \"$libraries\" \
         \"$root/{tool}\" \"$@\"\n"
    )
}
