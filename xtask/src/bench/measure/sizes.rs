//! Sizes of what is measured at launch and copied into every VM.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::samples::Sizes;
use crate::tools::{ravelin, run, variable};

pub(crate) fn measure(scratch: &Path) -> Result<Sizes> {
    Ok(Sizes {
        init: size(&variable("RAVELIN_INIT")?)?,
        initramfs: initramfs(scratch, "none")?,
        compressed: initramfs(scratch, "zstd:19")?,
    })
}

fn initramfs(scratch: &Path, compression: &str) -> Result<u64> {
    let output = scratch.join("size.cpio");
    let mut command = ravelin()?;
    command.args(["--quiet", "image", "initramfs", "--filesystem", "erofs"]);
    command.args(["--compress", compression, "--output"]).arg(&output);
    command.arg("--kernel-modules").arg(modules()?);
    run(&mut command)?;
    size(&output)
}

/// The modules of the one kernel that set-up has unpacked.
pub(crate) fn modules() -> Result<std::path::PathBuf> {
    Ok(vm_tests::Environment::get().modules())
}

pub(crate) fn size(path: &Path) -> Result<u64> {
    Ok(fs::metadata(path).with_context(|| format!("read {}", path.display()))?.len())
}
