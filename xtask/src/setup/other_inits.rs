//! The initramfs that PID 1 is held against: what Debian 12's own tools make for the
//! machine of `cargo xtask bench inits`. Only that asks for them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::apt::Machine;
use super::cached;
use super::mmdebstrap::{Root, write_script};

/// Beyond Debian's essential packages: the tools, and what they put in.
const PACKAGES: &str = "systemd,systemd-sysv,udev,kmod,dmsetup,e2fsprogs,cryptsetup-bin,\
    dracut-core,initramfs-tools,cryptsetup-initramfs,busybox,rsync,openssh-client,\
    cpio,xz-utils,zstd";

const PREPARE: &str = include_str!("../bench/inits/prepare");
const SHELL_INIT: &str = include_str!("../bench/inits/shell-init");

/// Makes them if they are not there; the directory that has them.
pub(super) fn ensure(cache: &Path, kernel: &Path, version: &str) -> Result<PathBuf> {
    let top = cache.join("other-inits");
    let recipe = [PACKAGES, version, PREPARE, SHELL_INIT].join("\n");
    if cached::is_current(&top, &recipe) {
        return Ok(top);
    }
    println!(
        "setup: making the initramfs of dracut, initramfs-tools and a shell in the cache, once: \
         the benchmark boots them beside PID 1"
    );
    cached::replace(&top, &recipe, |directory| {
        let hook = directory.join("prepare");
        write_script(&hook, PREPARE)?;
        write_script(&directory.join("shell-init"), SHELL_INIT)?;
        let environment = [
            ("KERNEL", kernel.display().to_string()),
            ("VERSION", version.to_owned()),
            ("OUTPUT", directory.display().to_string()),
        ];
        let root = Root { packages: PACKAGES, hook: &hook, environment: &environment };
        root.for_the_hook(&Machine::read()?, &directory.join("mmdebstrap.log"))?;
        fs::remove_file(hook).context("remove the hook")
    })?;
    Ok(top)
}
