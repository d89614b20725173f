//! Sizes of what is measured at launch and copied into every VM.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::samples::Sizes;
use crate::tools::{ravelin, run, variable};

pub(crate) fn measure(scratch: &Path) -> Result<Sizes> {
    Ok(Sizes {
        init: size(&variable("RAVELIN_INIT")?)?,
        initramfs: size_of(scratch, "none")?,
        compressed: size_of(scratch, "zstd:19")?,
    })
}

fn size_of(scratch: &Path, compression: &str) -> Result<u64> {
    let output = scratch.join("size.cpio");
    run(&mut initramfs(compression, &output)?)?;
    size(&output)
}

/// `ravelin image initramfs` for a verity root on erofs.
pub(crate) fn initramfs(compression: &str, output: &Path) -> Result<Command> {
    let mut command = image_initramfs(compression, output)?;
    command.args(["--filesystem", "erofs", "--kernel-modules"]).arg(modules()?);
    Ok(command)
}

/// A part of an initramfs, not compressed.
pub(crate) fn part(name: &str, output: &Path) -> Result<Command> {
    let mut command = image_initramfs("none", output)?;
    command.args(["--part", name]);
    Ok(command)
}

fn image_initramfs(compression: &str, output: &Path) -> Result<Command> {
    let mut command = ravelin()?;
    command.args(["--quiet", "image", "initramfs", "--compress", compression, "--output"]);
    command.arg(output);
    Ok(command)
}

/// The modules of the one kernel that set-up has unpacked.
pub(crate) fn modules() -> Result<std::path::PathBuf> {
    Ok(vm_tests::Environment::get().modules())
}

pub(crate) fn size(path: &Path) -> Result<u64> {
    Ok(fs::metadata(path).with_context(|| format!("read {}", path.display()))?.len())
}
